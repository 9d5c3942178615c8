//! SIGINT, SIGTERM, SIGHUP and those of `self` probes → a descriptor that the poll loop waits on.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::Error;
use crate::target::clock_ns;

/// Signals that are blocked and readable.
pub struct Signals {
    fd: OwnedFd,
    /// Those that end a run.
    ending: Vec<libc::c_int>,
}

impl Signals {
    /// Blocks the signals; to be called after a child was forked, which inherits the mask. Those of `traced` don't end
    /// the run.
    pub fn block(traced: &[libc::c_int]) -> Result<Self, Error> {
        let mut ending = ending();
        ending.retain(|signal| !traced.contains(signal));
        let set = set_of(ending.iter().chain(traced));
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
        Ok(Signals { fd, ending })
    }

    #[must_use]
    pub fn fd(&self) -> i32 {
        self.fd.as_raw_fd()
    }

    /// Takes the next one that has come, without waiting.
    #[must_use]
    pub fn next(&self) -> Option<libc::c_int> {
        let mut about = std::mem::MaybeUninit::<libc::signalfd_siginfo>::uninit();
        let size = size_of::<libc::signalfd_siginfo>();
        // SAFETY: room for one record, which a read fills whole or not at all.
        unsafe {
            let count = libc::read(self.fd(), about.as_mut_ptr().cast(), size);
            (usize::try_from(count) == Ok(size))
                .then(|| about.assume_init().ssi_signo.cast_signed())
        }
    }

    /// Whether a signal ends the run.
    #[must_use]
    pub fn is_ending(&self, signal: libc::c_int) -> bool {
        self.ending.contains(&signal)
    }

    /// From here on another signal ends the process at once, with status 130: results are being printed. Not in the
    /// first half second: `timeout` signals its child and then the group that the child is in.
    pub fn end_at_once(&self) {
        const GRACE: u64 = 500_000_000;
        static FIRST: AtomicU64 = AtomicU64::new(0);
        extern "C" fn leave(_: libc::c_int) {
            if clock_ns(libc::CLOCK_MONOTONIC) - FIRST.load(Ordering::Relaxed) > GRACE {
                // SAFETY: _exit may be called in a signal handler, as clock_gettime may.
                unsafe { libc::_exit(130) }
            }
        }
        FIRST.store(clock_ns(libc::CLOCK_MONOTONIC), Ordering::Relaxed);
        let handler: extern "C" fn(libc::c_int) = leave;
        // What has come so far is what ended the run.
        let mut waiting = [0u8; 1024];
        // SAFETY: `waiting` has room for whole records; the handler only calls _exit.
        unsafe {
            while libc::read(self.fd(), waiting.as_mut_ptr().cast(), waiting.len()) > 0 {}
            for signal in &self.ending {
                libc::signal(*signal, handler as libc::sighandler_t);
            }
            let set = set_of(&self.ending);
            libc::sigprocmask(libc::SIG_UNBLOCK, &set, std::ptr::null_mut());
        }
    }
}

/// SIGHUP is left ignored where it is (`nohup`). SIGINT is not: a shell ignores it for whatever runs in the background.
fn ending() -> Vec<libc::c_int> {
    // SAFETY: a null pointer asks for the present action, for which all zeroes is a valid place.
    let hangup_ignored = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(libc::SIGHUP, std::ptr::null(), &mut action) == 0
            && action.sa_sigaction == libc::SIG_IGN
    };
    let mut signals = vec![libc::SIGINT, libc::SIGTERM];
    if !hangup_ignored {
        signals.push(libc::SIGHUP);
    }
    signals
}

fn set_of<'a>(signals: impl IntoIterator<Item = &'a libc::c_int>) -> libc::sigset_t {
    // SAFETY: a set is plain bits, and sigemptyset makes it valid.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        for signal in signals {
            libc::sigaddset(&mut set, *signal);
        }
        set
    }
}
