//! Files that processes map → paths where this process can read them, also after their process's end.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::maps::FileName;

/// Index into the binaries of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BinaryId(usize);

/// A mapped file.
#[derive(Debug)]
pub struct Binary {
    /// As the process sees it.
    pub name: String,
    /// Where its contents are for us; `None`: out of reach.
    pub place: Option<PathBuf>,
    /// Behind a place in /proc/self/fd: a deleted file, or one of another mount namespace.
    _held: Option<File>,
}

/// All files that were seen mapped.
#[derive(Debug, Default)]
pub struct Binaries {
    list: Vec<Binary>,
    known: HashMap<Key, BinaryId>,
    held: usize,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    device: (u32, u32),
    inode: u64,
    name: Box<str>,
}

/// A mapping of the file in a process that may still live.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub process: u32,
    pub start: u64,
    pub end: u64,
}

/// Files held open at most; further ones have a name and no place.
const MAX_HELD: usize = 512;

impl Binaries {
    pub fn get(&self, id: BinaryId) -> &Binary {
        &self.list[id.0]
    }

    /// The binary of a file that was seen in a process.
    pub fn add(&mut self, file: FileName<'_>, seen: Seen) -> BinaryId {
        let key = Key {
            device: file.device,
            inode: file.inode,
            name: file.path.into(),
        };
        let known = self.known.get(&key).copied();
        if let Some(id) = known
            && self.list[id.0].place.is_some()
        {
            return id;
        }
        let (place, held) = self.locate(file, seen);
        self.held += usize::from(held.is_some());
        let binary = Binary {
            name: file.path.to_owned(),
            place,
            _held: held,
        };
        match known {
            Some(id) => {
                self.list[id.0] = binary;
                id
            }
            None => {
                let id = BinaryId(self.list.len());
                self.list.push(binary);
                self.known.insert(key, id);
                id
            }
        }
    }

    /// By its name where that is the same file for us: no descriptor is held, and debug information is found beside it.
    fn locate(&self, file: FileName<'_>, seen: Seen) -> (Option<PathBuf>, Option<File>) {
        let Seen {
            process,
            start,
            end,
        } = seen;
        let link = PathBuf::from(format!("/proc/{process}/map_files/{start:x}-{end:x}"));
        // Following the link asks for CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE.
        let mapped = std::fs::metadata(&link).ok();
        // Opening a device or a pipe may block or act, so that this is asked before anything is opened.
        let is_mapped = |found: &Metadata| {
            found.is_file()
                && match &mapped {
                    Some(mapped) => (mapped.dev(), mapped.ino()) == (found.dev(), found.ino()),
                    None => found.ino() == file.inode,
                }
        };
        let named = Path::new(file.path);
        if std::fs::metadata(named).is_ok_and(|found| is_mapped(&found)) {
            return (Some(named.to_path_buf()), None);
        }
        if self.held >= MAX_HELD {
            return (None, None);
        }
        let inside = PathBuf::from(format!("/proc/{process}/root{}", file.path));
        for path in [link, inside] {
            if !std::fs::metadata(&path).is_ok_and(|found| is_mapped(&found)) {
                continue;
            }
            if let Ok(held) = File::open(&path) {
                let place = PathBuf::from(format!("/proc/self/fd/{}", held.as_raw_fd()));
                return (Some(place), Some(held));
            }
        }
        (None, None)
    }
}
