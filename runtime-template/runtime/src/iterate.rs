//! Attached iterators → every object of theirs, once; their records come out of the ring buffer on the way.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::attach::Attachment;
use crate::poll::{Ending, Records};
use crate::signal::Signals;
use crate::{Context, Error};

/// What is done about a signal that does not end the run.
type OnSignal<'a> = dyn FnMut(libc::c_int) -> Result<(), Error> + 'a;

/// Reads the iterators among the attachments to their ends; what ended the run before that.
pub fn read_all(
    attachments: &[Attachment],
    records: &Records<'_, '_, '_>,
    signals: &Signals,
    on_signal: &mut OnSignal<'_>,
) -> Result<Option<Ending>, Error> {
    for attachment in attachments {
        if let Attachment::Iterator(link) = attachment {
            let ended = read(link, records, signals, on_signal).context(|| "read an iterator")?;
            if ended.is_some() {
                return Ok(ended);
            }
        }
    }
    Ok(None)
}

/// The program writes a byte for each object, and the kernel stops when what was asked for is full.
fn read(
    link: &OwnedFd,
    records: &Records<'_, '_, '_>,
    signals: &Signals,
    on_signal: &mut OnSignal<'_>,
) -> Result<Option<Ending>, Error> {
    // SAFETY: an open link of an iterator; no flags.
    let reader = unsafe { libbpf_sys::bpf_iter_create(link.as_raw_fd()) };
    if reader < 0 {
        return Err(std::io::Error::from_raw_os_error(-reader)).context(|| "bpf_iter_create");
    }
    // SAFETY: the call succeeded, so the descriptor is open and ours alone.
    let reader = unsafe { OwnedFd::from_raw_fd(reader) };
    let mut bytes = [0u8; OBJECTS];
    let limit = (records.size() / ROOM).clamp(1, OBJECTS);
    loop {
        // SAFETY: room for `limit` bytes.
        let count = unsafe { libc::read(reader.as_raw_fd(), bytes.as_mut_ptr().cast(), limit) };
        let error = std::io::Error::last_os_error();
        if let Some(ended) = records.take()? {
            return Ok(Some(ended));
        }
        match (count, error.raw_os_error()) {
            (0, _) => return Ok(None),
            (1.., _) => {}
            // A million objects that the program skipped.
            (_, Some(libc::EAGAIN | libc::EINTR)) => {}
            _ => return Err(error).context(|| "read"),
        }
        if let Some(signal) = signals.next() {
            if signals.is_ending(signal) {
                return Ok(Some(Ending::Signal));
            }
            on_signal(signal)?;
        }
    }
}

/// The most objects between two looks at the ring buffer, and the bytes of it for each of them.
const OBJECTS: usize = 64;
const ROOM: usize = 8 << 10;
