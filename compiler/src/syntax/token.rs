//! Tokens: what the lexer makes and the grammar reads.

use super::ast::{AttachPoint, CText, IntegerSuffix};
use crate::source::Span;

/// One token. Punctuation and keywords carry their own text.
#[derive(Clone, Debug, PartialEq)]
pub enum Token<'s> {
    /// Operators, brackets, separators.
    Punct(&'static str),
    Keyword(&'static str),
    Identifier(&'s str),
    /// `$x`, without the `$`.
    Variable(&'s str),
    /// `@x`, without the `@`.
    Map(&'s str),
    /// `$1`
    Positional(u32),
    Integer(u64, IntegerSuffix),
    /// A literal with a time unit, in nanoseconds.
    Duration(u64),
    String(Vec<u8>),
    /// The digits after a dot.
    TupleIndex(u32),
    /// A builtin type's name (`uint64`, `unsigned long`).
    TypeName(String),
    /// `(` that opens a cast.
    CastOpen,
    /// `(` after sizeof, offsetof or typeof whose contents are a type.
    TypeOpen,
    /// `(` after container_of, whose second argument is a type.
    ContainerOpen,
    /// `{` where an operand is expected.
    BlockExprOpen,
    /// `(` that opens a record literal.
    RecordOpen,
    /// `if` where an operand is expected.
    IfExpr,
    AttachPoint(AttachPoint),
    PredicateOpen,
    PredicateClose,
    C(CText),
    /// A piece of text that is no token; its diagnostic was given already.
    Bad,
}

/// A token and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Lexeme<'s> {
    pub token: Token<'s>,
    pub span: Span,
}

pub const KEYWORDS: &[&str] = &[
    "if", "else", "while", "for", "unroll", "return", "break", "continue", "let", "sizeof",
    "offsetof", "typeof", "struct", "union", "enum", "true", "false", "comptime",
];

/// Keywords only where an item starts.
pub const ITEM_KEYWORDS: &[&str] = &["config", "macro", "import", "fn", "let"];

/// Longest first.
pub const PUNCTUATION: &[&str] = &[
    "<<=", ">>=", "->", "++", "--", "<<", ">>", "<=", ">=", "==", "!=", "&&", "||", "+=", "-=",
    "*=", "/=", "%=", "&=", "|=", "^=", "..", "+", "-", "*", "/", "%", "=", "<", ">", "!", "~",
    "&", "|", "^", "?", ":", ";", ",", ".", "(", ")", "{", "}", "[", "]",
];

/// Type names that no script can use for anything else.
pub const TYPE_NAMES: &[&str] = &[
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "int8_t",
    "int16_t", "int32_t", "int64_t", "uint8_t", "uint16_t", "uint32_t", "uint64_t", "void", "char",
    "short", "int", "long", "unsigned", "signed", "string", "buffer", "inet", "u8", "u16", "u32",
    "u64", "s8", "s16", "s32", "s64",
];

/// Words that C joins into one integer type.
pub const C_INTEGER_WORDS: &[&str] = &["unsigned", "signed", "char", "short", "int", "long"];

impl Token<'_> {
    /// How a message names the token: its text, or what kind of thing it is.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Token::Punct(text) | Token::Keyword(text) => format!("`{text}`"),
            Token::Identifier(text) => format!("`{text}`"),
            Token::Variable(name) => format!("`${name}`"),
            Token::Map(name) => format!("`@{name}`"),
            Token::Positional(n) => format!("`${n}`"),
            Token::Integer(value, _) => format!("`{value}`"),
            Token::Duration(_) => "a duration".into(),
            Token::String(_) => "a string".into(),
            Token::TupleIndex(n) => format!("`{n}`"),
            Token::TypeName(name) => format!("the type `{name}`"),
            Token::CastOpen | Token::TypeOpen | Token::ContainerOpen | Token::RecordOpen => {
                "`(`".into()
            }
            Token::BlockExprOpen => "`{`".into(),
            Token::IfExpr => "`if`".into(),
            Token::AttachPoint(_) => "a probe".into(),
            Token::PredicateOpen | Token::PredicateClose => "`/`".into(),
            Token::C(_) => "a C definition".into(),
            Token::Bad => "this".into(),
        }
    }

    /// An operand or a statement can end with this token, so that a `{` or `if` after it opens no operand.
    #[must_use]
    pub fn ends_operand(&self) -> bool {
        match self {
            Token::Punct(text) => {
                matches!(*text, ")" | "]" | "}" | "++" | "--" | ";" | "{")
            }
            Token::Keyword(word) => *word != "return",
            Token::PredicateOpen
            | Token::CastOpen
            | Token::TypeOpen
            | Token::ContainerOpen
            | Token::RecordOpen => false,
            _ => true,
        }
    }
}
