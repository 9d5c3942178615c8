//! Addresses of the target → names of functions. The implementation is behind the feature `symbolize`: an executable
//! whose script prints no symbols links none of it.

#[cfg(feature = "symbolize")]
pub(crate) mod binaries;
#[cfg(feature = "symbolize")]
mod blazesym;
#[cfg(feature = "symbolize")]
pub(crate) mod follow;
#[cfg(feature = "symbolize")]
mod kallsyms;
#[cfg(feature = "symbolize")]
pub(crate) mod maps;
#[cfg(feature = "symbolize")]
mod perf_map;
#[cfg(feature = "symbolize")]
mod processes;
#[cfg(feature = "symbolize")]
mod ranges;
#[cfg(feature = "symbolize")]
mod returns;
#[cfg(all(test, feature = "symbolize"))]
mod tests;
#[cfg(feature = "symbolize")]
pub(crate) mod views;

use std::os::fd::RawFd;

use btc_abi::{Config, Manifest, StackKind, StackMode, Value};

#[cfg(feature = "symbolize")]
pub use self::blazesym::Blazesym;

/// Opens what turns addresses into names; what a [`crate::Tracer`] names.
pub trait Symbolizer: Sync {
    /// One for a run, with caches of its own.
    fn open(&self, config: &Config) -> Box<dyn Symbols>;
}

/// Names of addresses. An address without a name is data, not an error: its frame has no function.
pub trait Symbols {
    /// The frames of each kernel address: functions inlined there first, the function itself last; at least one.
    fn kernel(&mut self, addresses: &[Address]) -> Vec<Vec<Frame>>;
    /// The same for addresses of a process, by its id in the initial pid namespace. A process that is gone is looked
    /// up in what [`Symbols::follow`] kept of it.
    fn user(&mut self, process: u32, addresses: &[Address]) -> Vec<Vec<Frame>>;
    /// Keeps what is needed to name addresses of a process after its end, which binaries it maps and where, and from
    /// here on what it and its children map. The descriptor is readable when there are records of that:
    /// [`Symbols::catch_up`] takes them in. `None`: the kernel can't tell; there are only snapshots.
    fn follow(&mut self, process: u32) -> Option<RawFd>;
    /// Takes in what followed processes did, while what they mapped can still be opened.
    fn catch_up(&mut self);
}

/// An address of code, and what is known of how it came to be in a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    /// Of an instruction.
    Exact(u64),
    /// Where a frame's callee returns to: the call is the instruction before, and may be the last of its function. Code
    /// that was interrupted is the exception, which the symbolizer tells.
    Caller(u64),
}

impl Address {
    /// The address itself.
    #[must_use]
    pub fn value(self) -> u64 {
        match self {
            Address::Exact(address) | Address::Caller(address) => address,
        }
    }

    /// How far before the address its function and line are looked up: inside of the call.
    #[must_use]
    pub fn back(self) -> u64 {
        match self {
            Address::Exact(_) => 0,
            Address::Caller(_) => 1,
        }
    }

    /// The address that is looked up.
    #[must_use]
    pub fn within(self) -> u64 {
        self.value().wrapping_sub(self.back())
    }
}

/// What an address is in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// The function's name, demangled where the configuration says so; `None`: unknown.
    pub function: Option<String>,
    /// Bytes from the function's start to the address; without a function, from the start of the file `module`.
    pub offset: u64,
    /// Inlined at the address: it has no offset of its own.
    pub inlined: bool,
    /// Path of the source file and line, where debug information is read.
    pub source: Option<(String, u32)>,
    /// The kernel module's name (`bpf` for BPF programs), or the path of the binary; `None`: the kernel itself, or
    /// unknown.
    pub module: Option<String>,
}

/// Whether a manifest has values that print names of user addresses; only then is it worth knowing what processes map.
#[must_use]
pub fn names_user_addresses(manifest: &Manifest) -> bool {
    let of_records = manifest.records.iter().flat_map(|record| &*record.fields);
    let of_maps = manifest
        .maps
        .iter()
        .flat_map(|map| map.key.iter().chain([&map.value]));
    (of_records.map(|field| &field.value).chain(of_maps)).any(names_user_address)
}

fn names_user_address(value: &Value) -> bool {
    match value {
        Value::UserSymbol => true,
        Value::Stack { kind, mode, .. } => {
            matches!(kind, StackKind::User) && !matches!(mode, StackMode::Raw | StackMode::BuildId)
        }
        Value::Tuple { fields, .. } | Value::Struct { fields, .. } => {
            fields.iter().any(|field| names_user_address(&field.value))
        }
        Value::Array { element, .. } => element.iter().any(names_user_address),
        _ => false,
    }
}
