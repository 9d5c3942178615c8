//! Ring buffer, signals and the traced process → records to the session, until something ends the run.

use std::cell::RefCell;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use libbpf_rs::{AsRawLibbpf, Map, RingBuffer, RingBufferBuilder};

use crate::packets::Packets;
use crate::report::{Flow, Session};
use crate::signal::Signals;
use crate::target::clock_ns;
use crate::{Context, Error};

/// What ended the polling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The script called `exit(status)`.
    Exit(i32),
    Signal,
    /// The `-p` or `-c` process is gone.
    Process,
    /// Nothing is left to wait for.
    Done,
}

/// Records between two looks at signals and processes.
const BATCH: usize = 4096;

/// Records that follow one another faster than this, in nanoseconds, are left to gather.
const CLOSE: u64 = 1_000_000;

/// What the ring buffer's callback works on.
pub struct State<'s, 'o> {
    session: &'s mut Session<'o>,
    /// The script asked to exit before these records came.
    discard: bool,
    exit: Option<i32>,
    error: Option<Error>,
}

impl<'s, 'o> State<'s, 'o> {
    /// A state that nothing has happened to.
    pub fn new(session: &'s mut Session<'o>) -> RefCell<Self> {
        RefCell::new(State {
            session,
            discard: false,
            exit: None,
            error: None,
        })
    }

    /// Takes one record; a negative number stops the consumption after it.
    fn take(&mut self, record: &[u8]) -> i32 {
        if self.discard {
            return 0;
        }
        match self.session.handle_record(record) {
            Ok(Flow::Continue) => 0,
            Ok(Flow::Exit(status)) => {
                self.exit = Some(status);
                -libc::ECANCELED
            }
            Err(error) => {
                self.error = Some(error);
                -libc::ECANCELED
            }
        }
    }
}

/// What a run waits for beside records and signals.
pub struct Watched {
    /// A pidfd of the `-p` or `-c` process.
    pub process: Option<OwnedFd>,
    /// Readable when [`Session::catch_up`] has something to take in: what followed processes map, so that their stacks
    /// have names after their end.
    pub followed: Option<RawFd>,
    /// Readable when a process whose stacks are walked by unwind rows has mapped something.
    pub unwound: Option<RawFd>,
    /// What the output is written to, if that is a pipe.
    pub pipe: Option<RawFd>,
}

/// The ring buffer (a script that reports nothing has none) and its state.
pub struct Records<'c, 's, 'o> {
    buffer: Option<RingBuffer<'c>>,
    packets: Option<&'c dyn Packets>,
    state: &'c RefCell<State<'s, 'o>>,
}

impl<'c, 's, 'o> Records<'c, 's, 'o> {
    /// Maps the ring buffer.
    pub fn open(
        map: Option<&'c Map<'_>>,
        packets: Option<&'c dyn Packets>,
        state: &'c RefCell<State<'s, 'o>>,
    ) -> Result<Self, Error> {
        let Some(map) = map else {
            return Ok(Records {
                buffer: None,
                packets,
                state,
            });
        };
        let what = || "map the ring buffer";
        let mut builder = RingBufferBuilder::new();
        builder
            .add(map, move |record| state.borrow_mut().take(record))
            .context(what)?;
        let buffer = Some(builder.build().context(what)?);
        Ok(Records {
            buffer,
            packets,
            state,
        })
    }

    /// Handles what the ring buffer holds, at most a batch of it. Whether it is empty now.
    fn consume(&self, limit: usize) -> Result<bool, Error> {
        let Some(buffer) = &self.buffer else {
            return Ok(true);
        };
        let count = buffer.consume_raw_n(limit);
        let mut state = self.state.borrow_mut();
        if let Some(error) = state.error.take() {
            return Err(error);
        }
        if count < 0 && count != -libc::ECANCELED {
            let source = std::io::Error::from_raw_os_error(-count);
            return Err(Error::with_source("read the ring buffer", source));
        }
        Ok(state.exit.is_none() && usize::try_from(count).is_ok_and(|count| count < limit))
    }

    /// The session, between two looks at the ring buffer.
    pub fn session<T>(&self, work: impl FnOnce(&mut Session<'o>) -> T) -> T {
        work(self.state.borrow_mut().session)
    }

    /// Handles all that the ring buffer holds; the end of the run if the script asked for it.
    pub fn take(&self) -> Result<Option<Ending>, Error> {
        loop {
            let empty = self.consume(BATCH)?;
            if let Some(status) = self.state.borrow().exit {
                return Ok(Some(Ending::Exit(status)));
            }
            if empty {
                return Ok(None);
            }
        }
    }

    /// Sleeps and handles records until something ends the run. `on_signal` is called for each signal that does not.
    pub fn poll(
        &self,
        signals: &Signals,
        watched: &Watched,
        mut on_signal: impl FnMut(libc::c_int) -> Result<(), Error>,
    ) -> Result<Ending, Error> {
        let Watched {
            process,
            followed,
            unwound,
            pipe,
        } = watched;
        let mut waiting = vec![pollfd(signals.fd())];
        waiting.extend(process.iter().map(|process| pollfd(process.as_raw_fd())));
        let sources = waiting.len();
        waiting.extend(self.buffer.as_ref().map(|buffer| pollfd(buffer.epoll_fd())));
        let captured = waiting.len();
        waiting.extend(self.packets.map(|packets| pollfd(packets.fd())));
        let mappings = waiting.len();
        waiting.extend(followed.map(pollfd));
        let unwinding = waiting.len();
        waiting.extend(unwound.map(pollfd));
        let rest = self.rest();
        let mut last = 0;
        // A pipe has an error where its reader is gone, which is also seen while there is nothing to write.
        let reader = waiting.len();
        waiting.extend(pipe.iter().map(|fd| libc::pollfd {
            events: 0,
            ..pollfd(*fd)
        }));
        let mut empty = false;
        loop {
            if empty {
                self.state.borrow_mut().session.flush()?;
                let now = clock_ns(libc::CLOCK_MONOTONIC);
                if now - last < CLOSE {
                    pause(&mut waiting[..sources], rest)?;
                }
                last = now;
            }
            let timeout = if empty { -1 } else { 0 };
            // SAFETY: the list is valid and of this length.
            let ready = unsafe { libc::poll(waiting.as_mut_ptr(), waiting.len() as _, timeout) };
            if ready < 0 {
                let error = std::io::Error::last_os_error();
                if error.kind() != std::io::ErrorKind::Interrupted {
                    return Err(Error::with_source("poll", error));
                }
                continue;
            }
            if waiting[0].revents != 0
                && let Some(signal) = signals.next()
            {
                if signals.is_ending(signal) {
                    return Ok(Ending::Signal);
                }
                on_signal(signal)?;
            }
            if waiting.get(reader).is_some_and(|pipe| pipe.revents != 0) {
                return Err(Error::broken_pipe());
            }
            if followed.is_some() && waiting[mappings].revents != 0 {
                self.state.borrow_mut().session.catch_up();
            }
            if waiting[captured..mappings].iter().any(|fd| fd.revents != 0) {
                self.consume_packets()?;
            }
            if unwound.is_some() && waiting[unwinding].revents != 0 {
                self.state.borrow_mut().session.catch_up_unwinding();
            }
            empty = self.consume(BATCH)?;
            if let Some(status) = self.state.borrow().exit {
                return Ok(Ending::Exit(status));
            }
            if empty
                && waiting[1..sources]
                    .iter()
                    .any(|process| process.revents != 0)
            {
                return Ok(Ending::Process);
            }
        }
    }

    /// How long records may gather: a program that finds the reader asleep wakes it, which costs more than all else that
    /// it does. In this time 1 GB a second fills half of the buffer.
    fn rest(&self) -> Duration {
        if self.buffer.is_none() {
            return Duration::ZERO;
        }
        Duration::from_nanos(self.size() as u64 / 2).min(Duration::from_nanos(CLOSE / 2))
    }

    /// Bytes of the ring buffer; 0 where there is none.
    pub fn size(&self) -> usize {
        let Some(buffer) = &self.buffer else {
            return 0;
        };
        // SAFETY: as in `produced`.
        unsafe {
            let ring = libbpf_sys::ring_buffer__ring(buffer.as_libbpf_object().as_ptr(), 0);
            usize::try_from(libbpf_sys::ring__size(ring)).unwrap_or(usize::MAX)
        }
    }

    /// Where the producers are: records up to there came before now.
    fn produced(&self) -> u64 {
        let Some(buffer) = &self.buffer else {
            return 0;
        };
        // SAFETY: a live ring buffer manager with one ring.
        unsafe {
            let ring = libbpf_sys::ring_buffer__ring(buffer.as_libbpf_object().as_ptr(), 0);
            libbpf_sys::ring__producer_pos(ring) as u64
        }
    }

    fn consumed(&self) -> u64 {
        let Some(buffer) = &self.buffer else {
            return 0;
        };
        // SAFETY: as in `produced`.
        unsafe {
            let ring = libbpf_sys::ring_buffer__ring(buffer.as_libbpf_object().as_ptr(), 0);
            libbpf_sys::ring__consumer_pos(ring) as u64
        }
    }

    /// After `exit()`: what came before now is dropped.
    pub fn discard(&self) -> Result<(), Error> {
        self.state.borrow_mut().discard = true;
        let drained = self.drain();
        self.state.borrow_mut().discard = false;
        drained.map(|_| ())
    }

    /// Writes the packets that came.
    fn consume_packets(&self) -> Result<(), Error> {
        match self.packets {
            Some(packets) => packets.consume(),
            None => Ok(()),
        }
    }

    /// Handles what came before now, and no more: producers may still run. The status of an `exit()` among it.
    pub fn drain(&self) -> Result<Option<i32>, Error> {
        self.consume_packets()?;
        let end = self.produced();
        let mut status = None;
        self.state.borrow_mut().exit = None;
        while self.consumed() < end {
            let before = self.consumed();
            self.consume(BATCH)?;
            status = self.state.borrow_mut().exit.take().or(status);
            // A record that is reserved and not committed: its producer was stopped.
            if self.consumed() == before {
                break;
            }
        }
        Ok(status)
    }
}

/// Sleeps; a signal or the end of a process ends it early.
fn pause(sources: &mut [libc::pollfd], rest: Duration) -> Result<(), Error> {
    let rest = libc::timespec {
        tv_sec: 0,
        tv_nsec: rest.subsec_nanos().into(),
    };
    // SAFETY: the list is valid and of this length; no mask of signals.
    let ready = unsafe {
        libc::ppoll(
            sources.as_mut_ptr(),
            sources.len() as _,
            &rest,
            std::ptr::null(),
        )
    };
    let error = std::io::Error::last_os_error();
    if ready < 0 && error.kind() != std::io::ErrorKind::Interrupted {
        return Err(Error::with_source("poll", error));
    }
    Ok(())
}

fn pollfd(fd: i32) -> libc::pollfd {
    libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    }
}

/// Standard output, if it is a pipe.
pub fn piped_output() -> Option<RawFd> {
    // SAFETY: all zeroes is a value, and a valid place for the result.
    unsafe {
        let mut about: libc::stat = std::mem::zeroed();
        let found = libc::fstat(libc::STDOUT_FILENO, &mut about) == 0;
        (found && about.st_mode & libc::S_IFMT == libc::S_IFIFO).then_some(libc::STDOUT_FILENO)
    }
}

/// A descriptor that becomes readable when the process ends (Linux 5.3).
pub fn watch_process(pid: i32) -> Result<OwnedFd, Error> {
    // SAFETY: plain integers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    match i32::try_from(fd) {
        // SAFETY: the call succeeded, so the descriptor is open and ours alone.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => {
            let error = std::io::Error::last_os_error();
            Err(Error::with_source(
                format!("process {pid}{}", leader(pid)),
                error,
            ))
        }
    }
}

/// What `pid` is, where it is a thread and not a process.
fn leader(pid: i32) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    (status.lines())
        .find_map(|line| line.strip_prefix("Tgid:")?.trim().parse().ok())
        .filter(|leader: &i32| *leader != pid)
        .map(|leader| format!(" is a thread of process {leader}"))
        .unwrap_or_default()
}
