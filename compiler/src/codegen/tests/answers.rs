//! What a program computes is what its tree says.

use super::kernel::*;
use super::make::*;
use crate::ir::*;

use btc_abi as abi;

#[test]
fn root_arithmetic_answers() {
    use BinaryOp as Op;
    let cases = [
        (Op::Divide, -7, 2, -3),
        (Op::Modulo, -7, 2, -1),
        (Op::Divide, 7, -2, -3),
        (Op::Modulo, 7, -2, 1),
        (Op::Divide, 7, 0, 1),
        (Op::Modulo, 7, 0, 1),
        (Op::ShiftRight, -8, 1, -4),
        (Op::ShiftLeft, 1, 65, 2),
        (Op::Multiply, -3, 5, -15),
        (Op::Less, -1, 1, 1),
        (Op::BitXor, 6, 3, 5),
        (Op::Divide, i64::MIN, -1, i64::MIN),
    ];
    let values = cases
        .iter()
        .map(|(op, a, b, _)| binary(*op, unknown(*a), unknown(*b)))
        .collect();
    let found = compute(values, vec![], vec![], vec![]);
    if is_root() {
        let wanted: Vec<i64> = cases.iter().map(|c| c.3).collect();
        assert_eq!(found, wanted);
    }
}

/// The bucket as the ABI documents it.
fn bucket(n: i64, bits: u32) -> i64 {
    if n < 0 {
        return 0;
    }
    if n < 1 << bits {
        return 1 + n;
    }
    let p = 63 - (n as u64).leading_zeros();
    1 + (i64::from(p - bits + 1) << bits) + ((n >> (p - bits)) & ((1 << bits) - 1))
}

#[test]
fn root_histogram_buckets() {
    use libbpf_rs::MapCore as _;
    if !is_root() {
        return;
    }
    for bits in [0u8, 2, 5] {
        let numbers = [-5, 0, 1, 2, 3, 4, 7, 8, 31, 32, 33, 1000, 65_536, i64::MAX];
        let body = numbers
            .iter()
            .map(|n| {
                stmt(StmtKind::Aggregate {
                    map: MapId(0),
                    key: None,
                    update: AggregateUpdate::Hist {
                        value: unknown(*n),
                        bits: i64::from(bits).into(),
                    },
                })
            })
            .collect();
        let maps = vec![map(
            "h",
            None,
            Type::Aggregation(Aggregation::Hist {
                bits: i64::from(bits).into(),
            }),
            abi::MapKind::PerCpuArray,
        )];
        let program = program(vec![in_begin(vec![], body)], maps, vec![], Types::default());
        let (_, elf) = load(&program);
        let mut builder = libbpf_rs::ObjectBuilder::default();
        let mut opened = builder.open_memory(&elf).unwrap();
        make_scratch_for_all_cpus(&mut opened);
        let loaded = opened.load().unwrap();
        let first = loaded.progs().next().unwrap();
        use std::os::fd::{AsFd as _, AsRawFd as _};
        let mut options = libbpf_sys::bpf_test_run_opts {
            sz: size_of::<libbpf_sys::bpf_test_run_opts>() as _,
            ..Default::default()
        };
        // SAFETY: the program is loaded and the options say their own size.
        let result = unsafe {
            libbpf_sys::bpf_prog_test_run_opts(first.as_fd().as_raw_fd(), &raw mut options)
        };
        assert_eq!(result, 0);
        let map = loaded.maps().find(|m| m.name() == "AT_h").unwrap();
        let cpus = map
            .lookup_percpu(&0u32.to_le_bytes(), libbpf_rs::MapFlags::ANY)
            .unwrap()
            .unwrap();
        let mut found = vec![0u64; abi::value::hist_buckets(bits) as usize];
        for cpu in cpus {
            for (i, chunk) in cpu.chunks_exact(8).enumerate() {
                found[i] += u64::from_le_bytes(chunk.try_into().unwrap());
            }
        }
        let mut wanted = vec![0u64; found.len()];
        for n in numbers {
            wanted[bucket(n, u32::from(bits)) as usize] += 1;
        }
        assert_eq!(found, wanted, "bits {bits}");
    }
}

#[test]
fn root_loops_answer() {
    if !is_root() {
        return;
    }
    let bump = |by: Expr| {
        stmt(StmtKind::SetLocal {
            local: LocalId(1),
            value: binary(BinaryOp::Add, get(1, I64), by),
        })
    };
    let stop = |at: i64| {
        stmt(StmtKind::If {
            condition: binary(BinaryOp::Equal, get(0, I64), int(at)),
            then: vec![stmt(StmtKind::Break)],
            otherwise: vec![],
        })
    };
    let range = |start: i64, end: i64, body| {
        stmt(StmtKind::ForRange {
            variable: LocalId(0),
            start: int(start),
            end: int(end),
            body,
        })
    };
    let before = vec![
        // 0 + 1 + … + 999
        range(0, 1000, vec![bump(get(0, I64))]),
        // 10 times 1
        range(0, 500, vec![stop(10), bump(int(1))]),
        // 5 + 6
        range(5, 20, vec![stop(7), bump(get(0, I64))]),
        stmt(StmtKind::Unroll {
            count: 4,
            body: vec![bump(int(100_000_000))],
        }),
    ];
    let locals = vec![local("i", I64), local("sum", I64)];
    let found = compute(vec![get(1, I64)], locals, before, vec![]);
    assert_eq!(found, [499_500 + 10 + 11 + 400_000_000]);
}

#[test]
fn root_strings_and_tuples_answer() {
    if !is_root() {
        return;
    }
    let literal = |text: &str, size| {
        expr(
            ExprKind::String(text.as_bytes().to_vec()),
            Type::String { size },
        )
    };
    let set = |id, value| {
        stmt(StmtKind::SetLocal {
            local: LocalId(id),
            value,
        })
    };
    let equal = |left: Expr, right: Expr, limit| {
        expr(
            ExprKind::Equal {
                left: Box::new(left),
                right: Box::new(right),
                limit,
            },
            Type::Bool,
        )
    };
    let long = Type::String { size: 200 };
    let short = Type::String { size: 16 };
    let pair = Type::Tuple(vec![Type::Int(IntType::I32), long.clone(), I64]);
    let locals = vec![
        local("a", long.clone()),
        local("b", short.clone()),
        local("t", pair.clone()),
    ];
    let cut = expr(
        ExprKind::Convert(Box::new(literal("a string that is longer than that", 40))),
        short.clone(),
    );
    let before = vec![
        set(0, literal("hello", 200)),
        set(1, literal("hello", 16)),
        set(
            2,
            tuple(vec![
                expr(ExprKind::Integer(-3i64 as u64), Type::Int(IntType::I32)),
                get(0, long.clone()),
                int(77),
            ]),
        ),
    ];
    let part = |index, ty| {
        expr(
            ExprKind::Part {
                of: Box::new(get(2, pair.clone())),
                steps: vec![Step::Tuple { index }],
            },
            ty,
        )
    };
    let values = vec![
        equal(get(0, long.clone()), get(1, short.clone()), None),
        equal(get(0, long.clone()), literal("hello", 6), None),
        equal(get(0, long.clone()), literal("help", 5), None),
        equal(get(0, long.clone()), literal("help", 5), Some(3)),
        expr(ExprKind::StringLength(Box::new(get(0, long.clone()))), U64),
        expr(ExprKind::StringLength(Box::new(cut)), U64),
        part(0, Type::Int(IntType::I32)),
        part(2, I64),
        expr(ExprKind::StringLength(Box::new(part(1, long.clone()))), U64),
        expr(
            ExprKind::Compare {
                left: Box::new(literal("abd", 4)),
                right: Box::new(literal("abc", 4)),
                size: 4,
                count: None,
            },
            Type::Int(IntType::I32),
        ),
        expr(
            ExprKind::Compare {
                left: Box::new(literal("abc", 4)),
                right: Box::new(literal("abd", 4)),
                size: 2,
                count: None,
            },
            Type::Int(IntType::I32),
        ),
    ];
    let found = compute(values, locals, before, vec![]);
    assert_eq!(found, [1, 1, 0, 1, 5, 15, -3, 77, 5, 1, 0]);
}
