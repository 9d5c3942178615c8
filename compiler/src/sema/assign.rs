//! Declarations, assignments and steps (`++`, `+=`) of variables and maps.

use super::convert;
use super::lowering::Lowering;
use super::scope::{Binding, written};
use crate::builtin::{self, Lower};
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::{Expr, ExprKind, IntType, MapId, StmtKind, Type};
use crate::source::Span;
use crate::syntax::ast::{self, Target};

impl Lowering<'_> {
    pub(super) fn declaration(
        &mut self,
        name: &ast::Name,
        ty: Option<&ast::TypeExpr>,
        value: Option<&ast::Expr>,
        span: Span,
    ) {
        let value = value.map(|v| self.expr(v));
        let ty = ty.map(|t| self.type_expr(t));
        if self.scopes.in_this_block(&name.text) {
            let message = format!(
                "variable `${}` is declared twice in this block",
                written(&name.text)
            );
            self.name_taken(name, message);
            return;
        }
        let ordinal = self.scopes.declare(&name.text, name.span);
        match ty {
            Some(Some(ty)) => {
                if self.can_hold(&ty, name.span).is_none() {
                    return;
                }
                self.scopes.learn(ordinal, ty.clone(), true, false);
                let local = self.add_local(name.text.clone(), ty);
                self.scopes.update(&name.text, |b| b.local = Some(local));
            }
            // Its errors are said; what is done with it stays silent.
            Some(None) => return,
            None => {
                let known = self.scopes.variable(ordinal).and_then(|v| v.ty.clone());
                if let Some(ty) = known {
                    let local = self.add_local(name.text.clone(), ty);
                    self.scopes.update(&name.text, |b| b.local = Some(local));
                }
            }
        }
        if let Some(Some(value)) = value {
            self.assign_variable(&name.text, value, span);
        }
    }

    /// A variable of this name is in scope already.
    pub(super) fn name_taken(&mut self, name: &ast::Name, message: String) {
        let taken = Diagnostic::error(Code::DuplicateName, name.span, message);
        let first = self.scopes.find(&name.text);
        let first = first.and_then(|b| self.scopes.variable(b.ordinal));
        self.report(match first {
            Some(first) => taken.with_label(first.declared, "first set here"),
            None => taken,
        });
    }

    pub(super) fn assign(
        &mut self,
        target: &Target,
        op: Option<ast::BinaryOp>,
        value: &ast::Expr,
        span: Span,
    ) {
        match target {
            Target::Discard(at) => {
                if let Some(op) = op {
                    let message = format!("`_` holds nothing that `{}=` could change", op.symbol());
                    self.error::<()>(Code::InvalidAssignment, *at, message);
                }
                if let Some(value) = self.expr(value) {
                    self.discard(value);
                }
            }
            Target::Variable(name) => {
                let value = match op {
                    None => self.expr(value),
                    Some(op) => {
                        let mut before = self.expr(&ast::Expr {
                            kind: ast::ExprKind::Variable(name.text.clone()),
                            span: name.span,
                        });
                        let value = self.behind(&mut before, |l| l.expr(value));
                        match (before, value) {
                            (Some(before), Some(value)) => self.combine(op, before, value, span),
                            _ => None,
                        }
                    }
                };
                match value {
                    Some(value) => self.assign_variable(&name.text, value, span),
                    None => self.poison_variable(&name.text, name.span),
                }
            }
            Target::Map {
                name,
                key,
                span: at,
            } => {
                let map = self.map(&name.text, *at);
                let parts = (!key.is_empty()).then_some(key.as_slice());
                match op {
                    None => self.assign_map(map, parts, value, *at, span),
                    Some(op) => self.update_map(map, parts, op, value, *at, span),
                }
            }
            Target::Other(other) => {
                if let Some(meant) = self.defined_target(other) {
                    return self.assign(&meant, op, value, span);
                }
                let code = Code::InvalidAssignment;
                self.report(Diagnostic::error(
                    code,
                    other.span,
                    "only variables and maps can be assigned to",
                ));
            }
        }
    }

    /// What a `#define` that stands left of `=` means.
    fn defined_target(&self, other: &ast::Expr) -> Option<Target> {
        let meant = self.defined(other)?;
        let span = meant.span;
        let name = |text| ast::Name { text, span };
        match meant.kind {
            ast::ExprKind::Variable(text) => Some(Target::Variable(name(text))),
            ast::ExprKind::Map { name: text, key } => Some(Target::Map {
                name: name(text),
                key: key.unwrap_or_default(),
                span,
            }),
            _ => None,
        }
    }

    /// Binds a name whose value was an error, so that its uses stay silent.
    fn poison_variable(&mut self, name: &str, span: Span) {
        if self.scopes.find(name).is_none() {
            self.scopes.imply(name, span);
        }
    }

    /// `$name = value`
    pub fn assign_variable(&mut self, name: &str, value: Expr, span: Span) {
        let Some(value) = self.with_value(value) else {
            return self.poison_variable(name, span);
        };
        if self.can_hold(&value.ty, value.span).is_none() {
            return self.poison_variable(name, span);
        }
        let binding = match self.scopes.find(name) {
            Some(binding) => binding,
            None => {
                let ordinal = self.scopes.imply(name, span);
                Binding {
                    ordinal,
                    local: None,
                }
            }
        };
        let Some(ty) = self.variable_type(name, binding.ordinal, &value, span) else {
            return;
        };
        let local = match binding.local {
            Some(local) => {
                self.locals[local.index()].ty = ty.clone();
                local
            }
            None => {
                let local = self.add_local(name.to_owned(), ty.clone());
                self.scopes.update(name, |b| b.local = Some(local));
                local
            }
        };
        let value = self.convert(value, ty);
        self.hold(local, &value, span);
        self.push(StmtKind::SetLocal { local, value }, span);
    }

    /// The type that a variable has with this value among its values.
    fn variable_type(
        &mut self,
        name: &str,
        ordinal: usize,
        value: &Expr,
        span: Span,
    ) -> Option<Type> {
        let name = written(name);
        let known = self.scopes.variable(ordinal).cloned();
        let constant = convert::is_nonnegative_constant(value);
        let Some((ty, variable)) = known.and_then(|v| v.ty.clone().map(|t| (t, v))) else {
            self.scopes
                .learn(ordinal, value.ty.clone(), false, constant);
            return Some(value.ty.clone());
        };
        let unified = convert::unify_numbers(
            &ty,
            variable.constant && !variable.fixed,
            value,
            &self.types,
        );
        if let (true, Some(_), Type::Pointer { to, space }, Type::Pointer { space: found, .. }) =
            (variable.fixed, &unified, &ty, &value.ty)
            && *space == self.default_space()
            && found != space
        {
            // A declaration says what is pointed to; in which memory, only a value tells.
            let (to, space) = (to.clone(), *found);
            let ty = Type::Pointer { to, space };
            self.scopes.learn(ordinal, ty.clone(), true, false);
            return Some(ty);
        }
        match unified {
            Some(unified) if !variable.fixed => {
                self.scopes.learn(ordinal, unified.clone(), false, constant);
                return Some(unified);
            }
            Some(unified) if unified == ty => return Some(ty),
            // Arithmetic is done in 64 bits; what was declared narrower takes its low bits, as in C.
            Some(Type::Int(_)) | None
                if variable.fixed
                    && matches!((&ty, &value.ty), (Type::Int(_), Type::Int(_)))
                    && !matches!(value.kind, ExprKind::Integer(_) | ExprKind::Local(_)) =>
            {
                return Some(ty);
            }
            Some(Type::String { .. }) if matches!(ty, Type::String { .. }) => {
                let (found, held) = (self.type_name(&value.ty), self.type_name(&ty));
                self.error::<()>(
                    Code::StringTooLarge,
                    value.span,
                    format!("`{found}` doesn't fit `${name}`, which is declared `{held}`"),
                );
                return None;
            }
            _ => {}
        }
        let (expected, found) = (self.type_name(&ty), self.type_name(&value.ty));
        let message = format!("expected `{expected}` for `${name}`, found `{found}`");
        let within = span.start <= variable.declared.start && variable.declared.end <= span.end;
        // `let $x: T = value` complains about its value, an assignment about itself.
        let (place, label) = match (within, variable.fixed) {
            (true, _) => (value.span, "declared here"),
            (false, true) => (span, "declared here"),
            (false, false) => (span, "first set here"),
        };
        let mut diagnostic = Diagnostic::error(Code::TypeMismatch, place, message);
        if variable.declared != place {
            diagnostic = diagnostic.with_label(variable.declared, label);
        }
        self.report(diagnostic);
        None
    }

    fn assign_map(
        &mut self,
        map: MapId,
        key: Option<&[ast::Expr]>,
        value: &ast::Expr,
        target: Span,
        span: Span,
    ) {
        if let ast::ExprKind::Call { name, arguments } = &value.kind
            && let Some(function) = builtin::lookup(&name.text)
            && let Lower::Aggregation(lower) = &function.lower
            && !self.is_macro(&name.text, arguments, name.span)
            && !self.is_subprogram(&name.text, name.span)
        {
            let key = self.map_key(map, key, target);
            let (has_key, mut key) = (key.is_some(), key.flatten());
            let made = self.behind(&mut key, |l| {
                let call = l.checked(function, &name.text, arguments, value.span, false)?;
                lower(l, &call)
            });
            let Some((of, update)) = made else {
                return self.poison_map(map);
            };
            let merged = self.map_aggregated(map, of, span);
            if has_key && merged.is_some() {
                self.push(StmtKind::Aggregate { map, key, update }, span);
            }
            return;
        }
        let mut value = self.expr(value).and_then(|v| self.with_value(v));
        let key = self.behind(&mut value, |l| l.map_key(map, key, target));
        let Some(value) = value.filter(|v| self.can_hold(&v.ty, v.span).is_some()) else {
            return self.poison_map(map);
        };
        let ty = self.map_assigned(map, &value, span);
        if let (Some(key), Some(ty)) = (key, ty) {
            let value = self.convert(value, ty);
            self.push(StmtKind::MapSet { map, key, value }, span);
        }
    }

    /// `@m op= value`
    fn update_map(
        &mut self,
        map: MapId,
        key: Option<&[ast::Expr]>,
        op: ast::BinaryOp,
        value: &ast::Expr,
        target: Span,
        span: Span,
    ) {
        let key = self.map_key(map, key, target);
        let (has_key, mut key) = (key.is_some(), key.flatten());
        let value = self.behind(&mut key, |l| {
            l.integer_argument(value, "an update of a map")
        });
        let Some(value) = value else {
            return self.poison_map(map);
        };
        if !has_key {
            return;
        }
        if let Some(step) = self.map_step(map, key, op, value, false, span) {
            self.push(StmtKind::Eval(step), span);
        }
    }

    fn map_step(
        &mut self,
        map: MapId,
        key: Option<Expr>,
        op: ast::BinaryOp,
        value: Expr,
        yields_old: bool,
        span: Span,
    ) -> Option<Expr> {
        if let Some(ty @ Type::Pointer { .. }) = self.map_pointer_type(map, op) {
            let Type::Pointer { to, .. } = &ty else {
                return None;
            };
            let bytes = self.elements(value, to, span)?;
            return Some(Expr {
                kind: ExprKind::MapStep {
                    map,
                    key: key.map(Box::new),
                    op: super::operators::typed_op(op),
                    value: Box::new(self.convert(bytes, ty.clone())),
                    yields_old,
                },
                ty,
                span,
            });
        }
        let ty = self.map_assigned(map, &value, span)?;
        if !matches!(ty, Type::Int(_)) {
            let found = self.type_name(&ty);
            let message = format!(
                "`{}=` needs a map of integers, found `{found}`",
                op.symbol()
            );
            return self.error(Code::InvalidOperand, span, message);
        }
        let value = self.convert(value, ty.clone());
        Some(Expr {
            kind: ExprKind::MapStep {
                map,
                key: key.map(Box::new),
                op: super::operators::typed_op(op),
                value: Box::new(value),
                yields_old,
            },
            ty,
            span,
        })
    }

    /// The type of a map of pointers, which move by elements.
    fn map_pointer_type(&self, map: MapId, op: ast::BinaryOp) -> Option<Type> {
        let moves = matches!(op, ast::BinaryOp::Add | ast::BinaryOp::Subtract);
        let known = self.maps.list[map.index()].value.clone();
        known.filter(|ty| moves && matches!(ty, Type::Pointer { .. }))
    }

    /// `++x`, `x--`
    pub(super) fn step(
        &mut self,
        decrement: bool,
        prefix: bool,
        operand: &ast::Expr,
        span: Span,
    ) -> Option<Expr> {
        let op = if decrement {
            ast::BinaryOp::Subtract
        } else {
            ast::BinaryOp::Add
        };
        let one = self.integer(
            1,
            IntType {
                bits: 8,
                signed: true,
            },
            span,
        );
        let meant = self.defined(operand);
        let operand = meant.as_ref().unwrap_or(operand);
        match &operand.kind {
            ast::ExprKind::Variable(name) => {
                let before = self.expr(operand)?;
                let old = (!prefix).then(|| self.once_always(before.clone()));
                let after = self.combine(op, before, one, span)?;
                self.assign_variable(name, after, span);
                match old {
                    Some(old) => Some(old),
                    None => self.expr(operand),
                }
            }
            ast::ExprKind::Map { name, key } => {
                let map = self.map(name, operand.span);
                let key = self.map_key(map, key.as_deref(), operand.span)?;
                self.map_step(map, key, op, one, !prefix, span)
            }
            ast::ExprKind::Error => None,
            _ => {
                let word = if decrement { "--" } else { "++" };
                self.error(
                    Code::InvalidAssignment,
                    span,
                    format!("`{word}` needs a variable or a map"),
                )
            }
        }
    }

    /// Keeps a value that is about to change.
    fn once_always(&mut self, value: Expr) -> Expr {
        let span = value.span;
        let local = self.new_local(value.ty.clone());
        self.push(StmtKind::SetLocal { local, value }, span);
        self.local(local, span)
    }
}
