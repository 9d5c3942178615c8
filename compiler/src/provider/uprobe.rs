//! `uprobe` and `uretprobe`: functions of programs and libraries, found on the target.

use btc_abi as abi;

use super::kprobe::UINT64;
use super::point::{Parts, is_pattern, number, one, split_offset};
use super::{Args, Environment, Func, Numbered, ProbeContext, Provider};
use crate::diagnostic::{Diagnostic, Unsupported};
use crate::ir::{Context, ProgramKind};
use crate::syntax::ast::AttachPart;

const FORMS: &str =
    "`uprobe:binary:function`, `uprobe:binary:function+offset` and `uprobe:binary:offset`";
const RETURN_FORMS: &str = "`uretprobe:binary:function`";

pub(super) const UPROBE: Provider = Provider {
    name: "uprobe",
    aliases: &["u"],
    resolve: |point, environment| {
        let parts = Parts {
            point,
            provider: "uprobe",
            forms: FORMS,
        };
        one(entry(&parts, environment))
    },
};

pub(super) const URETPROBE: Provider = Provider {
    name: "uretprobe",
    aliases: &["ur"],
    resolve: |point, environment| {
        let parts = Parts {
            point,
            provider: "uretprobe",
            forms: RETURN_FORMS,
        };
        one(exit(&parts, environment))
    },
};

/// What uprobes of both kinds have in common.
fn registers(point: &mut ProbeContext, wildcard: bool) {
    point.wildcard = wildcard;
    point.pid_filter = true;
    point.numbered = Numbered::Registers;
    point.func = Func::UserAddress;
    point.user_space = true;
    let later = Diagnostic::not_supported_yet(point.span, Unsupported::UprobeArgs)
        .with_help("use `arg0` to `argN`");
    point.args = Args::Unknown(Box::new(later));
}

fn binary_and_place<'a>(parts: &Parts<'a>) -> Result<(&'a AttachPart, &'a AttachPart), Diagnostic> {
    if let Some(binary) = parts.all().first()
        && binary.text.contains('@')
        && !binary.quoted
    {
        return Err(Diagnostic::not_supported_yet(
            binary.span,
            Unsupported::UprobeSourceLine,
        ));
    }
    if let [_, language, _, ..] = parts.all() {
        if language.text == "cpp" {
            return Err(Diagnostic::not_supported_yet(
                language.span,
                Unsupported::UprobeCpp,
            ));
        }
        return Err(parts.wrong(
            language.span,
            format!("unknown language `{}`", language.text.escape_debug()),
        ));
    }
    match parts.between(2, 2)? {
        [binary, place] => Ok((binary, place)),
        _ => Err(parts.wrong(parts.span(), "expected a binary and a function")),
    }
}

fn entry(parts: &Parts, _: &Environment) -> Result<ProbeContext, Diagnostic> {
    let (binary, place) = binary_and_place(parts)?;
    let (symbol, offset) = if place.text.starts_with(|c: char| c.is_ascii_digit()) {
        match number(&place.text) {
            Some(offset) => ("", offset),
            None => {
                return Err(parts.wrong(
                    place.span,
                    format!("expected an offset, found `{}`", place.text.escape_debug()),
                ));
            }
        }
    } else {
        split_offset(&place.text).ok_or_else(|| {
            parts.wrong(
                place.span,
                format!(
                    "expected `function+offset`, found `{}`",
                    place.text.escape_debug()
                ),
            )
        })?
    };
    if offset != 0 && is_pattern(symbol) {
        return Err(parts.wrong(place.span, "a pattern can't have an offset"));
    }
    let mut point = parts.made(
        ProgramKind::Kprobe,
        abi::Attach::Uprobe {
            binary: binary.text.clone().into(),
            symbol: symbol.to_string().into(),
            offset,
        },
    );
    let wildcard = is_pattern(symbol) || is_pattern(&binary.text);
    registers(&mut point, wildcard);
    Ok(point)
}

fn exit(parts: &Parts, _: &Environment) -> Result<ProbeContext, Diagnostic> {
    let (binary, place) = binary_and_place(parts)?;
    if place.text.contains('+') || place.text.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(parts.wrong(
            place.span,
            "a return probe fires at the function's return: it can't have an offset",
        ));
    }
    let mut point = parts.made(
        ProgramKind::Kprobe,
        abi::Attach::Uretprobe {
            binary: binary.text.clone().into(),
            symbol: place.text.clone().into(),
        },
    );
    let wildcard = is_pattern(&place.text) || is_pattern(&binary.text);
    registers(&mut point, wildcard);
    point.numbered = Numbered::None;
    point.args = Args::None {
        help: Some("use `retval`: at its return a function's arguments are gone"),
    };
    point.retval = Some((Context::ReturnValue, UINT64));
    Ok(point)
}
