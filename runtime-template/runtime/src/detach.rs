//! Attachments → nothing attached, without making the user wait.
//!
//! Closing a link stops its program, and since Linux 6.13 waits for a grace period (35 ms) that any number of
//! threads can wait for together. Closing the perf event of a tracepoint behind it waits for another one under a lock:
//! 75 ms each, half a minute for all system calls. So links are closed first, side by side, then the results are
//! printed, and the idle events, which run nothing any more, are left to a process that does nothing but close them:
//! descriptors that were inherited close with the last holder.

use std::os::fd::{AsRawFd, OwnedFd};

use crate::attach::Attachment;

/// Perf events without programs.
pub struct Idle(Vec<OwnedFd>);

/// Stops every program. Where the kernel has no perf links (before 5.15), those programs run until [`Idle::release`].
pub fn stop(attachments: Vec<Attachment>) -> Idle {
    let mut events = Vec::new();
    let mut links = Vec::new();
    for attachment in attachments {
        match attachment {
            Attachment::Link(link) | Attachment::Iterator(link) => links.push(link),
            Attachment::Pinned { .. } => {}
            Attachment::Libbpf(link) => drop(link),
            Attachment::Perf { link, event } => {
                links.extend(link);
                events.push(event);
            }
        }
    }
    close_together(links);
    Idle(events)
}

/// Closes the links from several threads; from this one where no thread is to be had.
fn close_together(mut links: Vec<OwnedFd>) {
    const THREADS: usize = 64;
    // A thread only closes: two pages of stack would do, and the library asks for some room of its own.
    const STACK: usize = 32 << 10;
    let share = links.len().div_ceil(THREADS);
    let mut threads = Vec::new();
    while links.len() > share {
        let part = links.split_off(links.len() - share);
        let builder = std::thread::Builder::new().stack_size(STACK);
        threads.extend(builder.spawn(move || drop(part)));
    }
    drop(links);
    for thread in threads {
        // A thread that closes can't panic.
        let _ = thread.join();
    }
}

impl Idle {
    /// Closes the events: a few by ourselves where that is quick, more in a process of their own.
    pub fn release(self) {
        if self.0.is_empty() {
            return;
        }
        // SAFETY: the child makes only async-signal-safe calls.
        let (parent, pid) = unsafe { (libc::getpid(), libc::fork()) };
        if pid != 0 {
            // The parent's descriptors close with it (or, without a child, right here, slowly).
            if pid > 0 {
                self.0.into_iter().for_each(std::mem::forget);
            }
            return;
        }
        let mut kept: Vec<i32> = self.0.iter().map(AsRawFd::as_raw_fd).collect();
        kept.sort_unstable();
        // SAFETY: closes what this process does not need, so that no reader waits for it, then ends: killed when the
        // parent is gone, for whoever closes a descriptor last is the one who waits.
        unsafe {
            libc::setsid();
            let mut first: i64 = 0;
            for fd in kept {
                if i64::from(fd) > first {
                    libc::syscall(libc::SYS_close_range, first, i64::from(fd) - 1, 0);
                }
                first = i64::from(fd) + 1;
            }
            libc::syscall(libc::SYS_close_range, first, i64::from(u32::MAX), 0);
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            while libc::getppid() == parent {
                libc::pause();
            }
            libc::_exit(0)
        }
    }
}
