//! `interval`: a timer on one CPU.

use btc_abi as abi;

use super::point::{Parts, one};
use super::timer;
use super::{Environment, ProbeContext, Provider};
use crate::diagnostic::Diagnostic;
use crate::ir::ProgramKind;

const FORMS: &str = "`interval:s:1`, `interval:hz:10`, `interval:1s` and `interval:1000000000`";

pub(super) const INTERVAL: Provider = Provider {
    name: "interval",
    aliases: &["i"],
    resolve: |point, environment| {
        let parts = Parts {
            point,
            provider: "interval",
            forms: FORMS,
        };
        one(parse(&parts, environment))
    },
};

fn parse(parts: &Parts, _: &Environment) -> Result<ProbeContext, Diagnostic> {
    // `1s { … }`: the provider's word is the period.
    let period = match timer::duration(&parts.point.provider.text) {
        Some(ns) if ns > 0 && parts.all().is_empty() => abi::PerfPeriod::Nanoseconds { ns },
        _ => timer::period(parts)?,
    };
    let mut context = parts.made(ProgramKind::PerfEvent, abi::Attach::Interval { period });
    if parts.all().is_empty() {
        context.name = format!("{}:{}", parts.provider, parts.point.provider.text);
    }
    Ok(context)
}
