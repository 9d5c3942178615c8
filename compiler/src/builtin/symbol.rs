//! Names of addresses: printed as symbols by the runtime, or looked up by it before load.

use btc_abi as abi;

use super::argument::{self, address, unsigned, unsigned_binary};
use super::{Call, Function};
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::{BinaryOp, Expr, ExprKind, IntType, Space, Type};
use crate::sema::Lowering;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::call("ksym", (1, 1), "ksym(address)", ksym),
    Function::call("usym", (1, 1), "usym(address)", usym),
    Function::call("kaddr", (1, 1), "kaddr(\"symbol\")", kaddr),
    Function::call("uaddr", (1, 1), "uaddr(\"symbol\")", uaddr),
    Function::call("cgroupid", (1, 1), "cgroupid(\"path\")", cgroup_id),
    Function::call(
        "cgroup_path",
        (1, 2),
        "cgroup_path(id[, \"pattern\"])",
        cgroup_path,
    ),
];

const U64: Type = Type::Int(IntType::U64);

fn ksym(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let address = address(l, call, 0)?;
    Some(l.convert(address, Type::KernelSymbol))
}

fn usym(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let address = address(l, call, 0)?;
    Some(user_symbol(address, call))
}

pub(super) fn user_symbol(address: Expr, call: &Call) -> Expr {
    Expr {
        kind: ExprKind::UserSymbol {
            address: Box::new(address),
        },
        ty: Type::UserSymbol,
        span: call.span,
    }
}

fn kaddr(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let symbol = argument::name(l, call, 0)?;
    Some(l.slot(abi::TargetValue::KernelAddress { symbol }, U64, call.span))
}

/// What a process has at a symbol's address: a program that is position independent is moved by as much as the end of its
/// code is. A pointer that must be cast: how large the thing at that address is, only the target knows, and a guessed size would
/// read wrong numbers.
fn uaddr(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let symbol = argument::name(l, call, 0)?;
    let (abi::Attach::Uprobe { binary, .. }
    | abi::Attach::Uretprobe { binary, .. }
    | abi::Attach::Usdt { binary, .. }) = &l.probe.attach
    else {
        l.report(
            Diagnostic::error(
                Code::WrongProbe,
                call.span,
                format!(
                    "`uaddr` looks a symbol up in a uprobe's binary, and `{}` probes have none",
                    l.probe.provider
                ),
            )
            .with_help("use it in a `uprobe`, `uretprobe` or `usdt` probe"),
        );
        return None;
    };
    let binary = binary.clone();
    let value = abi::TargetValue::UserCodeEnd {
        binary: binary.clone(),
    };
    let unmoved = l.slot(value, U64, call.span);
    let value = abi::TargetValue::UserAddress { binary, symbol };
    let address = l.slot(value, U64, call.span);
    let end = super::task::of_current(l, &["mm", "end_code"], call)?;
    let end = unsigned(l, end);
    let moved = unsigned_binary(l, BinaryOp::Subtract, end, unmoved.clone(), call.span);
    let moved = unsigned_binary(l, BinaryOp::Add, address.clone(), moved, call.span);
    let address = Expr {
        kind: ExprKind::Select {
            condition: Box::new(l.convert(unmoved, Type::Bool)),
            then: Box::new(moved),
            otherwise: Box::new(address),
        },
        ty: U64,
        span: call.span,
    };
    let to = Box::new(Type::Void);
    let space = Space::User;
    Some(l.convert(address, Type::Pointer { to, space }))
}

fn cgroup_id(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let path = argument::name(l, call, 0)?;
    Some(l.slot(abi::TargetValue::CgroupId { path }, U64, call.span))
}

fn cgroup_path(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let id = argument::integer(l, call, 0)?;
    let id = argument::unsigned(l, id);
    let pattern = match call.arguments.len() {
        1 => String::new(),
        _ => argument::literal_text(l, call, 1)?,
    };
    Some(l.convert(id, Type::CgroupPath { pattern }))
}
