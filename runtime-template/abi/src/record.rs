//! Ring buffer records: what BPF code sends and the runtime acts on.

use crate::{Field, Format, List, Text};

/// At the start of every ring buffer record; fields and the tail follow. `size_of` is 8.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    /// Index into [`crate::Manifest::records`].
    pub id: u32,
    /// Index into [`crate::Manifest::probes`] of the probe that sent it.
    pub probe: u32,
}

/// Bytes of the header; offsets of a record's fields count from the start of the record and are at least this.
pub const HEADER_SIZE: u32 = size_of::<RecordHeader>() as u32;
const _: () = assert!(HEADER_SIZE == 8);

describe! {
    /// One call in the script that reports to user space.
    pub struct Record {
        pub kind: RecordKind,
        /// In order of the call's arguments.
        pub fields: List<Field>,
        /// Bytes from the record's start to the end of its fixed part, where the tail begins.
        pub size: u32,
        /// `script:line:column` of the call.
        pub place: Text,
    }
}

describe! {
    pub enum RecordKind {
        Printf { format: Format, },
        /// To standard error, after `place: ERROR: `.
        Errorf { format: Format, },
        /// To standard error, after `place: WARNING: `.
        Warnf { format: Format, },
        /// The formatted text is a shell command; only in executables compiled with --unsafe.
        System { format: Format, },
        /// The formatted text is a path, whose contents are printed.
        Cat { format: Format, },
        /// One field: `print(value)`.
        Print,
        /// `print(@map[, top[, div]])`; fields: top and div as u64, 0 where not given.
        PrintMap { map: u32, },
        /// `print(@map[key])` of a map whose values are more than a number; one field: the key as it lies in the map.
        PrintElement { map: u32, },
        Clear { map: u32, },
        Zero { map: u32, },
        /// One field: the exit status as Int.
        Exit,
        /// `time(format)`: the target's local time when the record is read.
        Time { format: Text, },
        /// Not in the ring buffer but in the map of packets: the fields, then the packet's first bytes. Fields: u64 time of
        /// CLOCK_BOOTTIME in nanoseconds, how many bytes of the packet follow, how many of these are left out of the file, the
        /// packet's length.
        Packet { path: Text, },
        /// Fields: one string per argument vector entry; empty ones after the end are not printed.
        Join { separator: Text, },
        /// One field: a process (u64) whose stack was to be walked and whose code has no unwind rows yet.
        Unwind,
    }
}
