//! An errno of attaching to a kernel function → what is the matter and what can be done.

use std::io;

use super::{Place, Site, directories};
use crate::target::{self, Target};
use crate::{Error, suggest, symbols};

/// Of the kernel alone (linux/errno.h), which no C library names.
const ENOTSUPP: i32 = 524;

/// Why the kernel has no kprobe at `site`.
pub fn explained(site: &Site, error: io::Error) -> Error {
    let Place::Kernel {
        function, offset, ..
    } = &site.place
    else {
        return Error::with_source(format!("attach {}", site.name), error);
    };
    let reason = match error.raw_os_error() {
        Some(libc::ENOENT) if !function.is_empty() => Some(no_function(function)),
        Some(libc::ENOENT | libc::EINVAL) if function.is_empty() => {
            Some("the kernel has no instruction there that can be probed".to_owned())
        }
        Some(libc::EPERM | libc::EACCES) => lockdown(),
        Some(libc::EILSEQ) => Some(format!(
            "offset {offset:#x} is not the start of an instruction"
        )),
        Some(libc::EINVAL) if is_blacklisted(function) => {
            Some("the kernel's list of places that kprobes must not touch has it".to_owned())
        }
        Some(libc::EINVAL) if *offset != 0 => Some(format!(
            "offset {offset:#x} is not the start of an instruction of the function"
        )),
        Some(libc::EINVAL) => Some("nothing there can be probed".to_owned()),
        _ => None,
    };
    match reason {
        Some(reason) => Error::new(format!("attach {}: {reason} ({error})", site.name)),
        None => Error::with_source(format!("attach {}", site.name), error),
    }
}

/// Why the kernel has no trampoline at `site`.
pub fn of_trampoline(site: &Site, error: io::Error) -> Error {
    let reason = match error.raw_os_error() {
        // Since Linux 6.4 on arm64.
        Some(ENOTSUPP) => Some(format!(
            "fentry and fexit need BPF trampolines, which this kernel ({}, {}) lacks; use kprobe or kretprobe",
            target::kernel_release(),
            std::env::consts::ARCH
        )),
        Some(libc::EPERM | libc::EACCES) => lockdown(),
        Some(libc::EINVAL | libc::EBUSY) => Some(
            "no trampoline can be had there: the function can't be traced, or others hold all places (kprobe may work)"
                .to_owned(),
        ),
        _ => None,
    };
    match reason {
        Some(reason) => Error::new(format!("attach {}: {reason} ({error})", site.name)),
        None => Error::with_source(format!("attach {}", site.name), error),
    }
}

/// No such function, and the one that may be meant.
fn no_function(wanted: &str) -> String {
    let mut names = Vec::new();
    // A hint can do without.
    let _ = symbols::for_each(|symbol| {
        if symbol.function.len().abs_diff(wanted.len()) < 4 {
            names.push(symbol.function.to_owned());
        }
    });
    match suggest::nearest(wanted, names.iter().map(String::as_str)) {
        Some(near) => format!("this kernel has no function `{wanted}`; did you mean `{near}`?"),
        None => format!("this kernel has no function `{wanted}`"),
    }
}

/// `None` where the kernel is not locked down.
fn lockdown() -> Option<String> {
    let text = std::fs::read_to_string("/sys/kernel/security/lockdown").ok()?;
    let level = text.split_once('[')?.1.split_once(']')?.0;
    (level != "none").then(|| {
        format!("the kernel is locked down ({level}), which forbids it; tracepoints may do instead")
    })
}

fn is_blacklisted(function: &str) -> bool {
    // START-END<tab>NAME
    let list = std::fs::read_to_string("/sys/kernel/debug/kprobes/blacklist");
    list.is_ok_and(|list| {
        let mut names = list
            .lines()
            .filter_map(|line| line.split_whitespace().nth(1));
        names.any(|name| name == function)
    })
}

/// The event of `tracepoint:category:event` that may be meant, and the category's other events otherwise.
pub fn no_tracepoint(target: &Target, category: &str, event: &str) -> String {
    let wanted = format!("tracepoint:{category}:{event}");
    let mut names = Vec::new();
    if let Ok(root) = target.tracefs() {
        let events = root.join("events");
        for category in directories(&events) {
            for event in directories(&events.join(&category)) {
                names.push(format!("tracepoint:{category}:{event}"));
            }
        }
    }
    match suggest::nearest(&wanted, names.iter().map(String::as_str)) {
        Some(near) => format!("this kernel has no {wanted}; did you mean {near}?"),
        None => format!("this kernel has no {wanted}"),
    }
}
