//! A time series → a chart: one line an interval, with a star where its value is between the least and the greatest.

use std::io::Write as _;

use crate::datum::{Point, Timeline};
use crate::format::time;

/// Columns of the chart, with its borders.
const WIDTH: usize = 53;
/// Columns of the least value above and below the chart; the greatest is right of it.
const LEAST_WIDTH: usize = 21;

/// Appends the chart; of a series without values one line that has no end yet.
pub fn write(timeline: &Timeline, out: &mut Vec<u8>) {
    let values = timeline.points.iter().filter_map(|point| point.value);
    let (Some(least), Some(most)) = (values.clone().min(), values.max()) else {
        out.extend_from_slice(b"<no data>");
        return;
    };
    // A line of equal values is drawn in the middle.
    let (least, most) = match least == most {
        true => (least - 1, most + 1),
        false => (least, most),
    };
    let unit = Unit::of(timeline.interval);
    let indent = unit.head().len() + unit.digits().saturating_sub(unit.word().len()) + 1;
    let bounds = format!(
        "{:indent$}{least:<LEAST_WIDTH$}{most:>rest$}",
        "",
        rest = WIDTH - LEAST_WIDTH
    );
    let line = |edge: char| format!("{edge}{}{edge}", "_".repeat(WIDTH - 2));
    // A vector takes everything.
    let _ = writeln!(out, "{bounds}");
    let _ = writeln!(out, "{:<indent$}{}", unit.head(), line('|'));
    for point in &timeline.points {
        let (columns, value) = row(point, least, most);
        let _ = writeln!(out, "{} {columns} {value}", unit.time(point.start));
    }
    let _ = writeln!(out, "{:indent$}{}", "", line('v'));
    let _ = writeln!(out, "{bounds}");
}

/// The columns of one interval, and its value.
fn row(point: &Point, least: i128, most: i128) -> (String, String) {
    let mut columns = [b' '; WIDTH];
    columns[0] = b'|';
    columns[WIDTH - 1] = b'|';
    let column = |value: i128, width: usize| {
        let place = (value - least) * width as i128 / (most - least);
        usize::try_from(place).unwrap_or(0).min(WIDTH - 1)
    };
    if least < 0 && most > 0 {
        columns[column(0, WIDTH)] = b'.';
    }
    let value = match point.value {
        Some(value) => {
            columns[column(value, WIDTH - 1)] = b'*';
            value.to_string()
        }
        None => "-".to_owned(),
    };
    (String::from_utf8_lossy(&columns).into_owned(), value)
}

/// The smallest unit that is needed to tell intervals apart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Second,
    Millisecond,
    Microsecond,
    Nanosecond,
}

impl Unit {
    fn of(interval: u64) -> Unit {
        match interval {
            ns if ns.is_multiple_of(1_000_000_000) => Unit::Second,
            ns if ns.is_multiple_of(1_000_000) => Unit::Millisecond,
            ns if ns.is_multiple_of(1000) => Unit::Microsecond,
            _ => Unit::Nanosecond,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Unit::Second => "",
            Unit::Millisecond => "ms",
            Unit::Microsecond => "us",
            Unit::Nanosecond => "ns",
        }
    }

    /// Of a second's fraction.
    fn digits(self) -> usize {
        match self {
            Unit::Second => 0,
            Unit::Millisecond => 3,
            Unit::Microsecond => 6,
            Unit::Nanosecond => 9,
        }
    }

    fn head(self) -> String {
        match self {
            Unit::Second => "hh:mm:ss".to_owned(),
            unit => format!("hh:mm:ss.{}", unit.word()),
        }
    }

    fn time(self, start: i128) -> String {
        let text = time::strftime("%H:%M:%S", start);
        match self {
            Unit::Second => text,
            unit => format!("{text}.{}", &fraction(start)[..unit.digits()]),
        }
    }
}

/// Nine digits.
fn fraction(time: i128) -> String {
    format!("{:09}", time.rem_euclid(1_000_000_000))
}

/// A time as programs read it: to the nanosecond, in the target's time zone.
#[must_use]
pub fn stamp(start: i128) -> String {
    let seconds = time::strftime("%Y-%m-%dT%H:%M:%S", start);
    format!("{seconds}.{}", fraction(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(interval: u64, values: &[Option<i128>]) -> Vec<String> {
        let points = values.iter().zip(0i128..).map(|(value, n)| Point {
            start: n * i128::from(interval),
            value: *value,
        });
        let timeline = Timeline {
            interval,
            points: points.collect(),
        };
        let mut out = Vec::new();
        write(&timeline, &mut out);
        let text = String::from_utf8(out).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn zero_has_a_line_of_its_own_between_both_signs() {
        let chart = chart(100_000_000, &[Some(-5), None, Some(5)]);
        let blank = |n: usize| " ".repeat(n);
        assert_eq!(chart[0], format!("{}-5{}5", blank(13), blank(50)));
        assert_eq!(chart[1], format!("hh:mm:ss.ms  |{}|", "_".repeat(51)));
        assert!(chart[2].ends_with(&format!(".000 *{}.{}| -5", blank(25), blank(25))));
        assert!(chart[3].ends_with(&format!(".100 |{}.{}| -", blank(25), blank(25))));
        assert!(chart[4].ends_with(&format!(".200 |{}.{}* 5", blank(25), blank(25))));
        assert_eq!(chart[5], format!("{}v{}v", blank(13), "_".repeat(51)));
        assert_eq!(chart[6], chart[0]);
    }

    #[test]
    fn equal_values_are_in_the_middle() {
        let chart = chart(1_000_000_000, &[Some(9)]);
        let blank = " ".repeat(25);
        assert_eq!(chart[0], format!("{:9}8{:50}10", "", ""));
        assert!(chart[1].starts_with("hh:mm:ss |"));
        assert!(chart[2].ends_with(&format!(":00 |{blank}*{blank}| 9")));
    }

    #[test]
    fn times_are_as_fine_as_the_intervals() {
        assert!(chart(1500, &[Some(1), Some(2)])[3].contains(":00.000001500 "));
        assert!(chart(2000, &[Some(1), Some(2)])[3].contains(":00.000002 "));
        assert!(chart(2000, &[Some(1)])[1].starts_with("hh:mm:ss.us     |"));
        assert!(stamp(1_500_000_000).ends_with(":01.500000000"));
        assert_eq!(chart(1000, &[]), ["<no data>"]);
    }
}
