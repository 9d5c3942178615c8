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

/// Compiles a script for each architecture that there is a kernel of, and compares. `None`: the script has errors, which
/// have been printed.
fn judged(
    path: &Path,
    asked: &options::Portability,
    kernels: &[Kernel],
) -> Result<Option<Vec<Report>>> {
    let mut found = input::scripts(&[path.to_owned()], None);
    let source = found.pop().context("no script")??;
    let name = path.display().to_string();
    let mut made = vec![];
    let mut reports = vec![];
    for kernel in kernels {
        let target = kernel.arch().unwrap_or_default();
        if !made.iter().any(|(arch, _)| *arch == target) {
            let Some(compiled) = super::compile(&source, &asked.language(target), None)? else {
                return Ok(None);
            };
            made.push((target, compiled));
        }
        let Some((arch, (compiled, sources))) = made.iter().find(|(arch, _)| *arch == target)
        else {
            continue;
        };
        let script = portability::Script {
            name: &name,
            compiled,
            sources,
            arch: *arch,
        };
        reports.push(portability::report(&script, kernel)?);
    }
    Ok(Some(reports))
}
