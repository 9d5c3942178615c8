//! A raw_tp program that is attached to nothing → run once, by BPF_PROG_TEST_RUN (Linux 5.10).

use std::os::fd::{AsRawFd, BorrowedFd};

/// What the program returned.
pub fn once(program: BorrowedFd<'_>) -> std::io::Result<i32> {
    let mut options = libbpf_sys::bpf_test_run_opts {
        sz: size_of::<libbpf_sys::bpf_test_run_opts>() as _,
        ..Default::default()
    };
    // SAFETY: an open program; `options` says its own size and is written back.
    let result = unsafe { libbpf_sys::bpf_prog_test_run_opts(program.as_raw_fd(), &mut options) };
    if result < 0 {
        return Err(std::io::Error::from_raw_os_error(-result));
    }
    Ok(options.retval.cast_signed())
}
