//! A literal looked for in a string: `strcontains`, `strstr`. A loop over the string, byte compares inside.

use super::argument::{self, named, value};
use super::{Call, Function};
use crate::diagnostic::Unsupported;
use crate::ir::{BinaryOp, Expr, ExprKind, IntType, LogicalOp, Step, Stmt, StmtKind, Type};
use crate::sema::Lowering;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::call(
        "strcontains",
        (2, 2),
        "strcontains(haystack, \"needle\")",
        |l, call| {
            let at = position(l, call)?;
            let zero = l.integer(0, IntType::I64, call.span);
            Some(l.binary(BinaryOp::GreaterEqual, at, zero, I64, call.span))
        },
    ),
    Function::call("strstr", (2, 2), "strstr(haystack, \"needle\")", position),
];

const I64: Type = Type::Int(IntType::I64);
const BYTE: IntType = IntType {
    bits: 8,
    signed: false,
};
/// Each byte is a compare in the loop's body.
const LONGEST_NEEDLE: usize = 64;

/// Where the needle starts, or -1.
fn position(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let haystack = value(l, call, 0)?;
    let Type::String { size } = haystack.ty else {
        let found = named(l, &haystack.ty);
        return argument::wrong(l, call, 0, "a string", &found);
    };
    let argument = call.arguments.get(1)?;
    let Some(needle) = l.literal_string(argument) else {
        l.expr(argument)?;
        return l.not_supported_yet(argument.span, Unsupported::DynamicNeedle);
    };
    if needle.contains(&0) || needle.len() > LONGEST_NEEDLE {
        let found = format!("{} bytes", needle.len());
        let expected = format!("at most {LONGEST_NEEDLE} bytes without NUL");
        return argument::wrong(l, call, 1, &expected, &found);
    }
    if needle.is_empty() {
        return Some(l.integer(0, IntType::I64, call.span));
    }
    let haystack = l.once(haystack);
    let found = l.new_local(I64);
    let nowhere = l.integer(u64::MAX, IntType::I64, call.span);
    set(l, found, nowhere, call);
    // The NUL is none of the bytes that are looked at.
    let starts = i64::from(size) - needle.len() as i64;
    if starts > 0 {
        search(l, call, &haystack, &needle, starts as u64, found);
    }
    Some(l.local(found, call.span))
}

fn search(
    l: &mut Lowering,
    call: &Call,
    haystack: &Expr,
    needle: &[u8],
    starts: u64,
    found: crate::ir::LocalId,
) {
    let span = call.span;
    let variable = l.new_local(I64);
    let here = l.local(variable, span);
    let mut same = None;
    for (offset, byte) in needle.iter().enumerate() {
        let equal = byte_is(l, call, haystack, &here, offset as u64, *byte);
        same = Some(match same {
            None => equal,
            Some(before) => Expr {
                kind: ExprKind::Logical {
                    op: LogicalOp::And,
                    left: Box::new(before),
                    right: Box::new(equal),
                },
                ty: Type::Bool,
                span,
            },
        });
    }
    let Some(same) = same else { return };
    let ended = byte_is(l, call, haystack, &here, 0, 0);
    let (body, ()) = l.collect(|l| {
        let (then, ()) = l.collect(|l| {
            set(l, found, here.clone(), call);
            l.push(StmtKind::Break, span);
        });
        when(l, call, same, then);
        let (then, ()) = l.collect(|l| l.push(StmtKind::Break, span));
        when(l, call, ended, then);
    });
    let start = l.integer(0, IntType::I64, span);
    let end = l.integer(starts, IntType::I64, span);
    l.push(
        StmtKind::ForRange {
            variable,
            start,
            end,
            body,
        },
        span,
    );
}

fn set(l: &mut Lowering, local: crate::ir::LocalId, value: Expr, call: &Call) {
    l.push(StmtKind::SetLocal { local, value }, call.span);
}

fn when(l: &mut Lowering, call: &Call, condition: Expr, then: Vec<Stmt>) {
    l.push(
        StmtKind::If {
            condition,
            then,
            otherwise: vec![],
        },
        call.span,
    );
}

/// `haystack[at + offset] == byte`
fn byte_is(l: &Lowering, call: &Call, haystack: &Expr, at: &Expr, offset: u64, byte: u8) -> Expr {
    let offset = l.integer(offset, IntType::I64, call.span);
    let index = l.binary(BinaryOp::Add, at.clone(), offset, I64, call.span);
    let part = Expr {
        kind: ExprKind::Part {
            of: Box::new(haystack.clone()),
            steps: vec![Step::Index {
                element: Type::Int(BYTE),
                index: Box::new(index),
                count: None,
            }],
        },
        ty: Type::Int(BYTE),
        span: call.span,
    };
    let byte = l.integer(u64::from(byte), BYTE, call.span);
    l.binary(BinaryOp::Equal, part, byte, Type::Int(BYTE), call.span)
}
