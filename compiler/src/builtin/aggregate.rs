//! Aggregations: what stands right of `@m =` and is collected per CPU.

use btc_abi as abi;

use super::argument::{self, integer};
use super::{Call, Function};
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::{AggregateUpdate, Aggregation, Expr, IntType, Type};
use crate::sema::Lowering;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::aggregation("count", (0, 0), "count()", |_, _| {
        Some((Aggregation::Count, AggregateUpdate::Count))
    }),
    Function::aggregation("sum", (1, 1), "sum(number)", |l, call| {
        let (value, signed) = number(l, call)?;
        Some((Aggregation::Sum { signed }, AggregateUpdate::Sum(value)))
    }),
    Function::aggregation("min", (1, 1), "min(number)", |l, call| {
        let (value, signed) = number(l, call)?;
        Some((Aggregation::Min { signed }, AggregateUpdate::Min(value)))
    }),
    Function::aggregation("max", (1, 1), "max(number)", |l, call| {
        let (value, signed) = number(l, call)?;
        Some((Aggregation::Max { signed }, AggregateUpdate::Max(value)))
    }),
    Function::aggregation("avg", (1, 1), "avg(number)", |l, call| {
        let (value, signed) = number(l, call)?;
        Some((Aggregation::Avg { signed }, AggregateUpdate::Avg(value)))
    }),
    Function::aggregation("stats", (1, 1), "stats(number)", |l, call| {
        let (value, signed) = number(l, call)?;
        Some((Aggregation::Stats { signed }, AggregateUpdate::Stats(value)))
    }),
    Function::aggregation("hist", (1, 2), "hist(number[, bits])", hist),
    Function::aggregation("lhist", (4, 4), "lhist(number, min, max, step)", lhist),
];

/// A linear histogram's buckets on each CPU.
const MOST_BUCKETS: i128 = abi::number::MOST_LINEAR as i128;

fn number(l: &mut Lowering, call: &Call) -> Option<(Expr, bool)> {
    let value = integer(l, call, 0)?;
    let signed = matches!(value.ty, Type::Int(int) if int.signed);
    Some((value, signed))
}

fn signed(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let value = integer(l, call, 0)?;
    Some(l.convert(value, Type::Int(IntType::I64)))
}

fn hist(l: &mut Lowering, call: &Call) -> Option<(Aggregation, AggregateUpdate)> {
    let value = signed(l, call)?;
    let bits = match call.arguments.len() {
        1 => abi::Number::from(0),
        _ => argument::number(l, call, 1, 0, 5)?,
    };
    Some((
        Aggregation::Hist { bits: bits.clone() },
        AggregateUpdate::Hist { value, bits },
    ))
}

fn lhist(l: &mut Lowering, call: &Call) -> Option<(Aggregation, AggregateUpdate)> {
    let value = signed(l, call)?;
    let (low, high) = (i128::from(i64::MIN), i128::from(i64::MAX));
    let min = argument::number(l, call, 1, low, high)?;
    let max = argument::number(l, call, 2, low, high)?;
    let step = argument::number(l, call, 3, 1, high)?;
    match (min.constant(), max.constant(), step.constant()) {
        (Some(min), Some(max), Some(step)) => {
            check_linear(l, call, min.into(), max.into(), step.into())?;
        }
        _ => {
            let (min, max, step) = (min.clone(), max.clone(), step.clone());
            let rule = abi::Rule::Linear { min, max, step };
            l.check("`lhist`".to_owned(), rule, call.span);
        }
    }
    Some((
        Aggregation::Lhist {
            min: min.clone(),
            max: max.clone(),
            step: step.clone(),
        },
        AggregateUpdate::Lhist {
            value,
            min,
            max,
            step,
        },
    ))
}

/// Whether the bounds of a linear histogram make sense.
fn check_linear(l: &mut Lowering, call: &Call, min: i128, max: i128, step: i128) -> Option<()> {
    let high = i128::from(i64::MAX);
    let wrong = |l: &mut Lowering, message: String, help: String| {
        l.report(Diagnostic::error(Code::ArgumentType, call.span, message).with_help(help));
    };
    if max <= min {
        wrong(
            l,
            format!("`lhist` needs a max above its min, found {min} to {max}"),
            "the form is `lhist(number, min, max, step)`".into(),
        );
        return None;
    }
    let range = max - min;
    let buckets = range.div_euclid(step) + i128::from(range % step != 0);
    if range + step > high {
        wrong(
            l,
            "the bounds of this `lhist` are too far apart".into(),
            "the form is `lhist(number, min, max, step)`".into(),
        );
        return None;
    }
    if buckets > MOST_BUCKETS {
        wrong(
            l,
            format!("`lhist` has at most {MOST_BUCKETS} buckets, this one would have {buckets}"),
            format!(
                "use a step of {} or more",
                range.div_euclid(MOST_BUCKETS) + i128::from(range % MOST_BUCKETS != 0)
            ),
        );
        return None;
    }
    Some(())
}
