//! Parser errors in the language's words: what stood there, what was expected.

use lalrpop_util::ParseError;

use super::token::{Lexeme, Token};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::source::{FileId, Span};

/// An item's brackets: whether the parser, after it skipped what it could not read, still knows which are open.
pub struct Brackets(Vec<(usize, u8)>);

impl Brackets {
    pub fn of(item: &[Lexeme<'_>]) -> Brackets {
        let kind = |token: &Token<'_>| match token {
            Token::Punct("(" | ")") | Token::CastOpen | Token::TypeOpen | Token::RecordOpen => {
                Some(b'(')
            }
            Token::Punct("[" | "@[" | "]") => Some(b'['),
            Token::Punct("{" | "}") | Token::BlockExprOpen => Some(b'{'),
            _ => None,
        };
        let closes = |token: &Token<'_>| matches!(token, Token::Punct(")" | "]" | "}"));
        Brackets(
            item.iter()
                .filter_map(|l| {
                    let kind = kind(&l.token)?;
                    let kind = if closes(&l.token) { b')' } else { kind };
                    Some((l.span.start as usize, kind))
                })
                .collect(),
        )
    }

    /// The brackets that are open before a place.
    fn open(&self, before: usize) -> Vec<u8> {
        let mut open = vec![];
        for (_, kind) in self.0.iter().take_while(|(at, _)| *at < before) {
            match kind {
                b')' => drop(open.pop()),
                kind => open.push(*kind),
            }
        }
        open
    }

    /// The block around the error is the one in which parsing went on.
    pub fn in_step(
        &self,
        error: &ParseError<usize, Token<'_>, ()>,
        resumed: Option<usize>,
    ) -> bool {
        let (ParseError::UnrecognizedToken { token, .. }, Some(resumed)) = (error, resumed) else {
            return true;
        };
        let mut before = self.open(token.0);
        while before.last().is_some_and(|kind| *kind != b'{') {
            before.pop();
        }
        before == self.open(resumed)
    }
}

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
            "duration" => "a duration".into(),
            "type_name" => "a type".into(),
            "positional" => "a parameter".into(),
            "@[" => "`[`".into(),
            "expr if" => "`if`".into(),
            "pred(" => "a predicate".into(),
            "pred)" => "`/` and the probe's block".into(),
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
        Token::Keyword("let") if expected == "a variable" => {
            Some("a loop counts like this: `for ($i : 0..5) { … }`".into())
        }
        Token::Punct("=") if expected == "`:`" => {
            Some("a loop counts like this: `for ($i : 0..5) { … }`".into())
        }
        Token::TypeName(name) if expected.starts_with("an expression") => {
            Some(format!("a type is compared as `typeof({name})`"))
        }
        Token::Identifier("and") => Some("`and` is written `&&`".into()),
        Token::Identifier("or") => Some("`or` is written `||`".into()),
        Token::Identifier(_) | Token::Variable(_) | Token::Map(_) if expected.contains("`;`") => {
            Some("end the statement before it with `;`".into())
        }
        _ => None,
    }
}
