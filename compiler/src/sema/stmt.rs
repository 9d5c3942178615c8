//! Statements: blocks and what each statement is, for [`super::assign`] and [`super::control`] to lower.

use super::convert;
use super::lowering::Lowering;
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::{Expr, ExprKind, Stmt, StmtKind, Type};
use crate::source::Span;
use crate::syntax::ast::{self, Statement, StatementKind};

impl Lowering<'_> {
    /// A block's statements in a scope of their own, put into the current list; its value, if it has one.
    pub(super) fn block(&mut self, block: &ast::Block) -> Option<Option<Expr>> {
        self.scopes.enter();
        self.statements(&block.statements);
        let value = match &block.value {
            None => Some(None),
            Some(value) => self.value_of_block(value).map(Some),
        };
        self.scopes.leave();
        value
    }

    fn value_of_block(&mut self, value: &ast::Expr) -> Option<Expr> {
        match &value.kind {
            ast::ExprKind::Call { name, arguments } => self.call(name, arguments, value.span, true),
            _ => self.expr(value),
        }
    }

    /// A block as an expression. Variables inside end with it, but its value was read before.
    pub(super) fn block_value(&mut self, block: &ast::Block, span: Span) -> Option<Expr> {
        match with_value(block) {
            Some(block) => self.block_or_void(&block, span),
            None => self.block_or_void(block, span),
        }
    }

    pub(super) fn block_or_void(&mut self, block: &ast::Block, span: Span) -> Option<Expr> {
        let value = self.block(block)?;
        Some(value.unwrap_or_else(|| self.void(span)))
    }

    /// A block whose value nobody takes: a probe's, a loop's, a branch's.
    pub(super) fn body(&mut self, block: &ast::Block) -> Vec<Stmt> {
        let (body, ()) = self.collect(|l| {
            if let Some(Some(value)) = l.block(block) {
                l.evaluate(value);
            }
        });
        body
    }

    /// Evaluates a value that nobody takes.
    pub(super) fn evaluate(&mut self, mut value: Expr) {
        if matches!(value.kind, ExprKind::MapDelete { .. }) {
            // That there was nothing to delete is counted.
            let span = value.span;
            value.ty = Type::Void;
            return self.push(StmtKind::Eval(value), span);
        }
        self.discard(value);
    }

    /// Evaluates a value that the script throws away by `_ =`.
    pub(super) fn discard(&mut self, value: Expr) {
        if value.ty != Type::Void && !convert::is_pure(&value) {
            let span = value.span;
            self.push(StmtKind::Eval(value), span);
        }
    }

    fn statements(&mut self, statements: &[Statement]) {
        let mut ended: Option<Span> = None;
        for statement in statements {
            if let Some(by) = ended.take()
                && statement.kind != StatementKind::Empty
            {
                self.report(
                    Diagnostic::warning(
                        Code::UnreachableCode,
                        statement.span,
                        "this is never reached",
                    )
                    .with_label(by, "because of this"),
                );
            }
            self.statement(statement);
            let leaves = match statement.kind {
                StatementKind::Return(_) => true,
                StatementKind::Break | StatementKind::Continue => self.loops > 0,
                _ => false,
            };
            if leaves {
                ended = Some(statement.span);
            }
        }
    }

    fn statement(&mut self, statement: &Statement) {
        let span = statement.span;
        match &statement.kind {
            StatementKind::Empty => {}
            StatementKind::Expression(expr) => self.effect(expr),
            StatementKind::Let { name, ty, value } => {
                self.declaration(name, ty.as_ref(), value.as_ref(), span);
            }
            StatementKind::Assign { target, op, value } => self.assign(target, *op, value, span),
            StatementKind::If {
                condition,
                comptime,
                then,
                otherwise,
            } => self.choice(condition, *comptime, then, otherwise.as_ref(), span),
            StatementKind::While { condition, body } => self.repeat_while(condition, body, span),
            StatementKind::Unroll { count, body } => self.unroll(count, body, span),
            StatementKind::ForRange {
                variable,
                start,
                end,
                body,
            } => self.for_range(variable, start, end, body, span),
            StatementKind::ForMap {
                variable,
                map,
                body,
            } => self.for_map(variable, map, body, span),
            StatementKind::Break => self.jump("break", StmtKind::Break, span),
            StatementKind::Continue => self.jump("continue", StmtKind::Continue, span),
            StatementKind::Return(value) => {
                let value = value.as_ref();
                if !self.return_from_subprogram(value, span) {
                    self.return_from_probe(value, span);
                }
            }
            StatementKind::Block(block) => {
                if let Some(Some(value)) = self.block(block) {
                    self.evaluate(value);
                }
            }
        }
    }

    /// An expression for what it does.
    fn effect(&mut self, expr: &ast::Expr) {
        let value = match &expr.kind {
            ast::ExprKind::Call { name, arguments } => self.call(name, arguments, expr.span, true),
            // Nobody takes the old value.
            ast::ExprKind::Step {
                decrement, operand, ..
            } => self.step(*decrement, true, operand, expr.span),
            _ => self.expr(expr),
        };
        let Some(value) = value else { return };
        self.warn_unused(expr, &value);
        self.evaluate(value);
    }
}

/// A block that ends with an `if` or a block which has a value, with that as the value: where a value is wanted, none of
/// them needs parentheses.
fn with_value(block: &ast::Block) -> Option<ast::Block> {
    if block.value.is_some() {
        return None;
    }
    let (last, before) = block.statements.split_last()?;
    let kind = match &last.kind {
        StatementKind::If {
            condition,
            comptime,
            then,
            otherwise: Some(otherwise),
        } if has_value(then) && has_value(otherwise) => ast::ExprKind::If {
            condition: Box::new(condition.clone()),
            comptime: *comptime,
            then: Box::new(then.clone()),
            otherwise: Box::new(otherwise.clone()),
        },
        StatementKind::Block(inner) if has_value(inner) => {
            ast::ExprKind::Block(Box::new(inner.clone()))
        }
        _ => return None,
    };
    Some(ast::Block {
        statements: before.to_vec(),
        value: Some(Box::new(ast::Expr {
            kind,
            span: last.span,
        })),
        span: block.span,
    })
}

fn has_value(block: &ast::Block) -> bool {
    block.value.is_some() || with_value(block).is_some()
}
