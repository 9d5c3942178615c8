//! Many places of one binary → one link (uprobe.multi, Linux 6.6), which is made and closed in one step whatever their
//! number.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use libbpf_rs::{OpenProgramMut, ProgramAttachType, ProgramMut};

use super::{Attached, Attaching, Attachment, InBinary, Site};
use crate::target::c_string;
use crate::{Context, Error};

/// Makes a program one for such a link, where this kernel has them. To be decided before it is loaded: the kernel takes
/// it for nothing else then.
pub fn prepare(sites: &[Site], program: &mut OpenProgramMut<'_>) {
    if sites.len() > 1 && is_supported() {
        program.set_attach_type(ProgramAttachType::TraceUprobeMulti);
    }
}

/// Whether [`prepare`] chose it.
#[must_use]
pub fn is_chosen(program: &ProgramMut<'_>) -> bool {
    matches!(program.attach_type(), ProgramAttachType::TraceUprobeMulti)
}

/// Attaches with a link for each binary, and another for each place in between that the kernel refuses.
pub fn attach(attaching: &Attaching<'_>, sites: &[Site], returns: bool) -> Attached {
    let mut binaries: BTreeMap<&Path, Vec<Spot<'_>>> = BTreeMap::new();
    for site in sites {
        if let Some(place) = site.place.in_binary() {
            let spot = Spot { site, place };
            binaries.entry(place.binary).or_default().push(spot);
        }
    }
    let mut attached = Attached::default();
    let scope = Scope {
        program: attaching.fd,
        pid: attaching.target.pid.map_or(0, i32::cast_unsigned),
        returns,
    };
    for (binary, places) in binaries {
        match c_string(binary.as_os_str().as_bytes()) {
            Ok(path) => scope.attach(&path, binary, &places, &mut attached),
            Err(error) => attached.failures.push(error),
        }
    }
    attached
}

/// A site, and where it is.
#[derive(Clone, Copy)]
struct Spot<'a> {
    site: &'a Site,
    place: InBinary<'a>,
}

/// What a probe's links have in common.
struct Scope<'a> {
    program: BorrowedFd<'a>,
    /// 0: all processes.
    pid: u32,
    returns: bool,
}

impl Scope<'_> {
    /// One place that can't be probed fails the whole link: halves of it are tried then.
    fn attach(&self, path: &CStr, binary: &Path, places: &[Spot<'_>], attached: &mut Attached) {
        match self.link(path, places) {
            Ok(link) => {
                attached.attachments.push(Attachment::Link(link));
                attached.sites += places.len();
            }
            Err(error) if places.len() > 1 && is_of_a_place(&error) => {
                let (first, second) = places.split_at(places.len() / 2);
                self.attach(path, binary, first, attached);
                self.attach(path, binary, second, attached);
            }
            Err(error) => attached.failures.push(failure(binary, places, error)),
        }
    }

    fn link(&self, path: &CStr, places: &[Spot<'_>]) -> std::io::Result<OwnedFd> {
        let list = |of: fn(&Spot<'_>) -> u64| places.iter().map(of).collect::<Vec<u64>>();
        let offsets = list(|spot| spot.place.offset);
        let cookies = list(|spot| spot.site.cookie);
        let counters = list(|spot| spot.place.counter);
        let mut options = options();
        let multi = libbpf_sys::bpf_link_create_opts__bindgen_ty_1__bindgen_ty_3 {
            flags: if self.returns {
                libbpf_sys::BPF_F_UPROBE_MULTI_RETURN
            } else {
                0
            },
            cnt: u32::try_from(offsets.len()).unwrap_or(u32::MAX),
            path: path.as_ptr(),
            offsets: offsets.as_ptr(),
            ref_ctr_offsets: counters.as_ptr(),
            cookies: cookies.as_ptr(),
            pid: self.pid,
            ..Default::default()
        };
        options.__bindgen_anon_1.uprobe_multi = multi;
        create(self.program, &options)
    }
}

/// Whether one place may be the reason, rather than the program or this process.
fn is_of_a_place(error: &std::io::Error) -> bool {
    // The kernel's own "not supported", of instructions that can't be single-stepped.
    const ENOTSUPP: i32 = 524;
    matches!(
        error.raw_os_error(),
        Some(libc::EINVAL | libc::EOPNOTSUPP | libc::EIO | ENOTSUPP)
    )
}

fn failure(binary: &Path, places: &[Spot<'_>], error: std::io::Error) -> Error {
    let of = match places {
        [Spot { site, place }] => {
            let (name, offset) = (&site.name, place.offset);
            format!("{name} ({} at {offset:#x})", binary.display())
        }
        _ => format!("{} places of {}", places.len(), binary.display()),
    };
    Error::with_source(format!("attach {of}"), error)
}

fn options() -> libbpf_sys::bpf_link_create_opts {
    libbpf_sys::bpf_link_create_opts {
        sz: size_of::<libbpf_sys::bpf_link_create_opts>() as _,
        ..Default::default()
    }
}

fn create(
    program: BorrowedFd<'_>,
    options: &libbpf_sys::bpf_link_create_opts,
) -> std::io::Result<OwnedFd> {
    // SAFETY: the program is open; `options` says its own size, and what it points to lives as long as the call.
    let link = unsafe {
        libbpf_sys::bpf_link_create(
            program.as_raw_fd(),
            0,
            libbpf_sys::BPF_TRACE_UPROBE_MULTI,
            options,
        )
    };
    if link < 0 {
        return Err(std::io::Error::from_raw_os_error(-link));
    }
    // SAFETY: the call succeeded, so the descriptor is open and ours alone.
    Ok(unsafe { OwnedFd::from_raw_fd(link) })
}

/// Whether this kernel has such links, and filters them by process. Before Linux 6.10 it filtered by thread, which it
/// tells by looking for the process -1, which later ones refuse at once.
fn is_supported() -> bool {
    is_there() && refusal(u32::MAX) == Some(libc::EINVAL)
}

/// Whether this kernel has such links at all. With them `bpf_get_func_ip` came to know user functions.
#[must_use]
pub fn is_there() -> bool {
    // A directory is no binary.
    refusal(0) == Some(libc::EBADF)
}

/// Why a link for process `pid` is refused that can't be made in any case.
fn refusal(pid: u32) -> Option<i32> {
    let program = trial().ok()?;
    let offset: libc::c_ulong = 0;
    let mut options = options();
    options.__bindgen_anon_1.uprobe_multi =
        libbpf_sys::bpf_link_create_opts__bindgen_ty_1__bindgen_ty_3 {
            cnt: 1,
            path: c"/".as_ptr(),
            offsets: &raw const offset,
            pid,
            ..Default::default()
        };
    let made = create(std::os::fd::AsFd::as_fd(&program), &options);
    made.err().and_then(|error| error.raw_os_error())
}

/// A program of this kind that only returns.
fn trial() -> Result<OwnedFd, Error> {
    // r0 = 0; exit
    let instructions = [
        libbpf_sys::bpf_insn {
            code: 0xb7,
            ..Default::default()
        },
        libbpf_sys::bpf_insn {
            code: 0x95,
            ..Default::default()
        },
    ];
    let options = libbpf_sys::bpf_prog_load_opts {
        sz: size_of::<libbpf_sys::bpf_prog_load_opts>() as _,
        expected_attach_type: libbpf_sys::BPF_TRACE_UPROBE_MULTI,
        ..Default::default()
    };
    // SAFETY: the strings are NUL-terminated, the instructions as many as said, `options` says its own size.
    let program = unsafe {
        libbpf_sys::bpf_prog_load(
            libbpf_sys::BPF_PROG_TYPE_KPROBE,
            std::ptr::null(),
            c"GPL".as_ptr(),
            instructions.as_ptr(),
            instructions.len() as _,
            (&raw const options).cast_mut(),
        )
    };
    if program < 0 {
        let error = std::io::Error::from_raw_os_error(-program);
        return Err(error).context(|| "load a trial program");
    }
    // SAFETY: the call succeeded, so the descriptor is open and ours alone.
    Ok(unsafe { OwnedFd::from_raw_fd(program) })
}
