//! kprobe.multi links: one link for the entries or returns of any number of functions (Linux 5.18 with CONFIG_FPROBE).

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use super::{Attached, Attaching, Attachment, Place, Site};
use crate::Error;
use crate::target::c_string;

// Not among libbpf-sys' constants: BPF_F_KPROBE_MULTI_RETURN of linux/bpf.h.
const RETURN: u32 = 1;

/// Whether this kernel has such links; asked by one that can't be made, since distributions leave them out.
#[must_use]
pub fn supported() -> bool {
    probe().is_some_and(|error| error.raw_os_error() == Some(libc::EFAULT))
}

/// The error of a link to a function whose name is a null pointer; `None` where not even the program loads.
fn probe() -> Option<io::Error> {
    // BPF_ALU64 | BPF_MOV | BPF_K, BPF_JMP | BPF_EXIT.
    let program = [0xb7, 0x95].map(|code| libbpf_sys::bpf_insn {
        code,
        ..Default::default()
    });
    let options = libbpf_sys::bpf_prog_load_opts {
        sz: size_of::<libbpf_sys::bpf_prog_load_opts>() as _,
        expected_attach_type: libbpf_sys::BPF_TRACE_KPROBE_MULTI,
        ..Default::default()
    };
    // SAFETY: names are NUL-terminated, the program has two instructions, `options` says its own size.
    let fd = unsafe {
        libbpf_sys::bpf_prog_load(
            libbpf_sys::BPF_PROG_TYPE_KPROBE,
            ptr::null(),
            c"GPL".as_ptr(),
            program.as_ptr(),
            program.len() as _,
            (&raw const options).cast_mut(),
        )
    };
    if fd < 0 {
        return None;
    }
    // SAFETY: the call succeeded, so the descriptor is open and ours alone.
    let program = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut names = [ptr::null()];
    let mut options = link_options(1, false);
    options.__bindgen_anon_1.kprobe_multi.syms = names.as_mut_ptr();
    // SAFETY: `names` has one element.
    unsafe { link(&options, &program) }.err()
}

fn link_options(count: usize, returns: bool) -> libbpf_sys::bpf_link_create_opts {
    let mut options = libbpf_sys::bpf_link_create_opts {
        sz: size_of::<libbpf_sys::bpf_link_create_opts>() as _,
        ..Default::default()
    };
    options.__bindgen_anon_1.kprobe_multi.cnt = count as u32;
    options.__bindgen_anon_1.kprobe_multi.flags = if returns { RETURN } else { 0 };
    options
}

/// # Safety
/// The arrays of `options` have the length that it says.
unsafe fn link(
    options: &libbpf_sys::bpf_link_create_opts,
    program: &impl AsRawFd,
) -> io::Result<OwnedFd> {
    // SAFETY: the descriptor is open; the caller vouches for the arrays.
    let link = unsafe {
        libbpf_sys::bpf_link_create(
            program.as_raw_fd(),
            0,
            libbpf_sys::BPF_TRACE_KPROBE_MULTI,
            options,
        )
    };
    if link < 0 {
        return Err(io::Error::from_raw_os_error(-link));
    }
    // SAFETY: the call succeeded, so the descriptor is open and ours alone.
    Ok(unsafe { OwnedFd::from_raw_fd(link) })
}

/// Attaches to all sites by one link. Where the kernel refuses, halves are tried, so that the functions that it
/// refuses are left out and the others take a few links more.
pub fn attach(attaching: &Attaching<'_>, sites: &[Site], returns: bool) -> Attached {
    let mut attached = Attached::default();
    let sites: Vec<&Site> = sites.iter().collect();
    let named = sites.iter().any(|site| address(site) == 0);
    let mut parts = vec![if named { distinct(sites) } else { sites }];
    while let Some(mut part) = parts.pop() {
        match attach_all(attaching.fd, &part, returns, named) {
            Ok(link) => {
                attached.attachments.push(Attachment::Link(link));
                attached.sites += part.len();
            }
            Err(error) if part.len() == 1 || !is_of_a_function(&error) => {
                let what = match part.as_slice() {
                    [one] => format!("attach {}", one.name),
                    _ => format!("attach {}", attaching.probe.name),
                };
                attached.failures.push(Error::with_source(what, error));
            }
            Err(_) => {
                let half = part.split_off(part.len() / 2);
                parts.push(half);
                parts.push(part);
            }
        }
    }
    attached
}

/// Whether the kernel refuses for a function, and not for what holds for all of them.
fn is_of_a_function(error: &io::Error) -> bool {
    !matches!(
        error.raw_os_error(),
        Some(libc::EPERM | libc::EACCES | libc::ENOMEM | libc::E2BIG | libc::EMFILE)
    )
}

fn address(site: &Site) -> u64 {
    match &site.place {
        Place::Kernel { address, .. } => *address,
        _ => 0,
    }
}

/// By their names the kernel finds the first function of each.
fn distinct(mut sites: Vec<&Site>) -> Vec<&Site> {
    sites.dedup_by(|a, b| function(a) == function(b));
    sites
}

fn function(site: &Site) -> &str {
    match &site.place {
        // It takes no module with the name.
        Place::Kernel { function, .. } => function.rsplit(':').next().unwrap_or(function),
        _ => "",
    }
}

fn attach_all(
    program: BorrowedFd<'_>,
    sites: &[&Site],
    returns: bool,
    named: bool,
) -> io::Result<OwnedFd> {
    let mut options = link_options(sites.len(), returns);
    let cookies: Vec<u64> = sites.iter().map(|site| site.cookie).collect();
    options.__bindgen_anon_1.kprobe_multi.cookies = cookies.as_ptr();
    let addresses: Vec<u64> = sites.iter().map(|site| address(site)).collect();
    let names = sites.iter().map(|site| c_string(function(site)).ok());
    let names: Vec<CString> = names.map(Option::unwrap_or_default).collect();
    let mut pointers: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
    if named {
        options.__bindgen_anon_1.kprobe_multi.syms = pointers.as_mut_ptr();
    } else {
        options.__bindgen_anon_1.kprobe_multi.addrs = addresses.as_ptr();
    }
    // SAFETY: every array has an element for each site and outlives the call.
    unsafe { link(&options, &program) }
}
