//! A long Rust expression on one line → the same tokens on lines that can be read.

const WIDTH: usize = 110;

/// Breaks every bracketed list that doesn't fit a line, one item a line; text in literals is left alone.
pub fn break_lines(expression: &str) -> String {
    let mut out = String::with_capacity(expression.len() * 2);
    write_item(expression.trim(), 0, &mut out);
    out
}

fn write_item(item: &str, depth: usize, out: &mut String) {
    let outer = outermost_list(item).filter(|_| depth * 4 + item.len() > WIDTH);
    let Some((open, close)) = outer else {
        out.push_str(item);
        return;
    };
    out.push_str(&item[..=open]);
    out.push('\n');
    for part in items(&item[open + 1..close]) {
        out.push_str(&"    ".repeat(depth + 1));
        write_item(part, depth + 1, out);
        out.push_str(",\n");
    }
    out.push_str(&"    ".repeat(depth));
    out.push_str(&item[close..]);
}

/// Where the first list with more than a bare wrapper around one item opens and closes.
fn outermost_list(item: &str) -> Option<(usize, usize)> {
    let mut from = 0;
    loop {
        let open = from
            + structure(&item[from..])
                .find(|&(_, c)| "{[(".contains(c))?
                .0;
        let mut depth = 0;
        let close = structure(&item[open..]).find_map(|(at, c)| {
            match c {
                '{' | '[' | '(' => depth += 1,
                '}' | ']' | ')' => depth -= 1,
                _ => {}
            }
            (depth == 0).then_some(open + at)
        })?;
        // `Cow::Borrowed(&[…])` breaks inside its brackets.
        let wrapper = item.as_bytes()[open] == b'(' && item[open + 1..].starts_with("&[");
        if !wrapper {
            return Some((open, close));
        }
        from = open + 1;
    }
}

/// The parts between commas on the top level.
fn items(list: &str) -> Vec<&str> {
    let mut parts = vec![];
    let (mut depth, mut start) = (0, 0);
    for (at, c) in structure(list) {
        match c {
            '{' | '[' | '(' => depth += 1,
            '}' | ']' | ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(list[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(list[start..].trim());
    parts.retain(|part| !part.is_empty());
    parts
}

/// The characters outside of string literals, with their offsets.
fn structure(text: &str) -> impl Iterator<Item = (usize, char)> {
    let (mut in_literal, mut escaped) = (false, false);
    text.char_indices().filter(move |&(_, c)| {
        let outside = !in_literal;
        match c {
            _ if escaped => escaped = false,
            '\\' if in_literal => escaped = true,
            '"' => in_literal = !in_literal,
            _ => {}
        }
        outside && c != '"'
    })
}

#[cfg(test)]
mod tests {
    use super::break_lines;

    #[test]
    fn short_expressions_stay() {
        assert_eq!(break_lines("A { b: 1, }"), "A { b: 1, }");
    }

    #[test]
    fn long_lists_break_outside_of_literals() {
        let text = format!(
            "A {{ b: \"}}, \\\" {{\", c: Cow::Borrowed(&[1, {}, ]), }}",
            "7".repeat(100)
        );
        let expected = format!(
            "A {{\n    b: \"}}, \\\" {{\",\n    c: Cow::Borrowed(&[\n        1,\n        {},\n    ]),\n}}",
            "7".repeat(100)
        );
        assert_eq!(break_lines(&text), expected);
    }
}
