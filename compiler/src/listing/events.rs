//! Counted events and timers. Their names end in a colon, after which a count can be written.

use btc_abi::pattern::matches;

use super::{Listing, Query, Result};
use crate::provider;

const UNITS: &[&str] = &["hz", "us", "ms", "s"];

/// `software` and `hardware`, with their other names.
pub fn named(query: &Query, listing: &mut Listing) -> Result {
    let all = provider::events(query.provider).into_iter();
    let mut names: Vec<&str> = all.flat_map(|names| names.iter().copied()).collect();
    names.sort_unstable();
    fitting(query, listing, &names)
}

/// `interval` and `profile`, by unit.
pub fn timers(query: &Query, listing: &mut Listing) -> Result {
    fitting(query, listing, UNITS)
}

fn fitting(query: &Query, listing: &mut Listing, names: &[&str]) -> Result {
    let wanted = match query.parts {
        [] => "*",
        [name] | [name, _] => *name,
        _ => return query.too_many(),
    };
    for name in names.iter().filter(|name| matches(wanted, name)) {
        listing.entry(&format!("{}:{name}:", query.provider), Vec::new)?;
    }
    Ok(())
}
