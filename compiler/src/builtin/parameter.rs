//! `getopt`: a named parameter of the produced executable.

use btc_abi as abi;

use super::argument::{self, named};
use super::{Call, Function};
use crate::diagnostic::Code;
use crate::ir::{Expr, ExprKind, IntType, Type};
use crate::sema::Lowering;

pub(super) const FUNCTIONS: &[Function] = &[Function::call(
    "getopt",
    (1, 3),
    "getopt(\"name\"[, default[, \"description\"]])",
    getopt,
)];

fn getopt(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let name = argument::literal_text(l, call, 0)?;
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if name.is_empty() || name.starts_with('-') || !name.chars().all(is_word) {
        let span = call.arguments.first().map_or(call.span, |a| a.span);
        return l.error(
            Code::ArgumentType,
            span,
            format!(
                "`{}` can't be typed as `--name`: use letters, digits, `-` and `_`",
                name.escape_debug()
            ),
        );
    }
    let ty = match call.arguments.len() {
        1 => abi::ParameterType::Bool { default: false },
        _ => default(l, call)?,
    };
    let description = match call.arguments.len() {
        3 => argument::literal_text(l, call, 2)?,
        _ => String::new(),
    };
    let value_type = match &ty {
        abi::ParameterType::Integer { .. } => Type::Int(IntType::I64),
        abi::ParameterType::Bool { .. } => Type::Bool,
        _ => Type::String {
            size: l.settings.limits.max_strlen,
        },
    };
    let text = matches!(ty, abi::ParameterType::String { .. });
    let parameter = abi::Parameter {
        name: name.into(),
        ty,
        description: description.into(),
    };
    let index = l.named(parameter, call.span)?;
    let value = match text {
        true => abi::TargetValue::NamedString { index },
        false => abi::TargetValue::Named { index },
    };
    Some(l.slot(value, value_type, call.span))
}

/// The default decides the parameter's type.
fn default(l: &mut Lowering, call: &Call) -> Option<abi::ParameterType> {
    let argument = call.arguments.get(1)?;
    if let Some(text) = l.literal_string(argument) {
        let Ok(text) = String::from_utf8(text) else {
            return argument::wrong(l, call, 1, "UTF-8 text", "other bytes");
        };
        return Some(abi::ParameterType::String {
            default: Some(text.into()),
        });
    }
    let (_, lowered) = l.collect(|l| l.expr(argument));
    let lowered = lowered?;
    match (&lowered.kind, &lowered.ty) {
        (ExprKind::Integer(n), Type::Bool) => Some(abi::ParameterType::Bool { default: *n != 0 }),
        (ExprKind::Integer(n), Type::Int(_)) => Some(abi::ParameterType::Integer {
            default: Some(*n as i64),
        }),
        (_, ty) => {
            let found = match ty {
                Type::Int(_) => "a value that is only known at run time".to_string(),
                ty => named(l, ty),
            };
            argument::wrong(l, call, 1, "a number, a string or a bool", &found)
        }
    }
}
