//! The bytes before an address of a stack → whether a call returns there.
//!
//! Nearly all of a stack's addresses are of that kind. Beyond a signal handler's frame stands what the handler returns to,
//! which nothing calls, and in stacks by unwind tables the instruction that was interrupted.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;

use super::binaries::{Binary, BinaryId};

/// Bytes that are looked at: no call is longer.
pub const BEFORE: usize = 8;

/// Places in binaries that were looked at.
#[derive(Debug, Default)]
pub struct Returns(HashMap<(BinaryId, u64), bool>);

impl Returns {
    /// Whether a call returns to an offset in a file; yes where its contents are out of reach.
    pub fn to(&mut self, id: BinaryId, binary: &Binary, offset: u64) -> bool {
        if let Some(known) = self.0.get(&(id, offset)) {
            return *known;
        }
        let Some(before) = bytes_before(binary, offset) else {
            return true;
        };
        let returns = ends_in_call(before);
        self.0.insert((id, offset), returns);
        returns
    }
}

fn bytes_before(binary: &Binary, offset: u64) -> Option<[u8; BEFORE]> {
    let mut before = [0; BEFORE];
    let start = offset.checked_sub(BEFORE as u64)?;
    let file = File::open(binary.place()?).ok()?;
    file.read_exact_at(&mut before, start).ok()?;
    Some(before)
}

/// Whether the last instruction of some code is a call. Other code may happen to look like one.
pub fn ends_in_call(code: [u8; BEFORE]) -> bool {
    if cfg!(target_arch = "aarch64") {
        let last = u32::from_le_bytes([code[4], code[5], code[6], code[7]]);
        // BL and BLR (Arm Architecture Reference Manual, C6.2).
        return last & 0xfc00_0000 == 0x9400_0000 || last & 0xffff_fc1f == 0xd63f_0000;
    }
    // CALL rel32, and CALL r/m64 of every length (Intel's manual, volume 2, CALL).
    code[BEFORE - 5] == 0xe8 || (2..BEFORE).any(|size| is_indirect_call(&code[BEFORE - size..]))
}

fn is_indirect_call(code: &[u8]) -> bool {
    let [0xff, place, rest @ ..] = code else {
        return false;
    };
    let (mode, base) = (place >> 6, place & 7);
    let indexed = mode != 3 && base == 4;
    let base = match rest.first() {
        Some(index) if indexed => index & 7,
        _ => base,
    };
    let displacement = match mode {
        0 if base == 5 => 4,
        1 => 1,
        2 => 4,
        _ => 0,
    };
    (place >> 3) & 7 == 2 && rest.len() == usize::from(indexed) + displacement
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As an assembler writes them; bytes before are of another instruction.
    #[test]
    #[cfg(target_arch = "x86_64")]
    fn calls() {
        let ends = |end: &[u8]| {
            let mut code = [0x90; BEFORE];
            code[BEFORE - end.len()..].copy_from_slice(end);
            ends_in_call(code)
        };
        let calls: [&[u8]; 9] = [
            &[0xe8, 0x12, 0x34, 0, 0],             // call somewhere
            &[0xff, 0xd0],                         // call *%rax
            &[0x41, 0xff, 0xd4],                   // call *%r12
            &[0xff, 0x10],                         // call *(%rax)
            &[0xff, 0x15, 1, 2, 3, 4],             // call *0x4030201(%rip)
            &[0xff, 0x50, 0x18],                   // call *0x18(%rax)
            &[0x41, 0xff, 0x54, 0x24, 0x08],       // call *0x8(%r12)
            &[0xff, 0x14, 0xc5, 0, 0x10, 0x40, 0], // call *0x401000(,%rax,8)
            &[0xff, 0x94, 0x24, 0, 1, 0, 0],       // call *0x100(%rsp)
        ];
        for call in calls {
            assert!(ends(call), "{call:x?}");
        }
        let others: [&[u8]; 5] = [
            &[],                             // nop: before __restore_rt
            &[0x0f, 0x05],                   // syscall
            &[0xff, 0xe0],                   // jmp *%rax
            &[0xff, 0x35, 1, 2, 3, 4],       // push 0x4030201(%rip)
            &[0x48, 0x8b, 0x05, 1, 2, 3, 4], // mov 0x4030201(%rip),%rax
        ];
        for other in others {
            assert!(!ends(other), "{other:x?}");
        }
    }
}
