//! Small constructors for the grammar's actions.

use super::ast::{
    BinaryOp, Block, Expr, ExprKind, Name, Statement, StatementKind, Target, TypeExpr,
    TypeExprKind, UnaryOp,
};
use crate::source::Span;

pub fn block((mut statements, last): (Vec<Statement>, Option<Statement>), span: Span) -> Block {
    let mut value = None;
    match last {
        Some(Statement {
            kind: StatementKind::Expression(e),
            ..
        }) => value = Some(Box::new(e)),
        Some(other) => statements.push(other),
        None => {}
    }
    Block {
        statements,
        value,
        span,
    }
}

/// An `if` that has a value.
pub fn choice(condition: Expr, comptime: bool, then: Block, otherwise: Block) -> ExprKind {
    ExprKind::If {
        condition: Box::new(condition),
        comptime,
        then: Box::new(then),
        otherwise: Box::new(otherwise),
    }
}

pub fn for_loop(variable: Name, first: Expr, end: Option<Expr>, body: Block) -> StatementKind {
    if let Some(end) = end {
        return StatementKind::ForRange {
            variable,
            start: first,
            end,
            body,
        };
    }
    match first.kind {
        ExprKind::Map { name, key: None } => {
            let map = Name {
                text: name,
                span: first.span,
            };
            StatementKind::ForMap {
                variable,
                map,
                body,
            }
        }
        // Sema refuses a range that ends where it starts only in this shape.
        kind => {
            let start = Expr {
                kind,
                span: first.span,
            };
            let end = Expr {
                kind: ExprKind::Error,
                span: first.span,
            };
            StatementKind::ForRange {
                variable,
                start,
                end,
                body,
            }
        }
    }
}

pub fn target(e: Expr) -> Target {
    match e.kind {
        ExprKind::Variable(text) => Target::Variable(Name { text, span: e.span }),
        ExprKind::Map { name, key } => {
            let name = Name {
                text: name,
                span: e.span,
            };
            Target::Map {
                name,
                key: key.unwrap_or_default(),
                span: e.span,
            }
        }
        ExprKind::Identifier(text) if text == "_" => Target::Discard(e.span),
        kind => Target::Other(Box::new(Expr { kind, span: e.span })),
    }
}

pub fn ternary(condition: Expr, then: Option<Expr>, otherwise: Expr, span: Span) -> Expr {
    let kind = ExprKind::Ternary {
        condition: Box::new(condition),
        then: then.map(Box::new),
        otherwise: Box::new(otherwise),
    };
    Expr { kind, span }
}

pub fn binary(op: BinaryOp, left: Expr, right: Expr, span: Span) -> Expr {
    Expr {
        kind: ExprKind::Binary {
            op,
            left: Box::new(left),
            right: Box::new(right),
        },
        span,
    }
}

pub fn unary(op: UnaryOp, operand: Expr, span: Span) -> Expr {
    Expr {
        kind: ExprKind::Unary {
            op,
            operand: Box::new(operand),
        },
        span,
    }
}

pub fn step(decrement: bool, prefix: bool, operand: Expr, span: Span) -> Expr {
    Expr {
        kind: ExprKind::Step {
            decrement,
            prefix,
            operand: Box::new(operand),
        },
        span,
    }
}

pub fn cast(ty: TypeExpr, operand: Expr, span: Span) -> Expr {
    Expr {
        kind: ExprKind::Cast {
            ty,
            operand: Box::new(operand),
        },
        span,
    }
}

pub fn field(base: Expr, name: Name, arrow: bool, span: Span) -> Expr {
    Expr {
        kind: ExprKind::Field {
            base: Box::new(base),
            name,
            arrow,
        },
        span,
    }
}

pub fn tuple_field(base: Expr, index: u32, span: Span) -> Expr {
    Expr {
        kind: ExprKind::TupleField {
            base: Box::new(base),
            index,
        },
        span,
    }
}

pub fn index(base: Expr, index: Expr, span: Span) -> Expr {
    Expr {
        kind: ExprKind::Index {
            base: Box::new(base),
            index: Box::new(index),
        },
        span,
    }
}

pub fn tuple(first: Expr, rest: Vec<Expr>) -> ExprKind {
    ExprKind::Tuple(std::iter::once(first).chain(rest).collect())
}

/// Pointers and arrays around a base type; `string[64]` and `buffer[16]` are sizes, not arrays.
pub fn declarator(
    base: TypeExprKind,
    stars: usize,
    mut sizes: Vec<Option<u64>>,
    span: Span,
) -> TypeExpr {
    let mut kind = base;
    if let (TypeExprKind::Named(name), 0, Some(Some(size))) = (&kind, stars, sizes.first())
        && matches!(name.as_str(), "string" | "buffer" | "inet")
    {
        kind = TypeExprKind::Sized {
            name: name.clone(),
            size: *size,
        };
        sizes.remove(0);
    }
    for _ in 0..stars {
        kind = TypeExprKind::Pointer(Box::new(TypeExpr { kind, span }));
    }
    for length in sizes.into_iter().rev() {
        kind = TypeExprKind::Array {
            element: Box::new(TypeExpr { kind, span }),
            length,
        };
    }
    TypeExpr { kind, span }
}
