//! Functions of the kernel: `kprobe:vfs_read`, `fentry:vmlinux:vfs_read`.

use std::collections::HashSet;

use btc_abi::pattern::matches;

use super::{Listing, Query, Result};
use crate::host::inventory::{Signature, Symbol, Typed};

/// A pattern of modules where one is given, and one of functions.
fn patterns<'q>(query: &Query<'q>) -> Result<(Option<&'q str>, &'q str)> {
    match query.parts {
        [] => Ok((None, "*")),
        [name] => Ok((None, name)),
        [module, name] => Ok((Some(module), name)),
        _ => query.too_many(),
    }
}

fn fits(function: &Symbol, module: Option<&str>, name: &str) -> bool {
    matches(name, &function.name) && module.is_none_or(|module| matches(module, &function.module))
}

/// What a probe of a function sees: its parameters on entry, what it returned on exit.
fn details(signature: Option<Signature>, returns: bool, both: bool) -> Vec<String> {
    let Some(signature) = signature else {
        return vec![];
    };
    let mut all = match returns && !both {
        true => vec![],
        false => signature.parameters,
    };
    if returns && !signature.result.is_empty() {
        all.push(format!("{} retval", signature.result));
    }
    all
}

/// `kprobe` and `kretprobe`: all that ftrace can trace. The module is printed where one was asked for.
pub fn probes(query: &Query, listing: &mut Listing) -> Result {
    let (module, name) = patterns(query)?;
    let host = listing.host;
    let types = match listing.verbose {
        // Without BTF there are names alone.
        true => host.typed_functions().ok(),
        false => None,
    };
    let returns = query.provider == "kretprobe";
    let mut last = String::new();
    for function in host.kernel_functions()? {
        if !fits(&function, module, name) || (module.is_none() && function.name == last) {
            continue;
        }
        let shown = match module {
            Some(_) => format!("{}:{}:{}", query.provider, function.module, function.name),
            None => format!("{}:{}", query.provider, function.name),
        };
        listing.entry(&shown, || {
            let signature = types.as_ref().and_then(|all| all.signature(&function));
            details(signature, returns, false)
        })?;
        last = function.name;
    }
    Ok(())
}

/// `fentry` and `fexit`: what BTF describes and ftrace can trace.
pub fn typed(query: &Query, listing: &mut Listing) -> Result {
    let (module, name) = patterns(query)?;
    let host = listing.host;
    let types: Typed = host.typed_functions()?;
    // Where ftrace's list can't be read, all that BTF has is said.
    let traceable = host.traceable_functions().ok();
    let traceable: Option<HashSet<Symbol>> = traceable.map(|all| all.into_iter().collect());
    let returns = query.provider == "fexit";
    for function in types.names() {
        let can = traceable.as_ref().is_none_or(|all| all.contains(&function));
        if !can || !fits(&function, module, name) {
            continue;
        }
        let shown = format!("{}:{}:{}", query.provider, function.module, function.name);
        listing.entry(&shown, || {
            details(types.signature(&function), returns, true)
        })?;
    }
    Ok(())
}
