//! Tracepoint formats of the target → the offsets in a program's loads from its context. Sites whose layouts differ
//! in the members that a program reads get variants of it.

use btc_abi::{ContextRelocation, DataLocation, Probe};
use libbpf_sys::bpf_insn;

use crate::attach::{BtfFunction, Place, Site};
use crate::target::Target;
use crate::{Context, Error};

/// A member of an event.
#[derive(Clone, Debug, PartialEq)]
struct Member {
    name: String,
    offset: u32,
    size: u32,
    signed: bool,
    array: bool,
    location: DataLocation,
}

/// Where the members that a program reads are, in order of its relocations.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layout(Vec<Member>);

/// The layout of a site's event; empty where the program reads no member.
pub fn layout(probe: &Probe, site: &Site, target: &Target) -> Result<Layout, Error> {
    if probe.context.is_empty() {
        return Ok(Layout::default());
    }
    let (category, event) = match &site.place {
        Place::Tracepoint { category, event } => (category, event),
        Place::Btf(function) => return parameters(probe, site, function),
        _ => return Ok(Layout::default()),
    };
    let path = (target.tracefs()?.join("events"))
        .join(category)
        .join(event)
        .join("format");
    let format =
        crate::target::read_at_once(&path).context(|| format!("read {}", path.display()))?;
    let members = members(&format);
    let mut layout = Vec::new();
    for relocation in probe.context.iter() {
        let member = members
            .iter()
            .find(|member| member.name == *relocation.field)
            .ok_or_else(|| {
                Error::new(format!(
                    "{} has no member `{}` on this kernel",
                    site.name, relocation.field
                ))
            })?;
        layout.push(member.clone());
    }
    Ok(Layout(layout))
}

/// The places of a function's parameters that the program reads.
fn parameters(probe: &Probe, site: &Site, function: &BtfFunction) -> Result<Layout, Error> {
    let member = |relocation: &ContextRelocation| {
        let name = &*relocation.field;
        let mut members = function.members.iter();
        let known = match name.parse::<usize>() {
            Ok(number) => members
                .nth(number)
                .filter(|(name, _)| *name != btc_abi::probe::RESULT),
            Err(_) => members.find(|(known, _)| known == name),
        };
        match known {
            Some((name, offset)) => Ok(Member {
                name: name.clone(),
                offset: *offset,
                size: u32::from(relocation.size),
                signed: false,
                array: false,
                location: DataLocation::Inline,
            }),
            None if name == btc_abi::probe::RESULT => Err(Error::new(format!(
                "{}: the function returns nothing on this kernel",
                site.name
            ))),
            None => Err(Error::new(format!(
                "{}: the function has no argument `{}{name}` on this kernel; it has {}",
                site.name,
                if name.parse::<usize>().is_ok() {
                    "arg"
                } else {
                    ""
                },
                argument_names(function)
            ))),
        }
    };
    let members: Result<Vec<_>, _> = probe.context.iter().map(member).collect();
    Ok(Layout(members?))
}

fn argument_names(function: &BtfFunction) -> String {
    let names = function.members.iter().map(|(name, _)| name.as_str());
    let names: Vec<_> = names
        .filter(|name| *name != btc_abi::probe::RESULT)
        .collect();
    match names.as_slice() {
        [] => "none".to_owned(),
        names => names.join(", "),
    }
}

/// The fields of a `format` file: `field:TYPE NAME[N];\toffset:N;\tsize:N;\tsigned:N;`.
fn members(format: &str) -> Vec<Member> {
    let value = |part: Option<&str>, key: &str| -> Option<u32> {
        part?.trim().strip_prefix(key)?.parse().ok()
    };
    (format.lines())
        .filter_map(|line| {
            let mut parts = line.trim().strip_prefix("field:")?.split(';');
            let declaration = parts.next()?;
            let array = declaration.ends_with(']');
            let declarator = match declaration.rfind('[') {
                Some(bracket) if array => &declaration[..bracket],
                _ => declaration,
            };
            let name = declarator
                .rsplit(|c: char| !c.is_alphanumeric() && c != '_')
                .next()?;
            Some(Member {
                name: name.to_owned(),
                offset: value(parts.next(), "offset:")?,
                size: value(parts.next(), "size:")?,
                signed: value(parts.next(), "signed:") == Some(1),
                array,
                location: match declaration.split(' ').next() {
                    Some("__data_loc") => DataLocation::FromStart,
                    Some("__rel_loc") => DataLocation::FromMember,
                    _ => DataLocation::Inline,
                },
            })
        })
        .collect()
}

// Parts of an instruction's code, as linux/bpf.h and bpf_common.h have them.
const CLASS: u8 = 0x07;
const LDX: u8 = 0x01;
const ALU: u8 = 0x04;
const ALU64: u8 = 0x07;
const SIZE: u8 = 0x18;
const WORD: u8 = 0x00;
const HALF: u8 = 0x08;
const MODE: u8 = 0xe0;
const MEM: u8 = 0x60;
const MEMSX: u8 = 0x80;
const OPERATION: u8 = 0xf0;
const ADD: u8 = 0x00;
const MOV: u8 = 0xb0;
const SOURCE_REGISTER: u8 = 0x08;

/// Writes the layout into the instructions that read it.
pub fn patch(probe: &Probe, layout: &Layout, instructions: &mut [bpf_insn]) -> Result<(), Error> {
    for (relocation, member) in probe.context.iter().zip(&layout.0) {
        let at = relocation.instruction as usize;
        let patched = match (&relocation.location, &member.location) {
            (compiled, here) if compiled == here => patch_offset(relocation, member, instructions)?,
            (DataLocation::FromStart, DataLocation::Inline) => instructions
                .get_mut(at)
                .and_then(|instruction| inline(instruction, member)),
            (DataLocation::Inline, DataLocation::FromStart) => (at.checked_sub(1))
                .and_then(|before| instructions.get_mut(before..=at))
                .and_then(|pair| follow(pair, member, relocation.addend)),
            _ => None,
        };
        if patched.is_none() {
            return Err(unlike(probe, relocation, member));
        }
    }
    Ok(())
}

/// The error of an access that can't be made to fit.
fn unlike(probe: &Probe, relocation: &ContextRelocation, member: &Member) -> Error {
    if relocation.location == member.location {
        return Error::new(format!(
            "instruction {} of {} does not read `{}`: a bug of btc",
            relocation.instruction, probe.program, relocation.field
        ));
    }
    Error::new(format!(
        "`{}` of this kernel's tracepoint is {}, unlike where the script was compiled, and is read in a way that fits only that; `str()` around it fits both",
        relocation.field,
        match member.location {
            DataLocation::Inline => "an array",
            DataLocation::FromStart | DataLocation::FromMember => "a string of any length",
        }
    ))
}

/// Another offset, and another size where that is all that differs. `None`: no such instruction.
fn patch_offset(
    relocation: &ContextRelocation,
    member: &Member,
    instructions: &mut [bpf_insn],
) -> Result<Option<()>, Error> {
    let Some(instruction) = instructions.get_mut(relocation.instruction as usize) else {
        return Ok(None);
    };
    let offset = member.offset + relocation.addend;
    let operation = instruction.code & OPERATION;
    match instruction.code & CLASS {
        LDX if matches!(instruction.code & MODE, MEM | MEMSX) => {
            let Ok(offset) = i16::try_from(offset) else {
                return Ok(None);
            };
            instruction.off = offset;
            let scalar = !member.array && matches!(member.size, 1 | 2 | 4 | 8);
            if scalar && relocation.addend == 0 && member.size != u32::from(relocation.size) {
                resize(member, u32::from(relocation.size), instruction)?;
            } else if relocation.addend + u32::from(relocation.size) > member.size {
                return Err(Error::new(format!(
                    "`{}` has {} bytes on this kernel, fewer than the script reads",
                    relocation.field, member.size
                )));
            }
        }
        ALU | ALU64
            if matches!(operation, ADD | MOV) && instruction.code & SOURCE_REGISTER == 0 =>
        {
            let Ok(offset) = i32::try_from(offset) else {
                return Ok(None);
            };
            instruction.imm = offset;
        }
        _ => return Ok(None),
    }
    Ok(Some(()))
}

/// The program loads a word that says where the data is; here the data is in the record, at an offset that is known.
fn inline(instruction: &mut bpf_insn, member: &Member) -> Option<()> {
    if instruction.code != LDX | MEM | WORD {
        return None;
    }
    instruction.code = ALU64 | MOV;
    instruction.set_src_reg(0);
    instruction.off = 0;
    instruction.imm = i32::try_from(member.offset).ok()?;
    Some(())
}

/// The program adds an offset to a copy of the context; here the offset is in the low half of a word of the record.
fn follow(pair: &mut [bpf_insn], member: &Member, addend: u32) -> Option<()> {
    let [copy, add] = pair else { return None };
    let copies = copy.code == ALU64 | MOV | SOURCE_REGISTER;
    if !copies || add.code != ALU64 | ADD || add.dst_reg() != copy.dst_reg() || addend != 0 {
        return None;
    }
    copy.code = LDX | MEM | HALF;
    copy.off = i16::try_from(member.offset).ok()?;
    add.code = ALU64 | ADD | SOURCE_REGISTER;
    add.set_src_reg(copy.src_reg());
    add.imm = 0;
    Some(())
}

/// The member has another size here: the load takes that size, with its sign where it is the narrower one.
fn resize(member: &Member, compiled: u32, instruction: &mut bpf_insn) -> Result<(), Error> {
    let size = match member.size {
        1 => 0x10,
        2 => 0x08,
        4 => 0x00,
        _ => 0x18,
    };
    let mut mode = instruction.code & MODE;
    if member.signed && member.size < compiled {
        if !crate::target::kernel_at_least(6, 6) {
            return Err(Error::new(format!(
                "`{}` is narrower on this kernel ({} bytes) and signed; reading it needs Linux 6.6",
                member.name, member.size
            )));
        }
        mode = MEMSX;
    } else if member.size == 8 {
        mode = MEM;
    }
    instruction.code = (instruction.code & !(SIZE | MODE)) | size | mode;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use btc_abi::{Attach, ContextRelocation};

    const FORMAT: &str = "name: x\nID: 1\nformat:\n\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\n\
        \tfield:int __syscall_nr;\toffset:8;\tsize:4;\tsigned:1;\n\
        \tfield:char prev_comm[16];\toffset:12;\tsize:16;\tsigned:0;\n\
        \tfield:__data_loc char[] name;\toffset:28;\tsize:4;\tsigned:0;\n\
        \tfield:const char * filename;\toffset:32;\tsize:8;\tsigned:0;\n\nprint fmt: \"x\"\n";

    #[test]
    fn formats_are_read() {
        let members = members(FORMAT);
        let names: Vec<_> = members
            .iter()
            .map(|m| (m.name.as_str(), m.offset, m.size, m.array))
            .collect();
        assert_eq!(
            names,
            [
                ("common_type", 0, 2, false),
                ("__syscall_nr", 8, 4, false),
                ("prev_comm", 12, 16, true),
                ("name", 28, 4, false),
                ("filename", 32, 8, false),
            ]
        );
    }

    #[test]
    fn loads_and_additions_are_patched() {
        let relocation = |instruction, field: &'static str, size, addend| ContextRelocation {
            instruction,
            field: field.into(),
            size,
            addend,
            location: DataLocation::Inline,
        };
        let probe = Probe {
            program: "p".into(),
            name: "tracepoint:a:b".into(),
            attach: Attach::Tracepoint {
                category: "a".into(),
                event: "b".into(),
            },
            parameters: false,
            number: "".into(),
            place: "x.bt:1:1".into(),
            floor: None,
            context: vec![
                relocation(0, "filename", 8, 0),
                relocation(1, "prev_comm", 1, 3),
                relocation(2, "filename", 4, 0),
            ]
            .into(),
        };
        let all = members(FORMAT);
        let layout = Layout(vec![all[4].clone(), all[2].clone(), all[4].clone()]);
        let instruction = |code| bpf_insn {
            code,
            ..Default::default()
        };
        let mut instructions = [instruction(0x79), instruction(0x07), instruction(0x61)];
        patch(&probe, &layout, &mut instructions).unwrap();
        assert_eq!(instructions[0].off, 32);
        assert_eq!(instructions[1].imm, 15);
        assert_eq!((instructions[2].code, instructions[2].off), (0x79, 32));
        instructions[0] = instruction(0x95);
        assert!(patch(&probe, &layout, &mut instructions).is_err());
    }

    #[test]
    fn strings_of_the_other_kind_are_read_all_the_same() {
        let all = members(FORMAT);
        let (array, located) = (&all[2], &all[3]);
        // r3 = *(u32 *)(r6 + …) becomes r3 = 12.
        let mut load = bpf_insn {
            code: 0x61,
            ..Default::default()
        };
        load.set_dst_reg(3);
        load.set_src_reg(6);
        inline(&mut load, array).unwrap();
        assert_eq!((load.code, load.dst_reg(), load.src_reg()), (0xb7, 3, 0));
        assert_eq!((load.off, load.imm), (0, 12));
        // r3 = r6; r3 += … becomes r3 = *(u16 *)(r6 + 28); r3 += r6.
        let mut pair = [0xbf, 0x07].map(|code| bpf_insn {
            code,
            ..Default::default()
        });
        pair[0].set_dst_reg(3);
        pair[0].set_src_reg(6);
        pair[1].set_dst_reg(3);
        assert!(follow(&mut pair.clone(), located, 4).is_none());
        follow(&mut pair, located, 0).unwrap();
        assert_eq!((pair[0].code, pair[0].off), (0x69, 28));
        assert_eq!((pair[1].code, pair[1].src_reg()), (0x0f, 6));
    }
}
