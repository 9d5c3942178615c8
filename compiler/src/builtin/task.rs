//! Tasks: the one that hit the probe, one that the script has a pointer to, one by its number. Their members are relocated
//! against the target's task_struct.

use btc_abi as abi;

use super::argument::{named, unsigned, unsigned_binary};
use super::{Call, Function, argument};
use crate::diagnostic::{Code, Diagnostic};
use crate::host::CType;
use crate::ir::{BinaryOp, Expr, ExprKind, Helper, IntType, LocalId, Space, Stmt, StmtKind, Type};
use crate::sema::Lowering;
use crate::source::Span;
use crate::syntax::ast::Name;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::word("curtask", |l, call| Some(current(l, call.span))),
    Function::word_or_call("comm", 1, "comm([pid or task])", comm),
    Function::word_or_call("ppid", 1, "ppid([pid or task])", |l, call| {
        member(l, call, &["real_parent", "tgid"])
    }),
    Function::word_or_call("pcomm", 1, "pcomm([pid or task])", |l, call| {
        member(l, call, &["group_leader", "comm"])
    }),
    Function::word_or_call("leader_tid", 1, "leader_tid([pid or task])", |l, call| {
        member(l, call, &["group_leader", "pid"])
    }),
    Function::word_or_call("leader_comm", 1, "leader_comm([pid or task])", |l, call| {
        member(l, call, &["group_leader", "comm"])
    }),
];

const U64: Type = Type::Int(IntType::U64);
/// TASK_COMM_LEN of linux/sched.h.
const COMM: Type = Type::String { size: 16 };
/// What the name of a process that is not there reads as.
const NO_NAME: &[u8] = b"N/A";

/// A pointer to a kernel struct; to nothing in particular without BTF.
fn kernel_pointer(l: &mut Lowering, record: &str) -> Type {
    let to = match l.host.record(record, false) {
        Some(record) => l.ctype(&CType::Record(record)),
        None => Type::Void,
    };
    Type::Pointer {
        to: Box::new(to),
        space: Space::Kernel,
    }
}

/// Without BTF the task is still an address; only its members need the type.
pub(super) fn current(l: &mut Lowering, span: Span) -> Expr {
    let ty = kernel_pointer(l, "task_struct");
    l.helper(Helper::CurrentTask, vec![], ty, span)
}

/// A member of the task that hit the probe, or of what it points to.
pub(super) fn of_current(l: &mut Lowering, path: &[&str], call: &Call) -> Option<Expr> {
    btf(l, call)?;
    let task = current(l, call.span);
    follow(l, task, path, call.span)
}

fn comm(l: &mut Lowering, call: &Call) -> Option<Expr> {
    if call.arguments.is_empty() {
        return Some(l.helper(Helper::CurrentComm, vec![], COMM, call.span));
    }
    member(l, call, &["comm"])
}

/// Members of tasks need the kernel's types.
fn btf(l: &mut Lowering, call: &Call) -> Option<()> {
    if !l.host.has_kernel_btf() {
        l.report(
            Diagnostic::error(
                Code::UnknownType,
                call.span,
                format!(
                    "`{}` is read from `struct task_struct`, and this machine has no kernel BTF",
                    call.name
                ),
            )
            .with_help("name a kernel's BTF: --btf FILE"),
        );
        return None;
    }
    Some(())
}

/// `task.a.b`
fn member(l: &mut Lowering, call: &Call, path: &[&str]) -> Option<Expr> {
    btf(l, call)?;
    if call.arguments.is_empty() {
        let task = current(l, call.span);
        return follow(l, task, path, call.span);
    }
    let given = argument::value(l, call, 0)?;
    let ty = kernel_pointer(l, "task_struct");
    match &given.ty {
        found if *found == ty => follow(l, given, path, call.span),
        Type::Int(_) => by_number(l, call, given, path),
        found => {
            let found = named(l, found);
            argument::wrong(l, call, 0, "a pid or a `struct task_struct *`", &found)
        }
    }
}

fn follow(l: &mut Lowering, mut at: Expr, path: &[&str], span: Span) -> Option<Expr> {
    for step in path {
        let name = Name {
            text: (*step).to_string(),
            span,
        };
        at = l.field(at, &name)?;
    }
    Some(at)
}

/// The member of a task that is looked up; `N/A` or 0, and a warning, where there is none of that number.
fn by_number(l: &mut Lowering, call: &Call, number: Expr, path: &[&str]) -> Option<Expr> {
    let span = call.span;
    let number = unsigned(l, number);
    let number = l.once(number);
    let task = find(l, number.clone(), span)?;
    let (mut then, value) = l.collect(|l| follow(l, task.clone(), path, span));
    let value = value?;
    let local = l.new_local(value.ty.clone());
    then.push(set(local, value.clone(), span));
    let (mut otherwise, ()) = l.collect(|l| warn(l, ("no such process (pid=", ")"), number, span));
    if let Type::String { .. } = value.ty {
        let text = l.string(NO_NAME, span);
        let text = l.convert(text, value.ty);
        otherwise.push(set(local, text, span));
    }
    let condition = l.convert(unsigned(l, task), Type::Bool);
    let kind = StmtKind::If {
        condition,
        then,
        otherwise,
    };
    l.push(kind, span);
    Some(l.local(local, span))
}

pub(super) fn set(local: LocalId, value: Expr, span: Span) -> Stmt {
    Stmt {
        kind: StmtKind::SetLocal { local, value },
        span,
    }
}

/// A warning with a number between two texts.
pub(super) fn warn(
    l: &mut Lowering,
    (before, after): (&'static str, &'static str),
    number: Expr,
    span: Span,
) {
    let literal = |text: &'static str| abi::Part::Literal { text: text.into() };
    let flags = abi::Flags {
        left: false,
        zero: false,
        plus: false,
        space: false,
        alternate: false,
    };
    let argument = abi::Part::Argument {
        flags,
        width: abi::Width::None,
        precision: None,
        conversion: abi::Conversion::Signed { bytes: 8 },
    };
    let parts = vec![literal(before), argument, literal(after)];
    let format = abi::Format {
        parts: parts.into(),
    };
    l.emit(abi::RecordKind::Warnf { format }, vec![number], span);
}

/// Levels of the kernel's table of process numbers: 64 to the 5th is more than PID_MAX_LIMIT.
const LEVELS: u32 = 5;
/// XA_CHUNK_SHIFT and XA_CHUNK_SIZE of linux/xarray.h.
const CHUNK_SHIFT: u64 = 6;
const CHUNK: u64 = 1 << CHUNK_SHIFT;
/// What marks an entry of the table as a node of it (linux/xarray.h).
const NODE_MARK: u64 = 2;
const MARKS: u64 = 3;

/// The task of a process number as the initial namespace counts, or NULL: a walk down the table of the namespace's numbers.
fn find(l: &mut Lowering, number: Expr, span: Span) -> Option<Expr> {
    let task = kernel_pointer(l, "task_struct");
    let entry = l.new_local(U64);
    first_entry(l, entry, span)?;
    outside_is_nothing(l, entry, number.clone(), span)?;
    let (step, done) = l.collect(|l| descend(l, entry, number, span));
    done?;
    l.push(
        StmtKind::Unroll {
            count: LEVELS,
            body: step,
        },
        span,
    );
    // What is left is the number's struct pid, or nothing.
    let found = l.new_local(task.clone());
    let some = l.convert(l.local(entry, span), Type::Bool);
    where_true(l, some, span, |l| {
        let ty = kernel_pointer(l, "pid");
        let pid = l.convert(l.local(entry, span), ty);
        let first = first_task(l, pid, span)?;
        let first = l.convert(first, task);
        l.push(set(found, first, span).kind, span);
        Some(())
    })?;
    Some(l.local(found, span))
}

/// Does something where a condition holds.
pub(super) fn where_true(
    l: &mut Lowering,
    condition: Expr,
    span: Span,
    what: impl FnOnce(&mut Lowering) -> Option<()>,
) -> Option<()> {
    let (then, done) = l.collect(what);
    done?;
    let kind = StmtKind::If {
        condition,
        then,
        otherwise: vec![],
    };
    l.push(kind, span);
    Some(())
}

/// The top of the initial namespace's table; nothing where the current task has no number any more.
fn first_entry(l: &mut Lowering, entry: LocalId, span: Span) -> Option<()> {
    let task = current(l, span);
    let pid = follow(l, task, &["thread_pid"], span)?;
    let pid = l.once(pid);
    let some = l.convert(unsigned(l, pid.clone()), Type::Bool);
    where_true(l, some, span, |l| {
        // A struct pid has a number for each namespace that it is in, from the initial one on.
        let numbers = follow(l, pid, &["numbers"], span)?;
        let zero = l.integer(0, IntType::U64, span);
        let first = l.element(numbers, zero, span)?;
        let namespace = follow(l, first, &["ns"], span)?;
        let head = follow(l, namespace, &["idr", "idr_rt", "xa_head"], span)?;
        let head = unsigned(l, head);
        l.push(set(entry, head, span).kind, span);
        Some(())
    })
}

/// Whether an entry is a node.
fn is_node(l: &Lowering, entry: LocalId, span: Span) -> Expr {
    let marks = l.integer(MARKS, IntType::U64, span);
    let marks = unsigned_binary(l, BinaryOp::BitAnd, l.local(entry, span), marks, span);
    let mark = l.integer(NODE_MARK, IntType::U64, span);
    unsigned_binary(l, BinaryOp::Equal, marks, mark, span)
}

/// The node that an entry is, and how far a number is shifted in it.
fn node(l: &mut Lowering, entry: LocalId, span: Span) -> Option<(Expr, Expr)> {
    let mark = l.integer(NODE_MARK, IntType::U64, span);
    let node = unsigned_binary(l, BinaryOp::Subtract, l.local(entry, span), mark, span);
    let ty = kernel_pointer(l, "xa_node");
    let node = l.convert(node, ty);
    let shift = follow(l, node.clone(), &["shift"], span)?;
    let shift = unsigned(l, shift);
    Some((node, shift))
}

/// A number beyond what the first node covers has no entry.
fn outside_is_nothing(l: &mut Lowering, entry: LocalId, number: Expr, span: Span) -> Option<()> {
    let is_node = is_node(l, entry, span);
    where_true(l, is_node, span, |l| {
        let (_, shift) = node(l, entry, span)?;
        let chunk = l.integer(CHUNK_SHIFT, IntType::U64, span);
        let shift = unsigned_binary(l, BinaryOp::Add, shift, chunk, span);
        let beyond = unsigned_binary(l, BinaryOp::ShiftRight, number, shift, span);
        let beyond = l.convert(beyond, Type::Bool);
        where_true(l, beyond, span, |l| {
            let nothing = l.integer(0, IntType::U64, span);
            l.push(set(entry, nothing, span).kind, span);
            Some(())
        })
    })
}

/// From a node to the entry of the number in it.
fn descend(l: &mut Lowering, entry: LocalId, number: Expr, span: Span) -> Option<()> {
    let is_node = is_node(l, entry, span);
    where_true(l, is_node, span, |l| {
        let (node, shift) = node(l, entry, span)?;
        let slots = follow(l, node, &["slots"], span)?;
        let index = unsigned_binary(l, BinaryOp::ShiftRight, number, shift, span);
        let last = l.integer(CHUNK - 1, IntType::U64, span);
        let index = unsigned_binary(l, BinaryOp::BitAnd, index, last, span);
        let next = l.element(slots, index, span)?;
        let next = unsigned(l, next);
        l.push(set(entry, next, span).kind, span);
        Some(())
    })
}

/// The address of the task that a struct pid is of, 0 without one: its list of tasks goes through their `pid_links`.
fn first_task(l: &mut Lowering, pid: Expr, span: Span) -> Option<Expr> {
    let lists = follow(l, pid, &["tasks"], span)?;
    let zero = l.integer(0, IntType::U64, span);
    let list = l.element(lists, zero.clone(), span)?;
    let first = follow(l, list, &["first"], span)?;
    let first = unsigned(l, first);
    let link = l.once(first);
    let record = l.host.record("task_struct", false)?;
    let Type::CRecord(record) = l.ctype(&CType::Record(record)) else {
        return None;
    };
    let name = Name {
        text: "pid_links".to_string(),
        span,
    };
    let offset = l.offset_of_member(record, &[name], span)?;
    let task = unsigned_binary(l, BinaryOp::Subtract, link.clone(), offset, span);
    Some(Expr {
        kind: ExprKind::Select {
            condition: Box::new(l.convert(link, Type::Bool)),
            then: Box::new(task),
            otherwise: Box::new(zero),
        },
        ty: U64,
        span,
    })
}
