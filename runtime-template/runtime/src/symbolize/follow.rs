//! A process → what it and its children map, fork and execute from here on, as the kernel records it for perf.
//!
//! Maps with stacks are printed when their processes are gone, and /proc knows nothing of those. Events that count
//! nothing record each executable mapping with its file; no process is stopped or changed, as ptrace would.

use std::io::{Error, Result};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering, fence};

use perf_event_open_sys as sys;
use sys::bindings::{
    PERF_COUNT_SW_DUMMY, PERF_FLAG_FD_CLOEXEC, PERF_RECORD_COMM, PERF_RECORD_FORK,
    PERF_RECORD_MISC_COMM_EXEC, PERF_RECORD_MMAP2, PERF_SAMPLE_TIME, PERF_TYPE_SOFTWARE,
    perf_event_attr, perf_event_mmap_page,
};

use crate::target::online_cpus;

/// Something that changes what is mapped in a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Nanoseconds of the kernel's perf clock.
    pub time: u64,
    pub process: u32,
    pub change: Change,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Map {
        start: u64,
        end: u64,
        offset: u64,
        device: (u32, u32),
        inode: u64,
        path: String,
    },
    /// Its maps are a copy of its parent's.
    Fork { parent: u32 },
    /// Another program: what was mapped is gone.
    Exec,
}

/// Events of a process and its children, one buffer for each CPU.
#[derive(Debug)]
pub struct Follow {
    epoll: OwnedFd,
    buffers: Vec<Buffer>,
    /// Of further threads; they write to the buffers.
    _others: Vec<OwnedFd>,
}

/// Pages of a buffer: 250 mappings with common path lengths.
const PAGES: usize = 8;
/// Events opened at most: one for each thread on each CPU. Beyond, only the first thread and its children are followed.
const MAX_EVENTS: usize = 1024;

impl Follow {
    /// Starts to record; an error where the kernel can't.
    pub fn start(process: u32) -> Result<Self> {
        let cpus = online_cpus().map_err(|_| Error::from(std::io::ErrorKind::Unsupported))?;
        let mut threads = threads(process);
        if threads.len() * cpus.len() > MAX_EVENTS {
            threads.clear();
        }
        // SAFETY: plain integers.
        let epoll = owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        let mut buffers = Vec::new();
        let mut others = Vec::new();
        for cpu in cpus {
            let buffer = Buffer::map(open(process as i32, cpu)?)?;
            watch(&epoll, &buffer.event)?;
            for thread in &threads {
                // One that has just ended is not missed.
                others.extend(open(*thread, cpu).and_then(|event| redirect(event, &buffer)));
            }
            buffers.push(buffer);
        }
        Ok(Follow {
            epoll,
            buffers,
            _others: others,
        })
    }

    /// Readable when something has happened since the last call of [`Follow::take`].
    pub fn fd(&self) -> RawFd {
        self.epoll.as_raw_fd()
    }

    /// What happened since the last call, in order.
    pub fn take(&mut self) -> Vec<Event> {
        let mut woken = [libc::epoll_event { events: 0, u64: 0 }; 64];
        // SAFETY: `woken` has room for so many. This only makes the descriptor unreadable again.
        unsafe {
            libc::epoll_wait(self.fd(), woken.as_mut_ptr(), woken.len() as i32, 0);
        }
        let mut events = Vec::new();
        for buffer in &mut self.buffers {
            buffer.take(&mut events);
        }
        events.sort_by_key(|event| event.time);
        events
    }
}

/// The threads of a process beside its first.
fn threads(process: u32) -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{process}/task")) else {
        return Vec::new();
    };
    (entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()))
        .filter(|thread| *thread != process as i32)
        .collect()
}

/// An event that counts nothing and records mappings (MMAP2: Linux 3.16), forks and programs of a thread and, from
/// here on, its children. Inheriting events have buffers only with a CPU.
fn open(thread: i32, cpu: i32) -> Result<OwnedFd> {
    let mut attribute = perf_event_attr {
        type_: PERF_TYPE_SOFTWARE,
        size: size_of::<perf_event_attr>() as u32,
        config: u64::from(PERF_COUNT_SW_DUMMY),
        sample_type: u64::from(PERF_SAMPLE_TIME),
        ..Default::default()
    };
    attribute.set_inherit(1);
    attribute.set_exclude_kernel(1);
    attribute.set_mmap(1);
    attribute.set_mmap2(1);
    attribute.set_comm(1);
    attribute.set_comm_exec(1);
    attribute.set_task(1);
    attribute.set_sample_id_all(1);
    attribute.set_watermark(1);
    // The reader is woken by everything: what was mapped can be opened as long as the process lives.
    attribute.__bindgen_anon_2.wakeup_watermark = 1;
    let flags = libc::c_ulong::from(PERF_FLAG_FD_CLOEXEC);
    // SAFETY: `attribute` is valid and says its own size.
    owned(unsafe { sys::perf_event_open(&mut attribute, thread, cpu, -1, flags) })
}

fn redirect(event: OwnedFd, buffer: &Buffer) -> Result<OwnedFd> {
    let request = sys::bindings::SET_OUTPUT as _;
    // SAFETY: both are open perf events.
    let done = unsafe { libc::ioctl(event.as_raw_fd(), request, buffer.event.as_raw_fd()) };
    if done < 0 {
        Err(Error::last_os_error())
    } else {
        Ok(event)
    }
}

/// Edge-triggered: an event of a process that has ended hangs up for good, and is told once.
fn watch(epoll: &OwnedFd, event: &OwnedFd) -> Result<()> {
    let mut wanted = libc::epoll_event {
        events: (libc::EPOLLIN | libc::EPOLLET) as u32,
        u64: 0,
    };
    let (epoll, event) = (epoll.as_raw_fd(), event.as_raw_fd());
    // SAFETY: both descriptors are open; `wanted` is valid.
    let added = unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, event, &mut wanted) };
    if added < 0 {
        Err(Error::last_os_error())
    } else {
        Ok(())
    }
}

fn owned(fd: RawFd) -> Result<OwnedFd> {
    if fd < 0 {
        return Err(Error::last_os_error());
    }
    // SAFETY: the call succeeded, so the descriptor is open and ours alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn page_size() -> usize {
    // SAFETY: looks a number up.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

fn data_size() -> usize {
    PAGES * page_size()
}

/// An event's ring buffer (perf_event_open(2)): a page of positions, then the data.
#[derive(Debug)]
struct Buffer {
    event: OwnedFd,
    base: *mut libc::c_void,
}

impl Buffer {
    fn map(event: OwnedFd) -> Result<Self> {
        // SAFETY: a new mapping of our own; the result is checked.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                page_size() + data_size(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                event.as_raw_fd(),
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(Error::last_os_error());
        }
        Ok(Buffer { event, base })
    }

    fn take(&mut self, events: &mut Vec<Event>) {
        let positions = self.base.cast::<perf_event_mmap_page>();
        // SAFETY: the kernel's page of positions, mapped as long as `self` lives; both are aligned u64, which the
        // kernel accesses atomically.
        let (head, tail) = unsafe {
            (
                AtomicU64::from_ptr(&raw mut (*positions).data_head),
                AtomicU64::from_ptr(&raw mut (*positions).data_tail),
            )
        };
        let end = head.load(Ordering::Acquire);
        let mut at = tail.load(Ordering::Relaxed);
        while at < end {
            // perf_event_header: u32 type, u16 flags, u16 size with the header.
            let header = self.bytes(at, 8);
            let kind = u32_at(&header, 0).unwrap_or(0);
            let flags = u16::from_le_bytes([header[4], header[5]]);
            let size = u64::from(u16::from_le_bytes([header[6], header[7]]));
            if size < 8 {
                break;
            }
            let record = self.bytes(at + 8, size as usize - 8);
            events.extend(parse(kind, flags, &record));
            at += size;
        }
        // The kernel may write over what was read from here on.
        fence(Ordering::SeqCst);
        tail.store(end, Ordering::Release);
    }

    /// Bytes at a position, which wraps around.
    fn bytes(&self, at: u64, count: usize) -> Vec<u8> {
        let size = data_size();
        let start = at as usize % size;
        let first = count.min(size - start);
        let mut bytes = vec![0; count];
        // SAFETY: inside the data, which is as long as `size`; what lies before the head is written, and not written
        // again before the tail moves. A record is shorter than the buffer.
        unsafe {
            let data = self.base.cast::<u8>().add(page_size());
            data.add(start)
                .copy_to_nonoverlapping(bytes.as_mut_ptr(), first);
            data.copy_to_nonoverlapping(bytes.as_mut_ptr().add(first), (count - first).min(size));
        }
        bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: mapped with this size; no reference into it is left.
        unsafe { libc::munmap(self.base, page_size() + data_size()) };
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// A record after its header; each ends with its time (PERF_SAMPLE_TIME with sample_id_all).
fn parse(kind: u32, flags: u16, record: &[u8]) -> Option<Event> {
    let time = u64_at(record, record.len().checked_sub(8)?)?;
    let process = u32_at(record, 0)?;
    let change = match kind {
        // pid, tid, address, length, file offset, major, minor, inode, its generation, protection, flags, path.
        PERF_RECORD_MMAP2 => {
            let path = record.get(64..record.len() - 8)?;
            let end = path
                .iter()
                .position(|byte| *byte == 0)
                .unwrap_or(path.len());
            let start = u64_at(record, 8)?;
            Change::Map {
                start,
                end: start.checked_add(u64_at(record, 16)?)?,
                offset: u64_at(record, 24)?,
                device: (u32_at(record, 32)?, u32_at(record, 36)?),
                inode: u64_at(record, 40)?,
                path: String::from_utf8_lossy(&path[..end]).into_owned(),
            }
        }
        // pid, parent's pid, tid, parent's tid: of a new thread, the pids are the same.
        PERF_RECORD_FORK if u32_at(record, 4)? != process => Change::Fork {
            parent: u32_at(record, 4)?,
        },
        PERF_RECORD_COMM if u32::from(flags) & PERF_RECORD_MISC_COMM_EXEC != 0 => Change::Exec,
        _ => return None,
    };
    Some(Event {
        time,
        process,
        change,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Needs perf events of processes, which unprivileged users mostly have not.
    #[test]
    fn root_a_child_and_its_program_are_followed() {
        let mut follow = Follow::start(std::process::id()).unwrap();
        let mut child = std::process::Command::new("/bin/true").spawn().unwrap();
        child.wait().unwrap();
        let events: Vec<_> = (follow.take().into_iter())
            .filter(|event| event.process == child.id())
            .collect();
        assert!(
            events.iter().any(|event| event.change == Change::Exec),
            "{events:?}"
        );
        let mapped = |name: &str| {
            events.iter().any(|event| match &event.change {
                Change::Map { path, inode, .. } => path.ends_with(name) && *inode != 0,
                _ => false,
            })
        };
        assert!(mapped("/true") && mapped("libc.so.6"), "{events:?}");
        assert!(follow.take().is_empty());
    }
}
