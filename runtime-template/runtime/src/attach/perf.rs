//! perf_event_attr → an event with a program on it, linked where the kernel has such links (5.15).

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use btc_abi::PerfPeriod;
use perf_event_open_sys as sys;
use sys::bindings::perf_event_attr;

use super::{Attaching, Attachment, Site};
use crate::{Context, Error, target};

/// Which tasks and which CPU an event is of.
#[derive(Clone, Copy)]
pub struct Scope {
    /// -1: all.
    pub pid: i32,
    /// -1: all; needs a pid.
    pub cpu: i32,
}

/// An attribute of this type and configuration, with everything else zero.
#[must_use]
pub fn attribute(kind: u32, config: u64) -> perf_event_attr {
    perf_event_attr {
        type_: kind,
        size: size_of::<perf_event_attr>() as u32,
        config,
        ..Default::default()
    }
}

/// Sets a period in time, for the CPU clock.
pub fn set_period(attribute: &mut perf_event_attr, period: &PerfPeriod) {
    match period {
        PerfPeriod::Nanoseconds { ns } => attribute.__bindgen_anon_1.sample_period = *ns,
        PerfPeriod::Hertz { hz } => {
            attribute.set_freq(1);
            attribute.__bindgen_anon_1.sample_freq = *hz;
        }
    }
}

/// Opens the event and attaches the program with a cookie (0: none).
pub fn attach(
    attribute: &mut perf_event_attr,
    scope: Scope,
    program: BorrowedFd<'_>,
    cookie: u64,
) -> std::io::Result<Attachment> {
    let flags = libc::c_ulong::from(sys::bindings::PERF_FLAG_FD_CLOEXEC);
    // SAFETY: `attribute` is valid and says its own size; pointers inside it live as long as the call.
    let event = unsafe { sys::perf_event_open(attribute, scope.pid, scope.cpu, -1, flags) };
    if event < 0 {
        return Err(explained(std::io::Error::last_os_error()));
    }
    // SAFETY: the call succeeded, so the descriptor is open and ours alone.
    let event = unsafe { OwnedFd::from_raw_fd(event) };
    let link = link(&event, program, cookie)?;
    // SAFETY: an open perf event; the request takes no argument.
    if unsafe { libc::ioctl(event.as_raw_fd(), sys::bindings::ENABLE as _, 0) } < 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(Attachment::Perf { link, event })
}

/// Some kernels let CAP_PERFMON open all events but those of uprobes.
fn explained(error: std::io::Error) -> std::io::Error {
    if error.kind() == std::io::ErrorKind::PermissionDenied
        && !target::is_capable(target::SYS_ADMIN)
    {
        let text = format!("{error}; it may be CAP_SYS_ADMIN that is missing");
        return std::io::Error::new(error.kind(), text);
    }
    error
}

fn link(event: &OwnedFd, program: BorrowedFd<'_>, cookie: u64) -> std::io::Result<Option<OwnedFd>> {
    let mut options = libbpf_sys::bpf_link_create_opts {
        sz: size_of::<libbpf_sys::bpf_link_create_opts>() as _,
        ..Default::default()
    };
    options.__bindgen_anon_1.perf_event.bpf_cookie = cookie;
    // SAFETY: both descriptors are open; `options` says its own size.
    let link = unsafe {
        libbpf_sys::bpf_link_create(
            program.as_raw_fd(),
            event.as_raw_fd(),
            libbpf_sys::BPF_PERF_EVENT,
            &options,
        )
    };
    if link >= 0 {
        // SAFETY: the call succeeded, so the descriptor is open and ours alone.
        return Ok(Some(unsafe { OwnedFd::from_raw_fd(link) }));
    }
    let error = std::io::Error::from_raw_os_error(-link);
    if error.raw_os_error() != Some(libc::EINVAL) || target::kernel_at_least(5, 15) {
        return Err(error);
    }
    // No program asks for a cookie here: a variant has it as a constant.
    // SAFETY: an open perf event; the argument is a program's descriptor.
    let result = unsafe {
        libc::ioctl(
            event.as_raw_fd(),
            sys::bindings::SET_BPF as _,
            program.as_raw_fd(),
        )
    };
    if result < 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(None)
}

/// Attaches to an event of the `-p` or `-c` process, else of every CPU. `explained` says more of an error.
pub fn attach_to_target(
    attribute: &mut perf_event_attr,
    attaching: &Attaching<'_>,
    site: &Site,
    explained: impl Fn(std::io::Error) -> std::io::Error,
) -> Result<Vec<Attachment>, Error> {
    match attaching.target.pid {
        Some(pid) => attach_to_process(attribute, pid, attaching, site, explained),
        None => attach_to_cpus(attribute, attaching, site, explained),
    }
}

/// One event for each CPU that is online.
pub fn attach_to_cpus(
    attribute: &mut perf_event_attr,
    attaching: &Attaching<'_>,
    site: &Site,
    explained: impl Fn(std::io::Error) -> std::io::Error,
) -> Result<Vec<Attachment>, Error> {
    let attach = |cpu| {
        let scope = Scope { pid: -1, cpu };
        attach(attribute, scope, attaching.fd, site.cookie)
            .map_err(&explained)
            .context(|| format!("attach {} on CPU {cpu}", site.name))
    };
    target::online_cpus()?.into_iter().map(attach).collect()
}

/// One event for each thread; those that the process starts later inherit it.
fn attach_to_process(
    attribute: &mut perf_event_attr,
    pid: i32,
    attaching: &Attaching<'_>,
    site: &Site,
    explained: impl Fn(std::io::Error) -> std::io::Error,
) -> Result<Vec<Attachment>, Error> {
    let what = || format!("attach {} to process {pid}", site.name);
    attribute.set_inherit(1);
    // Before, what the process forks inherits it as well.
    if target::kernel_at_least(5, 13) {
        attribute.set_inherit_thread(1);
    }
    let mut attachments = Vec::new();
    for thread in std::fs::read_dir(format!("/proc/{pid}/task")).context(what)? {
        let name = thread.context(what)?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let scope = Scope { pid, cpu: -1 };
        match attach(attribute, scope, attaching.fd, site.cookie) {
            Ok(attachment) => attachments.push(attachment),
            // A thread that has ended meanwhile.
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
            Err(error) => return Err(explained(error)).context(what),
        }
    }
    if attachments.is_empty() {
        return Err(Error::new(format!("{}: the process has ended", what())));
    }
    Ok(attachments)
}

/// An event of a dynamic PMU: `kprobe` or `uprobe`, at the function's entry or its return.
pub fn dynamic(pmu: &str, returns: bool) -> Result<sys::bindings::perf_event_attr, Error> {
    let root = format!("/sys/bus/event_source/devices/{pmu}");
    let read = |file: &str| std::fs::read_to_string(format!("{root}/{file}"));
    let kind = read("type").ok().and_then(|text| text.trim().parse().ok());
    let kind =
        kind.ok_or_else(|| Error::new(format!("this kernel has no {pmu}s (no {root}/type)")))?;
    // The configuration bit that makes it a return probe.
    let bit = read("format/retprobe").ok();
    let bit = bit
        .and_then(|text| text.trim().strip_prefix("config:")?.parse::<u32>().ok())
        .unwrap_or(0);
    Ok(attribute(kind, u64::from(returns) << bit))
}

/// The part of the configuration that has the kernel count the tracers of a user probe, in a word of the process that `offset`
/// in the binary says (0: none).
pub fn reference_counter(pmu: &str, offset: u64) -> Result<u64, Error> {
    if offset == 0 {
        return Ok(0);
    }
    // Linux 4.20 and newer: `config:32-63`.
    let path = format!("/sys/bus/event_source/devices/{pmu}/format/ref_ctr_offset");
    let text = std::fs::read_to_string(&path).context(|| format!("read {path}"))?;
    let shift = text.trim().strip_prefix("config:");
    let shift = shift.and_then(|bits| bits.split('-').next()?.parse::<u32>().ok());
    let shift = shift.ok_or_else(|| Error::new(format!("{path}: unexpected `{}`", text.trim())))?;
    let placed = offset
        .checked_shl(shift)
        .filter(|placed| placed >> shift == offset);
    placed.ok_or_else(|| {
        Error::new(format!(
            "a semaphore at offset {offset:#x}, further than the kernel takes"
        ))
    })
}
