//! Text output, byte for byte as bpftrace prints it.

use std::io::Write as _;

use crate::Error;
use crate::datum::Datum;
use crate::format::value;
use crate::output::{Elements, Output, Severity, Sink, Trouble};

/// See [`Output`].
pub struct TextOutput {
    sink: Sink,
}

impl TextOutput {
    #[must_use]
    pub fn new(sink: Sink) -> Self {
        TextOutput { sink }
    }

    fn lines(&mut self, text: &[u8]) -> Result<(), Error> {
        self.sink.write(|out| {
            out.extend_from_slice(text);
            out.push(b'\n');
        })
    }
}

/// To standard error, which nothing else of ours buffers. Results reach their reader before what is said of them.
fn say(sink: &mut Sink, line: std::fmt::Arguments<'_>) -> Result<(), Error> {
    sink.flush()?;
    // In one write. Nowhere to say that standard error is closed.
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
    Ok(())
}

impl Output for TextOutput {
    fn attached(&mut self, probes: usize) -> Result<(), Error> {
        let s = if probes == 1 { "" } else { "s" };
        say(&mut self.sink, format_args!("Attached {probes} probe{s}"))
    }

    fn printf(&mut self, text: &[u8]) -> Result<(), Error> {
        self.sink.write(|out| out.extend_from_slice(text))
    }

    fn value(&mut self, datum: &Datum<'_>) -> Result<(), Error> {
        self.sink.write(|out| {
            value::write(datum, out);
            out.push(b'\n');
        })
    }

    fn map(&mut self, name: &str, elements: &Elements<'_>) -> Result<(), Error> {
        for (key, element) in &elements.elements {
            self.sink.write(|out| {
                out.extend_from_slice(name.as_bytes());
                if let Some(key) = key {
                    out.push(b'[');
                    value::write_key(key, out);
                    out.push(b']');
                }
                out.push(b':');
                // Histograms and charts are lines of their own.
                out.push(match element {
                    Datum::Histogram(_) | Datum::Timeline(_) => b'\n',
                    _ => b' ',
                });
                value::write(element, out);
                out.push(b'\n');
            })?;
        }
        Ok(())
    }

    fn time(&mut self, text: &[u8]) -> Result<(), Error> {
        self.printf(text)
    }

    fn cat(&mut self, text: &[u8]) -> Result<(), Error> {
        self.printf(text)
    }

    fn join(&mut self, text: &[u8]) -> Result<(), Error> {
        self.lines(text)
    }

    fn system(&mut self, text: &[u8]) -> Result<(), Error> {
        self.printf(text)
    }

    fn message(&mut self, severity: Severity, place: &str, text: &[u8]) -> Result<(), Error> {
        let (label, text) = (severity.label(), String::from_utf8_lossy(text));
        say(&mut self.sink, format_args!("{place}: {label}: {text}"))
    }

    fn trouble(&mut self, trouble: &Trouble<'_>) -> Result<(), Error> {
        say(&mut self.sink, format_args!("{trouble}"))
    }

    fn end(&mut self) -> Result<(), Error> {
        self.lines(b"\n")
    }

    fn raw(&mut self, text: &[u8]) -> Result<(), Error> {
        self.sink.write(|out| out.extend_from_slice(text))
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.sink.flush()
    }
}
