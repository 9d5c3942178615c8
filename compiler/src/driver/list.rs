//! `-l`: patterns and scripts → names on standard output.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};

use super::input::{self, Script};
use super::{USAGE, all, failed, say};
use crate::listing::{Listing, Refusal};
use crate::options::{Build, Language};
use crate::source::SourceMap;

/// Lists what the words mean; all of it without words. Exit status 1 where a word means nothing here.
pub fn list(build: &Build) -> ExitCode {
    let host = match crate::host(&build.language) {
        Ok(host) => host,
        Err(error) => return failed(&error),
    };
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let mut listing = Listing::new(&host, build.verbose > 0, &mut out);
    let listed = words(build, &mut listing);
    // Who reads `head` has seen enough.
    let written = |result: io::Result<()>| match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("can't write to standard output"),
    };
    let status = match listed {
        Ok(good) => written(out.flush()).map(|()| all(good)),
        Err(Refusal::Write(error)) => written(Err(error)).map(|()| ExitCode::SUCCESS),
        Err(refusal @ Refusal::Usage(_)) => {
            say(&refusal.into());
            Ok(ExitCode::from(USAGE))
        }
        Err(refusal) => Err(refusal.into()),
    };
    status.unwrap_or_else(|error| failed(&error))
}

fn words(build: &Build, listing: &mut Listing) -> Result<bool, Refusal> {
    let everything = [PathBuf::from("*")];
    let words = match (build.scripts.is_empty(), &build.program) {
        (true, None) => &everything[..],
        _ => &build.scripts,
    };
    let mut good = true;
    for script in input::scripts(&[], build.program.as_deref()) {
        good &= script_listed(script, &build.language, listing)?;
    }
    for word in words {
        if word.is_file() || word.as_os_str() == "-" {
            for script in input::scripts(std::slice::from_ref(word), None) {
                good &= script_listed(script, &build.language, listing)?;
            }
            continue;
        }
        let before = listing.entries;
        let word = word.to_string_lossy();
        for why in listing.pattern(&word)? {
            eprintln!("btc: {why}");
        }
        if listing.entries == before {
            eprintln!("btc: nothing on this machine matches `{word}`");
            good = false;
        }
    }
    Ok(good)
}

/// `false` where the script has errors, or attaches to what this machine lacks.
fn script_listed(
    script: Result<Script>,
    language: &Language,
    listing: &mut Listing,
) -> Result<bool, Refusal> {
    let script = script.map_err(|error| Refusal::Unknown(format!("{error:#}")))?;
    let mut sources = SourceMap::default();
    let file = sources.add(script.source);
    let (tree, diagnostics) = crate::parse(&mut sources, file, language);
    super::print_diagnostics(&diagnostics, &sources)
        .map_err(|error| Refusal::Unknown(format!("{error:#}")))?;
    let missing = listing.script(&tree)?;
    for missing in &missing {
        let place = sources.place(missing.span);
        let why = missing.why.as_deref().unwrap_or("this machine has none");
        eprintln!("btc: {place}: {}: {why}", missing.probe);
    }
    Ok(missing.is_empty() && !diagnostics.has_errors())
}
