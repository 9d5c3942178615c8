//! Addresses of the target → names of functions. The implementation is behind the feature `symbolize`: an executable
//! whose script prints no symbols links none of it.

use btc_abi::Config;

/// Opens what turns addresses into names; what a [`crate::Tracer`] names.
pub trait Symbolizer: Sync {
    /// One for a run, with caches of its own.
    fn open(&self, config: &Config) -> Box<dyn Symbols>;
}

/// Names of addresses. An address without a name is data, not an error: its frame has no function.
pub trait Symbols {
    /// The frames of each kernel address: functions inlined there first, the function itself last; at least one.
    fn kernel(&mut self, addresses: &[u64]) -> Vec<Vec<Frame>>;
    /// The same for addresses of a process, by its id in the initial pid namespace. A process that is gone is looked
    /// up in what [`Symbols::remember`] kept of it.
    fn user(&mut self, process: u32, addresses: &[u64]) -> Vec<Vec<Frame>>;
    /// Keeps what is needed to name addresses of a process after its end: which binaries it maps and where.
    fn remember(&mut self, process: u32);
}

/// What an address is in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// The function's name, demangled where the configuration says so; `None`: unknown.
    pub function: Option<String>,
    /// Bytes from the function's start to the address.
    pub offset: u64,
    /// Inlined at the address: it has no offset of its own.
    pub inlined: bool,
    /// Path of the source file and line, where debug information is read.
    pub source: Option<(String, u32)>,
    /// The kernel module's name, or the path of the binary; `None`: the kernel itself, or unknown.
    pub module: Option<String>,
}
