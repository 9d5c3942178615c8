//! Source text in, the untyped tree out.
//!
//! `lexer` splits the text into items and tokens, `grammar.lalrpop` parses one item at a time, `report` says what was
//! expected. A broken item hides no other, a broken statement none of its neighbours.

pub mod ast;
mod attach;
mod build;
mod comment;
mod disambiguate;
mod lexer;
mod literal;
mod print;
mod report;
mod token;

#[allow(clippy::all, clippy::pedantic, unused_imports)]
mod grammar {
    lalrpop_util::lalrpop_mod!(generated, "/grammar.rs");
    pub use generated::ItemParser;
}

pub use print::print;

use std::ops::Range;

use crate::diagnostic::Diagnostics;
use crate::source::FileId;
use token::{Lexeme, Token};

/// Parses a script. What could be read is in the tree even when there are errors.
#[must_use]
pub fn parse(file: FileId, text: &str) -> (ast::Program, Diagnostics) {
    let (items, mut diagnostics) = lexer::lex(file, text);
    let parser = grammar::ItemParser::new();
    let mut program = ast::Program {
        header_comment: comment::header(text),
        ..ast::Program::default()
    };
    for item in items {
        match item.as_slice() {
            [
                Lexeme {
                    token: Token::C(c), ..
                },
            ] => program.preamble.push(c.clone()),
            _ => {
                let mut imports = vec![];
                let parsed = parse_item(&parser, file, item, &mut imports, &mut diagnostics);
                program
                    .items
                    .extend(imports.into_iter().map(ast::Item::Import));
                program.items.extend(parsed);
            }
        }
    }
    diagnostics.sort();
    (program, diagnostics)
}

/// A C macro as one of ours: `text[definition]` is what follows `#define`. `None`: its text is no expression and no
/// statements of a script.
#[must_use]
pub fn c_macro(file: FileId, text: &str, definition: Range<usize>) -> Option<ast::Macro> {
    let defined = text.get(definition.clone())?;
    let in_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let name = &defined[..defined.find(|c| !in_name(c)).unwrap_or(defined.len())];
    let after = &defined[name.len()..];
    // C's rule: parameters follow the name at once.
    let (parameters, body) = match after.strip_prefix('(') {
        Some(rest) => rest.split_once(')')?,
        None => ("", after),
    };
    let body = body.trim_start();
    // No longer than the directive that it replaces, so that there is room for it in a file's first line.
    let header = format!("macro {name}({parameters}){{");
    let start = definition.end - body.len();
    // The body stays where it is in the file, so that diagnostics point there.
    let padding = " ".repeat(start.checked_sub(header.len())?);
    let body = body.replace("\\\n", "  ");
    let (program, diagnostics) = parse(file, &format!("{padding}{header}{body}\n}}"));
    if diagnostics.has_errors() || !program.preamble.is_empty() {
        return None;
    }
    match <[ast::Item; 1]>::try_from(program.items) {
        Ok([ast::Item::Macro(found)]) => Some(ast::Macro {
            hygienic: false,
            ..found
        }),
        _ => None,
    }
}

fn parse_item(
    parser: &grammar::ItemParser,
    file: FileId,
    item: Vec<Lexeme<'_>>,
    imports: &mut Vec<ast::Import>,
    diagnostics: &mut Diagnostics,
) -> Option<ast::Item> {
    let end = item.last()?.span;
    let brackets = report::Brackets::of(&item);
    let tokens = item.into_iter().map(|lexeme| {
        let range = lexeme.span.range();
        Ok((range.start, lexeme.token, range.end))
    });
    let mut recovered = vec![];
    let result = parser.parse(file, &mut recovered, imports, tokens);
    for recovery in recovered {
        let resumed = recovery.dropped_tokens.last().map(|(_, _, stop)| *stop);
        let in_step = brackets.in_step(&recovery.error, resumed);
        report::report(recovery.error, file, end, diagnostics);
        if !in_step {
            // What the parser says from here on is only about brackets that it lost.
            return result.ok();
        }
    }
    match result {
        Ok(item) => Some(item),
        Err(error) => {
            report::report(error, file, end, diagnostics);
            None
        }
    }
}

#[cfg(test)]
mod tests;
