//! Constants of C headers that neither BTF nor an installed header tells: a table that ships with btc.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use crate::arch::Arch;

/// Its format is told at its top.
const TABLE: &str = include_str!("../../headers/constants.txt");

/// Directories of headers whose types are the kernel's, so that a script can do without them.
const KERNEL_DIRECTORIES: &[&str] = &[
    "acpi/",
    "asm/",
    "asm-generic/",
    "bcc/",
    "bpf/",
    "crypto/",
    "drm/",
    "generated/",
    "keys/",
    "kvm/",
    "linux/",
    "media/",
    "misc/",
    "mtd/",
    "net/",
    "rdma/",
    "scsi/",
    "sound/",
    "trace/",
    "vdso/",
    "video/",
    "xen/",
];

/// Headers and the constants that each of them has.
#[derive(Debug, Default)]
struct Group {
    /// The one that a program would include first.
    headers: Vec<&'static str>,
    /// Name, value, and the architecture that it is of.
    constants: Vec<(&'static str, i128, Option<&'static str>)>,
}

fn groups() -> &'static [Group] {
    static GROUPS: OnceLock<Vec<Group>> = OnceLock::new();
    GROUPS.get_or_init(|| read(TABLE))
}

fn read(table: &'static str) -> Vec<Group> {
    let mut groups: Vec<Group> = vec![];
    let mut in_headers = false;
    for line in table.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            in_headers = false;
            continue;
        }
        if let Some(headers) = line.strip_prefix(": ") {
            if !std::mem::replace(&mut in_headers, true) {
                groups.push(Group::default());
            }
            if let Some(group) = groups.last_mut() {
                group.headers.extend(headers.split_whitespace());
            }
            continue;
        }
        in_headers = false;
        let (arch, constants) = match line.split_once(": ") {
            Some((arch, constants)) => (Some(arch), constants),
            None => (None, line),
        };
        if let Some(group) = groups.last_mut() {
            let pairs = constants.split_whitespace();
            let pairs = pairs.filter_map(|pair| pair.split_once('='));
            let valued = pairs.filter_map(|(name, text)| Some((name, number(text)?, arch)));
            group.constants.extend(valued);
        }
    }
    groups
}

fn number(text: &str) -> Option<i128> {
    match text.strip_prefix("0x") {
        Some(digits) => i128::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// `uapi/` is where the kernel's own tree has what it promises to programs.
fn plain(header: &str) -> &str {
    header.strip_prefix("uapi/").unwrap_or(header)
}

/// Whether a script does as well without the header: the table has its constants, BTF its types.
#[must_use]
pub fn is_known(header: &str) -> bool {
    let known = |group: &Group| group.headers.contains(&plain(header));
    groups().iter().any(known)
}

/// Whether a header is one of the kernel's, by its directory.
#[must_use]
pub fn is_kernels(header: &str) -> bool {
    let header = plain(header);
    let mut directories = KERNEL_DIRECTORIES.iter();
    directories.any(|directory| header.starts_with(directory))
}

/// What the table knows of headers, on machines of one architecture.
#[must_use]
pub fn constants<'h>(headers: impl Iterator<Item = &'h str>, arch: Arch) -> BTreeMap<String, i128> {
    let headers: BTreeSet<&str> = headers.map(plain).collect();
    let mut found = BTreeMap::new();
    for group in groups() {
        if !group.headers.iter().any(|header| headers.contains(header)) {
            continue;
        }
        for (name, value, of) in &group.constants {
            if of.is_none_or(|of| of == arch.rust_name()) {
                found.insert((*name).to_owned(), *value);
                if let Some(call) = name.strip_prefix("__NR_") {
                    found.insert(format!("SYS_{call}"), *value);
                }
            }
        }
    }
    found
}

/// A header that has a constant of this name.
#[must_use]
pub fn of_constant(name: &str) -> Option<&'static str> {
    let name = match name.strip_prefix("SYS_") {
        Some(call) => &format!("__NR_{call}"),
        None => name,
    };
    let has = |group: &&Group| group.constants.iter().any(|(known, ..)| *known == name);
    let group = groups().iter().find(has)?;
    group.headers.first().copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::clang::{self, Machine};
    use crate::host::{COptions, fixture::FixtureHost};

    #[test]
    fn the_table_is_whole() {
        let mut pairs = 0;
        for line in TABLE.lines().filter(|l| !l.starts_with(['#', ':'])) {
            let line = line.split_once(": ").map_or(line, |(arch, rest)| {
                assert!(["x86_64", "aarch64"].contains(&arch), "{line}");
                rest
            });
            for pair in line.split_whitespace() {
                let (name, value) = pair.split_once('=').unwrap();
                let fine = |c: char| c.is_ascii_alphanumeric() || c == '_';
                assert!(name.chars().all(fine) && number(value).is_some(), "{pair}");
                pairs += 1;
            }
        }
        let read: usize = groups().iter().map(|group| group.constants.len()).sum();
        assert!(pairs == read && read > 2000, "{pairs} {read}");
        for group in groups() {
            let mut names: Vec<_> = group.constants.iter().map(|(n, _, of)| (n, of)).collect();
            let all = names.len();
            names.sort();
            names.dedup();
            assert_eq!(all, names.len(), "{:?}", group.headers);
        }
    }

    #[test]
    fn constants_differ_by_architecture() {
        let on = |arch| constants(["fcntl.h"].into_iter(), arch);
        assert_eq!(on(Arch::X86_64)["O_DIRECT"], 0o40000);
        assert_eq!(on(Arch::Arm64)["O_DIRECT"], 0o200_000);
        assert_eq!(on(Arch::Arm64)["O_CREAT"], 0o100);
        let calls = |arch| constants(["uapi/asm/unistd.h"].into_iter(), arch);
        assert_eq!(calls(Arch::X86_64)["SYS_openat"], 257);
        assert_eq!(calls(Arch::Arm64)["__NR_openat"], 56);
        assert!(!calls(Arch::Arm64).contains_key("__NR_open"));
    }

    #[test]
    fn headers_are_told_by_constant() {
        assert_eq!(of_constant("AF_INET"), Some("sys/socket.h"));
        assert_eq!(of_constant("SYS_read"), Some("sys/syscall.h"));
        assert_eq!(of_constant("NO_SUCH_CONSTANT"), None);
        assert!(is_known("uapi/linux/fs.h") && is_known("linux/skbuff.h"));
        assert!(is_kernels("linux/anything.h") && !is_kernels("mine.h"));
    }

    /// What is installed here says the same; where a header is not installed there is nothing to compare with.
    #[test]
    fn installed_headers_have_the_same_values() {
        let arch = Arch::default();
        let mut compared = 0;
        let mut wrong = vec![];
        for group in groups() {
            let installed =
                |header: &&&str| std::path::Path::new("/usr/include").join(header).exists();
            for header in group.headers.iter().filter(installed).take(2) {
                let text = format!("#define _GNU_SOURCE\n#include <{header}>\n");
                let machine = Machine {
                    sysroot: None,
                    arch,
                };
                let options = COptions::default();
                let Ok(made) = clang::read_alone(&FixtureHost, machine, &text, &options) else {
                    // No libclang.
                    return;
                };
                for (name, value, of) in &group.constants {
                    let fits = of.is_none_or(|of| of == arch.rust_name());
                    let found = made.integers.iter().find(|(known, _)| known == name);
                    if let (true, Some((_, theirs))) = (fits, found) {
                        compared += 1;
                        if theirs != value {
                            wrong.push(format!("{header}: {name} is {theirs}, here {value}"));
                        }
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        assert!(compared == 0 || compared > 500, "{compared}");
    }
}
