//! A probe and the target → what to attach → links. One file per kind of probe, named as the language names it.

use btc_abi::Attach;

/// A kind of probe.
pub trait Provider: Sync {
    /// Whether `attach` is of this kind.
    fn handles(&self, attach: &Attach) -> bool;
}

macro_rules! provider_files { ($($file:ident $name:ident $pattern:pat,)*) => { $(
    pub mod $file {
        //! One kind of probe.
        /// See [`super::Provider`].
        pub struct $name;
        impl super::Provider for $name {
            fn handles(&self, attach: &btc_abi::Attach) -> bool { use btc_abi::Attach; matches!(attach, $pattern) }
        }
    }
)* } }
provider_files! {
    begin_end BeginEnd Attach::Begin | Attach::End,
    interval Interval Attach::Interval { .. },
    profile Profile Attach::Profile { .. },
    software Software Attach::Software { .. },
    hardware Hardware Attach::Hardware { .. },
    tracepoint Tracepoint Attach::Tracepoint { .. },
    rawtracepoint Rawtracepoint Attach::RawTracepoint { .. },
    kprobe Kprobe Attach::Kprobe { .. } | Attach::Kretprobe { .. },
    fentry Fentry Attach::Fentry { .. } | Attach::Fexit { .. },
    uprobe Uprobe Attach::Uprobe { .. } | Attach::Uretprobe { .. },
}
