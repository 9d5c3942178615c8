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
