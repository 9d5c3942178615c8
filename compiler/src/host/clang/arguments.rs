//! How libclang is called: language, target, and where headers are.

use std::path::{Path, PathBuf};

use super::Machine;
use super::parse::PRELUDE;
use crate::arch::Arch;
use crate::host::COptions;

const FIXED: &[&str] = &[
    "-x",
    "c",
    "-std=gnu11",
    "-w",
    "-ferror-limit=0",
    "-fno-spell-checking",
    // Scripts of bpftrace's collection include kernel headers only without it.
    "-DBPFTRACE_HAVE_BTF",
    "-include",
    PRELUDE,
];

pub(super) fn arguments(machine: Machine, options: &COptions) -> Vec<String> {
    let mut all: Vec<String> = FIXED.iter().map(|&a| a.to_owned()).collect();
    all.extend(["-target".to_owned(), machine.arch.gnu_triple().to_owned()]);
    // A directory with no more than another machine's `sys` has no headers to prefer.
    let sysroot = machine
        .sysroot
        .filter(|root| root.join("usr/include").is_dir());
    all.extend(sysroot.map(|root| format!("--sysroot={}", root.display())));
    let beside = options.directories.iter().map(PathBuf::as_path);
    for directory in beside.chain([Path::new(".")]) {
        all.extend(["-iquote".to_owned(), directory.display().to_string()]);
    }
    let directories = options.include_directories.iter();
    all.extend(directories.map(|d| format!("-I{}", d.display())));
    for include in &options.includes {
        all.extend(["-include".to_owned(), include.clone()]);
    }
    // libclang without the clang package lacks stddef.h and the like, which most system headers need; the C compiler
    // that btc links with has them.
    if let Some(directory) = gcc_headers(sysroot.unwrap_or(Path::new("/")), machine.arch) {
        all.extend(["-idirafter".to_owned(), directory.display().to_string()]);
    }
    all
}

/// The include directory of the newest gcc for the target, else of any: what headers take from it differs nowhere.
fn gcc_headers(root: &Path, arch: Arch) -> Option<PathBuf> {
    let mut found = vec![];
    let compilers = ["usr/lib/gcc", "usr/lib/gcc-cross"].map(|d| entries(&root.join(d)));
    for triple in compilers.into_iter().flatten() {
        let name = triple.file_name().and_then(|n| n.to_str()).unwrap_or("");
        let fits = name.split('-').next() == Some(arch.rust_name());
        for version in entries(&triple) {
            let name = version.file_name().and_then(|n| n.to_str()).unwrap_or("");
            let major = name.split('.').next().and_then(|m| m.parse::<u32>().ok());
            found.extend(major.map(|major| (fits, major, version.join("include"))));
        }
    }
    found.retain(|(_, _, directory)| directory.is_dir());
    found.into_iter().max().map(|(_, _, directory)| directory)
}

fn entries(directory: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = directory.read_dir().into_iter().flatten().flatten();
    entries.map(|entry| entry.path())
}
