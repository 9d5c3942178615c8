//! `begin` and `end`: programs that the runtime runs itself.

use btc_abi::{Attach, Probe};

use super::{Attached, Attaching, Place, Provider, Site, test_run};
use crate::target::Target;
use crate::{Context, Error};

/// See [`Provider`].
pub struct BeginEnd;

impl Provider for BeginEnd {
    fn handles(&self, attach: &Attach) -> bool {
        matches!(attach, Attach::Begin | Attach::End)
    }

    fn find(&self, probe: &Probe, _: &Target) -> Result<Vec<Site>, Error> {
        Ok(vec![Site::new(&*probe.name, Place::Run)])
    }

    /// Runs the program once.
    fn attach(&self, attaching: &Attaching<'_>, sites: &[Site]) -> Attached {
        Attached::each(sites, |site| {
            test_run::once(attaching.fd).context(|| format!("run {}", site.name))?;
            Ok(Vec::new())
        })
    }
}
