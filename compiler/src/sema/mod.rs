//! Semantic analysis: the untyped tree becomes the typed one. Types of maps and variables are learnt over all probes
//! by lowering the program again and again until nothing changes; the last walk's output and diagnostics count.

mod config;
mod constants;
mod convert;
mod expr;
mod lowering;
mod maps;
mod scope;
pub mod suggest;
mod types;

use crate::host::COptions;

pub use config::Settings;
pub use lowering::Lowering;
pub use maps::MapArgument;

/// What a compilation is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program's name: the script's file stem.
    pub name: String,
    pub unsafe_mode: bool,
    pub c: COptions,
    pub arch: Arch,
}

/// The target's architecture: it decides the calling convention and register names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    X86_64,
    Aarch64,
}
