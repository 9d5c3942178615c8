//! Output without a format: `print` of maps and values, and `join` of argument vectors.

use btc_abi as abi;

use super::argument::{self, default_space, named, ordinal, unsigned, value, wrong};
use super::{Call, Function};
use crate::ir::{Aggregation, Expr, ExprKind, IntType, Place, Space, Step, StmtKind, Type};
use crate::sema::Lowering;
use crate::syntax::ast;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::call("print", (1, 3), "print(@map[, top[, div]])", print),
    Function::call("join", (1, 2), "join(strings[, \"separator\"])", join),
];

const U64: Type = Type::Int(IntType::U64);

fn print(l: &mut Lowering, call: &Call) -> Option<Expr> {
    match &call.arguments.first()?.kind {
        ast::ExprKind::Map { key: None, .. } => print_map(l, call),
        ast::ExprKind::Map { key: Some(_), .. } if call.arguments.len() == 1 => {
            print_element(l, call)
        }
        _ => print_value(l, call),
    }
}

fn print_map(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let what = ordinal(call, 0);
    let map = l.map_argument(call.arguments.first()?, &what)?.map;
    let fields = vec![count(l, call, 1)?, count(l, call, 2)?];
    Some(l.emit(abi::RecordKind::PrintMap { map: map.0 }, fields, call.span))
}

/// How many elements, or what values are divided by: a constant or made of parameters; 0 where it is not given.
fn count(l: &mut Lowering, call: &Call, at: usize) -> Option<Expr> {
    const MOST: i128 = u64::MAX as i128;
    let told = call.arguments.get(at).is_some_and(|argument| {
        l.constant_integer(argument).is_none() && l.formula(argument).is_some()
    });
    if told {
        let number = argument::number(l, call, at, 0, MOST)?;
        let value = abi::TargetValue::Number { number };
        return Some(l.slot(value, U64, call.span));
    }
    let n = match call.arguments.get(at) {
        Some(_) => argument::constant(l, call, at, 0, MOST)? as u64,
        None => 0,
    };
    Some(l.integer(n, IntType::U64, call.span))
}

/// An element is a value, but for histograms and statistics: those are printed as their map prints them.
fn print_element(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let argument = call.arguments.first()?;
    let what = ordinal(call, 0);
    let (_, found) = l.collect(|l| l.map_argument(argument, &what));
    let map = found?.map;
    match l.map_value(map, argument.span)? {
        Type::Aggregation(
            Aggregation::Hist { .. }
            | Aggregation::Lhist { .. }
            | Aggregation::Stats { .. }
            | Aggregation::Tseries(_),
        ) => {
            let key = l.map_argument(argument, &what)?.key?;
            let kind = abi::RecordKind::PrintElement { map: map.0 };
            Some(l.emit(kind, vec![key], call.span))
        }
        _ => print_value(l, call),
    }
}

fn print_value(l: &mut Lowering, call: &Call) -> Option<Expr> {
    if let Some(extra) = call.arguments.get(1) {
        return argument::report(
            l,
            call,
            extra.span,
            "only a whole map is printed with a count of its elements",
        );
    }
    let given = value(l, call, 0)?;
    if matches!(given.ty, Type::Void | Type::Aggregation(_)) {
        let found = named(l, &given.ty);
        return wrong(l, call, 0, "a map or a value", &found);
    }
    l.can_hold(&given.ty, given.span)?;
    Some(l.emit(abi::RecordKind::Print, vec![given], call.span))
}

/// Strings of an argument vector that `join` prints at most.
const JOINED: u64 = 16;

/// Reads pointer after pointer until one is NULL; each string that follows none is read.
fn join(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let separator = match call.arguments.len() {
        2 => argument::literal_text(l, call, 1)?,
        _ => " ".to_string(),
    };
    let given = value(l, call, 0)?;
    let space = match &given.ty {
        Type::Pointer { space, .. } => *space,
        Type::Int(_) => default_space(l),
        ty => {
            let found = named(l, ty);
            return wrong(l, call, 0, "a pointer to an array of strings", &found);
        }
    };
    let vector = unsigned(l, given);
    let vector = l.once(vector);
    let mut more = l.boolean(true, call.span);
    let mut strings = vec![];
    for at in 0..JOINED {
        let pointer = element(l, &vector, at, space, call);
        let none = l.integer(0, IntType::U64, call.span);
        let local = l.new_local(U64);
        l.push(
            StmtKind::SetLocal {
                local,
                value: select(more, pointer, none, U64, call),
            },
            call.span,
        );
        let here = l.local(local, call.span);
        more = l.convert(here.clone(), Type::Bool);
        strings.push(read(l, here, space, call));
    }
    let separator = separator.into();
    Some(l.emit(abi::RecordKind::Join { separator }, strings, call.span))
}

fn select(condition: Expr, then: Expr, otherwise: Expr, ty: Type, call: &Call) -> Expr {
    Expr {
        kind: ExprKind::Select {
            condition: Box::new(condition),
            then: Box::new(then),
            otherwise: Box::new(otherwise),
        },
        ty,
        span: call.span,
    }
}

/// `vector[at]` as an address.
fn element(l: &Lowering, vector: &Expr, at: u64, space: Space, call: &Call) -> Expr {
    let base = l.convert(
        vector.clone(),
        Type::Pointer {
            to: Box::new(U64),
            space,
        },
    );
    Expr {
        kind: ExprKind::Load(Box::new(Place {
            base,
            space,
            steps: vec![Step::Index {
                element: U64,
                index: Box::new(l.integer(at, IntType::U64, call.span)),
                count: None,
            }],
            ty: U64,
        })),
        ty: U64,
        span: call.span,
    }
}

/// The string at an address, empty where there is none (a read of NULL would count as failed).
fn read(l: &Lowering, address: Expr, space: Space, call: &Call) -> Expr {
    let ty = Type::String {
        size: l.settings.limits.max_strlen,
    };
    let text = Expr {
        kind: ExprKind::ReadString {
            address: Box::new(address.clone()),
            space,
            length: None,
        },
        ty: ty.clone(),
        span: call.span,
    };
    let empty = Expr {
        kind: ExprKind::String(vec![]),
        ty: ty.clone(),
        span: call.span,
    };
    let condition = l.convert(address, Type::Bool);
    select(condition, text, empty, ty, call)
}
