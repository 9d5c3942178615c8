//! Tracepoint formats of the target → the offsets in a program's loads from its context. Sites whose layouts differ
//! in the members that a program reads get variants of it.

use std::ffi::CString;
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::Path;

use btc_abi::Probe;
use libbpf_sys::bpf_insn;

use crate::attach::{Place, Site};
use crate::{Context, Error};

/// A member of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Member {
    name: String,
    offset: u32,
    size: u32,
    signed: bool,
    array: bool,
    /// A word that says where the data is.
    located: bool,
}

/// Where the members that a program reads are, in order of its relocations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout(Vec<Member>);

/// Sites (by index) that share a layout.
pub struct Group {
    pub layout: Layout,
    pub sites: Vec<usize>,
}

/// Groups the sites of a probe; a single group without members where the program reads none.
pub fn groups(probe: &Probe, sites: &[Site], tracefs: &Path) -> Result<Vec<Group>, Error> {
    let mut groups: Vec<Group> = Vec::new();
    for (index, site) in sites.iter().enumerate() {
        let Place::Tracepoint { category, event } = &site.place else {
            continue;
        };
        let path = tracefs
            .join("events")
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
                        "{}: {} has no member `{}` on this kernel",
                        probe.place, site.name, relocation.field
                    ))
                })?;
            if member.located != relocation.located {
                return Err(Error::new(format!(
                    "{}: {}: `{}` is a string of another kind on this kernel ({}) than where the script was compiled",
                    probe.place,
                    site.name,
                    relocation.field,
                    if member.located {
                        "of any length"
                    } else {
                        "an array"
                    },
                )));
            }
            layout.push(member.clone());
        }
        let layout = Layout(layout);
        match groups.iter_mut().find(|group| group.layout == layout) {
            Some(group) => group.sites.push(index),
            None => groups.push(Group {
                layout,
                sites: vec![index],
            }),
        }
    }
    Ok(groups)
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
                located: declaration.starts_with("__data_loc")
                    || declaration.starts_with("__rel_loc"),
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
        let bug = || {
            Error::new(format!(
                "{}: instruction {} of {} does not read `{}`: a bug of btc",
                probe.place, relocation.instruction, probe.program, relocation.field
            ))
        };
        let instruction = instructions
            .get_mut(relocation.instruction as usize)
            .ok_or_else(bug)?;
        let offset = member.offset + relocation.addend;
        let operation = instruction.code & OPERATION;
        match instruction.code & CLASS {
            LDX if matches!(instruction.code & MODE, MEM | MEMSX) => {
                instruction.off = i16::try_from(offset).map_err(|_| bug())?;
                let scalar = !member.array && matches!(member.size, 1 | 2 | 4 | 8);
                if scalar && relocation.addend == 0 && member.size != u32::from(relocation.size) {
                    resize(probe, member, u32::from(relocation.size), instruction)?;
                } else if relocation.addend + u32::from(relocation.size) > member.size {
                    return Err(Error::new(format!(
                        "{}: `{}` has {} bytes on this kernel, fewer than the script reads",
                        probe.place, relocation.field, member.size
                    )));
                }
            }
            ALU | ALU64
                if matches!(operation, ADD | MOV) && instruction.code & SOURCE_REGISTER == 0 =>
            {
                instruction.imm = i32::try_from(offset).map_err(|_| bug())?;
            }
            _ => return Err(bug()),
        }
    }
    Ok(())
}

/// The member has another size here: the load takes that size, with its sign where it is the narrower one.
fn resize(
    probe: &Probe,
    member: &Member,
    compiled: u32,
    instruction: &mut bpf_insn,
) -> Result<(), Error> {
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
                "{}: `{}` is narrower on this kernel ({} bytes) and signed; reading it needs Linux 6.6",
                probe.place, member.name, member.size
            )));
        }
        mode = MEMSX;
    } else if member.size == 8 {
        mode = MEM;
    }
    instruction.code = (instruction.code & !(SIZE | MODE)) | size | mode;
    Ok(())
}

/// Loads a copy of a loaded program with another layout.
pub fn load_variant(
    probe: &Probe,
    layout: &Layout,
    program: *const libbpf_sys::bpf_program,
    btf: i32,
) -> Result<OwnedFd, Error> {
    // SAFETY: `program` is a loaded program of a live object; its instructions and infos live as long as that.
    let (original, kind, options) = unsafe {
        let count = libbpf_sys::bpf_program__insn_cnt(program) as usize;
        let original = std::slice::from_raw_parts(libbpf_sys::bpf_program__insns(program), count);
        let mut options = libbpf_sys::bpf_prog_load_opts {
            sz: size_of::<libbpf_sys::bpf_prog_load_opts>() as _,
            ..Default::default()
        };
        let functions = libbpf_sys::bpf_program__func_info_cnt(program);
        if btf >= 0 && functions > 0 {
            options.prog_btf_fd = btf as u32;
            options.func_info = libbpf_sys::bpf_program__func_info(program).cast();
            options.func_info_cnt = functions;
            options.func_info_rec_size = size_of::<libbpf_sys::bpf_func_info>() as u32;
        }
        (original, libbpf_sys::bpf_program__type(program), options)
    };
    let mut instructions = original.to_vec();
    patch(probe, layout, &mut instructions)?;
    let name: String = probe.program.chars().take(15).collect();
    let name = CString::new(name).context(|| "a program's name")?;
    // SAFETY: names are NUL-terminated, the instructions are that many, `options` says its own size.
    let fd = unsafe {
        libbpf_sys::bpf_prog_load(
            kind,
            name.as_ptr(),
            c"GPL".as_ptr(),
            instructions.as_ptr(),
            instructions.len() as _,
            (&raw const options).cast_mut(),
        )
    };
    if fd < 0 {
        let source = std::io::Error::from_raw_os_error(-fd);
        return Err(Error::with_source(
            format!("{}: load {} for another layout", probe.place, probe.name),
            source,
        ));
    }
    // SAFETY: the call succeeded, so the descriptor is open and ours alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
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
            located: false,
        };
        let probe = Probe {
            program: "p".into(),
            name: "tracepoint:a:b".into(),
            attach: Attach::Tracepoint {
                category: "a".into(),
                event: "b".into(),
            },
            place: "x.bt:1:1".into(),
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
}
