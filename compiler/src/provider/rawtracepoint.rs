//! `rawtracepoint`: a tracepoint's own arguments, before they are written into an event's record.
//!
//! Always a raw_tp program: typed arguments are loaded from its array of u64 and followed by CO-RE reads, so that a
//! target without BTF still runs scripts that use none.

use btc_abi as abi;

use super::point::{Parts, is_pattern, one};
use super::{Args, Environment, Numbered, ProbeContext, Provider};
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::{Context, ProgramKind};
use btc_runtime::suggest::nearest;

const FORMS: &str = "`rawtracepoint:event` and `rawtracepoint:module:event`";

pub(super) const RAWTRACEPOINT: Provider = Provider {
    name: "rawtracepoint",
    aliases: &["rt"],
    resolve: |point, environment| {
        let parts = Parts {
            point,
            provider: "rawtracepoint",
            forms: FORMS,
        };
        one(parse(&parts, environment))
    },
};

fn parse(parts: &Parts, environment: &Environment) -> Result<ProbeContext, Diagnostic> {
    let Some(event) = parts.between(1, 2)?.last() else {
        return Err(parts.wrong(parts.span(), "expected an event"));
    };
    let mut point = parts.made(
        ProgramKind::RawTracepoint,
        abi::Attach::RawTracepoint {
            // The kernel finds a loaded module's event by its name alone.
            event: event.text.clone().into(),
            btf: false,
        },
    );
    point.wildcard = is_pattern(&event.text);
    point.pid_filter = true;
    point.numbered = Numbered::Slots;
    point.args = if point.wildcard {
        Args::None {
            help: Some("use `arg0` to `argN`: the events of a pattern have different arguments"),
        }
    } else {
        arguments(parts, environment, &event.text)
    };
    Ok(point)
}

fn arguments(parts: &Parts, environment: &Environment, event: &str) -> Args {
    if let Some(function) = environment.host.raw_tracepoint(event) {
        let slots = (0..=u8::MAX).map(Context::Slot);
        return Args::Values(
            function
                .parameters
                .into_iter()
                .zip(slots)
                .map(|((name, ty), slot)| (name, ty, slot))
                .collect(),
        );
    }
    if !environment.host.has_kernel_btf() {
        return Args::Unknown(Box::new(super::no_btf(parts.span(), "rawtracepoint")));
    }
    let diagnostic = Diagnostic::error(
        Code::UnknownTracepoint,
        parts.span(),
        format!("this machine's BTF has no raw tracepoint `{event}` to take `args` from"),
    );
    let all = environment.host.tracepoints("*", "*");
    Args::Unknown(Box::new(
        match nearest(event, all.iter().map(|(_, e)| e.as_str())) {
            Some(close) => diagnostic.with_help(format!("did you mean `rawtracepoint:{close}`?")),
            None => diagnostic,
        },
    ))
}
