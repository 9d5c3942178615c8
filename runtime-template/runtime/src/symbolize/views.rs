//! Processes that see other files than this one → descriptors by which their files can be opened after their end.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::rc::{Rc, Weak};

/// What a path means to a process: its root directory in its mount namespace.
#[derive(Debug)]
pub struct View {
    root: File,
    /// Keeps the namespace's mounts when the last process in it has ended; the root alone keeps none of those below.
    _namespace: File,
}

impl View {
    /// Where a file of the process is for us. Paths of mappings have no symbolic links, which would lead out.
    pub fn place(&self, path: &str) -> PathBuf {
        format!("/proc/self/fd/{}{path}", self.root.as_raw_fd()).into()
    }
}

/// How a process sees files.
#[derive(Debug)]
pub enum Sight {
    AsWeDo,
    Otherwise(Rc<View>),
    /// It has ended, or may not be looked at.
    Unknown,
}

/// The views that processes hold.
#[derive(Debug)]
pub struct Views {
    own: Option<Key>,
    held: HashMap<Key, Weak<View>>,
}

/// Device and inode of the mount namespace and of the root directory.
type Key = [(u64, u64); 2];

/// Views held at most, two descriptors each; beyond, names of processes that have ended are missing.
const MAX_VIEWS: usize = 64;

impl Views {
    pub fn new() -> Self {
        Views {
            own: key(std::process::id()),
            held: HashMap::new(),
        }
    }

    /// How a process that may be gone sees files now.
    pub fn of(&mut self, process: u32) -> Sight {
        let Some(key) = key(process) else {
            return Sight::Unknown;
        };
        if self.own == Some(key) {
            return Sight::AsWeDo;
        }
        if let Some(view) = self.held.get(&key).and_then(Weak::upgrade) {
            return Sight::Otherwise(view);
        }
        self.held.retain(|_, view| view.strong_count() > 0);
        match View::open(process) {
            Some(view) if self.held.len() < MAX_VIEWS => {
                let view = Rc::new(view);
                self.held.insert(key, Rc::downgrade(&view));
                Sight::Otherwise(view)
            }
            _ => Sight::Unknown,
        }
    }
}

impl View {
    fn open(process: u32) -> Option<View> {
        // A process that has ended, but was not waited for, has neither.
        let namespace = File::open(format!("/proc/{process}/ns/mnt")).ok()?;
        let root = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_PATH | libc::O_DIRECTORY)
            .open(format!("/proc/{process}/root"))
            .ok()?;
        Some(View {
            root,
            _namespace: namespace,
        })
    }
}

fn key(process: u32) -> Option<Key> {
    let of = |name| {
        let found = std::fs::metadata(format!("/proc/{process}/{name}")).ok()?;
        Some((found.dev(), found.ino()))
    };
    Some([of("ns/mnt")?, of("root")?])
}
