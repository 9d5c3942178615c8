//! Executables in the cache, named by the contents of what they are built from: a script that has not changed is not
//! built again, by `btc run` or into a file.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};

use super::workspace::Workspace;
use super::{cargo, hash, output};
use crate::arch::Arch;
use crate::skeleton::{File, Project};

/// How many executables the cache keeps, the last used ones.
const KEPT: usize = 64;

/// Whether an executable in the cache will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    Kept,
    Never,
}

/// The executable of a project, built where the cache has none that will do; its file is called `name`.
///
/// # Errors
/// A cache that can't be written, or what cargo said.
pub fn executable(
    workspace: &Workspace,
    project: &Project,
    target: Arch,
    name: &str,
    reuse: Reuse,
) -> Result<PathBuf> {
    let all = workspace.cache.join("run");
    let directory = all.join(hash::of_files(&inputs(workspace, project, target)));
    let executable = directory.join(name);
    if reuse == Reuse::Never || !executable.exists() {
        fs::create_dir_all(&directory)
            .with_context(|| format!("can't create {}", directory.display()))?;
        let built = cargo::build(workspace, project, target)?;
        let bytes = fs::read(&built).with_context(|| format!("can't read {}", built.display()))?;
        output::write(&executable, &bytes, output::Kind::Executable)?;
        forget_old(&all);
    }
    // Says when it was last used.
    let _ = fs::write(directory.join("used"), "");
    Ok(executable)
}

/// All that decides an executable's bytes but the Rust that compiles it.
fn inputs(workspace: &Workspace, project: &Project, target: Arch) -> Vec<File> {
    let mut inputs = project.files.clone();
    // The runtime's directory is named by its contents.
    let runtime = workspace.root.file_name().unwrap_or_default();
    inputs.push(File::new("runtime", runtime.to_string_lossy().as_bytes()));
    inputs.push(File::new("target", target.triple()));
    let flags = fs::read(workspace.configuration(target)).unwrap_or_default();
    inputs.push(File::new("flags", flags));
    inputs
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
