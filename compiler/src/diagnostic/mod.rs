//! What a script did wrong: stages push [`Diagnostic`]s, the driver renders them.
//!
//! Messages are lower case without a full stop, names in backticks, "expected X, found Y"; at most one
//! `help`, which can be typed in. Codes are kebab words and live in [`Code`] alone.

mod code;
pub mod explain;
mod render;

pub use code::Code;
pub use render::render;

use crate::source::Span;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Warning,
    Error,
}

/// A secondary place with its own words ("first assigned here").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    pub span: Span,
    pub text: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    pub code: Code,
    pub span: Span,
    pub message: String,
    pub labels: Vec<Label>,
    pub help: Option<String>,
}

impl Diagnostic {
    #[must_use]
    pub fn error(code: Code, span: Span, message: impl Into<String>) -> Self {
        Diagnostic {
            severity: Severity::Error,
            code,
            span,
            message: message.into(),
            labels: vec![],
            help: None,
        }
    }

    #[must_use]
    pub fn warning(code: Code, span: Span, message: impl Into<String>) -> Self {
        Diagnostic {
            severity: Severity::Warning,
            ..Self::error(code, span, message)
        }
    }

    #[must_use]
    pub fn with_label(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label {
            span,
            text: text.into(),
        });
        self
    }

    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// The diagnostics of one compilation, in the order they were found.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Adds one; the same complaint about the same place is kept once (a probe list analyzes its
    /// body once per attach point).
    pub fn push(&mut self, diagnostic: Diagnostic) {
        if !self.list.contains(&diagnostic) {
            self.list.push(diagnostic);
        }
    }

    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|d| d.severity == Severity::Error)
    }

    /// Drops what is no error.
    pub fn keep_errors(&mut self) {
        self.list.retain(|d| d.severity == Severity::Error);
    }

    /// Drops warnings of a code that say again what the first of them said, at other places.
    pub fn say_once(&mut self, code: Code) {
        let mut said: Vec<String> = vec![];
        self.list.retain(|d| {
            if d.code != code || d.severity != Severity::Warning {
                return true;
            }
            let first = !said.contains(&d.message);
            said.push(d.message.clone());
            first
        });
    }

    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// By place; at one place errors come first.
    pub fn sort(&mut self) {
        self.list
            .sort_by_key(|d| (d.span.file, d.span.start, std::cmp::Reverse(d.severity)));
    }

    pub fn extend(&mut self, other: Diagnostics) {
        for diagnostic in other.list {
            self.push(diagnostic);
        }
    }
}
