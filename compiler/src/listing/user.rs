//! What binaries have: `uprobe:/bin/bash:readline`, `usdt:/usr/lib/libc.so.6:libc:setjmp`.

use std::path::Path;

use btc_abi::pattern::matches;

use super::{Listing, Query, Refusal, Result};
use crate::host::live::LiveHost;
use crate::host::{CType, Host};

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
            listing.entry(&shown, || prototype(host, &path, &found, query.provider))?;
        }
    }
    Ok(())
}

/// What debug information tells of a function: its parameters, or what it returns.
fn prototype(host: &LiveHost, binary: &Path, function: &str, provider: &str) -> Vec<String> {
    let found = host.user_function(&binary.to_string_lossy(), function);
    let Ok(found) = found else { return vec![] };
    if provider == "uretprobe" {
        let result = c_text(&found.result);
        return match found.result {
            CType::Void => vec![],
            _ => vec![format!("{result} retval")],
        };
    }
    let parameters = found.parameters.iter();
    parameters
        .map(|parameter| format!("{} {}", c_text(&parameter.ty), parameter.name))
        .collect()
}

/// A type as C has it, integers by their size.
fn c_text(ty: &CType) -> String {
    match ty {
        CType::Void => "void".to_owned(),
        CType::Int { bool_: true, .. } => "bool".to_owned(),
        CType::Int { char_: true, .. } => "char".to_owned(),
        CType::Int { bytes, signed, .. } => {
            let name = match bytes {
                1 => "char",
                2 => "short",
                4 => "int",
                16 => "__int128",
                _ => "long",
            };
            format!("{}{name}", if *signed { "" } else { "unsigned " })
        }
        CType::Float { bytes: 4 } => "float".to_owned(),
        CType::Float { .. } => "double".to_owned(),
        CType::Pointer { to, .. } => match c_text(to) {
            to if to.ends_with('*') => format!("{to}*"),
            to => format!("{to} *"),
        },
        CType::Array { element, count } => format!("{}[{count}]", c_text(element)),
        CType::Record(record) if record.union => format!("union {}", record.name),
        CType::Record(record) => format!("struct {}", record.name),
        CType::Enum(of) => format!("enum {}", of.name),
        CType::Typedef { name, .. } => name.clone(),
        CType::Function => "void (*)()".to_owned(),
        CType::Opaque { name, union: true } => format!("union {name}"),
        CType::Opaque { name, .. } => format!("struct {name}"),
    }
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
            if !matches(provider, &found.namespace) || !matches(name, &found.name) {
                continue;
            }
            let path = path.display();
            let shown = format!("usdt:{path}:{}:{}", found.namespace, found.name);
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
