//! What chooses the next statement: `if`, loops, `break`, `continue`, `return` of a probe.

use super::convert;
use super::lowering::Lowering;
use super::scope::written;
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::visit::{self, Node};
use crate::ir::{Expr, ExprKind, IntType, Stmt, StmtKind, Type};
use crate::source::Span;
use crate::syntax::ast;

/// Copies that `unroll` may make.
const MAX_UNROLL: i128 = 100;
/// Copies that nested `unroll`s may make of a statement.
const MAX_COPIES: i128 = 1000;

impl Lowering<'_> {
    pub(super) fn jump(&mut self, word: &str, kind: StmtKind, span: Span) {
        if self.loops == 0 {
            self.report(Diagnostic::error(
                Code::InvalidControlFlow,
                span,
                format!("`{word}` outside of a loop"),
            ));
        } else {
            self.push(kind, span);
        }
    }

    /// `return` or `return value`. The value is for `--test` and `--bench`: to the kernel a program of any other probe
    /// says nothing.
    pub(super) fn return_from_probe(&mut self, value: Option<&ast::Expr>, span: Span) {
        let Some(value) = value else {
            return self.push(StmtKind::Return, span);
        };
        let Some(status) = self.integer_argument(value, "the value of `return`") else {
            return;
        };
        if !self.probe.attach.is_trial() {
            if !matches!(status.kind, ExprKind::Integer(_)) {
                let message = "nobody takes this value: only `test` and `bench` have a result";
                self.warn(Code::UnusedResult, value.span, message);
            }
            self.evaluate(status);
            return self.push(StmtKind::Return, span);
        }
        let wide = Type::Int(IntType::I64);
        let local = match self.status {
            Some(local) => local,
            None => self.new_local(wide.clone()),
        };
        self.status = Some(local);
        let value = self.convert(status, wide);
        self.push(StmtKind::SetLocal { local, value }, span);
        self.push(StmtKind::Return, span);
    }

    pub(super) fn choice(
        &mut self,
        condition: &ast::Expr,
        comptime: bool,
        then: &ast::Block,
        otherwise: Option<&ast::Block>,
        span: Span,
    ) {
        if comptime {
            let Some(decided) = self.decided(condition) else {
                return;
            };
            if let Some(holds) = decided {
                let chosen = if holds { Some(then) } else { otherwise };
                if let Some(Some(Some(value))) = chosen.map(|block| self.block(block)) {
                    self.evaluate(value);
                }
                return;
            }
        }
        let test = self.condition(condition);
        let told_on_target = test.as_ref().is_some_and(convert::is_told_on_target);
        let known = test.as_ref().and_then(|test| match test.kind {
            ExprKind::Integer(n) => Some(n != 0),
            _ => None,
        });
        let then = self.chosen(then, known == Some(false), told_on_target);
        let otherwise = otherwise
            .map(|block| self.chosen(block, known == Some(true), told_on_target))
            .unwrap_or_default();
        if let Some(condition) = test {
            self.push(
                StmtKind::If {
                    condition,
                    then,
                    otherwise,
                },
                span,
            );
        }
    }

    /// Whether the condition of `if comptime` holds. `Some(None)`: the target decides (which is when compiling where a script
    /// is run at once); `None`: a diagnostic was reported.
    pub(super) fn decided(&mut self, condition: &ast::Expr) -> Option<Option<bool>> {
        let (_, test) = self.collect(|l| l.condition(condition));
        let test = test?;
        if convert::is_told_on_target(&test) {
            return Some(None);
        }
        let ExprKind::Integer(n) = test.kind else {
            return self.error(
                Code::InvalidControlFlow,
                condition.span,
                "the condition of `if comptime` is not known when compiling",
            );
        };
        Some(Some(n != 0))
    }

    /// A branch, by what is known of its condition.
    fn chosen(&mut self, block: &ast::Block, dead: bool, told_on_target: bool) -> Vec<Stmt> {
        let before = self.reached;
        self.reached.never |= dead;
        self.reached.by_target |= told_on_target;
        let body = self.body(block);
        self.reached = before;
        body
    }

    pub(super) fn repeat_while(&mut self, condition: &ast::Expr, body: &ast::Block, span: Span) {
        let condition = self.branch(|l| l.condition(condition));
        let body = self.loop_body(body);
        if let Some(condition) = condition {
            self.push(StmtKind::While { condition, body }, span);
        }
    }

    fn loop_body(&mut self, block: &ast::Block) -> Vec<Stmt> {
        self.loops += 1;
        let body = self.body(block);
        self.loops -= 1;
        body
    }

    pub(super) fn unroll(&mut self, count: &ast::Expr, body: &ast::Block, span: Span) {
        let times = self.constant_integer(count);
        let outer = self.copies;
        self.copies = outer.saturating_mul(times.unwrap_or(1).clamp(1, MAX_UNROLL));
        if self.copies > MAX_COPIES {
            self.copies = outer;
            let message = format!("nested `unroll`s make more than {MAX_COPIES} copies here");
            return self
                .error::<()>(Code::InvalidControlFlow, count.span, message)
                .unwrap_or_default();
        }
        let body = self.loop_body(body);
        self.copies = outer;
        match times {
            Some(n) if (1..=MAX_UNROLL).contains(&n) => {
                let count = n as u32;
                self.push(StmtKind::Unroll { count, body }, span);
            }
            None if self.repeat(count, &body, span) => {}
            found => {
                let found = match found {
                    Some(n) => n.to_string(),
                    None => "what is not known when compiling".to_owned(),
                };
                self.report(Diagnostic::error(
                    Code::InvalidControlFlow,
                    count.span,
                    format!("`unroll` takes a constant from 1 to {MAX_UNROLL}, found {found}"),
                ));
            }
        }
    }

    /// A body as often as the executable's parameters say (`unroll($1)`); false where the count depends on more.
    fn repeat(&mut self, count: &ast::Expr, body: &[Stmt], span: Span) -> bool {
        let (diagnostics, positional) = (self.diagnostics.clone(), self.positional.clone());
        let (prelude, value) = self.collect(|l| l.integer_argument(count, "the count of `unroll`"));
        let Some(value) = value.filter(|v| prelude.is_empty() && is_of_target(v)) else {
            (self.diagnostics, self.positional) = (diagnostics, positional);
            return false;
        };
        let int = Type::Int(IntType::I64);
        let variable = self.new_local(int.clone());
        let start = self.integer(0, IntType::I64, span);
        let end = self.convert(value, int);
        let body = body.to_vec();
        self.push(
            StmtKind::ForRange {
                variable,
                start,
                end,
                body,
            },
            span,
        );
        true
    }

    pub(super) fn for_range(
        &mut self,
        variable: &ast::Name,
        start: &ast::Expr,
        end: &ast::Expr,
        body: &ast::Block,
        span: Span,
    ) {
        if end.kind == ast::ExprKind::Error {
            // Neither a range nor a map: the parser has no end for it.
            self.report(
                Diagnostic::error(
                    Code::InvalidControlFlow,
                    start.span,
                    "expected a range or a whole map to loop over",
                )
                .with_help("`for ($i : 0..5)` counts, `for ($kv : @map)` visits all elements"),
            );
            return;
        }
        let start = self.integer_argument(start, "the start of a range");
        let end = self.integer_argument(end, "the end of a range");
        let int = Type::Int(IntType::I64);
        let (local, body) = self.loop_over(variable, Some(int.clone()), body);
        if let (Some(start), Some(end), Some(local)) = (start, end, local) {
            let start = self.convert(start, int.clone());
            let end = self.convert(end, int);
            self.push(
                StmtKind::ForRange {
                    variable: local,
                    start,
                    end,
                    body,
                },
                span,
            );
        }
    }

    pub(super) fn for_map(
        &mut self,
        variable: &ast::Name,
        map: &ast::Name,
        body: &ast::Block,
        span: Span,
    ) {
        let id = self.map(&map.text, map.span);
        let mut ty = None;
        if self.map_is_scalar(id) {
            self.report(Diagnostic::error(
                Code::TypeMismatch,
                map.span,
                format!("`@{}` has no keys to loop over", map.text),
            ));
        } else if let Some(value) = self.map_value(id, map.span) {
            let value = match value {
                Type::Aggregation(of) => super::maps::element_reading(&of),
                other => other,
            };
            ty = (self.map_key_type(id)).map(|key| Type::Tuple(vec![key, value]));
        }
        let (local, body) = self.loop_over(variable, ty, body);
        if let Some(variable) = local {
            self.push(
                StmtKind::ForMap {
                    variable,
                    map: id,
                    body,
                },
                span,
            );
        }
    }

    /// A loop's body with its variable, which no outer variable of the name may hide.
    fn loop_over(
        &mut self,
        variable: &ast::Name,
        ty: Option<Type>,
        body: &ast::Block,
    ) -> (Option<crate::ir::LocalId>, Vec<Stmt>) {
        if self.scopes.find(&variable.text).is_some() {
            let message = format!("variable `${}` is in use already", written(&variable.text));
            self.name_taken(variable, message);
        }
        self.scopes.enter();
        let ordinal = self.scopes.declare(&variable.text, variable.span);
        let local = ty.map(|ty| {
            self.scopes.learn(ordinal, ty.clone(), true, false);
            self.add_local(variable.text.clone(), ty)
        });
        self.scopes.update(&variable.text, |b| b.local = local);
        let body = self.loop_body(body);
        self.scopes.leave();
        (local, body)
    }
}
/// Whether a value is the same in a whole run: made of constants and what the target tells before load.
fn is_of_target(value: &Expr) -> bool {
    let mut of_target = true;
    visit::expression(value, &mut |node| {
        of_target &= match node {
            Node::Expr(expr) => matches!(
                expr.kind,
                ExprKind::Integer(_)
                    | ExprKind::Target(_)
                    | ExprKind::Convert(_)
                    | ExprKind::Unary { .. }
                    | ExprKind::Binary { .. }
                    | ExprKind::Logical { .. }
                    | ExprKind::Select { .. }
            ),
            Node::Stmt(_) | Node::Steps(_) => false,
        };
    });
    of_target
}
