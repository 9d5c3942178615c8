//! What went wrong on the target: one message that names the call, the reason and what to do, and an exit status.

use std::fmt::{self, Display};
use std::process::ExitCode;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// An error of the run. Opaque: callers add context with [`Context`] and print it.
#[derive(Debug)]
pub struct Error(Kind);

#[derive(Debug)]
enum Kind {
    /// The command line is wrong: exit status 2.
    Usage(String),
    Message(String),
    Context {
        what: String,
        source: Source,
    },
    /// Whoever read our output is gone; ends the run quietly.
    BrokenPipe,
}

// Written out: a derive would have every machine's first build compile a parser of Rust.
impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.0 {
            Kind::Usage(message) | Kind::Message(message) => f.write_str(message),
            Kind::Context { what, source } => write!(f, "{what}: {source}"),
            Kind::BrokenPipe => f.write_str("nobody reads the output any more"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0 {
            Kind::Context { source, .. } => Some(&**source),
            Kind::Usage(_) | Kind::Message(_) | Kind::BrokenPipe => None,
        }
    }
}

impl Error {
    /// A bad or unknown option, parameter or value.
    pub fn usage(message: impl Into<String>) -> Self {
        Error(Kind::Usage(message.into()))
    }

    /// An error of this machine that has no other error behind it.
    pub fn new(message: impl Into<String>) -> Self {
        Error(Kind::Message(message.into()))
    }

    /// Writing to a closed pipe.
    #[must_use]
    pub fn broken_pipe() -> Self {
        Error(Kind::BrokenPipe)
    }

    /// The error of the last system call, with what was tried.
    pub fn last_os(what: impl Into<String>) -> Self {
        Error::with_source(what, std::io::Error::last_os_error())
    }

    /// Wraps `source` with what was tried.
    pub fn with_source(what: impl Into<String>, source: impl Into<Source>) -> Self {
        Error(Kind::Context {
            what: what.into(),
            source: source.into(),
        })
    }

    /// An error of writing output: a broken pipe is one of its own.
    pub fn output(what: impl Into<String>, source: std::io::Error) -> Self {
        if source.kind() == std::io::ErrorKind::BrokenPipe {
            return Error::broken_pipe();
        }
        Error::with_source(what, source)
    }

    /// Whether the run should end without a word.
    #[must_use]
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self.0, Kind::BrokenPipe)
    }

    /// Whether it is for want of descriptors or memory, and not for what was asked.
    #[must_use]
    pub fn is_exhaustion(&self) -> bool {
        let mut next = std::error::Error::source(self);
        while let Some(source) = next {
            let code =
                (source.downcast_ref::<std::io::Error>()).and_then(std::io::Error::raw_os_error);
            if matches!(code, Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM)) {
                return true;
            }
            next = source.source();
        }
        false
    }

    /// The exit status that stands for this error.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self.0 {
            Kind::Usage(_) => ExitCode::from(2),
            Kind::BrokenPipe => ExitCode::SUCCESS,
            Kind::Message(_) | Kind::Context { .. } => ExitCode::FAILURE,
        }
    }
}

/// Adds what was tried to an error.
pub trait Context<T> {
    /// Wraps the error with the text that `what` makes.
    fn context<D: Display>(self, what: impl FnOnce() -> D) -> Result<T, Error>;
}

impl<T, E: Into<Source>> Context<T> for Result<T, E> {
    fn context<D: Display>(self, what: impl FnOnce() -> D) -> Result<T, Error> {
        self.map_err(|source| Error::with_source(what().to_string(), source))
    }
}
