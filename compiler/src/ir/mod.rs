//! The typed tree: what `sema` makes and `codegen` emits. Macros, wildcards, sugar, builtins and calls are gone;
//! what is left is a small closed set of expressions and statements over explicit types.
//!
//! Invariants that sema keeps and later stages rely on:
//! - operands of a [`ExprKind::Binary`] have one type; every change of type is a [`ExprKind::Convert`];
//! - conditions are `Bool`;
//! - every access to kernel memory goes through a [`Place`], whose field steps name records of the type table;
//! - sizes (strings, keys, values) are final and were checked against the limits, with spans;
//! - indexes ([`MapId`], [`RecordId`], …) are positions in the vectors of [`Program`].

pub mod expr;
pub mod print;
pub mod stmt;
pub mod types;
pub mod visit;

pub use expr::{
    BinaryOp, Context, Expr, ExprKind, Helper, LogicalOp, MapOp, Place, Step, UnaryOp, Walk,
};
pub use stmt::{AggregateUpdate, Stmt, StmtKind};
pub use types::{
    Aggregation, CRecord, CRecordId, EnumId, EnumType, IntType, Member, Origin, Root, Space, Type,
    Types,
};

use crate::source::Span;
use btc_abi as abi;

macro_rules! index {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u32);

        impl $name {
            #[must_use]
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }
    )* };
}

index! {
    /// A map of the script; the same index in [`abi::Manifest::maps`].
    MapId,
    /// A ring buffer record; the same index in [`abi::Manifest::records`].
    RecordId,
    /// A value of the target; the same index in [`abi::Manifest::slots`].
    SlotId,
    /// A scratch variable of one probe.
    LocalId,
    /// A probe; the same index in [`abi::Manifest::probes`].
    ProbeId,
}

/// A whole script, ready for layout and code generation.
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    pub name: String,
    /// Header comment of the script.
    pub about: String,
    /// SPDX-like license string of the object (`config` license; default GPL).
    pub license: String,
    pub unsafe_mode: bool,
    pub types: Types,
    pub maps: Vec<Map>,
    pub records: Vec<Record>,
    pub slots: Vec<Slot>,
    pub positional: Vec<abi::Parameter>,
    pub named: Vec<abi::Parameter>,
    pub checks: Vec<Check>,
    pub probes: Vec<Probe>,
    /// Imported C.
    pub foreign: Vec<ForeignModule>,
    pub config: abi::Config,
    pub limits: Limits,
    /// Names and values of the configuration that an executable can't change.
    pub fixed: Vec<(String, String)>,
}

/// An imported C file as clang compiled it.
#[derive(Clone, Debug, PartialEq)]
pub struct ForeignModule {
    pub name: String,
    pub bitcode: Vec<u8>,
    /// Of its import.
    pub span: Span,
}

/// Limits that are fixed at compile time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `max_strlen`: bytes of a string, NUL included.
    pub max_strlen: u32,
    /// `on_stack_limit`: larger values live in scratch memory.
    pub on_stack_limit: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_strlen: 1024,
            on_stack_limit: 32,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    /// Without `@`; the anonymous map is "".
    pub name: String,
    /// `None`: one value, no key. Several key parts are a [`Type::Tuple`].
    pub key: Option<Type>,
    pub value: Type,
    pub kind: abi::MapKind,
    /// 0: the run's `max_map_keys`.
    pub max_entries: u32,
    pub span: Span,
}

/// A ring buffer record: shape only; [`StmtKind::Emit`] supplies the values.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub kind: abi::RecordKind,
    pub fields: Vec<Type>,
    /// `script:line:column` is made from it.
    pub span: Span,
}

/// A value that the runtime writes before load: an integer (`Int` of 64 bits, or `Bool`) or a string.
#[derive(Clone, Debug, PartialEq)]
pub struct Slot {
    pub value: abi::TargetValue,
    pub ty: Type,
}

/// What the runtime checks before anything reads the numbers that it is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// "the 1st argument of `kstack`"
    pub what: String,
    pub rule: abi::Rule,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// The program's name in the object: a C identifier, unique.
    pub program: String,
    /// As the builtin `probe` prints it.
    pub name: String,
    pub kind: ProgramKind,
    pub attach: abi::Attach,
    /// The attach point's texts hold the executable's parameters.
    pub attach_parameters: bool,
    /// The parameter that the attach point's number is; empty where it is none.
    pub number_parameter: String,
    /// Names of what [`Context::Parameter`] reads.
    pub parameters: Vec<String>,
    pub locals: Vec<Local>,
    /// What the program returns; 0 without.
    pub status: Option<LocalId>,
    pub body: Vec<Stmt>,
    /// Of the attach point.
    pub span: Span,
}

/// What kind of BPF program a probe is: it decides the section, the context and the helpers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgramKind {
    /// `begin` and `end`: a raw tracepoint program that is only test-run.
    TestRun,
    /// kprobe, kretprobe, uprobe, uretprobe: the context is struct pt_regs.
    Kprobe,
    /// interval, profile, software, hardware: struct bpf_perf_event_data.
    PerfEvent,
    /// The event's record as its format file says.
    Tracepoint,
    /// struct bpf_raw_tracepoint_args: an array of u64.
    RawTracepoint,
    /// tp_btf: an array of u64, pointers typed by BTF.
    BtfTracepoint,
    Fentry,
    Fexit,
    /// struct bpf_iter__NAME: pointers to struct bpf_iter_meta and to the object, then what the iterator adds.
    Iterator,
}

/// A scratch variable. Every local starts as zero bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Local {
    /// Without `$`; compiler-made ones start with `.`.
    pub name: String,
    pub ty: Type,
}
