//! A compiled script → the crate that cargo builds, with libbpf-cargo's skeleton of the object.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use btc_abi::Manifest;

use super::workspace::Workspace;
use crate::skeleton::{self, Project};

/// Renders the crate.
///
/// # Errors
/// An object that libbpf can't read, or a cache that can't be written.
pub fn of(manifest: &Manifest, object: &[u8], workspace: &Workspace) -> Result<Project> {
    let generated = generate(object, &workspace.scratch()?)?;
    skeleton::render(manifest, object, &generated)
}

/// What libbpf-cargo's generator, which works with files, makes of the object.
fn generate(object: &[u8], scratch: &Path) -> Result<String> {
    let object_path = scratch.join("tool.bpf.o");
    let output = scratch.join("skel.rs");
    fs::write(&object_path, object).with_context(|| object_path.display().to_string())?;
    libbpf_cargo::SkeletonBuilder::new()
        .obj(&object_path)
        .reference_obj(true)
        // A path that can't exist: the generator then leaves its text as it is, whether there is a rustfmt or not.
        .rustfmt(scratch.join("no/rustfmt"))
        .generate(&output)
        .context("libbpf can't read the object")?;
    fs::read_to_string(&output).with_context(|| output.display().to_string())
}
