//! The kernel as a judge: programs are loaded, and run once, where this process may.

use btc_abi as abi;

use super::make::*;
use crate::arch::Arch;
use crate::codegen::{Options, Text, emit, emit_text};
use crate::ir::*;
use crate::layout;
use crate::source::{Source, SourceMap};

/// Compiles, and has the kernel verify what it may load here.
pub fn load(program: &Program) -> (abi::Manifest, Vec<u8>) {
    let mut sources = SourceMap::default();
    sources.add(Source::new("test.bt", "begin { }\n"));
    let options = Options {
        arch: Arch::X86_64,
        sources: &sources,
    };
    let mut manifest = layout::plan(program, &sources);
    let text = emit_text(program, &mut manifest.clone(), &options, Text::LlvmIr);
    let object = match emit(program, &mut manifest, &options) {
        Ok(object) => object,
        Err(bug) => panic!("{bug}\n{}", text.unwrap_or_default()),
    };
    // SAFETY: no arguments that could be wrong.
    if unsafe { libc::geteuid() } != 0 {
        return (manifest, object.elf);
    }
    let mut builder = libbpf_rs::ObjectBuilder::default();
    let mut opened = builder.open_memory(&object.elf).expect("libbpf opens it");
    // This kernel may have no tracepoint patching of its own: the test writes plausible offsets.
    for mut prog in opened.progs_mut() {
        let wanted = manifest
            .probes
            .iter()
            .find(|p| *p.program == *prog.name().to_string_lossy());
        // The other edition of a probe is for the oldest kernels.
        let Some(wanted) = wanted else {
            prog.set_autoload(false);
            continue;
        };
        if matches!(
            wanted.attach,
            abi::Attach::Fentry { .. } | abi::Attach::Fexit { .. }
        ) {
            prog.set_autoload(false);
        }
        patch(&mut prog, wanted);
    }
    opened.load().expect("the verifier takes it");
    (manifest, object.elf)
}

/// As the runtime does: the manifest counts the scratch map's elements for one CPU.
pub fn make_scratch_for_all_cpus(object: &mut libbpf_rs::OpenObject) {
    let cpus = libbpf_rs::num_possible_cpus().unwrap() as u32;
    for mut map in object.maps_mut() {
        if map.name() == "btc_scratch" {
            let entries = map.max_entries() * cpus;
            map.set_max_entries(entries).unwrap();
        }
    }
}

pub fn patch(program: &mut libbpf_rs::OpenProgramMut, probe: &abi::Probe) {
    use libbpf_rs::AsRawLibbpf as _;
    let raw = program.as_libbpf_object().as_ptr();
    // SAFETY: the program lives; the instructions are copied and handed back with their number.
    unsafe {
        let count = libbpf_sys::bpf_program__insn_cnt(raw);
        let first = libbpf_sys::bpf_program__insns(raw);
        let mut insns: Vec<libbpf_sys::bpf_insn> =
            std::slice::from_raw_parts(first, count as usize).to_vec();
        for relocation in probe.context.iter() {
            let insn = &mut insns[relocation.instruction as usize];
            if insn.code & 7 == 1 {
                insn.off = 16 + relocation.addend as i16;
            } else {
                insn.imm = 16 + relocation.addend as i32;
            }
        }
        libbpf_sys::bpf_program__set_insns(raw, insns.as_mut_ptr(), count);
    }
}

/// Runs the first program once, and reads a map of i64 to i64.
pub fn run(program: &Program) -> std::collections::BTreeMap<i64, i64> {
    use libbpf_rs::MapCore as _;
    let (_, elf) = load(program);
    // SAFETY: no arguments that could be wrong.
    if unsafe { libc::geteuid() } != 0 {
        return Default::default();
    }
    let mut builder = libbpf_rs::ObjectBuilder::default();
    let mut opened = builder.open_memory(&elf).unwrap();
    make_scratch_for_all_cpus(&mut opened);
    let loaded = opened.load().unwrap();
    let first = loaded
        .progs()
        .find(|p| p.name() == "probe_0")
        .expect("the program");
    use std::os::fd::{AsFd as _, AsRawFd as _};
    let mut options = libbpf_sys::bpf_test_run_opts {
        sz: size_of::<libbpf_sys::bpf_test_run_opts>() as _,
        ..Default::default()
    };
    // SAFETY: the program is loaded and the options say their own size.
    let result =
        unsafe { libbpf_sys::bpf_prog_test_run_opts(first.as_fd().as_raw_fd(), &raw mut options) };
    assert_eq!(result, 0, "test run");
    let map = loaded
        .maps()
        .find(|m| m.name() == "AT_out")
        .expect("the map");
    let long = |bytes: &[u8]| i64::from_le_bytes(bytes[..8].try_into().unwrap());
    map.keys()
        .map(|key| {
            let value = map.lookup(&key, libbpf_rs::MapFlags::ANY).unwrap().unwrap();
            (long(&key), long(&value))
        })
        .collect()
}

/// Computes expressions in a program and yields their values.
pub fn compute(
    values: Vec<Expr>,
    locals: Vec<Local>,
    before: Vec<Stmt>,
    maps: Vec<Map>,
) -> Vec<i64> {
    let mut all = vec![map("out", Some(I64), I64, abi::MapKind::Hash)];
    all.extend(maps);
    let mut body = before;
    let count = values.len();
    for (i, value) in values.into_iter().enumerate() {
        body.push(stmt(StmtKind::MapSet {
            map: MapId(0),
            key: Some(int(i as i64)),
            value: expr(ExprKind::Convert(Box::new(value)), I64),
        }));
    }
    let program = program(vec![in_begin(locals, body)], all, vec![], Types::default());
    let found = run(&program);
    (0..count as i64)
        .map(|i| found.get(&i).copied().unwrap_or(i64::MIN))
        .collect()
}

pub fn is_root() -> bool {
    // SAFETY: no arguments that could be wrong.
    unsafe { libc::geteuid() == 0 }
}
