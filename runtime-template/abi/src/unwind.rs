//! Unwind rows: what the runtime makes of `.eh_frame` for programs to walk a user stack by (x86-64).
//!
//! The map of mappings is a trie: process and address → a [`Mapping`], which names a table and turns addresses of the
//! process into the table's. The map of tables holds an array of one element for each, which is [`TABLE_ROWS`] [`Row`]s: a program
//! searches it without asking the kernel for each row. A row is valid from its address to the next row's; those at the end that
//! are not used have the greatest address.

/// The key of the map of mappings: `u32` bits of the rest that count, `u32` process and `u64` address, both big-endian, so
/// that a prefix of the address is a range. 16 bytes.
pub const KEY_SIZE: u32 = 16;
/// Bits of a key that name a process and one address.
pub const KEY_BITS: u32 = 96;
/// Bits of a key that name a process.
pub const PROCESS_BITS: u32 = 32;

/// What code a range of a process's addresses is. `size_of` is 32.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Mapping {
    /// Added (wrapping) to an address of the process gives the table's.
    pub bias: u64,
    /// Index into the map of tables, or one of the constants below.
    pub table: u32,
    pub _zero: u32,
    /// CLOCK_MONOTONIC when a program last asked for what is mapped here ([`NOTHING_KNOWN`]); programs write it.
    pub asked: u64,
    /// Nanoseconds before they ask again.
    pub interval: u64,
}

/// A table's number that means: nothing is known to be mapped here, ask.
pub const NOTHING_KNOWN: u32 = u32::MAX;
/// A table's number that means: code without a table, to be walked by frame pointers.
pub const FRAME_POINTERS: u32 = u32::MAX - 1;

/// How to get from a place in a function to its caller. `size_of` is 16.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Row {
    /// The first address it holds at, as the table counts.
    pub address: u32,
    /// Bits of [`rule`].
    pub rules: u32,
    pub cfa_offset: i32,
    /// Of the saved frame pointer; for [`rule::PLT`] from where on an entry of the table has pushed.
    pub frame_pointer_offset: i32,
}

/// Bits of [`Row::rules`]. Bits and not numbers: a program that decides by arithmetic has few branches for the verifier to
/// walk. Without any the walk ends early; the caller's stack pointer (the canonical frame address, CFA) is otherwise the stack
/// pointer plus the offset.
pub mod rule {
    /// The row says how to go on.
    pub const KNOWN: u32 = 1;
    /// The outermost function: the walk is at its end.
    pub const OUTERMOST: u32 = 2;
    /// The return from a signal handler: all registers are in the kernel's frame.
    pub const SIGNAL: u32 = 4;
    /// The CFA is the frame pointer plus the offset.
    pub const BY_FRAME_POINTER: u32 = 8;
    /// The CFA lies there in memory.
    pub const INDIRECT: u32 = 16;
    /// Eight bytes more in the last part of each 16 bytes of a procedure linkage table.
    pub const PLT: u32 = 32;
    /// The caller's frame pointer lies at CFA plus offset.
    pub const SAVED_AT_CFA: u32 = 64;
    /// The caller's frame pointer lies at frame pointer plus offset.
    pub const SAVED_AT_FRAME_POINTER: u32 = 128;
}

/// Steps of the search in a table.
pub const SEARCH_STEPS: u32 = 12;
pub const TABLE_ROWS: u32 = 1 << SEARCH_STEPS;
/// Bytes of a table.
pub const TABLE_SIZE: u32 = TABLE_ROWS * ROW_SIZE;
/// Tables at most.
pub const MOST_TABLES: u32 = 4096;
/// Entries of the map of mappings at most; those that are not used cost nothing.
pub const MOST_MAPPINGS: u32 = 1 << 20;

/// Bytes of a [`Mapping`] and a [`Row`].
pub const MAPPING_SIZE: u32 = size_of::<Mapping>() as u32;
pub const ROW_SIZE: u32 = size_of::<Row>() as u32;
const _: () = assert!(MAPPING_SIZE == 32 && ROW_SIZE == 16);

impl Mapping {
    /// As the map holds it.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; MAPPING_SIZE as usize] {
        let mut bytes = [0; MAPPING_SIZE as usize];
        bytes[..8].copy_from_slice(&self.bias.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.table.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.asked.to_le_bytes());
        bytes[24..].copy_from_slice(&self.interval.to_le_bytes());
        bytes
    }
}

impl Row {
    /// As the map holds it.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; ROW_SIZE as usize] {
        let mut bytes = [0; ROW_SIZE as usize];
        bytes[..4].copy_from_slice(&self.address.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.rules.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.cfa_offset.to_le_bytes());
        bytes[12..].copy_from_slice(&self.frame_pointer_offset.to_le_bytes());
        bytes
    }
}

/// A key whose first `bits` count.
#[must_use]
pub fn key(bits: u32, process: u32, address: u64) -> [u8; KEY_SIZE as usize] {
    let mut bytes = [0; KEY_SIZE as usize];
    bytes[..4].copy_from_slice(&bits.to_le_bytes());
    bytes[4..8].copy_from_slice(&process.to_be_bytes());
    bytes[8..].copy_from_slice(&address.to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::offset_of;

    #[test]
    fn bytes_lie_as_the_fields_do() {
        let mapping = Mapping {
            bias: 1,
            table: 2,
            _zero: 0,
            asked: 3,
            interval: 4,
        };
        let bytes = mapping.to_bytes();
        assert_eq!(bytes[offset_of!(Mapping, bias)], 1);
        assert_eq!(bytes[offset_of!(Mapping, table)], 2);
        assert_eq!(bytes[offset_of!(Mapping, asked)], 3);
        assert_eq!(bytes[offset_of!(Mapping, interval)], 4);
        let row = Row {
            address: 1,
            rules: 2,
            cfa_offset: 3,
            frame_pointer_offset: -1,
        };
        let bytes = row.to_bytes();
        assert_eq!(bytes[offset_of!(Row, address)], 1);
        assert_eq!(bytes[offset_of!(Row, rules)], 2);
        assert_eq!(bytes[offset_of!(Row, cfa_offset)], 3);
        assert_eq!(bytes[offset_of!(Row, frame_pointer_offset)..], [0xff; 4]);
        let key = key(96, 0x0102, 0x0304);
        assert_eq!(key, [96, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 3, 4]);
    }
}
