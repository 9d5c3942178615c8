//! Bytes → a file or standard output, as soon as `-B` says.

use std::fs::File;
use std::io::{self, Write};

use crate::Error;

/// When output reaches its reader (`-B`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Buffering {
    /// After every write.
    None,
    /// After every write that ends a line.
    Line,
    /// When the ring buffer runs empty, and at the end.
    Full,
}

/// Bytes kept at most before they are written all the same.
const ROOM: usize = 64 << 10;

/// A buffered writer of results.
pub struct Sink {
    writer: Box<dyn Write>,
    name: String,
    buffering: Buffering,
    buffer: Vec<u8>,
    failed: bool,
}

impl Sink {
    /// `file` with the name that errors call it by; standard output without one.
    #[must_use]
    pub fn new(file: Option<(File, String)>, buffering: Buffering) -> Self {
        let (writer, name): (Box<dyn Write>, _) = match file {
            Some((file, name)) => (Box::new(file), name),
            None => (Box::new(Unbuffered), "standard output".to_owned()),
        };
        Sink::with(writer, name, buffering)
    }

    /// Any writer, with the name that errors call it by.
    #[must_use]
    pub fn with(writer: Box<dyn Write>, name: String, buffering: Buffering) -> Self {
        Sink {
            writer,
            name,
            buffering,
            buffer: Vec::new(),
            failed: false,
        }
    }

    /// Takes what `fill` appends.
    pub fn write(&mut self, fill: impl FnOnce(&mut Vec<u8>)) -> Result<(), Error> {
        fill(&mut self.buffer);
        let due = match self.buffering {
            Buffering::None => true,
            Buffering::Line => self.buffer.ends_with(b"\n"),
            Buffering::Full => false,
        };
        if due || self.buffer.len() >= ROOM {
            self.flush()?;
        }
        Ok(())
    }

    /// Hands everything on. After a failure nothing more is written: the first error is the one that is told.
    pub fn flush(&mut self) -> Result<(), Error> {
        if self.buffer.is_empty() || self.failed {
            self.buffer.clear();
            return Ok(());
        }
        let written = self.writer.write_all(&self.buffer);
        self.buffer.clear();
        written.map_err(|error| {
            self.failed = true;
            Error::output(format!("write to {}", self.name), error)
        })
    }
}

/// Standard output without the line buffer of the standard library.
struct Unbuffered;

impl Write for Unbuffered {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // SAFETY: the slice is valid for its length.
        let count = unsafe { libc::write(1, bytes.as_ptr().cast(), bytes.len()) };
        usize::try_from(count).map_err(|_| io::Error::last_os_error())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Rc<RefCell<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn buffering() {
        let written = |buffering, text: &'static [u8]| {
            let kept = Kept::default();
            let mut sink = Sink::with(Box::new(kept.clone()), "kept".into(), buffering);
            sink.write(|out| out.extend_from_slice(text)).unwrap();
            kept.0.take()
        };
        assert_eq!(written(Buffering::None, b"a"), b"a");
        assert_eq!(written(Buffering::Line, b"a"), b"");
        assert_eq!(written(Buffering::Line, b"a\n"), b"a\n");
        assert_eq!(written(Buffering::Full, b"a\n"), b"");
        let large = vec![b'x'; ROOM];
        assert_eq!(written(Buffering::Full, large.leak()).len(), ROOM);
    }

    struct Full;

    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_first_failure_is_told() {
        let mut sink = Sink::with(Box::new(Full), "out".into(), Buffering::None);
        let error = sink.write(|out| out.push(b'a')).unwrap_err();
        assert!(error.to_string().starts_with("write to out: "));
        sink.write(|out| out.push(b'a')).unwrap();
    }
}
