//! `iter`: a link for the program, whose objects the runtime reads (`iterate.rs`), or a pin in bpffs.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use btc_abi::{Attach, Probe};

use super::{Attached, Attaching, Attachment, Place, Provider, Site};
use crate::target::{Target, c_string, kernel_release};
use crate::{Context, Error};

/// See [`Provider`].
pub struct Iter;

impl Provider for Iter {
    fn handles(&self, attach: &Attach) -> bool {
        matches!(attach, Attach::Iter { .. })
    }

    fn find(&self, probe: &Probe, _: &Target) -> Result<Vec<Site>, Error> {
        let Attach::Iter { name, .. } = &probe.attach else {
            return Ok(Vec::new());
        };
        if !exists(name)? {
            return Err(Error::new(format!(
                "{}: {}: this kernel has no iterator `{name}`{}; this is {}",
                probe.place,
                probe.name,
                since(name),
                kernel_release()
            )));
        }
        Ok(vec![Site::new(&*probe.name, Place::Event)])
    }

    fn attach(&self, attaching: &Attaching<'_>, sites: &[Site]) -> Attached {
        Attached::each(sites, |site| {
            let link = link(attaching.fd).context(|| format!("attach {}", site.name))?;
            let Attach::Iter { pin: Some(pin), .. } = &attaching.probe.attach else {
                return Ok(vec![Attachment::Iterator(link)]);
            };
            let path = Path::new(BPFFS).join(&**pin);
            leave(&link, &path).context(|| format!("pin {} to {}", site.name, path.display()))?;
            Ok(vec![Attachment::Pinned { path }])
        })
    }
}

/// Where a relative pin is.
const BPFFS: &str = "/sys/fs/bpf";

/// Whether the kernel's BTF has the function that stands for the iterator.
fn exists(name: &str) -> Result<bool, Error> {
    let name = c_string(name)?;
    // SAFETY: a NUL-terminated name; libbpf puts `bpf_iter_` before it.
    let found = unsafe {
        libbpf_sys::libbpf_find_vmlinux_btf_id(name.as_ptr(), libbpf_sys::BPF_TRACE_ITER)
    };
    Ok(found > 0)
}

/// When an iterator came.
fn since(name: &str) -> String {
    let version = match name {
        "task" | "task_file" | "bpf_map" | "netlink" | "ipv6_route" => "5.8",
        "tcp" | "udp" | "bpf_prog" => "5.9",
        "task_vma" => "5.12",
        "unix" => "5.15",
        "bpf_link" => "5.19",
        "ksym" => "6.0",
        "kmem_cache" => "6.13",
        _ => return String::new(),
    };
    format!(", which came with Linux {version}")
}

fn link(program: BorrowedFd<'_>) -> std::io::Result<OwnedFd> {
    // SAFETY: an open program; iterators have no target and no options.
    let link = unsafe {
        libbpf_sys::bpf_link_create(
            program.as_raw_fd(),
            0,
            libbpf_sys::BPF_TRACE_ITER,
            std::ptr::null(),
        )
    };
    if link < 0 {
        return Err(std::io::Error::from_raw_os_error(-link));
    }
    // SAFETY: the call succeeded, so the descriptor is open and ours alone.
    Ok(unsafe { OwnedFd::from_raw_fd(link) })
}

fn leave(link: &OwnedFd, path: &Path) -> Result<(), Error> {
    let name = c_string(path.as_os_str().as_bytes())?;
    // SAFETY: an open link and a NUL-terminated path.
    let result = unsafe { libbpf_sys::bpf_obj_pin(link.as_raw_fd(), name.as_ptr()) };
    if result >= 0 {
        return Ok(());
    }
    let error = std::io::Error::from_raw_os_error(-result);
    let text = match error.raw_os_error() {
        Some(libc::EEXIST) => "something is pinned there; remove it first",
        Some(libc::ENOENT) => "no such directory; `mount -t bpf bpf /sys/fs/bpf` mounts bpffs",
        Some(libc::EPERM | libc::EINVAL) => {
            "not in a bpffs (`mount -t bpf bpf /sys/fs/bpf` mounts one), or a name with a dot"
        }
        _ => return Err(Error::with_source("bpf_obj_pin", error)),
    };
    Err(Error::with_source(text, error))
}
