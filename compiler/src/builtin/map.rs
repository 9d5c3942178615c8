//! Maps: `delete`, `has_key`, `find`, `len` (of stacks too), `clear`, `zero`.

use btc_abi as abi;

use super::argument::{self, ordinal, wrong};
use super::{Call, Function};
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::{Expr, ExprKind, IntType, MapId, StmtKind, Type};
use crate::sema::{Lowering, MapArgument};
use crate::syntax::ast;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::call("delete", (1, usize::MAX), "delete(@map, key)", delete),
    Function::call("has_key", (2, 2), "has_key(@map, key)", has_key),
    Function::call("find", (3, 3), "find(@map, key, $variable)", find),
    Function::call("len", (1, 1), "len(@map or stack)", len),
    Function::call("clear", (1, 1), "clear(@map)", |l, call| {
        let map = whole_map(l, call)?.0;
        Some(l.emit(abi::RecordKind::Clear { map }, vec![], call.span))
    }),
    Function::call("zero", (1, 1), "zero(@map)", |l, call| {
        let map = whole_map(l, call)?.0;
        Some(l.emit(abi::RecordKind::Zero { map }, vec![], call.span))
    }),
];

fn map_at(l: &mut Lowering, call: &Call, at: usize) -> Option<MapArgument> {
    let what = ordinal(call, at);
    l.map_argument(call.arguments.get(at)?, &what)
}

fn whole_map(l: &mut Lowering, call: &Call) -> Option<MapId> {
    let found = map_at(l, call, 0)?;
    if found.key.is_some() {
        return wrong(l, call, 0, "a map", "one of its elements");
    }
    Some(found.map)
}

/// The map and the key of `f(@m, key)`.
fn map_and_key(l: &mut Lowering, call: &Call) -> Option<(MapId, Expr)> {
    let map = whole_map(l, call)?;
    let key = call.arguments.get(1)?;
    let key = l.map_key(map, Some(std::slice::from_ref(key)), key.span)??;
    Some((map, key))
}

/// `delete(@m, key)`, the older `delete(@m[key], …)`, and `delete(@m)` of a map without keys.
fn delete(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let elements = matches!(
        call.arguments.first().map(|a| &a.kind),
        Some(ast::ExprKind::Map { key: Some(_), .. })
    );
    if !elements && call.arguments.len() == 2 {
        let (map, key) = map_and_key(l, call)?;
        return Some(deletion(map, Some(key), call));
    }
    let last = call.arguments.len() - 1;
    if !elements && last > 0 {
        return wrong(l, call, 2, "a map and a key", "more");
    }
    for at in 0..last {
        let mut found = delete_one(l, call, at)?;
        found.ty = Type::Void;
        l.push(StmtKind::Eval(found), call.span);
    }
    delete_one(l, call, last)
}

/// An argument that names what to delete by itself.
fn delete_one(l: &mut Lowering, call: &Call, at: usize) -> Option<Expr> {
    let found = map_at(l, call, at)?;
    let whole = found.key.is_none() && !l.map_is_scalar(found.map);
    if whole && l.map_key_type(found.map).is_some() {
        let name = l.map_name(found.map);
        l.report(
            Diagnostic::error(
                Code::ArgumentCount,
                call.span,
                format!("`delete` needs to know which element of `{name}` to delete"),
            )
            .with_help(format!("`delete({name}, key)`, or `clear({name})` for all")),
        );
        return None;
    }
    Some(deletion(found.map, found.key, call))
}

fn deletion(map: MapId, key: Option<Expr>, call: &Call) -> Expr {
    Expr {
        kind: ExprKind::MapDelete {
            map,
            key: key.map(Box::new),
        },
        ty: Type::Bool,
        span: call.span,
    }
}

fn has_key(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let (map, key) = map_and_key(l, call)?;
    Some(Expr {
        kind: ExprKind::MapHas {
            map,
            key: Box::new(key),
        },
        ty: Type::Bool,
        span: call.span,
    })
}

/// Whether the element is there; then the variable has its value.
fn find(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let (map, key) = map_and_key(l, call)?;
    let argument = call.arguments.get(2)?;
    let ast::ExprKind::Variable(name) = &argument.kind else {
        let (_, given) = l.collect(|l| argument::value(l, call, 2));
        let found = argument::named(l, &given?.ty);
        return wrong(l, call, 2, "a scratch variable", &found);
    };
    let element = l.map_get(map, None, argument.span)?.ty;
    let local = l.new_local(element);
    let found = Expr {
        kind: ExprKind::MapFind {
            map,
            key: Box::new(key),
            local,
        },
        ty: Type::Bool,
        span: call.span,
    };
    let found = l.once(found);
    let (then, ()) = l.collect(|l| {
        let value = l.local(local, argument.span);
        l.assign_variable(name, value, argument.span);
    });
    let kind = StmtKind::If {
        condition: found.clone(),
        then,
        otherwise: vec![],
    };
    l.push(kind, call.span);
    Some(found)
}

/// Elements of a map, or frames of a stack.
fn len(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let argument = call.arguments.first()?;
    if !matches!(argument.kind, ast::ExprKind::Map { key: None, .. }) {
        return stack_length(l, call);
    }
    let map = whole_map(l, call)?;
    if l.map_is_scalar(map) {
        // A stack that is kept in a map without keys.
        let (_, value) = l.collect(|l| argument::value(l, call, 0));
        if matches!(value.map(|v| v.ty), Some(Type::Stack { .. })) {
            return stack_length(l, call);
        }
        let name = format!("`{}`, which has none", l.map_name(map));
        return wrong(l, call, 0, "a map with keys", &name);
    }
    Some(Expr {
        kind: ExprKind::MapLen { map },
        ty: Type::Int(IntType::U64),
        span: call.span,
    })
}

fn stack_length(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let stack = argument::value(l, call, 0)?;
    if !matches!(stack.ty, Type::Stack { .. }) {
        let found = argument::named(l, &stack.ty);
        return wrong(l, call, 0, "a map or a stack", &found);
    }
    Some(Expr {
        kind: ExprKind::StackLength(Box::new(stack)),
        ty: Type::Int(IntType::U64),
        span: call.span,
    })
}
