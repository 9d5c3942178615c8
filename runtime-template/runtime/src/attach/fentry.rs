//! `fentry` and `fexit`: trampolines of a kernel function, found by its BTF id on the target.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use btc_abi::{Attach, Probe};
use libbpf_rs::OpenProgramMut;

use super::{Attached, Attaching, Attachment, Place, Provider, Site};
use crate::target::{Target, kernel_at_least};
use crate::{Context, Error, pattern};

/// See [`Provider`].
pub struct Fentry;

impl Provider for Fentry {
    fn handles(&self, attach: &Attach) -> bool {
        matches!(attach, Attach::Fentry { .. } | Attach::Fexit { .. })
    }

    fn find(&self, probe: &Probe, _: &Target) -> Result<Vec<Site>, Error> {
        match function(probe) {
            Some((_, function)) if pattern::is_pattern(function) => Err(Error::new(format!(
                "{}: {}: patterns of fentry and fexit are not supported yet",
                probe.place, probe.name
            ))),
            _ => Ok(vec![Site::new(&*probe.name, Place::Event)]),
        }
    }

    fn prepare(
        &self,
        probe: &Probe,
        _: &[Site],
        program: &mut OpenProgramMut<'_>,
    ) -> Result<(), Error> {
        let Some((module, function)) = function(probe) else {
            return Ok(());
        };
        // libbpf reads `module:function` and looks in that module's BTF; without one in vmlinux, then all modules.
        let target = match module {
            Some(module) => format!("{module}:{function}"),
            None => function.to_owned(),
        };
        program.set_attach_target(0, Some(target)).context(|| {
            format!(
                "{}: {}: no such function in this kernel's BTF",
                probe.place, probe.name
            )
        })
    }

    fn attach(&self, attaching: &Attaching<'_>, sites: &[Site]) -> Attached {
        Attached::each(sites, |site| {
            // SAFETY: no name: the program knows its target.
            let link = unsafe {
                libbpf_sys::bpf_raw_tracepoint_open(std::ptr::null(), attaching.fd.as_raw_fd())
            };
            if link < 0 {
                return Err(Error::with_source(
                    format!("attach {}", site.name),
                    explained(-link),
                ));
            }
            // SAFETY: the call succeeded, so the descriptor is open and ours alone.
            Ok(vec![Attachment::Link(unsafe {
                OwnedFd::from_raw_fd(link)
            })])
        })
    }
}

/// The kernel's own "not supported" (include/linux/errno.h), which no library has words for.
const ENOTSUPP: i32 = 524;

fn explained(code: i32) -> std::io::Error {
    if code != ENOTSUPP {
        return std::io::Error::from_raw_os_error(code);
    }
    let text = if cfg!(target_arch = "aarch64") && !kernel_at_least(6, 4) {
        "on arm64, fentry and fexit came with Linux 6.4: use a kprobe or kretprobe"
    } else {
        "this kernel has no fentry or fexit for this function: use a kprobe or kretprobe"
    };
    std::io::Error::new(std::io::ErrorKind::Unsupported, text)
}

fn function(probe: &Probe) -> Option<(Option<&str>, &str)> {
    match &probe.attach {
        Attach::Fentry { module, function } | Attach::Fexit { module, function } => {
            Some((module.as_deref(), function))
        }
        _ => None,
    }
}
