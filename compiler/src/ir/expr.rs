//! Expressions of the typed tree.

use btc_abi as abi;

use super::{CRecordId, EnumId, LocalId, MapId, RecordId, SlotId, Space, Stmt, Type};
use crate::source::Span;

#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    pub kind: ExprKind,
    pub ty: Type,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// The bits of an Int, Bool, Enum or Pointer, sign-extended to 64.
    Integer(u64),
    /// A kernel enum's constant: a CO-RE enum value relocation; `value` is the placeholder.
    EnumValue {
        of: EnumId,
        name: String,
        value: u64,
    },
    /// Bytes without NUL; `ty` is a String of at least one more byte, or a Buffer.
    String(Vec<u8>),
    Local(LocalId),
    /// A `.rodata.btc` slot.
    Target(SlotId),
    Context(Context),
    /// A BPF helper without memory arguments.
    Helper {
        helper: Helper,
        arguments: Vec<Expr>,
    },
    /// A function of imported C. Values in memory are passed by their address.
    Foreign {
        function: String,
        arguments: Vec<Expr>,
    },
    Unary {
        op: UnaryOp,
        operand: Box<Expr>,
    },
    /// Ints, Bools, Enums or Pointers of one type. Arithmetic yields that type, comparisons `Bool`. Signedness is the
    /// operands'. Division by zero yields 0, remainder by zero the dividend. A shift by 64 or more is masked as BPF does.
    Binary {
        op: BinaryOp,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    /// Short-circuit; operands and result are Bool.
    Logical {
        op: LogicalOp,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    /// Only the chosen branch is evaluated; all but the condition have the result's type.
    Select {
        condition: Box<Expr>,
        then: Box<Expr>,
        otherwise: Box<Expr>,
    },
    /// Int↔Int (extension by the source's signedness, truncation), Int→Bool (`!= 0`), Bool→Int, Int↔Pointer, Int↔Enum,
    /// Pointer↔Pointer; String→String of another size (cut with NUL kept, or zero padded); Int↔Array and Buffer of
    /// the same byte size (little-endian bytes); Int → KernelSymbol, Username, CgroupPath, Timestamp, ErrorName,
    /// SignalName, SyscallName (same bits); Tuple→Tuple member by member, Record→Record by the members' names.
    Convert(Box<Expr>),
    /// Reads the place; `ty` is what stands there.
    Load(Box<Place>),
    /// The place's address, without reading it; `ty` is a Pointer.
    Address(Box<Place>),
    /// Where a scratch variable lies while its probe runs; `ty` is a Pointer into kernel memory, which BPF's is.
    LocalAddress(LocalId),
    /// Where an element of a map lies, or the value of a map without keys: NULL where there is none.
    ElementAddress {
        map: MapId,
        key: Option<Box<Expr>>,
    },
    /// The kernel's own `struct bpf_map` of a map.
    MapAddress(MapId),
    /// A part of a value that is in BPF memory already: a local's, map's or tuple's member. Steps are plain offsets.
    Part {
        of: Box<Expr>,
        steps: Vec<Step>,
    },
    /// Tuple or Record literal, by `ty`; also an Array literal.
    Tuple(Vec<Expr>),
    /// Strings, Buffers, Arrays or Tuples: Bool. `limit`: compare at most so many bytes (strncmp).
    Equal {
        left: Box<Expr>,
        right: Box<Expr>,
        limit: Option<u32>,
    },
    /// -1, 0, 1 as memcmp over `size` bytes of two Arrays/Buffers/Strings: Int 32 signed. `count`: over so many of them.
    Compare {
        left: Box<Expr>,
        right: Box<Expr>,
        size: u32,
        count: Option<Box<Expr>>,
    },
    /// A C string at `address`: String of `ty`'s size; `length`: at most so many bytes (NUL included).
    ReadString {
        address: Box<Expr>,
        space: Space,
        length: Option<Box<Expr>>,
    },
    /// Raw bytes at `address`: Buffer of `ty`'s size, `length` bytes of them (cut to the size).
    ReadBuffer {
        address: Box<Expr>,
        space: Space,
        length: Box<Expr>,
    },
    /// Bytes of a value in BPF memory as a Buffer (`buf("abc", 3)`), cut to `length`.
    Bytes {
        of: Box<Expr>,
        length: Box<Expr>,
    },
    /// Captures a stack; `ty` is the Stack.
    Stack(Walk),
    /// `address` with the current tgid: UserSymbol.
    UserSymbol {
        address: Box<Expr>,
    },
    /// 4 or 16 bytes of address. `source`: an Int of 32 bits in network order, or an Array of 4 or 16 bytes.
    Inet {
        source: Box<Expr>,
    },
    /// 0 (or zero bytes) where the key is missing; for an aggregation its integer reading over all CPUs.
    MapGet {
        map: MapId,
        key: Option<Box<Expr>>,
    },
    /// Bool.
    MapHas {
        map: MapId,
        key: Box<Expr>,
    },
    /// Bool: whether there is an element, whose value `local` has then.
    MapFind {
        map: MapId,
        key: Box<Expr>,
        local: LocalId,
    },
    /// Number of elements: Int u64.
    MapLen {
        map: MapId,
    },
    /// Deletes; Bool: whether there was one. Void where nobody asks: then it is counted if there was none.
    MapDelete {
        map: MapId,
        key: Option<Box<Expr>>,
    },
    /// `@m op= value` atomically where the operation is Add or Subtract; yields the old or the new value.
    MapStep {
        map: MapId,
        key: Option<Box<Expr>>,
        op: MapOp,
        value: Box<Expr>,
        yields_old: bool,
    },
    /// Two Strings as one String of `ty`'s size, cut to it.
    Concat {
        left: Box<Expr>,
        right: Box<Expr>,
    },
    /// A String's first `length` bytes, the NUL counted: String of `ty`'s size.
    Head {
        of: Box<Expr>,
        length: Box<Expr>,
    },
    /// The path of a `struct path`, which `of` points to as the verifier follows it: String of `ty`'s size.
    ObjectPath {
        of: Box<Expr>,
    },
    /// Sends the first `length` bytes of the `struct sk_buff` that `packet` points to as the verifier follows it, behind a
    /// record of `values`: what the helper returned, Int 32 signed.
    SendPacket {
        record: RecordId,
        packet: Box<Expr>,
        length: Box<Expr>,
        values: Vec<Expr>,
    },
    /// Where one String starts in another, or -1: Int i64.
    Find {
        haystack: Box<Expr>,
        needle: Box<Expr>,
    },
    /// strlen of a String: Int u64.
    StringLength(Box<Expr>),
    /// Frames of a Stack: Int u64.
    StackLength(Box<Expr>),
    /// Copies a Buffer's bytes into the memory of the current process, to `to` (Int u64): Int i64, 0 where that went well.
    WriteUser {
        to: Box<Expr>,
        from: Box<Expr>,
    },
    /// Statements, then a value.
    Block {
        body: Vec<Stmt>,
        value: Box<Expr>,
    },
    /// `bytes` of an Int reversed.
    ByteSwap(Box<Expr>),
    /// CO-RE type size of a kernel record: Int u64. (Script types are Integers.)
    TypeSize(CRecordId),
    /// CO-RE byte offset of a kernel member: Int u64.
    FieldOffset {
        record: CRecordId,
        steps: Vec<Step>,
    },
    /// Bool: the target's kernel type has the member (CO-RE existence).
    FieldExists {
        record: CRecordId,
        steps: Vec<Step>,
    },
}

/// What a program is handed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// The context pointer itself as an Int u64 (for data_loc strings and struct-typed args).
    Pointer,
    /// argN by the calling convention (kprobe, uprobe): Int u64.
    Argument(u8),
    /// Stack argument N (sargN).
    StackArgument(u8),
    /// The return value register (kretprobe, uretprobe): Int u64.
    ReturnValue,
    /// The probed instruction's address.
    InstructionPointer,
    /// The traced function's entry address (bpf_get_func_ip where the kernel has it; else from the registers).
    FunctionAddress,
    /// Slot N of the u64 array (raw tracepoint, fentry, fexit).
    Slot(u8),
    /// Parameter N of [`crate::ir::Probe::parameters`] (fentry, fexit): Int u64. Which slot has it is the target's.
    Parameter(u8),
    /// The second word of parameter N, which is a struct that takes two slots: Int u64.
    ParameterRest(u8),
    /// What the traced function returned (fexit), in a slot behind the target's parameters: Int u64.
    Result,
    /// Argument N of a usdt probe, found by what the target's notes say: Int u64.
    MarkerArgument(u8),
    /// The number of the name of the site that was hit, which the attach cookie tells: Int u64.
    Cookie,
    /// A register by name (`reg("ip")`), as an index into codegen's table for the architecture.
    Register(&'static str),
}

/// Helpers without memory arguments, by their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Helper {
    /// tgid << 32 | tid, in the pid namespace of the PidNamespace slots where these are set
    /// (bpf_get_ns_current_pid_tgid), else as the initial namespace counts.
    CurrentPidTgid,
    /// The same, always in the initial namespace.
    CurrentPidTgidInit,
    /// gid << 32 | uid.
    CurrentUidGid,
    /// String of 16 bytes.
    CurrentComm,
    /// Pointer to task_struct, kernel space.
    CurrentTask,
    CurrentCgroupId,
    ProcessorId,
    NumaNode,
    KtimeNs,
    KtimeBootNs,
    KtimeTaiNs,
    KtimeCoarseNs,
    Jiffies,
    Random,
    /// (signal number)
    SendSignal,
    SendSignalThread,
    /// (return code): bpf_override_return with the context.
    OverrideReturn,
    /// (pointer to struct sock, as the verifier follows it)
    SocketCookie,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnaryOp {
    Negate,
    BitNot,
    /// Bool to Bool.
    Not,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryOp {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    BitAnd,
    BitOr,
    BitXor,
    ShiftLeft,
    ShiftRight,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Equal,
    NotEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogicalOp {
    And,
    Or,
}

/// How [`ExprKind::MapStep`] combines.
pub type MapOp = BinaryOp;

/// A location: start at `base`, follow the steps. Pointers inside are followed by nesting: the base of a `Place` may
/// be the `Load` of another.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// A Pointer; what it points to is the type that the first step starts from.
    pub base: Expr,
    pub space: Space,
    pub steps: Vec<Step>,
    /// What stands at the end of the steps.
    pub ty: Type,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Member `member` (an index) of a record; anonymous members are steps of their own.
    Member { record: CRecordId, member: u32 },
    /// Element of an array (or of the pointed-to sequence, as the first step): `index` is an Int of 64 bits; `stride` is
    /// the element's type.
    Index {
        element: Type,
        index: Box<Expr>,
        count: Option<u32>,
    },
    /// Member of a Tuple or Record.
    Tuple { index: u32 },
}

/// How frames are found.
#[derive(Clone, Debug, PartialEq)]
pub enum Walk {
    /// By the kernel, which follows frame pointers in user code.
    Kernel,
    /// By the program, with the rows that the runtime makes of unwind tables.
    Tables {
        /// The record that asks for the rows of a process.
        ask: super::RecordId,
        /// `curtask.stack`: where registers are on kernels that have no helper for them.
        stack: Box<Expr>,
    },
}

/// The kind of stack a [`ExprKind::Stack`] captures is in its type.
pub type StackKind = abi::StackKind;
