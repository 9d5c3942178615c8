//! `begin` and `end`: run once, before probes are attached and after they are detached.

use btc_abi::Attach;

use super::{Args, Environment, Func, Numbered, ProbeContext, Provider};
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::ProgramKind;
use crate::syntax::ast::AttachPoint;

pub(super) const BEGIN: Provider = Provider {
    name: "begin",
    aliases: &["BEGIN"],
    resolve: |point, _: &Environment| context(point, "begin", Attach::Begin),
};

pub(super) const END: Provider = Provider {
    name: "end",
    aliases: &["END"],
    resolve: |point, _: &Environment| context(point, "end", Attach::End),
};

fn context(
    point: &AttachPoint,
    name: &'static str,
    attach: Attach,
) -> Result<Vec<ProbeContext>, Vec<Diagnostic>> {
    if let Some(part) = point.parts.first() {
        return Err(vec![Diagnostic::error(
            Code::InvalidProbe,
            part.span,
            format!("`{name}` takes no arguments"),
        )]);
    }
    Ok(vec![ProbeContext {
        provider: name,
        name: name.to_owned(),
        wildcard: false,
        kind: ProgramKind::TestRun,
        attach,
        pid_filter: false,
        args: Args::None {
            why: "it has no arguments",
        },
        numbered: Numbered::None,
        retval: None,
        func: Func::None,
        user_space: false,
        span: point.span,
        warnings: vec![],
    }])
}
