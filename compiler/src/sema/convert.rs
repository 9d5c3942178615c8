//! Changes of type: conversions with folding, truth, and the one type that two values can share.

use super::lowering::Lowering;
use super::types::TypeTable;
use crate::diagnostic::Code;
use crate::ir::{BinaryOp, Expr, ExprKind, IntType, Type};

/// See [`Lowering::convert`].
pub(super) fn convert(value: Expr, ty: Type) -> Expr {
    if value.ty == ty {
        return value;
    }
    let kind = match (&value.kind, &value.ty, &ty) {
        (ExprKind::Integer(n), _, Type::Int(int)) => ExprKind::Integer(wrap(*n, *int)),
        (ExprKind::Integer(n), _, Type::Bool) => ExprKind::Integer(u64::from(*n != 0)),
        (ExprKind::Integer(n), _, Type::Pointer { .. }) => ExprKind::Integer(*n),
        (ExprKind::String(text), Type::String { .. }, Type::String { size }) => {
            let room = (*size as usize).saturating_sub(1);
            ExprKind::String(text[..text.len().min(room)].to_vec())
        }
        _ => {
            let span = value.span;
            return Expr {
                kind: ExprKind::Convert(Box::new(value)),
                ty,
                span,
            };
        }
    };
    Expr {
        kind,
        ty,
        span: value.span,
    }
}

/// The bits of `n` cut to an integer type and extended back to 64.
pub(super) fn wrap(n: u64, int: IntType) -> u64 {
    let shift = 64 - u32::from(int.bits.clamp(1, 64));
    if int.signed {
        (((n << shift) as i64) >> shift) as u64
    } else {
        (n << shift) >> shift
    }
}

/// The 64-bit integer type that a value of this type reads as.
pub(super) fn int64_type(ty: &Type, types: &TypeTable) -> Option<IntType> {
    match ty {
        Type::Int(int) => Some(IntType {
            bits: 64,
            signed: int.signed,
        }),
        Type::Enum(id) => Some(IntType {
            bits: 64,
            signed: types.types.enumeration(*id).int.signed,
        }),
        Type::Bool | Type::Pointer { .. } => Some(IntType::U64),
        Type::KernelSymbol | Type::Timestamp { .. } | Type::CgroupPath { .. } => Some(IntType::U64),
        _ => None,
    }
}

pub(super) fn truth(l: &mut Lowering, value: Expr) -> Option<Expr> {
    match &value.ty {
        Type::Bool => Some(value),
        Type::Int(_) => Some(convert(value, Type::Bool)),
        Type::Enum(_) | Type::Pointer { .. } => {
            let int = int64_type(&value.ty, &l.types).unwrap_or(IntType::U64);
            Some(convert(convert(value, Type::Int(int)), Type::Bool))
        }
        Type::String { .. } => {
            let span = value.span;
            let length = Expr {
                kind: ExprKind::StringLength(Box::new(value)),
                ty: Type::Int(IntType::U64),
                span,
            };
            let zero = l.integer(0, IntType::U64, span);
            Some(l.binary(
                BinaryOp::NotEqual,
                length,
                zero,
                Type::Int(IntType::U64),
                span,
            ))
        }
        other => {
            let found = l.type_name(other);
            l.error(
                Code::InvalidOperand,
                value.span,
                format!("expected a condition, found `{found}`"),
            )
        }
    }
}

/// Whether an integer constant's value can be held by an integer type.
pub(super) fn constant_fits(n: u64, from: IntType, to: IntType) -> bool {
    let value = if from.signed {
        i128::from(n as i64)
    } else {
        i128::from(n)
    };
    let (low, high) = range(to);
    (low..=high).contains(&value)
}

fn range(int: IntType) -> (i128, i128) {
    let bits = u32::from(int.bits);
    if int.signed {
        (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1)
    } else {
        (0, (1i128 << bits) - 1)
    }
}

/// The narrowest signed type that holds a constant; unsigned 64 above that.
pub(super) fn literal_type(value: i128) -> IntType {
    for bits in [8u8, 16, 32, 64] {
        let int = IntType { bits, signed: true };
        let (low, high) = range(int);
        if (low..=high).contains(&value) {
            return int;
        }
    }
    IntType::U64
}

/// The integer type that holds all values of both, where there is one.
pub(super) fn unify_int(a: IntType, b: IntType) -> Option<IntType> {
    if a.signed == b.signed {
        return Some(if a.bits >= b.bits { a } else { b });
    }
    let (signed, unsigned) = if a.signed { (a, b) } else { (b, a) };
    if signed.bits > unsigned.bits {
        return Some(signed);
    }
    (unsigned.bits < 64).then_some(IntType {
        bits: unsigned.bits * 2,
        signed: true,
    })
}

/// The type that values of both types can be converted to without loss: the wider integer, the longer string.
pub(super) fn unify(a: &Type, b: &Type) -> Option<Type> {
    if a == b {
        return Some(a.clone());
    }
    match (a, b) {
        (Type::Int(x), Type::Int(y)) => unify_int(*x, *y).map(Type::Int),
        (Type::Bool, Type::Int(int)) | (Type::Int(int), Type::Bool) => Some(Type::Int(*int)),
        (Type::String { size: x }, Type::String { size: y }) => {
            Some(Type::String { size: *x.max(y) })
        }
        (Type::Buffer { size: x }, Type::Buffer { size: y }) => {
            Some(Type::Buffer { size: *x.max(y) })
        }
        (Type::Pointer { to: x, space }, Type::Pointer { to: y, .. }) => {
            // A pointer to nothing in particular takes on the other's pointee.
            match (x.as_ref(), y.as_ref()) {
                (Type::Void, _) => Some(b.clone()),
                (_, Type::Void) => Some(a.clone()),
                (x, y) if same_pointee(x, y) => Some(Type::Pointer {
                    to: Box::new(x.clone()),
                    space: *space,
                }),
                _ => None,
            }
        }
        (Type::Tuple(x), Type::Tuple(y)) if x.len() == y.len() => x
            .iter()
            .zip(y)
            .map(|(x, y)| unify(x, y))
            .collect::<Option<Vec<_>>>()
            .map(Type::Tuple),
        // Members go by their names, in the order of the first.
        (Type::Record(x), Type::Record(y)) if x.len() == y.len() => x
            .iter()
            .map(|(name, x)| Some((name.clone(), unify(x, &y[member(y, name)?].1)?)))
            .collect::<Option<Vec<_>>>()
            .map(Type::Record),
        (
            Type::Stack {
                kind: k1,
                mode: m1,
                limit: l1,
            },
            Type::Stack {
                kind: k2,
                mode: m2,
                limit: l2,
            },
        ) if k1 == k2 && m1 == m2 => Some(Type::Stack {
            kind: k1.clone(),
            mode: m1.clone(),
            limit: l1.largest(l2),
        }),
        _ => None,
    }
}

/// Where a record has the member of this name.
fn member(of: &[(String, Type)], name: &str) -> Option<usize> {
    of.iter().position(|(known, _)| known == name)
}

/// Whether pointers to these are one type: which memory a pointer lies in says nothing of what it points to.
fn same_pointee(a: &Type, b: &Type) -> bool {
    match (a, b) {
        (Type::Pointer { to: x, .. }, Type::Pointer { to: y, .. }) => same_pointee(x, y),
        (
            Type::Array {
                element: x,
                count: n,
            },
            Type::Array {
                element: y,
                count: m,
            },
        ) => n == m && same_pointee(x, y),
        _ => a == b,
    }
}

/// Integers of map keys and values are 64 bits wide, so that every probe may write them.
pub(super) fn widen(ty: &Type) -> Type {
    match ty {
        Type::Int(int) => Type::Int(IntType {
            bits: 64,
            signed: int.signed,
        }),
        Type::Tuple(parts) => Type::Tuple(parts.iter().map(widen).collect()),
        Type::Record(members) => Type::Record(
            members
                .iter()
                .map(|(name, ty)| (name.clone(), widen(ty)))
                .collect(),
        ),
        other => other.clone(),
    }
}

/// The type with integer constants' narrow types replaced so that they fit beside `other`: a non-negative constant
/// goes with unsigned integers as well as with signed ones.
pub(super) fn unify_value(known: &Type, known_constant: bool, value: &Expr) -> Option<Type> {
    match (known, &value.ty, &value.kind) {
        (Type::Int(known), Type::Int(from), ExprKind::Integer(n))
            if constant_fits(*n, *from, *known) =>
        {
            Some(Type::Int(*known))
        }
        // The address of a variable that grew since.
        (
            Type::Pointer { to: known, .. },
            Type::Pointer { to: found, .. },
            ExprKind::LocalAddress(_) | ExprKind::ElementAddress { .. },
        ) if matches!((&**known, &**found), (Type::Int(a), Type::Int(b)) if a.bits <= b.bits) => {
            Some(value.ty.clone())
        }
        (Type::Int(int), Type::Int(to), _) if known_constant && int.signed && !to.signed => {
            Some(Type::Int(IntType {
                bits: int.bits.max(to.bits),
                signed: false,
            }))
        }
        (Type::Tuple(known), Type::Tuple(found), ExprKind::Tuple(values))
            if known.len() == found.len() =>
        {
            known
                .iter()
                .zip(values)
                .map(|(k, v)| unify_value(k, known_constant, v))
                .collect::<Option<Vec<_>>>()
                .map(Type::Tuple)
        }
        (Type::Record(known), Type::Record(found), ExprKind::Tuple(values))
            if known.len() == found.len() =>
        {
            known
                .iter()
                .map(|(name, k)| {
                    let value = &values[member(found, name)?];
                    Some((name.clone(), unify_value(k, known_constant, value)?))
                })
                .collect::<Option<Vec<_>>>()
                .map(Type::Record)
        }
        _ => unify(known, &value.ty),
    }
}

/// [`unify_value`], where enumerators beside other integers are integers too.
pub(super) fn unify_numbers(
    known: &Type,
    known_constant: bool,
    value: &Expr,
    types: &TypeTable,
) -> Option<Type> {
    unify_value(known, known_constant, value).or_else(|| {
        let known = without_enums(known, types);
        unify_value(&known, known_constant, &as_integers(value, types))
    })
}

/// The type of the same values as plain integers.
fn without_enums(ty: &Type, types: &TypeTable) -> Type {
    match ty {
        Type::Enum(id) => Type::Int(types.types.enumeration(*id).int),
        Type::Tuple(parts) => Type::Tuple(parts.iter().map(|p| without_enums(p, types)).collect()),
        Type::Record(parts) => {
            let part = |(name, ty): &(String, Type)| (name.clone(), without_enums(ty, types));
            Type::Record(parts.iter().map(part).collect())
        }
        other => other.clone(),
    }
}

fn as_integers(value: &Expr, types: &TypeTable) -> Expr {
    let kind = match &value.kind {
        ExprKind::Tuple(parts) => {
            ExprKind::Tuple(parts.iter().map(|p| as_integers(p, types)).collect())
        }
        kind => kind.clone(),
    };
    Expr {
        kind,
        ty: without_enums(&value.ty, types),
        span: value.span,
    }
}

/// Whether every integer in a value is a non-negative constant.
pub(super) fn is_nonnegative_constant(value: &Expr) -> bool {
    match (&value.kind, &value.ty) {
        (ExprKind::Integer(n), Type::Int(int)) => !int.signed || (*n as i64) >= 0,
        (ExprKind::Tuple(parts), _) => parts.iter().all(is_nonnegative_constant),
        (_, Type::Int(_)) => false,
        _ => true,
    }
}

/// An expression that can be left out or repeated.
pub(super) fn is_pure(value: &Expr) -> bool {
    matches!(
        value.kind,
        ExprKind::Integer(_) | ExprKind::String(_) | ExprKind::Local(_) | ExprKind::Target(_)
    )
}

/// Whether a value is made from what the target tells before anything runs (parameters, CPU counts, answers of the kernel) and
/// from constants.
pub(super) fn is_told_on_target(value: &Expr) -> bool {
    let constant = |value: &Expr| matches!(value.kind, ExprKind::Integer(_) | ExprKind::String(_));
    let told = |value: &Expr| constant(value) || is_told_on_target(value);
    match &value.kind {
        ExprKind::Target(_) => true,
        ExprKind::Unary { operand: of, .. }
        | ExprKind::Convert(of)
        | ExprKind::StringLength(of) => is_told_on_target(of),
        ExprKind::Binary { left, right, .. }
        | ExprKind::Logical { left, right, .. }
        | ExprKind::Equal { left, right, .. } => {
            told(left) && told(right) && !(constant(left) && constant(right))
        }
        _ => false,
    }
}
