//! An initramfs in memory: files to a cpio archive of the "newc" kind (Documentation/driver-api/early-userspace).

/// Collects entries; [`Archive::finish`] gives the bytes.
#[derive(Default)]
pub struct Archive {
    bytes: Vec<u8>,
    entries: u32,
    directories: std::collections::BTreeSet<String>,
}

const DIRECTORY: u32 = 0o040_755;
const FILE: u32 = 0o100_755;
const LINK: u32 = 0o120_777;

impl Archive {
    /// Adds an executable file, and the directories above it. `path` has no leading slash.
    pub fn file(&mut self, path: &str, contents: &[u8]) {
        self.parents(path);
        self.entry(path, FILE, contents);
    }

    pub fn link(&mut self, path: &str, target: &str) {
        self.parents(path);
        self.entry(path, LINK, target.as_bytes());
    }

    pub fn directory(&mut self, path: &str) {
        self.parents(path);
        if self.directories.insert(path.to_string()) {
            self.entry(path, DIRECTORY, &[]);
        }
    }

    fn parents(&mut self, path: &str) {
        for (at, _) in path.match_indices('/') {
            if self.directories.insert(path[..at].to_string()) {
                self.entry(&path[..at], DIRECTORY, &[]);
            }
        }
    }

    fn entry(&mut self, path: &str, mode: u32, contents: &[u8]) {
        self.entries += 1;
        let header = [
            self.entries,
            mode,
            0,
            0,
            1,
            0,
            contents.len() as u32,
            0,
            0,
            0,
            0,
            path.len() as u32 + 1,
            0,
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in header {
            self.bytes
                .extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(contents);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }
}
