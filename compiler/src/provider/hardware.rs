//! `hardware`: events that the processor counts.

use btc_abi as abi;

use super::perf::{Event, event};
use super::point::{Parts, one};
use super::{Environment, ProbeContext, Provider};
use crate::diagnostic::Diagnostic;
use crate::ir::ProgramKind;

const FORMS: &str = "`hardware:cpu-cycles` and `hardware:cpu-cycles:1000000`";

pub(super) const HARDWARE: Provider = Provider {
    name: "hardware",
    aliases: &["h"],
    resolve: |point, environment| {
        let parts = Parts {
            point,
            provider: "hardware",
            forms: FORMS,
        };
        one(parse(&parts, environment))
    },
};

/// PERF_COUNT_HW_* of linux/perf_event.h.
pub(super) const EVENTS: &[Event] = &[
    Event::new(&["cpu-cycles", "cycles"], 0, 1_000_000),
    Event::new(&["instructions"], 1, 1_000_000),
    Event::new(&["cache-references"], 2, 1_000_000),
    Event::new(&["cache-misses"], 3, 1_000_000),
    Event::new(&["branch-instructions", "branches"], 4, 100_000),
    Event::new(&["branch-misses"], 5, 100_000),
    Event::new(&["bus-cycles"], 6, 100_000),
    Event::new(&["frontend-stalls"], 7, 1_000_000),
    Event::new(&["backend-stalls"], 8, 1_000_000),
    Event::new(&["ref-cycles"], 9, 1_000_000),
];

fn parse(parts: &Parts, _: &Environment) -> Result<ProbeContext, Diagnostic> {
    let (event, count) = event(parts, EVENTS)?;
    let mut context = parts.made(
        ProgramKind::PerfEvent,
        abi::Attach::Hardware { event, count },
    );
    context.pid_filter = true;
    Ok(context)
}
