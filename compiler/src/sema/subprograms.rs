//! Functions of the script (`fn name($a: type): type { … }`) become part of the probes that call them: their bodies are
//! scopes that `return` leaves, with variables of their own.

use super::lowering::Lowering;
use super::{convert, program};
use crate::builtin;
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::{Expr, ExprKind, LocalId, StmtKind, Type};
use crate::source::Span;
use crate::syntax::ast::{self, Block, StatementKind};

/// Calls in one probe: each is a copy of the function.
const MAX_CALLS: u32 = 10_000;

/// The function whose body is being lowered.
pub(super) struct Inlined {
    name: ast::Name,
    scope: u32,
    result: Option<LocalId>,
    ty: Type,
    ty_span: Span,
}

/// Parts of a function's head.
struct Head {
    parameters: Vec<Option<Type>>,
    result: Option<Type>,
}

impl Lowering<'_> {
    /// Whether a name is a function of the script: what btc learns doesn't change a script that had its own. In the library's
    /// text it is the builtin of that name.
    pub(super) fn is_subprogram(&self, name: &str, span: Span) -> bool {
        self.subprograms.contains_key(name)
            && (builtin::lookup(name).is_none() || !self.in_library(span))
    }

    /// A call.
    pub(super) fn call_subprogram(
        &mut self,
        name: &str,
        arguments: &[ast::Expr],
        span: Span,
    ) -> Option<Expr> {
        let found = *self.subprograms.get(name)?;
        self.called.insert(name.to_owned());
        let (expected, count) = (found.parameters.len(), arguments.len());
        if expected != count {
            let s = if expected == 1 { "" } else { "s" };
            let message = format!("function `{name}` takes {expected} argument{s}, found {count}");
            let wrong = Diagnostic::error(Code::ArgumentCount, span, message);
            self.report(wrong.with_label(found.name.span, "the function"));
            return None;
        }
        if let Some((_, first)) = self.calls.iter().find(|(known, _)| known == name) {
            let first = *first;
            let message = format!("function `{name}` calls itself");
            let recursion = Diagnostic::error(Code::InvalidControlFlow, span, message)
                .with_label(first, "called here first")
                .with_help("BPF programs have no stack for it: a `while` loop does");
            self.report(recursion);
            return None;
        }
        if self.expanded >= MAX_CALLS {
            if std::mem::replace(&mut self.expanded, u32::MAX) != u32::MAX {
                let message = format!("this probe calls functions more than {MAX_CALLS} times");
                self.error::<()>(Code::ProgramTooLarge, span, message);
            }
            return None;
        }
        self.expanded += 1;
        let values = self.in_order(arguments, |l, argument| {
            let value = l.expr(argument)?;
            l.with_value(value)
        });
        let head = self.head(found);
        let ty = head.result.clone()?;
        let values = values.into_iter().collect::<Option<Vec<_>>>()?;
        self.calls.push((name.to_owned(), span));
        let result = self.inline(found, head, Some(values), span);
        self.calls.pop();
        Some(match result {
            Some(local) => self.local(local, span),
            None if ty == Type::Void => self.void(span),
            None => return None,
        })
    }

    /// Checks a function that no probe calls.
    pub(super) fn check_subprogram(&mut self, found: &ast::Subprogram) {
        let head = self.head(found);
        if head.result.is_some() && head.parameters.iter().all(Option::is_some) {
            let _ = self.collect(|l| l.inline(found, head, None, found.name.span));
        }
    }

    fn head(&mut self, found: &ast::Subprogram) -> Head {
        let parameters = found.parameters.iter();
        let parameters = parameters.map(|(_, ty)| self.type_expr(ty)).collect();
        Head {
            parameters,
            result: self.type_expr(&found.result),
        }
    }

    /// Puts the body here. Without values its parameters are zero.
    fn inline(
        &mut self,
        found: &ast::Subprogram,
        head: Head,
        values: Option<Vec<Expr>>,
        span: Span,
    ) -> Option<LocalId> {
        let ty = head.result?;
        // Values first, in names that only the call knows: a parameter may be called as a variable of the caller.
        let values = values.map(|values| values.into_iter().map(|v| self.once(v)));
        let values: Option<Vec<Expr>> = values.map(Iterator::collect);
        let outer_names = self.scopes.enclose();
        let (outer_loops, outer) = (self.loops, self.inlined.take());
        self.loops = 0;
        self.parameters(found, &head.parameters, values);
        let result = (ty != Type::Void).then(|| self.new_local(ty.clone()));
        let scope = self.next_scope;
        self.next_scope += 1;
        self.inlined = Some(Inlined {
            name: found.name.clone(),
            scope,
            result,
            ty: ty.clone(),
            ty_span: found.result.span,
        });
        let (body, ()) = self.collect(|l| l.subprogram_body(found, &ty));
        self.inlined = outer;
        self.loops = outer_loops;
        self.scopes.disclose(outer_names);
        self.push(StmtKind::Scope { scope, body }, span);
        result
    }

    fn parameters(
        &mut self,
        found: &ast::Subprogram,
        types: &[Option<Type>],
        values: Option<Vec<Expr>>,
    ) {
        let mut values = values.map(Vec::into_iter);
        for ((name, _), ty) in found.parameters.iter().zip(types) {
            let value = values.as_mut().and_then(Iterator::next);
            if self.scopes.in_this_block(&name.text) {
                let message = format!("function `{}` has two `${}`", found.name.text, name.text);
                self.error::<()>(Code::DuplicateName, name.span, message);
                continue;
            }
            let ordinal = self.scopes.declare(&name.text, name.span);
            let Some(ty) = ty else { continue };
            if self.can_hold(ty, name.span).is_none() {
                continue;
            }
            self.scopes.learn(ordinal, ty.clone(), true, false);
            let local = self.add_local(name.text.clone(), ty.clone());
            self.scopes.update(&name.text, |b| b.local = Some(local));
            if let Some(value) = value {
                let span = value.span;
                self.assign_variable(&name.text, value, span);
            }
        }
    }

    fn subprogram_body(&mut self, found: &ast::Subprogram, ty: &Type) {
        let value = self.block(&found.body);
        match value {
            Some(Some(value)) if *ty != Type::Void => {
                let span = value.span;
                self.result(value, span);
            }
            Some(Some(value)) => self.evaluate(value),
            Some(None) if *ty != Type::Void && !returns(&found.body) => {
                let name = &found.name.text;
                let message = format!("function `{name}` may end without a value");
                let ty = self.type_name(ty);
                let missing = Diagnostic::error(Code::InvalidControlFlow, found.name.span, message)
                    .with_label(found.result.span, format!("it returns `{ty}`"));
                self.report(missing);
            }
            _ => {}
        }
    }

    /// `return` in a function; false outside of one.
    pub(super) fn return_from_subprogram(&mut self, value: Option<&ast::Expr>, span: Span) -> bool {
        let Some(inlined) = &self.inlined else {
            return false;
        };
        let (scope, name, ty) = (inlined.scope, inlined.name.clone(), inlined.ty.clone());
        match value {
            None if ty == Type::Void => self.push(StmtKind::Leave(scope), span),
            None => {
                let found = self.type_name(&ty);
                let message = format!("`return` needs a value: `{}` returns `{found}`", name.text);
                self.error::<()>(Code::TypeMismatch, span, message);
            }
            Some(value) => {
                if let Some(value) = self.expr(value).and_then(|v| self.with_value(v)) {
                    self.result(value, span);
                }
            }
        }
        true
    }

    /// Leaves the function with a value of its type.
    fn result(&mut self, value: Expr, span: Span) {
        let Some(inlined) = &self.inlined else { return };
        let (scope, ty_span) = (inlined.scope, inlined.ty_span);
        let (ty, name, local) = (inlined.ty.clone(), inlined.name.clone(), inlined.result);
        let fits = convert::unify_value(&ty, false, &value).as_ref() == Some(&ty)
            || matches!((&ty, &value.ty), (Type::Int(_), Type::Int(_)))
                && !matches!(value.kind, ExprKind::Integer(_));
        let Some(local) = local.filter(|_| fits) else {
            let (expected, found) = (self.type_name(&ty), self.type_name(&value.ty));
            let message = format!(
                "expected `{expected}` as the result of `{}`, found `{found}`",
                name.text
            );
            let wrong = Diagnostic::error(Code::TypeMismatch, value.span, message);
            self.report(wrong.with_label(ty_span, "the function's type"));
            return;
        };
        let value = self.convert(value, ty);
        self.push(StmtKind::SetLocal { local, value }, span);
        self.push(StmtKind::Leave(scope), span);
    }
}

/// Whether a block ends in `return` on every path.
fn returns(block: &Block) -> bool {
    let Some(last) = block.statements.last() else {
        return false;
    };
    match &last.kind {
        StatementKind::Return(_) => true,
        StatementKind::Block(block) => returns(block),
        StatementKind::If {
            then,
            otherwise: Some(otherwise),
            ..
        } => returns(then) && returns(otherwise),
        _ => false,
    }
}

/// Functions by name; a name that something else has is an error.
pub(super) fn insert<'p>(
    subprograms: &mut program::Subprograms<'p>,
    found: &'p ast::Subprogram,
    taken: Option<&str>,
) -> Result<(), Diagnostic> {
    let name = &found.name;
    if let Some(by) = taken {
        let message = format!("`{}` is a {by}: a function can't have its name", name.text);
        return Err(Diagnostic::error(Code::DuplicateName, name.span, message));
    }
    if let Some(first) = subprograms.get(&name.text) {
        let message = format!("function `{}` is defined twice", name.text);
        return Err(Diagnostic::error(Code::DuplicateName, name.span, message)
            .with_label(first.name.span, "first defined here"));
    }
    subprograms.insert(name.text.clone(), found);
    Ok(())
}
