//! Expressions of the script become typed ones.

use super::convert;
use super::lowering::Lowering;
use crate::ir::{Expr, ExprKind, IntType, Type};
use crate::source::Span;
use crate::syntax::ast;

/// Several values as one.
pub(super) fn tuple(parts: Vec<Expr>, span: Span) -> Expr {
    Expr {
        ty: Type::Tuple(parts.iter().map(|p| p.ty.clone()).collect()),
        kind: ExprKind::Tuple(parts),
        span,
    }
}

impl Lowering<'_> {
    /// Lowers an expression; `None`: a diagnostic was reported (here or where the fault lies).
    pub fn expr(&mut self, expr: &ast::Expr) -> Option<Expr> {
        let span = expr.span;
        match &expr.kind {
            ast::ExprKind::Integer { value, suffix } => {
                let ty = if suffix.unsigned {
                    IntType::U64
                } else {
                    convert::literal_type(i128::from(*value))
                };
                Some(self.integer(*value, ty, span))
            }
            ast::ExprKind::String(text) => Some(self.string(text, span)),
            ast::ExprKind::Bool(value) => Some(self.boolean(*value, span)),
            ast::ExprKind::Error => None,
            _ => self.not_supported_yet(span, "this expression"),
        }
    }

    /// A condition: anything that has a truth, as Bool.
    pub fn condition(&mut self, expr: &ast::Expr) -> Option<Expr> {
        let value = self.expr(expr)?;
        self.truth(value)
    }

    /// An expression as an Int of 64 bits; `what` names it in a diagnostic.
    pub fn integer_argument(&mut self, expr: &ast::Expr, what: &str) -> Option<Expr> {
        let value = self.expr(expr)?;
        self.int64(value, what)
    }

    /// The value of an expression that is an integer constant (literals, `#define`s, enum constants, arithmetic on
    /// them). Reports nothing.
    pub fn constant_integer(&mut self, expr: &ast::Expr) -> Option<i128> {
        let reported = self.diagnostics.clone();
        let (_, value) = self.collect(|l| l.expr(expr));
        self.diagnostics = reported;
        let value = value?;
        match (&value.kind, &value.ty) {
            (ExprKind::Integer(n), Type::Int(int)) if int.signed => Some(i128::from(*n as i64)),
            (ExprKind::Integer(n) | ExprKind::EnumValue { value: n, .. }, _) => {
                Some(i128::from(*n))
            }
            _ => None,
        }
    }

    /// The text of a string literal or a `#define` of one. Reports nothing.
    pub fn literal_string(&mut self, expr: &ast::Expr) -> Option<Vec<u8>> {
        let expr = self.substituted(expr);
        match &expr.kind {
            ast::ExprKind::String(text) => Some(text.clone()),
            ast::ExprKind::Identifier(name) => self.constants.strings.get(name).cloned(),
            _ => None,
        }
    }

    /// The word of an argument that is an identifier (`kstack(perf)`, `nsecs(boot)`).
    pub fn word(&mut self, expr: &ast::Expr) -> Option<String> {
        match &self.substituted(expr).kind {
            ast::ExprKind::Identifier(name) => Some(name.clone()),
            _ => None,
        }
    }

    /// `base.name`, through pointers and anonymous members.
    pub fn field(&mut self, _base: Expr, name: &ast::Name) -> Option<Expr> {
        self.not_supported_yet(name.span, "fields")
    }

    /// A C type as the type of a value.
    pub fn ctype(&mut self, ty: &crate::host::CType) -> Type {
        self.types.from_c(ty)
    }

    /// A macro's expression parameter stands for its argument.
    pub(super) fn substituted(&self, expr: &ast::Expr) -> ast::Expr {
        expr.clone()
    }

    /// A macro's map parameter stands for its argument.
    pub(super) fn map_alias(&self, name: &str) -> String {
        name.to_owned()
    }
}
