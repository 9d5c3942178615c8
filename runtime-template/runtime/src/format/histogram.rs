//! A histogram → lines with bars, as wide as bpftrace draws them.

use std::io::Write as _;

use crate::datum::{Bound, Bucket, Histogram};

/// Columns of a full bar.
const BAR: usize = 52;

/// Appends one line a bucket.
pub fn write(histogram: &Histogram, out: &mut Vec<u8>) {
    let counts = histogram.buckets.iter().map(|bucket| bucket.count);
    let most = counts.max().unwrap_or(0).max(1);
    for bucket in &histogram.buckets {
        let bar = (u128::from(bucket.count) * BAR as u128 / u128::from(most)) as usize;
        // A vector takes everything.
        let _ = writeln!(
            out,
            "{:<16}{:>8} |{:<BAR$}|",
            range(bucket),
            bucket.count,
            "@".repeat(bar)
        );
    }
}

fn range(bucket: &Bucket) -> String {
    match (&bucket.low, &bucket.high) {
        (Some(low), Some(high)) if is_single(low, high) => format!("[{}]", low.label),
        (Some(low), Some(high)) => format!("[{}, {})", low.label, high.label),
        (None, Some(high)) => format!("(..., {})", high.label),
        (Some(low), None) => format!("[{}, ...)", low.label),
        (None, None) => "(..., ...)".to_owned(),
    }
}

/// One number: both ends are printed in full and differ by one.
fn is_single(low: &Bound, high: &Bound) -> bool {
    high.number - low.number == 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate;
    use btc_abi::Value;

    #[test]
    fn lines() {
        let histogram = aggregate::histogram(&Value::Hist { bits: 0.into() }, &[1, 0, 0, 2], 1);
        let mut out = Vec::new();
        write(&histogram, &mut out);
        let half = "@".repeat(26);
        let full = "@".repeat(52);
        let expected = format!(
            "(..., 0)               1 |{half:<52}|\n[0]                    0 |{:52}|\n\
             [1]                    0 |{:52}|\n[2, 4)                 2 |{full}|\n",
            "", ""
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
