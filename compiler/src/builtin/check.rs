//! What must hold: when compiling (`static_assert`, `assert_str`, `fail`) or at run time (`assert`).

use btc_abi as abi;
use btc_runtime::datum::Datum;
use btc_runtime::format::controls::Controls;
use btc_runtime::format::printf;

use super::argument::{self, named};
use super::output::{format_and_values, has_text};
use super::{Call, Function, control};
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::{Expr, ExprKind, IntType, StmtKind, Type};
use crate::sema::Lowering;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::call("assert", (2, 2), "assert(condition, \"message\")", assert),
    Function::call(
        "static_assert",
        (1, 2),
        "static_assert(condition[, \"message\"])",
        static_assert,
    ),
    Function::call("assert_str", (1, 1), "assert_str(expression)", assert_str),
    Function::call("fail", (1, usize::MAX), "fail(\"format\", …)", fail),
];

/// The status of a run that a check ended.
const FAILED: u64 = 1;

/// Says what was asserted and ends the run where the condition doesn't hold.
fn assert(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let condition = l.condition(call.arguments.first()?)?;
    let (otherwise, said) = l.collect(|l| {
        let message = argument::value(l, call, 1)?;
        if !has_text(&message.ty) {
            let found = named(l, &message.ty);
            return argument::wrong(l, call, 1, "a message", &found);
        }
        end(l, call, failed_assertion(), vec![message]);
        Some(())
    });
    said?;
    let kind = StmtKind::If {
        condition,
        then: vec![],
        otherwise,
    };
    l.push(kind, call.span);
    Some(l.void(call.span))
}

/// `assert failed: %s`
fn failed_assertion() -> abi::Format {
    let flags = abi::Flags {
        left: false,
        zero: false,
        plus: false,
        space: false,
        alternate: false,
    };
    let parts = vec![
        abi::Part::Literal {
            text: "assert failed: ".into(),
        },
        abi::Part::Argument {
            flags,
            width: abi::Width::None,
            precision: None,
            conversion: abi::Conversion::String,
        },
    ];
    abi::Format {
        parts: parts.into(),
    }
}

/// An error message, and the end of the run.
fn end(l: &mut Lowering, call: &Call, format: abi::Format, values: Vec<Expr>) {
    l.emit(abi::RecordKind::Errorf { format }, values, call.span);
    let status = l.integer(FAILED, IntType::I64, call.span);
    control::leave(l, status, call.span);
}

fn static_assert(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let (_, condition) = l.collect(|l| l.condition(call.arguments.first()?));
    let condition = condition?;
    let ExprKind::Integer(truth) = condition.kind else {
        return argument::wrong(
            l,
            call,
            0,
            "a condition that is known when compiling",
            "one that is only known at run time",
        );
    };
    if truth != 0 {
        return Some(l.void(call.span));
    }
    let message = match call.arguments.len() {
        2 => format!(
            "static assertion failed: {}",
            argument::literal_text(l, call, 1)?
        ),
        _ => "static assertion failed".to_string(),
    };
    failed(l, call, message)
}

fn failed<T>(l: &mut Lowering, call: &Call, message: String) -> Option<T> {
    if !l.is_dead() {
        l.report(Diagnostic::error(Code::AssertionFailed, call.span, message));
    }
    None
}

/// A string, or chars that stand one after the other.
fn assert_str(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let (_, given) = l.collect(|l| argument::value(l, call, 0));
    let given = given?;
    let is_char = |ty: &Type| matches!(ty, Type::Int(int) if int.bits == 8);
    let like_a_string = match &given.ty {
        Type::String { .. } => true,
        Type::Array { element, .. } => is_char(element),
        Type::Pointer { to, .. } => is_char(to) || matches!(**to, Type::String { .. }),
        _ => false,
    };
    if like_a_string {
        return Some(l.void(call.span));
    }
    let found = named(l, &given.ty);
    failed(l, call, format!("expected a string, found {found}"))
}

/// Ends the compilation where it is reached. What only the target knows decides there: then it ends the run.
fn fail(l: &mut Lowering, call: &Call) -> Option<Expr> {
    if l.is_dead() {
        return Some(l.void(call.span));
    }
    let (body, made) = l.collect(|l| format_and_values(l, call));
    let (format, values) = made?;
    if l.depends_on_target() {
        for stmt in body {
            l.push(stmt.kind, stmt.span);
        }
        end(l, call, format, values);
        return Some(l.void(call.span));
    }
    let mut known = vec![];
    for value in &values {
        let Some(datum) = constant(value) else {
            return l.error(
                Code::ArgumentType,
                value.span,
                "`fail` ends the compilation, and this is only known at run time",
            );
        };
        known.push(datum);
    }
    let mut text = vec![];
    printf::write(&format, known.into_iter(), Controls::Raw, &mut text);
    let text = match String::from_utf8_lossy(&text).trim_end() {
        "" => "`fail` is reached".to_owned(),
        words => words.to_owned(),
    };
    failed(l, call, text)
}

/// A constant as `printf` would print it.
fn constant(value: &Expr) -> Option<Datum<'static>> {
    match (&value.kind, &value.ty) {
        (ExprKind::Integer(n), Type::Bool) => Some(Datum::Bool(*n != 0)),
        (ExprKind::Integer(n), Type::Int(int)) if int.signed => Some(Datum::Signed(*n as i64)),
        (ExprKind::Integer(n), _) => Some(Datum::Unsigned(*n)),
        (ExprKind::EnumValue { name, value, .. }, _) => Some(Datum::Named {
            text: name.clone(),
            number: i128::from(value.cast_signed()),
        }),
        (ExprKind::String(text), _) => Some(Datum::Text(text.clone().into())),
        (ExprKind::Convert(of), _) => constant(of),
        _ => None,
    }
}
