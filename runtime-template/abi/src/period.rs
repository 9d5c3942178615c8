//! Numbers and periods as the language writes them: read by the compiler, and on the target where they are parameters.

use crate::PerfPeriod;

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

/// Nanoseconds of a unit by its name.
#[must_use]
pub fn unit(name: &str) -> Option<u64> {
    let found = UNITS.iter().find(|(known, _)| *known == name);
    found.map(|(_, ns)| *ns)
}

/// A decimal, octal, hexadecimal, underscored or `1e6` number.
#[must_use]
pub fn number(text: &str) -> Option<u64> {
    let plain = text.replace('_', "");
    if plain.is_empty() || text.starts_with('_') {
        return None;
    }
    if let Some(hex) = plain.strip_prefix("0x").or(plain.strip_prefix("0X")) {
        return u64::from_str_radix(hex, 16).ok();
    }
    if let Some((mantissa, exponent)) = plain.split_once(['e', 'E']) {
        let scale = 10u64.checked_pow(exponent.parse().ok()?)?;
        return mantissa.parse::<u64>().ok()?.checked_mul(scale);
    }
    if plain.len() > 1 && plain.starts_with('0') {
        return u64::from_str_radix(&plain, 8).ok();
    }
    plain.parse().ok()
}

/// `1s`, `250ms`: nanoseconds.
#[must_use]
pub fn duration(text: &str) -> Option<u64> {
    let split = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (count, name) = text.split_at(split);
    number(count)?.checked_mul(unit(name)?)
}

/// A period without a unit of its own: `99hz`, `1s`, or a count of nanoseconds; none of 0.
#[must_use]
pub fn bare(text: &str) -> Option<PerfPeriod> {
    if let Some(hz) = text.strip_suffix("hz").and_then(number) {
        return (hz > 0).then_some(PerfPeriod::Hertz { hz });
    }
    let ns = duration(text).or_else(|| number(text))?;
    (ns > 0).then_some(PerfPeriod::Nanoseconds { ns })
}
