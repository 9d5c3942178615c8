//! Questions about types, answered when compiling: `is_ptr`, `is_str`, …

use super::argument::value;
use super::{Call, Function};
use crate::ir::{Expr, ExprKind, Type};
use crate::sema::Lowering;
use crate::syntax::ast;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::call("is_array", (1, 1), "is_array(expression)", |l, call| {
        test(l, call, |e| matches!(e.ty, Type::Array { .. }))
    }),
    Function::call("is_integer", (1, 1), "is_integer(expression)", |l, call| {
        test(l, call, |e| matches!(e.ty, Type::Int(_)))
    }),
    Function::call("is_literal", (1, 1), "is_literal(expression)", |l, call| {
        test(l, call, |e| {
            matches!(e.kind, ExprKind::Integer(_) | ExprKind::String(_))
        })
    }),
    Function::call("is_ptr", (1, 1), "is_ptr(expression)", |l, call| {
        test(l, call, |e| matches!(e.ty, Type::Pointer { .. }))
    }),
    Function::call("is_str", (1, 1), "is_str(expression)", |l, call| {
        test(l, call, |e| matches!(e.ty, Type::String { .. }))
    }),
    Function::call(
        "is_unsigned_integer",
        (1, 1),
        "is_unsigned_integer(expression)",
        |l, call| test(l, call, |e| matches!(e.ty, Type::Int(int) if !int.signed)),
    ),
];

/// The expression is typed and then dropped: it is not evaluated.
fn test(l: &mut Lowering, call: &Call, holds: fn(&Expr) -> bool) -> Option<Expr> {
    let argument = call.arguments.first()?;
    let found = match &argument.kind {
        // A type stands for a value of it.
        ast::ExprKind::Typeof(of) => Expr {
            kind: ExprKind::Tuple(vec![]),
            ty: l.type_of(of)?,
            span: argument.span,
        },
        _ => l.collect(|l| value(l, call, 0)).1?,
    };
    Some(l.boolean(holds(&found), call.span))
}
