//! A script's attach points → the names that each one means on this machine.

use std::io;

use super::{Listing, Query, Refusal, Result, kind_of};
use crate::provider;
use crate::source::Span;
use crate::syntax::ast::{AttachPoint, Item, Program};

/// An attach point that has nothing here to attach to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    pub span: Span,
    /// In full spelling.
    pub probe: String,
    /// Where this machine can't tell: why not.
    pub why: Option<String>,
}

impl Listing<'_> {
    /// Lists what a script would be attached to; gives what is missing here.
    ///
    /// # Errors
    /// The output can't be written.
    pub fn script(&mut self, program: &Program) -> io::Result<Vec<Missing>> {
        let mut missing = vec![];
        for item in &program.items {
            let Item::Probe(probe) = item else { continue };
            for point in &probe.attach_points {
                let before = self.entries;
                let why = match self.point(point) {
                    Ok(Found::Nothing) => continue,
                    Ok(Found::Listed) if self.entries > before => continue,
                    Ok(Found::Listed) => None,
                    Err(Refusal::Write(error)) => return Err(error),
                    Err(Refusal::Unknown(why) | Refusal::Usage(why)) => Some(why),
                };
                missing.push(Missing {
                    span: point.span,
                    probe: spelled(point),
                    why,
                });
            }
        }
        Ok(missing)
    }

    fn point(&mut self, point: &AttachPoint) -> Result<Found> {
        let Some(found) = provider::lookup(&point.provider.text) else {
            let name = &point.provider.text;
            return Err(Refusal::Usage(format!("unknown probe type `{name}`")));
        };
        let mut parts: Vec<&str> = point.parts.iter().map(|part| part.text.as_str()).collect();
        let kind = match (kind_of(found.name), found.name) {
            // A place that only the machine it runs on can check.
            (_, "interval" | "profile" | "software" | "hardware" | "watchpoint") => {
                self.entry(&spelled(point), Vec::new)?;
                return Ok(Found::Listed);
            }
            (None, _) => return Ok(Found::Nothing),
            (Some(kind), _) => kind,
        };
        let Some(last) = parts.last_mut() else {
            return Ok(Found::Listed);
        };
        let parameter = point.parts.iter().any(|part| part.text.contains('$'));
        if parameter || last.starts_with(|c: char| c.is_ascii_digit()) {
            self.entry(&spelled(point), Vec::new)?;
            return Ok(Found::Listed);
        }
        if let Some((function, _)) = last.split_once('+') {
            *last = function;
        }
        let (provider, parts) = (kind.provider, &parts[..]);
        (kind.list)(&Query { provider, parts }, self)?;
        Ok(Found::Listed)
    }
}

/// Whether an attach point names something that could be listed.
enum Found {
    Listed,
    /// `begin`, `end` and the like are of no machine.
    Nothing,
}

fn spelled(point: &AttachPoint) -> String {
    let written = point.provider.text.as_str();
    let found = provider::lookup(written);
    let mut text = found.map_or(written, |found| found.name).to_owned();
    if provider::duration(written).is_some() {
        text = format!("interval:{written}");
    }
    for part in &point.parts {
        text.push(':');
        text.push_str(&part.text);
    }
    text
}
