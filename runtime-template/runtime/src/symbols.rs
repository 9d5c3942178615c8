//! The kernel's lists of its own functions: /proc/kallsyms, and tracefs' list of those that can be traced. Read only
//! for patterns and for what a name alone can't do.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::Path;

use crate::{Context, Error};

const KALLSYMS: &str = "/proc/kallsyms";

/// Addresses by `function` or `module:function`; several where static functions share a name.
pub type Addresses = HashMap<String, Vec<u64>>;

/// A function as the lists name it.
pub struct Symbol<'a> {
    pub module: Option<&'a str>,
    pub function: &'a str,
    /// 0 where the list has none or the kernel hides it.
    pub address: u64,
}

impl Symbol<'_> {
    /// As perf events and our own texts name it.
    #[must_use]
    pub fn name(&self) -> String {
        match self.module {
            Some(module) => format!("{module}:{}", self.function),
            None => self.function.to_owned(),
        }
    }
}

/// Calls `each` with every function of /proc/kallsyms; made-up names of compilers and padding among them.
pub fn for_each(mut each: impl FnMut(&Symbol<'_>)) -> Result<(), Error> {
    lines(Path::new(KALLSYMS), |line| {
        let mut words = line.split_ascii_whitespace();
        let (Some(address), Some("t" | "T" | "w" | "W"), Some(function)) =
            (words.next(), words.next(), words.next())
        else {
            return;
        };
        let module = words.next().map(without_brackets);
        // Programs and trampolines are listed as functions of such modules.
        if module.is_some_and(|module| module == "bpf" || module.starts_with("__builtin")) {
            return;
        }
        each(&Symbol {
            module,
            function,
            address: u64::from_str_radix(address, 16).unwrap_or(0),
        });
    })
    .context(|| format!("read {KALLSYMS}"))
}

/// Calls `each` with every function that ftrace can trace. An error where that list can't be read.
pub fn for_each_traceable(
    tracefs: &Path,
    mut each: impl FnMut(&Symbol<'_>),
) -> std::io::Result<()> {
    lines(&tracefs.join("available_filter_functions"), |line| {
        let mut words = line.split_ascii_whitespace();
        // What is left of functions that the linker dropped has such names.
        if let Some(function) = words.next()
            && !function.starts_with("__ftrace_invalid_address")
        {
            each(&Symbol {
                module: words.next().map(without_brackets),
                function,
                address: 0,
            });
        }
    })
}

/// The addresses of functions (`function` or `module:function`); those that the kernel hides or lacks are left out.
pub fn addresses<'a>(names: impl Iterator<Item = &'a str>) -> Result<Addresses, Error> {
    let mut found: Addresses = names.map(|name| (name.to_owned(), Vec::new())).collect();
    let in_modules = found.keys().any(|name| name.contains(':'));
    if !found.is_empty() {
        for_each(|symbol| {
            if symbol.address == 0 {
                return;
            }
            if symbol.module.is_some()
                && in_modules
                && let Some(addresses) = found.get_mut(&symbol.name())
            {
                addresses.push(symbol.address);
            }
            // The kernel's own functions come first, and a name alone is one of theirs where they have it.
            if let Some(addresses) = found.get_mut(symbol.function)
                && (symbol.module.is_none() || addresses.is_empty())
            {
                addresses.push(symbol.address);
            }
        })?;
    }
    Ok(found)
}

fn without_brackets(module: &str) -> &str {
    module.trim_matches(['[', ']'])
}

fn lines(path: &Path, mut each: impl FnMut(&str)) -> std::io::Result<()> {
    let mut file = BufReader::with_capacity(64 << 10, std::fs::File::open(path)?);
    let mut line = String::new();
    while file.read_line(&mut line)? > 0 {
        each(&line);
        line.clear();
    }
    Ok(())
}
