//! Questions about types, answered when compiling: `is_ptr`, `is_str`, …, `typeinfo`.

use btc_abi as abi;

use super::argument::value;
use super::{Call, Function};
use crate::ir::{Expr, ExprKind, IntType, Type};
use crate::sema::Lowering;
use crate::source::Span;
use crate::syntax::ast;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::call("is_array", (1, 1), "is_array(expression)", |l, call| {
        test(l, call, |e| matches!(e.ty, Type::Array { .. }))
    }),
    Function::call("is_integer", (1, 1), "is_integer(expression)", |l, call| {
        test(l, call, |e| matches!(e.ty, Type::Int(_)))
    }),
    Function::call("is_literal", (1, 1), "is_literal(expression)", |l, call| {
        test(l, call, |e| {
            matches!(e.kind, ExprKind::Integer(_) | ExprKind::String(_))
        })
    }),
    Function::call("is_ptr", (1, 1), "is_ptr(expression)", |l, call| {
        test(l, call, |e| matches!(e.ty, Type::Pointer { .. }))
    }),
    Function::call("is_str", (1, 1), "is_str(expression)", |l, call| {
        test(l, call, |e| matches!(e.ty, Type::String { .. }))
    }),
    Function::call(
        "is_unsigned_integer",
        (1, 1),
        "is_unsigned_integer(expression)",
        |l, call| test(l, call, |e| matches!(e.ty, Type::Int(int) if !int.signed)),
    ),
    Function::call(
        "typeinfo",
        (1, 1),
        "typeinfo(type or expression)",
        |l, call| type_info(l, call.arguments.first()?, call.span),
    ),
];

/// The expression is typed and then dropped: it is not evaluated.
fn test(l: &mut Lowering, call: &Call, holds: fn(&Expr) -> bool) -> Option<Expr> {
    let argument = call.arguments.first()?;
    let found = match &argument.kind {
        // A type stands for a value of it.
        ast::ExprKind::Typeof(of) => Expr {
            kind: ExprKind::Tuple(vec![]),
            ty: l.type_of(of)?,
            span: argument.span,
        },
        _ => l.collect(|l| value(l, call, 0)).1?,
    };
    Some(l.boolean(holds(&found), call.span))
}

/// `typeinfo(of)`: a record of texts that are known when compiling. No numbers are given to types, as in bpftrace 0.26.
fn type_info(l: &mut Lowering, of: &ast::Expr, span: Span) -> Option<Expr> {
    l.unstable(l.settings.unstable.typeinfo(), "`typeinfo`", span)?;
    let ty = match &of.kind {
        ast::ExprKind::Typeof(of) => l.type_of(of)?,
        _ => l.type_of(&ast::TypeOrExpr::Expr(Box::new(of.clone())))?,
    };
    let base = l.string(base_type(&ty).as_bytes(), span);
    let full = l.string(l.type_name(&ty).as_bytes(), span);
    let parts = vec![l.integer(0, IntType::U64, span), base, full];
    let names = ["btf_id", "base_type", "full_type"];
    let members = names.iter().zip(&parts);
    let ty = members.map(|(name, part)| ((*name).to_owned(), part.ty.clone()));
    Some(Expr {
        ty: Type::Record(ty.collect()),
        kind: ExprKind::Tuple(parts),
        span,
    })
}

/// The kind of a type, as bpftrace names it.
fn base_type(ty: &Type) -> &'static str {
    match ty {
        Type::Void => "void",
        Type::Bool => "bool",
        Type::Int(_) | Type::Enum(_) => "int",
        Type::Float { .. } => "float",
        Type::Pointer { .. } => "pointer",
        Type::String { .. } => "string",
        Type::Buffer { .. } => "buffer",
        Type::Array { .. } => "array",
        Type::CRecord(_) => "struct",
        Type::Tuple(_) => "tuple",
        Type::Record(_) => "record",
        Type::KernelSymbol => "ksym_t",
        Type::UserSymbol => "usym_t",
        Type::Stack { kind, .. } => match kind {
            abi::StackKind::Kernel => "kstack_t",
            abi::StackKind::User => "ustack_t",
        },
        Type::Inet => "inet",
        Type::Mac => "mac_address",
        Type::Timestamp { .. } => "timestamp",
        Type::Username => "username",
        Type::CgroupPath { .. } => "cgroup_path_t",
        Type::ProbeName => "probe_t",
        Type::ErrorName => "strerror_t",
        Type::SignalName => "signal_name_t",
        Type::SyscallName => "syscall_name_t",
        Type::Aggregation(_) => "aggregation",
    }
}
