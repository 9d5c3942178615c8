//! Types of the typed tree, and the table of C types that they refer to.

use btc_abi as abi;

#[derive(Clone, Debug, PartialEq)]
pub enum Type {
    Void,
    Bool,
    Int(IntType),
    /// A floating-point number of so many bytes: in structs and behind pointers, where it has a size and an address. No program
    /// reads its value.
    Float {
        bytes: u8,
    },
    Enum(EnumId),
    /// 64 bits wide, whatever it points to.
    Pointer {
        to: Box<Type>,
        space: Space,
    },
    /// Bytes with the terminating NUL.
    String {
        size: u32,
    },
    /// Up to `size` bytes, with a length.
    Buffer {
        size: u32,
    },
    Array {
        element: Box<Type>,
        count: u32,
    },
    /// A C struct or union.
    CRecord(CRecordId),
    Tuple(Vec<Type>),
    /// A record literal: named members.
    Record(Vec<(String, Type)>),
    /// A kernel address that prints as a symbol.
    KernelSymbol,
    /// A user address that prints as a symbol: address and tgid.
    UserSymbol,
    Stack {
        kind: abi::StackKind,
        mode: abi::StackMode,
        limit: abi::Number,
    },
    Inet,
    Mac,
    Timestamp {
        clock: abi::Clock,
        format: String,
    },
    Username,
    CgroupPath {
        pattern: String,
    },
    ProbeName,
    ErrorName,
    SignalName,
    SyscallName,
    /// Only as the value of a map.
    Aggregation(Aggregation),
}

/// An integer type; `bits` is 8, 16, 32 or 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IntType {
    pub bits: u8,
    pub signed: bool,
}

impl IntType {
    pub const I64: IntType = IntType {
        bits: 64,
        signed: true,
    };
    pub const U64: IntType = IntType {
        bits: 64,
        signed: false,
    };
    pub const I32: IntType = IntType {
        bits: 32,
        signed: true,
    };
    pub const U32: IntType = IntType {
        bits: 32,
        signed: false,
    };

    #[must_use]
    pub fn bytes(self) -> u8 {
        self.bits / 8
    }
}

/// Which memory a pointer points into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Space {
    /// Read by bpf_probe_read_kernel.
    Kernel,
    /// Read by bpf_probe_read_user.
    User,
    /// The program's context: loaded directly.
    Context,
    /// BPF memory (map values, scratch): loaded directly.
    Bpf,
}

/// What a per-CPU map collects.
#[derive(Clone, Debug, PartialEq)]
pub enum Aggregation {
    Count,
    Sum {
        signed: bool,
    },
    Min {
        signed: bool,
    },
    Max {
        signed: bool,
    },
    Avg {
        signed: bool,
    },
    Stats {
        signed: bool,
    },
    Hist {
        bits: abi::Number,
    },
    Lhist {
        min: abi::Number,
        max: abi::Number,
        step: abi::Number,
    },
    Tseries(abi::Series),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CRecordId(pub u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EnumId(pub u32);

/// Structs, unions and enums that the script uses.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Types {
    pub records: Vec<CRecord>,
    pub enums: Vec<EnumType>,
}

impl Types {
    #[must_use]
    pub fn record(&self, id: CRecordId) -> &CRecord {
        &self.records[id.0 as usize]
    }

    /// Whether accesses to a record can be relocated on the target.
    #[must_use]
    pub fn is_rooted(&self, id: CRecordId) -> bool {
        match &self.record(id).root {
            Root::Named | Root::Typedef(_) => true,
            Root::Member { record, .. } => self.is_rooted(*record),
            Root::Nowhere => false,
        }
    }

    /// A record's name in C; of one without any, what it is a member of: `union dentry::d_u`.
    #[must_use]
    pub fn record_name(&self, id: CRecordId) -> String {
        let record = self.record(id);
        let word = if record.union { "union" } else { "struct" };
        match &record.root {
            Root::Typedef(name) => name.clone(),
            Root::Member {
                record: of, member, ..
            } => {
                let name = self.record(*of).members.get(*member as usize);
                let name = name.map_or("", |m| m.name.as_str());
                let of = self.record_name(*of);
                let of = of.split_once(' ').map_or(of.as_str(), |(_, name)| name);
                match name {
                    "" => format!("{word} {of}::(unnamed)"),
                    name => format!("{word} {of}::{name}"),
                }
            }
            Root::Named | Root::Nowhere => format!("{word} {}", record.name).trim_end().to_owned(),
        }
    }

    /// A record of the script's own C without bitfields is kept byte by byte. All others are read member by member, because
    /// the target decides where their members are, and are kept in a layout of our own: so is what has one inside.
    #[must_use]
    pub fn is_repacked(&self, id: CRecordId) -> bool {
        let record = self.record(id);
        let mut members = record.members.iter();
        record.origin != Origin::Script
            || members.any(|m| m.bitfield.is_some() || self.holds_repacked(&m.ty))
    }

    /// Whether a value of the type is a repacked record, or an array of them.
    #[must_use]
    pub fn holds_repacked(&self, ty: &Type) -> bool {
        match ty {
            Type::CRecord(id) => self.is_repacked(*id),
            Type::Array { element, .. } => self.holds_repacked(element),
            _ => false,
        }
    }

    #[must_use]
    pub fn enumeration(&self, id: EnumId) -> &EnumType {
        &self.enums[id.0 as usize]
    }
}

/// Where a record's layout comes from, and so how its members are reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A kernel type: every access is a CO-RE relocation; sizes and offsets here are the build host's and may only
    /// be used as placeholders.
    Kernel,
    /// The script's own C: the layout is final.
    Script,
    /// A tracepoint's record: every access is a context relocation by the target's format file.
    Tracepoint { category: String, event: String },
}

/// How a kernel record is found on the target: relocations start at what has a name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Root {
    /// By its own name.
    Named,
    /// A typedef is its only name (`kuid_t`).
    Typedef(String),
    /// A member of another record has it as its type, or as that of its elements behind so many dimensions.
    Member {
        record: CRecordId,
        member: u32,
        dimensions: u32,
    },
    /// Nothing that has a name leads to it.
    Nowhere,
}

#[derive(Clone, Debug, PartialEq)]
pub struct CRecord {
    /// Without `struct `; empty for anonymous ones.
    pub name: String,
    pub union: bool,
    pub origin: Origin,
    /// Of a kernel record.
    pub root: Root,
    /// Bytes.
    pub size: u32,
    /// Empty until a member was asked for (`loaded`).
    pub members: Vec<Member>,
    pub loaded: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// Empty for an anonymous struct or union.
    pub name: String,
    pub ty: Type,
    pub bit_offset: u32,
    /// Width in bits where it is a bitfield.
    pub bitfield: Option<u8>,
    /// Of a tracepoint's record: where the data is; elsewhere inline.
    pub location: btc_abi::DataLocation,
}

impl Member {
    /// A bitfield without a name: padding that nobody can read.
    #[must_use]
    pub fn is_padding(&self) -> bool {
        self.name.is_empty() && self.bitfield.is_some()
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct EnumType {
    /// Without `enum `; empty for anonymous ones.
    pub name: String,
    pub int: IntType,
    pub values: Vec<(String, u64)>,
    /// From kernel BTF: a value's use is a CO-RE enum value relocation.
    pub kernel: bool,
}
