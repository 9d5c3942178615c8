//! What changes the traced system, only with `--unsafe`: signals, results of kernel functions, memory of processes.

use super::argument::{self, named, unsigned};
use super::control::signal_number;
use super::string::bytes;
use super::{Call, Function};
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::{BinaryOp, Expr, ExprKind, Helper, IntType, StmtKind, Type};
use crate::sema::Lowering;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::call("signal", (1, 1), "signal(number or \"NAME\")", |l, call| {
        signal(l, call, Helper::SendSignal)
    })
    .guarded(),
    Function::call(
        "signal_thread",
        (1, 1),
        "signal_thread(number or \"NAME\")",
        |l, call| signal(l, call, Helper::SendSignalThread),
    )
    .guarded(),
    Function::call("override", (1, 1), "override(result)", override_result).guarded(),
    Function::call(
        "write_user",
        (3, 3),
        "write_user(address, bytes, length)",
        write_user,
    )
    .guarded(),
];

fn signal(l: &mut Lowering, call: &Call, helper: Helper) -> Option<Expr> {
    let argument = call.arguments.first()?;
    let number = if l.literal_string(argument).is_some() {
        let name = argument::literal_text(l, call, 0)?;
        match signal_number(&name) {
            Some(number) => l.integer(number, IntType::U64, argument.span),
            None => {
                let found = format!("`{}`", name.escape_debug());
                return argument::wrong(l, call, 0, "the name of a signal", &found);
            }
        }
    } else if l.constant_integer(argument).is_some() {
        let n = argument::constant(l, call, 0, 1, 64)?;
        l.integer(n as u64, IntType::U64, argument.span)
    } else {
        argument::integer(l, call, 0)?
    };
    let number = argument::unsigned(l, number);
    let value = l.helper(helper, vec![number], Type::Int(IntType::I64), call.span);
    l.push(StmtKind::Eval(value), call.span);
    Some(l.void(call.span))
}

/// The function doesn't run: it returns this at once.
fn override_result(l: &mut Lowering, call: &Call) -> Option<Expr> {
    if l.probe.provider != "kprobe" {
        l.report(
            Diagnostic::error(
                Code::WrongProbe,
                call.span,
                format!("`{}` probes can't override a result", l.probe.provider),
            )
            .with_help("use a `kprobe` on the function"),
        );
        return None;
    }
    let result = argument::integer(l, call, 0)?;
    let result = unsigned(l, result);
    let value = l.helper(Helper::OverrideReturn, vec![result], I64, call.span);
    l.push(StmtKind::Eval(value), call.span);
    Some(l.void(call.span))
}

const I64: Type = Type::Int(IntType::I64);

/// Whether the bytes could be written.
fn write_user(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let to = argument::address(l, call, 0)?;
    let from = bytes(l, call, 1)?;
    if !matches!(from.ty, Type::Buffer { .. }) {
        let found = named(l, &from.ty);
        return argument::wrong(l, call, 1, "bytes or a pointer to them", &found);
    }
    let result = Expr {
        kind: ExprKind::WriteUser {
            to: Box::new(to),
            from: Box::new(from),
        },
        ty: I64,
        span: call.span,
    };
    let zero = l.integer(0, IntType::I64, call.span);
    Some(l.binary(BinaryOp::Equal, result, zero, I64, call.span))
}
