//! `btc run`: a script → an executable in the cache, named by its contents → this process becomes it.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::SystemTime;

use anyhow::{Context, Result};

use super::workspace::Workspace;
use super::{build_project, compile, hash, input, project};
use crate::options::Run;
use crate::skeleton;

/// How many executables the cache keeps, the last used ones.
const KEPT: usize = 64;

/// Returns only when the tool can't be started or the script has errors.
///
/// # Errors
/// This machine's fault.
pub fn run(options: &Run) -> Result<ExitCode> {
    let paths: Vec<PathBuf> = options
        .words
        .first()
        .map(PathBuf::from)
        .into_iter()
        .collect();
    let scripts = input::scripts(&paths, options.program.as_deref());
    let script = scripts.into_iter().next().context("no script")??;
    let Some((compiled, _)) = compile(&script, &options.language)? else {
        return Ok(ExitCode::FAILURE);
    };
    let workspace = Workspace::open()?;
    let project = project::of(&compiled.manifest, &compiled.object, &workspace)?;
    // The runtime's directory is named by its contents as well.
    let mut inputs = project.files.clone();
    inputs.push(skeleton::File::new(
        "runtime",
        workspace.root.display().to_string(),
    ));
    let directory = workspace.cache.join("run").join(hash::of_files(&inputs));
    let executable = directory.join(&script.name);
    if !executable.exists() {
        fs::create_dir_all(&directory)
            .with_context(|| format!("can't create {}", directory.display()))?;
        build_project(&workspace, &project, &executable)?;
        forget_old(&workspace.cache.join("run"));
    }
    // Says when it was last used.
    let _ = fs::write(directory.join("used"), "");
    drop(workspace);
    let error = Command::new(&executable).args(options.arguments()).exec();
    Err(error).with_context(|| format!("can't run {}", executable.display()))
}

/// Removes the executables that were not used for longest; a running one keeps its inode.
fn forget_old(directory: &Path) {
    let mut entries: Vec<(SystemTime, PathBuf)> = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let used = fs::metadata(path.join("used")).and_then(|m| m.modified());
            Some((used.unwrap_or(SystemTime::now()), path))
        })
        .collect();
    entries.sort();
    let excess = entries.len().saturating_sub(KEPT);
    for (_, path) in entries.into_iter().take(excess) {
        let _ = fs::remove_dir_all(path);
    }
}
