//! The kernel's functions for BPF programs: whether there is one of a name, and whether a kind of program may call it.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::Error;
use crate::btf::Types;

/// A function that BTF describes: its number, and the module that has it.
struct Kfunc {
    id: u32,
    module: Option<OwnedFd>,
}

/// Whether there is such a function. Kernels whose BTF marks these functions (with tags, since Linux 6.10) tell them from others;
/// for older ones each function is one.
pub fn exists(name: &str) -> Result<bool, Error> {
    Ok(find(name)?.is_some())
}

fn find(name: &str) -> Result<Option<Kfunc>, Error> {
    let kernel = Types::kernel()?;
    if let Some(id) = kernel.kfunc(name) {
        return Ok(Some(Kfunc { id, module: None }));
    }
    for module in kernel.modules(|_| true) {
        if let Some(id) = module.kfunc(name) {
            let module = module.descriptor();
            return Ok(Some(Kfunc { id, module }));
        }
    }
    Ok(None)
}

/// Whether programs of a type (enum bpf_prog_type) may call it: the verifier's answer to one that does. It judges the function
/// before the arguments, which are missing.
pub fn is_allowed(name: &str, program: u32) -> Result<bool, Error> {
    let Some(kfunc) = find(name)? else {
        return Ok(false);
    };
    // BPF_JMP | BPF_CALL with BPF_PSEUDO_KFUNC_CALL, BPF_ALU64 | BPF_MOV | BPF_K, BPF_JMP | BPF_EXIT.
    let mut code = [0x85, 0xb7, 0x95].map(|code| libbpf_sys::bpf_insn {
        code,
        ..Default::default()
    });
    code[0].set_src_reg(2);
    code[0].imm = kfunc.id.cast_signed();
    // The kernel's own BTF is number 0 of the array.
    let objects = [-1, kfunc.module.as_ref().map_or(-1, AsRawFd::as_raw_fd)];
    code[0].off = i16::from(kfunc.module.is_some());
    let mut log = vec![0u8; 1 << 16];
    let mut options = libbpf_sys::bpf_prog_load_opts {
        sz: size_of::<libbpf_sys::bpf_prog_load_opts>() as _,
        fd_array: objects.as_ptr(),
        log_level: 1,
        log_size: log.len() as u32,
        log_buf: log.as_mut_ptr().cast(),
        ..Default::default()
    };
    if program == libbpf_sys::BPF_PROG_TYPE_TRACING {
        let Some(event) = Types::kernel()?.raw_tracepoint("sched_switch") else {
            return Ok(false);
        };
        options.attach_btf_id = event;
        options.expected_attach_type = libbpf_sys::BPF_TRACE_RAW_TP;
    }
    // SAFETY: the name is NUL-terminated, the program has three instructions, `options` says its own size and what it points
    // to lives as long as the call.
    let fd = unsafe {
        libbpf_sys::bpf_prog_load(
            program,
            std::ptr::null(),
            c"GPL".as_ptr(),
            code.as_ptr(),
            code.len() as _,
            &raw mut options,
        )
    };
    if fd >= 0 {
        // SAFETY: the call succeeded, so the descriptor is open and ours alone.
        drop(unsafe { OwnedFd::from_raw_fd(fd) });
        return Ok(true);
    }
    let said = CStr::from_bytes_until_nul(&log).unwrap_or_default();
    Ok(judged_arguments(&said.to_string_lossy()))
}

/// Whether the verifier got to the call and found fault with its arguments, not with the call.
fn judged_arguments(log: &str) -> bool {
    const REFUSALS: [&str; 4] = [
        "not allowed",
        "not supported",
        "reserved fields",
        "not a kernel function",
    ];
    log.contains("(85) call") && !REFUSALS.iter().any(|words| log.contains(words))
}

#[cfg(test)]
mod tests {
    use super::judged_arguments;

    #[test]
    fn refusals_are_told_from_missing_arguments() {
        let call = "0: R1=ctx() R10=fp0\n0: (85) call bpf_task_from_pid#65918\n";
        assert!(judged_arguments(&format!("{call}R1 is not a scalar\n")));
        assert!(judged_arguments(&format!("{call}R1 !read_ok\n")));
        let refused = "calling kernel function bpf_task_from_pid is not allowed\n";
        assert!(!judged_arguments(&format!("{call}{refused}")));
        assert!(!judged_arguments(
            "0: (85) call pc-1\nBPF_CALL uses reserved fields\n"
        ));
        assert!(!judged_arguments(""));
    }
}
