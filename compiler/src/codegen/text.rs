//! Strings of any length: joined, cut, measured, searched and compared. They are brought into scratch memory by helpers
//! that tell their length, so what is done with them afterwards is bounded by their text and not by their room.

use inkwell::IntPredicate;
use inkwell::values::IntValue;

use super::builder::Mem;
use super::program::Emitter;
use crate::bug::Bug;
use crate::ir::{Expr, Space, Type};

/// Larger values are compared by a function.
pub const INLINE_BYTES: u32 = 64;

impl<'ctx> Emitter<'_, '_, 'ctx> {
    /// A string's text in scratch memory: where it is there, and its length.
    fn text(&mut self, value: &Expr) -> Result<(u32, IntValue<'ctx>), Bug> {
        let size = self.unit.shapes.size(&value.ty);
        let (offset, mem) = self.scratch_room(size)?;
        let length = self.tail_string(value, mem)?;
        Ok((offset, length))
    }

    /// A value in scratch memory, as it lies there.
    fn placed(&mut self, value: &Expr) -> Result<u32, Bug> {
        let size = self.unit.shapes.size(&value.ty);
        let (offset, mem) = self.scratch_room(size)?;
        self.into(value, mem)?;
        Ok(offset)
    }

    pub fn concat(
        &mut self,
        left: &Expr,
        right: &Expr,
        to: Mem<'ctx>,
        size: u32,
    ) -> Result<(), Bug> {
        let first = self.unit.shapes.size(&left.ty);
        let room = first + self.unit.shapes.size(&right.ty);
        let both = self.scratch_memory(room)?;
        self.zero(both, room)?;
        let length = self.tail_string(left, both)?;
        let length = self.at_most(length, u64::from(first))?;
        let at = self.gep(both.at, length)?;
        self.tail_string(right, Mem { at, align: 1 })?;
        self.copy(to, both, size.min(room))?;
        if room >= size {
            let last = self.offset(to, size - 1)?;
            return self.store_int(last, self.unit.i8.const_zero());
        }
        let rest = self.offset(to, room)?;
        self.zero(rest, size - room)
    }

    /// A string cut at run time.
    pub fn head(&mut self, of: &Expr, length: &Expr, to: Mem<'ctx>, size: u32) -> Result<(), Bug> {
        let from = self.mem(of)?;
        let from = self.pointer_to_int(from.at)?;
        let length = self.int64(length)?;
        self.read_string(to, size, from, Space::Bpf, Some(length))
    }

    pub fn find(&mut self, haystack: &Expr, needle: &Expr) -> Result<IntValue<'ctx>, Bug> {
        let haystack = self.text(haystack)?;
        let needle = self.text(needle)?;
        self.find_scratch(haystack, needle)
    }

    /// strlen: a copying helper counts faster than a loop that the verifier has to walk.
    pub fn string_length(&mut self, of: &Expr) -> Result<IntValue<'ctx>, Bug> {
        let size = self.unit.shapes.size(&of.ty);
        let to = self.temporary(size)?;
        self.tail_string(of, to)
    }

    /// Equality of two values of so many bytes that no program should compare them itself.
    pub fn equal_long(
        &mut self,
        left: &Expr,
        right: &Expr,
        limit: Option<u32>,
    ) -> Result<IntValue<'ctx>, Bug> {
        if !matches!(left.ty, Type::String { .. }) {
            let size = self.unit.shapes.size(&left.ty);
            let size = size.min(limit.unwrap_or(u32::MAX));
            let (a, b) = (self.placed(left)?, self.placed(right)?);
            let order = self.compare_scratch(a, b, self.i64(u64::from(size)))?;
            return self.compare(IntPredicate::EQ, order, self.i64(0));
        }
        let (a, mut first) = self.text(left)?;
        let (b, mut second) = self.text(right)?;
        if let Some(limit) = limit {
            first = self.at_most(first, u64::from(limit))?;
            second = self.at_most(second, u64::from(limit))?;
        }
        let (same_length, end) = (self.block("same_length"), self.block("compared"));
        let before = self.current()?;
        let same = self.compare(IntPredicate::EQ, first, second)?;
        self.branch(same, same_length, end)?;
        self.enter(same_length);
        let order = self.compare_scratch(a, b, first)?;
        let equal = self.compare(IntPredicate::EQ, order, self.i64(0))?;
        let compared = self.current()?;
        self.jump(end)?;
        self.enter(end);
        self.phi((self.bool(false), before), (equal, compared))
    }

    /// memcmp of so many bytes, or of the first `count` of them; a buffer's are those behind its length.
    pub fn compare_long(
        &mut self,
        left: &Expr,
        right: &Expr,
        bytes: u32,
        count: Option<&Expr>,
    ) -> Result<IntValue<'ctx>, Bug> {
        let mut at = [0; 2];
        for (at, value) in at.iter_mut().zip([left, right]) {
            let skipped = if matches!(value.ty, Type::Buffer { .. }) {
                4
            } else {
                0
            };
            *at = self.placed(value)? + skipped;
        }
        let bytes = match count {
            Some(count) => {
                let count = self.int64(count)?;
                self.at_most(count, u64::from(bytes))?
            }
            None => self.i64(u64::from(bytes)),
        };
        let order = self.compare_scratch(at[0], at[1], bytes)?;
        self.resize(order, self.unit.i32, true)
    }
}
