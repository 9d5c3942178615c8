//! Parser errors in the language's words: what stood there, what was expected.

use lalrpop_util::ParseError;

use super::token::Token;
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::source::{FileId, Span};

/// The one place where a parser's error becomes a diagnostic. `end` is the item's last token.
pub fn report(
    error: ParseError<usize, Token<'_>, ()>,
    file: FileId,
    end: Span,
    diagnostics: &mut Diagnostics,
) {
    let (span, found, expected) = match error {
        ParseError::UnrecognizedToken {
            token: (start, token, stop),
            expected,
        } => (Span::new(file, start, stop), Some(token), expected),
        ParseError::ExtraToken {
            token: (start, token, stop),
        } => (Span::new(file, start, stop), Some(token), vec![]),
        ParseError::UnrecognizedEof { expected, .. } => (end, None, expected),
        ParseError::InvalidToken { location } => {
            (Span::new(file, location, location + 1), None, vec![])
        }
        ParseError::User { .. } => (end, None, vec![]),
    };
    if found == Some(Token::Bad) {
        // The lexer has said what is wrong with it.
        if diagnostics.has_errors() {
            return;
        }
    }
    let expected = describe(&expected);
    let message = match &found {
        Some(token) if expected.is_empty() => format!("unexpected {}", token.describe()),
        Some(token) => format!("expected {expected}, found {}", token.describe()),
        None if expected.is_empty() => "the script ends too early".into(),
        None => format!("expected {expected}, found the end of the probe"),
    };
    let mut diagnostic = Diagnostic::error(Code::Syntax, span, message);
    if let Some(help) = help(found.as_ref(), &expected) {
        diagnostic = diagnostic.with_help(help);
    }
    diagnostics.push(diagnostic);
}

/// Names what a set of token names amounts to; the most telling thing first.
fn describe(expected: &[String]) -> String {
    let has = |name: &str| expected.iter().any(|e| e.trim_matches('"') == name);
    let mut parts: Vec<&str> = vec![];
    if has("variable") && has("integer") && has("string") {
        if has("while") {
            parts.push("a statement")
        } else {
            parts.push("an expression")
        }
        if has("}") {
            parts.push("`}`");
        }
        if has(")") {
            parts.push("`)`");
        }
    } else if has("type_name") && has("struct") {
        parts.push("a type");
    } else if has("attach_point") {
        parts.push("a probe");
    } else if has("pred(") {
        parts.extend(["`,`", "a predicate", "the probe's block"]);
    } else if has("+") && has("*") {
        // After an operand: operators go without saying.
        for (name, text) in [
            (";", "`;`"),
            ("}", "`}`"),
            (")", "`)`"),
            ("]", "`]`"),
            (",", "`,`"),
            ("{", "`{`"),
            ("..", "`..`"),
            ("pred)", "`/` and the probe's block"),
        ] {
            if has(name) {
                parts.push(text);
            }
        }
        if parts.is_empty() {
            parts.push("an operator");
        }
    } else {
        return listed(expected);
    }
    join(&parts)
}

/// A short set of tokens, each by its text.
fn listed(expected: &[String]) -> String {
    let names: Vec<String> = expected
        .iter()
        .map(|name| match name.trim_matches('"') {
            "identifier" => "a name".into(),
            "variable" => "a variable".into(),
            "map" => "a map".into(),
            "integer" => "an integer".into(),
            "string" => "a string".into(),
            "tuple_index" => "a number".into(),
            "attach_point" => "a probe".into(),
            "cast(" | "type(" | "record(" => "`(`".into(),
            "expr{" => "`{`".into(),
            text => format!("`{text}`"),
        })
        .collect();
    if names.len() > 5 {
        return String::new();
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    join(&names)
}

fn join(parts: &[&str]) -> String {
    match parts {
        [] => String::new(),
        [one] => (*one).to_string(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

fn help(found: Option<&Token<'_>>, expected: &str) -> Option<String> {
    match found? {
        Token::Punct("=") if expected.contains("`)`") || expected.contains("`/`") => {
            Some("`==` compares, `=` assigns in a statement of its own".into())
        }
        Token::Punct("}") if expected.contains("`;`") => None,
        Token::Identifier(_) | Token::Variable(_) | Token::Map(_) if expected.contains("`;`") => {
            Some("end the statement before it with `;`".into())
        }
        _ => None,
    }
}
