//! C types of the host become types of the typed tree; names of types as users read them.

use std::collections::{HashMap, HashSet};

use crate::host::{
    CType, DataLocation, Host, HostEnum, HostRecord, RecordOrigin, TracepointFormat,
};
use crate::ir::{
    Aggregation, CRecord, CRecordId, EnumId, EnumType, IntType, Member, Origin, Root, Space, Type,
    Types,
};
use btc_abi as abi;

/// Records and enums that the program has named so far. Members are loaded when one is asked for.
#[derive(Default)]
pub(super) struct TypeTable {
    pub(super) types: Types,
    hosts: HashMap<(HostRecord, Root), CRecordId>,
    sources: Vec<Option<HostRecord>>,
    tracepoints: HashMap<(String, String), CRecordId>,
    /// Loaded with all that is inside.
    whole: HashSet<CRecordId>,
}

impl TypeTable {
    /// A C type as a value's type. Chars in an array are a string; an unsized array is one of no elements.
    pub(super) fn of_c(&mut self, ty: &CType) -> Type {
        self.of_c_at(ty, &Root::Nowhere)
    }

    /// The same; where the type stands tells how a kernel record without a name is found.
    fn of_c_at(&mut self, ty: &CType, root: &Root) -> Type {
        match ty {
            CType::Void | CType::Function => Type::Void,
            CType::Float { bytes } => Type::Float { bytes: *bytes },
            CType::Int { bool_: true, .. } => Type::Bool,
            CType::Int { bytes, signed, .. } => Type::Int(IntType {
                bits: bytes.saturating_mul(8).min(64),
                signed: *signed,
            }),
            CType::Pointer { to, user } => Type::Pointer {
                to: Box::new(self.of_c(to)),
                space: if *user { Space::User } else { Space::Kernel },
            },
            CType::Array { element, count } => match strip(element) {
                CType::Int { char_: true, .. } => Type::String { size: *count },
                _ => Type::Array {
                    element: Box::new(self.of_c_at(element, &element_of(root))),
                    count: *count,
                },
            },
            CType::Record(record) => Type::CRecord(self.record_at(record, root)),
            CType::Enum(of) => Type::Enum(self.enumeration(of)),
            CType::Typedef { name, to } => match &**to {
                CType::Record(record) => {
                    Type::CRecord(self.record_at(record, &Root::Typedef(name.clone())))
                }
                _ => self.of_c_at(to, root),
            },
            CType::Opaque { name, union } => Type::CRecord(self.opaque(name, *union)),
        }
    }

    pub(super) fn record(&mut self, record: &HostRecord) -> CRecordId {
        self.record_at(record, &Root::Nowhere)
    }

    /// BTF has records without a name once for all members that they are the type of; here each member has its own, since the
    /// target's kernel may have made them differ.
    fn record_at(&mut self, record: &HostRecord, root: &Root) -> CRecordId {
        let unnamed = record.name.is_empty() && record.origin == RecordOrigin::KernelBtf;
        let key = (
            record.clone(),
            if unnamed { root.clone() } else { Root::Named },
        );
        if let Some(id) = self.hosts.get(&key) {
            return *id;
        }
        let id = self.add(
            CRecord {
                name: record.name.clone(),
                union: record.union,
                origin: match record.origin {
                    RecordOrigin::KernelBtf => Origin::Kernel,
                    // Its layout is final too: the target's binary is checked to have the same.
                    RecordOrigin::Script | RecordOrigin::User => Origin::Script,
                },
                root: key.1.clone(),
                size: 0,
                members: vec![],
                loaded: false,
            },
            Some(record.clone()),
        );
        self.hosts.insert(key, id);
        id
    }

    fn opaque(&mut self, name: &str, union: bool) -> CRecordId {
        let known = self
            .types
            .records
            .iter()
            .position(|r| r.name == name && r.union == union && r.origin == Origin::Kernel);
        if let Some(at) = known {
            return CRecordId(at as u32);
        }
        self.add(
            CRecord {
                name: name.to_owned(),
                union,
                origin: Origin::Kernel,
                root: Root::Named,
                size: 0,
                members: vec![],
                loaded: false,
            },
            None,
        )
    }

    fn add(&mut self, record: CRecord, source: Option<HostRecord>) -> CRecordId {
        self.types.records.push(record);
        self.sources.push(source);
        CRecordId(self.types.records.len() as u32 - 1)
    }

    /// Asks the host for a record's members, once.
    pub(super) fn load(&mut self, id: CRecordId, host: &dyn Host) {
        let at = id.0 as usize;
        if self.types.records[at].loaded {
            return;
        }
        let name = self.types.records[at].name.clone();
        let source = match self.sources[at].clone() {
            Some(source) => Some(source),
            // A forward declaration: the body may be under the same name elsewhere.
            None => host.record(&name, self.types.records[at].union),
        };
        let Some(body) = source.and_then(|s| host.record_body(&s)) else {
            return;
        };
        let members = (body.members.iter().zip(0..))
            .map(|(m, member)| {
                let root = Root::Member {
                    record: id,
                    member,
                    dimensions: 0,
                };
                Member {
                    name: m.name.clone(),
                    ty: self.of_c_at(&m.ty, &root),
                    bit_offset: m.bit_offset,
                    bitfield: m.bitfield,
                    location: btc_abi::DataLocation::Inline,
                }
            })
            .collect();
        let record = &mut self.types.records[at];
        record.size = body.size;
        record.members = members;
        record.loaded = true;
    }

    /// Structs of programs and libraries whose members were asked for.
    pub(super) fn user_records(&self) -> impl Iterator<Item = &HostRecord> {
        let all = self.types.records.iter().zip(&self.sources);
        all.filter(|(record, _)| record.loaded)
            .filter_map(|(_, source)| source.as_ref())
            .filter(|source| source.origin == RecordOrigin::User)
    }

    /// Loads a struct with all that is inside it: a copy of one has a size and is printed by its members.
    pub(super) fn load_whole(&mut self, ty: &Type, host: &dyn Host) {
        match ty {
            Type::Array { element, .. } => self.load_whole(element, host),
            Type::Tuple(parts) => parts.iter().for_each(|part| self.load_whole(part, host)),
            Type::Record(parts) => (parts.iter()).for_each(|(_, part)| self.load_whole(part, host)),
            Type::CRecord(id) => {
                if !self.whole.insert(*id) {
                    return;
                }
                self.load(*id, host);
                let inside = self.types.record(*id).members.iter();
                for part in inside.map(|m| m.ty.clone()).collect::<Vec<_>>() {
                    self.load_whole(&part, host);
                }
            }
            _ => {}
        }
    }

    /// How many values a copy is made of: an array of plain ones counts as one, an unloaded struct as none.
    pub(super) fn parts(&self, ty: &Type) -> u32 {
        match ty {
            Type::Array { element, count } => match self.parts(element) {
                0 | 1 => 1,
                each => each.saturating_mul(*count),
            },
            Type::CRecord(id) => {
                let members = self.types.record(*id).members.iter();
                members.fold(0, |sum, m| self.parts(&m.ty).saturating_add(sum))
            }
            _ => 1,
        }
    }

    /// The record of a tracepoint's event, all members loaded.
    pub(super) fn tracepoint(
        &mut self,
        category: &str,
        event: &str,
        format: &TracepointFormat,
        user_pointers: bool,
    ) -> CRecordId {
        let key = (category.to_owned(), event.to_owned());
        if let Some(id) = self.tracepoints.get(&key) {
            return *id;
        }
        let all = format.common.iter().chain(&format.members);
        let mut size = 0;
        let members = all
            .map(|m| {
                size = size.max(m.offset + m.size);
                let mut ty = self.of_c(&m.ty);
                if let (true, Type::Pointer { space, .. }) = (user_pointers, &mut ty) {
                    *space = Space::User;
                }
                Member {
                    name: m.name.clone(),
                    ty,
                    bit_offset: m.offset * 8,
                    bitfield: None,
                    location: match m.location {
                        DataLocation::Inline => btc_abi::DataLocation::Inline,
                        DataLocation::FromStart => btc_abi::DataLocation::FromStart,
                        DataLocation::FromMember => btc_abi::DataLocation::FromMember,
                    },
                }
            })
            .collect();
        let id = self.add(
            CRecord {
                name: format!("tracepoint:{category}:{event}_args"),
                union: false,
                origin: Origin::Tracepoint {
                    category: category.to_owned(),
                    event: event.to_owned(),
                },
                root: Root::Named,
                size,
                members,
                loaded: true,
            },
            None,
        );
        self.tracepoints.insert(key, id);
        id
    }

    pub(super) fn enumeration(&mut self, of: &HostEnum) -> EnumId {
        let made = EnumType {
            name: of.name.clone(),
            int: IntType {
                bits: of.bytes.saturating_mul(8).clamp(8, 64),
                signed: of.signed,
            },
            values: of.values.clone(),
            kernel: of.origin == RecordOrigin::KernelBtf,
        };
        if let Some(at) = self.types.enums.iter().position(|e| *e == made) {
            return EnumId(at as u32);
        }
        self.types.enums.push(made);
        EnumId(self.types.enums.len() as u32 - 1)
    }

    /// As users read it.
    pub(super) fn name(&self, ty: &Type) -> String {
        match ty {
            Type::Void => "void".into(),
            Type::Bool => "bool".into(),
            Type::Int(int) => int_name(*int),
            Type::Float { bytes: 4 } => "float".into(),
            Type::Float { bytes: 8 } => "double".into(),
            Type::Float { bytes: 16 } => "long double".into(),
            Type::Float { bytes } => format!("float{}", u32::from(*bytes) * 8),
            Type::Enum(id) => match self.types.enumeration(*id).name.as_str() {
                "" => "enum".into(),
                name => format!("enum {name}"),
            },
            Type::Pointer { to, .. } => match self.name(to) {
                name if name.ends_with('*') => format!("{name}*"),
                name => format!("{name} *"),
            },
            Type::String { size } => format!("string[{size}]"),
            Type::Buffer { size } => format!("buffer[{size}]"),
            Type::Array { element, count } => format!("{}[{count}]", self.name(element)),
            Type::CRecord(id) => self.types.record_name(*id),
            Type::Tuple(parts) => {
                let parts: Vec<_> = parts.iter().map(|p| self.name(p)).collect();
                format!("({})", parts.join(","))
            }
            Type::Record(members) => {
                let members: Vec<_> = members
                    .iter()
                    .map(|(name, ty)| format!("{name}={}", self.name(ty)))
                    .collect();
                format!("({})", members.join(","))
            }
            Type::KernelSymbol => "ksym_t".into(),
            Type::UserSymbol => "usym_t".into(),
            Type::Stack { kind, mode, .. } => {
                let name = match kind {
                    abi::StackKind::Kernel => "kstack_t",
                    abi::StackKind::User => "ustack_t",
                };
                match mode {
                    abi::StackMode::Bpftrace => name.into(),
                    abi::StackMode::Perf => format!("{name}(perf)"),
                    abi::StackMode::Raw => format!("{name}(raw)"),
                    abi::StackMode::BuildId => format!("{name}(build_id)"),
                }
            }
            Type::Inet => "inet".into(),
            Type::Mac => "mac_address".into(),
            Type::Timestamp { .. } => "timestamp".into(),
            Type::Username => "username".into(),
            Type::CgroupPath { .. } => "cgroup_path_t".into(),
            Type::ProbeName => "probe_t".into(),
            Type::ErrorName => "strerror_t".into(),
            Type::SignalName => "signal_name_t".into(),
            Type::SyscallName => "syscall_name_t".into(),
            Type::Aggregation(of) => aggregation_name(of).into(),
        }
    }

    /// Bytes of a value in a key, a tuple or a local; what the limits are checked against.
    pub(super) fn size(&self, ty: &Type) -> u32 {
        match ty {
            Type::Void => 0,
            Type::Bool => 1,
            Type::Int(int) => u32::from(int.bytes()),
            Type::Float { bytes } => u32::from(*bytes),
            Type::Enum(id) => u32::from(self.types.enumeration(*id).int.bytes()),
            Type::String { size } => *size,
            Type::Buffer { size } => 4 + size,
            Type::Array { element, count } => self.size(element).saturating_mul(*count),
            Type::CRecord(id) if self.types.is_repacked(*id) => {
                self.sequence(self.types.record(*id).members.iter().map(|m| &m.ty))
            }
            Type::CRecord(id) => self.types.record(*id).size,
            Type::Tuple(parts) => self.sequence(parts.iter()),
            Type::Record(members) => self.sequence(members.iter().map(|(_, ty)| ty)),
            Type::UserSymbol => 16,
            Type::Inet => 20,
            Type::Mac => 6,
            Type::ErrorName | Type::SignalName | Type::SyscallName => 4,
            Type::Stack { kind, .. } => match kind {
                abi::StackKind::Kernel => 8,
                abi::StackKind::User => 16,
            },
            _ => 8,
        }
    }

    fn sequence<'t>(&self, parts: impl Iterator<Item = &'t Type>) -> u32 {
        let mut offset = 0u32;
        let mut widest = 1;
        for part in parts {
            let align = self.align(part).max(1);
            widest = widest.max(align);
            offset = offset
                .next_multiple_of(align)
                .saturating_add(self.size(part));
        }
        offset.next_multiple_of(widest)
    }

    fn align(&self, ty: &Type) -> u32 {
        match ty {
            Type::CRecord(id) => {
                let members = self.types.record(*id).members.iter();
                members.map(|m| self.align(&m.ty)).max().unwrap_or(1)
            }
            Type::Void | Type::Bool | Type::Float { .. } | Type::String { .. } | Type::Mac => 1,
            Type::Int(_) | Type::Enum(_) => self.size(ty),
            Type::Buffer { .. }
            | Type::Inet
            | Type::ErrorName
            | Type::SignalName
            | Type::SyscallName => 4,
            Type::Array { element, .. } => self.align(element),
            Type::Tuple(parts) => parts.iter().map(|p| self.align(p)).max().unwrap_or(1),
            Type::Record(parts) => parts.iter().map(|(_, p)| self.align(p)).max().unwrap_or(1),
            _ => 8,
        }
    }
}

/// The root of an array's elements, from the array's.
fn element_of(root: &Root) -> Root {
    match root {
        Root::Member {
            record,
            member,
            dimensions,
        } => Root::Member {
            record: *record,
            member: *member,
            dimensions: dimensions + 1,
        },
        other => other.clone(),
    }
}

/// Looks through typedefs.
pub(super) fn strip(ty: &CType) -> &CType {
    match ty {
        CType::Typedef { to, .. } => strip(to),
        other => other,
    }
}

pub(super) fn int_name(int: IntType) -> String {
    format!("{}int{}", if int.signed { "" } else { "u" }, int.bits)
}

pub(super) fn aggregation_name(of: &Aggregation) -> &'static str {
    match of {
        Aggregation::Count => "count_t",
        Aggregation::Sum { signed: true } => "sum_t",
        Aggregation::Sum { signed: false } => "usum_t",
        Aggregation::Min { signed: true } => "min_t",
        Aggregation::Min { signed: false } => "umin_t",
        Aggregation::Max { signed: true } => "max_t",
        Aggregation::Max { signed: false } => "umax_t",
        Aggregation::Avg { signed: true } => "avg_t",
        Aggregation::Avg { signed: false } => "uavg_t",
        Aggregation::Stats { signed: true } => "stats_t",
        Aggregation::Stats { signed: false } => "ustats_t",
        Aggregation::Hist { .. } => "hist_t",
        Aggregation::Lhist { .. } => "lhist_t",
        Aggregation::Tseries(_) => "tseries_t",
    }
}
