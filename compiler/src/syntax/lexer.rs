//! Text to tokens. The language has modes: between items stand C and attach points, inside braces expressions; a
//! predicate ends at the slash before its block. The lexer knows where items end, so one broken item hides no other.

use super::ast::CText;
use super::token::{
    C_INTEGER_WORDS, ITEM_KEYWORDS, KEYWORDS, Lexeme, PUNCTUATION, TYPE_NAMES, Token,
};
use super::{attach, disambiguate, literal};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::source::{FileId, Span};

/// Brackets deeper than this, or prefix operators in a row, are refused: later stages recurse.
const MAX_DEPTH: usize = 100;
/// Tokens between two of `;`, `{`, `}`: the same reason, for chains of operators.
const MAX_RUN: usize = 1000;

/// The tokens of one top-level item.
pub type Item<'s> = Vec<Lexeme<'s>>;

/// Splits a script into items.
pub fn lex(file: FileId, text: &str) -> (Vec<Item<'_>>, Diagnostics) {
    let mut lexer = Lexer {
        file,
        text,
        at: 0,
        out: vec![],
        diagnostics: Diagnostics::default(),
        broken: false,
    };
    let mut items = vec![];
    if text.starts_with("#!") {
        lexer.skip_line();
    }
    loop {
        lexer.skip_blank();
        if lexer.at >= text.len() {
            break;
        }
        lexer.broken = false;
        lexer.item();
        let item = std::mem::take(&mut lexer.out);
        if !item.is_empty() && !lexer.broken {
            items.push(disambiguate::disambiguate(item));
        }
    }
    (items, lexer.diagnostics)
}

pub(super) struct Lexer<'s> {
    pub file: FileId,
    pub text: &'s str,
    pub at: usize,
    pub out: Item<'s>,
    pub diagnostics: Diagnostics,
    /// What is wrong with the item's brackets or quotes was said: parsing it would only repeat that.
    pub broken: bool,
}

/// What ends a run of expression tokens.
#[derive(Clone, Copy, PartialEq)]
enum Until {
    /// The brace that closes the first one.
    Braces,
    /// A semicolon outside brackets.
    Semicolon,
    /// The slash before a block.
    Predicate,
}

impl<'s> Lexer<'s> {
    pub fn rest(&self) -> &'s str {
        &self.text[self.at..]
    }

    pub fn span(&self, start: usize) -> Span {
        Span::new(self.file, start, self.at)
    }

    pub fn push(&mut self, token: Token<'s>, start: usize) {
        let span = self.span(start);
        self.out.push(Lexeme { token, span });
    }

    pub fn error(&mut self, code: Code, start: usize, message: impl Into<String>) {
        self.diagnostics
            .push(Diagnostic::error(code, self.span(start), message));
    }

    fn skip_line(&mut self) {
        self.at += self.rest().find('\n').unwrap_or(self.rest().len());
    }

    /// White space and comments.
    pub fn skip_blank(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            if trimmed.starts_with("//") {
                self.skip_line();
            } else if trimmed.starts_with("/*") {
                match trimmed.find("*/") {
                    Some(end) if end >= 2 => self.at += end + 2,
                    _ => {
                        let span = Span::new(self.file, self.at, self.at + 2);
                        self.at = self.text.len();
                        self.diagnostics.push(
                            Diagnostic::error(Code::InvalidToken, span, "this comment never ends")
                                .with_help("end it with `*/`"),
                        );
                    }
                }
            } else {
                return;
            }
        }
    }

    /// The identifier that starts here, or "".
    pub fn word(&self) -> &'s str {
        let rest = self.rest();
        let end = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .unwrap_or(rest.len());
        if rest.starts_with(|c: char| c.is_ascii_digit()) {
            ""
        } else {
            &rest[..end]
        }
    }

    fn item(&mut self) {
        let start = self.at;
        if self.rest().starts_with('#') {
            return self.directive();
        }
        let word = self.word();
        match word {
            "struct" | "union" | "enum" | "typedef" => return self.c_definition(),
            _ => {}
        }
        let after = self.text[start + word.len()..].trim_start();
        let is_item = match word {
            "config" => after.starts_with('=') && after[1..].trim_start().starts_with('{'),
            "macro" | "fn" => after.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'),
            "import" => after.starts_with('"'),
            "let" => after.starts_with('@'),
            _ => false,
        };
        if !is_item {
            return match self.stray_statement() {
                true => {}
                false => self.probe(),
            };
        }
        self.at += word.len();
        let keyword = ITEM_KEYWORDS
            .iter()
            .find(|k| **k == word)
            .copied()
            .unwrap_or("let");
        self.push(Token::Keyword(keyword), start);
        if word == "import" {
            self.skip_blank();
            self.string();
            self.skip_blank();
            self.at += usize::from(self.rest().starts_with(';'));
            return;
        }
        self.tokens(if word == "let" {
            Until::Semicolon
        } else {
            Until::Braces
        });
    }

    /// A statement where a probe should start: says so, and skips it.
    fn stray_statement(&mut self) -> bool {
        let rest = self.rest();
        let declares = |rest: &str| {
            let after = rest.strip_prefix("let").unwrap_or("");
            after.starts_with(char::is_whitespace) && after.trim_start().starts_with('$')
        };
        if declares(rest) {
            self.stray_variable();
            return true;
        }
        let head = rest.split([':', '{', '/', ',', '\n']).next().unwrap_or("");
        if !rest.starts_with(['$', '@']) && head.find('(').is_none_or(|at| at == 0) {
            return false;
        }
        let start = self.at;
        let end = rest.find([';', '}', '\n']).unwrap_or(rest.len());
        if end == 0 {
            return false;
        }
        self.at += end;
        let span = self.span(start);
        if self.rest().starts_with(';') {
            self.at += 1;
        }
        self.diagnostics.push(
            Diagnostic::error(
                Code::Syntax,
                span,
                "a statement stands outside of any probe",
            )
            .with_help("write it into a probe's block: `begin { … }`"),
        );
        true
    }

    /// `let $x …` where a probe should start: says what may be declared there, and skips it.
    fn stray_variable(&mut self) {
        let start = self.at;
        let rest = self.rest();
        let name = rest.find('$').unwrap_or(0);
        let end = rest[name..].find([';', '}', '\n']);
        self.at += end.map_or(rest.len(), |end| name + end);
        let span = self.span(start);
        self.at += usize::from(self.rest().starts_with(';'));
        let message = "outside of probes `let` declares a map, and no variable";
        self.diagnostics.push(
            Diagnostic::error(Code::Syntax, span, message)
                .with_help("write it into a probe's block, or share a map: `let @x = hash(100);`"),
        );
    }

    /// `#include …`, `#define … \` with its continuation lines.
    fn directive(&mut self) {
        let start = self.at;
        loop {
            self.skip_line();
            let continued = self.text[start..self.at]
                .trim_end_matches('\r')
                .ends_with('\\');
            if !continued || self.at >= self.text.len() {
                break;
            }
            self.at += 1;
        }
        self.push_c(start);
    }

    /// `struct … { … } …;`, verbatim. A definition without a body ends at its semicolon.
    fn c_definition(&mut self) {
        let start = self.at;
        let mut open = vec![];
        let mut closed = false;
        while self.at < self.text.len() {
            let rest = self.rest();
            if rest.starts_with("//") || rest.starts_with("/*") {
                self.skip_blank();
                continue;
            }
            let c = rest.chars().next().unwrap_or(' ');
            match c {
                '{' => open.push(self.at),
                '}' => {
                    open.pop();
                    closed = open.is_empty();
                }
                ';' if open.is_empty() => {
                    self.at += 1;
                    return self.push_c(start);
                }
                // `enum E { … }` without a semicolon, directly before a probe.
                c if closed && !c.is_whitespace() && !self.continues_definition() => {
                    return self.push_c(start);
                }
                _ => {}
            }
            self.at += c.len_utf8();
        }
        match open.first() {
            Some(&brace) => self.never_closed(brace),
            None => self.push_c(start),
        }
    }

    /// After the closing brace: an attribute or a declarator that a semicolon follows before any brace or colon.
    fn continues_definition(&self) -> bool {
        let rest = self.rest();
        let end = rest.find([';', '{', ':', '/']).unwrap_or(rest.len());
        rest[end..].starts_with(';')
    }

    fn push_c(&mut self, start: usize) {
        let span = self.span(start);
        let text = self.text[start..self.at].to_string();
        self.out.push(Lexeme {
            token: Token::C(CText { text, span }),
            span,
        });
    }

    fn probe(&mut self) {
        let start = self.at;
        attach::attach_points(self);
        let end = self.out.last().map_or(start, |l| l.span.end as usize);
        self.skip_blank();
        if self.broken {
            return;
        }
        if self.rest().starts_with('/') {
            self.at += 1;
            self.push(Token::PredicateOpen, self.at - 1);
            self.tokens(Until::Predicate);
            self.skip_blank();
        }
        if self.rest().starts_with('{') {
            return self.tokens(Until::Braces);
        }
        if self.rest().is_empty() || self.text[end..self.at].contains('\n') {
            // The parser says what is missing; what follows is an item of its own.
            return;
        }
        // Nothing that can stand here: it goes to the parser, which says so, up to what may be the next item.
        let extra = self.at;
        let end = self
            .rest()
            .find(['{', '}', '\n'])
            .unwrap_or(self.rest().len());
        self.at += end;
        if extra > start && end > 0 {
            self.push(
                Token::Identifier(self.text[extra..self.at].trim_end()),
                extra,
            );
        }
        if self.rest().starts_with('{') && extra > start {
            return self.tokens(Until::Braces);
        }
        if self.rest().starts_with('}') {
            self.at += 1;
            self.push(Token::Punct("}"), self.at - 1);
        }
        if self.at == start {
            self.at += self.rest().chars().next().map_or(0, char::len_utf8);
            self.push(Token::Identifier(&self.text[start..self.at]), start);
        }
    }

    /// Expression tokens up to and with what ends them.
    fn tokens(&mut self, until: Until) {
        let mut open: Vec<usize> = vec![];
        let (mut run, mut prefix) = (0, 0);
        loop {
            self.skip_blank();
            let start = self.at;
            if self.at >= self.text.len() {
                return self.unclosed(&open, until);
            }
            if until == Until::Predicate && open.is_empty() && self.predicate_ends() {
                self.at += 1;
                return self.push(Token::PredicateClose, start);
            }
            let before = self.out.len();
            self.token();
            // `const` leaves no token; a joined string leaves none of its own.
            let Some(last) = self.out.get(before) else {
                continue;
            };
            let punct = match last.token {
                Token::Punct(text) => text,
                Token::BlockExprOpen => "expr{",
                _ => "",
            };
            let is_prefix = matches!(punct, "!" | "~" | "-" | "+" | "*" | "&" | "++" | "--");
            prefix = if is_prefix { prefix + 1 } else { 0 };
            run += 1;
            match punct {
                "(" | "[" | "@[" | "{" | "expr{" => open.push(self.at - 1),
                ")" | "]" | "}" => self.close(punct, &mut open),
                _ => {}
            }
            if matches!(punct, ";" | "{" | "}") {
                run = 0;
            }
            if until == Until::Predicate && punct == "{" {
                return self.open_predicate(start);
            }
            let ended = match until {
                Until::Braces => punct == "}" && open.is_empty(),
                Until::Semicolon => punct == ";" && open.is_empty(),
                Until::Predicate => false,
            };
            if open.len() > MAX_DEPTH || prefix > MAX_DEPTH || run > MAX_RUN {
                let fault = match run > MAX_RUN {
                    true => "this statement is too long: variables can hold parts of it",
                    false => "this is nested too deeply",
                };
                self.error(Code::Syntax, start, fault);
                self.broken = true;
                self.at = self.text.len();
                return;
            }
            if ended {
                return;
            }
        }
    }

    /// A block starts before the predicate's closing slash: says so, and skips the block.
    fn open_predicate(&mut self, brace: usize) {
        self.unclosed(&[], Until::Predicate);
        self.at = brace;
        self.tokens(Until::Braces);
    }

    /// Takes the bracket that `close` belongs to off the open ones. A closing brace ends a block whatever is open in it.
    fn close(&mut self, close: &str, open: &mut Vec<usize>) {
        let wanted = match close {
            ")" => "(",
            "]" => "[",
            _ => "{",
        };
        let is = |at: &usize| self.text[*at..].starts_with(wanted);
        if open.last().is_some_and(is) {
            open.pop();
        } else if close == "}"
            && let Some(block) = open.iter().rposition(is)
        {
            if let Some(innermost) = open.last() {
                self.never_closed(*innermost);
            }
            open.truncate(block);
        }
    }

    /// Says that the bracket at `at` is never closed.
    fn never_closed(&mut self, at: usize) {
        if std::mem::replace(&mut self.broken, true) {
            return;
        }
        let span = Span::new(self.file, at, at + 1);
        let bracket = &self.text[at..=at];
        let close = match bracket {
            "{" => "}",
            "(" => ")",
            _ => "]",
        };
        self.diagnostics.push(
            Diagnostic::error(
                Code::Syntax,
                span,
                format!("this `{bracket}` is never closed"),
            )
            .with_help(format!("add the missing `{close}`")),
        );
    }

    fn predicate_ends(&self) -> bool {
        let Some(rest) = self.rest().strip_prefix('/') else {
            return false;
        };
        let mut after = Lexer {
            file: self.file,
            text: self.text,
            at: self.text.len() - rest.len(),
            out: vec![],
            diagnostics: Diagnostics::default(),
            broken: false,
        };
        after.skip_blank();
        after.rest().starts_with('{') || after.rest().is_empty()
    }

    fn unclosed(&mut self, open: &[usize], until: Until) {
        match (open.last(), until) {
            (Some(&at), _) => self.never_closed(at),
            (None, Until::Predicate) => {
                let start = self.out.iter().find(|l| l.token == Token::PredicateOpen);
                let span = start.map_or(self.span(self.at), |l| l.span);
                self.diagnostics.push(
                    Diagnostic::error(Code::Syntax, span, "this predicate is never closed")
                        .with_help("end it with `/` before the `{` of the probe's block"),
                );
                self.broken = true;
            }
            (None, _) => {}
        }
    }

    /// One token of an expression or statement.
    fn token(&mut self) {
        let start = self.at;
        let rest = self.rest();
        let first = rest.chars().next().unwrap_or(' ');
        let before = self.out.last().map(|l| &l.token);
        let after_dot = matches!(before, Some(Token::Punct("." | "->")));
        // C's names of members and tags are no words of the language: `args.for`, `struct string`.
        let of_c = after_dot || matches!(before, Some(Token::Keyword("struct" | "union" | "enum")));
        match first {
            '"' => self.string(),
            '\'' => self.single_quotes(),
            '$' => self.dollar(),
            '@' => {
                self.at += 1;
                let name = self.name_characters();
                self.push(Token::Map(name), start);
            }
            '0'..='9' if after_dot => self.tuple_index(),
            '0'..='9' => self.number(),
            'a'..='z' | 'A'..='Z' | '_' => self.name(of_c),
            _ => self.punctuation(),
        }
    }

    fn name_characters(&mut self) -> &'s str {
        let rest = self.rest();
        let end = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn dollar(&mut self) {
        let start = self.at;
        self.at += 1;
        if self.rest().starts_with('#') {
            self.at += 1;
            return self.push(Token::Punct("$#"), start);
        }
        let name = self.name_characters();
        if name.is_empty() {
            self.error(
                Code::InvalidToken,
                start,
                "expected a variable's name or a number after `$`",
            );
            return self.push(Token::Bad, start);
        }
        if !name.starts_with(|c: char| c.is_ascii_digit()) {
            return self.push(Token::Variable(name), start);
        }
        match name.parse::<u32>() {
            Ok(n) if n > 0 => self.push(Token::Positional(n), start),
            _ => {
                let message = format!("`${name}` is no positional parameter: they start at `$1`");
                self.error(Code::InvalidLiteral, start, message);
                self.push(Token::Positional(1), start);
            }
        }
    }

    fn tuple_index(&mut self) {
        let start = self.at;
        let rest = self.rest();
        let end = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        self.at += end;
        let index = rest[..end].parse().unwrap_or(u32::MAX);
        self.push(Token::TupleIndex(index), start);
    }

    fn number(&mut self) {
        let start = self.at;
        let text = self.name_characters();
        match literal::number(text) {
            Ok(literal::Number::Integer(value, suffix)) => {
                self.push(Token::Integer(value, suffix), start);
            }
            Ok(literal::Number::Duration(ns)) => self.push(Token::Duration(ns), start),
            Err(message) => {
                self.error(Code::InvalidLiteral, start, message);
                self.push(
                    Token::Integer(0, super::ast::IntegerSuffix::default()),
                    start,
                );
            }
        }
    }

    fn name(&mut self, of_c: bool) {
        let start = self.at;
        let word = self.name_characters();
        if of_c {
            return self.push(Token::Identifier(word), start);
        }
        if matches!(word, "const" | "volatile") {
            return;
        }
        if word == "if" && self.out.last().is_some_and(|l| !l.token.ends_operand()) {
            return self.push(Token::IfExpr, start);
        }
        if word == "import" && self.starts_statement() && self.rest().trim_start().starts_with('"')
        {
            return self.push(Token::Keyword("import"), start);
        }
        if let Some(keyword) = KEYWORDS.iter().find(|k| **k == word) {
            return self.push(Token::Keyword(keyword), start);
        }
        if !TYPE_NAMES.contains(&word) {
            return self.push(Token::Identifier(word), start);
        }
        let mut name = word.to_string();
        // `unsigned long long`, `long int`, … are one type.
        while C_INTEGER_WORDS.contains(&word) {
            let before = self.at;
            self.skip_blank();
            let next = self.word();
            if !C_INTEGER_WORDS.contains(&next) {
                self.at = before;
                break;
            }
            self.at += next.len();
            name = format!("{name} {next}");
        }
        self.push(Token::TypeName(name), start);
    }

    fn starts_statement(&self) -> bool {
        let before = self.out.last().map(|l| &l.token);
        matches!(
            before,
            Some(Token::Punct("{" | "}" | ";") | Token::BlockExprOpen)
        )
    }

    fn punctuation(&mut self) {
        let start = self.at;
        let rest = self.rest();
        let Some(text) = PUNCTUATION.iter().find(|p| rest.starts_with(**p)) else {
            let c = rest.chars().next().unwrap_or(' ');
            self.at += c.len_utf8();
            let name = match c {
                '`' => "a backtick".to_owned(),
                '\\' => "a backslash".to_owned(),
                c => format!("`{}`", c.escape_debug()),
            };
            let message = format!("{name} is no part of the language");
            self.error(Code::InvalidToken, start, message);
            return self.push(Token::Bad, start);
        };
        self.at += text.len();
        let previous = self.out.last().map(|l| &l.token);
        let config = self.out.len() == 2 && self.out[0].token == Token::Keyword("config");
        let token = match (*text, previous) {
            ("[", Some(Token::Map(_))) => Token::Punct("@["),
            ("{", Some(previous)) if !config && !previous.ends_operand() => Token::BlockExprOpen,
            _ => Token::Punct(text),
        };
        self.push(token, start);
    }

    /// `'text'`, which other languages have.
    fn single_quotes(&mut self) {
        let start = self.at;
        let rest = &self.rest()[1..];
        let end = rest.find(['\'', '\n']).unwrap_or(rest.len());
        let text = &rest[..end];
        self.at += 1 + end + usize::from(rest[end..].starts_with('\''));
        let span = self.span(start);
        self.diagnostics.push(
            Diagnostic::error(
                Code::InvalidToken,
                span,
                "strings are written in double quotes",
            )
            .with_help(format!("\"{text}\"")),
        );
        self.push(Token::String(vec![]), start);
    }

    /// A string; directly following ones are joined to it.
    fn string(&mut self) {
        let start = self.at;
        let rest = self.rest();
        let mut escaped = false;
        let end = rest.char_indices().skip(1).find(|(_, c)| {
            let ends = !escaped && (*c == '"' || *c == '\n');
            escaped = !escaped && *c == '\\';
            ends
        });
        let Some((end, '"')) = end else {
            self.at += end.map_or(rest.len(), |(at, _)| at);
            self.diagnostics.push(
                Diagnostic::error(
                    Code::InvalidToken,
                    self.span(start),
                    "this string never ends",
                )
                .with_help("close it with `\"` on the same line, or write `\\n` for a new line"),
            );
            self.broken = true;
            return self.push(Token::String(vec![]), start);
        };
        self.at += end + 1;
        let bytes = literal::unescape(&rest[1..end]).unwrap_or_else(|(offset, message)| {
            let at = start + 1 + offset;
            let width = 1 + self.text[at + 1..].chars().next().map_or(0, char::len_utf8);
            let span = Span::new(self.file, at, at + width);
            self.diagnostics
                .push(Diagnostic::error(Code::InvalidLiteral, span, message));
            vec![]
        });
        if let Some(Lexeme {
            token: Token::String(before),
            span,
        }) = self.out.last_mut()
        {
            before.extend(bytes);
            span.end = self.at as u32;
            return;
        }
        self.push(Token::String(bytes), start);
    }
}
