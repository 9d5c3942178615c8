//! Numbers of the target → its names for them: users, cgroups, enum values, errors, signals, system calls. Looked up
//! when first asked for.

mod cgroups;
mod enums;
mod gfp;
mod signals;
mod syscalls;
mod users;

use std::ffi::CStr;

use btc_abi::Manifest;

pub use signals::signal;
pub use syscalls::syscall;

/// Names with what was looked up so far.
pub struct Names {
    users: users::Users,
    cgroups: cgroups::Cgroups,
    enums: enums::Enums,
    gfp: gfp::GfpFlags,
}

impl Names {
    /// Nothing is looked up yet.
    #[must_use]
    pub fn new(manifest: &'static Manifest) -> Self {
        Names {
            users: users::Users::default(),
            cgroups: cgroups::Cgroups::default(),
            enums: enums::Enums::new(&manifest.enums),
            gfp: gfp::GfpFlags::default(),
        }
    }

    /// A user's name; the number itself where the target has no such user.
    pub fn user(&mut self, id: u64) -> String {
        self.users.name(id).unwrap_or_else(|| id.to_string())
    }

    /// `hierarchy:path` of every cgroup of that id in the hierarchies whose names match; empty where there is none.
    pub fn cgroup(&mut self, id: u64, hierarchies: &str) -> String {
        self.cgroups.path(id, hierarchies)
    }

    /// Flags of a memory allocation as the kernel prints them: names with `|` between, what has no name in hex.
    pub fn gfp_flags(&mut self, flags: u64) -> String {
        self.gfp.text(flags)
    }

    /// The name of a value of an enum (an index into [`Manifest::enums`]); the number where it has none.
    pub fn enumeration(&mut self, enumeration: u32, value: i128) -> String {
        self.enums
            .name(enumeration as usize, value as u64)
            .unwrap_or_else(|| value.to_string())
    }
}

/// What strerror says of an error number.
#[must_use]
pub fn error(number: i32) -> String {
    // SAFETY: strerror returns a NUL-terminated string that is valid until its next call; no other thread makes one.
    let text = unsafe { CStr::from_ptr(libc::strerror(number)) };
    text.to_string_lossy().into_owned()
}
