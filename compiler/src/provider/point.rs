//! An attach point's parts, and what reading them shares between providers.

use btc_abi as abi;
pub use btc_abi::period::number;

use super::{Args, Func, Numbered, ProbeContext};
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::ProgramKind;
use crate::source::Span;
use crate::syntax::ast::{AttachPart, AttachPoint};

/// The characters that make a part a pattern.
#[must_use]
pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '[', '{'])
}

/// Reads the parts of one attach point.
pub struct Parts<'a> {
    pub point: &'a AttachPoint,
    /// Full name of the provider.
    pub provider: &'static str,
    /// The forms that it has, for messages.
    pub forms: &'static str,
}

impl<'a> Parts<'a> {
    pub fn all(&self) -> &'a [AttachPart] {
        &self.point.parts
    }

    pub fn span(&self) -> Span {
        self.point.span
    }

    pub fn wrong(&self, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(Code::InvalidProbe, span, message)
            .with_help(format!("the forms are {}", self.forms))
    }

    /// All parts, so many of them at the least and at the most; none of them empty.
    pub fn between(&self, least: usize, most: usize) -> Result<&'a [AttachPart], Diagnostic> {
        let parts = self.between_some_empty(least, most)?;
        for part in parts {
            self.check(part)?;
        }
        Ok(parts)
    }

    /// The same, where the provider looks at empty ones itself.
    pub fn between_some_empty(
        &self,
        least: usize,
        most: usize,
    ) -> Result<&'a [AttachPart], Diagnostic> {
        let parts = self.all();
        if parts.len() < least {
            let message = match parts.len() {
                0 => format!("`{}` needs to know what to attach to", self.provider),
                _ => format!("an incomplete `{}` probe", self.provider),
            };
            return Err(self.wrong(self.span(), message));
        }
        if let Some(extra) = parts.get(most) {
            return Err(self.wrong(
                extra.span,
                format!(
                    "`{}` does not take `{}` here",
                    self.provider,
                    extra.text.escape_debug()
                ),
            ));
        }
        Ok(parts)
    }

    /// Refuses an empty part.
    pub fn check(&self, part: &AttachPart) -> Result<(), Diagnostic> {
        if part.text.is_empty() {
            return Err(self.wrong(
                if part.span.start == part.span.end {
                    self.span()
                } else {
                    part.span
                },
                format!("an empty part in a `{}` probe", self.provider),
            ));
        }
        if part.text.contains('\0') {
            return Err(self.wrong(part.span, "a zero byte in an attach point"));
        }
        Ok(())
    }

    /// A decimal, octal, hexadecimal, underscored or `1e6` number above zero.
    pub fn count(&self, part: &AttachPart) -> Result<u64, Diagnostic> {
        match number(&part.text) {
            Some(0) => Err(self.wrong(part.span, "a count must be at least 1")),
            Some(n) => Ok(n),
            None => Err(self.wrong(
                part.span,
                format!("expected a number, found `{}`", part.text.escape_debug()),
            )),
        }
    }

    /// `provider:part:part`.
    pub fn name(&self) -> String {
        let mut name = self.provider.to_string();
        for part in self.all() {
            name.push(':');
            name.push_str(&part.text);
        }
        name
    }

    /// A probe without arguments; the provider adds what it has.
    pub fn made(&self, kind: ProgramKind, attach: abi::Attach) -> ProbeContext {
        ProbeContext {
            provider: self.provider,
            name: self.name(),
            wildcard: false,
            number: None,
            kind,
            attach,
            attach_parameters: vec![],
            number_parameter: String::new(),
            pid_filter: false,
            args: Args::None { help: None },
            numbered: Numbered::None,
            retval: None,
            func: Func::None,
            user_space: false,
            span: self.point.span,
            warnings: vec![],
        }
    }
}

/// The one context of a provider that never expands at compile time.
pub fn one(made: Result<ProbeContext, Diagnostic>) -> Result<Vec<ProbeContext>, Vec<Diagnostic>> {
    made.map(|context| vec![context]).map_err(|why| vec![why])
}

/// Splits `function+offset`; the offset is 0 where none is written.
pub fn split_offset(text: &str) -> Option<(&str, u64)> {
    match text.split_once('+') {
        None => Some((text, 0)),
        Some((name, offset)) if !name.is_empty() => Some((name, number(offset.trim())?)),
        Some(_) => None,
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::syntax::ast::Name;

    /// An attach point as the parser would make it.
    pub fn point(text: &str) -> AttachPoint {
        let mut words = text.split(':');
        let provider = words.next().unwrap_or_default();
        let span = Span::default();
        AttachPoint {
            label: None,
            provider: Name {
                text: provider.into(),
                span,
            },
            parts: words
                .map(|w| AttachPart {
                    text: w.into(),
                    quoted: false,
                    span,
                })
                .collect(),
            span,
        }
    }

    #[test]
    fn numbers_of_the_language() {
        assert_eq!(number("1_000"), Some(1000));
        assert_eq!(number("0x10"), Some(16));
        assert_eq!(number("010"), Some(8));
        assert_eq!(number("1e6"), Some(1_000_000));
        assert_eq!(number("1e99"), None);
        assert_eq!(number("12a"), None);
        assert_eq!(number(""), None);
    }

    #[test]
    fn offsets() {
        assert_eq!(split_offset("f"), Some(("f", 0)));
        assert_eq!(split_offset("f+0x10"), Some(("f", 16)));
        assert_eq!(split_offset("f+"), None);
        assert_eq!(split_offset("+4"), None);
    }
}
