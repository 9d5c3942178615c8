//! The plan's elements of sites → the map in which programs look them up by the attach cookie.

use btc_abi::{Manifest, MapRole};
use libbpf_rs::{MapCore, MapFlags, Object, OpenMapMut};

use crate::plan::Plan;
use crate::{Context, Error};

/// Makes room for all elements.
pub fn size(map: &mut OpenMapMut<'_>, plan: &Plan) -> Result<(), Error> {
    let entries = u32::try_from(plan.elements.len()).unwrap_or(u32::MAX);
    map.set_max_entries(entries.max(1))
        .context(|| "set up the map of sites")
}

/// Writes the elements.
pub fn fill(object: &Object, manifest: &Manifest, plan: &Plan) -> Result<(), Error> {
    if plan.elements.is_empty() {
        return Ok(());
    }
    let described = (manifest.maps.iter()).find(|map| map.role == MapRole::UsdtSites);
    let map = described.and_then(|map| object.maps().find(|of| of.name() == &*map.symbol));
    let map = map.ok_or_else(|| Error::new("the object lacks its map of sites: a bug of btc"))?;
    for (index, element) in plan.elements.iter().enumerate() {
        let key = (index as u32).to_ne_bytes();
        map.update(&key, element, MapFlags::ANY)
            .context(|| "write the map of sites")?;
    }
    Ok(())
}
