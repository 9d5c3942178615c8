//! `software`: events that the kernel counts itself.

use btc_abi as abi;

use super::perf::{Event, event};
use super::point::{Parts, one};
use super::{Environment, ProbeContext, Provider};
use crate::diagnostic::Diagnostic;
use crate::ir::ProgramKind;

const FORMS: &str = "`software:page-faults` and `software:page-faults:100`";

pub(super) const SOFTWARE: Provider = Provider {
    name: "software",
    aliases: &["s"],
    resolve: |point, environment| {
        let parts = Parts {
            point,
            provider: "software",
            forms: FORMS,
        };
        one(parse(&parts, environment))
    },
};

/// PERF_COUNT_SW_* of linux/perf_event.h.
const EVENTS: &[Event] = &[
    row(&["cpu-clock", "cpu"], 0, 1_000_000),
    row(&["task-clock"], 1, 1_000_000),
    row(&["page-faults", "faults"], 2, 100),
    row(&["context-switches", "cs"], 3, 1000),
    row(&["cpu-migrations"], 4, 1),
    row(&["minor-faults"], 5, 100),
    row(&["major-faults"], 6, 1),
    row(&["alignment-faults"], 7, 1),
    row(&["emulation-faults"], 8, 1),
    row(&["dummy"], 9, 1),
    row(&["bpf-output"], 10, 1),
    row(&["cgroup-switches"], 11, 1),
];

const fn row(names: &'static [&'static str], config: u64, default_count: u64) -> Event {
    Event {
        names,
        config,
        default_count,
    }
}

fn parse(parts: &Parts, _: &Environment) -> Result<ProbeContext, Diagnostic> {
    let (event, count) = event(parts, EVENTS)?;
    let mut context = parts.made(
        ProgramKind::PerfEvent,
        abi::Attach::Software { event, count },
    );
    context.pid_filter = true;
    Ok(context)
}
