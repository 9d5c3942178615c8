//! btc: an ahead-of-time compiler for the bpftrace language.
//!
//! The whole pipeline, each stage a function from one type to the next:
//! `syntax::parse` → `sema::analyze` → `layout::plan` → `codegen::emit` → `skeleton::render` → `driver`.

pub mod bug;
pub mod builtin;
pub mod codegen;
pub mod diagnostic;
pub mod driver;
pub mod host;
pub mod ir;
pub mod layout;
pub mod options;
pub mod provider;
pub mod sema;
pub mod skeleton;
pub mod source;
pub mod syntax;

use btc_abi::Manifest;

use diagnostic::Diagnostics;
use options::Language;
use source::{FileId, SourceMap};

/// What a compilation is asked for, beside the script.
#[derive(Clone, Debug)]
pub struct Request {
    /// The tool's name.
    pub name: String,
    pub language: Language,
}

/// A script that has no errors, as far as the compiler goes by itself.
#[derive(Clone, Debug)]
pub struct Compiled {
    pub manifest: Manifest,
    /// The BPF object.
    pub object: Vec<u8>,
}

/// A script → its manifest and object; `None` where the diagnostics have errors.
///
/// # Errors
/// This machine's fault, or a bug.
pub fn compile(
    sources: &mut SourceMap,
    script: FileId,
    request: &Request,
) -> anyhow::Result<(Option<Compiled>, Diagnostics)> {
    let _ = (sources, script, request);
    anyhow::bail!("this build of btc has no front end: its stages are not connected yet")
}
