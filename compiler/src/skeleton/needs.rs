//! A manifest → the providers and features of the runtime that its executable links.

use btc_abi::{Attach, Manifest, MapRole, RecordKind, StackMode, UserPlace, Value};

/// What of btc-runtime an executable names; the linker drops the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Paths below `btc_runtime::attach`, sorted.
    pub providers: Vec<&'static str>,
    pub symbolize: bool,
    /// Packets are written to files.
    pub packets: bool,
    /// Functions are named as C++ or Rust write them.
    pub demangle: bool,
    /// Debug information is read: for source lines, and to check arguments that are read by name.
    pub dwarf: bool,
    /// Stacks are walked by unwind rows.
    pub unwind: bool,
}

impl Needs {
    #[must_use]
    pub fn of(manifest: &Manifest) -> Needs {
        let mut providers: Vec<_> = manifest
            .probes
            .iter()
            .map(|probe| provider(&probe.attach))
            .collect();
        providers.sort_unstable();
        providers.dedup();
        let in_records = manifest.records.iter().any(|record| {
            // What these print is in their maps, which are looked at below.
            !matches!(
                record.kind,
                RecordKind::Clear { .. } | RecordKind::Zero { .. }
            ) && record.fields.iter().any(|field| has_symbols(&field.value))
        });
        let in_maps = manifest
            .maps
            .iter()
            .any(|map| map.key.as_ref().is_some_and(has_symbols) || has_symbols(&map.value));
        Needs {
            providers,
            symbolize: in_records || in_maps,
            packets: (manifest.records.iter())
                .any(|record| matches!(record.kind, RecordKind::Packet { .. })),
            demangle: manifest
                .probes
                .iter()
                .any(|probe| is_demangled(&probe.attach)),
            dwarf: manifest
                .probes
                .iter()
                .any(|probe| reads_dwarf(&probe.attach)),
            unwind: (manifest.maps.iter()).any(|map| map.role == MapRole::UnwindTables),
        }
    }

    /// Few combinations: each is compiled once, and what is not named is not linked.
    #[must_use]
    pub fn features(&self) -> &'static [&'static str] {
        match self {
            Needs { dwarf: true, .. } | Needs { unwind: true, .. } => &["symbolize", "dwarf"],
            Needs {
                symbolize: true, ..
            }
            | Needs { demangle: true, .. } => &["symbolize"],
            _ => &[],
        }
    }

    /// The expression for `Tracer::packets`.
    #[must_use]
    pub fn packets(&self) -> &'static str {
        if self.packets {
            "Some(btc_runtime::packets::open)"
        } else {
            "None"
        }
    }

    /// The expression for `Tracer::symbolizer`.
    #[must_use]
    pub fn symbolizer(&self) -> &'static str {
        if self.symbolize {
            "Some(&btc_runtime::symbolize::Blazesym)"
        } else {
            "None"
        }
    }

    /// The expression for `Tracer::unwinder`.
    #[must_use]
    pub fn unwinder(&self) -> &'static str {
        if self.unwind {
            "Some(&btc_runtime::unwind::EhFrame)"
        } else {
            "None"
        }
    }
}

fn provider(attach: &Attach) -> &'static str {
    match attach {
        Attach::Begin | Attach::End => "begin_end::BeginEnd",
        Attach::SelfSignal { .. } => "self_signal::SelfSignal",
        Attach::Test { .. } | Attach::Bench { .. } => "trial::TestBench",
        Attach::Interval { .. } => "interval::Interval",
        Attach::Profile { .. } => "profile::Profile",
        Attach::Software { .. } => "software::Software",
        Attach::Hardware { .. } => "hardware::Hardware",
        Attach::Watchpoint { .. } => "watchpoint::Watchpoint",
        Attach::Iter { .. } => "iter::Iter",
        Attach::Tracepoint { .. } => "tracepoint::Tracepoint",
        Attach::RawTracepoint { .. } => "rawtracepoint::Rawtracepoint",
        Attach::Kprobe { .. } | Attach::Kretprobe { .. } => "kprobe::Kprobe",
        Attach::Fentry { .. } | Attach::Fexit { .. } => "fentry::Fentry",
        Attach::Uprobe { .. } | Attach::Uretprobe { .. } => "uprobe::Uprobe",
        Attach::Usdt { .. } => "usdt::Usdt",
    }
}

fn is_demangled(attach: &Attach) -> bool {
    let (Attach::Uprobe { place, .. } | Attach::Uretprobe { place, .. }) = attach else {
        return false;
    };
    matches!(place, UserPlace::Cpp { .. })
}

fn reads_dwarf(attach: &Attach) -> bool {
    matches!(
        attach,
        Attach::Uprobe {
            place: UserPlace::Line { .. },
            ..
        } | Attach::Uprobe {
            signature: Some(_),
            ..
        }
    )
}

/// Whether printing the value turns addresses into names.
fn has_symbols(value: &Value) -> bool {
    match value {
        Value::KernelSymbol | Value::UserSymbol => true,
        Value::Stack { mode, .. } => !matches!(mode, StackMode::Raw | StackMode::BuildId),
        Value::Tuple { fields, .. } | Value::Struct { fields, .. } => {
            fields.iter().any(|field| has_symbols(&field.value))
        }
        Value::Array { element, .. } => element.iter().any(has_symbols),
        Value::Int { .. }
        | Value::Float { .. }
        | Value::Bool
        | Value::Pointer
        | Value::String { .. }
        | Value::TailString
        | Value::Buffer { .. }
        | Value::TailBuffer
        | Value::Enum { .. }
        | Value::Inet
        | Value::Mac
        | Value::Timestamp { .. }
        | Value::Username
        | Value::CgroupPath { .. }
        | Value::ProbeName
        | Value::GfpFlags
        | Value::ErrorName
        | Value::SignalName
        | Value::SyscallName
        | Value::Count
        | Value::Sum { .. }
        | Value::Min { .. }
        | Value::Max { .. }
        | Value::Avg { .. }
        | Value::Stats { .. }
        | Value::Hist { .. }
        | Value::Lhist { .. }
        | Value::Tseries { .. } => false,
    }
}
