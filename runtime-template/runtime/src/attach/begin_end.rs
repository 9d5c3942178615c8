//! `begin` and `end`: raw_tp programs that the runtime runs by BPF_PROG_TEST_RUN (Linux 5.10).

use std::os::fd::AsRawFd;

use btc_abi::{Attach, Probe};

use super::{Attached, Attaching, Place, Provider, Site};
use crate::Error;
use crate::target::Target;

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
            let mut options = libbpf_sys::bpf_test_run_opts {
                sz: size_of::<libbpf_sys::bpf_test_run_opts>() as _,
                ..Default::default()
            };
            // SAFETY: an open program; `options` says its own size and is written back.
            let result = unsafe {
                libbpf_sys::bpf_prog_test_run_opts(attaching.fd.as_raw_fd(), &mut options)
            };
            if result < 0 {
                let source = std::io::Error::from_raw_os_error(-result);
                return Err(Error::with_source(format!("run {}", site.name), source));
            }
            Ok(Vec::new())
        })
    }
}
