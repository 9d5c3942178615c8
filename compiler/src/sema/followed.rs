//! Pointers that the verifier follows itself: from what the kernel hands a program on through members of its structs.

use super::lowering::Lowering;
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::{CRecordId, Context, Expr, ExprKind, LocalId, Origin, Place, Space, Step, Type};
use crate::source::Span;

/// What variables hold, as far as they hold one thing.
#[derive(Default)]
pub(super) struct Held {
    /// A variable's only value; `None` once it has several.
    values: Vec<(LocalId, Option<Expr>)>,
    /// Variables whose value stands in an expression instead of them.
    replaced: Vec<(LocalId, Span)>,
    /// The context of a raw tracepoint's program has types.
    pub typed: bool,
}

impl Lowering<'_> {
    #[must_use]
    pub fn record_name(&self, id: CRecordId) -> String {
        self.types.types.record(id).name.clone()
    }

    /// The program needs types for what its context holds.
    pub fn types_context(&mut self) {
        self.held.typed = true;
    }

    /// Notes what a variable is assigned.
    pub(super) fn hold(&mut self, local: LocalId, value: &Expr, span: Span) {
        let known = self.held.values.iter_mut().find(|(id, _)| *id == local);
        match known {
            Some((_, held)) => *held = None,
            None => {
                let one = matches!(value.ty, Type::Pointer { .. }).then(|| value.clone());
                self.held.values.push((local, one));
                return;
            }
        }
        let replaced = self.held.replaced.iter().find(|(id, _)| *id == local);
        if let Some((_, used)) = replaced.copied() {
            let message =
                "the kernel must follow this pointer itself, so its variable can't change later";
            let diagnostic = Diagnostic::error(Code::ArgumentType, used, message);
            self.report(diagnostic.with_label(span, "changed here"));
        }
    }

    /// The expression with variables replaced by what they hold, where the verifier knows what it points to.
    pub fn followed(&mut self, value: &Expr) -> Option<Expr> {
        let kind = match &value.kind {
            ExprKind::Context(
                Context::Parameter(_) | Context::Slot(_) | Context::Result | Context::Pointer,
            ) => value.kind.clone(),
            ExprKind::Convert(inner) => {
                if !self.may_be(&inner.ty, &value.ty) {
                    return None;
                }
                ExprKind::Convert(Box::new(self.followed(inner)?))
            }
            ExprKind::Load(place) => ExprKind::Load(Box::new(self.followed_place(place)?)),
            ExprKind::Address(place) => ExprKind::Address(Box::new(self.followed_place(place)?)),
            ExprKind::Local(id) => {
                let held = self.held.values.iter().find(|(local, _)| local == id);
                let held = held?.1.clone()?;
                let followed = self.followed(&held)?;
                self.held.replaced.push((*id, value.span));
                return Some(followed);
            }
            _ => return None,
        };
        Some(Expr {
            kind,
            ty: value.ty.clone(),
            span: value.span,
        })
    }

    /// Whether a cast says nothing else than what the verifier knows; sockets begin with what is common to them.
    fn may_be(&self, from: &Type, to: &Type) -> bool {
        let record = |ty: &Type| match ty {
            Type::Pointer { to, .. } => match **to {
                Type::CRecord(id) => Some(self.record_name(id)),
                _ => None,
            },
            _ => None,
        };
        match (record(from), record(to)) {
            (Some(from), Some(to)) => {
                from == to || (from.ends_with("sock") && to.ends_with("sock"))
            }
            _ => true,
        }
    }

    fn followed_place(&mut self, place: &Place) -> Option<Place> {
        let types = &self.types.types;
        let members = place.steps.iter().all(|step| match step {
            Step::Member { record, .. } => types.record(*record).origin == Origin::Kernel,
            _ => false,
        });
        if !members || place.steps.is_empty() || place.space != Space::Kernel {
            return None;
        }
        Some(Place {
            base: self.followed(&place.base)?,
            ..place.clone()
        })
    }
}
