//! Ids of cgroups → their paths. An id is the inode number of the cgroup's directory.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::pattern;

const UNIFIED: &str = "unified";

/// Where a hierarchy is mounted, and what bpftrace calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hierarchy {
    /// `unified` for cgroup v2, the last part of where it is mounted for v1.
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

/// Lines of `device path type options …`; hierarchies of v1 come first.
fn mounted(mounts: &str) -> Vec<Hierarchy> {
    let mut found: Vec<Hierarchy> = Vec::new();
    for line in mounts.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [_, root, kind, ..] = words[..] else {
            continue;
        };
        let root = PathBuf::from(root);
        let name = match (kind, root.file_name()) {
            ("cgroup2", _) => UNIFIED.to_owned(),
            ("cgroup", Some(name)) => name.to_string_lossy().into_owned(),
            _ => continue,
        };
        if !found.iter().any(|other| other.name == name) {
            found.push(Hierarchy { name, root });
        }
    }
    found.sort_by_key(|hierarchy| hierarchy.name == UNIFIED);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_read() {
        let found = mounted(
            "cgroup2 /sys/fs/cgroup/unified cgroup2 rw,nosuid,nsdelegate 0 0\nproc /proc proc rw 0 0\n\
             cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,nosuid,relatime,cpu,cpuacct 0 0\n\
             cgroup /sys/fs/cgroup/systemd cgroup rw,relatime,name=systemd 0 0\n",
        );
        let names: Vec<_> = found.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["cpu,cpuacct", "systemd", "unified"]);
    }
}
