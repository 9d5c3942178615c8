//! `watchpoint`: hardware breakpoints. Of a process (`-p`, `-c`) one for each of its threads, which those that it starts
//! later inherit; without a process one for each CPU, which kernel addresses need.

use btc_abi::{Attach, Probe};
use perf_event_open_sys::bindings::{PERF_TYPE_BREAKPOINT, perf_event_attr};

use super::perf::{self, Scope};
use super::{Attached, Attaching, Attachment, Place, Provider, Site};
use crate::target::{Target, kernel_at_least, online_cpus};
use crate::{Context, Error};

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
            let Some(pid) = attaching.target.pid else {
                return everywhere(&mut attribute, attaching, site);
            };
            attribute.set_inherit(1);
            // Before, a process that the watched one forks is watched as well.
            if kernel_at_least(5, 13) {
                attribute.set_inherit_thread(1);
            }
            of_process(&mut attribute, pid, attaching, site)
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

fn everywhere(
    attribute: &mut perf_event_attr,
    attaching: &Attaching<'_>,
    site: &Site,
) -> Result<Vec<Attachment>, Error> {
    let attach = |cpu| {
        let scope = Scope { pid: -1, cpu };
        perf::attach(attribute, scope, attaching.fd, site.cookie)
            .map_err(explained)
            .context(|| format!("attach {} on CPU {cpu}", site.name))
    };
    online_cpus()?.into_iter().map(attach).collect()
}

fn of_process(
    attribute: &mut perf_event_attr,
    pid: i32,
    attaching: &Attaching<'_>,
    site: &Site,
) -> Result<Vec<Attachment>, Error> {
    let what = || format!("attach {} to process {pid}", site.name);
    let mut attachments = Vec::new();
    for thread in std::fs::read_dir(format!("/proc/{pid}/task")).context(what)? {
        let name = thread.context(what)?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let scope = Scope { pid, cpu: -1 };
        match perf::attach(attribute, scope, attaching.fd, site.cookie) {
            Ok(attachment) => attachments.push(attachment),
            // A thread that has ended meanwhile.
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
            Err(error) => return Err(explained(error)).context(what),
        }
    }
    if attachments.is_empty() {
        return Err(Error::new(format!("{}: the process has ended", what())));
    }
    Ok(attachments)
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
