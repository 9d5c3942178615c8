//! Files that processes map → paths where this process can read them, also after their process's end.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::maps::FileName;
use super::views::View;

/// Index into the binaries of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BinaryId(usize);

/// A mapped file.
#[derive(Debug)]
pub struct Binary {
    /// As the process sees it.
    pub name: String,
    /// Where its contents were for us when it was seen; `None`: out of reach.
    place: Option<Place>,
    /// Behind a place in /proc/self/fd: a deleted file, or one of another mount namespace.
    _held: Option<File>,
}

#[derive(Debug)]
struct Place {
    path: PathBuf,
    stamp: Stamp,
}

/// Device, inode, size and time of the last change in seconds and nanoseconds.
type Stamp = (u64, u64, u64, i64, i64);

impl Binary {
    /// Where its contents are; `None`: out of reach, or no longer what the process ran.
    pub fn place(&self) -> Option<&Path> {
        let place = self.place.as_ref()?;
        let now = std::fs::metadata(&place.path).ok()?;
        (stamp(&now) == place.stamp).then_some(place.path.as_path())
    }
}

fn stamp(found: &Metadata) -> Stamp {
    let changed = (found.mtime(), found.mtime_nsec());
    (found.dev(), found.ino(), found.size(), changed.0, changed.1)
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
pub struct Seen<'a> {
    pub process: u32,
    pub start: u64,
    pub end: u64,
    /// How the process sees files, where that is known to be otherwise than this one does.
    pub view: Option<&'a View>,
}

/// Files held open at most; further ones have a name and no place.
const MAX_HELD: usize = 512;

impl Binaries {
    pub fn get(&self, id: BinaryId) -> &Binary {
        &self.list[id.0]
    }

    /// The binary of a file that was seen in a process.
    pub fn add(&mut self, file: FileName<'_>, seen: Seen<'_>) -> BinaryId {
        let key = Key {
            device: file.device,
            inode: file.inode,
            name: file.path.into(),
        };
        let known = self.known.get(&key).copied();
        if let Some(id) = known
            && self.list[id.0].place().is_some()
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
    fn locate(&self, file: FileName<'_>, seen: Seen<'_>) -> (Option<Place>, Option<File>) {
        let Seen {
            process,
            start,
            end,
            view,
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
        // Of a process that has ended only the inode is known; where it saw other files, ours may be another of that number.
        let may_be_ours = mapped.is_some() || view.is_none();
        if may_be_ours && let Some(found) = std::fs::metadata(named).ok().filter(is_mapped) {
            let path = named.to_path_buf();
            let stamp = stamp(&found);
            return (Some(Place { path, stamp }), None);
        }
        if self.held >= MAX_HELD {
            return (None, None);
        }
        let inside = PathBuf::from(format!("/proc/{process}/root{}", file.path));
        let kept = view.map(|view| view.place(file.path));
        for path in [link, inside].into_iter().chain(kept) {
            let Some(found) = std::fs::metadata(&path).ok().filter(is_mapped) else {
                continue;
            };
            if let Ok(held) = File::open(&path) {
                let path = PathBuf::from(format!("/proc/self/fd/{}", held.as_raw_fd()));
                let stamp = stamp(&found);
                return (Some(Place { path, stamp }), Some(held));
            }
        }
        (None, None)
    }
}
