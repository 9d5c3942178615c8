//! `hardware`: an event of the CPU, sampled every so many, of the `-p` or `-c` process or on every CPU.

use btc_abi::{Attach, Probe};
use perf_event_open_sys::bindings::PERF_TYPE_HARDWARE;

use super::{Attached, Attaching, Place, Provider, Site, perf};
use crate::Error;
use crate::target::Target;

/// See [`Provider`].
pub struct Hardware;

impl Provider for Hardware {
    fn handles(&self, attach: &Attach) -> bool {
        matches!(attach, Attach::Hardware { .. })
    }

    fn find(&self, probe: &Probe, _: &Target) -> Result<Vec<Site>, Error> {
        Ok(vec![Site::new(&*probe.name, Place::Event)])
    }

    fn attach(&self, attaching: &Attaching<'_>, sites: &[Site]) -> Attached {
        Attached::each(sites, |site| {
            let Attach::Hardware { event, count } = &attaching.probe.attach else {
                return Ok(Vec::new());
            };
            let mut attribute = perf::attribute(PERF_TYPE_HARDWARE, *event);
            attribute.__bindgen_anon_1.sample_period = *count;
            perf::attach_to_target(&mut attribute, attaching, site, explained)
        })
    }
}

/// What the kernel's numbers mean for a counter of the processor.
fn explained(error: std::io::Error) -> std::io::Error {
    let text = match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENODEV | libc::EOPNOTSUPP) => {
            "this machine has no such counter; most virtual machines have none"
        }
        _ => return error,
    };
    std::io::Error::new(error.kind(), format!("{text}: {error}"))
}
