//! How much of BPF's stack a program takes together with the callbacks that run on top of it, as the verifier adds it up.

use object::{Object, ObjectSection, ObjectSymbol};

use crate::bug::Bug;

/// MAX_BPF_STACK of linux/bpf.h.
const STACK: u32 = 512;
/// What kernels round a function's stack up to.
const ROUND: u32 = 32;
/// MAX_CALL_FRAMES of linux/bpf_verifier.h.
const FRAMES: u32 = 8;
/// The frame pointer.
const R10: u8 = 10;

/// A callback, and the function that hands it to a helper.
#[derive(Clone, Debug)]
pub struct Callback {
    pub name: String,
    pub parent: String,
}

/// An error that names the program where some chain of callbacks takes too much.
pub fn check(elf: &[u8], program: &str, callbacks: &[Callback]) -> Result<(), Bug> {
    if callbacks.is_empty() {
        return Ok(());
    }
    let file = object::File::parse(elf)
        .map_err(|error| Bug::new(format!("LLVM's object can't be read: {error}")))?;
    let (bytes, frames) = deepest(&file, program, callbacks);
    if bytes <= STACK && frames <= FRAMES {
        return Ok(());
    }
    Err(Bug::new(format!(
        "a stack of {bytes} bytes and {frames} frames in function {program}"
    )))
}

fn deepest(file: &object::File, function: &str, callbacks: &[Callback]) -> (u32, u32) {
    let own = code(file, function).map_or(0, |code| used(&code));
    let above = callbacks.iter().filter(|one| one.parent == function);
    let above = above.map(|one| deepest(file, &one.name, callbacks));
    let (bytes, frames) = above.fold((0, 0), |a, b| (a.0.max(b.0), a.1.max(b.1)));
    (own.max(1).next_multiple_of(ROUND) + bytes, frames + 1)
}

/// A function's instructions. Those that LLVM put into their callers have none.
pub fn code(file: &object::File, function: &str) -> Option<Vec<u8>> {
    let symbol = file.symbols().find(|s| s.name() == Ok(function))?;
    let section = file.section_by_index(symbol.section_index()?).ok()?;
    let from = symbol.address() as usize;
    let code = section.data().ok()?;
    Some(code.get(from..from + symbol.size() as usize)?.to_vec())
}

/// Bytes below the frame pointer that a function touches.
fn used(code: &[u8]) -> u32 {
    let mut lowest = 0;
    // Registers that hold the frame pointer.
    let mut holds = [false; 16];
    let mut wide = false;
    for insn in code.chunks_exact(8) {
        // The second half of a 64-bit constant is no instruction.
        if std::mem::take(&mut wide) {
            continue;
        }
        wide = insn[0] == 0x18;
        let (to, from) = (insn[1] & 0x0f, insn[1] >> 4);
        let offset = i32::from(i16::from_le_bytes([insn[2], insn[3]]));
        let immediate = i32::from_le_bytes([insn[4], insn[5], insn[6], insn[7]]);
        match (insn[0] & 0x07, insn[0]) {
            // BPF_LDX
            (0x01, _) => {
                if from == R10 {
                    lowest = lowest.min(offset);
                }
                holds[usize::from(to)] = false;
            }
            // BPF_ST, BPF_STX
            (0x02 | 0x03, _) if to == R10 => lowest = lowest.min(offset),
            // BPF_ALU64 | BPF_MOV | BPF_X
            (_, 0xbf) => holds[usize::from(to)] = from == R10,
            // BPF_ALU64 | BPF_ADD | BPF_K
            (_, 0x07) if holds[usize::from(to)] => {
                lowest = lowest.min(immediate);
                holds[usize::from(to)] = false;
            }
            (0x04 | 0x07, _) => holds[usize::from(to)] = false,
            _ => {}
        }
    }
    lowest.unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::used;

    #[test]
    fn the_lowest_access_counts() {
        let code: Vec<u8> = [
            // r2 = r10; r2 += -48
            [0xbf, 0xa2, 0, 0, 0, 0, 0, 0],
            [0x07, 0x02, 0, 0, 0xd0, 0xff, 0xff, 0xff],
            // r3 += -99: no address of the stack
            [0x07, 0x03, 0, 0, 0x9d, 0xff, 0xff, 0xff],
            // *(u64 *)(r10 - 16) = r1
            [0x7b, 0x1a, 0xf0, 0xff, 0, 0, 0, 0],
        ]
        .concat();
        assert_eq!(used(&code), 48);
        assert_eq!(used(&[]), 0);
    }
}
