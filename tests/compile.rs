//! Scripts to executables, with the btc that these tests were built beside; and the known load.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};

use crate::case::Case;

/// The btc under test: `BTC` in the environment, or the release build of this checkout.
///
/// # Errors
/// When cargo can't build it.
pub fn btc() -> Result<&'static Path> {
    static BTC: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    BTC.get_or_init(|| build_btc().map_err(|e| format!("{e:#}")))
        .as_deref()
        .map_err(|e| anyhow::anyhow!("{e}"))
}

fn build_btc() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("BTC") {
        return Ok(path.into());
    }
    let status = Command::new("cargo")
        .args(["build", "--release", "--quiet", "--package", "btc"])
        .current_dir(crate::root())
        .status()
        .context("cargo")?;
    if !status.success() {
        bail!("cargo could not build btc");
    }
    let target = crate::work_directory()
        .parent()
        .map(Path::to_path_buf)
        .context("a target directory")?;
    Ok(target.join("release/btc"))
}

/// Compiles a case's script; the executable is named after the case.
///
/// # Errors
/// With btc's own words when it refuses the script.
pub fn compile(case: &Case) -> Result<PathBuf> {
    let directory = crate::work_directory().join("bin");
    std::fs::create_dir_all(&directory)?;
    let executable = directory.join(case.name.replace('/', "-"));
    let output = Command::new(btc()?)
        .args(&case.flags)
        .arg(&case.script)
        .arg("-o")
        .arg(&executable)
        .current_dir(crate::root())
        .output()
        .context("btc")?;
    if !output.status.success() {
        bail!(
            "{}: btc: {}",
            case.name,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(executable)
}

/// The known load (tests/programs/load.rs), static, so that it runs in guests as well.
///
/// # Errors
/// When rustc can't compile it.
pub fn load() -> Result<&'static Path> {
    static LOAD: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    LOAD.get_or_init(|| build_load().map_err(|e| format!("{e:#}")))
        .as_deref()
        .map_err(|e| anyhow::anyhow!("{e}"))
}

fn build_load() -> Result<PathBuf> {
    let built = load_in(&crate::work_directory())?;
    // Scripts name it in their uprobes, so it has the same place here and in guests.
    let new = format!("{}.{}", crate::vm::guest::LOAD, std::process::id());
    std::fs::copy(&built, &new)?;
    std::fs::rename(&new, crate::vm::guest::LOAD)?;
    Ok(PathBuf::from(crate::vm::guest::LOAD))
}

/// The load's file for guests: another checkout's tests may replace the one that [`load`] names.
///
/// # Errors
/// When rustc can't compile it.
pub fn load_for_guests() -> Result<PathBuf> {
    load()?;
    Ok(crate::work_directory().join("btc-load"))
}

/// Compiles the load into a directory, under its name.
///
/// # Errors
/// When rustc can't compile it.
pub fn load_in(directory: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(directory)?;
    let built = directory.join(format!("load-{}", std::process::id()));
    let status = Command::new("rustc")
        .args(["--edition", "2024", "-C", "opt-level=1"])
        .args(["-C", "target-feature=+crt-static"])
        .args(["-C", "force-frame-pointers=yes"])
        .args(["-C", "relocation-model=static", "-g", "-o"])
        .arg(&built)
        .arg(crate::root().join("tests/programs/load.rs"))
        .status()
        .context("rustc")?;
    if !status.success() {
        bail!("rustc could not compile the load");
    }
    let load = directory.join("btc-load");
    std::fs::rename(&built, &load)?;
    Ok(load)
}
