//! The manifest: all that an executable's user half knows of its script.

use crate::{Check, Config, Counter, List, Map, Parameter, Probe, Record, Slot, Text};

describe! {
    pub struct Manifest {
        /// The tool's name: the script's file stem, or `btc` for a program from the command line.
        pub name: Text,
        /// Version of the compiler that made it.
        pub compiler: Text,
        /// The script's header comment, for `-h`.
        pub about: Text,
        /// Compiled with --unsafe.
        pub unsafe_mode: bool,
        pub probes: List<Probe>,
        pub maps: List<Map>,
        pub records: List<Record>,
        pub counters: List<Counter>,
        pub slots: List<Slot>,
        /// Bytes of `.rodata.btc`.
        pub slots_size: u32,
        /// Bytes that a string has room for at most, NUL included.
        pub max_strlen: u32,
        /// `$1` … `$n`, in order.
        pub positional: List<Parameter>,
        pub named: List<Parameter>,
        /// Of the numbers that a run is told.
        pub checks: List<Check>,
        pub enums: List<Enum>,
        /// The object has CO-RE relocations or BTF-typed programs: the target's kernel must have BTF.
        pub needs_btf: bool,
        pub config: Config,
        /// Names and values of the configuration that was decided when the script was compiled.
        pub fixed: List<(Text, Text)>,
    }
}

describe! {
    /// Names of an enum's values, for printing.
    pub struct Enum {
        pub name: Text,
        /// Sorted by value; the first name of a value wins. Of a kernel's enum the runtime reads the target's BTF, where
        /// it finds an anonymous one by these names; a value that the target has no name for is a number.
        pub values: List<(u64, Text)>,
        pub kernel: bool,
    }
}
