//! /tmp/perf-PID.map, which run-time compilers write → names of the code they made.
//!
//! Lines are `START SIZE NAME`, numbers in hex (tools/perf/Documentation/jit-interface.txt). The file is kept open, so
//! that it can be read after the process's end, and read on as it grows.

use std::fs::{File, Metadata, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::rc::Rc;

use super::ranges::Ranges;
use super::views::View;

/// A process's perf map.
#[derive(Debug)]
pub struct PerfMap {
    file: File,
    device: u64,
    inode: u64,
    /// Bytes taken in so far.
    read: u64,
    names: Ranges<Function>,
}

#[derive(Clone, Debug)]
struct Function {
    start: u64,
    name: Rc<str>,
}

/// Bytes read of a map at most.
const MAX_SIZE: u64 = 256 << 20;

impl PerfMap {
    /// The map of a live process, if it has written one.
    pub fn open(process: u32) -> Option<Self> {
        let writer = Writer::of(process)?;
        Self::at(
            format!("/proc/{process}/root{}", writer.path()).into(),
            writer,
        )
    }

    /// That of a process that has ended, where it saw files as this process does or in another view.
    pub fn left_by(writer: Writer, view: Option<&View>) -> Option<Self> {
        let path = writer.path();
        Self::at(
            view.map_or(PathBuf::from(&path), |view| view.place(&path)),
            writer,
        )
    }

    /// The file is in a directory that anyone may write: only a regular file of the process's own user, or of root,
    /// counts.
    fn at(path: PathBuf, writer: Writer) -> Option<Self> {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(path)
            .ok()?;
        let found = file.metadata().ok()?;
        if !found.is_file() || ![0, writer.user].contains(&found.uid()) {
            return None;
        }
        Some(Self::of(file, &found))
    }

    fn of(file: File, found: &Metadata) -> Self {
        PerfMap {
            file,
            device: found.dev(),
            inode: found.ino(),
            read: 0,
            names: Ranges::default(),
        }
    }

    /// Then the one that was read before is as good, and has been read.
    pub fn is_same_file(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }

    /// The function at an address, and the offset in it; of code that was replaced the newer one.
    pub fn find(&mut self, address: u64) -> Option<(String, u64)> {
        // A map that can't be read names less.
        let _ = self.read_on();
        let function = self.names.get(address)?;
        Some((function.name.to_string(), address - function.start))
    }

    /// Takes in the lines that were added.
    fn read_on(&mut self) -> std::io::Result<()> {
        let size = self.file.metadata()?.len().min(MAX_SIZE);
        let mut rest = vec![0; 64 << 10];
        let mut kept = 0;
        let mut at = self.read;
        while at < size {
            if kept == rest.len() {
                rest.resize(2 * kept, 0);
            }
            let count = self.file.read_at(&mut rest[kept..], at)?;
            if count == 0 {
                break;
            }
            at += count as u64;
            let have = kept + count;
            let end = rest[..have].iter().rposition(|byte| *byte == b'\n');
            let end = end.map_or(0, |newline| newline + 1);
            for line in rest[..end].split(|byte| *byte == b'\n') {
                self.take(line);
            }
            self.read += end as u64;
            rest.copy_within(end..have, 0);
            kept = have - end;
        }
        Ok(())
    }

    /// A line that can't be read is left out.
    fn take(&mut self, line: &[u8]) -> Option<()> {
        let line = String::from_utf8_lossy(line);
        let (start, line) = line.split_once(' ')?;
        let (size, name) = line.split_once(' ')?;
        let hex = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok();
        let start = hex(start)?;
        let function = Function {
            start,
            name: name.trim().into(),
        };
        let end = start.checked_add(hex(size)?)?;
        self.names.insert(start, end, function);
        Some(())
    }
}

/// Who writes a map: what tells which one is a process's, also after its end.
#[derive(Clone, Copy, Debug)]
pub struct Writer {
    /// The process's id in its own pid namespace.
    pub id: u32,
    user: u32,
}

impl Writer {
    /// A process that was not waited for yet.
    pub fn of(process: u32) -> Option<Self> {
        Some(Writer {
            id: inner_id(process)?,
            user: std::fs::metadata(format!("/proc/{process}")).ok()?.uid(),
        })
    }

    fn path(self) -> String {
        format!("/tmp/perf-{}.map", self.id)
    }
}

/// The id of a process in its own pid namespace: the last one of `NStgid` (Linux 4.1).
fn inner_id(process: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let ids = status.lines().find_map(|line| line.strip_prefix("NStgid:"));
    match ids {
        Some(ids) => ids.split_ascii_whitespace().next_back()?.parse().ok(),
        None => Some(process),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn maps_grow() {
        let path = std::env::temp_dir().join(format!("btc-perf-map-{}", std::process::id()));
        let mut written = File::create(&path).unwrap();
        let file = File::open(&path).unwrap();
        let found = file.metadata().unwrap();
        let mut map = PerfMap::of(file, &found);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(map.find(0x1000), None);
        writeln!(written, "1000 20 LazyCompile:~f a.js:1\nnonsense").unwrap();
        write!(written, "2000 10 half").unwrap();
        let found = map.find(0x101f);
        assert_eq!(found, Some(("LazyCompile:~f a.js:1".into(), 0x1f)));
        assert_eq!(map.find(0x1020), None);
        assert_eq!(map.find(0x2000), None);
        writeln!(written, " way\n0x1000 0x10 g").unwrap();
        assert_eq!(map.find(0x2001), Some(("half way".into(), 1)));
        assert_eq!(map.find(0x1001), Some(("g".into(), 1)));
        assert_eq!(map.find(0x1010).unwrap().0, "LazyCompile:~f a.js:1");
    }
}
