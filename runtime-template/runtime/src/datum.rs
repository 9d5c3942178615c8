//! What bytes of a record, a key or a map mean, after symbols, names and stacks were looked up: what every output reads.

use std::borrow::Cow;

/// One decoded value. Text is bytes: what a traced program calls a name need not be UTF-8.
#[derive(Clone, Debug, PartialEq)]
pub enum Datum<'a> {
    Signed(i64),
    Unsigned(u64),
    Bool(bool),
    /// A floating-point number, whose value nothing reads.
    Float,
    Text(Cow<'a, [u8]>),
    /// Printed as a word, a number to programs: enum values and pointers.
    Named {
        text: String,
        /// With the sign that it has.
        number: i128,
    },
    Buffer(Cow<'a, [u8]>),
    Tuple(Vec<Datum<'a>>),
    Array(Vec<Datum<'a>>),
    /// Members with their names.
    Record(Vec<(&'a str, Datum<'a>)>),
    Histogram(Histogram),
    Timeline(Timeline),
}

/// A time series' intervals in order, from the first that has a value to the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// Nanoseconds.
    pub interval: u64,
    pub points: Vec<Point>,
}

/// One interval of a time series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// Nanoseconds since 1970.
    pub start: i128,
    /// `None`: nothing was seen.
    pub value: Option<i128>,
}

/// Counters in order, from the first that is not zero to the last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    pub buckets: Vec<Bucket>,
}

/// Values `low <= n < high`; an end that is missing is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    pub low: Option<Bound>,
    pub high: Option<Bound>,
    pub count: u64,
}

/// An end of a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Wide enough for 2 to the 64th, where the last bucket of a power-of-two histogram ends.
    pub number: i128,
    /// As text output prints it: `4`, `4K`.
    pub label: String,
}

impl<'a> Datum<'a> {
    /// Text that was made here.
    pub fn text(text: impl Into<String>) -> Datum<'a> {
        Datum::Text(Cow::Owned(text.into().into_bytes()))
    }

    /// The value as 64 bits, where it is a number.
    #[must_use]
    pub fn bits(&self) -> Option<u64> {
        match self {
            Datum::Signed(number) => Some(number.cast_unsigned()),
            Datum::Unsigned(number) => Some(*number),
            Datum::Named { number, .. } => Some(*number as u64),
            Datum::Bool(yes) => Some(u64::from(*yes)),
            Datum::Float
            | Datum::Text(_)
            | Datum::Buffer(_)
            | Datum::Tuple(_)
            | Datum::Array(_)
            | Datum::Record(_)
            | Datum::Histogram(_)
            | Datum::Timeline(_) => None,
        }
    }
}
