//! Parentheses that only a look at what they hold can tell apart: casts, type operands and record literals.

use super::token::{Lexeme, Token};

/// Replaces the `(` of casts, of types after sizeof and the like, and of record literals by tokens of their own.
pub fn disambiguate(mut tokens: Vec<Lexeme<'_>>) -> Vec<Lexeme<'_>> {
    for at in 0..tokens.len() {
        if tokens[at].token != Token::Punct("(") {
            continue;
        }
        let before = at.checked_sub(1).map(|i| &tokens[i].token);
        let replacement = match before {
            Some(Token::Keyword("sizeof" | "offsetof" | "typeof")) => {
                type_operand(&tokens, at).then_some(Token::TypeOpen)
            }
            Some(Token::Identifier("container_of")) if takes_a_type(&tokens, at) => {
                Some(Token::ContainerOpen)
            }
            Some(
                Token::Identifier(_)
                | Token::Keyword("if" | "while" | "for" | "unroll" | "comptime"),
            ) => None,
            _ if is_record(&tokens, at) => Some(Token::RecordOpen),
            _ => is_cast(&tokens, at).then_some(Token::CastOpen),
        };
        if let Some(token) = replacement {
            tokens[at].token = token;
        }
    }
    tokens
}

fn token<'t, 's>(tokens: &'t [Lexeme<'s>], at: usize) -> Option<&'t Token<'s>> {
    tokens.get(at).map(|l| &l.token)
}

fn is_record(tokens: &[Lexeme<'_>], open: usize) -> bool {
    matches!(token(tokens, open + 1), Some(Token::Identifier(_)))
        && matches!(token(tokens, open + 2), Some(Token::Punct("=")))
}

/// Whether the second of three arguments is a type.
fn takes_a_type(tokens: &[Lexeme<'_>], open: usize) -> bool {
    let Some(end) = closing(tokens, open) else {
        return false;
    };
    let mut depth = 0usize;
    let mut commas = vec![];
    for at in open + 1..end {
        match token(tokens, at) {
            Some(Token::Punct("(" | "[" | "{")) => depth += 1,
            Some(Token::Punct(")" | "]" | "}")) => depth = depth.saturating_sub(1),
            Some(Token::Punct(",")) if depth == 0 => commas.push(at),
            _ => {}
        }
    }
    let [first, second] = commas[..] else {
        return false;
    };
    type_ends(tokens, first + 1).is_some_and(|(end, _)| end == second)
}

/// Where a type that starts at `at` ends, and whether it can be nothing but a type.
fn type_ends(tokens: &[Lexeme<'_>], at: usize) -> Option<(usize, bool)> {
    let (mut end, mut certain) = match token(tokens, at)? {
        Token::Keyword("struct" | "union" | "enum") => match token(tokens, at + 1)? {
            Token::Identifier(_) => (at + 2, true),
            _ => return None,
        },
        Token::TypeName(_) => (at + 1, true),
        Token::Identifier(_) => (at + 1, false),
        Token::Keyword("typeof") => (closing(tokens, at + 1)? + 1, true),
        _ => return None,
    };
    let before_stars = end;
    while matches!(token(tokens, end), Some(Token::Punct("*"))) {
        end += 1;
    }
    // `(a * b)` is a product; `(a *)` can only be a pointer type.
    certain |= end > before_stars && matches!(token(tokens, end), Some(Token::Punct(")" | ",")));
    while matches!(token(tokens, end), Some(Token::Punct("["))) {
        let sized = matches!(token(tokens, end + 1), Some(Token::Integer(..)));
        end += if sized { 3 } else { 2 };
        if !matches!(token(tokens, end - 1), Some(Token::Punct("]"))) {
            return None;
        }
        certain |= !sized;
    }
    Some((end, certain))
}

/// The bracket that closes the one at `open`.
fn closing(tokens: &[Lexeme<'_>], open: usize) -> Option<usize> {
    let mut depth = 0usize;
    for at in open..tokens.len() {
        match token(tokens, at)? {
            Token::Punct("(")
            | Token::TypeOpen
            | Token::CastOpen
            | Token::ContainerOpen
            | Token::RecordOpen => depth += 1,
            Token::Punct(")") => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

fn type_operand(tokens: &[Lexeme<'_>], open: usize) -> bool {
    let Some((end, certain)) = type_ends(tokens, open + 1) else {
        return false;
    };
    certain && matches!(token(tokens, end), Some(Token::Punct(")" | ",")))
}

fn is_cast(tokens: &[Lexeme<'_>], open: usize) -> bool {
    let Some((end, certain)) = type_ends(tokens, open + 1) else {
        return false;
    };
    if !matches!(token(tokens, end), Some(Token::Punct(")"))) {
        return false;
    }
    match token(tokens, end + 1) {
        Some(
            Token::Identifier(_)
            | Token::Variable(_)
            | Token::Map(_)
            | Token::Positional(_)
            | Token::Integer(..)
            | Token::Duration(_)
            | Token::String(_)
            | Token::BlockExprOpen
            | Token::Punct("(" | "$#")
            | Token::Keyword("sizeof" | "offsetof" | "true" | "false"),
        ) => true,
        // After a mere name these continue an expression: `(a) - b`.
        Some(Token::Punct("-" | "+" | "!" | "~" | "*" | "&" | "++" | "--")) => certain,
        _ => false,
    }
}
