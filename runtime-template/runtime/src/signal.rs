//! SIGINT, SIGTERM, SIGHUP → a descriptor that the poll loop waits on.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::Error;

/// The signals that end a run, blocked and readable.
pub struct Signals {
    fd: OwnedFd,
}

impl Signals {
    /// Blocks the signals; to be called after a child was forked, which inherits the mask.
    pub fn block() -> Result<Self, Error> {
        let set = ending();
        // SAFETY: `set` is a valid set.
        let fd = unsafe {
            libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
            libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
        };
        if fd < 0 {
            return Err(Error::last_os("signalfd"));
        }
        // SAFETY: the call succeeded, so the descriptor is open and ours alone.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Signals { fd })
    }

    #[must_use]
    pub fn fd(&self) -> i32 {
        self.fd.as_raw_fd()
    }

    /// From here on another signal ends the process at once, with status 130: results are being printed.
    pub fn end_at_once(self) {
        extern "C" fn leave(_: libc::c_int) {
            // SAFETY: _exit may be called in a signal handler.
            unsafe { libc::_exit(130) }
        }
        let handler: extern "C" fn(libc::c_int) = leave;
        // What has come so far is what ended the run.
        let mut waiting = [0u8; 1024];
        // SAFETY: `waiting` has room for whole records; the handler only calls _exit.
        unsafe {
            while libc::read(self.fd(), waiting.as_mut_ptr().cast(), waiting.len()) > 0 {}
            for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
                libc::signal(signal, handler as libc::sighandler_t);
            }
            libc::sigprocmask(libc::SIG_UNBLOCK, &ending(), std::ptr::null_mut());
        }
    }
}

fn ending() -> libc::sigset_t {
    // SAFETY: a set is plain bits, and sigemptyset makes it valid.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            libc::sigaddset(&mut set, signal);
        }
        set
    }
}
