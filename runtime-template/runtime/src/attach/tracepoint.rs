//! `tracepoint`: events of tracefs, matched there, attached as perf events.

use std::path::Path;

use btc_abi::{Attach, Probe};
use perf_event_open_sys::bindings::PERF_TYPE_TRACEPOINT;

use super::perf::{self, Scope};
use super::{Attached, Attaching, Place, Provider, Site, refusal};
use crate::target::Target;
use crate::{Context, Error, pattern};

/// See [`Provider`].
pub struct Tracepoint;

impl Provider for Tracepoint {
    fn handles(&self, attach: &Attach) -> bool {
        matches!(attach, Attach::Tracepoint { .. })
    }

    fn find(&self, probe: &Probe, target: &Target) -> Result<Vec<Site>, Error> {
        let Attach::Tracepoint { category, event } = &probe.attach else {
            return Ok(Vec::new());
        };
        let events = target.tracefs()?.join("events");
        let mut sites = Vec::new();
        for category in matching(&events, category)? {
            for event in matching(&events.join(&category), event)? {
                let name = if is_pattern(probe) {
                    format!("tracepoint:{category}:{event}")
                } else {
                    probe.name.to_string()
                };
                let category = category.clone();
                sites.push(Site::new(name, Place::Tracepoint { category, event }));
            }
        }
        if sites.is_empty() && !is_pattern(probe) {
            return Err(Error::new(format!(
                "{}: {}",
                probe.place,
                refusal::no_tracepoint(target, category, event)
            )));
        }
        Ok(sites)
    }

    fn attach(&self, attaching: &Attaching<'_>, sites: &[Site]) -> Attached {
        Attached::each(sites, |site| {
            let Place::Tracepoint { category, event } = &site.place else {
                return Ok(Vec::new());
            };
            let path = attaching
                .target
                .tracefs()?
                .join("events")
                .join(category)
                .join(event)
                .join("id");
            let what = || format!("attach {}", site.name);
            let id = std::fs::read_to_string(&path).context(what)?;
            let id = id.trim().parse().context(what)?;
            let mut attribute = perf::attribute(PERF_TYPE_TRACEPOINT, id);
            attribute.__bindgen_anon_1.sample_period = 1;
            // The program runs on every CPU whichever CPU the event is of.
            let scope = Scope { pid: -1, cpu: 0 };
            let attachment =
                perf::attach(&mut attribute, scope, attaching.fd, site.cookie).context(what)?;
            Ok(vec![attachment])
        })
    }
}

fn is_pattern(probe: &Probe) -> bool {
    match &probe.attach {
        Attach::Tracepoint { category, event } => {
            pattern::is_pattern(category) || pattern::is_pattern(event)
        }
        _ => false,
    }
}

/// Directories of `parent` that match; a plain name is looked up, not searched for.
fn matching(parent: &Path, wanted: &str) -> Result<Vec<String>, Error> {
    if !pattern::is_pattern(wanted) {
        return Ok(if parent.join(wanted).is_dir() {
            vec![wanted.to_owned()]
        } else {
            Vec::new()
        });
    }
    let what = || format!("list {}", parent.display());
    let mut names = Vec::new();
    for entry in std::fs::read_dir(parent).context(what)? {
        let entry = entry.context(what)?;
        if let Ok(name) = entry.file_name().into_string()
            && pattern::matches(wanted, &name)
            && entry.path().is_dir()
        {
            names.push(name);
        }
    }
    names.sort();
    // Events of `ftrace` are records of the function tracers and can't be attached to.
    names.retain(|name| name != "ftrace");
    Ok(names)
}
