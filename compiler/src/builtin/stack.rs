//! `kstack` and `ustack`: captured in BPF, symbolized by the runtime.

use btc_abi as abi;

use super::argument;
use super::{Call, Function};
use crate::diagnostic::Unsupported;
use crate::ir::{Expr, ExprKind, Type};
use crate::sema::Lowering;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::word_or_call("kstack", 2, "kstack([mode, ][limit])", |l, call| {
        stack(l, call, abi::StackKind::Kernel)
    }),
    Function::word_or_call("ustack", 2, "ustack([mode, ][limit])", |l, call| {
        stack(l, call, abi::StackKind::User)
    }),
];

/// Frames, unless the call says otherwise; the kernel's own default (kernel.perf_event_max_stack).
const DEFAULT_LIMIT: u32 = 127;
const MOST_FRAMES: i128 = 1024;

fn stack(l: &mut Lowering, call: &Call, kind: abi::StackKind) -> Option<Expr> {
    let mut mode = None;
    let mut limit = DEFAULT_LIMIT;
    for (at, argument) in call.arguments.iter().enumerate() {
        match (l.word(argument).as_deref(), mode.is_none() && at == 0) {
            (Some("bpftrace"), true) => mode = Some(abi::StackMode::Bpftrace),
            (Some("perf"), true) => mode = Some(abi::StackMode::Perf),
            (Some("raw"), true) => mode = Some(abi::StackMode::Raw),
            (Some("build_id"), true) => {
                return l.not_supported_yet(argument.span, Unsupported::BuildIdStack);
            }
            (Some(other), true) if l.constant_integer(argument).is_none() => {
                let found = format!("`{other}`");
                let expected = "`bpftrace`, `perf`, `raw` or a number of frames";
                return argument::wrong(l, call, at, expected, &found);
            }
            _ if at == 1 && mode.is_none() => {
                return argument::wrong(l, call, 0, "a stack mode", "a number of frames");
            }
            _ => limit = argument::constant(l, call, at, 1, MOST_FRAMES)? as u32,
        }
    }
    let mode = mode.unwrap_or_else(|| l.settings.target.stack_mode.clone());
    Some(Expr {
        kind: ExprKind::Stack,
        ty: Type::Stack { kind, mode, limit },
        span: call.span,
    })
}
