//! Small programs made by hand, judged by the kernel's verifier where this process may load BPF.

use std::borrow::Cow;

use btc_abi as abi;

use super::{Options, Text, emit, emit_text, verify};
use crate::arch::Arch;
use crate::ir::*;
use crate::layout;
use crate::source::{Source, SourceMap, Span};

fn span() -> Span {
    Span::default()
}

fn expr(kind: ExprKind, ty: Type) -> Expr {
    Expr {
        kind,
        ty,
        span: span(),
    }
}

fn stmt(kind: StmtKind) -> Stmt {
    Stmt { kind, span: span() }
}

const I64: Type = Type::Int(IntType::I64);
const U64: Type = Type::Int(IntType::U64);

fn int(value: i64) -> Expr {
    expr(ExprKind::Integer(value as u64), I64)
}

fn helper(helper: Helper) -> Expr {
    expr(
        ExprKind::Helper {
            helper,
            arguments: Vec::new(),
        },
        U64,
    )
}

fn comm() -> Expr {
    expr(
        ExprKind::Helper {
            helper: Helper::CurrentComm,
            arguments: Vec::new(),
        },
        Type::String { size: 16 },
    )
}

fn tuple(items: Vec<Expr>) -> Expr {
    let types = items.iter().map(|i| i.ty.clone()).collect();
    expr(ExprKind::Tuple(items), Type::Tuple(types))
}

fn map(name: &str, key: Option<Type>, value: Type, kind: abi::MapKind) -> Map {
    Map {
        name: name.to_owned(),
        key,
        value,
        kind,
        max_entries: 0,
        span: span(),
    }
}

fn print(fields: Vec<Type>) -> Record {
    Record {
        kind: abi::RecordKind::Print,
        fields,
        span: span(),
    }
}

fn probe(kind: ProgramKind, attach: abi::Attach, locals: Vec<Local>, body: Vec<Stmt>) -> Probe {
    Probe {
        program: "probe_0".to_owned(),
        name: "probe".to_owned(),
        kind,
        attach,
        attach_parameters: false,
        number_parameter: String::new(),
        parameters: Vec::new(),
        locals,
        status: None,
        body,
        span: span(),
    }
}

fn program(probes: Vec<Probe>, maps: Vec<Map>, records: Vec<Record>, types: Types) -> Program {
    let probes = probes
        .into_iter()
        .enumerate()
        .map(|(i, p)| Probe {
            program: format!("probe_{i}"),
            ..p
        })
        .collect();
    Program {
        name: "test".to_owned(),
        about: String::new(),
        license: "GPL".to_owned(),
        unsafe_mode: false,
        types,
        maps,
        records,
        slots: Vec::new(),
        foreign: Vec::new(),
        positional: Vec::new(),
        named: Vec::new(),
        probes,
        config: abi::Config::default(),
        limits: Limits::default(),
        fixed: Vec::new(),
    }
}

/// Compiles, and has the kernel verify what it may load here.
fn load(program: &Program) -> (abi::Manifest, Vec<u8>) {
    let mut sources = SourceMap::default();
    sources.add(Source::new("test.bt", "begin { }\n"));
    let options = Options {
        arch: Arch::X86_64,
        sources: &sources,
    };
    let mut manifest = layout::plan(program, &sources);
    let text = emit_text(program, &mut manifest.clone(), &options, Text::LlvmIr);
    let object = match emit(program, &mut manifest, &options) {
        Ok(object) => object,
        Err(bug) => panic!("{bug}\n{}", text.unwrap_or_default()),
    };
    // SAFETY: no arguments that could be wrong.
    if unsafe { libc::geteuid() } != 0 {
        return (manifest, object.elf);
    }
    let mut builder = libbpf_rs::ObjectBuilder::default();
    let mut opened = builder.open_memory(&object.elf).expect("libbpf opens it");
    // This kernel may have no tracepoint patching of its own: the test writes plausible offsets.
    for mut prog in opened.progs_mut() {
        let wanted = manifest
            .probes
            .iter()
            .find(|p| *p.program == *prog.name().to_string_lossy());
        // The other edition of a probe is for the oldest kernels.
        let Some(wanted) = wanted else {
            prog.set_autoload(false);
            continue;
        };
        if matches!(
            wanted.attach,
            abi::Attach::Fentry { .. } | abi::Attach::Fexit { .. }
        ) {
            prog.set_autoload(false);
        }
        patch(&mut prog, wanted);
    }
    opened.load().expect("the verifier takes it");
    (manifest, object.elf)
}

/// As the runtime does: the manifest counts the scratch map's elements for one CPU.
fn make_scratch_for_all_cpus(object: &mut libbpf_rs::OpenObject) {
    let cpus = libbpf_rs::num_possible_cpus().unwrap() as u32;
    for mut map in object.maps_mut() {
        if map.name() == "btc_scratch" {
            let entries = map.max_entries() * cpus;
            map.set_max_entries(entries).unwrap();
        }
    }
}

fn patch(program: &mut libbpf_rs::OpenProgramMut, probe: &abi::Probe) {
    use libbpf_rs::AsRawLibbpf as _;
    let raw = program.as_libbpf_object().as_ptr();
    // SAFETY: the program lives; the instructions are copied and handed back with their number.
    unsafe {
        let count = libbpf_sys::bpf_program__insn_cnt(raw);
        let first = libbpf_sys::bpf_program__insns(raw);
        let mut insns: Vec<libbpf_sys::bpf_insn> =
            std::slice::from_raw_parts(first, count as usize).to_vec();
        for relocation in probe.context.iter() {
            let insn = &mut insns[relocation.instruction as usize];
            if insn.code & 7 == 1 {
                insn.off = 16 + relocation.addend as i16;
            } else {
                insn.imm = 16 + relocation.addend as i32;
            }
        }
        libbpf_sys::bpf_program__set_insns(raw, insns.as_mut_ptr(), count);
    }
}

fn begin() -> (ProgramKind, abi::Attach) {
    (ProgramKind::TestRun, abi::Attach::Begin)
}

fn in_begin(locals: Vec<Local>, body: Vec<Stmt>) -> Probe {
    let (kind, attach) = begin();
    probe(kind, attach, locals, body)
}

#[test]
fn root_begin_prints() {
    let body = vec![
        stmt(StmtKind::Emit {
            record: RecordId(0),
            values: vec![int(42), comm()],
        }),
        stmt(StmtKind::Return),
    ];
    let records = vec![print(vec![I64, Type::String { size: 16 }])];
    load(&program(
        vec![in_begin(vec![], body)],
        vec![],
        records,
        Types::default(),
    ));
}

#[test]
fn root_long_strings_go_to_the_tail() {
    let read = |space| {
        expr(
            ExprKind::ReadString {
                address: Box::new(helper(Helper::KtimeNs)),
                space,
                length: None,
            },
            Type::String { size: 1024 },
        )
    };
    let literal = expr(
        ExprKind::String(b"a literal of more than sixteen bytes".to_vec()),
        Type::String { size: 64 },
    );
    let text = Type::String { size: 1024 };
    let body = vec![stmt(StmtKind::Emit {
        record: RecordId(0),
        values: vec![read(Space::User), int(1), literal, read(Space::Kernel)],
    })];
    let records = vec![print(vec![
        text.clone(),
        I64,
        Type::String { size: 64 },
        text,
    ])];
    load(&program(
        vec![in_begin(vec![], body)],
        vec![],
        records,
        Types::default(),
    ));
}

#[test]
fn root_maps_and_aggregations() {
    use abi::MapKind as K;
    let per_cpu = |aggregation| Type::Aggregation(aggregation);
    let key = || tuple(vec![comm(), helper(Helper::CurrentPidTgid)]);
    let key_ty = key().ty;
    let maps = vec![
        map("count", None, per_cpu(Aggregation::Count), K::PerCpuArray),
        map(
            "keyed",
            Some(key_ty),
            per_cpu(Aggregation::Hist { bits: 2 }),
            K::PerCpuHash,
        ),
        map("x", Some(I64), I64, K::Hash),
        map(
            "min",
            None,
            per_cpu(Aggregation::Min { signed: true }),
            K::PerCpuArray,
        ),
        map(
            "lin",
            Some(I64),
            per_cpu(Aggregation::Lhist {
                min: 0,
                max: 100,
                step: 10,
            }),
            K::PerCpuHash,
        ),
        map("text", Some(I64), Type::String { size: 1024 }, K::Hash),
    ];
    let time = || expr(ExprKind::Convert(Box::new(helper(Helper::KtimeNs))), I64);
    let aggregate = |map, key, update| {
        stmt(StmtKind::Aggregate {
            map: MapId(map),
            key,
            update,
        })
    };
    let body = vec![
        aggregate(0, None, AggregateUpdate::Count),
        aggregate(
            1,
            Some(key()),
            AggregateUpdate::Hist {
                value: time(),
                bits: 2,
            },
        ),
        aggregate(3, None, AggregateUpdate::Min(time())),
        aggregate(
            4,
            Some(int(1)),
            AggregateUpdate::Lhist {
                value: time(),
                min: 0,
                max: 100,
                step: 10,
            },
        ),
        stmt(StmtKind::Eval(expr(
            ExprKind::MapStep {
                map: MapId(2),
                key: Some(Box::new(int(7))),
                op: BinaryOp::Add,
                value: Box::new(int(1)),
                yields_old: true,
            },
            I64,
        ))),
        stmt(StmtKind::MapSet {
            map: MapId(5),
            key: Some(int(1)),
            value: expr(
                ExprKind::ReadString {
                    address: Box::new(int(4096)),
                    space: Space::User,
                    length: None,
                },
                Type::String { size: 1024 },
            ),
        }),
        stmt(StmtKind::MapSet {
            map: MapId(2),
            key: Some(expr(
                ExprKind::MapGet {
                    map: MapId(0),
                    key: None,
                },
                I64,
            )),
            value: expr(
                ExprKind::Binary {
                    op: BinaryOp::Divide,
                    left: Box::new(expr(
                        ExprKind::MapGet {
                            map: MapId(3),
                            key: None,
                        },
                        I64,
                    )),
                    right: Box::new(expr(
                        ExprKind::MapGet {
                            map: MapId(2),
                            key: Some(Box::new(int(7))),
                        },
                        I64,
                    )),
                },
                I64,
            ),
        }),
        stmt(StmtKind::Eval(expr(
            ExprKind::MapDelete {
                map: MapId(2),
                key: Some(Box::new(int(7))),
            },
            Type::Bool,
        ))),
    ];
    load(&program(
        vec![in_begin(vec![], body)],
        maps,
        vec![],
        Types::default(),
    ));
}

fn task_types() -> Types {
    let member = |name: &str, ty, bit_offset| Member {
        name: name.to_owned(),
        ty,
        bit_offset,
        bitfield: None,
        location: abi::DataLocation::Inline,
    };
    let task = Type::Pointer {
        to: Box::new(Type::CRecord(CRecordId(0))),
        space: Space::Kernel,
    };
    Types {
        records: vec![CRecord {
            name: "task_struct".to_owned(),
            union: false,
            origin: Origin::Kernel,
            size: 4096,
            // Offsets that no kernel has: a number of these in the code would be a baked-in build fact.
            members: vec![
                member("tgid", Type::Int(IntType::I32), 8 * 2776),
                member("real_parent", task, 8 * 3000),
                member("comm", Type::String { size: 16 }, 8 * 3100),
            ],
            loaded: true,
        }],
        enums: vec![],
    }
}

fn member_of(base: Expr, member: u32, ty: Type) -> Expr {
    let place = Place {
        base,
        space: Space::Kernel,
        steps: vec![Step::Member {
            record: CRecordId(0),
            member,
        }],
        ty: ty.clone(),
    };
    expr(ExprKind::Load(Box::new(place)), ty)
}

#[test]
fn root_kernel_members_are_relocations() {
    let task = Type::Pointer {
        to: Box::new(Type::CRecord(CRecordId(0))),
        space: Space::Kernel,
    };
    let current = || expr(helper(Helper::CurrentTask).kind, task.clone());
    let parent = || member_of(current(), 1, task.clone());
    let tgid = Type::Int(IntType::I32);
    let text = Type::String { size: 16 };
    let body = vec![stmt(StmtKind::Emit {
        record: RecordId(0),
        values: vec![
            member_of(parent(), 0, tgid.clone()),
            member_of(parent(), 2, text.clone()),
            expr(ExprKind::TypeSize(CRecordId(0)), U64),
        ],
    })];
    let records = vec![print(vec![tgid, text, U64])];
    let (manifest, elf) = load(&program(
        vec![in_begin(vec![], body)],
        vec![],
        records,
        task_types(),
    ));
    assert!(manifest.needs_btf);
    // real_parent, tgid (offset, size and two shifts), comm, the type's size; equal ones may be merged.
    let records = verify::count_relocations(&elf).unwrap();
    assert!(records >= 7, "{records} records");
}

#[test]
fn root_tracepoint_members_are_listed() {
    let types = Types {
        records: vec![CRecord {
            name: String::new(),
            union: false,
            origin: Origin::Tracepoint {
                category: "syscalls".to_owned(),
                event: "sys_enter_openat".to_owned(),
            },
            size: 64,
            members: vec![
                Member {
                    name: "dfd".to_owned(),
                    ty: Type::Int(IntType::I64),
                    bit_offset: 128,
                    bitfield: None,
                    location: abi::DataLocation::Inline,
                },
                Member {
                    name: "args".to_owned(),
                    ty: Type::String { size: 16 },
                    bit_offset: 192,
                    bitfield: None,
                    location: abi::DataLocation::Inline,
                },
            ],
            loaded: true,
        }],
        enums: vec![],
    };
    let args = || {
        expr(
            ExprKind::Context(Context::Pointer),
            Type::Pointer {
                to: Box::new(Type::CRecord(CRecordId(0))),
                space: Space::Context,
            },
        )
    };
    let field = |member, ty: Type| {
        let place = Place {
            base: args(),
            space: Space::Context,
            steps: vec![Step::Member {
                record: CRecordId(0),
                member,
            }],
            ty: ty.clone(),
        };
        expr(ExprKind::Load(Box::new(place)), ty)
    };
    let text = Type::String { size: 16 };
    let emitted = stmt(StmtKind::Emit {
        record: RecordId(0),
        values: vec![field(0, I64), field(1, text.clone())],
    });
    // In a callback too: there the program reads for it.
    let body = vec![
        emitted.clone(),
        stmt(StmtKind::ForRange {
            variable: LocalId(0),
            start: int(0),
            end: int(100),
            body: vec![emitted],
        }),
    ];
    let locals = vec![local("i", I64)];
    let attach = abi::Attach::Tracepoint {
        category: Cow::Borrowed("syscalls"),
        event: Cow::Borrowed("sys_enter_openat"),
    };
    let (manifest, _) = load(&program(
        vec![probe(ProgramKind::Tracepoint, attach, locals, body)],
        vec![],
        vec![print(vec![I64, text])],
        types,
    ));
    assert!(!manifest.needs_btf);
    let found: Vec<_> = manifest.probes[0].context.iter().collect();
    assert_eq!(found.len(), 4, "{found:?}");
    let loads = found.iter().filter(|r| r.field == "dfd" && r.size == 8);
    assert_eq!(loads.count(), 2);
}

#[test]
fn root_stacks_and_symbols() {
    let stack = |kind| Type::Stack {
        kind,
        mode: abi::StackMode::Bpftrace,
        limit: 127,
    };
    let kernel = stack(abi::StackKind::Kernel);
    let user = stack(abi::StackKind::User);
    let key = tuple(vec![
        expr(ExprKind::Stack(Walk::Kernel), kernel.clone()),
        expr(ExprKind::Stack(Walk::Kernel), user.clone()),
        comm(),
    ]);
    let maps = vec![map(
        "",
        Some(key.ty.clone()),
        Type::Aggregation(Aggregation::Count),
        abi::MapKind::PerCpuHash,
    )];
    let body = vec![stmt(StmtKind::Aggregate {
        map: MapId(0),
        key: Some(key),
        update: AggregateUpdate::Count,
    })];
    let attach = abi::Attach::Profile {
        period: abi::PerfPeriod::Hertz { hz: 99 },
    };
    load(&program(
        vec![probe(ProgramKind::PerfEvent, attach, vec![], body)],
        maps,
        vec![],
        Types::default(),
    ));
}

fn local(name: &str, ty: Type) -> Local {
    Local {
        name: name.to_owned(),
        ty,
    }
}

fn get(id: u32, ty: Type) -> Expr {
    expr(ExprKind::Local(LocalId(id)), ty)
}

#[test]
fn root_loops_and_callbacks() {
    let pair = Type::Tuple(vec![I64, I64]);
    let maps = vec![
        map("m", Some(I64), I64, abi::MapKind::Hash),
        map(
            "c",
            Some(I64),
            Type::Aggregation(Aggregation::Count),
            abi::MapKind::PerCpuHash,
        ),
    ];
    let locals = vec![
        local("i", I64),
        local("kv", pair.clone()),
        local("total", I64),
        local("ck", pair.clone()),
        local("text", Type::String { size: 64 }),
    ];
    let bump = |by: Expr| {
        stmt(StmtKind::SetLocal {
            local: LocalId(2),
            value: expr(
                ExprKind::Binary {
                    op: BinaryOp::Add,
                    left: Box::new(get(2, I64)),
                    right: Box::new(by),
                },
                I64,
            ),
        })
    };
    let part = |local: u32, index: u32| {
        expr(
            ExprKind::Part {
                of: Box::new(get(local, pair.clone())),
                steps: vec![Step::Tuple { index }],
            },
            I64,
        )
    };
    let over = |a: Expr, limit: i64, then: StmtKind| {
        stmt(StmtKind::If {
            condition: expr(
                ExprKind::Binary {
                    op: BinaryOp::Greater,
                    left: Box::new(a),
                    right: Box::new(int(limit)),
                },
                Type::Bool,
            ),
            then: vec![stmt(then)],
            otherwise: vec![],
        })
    };
    let body = vec![
        stmt(StmtKind::ForRange {
            variable: LocalId(0),
            start: int(0),
            end: int(1000),
            body: vec![
                over(get(0, I64), 500, StmtKind::Break),
                stmt(StmtKind::MapSet {
                    map: MapId(0),
                    key: Some(get(0, I64)),
                    value: get(0, I64),
                }),
                bump(get(0, I64)),
            ],
        }),
        stmt(StmtKind::ForMap {
            variable: LocalId(1),
            map: MapId(0),
            body: vec![
                bump(part(1, 1)),
                over(part(1, 0), 10, StmtKind::Continue),
                over(part(1, 1), 10_000, StmtKind::Return),
            ],
        }),
        stmt(StmtKind::ForMap {
            variable: LocalId(3),
            map: MapId(1),
            body: vec![bump(part(3, 1))],
        }),
        stmt(StmtKind::ForRange {
            variable: LocalId(0),
            start: int(0),
            end: int(8),
            body: vec![bump(get(0, I64))],
        }),
        stmt(StmtKind::Unroll {
            count: 3,
            body: vec![bump(int(1))],
        }),
        stmt(StmtKind::Emit {
            record: RecordId(0),
            values: vec![
                get(2, I64),
                expr(ExprKind::MapLen { map: MapId(0) }, U64),
                get(4, Type::String { size: 64 }),
            ],
        }),
    ];
    let records = vec![print(vec![I64, U64, Type::String { size: 64 }])];
    load(&program(
        vec![in_begin(locals, body)],
        maps,
        records,
        Types::default(),
    ));
}

#[test]
fn strings_compare_with_literals() {
    let equal = expr(
        ExprKind::Equal {
            left: Box::new(comm()),
            right: Box::new(expr(
                ExprKind::String(b"bash".to_vec()),
                Type::String { size: 5 },
            )),
            limit: None,
        },
        Type::Bool,
    );
    let order = expr(
        ExprKind::Compare {
            left: Box::new(comm()),
            right: Box::new(comm()),
            size: 16,
        },
        Type::Int(IntType::I32),
    );
    let body = vec![stmt(StmtKind::Emit {
        record: RecordId(0),
        values: vec![equal, order],
    })];
    load(&program(
        vec![in_begin(vec![], body)],
        vec![],
        vec![print(vec![Type::Bool, Type::Int(IntType::I32)])],
        Types::default(),
    ));
}

/// Runs the first program once, and reads a map of i64 to i64.
fn run(program: &Program) -> std::collections::BTreeMap<i64, i64> {
    use libbpf_rs::MapCore as _;
    let (_, elf) = load(program);
    // SAFETY: no arguments that could be wrong.
    if unsafe { libc::geteuid() } != 0 {
        return Default::default();
    }
    let mut builder = libbpf_rs::ObjectBuilder::default();
    let mut opened = builder.open_memory(&elf).unwrap();
    make_scratch_for_all_cpus(&mut opened);
    let loaded = opened.load().unwrap();
    let first = loaded
        .progs()
        .find(|p| p.name() == "probe_0")
        .expect("the program");
    use std::os::fd::{AsFd as _, AsRawFd as _};
    let mut options = libbpf_sys::bpf_test_run_opts {
        sz: size_of::<libbpf_sys::bpf_test_run_opts>() as _,
        ..Default::default()
    };
    // SAFETY: the program is loaded and the options say their own size.
    let result =
        unsafe { libbpf_sys::bpf_prog_test_run_opts(first.as_fd().as_raw_fd(), &raw mut options) };
    assert_eq!(result, 0, "test run");
    let map = loaded
        .maps()
        .find(|m| m.name() == "AT_out")
        .expect("the map");
    let long = |bytes: &[u8]| i64::from_le_bytes(bytes[..8].try_into().unwrap());
    map.keys()
        .map(|key| {
            let value = map.lookup(&key, libbpf_rs::MapFlags::ANY).unwrap().unwrap();
            (long(&key), long(&value))
        })
        .collect()
}

/// Computes expressions in a program and yields their values.
fn compute(values: Vec<Expr>, locals: Vec<Local>, before: Vec<Stmt>, maps: Vec<Map>) -> Vec<i64> {
    let mut all = vec![map("out", Some(I64), I64, abi::MapKind::Hash)];
    all.extend(maps);
    let mut body = before;
    let count = values.len();
    for (i, value) in values.into_iter().enumerate() {
        body.push(stmt(StmtKind::MapSet {
            map: MapId(0),
            key: Some(int(i as i64)),
            value: expr(ExprKind::Convert(Box::new(value)), I64),
        }));
    }
    let program = program(vec![in_begin(locals, body)], all, vec![], Types::default());
    let found = run(&program);
    (0..count as i64)
        .map(|i| found.get(&i).copied().unwrap_or(i64::MIN))
        .collect()
}

fn is_root() -> bool {
    // SAFETY: no arguments that could be wrong.
    unsafe { libc::geteuid() == 0 }
}

/// A value that LLVM can't know.
fn unknown(value: i64) -> Expr {
    let zero = expr(
        ExprKind::Binary {
            op: BinaryOp::ShiftRight,
            left: Box::new(expr(
                ExprKind::Convert(Box::new(helper(Helper::KtimeNs))),
                I64,
            )),
            right: Box::new(int(63)),
        },
        I64,
    );
    binary(BinaryOp::Add, zero, int(value))
}

fn binary(op: BinaryOp, left: Expr, right: Expr) -> Expr {
    let ty = match op {
        BinaryOp::Less
        | BinaryOp::LessEqual
        | BinaryOp::Greater
        | BinaryOp::GreaterEqual
        | BinaryOp::Equal
        | BinaryOp::NotEqual => Type::Bool,
        _ => left.ty.clone(),
    };
    expr(
        ExprKind::Binary {
            op,
            left: Box::new(left),
            right: Box::new(right),
        },
        ty,
    )
}

#[test]
fn root_arithmetic_answers() {
    use BinaryOp as Op;
    let cases = [
        (Op::Divide, -7, 2, -3),
        (Op::Modulo, -7, 2, -1),
        (Op::Divide, 7, -2, -3),
        (Op::Modulo, 7, -2, 1),
        (Op::Divide, 7, 0, 0),
        (Op::Modulo, 7, 0, 7),
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
                        bits,
                    },
                })
            })
            .collect();
        let maps = vec![map(
            "h",
            None,
            Type::Aggregation(Aggregation::Hist { bits }),
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
            },
            Type::Int(IntType::I32),
        ),
        expr(
            ExprKind::Compare {
                left: Box::new(literal("abc", 4)),
                right: Box::new(literal("abd", 4)),
                size: 2,
            },
            Type::Int(IntType::I32),
        ),
    ];
    let found = compute(values, locals, before, vec![]);
    assert_eq!(found, [1, 1, 0, 1, 5, 15, -3, 77, 5, 1, 0]);
}

#[test]
fn objects_are_the_same_each_time() {
    let make = || {
        let body = vec![stmt(StmtKind::Emit {
            record: RecordId(0),
            values: vec![int(42)],
        })];
        load(&program(
            vec![in_begin(vec![], body)],
            vec![],
            vec![print(vec![I64])],
            Types::default(),
        ))
        .1
    };
    let first = make();
    assert_eq!(first, make());
    use object::{Object as _, ObjectSection as _};
    let file = object::File::parse(&*first).unwrap();
    let names: Vec<_> = file
        .sections()
        .map(|s| s.name().unwrap().to_owned())
        .collect();
    assert!(names.iter().any(|n| n == ".BTF.ext"), "{names:?}");
    assert!(!names.iter().any(|n| n.contains("debug")), "{names:?}");
}
