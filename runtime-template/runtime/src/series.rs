//! The intervals of a time series that each CPU kept → one list of intervals.

use std::collections::BTreeMap;

use btc_abi::value::BUCKET_SIZE;
use btc_abi::{Keeps, Series};

use crate::aggregate::{integer, wide};
use crate::datum::{Point, Timeline};

/// What CPUs kept of one interval.
#[derive(Clone, Copy)]
struct Kept {
    value: i128,
    /// See [`btc_abi::value::Bucket::seen`].
    seen: u64,
}

/// Numbers of intervals and what is kept of each, in order. What is older than the series goes back is left over from before.
pub fn merge(series: &Series, cpus: &[&[u8]]) -> Vec<(u64, i128)> {
    let mut intervals: BTreeMap<u64, Kept> = BTreeMap::new();
    for bytes in cpus {
        for bucket in bytes.chunks_exact(BUCKET_SIZE as usize) {
            let word = |index: usize| integer(bucket, 8 * index, 8, false);
            let (value, seen, epoch) = (wide(word(0), series.signed), word(1), word(2));
            if epoch == 0 {
                continue;
            }
            let kept = Kept { value, seen };
            intervals
                .entry(epoch)
                .and_modify(|before| *before = both(&series.keeps, *before, kept))
                .or_insert(kept);
        }
    }
    let last = intervals.keys().next_back().copied().unwrap_or(0);
    let first = (last + 1).saturating_sub(series.count.most().max(1).cast_unsigned());
    (intervals.range(first..))
        .map(|(epoch, kept)| (*epoch, outcome(&series.keeps, *kept)))
        .collect()
}

fn both(keeps: &Keeps, a: Kept, b: Kept) -> Kept {
    let value = match keeps {
        Keeps::Last => return if b.seen > a.seen { b } else { a },
        Keeps::Sum | Keeps::Average => a.value + b.value,
        Keeps::Min => a.value.min(b.value),
        Keeps::Max => a.value.max(b.value),
    };
    Kept {
        value,
        seen: a.seen.wrapping_add(b.seen),
    }
}

fn outcome(keeps: &Keeps, kept: Kept) -> i128 {
    match keeps {
        Keeps::Average => kept.value / i128::from(kept.seen.max(1)),
        Keeps::Last | Keeps::Sum | Keeps::Min | Keeps::Max => kept.value,
    }
}

/// Intervals in the time of day, those between them that saw nothing too.
pub fn timeline(series: &Series, intervals: &[(u64, i128)], divisor: i128) -> Timeline {
    let mut points = Vec::new();
    let mut expected = intervals.first().map_or(1, |(epoch, _)| *epoch);
    for (epoch, value) in intervals {
        let start = |epoch: u64| i128::from(epoch - 1) * i128::from(series.interval.most());
        points.extend((expected..*epoch).map(|missing| Point {
            start: start(missing),
            value: None,
        }));
        points.push(Point {
            start: start(*epoch),
            value: Some(value / divisor.max(1)),
        });
        expected = epoch + 1;
    }
    Timeline {
        interval: series.interval.most().cast_unsigned(),
        points,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(keeps: Keeps, signed: bool) -> Series {
        Series {
            interval: 1000.into(),
            count: 3.into(),
            signed,
            keeps,
        }
    }

    fn buckets(buckets: &[[u64; 3]]) -> Vec<u8> {
        let words = buckets.iter().flatten();
        words.flat_map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn intervals_of_all_cpus_are_merged() {
        let a = buckets(&[[6, 2, 9], [5, 1, 10], [0, 0, 0]]);
        let b = buckets(&[[3, 1, 9], [7, 3, 10], [1, 1, 11]]);
        let merged = |keeps| merge(&series(keeps, false), &[&a, &b]);
        assert_eq!(merged(Keeps::Sum), [(9, 9), (10, 12), (11, 1)]);
        assert_eq!(merged(Keeps::Min), [(9, 3), (10, 5), (11, 1)]);
        assert_eq!(merged(Keeps::Max), [(9, 6), (10, 7), (11, 1)]);
        assert_eq!(merged(Keeps::Average), [(9, 3), (10, 3), (11, 1)]);
        // `seen` is a time here.
        assert_eq!(merged(Keeps::Last), [(9, 6), (10, 7), (11, 1)]);
    }

    #[test]
    fn what_is_left_from_long_ago_is_no_part_of_a_series() {
        let old = buckets(&[[1, 1, 3], [2, 1, 4], [3, 1, 8]]);
        assert_eq!(merge(&series(Keeps::Last, false), &[&old]), [(8, 3)]);
        assert_eq!(merge(&series(Keeps::Last, false), &[]), []);
    }

    #[test]
    fn negative_values_stay_negative() {
        let minus = buckets(&[[(-7i64).cast_unsigned(), 2, 1]]);
        assert_eq!(merge(&series(Keeps::Average, true), &[&minus]), [(1, -3)]);
    }

    #[test]
    fn intervals_between_others_are_there_without_a_value() {
        let line = timeline(&series(Keeps::Last, false), &[(2, 10), (4, 20)], 5);
        let points: Vec<_> = (line.points.iter())
            .map(|point| (point.start, point.value))
            .collect();
        assert_eq!(points, [(1000, Some(2)), (2000, None), (3000, Some(4))]);
    }
}
