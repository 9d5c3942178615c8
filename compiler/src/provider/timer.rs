//! Periods of `interval` and `profile`: `s:1`, `hz:99`, `1s`, or a count of nanoseconds.

use btc_abi as abi;
pub use btc_abi::period::duration;
use btc_abi::period::unit;

use super::point::{Parts, number};
use crate::diagnostic::Diagnostic;
use crate::syntax::ast::AttachPart;

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
    if let Some(period) = abi::period::bare(&bare.text) {
        return Ok(period);
    }
    let digits = bare
        .text
        .trim_end_matches(|c: char| c.is_ascii_alphabetic());
    if number(digits) == Some(0) {
        return Err(parts.wrong(bare.span, "a count must be at least 1"));
    }
    Err(parts.wrong(
        bare.span,
        format!("expected a period, found `{}`", bare.text.escape_debug()),
    ))
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
