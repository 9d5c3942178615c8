//! `exit`, signals, and checks at compile time.

use btc_abi as abi;

use super::argument;
use super::{Call, Function};
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::{Expr, ExprKind, Helper, IntType, StmtKind, Type};
use crate::sema::Lowering;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::call("exit", (0, 1), "exit([status])", exit),
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
    Function::call(
        "static_assert",
        (1, 2),
        "static_assert(condition[, \"message\"])",
        static_assert,
    ),
];

/// The number of a signal by its name, which may have `SIG` before it.
#[must_use]
pub fn signal_number(name: &str) -> Option<u64> {
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("SIG").unwrap_or(&upper);
    let found = SIGNALS.iter().find(|(name, _)| *name == short);
    found.map(|(_, number)| *number)
}

/// Numbers of asm-generic/signal.h, which x86 and arm64 share.
const SIGNALS: &[(&str, u64)] = &[
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("PWR", 30),
    ("SYS", 31),
];

/// Tells the runtime to end, and ends this probe.
fn exit(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let status = match call.arguments.len() {
        0 => l.integer(0, IntType::I64, call.span),
        _ => argument::integer(l, call, 0)?,
    };
    let status = l.convert(status, Type::Int(IntType::I64));
    let done = l.emit(abi::RecordKind::Exit, vec![status], call.span);
    l.push(StmtKind::Return, call.span);
    Some(done)
}

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

fn static_assert(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let (_, condition) = l.collect(|l| l.condition(&call.arguments[0]));
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
    l.report(Diagnostic::error(Code::InvalidOperand, call.span, message));
    None
}
