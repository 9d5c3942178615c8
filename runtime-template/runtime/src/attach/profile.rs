//! `profile`: a timer event on every CPU that is online.

use btc_abi::{Attach, Probe};
use perf_event_open_sys::bindings::{PERF_COUNT_SW_CPU_CLOCK, PERF_TYPE_SOFTWARE};

use super::{Attached, Attaching, Place, Provider, Site, perf};
use crate::Error;
use crate::target::Target;

/// See [`Provider`].
pub struct Profile;

impl Provider for Profile {
    fn handles(&self, attach: &Attach) -> bool {
        matches!(attach, Attach::Profile { .. })
    }

    fn find(&self, probe: &Probe, _: &Target) -> Result<Vec<Site>, Error> {
        Ok(vec![Site::new(&*probe.name, Place::Event)])
    }

    fn attach(&self, attaching: &Attaching<'_>, sites: &[Site]) -> Attached {
        Attached::each(sites, |site| {
            let Attach::Profile { period } = &attaching.probe.attach else {
                return Ok(Vec::new());
            };
            let mut attribute =
                perf::attribute(PERF_TYPE_SOFTWARE, u64::from(PERF_COUNT_SW_CPU_CLOCK));
            perf::set_period(&mut attribute, period);
            perf::attach_to_cpus(&mut attribute, attaching, site, |error| error)
        })
    }
}
