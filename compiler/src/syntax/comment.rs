//! The comment at the top of a script, for a tool's `-h`.

/// The first block of comments, marks removed; `None` where the script starts with something else.
pub fn header(text: &str) -> Option<String> {
    let text = match text.strip_prefix("#!") {
        Some(rest) => rest.split_once('\n')?.1,
        None => text,
    };
    let text = text.trim_start();
    let lines: Vec<&str> = if let Some(block) = text.strip_prefix("/*") {
        let (block, _) = block.split_once("*/")?;
        block.lines().map(|line| strip_star(line.trim())).collect()
    } else {
        text.lines()
            .map(str::trim_start)
            .take_while(|line| line.starts_with("//"))
            .map(|line| line.trim_start_matches('/'))
            .map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end())
            .collect()
    };
    let joined = lines.join("\n");
    let trimmed = joined.trim_matches('\n').trim_end();
    (!trimmed.trim().is_empty()).then(|| trimmed.to_string())
}

fn strip_star(line: &str) -> &str {
    let line = line.trim_start_matches('*');
    line.strip_prefix(' ').unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::header;

    #[test]
    fn both_kinds_of_comment() {
        assert_eq!(
            header("#!/usr/bin/btc\n// One\n//\n// Two\nbegin {}").as_deref(),
            Some("One\n\nTwo")
        );
        assert_eq!(
            header("/*\n * One\n * Two\n */\nbegin {}").as_deref(),
            Some("One\nTwo")
        );
        assert_eq!(header("begin { } // no"), None);
        assert_eq!(header("/* never ends"), None);
        assert_eq!(header("#!"), None);
    }
}
