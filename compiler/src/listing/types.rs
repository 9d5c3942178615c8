//! `struct NAME`, `union NAME`, `enum NAME`: the kernel's types, with `-v` as C defines them.

use super::{Listing, Result};

pub fn list(listing: &mut Listing, word: &str, pattern: &str) -> Result {
    let found = listing.host.definitions(word, pattern, listing.verbose)?;
    for (name, body) in found {
        match body {
            Some(body) => {
                listing.entries += 1;
                writeln!(listing.out, "{body}\n")?;
            }
            None => listing.entry(&format!("{word} {name}"), Vec::new)?,
        }
    }
    Ok(())
}
