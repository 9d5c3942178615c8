//! Strings and bytes: `str`, `buf`, `strncmp`, `strlen`, `str_concat`, and numbers that print as names.

use btc_abi as abi;

use super::argument::{
    self, address_of, default_space, integer, is_byte, named, ordinal, place_of, text, unsigned,
    unsigned_binary, value,
};
use super::{Call, Function};
use crate::diagnostic::Code;
use crate::ir::{BinaryOp, Expr, ExprKind, IntType, Space, Type};
use crate::sema::Lowering;
use crate::syntax::ast;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::call("str", (1, 2), "str(pointer[, length])", str),
    Function::call("buf", (1, 2), "buf(data[, length])", buf),
    Function::call("strncmp", (3, 3), "strncmp(a, b, length)", strncmp),
    Function::call("strlen", (1, 1), "strlen(string)", strlen),
    Function::call("strcap", (1, 1), "strcap(string)", strcap),
    Function::call("str_concat", (2, 2), "str_concat(a, b)", concat),
    Function::call("memcmp", (3, 3), "memcmp(a, b, size)", memcmp),
    Function::call("strerror", (1, 1), "strerror(errno)", |l, call| {
        name_of_number(l, call, Type::ErrorName)
    }),
    Function::call("signal_name", (1, 1), "signal_name(number)", |l, call| {
        name_of_number(l, call, Type::SignalName)
    }),
    Function::call("syscall_name", (1, 1), "syscall_name(number)", |l, call| {
        name_of_number(l, call, Type::SyscallName)
    }),
    Function::word("default_str_length", |l, call| {
        Some(l.integer(
            u64::from(l.settings.limits.max_strlen),
            IntType::U64,
            call.span,
        ))
    }),
];

const U64: Type = Type::Int(IntType::U64);

/// How many bytes a string may have: known when compiling, or at run time.
struct Length {
    /// Bytes of the type, NUL included.
    size: u32,
    /// Bytes to read at most, NUL included, where that is only known at run time.
    dynamic: Option<Expr>,
}

/// `str`'s 2nd argument counts characters; one more byte holds the NUL.
fn string_length(l: &mut Lowering, call: &Call) -> Option<Length> {
    let most = l.settings.limits.max_strlen;
    let Some(argument) = call.arguments.get(1) else {
        return Some(Length {
            size: most,
            dynamic: None,
        });
    };
    if l.constant_integer(argument).is_some() {
        let n = argument::constant(l, call, 1, 0, i128::from(u32::MAX))?;
        let size = u32::try_from(n + 1).unwrap_or(most).min(most);
        return Some(Length {
            size,
            dynamic: None,
        });
    }
    let length = integer(l, call, 1)?;
    let span = length.span;
    let one = l.integer(1, IntType::U64, span);
    let length = unsigned(l, length);
    Some(Length {
        size: most,
        dynamic: Some(unsigned_binary(l, BinaryOp::Add, length, one, span)),
    })
}

fn str(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let argument = call.arguments.first()?;
    if let ast::ExprKind::Positional(index) = argument.kind {
        return positional(l, call, index);
    }
    if let Some((index, skip)) = behind_positional(l, argument) {
        return tail_of_positional(l, call, index, skip);
    }
    let given = value(l, call, 0)?;
    let length = string_length(l, call)?;
    match &given.ty {
        Type::String { size } => {
            let size = length.size.min(*size);
            Some(cut(l, given, size, length.dynamic, call))
        }
        Type::Pointer { space, .. } => {
            let space = *space;
            Some(read_string(l, given, space, length, call))
        }
        Type::Int(_) => {
            let space = default_space(l);
            Some(read_string(l, given, space, length, call))
        }
        Type::Array { element, count } if is_byte(element) => {
            let count = *count;
            let (address, space) = match place_of(&given) {
                Some(place) => (address_of(l, place, given.span), place.space),
                None => (l.in_memory(given), Space::Bpf),
            };
            let length = Length {
                // An array without NUL would be read beyond its end.
                size: length.size.min(count.saturating_add(1)),
                dynamic: length.dynamic,
            };
            Some(read_string(l, address, space, length, call))
        }
        ty => {
            let found = named(l, ty);
            argument::wrong(l, call, 0, "a pointer or a string", &found)
        }
    }
}

/// `str($1)`: the text of a parameter.
fn positional(l: &mut Lowering, call: &Call, index: u32) -> Option<Expr> {
    let length = string_length(l, call)?;
    let text = positional_text(l, index, call);
    Some(cut(l, text, length.size, length.dynamic, call))
}

fn positional_text(l: &mut Lowering, index: u32, call: &Call) -> Expr {
    l.positional(index, abi::ParameterType::String { default: None });
    let size = l.settings.limits.max_strlen;
    l.slot(
        abi::TargetValue::PositionalString { index },
        Type::String { size },
        call.span,
    )
}

/// `$1 + 2` and `2 + $1`: the parameter, and how many of its characters are passed over.
fn behind_positional(l: &mut Lowering, argument: &ast::Expr) -> Option<(u32, i128)> {
    let ast::ExprKind::Binary {
        op: ast::BinaryOp::Add,
        left,
        right,
    } = &argument.kind
    else {
        return None;
    };
    let (index, skip) = match (&left.kind, &right.kind) {
        (ast::ExprKind::Positional(index), _) => (*index, right),
        (_, ast::ExprKind::Positional(index)) => (*index, left),
        _ => return None,
    };
    Some((index, l.constant_integer(skip)?))
}

/// `str($1 + 2)`: the text of a parameter without its first characters; empty where it has no more.
fn tail_of_positional(l: &mut Lowering, call: &Call, index: u32, skip: i128) -> Option<Expr> {
    let length = string_length(l, call)?;
    let size = l.settings.limits.max_strlen;
    let Some(skip) = u32::try_from(skip).ok().filter(|skip| *skip < size) else {
        let expected = format!("0 to {} characters to pass over", size - 1);
        return argument::wrong(l, call, 0, &expected, &format!("{skip}"));
    };
    let text = positional_text(l, index, call);
    let start = l.in_memory(text);
    let start = unsigned(l, start);
    let skipped = l.integer(u64::from(skip), IntType::U64, call.span);
    let address = unsigned_binary(l, BinaryOp::Add, start, skipped, call.span);
    let length = Length {
        // What is behind the text's room is not its own.
        size: length.size.min(size - skip),
        dynamic: length.dynamic,
    };
    Some(read_string(l, address, Space::Bpf, length, call))
}

/// The head of a string.
fn cut(l: &Lowering, of: Expr, size: u32, length: Option<Expr>, call: &Call) -> Expr {
    let ty = Type::String { size };
    let Some(length) = length else {
        return l.convert(of, ty);
    };
    Expr {
        kind: ExprKind::Head {
            of: Box::new(of),
            length: Box::new(length),
        },
        ty,
        span: call.span,
    }
}

fn read_string(l: &Lowering, address: Expr, space: Space, length: Length, call: &Call) -> Expr {
    Expr {
        kind: ExprKind::ReadString {
            address: Box::new(unsigned(l, address)),
            space,
            length: length.dynamic.map(Box::new),
        },
        ty: Type::String { size: length.size },
        span: call.span,
    }
}

/// `buf`'s room and count of bytes.
fn buffer_length(
    l: &mut Lowering,
    call: &Call,
    at: usize,
    natural: Option<u32>,
) -> Option<(u32, Expr)> {
    let most = l.settings.limits.max_strlen;
    let constant = |l: &Lowering, n: u32| (n, l.integer(u64::from(n), IntType::U64, call.span));
    match (call.arguments.get(at + 1), natural) {
        (None, Some(size)) => Some(constant(l, size.min(most))),
        (None, None) => {
            let what = ordinal(call, at);
            argument::report(
                l,
                call,
                call.span,
                format!("the length must be said, since the size of {what} is not known"),
            )
        }
        (Some(argument), natural) => {
            let room = natural.unwrap_or(most).min(most);
            if l.constant_integer(argument).is_some() {
                let n = argument::constant(l, call, at + 1, 0, i128::from(u32::MAX))?;
                let n = u32::try_from(n).unwrap_or(room).min(room);
                return Some(constant(l, n));
            }
            let length = integer(l, call, at + 1)?;
            Some((room, unsigned(l, length)))
        }
    }
}

fn buf(l: &mut Lowering, call: &Call) -> Option<Expr> {
    bytes(l, call, 0)
}

/// The bytes of the argument at `at`, as many as the next one says, where there is one.
pub(super) fn bytes(l: &mut Lowering, call: &Call, at: usize) -> Option<Expr> {
    let given = value(l, call, at)?;
    let natural = match &given.ty {
        // A string's NUL is not one of its bytes.
        Type::String { size } => Some(match &given.kind {
            ExprKind::String(text) => text.len() as u32,
            _ => *size,
        }),
        Type::Buffer { size } => Some(*size),
        Type::Array { element, count } => match element.as_ref() {
            Type::Int(int) => Some(count.saturating_mul(u32::from(int.bytes()))),
            _ => None,
        },
        Type::Pointer { .. } | Type::Int(_) => None,
        ty => {
            let found = named(l, ty);
            return argument::wrong(l, call, at, "bytes or a pointer to them", &found);
        }
    };
    let (size, length) = buffer_length(l, call, at, natural)?;
    if size == 0 {
        return l.error(
            Code::ArgumentType,
            call.span,
            "a buffer must hold at least one byte",
        );
    }
    let kind = match (&given.ty, place_of(&given)) {
        (Type::Pointer { space, .. }, _) => ExprKind::ReadBuffer {
            space: *space,
            address: Box::new(unsigned(l, given)),
            length: Box::new(length),
        },
        (Type::Int(_), _) => ExprKind::ReadBuffer {
            space: default_space(l),
            address: Box::new(unsigned(l, given)),
            length: Box::new(length),
        },
        (_, Some(place)) if matches!(place.space, Space::Kernel | Space::User) => {
            ExprKind::ReadBuffer {
                space: place.space,
                address: Box::new(address_of(l, place, given.span)),
                length: Box::new(length),
            }
        }
        _ => ExprKind::Bytes {
            of: Box::new(given),
            length: Box::new(length),
        },
    };
    Some(Expr {
        kind,
        ty: Type::Buffer { size },
        span: call.span,
    })
}

/// 0 where the first `length` bytes are the same, as in C; which one is greater is not said.
fn strncmp(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let left = text(l, call, 0)?;
    let right = text(l, call, 1)?;
    let (left, right, limit) = compared(l, call, left, right)?;
    let equal = Expr {
        kind: ExprKind::Equal {
            left: Box::new(left),
            right: Box::new(right),
            limit,
        },
        ty: Type::Bool,
        span: call.span,
    };
    let no = l.boolean(false, call.span);
    let differs = l.binary(BinaryOp::Equal, equal, no, Type::Bool, call.span);
    Some(l.convert(differs, U64))
}

/// The strings and how many of their bytes are compared; with a count of run time they are cut to it and compared whole.
fn compared(
    l: &mut Lowering,
    call: &Call,
    left: Expr,
    right: Expr,
) -> Option<(Expr, Expr, Option<u32>)> {
    const MOST: i128 = u32::MAX as i128;
    let argument = call.arguments.get(2)?;
    if l.constant_integer(argument).is_some() {
        let limit = argument::constant(l, call, 2, 0, MOST)? as u32;
        return Some((left, right, Some(limit)));
    }
    let count = match l.formula(argument) {
        Some(_) => {
            let number = argument::number(l, call, 2, 0, MOST)?;
            let value = abi::TargetValue::Number { number };
            l.slot(value, Type::Int(IntType::I64), argument.span)
        }
        None => integer(l, call, 2)?,
    };
    let count = unsigned(l, count);
    let count = l.once(count);
    // A negative count is a large one, as in C; one more byte holds the NUL.
    let span = call.span;
    let most = l.integer(u64::from(l.settings.limits.max_strlen), IntType::U64, span);
    let one = l.integer(1, IntType::U64, span);
    let fewer = l.binary(BinaryOp::Less, count.clone(), most.clone(), U64, span);
    let length = Expr {
        kind: ExprKind::Select {
            condition: Box::new(fewer),
            then: Box::new(unsigned_binary(l, BinaryOp::Add, count, one, span)),
            otherwise: Box::new(most),
        },
        ty: U64,
        span,
    };
    let length = l.once(length);
    let head = |l: &Lowering, of: Expr| match of.ty {
        Type::String { size } => cut(l, of, size, Some(length.clone()), call),
        _ => of,
    };
    Some((head(l, left), head(l, right), None))
}

fn strlen(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let given = text(l, call, 0)?;
    Some(length(l, given, call))
}

fn length(l: &Lowering, of: Expr, call: &Call) -> Expr {
    if let ExprKind::String(text) = &of.kind {
        let length = text.iter().position(|b| *b == 0).unwrap_or(text.len());
        return l.integer(length as u64, IntType::U64, call.span);
    }
    Expr {
        kind: ExprKind::StringLength(Box::new(of)),
        ty: U64,
        span: call.span,
    }
}

/// The room that a string or an array has; a pointer's is its text.
fn strcap(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let signed = |l: &Lowering, n: u32| l.integer(u64::from(n), IntType::I64, call.span);
    let (prelude, given) = l.collect(|l| value(l, call, 0));
    match given?.ty {
        Type::String { size } => Some(signed(l, size)),
        Type::Array { element, count } if is_byte(&element) => Some(signed(l, count)),
        _ => {
            drop(prelude);
            let given = text(l, call, 0)?;
            let length = length(l, given, call);
            Some(l.convert(length, Type::Int(IntType::I64)))
        }
    }
}

/// The two as one string. Its room is a power of two, so that a string which is built of itself has few sizes.
fn concat(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let left = text(l, call, 0)?;
    let right = text(l, call, 1)?;
    let most = l.settings.limits.max_strlen;
    if let (ExprKind::String(a), ExprKind::String(b)) = (&left.kind, &right.kind) {
        let mut both = [a.as_slice(), b.as_slice()].concat();
        both.truncate(most.saturating_sub(1) as usize);
        return Some(l.string(&both, call.span));
    }
    let room = |value: &Expr| match value.ty {
        Type::String { size } => u64::from(size),
        _ => 0,
    };
    let size = (room(&left) + room(&right)).saturating_sub(1);
    let size = size.next_power_of_two().max(SMALLEST_CONCAT);
    Some(Expr {
        kind: ExprKind::Concat {
            left: Box::new(left),
            right: Box::new(right),
        },
        ty: Type::String {
            size: u32::try_from(size).unwrap_or(most).min(most),
        },
        span: call.span,
    })
}

const SMALLEST_CONCAT: u64 = 16;

/// Bytes are compared where they lie; what a pointer points to is read first.
/// A count of run time is at most what both sides have; behind pointers that is `max_strlen`.
fn memcmp(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let mut sides = vec![];
    let mut room = l.settings.limits.max_strlen;
    for at in 0..2 {
        let given = value(l, call, at)?;
        let size = match &given.ty {
            Type::String { size } | Type::Buffer { size } => Some(*size),
            ty @ (Type::Array { .. } | Type::CRecord(_)) => Some(comparable(l, ty, call, at)?),
            Type::Pointer { .. } => None,
            ty => {
                let found = named(l, ty);
                let expected = "a string, a buffer, an array, a struct or a pointer";
                return argument::wrong(l, call, at, expected, &found);
            }
        };
        room = room.min(size.unwrap_or(room));
        sides.push(given);
    }
    let constant = call.arguments.get(2).and_then(|a| l.constant_integer(a));
    let (size, count) = match constant {
        Some(_) => (
            argument::constant(l, call, 2, 0, i128::from(room))? as u32,
            None,
        ),
        None => {
            let count = integer(l, call, 2)?;
            let count = unsigned(l, count);
            (room, Some(l.once(count)))
        }
    };
    let read = match &count {
        Some(count) => count.clone(),
        None => l.integer(u64::from(size), IntType::U64, call.span),
    };
    let mut sides: Vec<Expr> = (sides.into_iter())
        .map(|side| pointed_bytes(l, side, size, &read))
        .collect();
    let (Some(right), Some(left)) = (sides.pop(), sides.pop()) else {
        return None;
    };
    Some(Expr {
        kind: ExprKind::Compare {
            left: Box::new(left),
            right: Box::new(right),
            size,
            count: count.map(Box::new),
        },
        ty: Type::Int(IntType::I32),
        span: call.span,
    })
}

/// Bytes of a value that lies in memory as C lays it out.
fn comparable(l: &mut Lowering, ty: &Type, call: &Call, at: usize) -> Option<u32> {
    let span = call.arguments.get(at).map_or(call.span, |a| a.span);
    l.can_hold(ty, span)?;
    if l.is_repacked(ty) {
        let found = named(l, ty);
        let expected = "bytes, whose order the target does not decide,";
        return argument::wrong(l, call, at, expected, &found);
    }
    Some(l.size_of_value(ty))
}

/// The bytes behind a pointer that are `read`, at most `size`; any other value as it is.
fn pointed_bytes(l: &Lowering, side: Expr, size: u32, read: &Expr) -> Expr {
    let Type::Pointer { space, .. } = side.ty else {
        return side;
    };
    let span = side.span;
    Expr {
        kind: ExprKind::ReadBuffer {
            address: Box::new(unsigned(l, side)),
            space,
            length: Box::new(read.clone()),
        },
        ty: Type::Buffer { size },
        span,
    }
}

fn name_of_number(l: &mut Lowering, call: &Call, ty: Type) -> Option<Expr> {
    let number = integer(l, call, 0)?;
    let number = l.convert(number, Type::Int(IntType::I32));
    Some(l.convert(number, ty))
}
