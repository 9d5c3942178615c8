//! `uprobe` and `uretprobe`: functions, addresses and source lines of programs and libraries, found on the target.

use btc_abi as abi;

use super::kprobe::UINT64;
use super::point::{Parts, is_pattern, number, one, split_offset};
use super::{Args, Environment, Func, Numbered, ProbeContext, Provider};
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::{Context, ProgramKind};
use crate::syntax::ast::AttachPart;

const FORMS: &str = "`uprobe:binary:function`, `uprobe:binary:function+offset`, `uprobe:binary:address`, `uprobe:binary:cpp:\"name\"` and `uprobe:binary@file:line`";
const RETURN_FORMS: &str = "`uretprobe:binary:function` and `uretprobe:binary:cpp:\"name\"`";

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
}

/// The parts as they are written, by their form.
enum Form<'a> {
    Plain(&'a AttachPart),
    Cpp(&'a AttachPart),
    Line {
        file: &'a str,
        line: u32,
        column: u32,
    },
}

/// The binary's name, and what is named in it.
fn read<'a>(parts: &Parts<'a>) -> Result<(&'a str, Form<'a>), Diagnostic> {
    if let Some((binary, file)) = at_file(parts.all()) {
        let numbers = parts.between(2, 3)?;
        let number = |at: usize| match numbers.get(at) {
            None => Ok(0),
            Some(part) => match number(&part.text).and_then(|n| u32::try_from(n).ok()) {
                Some(n) if n > 0 => Ok(n),
                _ => Err(parts.wrong(
                    part.span,
                    format!(
                        "expected a line or column from 1, found `{}`",
                        part.text.escape_debug()
                    ),
                )),
            },
        };
        let (line, column) = (number(1)?, number(2)?);
        if binary.is_empty() || file.is_empty() {
            let span = numbers.first().map_or(parts.span(), |part| part.span);
            return Err(parts.wrong(span, "expected `binary@file`"));
        }
        return Ok((binary, Form::Line { file, line, column }));
    }
    if let [_, language, rest @ ..] = parts.all()
        && !rest.is_empty()
    {
        if language.text != "cpp" {
            let message = format!("unknown language `{}`", language.text.escape_debug());
            return Err(parts.wrong(language.span, message));
        }
        if let [first, .., last] = rest {
            let name: Vec<&str> = rest.iter().map(|part| part.text.as_str()).collect();
            let written = name.join(":");
            return Err(Diagnostic::error(
                Code::InvalidProbe,
                first.span.to(last.span),
                "a C++ name with colons must be in quotes",
            )
            .with_help(format!("write `cpp:\"{}\"`", written.escape_debug())));
        }
    }
    match parts.between(2, 3)? {
        [binary, place] => Ok((&binary.text, Form::Plain(place))),
        [binary, _, name] => Ok((&binary.text, Form::Cpp(name))),
        _ => Err(parts.wrong(parts.span(), "expected a binary and a function")),
    }
}

/// `binary@file` with a number or nothing behind it: with anything else it is a path that has an `@` in it.
fn at_file(parts: &[AttachPart]) -> Option<(&str, &str)> {
    let (first, rest) = parts.split_first()?;
    let number = |part: &AttachPart| number(&part.text).is_some();
    if first.quoted || !rest.first().is_none_or(number) {
        return None;
    }
    first.text.rsplit_once('@')
}

fn entry(parts: &Parts, environment: &Environment) -> Result<ProbeContext, Diagnostic> {
    let (binary, form) = read(parts)?;
    let bounded = !environment.unsafe_mode;
    let mut args = no_prototype(parts, "only at a function's entry are its arguments known");
    let mut pattern = is_pattern(binary);
    let place = match form {
        Form::Line { file, line, column } => abi::UserPlace::Line {
            file: file.to_owned().into(),
            line,
            column,
        },
        Form::Cpp(name) => {
            pattern |= is_pattern(&name.text);
            args = no_prototype(parts, "a C++ name can stand for several functions");
            abi::UserPlace::Cpp {
                name: name.text.clone().into(),
            }
        }
        Form::Plain(part) if part.text.starts_with(|c: char| c.is_ascii_digit()) => {
            abi::UserPlace::Address {
                address: address(parts, part)?,
                bounded,
            }
        }
        Form::Plain(part) => {
            let (symbol, offset) = function(parts, part)?;
            pattern |= is_pattern(symbol);
            if pattern {
                args = no_prototype(
                    parts,
                    "the functions of a pattern have no arguments in common",
                );
            } else if offset == 0 {
                args = Args::User {
                    binary: binary.to_owned(),
                    function: symbol.to_owned(),
                };
            }
            abi::UserPlace::Function {
                symbol: symbol.to_owned().into(),
                offset,
                bounded,
            }
        }
    };
    let attach = abi::Attach::Uprobe {
        binary: binary.to_owned().into(),
        place,
        signature: None,
    };
    let mut point = parts.made(ProgramKind::Kprobe, attach);
    registers(&mut point, pattern);
    point.args = args;
    Ok(point)
}

fn no_prototype(parts: &Parts, why: &str) -> Args {
    let message = format!("no `args` here: {why}");
    let diagnostic = Diagnostic::error(Code::WrongProbe, parts.span(), message);
    Args::Unknown(Box::new(diagnostic.with_help("use `arg0` to `argN`")))
}

fn address(parts: &Parts, part: &AttachPart) -> Result<u64, Diagnostic> {
    number(&part.text).ok_or_else(|| {
        let message = format!("expected an address, found `{}`", part.text.escape_debug());
        parts.wrong(part.span, message)
    })
}

fn function<'a>(parts: &Parts, part: &'a AttachPart) -> Result<(&'a str, u64), Diagnostic> {
    let (symbol, offset) = split_offset(&part.text).ok_or_else(|| {
        let message = format!(
            "expected `function+offset`, found `{}`",
            part.text.escape_debug()
        );
        parts.wrong(part.span, message)
    })?;
    if offset != 0 && is_pattern(symbol) {
        return Err(parts.wrong(part.span, "a pattern can't have an offset"));
    }
    Ok((symbol, offset))
}

fn exit(parts: &Parts, environment: &Environment) -> Result<ProbeContext, Diagnostic> {
    let (binary, form) = read(parts)?;
    let no_place = |part: &AttachPart| {
        parts.wrong(
            part.span,
            "a return probe fires at the function's return: it can't have an offset",
        )
    };
    let (name, place) = match form {
        Form::Line { .. } => {
            return Err(parts.wrong(
                parts.span(),
                "a return probe fires at the function's return: it can't be at a line",
            ));
        }
        Form::Plain(part)
            if part.text.contains('+') || part.text.starts_with(|c: char| c.is_ascii_digit()) =>
        {
            return Err(no_place(part));
        }
        Form::Plain(part) => {
            let symbol = part.text.clone().into();
            let place = abi::UserPlace::Function {
                symbol,
                offset: 0,
                bounded: !environment.unsafe_mode,
            };
            (part, place)
        }
        Form::Cpp(part) => {
            let name = part.text.clone().into();
            (part, abi::UserPlace::Cpp { name })
        }
    };
    let attach = abi::Attach::Uretprobe {
        binary: binary.to_owned().into(),
        place,
    };
    let mut point = parts.made(ProgramKind::Kprobe, attach);
    registers(&mut point, is_pattern(&name.text) || is_pattern(binary));
    point.numbered = Numbered::None;
    point.args = Args::None {
        help: Some("use `retval`: at its return a function's arguments are gone"),
    };
    point.retval = Some((Context::ReturnValue, UINT64));
    Ok(point)
}
