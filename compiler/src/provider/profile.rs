//! `profile`: a sampling timer on every CPU.

use btc_abi as abi;

use super::point::{Parts, one};
use super::timer;
use super::{Environment, ProbeContext, Provider};
use crate::diagnostic::Diagnostic;
use crate::ir::ProgramKind;

const FORMS: &str = "`profile:hz:99`, `profile:ms:10`, `profile:10ms` and `profile:10000000`";

pub(super) const PROFILE: Provider = Provider {
    name: "profile",
    aliases: &["p"],
    resolve: |point, environment| {
        let parts = Parts {
            point,
            provider: "profile",
            forms: FORMS,
        };
        one(parse(&parts, environment))
    },
};

fn parse(parts: &Parts, _: &Environment) -> Result<ProbeContext, Diagnostic> {
    let period = timer::period(parts)?;
    let mut context = parts.made(ProgramKind::PerfEvent, abi::Attach::Profile { period });
    context.pid_filter = true;
    Ok(context)
}
