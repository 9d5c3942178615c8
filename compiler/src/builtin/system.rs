//! The machine: processors, random numbers, registers.

use btc_abi as abi;

use super::argument;
use super::{Call, Function};
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::{Context, Expr, Helper, IntType, ProgramKind, Type};
use crate::sema::{Arch, Lowering};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::word("cpu", |l, call| {
        Some(l.helper(Helper::ProcessorId, vec![], U32, call.span))
    }),
    Function::word("numaid", |l, call| {
        Some(l.helper(Helper::NumaNode, vec![], U32, call.span))
    }),
    Function::word("rand", |l, call| {
        Some(l.helper(Helper::Random, vec![], U32, call.span))
    }),
    Function::word("ncpus", |l, call| {
        Some(l.slot(
            abi::TargetValue::CpuCount,
            Type::Int(IntType::U64),
            call.span,
        ))
    }),
    Function::call("reg", (1, 1), "reg(\"name\")", register),
];

const U32: Type = Type::Int(IntType::U32);

const X86_64: &[&str] = &[
    "r15", "r14", "r13", "r12", "bp", "bx", "r11", "r10", "r9", "r8", "ax", "cx", "dx", "si", "di",
    "orig_ax", "ip", "cs", "flags", "sp", "ss",
];
const AARCH64: &[&str] = &[
    "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
    "r15", "r16", "r17", "r18", "r19", "r20", "r21", "r22", "r23", "r24", "r25", "r26", "r27",
    "r28", "r29", "r30", "sp", "pc", "pstate",
];

fn register(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let name = argument::literal_text(l, call, 0)?;
    if !matches!(l.probe.kind, ProgramKind::Kprobe | ProgramKind::PerfEvent) {
        let message = format!("`{}` probes have no registers to read", l.probe.provider);
        return l.error(Code::WrongProbe, call.span, message);
    }
    let known = match l.options.arch {
        Arch::X86_64 => X86_64,
        Arch::Aarch64 => AARCH64,
    };
    match known.iter().find(|r| **r == name) {
        Some(register) => Some(l.context(Context::Register(register), call.span)),
        None => {
            let span = call.arguments.first().map_or(call.span, |a| a.span);
            l.report(
                Diagnostic::error(
                    Code::UnknownName,
                    span,
                    format!("unknown register `{}`", name.escape_debug()),
                )
                .with_help(format!("the registers are {}", known.join(", "))),
            );
            None
        }
    }
}
