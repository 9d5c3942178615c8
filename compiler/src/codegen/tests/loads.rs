//! What code generation makes, the verifier takes.

use std::borrow::Cow;

use btc_abi as abi;

use super::kernel::*;
use super::make::*;
use crate::codegen::depth::Calls;
use crate::codegen::verify;
use crate::ir::*;

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
            per_cpu(Aggregation::Hist { bits: 2.into() }),
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
                min: 0.into(),
                max: 100.into(),
                step: 10.into(),
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
                bits: 2.into(),
            },
        ),
        aggregate(3, None, AggregateUpdate::Min(time())),
        aggregate(
            4,
            Some(int(1)),
            AggregateUpdate::Lhist {
                value: time(),
                min: 0.into(),
                max: 100.into(),
                step: 10.into(),
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
            root: Root::Named,
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
        limit: 127.into(),
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
            count: None,
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

#[test]
fn root_calls_of_shared_functions_take_stack() {
    let text = Type::String { size: 512 };
    let found = expr(
        ExprKind::Find {
            haystack: Box::new(get(1, text.clone())),
            needle: Box::new(get(2, text.clone())),
        },
        I64,
    );
    let set = stmt(StmtKind::SetLocal {
        local: LocalId(3),
        value: found,
    });
    let around = |body| {
        stmt(StmtKind::ForRange {
            variable: LocalId(0),
            start: int(0),
            end: int(1000),
            body: vec![body],
        })
    };
    let locals = || {
        vec![
            local("i", I64),
            local("haystack", text.clone()),
            local("needle", text.clone()),
            local("found", I64),
        ]
    };
    let depth = |body| {
        let probe = in_begin(locals(), vec![body]);
        let name = probe.program.clone();
        let (_, elf) = load(&program(vec![probe], vec![], vec![], Types::default()));
        let file = object::File::parse(&*elf).expect("an object");
        let calls = Calls::of(&file).expect("its functions");
        calls.depth(&name).expect("the program")
    };
    // The program, the callback, and two functions that walk bytes; a block of bytes is compared by another two.
    let (plain, looped) = (depth(set.clone()), depth(around(set)));
    assert_eq!((plain.frames, looped.frames), (5, 6));
    assert!(plain.bytes >= 5 * 32 && looped.bytes > plain.bytes);
    assert!(looped.fits());
}
