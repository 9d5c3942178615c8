//! What binaries have: `uprobe:/bin/bash:readline`, `usdt:/usr/lib/libc.so.6:libc:setjmp`.

use btc_abi::pattern::matches;

use super::{Listing, Query, Refusal, Result};

fn no_binary<T>(query: &Query) -> Result<T> {
    Err(Refusal::Usage(format!(
        "`{0}` probes are of a binary: name one, `{0}:/bin/bash:*`",
        query.provider
    )))
}

/// `uprobe` and `uretprobe`: the functions of the symbol tables.
pub fn functions(query: &Query, listing: &mut Listing) -> Result {
    let (binary, name) = match query.parts {
        [] | ["" | "*", ..] => return no_binary(query),
        [binary] => (*binary, "*"),
        [binary, name] => (*binary, *name),
        _ => return query.too_many(),
    };
    let host = listing.host;
    for path in host.binaries(binary)? {
        let names = host.user_functions(&path)?.into_iter();
        for found in names.filter(|found| matches(name, found)) {
            let shown = format!("{}:{}:{found}", query.provider, path.display());
            listing.entry(&shown, Vec::new)?;
        }
    }
    Ok(())
}

/// `usdt`, with the types of its arguments.
pub fn markers(query: &Query, listing: &mut Listing) -> Result {
    let (binary, provider, name) = match query.parts {
        [] | ["" | "*", ..] => return no_binary(query),
        [binary] => (*binary, "*", "*"),
        [binary, name] => (*binary, "*", *name),
        [binary, provider, name] => (*binary, *provider, *name),
        _ => return query.too_many(),
    };
    let host = listing.host;
    for path in host.binaries(binary)? {
        for found in host.markers(&path)? {
            if !matches(provider, &found.provider) || !matches(name, &found.name) {
                continue;
            }
            let path = path.display();
            let shown = format!("usdt:{path}:{}:{}", found.provider, found.name);
            listing.entry(&shown, || {
                let places = found.arguments.split_whitespace().enumerate();
                places
                    .map(|(index, place)| argument(index, place))
                    .collect()
            })?;
        }
    }
    Ok(())
}

/// `-4@%eax`: signed, four bytes. Without a size it is a register's.
fn argument(index: usize, place: &str) -> String {
    let size = place.split_once('@').map_or("8", |(size, _)| size);
    let (sign, bytes) = match size.strip_prefix('-') {
        Some(bytes) => ("", bytes),
        None => ("u", size),
    };
    // `8f`: a floating point number.
    match bytes.parse::<u32>() {
        Ok(bytes) => format!("{sign}int{}_t arg{index}", bytes * 8),
        Err(_) => format!("double arg{index}"),
    }
}
