//! A fault of btc itself: never the script's, never the machine's. It asks for a report.

use std::fmt;

/// What went wrong, and where in the compiler.
#[derive(Debug)]
pub struct Bug {
    pub message: String,
}

impl Bug {
    pub fn new(message: impl Into<String>) -> Self {
        Bug {
            message: message.into(),
        }
    }
}

impl fmt::Display for Bug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "internal error: {} (please report it)", self.message)
    }
}

impl std::error::Error for Bug {}

impl From<inkwell::builder::BuilderError> for Bug {
    fn from(error: inkwell::builder::BuilderError) -> Self {
        Bug::new(format!("LLVM builder: {error}"))
    }
}
