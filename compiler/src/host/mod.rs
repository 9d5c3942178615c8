//! What a build machine knows: kernel types, tracepoint formats, C headers, files. The only stage besides `driver`
//! that does I/O. Everything here describes types and names; none of it may reach an executable as a number.

pub mod btf;
pub mod clang;
mod elf;
pub mod files;
pub mod fixture;
pub mod headers;
pub mod inventory;
mod libraries;
pub mod live;
pub mod modules;
pub mod reference;
pub mod tracefs;
pub mod user;

use std::path::PathBuf;

use btc_abi::pattern::matches;

/// A C type as BTF, DWARF or libclang tells it.
#[derive(Clone, Debug, PartialEq)]
pub enum CType {
    Void,
    /// `bool_` for `_Bool`, `char_` for plain char.
    Int {
        bytes: u8,
        signed: bool,
        bool_: bool,
        char_: bool,
    },
    Float {
        bytes: u8,
    },
    /// `user`: tagged `__user`.
    Pointer {
        to: Box<CType>,
        user: bool,
    },
    Array {
        element: Box<CType>,
        count: u32,
    },
    Record(HostRecord),
    Enum(HostEnum),
    Typedef {
        name: String,
        to: Box<CType>,
    },
    /// Function (prototypes are not needed behind pointers).
    Function,
    /// A forward declaration without a body anywhere.
    Opaque {
        name: String,
        union: bool,
    },
}

/// Names a record of the host without its members, so that type graphs stay finite.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostRecord {
    /// Without `struct `/`union `; empty for anonymous ones.
    pub name: String,
    pub union: bool,
    /// The host's own number for it (BTF type id, libclang index).
    pub id: u64,
    pub origin: RecordOrigin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecordOrigin {
    KernelBtf,
    Script,
    /// The debug information of a program or library.
    User,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostEnum {
    pub name: String,
    pub bytes: u8,
    pub signed: bool,
    pub values: Vec<(String, u64)>,
    pub origin: RecordOrigin,
}

#[derive(Clone, Debug, PartialEq)]
pub struct HostMember {
    /// Empty for anonymous structs and unions.
    pub name: String,
    pub ty: CType,
    pub bit_offset: u32,
    pub bitfield: Option<u8>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct HostRecordBody {
    pub size: u32,
    pub members: Vec<HostMember>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    pub name: String,
    pub parameters: Vec<(String, CType)>,
    pub result: CType,
}

/// A function of a program or library, as its debug information has it.
#[derive(Clone, Debug, PartialEq)]
pub struct UserFunction {
    pub parameters: Vec<UserParameter>,
    pub result: CType,
    pub result_by_reference: bool,
    /// Without layouts: those are of the structs that a script uses.
    pub signature: btc_abi::Signature,
    /// The host's number for the binary: structs of it have it too.
    pub binary: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub struct UserParameter {
    pub name: String,
    pub ty: CType,
    /// A C++ object that is passed by the address of a copy.
    pub by_reference: bool,
}

/// A tracepoint's members as its format file gives them, without the common ones.
#[derive(Clone, Debug, PartialEq)]
pub struct TracepointFormat {
    pub members: Vec<TracepointMember>,
    /// The `common_*` members.
    pub common: Vec<TracepointMember>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct TracepointMember {
    pub name: String,
    pub ty: CType,
    pub offset: u32,
    pub size: u32,
    /// `__data_loc` or `__rel_loc`: the member is a u32 that says where the data is.
    pub location: DataLocation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataLocation {
    Inline,
    /// `__data_loc`: offset (low 16 bits) from the record's start, length above.
    FromStart,
    /// `__rel_loc`: offset from the end of the member.
    FromMember,
}

/// A type by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named<'a> {
    Record { name: &'a str, union: bool },
    Enum(&'a str),
    Typedef(&'a str),
}

/// What libclang made of a script's C preamble.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CDefinitions {
    /// Structs and unions by name (`struct foo` → "foo"); ids are for [`Host::record_body`].
    pub records: Vec<HostRecord>,
    pub enums: Vec<HostEnum>,
    pub typedefs: Vec<(String, CType)>,
    /// `#define NAME value` with an integer value.
    pub integers: Vec<(String, i128)>,
    /// `#define NAME "text"`.
    pub strings: Vec<(String, Vec<u8>)>,
    /// Where the text's own macros are defined, from the name to the end: those above, those with parameters, those whose
    /// text only means something where it is used.
    pub macros: Vec<std::ops::Range<usize>>,
}

/// A complaint of libclang; `offset` counts bytes of the text that was handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CError {
    pub message: String,
    pub offset: Option<usize>,
    pub fatal: bool,
}

/// How the C preamble is read.
#[derive(Clone, Debug, Default)]
pub struct COptions {
    /// Of the script and of what it imports, where `#include "…"` looks first.
    pub directories: Vec<PathBuf>,
    /// `-I`
    pub include_directories: Vec<PathBuf>,
    /// `--include`
    pub includes: Vec<String>,
}

/// What sema asks. A fixture implementation makes all of sema testable without root and without a kernel.
pub trait Host {
    /// A struct or union of the kernel (vmlinux, then modules) by name.
    fn record(&self, name: &str, union: bool) -> Option<HostRecord>;
    /// The members of a record that this host named, in order.
    fn record_body(&self, record: &HostRecord) -> Option<HostRecordBody>;
    fn enumeration(&self, name: &str) -> Option<HostEnum>;
    /// The kernel enum that has a constant of this name, and its value.
    fn enum_constant(&self, name: &str) -> Option<(HostEnum, u64)>;
    fn typedef(&self, name: &str) -> Option<CType>;
    /// A kernel function's prototype by name; `module` narrows the search.
    fn function(&self, module: Option<&str>, name: &str) -> Option<Function>;
    /// Kernel function names that match a pattern (for wildcard fentry's common arguments and for suggestions).
    fn functions(&self, module: Option<&str>, pattern: &str) -> Vec<String>;
    /// The arguments of a raw tracepoint (btf_trace_NAME), without the leading data pointer.
    fn raw_tracepoint(&self, event: &str) -> Option<Function>;
    /// `Ok(None)`: no such event on this host. `Err`: tracefs can't be read (the message says why).
    fn tracepoint(&self, category: &str, event: &str) -> Result<Option<TracepointFormat>, String>;
    /// `category:event` names that match the patterns, for wildcards' common members and for suggestions.
    fn tracepoints(&self, category: &str, event: &str) -> Vec<(String, String)>;
    /// A function of a program or library of this host by its symbol; `Err` says why its arguments are not known.
    fn user_function(&self, binary: &str, function: &str) -> Result<UserFunction, String>;
    /// A type that a function's parameters lead to, by its name.
    fn user_type(&self, _binary: &str, _function: &str, _wanted: Named<'_>) -> Option<CType> {
        None
    }
    /// A struct of a program or library as it is compared on the target, and the number of its binary.
    fn user_layout(&self, record: &HostRecord) -> Option<(usize, btc_abi::Layout)>;
    /// Whether kernel types are known at all (else type questions have no answer here).
    fn has_kernel_btf(&self) -> bool;
    /// Parses a script's C preamble; what it defines, and all complaints. Fails only when libclang can't be had.
    fn c_definitions(
        &self,
        text: &str,
        options: &COptions,
    ) -> Result<(CDefinitions, Vec<CError>), String>;
    /// Compiles an imported C file for BPF.
    fn compile_c(
        &self,
        _path: &str,
        _text: &str,
        _options: &COptions,
    ) -> Result<clang::Compiled, clang::Refusal> {
        let why = "this machine compiles no C".to_owned();
        Err(clang::Refusal::Missing(why))
    }
}
