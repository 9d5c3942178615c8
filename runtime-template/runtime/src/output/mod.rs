//! Where decoded results go: text as bpftrace prints it, or JSON, one object a line.

pub mod capture;
pub mod json;
mod sink;
pub mod text;

use crate::Error;
use crate::datum::Datum;

pub use sink::{Buffering, Sink};

/// What the elements of a map are, beyond single values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapType {
    Plain,
    /// `avg` and `stats`.
    Stats,
    /// `hist` and `lhist`.
    Histogram,
    /// `tseries`.
    Series,
}

/// A map's contents in the order in which they are printed.
pub struct Elements<'a> {
    pub map_type: MapType,
    /// `None` as a key: the map has no keys, and this is its only element.
    pub elements: Vec<(Option<Datum<'a>>, Datum<'a>)>,
}

/// What was lost or went wrong, counted since the last time it was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble<'a> {
    /// Records that found no room in the ring buffer.
    LostEvents(u64),
    /// Reads of memory that failed in a statement, at `script:line:column`.
    FailedReads { place: &'a str, count: u64 },
    /// What could not be done for a statement.
    At { place: &'a str, text: &'a str },
    /// Anything else, as a sentence.
    Warning(&'a str),
}

/// Whether the script means an error or a warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Error,
    Warning,
}

/// A format of output. Every method writes at once into a [`Sink`], which decides when it reaches the reader.
pub trait Output {
    fn attached(&mut self, probes: usize) -> Result<(), Error>;
    /// Formatted text as it is, with whatever line ends it has.
    fn printf(&mut self, text: &[u8]) -> Result<(), Error>;
    /// `print(value)`
    fn value(&mut self, value: &Datum<'_>) -> Result<(), Error>;
    fn map(&mut self, name: &str, elements: &Elements<'_>) -> Result<(), Error>;
    fn time(&mut self, text: &[u8]) -> Result<(), Error>;
    fn cat(&mut self, text: &[u8]) -> Result<(), Error>;
    fn join(&mut self, text: &[u8]) -> Result<(), Error>;
    /// What a command of `system` printed.
    fn system(&mut self, text: &[u8]) -> Result<(), Error>;
    /// `errorf` and `warnf`: `place` is `script:line:column`.
    fn message(&mut self, severity: Severity, place: &str, text: &[u8]) -> Result<(), Error>;
    fn trouble(&mut self, trouble: &Trouble<'_>) -> Result<(), Error>;
    /// Before the maps of a run that ended are printed.
    fn end(&mut self) -> Result<(), Error>;
    /// Text that is in this format already.
    fn raw(&mut self, text: &[u8]) -> Result<(), Error>;
    fn flush(&mut self) -> Result<(), Error>;
}

impl Severity {
    /// As text output says it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Severity::Error => "ERROR",
            Severity::Warning => "WARNING",
        }
    }
}

impl std::fmt::Display for Trouble<'_> {
    /// As a line of text output.
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Trouble::LostEvents(count) => write!(f, "Lost {count} events"),
            Trouble::FailedReads { place, count } => {
                let reads = counted(*count, "read");
                write!(f, "WARNING: {place}: {reads} of memory failed")
            }
            Trouble::At { place, text } => write!(f, "{place}: WARNING: {text}"),
            Trouble::Warning(text) => write!(f, "WARNING: {text}"),
        }
    }
}

/// `1 read`, `2 reads`
#[must_use]
pub fn counted(count: u64, what: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {what}{s}")
}
