//! libclang's messages → what it misses. Their wording is the only way to learn it, and has not changed since clang 3.

use std::ops::Range;

use super::prelude::INCOMPLETE;

/// Something that a text uses and doesn't define.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Missing {
    Typedef(String),
    Struct(String),
    Enum(String),
    Header(String),
}

impl Missing {
    pub(super) fn of(message: &str) -> Option<Missing> {
        if let Some(name) = quoted(message, "unknown type name ") {
            return Some(Missing::Typedef(name.to_owned()));
        }
        if let Some(name) = quoted(message, "use of undeclared identifier ") {
            return Some(Missing::Typedef(name.to_owned()));
        }
        if let Some(name) = message.strip_suffix("' file not found") {
            return Some(Missing::Header(name.strip_prefix('\'')?.to_owned()));
        }
        let name = incomplete(message)?;
        if let Some(tag) = name.strip_prefix("enum ") {
            return Some(Missing::Enum(tag.to_owned()));
        }
        let tag = name.strip_prefix("struct ")?;
        (!tag.starts_with(INCOMPLETE)).then(|| Missing::Struct(tag.to_owned()))
    }
}

fn quoted<'m>(message: &'m str, start: &str) -> Option<&'m str> {
    let rest = message.strip_prefix(start)?.strip_prefix('\'')?;
    rest.split_once('\'').map(|(name, _)| name)
}

/// The type that a member or an element can't have.
fn incomplete(message: &str) -> Option<&str> {
    quoted(message, "field has incomplete type ")
        .or_else(|| quoted(message, "array has incomplete element type "))
}

/// The type, as the script writes it, of a member that needs more than its name.
pub(super) fn by_value(message: &str) -> Option<String> {
    let name = incomplete(message)?;
    Some(name.replace(&format!("struct {INCOMPLETE}"), ""))
}

/// Headers that a text includes, by either kind of quotes.
pub(super) fn included(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let word = line.trim_start().strip_prefix('#')?.trim_start();
        let rest = word.strip_prefix("include")?.trim_start();
        let end = match rest.chars().next()? {
            '<' => '>',
            '"' => '"',
            _ => return None,
        };
        rest[1..].split_once(end).map(|(name, _)| name)
    })
}

/// The line of an `#include <…>` that has this offset, and the header's name.
pub(super) fn include(text: &str, offset: usize) -> Option<(Range<usize>, String)> {
    let before = text.get(..offset)?;
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let end = text[start..].find('\n').map_or(text.len(), |at| start + at);
    let line = &text[start..end];
    let word = line.trim_start().strip_prefix('#')?.trim_start();
    let rest = word
        .strip_prefix("include_next")
        .or_else(|| word.strip_prefix("include"))?;
    let name = rest.trim_start().strip_prefix('<')?.split('>').next()?;
    let first = start + line.len() - line.trim_start().len();
    Some((first..end, name.to_owned()))
}

/// The struct that a member at this offset is in, the outermost one, and where its braces and what is within them are.
pub(super) fn body_around(text: &str, offset: usize) -> Option<(&str, Range<usize>)> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let (mut depth, mut open, mut at) = (0_u32, 0, 0);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if let Some(length) = no_code(rest) {
            at += length;
            continue;
        }
        let c = rest.chars().next()?;
        match c {
            '{' => {
                open = if depth == 0 { at } else { open };
                depth += 1;
            }
            '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && (open..=at).contains(&offset) {
                    let head = text[..open].trim_end();
                    let tag = head.rsplit(|c| !is_word(c)).next()?;
                    let before = head.strip_suffix(tag)?.trim_end();
                    return before.ends_with("struct").then_some((tag, open..at + 1));
                }
            }
            _ => {}
        }
        at += c.len_utf8();
    }
    None
}

/// The length of the comment or literal that a text begins with.
fn no_code(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        return Some(text.find("*/").map_or(text.len(), |end| end + 2));
    }
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            // A literal that isn't closed ends with its line.
            '\n' => return Some(at),
            _ if c == quote => return Some(at + 1),
            _ => {}
        }
    }
    Some(text.len())
}
