//! The machine: processors, random numbers, registers.

use btc_abi as abi;

use super::argument;
use super::{Call, Function};
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::{Context, Expr, Helper, IntType, ProgramKind, Type};
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
];

const U32: Type = Type::Int(IntType::U32);

fn register(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let name = argument::literal_text(l, call, 0)?;
    if !matches!(l.probe.kind, ProgramKind::Kprobe | ProgramKind::PerfEvent) {
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
