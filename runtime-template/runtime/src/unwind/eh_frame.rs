//! A binary's `.eh_frame` → rows: for each range of addresses how to get to the caller.

use std::collections::HashMap;

use btc_abi::unwind::rule;
use gimli::{
    BaseAddresses, CfaRule, CieOrFde, CommonInformationEntry, EhFrame, EndianSlice,
    FrameDescriptionEntry, LittleEndian, RegisterRule, UnwindContext, UnwindExpression,
    UnwindSection, UnwindTableRow, X86_64,
};

type Slice<'a> = EndianSlice<'a, LittleEndian>;
type Section<'a> = EhFrame<Slice<'a>>;

/// A row with its address as the file counts it; the members of [`btc_abi::unwind::Row`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    pub address: u64,
    pub rules: u32,
    pub cfa_offset: i32,
    pub frame_pointer_offset: i32,
}

impl Rule {
    fn of(address: u64, rules: u32) -> Self {
        Rule {
            address,
            rules,
            cfa_offset: 0,
            frame_pointer_offset: 0,
        }
    }

    fn does_the_same(&self, other: &Rule) -> bool {
        Rule {
            address: other.address,
            ..*self
        } == *other
    }
}

/// Nothing is known.
const UNKNOWN: u32 = 0;

/// The rows of a section that is loaded at `address`, sorted. What can't be read is left out: the walk ends early there.
pub fn rows(section: &[u8], address: u64) -> Vec<Rule> {
    let mut frames = EhFrame::new(section, LittleEndian);
    frames.set_address_size(8);
    let bases = BaseAddresses::default().set_eh_frame(address);
    let mut context = UnwindContext::new();
    let mut known: HashMap<usize, CommonInformationEntry<Slice<'_>>> = HashMap::new();
    let mut rules = Vec::new();
    let mut entries = frames.entries(&bases);
    while let Ok(Some(entry)) = entries.next() {
        let CieOrFde::Fde(partial) = entry else {
            continue;
        };
        let function = partial.parse(|section, bases, offset| {
            if let Some(common) = known.get(&offset.0) {
                return Ok(common.clone());
            }
            let common = section.cie_from_offset(bases, offset)?;
            known.insert(offset.0, common.clone());
            Ok(common)
        });
        if let Ok(function) = function
            && function.initial_address() != 0
        {
            rows_of(&frames, &bases, &function, &mut context, &mut rules);
        }
    }
    finish(rules)
}

fn rows_of<'a>(
    frames: &Section<'a>,
    bases: &BaseAddresses,
    function: &FrameDescriptionEntry<Slice<'a>>,
    context: &mut UnwindContext<usize>,
    rules: &mut Vec<Rule>,
) {
    rules.push(Rule::of(function.end_address(), UNKNOWN));
    if function.is_signal_trampoline() {
        rules.push(Rule::of(
            function.initial_address(),
            rule::KNOWN | rule::SIGNAL,
        ));
        return;
    }
    let Ok(mut table) = function.rows(frames, bases, context) else {
        return;
    };
    while let Ok(Some(row)) = table.next_row() {
        rules.push(rule_of(frames, row));
    }
}

/// Sorted; where a function ends and another one begins the end says nothing.
fn finish(mut rules: Vec<Rule>) -> Vec<Rule> {
    let is_end = |of: &Rule| of.rules == UNKNOWN;
    rules.sort_by_key(|of| (of.address, is_end(of)));
    rules.dedup_by_key(|of| of.address);
    rules.dedup_by(|later, earlier| earlier.does_the_same(later));
    rules
}

fn rule_of<'a>(frames: &Section<'a>, row: &UnwindTableRow<usize>) -> Rule {
    let unknown = Rule::of(row.start_address(), UNKNOWN);
    match row.register(X86_64::RA) {
        Some(RegisterRule::Offset(-8)) => {}
        Some(RegisterRule::Undefined) => {
            return Rule::of(row.start_address(), rule::KNOWN | rule::OUTERMOST);
        }
        _ => return unknown,
    }
    let (kind, offset, in_plt) = match row.cfa() {
        CfaRule::RegisterAndOffset { register, offset } if *register == X86_64::RSP => {
            (0, *offset, None)
        }
        CfaRule::RegisterAndOffset { register, offset } if *register == X86_64::RBP => {
            (rule::BY_FRAME_POINTER, *offset, None)
        }
        CfaRule::RegisterAndOffset { .. } => return unknown,
        CfaRule::Expression(expression) => match by_expression(frames, expression) {
            Some(found) => found,
            None => return unknown,
        },
    };
    let Ok(cfa_offset) = i32::try_from(offset) else {
        return unknown;
    };
    let (saved, saved_at) = match row.register(X86_64::RBP) {
        Some(RegisterRule::Offset(offset)) => (rule::SAVED_AT_CFA, offset),
        Some(RegisterRule::Expression(expression)) => {
            let bytes = bytes(frames, &expression).unwrap_or_default();
            match bytes {
                [BREG_RBP, offset] => (rule::SAVED_AT_FRAME_POINTER, small(*offset)),
                _ => return unknown,
            }
        }
        _ => (0, in_plt.unwrap_or(0)),
    };
    let Ok(frame_pointer_offset) = i32::try_from(saved_at) else {
        return unknown;
    };
    Rule {
        address: row.start_address(),
        rules: rule::KNOWN | kind | saved,
        cfa_offset,
        frame_pointer_offset,
    }
}

/// Operations of DWARF expressions: a register plus a number, what lies there, numbers, arithmetic.
const BREG_RBP: u8 = 0x76;
const BREG_RSP: u8 = 0x77;
const BREG_RIP: u8 = 0x80;
const DEREF: u8 = 0x06;
const LIT0: u8 = 0x30;
const LIT3: u8 = LIT0 + 3;
const LIT15: u8 = LIT0 + 15;
const AND: u8 = 0x1a;
const PLUS: u8 = 0x22;
const SHL: u8 = 0x24;
const GE: u8 = 0x2a;

/// The few expressions that linkers and compilers write for a CFA: rule, offset, and for entries of procedure linkage
/// tables the place in 16 bytes from which on they have pushed.
fn by_expression(
    frames: &Section<'_>,
    expression: &UnwindExpression<usize>,
) -> Option<(u32, i64, Option<i64>)> {
    match *bytes(frames, expression)? {
        [BREG_RBP, offset, DEREF] => {
            Some((rule::BY_FRAME_POINTER | rule::INDIRECT, small(offset), None))
        }
        [BREG_RSP, offset, DEREF] => Some((rule::INDIRECT, small(offset), None)),
        [
            BREG_RSP,
            offset,
            BREG_RIP,
            0,
            LIT15,
            AND,
            from,
            GE,
            LIT3,
            SHL,
            PLUS,
        ] => {
            let from = from.checked_sub(LIT0).filter(|from| *from < 16)?;
            Some((rule::PLT, small(offset), Some(i64::from(from))))
        }
        _ => None,
    }
}

fn bytes<'a>(frames: &Section<'a>, expression: &UnwindExpression<usize>) -> Option<&'a [u8]> {
    Some(expression.get(frames).ok()?.0.slice())
}

/// A LEB128 number of one byte.
fn small(byte: u8) -> i64 {
    i64::from((byte << 1).cast_signed() >> 1)
}
