//! What the CPUs counted each for itself → one number, one set of statistics, one histogram, one time series.

use btc_abi::Value;
use btc_abi::value::lhist_buckets;

use crate::datum::{Bound, Bucket, Histogram};
use crate::series;

/// A merged map value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Merged {
    Number {
        bits: u64,
        signed: bool,
    },
    Stats {
        count: u64,
        total: u64,
        signed: bool,
    },
    Buckets(Vec<u64>),
    /// Numbers of intervals and what is kept of them, in order.
    Series(Vec<(u64, i128)>),
}

impl Merged {
    /// What elements are sorted by: the number, the average, the sum of all counters; series by their keys.
    #[must_use]
    pub fn rank(&self) -> i128 {
        match self {
            Merged::Number { bits, signed } => wide(*bits, *signed),
            Merged::Stats { .. } => self.average(),
            Merged::Buckets(counters) => counters.iter().map(|count| i128::from(*count)).sum(),
            Merged::Series(_) => 0,
        }
    }

    /// The total divided by the count, cut towards zero; 0 of nothing.
    #[must_use]
    pub fn average(&self) -> i128 {
        match self {
            Merged::Stats {
                count,
                total,
                signed,
            } => wide(*total, *signed)
                .checked_div(i128::from(*count))
                .unwrap_or(0),
            Merged::Number { .. } | Merged::Buckets(_) | Merged::Series(_) => 0,
        }
    }
}

/// Bits as the number that they are.
#[must_use]
pub fn wide(bits: u64, signed: bool) -> i128 {
    if signed {
        i128::from(bits.cast_signed())
    } else {
        i128::from(bits)
    }
}

/// `value`'s little-endian integer at `at`, sign or zero extended; 0 beyond the end.
#[must_use]
pub fn integer(bytes: &[u8], at: usize, size: u8, signed: bool) -> u64 {
    let mut raw = [0; 8];
    let size = usize::from(size).min(8);
    if let Some(from) = bytes.get(at..at + size) {
        raw[..size].copy_from_slice(from);
    }
    let number = u64::from_le_bytes(raw);
    if !signed || size == 0 {
        return number;
    }
    let unused = 64 - 8 * size as u32;
    ((number << unused).cast_signed() >> unused).cast_unsigned()
}

fn word(bytes: &[u8], index: usize) -> u64 {
    integer(bytes, 8 * index, 8, false)
}

/// Merges the values of all CPUs (one value where the map is not per CPU). `None`: no number, nothing to merge.
#[must_use]
pub fn merge(value: &Value, cpus: &[&[u8]]) -> Option<Merged> {
    let sum = |index| {
        cpus.iter()
            .fold(0u64, |sum, cpu| sum.wrapping_add(word(cpu, index)))
    };
    Some(match value {
        Value::Int { size, signed } => Merged::Number {
            bits: cpus.iter().fold(0u64, |sum, cpu| {
                sum.wrapping_add(integer(cpu, 0, *size, *signed))
            }),
            signed: *signed,
        },
        Value::Count => Merged::Number {
            bits: sum(0),
            signed: false,
        },
        Value::Sum { signed } => Merged::Number {
            bits: sum(0),
            signed: *signed,
        },
        Value::Min { signed } => extreme(cpus, *signed, std::cmp::Ordering::Less),
        Value::Max { signed } => extreme(cpus, *signed, std::cmp::Ordering::Greater),
        Value::Avg { signed } | Value::Stats { signed } => Merged::Stats {
            count: sum(1),
            total: sum(0),
            signed: *signed,
        },
        Value::Hist { .. } | Value::Lhist { .. } => {
            Merged::Buckets((0..value.size() as usize / 8).map(sum).collect())
        }
        Value::Tseries { series } => Merged::Series(series::merge(series, cpus)),
        _ => return None,
    })
}

/// The least or the greatest of the CPUs that saw a value; 0 where none did.
fn extreme(cpus: &[&[u8]], signed: bool, wanted: std::cmp::Ordering) -> Merged {
    let seen = cpus.iter().filter(|cpu| word(cpu, 1) != 0);
    let best = seen.map(|cpu| word(cpu, 0)).reduce(|best, next| {
        if wide(next, signed).cmp(&wide(best, signed)) == wanted {
            next
        } else {
            best
        }
    });
    Merged::Number {
        bits: best.unwrap_or(0),
        signed,
    }
}

/// Counters of a `hist` or `lhist` value as buckets with their bounds; `divisor` divides the counts of a `hist`.
#[must_use]
pub fn histogram(value: &Value, counters: &[u64], divisor: u64) -> Histogram {
    let used = |count: &u64| *count != 0;
    let (Some(first), Some(last)) = (
        counters.iter().position(used),
        counters.iter().rposition(used),
    ) else {
        return Histogram::default();
    };
    let buckets = (first..=last).map(|index| {
        let (low, high) = match value {
            Value::Hist { bits } => power_bounds(index as u32, bits.most() as u8),
            Value::Lhist { min, max, step } => {
                linear_bounds(index as u32, min.most(), max.most(), step.most())
            }
            _ => (None, None),
        };
        let divisor = match value {
            Value::Hist { .. } => divisor.max(1),
            _ => 1,
        };
        Bucket {
            low,
            high,
            count: counters[index] / divisor,
        }
    });
    Histogram {
        buckets: buckets.collect(),
    }
}

/// Bucket 0 is what is negative; bucket `index` starts where bucket `index - 1` ends. See [`btc_abi::hist_buckets`].
fn power_bounds(index: u32, bits: u8) -> (Option<Bound>, Option<Bound>) {
    let low = index.checked_sub(1).map(|before| power_bound(before, bits));
    (low, Some(power_bound(index, bits)))
}

fn power_bound(index: u32, bits: u8) -> Bound {
    let steps = 1u32 << bits;
    if index <= 2 * steps {
        return plain_bound(i128::from(index));
    }
    let power = (index >> bits) - 1;
    let within = i128::from(steps + (index & (steps - 1)));
    // The suffix goes by the width of a step, so that a label is a whole number of it.
    let thousands = power / 10;
    let suffix = ["", "K", "M", "G", "T", "P", "E"][thousands as usize];
    Bound {
        number: within << power,
        label: format!("{}{suffix}", within << (power - 10 * thousands)),
    }
}

fn plain_bound(number: i128) -> Bound {
    Bound {
        number,
        label: number.to_string(),
    }
}

/// Bucket 0 is what is below `min`, the last one what is at or above `max`.
fn linear_bounds(index: u32, min: i64, max: i64, step: i64) -> (Option<Bound>, Option<Bound>) {
    let last = lhist_buckets(min, max, step) - 1;
    let bound = |steps: u32| {
        let number = i128::from(min) + i128::from(steps) * i128::from(step);
        linear_bound(number.min(i128::from(max)), step)
    };
    let low = index.checked_sub(1).map(bound);
    let high = (index < last).then(|| bound(index));
    (low, high)
}

/// Steps of whole kibis are labelled in them.
fn linear_bound(number: i128, step: i64) -> Bound {
    const KIBI: i128 = 1 << 10;
    const MEBI: i128 = 1 << 20;
    if i128::from(step) % KIBI != 0 || number == 0 {
        return plain_bound(number);
    }
    let label = if number % MEBI == 0 {
        format!("{}M", number / MEBI)
    } else if number % KIBI == 0 {
        format!("{}K", number / KIBI)
    } else {
        number.to_string()
    };
    Bound { number, label }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[u64]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn integers_are_extended() {
        assert_eq!(integer(&[0xff], 0, 1, true), u64::MAX);
        assert_eq!(integer(&[0xff], 0, 1, false), 255);
        assert_eq!(integer(&[0, 0, 0x80, 0], 2, 2, true), 128);
    }

    #[test]
    fn cpus_are_merged() {
        let (a, b, idle) = (
            words(&[3, 1]),
            words(&[(-5i64).cast_unsigned(), 1]),
            words(&[0, 0]),
        );
        let cpus: [&[u8]; 3] = [&idle, &a, &b];
        let number = |value| match merge(&value, &cpus) {
            Some(Merged::Number { bits, .. }) => bits.cast_signed(),
            other => panic!("{other:?}"),
        };
        assert_eq!(number(Value::Sum { signed: true }), -2);
        assert_eq!(number(Value::Min { signed: true }), -5);
        assert_eq!(number(Value::Min { signed: false }), 3);
        assert_eq!(number(Value::Max { signed: true }), 3);
        assert_eq!(number(Value::Max { signed: false }), -5);
        let stats = merge(&Value::Stats { signed: true }, &cpus).unwrap();
        assert_eq!(stats.average(), -1);
        assert_eq!(
            merge(&Value::Min { signed: true }, &[&idle])
                .unwrap()
                .rank(),
            0
        );
    }

    fn labels(value: &Value, index: usize) -> (Option<String>, Option<String>) {
        let mut counters = vec![0; value.size() as usize / 8];
        counters[index] = 1;
        let histogram = histogram(value, &counters, 1);
        let bucket = &histogram.buckets[0];
        let label = |bound: &Option<Bound>| bound.as_ref().map(|bound| bound.label.clone());
        (label(&bucket.low), label(&bucket.high))
    }

    #[test]
    fn power_of_two_buckets() {
        let some = |low: &str, high: &str| (Some(low.to_owned()), Some(high.to_owned()));
        let plain = Value::Hist { bits: 0.into() };
        assert_eq!(labels(&plain, 0), (None, Some("0".into())));
        assert_eq!(labels(&plain, 1), some("0", "1"));
        assert_eq!(labels(&plain, 2), some("1", "2"));
        assert_eq!(labels(&plain, 3), some("2", "4"));
        assert_eq!(labels(&plain, 12), some("1K", "2K"));
        assert_eq!(labels(&plain, 65), some("8E", "16E"));
        let fine = Value::Hist { bits: 2.into() };
        assert_eq!(labels(&fine, 8), some("7", "8"));
        assert_eq!(labels(&fine, 9), some("8", "10"));
        assert_eq!(labels(&fine, 12), some("14", "16"));
    }

    #[test]
    fn linear_buckets() {
        let some = |low: &str, high: &str| (Some(low.to_owned()), Some(high.to_owned()));
        let tens = Value::Lhist {
            min: (0).into(),
            max: (95).into(),
            step: (10).into(),
        };
        assert_eq!(labels(&tens, 0), (None, Some("0".into())));
        assert_eq!(labels(&tens, 1), some("0", "10"));
        assert_eq!(labels(&tens, 10), some("90", "95"));
        assert_eq!(labels(&tens, 11), (Some("95".into()), None));
        let kibis = Value::Lhist {
            min: (0).into(),
            max: (4096).into(),
            step: (1024).into(),
        };
        assert_eq!(labels(&kibis, 2), some("1K", "2K"));
    }

    #[test]
    fn only_used_buckets_are_kept() {
        let histogram = histogram(&Value::Hist { bits: 0.into() }, &[0, 0, 3, 0, 9, 0], 3);
        let counts: Vec<_> = histogram
            .buckets
            .iter()
            .map(|bucket| bucket.count)
            .collect();
        assert_eq!(counts, [1, 0, 3]);
    }
}
