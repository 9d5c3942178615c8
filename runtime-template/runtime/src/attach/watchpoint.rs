//! `watchpoint`: hardware breakpoints of the `-p` or `-c` process; without one of every CPU, which kernel addresses need.

use btc_abi::{Attach, Probe};
use perf_event_open_sys::bindings::{PERF_TYPE_BREAKPOINT, perf_event_attr};

use super::{Attached, Attaching, Place, Provider, Site, perf};
use crate::Error;
use crate::target::Target;

/// See [`Provider`].
pub struct Watchpoint;

impl Provider for Watchpoint {
    fn handles(&self, attach: &Attach) -> bool {
        matches!(attach, Attach::Watchpoint { .. })
    }

    fn find(&self, probe: &Probe, _: &Target) -> Result<Vec<Site>, Error> {
        Ok(vec![Site::new(&*probe.name, Place::Event)])
    }

    fn attach(&self, attaching: &Attaching<'_>, sites: &[Site]) -> Attached {
        Attached::each(sites, |site| {
            let Attach::Watchpoint {
                address,
                length,
                access,
            } = &attaching.probe.attach
            else {
                return Ok(Vec::new());
            };
            let mut attribute = breakpoint(*address, *length, *access);
            perf::attach_to_target(&mut attribute, attaching, site, explained)
        })
    }
}

fn breakpoint(address: u64, length: u32, access: u32) -> perf_event_attr {
    let mut attribute = perf::attribute(PERF_TYPE_BREAKPOINT, 0);
    attribute.bp_type = access;
    attribute.__bindgen_anon_3.bp_addr = address;
    attribute.__bindgen_anon_4.bp_len = u64::from(length);
    attribute.__bindgen_anon_1.sample_period = 1;
    attribute
}

/// What the kernel's numbers mean for a breakpoint.
fn explained(error: std::io::Error) -> std::io::Error {
    let text = match error.raw_os_error() {
        Some(libc::ENOSPC) => "all of the processor's watchpoints are taken (x86-64 has 4)",
        Some(libc::EINVAL) => "this processor can't watch that address, length and mode",
        Some(libc::ENODEV | libc::ENOENT | libc::EOPNOTSUPP) => {
            "this machine has no hardware breakpoints"
        }
        _ => return error,
    };
    std::io::Error::new(error.kind(), format!("{text}: {error}"))
}
