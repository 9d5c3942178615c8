//! One run of libclang over a text: what the text defines, and every complaint. Runs on a thread of its own, so that
//! input which keeps libclang busy for ever is given up.

use std::collections::{HashMap, HashSet};
use std::ffi::{CString, c_char, c_int};
use std::ptr::{null, null_mut};
use std::sync::mpsc;
use std::time::Duration;

use clang_sys as sys;
use clang_sys::{CXClientData, CXFile, CXSourceLocation, CXTranslationUnit};

use super::cursor::{Location, location, owned};
use super::library::library;
use super::{macros, types};
use crate::host::{CDefinitions, CType, HostEnum, HostRecordBody};

/// The name that libclang knows the script's text by. `#include "…"` looks beside it first, where nothing is; then in
/// the directories that the arguments name.
pub(super) const MAIN: &str = "/.btc/preamble.c";
/// What the script may use without defining it.
pub(super) const PRELUDE: &str = "/btc-prelude.h";

/// A preamble takes milliseconds, one with many system headers less than a second.
const PATIENCE: Duration = Duration::from_secs(10);
/// Types nest this deep at most.
const STACK: usize = 16 << 20;

/// What to parse.
#[derive(Clone, Debug, Default)]
pub(super) struct Request {
    pub text: String,
    pub prelude: String,
    pub arguments: Vec<String>,
    /// Names that the prelude declares in the kernel's stead, and what they are.
    pub typedefs: HashMap<String, CType>,
    pub enums: HashMap<String, HostEnum>,
    /// Definitions below these are the kernel's own, which BTF tells better.
    pub kernel_roots: Vec<String>,
    /// The number of the first record.
    pub first_id: u64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Parsed {
    pub definitions: CDefinitions,
    /// Bodies of records, the first of number `Request::first_id`.
    pub bodies: Vec<HostRecordBody>,
    pub errors: Vec<Complaint>,
    /// The files that were included.
    pub headers: Vec<String>,
    /// Errors in the values of macros: such a macro is not a constant, unless a type is only unknown so far.
    pub macro_errors: Vec<String>,
}

/// An error of libclang's.
#[derive(Clone, Debug)]
pub(super) struct Complaint {
    pub message: String,
    /// Where in the script's text: for an error in a header, the `#include` that led there.
    pub offset: Option<usize>,
    /// The header that it is in, and the line there.
    pub header: Option<(String, u32)>,
}

/// # Errors
/// No libclang.
pub(super) fn parse(request: Request) -> Result<Parsed, String> {
    let library = library()?;
    let (sender, receiver) = mpsc::channel();
    let run = move || {
        sys::set_library(Some(library));
        // The receiver is gone when patience is.
        let _ = sender.send(whole(&request));
    };
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(run);
    thread.map_err(|e| format!("no thread for it: {e}"))?;
    let parsed = receiver.recv_timeout(PATIENCE).unwrap_or_else(|error| {
        let why = match error {
            mpsc::RecvTimeoutError::Timeout => "libclang takes too long for these definitions",
            mpsc::RecvTimeoutError::Disconnected => "libclang failed on these definitions",
        };
        failed(why)
    });
    Ok(parsed)
}

fn failed(why: &str) -> Parsed {
    let error = Complaint {
        message: why.to_owned(),
        offset: None,
        header: None,
    };
    Parsed {
        errors: vec![error],
        ..Parsed::default()
    }
}

/// Types, and where they are sound, the values of macros by a second run.
fn whole(request: &Request) -> Parsed {
    let Some(unit) = Unit::new(request, &request.text) else {
        return failed("libclang can't read these definitions");
    };
    let errors = unit.errors();
    let mut parsed = types::read(&unit, request);
    // What is wrong with the text itself comes first.
    parsed.errors.splice(0..0, errors);
    parsed.headers = unit.headers().map(|(name, _)| name).collect();
    if parsed.errors.is_empty() {
        parsed.definitions.macros = macros::definitions(&unit);
        let names = macros::candidates(&unit, &request.kernel_roots);
        if !names.is_empty() {
            macros::evaluate(request, &names, &mut parsed);
        }
    }
    parsed
}

/// A parsed text; freed with all that points into it.
pub(super) struct Unit {
    index: sys::CXIndex,
    pub unit: CXTranslationUnit,
}

impl Drop for Unit {
    fn drop(&mut self) {
        // SAFETY: both were made by `new` and are freed once; the unit goes before its index.
        unsafe {
            sys::clang_disposeTranslationUnit(self.unit);
            sys::clang_disposeIndex(self.index);
        }
    }
}

impl Unit {
    pub(super) fn new(request: &Request, text: &str) -> Option<Unit> {
        let arguments = request.arguments.iter().map(|a| CString::new(a.as_str()));
        let arguments = arguments.collect::<Result<Vec<_>, _>>().ok()?;
        let pointers: Vec<*const c_char> = arguments.iter().map(|a| a.as_ptr()).collect();
        let (main, prelude) = (CString::new(MAIN).ok()?, CString::new(PRELUDE).ok()?);
        let unsaved = |name: &CString, text: &str| sys::CXUnsavedFile {
            Filename: name.as_ptr(),
            Contents: text.as_ptr().cast(),
            Length: text.len() as _,
        };
        let mut files = [unsaved(&main, text), unsaved(&prelude, &request.prelude)];
        let flags = sys::CXTranslationUnit_DetailedPreprocessingRecord
            | sys::CXTranslationUnit_KeepGoing
            | sys::CXTranslationUnit_SkipFunctionBodies;
        let mut unit = null_mut();
        // SAFETY: all pointers outlive the call; libclang copies what it keeps.
        let index = unsafe { sys::clang_createIndex(0, 0) };
        // SAFETY: as above.
        let code = unsafe {
            sys::clang_parseTranslationUnit2(
                index,
                main.as_ptr(),
                if pointers.is_empty() {
                    null()
                } else {
                    pointers.as_ptr()
                },
                pointers.len() as c_int,
                files.as_mut_ptr(),
                files.len() as _,
                flags,
                &raw mut unit,
            )
        };
        if code != sys::CXError_Success || unit.is_null() {
            // SAFETY: the index is not used any more.
            unsafe { sys::clang_disposeIndex(index) };
            return None;
        }
        Some(Unit { index, unit })
    }

    /// Errors with their places; warnings are not for the script's author.
    pub(super) fn diagnostics(&self) -> Vec<(String, Location)> {
        let mut found = vec![];
        // SAFETY: the unit lives; each diagnostic is disposed of once, after its use.
        unsafe {
            for at in 0..sys::clang_getNumDiagnostics(self.unit) {
                let diagnostic = sys::clang_getDiagnostic(self.unit, at);
                if sys::clang_getDiagnosticSeverity(diagnostic) >= sys::CXDiagnostic_Error {
                    let message = owned(sys::clang_getDiagnosticSpelling(diagnostic));
                    let place = location(sys::clang_getDiagnosticLocation(diagnostic));
                    found.push((message, place));
                }
                sys::clang_disposeDiagnostic(diagnostic);
            }
        }
        // `struct s { … }` needs no semicolon in a script, and libclang goes on as if there were one.
        let semicolon =
            ["struct", "union", "enum"].map(|word| format!("expected ';' after {word}"));
        found.retain(|(message, _)| !semicolon.contains(message));
        found
    }

    fn errors(&self) -> Vec<Complaint> {
        let diagnostics = self.diagnostics();
        if diagnostics.is_empty() {
            return vec![];
        }
        let headers: HashMap<String, usize> = (self.headers())
            .filter_map(|(name, offset)| Some((name, offset?)))
            .collect();
        let mut seen = HashSet::new();
        let complaint = |(message, place): (String, Location)| {
            let in_main = place.file == MAIN;
            let offset = if in_main {
                Some(place.offset)
            } else {
                headers.get(&place.file).copied()
            };
            Complaint {
                message,
                offset,
                header: (!in_main && !place.file.is_empty()).then_some((place.file, place.line)),
            }
        };
        let all = diagnostics.into_iter().map(complaint);
        all.filter(|c| seen.insert((c.message.clone(), c.offset)))
            .collect()
    }

    /// Each header, and where the script includes it, be it through others; options include headers too.
    fn headers(&self) -> impl Iterator<Item = (String, Option<usize>)> + use<> {
        let mut list: Vec<(String, Option<usize>)> = vec![];
        // SAFETY: the callback only pushes to `list`, which outlives the visit.
        unsafe { sys::clang_getInclusions(self.unit, inclusion, (&raw mut list).cast()) };
        list.into_iter()
    }
}

extern "C" fn inclusion(
    file: CXFile,
    stack: *mut CXSourceLocation,
    depth: std::ffi::c_uint,
    list: CXClientData,
) {
    let Some(last) = depth.checked_sub(1) else {
        return;
    };
    // SAFETY: libclang gives `depth` locations, innermost first; `list` is the vector of `headers`.
    unsafe {
        let place = location(*stack.add(last as usize));
        let offset = (place.file == MAIN).then_some(place.offset);
        let name = owned(sys::clang_getFileName(file));
        (*list.cast::<Vec<(String, Option<usize>)>>()).push((name, offset));
    }
}
