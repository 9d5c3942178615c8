//! Iterators: `iter:task`, with what their programs see of each object.

use btc_abi::pattern::matches;

use super::{Listing, Query, Result};
use crate::provider;

pub fn list(query: &Query, listing: &mut Listing) -> Result {
    let wanted = match query.parts {
        [] => "*",
        [name] | [name, _] => *name,
        _ => return query.too_many(),
    };
    let types = listing.host.typed_iterators()?;
    for found in types.names() {
        if !provider::iterates(&found.name) || !matches(wanted, &found.name) {
            continue;
        }
        listing.entry(&format!("iter:{}", found.name), || {
            let signature = types.signature(&found);
            // The first parameter tells of the iteration, not of what is walked through.
            signature.map_or(vec![], |s| s.parameters.into_iter().skip(1).collect())
        })?;
    }
    Ok(())
}
