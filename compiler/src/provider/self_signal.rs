//! `self`: what happens to the executable itself, `self:signal:SIGUSR1`.

use btc_abi as abi;

use super::point::{Parts, one};
use super::{Environment, ProbeContext, Provider};
use crate::builtin::control::signal_number;
use crate::diagnostic::Diagnostic;
use crate::ir::ProgramKind;

const FORMS: &str = "`self:signal:SIGUSR1` and the like";

pub(super) const SELF: Provider = Provider {
    name: "self",
    aliases: &[],
    resolve: |point, environment| {
        let parts = Parts {
            point,
            provider: "self",
            forms: FORMS,
        };
        one(parse(&parts, environment))
    },
};

/// Signals that end the executable, or that no program can take for itself.
const TAKEN: &[&str] = &[
    "SIGINT", "SIGTERM", "SIGKILL", "SIGSTOP", "SIGCHLD", "SIGPIPE", "SIGILL", "SIGTRAP",
    "SIGABRT", "SIGBUS", "SIGFPE", "SIGSEGV", "SIGSYS",
];

fn parse(parts: &Parts, _: &Environment) -> Result<ProbeContext, Diagnostic> {
    let [trigger, name] = parts.between(2, 2)? else {
        return Err(parts.wrong(parts.span(), "expected `signal` and its name"));
    };
    if trigger.text != "signal" {
        let found = trigger.text.escape_debug();
        let message = format!("expected `signal`, found `{found}`");
        return Err(parts.wrong(trigger.span, message));
    }
    let number = signal_number(&name.text).filter(|_| name.text.starts_with("SIG"));
    let Some(signal) = number.and_then(|number| u32::try_from(number).ok()) else {
        let message = format!("unknown signal `{}`", name.text.escape_debug());
        return Err(parts.wrong(name.span, message));
    };
    if TAKEN.contains(&name.text.as_str()) {
        let message = format!("`{}` can't be traced: the tool needs it itself", name.text);
        return Err(parts.wrong(name.span, message));
    }
    Ok(parts.made(ProgramKind::TestRun, abi::Attach::SelfSignal { signal }))
}
