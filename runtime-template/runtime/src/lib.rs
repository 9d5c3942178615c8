//! btc-runtime: the user half of every executable that btc makes. Options → parameters checked → slots → open →
//! attach plan → context relocations → load → begin → attach → poll → end → results → detach.
//!
//! The generated crate is a manifest, libbpf-cargo's skeleton of the BPF object, and this:
//!
//! ```text
//! static TRACER: btc_runtime::Tracer = btc_runtime::Tracer {
//!     manifest: &MANIFEST,
//!     // Only the providers that the script uses, so that the linker drops the others.
//!     providers: &[&btc_runtime::attach::begin_end::BeginEnd, &btc_runtime::attach::tracepoint::Tracepoint],
//!     // With the feature `symbolize`, where the script prints stacks or symbols: `Some(&…)`.
//!     symbolizer: None,
//!     // Where the script sends packets: `Some(btc_runtime::packets::open)`.
//!     packets: None,
//!     // With the feature `dwarf`, where the script has `dw_ustack`: `Some(&…)`.
//!     unwinder: None,
//! };
//!
//! fn main() -> std::process::ExitCode {
//!     btc_runtime::main(&TRACER, skel::ToolSkelBuilder::default())
//! }
//! ```
//!
//! There are no globals but for libbpf's log hook and a signal handler: an executable may hold several tracers.

pub mod aggregate;
pub mod attach;
mod attach_parameters;
mod btf;
mod child;
pub mod config;
mod context;
mod counters;
mod cpus;
pub mod datum;
mod debug_file;
mod decode;
#[cfg(feature = "symbolize")]
mod demangle;
mod detach;
#[cfg(feature = "dwarf")]
pub mod dwarf;
pub mod elf;
pub mod error;
mod floor;
pub mod format;
mod iterate;
mod kfuncs;
mod ld_cache;
pub mod library;
mod load;
mod maps;
mod names;
pub mod options;
pub mod output;
pub mod packets;
pub mod parameters;
mod phase;
pub mod plan;
mod poll;
pub mod rehearsal;
pub mod report;
mod run;
mod series;
mod signal;
mod sites;
mod slots;
mod stacks;
pub mod suggest;
pub mod symbolize;
mod symbols;
pub mod target;
#[cfg(test)]
pub mod testing;
mod told;
#[cfg(target_feature = "crt-static")]
mod unused;
pub mod unwind;
mod usage;
mod variant;

use std::io::Write as _;
use std::process::ExitCode;

pub use btc_abi as abi;
use btc_abi::Manifest;
pub use btc_abi::pattern;
pub use error::{Context, Error};
use format::controls::Controls;
use libbpf_rs::skel::{OpenSkel, SkelBuilder};

/// A tool: what it traces and the parts of the runtime that it needs.
pub struct Tracer {
    /// What the compiler knows of the script.
    pub manifest: &'static Manifest,
    /// One for each kind of probe in the manifest.
    pub providers: &'static [&'static dyn attach::Provider],
    /// Turns addresses into names; `None` prints addresses in hex.
    pub symbolizer: Option<&'static dyn symbolize::Symbolizer>,
    /// Where the script writes packets to files.
    pub packets: Option<packets::Open>,
    /// Makes the rows by which programs walk user stacks (`dw_ustack`).
    pub unwinder: Option<&'static dyn unwind::Unwinder>,
}

impl Tracer {
    /// The same with another manifest. One of each for the process's whole life, as the originals are.
    fn with(&self, manifest: Manifest) -> &'static Tracer {
        Box::leak(Box::new(Tracer {
            manifest: Box::leak(Box::new(manifest)),
            providers: self.providers,
            symbolizer: self.symbolizer,
            packets: self.packets,
            unwinder: self.unwinder,
        }))
    }
}

/// Runs a tool with the process's arguments, from the command line to detaching; errors are printed.
///
/// The exit status is that of the script's `exit()`, 0 after a signal, a closed pipe or the end of the traced
/// process (whatever its own status was), 1 after an error, 2 after a wrong command line.
pub fn main<B>(tracer: &'static Tracer, builder: B) -> ExitCode
where
    B: SkelBuilder<'static, Output: OpenSkel<'static, Output: 'static> + 'static> + 'static,
{
    trace(tracer, Box::new(builder))
}

fn trace(tracer: &'static Tracer, skeleton: Box<dyn load::Skeleton>) -> ExitCode {
    match run::run(tracer, skeleton) {
        Ok(status) => status,
        Err(error) => {
            if !error.is_broken_pipe() {
                // Nowhere to say that standard error is closed.
                // Words of the command line and of the machine are in it.
                let said = format!("{}: {error}", tracer.manifest.name);
                let said = Controls::of(libc::STDERR_FILENO).lines(said.as_bytes().into());
                let _ = writeln!(std::io::stderr(), "{}", String::from_utf8_lossy(&said));
            }
            error.exit_code()
        }
    }
}
