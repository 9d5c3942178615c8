//! Statements: blocks, assignments, steps, choices and loops.

use super::convert;
use super::lowering::Lowering;
use super::scope::{Binding, written};
use crate::builtin::{self, Lower};
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::visit::{self, Node};
use crate::ir::{Expr, ExprKind, IntType, MapId, Stmt, StmtKind, Type};
use crate::source::Span;
use crate::syntax::ast::{self, Statement, StatementKind, Target};

/// Copies that `unroll` may make.
const MAX_UNROLL: i128 = 100;
/// Copies that nested `unroll`s may make of a statement.
const MAX_COPIES: i128 = 1000;

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
    pub(super) fn block_value(&mut self, block: &ast::Block) -> Option<Expr> {
        self.block_or_void(block, block.span)
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

    pub(super) fn evaluate(&mut self, value: Expr) {
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
            StatementKind::While { condition, body } => {
                let condition = self.branch(|l| l.condition(condition));
                let body = self.loop_body(body);
                if let Some(condition) = condition {
                    self.push(StmtKind::While { condition, body }, span);
                }
            }
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

    fn jump(&mut self, word: &str, kind: StmtKind, span: Span) {
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
    fn return_from_probe(&mut self, value: Option<&ast::Expr>, span: Span) {
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

    /// An expression for what it does.
    fn effect(&mut self, expr: &ast::Expr) {
        let value = match &expr.kind {
            ast::ExprKind::Call { name, arguments } => self.call(name, arguments, expr.span, true),
            _ => self.expr(expr),
        };
        let Some(value) = value else { return };
        self.warn_unused(expr, &value);
        self.evaluate(value);
    }

    fn declaration(
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
    fn name_taken(&mut self, name: &ast::Name, message: String) {
        let taken = Diagnostic::error(Code::DuplicateName, name.span, message);
        let first = self.scopes.find(&name.text);
        let first = first.and_then(|b| self.scopes.variable(b.ordinal));
        self.report(match first {
            Some(first) => taken.with_label(first.declared, "first set here"),
            None => taken,
        });
    }

    fn assign(
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
                    self.evaluate(value);
                }
            }
            Target::Variable(name) => {
                let value = match op {
                    None => self.expr(value),
                    Some(op) => {
                        let before = self.expr(&ast::Expr {
                            kind: ast::ExprKind::Variable(name.text.clone()),
                            span: name.span,
                        });
                        let value = self.expr(value);
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
            self.scopes.declare(name, span);
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
                let ordinal = self.scopes.declare(name, span);
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
        let unified = convert::unify_value(&ty, variable.constant && !variable.fixed, value);
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
        {
            let key = self.map_key(map, key, target);
            let call = self.checked(function, &name.text, arguments, value.span, false);
            let made = call.and_then(|call| lower(self, &call));
            let Some((of, update)) = made else {
                return self.poison_map(map);
            };
            let merged = self.map_aggregated(map, of, span);
            if let (Some(key), Some(_)) = (key, merged) {
                self.push(StmtKind::Aggregate { map, key, update }, span);
            }
            return;
        }
        let value = self.expr(value).and_then(|v| self.with_value(v));
        let key = self.map_key(map, key, target);
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
        let Some(value) = self.integer_argument(value, "an update of a map") else {
            return self.poison_map(map);
        };
        let Some(key) = key else { return };
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

    fn choice(
        &mut self,
        condition: &ast::Expr,
        comptime: bool,
        then: &ast::Block,
        otherwise: Option<&ast::Block>,
        span: Span,
    ) {
        let test = self.condition(condition);
        let told_on_target = test.as_ref().is_some_and(convert::is_told_on_target);
        // What the target decides is decided when compiling where a script is run at once.
        if comptime && !told_on_target {
            let Some(test) = test else { return };
            let ExprKind::Integer(n) = test.kind else {
                self.report(Diagnostic::error(
                    Code::InvalidControlFlow,
                    condition.span,
                    "the condition of `if comptime` is not known when compiling",
                ));
                return;
            };
            let chosen = if n != 0 { Some(then) } else { otherwise };
            if let Some(Some(Some(value))) = chosen.map(|block| self.block(block)) {
                self.evaluate(value);
            }
            return;
        }
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

    /// A branch, by what is known of its condition.
    fn chosen(&mut self, block: &ast::Block, dead: bool, told_on_target: bool) -> Vec<Stmt> {
        let before = self.reached;
        self.reached.never |= dead;
        self.reached.by_target |= told_on_target;
        let body = self.body(block);
        self.reached = before;
        body
    }

    fn loop_body(&mut self, block: &ast::Block) -> Vec<Stmt> {
        self.loops += 1;
        let body = self.body(block);
        self.loops -= 1;
        body
    }

    fn unroll(&mut self, count: &ast::Expr, body: &ast::Block, span: Span) {
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

    fn for_range(
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

    fn for_map(&mut self, variable: &ast::Name, map: &ast::Name, body: &ast::Block, span: Span) {
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
