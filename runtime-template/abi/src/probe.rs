//! Probes: one BPF program each, and what to attach it to. Patterns (`*`, `?`, `[…]`) are matched on the target.

use crate::{List, Signature, Text, UserPlace};

describe! {
    pub struct Probe {
        /// The program's name in the object.
        pub program: Text,
        /// As `probe` prints it; for a pattern the runtime makes one name per match.
        pub name: Text,
        pub attach: Attach,
        /// `script:line:column` of the attach point.
        pub place: Text,
        /// Instructions whose offset depends on the target's tracepoint format.
        pub context: List<ContextRelocation>,
    }
}

describe! {
    /// A load from a tracepoint's context: instruction `instruction` of the program reads member `field` of the
    /// event. The runtime writes the target's offset into it (and the size, where the target's differs) before load.
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
        /// On one CPU.
        Interval { period: PerfPeriod, },
        /// On every CPU.
        Profile { period: PerfPeriod, },
        /// `event` is PERF_COUNT_SW_* of linux/perf_event.h; samples every `count` events.
        Software { event: u64, count: u64, },
        Hardware { event: u64, count: u64, },
        Tracepoint { category: Text, event: Text, },
        /// `btf`: a tp_btf program (BPF_TRACE_RAW_TP); otherwise a raw_tp one.
        RawTracepoint { event: Text, btf: bool, },
        Kprobe { module: Option<Text>, function: Text, offset: u64, },
        Kretprobe { module: Option<Text>, function: Text, },
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

describe! {
    pub enum PerfPeriod {
        Nanoseconds { ns: u64, },
        Hertz { hz: u64, },
    }
}
