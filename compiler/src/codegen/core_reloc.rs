//! Accesses to kernel types as CO-RE relocations: the DI types of what is accessed, and the intrinsics that name it.

use std::collections::{BTreeMap, BTreeSet};

use inkwell::attributes::{Attribute, AttributeLoc};
use inkwell::debug_info::DIType;
use inkwell::intrinsics::Intrinsic;
use inkwell::llvm_sys::core as raw;
use inkwell::types::{AnyType, BasicTypeEnum};
use inkwell::values::{AsValueRef, BasicMetadataValueEnum, CallSiteValue, IntValue, PointerValue};

use super::debug_info::{BOOLEAN, DebugInfo, DiMember, FLOAT, SIGNED, UNSIGNED};
use super::program::Emitter;
use crate::bug::Bug;
use crate::ir::visit::{self, Node};
use crate::ir::{self, CRecordId, EnumId, ExprKind, Origin, Root, Step, Type, Types};

/// What `llvm.bpf.preserve.field.info` answers (libbpf's enum bpf_field_info_kind).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldInfo {
    ByteOffset = 0,
    ByteSize = 1,
    Exists = 2,
    LeftShift = 4,
    RightShift = 5,
}

/// DI types of the kernel records that a program accesses, with only the members that it accesses. Their layout is
/// made up: libbpf finds members and enum constants by name and overwrites all that LLVM computes from it, so that
/// the offsets, sizes and values of the build machine's kernel are nowhere in an object.
pub struct CoreTypes<'ctx> {
    records: BTreeMap<CRecordId, CoreRecord<'ctx>>,
    enums: BTreeMap<EnumId, DIType<'ctx>>,
    flavor: String,
}

struct CoreRecord<'ctx> {
    ty: DIType<'ctx>,
    members: Vec<CoreMember<'ctx>>,
    bits: u64,
}

struct CoreMember<'ctx> {
    /// Which of the record's members it is.
    index: u32,
    /// Where it is an array: its type, its elements' where these are arrays, and so on.
    arrays: Vec<DIType<'ctx>>,
}

/// One step of a way that is relocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Member(CRecordId, u32),
    /// From a member that is an array, behind so many dimensions already, to the first of its elements.
    Element {
        record: CRecordId,
        member: u32,
        dimension: u32,
    },
}

/// Bits that every member starts at a multiple of: no bitfield crosses a unit of storage, which LLVM refuses.
const UNIT: u64 = 64;

impl<'ctx> CoreTypes<'ctx> {
    pub fn new(program: &ir::Program, di: &DebugInfo<'ctx>, flavor: &str) -> Result<Self, Bug> {
        let mut used: BTreeMap<CRecordId, BTreeSet<u32>> = BTreeMap::new();
        let mut enums = BTreeSet::new();
        visit::program(program, &mut |node| match node {
            Node::Steps(steps) => {
                for step in steps {
                    if let Step::Member { record, member } = step {
                        used.entry(*record).or_default().insert(*member);
                    }
                }
            }
            Node::Expr(expr) => {
                match &expr.kind {
                    ExprKind::TypeSize(id) => {
                        used.entry(*id).or_default();
                    }
                    ExprKind::EnumValue { of, .. } => {
                        enums.insert(*of);
                    }
                    _ => {}
                }
                // A whole record that is read is read member by member.
                if let ExprKind::Load(_) = expr.kind {
                    whole(&expr.ty, &program.types, &mut used);
                }
            }
            Node::Stmt(_) => {}
        });
        reach_roots(&program.types, &mut used);
        let mut made = CoreTypes {
            records: BTreeMap::new(),
            enums: BTreeMap::new(),
            flavor: flavor.to_owned(),
        };
        for id in used.keys() {
            made.record(*id, &program.types, &used, di)?;
        }
        for id in enums {
            made.enumeration(id, &program.types, di)?;
        }
        Ok(made)
    }

    fn record(
        &mut self,
        id: CRecordId,
        types: &Types,
        used: &BTreeMap<CRecordId, BTreeSet<u32>>,
        di: &DebugInfo<'ctx>,
    ) -> Result<(DIType<'ctx>, u64), Bug> {
        if let Some(made) = self.records.get(&id) {
            return Ok((made.ty, made.bits));
        }
        let record = types.record(id);
        let indexes: Vec<u32> = used.get(&id).into_iter().flatten().copied().collect();
        let mut members = Vec::new();
        let mut kept = Vec::new();
        let (mut end, mut size) = (0, UNIT);
        for index in indexes {
            let member = record
                .members
                .get(index as usize)
                .ok_or_else(|| Bug::new(format!("no member {index} in `{}`", record.name)))?;
            let (ty, bits) = self.member_type(&member.ty, types, used, di)?;
            let mut arrays = vec![];
            let mut array = &member.ty;
            while let Type::Array { element, .. } = array {
                arrays.push(self.member_type(array, types, used, di)?.0);
                array = element;
            }
            kept.push(CoreMember { index, arrays });
            members.push(DiMember {
                name: member.name.clone(),
                ty,
                bits: member.bitfield.map_or(bits, u64::from),
                offset: if record.union { 0 } else { end },
                bitfield: member.bitfield.is_some(),
            });
            end += bits.next_multiple_of(UNIT);
            size = size.max(if record.union { bits } else { end });
        }
        let bits = size.next_multiple_of(UNIT);
        let bytes = u32::try_from(bits / 8).unwrap_or(u32::MAX);
        let name = self.flavored(&record.name);
        let mut ty = di.structure(&name, record.union, bytes, &members);
        if let Root::Typedef(name) = &record.root {
            ty = di.typedef(&self.flavored(name), ty);
        }
        let made = CoreRecord {
            ty,
            members: kept,
            bits,
        };
        self.records.insert(id, made);
        Ok((ty, bits))
    }

    fn flavored(&self, name: &str) -> String {
        match name {
            "" => String::new(),
            name => format!("{name}{}", self.flavor),
        }
    }

    fn enumeration(
        &mut self,
        id: EnumId,
        types: &Types,
        di: &DebugInfo<'ctx>,
    ) -> Result<DIType<'ctx>, Bug> {
        if let Some(ty) = self.enums.get(&id) {
            return Ok(*ty);
        }
        let of = types.enumeration(id);
        let names = of.values.iter().map(|(name, _)| name.clone());
        let values: Vec<_> = names.zip(0..).collect();
        let ty = di.enumeration(
            &self.flavored(&of.name),
            u64::from(of.int.bits),
            of.int.signed,
            &values,
        )?;
        self.enums.insert(id, ty);
        Ok(ty)
    }

    /// The DI type of a member, and its bits. What a pointer points to doesn't matter to relocations.
    fn member_type(
        &mut self,
        ty: &Type,
        types: &Types,
        used: &BTreeMap<CRecordId, BTreeSet<u32>>,
        di: &DebugInfo<'ctx>,
    ) -> Result<(DIType<'ctx>, u64), Bug> {
        Ok(match ty {
            Type::Bool => (di.basic("_Bool", 8, BOOLEAN)?, 8),
            Type::Int(int) => {
                let encoding = if int.signed { SIGNED } else { UNSIGNED };
                let name = format!("{}{}", if int.signed { "s" } else { "u" }, int.bits);
                (
                    di.basic(&name, u64::from(int.bits), encoding)?,
                    u64::from(int.bits),
                )
            }
            Type::Float { bytes } => {
                let bits = u64::from(*bytes) * 8;
                (di.basic(&format!("float{bits}"), bits, FLOAT)?, bits)
            }
            Type::Enum(id) => (
                self.enumeration(*id, types, di)?,
                u64::from(types.enumeration(*id).int.bits),
            ),
            Type::String { size } | Type::Buffer { size } => {
                let char = di.basic("char", 8, SIGNED)?;
                (di.array(char, 8, *size), 8 * u64::from(*size))
            }
            Type::Array { element, count } => {
                let (element, bits) = self.member_type(element, types, used, di)?;
                (di.array(element, bits, *count), bits * u64::from(*count))
            }
            Type::CRecord(id) => self.record(*id, types, used, di)?,
            _ => (di.void_pointer, 64),
        })
    }
}

fn whole(ty: &Type, types: &Types, used: &mut BTreeMap<CRecordId, BTreeSet<u32>>) {
    match ty {
        Type::CRecord(id) => {
            let members = types.record(*id).members.iter().enumerate();
            for (i, member) in members.filter(|(_, member)| !member.is_padding()) {
                used.entry(*id).or_default().insert(i as u32);
                whole(&member.ty, types, used);
            }
        }
        Type::Array { element, .. } => whole(element, types, used),
        _ => {}
    }
}

/// The members that lead to records without a name.
fn reach_roots(types: &Types, used: &mut BTreeMap<CRecordId, BTreeSet<u32>>) {
    let mut open: Vec<CRecordId> = used.keys().copied().collect();
    while let Some(id) = open.pop() {
        if let Root::Member { record, member, .. } = types.record(id).root
            && used.entry(record).or_default().insert(member)
        {
            open.push(record);
        }
    }
}

/// The way from a record that has a name to one that has none; empty for the former.
fn way_to(id: CRecordId, types: &Types) -> Vec<Link> {
    let Root::Member {
        record,
        member,
        dimensions,
    } = types.record(id).root
    else {
        return vec![];
    };
    let mut way = way_to(record, types);
    way.push(Link::Member(record, member));
    way.extend((0..dimensions).map(|dimension| Link::Element {
        record,
        member,
        dimension,
    }));
    way
}

impl<'ctx> Emitter<'_, '_, 'ctx> {
    fn core_call(
        &self,
        intrinsic: &str,
        overloads: &[BasicTypeEnum<'ctx>],
        arguments: &[BasicMetadataValueEnum<'ctx>],
        of: Option<DIType<'ctx>>,
    ) -> Result<CallSiteValue<'ctx>, Bug> {
        let declaration = Intrinsic::find(intrinsic)
            .and_then(|i| i.get_declaration(&self.unit.module, overloads))
            .ok_or_else(|| Bug::new(format!("no intrinsic `{intrinsic}`")))?;
        let call = self.builder.build_call(declaration, arguments, "")?;
        if let Some(ty) = of {
            let kind = self.unit.context.get_kind_id("llvm.preserve.access.index");
            // SAFETY: the call and the node belong to this module's context.
            unsafe {
                let context = raw::LLVMGetModuleContext(self.unit.module.as_mut_ptr());
                let node = raw::LLVMMetadataAsValue(context, ty.as_mut_ptr());
                raw::LLVMSetMetadata(call.as_value_ref(), kind, node);
            }
        }
        Ok(call)
    }

    /// A pointer that stands for a chain of members; LLVM turns what is done with it into a relocation.
    pub fn core_chain(
        &self,
        base: PointerValue<'ctx>,
        chain: &[(CRecordId, u32)],
    ) -> Result<PointerValue<'ctx>, Bug> {
        let links = chain
            .iter()
            .map(|(record, member)| Link::Member(*record, *member));
        self.core_links(base, links)
    }

    fn core_links(
        &self,
        base: PointerValue<'ctx>,
        links: impl IntoIterator<Item = Link>,
    ) -> Result<PointerValue<'ctx>, Bug> {
        let mut at = base;
        for link in links {
            at = match link {
                Link::Member(record, member) => self.core_member(at, record, member)?,
                Link::Element {
                    record,
                    member,
                    dimension,
                } => self.core_element(at, record, member, dimension)?,
            };
        }
        Ok(at)
    }

    fn core_record(&self, record: CRecordId) -> Result<&CoreRecord<'ctx>, Bug> {
        let made = self.unit.core.records.get(&record);
        made.ok_or_else(|| Bug::new("a kernel record without a BTF type"))
    }

    fn core_member(
        &self,
        at: PointerValue<'ctx>,
        record: CRecordId,
        member: u32,
    ) -> Result<PointerValue<'ctx>, Bug> {
        let pointer = self.unit.pointer_type();
        let CoreRecord { ty, members, .. } = self.core_record(record)?;
        let index = members.iter().position(|m| m.index == member);
        let index = index.ok_or_else(|| Bug::new("a kernel member without a BTF type"))?;
        let index_value = self.unit.i32.const_int(index as u64, false);
        let call = if self.unit.program.types.record(record).union {
            self.core_call(
                "llvm.preserve.union.access.index",
                &[pointer.into(), pointer.into()],
                &[at.into(), index_value.into()],
                Some(*ty),
            )?
        } else {
            let call = self.core_call(
                "llvm.preserve.struct.access.index",
                &[pointer.into(), pointer.into()],
                &[at.into(), index_value.into(), index_value.into()],
                Some(*ty),
            )?;
            // LLVM takes the unit of a bitfield's storage from this type's alignment.
            let fields: Vec<BasicTypeEnum> = vec![self.unit.i64.into(); members.len()];
            self.element_type(call, self.unit.context.struct_type(&fields, false).into());
            call
        };
        self.pointer_result(call)
    }

    fn core_element(
        &self,
        at: PointerValue<'ctx>,
        record: CRecordId,
        member: u32,
        dimension: u32,
    ) -> Result<PointerValue<'ctx>, Bug> {
        let pointer = self.unit.pointer_type();
        let mut members = self.core_record(record)?.members.iter();
        let ty = members
            .find(|m| m.index == member)
            .and_then(|m| m.arrays.get(dimension as usize))
            .ok_or_else(|| Bug::new("an element of no array of the kernel"))?;
        let (one, zero) = (
            self.unit.i32.const_int(1, false),
            self.unit.i32.const_zero(),
        );
        let call = self.core_call(
            "llvm.preserve.array.access.index",
            &[pointer.into(), pointer.into()],
            &[at.into(), one.into(), zero.into()],
            Some(*ty),
        )?;
        self.element_type(call, self.unit.i64.array_type(1).into());
        self.pointer_result(call)
    }

    fn element_type(&self, call: CallSiteValue<'ctx>, ty: BasicTypeEnum<'ctx>) {
        let kind = Attribute::get_named_enum_kind_id("elementtype");
        let attribute = self
            .unit
            .context
            .create_type_attribute(kind, ty.as_any_type_enum());
        call.add_attribute(AttributeLoc::Param(0), attribute);
    }

    /// A fact about a member on the target, as 64 bits. The offset is that in the chain's first record, which need have no
    /// name: then it is what is between the places of both in the record around them.
    pub fn field_info(
        &self,
        chain: &[(CRecordId, u32)],
        info: FieldInfo,
    ) -> Result<IntValue<'ctx>, Bug> {
        let way = match chain.first() {
            Some((record, _)) => way_to(*record, &self.unit.program.types),
            None => return Err(Bug::new("a fact about no member")),
        };
        let members = chain.iter().map(|(r, m)| Link::Member(*r, *m));
        let there = self.link_info(way.iter().copied().chain(members), info)?;
        if way.is_empty() || info != FieldInfo::ByteOffset {
            return Ok(there);
        }
        let start = self.link_info(way, info)?;
        Ok(self.builder.build_int_sub(there, start, "")?)
    }

    fn link_info(
        &self,
        links: impl IntoIterator<Item = Link>,
        info: FieldInfo,
    ) -> Result<IntValue<'ctx>, Bug> {
        let pointer = self.unit.pointer_type();
        let at = self.core_links(pointer.const_null(), links)?;
        let kind = self.i64(info as u64);
        let call = self.core_call(
            "llvm.bpf.preserve.field.info",
            &[pointer.into()],
            &[at.into(), kind.into()],
            None,
        )?;
        let value = self.int_result(call)?;
        Ok(self
            .builder
            .build_int_z_extend(value, self.unit.i64, "info")?)
    }

    /// A kernel record's size on the target, as 64 bits.
    pub fn type_size(&self, record: CRecordId) -> Result<IntValue<'ctx>, Bug> {
        let way = way_to(record, &self.unit.program.types);
        if !way.is_empty() {
            return self.link_info(way, FieldInfo::ByteSize);
        }
        let ty = self.core_record(record)?.ty;
        let sequence = self.unit.i32.const_int(self.unit.next_sequence(), false);
        let size = self.i64(1);
        let call = self.core_call(
            "llvm.bpf.preserve.type.info",
            &[],
            &[sequence.into(), size.into()],
            Some(ty),
        )?;
        let value = self.int_result(call)?;
        Ok(self
            .builder
            .build_int_z_extend(value, self.unit.i64, "size")?)
    }

    /// A kernel enum constant's value on the target.
    pub fn enum_value(&self, of: EnumId, name: &str) -> Result<IntValue<'ctx>, Bug> {
        let Some(ty) = self.unit.core.enums.get(&of) else {
            return Err(Bug::new("a kernel enum without a BTF type"));
        };
        // The value in our made-up enum, which libbpf wants to see in the instruction that it overwrites.
        let values = &self.unit.program.types.enumeration(of).values;
        let value = values.iter().position(|(known, _)| known == name);
        let value = value.ok_or_else(|| Bug::new("a constant of no such enum"))?;
        let sequence = self.unit.i32.const_int(self.unit.next_sequence(), false);
        let text = self
            .builder
            .build_global_string_ptr(&format!("{name}:{value}"), "enum")?;
        let kind = self.i64(1);
        let call = self.core_call(
            "llvm.bpf.preserve.enum.value",
            &[],
            &[sequence.into(), text.as_pointer_value().into(), kind.into()],
            Some(*ty),
        )?;
        self.int_result(call)
    }

    /// Whether a record's members are where the target says.
    pub fn is_kernel(&self, record: CRecordId) -> bool {
        self.unit.program.types.record(record).origin == Origin::Kernel
    }
}
