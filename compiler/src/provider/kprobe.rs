//! `kprobe` and `kretprobe`: any instruction of a kernel function, and its return.

use btc_abi as abi;

use super::point::{Parts, is_pattern, number, one, split_offset};
use super::{Args, Environment, Func, Numbered, ProbeContext, Provider};
use crate::diagnostic::{Code, Diagnostic};
use crate::host::CType;
use crate::ir::{Context, ProgramKind};
use crate::syntax::ast::AttachPart;

const FORMS: &str =
    "`kprobe:function`, `kprobe:module:function`, `kprobe:function+offset` and `kprobe:address`";
const RETURN_FORMS: &str = "`kretprobe:function` and `kretprobe:module:function`";

pub(super) const KPROBE: Provider = Provider {
    name: "kprobe",
    aliases: &["k"],
    resolve: |point, environment| {
        let parts = Parts {
            point,
            provider: "kprobe",
            forms: FORMS,
        };
        one(entry(&parts, environment))
    },
};

pub(super) const KRETPROBE: Provider = Provider {
    name: "kretprobe",
    aliases: &["kr"],
    resolve: |point, environment| {
        let parts = Parts {
            point,
            provider: "kretprobe",
            forms: RETURN_FORMS,
        };
        one(exit(&parts, environment))
    },
};

/// What a register holds.
pub(super) const UINT64: CType = CType::Int {
    bytes: 8,
    signed: false,
    bool_: false,
    char_: false,
};

/// What kprobes of both kinds have in common.
fn registers(point: &mut ProbeContext, wildcard: bool) {
    point.wildcard = wildcard;
    point.pid_filter = true;
    point.numbered = Numbered::Registers;
    point.func = Func::KernelAddress;
    point.args = Args::None {
        help: Some("use `arg0` to `argN`, or an `fentry` probe"),
    };
}

/// `[module:]function`.
pub(super) fn module_and_function<'a>(
    parts: &Parts<'a>,
) -> Result<(Option<abi::Text>, &'a AttachPart), Diagnostic> {
    match parts.between(1, 2)? {
        [function] => Ok((None, function)),
        [module, function, ..] => Ok((Some(module.text.clone().into()), function)),
        [] => Err(parts.wrong(parts.span(), "expected a function")),
    }
}

/// An address of the target's kernel: whoever writes one knows that kernel.
fn address(
    parts: &Parts,
    part: &AttachPart,
    environment: &Environment,
) -> Result<ProbeContext, Diagnostic> {
    if parts.all().len() > 1 {
        return Err(parts.wrong(part.span, "an address is in no module"));
    }
    let Some(address) = number(&part.text).filter(|address| *address != 0) else {
        return Err(parts.wrong(
            part.span,
            format!("expected an address, found `{}`", part.text.escape_debug()),
        ));
    };
    if !environment.unsafe_mode {
        return Err(Diagnostic::error(
            Code::UnsafeFunction,
            part.span,
            "a `kprobe` at an address is unsafe: it may not be the start of an instruction",
        )
        .with_help("compile with `--unsafe` to allow it"));
    }
    let mut point = parts.made(
        ProgramKind::Kprobe,
        abi::Attach::Kprobe {
            module: None,
            function: "".into(),
            offset: address,
        },
    );
    registers(&mut point, false);
    Ok(point)
}

fn entry(parts: &Parts, environment: &Environment) -> Result<ProbeContext, Diagnostic> {
    let (module, part) = module_and_function(parts)?;
    if part.text.starts_with(|c: char| c.is_ascii_digit()) {
        return address(parts, part, environment);
    }
    let Some((function, offset)) = split_offset(&part.text) else {
        return Err(parts.wrong(
            part.span,
            format!(
                "expected `function+offset`, found `{}`",
                part.text.escape_debug()
            ),
        ));
    };
    if offset != 0 && is_pattern(function) {
        return Err(parts.wrong(part.span, "a pattern can't have an offset"));
    }
    let pattern = is_pattern(function) || module.as_ref().is_some_and(|m| is_pattern(m));
    let mut point = parts.made(
        ProgramKind::Kprobe,
        abi::Attach::Kprobe {
            module,
            function: function.to_string().into(),
            offset,
        },
    );
    registers(&mut point, pattern);
    Ok(point)
}

fn exit(parts: &Parts, _: &Environment) -> Result<ProbeContext, Diagnostic> {
    let (module, part) = module_and_function(parts)?;
    if part.text.contains('+') {
        return Err(parts.wrong(
            part.span,
            "a return probe fires at the function's return: it can't have an offset",
        ));
    }
    let pattern = is_pattern(&part.text) || module.as_ref().is_some_and(|m| is_pattern(m));
    let mut point = parts.made(
        ProgramKind::Kprobe,
        abi::Attach::Kretprobe {
            module,
            function: part.text.clone().into(),
        },
    );
    registers(&mut point, pattern);
    point.numbered = Numbered::None;
    point.args = Args::None {
        help: Some("use `retval`: at its return a function's arguments are gone"),
    };
    point.retval = Some((Context::ReturnValue, UINT64));
    Ok(point)
}
