//! What the C preamble defines: `#define` constants, enums, structs and typedefs, by name.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::Options;
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::host::{CDefinitions, CError, CType, Host, HostEnum, HostRecord};
use crate::source::{SourceMap, Span};
use crate::syntax;
use crate::syntax::ast::{Macro, Program};

#[derive(Default)]
pub(super) struct Constants {
    pub integers: HashMap<String, i128>,
    pub strings: HashMap<String, Vec<u8>>,
    pub records: HashMap<(String, bool), HostRecord>,
    pub typedefs: HashMap<String, CType>,
    pub enums: HashMap<String, HostEnum>,
    /// By the constant's name.
    pub enumerators: HashMap<String, (HostEnum, u64)>,
    /// `#define`s that are no constants: text that means something where it is used.
    pub macros: HashMap<String, Macro>,
    /// Names of those whose text a script can't use.
    pub unusable: HashSet<String>,
    /// The preamble had errors: unknown names may be its fault.
    pub broken: bool,
}

pub(super) fn read(
    program: &Program,
    sources: &SourceMap,
    host: &dyn Host,
    options: &Options,
    diagnostics: &mut Diagnostics,
) -> Constants {
    if program.preamble.is_empty() && options.c.includes.is_empty() {
        return Constants::default();
    }
    let first = program.preamble.first().map(|piece| piece.span);
    let mut text = String::new();
    let mut starts = vec![];
    for piece in &program.preamble {
        starts.push((text.len(), piece.span));
        text.push_str(&piece.text);
        text.push('\n');
    }
    match host.c_definitions(&text, &options.c) {
        Ok((mut definitions, errors)) => {
            let places = std::mem::take(&mut definitions.macros);
            let mut constants = collect(definitions);
            for place in places {
                let Some(span) = script_span(place, &starts) else {
                    continue;
                };
                constants.define(sources, span);
            }
            for error in &errors {
                constants.broken |= report(error, &text, &starts, diagnostics);
            }
            constants
        }
        Err(why) => {
            diagnostics.push(Diagnostic::error(
                Code::CPreamble,
                first.unwrap_or_default(),
                format!("this script's C definitions need libclang: {why}"),
            ));
            Constants {
                broken: true,
                ..Constants::default()
            }
        }
    }
}

impl Constants {
    /// Takes in a `#define` by its place in the script.
    fn define(&mut self, sources: &SourceMap, span: Span) {
        let text = &sources.get(span.file).text;
        let definition = text.get(span.range()).unwrap_or("");
        let name = definition[..word(definition).min(definition.len())].to_owned();
        if self.integers.contains_key(&name) || self.strings.contains_key(&name) {
            return;
        }
        match syntax::c_macro(span.file, text, span.range()) {
            Some(found) => drop(self.macros.insert(name, found)),
            None => drop(self.unusable.insert(name)),
        }
    }
}

/// Where a part of the preamble's text stands in the script.
fn script_span(part: Range<usize>, starts: &[(usize, Span)]) -> Option<Span> {
    let (start, span) = starts
        .iter()
        .rev()
        .find(|(start, _)| *start <= part.start)?;
    let at = span.start as usize + (part.start - start);
    Some(Span::new(span.file, at, at + part.len()))
}

/// Points a complaint of libclang at the script's own text; true for an error.
fn report(
    error: &CError,
    text: &str,
    starts: &[(usize, Span)],
    diagnostics: &mut Diagnostics,
) -> bool {
    let span = error
        .offset
        .and_then(|offset| {
            let (start, span) = starts.iter().rev().find(|(start, _)| *start <= offset)?;
            let at = (span.start as usize + (offset - start)).min(span.end as usize);
            let end = at + word(text.get(offset..).unwrap_or(""));
            Some(Span::new(span.file, at, end.min(span.end as usize)))
        })
        .or_else(|| starts.first().map(|(_, span)| *span))
        .unwrap_or_default();
    let made = if error.fatal {
        Diagnostic::error(Code::CPreamble, span, &error.message)
    } else {
        Diagnostic::warning(Code::CPreamble, span, &error.message)
    };
    diagnostics.push(made);
    error.fatal
}

/// Bytes of the name that a text begins with, or of its first character; of the whole line for a directive.
fn word(text: &str) -> usize {
    if text.starts_with('#') {
        return text.trim_end().find('\n').unwrap_or(text.trim_end().len());
    }
    let name = |c: char| c.is_alphanumeric() || c == '_';
    let length = text.find(|c| !name(c)).unwrap_or(text.len());
    length.max(text.chars().next().map_or(1, char::len_utf8))
}

fn collect(definitions: CDefinitions) -> Constants {
    let mut enumerators = HashMap::new();
    for of in &definitions.enums {
        for (name, value) in &of.values {
            enumerators.insert(name.clone(), (of.clone(), *value));
        }
    }
    Constants {
        integers: definitions.integers.into_iter().collect(),
        strings: definitions.strings.into_iter().collect(),
        records: definitions
            .records
            .into_iter()
            .map(|r| ((r.name.clone(), r.union), r))
            .collect(),
        typedefs: definitions.typedefs.into_iter().collect(),
        enums: definitions
            .enums
            .into_iter()
            .map(|e| (e.name.clone(), e))
            .collect(),
        enumerators,
        macros: HashMap::new(),
        unusable: HashSet::new(),
        broken: false,
    }
}
