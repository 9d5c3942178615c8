//! `btc portability`: scripts and files of BTF → a table, and whether everything runs everywhere.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};

use super::input;
use super::{all, failed, say};
use crate::options::{self, Format};
use crate::portability::{self, Kernel, Report, Verdict};

/// Exit status 0 where every script runs on every kernel.
pub fn portability(asked: &options::Portability) -> ExitCode {
    let kernels: Result<Vec<Kernel>> = asked.kernels.iter().map(|word| kernel(word)).collect();
    let kernels = match kernels {
        Ok(kernels) => kernels,
        Err(error) => return failed(&error),
    };
    let scripts = match scripts(&asked.scripts) {
        Ok(scripts) => scripts,
        Err(error) => return failed(&error),
    };
    let mut good = true;
    let mut reports = vec![];
    for path in &scripts {
        match judged(path, asked, &kernels) {
            Ok(Some(found)) => reports.extend(found),
            Ok(None) => good = false,
            Err(error) => {
                say(&error);
                good = false;
            }
        }
    }
    let text = match asked.format {
        Format::Text => portability::text(&reports),
        Format::Json => portability::json(&reports),
    };
    if let Err(error) = super::emit::write_text(&text, None) {
        return failed(&error);
    }
    let runs = |report: &Report| report.verdict() != Verdict::Fails;
    all(good && reports.iter().all(runs))
}

/// `FILE`, or `NAME=FILE`.
fn kernel(word: &str) -> Result<Kernel> {
    let (name, path) = match word.split_once('=') {
        Some((name, path)) if !Path::new(word).exists() => (name, path),
        _ => (word, word),
    };
    let data = std::fs::read(path).with_context(|| format!("can't read {path}"))?;
    Kernel::new(name, data).map_err(|why| anyhow!("{path}: {why}"))
}

/// Files as they are, of directories all scripts, in order.
fn scripts(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut found = vec![];
    for path in paths {
        if !path.is_dir() {
            found.push(path.clone());
            continue;
        }
        let entries = std::fs::read_dir(path).with_context(|| path.display().to_string())?;
        let mut inside = vec![];
        for entry in entries {
            let path = entry.with_context(|| path.display().to_string())?.path();
            if path.extension().is_some_and(|e| e == "bt") || path.is_dir() {
                inside.push(path);
            }
        }
        inside.sort();
        found.extend(scripts(&inside)?);
    }
    Ok(found)
}

/// `None`: the script has errors, which have been printed.
fn judged(
    path: &Path,
    asked: &options::Portability,
    kernels: &[Kernel],
) -> Result<Option<Vec<Report>>> {
    let mut found = input::scripts(&[path.to_owned()], None);
    let script = found.pop().context("no script")??;
    let Some((compiled, sources)) = super::compile(&script, &asked.language())? else {
        return Ok(None);
    };
    let name = path.display().to_string();
    let reports = kernels
        .iter()
        .map(|kernel| portability::report(&name, &compiled, &sources, kernel));
    let reports: Result<Vec<Report>, _> = reports.collect();
    Ok(Some(reports?))
}
