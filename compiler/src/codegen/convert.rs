//! Changes of type.

use inkwell::values::IntValue;

use super::builder::Mem;
use super::expr::{Val, is_signed};
use super::program::Emitter;
use crate::bug::Bug;
use crate::ir::{Expr, Type};

impl<'ctx> Emitter<'_, '_, 'ctx> {
    /// A conversion whose result is a scalar.
    pub fn convert_scalar(&mut self, from: &Expr, to: &Type) -> Result<IntValue<'ctx>, Bug> {
        if Val::is_scalar(&from.ty) {
            let value = self.int(from)?;
            return self.convert_int(value, &from.ty, to);
        }
        // Bytes taken for an integer, little-endian.
        let mut mem = self.mem(from)?;
        let mut size = self.unit.shapes.size(&from.ty);
        if let Type::Buffer { size: inner } = from.ty {
            mem = self.offset(mem, 4)?;
            size = inner;
        }
        let word = self.temporary(8)?;
        self.store_int(word, self.i64(0))?;
        self.copy(word, mem, size.min(8))?;
        self.load_scalar(word, to)
    }

    fn convert_int(
        &mut self,
        value: IntValue<'ctx>,
        from: &Type,
        to: &Type,
    ) -> Result<IntValue<'ctx>, Bug> {
        if matches!(to, Type::Bool) {
            let zero = value.get_type().const_zero();
            return self.compare(inkwell::IntPredicate::NE, value, zero);
        }
        let signed = is_signed(from, &self.unit.program.types);
        self.resize(value, self.scalar_type(to), signed)
    }

    /// A conversion whose result is in memory.
    pub fn convert_into(&mut self, from: &Expr, ty: &Type, to: Mem<'ctx>) -> Result<bool, Bug> {
        if Val::is_scalar(&from.ty) {
            let value = self.int(from)?;
            let word = self.temporary(8)?;
            self.store_int(word, self.i64(0))?;
            self.store_scalar(word, value)?;
            let size = self.unit.shapes.size(ty);
            let mut at = to;
            let mut room = size;
            if let Type::Buffer { size } = ty {
                self.store_int(
                    Mem {
                        align: to.align.min(4),
                        ..to
                    },
                    self.i32(*size),
                )?;
                at = self.offset(to, 4)?;
                room = *size;
            }
            self.copy(at, word, room.min(8))?;
            return Ok(true);
        }
        let mem = self.mem(from)?;
        self.convert_memory(mem, &from.ty, to, ty)?;
        Ok(true)
    }

    fn convert_memory(
        &mut self,
        from: Mem<'ctx>,
        from_ty: &Type,
        to: Mem<'ctx>,
        to_ty: &Type,
    ) -> Result<(), Bug> {
        let size = self.unit.shapes.size(to_ty);
        match (from_ty, to_ty) {
            (Type::String { size: old }, Type::String { size: new }) => {
                let kept = (*old).min(*new);
                self.copy(to, from, kept)?;
                let rest = self.offset(to, kept)?;
                if new > old {
                    return self.zero(rest, new - old);
                }
                let last = self.offset(to, new.saturating_sub(1))?;
                self.store_int(last, self.unit.i8.const_zero())
            }
            (Type::Buffer { size: old }, Type::Buffer { size: new }) => {
                let length = self.load_int(
                    self.unit.i32,
                    Mem {
                        align: from.align.min(4),
                        ..from
                    },
                )?;
                let most = self.i32(*new);
                let over = self.compare(inkwell::IntPredicate::UGT, length, most)?;
                let length = self.select(over, most, length)?;
                self.store_int(
                    Mem {
                        align: to.align.min(4),
                        ..to
                    },
                    length,
                )?;
                let (a, b) = (self.offset(to, 4)?, self.offset(from, 4)?);
                let kept = (*old).min(*new);
                self.copy(a, b, kept)?;
                let rest = self.offset(a, kept)?;
                self.zero(rest, new.saturating_sub(*old))
            }
            (Type::Buffer { size: old }, Type::Array { .. }) => {
                let bytes = self.offset(from, 4)?;
                self.zero(to, size)?;
                self.copy(to, bytes, size.min(*old))
            }
            (
                Type::Array { .. } | Type::String { .. } | Type::CRecord(_),
                Type::Buffer { size },
            ) => {
                let old = self.unit.shapes.size(from_ty).min(*size);
                self.store_int(
                    Mem {
                        align: to.align.min(4),
                        ..to
                    },
                    self.i32(old),
                )?;
                let bytes = self.offset(to, 4)?;
                self.zero(bytes, *size)?;
                self.copy(bytes, from, old)
            }
            (Type::Tuple(old), Type::Tuple(new)) => {
                let pairs = old.iter().zip(new).enumerate();
                let pairs: Vec<_> = pairs.map(|(at, (old, new))| (at, old, new)).collect();
                self.convert_members((from, from_ty), (to, to_ty), &pairs)
            }
            (Type::Record(old), Type::Record(new)) => {
                let mut pairs = vec![];
                for (name, new) in new {
                    let at = old.iter().position(|(known, _)| known == name);
                    let at = at.ok_or_else(|| Bug::new("records of different members"))?;
                    pairs.push((at, &old[at].1, new));
                }
                self.convert_members((from, from_ty), (to, to_ty), &pairs)
            }
            _ => {
                let old = self.unit.shapes.size(from_ty);
                self.copy(to, from, old.min(size))?;
                let rest = self.offset(to, old.min(size))?;
                self.zero(rest, size.saturating_sub(old))
            }
        }
    }

    /// Each member of the new value from one of the old: its number, its type, and the new one's type.
    fn convert_members(
        &mut self,
        (from, from_ty): (Mem<'ctx>, &Type),
        (to, to_ty): (Mem<'ctx>, &Type),
        pairs: &[(usize, &Type, &Type)],
    ) -> Result<(), Bug> {
        self.zero(to, self.unit.shapes.size(to_ty))?;
        let from_offsets = self.unit.shapes.offsets(from_ty);
        let to_offsets = self.unit.shapes.offsets(to_ty);
        for (i, (at, old, new)) in pairs.iter().enumerate() {
            let (Some(a), Some(b)) = (from_offsets.get(*at), to_offsets.get(i)) else {
                return Err(Bug::new("tuples of different lengths"));
            };
            let (a, b) = (self.offset(from, *a)?, self.offset(to, *b)?);
            if Val::is_scalar(old) && Val::is_scalar(new) {
                let value = self.load_scalar(a, old)?;
                let value = self.convert_int(value, old, new)?;
                self.store_scalar(b, value)?;
            } else {
                self.convert_memory(a, old, b, new)?;
            }
        }
        Ok(())
    }
}
