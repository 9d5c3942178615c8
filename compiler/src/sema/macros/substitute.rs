//! Arguments take the place of a macro's parameters. The body's own variables get names that no script can write, so
//! that nothing is captured; its maps are those that it is given.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::diagnostic::{Code, Diagnostic};
use crate::source::Span;
use crate::syntax::ast::{
    Block, Expr, ExprKind, Macro, MacroParameter, Name, Statement, StatementKind, Target, TypeExpr,
    TypeExprKind, TypeOrExpr,
};

struct Expansion<'m> {
    found: &'m Macro,
    expressions: HashMap<&'m str, &'m Expr>,
    variables: HashMap<&'m str, &'m str>,
    maps: HashMap<&'m str, &'m str>,
    /// What tells the body's own variables from the script's; none where they are the same.
    number: Option<u32>,
    wrong: RefCell<Vec<Diagnostic>>,
}

/// The body of a macro that takes these arguments, and what is wrong with it. `number` tells this expansion from others.
pub(super) fn substitute(
    found: &Macro,
    arguments: &[Expr],
    number: u32,
) -> (Block, Vec<Diagnostic>) {
    let mut expansion = Expansion {
        found,
        expressions: HashMap::new(),
        variables: HashMap::new(),
        maps: HashMap::new(),
        number: found.hygienic.then_some(number),
        wrong: RefCell::default(),
    };
    for (parameter, argument) in found.parameters.iter().zip(arguments) {
        match (parameter, &argument.kind) {
            (MacroParameter::Expression(name), _) => {
                expansion.expressions.insert(&name.text, argument);
            }
            (MacroParameter::Variable(name), ExprKind::Variable(given)) => {
                expansion.variables.insert(&name.text, given);
            }
            (MacroParameter::Map(name), ExprKind::Map { name: given, .. }) => {
                expansion.maps.insert(&name.text, given);
            }
            // Such a macro was not chosen.
            (MacroParameter::Variable(_) | MacroParameter::Map(_), _) => {}
        }
    }
    let mut body = found.body.clone();
    expansion.block(&mut body);
    (body, expansion.wrong.into_inner())
}

/// What a C macro's argument is where the macro assigns to it.
fn as_target(expr: &Expr) -> Option<Target> {
    let span = expr.span;
    match &expr.kind {
        ExprKind::Variable(text) => Some(Target::Variable(Name {
            text: text.clone(),
            span,
        })),
        ExprKind::Map { name, key } => Some(Target::Map {
            name: Name {
                text: name.clone(),
                span,
            },
            key: key.clone().unwrap_or_default(),
            span,
        }),
        _ => None,
    }
}

/// A type that was given as an argument: written as one, or a name that is one.
fn as_type(given: &Expr) -> Option<TypeExprKind> {
    match &given.kind {
        ExprKind::Typeof(TypeOrExpr::Type(ty)) => Some(ty.kind.clone()),
        ExprKind::Typeof(of) => Some(TypeExprKind::Typeof(of.clone())),
        ExprKind::Identifier(name) => Some(TypeExprKind::Named(name.clone())),
        _ => None,
    }
}

impl Expansion<'_> {
    fn error(&self, span: Span, message: String, help: String) {
        let wrong = Diagnostic::error(Code::Macro, span, message)
            .with_label(self.found.name.span, "the macro")
            .with_help(help);
        self.wrong.borrow_mut().push(wrong);
    }

    /// Whether an expression is nothing but a parameter that stands for any expression.
    fn is_parameter(&self, expr: &Expr) -> bool {
        matches!(&expr.kind, ExprKind::Identifier(name) if self.expressions.contains_key(name.as_str()))
    }

    fn refuse_change(&self, target: &Expr) {
        let ExprKind::Identifier(name) = &target.kind else {
            return;
        };
        let message = format!(
            "macro `{}` changes `{name}`, which stands for any expression",
            self.found.name.text
        );
        let help = format!("`${name}` as a parameter takes a variable");
        self.error(target.span, message, help);
    }

    fn variable(&self, name: &mut String) {
        *name = match (self.variables.get(name.as_str()), self.number) {
            (Some(given), _) => (*given).to_owned(),
            (None, Some(number)) => format!("{name}#{number}"),
            (None, None) => return,
        };
    }

    fn map(&self, name: &mut String, span: Span) {
        if let Some(given) = self.maps.get(name.as_str()) {
            *name = (*given).to_owned();
        } else if self.number.is_some() {
            let of = &self.found.name.text;
            let message = format!("macro `{of}` uses `@{name}`, which it is not given");
            let help = format!("add `@{name}` to its parameters, and give it in the call");
            self.error(span, message, help);
        }
    }

    fn block(&self, block: &mut Block) {
        for statement in &mut block.statements {
            self.statement(statement);
        }
        if let Some(value) = &mut block.value {
            self.expr(value);
        }
    }

    fn statement(&self, statement: &mut Statement) {
        match &mut statement.kind {
            StatementKind::Expression(expr) => self.expr(expr),
            StatementKind::Let { name, ty, value } => {
                if self.variables.contains_key(name.text.as_str()) {
                    let message = format!("`let` hides `${}`, which the macro is given", name.text);
                    self.error(name.span, message, format!("${} = …", name.text));
                }
                self.variable(&mut name.text);
                if let Some(ty) = ty {
                    self.ty(ty);
                }
                if let Some(value) = value {
                    self.expr(value);
                }
            }
            StatementKind::Assign { target, value, .. } => {
                match target {
                    Target::Variable(name) => self.variable(&mut name.text),
                    Target::Map { name, key, .. } => {
                        self.map(&mut name.text, name.span);
                        key.iter_mut().for_each(|k| self.expr(k));
                    }
                    Target::Other(other) => {
                        if self.is_parameter(other) && self.number.is_some() {
                            self.refuse_change(other);
                        }
                        self.expr(other);
                        if let Some(changed) = as_target(other) {
                            *target = changed;
                        }
                    }
                    Target::Discard(_) => {}
                }
                self.expr(value);
            }
            StatementKind::If {
                condition,
                then,
                otherwise,
                ..
            } => {
                self.expr(condition);
                self.block(then);
                if let Some(block) = otherwise {
                    self.block(block);
                }
            }
            StatementKind::While { condition, body } => {
                self.expr(condition);
                self.block(body);
            }
            StatementKind::Unroll { count, body } => {
                self.expr(count);
                self.block(body);
            }
            StatementKind::ForRange {
                variable,
                start,
                end,
                body,
            } => {
                self.variable(&mut variable.text);
                self.expr(start);
                self.expr(end);
                self.block(body);
            }
            StatementKind::ForMap {
                variable,
                map,
                body,
            } => {
                self.variable(&mut variable.text);
                self.map(&mut map.text, map.span);
                self.block(body);
            }
            StatementKind::Return(Some(value)) => self.expr(value),
            StatementKind::Block(block) => self.block(block),
            StatementKind::Return(None)
            | StatementKind::Break
            | StatementKind::Continue
            | StatementKind::Empty => {}
        }
    }

    fn type_or_expr(&self, of: &mut TypeOrExpr) {
        match of {
            TypeOrExpr::Type(ty) => {
                // `sizeof(x)` of a parameter: the parser took it for a type's name.
                if let TypeExprKind::Named(name) = &ty.kind
                    && let Some(given) = self.expressions.get(name.as_str())
                {
                    *of = match &given.kind {
                        ExprKind::Typeof(of) => of.clone(),
                        _ => TypeOrExpr::Expr(Box::new((*given).clone())),
                    };
                    return;
                }
                self.ty(ty);
            }
            TypeOrExpr::Expr(expr) => {
                self.expr(expr);
                if let ExprKind::Typeof(given) = &expr.kind {
                    *of = given.clone();
                }
            }
        }
    }

    fn ty(&self, ty: &mut TypeExpr) {
        match &mut ty.kind {
            TypeExprKind::Named(name) => {
                if let Some(given) = self.expressions.get(name.as_str()) {
                    match as_type(given) {
                        Some(kind) => {
                            let span = given.span;
                            *ty = TypeExpr { kind, span };
                        }
                        None => {
                            let of = &self.found.name.text;
                            let message = format!("macro `{of}` takes a type for `{name}`");
                            let help = format!("write a type there: {of}(uint64)");
                            self.error(given.span, message, help);
                        }
                    }
                }
            }
            TypeExprKind::Pointer(to) => self.ty(to),
            TypeExprKind::Array { element, .. } => self.ty(element),
            TypeExprKind::Tuple(parts) => parts.iter_mut().for_each(|p| self.ty(p)),
            TypeExprKind::Record(parts) => parts.iter_mut().for_each(|(_, p)| self.ty(p)),
            TypeExprKind::Typeof(of) => self.type_or_expr(of),
            TypeExprKind::Sized { .. }
            | TypeExprKind::Struct(_)
            | TypeExprKind::Union(_)
            | TypeExprKind::Enum(_) => {}
        }
    }

    fn expr(&self, expr: &mut Expr) {
        match &mut expr.kind {
            ExprKind::Identifier(name) => {
                if let Some(given) = self.expressions.get(name.as_str()) {
                    *expr = (*given).clone();
                }
            }
            ExprKind::Variable(name) => self.variable(name),
            ExprKind::Map { name, key } => {
                self.map(name, expr.span);
                key.iter_mut().flatten().for_each(|k| self.expr(k));
            }
            ExprKind::Call { arguments, .. } => arguments.iter_mut().for_each(|a| self.expr(a)),
            ExprKind::Sizeof(of) | ExprKind::Typeof(of) | ExprKind::Offsetof { of, .. } => {
                self.type_or_expr(of);
            }
            ExprKind::ContainerOf { pointer, ty, .. } => {
                self.expr(pointer);
                self.ty(ty);
            }
            ExprKind::Unary { operand, .. } => self.expr(operand),
            ExprKind::Step { operand, .. } => {
                if self.is_parameter(operand) && self.number.is_some() {
                    self.refuse_change(operand);
                }
                self.expr(operand);
            }
            ExprKind::Binary { left, right, .. } => {
                self.expr(left);
                self.expr(right);
            }
            ExprKind::Ternary {
                condition,
                then,
                otherwise,
            } => {
                self.expr(condition);
                if let Some(then) = then {
                    self.expr(then);
                }
                self.expr(otherwise);
            }
            ExprKind::Field { base, .. } | ExprKind::TupleField { base, .. } => self.expr(base),
            ExprKind::Index { base, index } => {
                self.expr(base);
                self.expr(index);
            }
            ExprKind::Cast { ty, operand } => {
                self.ty(ty);
                self.expr(operand);
            }
            ExprKind::Tuple(parts) => parts.iter_mut().for_each(|p| self.expr(p)),
            ExprKind::Record(parts) => parts.iter_mut().for_each(|(_, p)| self.expr(p)),
            ExprKind::Block(block) => self.block(block),
            ExprKind::If {
                condition,
                then,
                otherwise,
                ..
            } => {
                self.expr(condition);
                self.block(then);
                self.block(otherwise);
            }
            ExprKind::Integer { .. }
            | ExprKind::Duration { .. }
            | ExprKind::String(_)
            | ExprKind::Bool(_)
            | ExprKind::Positional(_)
            | ExprKind::PositionalCount
            | ExprKind::Error => {}
        }
    }
}
