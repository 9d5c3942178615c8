//! The machine: processors, random numbers, registers.

use btc_abi as abi;

use super::argument;
use super::{Call, Function};
use crate::arch::Arch;
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::{BinaryOp, Context, Expr, Helper, IntType, ProgramKind, Type};
use crate::sema::Lowering;

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
    Function::word("usermode", user_mode),
];

const U32: Type = Type::Int(IntType::U32);

/// 1 where the registers are those of a process's own code.
fn user_mode(l: &mut Lowering, call: &Call) -> Option<Expr> {
    if !has_registers(l) {
        let message = format!(
            "`{}` probes don't tell whether the process was in user mode",
            l.probe.provider
        );
        return l.error(Code::WrongProbe, call.span, message);
    }
    // The privilege level in the code segment's selector; the exception level in the processor's state.
    let (register, mask, user) = match l.options.arch {
        Arch::X86_64 => ("cs", 3, 3),
        Arch::Arm64 => ("pstate", 0xf, 0),
    };
    let state = l.context(Context::Register(register), call.span);
    let mask = l.integer(mask, IntType::U64, call.span);
    let level = argument::unsigned_binary(l, BinaryOp::BitAnd, state, mask, call.span);
    let user = l.integer(user, IntType::U64, call.span);
    let is_user = argument::unsigned_binary(l, BinaryOp::Equal, level, user, call.span);
    let byte = IntType {
        bits: 8,
        signed: false,
    };
    Some(l.convert(is_user, Type::Int(byte)))
}

fn has_registers(l: &Lowering) -> bool {
    matches!(l.probe.kind, ProgramKind::Kprobe | ProgramKind::PerfEvent)
}

fn register(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let name = argument::literal_text(l, call, 0)?;
    if !has_registers(l) {
        let message = format!("`{}` probes have no registers to read", l.probe.provider);
        return l.error(Code::WrongProbe, call.span, message);
    }
    let known = l.options.arch.registers().iter().map(|(name, _)| *name);
    match known.clone().find(|register| *register == name) {
        Some(register) => Some(l.context(Context::Register(register), call.span)),
        None => {
            let span = call.arguments.first().map_or(call.span, |a| a.span);
            l.report(
                Diagnostic::error(
                    Code::UnknownName,
                    span,
                    format!("unknown register `{}`", name.escape_debug()),
                )
                .with_help(format!(
                    "the registers are {}",
                    known.collect::<Vec<_>>().join(", ")
                )),
            );
            None
        }
    }
}
