//! `rawtracepoint`: the kernel's own tracepoints, with (tp_btf) or without (raw_tp) typed arguments. A pattern is
//! matched on the target's types, else on tracefs.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use btc_abi::{Attach, Probe};
use libbpf_rs::{OpenProgramMut, ProgramType};

use super::{Attached, Attaching, Attachment, Place, Provider, Site};
use crate::btf::Types;
use crate::target::{Target, c_string};
use crate::variant::GET_ATTACH_COOKIE;
use crate::{Context, Error, pattern, suggest};

/// See [`Provider`].
pub struct Rawtracepoint;

impl Provider for Rawtracepoint {
    fn handles(&self, attach: &Attach) -> bool {
        matches!(attach, Attach::RawTracepoint { .. })
    }

    fn find(&self, probe: &Probe, target: &Target) -> Result<Vec<Site>, Error> {
        let Attach::RawTracepoint { event, .. } = &probe.attach else {
            return Ok(Vec::new());
        };
        let site = |name: String, event: &str| {
            let event = event.to_owned();
            Site::new(name, Place::RawTracepoint { event })
        };
        if !pattern::is_pattern(event) {
            return Ok(vec![site(probe.name.to_string(), event)]);
        }
        let mut events = events(target);
        events.retain(|name| pattern::matches(event, name));
        Ok((events.iter())
            .map(|event| site(format!("rawtracepoint:{event}"), event))
            .collect())
    }

    fn prepare(
        &self,
        probe: &Probe,
        _: &[Site],
        program: &mut OpenProgramMut<'_>,
        _: &Target,
    ) -> Result<(), Error> {
        if let Attach::RawTracepoint { event, btf: true } = &probe.attach {
            program
                .set_attach_target(0, Some((**event).to_owned()))
                .context(|| format!("{}: no such raw tracepoint on this kernel", probe.name))?;
        }
        Ok(())
    }

    fn attach(&self, attaching: &Attaching<'_>, sites: &[Site]) -> Attached {
        // Linux 6.10; before, a program has its cookie as a constant.
        let cookies = (attaching.target).has_helper(ProgramType::RawTracepoint, GET_ATTACH_COOKIE);
        Attached::each(sites, |site| {
            let (Place::RawTracepoint { event }, Attach::RawTracepoint { btf, .. }) =
                (&site.place, &attaching.probe.attach)
            else {
                return Ok(Vec::new());
            };
            let name = c_string(event.as_str())?;
            let mut options = libbpf_sys::bpf_raw_tp_opts {
                sz: size_of::<libbpf_sys::bpf_raw_tp_opts>() as _,
                cookie: if cookies { site.cookie } else { 0 },
                ..Default::default()
            };
            // A tp_btf program knows its event.
            if !*btf {
                options.tp_name = name.as_ptr();
            }
            // SAFETY: the name is null or NUL-terminated and outlives the call; `options` says its own size.
            let link = unsafe {
                libbpf_sys::bpf_raw_tracepoint_open_opts(attaching.fd.as_raw_fd(), &raw mut options)
            };
            if link < 0 {
                let error = std::io::Error::from_raw_os_error(-link);
                return Err(refused(site, event, attaching.target, error));
            }
            // SAFETY: the call succeeded, so the descriptor is open and ours alone.
            Ok(vec![Attachment::Link(unsafe {
                OwnedFd::from_raw_fd(link)
            })])
        })
    }
}

fn refused(site: &Site, event: &str, target: &Target, error: std::io::Error) -> Error {
    if error.raw_os_error() != Some(libc::ENOENT) {
        return Error::with_source(format!("attach {}", site.name), error);
    }
    let events = events(target);
    let hint = match suggest::nearest(event, events.iter().map(String::as_str)) {
        Some(near) => format!("; did you mean `{near}`?"),
        None => String::new(),
    };
    Error::new(format!(
        "attach {}: this kernel has no raw tracepoint `{event}`{hint}",
        site.name
    ))
}

/// The names of all raw tracepoints: from types, else those of tracefs that may be some.
fn events(target: &Target) -> Vec<String> {
    let mut found = Vec::new();
    if let Ok(kernel) = target.types() {
        let mut add = |types: &Types| {
            types.for_each_raw_tracepoint(|event| found.push(event.to_owned()));
        };
        add(kernel);
        kernel.modules(|_| true).iter().for_each(add);
    } else if let Ok(root) = target.tracefs() {
        let events = root.join("events");
        for category in super::directories(&events) {
            // Events that others make of sys_enter and sys_exit, and records of the function tracers.
            if category != "syscalls" && category != "ftrace" {
                found.extend(super::directories(&events.join(category)));
            }
        }
    }
    found.sort();
    found.dedup();
    found
}
