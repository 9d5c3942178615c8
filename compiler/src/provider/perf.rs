//! Counted events of the perf subsystem: `event[:count]`, by name.

use super::point::Parts;
use crate::diagnostic::{Code, Diagnostic};
use btc_runtime::suggest::nearest;

/// One event: its names (the first is printed), its number in linux/perf_event.h, and the default count.
pub struct Event {
    pub names: &'static [&'static str],
    pub config: u64,
    pub default_count: u64,
}

impl Event {
    pub const fn new(names: &'static [&'static str], config: u64, default_count: u64) -> Self {
        Event {
            names,
            config,
            default_count,
        }
    }
}

/// Reads `event[:count]`.
pub fn event(parts: &Parts, table: &[Event]) -> Result<(u64, u64), Diagnostic> {
    let given = parts.between(1, 2)?;
    let Some(name) = given.first() else {
        return Err(parts.wrong(parts.span(), "expected an event"));
    };
    let Some(event) = table.iter().find(|e| e.names.contains(&name.text.as_str())) else {
        let known = table.iter().flat_map(|e| e.names.iter().copied());
        let diagnostic = Diagnostic::error(
            Code::InvalidProbe,
            name.span,
            format!(
                "unknown {} event `{}`",
                parts.provider,
                name.text.escape_debug()
            ),
        );
        return Err(match nearest(&name.text, known) {
            Some(close) => diagnostic.with_help(format!("did you mean `{close}`?")),
            None => diagnostic.with_help(format!(
                "the events are {}",
                table
                    .iter()
                    .filter_map(|e| e.names.first().copied())
                    .collect::<Vec<_>>()
                    .join(", ")
            )),
        });
    };
    let count = match given.get(1) {
        Some(part) => parts.count(part)?,
        None => event.default_count,
    };
    Ok((event.config, count))
}
