//! Shapes of values: how bytes of a record, a key or a map value are decoded and what they print as.

use crate::{List, Number, Text};

describe! {
    /// One value at a byte offset of its enclosing record, key, tuple or struct.
    pub struct Field {
        /// Bytes from the start of the enclosing value.
        pub offset: u32,
        /// A record's or struct's member name; empty in tuples, keys and argument lists.
        pub name: Text,
        pub value: Value,
    }
}

describe! {
    /// The shape of a value in memory. Sizes are in bytes unless said otherwise.
    pub enum Value {
        /// `size` is 1, 2, 4 or 8.
        Int { size: u8, signed: bool, },
        /// A floating-point number, which is not decoded: what is printed says that one is there.
        Float { size: u8, },
        /// One byte, 0 or 1.
        Bool,
        /// Eight bytes, printed as `0x…`.
        Pointer,
        /// `size` bytes, ended by NUL or by the size. One that fills [`crate::Manifest::max_strlen`] was cut.
        String { size: u32, },
        /// Only in ring buffer records: a `u32` length here ([`CUT`] beside it), the bytes (without NUL) in the record's
        /// tail, which holds the tail values in the order of their fields without padding.
        TailString,
        /// A `u32` length, then `size` bytes of room.
        Buffer { size: u32, },
        /// Only in ring buffer records: a `u32` length here, the bytes in the tail.
        TailBuffer,
        Tuple { size: u32, fields: List<Field>, },
        /// A struct, union or record literal; printed with member names.
        Struct { size: u32, fields: List<Field>, },
        Array { element: List<Value>, count: u32, stride: u32, },
        /// An integer printed by name; `id` indexes [`crate::Manifest::enums`].
        Enum { id: u32, size: u8, signed: bool, },
        /// A kernel address (8 bytes), printed as `symbol+offset`.
        KernelSymbol,
        /// A user address: `u64` address, `u32` tgid, `u32` zero: 16 bytes.
        UserSymbol,
        /// `u64` key into the stack map (0: no stack), and for user stacks `u32` tgid, `u32` zero.
        /// `map` indexes [`crate::Manifest::maps`].
        Stack { kind: StackKind, mode: crate::StackMode, map: u32, },
        /// `u32` address length in bytes (4 or 16), then 16 bytes, network order: 20 bytes.
        Inet,
        /// Six bytes.
        Mac,
        /// A `u64` time of `clock` in nanoseconds, printed by strftime's `format` (with `%f` for microseconds).
        Timestamp { clock: Clock, format: Text, },
        /// A `u64` user id, printed as a name of the target's /etc/passwd, or as a number.
        Username,
        /// A `u64` cgroup id, printed as a path; `pattern` as `cgroup_path`'s second argument.
        CgroupPath { pattern: Text, },
        /// A `u64`, printed as a probe's name: an index into [`crate::Manifest::probes`], or beyond their number an
        /// attach cookie: one of the names that the runtime found for patterns.
        ProbeName,
        /// `u64` flags of a memory allocation, printed by the names that the target's kernel has for them.
        GfpFlags,
        /// An `i32` errno printed by strerror.
        ErrorName,
        /// An `i32` signal number printed by name.
        SignalName,
        /// An `i32` system call number printed by name.
        SyscallName,
        // Aggregations: one of these per CPU, summed or merged when printed.
        /// `u64` count.
        Count,
        /// 8 bytes.
        Sum { signed: bool, },
        /// 8 bytes of value, `u64` that is 1 once set.
        Min { signed: bool, },
        Max { signed: bool, },
        /// 8 bytes of total, `u64` count.
        Avg { signed: bool, },
        Stats { signed: bool, },
        /// `u64` counters, [`hist_buckets`]`(bits)` of them.
        Hist { bits: Number, },
        /// `u64` counters: below `min`, one per step, at or above `max`.
        Lhist { min: Number, max: Number, step: Number, },
        /// [`Bucket`]s, one for each interval that is kept.
        Tseries { series: Series, },
    }
}

describe! {
    /// A time series: what was seen in each of the last intervals.
    pub struct Series {
        /// Nanoseconds.
        pub interval: Number,
        /// Intervals that are kept.
        pub count: Number,
        pub signed: bool,
        pub keeps: Keeps,
    }
}

describe! {
    /// What is kept of the values of one interval.
    pub enum Keeps {
        Last,
        Sum,
        Min,
        Max,
        Average,
    }
}

/// One interval of a time series: that of number `epoch` lies at index `epoch % count`. Intervals are counted
/// from 1970 (CLOCK_REALTIME when the run started, then as CLOCK_BOOTTIME goes), the first of them is number 1.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    pub value: u64,
    /// How many values; of a series that keeps the last one, when it was seen.
    pub seen: u64,
    /// The interval's number; 0 where nothing was seen yet.
    pub epoch: u64,
}

/// Bytes of a [`Bucket`].
pub const BUCKET_SIZE: u32 = size_of::<Bucket>() as u32;
const _: () = assert!(BUCKET_SIZE == 24);

describe! {
    pub enum StackKind {
        Kernel,
        User,
    }
}

describe! {
    /// What a timestamp counts from.
    pub enum Clock {
        Monotonic,
        Boot,
        Realtime,
        Tai,
    }
}

/// The bit of a tail string's length word that is set where more text was there than `max_strlen` has room for.
pub const CUT: u32 = 1 << 31;

/// How many counters a log2 histogram of `bits` sub-bucket bits has: one for negatives, then 2^bits exact
/// values for 0..2^bits, then 2^bits per power of two up to 2^63. `bits` is at most 5.
///
/// Bucket index of `n`: 0 for `n < 0`; `1 + n` for `n < 2^bits`; otherwise with `p = floor(log2(n))`,
/// `1 + ((p - bits + 1) << bits) + ((n >> (p - bits)) & (2^bits - 1))`. For `bits == 0` bucket 1 holds exactly 0,
/// bucket 2 holds 1, bucket 3 holds 2..4, and so on.
#[must_use]
pub const fn hist_buckets(bits: u8) -> u32 {
    1 + ((64 - bits as u32 + 1) << bits)
}

/// How many counters a linear histogram has; `step > 0` and `max > min` are checked by the compiler.
#[must_use]
pub const fn lhist_buckets(min: i64, max: i64, step: i64) -> u32 {
    ((max - min + step - 1) / step) as u32 + 2
}

impl Value {
    /// Counters of a histogram; the most that there may be where its bounds are not told yet. 0 for all else.
    #[must_use]
    pub fn buckets(&self) -> u32 {
        match self {
            Value::Hist { bits } => hist_buckets(bits.most() as u8),
            Value::Lhist { min, max, step } => {
                match (min.constant(), max.constant(), step.constant()) {
                    (Some(min), Some(max), Some(step)) => lhist_buckets(min, max, step),
                    _ => crate::number::MOST_LINEAR + 2,
                }
            }
            _ => 0,
        }
    }

    /// Calls `visit` with each number that the value is made by.
    pub fn numbers(&mut self, visit: &mut dyn FnMut(&mut Number)) {
        match self {
            Value::Hist { bits } => visit(bits),
            Value::Lhist { min, max, step } => [min, max, step].into_iter().for_each(visit),
            Value::Tseries { series } => {
                visit(&mut series.interval);
                visit(&mut series.count);
            }
            // Aggregations are the values of maps and parts of nothing.
            _ => {}
        }
    }

    /// Bytes that the value takes in place (a tail value: its length field); of one whose numbers are not told yet, the most.
    #[must_use]
    pub fn size(&self) -> u32 {
        match self {
            Value::Int { size, .. } | Value::Enum { size, .. } | Value::Float { size } => {
                u32::from(*size)
            }
            Value::Bool => 1,
            Value::Pointer
            | Value::KernelSymbol
            | Value::Timestamp { .. }
            | Value::Username
            | Value::CgroupPath { .. }
            | Value::ProbeName
            | Value::GfpFlags
            | Value::Count
            | Value::Sum { .. } => 8,
            Value::String { size } => *size,
            Value::TailString
            | Value::TailBuffer
            | Value::ErrorName
            | Value::SignalName
            | Value::SyscallName => 4,
            Value::Buffer { size } => 4 + size,
            Value::Tuple { size, .. } | Value::Struct { size, .. } => *size,
            Value::Array { count, stride, .. } => count * stride,
            Value::UserSymbol | Value::Min { .. } | Value::Max { .. } => 16,
            Value::Avg { .. } | Value::Stats { .. } => 16,
            Value::Stack {
                kind: StackKind::Kernel,
                ..
            } => 8,
            Value::Stack {
                kind: StackKind::User,
                ..
            } => 16,
            Value::Inet => 20,
            Value::Mac => 6,
            Value::Hist { .. } | Value::Lhist { .. } => 8 * self.buckets(),
            Value::Tseries { series } => BUCKET_SIZE * series.count.most() as u32,
        }
    }

    /// The alignment that the value is laid out with.
    #[must_use]
    pub fn align(&self) -> u32 {
        match self {
            Value::Int { size, .. } | Value::Enum { size, .. } => u32::from(*size),
            // Only its bytes are copied.
            Value::Float { .. } => 1,
            Value::Bool | Value::String { .. } | Value::Mac => 1,
            Value::TailString
            | Value::TailBuffer
            | Value::Buffer { .. }
            | Value::Inet
            | Value::ErrorName
            | Value::SignalName
            | Value::SyscallName => 4,
            Value::Tuple { fields, .. } | Value::Struct { fields, .. } => {
                fields.iter().map(|f| f.value.align()).max().unwrap_or(1)
            }
            Value::Array { element, .. } => element.iter().map(Value::align).max().unwrap_or(1),
            _ => 8,
        }
    }

    /// Whether bytes from `limit` on can be left out of a key without mixing up any but long strings: all that lies
    /// there is the end of one string.
    #[must_use]
    pub fn can_be_cut(&self, limit: u32) -> bool {
        match self {
            Value::String { .. } => limit > 1,
            Value::Tuple { fields, .. } | Value::Struct { fields, .. } => {
                fields.iter().all(|field| {
                    let end = field.offset + field.value.size();
                    end <= limit
                        || (field.offset < limit && field.value.can_be_cut(limit - field.offset))
                })
            }
            _ => self.size() <= limit,
        }
    }

    /// An aggregation lives in per-CPU maps and is merged over CPUs when read.
    #[must_use]
    pub fn is_aggregation(&self) -> bool {
        matches!(
            self,
            Value::Count
                | Value::Sum { .. }
                | Value::Min { .. }
                | Value::Max { .. }
                | Value::Avg { .. }
                | Value::Stats { .. }
                | Value::Hist { .. }
                | Value::Lhist { .. }
                | Value::Tseries { .. }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_can_be_cut_within_its_last_string() {
        let string = || Value::String { size: 1024 };
        let number = || Value::Int {
            size: 8,
            signed: true,
        };
        let tuple = |parts: &[(u32, Value)], size| Value::Tuple {
            size,
            fields: (parts.iter().cloned())
                .map(|(offset, value)| Field {
                    offset,
                    name: "".into(),
                    value,
                })
                .collect::<alloc::vec::Vec<_>>()
                .into(),
        };
        assert!(string().can_be_cut(512));
        assert!(tuple(&[(0, number()), (8, string())], 1032).can_be_cut(512));
        assert!(!tuple(&[(0, string()), (1024, number())], 1032).can_be_cut(512));
        assert!(!tuple(&[(0, string()), (1024, string())], 2048).can_be_cut(512));
        assert!(!Value::Buffer { size: 600 }.can_be_cut(512));
    }
}
