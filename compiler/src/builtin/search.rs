//! A string looked for in another: `strcontains`, `strstr`.

use super::argument::text;
use super::{Call, Function};
use crate::ir::{BinaryOp, Expr, ExprKind, IntType, Type};
use crate::sema::Lowering;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::call(
        "strcontains",
        (2, 2),
        "strcontains(haystack, needle)",
        |l, call| {
            let at = position(l, call)?;
            let zero = l.integer(0, IntType::I64, call.span);
            Some(l.binary(BinaryOp::GreaterEqual, at, zero, I64, call.span))
        },
    ),
    Function::call("strstr", (2, 2), "strstr(haystack, needle)", position),
];

const I64: Type = Type::Int(IntType::I64);

/// Where the needle starts, or -1; an empty one is everywhere.
fn position(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let haystack = text(l, call, 0)?;
    let needle = text(l, call, 1)?;
    if let (ExprKind::String(haystack), ExprKind::String(needle)) = (&haystack.kind, &needle.kind) {
        let at = find(until_nul(haystack), until_nul(needle));
        return Some(l.integer(at as u64, IntType::I64, call.span));
    }
    Some(Expr {
        kind: ExprKind::Find {
            haystack: Box::new(haystack),
            needle: Box::new(needle),
        },
        ty: I64,
        span: call.span,
    })
}

fn until_nul(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == 0).next().unwrap_or(text)
}

fn find(haystack: &[u8], needle: &[u8]) -> i64 {
    if needle.is_empty() {
        return 0;
    }
    let mut windows = haystack.windows(needle.len());
    windows
        .position(|window| window == needle)
        .map_or(-1, |at| at as i64)
}
