//! A code → its entry of docs/diagnostics.md, which is inside btc.

use super::Code;

const PAGE: &str = include_str!("../../../docs/diagnostics.md");

/// The entry of one code: Markdown, with its heading and without blank lines around it. Empty where the page has none,
/// which a test rules out.
#[must_use]
pub fn explain(code: Code) -> &'static str {
    let wanted = heading(code);
    sections()
        .find(|section| section.lines().next() == Some(&wanted))
        .map_or("", str::trim)
}

/// The first sentences of a code's entry, for the list of all.
#[must_use]
pub fn summary(code: Code) -> String {
    let paragraph: Vec<_> = explain(code)
        .lines()
        .skip(1)
        .skip_while(|line| line.is_empty())
        .take_while(|line| !line.is_empty())
        .collect();
    paragraph.join(" ")
}

/// The code of a name, as it stands in the brackets of a diagnostic.
#[must_use]
pub fn lookup(name: &str) -> Option<Code> {
    Code::ALL.iter().copied().find(|code| code.as_str() == name)
}

/// The scripts of an entry: the first gets the code, the second doesn't.
#[must_use]
pub fn examples(code: Code) -> Vec<&'static str> {
    explain(code)
        .split("```bpftrace\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect()
}

/// The names that the page has entries of.
pub fn entries() -> impl Iterator<Item = &'static str> {
    sections().filter_map(|section| section.strip_prefix("## `")?.split('`').next())
}

fn heading(code: Code) -> String {
    format!("## `{}`", code.as_str())
}

fn sections() -> impl Iterator<Item = &'static str> {
    let starts = PAGE.match_indices("\n## ").map(|(at, _)| at + 1);
    let ends = PAGE.match_indices("\n## ").map(|(at, _)| at).skip(1);
    starts
        .zip(ends.chain([PAGE.len()]))
        .map(|(start, end)| &PAGE[start..end])
}
