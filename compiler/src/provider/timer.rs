//! Periods of `interval` and `profile`: `s:1`, `hz:99`, `1s`, or a count of nanoseconds.

use btc_abi as abi;

use super::point::{Parts, number};
use crate::diagnostic::Diagnostic;
use crate::syntax::ast::AttachPart;

/// Nanoseconds in a unit of time.
const UNITS: &[(&str, u64)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

fn unit(name: &str) -> Option<u64> {
    UNITS.iter().find(|(n, _)| *n == name).map(|(_, ns)| *ns)
}

/// `1s`, `250ms`: nanoseconds.
#[must_use]
pub fn duration(text: &str) -> Option<u64> {
    let split = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (count, name) = text.split_at(split);
    number(count)?.checked_mul(unit(name)?)
}

/// The period that an attach point's parts name.
pub fn period(parts: &Parts) -> Result<abi::PerfPeriod, Diagnostic> {
    match parts.between(1, 2)? {
        [bare] => bare_period(parts, bare),
        [name, count, ..] => {
            let n = parts.count(count)?;
            if name.text == "hz" {
                return Ok(abi::PerfPeriod::Hertz { hz: n });
            }
            let Some(scale) = unit(&name.text) else {
                return Err(parts.wrong(
                    name.span,
                    format!("unknown unit of time `{}`", name.text.escape_debug()),
                ));
            };
            let ns = n
                .checked_mul(scale)
                .ok_or_else(|| parts.wrong(count.span, "the period is too long"))?;
            Ok(abi::PerfPeriod::Nanoseconds { ns })
        }
        [] => Err(parts.wrong(parts.span(), "expected a period")),
    }
}

fn bare_period(parts: &Parts, bare: &AttachPart) -> Result<abi::PerfPeriod, Diagnostic> {
    if let Some(hz) = bare.text.strip_suffix("hz").and_then(number) {
        return match hz {
            0 => Err(parts.wrong(bare.span, "a count must be at least 1")),
            hz => Ok(abi::PerfPeriod::Hertz { hz }),
        };
    }
    match duration(&bare.text).or_else(|| number(&bare.text)) {
        Some(0) => Err(parts.wrong(bare.span, "a count must be at least 1")),
        Some(ns) => Ok(abi::PerfPeriod::Nanoseconds { ns }),
        None => Err(parts.wrong(
            bare.span,
            format!("expected a period, found `{}`", bare.text.escape_debug()),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration("1s"), Some(1_000_000_000));
        assert_eq!(duration("250ms"), Some(250_000_000));
        assert_eq!(duration("1d"), Some(86_400_000_000_000));
        assert_eq!(duration("1x"), None);
        assert_eq!(duration("12"), None);
    }
}
