//! A script's C preamble → its types and constants, by libclang.
//!
//! libclang reads the text as it stands. What it misses is then supplied, and the text read again: integer types that
//! nobody includes a header for, the kernel's types from BTF, and headers that this machine lacks, which are dropped
//! with a warning since BTF has the kernel's structs anyway.

mod arguments;
mod compile;
mod cursor;
mod kernel_tree;
mod library;
mod macros;
mod missing;
mod parse;
mod prelude;
mod served;
#[cfg(test)]
mod tests;
mod types;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

pub use self::compile::{Compiled, Refusal, compile};
use self::kernel_tree::KernelTree;
use self::missing::Missing;
use self::parse::{Complaint, Parsed, Request};
use self::prelude::{Declaration, Kernel};
use super::{CDefinitions, CError, COptions, Host, HostRecordBody, headers};
use crate::arch::Arch;

/// Each run supplies all that the one before missed; a definition rarely hides another one's lack.
const MAX_RUNS: usize = 16;
/// More complaints than this help nobody.
const MAX_ERRORS: usize = 20;

/// A preamble's meaning; bodies are in the order of their records' ids.
#[derive(Debug, Default)]
pub struct Preamble {
    pub definitions: CDefinitions,
    pub bodies: Vec<HostRecordBody>,
    pub errors: Vec<CError>,
    /// The files that it includes.
    pub headers: Vec<String>,
    /// Headers of `--include` that are not there.
    pub missing: Vec<String>,
}

/// Reads a preamble. The first record gets the id `first_id`.
///
/// # Errors
/// libclang can't be had.
pub fn read(
    host: &dyn Host,
    machine: Machine,
    text: &str,
    options: &COptions,
    first_id: u64,
) -> Result<Preamble, String> {
    let with = options.includes.iter().map(String::as_str);
    let headers = missing::included(text).chain(with);
    let mut reading = Reading {
        host,
        constants: headers::constants(headers, machine.arch),
        request: Request {
            text: text.to_owned(),
            prelude: prelude::BASE.to_owned(),
            arguments: arguments::arguments(machine, options),
            first_id,
            ..Request::default()
        },
        tried: HashSet::new(),
        complaints: vec![],
        tree: KernelTree::find(machine).map(Tree::Unused),
    };
    let mut parsed = parse::parse(reading.request.clone())?;
    for _ in 1..MAX_RUNS {
        if !reading.supply(&parsed) {
            break;
        }
        parsed = parse::parse(reading.request.clone())?;
    }
    reading.complete(&mut parsed.definitions);
    let missing = missing_options(&mut parsed.errors, options);
    let mut errors = reading.complaints;
    let complaints = parsed.errors.iter().take(MAX_ERRORS);
    errors.extend(complaints.map(|c| explain(host, c)));
    Ok(Preamble {
        definitions: parsed.definitions,
        bodies: parsed.bodies,
        errors,
        headers: parsed.headers,
        missing,
    })
}

/// Takes out the complaints of headers that no line of the script asks for.
fn missing_options(errors: &mut Vec<Complaint>, options: &COptions) -> Vec<String> {
    let mut missing = vec![];
    errors.retain(|complaint| {
        match (
            Missing::of(&complaint.message),
            &complaint.header,
            complaint.offset,
        ) {
            (Some(Missing::Header(name)), _, None) if options.includes.contains(&name) => {
                missing.push(name);
                false
            }
            _ => true,
        }
    });
    missing
}

/// What a text defines with the headers that are installed, and nothing else.
#[cfg(test)]
pub(super) fn read_alone(
    host: &dyn Host,
    machine: Machine,
    text: &str,
    options: &COptions,
) -> Result<CDefinitions, String> {
    let request = Request {
        text: text.to_owned(),
        prelude: prelude::BASE.to_owned(),
        arguments: arguments::arguments(machine, options),
        ..Request::default()
    };
    let mut reading = Reading {
        host,
        constants: BTreeMap::new(),
        request,
        tried: HashSet::new(),
        complaints: vec![],
        tree: None,
    };
    let mut parsed = parse::parse(reading.request.clone())?;
    for _ in 1..MAX_RUNS {
        if !reading.supply(&parsed) {
            break;
        }
        parsed = parse::parse(reading.request.clone())?;
    }
    let mut found = parsed.definitions;
    let enums = found.enums.iter().flat_map(|e| e.values.clone());
    let enumerators: Vec<_> = enums
        .map(|(name, value)| (name, i128::from(value as i64)))
        .collect();
    found.integers.extend(enumerators);
    Ok(found)
}

/// The machine that a preamble is read for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Machine<'a> {
    /// Where its headers are; `None`: among this machine's own.
    pub sysroot: Option<&'a Path>,
    pub arch: Arch,
}

struct Reading<'h> {
    host: &'h dyn Host,
    request: Request,
    /// What was asked for already, whether it was found or not.
    tried: HashSet<Missing>,
    complaints: Vec<CError>,
    /// What btc's own table has of the headers that the text includes.
    constants: BTreeMap<String, i128>,
    tree: Option<Tree>,
}

enum Tree {
    /// No header of it was asked for so far.
    Unused(KernelTree),
    /// The arguments that there were without it.
    Used { without: Vec<String> },
    /// It can't be read, or not beside the system's headers.
    Left,
}

impl Reading<'_> {
    /// Adds what a run missed; false when there is nothing to add.
    fn supply(&mut self, parsed: &Parsed) -> bool {
        if self.leave_tree(parsed) || self.enter_tree(parsed) {
            return true;
        }
        let mut found = false;
        for complaint in &parsed.errors {
            let Some(missing) = Missing::of(&complaint.message) else {
                continue;
            };
            found |= match &missing {
                Missing::Header(name) => self.drop_include(complaint, name),
                _ => self.declare(missing),
            };
        }
        if !found {
            found = parsed.errors.iter().any(|c| self.leave_to_kernel(c));
        }
        for message in &parsed.macro_errors {
            // A macro may need the size of a type; a name that stands for no type leaves it as it is.
            if let Some(missing @ Missing::Typedef(_)) = Missing::of(message) {
                found |= self.declare(missing);
            }
        }
        found
    }

    fn declare(&mut self, missing: Missing) -> bool {
        if !self.tried.insert(missing.clone()) {
            return false;
        }
        let (declaration, name): (Option<Declaration>, String) = match missing {
            Missing::Typedef(name) => (self.name(&name), name),
            Missing::Struct(name) => (prelude::record(&name), name),
            Missing::Enum(name) => (prelude::enumeration(self.host, &name), name),
            Missing::Header(_) => return false,
        };
        let Some(Declaration { text, kernel }) = declaration else {
            return false;
        };
        self.request.prelude.push_str(&text);
        match kernel {
            Some(Kernel::Typedef(ty)) => drop(self.request.typedefs.insert(name, ty)),
            Some(Kernel::Enum(of)) => drop(self.request.enums.insert(name, of)),
            None => {}
        }
        true
    }

    /// A name that libclang missed: a constant of a header that isn't there, or the kernel's type.
    fn name(&self, name: &str) -> Option<Declaration> {
        match self.constants.get(name) {
            Some(value) => Some(Declaration {
                text: format!("#define {name} {}\n", literal(*value)),
                kernel: None,
            }),
            None => prelude::typedef(self.host, name),
        }
    }

    /// Constants of headers that are not installed, or that are there without them: a header for programs has fewer than
    /// the kernel's own of the same name.
    fn complete(&self, definitions: &mut CDefinitions) {
        let mut known: HashSet<&str> = HashSet::new();
        let enums = definitions.enums.iter();
        known.extend(enums.flat_map(|e| e.values.iter().map(|(name, _)| name.as_str())));
        known.extend(definitions.typedefs.iter().map(|(name, _)| name.as_str()));
        known.extend(definitions.integers.iter().map(|(name, _)| name.as_str()));
        known.extend(definitions.strings.iter().map(|(name, _)| name.as_str()));
        for place in &definitions.macros {
            let text = self.request.text.get(place.clone()).unwrap_or("");
            let in_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            known.insert(text.split(|c| !in_name(c)).next().unwrap_or(""));
        }
        let missing = self.constants.iter();
        let missing = missing.filter(|(name, _)| !known.contains(name.as_str()));
        let missing: Vec<_> = missing
            .map(|(name, value)| (name.clone(), *value))
            .collect();
        definitions.integers.extend(missing);
    }

    /// Looks into the kernel's own headers from now on, if they have one that is missing.
    fn enter_tree(&mut self, parsed: &Parsed) -> bool {
        let has = |tree: &KernelTree| {
            let missing = parsed.errors.iter().filter_map(|c| Missing::of(&c.message));
            missing
                .into_iter()
                .any(|m| matches!(m, Missing::Header(name) if tree.has(&name)))
        };
        match self.tree.take() {
            Some(Tree::Unused(tree)) if has(&tree) => {
                let without = self.request.arguments.clone();
                self.request.arguments.extend(tree.arguments());
                let roots = tree.roots.iter().map(|root| root.display().to_string());
                self.request.kernel_roots = roots.collect();
                self.tree = Some(Tree::Used { without });
                true
            }
            other => {
                self.tree = other;
                false
            }
        }
    }

    /// Kernel headers that libclang can't make sense of, alone or beside the system's, do without.
    fn leave_tree(&mut self, parsed: &Parsed) -> bool {
        let roots = &self.request.kernel_roots;
        let system = |file: &str| {
            file.contains("/usr/include/") || roots.iter().any(|root| file.starts_with(root))
        };
        let mut headers = parsed.errors.iter().filter_map(|c| c.header.as_ref());
        let broken = headers.any(|(file, _)| system(file));
        match self.tree.take() {
            Some(Tree::Used { without }) if broken => {
                self.request.arguments = without;
                self.request.kernel_roots.clear();
                self.tree = Some(Tree::Left);
                true
            }
            other => {
                self.tree = other;
                false
            }
        }
    }

    /// Blanks the members of a script's copy of a kernel struct that holds kernel structs: the places of its members are
    /// the target's, as those of all kernel structs are.
    fn leave_to_kernel(&mut self, complaint: &Complaint) -> bool {
        let held = missing::by_value(&complaint.message);
        let (Some(held), None, Some(offset)) = (held, &complaint.header, complaint.offset) else {
            return false;
        };
        let body = missing::body_around(&self.request.text, offset);
        let known = |tag: &str| self.host.record(tag, false).is_some();
        let Some((tag, range)) = body.filter(|(tag, _)| is_kernels(self.host, &held) && known(tag))
        else {
            return false;
        };
        let message = format!(
            "the kernel's own `struct {tag}` is used: this copy of it holds the kernel's `{held}`, whose size differs between kernels"
        );
        let body = &self.request.text[range.clone()];
        let blanks: String = body
            .bytes()
            .map(|byte| if byte == b'\n' { '\n' } else { ' ' })
            .collect();
        self.complaints.push(CError {
            message,
            offset: Some(offset),
            fatal: false,
        });
        self.request.text.replace_range(range, &blanks);
        true
    }

    /// Blanks the `#include <…>` that leads to a header which isn't there.
    fn drop_include(&mut self, complaint: &Complaint, header: &str) -> bool {
        let Some(offset) = complaint.offset else {
            return false;
        };
        let Some((range, included)) = missing::include(&self.request.text, offset) else {
            return false;
        };
        let blanks = " ".repeat(range.len());
        if complaint.header.is_none() && headers::is_known(header) {
            // Nothing of it is missed.
            self.request.text.replace_range(range, &blanks);
            return true;
        }
        if complaint.header.is_none() && !headers::is_kernels(header) {
            self.complaints.push(CError {
                message: format!(
                    "C header `{header}` is not found: `-I DIR` adds a directory to look in"
                ),
                offset: Some(range.start),
                fatal: true,
            });
            self.request.text.replace_range(range, &blanks);
            return true;
        }
        let message = if let (None, Some(Tree::Left)) = (&complaint.header, &self.tree) {
            format!(
                "C header `{header}` is left out: the kernel's headers have errors here; kernel types come from BTF instead"
            )
        } else if complaint.header.is_none() {
            format!("C header `{header}` is not installed here: kernel types come from BTF instead")
        } else {
            format!(
                "C header `{included}` is left out: it needs `{header}`, which is not installed here"
            )
        };
        self.complaints.push(CError {
            message,
            offset: Some(range.start),
            fatal: false,
        });
        self.request.text.replace_range(range, &blanks);
        true
    }
}

/// As C writes a number of 64 bits.
fn literal(value: i128) -> String {
    match i64::try_from(value) {
        // The least has no literal of its own.
        Ok(i64::MIN) => "(-0x7fffffffffffffffLL - 1)".to_owned(),
        Ok(value) if i32::try_from(value).is_err() => format!("({value}LL)"),
        Ok(value) => format!("({value})"),
        Err(_) => format!("{value:#x}ULL"),
    }
}

/// Whether the kernel has a type that a script writes like this.
fn is_kernels(host: &dyn Host, written: &str) -> bool {
    let bare = written.strip_prefix("struct ").unwrap_or(written);
    host.record(bare, false).is_some() || host.typedef(bare).is_some()
}

/// An error in words that say what to do.
fn explain(host: &dyn Host, complaint: &Complaint) -> CError {
    let mut message = complaint.message.clone();
    if let Some(name) = missing::by_value(&message)
        && is_kernels(host, &name)
    {
        message = format!(
            "`{name}` is the kernel's, and its size differs between kernels: a member can only point to it"
        );
    }
    if let Some((header, line)) = &complaint.header {
        message = format!("{header}:{line}: {message}");
    }
    CError {
        message,
        offset: complaint.offset,
        fatal: true,
    }
}
