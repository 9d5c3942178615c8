//! Numbers that an executable is told (`$1 * 1000`) → formulas that its runtime works out before anything runs.

use btc_abi as abi;
use btc_abi::Term;

use super::lowering::Lowering;
use crate::ir::{self, BinaryOp, Expr, ExprKind, IntType, LogicalOp, Type, UnaryOp};
use crate::source::Span;
use crate::syntax::ast;

impl Lowering<'_> {
    /// The formula of an integer that depends on the executable's parameters and on nothing else. Reports nothing.
    pub fn formula(&mut self, expr: &ast::Expr) -> Option<Vec<Term>> {
        let (diagnostics, positional) = (self.diagnostics.clone(), self.positional.clone());
        let (prelude, value) = self.collect(|l| l.expr(expr));
        let value = value.filter(|v| prelude.is_empty() && matches!(v.ty, Type::Int(_)));
        let mut terms = vec![];
        let found = value.and_then(|value| self.terms(&value, &mut terms));
        if found.is_none() {
            (self.diagnostics, self.positional) = (diagnostics, positional);
        }
        found.map(|()| terms)
    }

    /// A number that is told, held to be within bounds; `what` names it: "the 1st argument of `kstack`".
    pub fn told(
        &mut self,
        formula: Vec<Term>,
        span: Span,
        what: String,
        (least, most): (i64, i64),
    ) -> abi::Number {
        let number = abi::Number::Told {
            formula: formula.into(),
            most,
        };
        let rule = abi::Rule::Within {
            text: self.text_of(span).into(),
            number: number.clone(),
            least,
            most,
        };
        self.check(what, rule, span);
        let value = abi::TargetValue::Number {
            number: number.clone(),
        };
        let _ = self.slot(value, Type::Int(IntType::I64), span);
        number
    }

    /// The parameter whose whole text an expression is (`str($1)`, `getopt("name", "")`). Reports nothing.
    pub fn told_name(&mut self, expr: &ast::Expr) -> Option<abi::Name> {
        let (diagnostics, positional) = (self.diagnostics.clone(), self.positional.clone());
        let (_, value) = self.collect(|l| l.expr(expr));
        let name = match value.map(|value| value.kind) {
            Some(ExprKind::Target(slot)) => match self.slots.get(slot.index())?.value {
                abi::TargetValue::PositionalString { index } => {
                    Some(abi::Name::Positional { index })
                }
                abi::TargetValue::NamedString { index } => Some(abi::Name::Named { index }),
                _ => None,
            },
            _ => None,
        };
        if name.is_none() {
            (self.diagnostics, self.positional) = (diagnostics, positional);
        }
        name
    }

    /// A part of the script.
    #[must_use]
    pub fn text_of(&self, span: Span) -> String {
        let source = &self.sources.get(span.file).text;
        source.get(span.range()).unwrap_or_default().to_owned()
    }

    /// Has the runtime check a rule before anything runs.
    pub fn check(&mut self, what: String, rule: abi::Rule, span: Span) {
        let check = ir::Check { what, rule, span };
        if !self.checks.contains(&check) {
            self.checks.push(check);
        }
    }

    fn terms(&self, value: &Expr, terms: &mut Vec<Term>) -> Option<()> {
        match &value.kind {
            ExprKind::Integer(n) => {
                let signed = !matches!(value.ty, Type::Int(int) if !int.signed);
                let value = n.cast_signed();
                (signed || value >= 0).then(|| terms.push(Term::Constant { value }))
            }
            ExprKind::Target(slot) => {
                terms.push(match self.slots.get(slot.index())?.value {
                    abi::TargetValue::Positional { index } => Term::Positional { index },
                    abi::TargetValue::PositionalCount => Term::PositionalCount,
                    abi::TargetValue::Named { index } => Term::Named { index },
                    _ => return None,
                });
                Some(())
            }
            ExprKind::Convert(from) => {
                self.terms(from, terms)?;
                match (&from.ty, &value.ty) {
                    (Type::Int(_), Type::Bool) => {
                        terms.extend([Term::Constant { value: 0 }, Term::NotEqual]);
                    }
                    // Numbers of a formula are as wide as they need be.
                    (Type::Int(_) | Type::Bool, Type::Int(IntType { bits: 64, .. })) => {}
                    (Type::Int(_) | Type::Bool, Type::Int(int)) => terms.push(Term::Cast {
                        bits: int.bits,
                        signed: int.signed,
                    }),
                    (Type::Bool, Type::Bool) => {}
                    _ => return None,
                }
                Some(())
            }
            ExprKind::Unary { op, operand } => {
                self.terms(operand, terms)?;
                terms.push(match op {
                    UnaryOp::Negate => Term::Negate,
                    UnaryOp::BitNot => Term::Complement,
                    UnaryOp::Not => Term::Not,
                });
                if let (UnaryOp::BitNot, Type::Int(int)) = (op, &value.ty) {
                    terms.push(Term::Cast {
                        bits: int.bits,
                        signed: int.signed,
                    });
                }
                Some(())
            }
            ExprKind::Binary { op, left, right } => {
                self.terms(left, terms)?;
                self.terms(right, terms)?;
                terms.push(operator(*op));
                Some(())
            }
            ExprKind::Logical { op, left, right } => {
                self.terms(left, terms)?;
                self.terms(right, terms)?;
                terms.push(match op {
                    LogicalOp::And => Term::And,
                    LogicalOp::Or => Term::Or,
                });
                Some(())
            }
            ExprKind::Select {
                condition,
                then,
                otherwise,
            } => {
                self.terms(condition, terms)?;
                self.terms(then, terms)?;
                self.terms(otherwise, terms)?;
                terms.push(Term::Choose);
                Some(())
            }
            _ => None,
        }
    }
}

fn operator(op: BinaryOp) -> Term {
    match op {
        BinaryOp::Add => Term::Add,
        BinaryOp::Subtract => Term::Subtract,
        BinaryOp::Multiply => Term::Multiply,
        BinaryOp::Divide => Term::Divide,
        BinaryOp::Modulo => Term::Remainder,
        BinaryOp::BitAnd => Term::And,
        BinaryOp::BitOr => Term::Or,
        BinaryOp::BitXor => Term::Xor,
        BinaryOp::ShiftLeft => Term::ShiftLeft,
        BinaryOp::ShiftRight => Term::ShiftRight,
        BinaryOp::Less => Term::Less,
        BinaryOp::LessEqual => Term::LessEqual,
        BinaryOp::Greater => Term::Greater,
        BinaryOp::GreaterEqual => Term::GreaterEqual,
        BinaryOp::Equal => Term::Equal,
        BinaryOp::NotEqual => Term::NotEqual,
    }
}
