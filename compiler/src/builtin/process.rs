//! The process that hit the probe: `pid`, `tid`, …

use super::{Call, Form, Function, Lower};
use crate::ir::{BinaryOp, Expr, ExprKind, Helper, IntType, Type};
use crate::sema::Lowering;

pub(super) const FUNCTIONS: &[Function] = &[Function {
    name: "pid",
    form: Form::NameOrCall,
    arguments: (0, 0),
    needs_unsafe: false,
    lower: Lower::Value(pid),
}];

/// The upper half of what the helper gives.
fn pid(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let both = l.helper(
        Helper::CurrentPidTgid,
        vec![],
        Type::Int(IntType::U64),
        call.span,
    );
    let shift = l.integer(32, IntType::U64, call.span);
    let high = Expr {
        kind: ExprKind::Binary {
            op: BinaryOp::ShiftRight,
            left: Box::new(both),
            right: Box::new(shift),
        },
        ty: Type::Int(IntType::U64),
        span: call.span,
    };
    Some(l.convert(high, Type::Int(IntType::U32)))
}
