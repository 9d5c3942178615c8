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
pub(super) const EVENTS: &[Event] = &[
    Event::new(&["cpu-clock", "cpu"], 0, 1_000_000),
    Event::new(&["task-clock"], 1, 1_000_000),
    Event::new(&["page-faults", "faults"], 2, 100),
    Event::new(&["context-switches", "cs"], 3, 1000),
    Event::new(&["cpu-migrations"], 4, 1),
    Event::new(&["minor-faults"], 5, 100),
    Event::new(&["major-faults"], 6, 1),
    Event::new(&["alignment-faults"], 7, 1),
    Event::new(&["emulation-faults"], 8, 1),
    Event::new(&["dummy"], 9, 1),
    Event::new(&["bpf-output"], 10, 1),
    Event::new(&["cgroup-switches"], 11, 1),
];

fn parse(parts: &Parts, _: &Environment) -> Result<ProbeContext, Diagnostic> {
    let (event, count) = event(parts, EVENTS)?;
    let mut context = parts.made(
        ProgramKind::PerfEvent,
        abi::Attach::Software { event, count },
    );
    context.pid_filter = true;
    Ok(context)
}
