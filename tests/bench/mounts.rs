//! A mount namespace of the bench's own, with what tracers read: nothing of it stays behind.

use std::ffi::CStr;
use std::path::Path;

use anyhow::{Result, bail};

/// File system, where it belongs, what is there once it is mounted.
const NEEDED: &[(&CStr, &CStr, &str)] = &[
    (c"tracefs", c"/sys/kernel/tracing", "events"),
    (c"debugfs", c"/sys/kernel/debug", "tracing"),
];

/// Mounts what is missing, for this process and its children. bpftrace 0.17 mounts nothing by itself.
pub fn add_missing() -> Result<()> {
    // SAFETY: takes no memory.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } < 0 {
        bail!("unshare: {}", std::io::Error::last_os_error());
    }
    mount(c"none", c"/", libc::MS_REC | libc::MS_PRIVATE)?;
    for (kind, at, inside) in NEEDED {
        if !Path::new(at.to_str()?).join(inside).exists() {
            mount(kind, at, 0)?;
        }
    }
    Ok(())
}

fn mount(kind: &CStr, at: &CStr, flags: libc::c_ulong) -> Result<()> {
    // SAFETY: the strings end in NUL; there are no options.
    let result = unsafe {
        libc::mount(
            kind.as_ptr(),
            at.as_ptr(),
            kind.as_ptr(),
            flags,
            std::ptr::null(),
        )
    };
    if result < 0 {
        bail!("mount {at:?}: {}", std::io::Error::last_os_error());
    }
    Ok(())
}
