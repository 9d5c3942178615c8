//! What a build host must have beside btc: cargo, Rust's standard library for the target, a C compiler, static libelf
//! and zlib. Each one that is missing is one line that says what to install.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::arch::Arch;

/// How the executables of a target are linked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linking {
    /// The C compiler: it links, and compiles libbpf.
    pub compiler: String,
    /// Where libelf.a is.
    pub directory: PathBuf,
    /// What libelf.a needs in turn, as arguments of rustc.
    pub link_args: Vec<String>,
}

/// Looks for everything before the first build for a target.
///
/// # Errors
/// The first thing that is missing.
pub fn check(target: Arch) -> Result<Linking> {
    has_cargo()?;
    if !on_path("cc") {
        bail!("no C compiler `cc` on PATH: install gcc (apt install gcc, dnf install gcc)");
    }
    for tool in ["make", "pkg-config"] {
        if !on_path(tool) {
            bail!("no `{tool}` on PATH: install it (apt install {tool}, dnf install {tool})");
        }
    }
    let compiler = c_compiler(target)?;
    if !target.is_this_machine() && !has_standard_library(target) {
        bail!(
            "Rust has no standard library for {target} here: rustup target add {target} (Debian's Rust: apt install libstd-rust-dev:{})",
            target.debian()
        );
    }
    libraries(target, compiler)
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

/// `cc`, or the cross compiler: the linker that cargo is told to take for the target, or gcc by its usual name.
fn c_compiler(target: Arch) -> Result<String> {
    if target.is_this_machine() {
        return Ok("cc".to_string());
    }
    let variable = format!(
        "CARGO_TARGET_{}_LINKER",
        target.triple().replace('-', "_").to_uppercase()
    );
    let named = std::env::var(&variable).ok().filter(|n| !n.is_empty());
    let gcc = format!("{}-gcc", target.gnu_triple());
    let compiler = named.unwrap_or(gcc);
    if on_path(&compiler) {
        return Ok(compiler);
    }
    bail!(
        "no C compiler `{compiler}` for {target} on PATH: apt install gcc-{}, or name one in {variable}",
        target.gnu_triple().replace('_', "-"),
    )
}

/// Asked of rustc, in a directory where no project chooses another one.
fn has_standard_library(target: Arch) -> bool {
    let asked = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", target.triple()])
        .current_dir("/")
        .output();
    let Ok(answer) = asked else { return false };
    let directory = String::from_utf8_lossy(&answer.stdout).trim().to_string();
    let files = std::fs::read_dir(directory).into_iter().flatten().flatten();
    files
        .into_iter()
        .any(|file| file.file_name().to_string_lossy().starts_with("libstd-"))
}

fn libraries(target: Arch, compiler: String) -> Result<Linking> {
    let library = |name: &str, debian: &str, fedora: &str| {
        let install = if target.is_this_machine() {
            format!("apt install {debian}, dnf install {fedora}")
        } else {
            let architecture = target.debian();
            format!(
                "dpkg --add-architecture {architecture}, apt update, apt install {debian}:{architecture}"
            )
        };
        static_library(&compiler, name)
            .with_context(|| format!("no {name} for {target}: install it ({install})"))
    };
    let libelf = library("libelf.a", "libelf-dev", "elfutils-libelf-devel-static")?;
    let zlib = library("libz.a", "zlib1g-dev", "zlib-ng-compat-static")?;
    let mut link_args = vec![];
    // elfutils since 0.189 may compress sections with zstd.
    if mentions(&libelf, b"ZSTD_compress")? {
        library("libzstd.a", "libzstd-dev", "libzstd-static")?;
        // By its file: rustc ends with `-Bdynamic`.
        link_args.push("-Clink-arg=-l:libzstd.a".to_string());
    }
    let directory = libelf.parent().unwrap_or(Path::new("/")).to_path_buf();
    if zlib.parent() != Some(&directory) {
        let other = zlib.parent().unwrap_or(Path::new("/"));
        link_args.push(format!("-Lnative={}", other.display()));
    }
    Ok(Linking {
        compiler,
        directory,
        link_args,
    })
}

/// Also for the path of a program, which replaces a directory of PATH.
fn on_path(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}

/// The C compiler knows where it links libraries from; it answers with the bare name when there is none.
fn static_library(compiler: &str, name: &str) -> Option<PathBuf> {
    let output = Command::new(compiler)
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
