//! How much of BPF's stack a program takes together with the functions that it calls and those that it hands to helpers,
//! as the verifier adds it up (check_max_stack_depth of kernel/bpf/verifier.c).

use std::collections::BTreeMap;

use object::{
    File, Object, ObjectSection, ObjectSymbol, RelocationTarget, SectionIndex, SymbolKind,
};

use crate::bug::Bug;

/// MAX_BPF_STACK of linux/bpf.h.
const STACK: u32 = 512;
/// What kernels round a function's stack up to; newer ones that compile programs take half of it.
const ROUND: u32 = 32;
/// MAX_CALL_FRAMES of linux/bpf_verifier.h.
const FRAMES: u32 = 8;
/// The frame pointer.
const R10: u8 = 10;
/// BPF_JMP | BPF_CALL with BPF_PSEUDO_CALL: a function of the object.
const CALL: u8 = 0x85;
const PSEUDO_CALL: u8 = 1;
/// BPF_LD | BPF_IMM | BPF_DW: two slots.
const WIDE: u8 = 0x18;

/// What a program and all that it calls take together, where that is most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Depth {
    pub bytes: u32,
    pub frames: u32,
}

impl Depth {
    pub fn fits(self) -> bool {
        self.bytes <= STACK && self.has_few_frames()
    }

    /// What no memory elsewhere helps against.
    pub fn has_few_frames(self) -> bool {
        self.frames <= FRAMES
    }
}

/// The functions of an object, and which refer to which.
pub struct Calls<'a> {
    functions: Vec<Function<'a>>,
}

struct Function<'a> {
    name: &'a str,
    section: SectionIndex,
    start: u64,
    size: u64,
    /// Bytes of stack, rounded.
    stack: u32,
    /// Functions that it calls or whose address it has, by their places in the list.
    callees: Vec<usize>,
}

impl<'a> Calls<'a> {
    pub fn of(file: &File<'a>) -> Result<Calls<'a>, Bug> {
        let mut calls = Calls { functions: vec![] };
        for symbol in file.symbols() {
            let (SymbolKind::Text, Some(section)) = (symbol.kind(), symbol.section_index()) else {
                continue;
            };
            let unreadable = |error| Bug::new(format!("LLVM's object can't be read: {error}"));
            calls.functions.push(Function {
                name: symbol.name().map_err(unreadable)?,
                section,
                start: symbol.address(),
                size: symbol.size(),
                stack: 0,
                callees: vec![],
            });
        }
        for index in 0..calls.functions.len() {
            let function = &calls.functions[index];
            let code = bytes(file, function.section, function.start, function.size);
            let code = code.ok_or_else(|| Bug::new(format!("no code of {}", function.name)))?;
            let stack = used(code).max(1).next_multiple_of(ROUND);
            let callees = calls.callees(file, function, code);
            let function = &mut calls.functions[index];
            (function.stack, function.callees) = (stack, callees);
        }
        Ok(calls)
    }

    /// Of a function; `None` where LLVM left none of that name.
    pub fn depth(&self, name: &str) -> Option<Depth> {
        let index = self.functions.iter().position(|one| one.name == name)?;
        Some(self.depth_at(index, 1))
    }

    fn depth_at(&self, index: usize, frame: u32) -> Depth {
        let function = &self.functions[index];
        let mut depth = Depth {
            bytes: 0,
            frames: 0,
        };
        // What is deeper fits no more, and might call itself.
        let callees = function.callees.iter().filter(|_| frame <= FRAMES);
        for callee in callees {
            let above = self.depth_at(*callee, frame + 1);
            depth.bytes = depth.bytes.max(above.bytes);
            depth.frames = depth.frames.max(above.frames);
        }
        Depth {
            bytes: depth.bytes + function.stack,
            frames: depth.frames + 1,
        }
    }

    fn callees(&self, file: &File, function: &Function, code: &[u8]) -> Vec<usize> {
        let end = function.start + function.size;
        let relocations: BTreeMap<_, _> = (file.section_by_index(function.section).into_iter())
            .flat_map(|section| section.relocations())
            .filter(|(at, _)| (function.start..end).contains(at))
            .collect();
        let mut callees = vec![];
        let mut wide = false;
        for (at, insn) in (function.start..).step_by(8).zip(code.chunks_exact(8)) {
            if std::mem::take(&mut wide) {
                continue;
            }
            wide = insn[0] == WIDE;
            let call = insn[0] == CALL && insn[1] >> 4 == PSEUDO_CALL;
            if !call && !wide {
                continue;
            }
            let immediate = i64::from(i32::from_le_bytes([insn[4], insn[5], insn[6], insn[7]]));
            // A call's immediate counts instructions from the next one on, an address' counts bytes.
            let offset = match call {
                true => (immediate + 1) * 8,
                false => immediate,
            };
            let (section, place) = match relocations.get(&at).map(|one| one.target()) {
                Some(RelocationTarget::Symbol(symbol)) => {
                    let Ok(symbol) = file.symbol_by_index(symbol) else {
                        continue;
                    };
                    match (symbol.kind(), symbol.section_index()) {
                        (SymbolKind::Section, Some(section)) => {
                            (section, u64::try_from(offset).ok())
                        }
                        (_, Some(section)) => (section, Some(symbol.address())),
                        _ => continue,
                    }
                }
                // LLVM itself resolves calls of local functions of the same section.
                None if call => (function.section, at.checked_add_signed(offset)),
                _ => continue,
            };
            let callee = self
                .functions
                .iter()
                .position(|one| one.section == section && place == Some(one.start) && one.size > 0);
            if let Some(callee) = callee.filter(|callee| !callees.contains(callee)) {
                callees.push(callee);
            }
        }
        callees
    }
}

/// A function's instructions.
fn bytes<'a>(file: &File<'a>, section: SectionIndex, start: u64, size: u64) -> Option<&'a [u8]> {
    let data = file.section_by_index(section).ok()?.data().ok()?;
    data.get(start as usize..(start + size) as usize)
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
        wide = insn[0] == WIDE;
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
