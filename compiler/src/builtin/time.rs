//! Clocks: `nsecs`, `elapsed`, `jiffies`, and the time of day that the runtime prints.

use btc_abi as abi;

use super::argument::{self, unsigned, unsigned_binary};
use super::{Call, Function};
use crate::ir::{BinaryOp, Expr, ExprKind, Helper, IntType, Type};
use crate::sema::Lowering;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::word_or_call("nsecs", 1, "nsecs([monotonic|boot|tai|sw_tai])", nsecs),
    Function::word("elapsed", elapsed),
    Function::word("jiffies", |l, call| {
        Some(l.helper(Helper::Jiffies, vec![], U64, call.span))
    }),
    Function::call("time", (0, 1), "time([\"format\"])", time),
    Function::call("strftime", (2, 2), "strftime(\"format\", nsecs)", strftime),
];

const U64: Type = Type::Int(IntType::U64);

/// The kernel's TAI clock answers for `sw_tai` too: it is what that name approximates where a kernel has no such
/// helper.
fn nsecs(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let helper = match call.arguments.first() {
        None => Helper::KtimeBootNs,
        Some(argument) => match l.word(argument).as_deref() {
            Some("monotonic") => Helper::KtimeNs,
            Some("boot") => Helper::KtimeBootNs,
            Some("tai" | "sw_tai") => Helper::KtimeTaiNs,
            Some(other) => {
                let found = format!("`{other}`");
                return argument::wrong(l, call, 0, "a clock", &found);
            }
            None => return argument::wrong(l, call, 0, "a clock", "an expression"),
        },
    };
    Some(l.helper(helper, vec![], U64, call.span))
}

fn elapsed(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let now = l.helper(Helper::KtimeBootNs, vec![], U64, call.span);
    let start = l.slot(abi::TargetValue::StartTime, U64, call.span);
    Some(unsigned_binary(
        l,
        BinaryOp::Subtract,
        now,
        start,
        call.span,
    ))
}

fn time(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let format = match call.arguments.is_empty() {
        true => "%H:%M:%S\n".to_string(),
        false => argument::literal_text(l, call, 0)?,
    };
    let format = format.into();
    Some(l.emit(abi::RecordKind::Time { format }, vec![], call.span))
}

/// The time is of the clock that the expression reads; one that reads none (a variable, a map) counts from boot, as
/// `nsecs` does.
fn strftime(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let format = argument::literal_text(l, call, 0)?;
    let nsecs = argument::integer(l, call, 1)?;
    let clock = clock_of(&nsecs).unwrap_or(abi::Clock::Boot);
    let nsecs = unsigned(l, nsecs);
    Some(l.convert(nsecs, Type::Timestamp { clock, format }))
}

fn clock_of(value: &Expr) -> Option<abi::Clock> {
    match &value.kind {
        ExprKind::Helper { helper, .. } => match helper {
            Helper::KtimeNs => Some(abi::Clock::Monotonic),
            Helper::KtimeBootNs => Some(abi::Clock::Boot),
            Helper::KtimeTaiNs => Some(abi::Clock::Tai),
            _ => None,
        },
        ExprKind::Convert(of) => clock_of(of),
        ExprKind::Binary { left, right, .. } => clock_of(left).or_else(|| clock_of(right)),
        _ => None,
    }
}
