//! `tseries`: values by the interval in which they are seen.

use btc_abi as abi;

use super::argument::{self, integer, named};
use super::{Call, Function};
use crate::ir::{AggregateUpdate, Aggregation, IntType, Type};
use crate::sema::Lowering;

pub(super) const FUNCTIONS: &[Function] = &[Function::aggregation(
    "tseries",
    (3, 4),
    "tseries(number, interval, intervals[, \"avg\"|\"max\"|\"min\"|\"sum\"])",
    series,
)];

/// Intervals that each CPU keeps for each key: what it keeps may have 32 KiB, which is what the kernel gives a per-CPU value.
const MOST_INTERVALS: i128 = 1000;

fn series(l: &mut Lowering, call: &Call) -> Option<(Aggregation, AggregateUpdate)> {
    let value = integer(l, call, 0)?;
    let interval = argument::number(l, call, 1, 1, i128::from(i64::MAX))?;
    let count = argument::number(l, call, 2, 1, MOST_INTERVALS)?;
    let series = abi::Series {
        interval,
        count,
        signed: matches!(value.ty, Type::Int(int) if int.signed),
        keeps: keeps(l, call)?,
    };
    // Intervals start at whole ones of the time of day.
    let _ = l.slot(
        abi::TargetValue::RealtimeOffset,
        Type::Int(IntType::U64),
        call.span,
    );
    let update = AggregateUpdate::Tseries {
        value,
        series: series.clone(),
    };
    Some((Aggregation::Tseries(series), update))
}

fn keeps(l: &mut Lowering, call: &Call) -> Option<abi::Keeps> {
    let Some(argument) = call.arguments.get(3) else {
        return Some(abi::Keeps::Last);
    };
    const EXPECTED: &str = "`\"avg\"`, `\"max\"`, `\"min\"` or `\"sum\"`";
    let Some(text) = l.literal_string(argument) else {
        let (_, lowered) = l.collect(|l| l.expr(argument));
        let found = named(l, &lowered?.ty);
        return argument::wrong(l, call, 3, EXPECTED, &found);
    };
    match text.as_slice() {
        b"avg" => Some(abi::Keeps::Average),
        b"max" => Some(abi::Keeps::Max),
        b"min" => Some(abi::Keeps::Min),
        b"sum" => Some(abi::Keeps::Sum),
        other => {
            let found = format!("`\"{}\"`", other.escape_ascii());
            argument::wrong(l, call, 3, EXPECTED, &found)
        }
    }
}
