//! `kstack`, `ustack` and `dw_ustack`: captured in BPF, symbolized by the runtime.

use btc_abi as abi;

use super::argument;
use super::{Call, Function};
use crate::arch::Arch;
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::{Expr, ExprKind, IntType, Type, Walk};
use crate::sema::Lowering;
use crate::syntax::ast::Name;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::word_or_call("kstack", 2, "kstack([mode, ][limit])", |l, call| {
        stack(l, call, abi::StackKind::Kernel)
    }),
    Function::word_or_call("ustack", 2, "ustack([mode, ][limit])", |l, call| {
        stack(l, call, abi::StackKind::User)
    }),
    Function::word_or_call(
        "dw_ustack",
        2,
        "dw_ustack([mode, ][limit])",
        unwound_by_tables,
    ),
];

/// Frames, unless the call says otherwise; the kernel's own default (kernel.perf_event_max_stack).
const DEFAULT_LIMIT: i64 = 127;
const MOST_FRAMES: i128 = 1024;
/// Frames of a walk by unwind rows, at most and by default: the verifier walks all of them.
const MOST_UNWOUND: u32 = 64;

fn stack(l: &mut Lowering, call: &Call, kind: abi::StackKind) -> Option<Expr> {
    let ty = stack_type(l, call, kind, MOST_FRAMES)?;
    Some(Expr {
        kind: ExprKind::Stack(Walk::Kernel),
        ty,
        span: call.span,
    })
}

/// The type that a call's mode and limit say.
fn stack_type(l: &mut Lowering, call: &Call, kind: abi::StackKind, most: i128) -> Option<Type> {
    let mut mode = None;
    let mut limit = abi::Number::from(DEFAULT_LIMIT.min(most as i64));
    for (at, argument) in call.arguments.iter().enumerate() {
        let word = l.word(argument);
        match (word.as_deref(), mode.is_none() && at == 0) {
            (Some("bpftrace"), true) => mode = Some(abi::StackMode::Bpftrace),
            (Some("perf"), true) => mode = Some(abi::StackMode::Perf),
            (Some("raw"), true) => mode = Some(abi::StackMode::Raw),
            (Some("build_id"), true) => mode = Some(build_ids(l, call, argument.span)?),
            (Some(other), true) if l.constant_integer(argument).is_none() => {
                let found = format!("`{other}`");
                let expected = match call.name {
                    "ustack" => "`bpftrace`, `perf`, `raw`, `build_id` or a number of frames",
                    _ => "`bpftrace`, `perf`, `raw` or a number of frames",
                };
                return argument::wrong(l, call, at, expected, &found);
            }
            _ if at == 1 && mode.is_none() => {
                return argument::wrong(l, call, 0, "a stack mode", "a number of frames");
            }
            _ => limit = argument::number(l, call, at, 1, most)?,
        }
    }
    let mode = mode.unwrap_or_else(|| default_mode(l, call));
    Some(Type::Stack { kind, mode, limit })
}

/// Only the kernel's own walk of user stacks gives build IDs.
fn build_ids(l: &mut Lowering, call: &Call, span: crate::source::Span) -> Option<abi::StackMode> {
    let why = match call.name {
        "ustack" => return Some(abi::StackMode::BuildId),
        "kstack" => "kernel stacks have no build IDs",
        _ => "`dw_ustack` finds addresses, not build IDs",
    };
    l.report(
        Diagnostic::error(Code::ArgumentType, span, why)
            .with_help("`ustack(build_id)` is the only such stack"),
    );
    None
}

fn default_mode(l: &Lowering, call: &Call) -> abi::StackMode {
    match l.settings.target.stack_mode {
        abi::StackMode::BuildId if call.name != "ustack" => abi::StackMode::Bpftrace,
        ref mode => mode.clone(),
    }
}

fn unwound_by_tables(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let ty = stack_type(l, call, abi::StackKind::User, i128::from(MOST_UNWOUND))?;
    let refused = match (l.options.arch, &l.probe.attach) {
        (Arch::Arm64, _) => Some((
            "`dw_ustack` is for x86-64 programs only",
            "`ustack` follows frame pointers, which programs for arm64 mostly keep",
        )),
        (_, abi::Attach::Iter { .. }) => Some((
            "an iterator is in no user program whose stack `dw_ustack` could walk",
            "take stacks where the program runs: `profile`, `uprobe`, `tracepoint`",
        )),
        _ => None,
    };
    if let Some((message, help)) = refused {
        l.report(Diagnostic::error(Code::WrongProbe, call.span, message).with_help(help));
        return None;
    }
    let task = super::task::current(l, call.span);
    let name = Name {
        text: "stack".to_owned(),
        span: call.span,
    };
    let stack = l.field(task, &name)?;
    let wide = Type::Int(IntType::U64);
    let stack = l.convert(stack, wide.clone());
    let ask = l.record(abi::RecordKind::Unwind, vec![wide], call.span);
    Some(Expr {
        kind: ExprKind::Stack(Walk::Tables {
            ask,
            stack: Box::new(stack),
        }),
        ty,
        span: call.span,
    })
}
