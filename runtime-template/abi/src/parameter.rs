//! Values of the target: what the runtime writes into `.rodata.btc` before load.

use crate::{Number, Text, Value};

describe! {
    /// A place in the section `.rodata.btc` and what belongs there.
    pub struct Slot {
        /// Bytes from the section's start; 8-aligned.
        pub offset: u32,
        /// 8 for integers; for strings the room, NUL included.
        pub size: u32,
        pub value: TargetValue,
    }
}

describe! {
    pub enum TargetValue {
        /// `$n` as an integer, one-based; 0 where not given.
        Positional { index: u32, },
        /// `str($n)`; empty where not given.
        PositionalString { index: u32, },
        /// `$#`
        PositionalCount,
        /// A getopt parameter as an integer or bool; `index` into [`crate::Manifest::named`].
        Named { index: u32, },
        NamedString { index: u32, },
        /// A number that the run is told.
        Number { number: Number, },
        /// How many counters a histogram has whose bounds the run is told.
        Buckets { of: Value, },
        /// Possible CPUs.
        CpuCount,
        /// Pid of the `-c` child, 0 without one.
        ChildPid,
        HasChild,
        /// The `-p` pid, 0 without one.
        PidFilter,
        /// The `-p` pid or that of the `-c` child, 0 without either: whose perf events are counted.
        TracedProcess,
        /// Device and inode of the pid namespace that pids are shown in; inode 0 for the initial one.
        PidNamespaceDevice,
        PidNamespaceInode,
        /// CLOCK_BOOTTIME in nanoseconds when the executable started attaching.
        StartTime,
        /// CLOCK_REALTIME minus CLOCK_BOOTTIME in nanoseconds.
        RealtimeOffset,
        /// Address of a kernel symbol, from the target's kallsyms; an error at load where missing.
        KernelAddress { symbol: Name, },
        /// Where a program of the target ends its code in its file's addresses, if it is loaded at others; 0 if it is
        /// loaded where its file says. Of a library that is an error: each process has it elsewhere.
        UserCodeEnd { binary: Text, },
        /// Where such a program ends what it initializes of its data, in the same addresses; 0 as well.
        UserDataEnd { binary: Text, },
        /// Address of a user symbol in a binary of the target, as the file has it.
        UserAddress { binary: Text, symbol: Name, },
        /// Id of a cgroup v2 path.
        CgroupId { path: Name, },
        /// 1 where the target's kernel knows the BPF helper of that number.
        HasHelper { number: u32, },
        /// 1 where the target's kernel has a function of that name for BPF programs to call.
        KfuncExists { name: Name, },
        /// 1 where programs of a type (enum bpf_prog_type of linux/bpf.h) may call it.
        KfuncAllowed { name: Name, program: u32, },
        /// A variable of the run's configuration: a number, a bool or a text.
        Config { name: Text, },
        /// Address of the kernel's table of how far each CPU's copy of a variable is; 0 where bpf_map_lookup_percpu_elem makes
        /// do without.
        PerCpuOffsets,
        /// The number of a probe's name among those of the run (see [`crate::Value::ProbeName`]); all ones where no
        /// probe has that name.
        ProbeNumber { name: Text, },
    }
}

describe! {
    /// What is looked up on the target: a text of the script, or one that the command line gives.
    pub enum Name {
        Literal { text: Text, },
        /// `str($n)`, one-based.
        Positional { index: u32, },
        /// A getopt parameter's text; `index` into [`crate::Manifest::named`].
        Named { index: u32, },
    }
}

impl Name {
    /// The text; empty where it is not told yet.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Name::Literal { text } => text,
            Name::Positional { .. } | Name::Named { .. } => "",
        }
    }
}

describe! {
    /// A positional or named parameter, for usage text and checking.
    pub struct Parameter {
        /// A named one's name; a positional one's number as text.
        pub name: Text,
        pub ty: ParameterType,
        pub description: Text,
    }
}

describe! {
    /// The type, and the default where one was given.
    pub enum ParameterType {
        Integer { default: Option<i64>, },
        Bool { default: bool, },
        String { default: Option<Text>, },
        /// A positional parameter that the script uses both as number and as text.
        Any,
    }
}
