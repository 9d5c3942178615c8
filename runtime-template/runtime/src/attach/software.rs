//! `software`: a software event of the kernel, sampled every so many, of the `-p` or `-c` process or on every CPU.

use btc_abi::{Attach, Probe};
use perf_event_open_sys::bindings::PERF_TYPE_SOFTWARE;

use super::{Attached, Attaching, Place, Provider, Site, perf};
use crate::Error;
use crate::target::Target;

/// See [`Provider`].
pub struct Software;

impl Provider for Software {
    fn handles(&self, attach: &Attach) -> bool {
        matches!(attach, Attach::Software { .. })
    }

    fn find(&self, probe: &Probe, _: &Target) -> Result<Vec<Site>, Error> {
        Ok(vec![Site::new(&*probe.name, Place::Event)])
    }

    fn attach(&self, attaching: &Attaching<'_>, sites: &[Site]) -> Attached {
        Attached::each(sites, |site| {
            let Attach::Software { event, count } = &attaching.probe.attach else {
                return Ok(Vec::new());
            };
            let mut attribute = perf::attribute(PERF_TYPE_SOFTWARE, *event);
            attribute.__bindgen_anon_1.sample_period = *count;
            perf::attach_to_target(&mut attribute, attaching, site, |error| error)
        })
    }
}
