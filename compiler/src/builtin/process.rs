//! The process that hit the probe: `pid`, `tid`, `uid`, `comm`, `curtask` and what is reached through it.

use btc_abi as abi;

use super::argument::unsigned_binary;
use super::{Call, Function};
use crate::diagnostic::{Code, Diagnostic, Unsupported};
use crate::host::CType;
use crate::ir::{BinaryOp, Expr, Helper, IntType, Space, Type};
use crate::sema::Lowering;
use crate::syntax::ast::Name;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::word_or_call("pid", 1, "pid([curr_ns|init])", pid),
    Function::word_or_call("tid", 1, "tid([curr_ns|init])", tid),
    Function::word("uid", uid),
    Function::word("gid", gid),
    Function::word("username", username),
    Function::word_or_call("comm", 1, "comm", comm),
    Function::word("curtask", curtask),
    Function::word_or_call("ppid", 1, "ppid", |l, call| {
        through_curtask(l, call, &["real_parent", "tgid"])
    }),
    Function::word_or_call("pcomm", 1, "pcomm", |l, call| {
        through_curtask(l, call, &["real_parent", "comm"])
    }),
    Function::word_or_call("leader_tid", 1, "leader_tid", |l, call| {
        through_curtask(l, call, &["group_leader", "pid"])
    }),
    Function::word_or_call("leader_comm", 1, "leader_comm", |l, call| {
        through_curtask(l, call, &["group_leader", "comm"])
    }),
    Function::word("cpid", |l, call| {
        Some(l.slot(abi::TargetValue::ChildPid, U64, call.span))
    }),
    Function::word("has_cpid", |l, call| {
        Some(l.slot(abi::TargetValue::HasChild, Type::Bool, call.span))
    }),
    Function::word("cgroup", |l, call| {
        Some(l.helper(Helper::CurrentCgroupId, vec![], U64, call.span))
    }),
];

const U64: Type = Type::Int(IntType::U64);
const U32: Type = Type::Int(IntType::U32);

/// tgid and tid in one word, counted in the namespace that the call asks for.
fn ids(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let helper = match call.arguments.first() {
        None => Helper::CurrentPidTgid,
        Some(argument) => match l.word(argument).as_deref() {
            Some("curr_ns") => Helper::CurrentPidTgid,
            Some("init") => Helper::CurrentPidTgidInit,
            _ => {
                l.report(
                    Diagnostic::error(
                        Code::ArgumentType,
                        argument.span,
                        format!("expected `curr_ns` or `init` for `{}`", call.name),
                    )
                    .with_help(format!("the form is `{}([curr_ns|init])`", call.name)),
                );
                return None;
            }
        },
    };
    if helper == Helper::CurrentPidTgid {
        // Code generation reads the namespace from these slots.
        let _ = l.slot(abi::TargetValue::PidNamespaceDevice, U64, call.span);
        let _ = l.slot(abi::TargetValue::PidNamespaceInode, U64, call.span);
    }
    Some(l.helper(helper, vec![], U64, call.span))
}

fn high_half(l: &Lowering, both: Expr) -> Expr {
    let span = both.span;
    let shift = l.integer(32, IntType::U64, span);
    let high = unsigned_binary(l, BinaryOp::ShiftRight, both, shift, span);
    l.convert(high, U32)
}

fn pid(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let both = ids(l, call)?;
    Some(high_half(l, both))
}

fn tid(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let both = ids(l, call)?;
    Some(l.convert(both, U32))
}

fn uid(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let both = l.helper(Helper::CurrentUidGid, vec![], U64, call.span);
    Some(l.convert(both, U32))
}

fn gid(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let both = l.helper(Helper::CurrentUidGid, vec![], U64, call.span);
    Some(high_half(l, both))
}

fn username(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let uid = uid(l, call)?;
    let wide = l.convert(uid, U64);
    Some(l.convert(wide, Type::Username))
}

fn comm(l: &mut Lowering, call: &Call) -> Option<Expr> {
    if !call.arguments.is_empty() {
        return l.not_supported_yet(call.span, Unsupported::CommOf);
    }
    Some(l.helper(
        Helper::CurrentComm,
        vec![],
        Type::String { size: 16 },
        call.span,
    ))
}

pub(super) fn curtask(l: &mut Lowering, call: &Call) -> Option<Expr> {
    // Without BTF the task is still an address; only its members need the type.
    let to = match l.host.record("task_struct", false) {
        Some(record) => l.ctype(&CType::Record(record)),
        None => Type::Void,
    };
    let ty = Type::Pointer {
        to: Box::new(to),
        space: Space::Kernel,
    };
    Some(l.helper(Helper::CurrentTask, vec![], ty, call.span))
}

/// `curtask.a.b`, relocated against the target's task_struct.
fn through_curtask(l: &mut Lowering, call: &Call, path: &[&str]) -> Option<Expr> {
    if !call.arguments.is_empty() {
        return l.not_supported_yet(call.span, Unsupported::CommOf);
    }
    if !l.host.has_kernel_btf() {
        l.report(
            Diagnostic::error(
                Code::UnknownType,
                call.span,
                format!(
                    "`{}` is read from `struct task_struct`, and this machine has no kernel BTF",
                    call.name
                ),
            )
            .with_help("name a kernel's BTF: --btf FILE"),
        );
        return None;
    }
    let mut at = curtask(l, call)?;
    for step in path {
        let name = Name {
            text: (*step).to_string(),
            span: call.span,
        };
        at = l.field(at, &name)?;
    }
    Some(at)
}
