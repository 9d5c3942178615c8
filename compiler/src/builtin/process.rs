//! The process that hit the probe: `pid`, `tid`, `uid` and the like; its task is in task.rs.

use btc_abi as abi;

use super::argument::unsigned_binary;
use super::{Call, Function};
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::{BinaryOp, Expr, Helper, IntType, Type};
use crate::sema::Lowering;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::word_or_call("pid", 1, "pid([curr_ns|init])", pid),
    Function::word_or_call("tid", 1, "tid([curr_ns|init])", tid),
    Function::word("uid", uid),
    Function::word("gid", gid),
    Function::word("username", username),
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
