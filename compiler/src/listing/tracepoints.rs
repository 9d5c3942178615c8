//! Events of the kernel: `tracepoint:sched:sched_switch` with the members of its record, `rawtracepoint:vmlinux:sched_switch`
//! with the arguments that the kernel hands over.

use btc_abi::pattern::matches;

use super::{Listing, Query, Result};

pub fn formatted(query: &Query, listing: &mut Listing) -> Result {
    let (category, event) = match query.parts {
        [] => ("*", "*"),
        [event] => ("*", *event),
        [category, event] => (*category, *event),
        _ => return query.too_many(),
    };
    let host = listing.host;
    for (category, event) in host.tracepoint_names(category, event)? {
        listing.entry(&format!("tracepoint:{category}:{event}"), || {
            host.tracepoint_members(&category, &event)
        })?;
    }
    Ok(())
}

pub fn raw(query: &Query, listing: &mut Listing) -> Result {
    let (module, event) = match query.parts {
        [] => ("*", "*"),
        [event] => ("*", *event),
        [module, event] => (*module, *event),
        _ => return query.too_many(),
    };
    let host = listing.host;
    for found in host.typed_events()?.names() {
        if !matches(module, &found.module) || !matches(event, &found.name) {
            continue;
        }
        let shown = format!("rawtracepoint:{}:{}", found.module, found.name);
        listing.entry(&shown, || host.event_parameters(&found.name))?;
    }
    Ok(())
}
