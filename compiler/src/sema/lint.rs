//! Warnings: what a program is allowed to do and its author hardly means.

use super::convert;
use super::lowering::Lowering;
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::visit::{self, Node};
use crate::ir::{Expr, ExprKind, Helper, IntType, Type};
use crate::source::Span;
use crate::syntax::ast;

impl Lowering<'_> {
    /// A statement that is a value, and does nothing else.
    pub(super) fn warn_unused(&mut self, written: &ast::Expr, value: &Expr) {
        if value.ty == Type::Void || self.may_act(written, value) {
            return;
        }
        let text = self.sources.text(written.span);
        self.report(
            Diagnostic::warning(Code::UnusedResult, written.span, "this value is not used")
                .with_help(format!("_ = {text}")),
        );
    }

    /// Blocks and choices may be there for what they do; of calls, those that do something are.
    fn may_act(&self, written: &ast::Expr, value: &Expr) -> bool {
        match &written.kind {
            ast::ExprKind::Step { .. }
            | ast::ExprKind::Block(_)
            | ast::ExprKind::If { .. }
            | ast::ExprKind::Ternary { .. } => true,
            ast::ExprKind::Identifier(name) if self.is_macro(name, &[], written.span) => true,
            ast::ExprKind::Call { name, arguments } => {
                self.is_macro(&name.text, arguments, name.span) || acts(value)
            }
            _ => matches!(value.kind, ExprKind::Logical { .. }),
        }
    }

    /// A constant that loses bits when it is cast. Both the signed and the unsigned reading of a width are its own:
    /// `(uint32)-1` and `(int32)0xffffffff` are meant.
    pub(super) fn warn_cut_constant(&mut self, value: &Expr, to: IntType, span: Span) {
        let (ExprKind::Integer(n), Type::Int(from)) = (&value.kind, &value.ty) else {
            return;
        };
        let reading = |signed| IntType { signed, ..to };
        if convert::constant_fits(*n, *from, reading(true))
            || convert::constant_fits(*n, *from, reading(false))
        {
            return;
        }
        let shown = match from.signed {
            true => (*n as i64).to_string(),
            false => n.to_string(),
        };
        let to = self.type_name(&Type::Int(to));
        let message = format!("`{to}` can't hold {shown}: its upper bits are cut off");
        self.warn(Code::Truncation, span, message);
    }

    /// Text that is compared with a string that can never be as long.
    pub(super) fn warn_never_equal(&mut self, left: &Expr, right: &Expr, span: Span) {
        for (text, other) in [(left, right), (right, left)] {
            if let (ExprKind::String(text), Type::String { size }) = (&text.kind, &other.ty)
                && !matches!(other.kind, ExprKind::String(_))
                && text.len() >= *size as usize
            {
                let found = self.type_name(&other.ty);
                let message = format!(
                    "these are never equal: the text has {} bytes and `{found}` holds {}",
                    text.len(),
                    size.saturating_sub(1)
                );
                self.warn(Code::Truncation, span, message);
            }
        }
    }
}

/// Whether evaluating a value changes anything: statements, deletions, steps of maps, signals.
fn acts(value: &Expr) -> bool {
    let mut found = false;
    visit::expression(value, &mut |node| {
        found |= match node {
            Node::Stmt(_) => true,
            Node::Expr(expr) => match &expr.kind {
                ExprKind::MapDelete { .. }
                | ExprKind::MapStep { .. }
                | ExprKind::Foreign { .. } => true,
                ExprKind::Helper { helper, .. } => matches!(
                    helper,
                    Helper::SendSignal | Helper::SendSignalThread | Helper::OverrideReturn
                ),
                _ => false,
            },
            Node::Steps(_) => false,
        };
    });
    found
}
