//! Operators: arithmetic in 64 bits, comparisons, pointers, short circuits, choices.

use btc_abi as abi;

use super::convert;
use super::lowering::Lowering;
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::{BinaryOp, Expr, ExprKind, IntType, LogicalOp, Type, UnaryOp};
use crate::source::Span;
use crate::syntax::ast;

impl Lowering<'_> {
    pub(super) fn operation(
        &mut self,
        op: ast::BinaryOp,
        left: &ast::Expr,
        right: &ast::Expr,
        span: Span,
    ) -> Option<Expr> {
        let logical = match op {
            ast::BinaryOp::LogicalAnd => Some(LogicalOp::And),
            ast::BinaryOp::LogicalOr => Some(LogicalOp::Or),
            _ => None,
        };
        if let Some(op) = logical {
            let left = self.condition(left);
            let right = self.branch(|l| l.condition(right));
            let (left, right) = (left?, right?);
            return Some(Expr {
                kind: ExprKind::Logical {
                    op,
                    left: Box::new(left),
                    right: Box::new(right),
                },
                ty: Type::Bool,
                span,
            });
        }
        let mut parts = self.in_order([left, right], |l, part| l.expr(part));
        let (right, left) = (parts.pop()?, parts.pop()?);
        self.combine(op, left?, right?, span)
    }

    /// `left op right` for all but `&&` and `||`.
    pub(super) fn combine(
        &mut self,
        op: ast::BinaryOp,
        left: Expr,
        right: Expr,
        span: Span,
    ) -> Option<Expr> {
        let typed = typed_op(op);
        let equality = matches!(op, ast::BinaryOp::Equal | ast::BinaryOp::NotEqual);
        match (&left.ty, &right.ty) {
            (Type::String { .. }, Type::String { .. }) if equality => {
                self.warn_never_equal(&left, &right, span);
                Some(equal(left, right, op, span))
            }
            (Type::ProbeName, Type::ProbeName) if equality => {
                Some(self.equal_numbers(left, right, op, span))
            }
            (Type::ProbeName, Type::String { .. }) if equality => {
                let name = self.probe_number(&right)?;
                Some(self.equal_numbers(left, name, op, span))
            }
            (Type::String { .. }, Type::ProbeName) if equality => {
                let name = self.probe_number(&left)?;
                Some(self.equal_numbers(name, right, op, span))
            }
            (Type::Stack { .. }, Type::Stack { .. })
                if equality && convert::unify(&left.ty, &right.ty).is_some() =>
            {
                Some(equal(left, right, op, span))
            }
            (
                Type::Buffer { .. } | Type::Array { .. } | Type::Tuple(_) | Type::Record(_),
                Type::Buffer { .. } | Type::Array { .. } | Type::Tuple(_) | Type::Record(_),
            ) if equality => match convert::unify(&left.ty, &right.ty) {
                Some(ty) => {
                    let left = self.convert(left, ty.clone());
                    let right = self.convert(right, ty);
                    Some(equal(left, right, op, span))
                }
                None => self.operands(op, &left, &right, span),
            },
            (Type::Pointer { .. }, Type::Int(_)) | (Type::Int(_), Type::Pointer { .. })
                if matches!(op, ast::BinaryOp::Add | ast::BinaryOp::Subtract) =>
            {
                self.pointer_offset(op, left, right, span)
            }
            (Type::Pointer { to: a, .. }, Type::Pointer { to: b, .. })
                if op == ast::BinaryOp::Subtract && a == b =>
            {
                self.pointer_difference(left, right, span)
            }
            _ => {
                let types = (
                    convert::int64_type(&left.ty, &self.types),
                    convert::int64_type(&right.ty, &self.types),
                );
                let (Some(a), Some(b)) = types else {
                    return self.operands(op, &left, &right, span);
                };
                let pointers = matches!(
                    (&left.ty, &right.ty),
                    (Type::Pointer { .. }, _) | (_, Type::Pointer { .. })
                );
                let compares = matches!(
                    op,
                    ast::BinaryOp::Less
                        | ast::BinaryOp::LessEqual
                        | ast::BinaryOp::Greater
                        | ast::BinaryOp::GreaterEqual
                ) || equality;
                if pointers && !compares && op != ast::BinaryOp::Subtract {
                    return self.operands(op, &left, &right, span);
                }
                let signed = self.result_signed(op, &left, &right, a, b, span);
                let ty = IntType { bits: 64, signed };
                let left = self.convert(left, Type::Int(a));
                let right = self.convert(right, Type::Int(b));
                if let (ExprKind::Integer(x), ExprKind::Integer(y)) = (&left.kind, &right.kind)
                    && let Some(folded) = fold(typed, *x, *y, signed)
                {
                    if self.is_cast(&left) || self.is_cast(&right) {
                        self.cast_constants.insert(span);
                    }
                    return Some(match folded {
                        Folded::Number(n) => self.integer(n, ty, span),
                        Folded::Truth(truth) => self.boolean(truth, span),
                    });
                }
                Some(self.binary(typed, left, right, Type::Int(ty), span))
            }
        }
    }

    fn equal_numbers(&self, left: Expr, right: Expr, op: ast::BinaryOp, span: Span) -> Expr {
        self.binary(typed_op(op), left, right, Type::Int(IntType::U64), span)
    }

    /// The number that the target gives the probe of a name.
    fn probe_number(&mut self, name: &Expr) -> Option<Expr> {
        let text = match &name.kind {
            ExprKind::String(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        };
        let Some(text) = text else {
            let message = "the name of a pattern's probe can only be compared with a literal";
            return self.error(Code::InvalidOperand, name.span, message);
        };
        let number = abi::TargetValue::ProbeNumber {
            name: text.to_owned().into(),
        };
        Some(self.slot(number, Type::Int(IntType::U64), name.span))
    }

    fn is_cast(&self, e: &Expr) -> bool {
        self.cast_constants.contains(&e.span)
    }

    /// Unsigned when either operand is an unsigned integer of 64 bits, or both are unsigned, for which a constant counts
    /// that is not negative and has no type by a cast; shifts go by the left.
    fn result_signed(
        &mut self,
        op: ast::BinaryOp,
        left: &Expr,
        right: &Expr,
        a: IntType,
        b: IntType,
        span: Span,
    ) -> bool {
        if matches!(op, ast::BinaryOp::ShiftLeft | ast::BinaryOp::ShiftRight) {
            return a.signed;
        }
        let wide = |e: &Expr| match &e.ty {
            Type::Int(int) => int.bits == 64 && !int.signed,
            Type::Pointer { .. } => true,
            _ => false,
        };
        let either = !a.signed || !b.signed;
        let fits = |e: &Expr| fits_unsigned(e) && !(self.is_cast(e) && has_sign(e));
        let both = (!a.signed || fits(left)) && (!b.signed || fits(right));
        let unsigned = wide(left) || wide(right) || (either && both);
        let matters = !matches!(
            op,
            ast::BinaryOp::Add
                | ast::BinaryOp::Subtract
                | ast::BinaryOp::Multiply
                | ast::BinaryOp::BitAnd
                | ast::BinaryOp::BitOr
                | ast::BinaryOp::BitXor
                | ast::BinaryOp::Equal
                | ast::BinaryOp::NotEqual
        );
        let plain = |e: &Expr| matches!(e.ty, Type::Int(_)) && !fits(e);
        let mixed = (a.signed && plain(left)) || (b.signed && plain(right));
        if matters && unsigned && mixed {
            let (l, r) = (self.type_name(&left.ty), self.type_name(&right.ty));
            self.warn(
                Code::SignMismatch,
                span,
                format!(
                    "`{}` of integers of different signs, `{l}` and `{r}`, is unsigned here",
                    op.symbol()
                ),
            );
        }
        !unsigned
    }

    fn operands<T>(
        &mut self,
        op: ast::BinaryOp,
        left: &Expr,
        right: &Expr,
        span: Span,
    ) -> Option<T> {
        let (l, r) = (self.type_name(&left.ty), self.type_name(&right.ty));
        let comparable = convert::unify(&left.ty, &right.ty).is_some()
            || std::mem::discriminant(&left.ty) == std::mem::discriminant(&right.ty);
        let code = if comparable {
            Code::InvalidOperand
        } else {
            Code::TypeMismatch
        };
        let message = format!("`{}` can't combine `{l}` and `{r}`", op.symbol());
        self.error(code, span, message)
    }

    /// How many elements lie between two pointers.
    fn pointer_difference(&mut self, left: Expr, right: Expr, span: Span) -> Option<Expr> {
        let Type::Pointer { to, .. } = left.ty.clone() else {
            return None;
        };
        let stride = self.size_expr(&to, span)?;
        let wide = Type::Int(IntType::I64);
        let (left, right) = (
            self.convert(left, wide.clone()),
            self.convert(right, wide.clone()),
        );
        let bytes = match (&left.kind, &right.kind) {
            (ExprKind::Integer(x), ExprKind::Integer(y)) => {
                self.integer(x.wrapping_sub(*y), IntType::I64, span)
            }
            _ => self.binary(BinaryOp::Subtract, left, right, wide.clone(), span),
        };
        let stride = self.convert(stride, wide.clone());
        match (&bytes.kind, &stride.kind) {
            (_, ExprKind::Integer(0 | 1)) => Some(bytes),
            (ExprKind::Integer(n), ExprKind::Integer(s)) => {
                let count = (*n as i64).wrapping_div(*s as i64);
                Some(self.integer(count as u64, IntType::I64, span))
            }
            _ => Some(self.binary(BinaryOp::Divide, bytes, stride, wide, span)),
        }
    }

    /// So many elements in bytes.
    pub(super) fn elements(&mut self, count: Expr, of: &Type, span: Span) -> Option<Expr> {
        let stride = self.size_expr(of, span)?;
        let wide = Type::Int(IntType::U64);
        let count = self.convert(self.convert(count, Type::Int(IntType::I64)), wide.clone());
        Some(match (&count.kind, &stride.kind) {
            (ExprKind::Integer(n), ExprKind::Integer(s)) => {
                self.integer(n.wrapping_mul(*s), IntType::U64, span)
            }
            (_, ExprKind::Integer(1)) => count,
            _ => self.binary(BinaryOp::Multiply, count, stride, wide, span),
        })
    }

    /// Pointers move by elements.
    fn pointer_offset(
        &mut self,
        op: ast::BinaryOp,
        left: Expr,
        right: Expr,
        span: Span,
    ) -> Option<Expr> {
        let swapped = matches!(left.ty, Type::Int(_));
        if swapped && op == ast::BinaryOp::Subtract {
            return self.operands(op, &left, &right, span);
        }
        let (pointer, offset) = if swapped {
            (right, left)
        } else {
            (left, right)
        };
        let ty = pointer.ty.clone();
        let Type::Pointer { to, .. } = &ty else {
            return None;
        };
        let wide = Type::Int(IntType::U64);
        let bytes = self.elements(offset, to, span)?;
        let address = self.convert(pointer, wide.clone());
        let moved = match (&address.kind, &bytes.kind, op) {
            (ExprKind::Integer(a), ExprKind::Integer(b), ast::BinaryOp::Add) => {
                self.integer(a.wrapping_add(*b), IntType::U64, span)
            }
            (ExprKind::Integer(a), ExprKind::Integer(b), _) => {
                self.integer(a.wrapping_sub(*b), IntType::U64, span)
            }
            _ => self.binary(typed_op(op), address, bytes, wide, span),
        };
        Some(self.convert(moved, ty))
    }

    pub(super) fn unary(
        &mut self,
        op: ast::UnaryOp,
        operand: &ast::Expr,
        span: Span,
    ) -> Option<Expr> {
        match op {
            ast::UnaryOp::Dereference => {
                let pointer = self.expr(operand)?;
                let pointer = self.number_in_space(operand, pointer);
                self.dereference(pointer, span)
            }
            ast::UnaryOp::AddressOf => self.address_of(operand, span),
            ast::UnaryOp::Not => {
                let operand = self.condition(operand)?;
                Some(not(operand, span))
            }
            ast::UnaryOp::Negate | ast::UnaryOp::Plus | ast::UnaryOp::BitNot => {
                if let (ast::UnaryOp::Negate, ast::ExprKind::Integer { value, suffix }) =
                    (op, &operand.kind)
                    && !suffix.unsigned
                    && *value > i64::MIN.unsigned_abs()
                {
                    // Without its sign it fits.
                    let message = format!("the integer `-{value}` does not fit into 64 bits");
                    return self.error(Code::InvalidLiteral, span, message);
                }
                let value = self.expr(operand)?;
                let Some(int) = convert::int64_type(&value.ty, &self.types)
                    .filter(|_| !matches!(value.ty, Type::Pointer { .. }))
                else {
                    let found = self.type_name(&value.ty);
                    let message = format!("`{}` needs an integer, found `{found}`", op.symbol());
                    return self.error(Code::InvalidOperand, span, message);
                };
                match (op, &value.kind) {
                    (ast::UnaryOp::Plus, _) => Some(self.convert(value, Type::Int(int))),
                    (ast::UnaryOp::Negate, ExprKind::Integer(n)) => {
                        let n = (*n).wrapping_neg();
                        let ty = convert::literal_type(i128::from(n as i64));
                        Some(self.integer(n, ty, span))
                    }
                    _ => {
                        let (op, ty) = if op == ast::UnaryOp::Negate {
                            (UnaryOp::Negate, Type::Int(IntType::I64))
                        } else {
                            (UnaryOp::BitNot, Type::Int(int))
                        };
                        let operand =
                            Box::new(self.convert(self.convert(value, Type::Int(int)), ty.clone()));
                        Some(Expr {
                            kind: ExprKind::Unary { op, operand },
                            ty,
                            span,
                        })
                    }
                }
            }
        }
    }

    /// `c ? a : b`; `c ?: b` gives `c` itself where it is true.
    pub(super) fn ternary(
        &mut self,
        condition: &ast::Expr,
        then: Option<&ast::Expr>,
        otherwise: &ast::Expr,
        span: Span,
    ) -> Option<Expr> {
        let (test, then) = match then {
            Some(then) => {
                let test = self.condition(condition);
                (test, self.branch(|l| l.expr(then)))
            }
            None => {
                let value = self.expr(condition);
                let value = value.map(|v| self.once(v));
                let test = value.clone().and_then(|v| self.truth(v));
                (test, value)
            }
        };
        let otherwise = self.branch(|l| l.expr(otherwise));
        self.select(test?, then?, otherwise?, span)
    }

    /// A choice between two values, which become one type.
    pub(super) fn select(
        &mut self,
        condition: Expr,
        then: Expr,
        otherwise: Expr,
        span: Span,
    ) -> Option<Expr> {
        let constant = convert::is_nonnegative_constant(&then);
        let unified = convert::unify_value(&then.ty, constant, &otherwise)
            .or_else(|| convert::unify_value(&otherwise.ty, false, &then))
            .or_else(|| self.unify_as_integers(&then.ty, &otherwise.ty));
        let Some(ty) = unified else {
            let (a, b) = (self.type_name(&then.ty), self.type_name(&otherwise.ty));
            self.report(
                Diagnostic::error(
                    Code::TypeMismatch,
                    span,
                    format!("both branches must have one type, found `{a}` and `{b}`"),
                )
                .with_label(then.span, format!("this is `{a}`"))
                .with_label(otherwise.span, format!("this is `{b}`")),
            );
            return None;
        };
        if ty == Type::Void {
            // For their effects alone: an `if`.
            let effects = |e: Expr| match e.kind {
                ExprKind::Block { body, .. } => body,
                _ => vec![],
            };
            let then = effects(then);
            let otherwise = effects(otherwise);
            self.push(
                crate::ir::StmtKind::If {
                    condition,
                    then,
                    otherwise,
                },
                span,
            );
            return Some(self.void(span));
        }
        Some(Expr {
            kind: ExprKind::Select {
                condition: Box::new(condition),
                then: Box::new(self.convert(then, ty.clone())),
                otherwise: Box::new(self.convert(otherwise, ty.clone())),
            },
            ty,
            span,
        })
    }

    /// Enums beside integers, and integers of 64 bits and different signs: the operators' own rule.
    fn unify_as_integers(&self, a: &Type, b: &Type) -> Option<Type> {
        if !matches!(a, Type::Int(_) | Type::Enum(_) | Type::Bool)
            || !matches!(b, Type::Int(_) | Type::Enum(_) | Type::Bool)
        {
            return None;
        }
        let (x, y) = (
            convert::int64_type(a, &self.types)?,
            convert::int64_type(b, &self.types)?,
        );
        Some(Type::Int(IntType {
            bits: 64,
            signed: x.signed && y.signed,
        }))
    }
}

/// `!operand`, folded.
pub(super) fn not(operand: Expr, span: Span) -> Expr {
    let kind = match operand.kind {
        ExprKind::Integer(n) => ExprKind::Integer(u64::from(n == 0)),
        _ => ExprKind::Unary {
            op: UnaryOp::Not,
            operand: Box::new(operand),
        },
    };
    Expr {
        kind,
        ty: Type::Bool,
        span,
    }
}

fn equal(left: Expr, right: Expr, op: ast::BinaryOp, span: Span) -> Expr {
    let same = match (&left.kind, &right.kind) {
        (ExprKind::String(a), ExprKind::String(b)) => Some(a == b),
        _ => None,
    };
    let kind = match same {
        Some(same) => ExprKind::Integer(u64::from(same)),
        None => ExprKind::Equal {
            left: Box::new(left),
            right: Box::new(right),
            limit: None,
        },
    };
    let made = Expr {
        kind,
        ty: Type::Bool,
        span,
    };
    if op == ast::BinaryOp::NotEqual {
        not(made, span)
    } else {
        made
    }
}

/// A constant that an unsigned operand takes without a change of value.
fn fits_unsigned(e: &Expr) -> bool {
    match (&e.kind, &e.ty) {
        (ExprKind::Integer(n), Type::Int(int)) => !int.signed || (*n as i64) >= 0,
        _ => false,
    }
}

fn has_sign(e: &Expr) -> bool {
    matches!(e.ty, Type::Int(int) if int.signed)
}

pub(super) fn typed_op(op: ast::BinaryOp) -> BinaryOp {
    match op {
        ast::BinaryOp::Add => BinaryOp::Add,
        ast::BinaryOp::Subtract => BinaryOp::Subtract,
        ast::BinaryOp::Multiply => BinaryOp::Multiply,
        ast::BinaryOp::Divide => BinaryOp::Divide,
        ast::BinaryOp::Modulo => BinaryOp::Modulo,
        ast::BinaryOp::BitAnd | ast::BinaryOp::LogicalAnd => BinaryOp::BitAnd,
        ast::BinaryOp::BitOr | ast::BinaryOp::LogicalOr => BinaryOp::BitOr,
        ast::BinaryOp::BitXor => BinaryOp::BitXor,
        ast::BinaryOp::ShiftLeft => BinaryOp::ShiftLeft,
        ast::BinaryOp::ShiftRight => BinaryOp::ShiftRight,
        ast::BinaryOp::Less => BinaryOp::Less,
        ast::BinaryOp::LessEqual => BinaryOp::LessEqual,
        ast::BinaryOp::Greater => BinaryOp::Greater,
        ast::BinaryOp::GreaterEqual => BinaryOp::GreaterEqual,
        ast::BinaryOp::Equal => BinaryOp::Equal,
        ast::BinaryOp::NotEqual => BinaryOp::NotEqual,
    }
}

enum Folded {
    Number(u64),
    Truth(bool),
}

/// What BPF would compute; a division by zero is left to the run, which tells of it.
fn fold(op: BinaryOp, x: u64, y: u64, signed: bool) -> Option<Folded> {
    use Folded::{Number, Truth};
    if y == 0 && matches!(op, BinaryOp::Divide | BinaryOp::Modulo) {
        return None;
    }
    let (sx, sy) = (x as i64, y as i64);
    Some(match op {
        BinaryOp::Add => Number(x.wrapping_add(y)),
        BinaryOp::Subtract => Number(x.wrapping_sub(y)),
        BinaryOp::Multiply => Number(x.wrapping_mul(y)),
        BinaryOp::Divide if signed => Number(sx.wrapping_div(sy) as u64),
        BinaryOp::Modulo if signed => Number(sx.wrapping_rem(sy) as u64),
        BinaryOp::Divide => Number(x / y),
        BinaryOp::Modulo => Number(x % y),
        BinaryOp::BitAnd => Number(x & y),
        BinaryOp::BitOr => Number(x | y),
        BinaryOp::BitXor => Number(x ^ y),
        BinaryOp::ShiftLeft => Number(x.wrapping_shl(y as u32)),
        BinaryOp::ShiftRight if signed => Number(sx.wrapping_shr(y as u32) as u64),
        BinaryOp::ShiftRight => Number(x.wrapping_shr(y as u32)),
        BinaryOp::Less if signed => Truth(sx < sy),
        BinaryOp::LessEqual if signed => Truth(sx <= sy),
        BinaryOp::Greater if signed => Truth(sx > sy),
        BinaryOp::GreaterEqual if signed => Truth(sx >= sy),
        BinaryOp::Less => Truth(x < y),
        BinaryOp::LessEqual => Truth(x <= y),
        BinaryOp::Greater => Truth(x > y),
        BinaryOp::GreaterEqual => Truth(x >= y),
        BinaryOp::Equal => Truth(x == y),
        BinaryOp::NotEqual => Truth(x != y),
    })
}
