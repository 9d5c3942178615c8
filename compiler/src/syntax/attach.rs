//! Attach points: `label=provider:part:part`, in lists. Their text has rules of its own: colons separate, quotes
//! protect, and a slash may be part of a path or start the predicate.

use super::ast::{AttachPart, AttachPoint, Name};
use super::lexer::Lexer;
use super::token::Token;
use crate::diagnostic::{Code, Diagnostic};
use crate::source::Span;

/// Providers whose first part is a path.
const PATH_PROVIDERS: &[&str] = &["uprobe", "u", "uretprobe", "ur", "usdt", "U"];
/// Providers with a path in any part.
const PIN_PROVIDERS: &[&str] = &["iter", "it"];

/// Reads a list of attach points; stops before the predicate or the block.
pub(super) fn attach_points(lexer: &mut Lexer<'_>) {
    loop {
        lexer.skip_blank();
        if lexer.rest().starts_with(['{', '/']) || lexer.rest().is_empty() {
            return;
        }
        let start = lexer.at;
        let text = raw(lexer);
        if !text.is_empty() {
            let point = split(lexer, start);
            lexer.push(Token::AttachPoint(point), start);
        }
        lexer.skip_blank();
        if !lexer.rest().starts_with(',') {
            return;
        }
        lexer.at += 1;
        lexer.push(Token::Punct(","), lexer.at - 1);
    }
}

/// Moves over one attach point's text.
fn raw<'s>(lexer: &mut Lexer<'s>) -> &'s str {
    let start = lexer.at;
    let mut colons = 0;
    let mut quoted = false;
    while let Some(c) = lexer.rest().chars().next() {
        let text = &lexer.text[start..lexer.at];
        let provider = text.split(':').next().unwrap_or("");
        let provider = provider.rsplit('=').next().unwrap_or(provider);
        let path = PIN_PROVIDERS.contains(&provider)
            || (colons == 1 && PATH_PROVIDERS.contains(&provider));
        match c {
            '"' => quoted = !quoted,
            '\n' if quoted => break,
            _ if quoted => {}
            ':' => colons += 1,
            ',' | '{' | '}' | ';' => break,
            '/' if !path => break,
            c if c.is_whitespace() => break,
            _ => {}
        }
        lexer.at += c.len_utf8();
    }
    if quoted {
        let quote = lexer.text[start..lexer.at].rfind('"').unwrap_or(0);
        let span = lexer.span(start + quote);
        lexer.broken = true;
        lexer.diagnostics.push(
            Diagnostic::error(
                Code::InvalidToken,
                span,
                "the quote in this probe never ends",
            )
            .with_help("close it with `\"`"),
        );
    }
    &lexer.text[start..lexer.at]
}

/// Splits the text that ends here at its colons.
fn split(lexer: &Lexer<'_>, start: usize) -> AttachPoint {
    let text = &lexer.text[start..lexer.at];
    let mut parts: Vec<AttachPart> = vec![];
    let (mut part, mut from, mut quoted, mut any_quoted) = (String::new(), 0, false, false);
    let place = |from: usize, to: usize| Span::new(lexer.file, start + from, start + to);
    for (at, c) in text.char_indices() {
        match c {
            '"' => {
                quoted = !quoted;
                any_quoted = true;
            }
            ':' if !quoted => {
                let text = std::mem::take(&mut part);
                parts.push(AttachPart {
                    text,
                    quoted: any_quoted,
                    span: place(from, at),
                });
                from = at + 1;
                any_quoted = false;
            }
            c => part.push(c),
        }
    }
    parts.push(AttachPart {
        text: part,
        quoted: any_quoted,
        span: place(from, text.len()),
    });
    let first = parts.remove(0);
    let (label, provider) = match first.text.split_once('=') {
        Some((label, provider)) => {
            let middle = first.span.start as usize + label.len();
            let label_span = Span::new(lexer.file, first.span.start as usize, middle);
            let span = Span::new(lexer.file, middle + 1, first.span.end as usize);
            (
                Some(Name {
                    text: label.into(),
                    span: label_span,
                }),
                Name {
                    text: provider.into(),
                    span,
                },
            )
        }
        None => (
            None,
            Name {
                text: first.text,
                span: first.span,
            },
        ),
    };
    AttachPoint {
        label,
        provider,
        parts,
        span: place(0, text.len()),
    }
}
