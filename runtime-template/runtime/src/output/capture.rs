//! Output kept in memory, with what went wrong among it: for tests, which show it only where they fail.

use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::rc::Rc;

use crate::Error;
use crate::datum::Datum;
use crate::output::text::TextOutput;
use crate::output::{Buffering, Elements, Output, Severity, Sink, Trouble};

/// A handle; its clones share what was printed.
#[derive(Clone, Default)]
pub struct Capture {
    text: Rc<RefCell<Vec<u8>>>,
    errors: Rc<Cell<usize>>,
}

impl Capture {
    /// What was printed, and how many errors (`errorf`) were among it.
    #[must_use]
    pub fn taken(&self) -> (Vec<u8>, usize) {
        (self.text.take(), self.errors.take())
    }

    fn as_text(&self) -> TextOutput {
        let kept = Kept(self.text.clone());
        TextOutput::new(Sink::with(Box::new(kept), "memory".into(), Buffering::None))
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Memory takes everything.
        let _ = writeln!(self.text.borrow_mut(), "{line}");
    }
}

struct Kept(Rc<RefCell<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Output for Capture {
    fn attached(&mut self, _: usize) -> Result<(), Error> {
        Ok(())
    }

    fn printf(&mut self, text: &[u8]) -> Result<(), Error> {
        self.as_text().printf(text)
    }

    fn value(&mut self, value: &Datum<'_>) -> Result<(), Error> {
        self.as_text().value(value)
    }

    fn map(&mut self, name: &str, elements: &Elements<'_>) -> Result<(), Error> {
        self.as_text().map(name, elements)
    }

    fn time(&mut self, text: &[u8]) -> Result<(), Error> {
        self.as_text().time(text)
    }

    fn cat(&mut self, text: &[u8]) -> Result<(), Error> {
        self.as_text().cat(text)
    }

    fn join(&mut self, text: &[u8]) -> Result<(), Error> {
        self.as_text().join(text)
    }

    fn system(&mut self, text: &[u8]) -> Result<(), Error> {
        self.as_text().system(text)
    }

    fn message(&mut self, severity: Severity, place: &str, text: &[u8]) -> Result<(), Error> {
        if severity == Severity::Error {
            self.errors.set(self.errors.get() + 1);
        }
        let (label, text) = (severity.label(), String::from_utf8_lossy(text));
        self.line(format_args!("{place}: {label}: {text}"));
        Ok(())
    }

    fn trouble(&mut self, trouble: &Trouble<'_>) -> Result<(), Error> {
        self.line(format_args!("{trouble}"));
        Ok(())
    }

    fn end(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn raw(&mut self, text: &[u8]) -> Result<(), Error> {
        self.as_text().raw(text)
    }

    fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }
}
