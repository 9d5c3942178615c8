//! `exit`, and the names of signals.

use btc_abi as abi;

use super::argument;
use super::{Call, Function};
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::{Expr, IntType, StmtKind, Type};
use crate::sema::Lowering;
use crate::source::Span;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::call("exit", (0, 1), "exit([status])", exit),
    Function::call("unwatch", (1, 1), "unwatch(address)", unwatch),
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

/// Watchpoints that a script sets while it runs are gone, and with them what ended these.
fn unwatch(l: &mut Lowering, call: &Call) -> Option<Expr> {
    l.report(
        Diagnostic::error(
            Code::Removed,
            call.span,
            "`unwatch` is no longer part of the language: a watchpoint lasts as long as the run",
        )
        .with_help("end the run with `exit()`, or use a predicate"),
    );
    None
}

/// Tells the runtime to end, and ends this probe.
fn exit(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let status = match call.arguments.len() {
        0 => l.integer(0, IntType::I64, call.span),
        _ => argument::integer(l, call, 0)?,
    };
    Some(leave(l, status, call.span))
}

/// Tells the runtime to end with a status, and ends this probe.
pub(super) fn leave(l: &mut Lowering, status: Expr, span: Span) -> Expr {
    let status = l.convert(status, Type::Int(IntType::I64));
    let done = l.emit(abi::RecordKind::Exit, vec![status], span);
    l.push(StmtKind::Return, span);
    done
}
