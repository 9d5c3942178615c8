//! A compiled script and the BTF of kernels → on which of them it runs, and why not on the others; nothing is booted.
//!
//! What a script needs is read from what was made of it: relocations and helper calls from the object, probes and maps
//! from the manifest, places from the typed tree. What a kernel has is read from its BTF alone. So the report knows
//! nothing of the verifier's patience, of modules, of hardware and of privileges.

mod access;
mod ext;
mod kernel;
mod needs;
mod places;
mod probes;
mod render;

use crate::Compiled;
use crate::arch::Arch;
use crate::source::SourceMap;

pub use kernel::Kernel;
pub use render::{json, text};

/// How a script fares on a kernel; the worse, the larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Runs,
    /// It runs, in another way or with less.
    Fallback,
    Fails,
}

/// Something that a kernel lacks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reason {
    /// [`Verdict::Fallback`] or [`Verdict::Fails`].
    pub verdict: Verdict,
    /// `script:line:column`; empty for the script as a whole.
    pub place: String,
    /// The probe's name; empty for the script as a whole.
    pub probe: String,
    /// What is missing, and what is done instead.
    pub what: String,
}

/// A script on a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub script: String,
    /// As it was named.
    pub kernel: String,
    /// `None`: the BTF does not tell.
    pub arch: Option<Arch>,
    /// Sorted: fallbacks first, then by place.
    pub reasons: Vec<Reason>,
}

impl Report {
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let worst = self.reasons.iter().map(|reason| reason.verdict).max();
        worst.unwrap_or(Verdict::Runs)
    }
}

/// A script to be judged.
pub struct Script<'a> {
    pub name: &'a str,
    pub compiled: &'a Compiled,
    pub sources: &'a SourceMap,
    /// What it was compiled for.
    pub arch: Arch,
}

/// Compares what a script needs with what a kernel has.
///
/// # Errors
/// An object that is not one of ours: a bug.
pub fn report(script: &Script, kernel: &Kernel) -> Result<Report, crate::bug::Bug> {
    let mut reasons = needs::reasons(script, kernel)?;
    reasons.sort();
    reasons.dedup();
    Ok(Report {
        script: script.name.to_owned(),
        kernel: kernel.name.clone(),
        arch: kernel.arch(),
        reasons,
    })
}
