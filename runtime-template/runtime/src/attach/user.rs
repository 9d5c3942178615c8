//! Places in binaries → a link for many of them where the kernel has such links, else a perf event for each.

use std::os::unix::ffi::OsStrExt;

use perf_event_open_sys::bindings::perf_event_attr;

use super::perf::{self, Scope};
use super::{Attached, Attaching, Attachment, Site, uprobe_multi};
use crate::target::c_string;
use crate::{Context, Error};

/// Attaches at the instructions, or (`returns`) at the returns of the functions that start there.
pub fn attach(attaching: &Attaching<'_>, sites: &[Site], returns: bool) -> Attached {
    if uprobe_multi::is_chosen(attaching.program) {
        return uprobe_multi::attach(attaching, sites, returns);
    }
    match perf::dynamic("uprobe", returns) {
        Ok(attribute) => Attached::each(sites, |site| event(attaching, attribute, site)),
        Err(error) => Attached::nowhere(attaching.probe, error),
    }
}

fn event(
    attaching: &Attaching<'_>,
    mut attribute: perf_event_attr,
    site: &Site,
) -> Result<Vec<Attachment>, Error> {
    let Some(place) = site.place.in_binary() else {
        return Ok(Vec::new());
    };
    // An event of one process is of any CPU; one of all processes needs a CPU, and fires on all.
    let scope = match attaching.target.pid {
        Some(pid) => Scope { pid, cpu: -1 },
        None => Scope { pid: -1, cpu: 0 },
    };
    let path = c_string(place.binary.as_os_str().as_bytes())?;
    attribute.__bindgen_anon_3.uprobe_path = path.as_ptr() as u64;
    attribute.__bindgen_anon_4.probe_offset = place.offset;
    attribute.config |= perf::reference_counter("uprobe", place.counter)?;
    let attachment = perf::attach(&mut attribute, scope, attaching.fd, site.cookie);
    let attachment = attachment.context(|| {
        let (binary, offset) = (place.binary.display(), place.offset);
        format!("attach {} ({binary} at {offset:#x})", site.name)
    })?;
    Ok(vec![attachment])
}
