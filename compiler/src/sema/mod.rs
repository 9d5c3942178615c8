//! Semantic analysis: the untyped tree becomes the typed one. Types of maps and variables are learnt over all probes
//! by lowering the program again and again until nothing changes; the last walk's output and diagnostics count.

mod arguments;
mod assign;
mod casts;
mod config;
mod constants;
mod control;
mod convert;
mod expr;
mod followed;
mod foreign;
mod lint;
mod lowering;
mod macros;
mod maps;
mod members;
mod operators;
mod order;
mod places;
mod program;
mod scope;
mod stmt;
mod subprograms;
mod told;
mod types;
mod user_functions;

use crate::arch::Arch;
use crate::diagnostic::Diagnostics;
use crate::host::{COptions, Host};
use crate::ir;
use crate::source::SourceMap;
use crate::syntax::ast;

pub use config::{Overrides, Reader, Settings, names as config_names};
pub use lowering::Lowering;
pub use maps::MapArgument;

/// What a compilation is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program's name: the script's file stem.
    pub name: String,
    pub unsafe_mode: bool,
    pub c: COptions,
    /// Decides the calling convention and the names of registers.
    pub arch: Arch,
    /// Configuration of btc's environment; it wins over the script's.
    pub overrides: Overrides,
}

/// Analyzes a script. There is no program when there were errors.
pub fn analyze(
    program: &ast::Program,
    sources: &SourceMap,
    host: &dyn Host,
    options: &Options,
) -> (Option<ir::Program>, Diagnostics) {
    let (analyzed, mut diagnostics) = program::analyze(program, sources, host, options);
    diagnostics.sort();
    (analyzed, diagnostics)
}
