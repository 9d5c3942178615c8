//! `btc explain [CODE]`: the entries of docs/diagnostics.md.

use std::io::{self, Write};
use std::process::ExitCode;

use super::{USAGE, failed};
use crate::diagnostic::{Code, explain as entries};
use btc_runtime::suggest::nearest;

pub(super) fn explain(code: Option<&str>) -> ExitCode {
    let text = match code {
        None => Code::ALL.iter().map(|code| line(*code)).collect(),
        Some(name) => match entries::lookup(name.trim_matches(['[', ']'])) {
            Some(code) => format!("{}\n", entries::explain(code)),
            None => {
                let near = nearest(name, Code::ALL.iter().map(|code| code.as_str()));
                let help = near.map_or("`btc explain` lists the codes".into(), |near| {
                    format!("did you mean `{near}`?")
                });
                eprintln!("btc: no diagnostic has the code `{name}`: {help}");
                return ExitCode::from(USAGE);
            }
        },
    };
    match io::stdout().write_all(text.as_bytes()) {
        // Whoever reads a list may stop reading.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => failed(&error.into()),
        _ => ExitCode::SUCCESS,
    }
}

/// A code and the first sentence of what it means.
fn line(code: Code) -> String {
    let summary = entries::summary(code);
    let said = summary
        .trim_start_matches("Error. ")
        .trim_start_matches("Warning. ");
    let first = said
        .split_once(". ")
        .map_or(said, |(first, _)| first)
        .trim_end_matches(['.', ':']);
    format!("{:<22} {first}\n", code.as_str())
}
