//! Names of addresses: printed as symbols by the runtime, or looked up by it before load.

use btc_abi as abi;

use super::argument::{self, address, unsigned, unsigned_binary};
use super::{Call, Function, task};
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::{BinaryOp, Expr, ExprKind, IntType, Space, StmtKind, Type};
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

/// A pointer that must be cast: how large the thing at that address is, only the target knows, and a guessed size would
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
    let value = abi::TargetValue::UserAddress {
        binary: binary.clone(),
        symbol,
    };
    let address = l.slot(value, U64, call.span);
    let address = in_process(l, &binary, address, call)?;
    let to = Box::new(Type::Void);
    let space = Space::User;
    Some(l.convert(address, Type::Pointer { to, space }))
}

/// What the process has at an address of its program's file: a program that is position independent is moved by as much as
/// the end of its code is. 0 and a warning where the process was started as another program (`ld.so PROGRAM`), which
/// the distance from the end of its code to that of its data tells.
fn in_process(l: &mut Lowering, binary: &abi::Text, address: Expr, call: &Call) -> Option<Expr> {
    let span = call.span;
    let binary = || binary.clone();
    let code_in_file = l.slot(
        abi::TargetValue::UserCodeEnd { binary: binary() },
        U64,
        span,
    );
    let data_in_file = l.slot(
        abi::TargetValue::UserDataEnd { binary: binary() },
        U64,
        span,
    );
    let result = l.new_local(U64);
    l.push(task::set(result, address.clone(), span).kind, span);
    let moves = l.convert(code_in_file.clone(), Type::Bool);
    task::where_true(l, moves, span, |l| {
        let code = task::of_current(l, &["mm", "end_code"], call)?;
        let code = unsigned(l, code);
        let code = l.once(code);
        let data = task::of_current(l, &["mm", "end_data"], call)?;
        let data = unsigned(l, data);
        let subtract = |l: &mut Lowering, a, b| unsigned_binary(l, BinaryOp::Subtract, a, b, span);
        let between = subtract(l, data, code.clone());
        let between_in_file = subtract(l, data_in_file, code_in_file.clone());
        let condition = unsigned_binary(l, BinaryOp::Equal, between, between_in_file, span);
        let by = subtract(l, code, code_in_file);
        let moved = unsigned_binary(l, BinaryOp::Add, address, by, span);
        let then = vec![task::set(result, moved, span)];
        let (otherwise, done) = l.collect(|l| {
            let nowhere = l.integer(0, IntType::U64, span);
            l.push(task::set(result, nowhere, span).kind, span);
            let process = task::of_current(l, &["tgid"], call)?;
            let process = unsigned(l, process);
            task::warn(l, STARTED_AS_ANOTHER, process, span);
            Some(())
        });
        done?;
        let kind = StmtKind::If {
            condition,
            then,
            otherwise,
        };
        l.push(kind, span);
        Some(())
    })?;
    Some(l.local(result, span))
}

/// Of a process whose program's addresses can't be told.
const STARTED_AS_ANOTHER: (&str, &str) = (
    "uaddr: process ",
    " was not started as the probed program itself (but by ld.so?), so that its addresses aren't known: 0 is taken",
);

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
