//! Places: from a base address through steps to what stands there, in kernel, user, context or BPF memory.

use inkwell::IntPredicate;
use inkwell::basic_block::BasicBlock;
use inkwell::values::IntValue;

use super::builder::Mem;
use super::core_reloc::FieldInfo;
use super::expr::{Val, is_signed};
use super::program::Emitter;
use crate::bug::Bug;
use crate::ir::{CRecordId, Expr, ExprKind, IntType, Member, Origin, Place, Space, Step, Type};

/// Where a place's steps lead.
struct Spot<'ctx> {
    base: IntValue<'ctx>,
    /// Kernel members whose offset isn't in `base` yet.
    chain: Vec<(CRecordId, u32)>,
    /// A member of a tracepoint's record, not in `base` yet.
    event: Option<EventMember>,
    /// Of a script's bitfield: first bit and width.
    bits: Option<(u32, u32)>,
    ty: Type,
}

/// A record that is copied member by member.
#[derive(Clone, Copy)]
pub struct Copy<'ctx> {
    /// Where it is; the places of its members start here.
    address: IntValue<'ctx>,
    /// Where the copy ends when a read fails.
    pub failed: BasicBlock<'ctx>,
}

struct EventMember {
    field: String,
    addend: u32,
}

/// How a place is read: the context is kernel memory too.
fn read_space(space: Space) -> Space {
    match space {
        Space::User => Space::User,
        _ => Space::Kernel,
    }
}

impl<'ctx> Emitter<'_, '_, 'ctx> {
    fn member(&self, record: CRecordId, member: u32) -> Result<&Member, Bug> {
        self.unit
            .program
            .types
            .record(record)
            .members
            .get(member as usize)
            .ok_or_else(|| Bug::new("no such member"))
    }

    fn spot(&mut self, place: &Place) -> Result<Spot<'ctx>, Bug> {
        let base = match self.copy {
            Some(copy) => copy.address,
            None => self.int(&place.base)?,
        };
        let ty = match &place.base.ty {
            Type::Pointer { to, .. } => (**to).clone(),
            _ => place.ty.clone(),
        };
        let mut spot = Spot {
            base,
            chain: Vec::new(),
            event: None,
            bits: None,
            ty,
        };
        for step in &place.steps {
            self.step(&mut spot, step)?;
        }
        Ok(spot)
    }

    fn step(&mut self, spot: &mut Spot<'ctx>, step: &Step) -> Result<(), Bug> {
        match step {
            Step::Member { record, member } => {
                let found = self.member(*record, *member)?;
                let (ty, at, bits, name) = (
                    found.ty.clone(),
                    found.bit_offset,
                    found.bitfield,
                    found.name.clone(),
                );
                match &self.unit.program.types.record(*record).origin {
                    Origin::Kernel => spot.chain.push((*record, *member)),
                    Origin::Script => {
                        self.settle(spot)?;
                        spot.base = self.add(spot.base, self.i64(u64::from(at / 8)))?;
                        spot.bits = bits.map(|width| (at % 8, u32::from(width)));
                    }
                    Origin::Tracepoint { .. } => {
                        spot.event = Some(EventMember {
                            field: name,
                            addend: 0,
                        });
                    }
                }
                spot.ty = ty;
            }
            Step::Index { element, index, .. } => {
                let stride = self.unit.shapes.size(element);
                if let (Some(event), ExprKind::Integer(n)) = (&mut spot.event, &index.kind) {
                    event.addend += (*n as u32) * stride;
                } else {
                    self.settle(spot)?;
                    let index = self.int64(index)?;
                    let stride = self.stride(element)?;
                    let bytes = self.builder.build_int_mul(index, stride, "")?;
                    spot.base = self.add(spot.base, bytes)?;
                }
                spot.ty = element.clone();
            }
            Step::Tuple { index } => {
                self.settle(spot)?;
                let (offset, ty) = self.tuple_member(&spot.ty, *index)?;
                spot.base = self.add(spot.base, self.i64(u64::from(offset)))?;
                spot.ty = ty;
            }
        }
        Ok(())
    }

    /// Bytes from one element to the next in the memory of the target.
    fn stride(&mut self, element: &Type) -> Result<IntValue<'ctx>, Bug> {
        match element {
            Type::CRecord(id) if self.is_kernel(*id) => self.type_size(*id),
            Type::CRecord(id) => Ok(self.i64(u64::from(self.unit.program.types.record(*id).size))),
            Type::Array { element, count } => {
                let stride = self.stride(element)?;
                Ok(self
                    .builder
                    .build_int_mul(stride, self.i64(u64::from(*count)), "")?)
            }
            Type::Void => Ok(self.i64(1)),
            _ => Ok(self.i64(u64::from(self.unit.shapes.size(element)))),
        }
    }

    fn tuple_member(&self, ty: &Type, index: u32) -> Result<(u32, Type), Bug> {
        let offset = self.unit.shapes.offsets(ty).get(index as usize).copied();
        let member = match ty {
            Type::Tuple(items) => items.get(index as usize).cloned(),
            Type::Record(items) => items.get(index as usize).map(|(_, ty)| ty.clone()),
            _ => None,
        };
        match (offset, member) {
            (Some(offset), Some(ty)) => Ok((offset, ty)),
            _ => Err(Bug::new("no such tuple member")),
        }
    }

    /// Adds what is left open to the base.
    fn settle(&mut self, spot: &mut Spot<'ctx>) -> Result<(), Bug> {
        if !spot.chain.is_empty() {
            let offset = self.field_info(&spot.chain, FieldInfo::ByteOffset)?;
            spot.base = self.add(spot.base, offset)?;
            spot.chain.clear();
        }
        if let Some(event) = spot.event.take() {
            spot.base = self.event_address(&event.field, event.addend)?;
        }
        Ok(())
    }

    pub fn address(&mut self, place: &Place) -> Result<IntValue<'ctx>, Bug> {
        let mut spot = self.spot(place)?;
        self.settle(&mut spot)?;
        Ok(spot.base)
    }

    /// A place in BPF memory as it stands.
    pub fn direct_place(&mut self, place: &Place) -> Result<Option<Mem<'ctx>>, Bug> {
        if place.space != Space::Bpf {
            return Ok(None);
        }
        let address = self.address(place)?;
        let at = self.int_to_pointer(address)?;
        Ok(Some(Mem { at, align: 1 }))
    }

    pub fn load_place(&mut self, place: &Place, ty: &Type) -> Result<IntValue<'ctx>, Bug> {
        let mut spot = self.spot(place)?;
        let size = self.unit.shapes.size(ty);
        if let (Some(event), Space::Context) = (&spot.event, place.space) {
            let (field, addend) = (event.field.clone(), event.addend);
            let word = self.event_load(&field, addend, size)?;
            return self.narrow(word, ty);
        }
        match place.space {
            Space::Kernel | Space::User if !spot.chain.is_empty() => {
                self.load_member(&spot, place.space, ty)
            }
            // The verifier takes loads from the context at constant offsets only.
            Space::Kernel | Space::User | Space::Context => {
                self.settle(&mut spot)?;
                let to = self.temporary(8)?;
                if let Some((bit, width)) = spot.bits {
                    self.store_int(to, self.i64(0))?;
                    let bytes = (bit + width).div_ceil(8).min(8);
                    self.read(to, self.i64(u64::from(bytes)), spot.base, place.space)?;
                    return self.bitfield(to, bit, width, ty);
                }
                self.read(to, self.i64(u64::from(size)), spot.base, place.space)?;
                self.load_scalar(to, ty)
            }
            Space::Bpf => {
                self.settle(&mut spot)?;
                let at = self.int_to_pointer(spot.base)?;
                if let Some((bit, width)) = spot.bits {
                    let mut word = self.i64(0);
                    for i in 0..(bit + width).div_ceil(8).min(8) {
                        let mem = self.offset(Mem { at, align: 1 }, i)?;
                        let byte = self.load_int(self.unit.i8, mem)?;
                        let byte = self.resize(byte, self.unit.i64, false)?;
                        let by = self.i64(8 * u64::from(i));
                        let byte = self.builder.build_left_shift(byte, by, "")?;
                        word = self.builder.build_or(word, byte, "")?;
                    }
                    let to = self.temporary(8)?;
                    self.store_int(to, word)?;
                    return self.bitfield(to, bit, width, ty);
                }
                self.load_scalar(Mem { at, align: size }, ty)
            }
        }
    }

    fn narrow(&mut self, word: IntValue<'ctx>, ty: &Type) -> Result<IntValue<'ctx>, Bug> {
        if matches!(ty, Type::Bool) {
            return self.compare(IntPredicate::NE, word, self.i64(0));
        }
        self.resize(word, self.scalar_type(ty), false)
    }

    fn bitfield(
        &mut self,
        from: Mem<'ctx>,
        bit: u32,
        width: u32,
        ty: &Type,
    ) -> Result<IntValue<'ctx>, Bug> {
        let word = self.load_int(self.unit.i64, from)?;
        let left = self.i64(u64::from(64 - (bit + width).min(64)));
        let right = self.i64(u64::from(64 - width));
        let word = self.builder.build_left_shift(word, left, "")?;
        let signed = is_signed(ty, &self.unit.program.types);
        let word = self.builder.build_right_shift(word, right, signed, "")?;
        self.narrow(word, ty)
    }

    /// A kernel member at its offset on the target, of its size on the target.
    fn load_member(
        &mut self,
        spot: &Spot<'ctx>,
        space: Space,
        ty: &Type,
    ) -> Result<IntValue<'ctx>, Bug> {
        let offset = self.field_info(&spot.chain, FieldInfo::ByteOffset)?;
        let address = self.add(spot.base, offset)?;
        let to = self.temporary(8)?;
        let bitfield = match spot.chain.last() {
            Some((record, member)) => self.member(*record, *member)?.bitfield.is_some(),
            None => false,
        };
        if !bitfield && !matches!(ty, Type::Int(_) | Type::Enum(_)) {
            let size = self.unit.shapes.size(ty);
            self.read(to, self.i64(u64::from(size)), address, space)?;
            return self.load_scalar(to, ty);
        }
        self.store_int(to, self.i64(0))?;
        let size = self.field_info(&spot.chain, FieldInfo::ByteSize)?;
        self.read(to, size, address, space)?;
        let mut word = self.load_int(self.unit.i64, to)?;
        let signed = is_signed(ty, &self.unit.program.types);
        if bitfield || signed {
            let left = self.field_info(&spot.chain, FieldInfo::LeftShift)?;
            let right = self.field_info(&spot.chain, FieldInfo::RightShift)?;
            word = self.builder.build_left_shift(word, left, "")?;
            word = self.builder.build_right_shift(word, right, signed, "")?;
        }
        self.narrow(word, ty)
    }

    /// Reads an aggregate; false where the place is in BPF memory and only has to be copied.
    pub fn load_into(&mut self, place: &Place, ty: &Type, to: Mem<'ctx>) -> Result<bool, Bug> {
        if place.space == Space::Bpf {
            return Ok(false);
        }
        if self.unit.program.types.holds_repacked(ty) {
            self.zero(to, self.unit.shapes.size(ty))?;
            let address = self.address(place)?;
            let (failed, end) = (self.block("copy_failed"), self.block("copy_end"));
            self.copy = Some(Copy { address, failed });
            let copied = Place {
                steps: vec![],
                ..place.clone()
            };
            self.load_members(&copied, ty, to)?;
            self.copy = None;
            self.jump(end)?;
            self.enter(failed);
            self.count_if_failed(self.i64(u64::MAX))?;
            self.jump(end)?;
            self.enter(end);
            return Ok(true);
        }
        let address = self.address(place)?;
        let size = self.unit.shapes.size(ty);
        match ty {
            Type::String { .. } => {
                self.read_string(to, size, address, read_space(place.space), None)?;
            }
            Type::Void => {}
            _ => {
                let size = self.i64(u64::from(size));
                self.read(to, size, address, read_space(place.space))?;
            }
        }
        Ok(true)
    }

    /// A record or an array of records, member by member, into memory that is zero.
    fn load_members(&mut self, place: &Place, ty: &Type, to: Mem<'ctx>) -> Result<(), Bug> {
        match ty {
            Type::CRecord(id) => {
                let members = &self.unit.program.types.record(*id).members;
                let offsets = self.unit.shapes.offsets(ty);
                for ((member, index), offset) in members.iter().zip(0..).zip(offsets) {
                    if member.is_padding() || self.unit.shapes.size(&member.ty) == 0 {
                        continue;
                    }
                    let step = Step::Member {
                        record: *id,
                        member: index,
                    };
                    let at = self.offset(to, offset)?;
                    self.load_part(place, step, &member.ty, at)?;
                }
            }
            Type::Array { element, count } => {
                let stride = self.unit.shapes.size(element);
                for n in 0..*count {
                    let index = Expr {
                        kind: ExprKind::Integer(u64::from(n)),
                        ty: Type::Int(IntType::I64),
                        span: place.base.span,
                    };
                    let step = Step::Index {
                        element: (**element).clone(),
                        index: Box::new(index),
                        count: Some(*count),
                    };
                    let at = self.offset(to, n * stride)?;
                    self.load_part(place, step, element, at)?;
                }
            }
            _ => return Err(Bug::new("members of what has none")),
        }
        Ok(())
    }

    fn load_part(
        &mut self,
        whole: &Place,
        step: Step,
        ty: &Type,
        to: Mem<'ctx>,
    ) -> Result<(), Bug> {
        let mut place = whole.clone();
        place.steps.push(step);
        place.ty = ty.clone();
        let mark = self.mark();
        if Val::is_scalar(ty) {
            let value = self.load_place(&place, ty)?;
            self.store_scalar(to, value)?;
        } else if self.unit.program.types.holds_repacked(ty) {
            self.load_members(&place, ty, to)?;
        } else {
            self.load_plain(&place, ty, to)?;
        }
        self.release(mark);
        Ok(())
    }

    /// A member that is kept as it is. Where the target has fewer bytes of it, the rest stays zero.
    fn load_plain(&mut self, place: &Place, ty: &Type, to: Mem<'ctx>) -> Result<(), Bug> {
        let mut spot = self.spot(place)?;
        let most = u64::from(self.unit.shapes.size(ty));
        let size = match spot.chain.is_empty() {
            true => self.i64(most),
            false => {
                let size = self.field_info(&spot.chain, FieldInfo::ByteSize)?;
                self.at_most(size, most)?
            }
        };
        self.settle(&mut spot)?;
        let space = read_space(place.space);
        match ty {
            Type::String { .. } => {
                self.read_c_string(to, size, spot.base, space)?;
            }
            _ => {
                self.read(to, size, spot.base, space)?;
            }
        }
        Ok(())
    }

    /// A part of a value in BPF memory.
    pub fn part(&mut self, of: &Expr, steps: &[Step], ty: &Type) -> Result<Val<'ctx>, Bug> {
        let mut at = self.mem(of)?;
        let mut current = of.ty.clone();
        let mut inside: Option<IntValue<'ctx>> = None;
        for step in steps {
            let (offset, next) = match step {
                Step::Member { record, member } => {
                    let whole = Type::CRecord(*record);
                    let offsets = self.unit.shapes.offsets(&whole);
                    let offset = offsets
                        .get(*member as usize)
                        .copied()
                        .ok_or_else(|| Bug::new("no such member"))?;
                    // A record with bitfields is kept unpacked.
                    (offset, self.member(*record, *member)?.ty.clone())
                }
                Step::Tuple { index } => self.tuple_member(&current, *index)?,
                Step::Index {
                    element,
                    index,
                    count,
                } => {
                    let stride = self.unit.shapes.size(element);
                    let index = self.int64(index)?;
                    let limit = match (&current, count) {
                        (Type::Array { count, .. }, _) => *count,
                        (Type::String { size } | Type::Buffer { size }, _) => *size,
                        (_, Some(count)) => *count,
                        _ => return Err(Bug::new("an index into no array")),
                    };
                    let ok = self.compare(IntPredicate::ULT, index, self.i64(u64::from(limit)))?;
                    inside = Some(match inside {
                        Some(before) => self.builder.build_and(before, ok, "")?,
                        None => ok,
                    });
                    let index = self.at_most(index, u64::from(limit.saturating_sub(1)))?;
                    let bytes = self.i64(u64::from(stride));
                    let bytes = self.builder.build_int_mul(index, bytes, "")?;
                    if matches!(current, Type::Buffer { .. }) {
                        at = self.offset(at, 4)?;
                    }
                    at = Mem {
                        at: self.gep(at.at, bytes)?,
                        align: at.align.min(1 << stride.trailing_zeros().min(3)),
                    };
                    (0, element.clone())
                }
            };
            at = self.offset(at, offset)?;
            current = next;
        }
        if !Val::is_scalar(ty) {
            return Ok(Val::Mem(at));
        }
        let value = self.load_scalar(at, ty)?;
        Ok(Val::Int(match inside {
            Some(ok) => self.select(ok, value, value.get_type().const_zero())?,
            None => value,
        }))
    }

    fn member_chain(&self, steps: &[Step]) -> Result<Vec<(CRecordId, u32)>, Bug> {
        steps
            .iter()
            .map(|step| match step {
                Step::Member { record, member } => Ok((*record, *member)),
                _ => Err(Bug::new("offsetof through an index")),
            })
            .collect()
    }

    pub fn field_offset(&mut self, steps: &[Step]) -> Result<IntValue<'ctx>, Bug> {
        let chain = self.member_chain(steps)?;
        self.field_info(&chain, FieldInfo::ByteOffset)
    }

    pub fn field_exists(&mut self, steps: &[Step]) -> Result<IntValue<'ctx>, Bug> {
        let chain = self.member_chain(steps)?;
        let exists = self.field_info(&chain, FieldInfo::Exists)?;
        self.compare(IntPredicate::NE, exists, self.i64(0))
    }
}
