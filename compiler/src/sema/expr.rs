//! Expressions of the script become typed ones: names, literals, calls, and the dispatch to what needs more room.

use std::collections::BTreeSet;

use btc_abi as abi;

use super::convert;
use super::lowering::Lowering;
use super::scope::written;
use crate::builtin::{self, Call, Form, Function, Lower};
use crate::diagnostic::{Code, Diagnostic};
use crate::host::headers;
use crate::ir::{Expr, ExprKind, IntType, Type};
use crate::source::Span;
use crate::syntax::ast;
use btc_runtime::suggest::nearest;

/// Several values as one.
pub(super) fn tuple(parts: Vec<Expr>, span: Span) -> Expr {
    Expr {
        ty: Type::Tuple(parts.iter().map(|p| p.ty.clone()).collect()),
        kind: ExprKind::Tuple(parts),
        span,
    }
}

/// What is said of a C macro that doesn't parse as a part of a script.
const NO_EXPRESSION: &str = "its `#define` is no expression of a script: `macro` makes one";

/// What scripts of 2018 call a builtin, where nothing else has that name.
fn old_spelling(name: &str) -> Option<&'static str> {
    match name {
        "stack" => Some("kstack"),
        "sym" => Some("ksym"),
        "name" => Some("probe"),
        _ => None,
    }
}

impl Lowering<'_> {
    /// Lowers an expression that is read; `None`: a diagnostic was reported (here or where the fault lies).
    pub fn expr(&mut self, expr: &ast::Expr) -> Option<Expr> {
        let read = self.read_or_not(expr)?;
        self.can_read(&read.ty, read.span)?;
        Some(read)
    }

    /// Refuses floating-point numbers, of which BPF has none.
    pub(super) fn can_read(&mut self, ty: &Type, span: Span) -> Option<()> {
        let mut of = ty;
        while let Type::Array { element, .. } = of {
            of = element;
        }
        if !matches!(of, Type::Float { .. }) {
            return Some(());
        }
        let name = self.type_name(ty);
        let message = format!("floating-point values can't be read, and this is a `{name}`");
        self.error(Code::InvalidOperand, span, message)
    }

    /// Lowers an expression that `&`, `sizeof`, `typeof` or `[…]` is about: none of these reads it as it is.
    pub(super) fn read_or_not(&mut self, expr: &ast::Expr) -> Option<Expr> {
        use ast::ExprKind as E;
        let span = expr.span;
        match &expr.kind {
            E::Integer { value, suffix } => {
                let ty = if suffix.unsigned {
                    IntType::U64
                } else {
                    convert::literal_type(i128::from(*value))
                };
                Some(self.integer(*value, ty, span))
            }
            E::Duration { nanoseconds } => {
                let ty = convert::literal_type(i128::from(*nanoseconds));
                Some(self.integer(*nanoseconds, ty, span))
            }
            E::String(text) => self.string_literal(text, span),
            E::Bool(value) => Some(self.boolean(*value, span)),
            E::Identifier(name) => self.identifier(name, span),
            E::Variable(name) => self.variable(name, span),
            E::Map { name, key } => {
                let map = self.map(name, span);
                let key = self.map_key(map, key.as_deref(), span)?;
                self.map_get(map, key, span)
            }
            E::Positional(index) => {
                self.positional(*index, abi::ParameterType::Integer { default: None });
                let value = abi::TargetValue::Positional { index: *index };
                Some(self.slot(value, Type::Int(IntType::I64), span))
            }
            E::PositionalCount => {
                let ty = Type::Int(IntType::U64);
                Some(self.slot(abi::TargetValue::PositionalCount, ty, span))
            }
            E::Call { name, arguments } => self.call(name, arguments, span, false),
            E::Sizeof(of) => self.size_of(of, span),
            E::Offsetof { of, path } => self.offset_of(of, path, span),
            E::ContainerOf { pointer, ty, path } => self.container_of(pointer, ty, path, span),
            E::Typeof(of) => {
                // A type as a value is its name: it can be printed and compared.
                let ty = self.type_of(of)?;
                let name = self.type_name(&ty);
                Some(self.string(name.as_bytes(), span))
            }
            E::Unary { op, operand } => self.unary(*op, operand, span),
            E::Step {
                decrement,
                prefix,
                operand,
            } => self.step(*decrement, *prefix, operand, span),
            E::Binary { op, left, right } => self.operation(*op, left, right, span),
            E::Ternary {
                condition,
                then,
                otherwise,
            } => self.ternary(condition, then.as_deref(), otherwise, span),
            E::Field { base, name, .. } => self.field_access(base, name),
            E::TupleField { base, index } => self.tuple_field(base, *index, span),
            E::Index { base, index } => self.index(base, index, span),
            E::Cast { ty, operand } => self.cast(ty, operand, span),
            E::Tuple(parts) => {
                let parts = self.in_order(parts, |l, part| l.part(part));
                Some(tuple(parts.into_iter().collect::<Option<Vec<_>>>()?, span))
            }
            E::Record(members) => self.record_literal(members, span),
            E::Block(block) => self.block_value(block, block.span),
            E::If {
                condition,
                comptime,
                then,
                otherwise,
            } => {
                if *comptime && let Some(holds) = self.decided(condition)? {
                    let chosen = if holds { then } else { otherwise };
                    return self.block_value(chosen, chosen.span);
                }
                let condition = self.condition(condition);
                let then = self.branch(|l| l.block_value(then, then.span));
                let otherwise = self.branch(|l| l.block_value(otherwise, otherwise.span));
                self.select(condition?, then?, otherwise?, span)
            }
            E::Error => None,
        }
    }

    fn string_literal(&mut self, text: &[u8], span: Span) -> Option<Expr> {
        let limit = self.settings.limits.max_strlen;
        if text.len() as u64 >= u64::from(limit) {
            self.report(
                Diagnostic::error(
                    Code::StringTooLarge,
                    span,
                    format!(
                        "this string needs {} bytes, more than the {limit} of `max_strlen`",
                        text.len() + 1
                    ),
                )
                .with_help(format!("config = {{ max_strlen = {} }}", text.len() + 1)),
            );
            return None;
        }
        Some(self.string(text, span))
    }

    /// A member of a tuple or record: anything with a value.
    fn part(&mut self, expr: &ast::Expr) -> Option<Expr> {
        let value = self.expr(expr)?;
        self.can_hold(&value.ty, value.span)?;
        Some(value)
    }

    /// Refuses what has no value.
    pub(super) fn with_value(&mut self, value: Expr) -> Option<Expr> {
        if value.ty == Type::Void {
            return self.error(
                Code::TypeMismatch,
                value.span,
                "expected a value, found `void`",
            );
        }
        Some(value)
    }

    fn record_literal(&mut self, members: &[(ast::Name, ast::Expr)], span: Span) -> Option<Expr> {
        let mut names = BTreeSet::new();
        if let Some((twice, _)) = members.iter().find(|(name, _)| !names.insert(&name.text)) {
            let message = format!("the record has two members named `{}`", twice.text);
            return self.error(Code::DuplicateName, twice.span, message);
        }
        let values = self.in_order(members, |l, (_, value)| l.part(value));
        let values = values.into_iter().collect::<Option<Vec<_>>>()?;
        let names = members.iter().map(|(name, _)| name.text.clone());
        let types = names
            .zip(values.iter().map(|value| value.ty.clone()))
            .collect();
        Some(Expr {
            kind: ExprKind::Tuple(values),
            ty: Type::Record(types),
            span,
        })
    }

    /// Whether a bare name is a value in this script, whatever the kernel calls so.
    pub(super) fn is_value(&self, name: &str) -> bool {
        self.constants.integers.contains_key(name)
            || self.constants.strings.contains_key(name)
            || self.constants.enumerators.contains_key(name)
            || name == "args"
            || builtin::lookup(name).is_some()
            || self.macros.has(name)
    }

    /// A bare name: a constant of the preamble, a macro or a builtin, or a kernel enum's constant.
    fn identifier(&mut self, name: &str, span: Span) -> Option<Expr> {
        if let Some(value) = self.constants.integers.get(name) {
            let ty = convert::literal_type(*value);
            return Some(self.integer(*value as u64, ty, span));
        }
        if let Some(text) = self.constants.strings.get(name) {
            return self.string_literal(&text.clone(), span);
        }
        if let Some((of, value)) = self.constants.enumerators.get(name) {
            let ty = Type::Enum(self.types.enumeration(of));
            return Some(Expr {
                kind: ExprKind::Integer(*value),
                ty,
                span,
            });
        }
        if name == "args" {
            return self.all_arguments(span);
        }
        if self.is_macro(name, &[], span) {
            return self.expand(name, &[], span, false);
        }
        if self.is_subprogram(name, span) {
            let message = format!("`{name}` is a function: it needs parentheses");
            return self.error(Code::ArgumentCount, span, message);
        }
        if let Some(function) = builtin::lookup(name) {
            if function.form == Form::Call {
                let message = format!("`{name}` is a function: it needs parentheses");
                self.report(
                    Diagnostic::error(Code::ArgumentCount, span, message)
                        .with_help(format!("the form is `{}`", function.usage)),
                );
                return None;
            }
            return self.run(function, name, &[], span, false);
        }
        if let Some((of, value)) = self.host.enum_constant(name) {
            let id = self.types.enumeration(&of);
            return Some(Expr {
                kind: ExprKind::EnumValue {
                    of: id,
                    name: name.to_owned(),
                    value,
                },
                ty: Type::Enum(id),
                span,
            });
        }
        if let Some(function) = old_spelling(name).and_then(builtin::lookup) {
            return self.run(function, function.name, &[], span, false);
        }
        if self.constants.broken {
            return None;
        }
        let mut unknown = Diagnostic::error(
            Code::UnknownName,
            span,
            format!("unknown builtin or constant `{name}`"),
        );
        let constants = self.constants;
        let mut known: Vec<&str> = builtin::names().collect();
        known.extend(constants.integers.keys().map(String::as_str));
        if constants.unusable.contains(name) {
            unknown = unknown.with_help(NO_EXPRESSION);
        } else if let Some(header) = headers::of_constant(name) {
            unknown = unknown.with_help(format!("#include <{header}>"));
        } else if let Some(near) = nearest(name, known.into_iter()) {
            unknown = unknown.with_help(format!("did you mean `{near}`?"));
        }
        self.report(unknown);
        None
    }

    fn variable(&mut self, name: &str, span: Span) -> Option<Expr> {
        match self.scopes.find(name) {
            Some(binding) if binding.local.is_none() && binding.outlives() => {}
            // Without a local its assignment was an error.
            Some(binding) => return binding.local.map(|id| self.local(id, span)),
            None if self.scopes.outlive(name, span) => return None,
            None => {}
        }
        let mut unset = Diagnostic::error(
            Code::UnsetVariable,
            span,
            format!("variable `${}` is used before it is set", written(name)),
        );
        if let Some(near) = nearest(written(name), self.scopes.names()) {
            unset = unset.with_help(format!("did you mean `${near}`?"));
        } else if let Some(inner) = self.scopes.ended(name) {
            unset = unset
                .with_label(inner, "set here, in a block that has ended")
                .with_help(format!(
                    "declare it before that block: `let ${};`",
                    written(name)
                ));
        }
        self.report(unset);
        None
    }

    /// A call of a builtin, function or macro.
    pub(super) fn call(
        &mut self,
        name: &ast::Name,
        arguments: &[ast::Expr],
        span: Span,
        statement: bool,
    ) -> Option<Expr> {
        if self.is_macro(&name.text, arguments, name.span) {
            return self.expand(&name.text, arguments, span, statement);
        }
        if self.is_subprogram(&name.text, name.span) {
            return self.call_subprogram(&name.text, arguments, span);
        }
        if self.foreign.has(&name.text) {
            return self.foreign_call(&name.text, arguments, span);
        }
        let known = builtin::lookup(&name.text);
        let Some(function) = known.or_else(|| builtin::lookup(old_spelling(&name.text)?)) else {
            if self.foreign.incomplete {
                return None;
            }
            let mut unknown = Diagnostic::error(
                Code::UnknownFunction,
                name.span,
                format!("unknown function `{}`", name.text),
            );
            let mut known: Vec<&str> = builtin::names().collect();
            known.extend(self.macros.names());
            known.extend(self.subprograms.keys().map(String::as_str));
            known.extend(self.foreign.names());
            if self.constants.unusable.contains(&name.text) {
                unknown = unknown.with_help(NO_EXPRESSION);
            } else if let Some(near) = nearest(&name.text, known.into_iter()) {
                unknown = unknown.with_help(format!("did you mean `{near}`?"));
            }
            self.report(unknown);
            return None;
        };
        self.run(function, &name.text, arguments, span, statement)
    }

    fn run(
        &mut self,
        function: &'static Function,
        name: &str,
        arguments: &[ast::Expr],
        span: Span,
        statement: bool,
    ) -> Option<Expr> {
        let call = self.checked(function, name, arguments, span, statement)?;
        match &function.lower {
            Lower::Value(lower) => lower(self, &call),
            Lower::Aggregation(_) => {
                self.report(
                    Diagnostic::error(
                        Code::AggregationMisuse,
                        span,
                        format!("`{name}` can only be assigned to a map"),
                    )
                    .with_help(format!("@ = {}", self.sources.text(span))),
                );
                None
            }
        }
    }

    /// Arguments counted, unsafe functions refused.
    pub(super) fn checked<'c>(
        &mut self,
        function: &'static Function,
        name: &'c str,
        arguments: &'c [ast::Expr],
        span: Span,
        statement: bool,
    ) -> Option<Call<'c>> {
        if let Some(feature) = self.settings.unstable.function(name) {
            self.unstable(feature, &format!("`{name}`"), span)?;
        }
        let (least, most) = function.arguments;
        let count = arguments.len();
        if count < least || count > most {
            let plural = |n: usize| if n == 1 { "" } else { "s" };
            let expected = if least == most {
                format!("{least} argument{}", plural(least))
            } else if most == usize::MAX {
                format!("at least {least} argument{}", plural(least))
            } else {
                format!("{least} to {most} arguments")
            };
            self.report(
                Diagnostic::error(
                    Code::ArgumentCount,
                    span,
                    format!("`{name}` takes {expected}, found {count}"),
                )
                .with_help(format!("the form is `{}`", function.usage)),
            );
            return None;
        }
        if function.needs_unsafe && !self.options.unsafe_mode {
            self.report(
                Diagnostic::error(
                    Code::UnsafeFunction,
                    span,
                    format!("`{name}` is an unsafe function"),
                )
                .with_help("compile with `--unsafe` to allow it"),
            );
            return None;
        }
        Some(Call {
            name,
            arguments,
            span,
            statement,
        })
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
            // A kernel enum's constant has the target's value: it is none here.
            (ExprKind::Integer(n), _) => Some(i128::from(*n)),
            _ => None,
        }
    }

    /// The text of a string literal or a `#define` of one. Reports nothing.
    pub fn literal_string(&mut self, expr: &ast::Expr) -> Option<Vec<u8>> {
        match &expr.kind {
            ast::ExprKind::String(text) => Some(text.clone()),
            ast::ExprKind::Identifier(name) => self.constants.strings.get(name).cloned(),
            _ => None,
        }
    }

    /// The word of an argument that is an identifier (`kstack(perf)`, `nsecs(boot)`).
    pub fn word(&mut self, expr: &ast::Expr) -> Option<String> {
        match &expr.kind {
            ast::ExprKind::Identifier(name) => Some(name.clone()),
            _ => None,
        }
    }

    /// A C type as the type of a value.
    pub fn ctype(&mut self, ty: &crate::host::CType) -> Type {
        self.types.of_c(ty)
    }
}
