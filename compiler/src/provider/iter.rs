//! `iter`: every object of a kind that the kernel iterates over, once: `iter:task`. With a pin, `iter:task:path`, the iterator is
//! left in bpffs, and whoever reads that file runs the program.

use btc_abi as abi;

use super::point::{Parts, one};
use super::{Environment, ProbeContext, Provider};
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::{ProgramKind, Type};
use crate::syntax::ast::AttachPart;
use btc_runtime::suggest::nearest;

const FORMS: &str = "`iter:task` and `iter:task:path/in/bpffs`";

pub(super) const ITER: Provider = Provider {
    name: "iter",
    aliases: &["it"],
    resolve: |point, environment| {
        let parts = Parts {
            point,
            provider: "iter",
            forms: FORMS,
        };
        one(parse(&parts, environment))
    },
};

/// Iterators over what belongs to a map or a cgroup: they are told which when they are attached.
const OF_SOMETHING: &[&str] = &["bpf_map_elem", "bpf_sk_storage_map", "cgroup", "sockmap"];

/// Whether an iterator is over all there is of its kind.
pub(super) fn is_whole(name: &str) -> bool {
    !OF_SOMETHING.contains(&name)
}

/// For suggestions; what an iterator is, BTF says.
const WELL_KNOWN: &[&str] = &[
    "task",
    "task_file",
    "task_vma",
    "bpf_link",
    "bpf_map",
    "bpf_prog",
    "ipv6_route",
    "kmem_cache",
    "ksym",
    "netlink",
    "tcp",
    "udp",
    "unix",
];

fn parse(parts: &Parts, environment: &Environment) -> Result<ProbeContext, Diagnostic> {
    let (name, pin) = match parts.between(1, 2)? {
        [name] => (name, None),
        [name, pin, ..] => (name, Some(pin)),
        [] => return Err(parts.wrong(parts.span(), "expected an iterator")),
    };
    check(parts, name, environment)?;
    if let Some(pin) = pin.filter(|pin| pin.text.ends_with('/')) {
        return Err(parts.wrong(pin.span, "a pin is a file, not a directory"));
    }
    let attach = abi::Attach::Iter {
        name: name.text.clone().into(),
        pin: pin.map(|pin| pin.text.clone().into()),
    };
    Ok(parts.made(ProgramKind::Iterator, attach))
}

fn check(parts: &Parts, name: &AttachPart, environment: &Environment) -> Result<(), Diagnostic> {
    let text = name.text.escape_debug();
    if OF_SOMETHING.contains(&name.text.as_str()) {
        let message = format!("the iterator `{text}` needs to be told what to iterate over");
        return Err(parts.wrong(name.span, message));
    }
    let host = environment.host;
    if !host.has_kernel_btf() || host.record(&context_type(&name.text), false).is_some() {
        return Ok(());
    }
    let known = WELL_KNOWN.iter().copied();
    let known = known.filter(|known| host.record(&context_type(known), false).is_some());
    let unknown = Diagnostic::error(
        Code::InvalidProbe,
        name.span,
        format!("the kernel's BTF has no iterator `{text}`"),
    );
    Err(match nearest(&name.text, known.clone()) {
        Some(close) => unknown.with_help(format!("did you mean `iter:{close}`?")),
        None => {
            let known: Vec<_> = known.collect();
            unknown.with_help(format!("its iterators are {}", known.join(", ")))
        }
    })
}

/// The struct that `ctx` points to.
#[must_use]
pub fn context_type(iterator: &str) -> String {
    format!("bpf_iter__{iterator}")
}

/// Why a pinned iterator can't do this; its reader sees what the kernel's own printf makes of integers and strings.
#[must_use]
pub fn refused_when_pinned(kind: &abi::RecordKind, fields: &[Type]) -> Option<String> {
    /// What bpf_seq_printf takes (Linux 5.8).
    const MOST_VALUES: usize = 12;
    let abi::RecordKind::Printf { format } = kind else {
        return Some(
            "nobody but its reader sees what a pinned iterator does: it can only `printf`".into(),
        );
    };
    if fields.len() > MOST_VALUES {
        return Some(format!(
            "a pinned iterator prints {MOST_VALUES} values at a time"
        ));
    }
    let text = fields.iter().find(|ty| {
        !matches!(
            ty,
            Type::Int(_) | Type::String { .. } | Type::Bool | Type::Enum(_) | Type::Pointer { .. }
        )
    });
    if text.is_some() {
        return Some("a pinned iterator prints integers, pointers and strings alone".into());
    }
    format.parts.iter().find_map(refused_part)
}

fn refused_part(part: &abi::Part) -> Option<String> {
    use abi::Conversion as C;
    match part {
        abi::Part::Literal { text } if text.is_ascii() => None,
        abi::Part::Literal { .. } => Some("a pinned iterator prints ASCII alone".into()),
        abi::Part::Argument {
            flags,
            width,
            precision,
            conversion,
        } => {
            let plain = !flags.alternate && precision.is_none() && *width != abi::Width::Argument;
            let known = matches!(
                conversion,
                C::Signed { .. } | C::Unsigned { .. } | C::Hex { .. } | C::String | C::Pointer
            );
            (!plain || !known).then(|| {
                "a pinned iterator's printf knows d, i, u, x, X, p and s with the flags `0 - + space` and a width".into()
            })
        }
    }
}
