//! The sites of a probe → groups that can share one program, and copies of the program for all groups but the first.
//!
//! A program is the same for all sites as far as the kernel lets it be. Where it does not, the answer becomes a
//! constant of a copy: the offsets of a tracepoint's members, the attach cookie and the function's address where the
//! kernel has no helper for them, the function whose arguments a program is checked against.

use std::ffi::CString;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use btc_abi::{Attach, Probe};
use libbpf_rs::{AsRawLibbpf, OpenProgramMut, ProgramType};
use libbpf_sys::bpf_insn;

use crate::attach::{BtfFunction, Place, Site};
use crate::context::{self, Layout};
use crate::plan::Planned;
use crate::symbols;
use crate::target::Target;
use crate::{Context, Error};

// Helpers by their numbers in linux/bpf.h.
const GET_FUNC_IP: u32 = 173;
pub const GET_ATTACH_COOKIE: u32 = 174;

/// What makes a copy of a program another one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Variant {
    layout: Layout,
    /// Helper calls (by instruction) that this kernel does not answer, and the answers.
    answers: Vec<(usize, i32)>,
    /// The function that the program is loaded for.
    traced: Option<BtfFunction>,
}

/// Sites (by index) that share a program.
#[derive(Debug)]
pub struct Group {
    pub variant: Variant,
    pub sites: Vec<usize>,
}

/// How a probe's sites share programs; the first group's is the object's own.
#[derive(Debug, Default)]
pub struct Split {
    pub groups: Vec<Group>,
    /// Sites that no program of this script fits.
    pub failures: Vec<Error>,
}

/// Splits the sites of a probe by what its program has to know of them.
pub fn split(
    planned: &Planned,
    program: &OpenProgramMut<'_>,
    target: &Target,
) -> Result<Split, Error> {
    let asks = Asks::of(planned.probe, program, target);
    let addresses = match asks.function.as_slice() {
        [] => symbols::Addresses::new(),
        _ => symbols::addresses(planned.sites.iter().filter_map(function_name))?,
    };
    let mut split = Split::default();
    for (index, site) in planned.sites.iter().enumerate() {
        match asks.variant(planned.probe, site, &addresses, target) {
            Ok(variant) => split.add(planned.probe, site, index, variant, program),
            Err(error) => split.failures.push(error),
        }
    }
    Ok(split)
}

impl Split {
    fn add(
        &mut self,
        probe: &Probe,
        site: &Site,
        index: usize,
        variant: Variant,
        program: &OpenProgramMut<'_>,
    ) {
        if let Some(group) = (self.groups.iter_mut()).find(|group| group.variant == variant) {
            group.sites.push(index);
            return;
        }
        // Once here, so that a group's program can be made.
        match variant.patch(probe, &mut program.insns().to_vec()) {
            Ok(()) => self.groups.push(Group {
                variant,
                sites: vec![index],
            }),
            Err(error) => (self.failures).push(Error::with_source(site.name.clone(), error)),
        }
    }
}

/// Where a program calls helpers that this kernel does not have.
struct Asks {
    cookie: Vec<usize>,
    function: Vec<usize>,
}

impl Asks {
    fn of(probe: &Probe, program: &OpenProgramMut<'_>, target: &Target) -> Self {
        let kind = program.prog_type();
        // Others read registers where there is no helper.
        let function = matches!(
            probe.attach,
            Attach::Kretprobe { .. } | Attach::Fentry { .. } | Attach::Fexit { .. }
        );
        // libbpf can't ask for tracing programs, which got the helper with the kprobes.
        let asked = match kind {
            ProgramType::Tracing => ProgramType::Kprobe,
            kind => kind,
        };
        let unanswered = |helper, kind| {
            let mut calls = calls(program.insns(), helper);
            if !calls.is_empty() && target.has_helper(kind, helper) {
                calls.clear();
            }
            calls
        };
        Asks {
            cookie: unanswered(GET_ATTACH_COOKIE, kind),
            function: match function {
                true => unanswered(GET_FUNC_IP, asked),
                false => Vec::new(),
            },
        }
    }

    /// The program that a site needs.
    fn variant(
        &self,
        probe: &Probe,
        site: &Site,
        addresses: &symbols::Addresses,
        target: &Target,
    ) -> Result<Variant, Error> {
        let mut answers: Vec<_> = (self.cookie.iter())
            .map(|call| (*call, site.cookie as i32))
            .collect();
        if !self.function.is_empty() {
            let address = constant_address(site, addresses)?;
            answers.extend(self.function.iter().map(|call| (*call, address)));
        }
        Ok(Variant {
            layout: context::layout(probe, site, target)?,
            answers,
            traced: match &site.place {
                Place::Btf(function) => Some(function.clone()),
                _ => None,
            },
        })
    }
}

// BPF_JMP | BPF_CALL and BPF_ALU64 | BPF_MOV | BPF_K.
const CALL: u8 = 0x85;
const MOVE: u8 = 0xb7;

fn is_call(instruction: &bpf_insn, helper: u32) -> bool {
    instruction.code == CALL
        && instruction.src_reg() == 0
        && instruction.imm.cast_unsigned() == helper
}

/// The calls of a helper, by instruction.
fn calls(instructions: &[bpf_insn], helper: u32) -> Vec<usize> {
    let instructions = instructions.iter().enumerate();
    instructions
        .filter(|(_, one)| is_call(one, helper))
        .map(|(index, _)| index)
        .collect()
}

/// A call becomes its answer, extended with its sign.
fn answer(instructions: &mut [bpf_insn], call: usize, value: i32) {
    instructions[call] = bpf_insn {
        code: MOVE,
        imm: value,
        ..Default::default()
    };
}

fn function_name(site: &Site) -> Option<&str> {
    match &site.place {
        Place::Kernel { function, .. } => Some(function),
        Place::Btf(function) => Some(&function.name),
        _ => None,
    }
}

fn constant_address(site: &Site, addresses: &symbols::Addresses) -> Result<i32, Error> {
    let known = match &site.place {
        Place::Kernel { address, .. } if *address != 0 => Some(*address),
        _ => function_name(site)
            .and_then(|name| addresses.get(name)?.first())
            .copied(),
    };
    known
        .and_then(|address| i32::try_from(address.cast_signed()).ok())
        .ok_or_else(|| {
            Error::new(format!(
                "{}: `func` needs bpf_get_func_ip, which came with Linux 5.15, or the function's address in /proc/kallsyms",
                site.name
            ))
        })
}

impl Variant {
    fn patch(&self, probe: &Probe, instructions: &mut [bpf_insn]) -> Result<(), Error> {
        context::patch(probe, &self.layout, instructions)?;
        for (call, value) in &self.answers {
            answer(instructions, *call, *value);
        }
        Ok(())
    }

    /// Makes the object's own program, not yet loaded, this variant.
    pub fn apply(&self, probe: &Probe, program: &mut OpenProgramMut<'_>) -> Result<(), Error> {
        let original = program.insns();
        let mut instructions = original.to_vec();
        self.patch(probe, &mut instructions)?;
        // SAFETY: the program is open and not loaded; libbpf copies the instructions, whose number stays the same.
        let result = unsafe {
            libbpf_sys::bpf_program__set_insns(
                program.as_libbpf_object().as_ptr(),
                instructions.as_mut_ptr(),
                instructions.len() as _,
            )
        };
        if result < 0 {
            let source = std::io::Error::from_raw_os_error(-result);
            return Err(Error::with_source(
                format!("patch the program of {}", probe.name),
                source,
            ));
        }
        Ok(())
    }

    /// Loads a copy of a loaded program as this variant.
    pub fn load(
        &self,
        probe: &Probe,
        program: *const libbpf_sys::bpf_program,
        btf: i32,
    ) -> Result<OwnedFd, Error> {
        // SAFETY: `program` is a loaded program of a live object; its instructions live as long as that.
        let (original, kind) = unsafe {
            let count = libbpf_sys::bpf_program__insn_cnt(program) as usize;
            let first = libbpf_sys::bpf_program__insns(program);
            (
                std::slice::from_raw_parts(first, count),
                libbpf_sys::bpf_program__type(program),
            )
        };
        let mut instructions = original.to_vec();
        self.patch(probe, &mut instructions)?;
        let options = self.options(program, btf);
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
            return Err(Error::with_source("load a copy of the program", source));
        }
        // SAFETY: the call succeeded, so the descriptor is open and ours alone.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    fn options(
        &self,
        program: *const libbpf_sys::bpf_program,
        btf: i32,
    ) -> libbpf_sys::bpf_prog_load_opts {
        let mut options = libbpf_sys::bpf_prog_load_opts {
            sz: size_of::<libbpf_sys::bpf_prog_load_opts>() as _,
            ..Default::default()
        };
        // SAFETY: `program` is a loaded program of a live object; its infos live as long as that.
        unsafe {
            options.expected_attach_type = libbpf_sys::bpf_program__expected_attach_type(program);
            let functions = libbpf_sys::bpf_program__func_info_cnt(program);
            if btf >= 0 && functions > 0 {
                options.prog_btf_fd = btf as u32;
                options.func_info = libbpf_sys::bpf_program__func_info(program).cast();
                options.func_info_cnt = functions;
                options.func_info_rec_size = size_of::<libbpf_sys::bpf_func_info>() as u32;
            }
        }
        if let Some(function) = &self.traced {
            function.name_in(&mut options);
        }
        options
    }
}

impl BtfFunction {
    /// Says what a program is loaded for.
    pub fn name_in(&self, options: &mut libbpf_sys::bpf_prog_load_opts) {
        options.attach_btf_id = self.id;
        if let Some(object) = &self.object {
            let fd = object.as_raw_fd();
            match self.of_program {
                true => options.attach_prog_fd = fd as u32,
                false => options.attach_btf_obj_fd = fd as u32,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_become_constants() {
        let call = |imm| bpf_insn {
            code: CALL,
            imm,
            ..Default::default()
        };
        // The second half of a 64-bit constant, whose value happens to be a helper's number.
        let half = bpf_insn {
            imm: 174,
            ..Default::default()
        };
        let mut instructions = [call(14), call(174), half];
        assert_eq!(calls(&instructions, GET_ATTACH_COOKIE), [1]);
        assert!(calls(&instructions, GET_FUNC_IP).is_empty());
        answer(&mut instructions, 1, -2);
        assert!(calls(&instructions, GET_ATTACH_COOKIE).is_empty());
        assert_eq!((instructions[1].code, instructions[1].imm), (MOVE, -2));
        assert_eq!(instructions[1].dst_reg(), 0);
        assert_eq!((instructions[0].code, instructions[2].imm), (CALL, 174));
    }
}
