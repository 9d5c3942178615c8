//! Typed trees, made by hand.

use btc_abi as abi;

use crate::ir::*;
use crate::source::Span;

pub fn span() -> Span {
    Span::default()
}

pub fn expr(kind: ExprKind, ty: Type) -> Expr {
    Expr {
        kind,
        ty,
        span: span(),
    }
}

pub fn stmt(kind: StmtKind) -> Stmt {
    Stmt { kind, span: span() }
}

pub const I64: Type = Type::Int(IntType::I64);
pub const U64: Type = Type::Int(IntType::U64);

pub fn int(value: i64) -> Expr {
    expr(ExprKind::Integer(value as u64), I64)
}

pub fn helper(helper: Helper) -> Expr {
    expr(
        ExprKind::Helper {
            helper,
            arguments: Vec::new(),
        },
        U64,
    )
}

pub fn comm() -> Expr {
    expr(
        ExprKind::Helper {
            helper: Helper::CurrentComm,
            arguments: Vec::new(),
        },
        Type::String { size: 16 },
    )
}

pub fn tuple(items: Vec<Expr>) -> Expr {
    let types = items.iter().map(|i| i.ty.clone()).collect();
    expr(ExprKind::Tuple(items), Type::Tuple(types))
}

pub fn map(name: &str, key: Option<Type>, value: Type, kind: abi::MapKind) -> Map {
    Map {
        name: name.to_owned(),
        key,
        value,
        kind,
        max_entries: 0,
        span: span(),
    }
}

pub fn print(fields: Vec<Type>) -> Record {
    Record {
        kind: abi::RecordKind::Print,
        fields,
        span: span(),
    }
}

pub fn probe(kind: ProgramKind, attach: abi::Attach, locals: Vec<Local>, body: Vec<Stmt>) -> Probe {
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

pub fn program(probes: Vec<Probe>, maps: Vec<Map>, records: Vec<Record>, types: Types) -> Program {
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
        checks: Vec::new(),
        probes,
        config: abi::Config::default(),
        limits: Limits::default(),
        fixed: Vec::new(),
    }
}

pub fn begin() -> (ProgramKind, abi::Attach) {
    (ProgramKind::TestRun, abi::Attach::Begin)
}

pub fn in_begin(locals: Vec<Local>, body: Vec<Stmt>) -> Probe {
    let (kind, attach) = begin();
    probe(kind, attach, locals, body)
}

pub fn task_types() -> Types {
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
            root: Root::Named,
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

pub fn member_of(base: Expr, member: u32, ty: Type) -> Expr {
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

pub fn local(name: &str, ty: Type) -> Local {
    Local {
        name: name.to_owned(),
        ty,
    }
}

pub fn get(id: u32, ty: Type) -> Expr {
    expr(ExprKind::Local(LocalId(id)), ty)
}

/// A value that LLVM can't know.
pub fn unknown(value: i64) -> Expr {
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

pub fn binary(op: BinaryOp, left: Expr, right: Expr) -> Expr {
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
