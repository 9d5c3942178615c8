//! What lowering a call's arguments shares: counting words, constants, literals, and the complaint about a wrong one.

use btc_abi as abi;

use super::{Call, lookup};
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::{BinaryOp, Expr, ExprKind, IntType, Place, Space, Type};
use crate::sema::Lowering;
use crate::source::Span;

/// "the 2nd argument of `lhist`"
pub(super) fn ordinal(call: &Call, at: usize) -> String {
    let number = match at + 1 {
        1 => "1st".to_string(),
        2 => "2nd".to_string(),
        3 => "3rd".to_string(),
        n => format!("{n}th"),
    };
    format!("the {number} argument of `{}`", call.name)
}

/// Says what an argument should have been, and how the call is written.
pub(super) fn wrong<T>(
    l: &mut Lowering,
    call: &Call,
    at: usize,
    expected: &str,
    found: &str,
) -> Option<T> {
    let span = call.arguments.get(at).map_or(call.span, |a| a.span);
    let message = format!(
        "expected {expected} for {}, found {found}",
        ordinal(call, at)
    );
    report(l, call, span, message)
}

/// An argument-type error with the call's form as help.
pub(super) fn report<T>(
    l: &mut Lowering,
    call: &Call,
    span: Span,
    message: impl Into<String>,
) -> Option<T> {
    let diagnostic = Diagnostic::error(Code::ArgumentType, span, message);
    l.report(match lookup(call.name) {
        Some(function) => diagnostic.with_help(format!("the form is `{}`", function.usage)),
        None => diagnostic,
    });
    None
}

/// A type in backticks.
pub(super) fn named(l: &Lowering, ty: &Type) -> String {
    format!("`{}`", l.type_name(ty))
}

pub(super) fn value(l: &mut Lowering, call: &Call, at: usize) -> Option<Expr> {
    l.expr(call.arguments.get(at)?)
}

/// An Int of 64 bits with the value's own signedness.
pub(super) fn integer(l: &mut Lowering, call: &Call, at: usize) -> Option<Expr> {
    let given = value(l, call, at)?;
    match l.integer_type(&given.ty) {
        Some(int) => Some(l.convert(given, Type::Int(int))),
        None => {
            let found = named(l, &given.ty);
            wrong(l, call, at, "an integer", &found)
        }
    }
}

/// An integer that must be known when compiling, within bounds.
pub(super) fn constant(
    l: &mut Lowering,
    call: &Call,
    at: usize,
    least: i128,
    most: i128,
) -> Option<i128> {
    let argument = call.arguments.get(at)?;
    let Some(n) = l.constant_integer(argument) else {
        // A fault inside the argument speaks for itself.
        let (_, lowered) = l.collect(|l| l.expr(argument));
        let lowered = lowered?;
        let found = match lowered.ty {
            Type::Int(_) => "a value that is only known at run time".to_string(),
            ref ty => named(l, ty),
        };
        return wrong(l, call, at, "an integer constant", &found);
    };
    if !(least..=most).contains(&n) {
        let expected = match most {
            _ if most >= i128::from(i64::MAX) => format!("at least {least}"),
            _ => format!("{least} to {most}"),
        };
        return wrong(l, call, at, &expected, &format!("{n}"));
    }
    Some(n)
}

/// An integer within bounds that is a constant, or made of the executable's parameters: then the bounds are checked when
/// a run starts.
pub(super) fn number(
    l: &mut Lowering,
    call: &Call,
    at: usize,
    least: i128,
    most: i128,
) -> Option<abi::Number> {
    let argument = call.arguments.get(at)?;
    if l.constant_integer(argument).is_none()
        && let Some(formula) = l.formula(argument)
    {
        let bound = |n: i128| n.clamp(i64::MIN.into(), i64::MAX.into()) as i64;
        let bounds = (bound(least), bound(most));
        return Some(l.told(formula, argument.span, ordinal(call, at), bounds));
    }
    let value = constant(l, call, at, least, most)?;
    Some(abi::Number::from(value as i64))
}

/// A string literal's bytes.
pub(super) fn literal(l: &mut Lowering, call: &Call, at: usize) -> Option<Vec<u8>> {
    let argument = call.arguments.get(at)?;
    if let Some(text) = l.literal_string(argument) {
        return Some(text);
    }
    let (_, lowered) = l.collect(|l| l.expr(argument));
    let lowered = lowered?;
    if let ExprKind::String(text) = lowered.kind {
        return Some(text);
    }
    let found = match &lowered.ty {
        Type::String { .. } if matches!(lowered.kind, ExprKind::Target(_)) => {
            "the text of a parameter, which is not known when the script is compiled".to_string()
        }
        Type::String { .. } => "a string that is only known at run time".to_string(),
        ty => named(l, ty),
    };
    wrong(l, call, at, "a string literal", &found)
}

/// A string literal that is UTF-8 without zero bytes: a name, a path, a format.
pub(super) fn literal_text(l: &mut Lowering, call: &Call, at: usize) -> Option<String> {
    match String::from_utf8(literal(l, call, at)?) {
        Ok(text) if !text.contains('\0') => Some(text),
        _ => wrong(l, call, at, "UTF-8 text", "other bytes"),
    }
}

/// A name that the target looks up: a literal, or the text of a parameter of the executable.
pub(super) fn name(l: &mut Lowering, call: &Call, at: usize) -> Option<abi::Name> {
    let argument = call.arguments.get(at)?;
    let reported = (l.literal_string(argument).is_none()).then(|| l.told_name(argument));
    let Some(name) = reported.flatten() else {
        let text = literal_text(l, call, at)?.into();
        return Some(abi::Name::Literal { text });
    };
    let rule = abi::Rule::Given {
        text: l.text_of(argument.span).into(),
        name: name.clone(),
    };
    l.check(ordinal(call, at), rule, argument.span);
    Some(name)
}

pub(super) fn is_byte(ty: &Type) -> bool {
    matches!(ty, Type::Int(int) if int.bits == 8)
}

/// A string, or what is read as one: an array of bytes, a pointer to bytes.
pub(super) fn text(l: &mut Lowering, call: &Call, at: usize) -> Option<Expr> {
    let given = value(l, call, at)?;
    let most = l.settings.limits.max_strlen;
    match &given.ty {
        Type::String { .. } => Some(given),
        Type::Array { element, count } if is_byte(element) => {
            // One more for the NUL that an array need not have.
            let size = count.saturating_add(1).min(most);
            Some(l.convert(given, Type::String { size }))
        }
        Type::Pointer { to, space } if is_byte(to) || **to == Type::Void => {
            let (space, span) = (*space, given.span);
            Some(Expr {
                kind: ExprKind::ReadString {
                    address: Box::new(unsigned(l, given)),
                    space,
                    length: None,
                },
                ty: Type::String { size: most },
                span,
            })
        }
        ty => {
            let found = named(l, ty);
            wrong(l, call, at, "a string", &found)
        }
    }
}

/// A value that holds an address, as `uint64`.
pub(super) fn address(l: &mut Lowering, call: &Call, at: usize) -> Option<Expr> {
    let given = value(l, call, at)?;
    match given.ty {
        Type::Int(_) | Type::Pointer { .. } | Type::KernelSymbol => Some(unsigned(l, given)),
        ref ty => {
            let found = named(l, ty);
            wrong(l, call, at, "an address", &found)
        }
    }
}

/// The same value as an unsigned integer of 64 bits.
pub(super) fn unsigned(l: &Lowering, value: Expr) -> Expr {
    l.convert(value, Type::Int(IntType::U64))
}

/// Where an address that says nothing of itself points: uprobes and system call entries see user memory.
pub(super) fn default_space(l: &Lowering) -> Space {
    let user_pointers = matches!(
        l.probe.args,
        crate::provider::Args::Tracepoint {
            user_pointers: true,
            ..
        }
    );
    if l.probe.user_space || user_pointers {
        Space::User
    } else {
        Space::Kernel
    }
}

/// The place that a value was read from, where it has one.
pub(super) fn place_of(value: &Expr) -> Option<&Place> {
    match &value.kind {
        ExprKind::Load(place) => Some(place),
        _ => None,
    }
}

/// The address of a place, as `uint64`.
pub(super) fn address_of(l: &Lowering, place: &Place, span: Span) -> Expr {
    let pointer = Expr {
        kind: ExprKind::Address(Box::new(place.clone())),
        ty: Type::Pointer {
            to: Box::new(place.ty.clone()),
            space: place.space,
        },
        span,
    };
    unsigned(l, pointer)
}

/// `left op right` over uint64.
pub(super) fn unsigned_binary(
    l: &Lowering,
    op: BinaryOp,
    left: Expr,
    right: Expr,
    span: Span,
) -> Expr {
    l.binary(op, left, right, Type::Int(IntType::U64), span)
}
