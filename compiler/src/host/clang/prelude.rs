//! What a script may use without defining it: the usual integer types, and the kernel's types by name.
//!
//! A name is declared only once libclang has missed it, so that nothing here collides with the script's own C or with
//! system headers.

use crate::host::{CType, Host, HostEnum};

/// Always there. Kernel code is full of these, and none changes what a member is.
pub(super) const BASE: &str = "\
#define __user __attribute__((address_space(1)))
#define __kernel
#define __iomem
#define __percpu
#define __rcu
#define __force
#define __bitwise
#define __packed __attribute__((packed))
#define __aligned(x) __attribute__((aligned(x)))
#define __aligned_u64 unsigned long long __attribute__((aligned(8)))
";

/// Integer types, as the kernel and glibc define them for 64-bit machines.
const TYPES: &[(&str, &str)] = &[
    ("bool", "_Bool"),
    ("u8", "unsigned char"),
    ("u16", "unsigned short"),
    ("u32", "unsigned int"),
    ("u64", "unsigned long long"),
    ("s8", "signed char"),
    ("s16", "short"),
    ("s32", "int"),
    ("s64", "long long"),
    ("__u8", "unsigned char"),
    ("__u16", "unsigned short"),
    ("__u32", "unsigned int"),
    ("__u64", "unsigned long long"),
    ("__s8", "signed char"),
    ("__s16", "short"),
    ("__s32", "int"),
    ("__s64", "long long"),
    ("__le16", "unsigned short"),
    ("__le32", "unsigned int"),
    ("__le64", "unsigned long long"),
    ("__be16", "unsigned short"),
    ("__be32", "unsigned int"),
    ("__be64", "unsigned long long"),
    ("__sum16", "unsigned short"),
    ("__wsum", "unsigned int"),
    ("uint8_t", "unsigned char"),
    ("uint16_t", "unsigned short"),
    ("uint32_t", "unsigned int"),
    ("uint64_t", "unsigned long"),
    ("int8_t", "signed char"),
    ("int16_t", "short"),
    ("int32_t", "int"),
    ("int64_t", "long"),
    ("uint8", "unsigned char"),
    ("uint16", "unsigned short"),
    ("uint32", "unsigned int"),
    ("uint64", "unsigned long"),
    ("int8", "signed char"),
    ("int16", "short"),
    ("int32", "int"),
    ("int64", "long"),
    ("uint", "unsigned int"),
    ("ushort", "unsigned short"),
    ("ulong", "unsigned long"),
    ("u_char", "unsigned char"),
    ("u_short", "unsigned short"),
    ("u_int", "unsigned int"),
    ("u_long", "unsigned long"),
    ("u_int8_t", "unsigned char"),
    ("u_int16_t", "unsigned short"),
    ("u_int32_t", "unsigned int"),
    ("u_int64_t", "unsigned long"),
    ("size_t", "unsigned long"),
    ("ssize_t", "long"),
    ("ptrdiff_t", "long"),
    ("intptr_t", "long"),
    ("uintptr_t", "unsigned long"),
    ("off_t", "long"),
    ("loff_t", "long long"),
    ("time_t", "long"),
    ("time64_t", "long long"),
    ("ktime_t", "long long"),
    ("pid_t", "int"),
    ("uid_t", "unsigned int"),
    ("gid_t", "unsigned int"),
    ("mode_t", "unsigned int"),
    ("umode_t", "unsigned short"),
    ("dev_t", "unsigned int"),
    ("sa_family_t", "unsigned short"),
    ("in_addr_t", "unsigned int"),
    ("in_port_t", "unsigned short"),
    ("socklen_t", "unsigned int"),
];

/// The kernel's few types that are the same in every kernel, so that a script's struct may contain them.
const STABLE_TYPES: &[(&str, &str)] = &[
    ("atomic_t", "struct { int counter; }"),
    ("atomic64_t", "struct { long long counter; }"),
    ("atomic_long_t", "struct { long long counter; }"),
    ("refcount_t", "struct { struct { int counter; } refs; }"),
    ("kuid_t", "struct { unsigned int val; }"),
    ("kgid_t", "struct { unsigned int val; }"),
];

const STABLE_RECORDS: &[(&str, &str)] = &[
    ("list_head", "{ struct list_head *next, *prev; }"),
    ("hlist_node", "{ struct hlist_node *next, **pprev; }"),
    ("hlist_head", "{ struct hlist_node *first; }"),
    ("llist_node", "{ struct llist_node *next; }"),
    ("llist_head", "{ struct llist_node *first; }"),
    (
        "rb_node",
        "{ unsigned long __rb_parent_color; struct rb_node *rb_right, *rb_left; }",
    ),
    ("rb_root", "{ struct rb_node *rb_node; }"),
    (
        "callback_head",
        "{ struct callback_head *next; void (*func)(struct callback_head *); }",
    ),
    (
        "kref",
        "{ struct { struct { int counter; } refs; } refcount; }",
    ),
    ("in_addr", "{ unsigned int s_addr; }"),
    (
        "in6_addr",
        "{ union { unsigned char u6_addr8[16]; unsigned short u6_addr16[8]; unsigned int u6_addr32[4]; } in6_u; }",
    ),
    (
        "sockaddr",
        "{ unsigned short sa_family; char sa_data[14]; }",
    ),
    (
        "sockaddr_in",
        "{ unsigned short sin_family, sin_port; struct { unsigned int s_addr; } sin_addr; unsigned char __pad[8]; }",
    ),
    ("timespec", "{ long tv_sec; long tv_nsec; }"),
    ("timespec64", "{ long long tv_sec; long tv_nsec; }"),
    ("timeval", "{ long tv_sec; long tv_usec; }"),
    ("iovec", "{ void *iov_base; unsigned long iov_len; }"),
];

/// A declaration in C, and the kernel's type where the declaration only stands for it.
pub(super) struct Declaration {
    pub text: String,
    pub kernel: Option<Kernel>,
}

pub(super) enum Kernel {
    Typedef(CType),
    Enum(HostEnum),
}

fn plain(text: String) -> Declaration {
    Declaration { text, kernel: None }
}

/// A typedef that libclang missed.
pub(super) fn typedef(host: &dyn Host, name: &str) -> Option<Declaration> {
    let known = TYPES.iter().chain(STABLE_TYPES);
    if let Some((_, text)) = known.into_iter().find(|(n, _)| *n == name) {
        return Some(plain(format!("typedef {text} {name};\n")));
    }
    let ty = host.typedef(name)?;
    let text = match stripped(&ty) {
        CType::Int { bytes, signed, .. } => format!("typedef {} {name};\n", int(*bytes, *signed)?),
        CType::Enum(of) => format!("typedef {} {name};\n", int(of.bytes, of.signed)?),
        CType::Pointer { .. } => format!("typedef void *{name};\n"),
        CType::Function => format!("typedef void {name}(void);\n"),
        CType::Void => format!("typedef void {name};\n"),
        // A pointer to it will do; its size differs between kernels.
        _ => format!("typedef struct {INCOMPLETE}{name} {name};\n"),
    };
    Some(Declaration {
        text,
        kernel: Some(Kernel::Typedef(ty)),
    })
}

/// Begins the tags of structs that stand for a typedef's.
pub(super) const INCOMPLETE: &str = "btc_kernel_";

/// Whether a kernel struct is the same in all kernels.
pub(super) fn is_stable(name: &str) -> bool {
    STABLE_RECORDS.iter().any(|(stable, _)| *stable == name)
}

/// A struct whose members libclang missed.
pub(super) fn record(name: &str) -> Option<Declaration> {
    let (_, body) = STABLE_RECORDS.iter().find(|(n, _)| *n == name)?;
    Some(plain(format!("struct {name} {body};\n")))
}

/// An enum whose constants libclang missed: one as wide, which stands for the kernel's.
pub(super) fn enumeration(host: &dyn Host, name: &str) -> Option<Declaration> {
    let of = host.enumeration(name)?;
    let widest = match (of.bytes, of.signed) {
        (8, _) => "-1, btc_enum_wide_{name} = 0x7fffffffffffffff",
        (_, true) => "-1",
        (_, false) => "0",
    };
    let widest = widest.replace("{name}", name);
    let packed = if of.bytes < 4 { "__packed " } else { "" };
    Some(Declaration {
        text: format!("enum {packed}{name} {{ btc_enum_{name} = {widest} }};\n"),
        kernel: Some(Kernel::Enum(of)),
    })
}

fn stripped(ty: &CType) -> &CType {
    match ty {
        CType::Typedef { to, .. } => stripped(to),
        other => other,
    }
}

fn int(bytes: u8, signed: bool) -> Option<&'static str> {
    Some(match (bytes, signed) {
        (1, true) => "signed char",
        (1, false) => "unsigned char",
        (2, true) => "short",
        (2, false) => "unsigned short",
        (4, true) => "int",
        (4, false) => "unsigned int",
        (8, true) => "long long",
        (8, false) => "unsigned long long",
        _ => return None,
    })
}
