//! The manifest's probes → those whose programs this kernel has everything for: where it lacks something, a probe's
//! program is the one for the oldest kernels.

use btc_abi::{Feature, FloorProgram, Manifest, Probe};
use libbpf_rs::ProgramType;
use libbpf_sys::bpf_insn;

use crate::{Tracer, target};

/// bpf_loop of linux/bpf.h.
const LOOP: u32 = 181;

/// The tracer with its programs chosen; the same one where this kernel has all that they ask for.
#[must_use]
pub fn chosen(tracer: &'static Tracer, warnings: bool) -> &'static Tracer {
    let mut kernel = Kernel::default();
    let probes = tracer.manifest.probes.iter();
    let lacking: Vec<Vec<Feature>> = probes.map(|probe| kernel.lacks(probe)).collect();
    if lacking.iter().all(Vec::is_empty) {
        return tracer;
    }
    let probes = tracer.manifest.probes.iter().zip(&lacking);
    let probes = probes.map(|(probe, lacking)| {
        if warnings && lacking.contains(&Feature::AtomicUpdate) {
            eprintln!(
                "WARNING: {}: {}: this kernel can't change a map's value at once but by adding (that came with Linux 5.12): of changes by several CPUs some may be lost",
                probe.place, probe.name
            );
        }
        match &probe.floor {
            Some(floor) if !lacking.is_empty() => with(probe, floor),
            _ => probe.clone(),
        }
    });
    let manifest = Manifest {
        probes: probes.collect::<Vec<_>>().into(),
        ..tracer.manifest.clone()
    };
    tracer.with(manifest)
}

fn with(probe: &Probe, floor: &FloorProgram) -> Probe {
    Probe {
        program: floor.program.clone(),
        context: floor.context.clone(),
        floor: None,
        ..probe.clone()
    }
}

/// What was asked of the kernel so far.
#[derive(Default)]
struct Kernel {
    loops: Option<bool>,
    atomics: Option<bool>,
}

impl Kernel {
    /// What a probe's program needs and this kernel hasn't.
    fn lacks(&mut self, probe: &Probe) -> Vec<Feature> {
        let needs = probe.floor.iter().flat_map(|floor| floor.needs.iter());
        needs.filter(|need| !self.has(need)).cloned().collect()
    }

    fn has(&mut self, feature: &Feature) -> bool {
        match feature {
            Feature::LoopHelper => *(self.loops)
                .get_or_insert_with(|| target::has_helper(ProgramType::RawTracepoint, LOOP)),
            Feature::AtomicFetch | Feature::AtomicUpdate => {
                *self.atomics.get_or_insert_with(has_atomics)
            }
        }
    }
}

/// Whether programs may do more than add: a tiny one is loaded.
fn has_atomics() -> bool {
    let instruction = |code, to, from, offset, imm| {
        let mut one = bpf_insn {
            code,
            off: offset,
            imm,
            ..Default::default()
        };
        one.set_dst_reg(to);
        one.set_src_reg(from);
        one
    };
    // *(u64 *)(r10 - 8) = 0; r1 = 1; lock *(u64 *)(r10 - 8) |= r1; r0 = 0; exit
    let program = [
        instruction(0x7a, 10, 0, -8, 0),
        instruction(0xb7, 1, 0, 0, 1),
        instruction(0xdb, 10, 1, -8, 0x40),
        instruction(0xb7, 0, 0, 0, 0),
        instruction(0x95, 0, 0, 0, 0),
    ];
    // SAFETY: strings are NUL-terminated, the instructions are that many, no options.
    let fd = unsafe {
        libbpf_sys::bpf_prog_load(
            libbpf_sys::BPF_PROG_TYPE_RAW_TRACEPOINT,
            std::ptr::null(),
            c"GPL".as_ptr(),
            program.as_ptr(),
            program.len() as _,
            std::ptr::null_mut(),
        )
    };
    if fd < 0 {
        return false;
    }
    // SAFETY: the call succeeded, so the descriptor is open and ours alone.
    drop(unsafe { <std::os::fd::OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(fd) });
    true
}
