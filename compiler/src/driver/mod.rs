//! Manifests and objects → executables: the cache, cargo, and where the results go.

mod cargo;
mod hash;
pub mod output;
mod requirements;
mod workspace;

use std::path::Path;

use anyhow::{Context, Result};
use btc_abi::Manifest;

use crate::skeleton;
use workspace::Workspace;

/// Builds the executable of a manifest and its object, and puts it at `path`.
///
/// # Errors
/// This machine's fault: what is missing, what can't be written, or what cargo said.
pub fn build_executable(manifest: &Manifest, object: &[u8], path: &Path) -> Result<()> {
    output::check(path)?;
    let workspace = Workspace::open()?;
    let project = skeleton::render(manifest, object, &workspace.scratch()?)?;
    let built = cargo::build(&workspace, &project)?;
    let bytes = std::fs::read(&built).with_context(|| format!("can't read {}", built.display()))?;
    output::write(path, &bytes, output::Kind::Executable)
}
