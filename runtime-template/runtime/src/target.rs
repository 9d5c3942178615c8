//! This machine → facts that several phases ask for: clocks, CPUs, tracefs, BTF, capabilities, the kernel's release.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use libbpf_rs::ProgramType;

use crate::btf::Types;
use crate::{Context, Error};

/// What attaching needs to know of the run; slow facts are looked up when first asked for.
pub struct Target {
    /// The `-p` pid or the `-c` child: user probes are of this process alone.
    pub pid: Option<i32>,
    /// The program of the `-c` child, which does not run yet: what it will map is not to be seen.
    pub program: Option<String>,
    pub verbose: bool,
    tracefs: OnceCell<Tracefs>,
    kprobe_multi: OnceCell<bool>,
    types: OnceCell<Types>,
    /// By program type and helper.
    helpers: RefCell<HashMap<(u32, u32), bool>>,
}

impl Target {
    #[must_use]
    pub fn new(pid: Option<i32>, verbose: bool) -> Self {
        Target {
            pid,
            program: None,
            verbose,
            tracefs: OnceCell::new(),
            kprobe_multi: OnceCell::new(),
            types: OnceCell::new(),
            helpers: RefCell::default(),
        }
    }

    /// Whether programs of a type may call a helper (its number in linux/bpf.h); no for types that libbpf can't ask.
    pub fn has_helper(&self, kind: ProgramType, helper: u32) -> bool {
        let mut helpers = self.helpers.borrow_mut();
        *(helpers.entry((kind as u32, helper))).or_insert_with(|| has_helper(kind, helper))
    }

    /// The kernel's functions and tracepoints, as its BTF describes them.
    pub(crate) fn types(&self) -> Result<&Types, Error> {
        if let Some(found) = self.types.get() {
            return Ok(found);
        }
        let types = Types::kernel()?;
        Ok(self.types.get_or_init(|| types))
    }

    /// Whether one link may hold kprobes of many functions (Linux 5.18, where the kernel was built with FPROBE).
    pub fn has_kprobe_multi(&self) -> bool {
        *self
            .kprobe_multi
            .get_or_init(crate::attach::kprobe_multi::supported)
    }

    /// The root of tracefs: where it is mounted, else a mount of our own that no one sees and that ends with us.
    pub fn tracefs(&self) -> Result<&Path, Error> {
        if let Some(found) = self.tracefs.get() {
            return Ok(&found.root);
        }
        let found = match mounted_tracefs() {
            Some(root) => Tracefs { root, _mount: None },
            None => Tracefs::mount()?,
        };
        let events = found.root.join("events");
        if let Err(error) = std::fs::read_dir(&events) {
            let what = match error.kind() {
                std::io::ErrorKind::PermissionDenied => format!(
                    "{}: tracepoints need root or CAP_DAC_READ_SEARCH too",
                    TRACEFS[0]
                ),
                // Our own mount is reached through /proc.
                _ if found._mount.is_some() => {
                    "tracefs is not mounted, and neither is /proc".to_owned()
                }
                _ => format!("list {}", events.display()),
            };
            return Err(Error::with_source(what, error));
        }
        Ok(&self.tracefs.get_or_init(|| found).root)
    }
}

struct Tracefs {
    root: PathBuf,
    _mount: Option<OwnedFd>,
}

impl Tracefs {
    /// A detached mount (fsopen, fsmount: Linux 5.2), reached through its descriptor.
    fn mount() -> Result<Self, Error> {
        let what = || "tracefs is not mounted and could not be (`mount -t tracefs tracefs /sys/kernel/tracing` as root)";
        // SAFETY: the arguments are a NUL-terminated string and plain integers.
        let context = unsafe { libc::syscall(libc::SYS_fsopen, c"tracefs".as_ptr(), 1) };
        let context = owned(context, what)?;
        const FSCONFIG_CMD_CREATE: libc::c_int = 6;
        // SAFETY: a command without key and value takes null pointers.
        let created = unsafe {
            libc::syscall(
                libc::SYS_fsconfig,
                context.as_raw_fd(),
                FSCONFIG_CMD_CREATE,
                std::ptr::null::<u8>(),
                std::ptr::null::<u8>(),
                0,
            )
        };
        if created < 0 {
            return Err(Error::last_os(what()));
        }
        // SAFETY: plain integers.
        let mount = unsafe { libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), 1, 0) };
        let mount = owned(mount, what)?;
        Ok(Tracefs {
            root: PathBuf::from(format!("/proc/self/fd/{}", mount.as_raw_fd())),
            _mount: Some(mount),
        })
    }
}

/// A system call's result as a descriptor.
fn owned(result: libc::c_long, what: impl Fn() -> &'static str) -> Result<OwnedFd, Error> {
    match i32::try_from(result) {
        // SAFETY: the call succeeded, so the descriptor is open and ours alone.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(Error::last_os(what())),
    }
}

/// Where tracefs belongs; the first is what debugfs mounts by itself too.
const TRACEFS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// Where tracefs is mounted, if it is where it belongs; we may not be allowed to look inside.
#[must_use]
pub fn mounted_tracefs() -> Option<PathBuf> {
    let found = |root: &PathBuf| match root.join("events").try_exists() {
        Ok(exists) => exists,
        Err(error) => error.kind() == std::io::ErrorKind::PermissionDenied,
    };
    TRACEFS.map(PathBuf::from).into_iter().find(found)
}

/// A file that the kernel makes up, in one read: in tracefs each one waits for a lock that detaching tracers hold.
pub fn read_at_once(path: &Path) -> std::io::Result<String> {
    use std::io::Read;
    let mut text = String::with_capacity(16 << 10);
    std::fs::File::open(path)?.read_to_string(&mut text)?;
    Ok(text)
}

/// Nanoseconds of a clock (`CLOCK_*`).
#[must_use]
pub fn clock_ns(clock: libc::clockid_t) -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` is a valid place for the result.
    unsafe { libc::clock_gettime(clock, &mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// The CPUs that are online.
pub fn online_cpus() -> Result<Vec<i32>, Error> {
    cpus_of("/sys/devices/system/cpu/online")
}

/// One more than the greatest number that a CPU may have.
pub fn cpu_ids() -> Result<u32, Error> {
    let cpus = cpus_of("/sys/devices/system/cpu/possible")?;
    Ok(cpus
        .into_iter()
        .max()
        .map_or(1, |last| last.unsigned_abs() + 1))
}

fn cpus_of(path: &str) -> Result<Vec<i32>, Error> {
    let text = std::fs::read_to_string(path).context(|| format!("read {path}"))?;
    cpu_list(text.trim()).ok_or_else(|| Error::new(format!("{path}: unexpected `{}`", text.trim())))
}

fn cpu_list(text: &str) -> Option<Vec<i32>> {
    let mut cpus = Vec::new();
    for range in text.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        cpus.extend(first.parse::<i32>().ok()?..=last.parse().ok()?);
    }
    Some(cpus)
}

/// The kernel's release, as `uname -r` prints it.
#[must_use]
pub fn kernel_release() -> String {
    // SAFETY: utsname is plain bytes; all zeroes is a value.
    let mut names: libc::utsname = unsafe { std::mem::zeroed() };
    // SAFETY: `names` is a valid place; the kernel ends the strings with NUL.
    let release = unsafe {
        libc::uname(&mut names);
        CStr::from_ptr(names.release.as_ptr())
    };
    release.to_string_lossy().into_owned()
}

/// Whether programs of a type may call a helper: a tiny one is loaded.
#[must_use]
pub fn has_helper(kind: ProgramType, helper: u32) -> bool {
    // SAFETY: plain integers; the options may be null.
    let answer =
        unsafe { libbpf_sys::libbpf_probe_bpf_helper(kind as u32, helper, std::ptr::null()) };
    answer == 1
}

/// Whether the kernel is at least of this version.
#[must_use]
pub fn kernel_at_least(major: u32, minor: u32) -> bool {
    let release = kernel_release();
    let mut parts = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|part| part.parse::<u32>().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= (major, minor)
}

/// Whether the kernel's types are to be had.
#[must_use]
pub fn has_btf() -> bool {
    let release = kernel_release();
    Path::new("/sys/kernel/btf/vmlinux").exists()
        || Path::new(&format!("/boot/vmlinux-{release}")).exists()
        || Path::new(&format!("/lib/modules/{release}/build/vmlinux")).exists()
}

/// The capabilities that loading and attaching need and that this process lacks.
#[must_use]
pub fn missing_capabilities() -> Vec<&'static str> {
    const NEEDED: [(u32, &str); 2] = [(39, "CAP_BPF"), (38, "CAP_PERFMON")];
    let Some(effective) = effective_capabilities() else {
        return Vec::new();
    };
    let has = |bit: u32| effective & (1 << bit) != 0;
    if has(SYS_ADMIN) {
        return Vec::new();
    }
    (NEEDED.into_iter())
        .filter(|(bit, _)| !has(*bit))
        .map(|(_, name)| name)
        .collect()
}

/// Linux's number of CAP_SYS_ADMIN.
pub const SYS_ADMIN: u32 = 21;

/// Whether this process has a capability, in whatever user namespace it is; yes where /proc does not tell.
#[must_use]
pub fn is_capable(bit: u32) -> bool {
    effective_capabilities().is_none_or(|effective| effective & (1 << bit) != 0)
}

/// One bit a capability; `None` where /proc does not tell.
fn effective_capabilities() -> Option<u64> {
    let status = read_at_once(Path::new("/proc/self/status")).ok()?;
    let digits = (status.lines()).find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(digits.trim(), 16).ok()
}

/// Whether this process is in a user namespace of its own, whose capabilities are none to the kernel's tracing.
#[must_use]
pub fn in_user_namespace() -> bool {
    // The first namespace's number is the same on every kernel (PROC_USER_INIT_INO).
    const FIRST: &str = "user:[4026531837]";
    std::fs::read_link("/proc/self/ns/user").is_ok_and(|name| name.as_os_str() != FIRST)
}

/// A path or name for a system call.
pub fn c_string(text: impl Into<Vec<u8>>) -> Result<CString, Error> {
    CString::new(text).context(|| "a name with a NUL byte")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_lists() {
        assert_eq!(cpu_list("0-2,5"), Some(vec![0, 1, 2, 5]));
        assert_eq!(cpu_list("3"), Some(vec![3]));
        assert_eq!(cpu_list(""), None);
    }

    #[test]
    fn releases() {
        assert!(kernel_at_least(3, 0));
        assert!(!kernel_at_least(99, 0));
    }
}
