//! What the target's kernel has: per-CPU variables, functions for BPF programs, error pointers.

use btc_abi as abi;

use super::argument::{self, named, unsigned};
use super::{Call, Function};
use crate::ir::{BinaryOp, Expr, ExprKind, Helper, IntType, Place, ProgramKind, Space, Step, Type};
use crate::sema::Lowering;
use crate::source::Span;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::call("is_err", (1, 1), "is_err(pointer)", is_error),
    Function::call(
        "container_of",
        (3, 3),
        "container_of(pointer, struct type, member)",
        // With a type it is an expression of its own kind.
        |l, call| argument::wrong(l, call, 1, "a type", "an expression"),
    ),
    Function::call(
        "percpu_kaddr",
        (1, 2),
        "percpu_kaddr(\"symbol\"[, cpu])",
        percpu_address,
    ),
    Function::call("kfunc_exist", (1, 1), "kfunc_exist(\"name\")", |l, call| {
        let name = argument::name(l, call, 0)?;
        Some(l.slot(
            abi::TargetValue::KfuncExists { name },
            Type::Bool,
            call.span,
        ))
    }),
    Function::call(
        "kfunc_allowed",
        (1, 1),
        "kfunc_allowed(\"name\")",
        |l, call| {
            let name = argument::name(l, call, 0)?;
            let program = program_type(l.probe.kind);
            Some(l.slot(
                abi::TargetValue::KfuncAllowed { name, program },
                Type::Bool,
                call.span,
            ))
        },
    ),
];

const U64: Type = Type::Int(IntType::U64);
const I64: Type = Type::Int(IntType::I64);

/// MAX_ERRNO of linux/err.h: addresses this near to the end are negative error numbers.
const MOST_ERRORS: i64 = 4095;

fn is_error(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let given = argument::value(l, call, 0)?;
    if !matches!(given.ty, Type::Int(_) | Type::Pointer { .. }) {
        let found = named(l, &given.ty);
        return argument::wrong(l, call, 0, "a pointer", &found);
    }
    // A narrower integer is an error number by its sign.
    let wide = match given.ty {
        Type::Int(int) if int.signed => l.convert(given, I64),
        _ => given,
    };
    let address = unsigned(l, wide);
    let first = l.integer((-MOST_ERRORS).cast_unsigned(), IntType::U64, call.span);
    Some(l.binary(BinaryOp::GreaterEqual, address, first, U64, call.span))
}

/// Where a CPU's copy of a variable is: as far from the symbol as `__per_cpu_offset` says. NULL for a CPU that there
/// can't be.
fn percpu_address(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let symbol = argument::name(l, call, 0)?;
    let symbol = l.slot(abi::TargetValue::KernelAddress { symbol }, U64, call.span);
    let pointer = Type::Pointer {
        to: Box::new(U64),
        space: Space::Kernel,
    };
    if call.arguments.len() == 1 {
        let cpu = l.helper(Helper::ProcessorId, vec![], U64, call.span);
        let address = copy_of(l, symbol, cpu, call.span);
        return Some(l.convert(address, pointer));
    }
    let cpu = argument::integer(l, call, 1)?;
    let cpu = unsigned(l, cpu);
    let cpu = l.once(cpu);
    let count = l.slot(abi::TargetValue::CpuCount, U64, call.span);
    let there = l.binary(BinaryOp::Less, cpu.clone(), count, U64, call.span);
    let address = copy_of(l, symbol, cpu, call.span);
    let chosen = Expr {
        kind: ExprKind::Select {
            condition: Box::new(there),
            then: Box::new(address),
            otherwise: Box::new(l.integer(0, IntType::U64, call.span)),
        },
        ty: U64,
        span: call.span,
    };
    Some(l.convert(chosen, pointer))
}

/// `symbol + __per_cpu_offset[cpu]`
fn copy_of(l: &mut Lowering, symbol: Expr, cpu: Expr, span: Span) -> Expr {
    let offsets = abi::TargetValue::KernelAddress {
        symbol: abi::Name::Literal {
            text: "__per_cpu_offset".into(),
        },
    };
    let table = l.slot(offsets, U64, span);
    let base = l.convert(
        table,
        Type::Pointer {
            to: Box::new(U64),
            space: Space::Kernel,
        },
    );
    let offset = Expr {
        kind: ExprKind::Load(Box::new(Place {
            base,
            space: Space::Kernel,
            steps: vec![Step::Index {
                element: U64,
                index: Box::new(l.convert(cpu, I64)),
                count: None,
            }],
            ty: U64,
        })),
        ty: U64,
        span,
    };
    argument::unsigned_binary(l, BinaryOp::Add, symbol, offset, span)
}

/// The kernel's number of a kind of program (enum bpf_prog_type of linux/bpf.h).
fn program_type(kind: ProgramKind) -> u32 {
    match kind {
        ProgramKind::Kprobe => 2,
        ProgramKind::Tracepoint => 5,
        ProgramKind::PerfEvent => 7,
        ProgramKind::TestRun | ProgramKind::RawTracepoint => 17,
        ProgramKind::BtfTracepoint
        | ProgramKind::Fentry
        | ProgramKind::Fexit
        | ProgramKind::Iterator => 26,
    }
}
