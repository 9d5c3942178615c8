//! Literals behind a minus sign: the least number has a larger magnitude than any literal of its type, so only both together
//! tell whether 64 bits hold it.

use super::token::{Lexeme, Token};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};

/// Of the least number of 64 bits.
const MAGNITUDE: u64 = i64::MIN.unsigned_abs();

/// Refuses negative literals that don't fit. Casts are marked already: what follows one is no difference.
pub fn check(tokens: &[Lexeme<'_>], diagnostics: &mut Diagnostics) {
    let mut open: Vec<bool> = vec![];
    // Whether a value stands before.
    let mut operand = false;
    for (at, lexeme) in tokens.iter().enumerate() {
        if let (Token::Punct("-"), false, Some(next)) = (&lexeme.token, operand, tokens.get(at + 1))
            && let Token::Integer(value, suffix) = next.token
            && value > MAGNITUDE
            && !suffix.unsigned
        {
            let message = format!("the integer `-{value}` does not fit into 64 bits");
            let span = lexeme.span.to(next.span);
            diagnostics.push(Diagnostic::error(Code::InvalidLiteral, span, message));
        }
        operand = match lexeme.token {
            Token::CastOpen => {
                open.push(true);
                false
            }
            Token::Punct("(") | Token::TypeOpen | Token::ContainerOpen | Token::RecordOpen => {
                open.push(false);
                false
            }
            Token::Punct(")") => !open.pop().unwrap_or(false),
            Token::Punct(";" | "{" | "}") => false,
            ref token => token.ends_operand(),
        };
    }
}
