//! `begin` and `end`: run once before the other probes attach and after they detach.

use btc_abi as abi;

use super::point::{Parts, one};
use super::{Environment, ProbeContext, Provider};
use crate::diagnostic::Diagnostic;
use crate::ir::ProgramKind;

const FORMS: &str = "`begin` and `end`";

pub(super) const BEGIN: Provider = Provider {
    name: "begin",
    aliases: &["BEGIN"],
    resolve: |point, environment| {
        let parts = Parts {
            point,
            provider: "begin",
            forms: FORMS,
        };
        one(begin(&parts, environment))
    },
};

pub(super) const END: Provider = Provider {
    name: "end",
    aliases: &["END"],
    resolve: |point, environment| {
        let parts = Parts {
            point,
            provider: "end",
            forms: FORMS,
        };
        one(end(&parts, environment))
    },
};

fn begin(parts: &Parts, _: &Environment) -> Result<ProbeContext, Diagnostic> {
    parts.between(0, 0)?;
    Ok(parts.made(ProgramKind::TestRun, abi::Attach::Begin))
}

fn end(parts: &Parts, _: &Environment) -> Result<ProbeContext, Diagnostic> {
    parts.between(0, 0)?;
    Ok(parts.made(ProgramKind::TestRun, abi::Attach::End))
}
