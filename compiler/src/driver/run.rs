//! `btc run`: a script → an executable in the cache, named by its contents → this process becomes it.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use super::kept::{self, Reuse};
use super::workspace::Workspace;
use super::{compile, input, project};
use crate::options::Run;

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
    let target = options.language.target;
    if !target.is_this_machine() {
        bail!(
            "an executable for {target} doesn't run here: make one with `btc -o` and run it there"
        );
    }
    let Some((compiled, _)) = compile(&script, &options.language, options.output.as_deref())?
    else {
        return Ok(ExitCode::FAILURE);
    };
    let workspace = Workspace::open()?;
    let project = project::of(&compiled.manifest, &compiled.object, &workspace)?;
    let executable = kept::executable(&workspace, &project, target, &script.name, Reuse::Kept)?;
    drop(workspace);
    let error = Command::new(&executable).args(options.arguments()).exec();
    Err(error).with_context(|| format!("can't run {}", executable.display()))
}
