//! Scripts to executables, with the btc that these tests were built beside; and the known load.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};

use crate::case::Case;
use crate::vm::kernels::{self, Series};
use crate::vm::types;

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
    compile_with(Command::new(btc()?), case, &executable)?;
    Ok(executable)
}

/// Compiles a case's script with a btc that is started in another way, or with more words.
///
/// # Errors
/// With btc's own words when it refuses the script.
pub fn compile_with(mut btc: Command, case: &Case, executable: &Path) -> Result<()> {
    for flag in &case.flags {
        btc.arg(filled(flag)?);
    }
    let output = btc
        .envs(
            case.btc_environment
                .iter()
                .map(|(name, value)| (name, value)),
        )
        .arg(&case.script)
        .arg("-o")
        .arg(executable)
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
    Ok(())
}

/// A word for btc as a case has it: `{btf:6.12}` is a file with that kernel's types.
///
/// # Errors
/// No such kernel.
pub fn filled(flag: &str) -> Result<String> {
    let named = |text: &str| Some(text.strip_prefix("{btf:")?.strip_suffix('}')?.to_owned());
    let Some(series) = named(flag) else {
        return Ok(flag.to_owned());
    };
    let kernel = kernels::fetch(Series::named(&series)?)?;
    Ok(types::file(&kernel)?.display().to_string())
}

/// A program of tests/programs that scripts trace: its source's name, and its place here and in guests, by which scripts
/// name it in their probes.
pub type Program = (&'static str, &'static str);

/// The known load, a program with usdt markers, and one without frame pointers.
pub const PROGRAMS: [Program; 3] = [
    ("load", LOAD),
    ("usdt", "/tmp/btc-usdt"),
    ("frameless", "/tmp/btc-frameless"),
];

/// Where the known load is.
pub const LOAD: &str = "/tmp/btc-load";

/// All of [`PROGRAMS`] in their places, compiled once in a process.
///
/// # Errors
/// When rustc can't compile one.
pub fn programs() -> Result<()> {
    static MADE: OnceLock<Result<(), String>> = OnceLock::new();
    let make = || {
        for (name, place) in PROGRAMS {
            in_place(&program_in(&crate::work_directory(), name)?, place)?;
        }
        Ok(())
    };
    let made = MADE.get_or_init(|| make().map_err(|e: anyhow::Error| format!("{e:#}")));
    made.clone().map_err(|e| anyhow::anyhow!("{e}"))
}

/// The known load (tests/programs/load.rs), in its place.
///
/// # Errors
/// When rustc can't compile it.
pub fn load() -> Result<&'static Path> {
    programs()?;
    Ok(Path::new(LOAD))
}

/// The file that was compiled: another checkout's tests may replace the one in its place.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    crate::work_directory().join(format!("btc-{name}"))
}

fn in_place(built: &Path, place: &str) -> Result<()> {
    let part = format!("{place}.{}", std::process::id());
    std::fs::copy(built, &part)?;
    Ok(std::fs::rename(part, place)?)
}

/// Compiles a program of tests/programs into a directory: static, so that it runs in guests as well.
///
/// # Errors
/// When rustc can't compile it.
pub fn program_in(directory: &Path, name: &str) -> Result<PathBuf> {
    program_with(Command::new("rustc"), directory, name)
}

fn frame_pointers(name: &str) -> &'static str {
    match name {
        "frameless" => "force-frame-pointers=no",
        _ => "force-frame-pointers=yes",
    }
}

/// Compiles a program with a rustc that is started in another way, or with more words.
///
/// # Errors
/// When rustc can't compile it.
pub fn program_with(mut rustc: Command, directory: &Path, name: &str) -> Result<PathBuf> {
    std::fs::create_dir_all(directory)?;
    let built = directory.join(format!("{name}-{}", std::process::id()));
    let output = rustc
        .args(["--edition", "2024", "-C", "opt-level=1"])
        .args(["-C", "target-feature=+crt-static"])
        .args(["-C", frame_pointers(name)])
        .args(["-C", "relocation-model=static", "-g", "-o"])
        .arg(&built)
        .arg(crate::root().join(format!("tests/programs/{name}.rs")))
        .output()
        .context("rustc")?;
    if !output.status.success() {
        bail!(
            "rustc could not compile tests/programs/{name}.rs: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let program = directory.join(format!("btc-{name}"));
    std::fs::rename(&built, &program)?;
    Ok(program)
}
