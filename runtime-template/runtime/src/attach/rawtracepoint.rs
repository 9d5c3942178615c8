//! `rawtracepoint`: the kernel's own tracepoints, with (tp_btf) or without (raw_tp) typed arguments.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use btc_abi::{Attach, Probe};
use libbpf_rs::OpenProgramMut;

use super::{Attached, Attaching, Attachment, Place, Provider, Site};
use crate::target::{Target, c_string};
use crate::{Context, Error, pattern};

/// See [`Provider`].
pub struct Rawtracepoint;

impl Provider for Rawtracepoint {
    fn handles(&self, attach: &Attach) -> bool {
        matches!(attach, Attach::RawTracepoint { .. })
    }

    fn find(&self, probe: &Probe, _: &Target) -> Result<Vec<Site>, Error> {
        match &probe.attach {
            Attach::RawTracepoint { event, .. } if pattern::is_pattern(event) => {
                Err(Error::new(format!(
                    "{}: {}: patterns of raw tracepoints are not supported yet",
                    probe.place, probe.name
                )))
            }
            _ => Ok(vec![Site::new(&*probe.name, Place::Event)]),
        }
    }

    fn prepare(
        &self,
        probe: &Probe,
        _: &Site,
        program: &mut OpenProgramMut<'_>,
        _: &Target,
    ) -> Result<(), Error> {
        if let Attach::RawTracepoint { event, btf: true } = &probe.attach {
            program
                .set_attach_target(0, Some((**event).to_owned()))
                .context(|| {
                    format!(
                        "{}: {}: no such raw tracepoint on this kernel",
                        probe.place, probe.name
                    )
                })?;
        }
        Ok(())
    }

    fn attach(&self, attaching: &Attaching<'_>, sites: &[Site]) -> Attached {
        Attached::each(sites, |site| {
            let Attach::RawTracepoint { event, btf } = &attaching.probe.attach else {
                return Ok(Vec::new());
            };
            let name = c_string(&**event)?;
            // A tp_btf program knows its event.
            let name = if *btf {
                std::ptr::null()
            } else {
                name.as_ptr()
            };
            // SAFETY: `name` is null or NUL-terminated and outlives the call.
            let link =
                unsafe { libbpf_sys::bpf_raw_tracepoint_open(name, attaching.fd.as_raw_fd()) };
            if link < 0 {
                let source = std::io::Error::from_raw_os_error(-link);
                return Err(Error::with_source(format!("attach {}", site.name), source));
            }
            // SAFETY: the call succeeded, so the descriptor is open and ours alone.
            Ok(vec![Attachment::Link(unsafe {
                OwnedFd::from_raw_fd(link)
            })])
        })
    }
}
