//! What the kernel does with its own objects: `path`, `socket_cookie`, `skboutput`. It takes pointers that it handed out itself
//! and followed on its own, and no others.

use btc_abi as abi;

use super::argument::{self, integer, named, unsigned, unsigned_binary, value, wrong};
use super::{Call, Function};
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::{BinaryOp, Context, Expr, ExprKind, Helper, IntType, Place, ProgramKind, Type};
use crate::sema::Lowering;
use crate::source::Span;
use crate::syntax::ast;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::call("path", (1, 2), "path(path[, size])", path),
    Function::call("socket_cookie", (1, 1), "socket_cookie(sock)", cookie),
    Function::call(
        "skboutput",
        (4, 4),
        "skboutput(\"file\", skb, length, offset)",
        skb_output,
    ),
];

const U64: Type = Type::Int(IntType::U64);

/// Refuses probes whose programs the kernel does not let call the helper.
fn allowed(l: &mut Lowering, call: &Call, kinds: &[ProgramKind], help: &str) -> Option<()> {
    if kinds.contains(&l.probe.kind) && !(l.probe.wildcard && l.probe.provider == "rawtracepoint") {
        return Some(());
    }
    let provider = match l.probe.wildcard {
        true => format!("patterns of `{}`", l.probe.provider),
        false => format!("`{}` probes", l.probe.provider),
    };
    let message = format!("the kernel has no `{}` for {provider}", call.name);
    l.report(Diagnostic::error(Code::WrongProbe, call.span, message).with_help(help));
    None
}

/// The first argument that is of a kernel's object, as the kernel follows it.
fn object(
    l: &mut Lowering,
    call: &Call,
    at: usize,
    expected: &str,
    fits: fn(&str) -> bool,
) -> Option<Expr> {
    let given = value(l, call, at)?;
    let name = |l: &Lowering, ty: &Type| match ty {
        Type::CRecord(id) => Some(l.record_name(*id)),
        _ => None,
    };
    let pointer = match &given.ty {
        Type::Pointer { to, .. } if name(l, to).is_some_and(|name| fits(&name)) => given,
        // The struct itself, where it stands.
        ty if name(l, ty).is_some_and(|name| fits(&name)) => match given.kind {
            ExprKind::Load(place) => address(*place, given.ty, given.span),
            _ => return not_followed(l, call, at),
        },
        ty => {
            let found = named(l, ty);
            return wrong(l, call, at, expected, &found);
        }
    };
    match l.followed(&pointer) {
        Some(pointer) => {
            warn_of_member(l, call, at, &pointer);
            Some(pointer)
        }
        None => not_followed(l, call, at),
    }
}

/// Newer kernels trust what a raw tracepoint or iterator hands over, and hardly any pointer that is a member of it.
fn warn_of_member(l: &mut Lowering, call: &Call, at: usize, pointer: &Expr) {
    let typed = [ProgramKind::RawTracepoint, ProgramKind::Iterator].contains(&l.probe.kind);
    if call.name == "path" || !typed || !is_member(pointer) {
        return;
    }
    let span = call.arguments.get(at).map_or(call.span, |a| a.span);
    let message = format!(
        "newer kernels (6.12) refuse a member of an argument for `{}` in `{}` probes",
        call.name, l.probe.provider
    );
    let help = "give it an argument itself, or use an `fentry` probe";
    l.report(Diagnostic::warning(Code::WrongProbe, span, message).with_help(help));
}

/// Whether the pointer was loaded from memory: contexts aside, whose members are arguments.
fn is_member(pointer: &Expr) -> bool {
    match &pointer.kind {
        ExprKind::Convert(inner) => is_member(inner),
        ExprKind::Address(place) => is_member(&place.base),
        ExprKind::Load(place) => !matches!(place.base.kind, ExprKind::Context(Context::Pointer)),
        _ => false,
    }
}

fn address(place: Place, ty: Type, span: crate::source::Span) -> Expr {
    Expr {
        ty: Type::Pointer {
            to: Box::new(ty),
            space: place.space,
        },
        kind: ExprKind::Address(Box::new(place)),
        span,
    }
}

fn not_followed<T>(l: &mut Lowering, call: &Call, at: usize) -> Option<T> {
    let span = call.arguments.get(at).map_or(call.span, |a| a.span);
    let root = match l.probe.kind {
        ProgramKind::Iterator => "ctx",
        _ => "args",
    };
    let message = format!(
        "the kernel takes only pointers that it follows itself for `{}`, from `{root}` on",
        call.name
    );
    let help = format!(
        "write it as one chain of members of `{root}`, or as a variable that is assigned one once"
    );
    l.report(Diagnostic::error(Code::ArgumentType, span, message).with_help(help));
    None
}

/// What Linux 5.10 to 7.3 let find the path of a `struct path` (btf_allowlist_d_path of kernel/trace/bpf_trace.c).
const KNOW_PATHS: &[&str] = &[
    "security_file_permission",
    "security_inode_getattr",
    "security_file_open",
    "security_path_truncate",
    "vfs_truncate",
    "vfs_fallocate",
    "dentry_open",
    "vfs_getattr",
    "filp_close",
];

fn path(l: &mut Lowering, call: &Call) -> Option<Expr> {
    const KINDS: &[ProgramKind] = &[
        ProgramKind::Fentry,
        ProgramKind::Fexit,
        ProgramKind::Iterator,
    ];
    let help = "use it in an `fentry`, `fexit` or `iter` probe";
    allowed(l, call, KINDS, help)?;
    if let abi::Attach::Fentry { function, .. } | abi::Attach::Fexit { function, .. } =
        &l.probe.attach
        && !KNOW_PATHS.contains(&&**function)
    {
        let message = format!("`path` in a probe of `{function}` is refused by Linux up to 7.3");
        let help = format!("it is allowed for {}", KNOW_PATHS.join(", "));
        l.report(Diagnostic::warning(Code::WrongProbe, call.span, message).with_help(help));
    }
    let most = l.settings.limits.max_strlen;
    let size = match call.arguments.len() {
        1 => most,
        _ => (argument::constant(l, call, 1, 1, i128::from(u32::MAX))? as u32).min(most),
    };
    let of = object(l, call, 0, "a `struct path` or a pointer to one", |name| {
        name == "path"
    })?;
    Some(Expr {
        kind: ExprKind::ObjectPath { of: Box::new(of) },
        ty: Type::String { size },
        span: call.span,
    })
}

const TRACING: &[ProgramKind] = &[
    ProgramKind::Fentry,
    ProgramKind::Fexit,
    ProgramKind::Iterator,
    ProgramKind::RawTracepoint,
];
const TRACING_HELP: &str = "use it in an `fentry`, `fexit`, `rawtracepoint` or `iter` probe";

fn cookie(l: &mut Lowering, call: &Call) -> Option<Expr> {
    allowed(l, call, TRACING, TRACING_HELP)?;
    let sock = object(l, call, 0, "a pointer to a `struct sock`", |name| {
        name == "sock" || name == "sock_common" || name.ends_with("_sock")
    })?;
    l.types_context();
    Some(l.helper(Helper::SocketCookie, vec![sock], U64, call.span))
}

/// `length` bytes of a packet from `offset` on, as far as it has them; none where the offset is behind its end. The kernel copies
/// packets from their beginning.
fn skb_output(l: &mut Lowering, call: &Call) -> Option<Expr> {
    allowed(l, call, TRACING, TRACING_HELP)?;
    let path = argument::literal_text(l, call, 0)?;
    let packet = object(l, call, 1, "a pointer to a `struct sk_buff`", |name| {
        name == "sk_buff"
    })?;
    let length = integer(l, call, 2)?;
    let length = unsigned(l, length);
    let constant = call.arguments.get(3).and_then(|a| l.constant_integer(a));
    let offset = match constant {
        Some(_) => {
            let offset = argument::constant(l, call, 3, 0, i128::from(u16::MAX))? as u64;
            l.integer(offset, IntType::U64, call.span)
        }
        None => integer(l, call, 3)?,
    };
    let offset = unsigned(l, offset);
    l.types_context();
    let name = ast::Name {
        text: "len".into(),
        span: packet.span,
    };
    let whole = l.field(packet.clone(), &name)?;
    let whole = unsigned(l, whole);
    let whole = l.once(whole);
    let offset = least(l, offset, whole.clone(), call.span);
    let left = unsigned_binary(
        l,
        BinaryOp::Subtract,
        whole.clone(),
        offset.clone(),
        call.span,
    );
    let length = least(l, length, left, call.span);
    let sent = unsigned_binary(l, BinaryOp::Add, offset.clone(), length, call.span);
    let sent = l.once(sent);
    let now = l.helper(Helper::KtimeBootNs, vec![], U64, call.span);
    let values = vec![now, sent.clone(), offset, whole];
    let fields = values.iter().map(|value| value.ty.clone()).collect();
    let kind = abi::RecordKind::Packet { path: path.into() };
    let record = l.record(kind, fields, call.span);
    Some(Expr {
        kind: ExprKind::SendPacket {
            record,
            packet: Box::new(packet),
            length: Box::new(sent),
            values,
        },
        ty: Type::Int(IntType::I32),
        span: call.span,
    })
}

/// The lesser of two numbers, each computed once.
fn least(l: &mut Lowering, one: Expr, other: Expr, span: Span) -> Expr {
    let (one, other) = (l.once(one), l.once(other));
    let over = l.binary(BinaryOp::Greater, one.clone(), other.clone(), U64, span);
    let chosen = Expr {
        kind: ExprKind::Select {
            condition: Box::new(over),
            then: Box::new(other),
            otherwise: Box::new(one),
        },
        ty: U64,
        span,
    };
    l.once(chosen)
}
