//! A kernel's BTF → what the kernel can do: features are told by the functions, types and constants that came with them.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashSet};

use btc_abi::pattern;

use crate::arch::Arch;
use crate::host::CType;
use crate::host::btf::{Btf, Kind};

/// What the functions of system calls begin with, by architecture.
const SYSTEM_CALLS: &[(Arch, &str)] =
    &[(Arch::X86_64, "__x64_sys_"), (Arch::Arm64, "__arm64_sys_")];

/// Calls that arm64 has the functions of, for programs of 32 bits, and no number (include/uapi/asm-generic/unistd.h): they
/// have no tracepoints.
const ONLY_COMPAT: &[&str] = &[
    "access",
    "alarm",
    "chmod",
    "chown",
    "creat",
    "dup2",
    "epoll_create",
    "epoll_wait",
    "eventfd",
    "fork",
    "futimesat",
    "getdents",
    "getpgrp",
    "inotify_init",
    "lchown",
    "link",
    "mkdir",
    "mknod",
    "newlstat",
    "newstat",
    "open",
    "pause",
    "pipe",
    "poll",
    "readlink",
    "recv",
    "rename",
    "rmdir",
    "select",
    "send",
    "signalfd",
    "symlink",
    "time",
    "unlink",
    "ustat",
    "utime",
    "utimes",
    "vfork",
];

/// A kernel to be judged.
pub struct Kernel {
    pub name: String,
    pub(super) btf: Btf,
    functions: OnceCell<HashSet<String>>,
    helpers: OnceCell<BTreeMap<u64, String>>,
}

impl Kernel {
    /// # Errors
    /// The data are neither raw BTF nor an ELF file with `.BTF`.
    pub fn new(name: impl Into<String>, data: Vec<u8>) -> Result<Kernel, String> {
        Ok(Kernel {
            name: name.into(),
            btf: Btf::parse(data)?,
            functions: OnceCell::new(),
            helpers: OnceCell::new(),
        })
    }

    fn functions(&self) -> &HashSet<String> {
        self.functions
            .get_or_init(|| self.btf.function_names().collect())
    }

    pub fn has_function(&self, name: &str) -> bool {
        self.functions().contains(name)
    }

    /// How many functions a pattern matches.
    pub fn count(&self, wanted: &str) -> usize {
        if !pattern::is_pattern(wanted) {
            return usize::from(self.has_function(wanted));
        }
        let all = self.functions().iter();
        all.filter(|name| pattern::matches(wanted, name)).count()
    }

    pub fn has_type(&self, kind: Kind, name: &str) -> bool {
        self.btf.find(kind, name).is_some()
    }

    /// Tracepoints that match, as `btf_trace_EVENT` types name them.
    pub fn has_event(&self, event: &str) -> bool {
        if !pattern::is_pattern(event) {
            return self.has_type(Kind::TYPEDEF, &format!("btf_trace_{event}"));
        }
        let mut named = self.btf.named(Kind::TYPEDEF);
        named.any(|(name, _)| {
            name.strip_prefix("btf_trace_")
                .is_some_and(|name| pattern::matches(event, name))
        })
    }

    fn system(&self) -> Option<&'static (Arch, &'static str)> {
        SYSTEM_CALLS
            .iter()
            .find(|(_, prefix)| self.has_function(&format!("{prefix}openat")))
    }

    /// The architecture that the names of system calls give away.
    #[must_use]
    pub fn arch(&self) -> Option<Arch> {
        self.system().map(|(arch, _)| *arch)
    }

    /// Whether there are functions of these system calls. `None`: the names of this architecture's are not known.
    pub fn has_syscall(&self, wanted: &str) -> Option<bool> {
        let (arch, prefix) = self.system()?;
        if *arch == Arch::Arm64 && ONLY_COMPAT.contains(&wanted) {
            return Some(false);
        }
        // x86 has another name for calls without arguments.
        let mut prefixes = [prefix, "__do_sys_"].into_iter();
        Some(prefixes.any(|prefix| self.count(&format!("{prefix}{wanted}")) > 0))
    }

    /// Numbers and names of `enum bpf_func_id`.
    fn helpers(&self) -> &BTreeMap<u64, String> {
        self.helpers.get_or_init(|| {
            let found = self.btf.find(Kind::ENUM, "bpf_func_id");
            match found.map(|id| self.btf.ctype(id)) {
                Some(CType::Enum(of)) => {
                    let values = of.values.into_iter();
                    let real = values.filter(|(name, _)| !name.starts_with("__"));
                    real.map(|(name, number)| (number, name)).collect()
                }
                _ => BTreeMap::new(),
            }
        })
    }

    /// Whether the kernel has a helper. A BTF without their list says nothing against it.
    pub fn has_helper(&self, number: u32) -> bool {
        self.helpers().is_empty() || self.helpers().contains_key(&number.into())
    }

    pub fn has_kprobes(&self) -> bool {
        self.has_function("register_kprobe")
    }

    pub fn has_uprobes(&self) -> bool {
        self.has_function("uprobe_register")
    }

    /// CONFIG_FPROBE; the BPF side of it is there without.
    pub fn has_kprobe_multi(&self) -> bool {
        self.has_function("register_fprobe_ips")
    }

    pub fn has_uprobe_multi(&self) -> bool {
        self.has_function("bpf_uprobe_multi_link_attach")
    }

    /// CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS, without which a trampoline is not reached. 5.10 has the type, others
    /// the function.
    pub fn has_trampolines(&self) -> bool {
        self.has_function("register_ftrace_direct")
            || self.has_type(Kind::STRUCT, "ftrace_direct_func")
    }
}

/// Numbers of the first helpers of each Linux version (include/uapi/linux/bpf.h).
const FIRST_HELPERS: &[(u32, &str)] = &[
    (210, "6.2"),
    (208, "6.1"),
    (204, "6.0"),
    (194, "5.19"),
    (186, "5.18"),
    (180, "5.17"),
    (176, "5.16"),
    (169, "5.15"),
    (166, "5.14"),
    (164, "5.13"),
    (163, "5.12"),
    (156, "5.11"),
];

/// The version that a helper came with, where it is newer than the oldest kernel that executables run on.
pub fn helper_version(number: u32) -> Option<&'static str> {
    let found = FIRST_HELPERS.iter().find(|(first, _)| number >= *first);
    found.map(|(_, version)| *version)
}

impl Kernel {
    /// Whether the kernel is at least as new as one of [`FIRST_HELPERS`].
    pub fn is_since(&self, version: &str) -> bool {
        let found = FIRST_HELPERS.iter().find(|(_, known)| *known == version);
        found.is_none_or(|(number, _)| self.has_helper(*number))
    }
}
