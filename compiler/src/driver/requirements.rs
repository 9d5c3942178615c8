//! What a build host must have beside btc: cargo, a C compiler, static libelf and zlib. Each one that is missing is one
//! line that says what to install.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Where the C libraries of every executable are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CLibraries {
    pub directory: PathBuf,
    /// What libelf.a needs in turn, as arguments of rustc.
    pub link_args: Vec<String>,
}

/// Looks for everything before the first build.
///
/// # Errors
/// The first thing that is missing.
pub fn check() -> Result<CLibraries> {
    if !on_path("cargo") || !on_path("rustc") {
        bail!(
            "no cargo on PATH: install Rust (https://rustup.rs, or the packages cargo and rustc)"
        );
    }
    if !on_path("cc") {
        bail!("no C compiler `cc` on PATH: install gcc (apt install gcc, dnf install gcc)");
    }
    for tool in ["make", "pkg-config"] {
        if !on_path(tool) {
            bail!("no `{tool}` on PATH: install it (apt install {tool}, dnf install {tool})");
        }
    }
    let libelf = static_library("libelf.a").context(
        "no libelf.a: install it (apt install libelf-dev, dnf install elfutils-libelf-devel-static)",
    )?;
    let zlib = static_library("libz.a").context(
        "no libz.a: install it (apt install zlib1g-dev, dnf install zlib-ng-compat-static)",
    )?;
    let mut link_args = vec![];
    // elfutils since 0.189 may compress sections with zstd.
    if mentions(&libelf, b"ZSTD_compress")? {
        static_library("libzstd.a").context(
            "libelf.a needs libzstd.a: install it (apt install libzstd-dev, dnf install libzstd-static)",
        )?;
        link_args.push("-Clink-arg=-lzstd".to_string());
    }
    let directory = libelf.parent().unwrap_or(Path::new("/")).to_path_buf();
    if zlib.parent() != Some(&directory) {
        let other = zlib.parent().unwrap_or(Path::new("/"));
        link_args.push(format!("-Lnative={}", other.display()));
    }
    Ok(CLibraries {
        directory,
        link_args,
    })
}

/// # Errors
/// No cargo or no rustc.
pub fn has_cargo() -> Result<()> {
    if !on_path("cargo") || !on_path("rustc") {
        bail!(
            "no cargo on PATH: install Rust (https://rustup.rs, or the packages cargo and rustc)"
        );
    }
    Ok(())
}

fn on_path(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}

/// The C compiler knows where it links libraries from; it answers with the bare name when there is none.
fn static_library(name: &str) -> Option<PathBuf> {
    let output = Command::new("cc")
        .arg(format!("-print-file-name={name}"))
        .output()
        .ok()?;
    let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    path.is_absolute().then(|| path.canonicalize().ok())?
}

fn mentions(file: &Path, word: &[u8]) -> Result<bool> {
    let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
    Ok(bytes.windows(word.len()).any(|window| window == word))
}
