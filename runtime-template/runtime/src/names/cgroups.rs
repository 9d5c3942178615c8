//! Ids of cgroups → their paths. An id is the inode number of the cgroup's directory.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::pattern;

/// Where a hierarchy is mounted, and what bpftrace calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hierarchy {
    /// `unified` for cgroup v2, the controllers for v1.
    name: String,
    root: PathBuf,
}

/// Paths by hierarchy and id.
#[derive(Default)]
pub struct Cgroups {
    hierarchies: Option<Vec<Hierarchy>>,
    found: HashMap<(String, u64), String>,
}

impl Cgroups {
    /// `name:path` of the hierarchies that have the id, joined by commas.
    pub fn path(&mut self, id: u64, wanted: &str) -> String {
        let wanted = if wanted.is_empty() { "*" } else { wanted };
        let hierarchies = (self.hierarchies)
            .get_or_insert_with(|| {
                mounted(&std::fs::read_to_string("/proc/self/mounts").unwrap_or_default())
            })
            .clone();
        let mut paths = Vec::new();
        for hierarchy in hierarchies {
            if !pattern::matches(wanted, &hierarchy.name) {
                continue;
            }
            let key = (hierarchy.name.clone(), id);
            if !self.found.contains_key(&key) {
                self.walk(&hierarchy);
            }
            if let Some(path) = self.found.get(&key) {
                paths.push(format!("{}:{path}", hierarchy.name));
            }
        }
        paths.join(",")
    }

    /// Takes in every directory of a hierarchy: cgroups come and go, so this is done again for an unknown id.
    fn walk(&mut self, hierarchy: &Hierarchy) {
        let mut waiting = vec![hierarchy.root.clone()];
        while let Some(directory) = waiting.pop() {
            let Ok(metadata) = std::fs::metadata(&directory) else {
                continue;
            };
            let inside = directory
                .strip_prefix(&hierarchy.root)
                .unwrap_or(Path::new(""));
            self.found.insert(
                (hierarchy.name.clone(), metadata.ino()),
                format!("/{}", inside.display()),
            );
            let Ok(entries) = std::fs::read_dir(&directory) else {
                continue;
            };
            let directories = entries
                .flatten()
                .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
            waiting.extend(directories.map(|entry| entry.path()));
        }
    }
}

/// Lines of `device path type options …`.
fn mounted(mounts: &str) -> Vec<Hierarchy> {
    let mut found: Vec<Hierarchy> = Vec::new();
    for line in mounts.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [_, root, kind, options, ..] = words[..] else {
            continue;
        };
        let name = match kind {
            "cgroup2" => "unified".to_owned(),
            "cgroup" => controllers(options),
            _ => continue,
        };
        if !found.iter().any(|other| other.name == name) {
            let root = PathBuf::from(root);
            found.push(Hierarchy { name, root });
        }
    }
    found
}

/// A v1 mount's options without those that every mount may have.
fn controllers(options: &str) -> String {
    const COMMON: &[&str] = &[
        "rw", "ro", "nosuid", "nodev", "noexec", "relatime", "noatime", "xattr",
    ];
    let named: Vec<&str> = options
        .split(',')
        .filter(|option| !COMMON.contains(option) && !option.contains('='))
        .collect();
    named.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_read() {
        let found = mounted(
            "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid,nsdelegate 0 0\nproc /proc proc rw 0 0\n\
             cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,nosuid,relatime,cpu,cpuacct 0 0\n",
        );
        let names: Vec<_> = found.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["unified", "cpu,cpuacct"]);
    }
}
