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
const EVENTS: &[Event] = &[
    row(&["cpu-cycles", "cycles"], 0, 1_000_000),
    row(&["instructions"], 1, 1_000_000),
    row(&["cache-references"], 2, 1_000_000),
    row(&["cache-misses"], 3, 1_000_000),
    row(&["branch-instructions", "branches"], 4, 100_000),
    row(&["branch-misses"], 5, 100_000),
    row(&["bus-cycles"], 6, 100_000),
    row(&["frontend-stalls"], 7, 1_000_000),
    row(&["backend-stalls"], 8, 1_000_000),
    row(&["ref-cycles"], 9, 1_000_000),
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
        abi::Attach::Hardware { event, count },
    );
    context.pid_filter = true;
    Ok(context)
}
