//! Maps of an object: what they hold and how they are printed.

use crate::{Number, Text, Value};

describe! {
    pub struct Map {
        /// As the script writes it, with `@`; empty for maps of btc's own.
        pub name: Text,
        /// Name in the object.
        pub symbol: Text,
        pub role: MapRole,
        pub kind: MapKind,
        /// The key's shape; `None` for a map without keys (an array of one). A key of several parts is a
        /// [`Value::Tuple`].
        pub key: Option<Value>,
        pub value: Value,
        /// 0: the `max_map_keys` of the run's configuration.
        pub max_entries: u32,
        /// Values so large that preallocation may cost more than it gives: BPF_F_NO_PREALLOC where the kernel
        /// allocates safely in tracing programs (6.1), preallocated before, and where a copy for each CPU is small
        /// beside the machine's memory.
        pub sparse: bool,
    }
}

describe! {
    pub enum MapRole {
        /// A map of the script: printed at exit.
        Script,
        /// Stack id (u64) to an array of `limit` frames, ended by zeroes where shorter: u64 addresses, or with `build_ids`
        /// what the kernel calls `struct bpf_stack_build_id` ([`BUILD_ID_FRAME`] bytes).
        Stacks { limit: Number, build_ids: bool, },
        /// Where records go.
        RingBuffer,
        /// Per-CPU u64 counters, [`crate::Manifest::counters`] says of what.
        Counters,
        /// Working memory of programs; never read. `max_entries` is for one CPU: there are so many on each, those of the
        /// first CPU first.
        Scratch,
        /// Where packets of `skboutput` go.
        Packets,
        /// One [`crate::usdt::Site`] for each attach cookie of usdt probes whose arguments are read. The first is unused: a
        /// cookie of 0 is none.
        UsdtSites,
        /// What is mapped where in processes, for stacks that are walked by unwind rows ([`crate::unwind`]).
        UnwindMappings,
        /// Arrays of unwind rows.
        UnwindTables,
    }
}

impl MapRole {
    /// Bytes of a frame of the stacks that the map holds.
    #[must_use]
    pub fn frame(&self) -> u32 {
        match self {
            MapRole::Stacks {
                build_ids: true, ..
            } => BUILD_ID_FRAME,
            _ => 8,
        }
    }
}

impl Map {
    /// Bytes of a value; the most that it may have where its numbers are not told yet.
    #[must_use]
    pub fn value_size(&self) -> u32 {
        match &self.role {
            MapRole::Stacks { limit, .. } => limit.most() as u32 * self.role.frame(),
            _ => self.value.size(),
        }
    }
}

/// Bytes of a frame with its build ID: `i32` status (1: a build ID and an offset in its file, 2: an address, 0: no frame), 20
/// bytes of build ID, `u64` offset or address.
pub const BUILD_ID_FRAME: u32 = 32;

describe! {
    pub enum MapKind {
        Array,
        PerCpuArray,
        Hash,
        PerCpuHash,
        LruHash,
        LruPerCpuHash,
        RingBuffer,
        PerfEventArray,
        /// Keys are prefixes.
        LpmTrie,
        /// The inner maps' shape is the runtime's business.
        ArrayOfMaps,
    }
}

describe! {
    /// What one slot of the counters map counts.
    pub enum Counter {
        /// Records that found no room in the ring buffer.
        LostRecords,
        /// Updates of a map that was full; `map` indexes [`crate::Manifest::maps`].
        MapFull { map: u32, },
        /// Updates of a map that the kernel refused for another reason, or that other CPUs kept coming before.
        LostUpdates { map: u32, },
        /// Loops at a `script:line:column` that were ended after so many rounds.
        CutLoop { place: Text, rounds: u32, },
        /// Divisions by zero, at a `script:line:column`.
        DivisionByZero { place: Text, },
        /// Stacks that could not be collected.
        LostStacks,
        /// Stacks walked by unwind rows that end before their outermost function.
        ShortStacks,
        /// Reads of memory that failed, at a `script:line:column`.
        FailedRead { place: Text, },
        /// Deletions of elements that were not there, at a `script:line:column`.
        MissedDelete { place: Text, },
    }
}
