//! Bytes of a script or header → its text: without a byte order mark, with lines that end as on this system.

/// The text; lines and columns in it are those of the file. What is not UTF-8 in a comment becomes a question mark.
///
/// # Errors
/// What it is instead of a text.
pub fn decoded(mut bytes: Vec<u8>) -> Result<String, String> {
    // Spans are 32 bits wide.
    if u32::try_from(bytes.len()).is_err() {
        return Err("larger than 4 GiB".to_owned());
    }
    if bytes.starts_with(b"\xef\xbb\xbf") {
        bytes.drain(..3);
    }
    if bytes.contains(&b'\r') {
        let before_line_feed = |at: usize| bytes.get(at + 1) == Some(&b'\n');
        let kept = (0..bytes.len()).filter(|at| bytes[*at] != b'\r' || !before_line_feed(*at));
        bytes = kept.map(|at| bytes[at]).collect();
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(error) => with_foreign_comments(error.into_bytes()),
    }
}

/// A text that is UTF-8 but for its comments.
fn with_foreign_comments(mut bytes: Vec<u8>) -> Result<String, String> {
    let foreign: Vec<usize> = foreign(&bytes);
    let comments = comments(&bytes);
    for at in foreign {
        if !comments[at] {
            let line = bytes[..at].iter().filter(|b| **b == b'\n').count() + 1;
            return Err(format!("not UTF-8 text: line {line}"));
        }
        bytes[at] = b'?';
    }
    String::from_utf8(bytes).map_err(|_| "not UTF-8 text".to_owned())
}

/// Where bytes stand that are no part of a character.
fn foreign(bytes: &[u8]) -> Vec<usize> {
    let mut at = 0;
    let mut found = vec![];
    for chunk in bytes.utf8_chunks() {
        at += chunk.valid().len();
        found.extend(at..at + chunk.invalid().len());
        at += chunk.invalid().len();
    }
    found
}

/// Which bytes are in comments, as far as that can be told without the language's grammar: strings hold none, nor do paths of
/// probes (`uprobe:/bin//true:main`).
fn comments(bytes: &[u8]) -> Vec<bool> {
    let mut inside = vec![false; bytes.len()];
    let mut at = if bytes.starts_with(b"#!") {
        line_end(bytes, 0)
    } else {
        0
    };
    inside[..at].fill(true);
    while at < bytes.len() {
        let rest = &bytes[at..];
        let end = if rest.starts_with(b"//") && !in_path(&bytes[..at]) {
            line_end(bytes, at)
        } else if rest.starts_with(b"/*") {
            let end = rest.windows(2).skip(2).position(|two| two == b"*/");
            end.map_or(bytes.len(), |end| at + end + 4)
        } else if rest[0] == b'"' {
            at = string_end(bytes, at);
            continue;
        } else {
            at += 1;
            continue;
        };
        inside[at..end].fill(true);
        at = end;
    }
    inside
}

fn line_end(bytes: &[u8], from: usize) -> usize {
    let end = bytes[from..].iter().position(|b| *b == b'\n');
    end.map_or(bytes.len(), |end| from + end)
}

/// Behind the quote, or where the line ends without one.
fn string_end(bytes: &[u8], from: usize) -> usize {
    let mut at = from + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => return at + 1,
            b'\n' => return at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The word so far is an attach point with a path.
fn in_path(before: &[u8]) -> bool {
    let start = before.iter().rposition(u8::is_ascii_whitespace);
    let word = &before[start.map_or(0, |at| at + 1)..];
    word.windows(2).any(|two| two == b":/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> Result<String, String> {
        decoded(bytes.to_vec())
    }

    #[test]
    fn marks_and_line_ends_go() {
        assert_eq!(text(b"\xef\xbb\xbfa\r\nb\rc\r"), Ok("a\nb\rc\r".into()));
        assert_eq!(text("é".as_bytes()), Ok("é".into()));
    }

    #[test]
    fn comments_may_be_of_another_encoding() {
        for (bytes, expected) in [
            (&b"#!/x \xe9\na // caf\xe9\nb"[..], "#!/x ?\na // caf?\nb"),
            (b"a /* \xe9\n\xe9 */ b", "a /* ?\n? */ b"),
            (b"a;//\xe9\xc3", "a;//??"),
            (b"\"\\\"//\" // \xe9", "\"\\\"//\" // ?"),
            (b"/*/ \xe9 */", "/*/ ? */"),
        ] {
            assert_eq!(text(bytes), Ok(expected.into()));
        }
    }

    #[test]
    fn elsewhere_it_is_refused() {
        let line = |n: usize| Err(format!("not UTF-8 text: line {n}"));
        assert_eq!(text(b"a\n\"// \xe9\""), line(2));
        assert_eq!(text(b"// a\nb \xe9"), line(2));
        assert_eq!(text(b"uprobe:/bin//\xe9:f"), line(1));
        assert_eq!(text(b"/**/ \xe9"), line(1));
    }
}
