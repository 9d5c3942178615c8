//! The untyped tree: what the parser makes, and all that it knows. No machine, no types, spans everywhere.

use crate::source::{FileId, Span};

/// A whole script.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Program {
    /// The C preamble's text, in order: directives, definitions. libclang reads it, not we.
    pub preamble: Vec<CText>,
    pub items: Vec<Item>,
    /// Where the imports stood that are resolved.
    pub imports: Vec<Span>,
    /// C files that are compiled and linked (`import "x.bpf.c"`).
    pub foreign: Vec<ForeignSource>,
    /// The comment block at the top of the file, without comment marks; a produced tool's `-h` prints it.
    pub header_comment: Option<String>,
}

/// An imported C file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ForeignSource {
    pub file: FileId,
    /// Of the first `import` of it.
    pub span: Span,
}

/// A verbatim piece of C: `#include`, `#define`, `struct … { … };`, `union`, `enum`, `typedef`.
#[derive(Clone, Debug, PartialEq)]
pub struct CText {
    pub text: String,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Name {
    pub text: String,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    Config(Config),
    Import(Import),
    Macro(Macro),
    MapDeclaration(MapDeclaration),
    Probe(Probe),
    /// `fn name($a: type): type { … }`
    Subprogram(Subprogram),
}

/// `import "path"`
#[derive(Clone, Debug, PartialEq)]
pub struct Import {
    /// Without quotes.
    pub path: Name,
    /// A statement of a block: what a macro needs, wherever it is used.
    pub statement: bool,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub entries: Vec<ConfigEntry>,
    /// The word `config`.
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ConfigEntry {
    pub name: Name,
    pub value: ConfigValue,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ConfigValue {
    Integer(u64),
    Bool(bool),
    /// A quoted string or a bare word.
    Word(String),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Macro {
    pub name: Name,
    pub parameters: Vec<MacroParameter>,
    pub body: Block,
    /// The body's variables are its own; not so in C's `#define`, which is text.
    pub hygienic: bool,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum MacroParameter {
    /// `x`: an expression, evaluated where it stands.
    Expression(Name),
    /// `$x`
    Variable(Name),
    /// `@x`
    Map(Name),
}

/// `let @m = lruhash(100);`
#[derive(Clone, Debug, PartialEq)]
pub struct MapDeclaration {
    /// Without the `@`.
    pub name: Name,
    /// `hash`, `lruhash`, `percpuhash`, `percpulruhash`.
    pub kind: Name,
    pub arguments: Vec<Expr>,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Subprogram {
    pub name: Name,
    pub parameters: Vec<(Name, TypeExpr)>,
    pub result: TypeExpr,
    pub body: Block,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    pub attach_points: Vec<AttachPoint>,
    pub predicate: Option<Expr>,
    pub body: Block,
    pub span: Span,
}

/// One attach point as written: `name=provider:part:part`. Parts are split at colons outside quotes;
/// each provider's table row decides what they mean.
#[derive(Clone, Debug, PartialEq)]
pub struct AttachPoint {
    /// The `name=` in front, for the `probe` of a group.
    pub label: Option<Name>,
    /// As written: `kprobe`, `k`, `BEGIN`, `1s` (a bare duration), …
    pub provider: Name,
    pub parts: Vec<AttachPart>,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct AttachPart {
    /// Without quotes. Positional parameters (`$1`) stay in the text.
    pub text: String,
    pub quoted: bool,
    pub span: Span,
}

/// `{ statements; value }`: a block is an expression when its last entry has no semicolon.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Block {
    pub statements: Vec<Statement>,
    /// The last expression without a semicolon (a probe's or loop's block ignores it as a statement would).
    pub value: Option<Box<Expr>>,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    pub kind: StatementKind,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum StatementKind {
    Expression(Expr),
    /// `let $x: type = value`
    Let {
        name: Name,
        ty: Option<TypeExpr>,
        value: Option<Expr>,
    },
    /// `target = value`, `target += value`; `op` is `None` for plain assignment.
    Assign {
        target: Target,
        op: Option<BinaryOp>,
        value: Expr,
    },
    If {
        condition: Expr,
        comptime: bool,
        then: Block,
        otherwise: Option<Block>,
    },
    While {
        condition: Expr,
        body: Block,
    },
    Unroll {
        count: Expr,
        body: Block,
    },
    /// `for ($i : a..b)`
    ForRange {
        variable: Name,
        start: Expr,
        end: Expr,
        body: Block,
    },
    /// `for ($kv : @map)`
    ForMap {
        variable: Name,
        map: Name,
        body: Block,
    },
    Break,
    Continue,
    Return(Option<Expr>),
    Block(Block),
    /// `config = { … }` and the like never stand here: they are items.
    Empty,
}

/// What can stand left of `=`.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// `$x`
    Variable(Name),
    /// `@m` or `@m[k, …]`
    Map {
        name: Name,
        key: Vec<Expr>,
        span: Span,
    },
    /// `_`
    Discard(Span),
    /// Anything else that has the shape of an expression (a field, `*p`); sema says what is wrong.
    Other(Box<Expr>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    pub kind: ExprKind,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// `42`, `0x2a`, `1_000`, `1e6`, `42UL`.
    Integer {
        value: u64,
        suffix: IntegerSuffix,
    },
    /// `10ms` as an integer of nanoseconds.
    Duration {
        nanoseconds: u64,
    },
    /// Escapes resolved, adjacent literals joined. Bytes, since `\x80` needs not be UTF-8.
    String(Vec<u8>),
    Bool(bool),
    /// A builtin, an enum constant, a macro's parameter, a `#define`: sema knows.
    Identifier(String),
    /// `$x`, without the `$`.
    Variable(String),
    /// `@m` or `@m[k, …]`, without the `@`; the anonymous map is "".
    Map {
        name: String,
        key: Option<Vec<Expr>>,
    },
    /// `$1`: one-based.
    Positional(u32),
    /// `$#`
    PositionalCount,
    Call {
        name: Name,
        arguments: Vec<Expr>,
    },
    Sizeof(TypeOrExpr),
    /// `offsetof(struct s, a.b)`, `offsetof(expr, a)`
    Offsetof {
        of: TypeOrExpr,
        path: Vec<Name>,
    },
    /// `container_of(pointer, struct s, a.b)`
    ContainerOf {
        pointer: Box<Expr>,
        ty: Box<TypeExpr>,
        path: Vec<Name>,
    },
    Typeof(TypeOrExpr),
    Unary {
        op: UnaryOp,
        operand: Box<Expr>,
    },
    /// `++x`, `x--`; the operand is a variable, a map element or something that sema refuses.
    Step {
        decrement: bool,
        prefix: bool,
        operand: Box<Expr>,
    },
    Binary {
        op: BinaryOp,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    /// `c ? a : b`, `c ?: b` when `then` is `None`.
    Ternary {
        condition: Box<Expr>,
        then: Option<Box<Expr>>,
        otherwise: Box<Expr>,
    },
    /// `base.name` and `base->name` alike; `arrow` only for diagnostics and printing.
    Field {
        base: Box<Expr>,
        name: Name,
        arrow: bool,
    },
    /// `t.0`
    TupleField {
        base: Box<Expr>,
        index: u32,
    },
    Index {
        base: Box<Expr>,
        index: Box<Expr>,
    },
    Cast {
        ty: TypeExpr,
        operand: Box<Expr>,
    },
    /// `(a, b)`; never of one element, `()` is empty.
    Tuple(Vec<Expr>),
    /// `(x = 1, y = "a")`
    Record(Vec<(Name, Expr)>),
    Block(Box<Block>),
    /// An `if` whose branches are block expressions.
    If {
        condition: Box<Expr>,
        comptime: bool,
        then: Box<Block>,
        otherwise: Box<Block>,
    },
    /// What the parser skipped after an error; later stages keep silent about it.
    Error,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IntegerSuffix {
    pub unsigned: bool,
    pub long: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum TypeOrExpr {
    Type(Box<TypeExpr>),
    Expr(Box<Expr>),
}

/// A type as written.
#[derive(Clone, Debug, PartialEq)]
pub struct TypeExpr {
    pub kind: TypeExprKind,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum TypeExprKind {
    /// `uint64`, `string`, `buffer`, `bool`, `inet`, a typedef, …; C's multi-word integers are joined
    /// with single spaces ("unsigned long long").
    Named(String),
    /// `string[64]`, `buffer[16]`, `inet[16]`.
    Sized {
        name: String,
        size: u64,
    },
    Struct(String),
    Union(String),
    Enum(String),
    Pointer(Box<TypeExpr>),
    /// `int32[4]`, `int32[]` (length from the operand of a cast).
    Array {
        element: Box<TypeExpr>,
        length: Option<u64>,
    },
    Tuple(Vec<TypeExpr>),
    Record(Vec<(Name, TypeExpr)>),
    Typeof(TypeOrExpr),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnaryOp {
    /// `-`
    Negate,
    /// `+`
    Plus,
    /// `!`
    Not,
    /// `~`
    BitNot,
    /// `*`
    Dereference,
    /// `&`
    AddressOf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryOp {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    LogicalAnd,
    LogicalOr,
    BitAnd,
    BitOr,
    BitXor,
    ShiftLeft,
    ShiftRight,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Equal,
    NotEqual,
}

impl BinaryOp {
    #[must_use]
    pub fn symbol(self) -> &'static str {
        match self {
            BinaryOp::Add => "+",
            BinaryOp::Subtract => "-",
            BinaryOp::Multiply => "*",
            BinaryOp::Divide => "/",
            BinaryOp::Modulo => "%",
            BinaryOp::LogicalAnd => "&&",
            BinaryOp::LogicalOr => "||",
            BinaryOp::BitAnd => "&",
            BinaryOp::BitOr => "|",
            BinaryOp::BitXor => "^",
            BinaryOp::ShiftLeft => "<<",
            BinaryOp::ShiftRight => ">>",
            BinaryOp::Less => "<",
            BinaryOp::LessEqual => "<=",
            BinaryOp::Greater => ">",
            BinaryOp::GreaterEqual => ">=",
            BinaryOp::Equal => "==",
            BinaryOp::NotEqual => "!=",
        }
    }
}

impl UnaryOp {
    #[must_use]
    pub fn symbol(self) -> &'static str {
        match self {
            UnaryOp::Negate => "-",
            UnaryOp::Plus => "+",
            UnaryOp::Not => "!",
            UnaryOp::BitNot => "~",
            UnaryOp::Dereference => "*",
            UnaryOp::AddressOf => "&",
        }
    }
}
