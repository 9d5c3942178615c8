//! A pattern, a script or `struct NAME` → the names that fit on this machine, one a line, with `-v` what each one has
//! to offer: arguments, members.

mod events;
mod functions;
mod iterators;
mod script;
#[cfg(test)]
mod tests;
mod tracepoints;
mod types;
mod user;

use std::io::{self, Write};

use btc_abi::pattern;

use crate::host::live::LiveHost;
use crate::provider;

pub use script::Missing;

/// Where the names come from and where they go.
pub struct Listing<'a> {
    host: &'a LiveHost,
    /// Arguments and members too.
    verbose: bool,
    out: &'a mut dyn Write,
    /// How many names were written.
    pub entries: usize,
}

/// Why a listing ended early.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error(transparent)]
    Write(#[from] io::Error),
    /// This machine can't say what it has.
    #[error("{0}")]
    Unknown(String),
    /// The words mean nothing that could be listed.
    #[error("{0}")]
    Usage(String),
}

impl From<String> for Refusal {
    fn from(why: String) -> Self {
        Refusal::Unknown(why)
    }
}

type Result<T = ()> = std::result::Result<T, Refusal>;

/// What is asked of one kind of probe.
struct Query<'q> {
    /// In full: `kretprobe`.
    provider: &'static str,
    /// Patterns, as far as they are given.
    parts: &'q [&'q str],
}

impl Query<'_> {
    fn too_many<T>(&self) -> Result<T> {
        Err(Refusal::Usage(format!(
            "`{}:{}` has more parts than a `{}` probe",
            self.provider,
            self.parts.join(":"),
            self.provider
        )))
    }
}

/// When a kind of probe is listed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// Wherever its name fits, and where no kind of probe is named.
    Kernel,
    /// Where it is asked for: it has to be told which binary, or repeats another kind's names.
    Named,
}

/// One kind of probe that can be listed.
struct Kind {
    provider: &'static str,
    scope: Scope,
    list: fn(&Query, &mut Listing) -> Result,
}

const fn kind(
    provider: &'static str,
    scope: Scope,
    list: fn(&Query, &mut Listing) -> Result,
) -> Kind {
    Kind {
        provider,
        scope,
        list,
    }
}

const KINDS: &[Kind] = &[
    kind("fentry", Scope::Kernel, functions::typed),
    kind("fexit", Scope::Named, functions::typed),
    kind("hardware", Scope::Kernel, events::named),
    kind("interval", Scope::Named, events::timers),
    kind("iter", Scope::Kernel, iterators::list),
    kind("kprobe", Scope::Kernel, functions::probes),
    kind("kretprobe", Scope::Named, functions::probes),
    kind("profile", Scope::Named, events::timers),
    kind("rawtracepoint", Scope::Kernel, tracepoints::raw),
    kind("software", Scope::Kernel, events::named),
    kind("tracepoint", Scope::Kernel, tracepoints::formatted),
    kind("uprobe", Scope::Named, user::functions),
    kind("uretprobe", Scope::Named, user::functions),
    kind("usdt", Scope::Named, user::markers),
];

impl<'a> Listing<'a> {
    pub fn new(host: &'a LiveHost, verbose: bool, out: &'a mut dyn Write) -> Self {
        Listing {
            host,
            verbose,
            out,
            entries: 0,
        }
    }

    /// Lists what a word of the command line means: `kprobe:vfs_*`, `t:sched:*`, `*sleep*`, `struct task_struct`.
    /// What this machine can't say where no kind of probe was named is left out, with the reasons returned.
    ///
    /// # Errors
    /// The word means nothing, this machine can't say, or the output can't be written.
    pub fn pattern(&mut self, text: &str) -> Result<Vec<String>> {
        let text = text.trim();
        if let Some((word @ ("struct" | "union" | "enum"), name)) = text.split_once(' ') {
            types::list(self, word, name.trim())?;
            return Ok(vec![]);
        }
        let parts: Vec<&str> = text.split(':').collect();
        let (first, rest) = match parts.split_first() {
            Some((&"", [])) | None => ("*", &[][..]),
            Some((first, rest)) => (*first, rest),
        };
        let rest = match rest.split_last() {
            // `hardware:cpu-cycles:` is how its name is printed.
            Some((&"", rest)) => rest,
            _ => rest,
        };
        if let Some(found) = provider::lookup(first) {
            let Some(kind) = kind_of(found.name) else {
                return Err(Refusal::Usage(format!(
                    "`{}` probes have no names to list",
                    found.name
                )));
            };
            let provider = kind.provider;
            let parts = rest;
            (kind.list)(&Query { provider, parts }, self)?;
            return Ok(vec![]);
        }
        if !pattern::is_pattern(first) && !rest.is_empty() {
            return Err(Refusal::Usage(format!("unknown probe type `{first}`")));
        }
        let fits: Vec<&Kind> = KINDS
            .iter()
            .filter(|kind| kind.scope == Scope::Kernel && pattern::matches(first, kind.provider))
            .collect();
        // A word that is no probe type is what events are called.
        match fits.is_empty() && rest.is_empty() {
            true => self.all(KINDS.iter(), &[first]),
            false => self.all(fits.into_iter(), rest),
        }
    }

    fn all<'k>(
        &mut self,
        kinds: impl Iterator<Item = &'k Kind>,
        parts: &[&str],
    ) -> Result<Vec<String>> {
        let mut unknown = vec![];
        for kind in kinds.filter(|kind| kind.scope == Scope::Kernel) {
            let provider = kind.provider;
            match (kind.list)(&Query { provider, parts }, self) {
                Err(Refusal::Unknown(why)) => unknown.push(format!("{provider}: {why}")),
                // Other kinds have as many parts.
                Err(Refusal::Usage(_)) => {}
                result => result?,
            }
        }
        Ok(unknown)
    }

    /// Writes one name; `details` are asked for with `-v`.
    fn entry(&mut self, name: &str, details: impl FnOnce() -> Vec<String>) -> Result {
        self.entries += 1;
        writeln!(self.out, "{name}")?;
        if self.verbose {
            for line in details() {
                writeln!(self.out, "    {line}")?;
            }
        }
        Ok(())
    }
}

fn kind_of(provider: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.provider == provider)
}
