//! Headers of the running kernel, where they are installed: only for macros that BTF doesn't have.

use std::path::{Path, PathBuf};

use super::Machine;
use crate::arch::Arch;

/// As the kernel's own build calls the compiler, as far as headers care.
const DEFINES: &[&str] = &[
    "-D__KERNEL__",
    "-D__BPF_TRACING__",
    "-D__HAVE_BUILTIN_BSWAP16__",
    "-D__HAVE_BUILTIN_BSWAP32__",
    "-D__HAVE_BUILTIN_BSWAP64__",
    "-DKBUILD_MODNAME=\"btc\"",
    "-Dasm_volatile_goto(x...)=",
    "-fno-pie",
];

/// Where headers are, below the roots of a kernel tree; `A` is the architecture.
const DIRECTORIES: &[&str] = &[
    "arch/A/include",
    "arch/A/include/generated",
    "include",
    "arch/A/include/uapi",
    "arch/A/include/generated/uapi",
    "include/uapi",
    "include/generated/uapi",
];

/// Debian splits a tree in two, `build` and `source`; elsewhere both are one.
pub(super) struct KernelTree {
    pub roots: Vec<PathBuf>,
    arch: Arch,
}

impl KernelTree {
    /// The running kernel's, which is generated for its own architecture.
    pub(super) fn find(machine: Machine) -> Option<KernelTree> {
        if machine.sysroot.is_none() && !machine.arch.is_this_machine() {
            return None;
        }
        let root = machine.sysroot.unwrap_or(Path::new("/"));
        let release = std::fs::read_to_string(root.join("proc/sys/kernel/osrelease")).ok()?;
        let modules = root.join("lib/modules").join(release.trim());
        let links = ["build", "source"].iter();
        // Files must be known by the names that libclang finds them under.
        let mut roots: Vec<_> = links
            .filter_map(|link| modules.join(link).canonicalize().ok())
            .filter(|path| path.join("include").is_dir())
            .collect();
        roots.dedup();
        (!roots.is_empty()).then_some(KernelTree {
            roots,
            arch: machine.arch,
        })
    }

    fn directories(&self) -> impl Iterator<Item = PathBuf> + '_ {
        let below = DIRECTORIES.iter().flat_map(|directory| {
            let own = format!("/{}/", self.arch.kernel_directory());
            let directory = directory.replace("/A/", &own);
            self.roots.iter().map(move |root| root.join(&directory))
        });
        below.filter(|path| path.is_dir())
    }

    pub(super) fn has(&self, header: &str) -> bool {
        self.directories().any(|d| d.join(header).is_file())
    }

    /// Words for libclang; the tree's headers come before the system's.
    pub(super) fn arguments(&self) -> Vec<String> {
        let mut all: Vec<String> = DEFINES.iter().map(|&d| d.to_owned()).collect();
        all.extend(self.directories().map(|d| format!("-I{}", d.display())));
        let config = self.directories().map(|d| d.join("linux/kconfig.h"));
        if let Some(config) = config.into_iter().find(|path| path.is_file()) {
            all.extend(["-include".to_owned(), config.display().to_string()]);
        }
        all
    }
}
