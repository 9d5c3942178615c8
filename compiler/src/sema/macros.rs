//! A macro's call becomes its body with the arguments in place of the parameters. The body's own variables get
//! names that no script can write, so that nothing is captured.

use std::collections::HashMap;

use crate::diagnostic::{Code, Diagnostic};
use crate::source::Span;
use crate::syntax::ast::{
    Block, Expr, ExprKind, Macro, MacroParameter, Statement, StatementKind, Target, TypeExpr,
    TypeExprKind, TypeOrExpr,
};

struct Expansion {
    expressions: HashMap<String, Expr>,
    variables: HashMap<String, String>,
    maps: HashMap<String, String>,
    /// What tells the body's own variables from the script's; none where they are the same.
    number: Option<u32>,
}

pub(super) fn expand(
    found: &Macro,
    arguments: &[Expr],
    span: Span,
    number: u32,
) -> Result<Block, Diagnostic> {
    let (expected, count) = (found.parameters.len(), arguments.len());
    if expected != count {
        return Err(Diagnostic::error(
            Code::ArgumentCount,
            span,
            format!(
                "macro `{}` takes {expected} argument{}, found {count}",
                found.name.text,
                if expected == 1 { "" } else { "s" }
            ),
        )
        .with_label(found.name.span, "the macro"));
    }
    let mut expansion = Expansion {
        expressions: HashMap::new(),
        variables: HashMap::new(),
        maps: HashMap::new(),
        number: found.hygienic.then_some(number),
    };
    for (parameter, argument) in found.parameters.iter().zip(arguments) {
        let wrong = |what: &str, name: String| {
            Diagnostic::error(
                Code::Macro,
                argument.span,
                format!("macro `{}` takes {what} for `{name}`", found.name.text),
            )
            .with_label(found.name.span, "the macro")
        };
        match (parameter, &argument.kind) {
            (MacroParameter::Expression(name), _) => {
                expansion
                    .expressions
                    .insert(name.text.clone(), argument.clone());
            }
            (MacroParameter::Variable(name), ExprKind::Variable(given)) => {
                expansion.variables.insert(name.text.clone(), given.clone());
            }
            (MacroParameter::Variable(name), _) => {
                return Err(wrong("a variable", format!("${}", name.text)));
            }
            (
                MacroParameter::Map(name),
                ExprKind::Map {
                    name: given,
                    key: None,
                },
            ) => {
                expansion.maps.insert(name.text.clone(), given.clone());
            }
            (MacroParameter::Map(name), _) => {
                return Err(wrong("a map", format!("@{}", name.text)));
            }
        }
    }
    let mut body = found.body.clone();
    expansion.block(&mut body);
    Ok(body)
}

impl Expansion {
    fn variable(&self, name: &mut String) {
        *name = match (self.variables.get(name.as_str()), self.number) {
            (Some(given), _) => given.clone(),
            (None, Some(number)) => format!("{name}#{number}"),
            (None, None) => return,
        };
    }

    fn map(&self, name: &mut String) {
        if let Some(given) = self.maps.get(name.as_str()) {
            name.clone_from(given);
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
                        self.map(&mut name.text);
                        key.iter_mut().for_each(|k| self.expr(k));
                    }
                    Target::Other(other) => self.expr(other),
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
                self.map(&mut map.text);
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
                    && let Some(given) = self.expressions.get(name)
                {
                    *of = TypeOrExpr::Expr(Box::new(given.clone()));
                    return;
                }
                self.ty(ty);
            }
            TypeOrExpr::Expr(expr) => self.expr(expr),
        }
    }

    fn ty(&self, ty: &mut TypeExpr) {
        match &mut ty.kind {
            TypeExprKind::Pointer(to) => self.ty(to),
            TypeExprKind::Array { element, .. } => self.ty(element),
            TypeExprKind::Tuple(parts) => parts.iter_mut().for_each(|p| self.ty(p)),
            TypeExprKind::Record(parts) => parts.iter_mut().for_each(|(_, p)| self.ty(p)),
            TypeExprKind::Typeof(of) => self.type_or_expr(of),
            TypeExprKind::Named(_)
            | TypeExprKind::Sized { .. }
            | TypeExprKind::Struct(_)
            | TypeExprKind::Union(_)
            | TypeExprKind::Enum(_) => {}
        }
    }

    fn expr(&self, expr: &mut Expr) {
        match &mut expr.kind {
            ExprKind::Identifier(name) => {
                if let Some(given) = self.expressions.get(name.as_str()) {
                    *expr = given.clone();
                }
            }
            ExprKind::Variable(name) => self.variable(name),
            ExprKind::Map { name, key } => {
                self.map(name);
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
            ExprKind::Unary { operand, .. } | ExprKind::Step { operand, .. } => {
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
