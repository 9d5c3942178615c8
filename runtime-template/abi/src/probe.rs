//! Probes: one BPF program each, and what to attach it to. Patterns (`*`, `?`, `[…]`) are matched on the target.

use crate::{List, Signature, Text, UserPlace};

describe! {
    pub struct Probe {
        /// The program's name in the object.
        pub program: Text,
        /// As `probe` prints it; for a pattern the runtime makes one name per match.
        pub name: Text,
        pub attach: Attach,
        /// The texts of `name` and `attach` hold `$1`, `$2`, … for the executable's parameters, and `$$` for a dollar.
        pub parameters: bool,
        /// Empty, or the parameter that `attach` has its number from: nanoseconds and hertz are multiplied by it, counts and addresses
        /// are it.
        pub number: Text,
        /// `script:line:column` of the attach point.
        pub place: Text,
        /// Instructions whose offset depends on the target's tracepoint format.
        pub context: List<ContextRelocation>,
        /// Loaded in place of `program` on kernels that lack something that this one needs.
        pub floor: Option<FloorProgram>,
    }
}

describe! {
    /// A probe's program for kernels since Linux 5.10.
    pub struct FloorProgram {
        pub program: Text,
        /// What the probe's other program needs.
        pub needs: List<Feature>,
        /// As [`Probe::context`].
        pub context: List<ContextRelocation>,
    }
}

describe! {
    /// What kernels have that came after Linux 5.10, and that programs can do without.
    pub enum Feature {
        /// `bpf_loop` (Linux 5.17). Without it loops go around a bounded number of times.
        LoopHelper,
        /// Atomic additions that give the old value (Linux 5.12). Without them the value may be another moment's.
        AtomicFetch,
        /// Atomic operations other than additions (Linux 5.12). Without them updates of several CPUs may be lost.
        AtomicUpdate,
    }
}

/// The [`ContextRelocation::field`] of what a function returned; no parameter can have the name.
pub const RESULT: &str = "return";

describe! {
    /// A load from a program's context: instruction `instruction` reads member `field` of a tracepoint's event, or
    /// parameter `field` (a name, or a number from 0) of an fentry or fexit program's function. The runtime writes the target's offset into it (and
    /// the size, where the target's differs) before load.
    pub struct ContextRelocation {
        pub instruction: u32,
        pub field: Text,
        /// Bytes that the script was compiled to read.
        pub size: u8,
        /// Where the access starts within the member (an array's element).
        pub addend: u32,
        /// Where the member's data was where the script was compiled.
        pub location: DataLocation,
    }
}

describe! {
    /// Where the data of a tracepoint's member is.
    pub enum DataLocation {
        Inline,
        /// `__data_loc`: a word whose low half is the offset from the record's start.
        FromStart,
        /// `__rel_loc`: a word whose low half is the offset from the word's end.
        FromMember,
    }
}

describe! {
    pub enum Attach {
        Begin,
        End,
        /// Whenever the executable gets this signal (a number of asm-generic/signal.h).
        SelfSignal { signal: u32, },
        /// Run by `--test` and by nothing else; passes where it returns 0.
        Test { name: Text, },
        /// Run by `--bench` and by nothing else, over and over.
        Bench { name: Text, },
        /// On one CPU.
        Interval { period: PerfPeriod, },
        /// On every CPU.
        Profile { period: PerfPeriod, },
        /// `event` is PERF_COUNT_SW_* of linux/perf_event.h; samples every `count` events.
        Software { event: u64, count: u64, },
        Hardware { event: u64, count: u64, },
        /// Accesses to `length` bytes at `address`; `access` is bits of HW_BREAKPOINT_R, _W and _X of
        /// linux/hw_breakpoint.h.
        Watchpoint { address: u64, length: u32, access: u32, },
        /// Every object of a kernel iterator (`bpf_iter_NAME`), once. `pin`: a path, relative to /sys/fs/bpf, where the iterator is
        /// left for others to read.
        Iter { name: Text, pin: Option<Text>, },
        Tracepoint { category: Text, event: Text, },
        /// `btf`: a tp_btf program (BPF_TRACE_RAW_TP); otherwise a raw_tp one.
        RawTracepoint { event: Text, btf: bool, },
        /// `function` empty: `offset` is an address.
        Kprobe { module: Option<Text>, function: Text, offset: u64, },
        Kretprobe { module: Option<Text>, function: Text, },
        /// The module `bpf` stands for all BPF programs, `bpf:` and a number for the one with that id.
        Fentry { module: Option<Text>, function: Text, },
        Fexit { module: Option<Text>, function: Text, },
        /// `signature`: of the function whose arguments the script reads by name.
        Uprobe { binary: Text, place: UserPlace, signature: Option<Signature>, },
        Uretprobe { binary: Text, place: UserPlace, },
        /// Any of the parts may be a pattern; without a namespace it is any. `arguments`: bit N is set where the program
        /// reads `argN`; then cookies are indexes into the map of sites ([`crate::MapRole::UsdtSites`]).
        Usdt { binary: Text, namespace: Option<Text>, name: Text, arguments: u32, },
    }
}

impl Attach {
    /// Whether it runs only when the executable is asked to `--test` or `--bench`.
    #[must_use]
    pub fn is_trial(&self) -> bool {
        matches!(self, Attach::Test { .. } | Attach::Bench { .. })
    }
}

describe! {
    pub enum PerfPeriod {
        Nanoseconds { ns: u64, },
        Hertz { hz: u64, },
    }
}
