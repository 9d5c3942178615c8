//! Addresses of networks: `ntop`, `pton`, `macaddr`.

use std::net::IpAddr;

use super::argument::{self, integer, is_byte, named, value};
use super::{Call, Function};
use crate::ir::{BinaryOp, Expr, ExprKind, IntType, Place, Type};
use crate::sema::Lowering;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::call("ntop", (1, 2), "ntop([family, ]address)", ntop),
    Function::call("pton", (1, 1), "pton(\"address\")", pton),
    Function::call("macaddr", (1, 1), "macaddr(bytes)", macaddr),
];

const AF_INET: i128 = 2;
const AF_INET6: i128 = 10;
const U8: IntType = IntType {
    bits: 8,
    signed: false,
};

/// Bytes of an array in memory; one of chars is a string.
fn byte_count(ty: &Type) -> Option<u32> {
    match ty {
        Type::Array { element, count } => match element.as_ref() {
            Type::Int(int) => Some(count.saturating_mul(u32::from(int.bytes()))),
            _ => None,
        },
        Type::String { size } => Some(*size),
        _ => None,
    }
}

fn bytes_type(count: u32) -> Type {
    Type::Array {
        element: Box::new(Type::Int(U8)),
        count,
    }
}

fn ntop(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let at = call.arguments.len() - 1;
    let family = match at {
        0 => Family::Unsaid,
        _ => family(l, call)?,
    };
    let given = value(l, call, at)?;
    if let Type::Int(_) = given.ty {
        if matches!(family, Family::Known(AF_INET6)) {
            return argument::wrong(l, call, at, "16 bytes for AF_INET6", "an integer");
        }
        let source = l.convert(given, Type::Int(IntType::U32));
        return Some(inet(source, call));
    }
    match (byte_count(&given.ty), family) {
        (Some(16), Family::Asked(family)) => Some(either(l, family, given, call)),
        (Some(4), Family::Unsaid | Family::Asked(_) | Family::Known(AF_INET))
        | (Some(16), Family::Unsaid | Family::Known(AF_INET6)) => Some(inet(given, call)),
        _ => {
            let found = named(l, &given.ty);
            let expected = "an integer, 4 bytes or 16 bytes";
            argument::wrong(l, call, at, expected, &found)
        }
    }
}

enum Family {
    Unsaid,
    /// Must fit the address.
    Known(i128),
    /// Only known at run time.
    Asked(Expr),
}

/// 16 bytes of which a family of run time may mean the first four.
fn either(l: &mut Lowering, family: Expr, source: Expr, call: &Call) -> Expr {
    let source = l.once(source);
    let four = l.integer(AF_INET as u64, IntType::I64, call.span);
    let is_four = l.binary(
        BinaryOp::Equal,
        family,
        four,
        Type::Int(IntType::I64),
        call.span,
    );
    let head = l.convert(source.clone(), bytes_type(4));
    Expr {
        kind: ExprKind::Select {
            condition: Box::new(is_four),
            then: Box::new(inet(head, call)),
            otherwise: Box::new(inet(source, call)),
        },
        ty: Type::Inet,
        span: call.span,
    }
}

fn family(l: &mut Lowering, call: &Call) -> Option<Family> {
    let argument = call.arguments.first()?;
    if let Some(n) = l.constant_integer(argument) {
        if n != AF_INET && n != AF_INET6 {
            let found = format!("{n}");
            return argument::wrong(l, call, 0, "AF_INET (2) or AF_INET6 (10)", &found);
        }
        return Some(Family::Known(n));
    }
    integer(l, call, 0).map(Family::Asked)
}

fn inet(source: Expr, call: &Call) -> Expr {
    Expr {
        kind: ExprKind::Inet {
            source: Box::new(source),
        },
        ty: Type::Inet,
        span: call.span,
    }
}

fn pton(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let text = argument::literal_text(l, call, 0)?;
    let bytes: Vec<u8> = match text.parse::<IpAddr>() {
        Ok(IpAddr::V4(v4)) => v4.octets().to_vec(),
        Ok(IpAddr::V6(v6)) => v6.octets().to_vec(),
        Err(_) => {
            let found = format!("`{}`", text.escape_debug());
            return argument::wrong(l, call, 0, "an IPv4 or IPv6 address", &found);
        }
    };
    let count = bytes.len() as u32;
    let parts = bytes
        .into_iter()
        .map(|b| l.integer(u64::from(b), U8, call.span))
        .collect();
    Some(Expr {
        kind: ExprKind::Tuple(parts),
        ty: bytes_type(count),
        span: call.span,
    })
}

fn macaddr(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let given = value(l, call, 0)?;
    if let ExprKind::String(_) = given.kind {
        return argument::wrong(l, call, 0, "an array of 6 bytes", "a string literal");
    }
    if let Type::Pointer { to, space } = &given.ty
        && (is_byte(to) || **to == Type::Void)
    {
        let space = *space;
        let six = Place {
            base: given,
            space,
            steps: vec![],
            ty: bytes_type(6),
        };
        let bytes = Expr {
            kind: ExprKind::Load(Box::new(six)),
            ty: bytes_type(6),
            span: call.span,
        };
        return Some(l.convert(bytes, Type::Mac));
    }
    match byte_count(&given.ty) {
        Some(6) => Some(l.convert(given, Type::Mac)),
        _ => {
            let found = named(l, &given.ty);
            argument::wrong(l, call, 0, "an array of 6 bytes", &found)
        }
    }
}
