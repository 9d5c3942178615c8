//! Pointers and bits: `kptr`, `uptr`, `bswap`.

use super::argument::{self, named, value};
use super::{Call, Function};
use crate::ir::{Expr, ExprKind, Space, Type};
use crate::sema::Lowering;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::call("kptr", (1, 1), "kptr(pointer)", |l, call| {
        pointer(l, call, Space::Kernel)
    }),
    Function::call("uptr", (1, 1), "uptr(pointer)", |l, call| {
        pointer(l, call, Space::User)
    }),
    Function::call("bswap", (1, 1), "bswap(integer)", swap),
];

fn pointer(l: &mut Lowering, call: &Call, space: Space) -> Option<Expr> {
    let given = value(l, call, 0)?;
    let to = match &given.ty {
        Type::Pointer { to, .. } => to.clone(),
        Type::Int(_) => Box::new(Type::Void),
        ty => {
            let found = named(l, ty);
            return argument::wrong(l, call, 0, "a pointer or an integer", &found);
        }
    };
    Some(l.convert(given, Type::Pointer { to, space }))
}

fn swap(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let given = value(l, call, 0)?;
    let Type::Int(int) = given.ty else {
        let found = named(l, &given.ty);
        return argument::wrong(l, call, 0, "an integer", &found);
    };
    if int.bits == 8 {
        return Some(given);
    }
    let mut unsigned = int;
    unsigned.signed = false;
    let given = l.convert(given, Type::Int(unsigned));
    Some(Expr {
        ty: Type::Int(unsigned),
        span: call.span,
        kind: ExprKind::ByteSwap(Box::new(given)),
    })
}
