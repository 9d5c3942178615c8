//! Reading memory that isn't BPF's, and what is done with strings and bytes.

use inkwell::IntPredicate;
use inkwell::basic_block::BasicBlock;
use inkwell::values::IntValue;

use super::aggregate::pieces;
use super::builder::Mem;
use super::expr::Val;
use super::helper::number;
use super::program::Emitter;
use super::text::INLINE_BYTES;
use crate::bug::Bug;
use crate::ir::{Expr, ExprKind, Space, Type};

impl<'ctx> Emitter<'_, '_, 'ctx> {
    /// Reads `size` bytes; a failed read leaves zeroes.
    pub fn read(
        &mut self,
        to: Mem<'ctx>,
        size: IntValue<'ctx>,
        from: IntValue<'ctx>,
        space: Space,
    ) -> Result<IntValue<'ctx>, Bug> {
        let helpers = (number::READ_USER, number::READ_KERNEL);
        self.read_by(helpers, to, size, from, space)
    }

    /// Reads a C string of at most `room` bytes with its NUL; what the helper returned.
    pub fn read_c_string(
        &mut self,
        to: Mem<'ctx>,
        room: IntValue<'ctx>,
        from: IntValue<'ctx>,
        space: Space,
    ) -> Result<IntValue<'ctx>, Bug> {
        let helpers = (number::READ_USER_STRING, number::READ_KERNEL_STRING);
        self.read_by(helpers, to, room, from, space)
    }

    /// Reads by one of two helpers, that for user memory or that for the kernel's. Memory of BPF's own is the kernel's,
    /// and always there.
    fn read_by(
        &mut self,
        (user, kernel): (u32, u32),
        to: Mem<'ctx>,
        size: IntValue<'ctx>,
        from: IntValue<'ctx>,
        space: Space,
    ) -> Result<IntValue<'ctx>, Bug> {
        let helper = match space {
            Space::User => user,
            Space::Kernel | Space::Context | Space::Bpf => kernel,
        };
        let result = self.helper(helper, &[to.at.into(), size.into(), from.into()])?;
        if matches!(space, Space::User | Space::Kernel) {
            match self.copy {
                Some(copy) => self.leave_if_failed(result, copy.failed)?,
                None => self.count_if_failed(result)?,
            }
        }
        Ok(result)
    }

    /// Ends a copy at its first read that fails.
    fn leave_if_failed(
        &mut self,
        result: IntValue<'ctx>,
        failed: BasicBlock<'ctx>,
    ) -> Result<(), Bug> {
        let negative = self.compare(IntPredicate::SLT, result, self.i64(0))?;
        let next = self.block("copied");
        self.branch(negative, failed, next)?;
        self.enter(next);
        Ok(())
    }

    /// A string value: zeroes after the text, so that equal strings are equal bytes.
    pub fn read_string(
        &mut self,
        to: Mem<'ctx>,
        size: u32,
        from: IntValue<'ctx>,
        space: Space,
        length: Option<IntValue<'ctx>>,
    ) -> Result<(), Bug> {
        self.zero(to, size)?;
        let room = self.string_room(size, length)?;
        self.read_c_string(to, room, from, space)?;
        Ok(())
    }

    /// How many bytes of a string may be read.
    pub fn string_room(
        &mut self,
        size: u32,
        length: Option<IntValue<'ctx>>,
    ) -> Result<IntValue<'ctx>, Bug> {
        match length {
            Some(length) => self.at_most(length, u64::from(size)),
            None => Ok(self.i64(u64::from(size))),
        }
    }

    pub fn read_buffer(
        &mut self,
        to: Mem<'ctx>,
        room: u32,
        from: IntValue<'ctx>,
        space: Space,
        length: IntValue<'ctx>,
    ) -> Result<(), Bug> {
        let length = self.at_most(length, u64::from(room))?;
        let short = self.resize(length, self.unit.i32, false)?;
        self.store_int(
            Mem {
                align: to.align.min(4),
                ..to
            },
            short,
        )?;
        let bytes = self.offset(to, 4)?;
        self.zero(bytes, room)?;
        self.read(bytes, length, from, space)?;
        Ok(())
    }

    pub fn bytes_of(
        &mut self,
        of: &Expr,
        length: &Expr,
        to: Mem<'ctx>,
        room: u32,
    ) -> Result<(), Bug> {
        let length = self.int64(length)?;
        let mut size = self.unit.shapes.size(&of.ty);
        let mut from = if Val::is_scalar(&of.ty) {
            let value = self.int(of)?;
            let at = self.temporary(8)?;
            self.store_scalar(at, value)?;
            at
        } else {
            self.mem(of)?
        };
        if let Type::Buffer { size: inner } = of.ty {
            from = self.offset(from, 4)?;
            size = inner;
        }
        let size = size.min(room);
        let length = self.at_most(length, u64::from(size))?;
        let short = self.resize(length, self.unit.i32, false)?;
        self.store_int(
            Mem {
                align: to.align.min(4),
                ..to
            },
            short,
        )?;
        let bytes = self.offset(to, 4)?;
        self.copy(bytes, from, size)?;
        if room > size {
            let rest = self.offset(bytes, size)?;
            self.zero(rest, room - size)?;
        }
        Ok(())
    }

    pub fn string_literal(&mut self, bytes: &[u8], ty: &Type, to: Mem<'ctx>) -> Result<(), Bug> {
        match ty {
            Type::Buffer { size } => {
                let length = bytes.len().min(*size as usize);
                self.store_int(
                    Mem {
                        align: to.align.min(4),
                        ..to
                    },
                    self.i32(length as u32),
                )?;
                let at = self.offset(to, 4)?;
                self.store_bytes(at, &bytes[..length], *size)
            }
            _ => {
                let size = self.unit.shapes.size(ty);
                let keep = bytes.len().min(size.saturating_sub(1) as usize);
                self.store_bytes(to, &bytes[..keep], size)
            }
        }
    }

    /// Equality of strings, buffers, arrays or tuples.
    pub fn equal(
        &mut self,
        left: &Expr,
        right: &Expr,
        limit: Option<u32>,
    ) -> Result<IntValue<'ctx>, Bug> {
        let strings = matches!(
            (&left.ty, &right.ty),
            (Type::String { .. }, Type::String { .. })
        );
        if strings && let ExprKind::String(bytes) = &right.kind {
            return self.equal_literal(left, bytes, limit);
        }
        if strings && let ExprKind::String(bytes) = &left.kind {
            return self.equal_literal(right, bytes, limit);
        }
        let (size_a, size_b) = (
            self.unit.shapes.size(&left.ty),
            self.unit.shapes.size(&right.ty),
        );
        // The shorter string ends in NUL: equal up to there is equal.
        let size = size_a.min(size_b).min(limit.unwrap_or(u32::MAX));
        if size > INLINE_BYTES && (strings || size_a == size_b) {
            return self.equal_long(left, right, limit);
        }
        let a = self.mem(left)?;
        let b = self.mem(right)?;
        if !strings && limit.is_none() && size_a != size_b {
            return Ok(self.bool(false));
        }
        self.same_bytes(a, b, size)
    }

    fn equal_literal(
        &mut self,
        value: &Expr,
        literal: &[u8],
        limit: Option<u32>,
    ) -> Result<IntValue<'ctx>, Bug> {
        let size = self.unit.shapes.size(&value.ty) as usize;
        let end = literal.iter().position(|b| *b == 0);
        let mut bytes = literal[..end.unwrap_or(literal.len())].to_vec();
        bytes.push(0);
        bytes.truncate(limit.unwrap_or(u32::MAX) as usize);
        if bytes.len() > size {
            // No value of that size can hold it.
            self.mem(value)?;
            return Ok(self.bool(false));
        }
        let from = match &value.kind {
            ExprKind::ReadString {
                address,
                space,
                length: None,
            } => {
                let address = self.int64(address)?;
                self.read_head(address, *space, size, bytes.len())?
            }
            _ => self.mem(value)?,
        };
        self.starts_with(from, &bytes)
    }

    /// The first bytes of a string value of `size` bytes, without the zeroes of the rest. What follows its NUL is not set.
    fn read_head(
        &mut self,
        address: IntValue<'ctx>,
        space: Space,
        size: usize,
        bytes: usize,
    ) -> Result<Mem<'ctx>, Bug> {
        // One more than is looked at: a string that is cut ends in a NUL that it doesn't have.
        let room = (bytes + 1).min(size) as u32;
        let to = self.temporary(room)?;
        let room = self.i64(u64::from(room));
        self.read_c_string(to, room, address, space)?;
        Ok(to)
    }

    /// -1, 0 or 1 as memcmp, of `size` bytes or of the first `count` of them.
    pub fn compare_bytes(
        &mut self,
        left: &Expr,
        right: &Expr,
        size: u32,
        count: Option<&Expr>,
    ) -> Result<IntValue<'ctx>, Bug> {
        let mut most = size;
        for expr in [left, right] {
            most = most.min(match expr.ty {
                Type::Buffer { size } => size,
                _ => self.unit.shapes.size(&expr.ty),
            });
        }
        if count.is_some() || most > INLINE_BYTES {
            return self.compare_long(left, right, most, count);
        }
        let mut a = self.mem(left)?;
        let mut b = self.mem(right)?;
        for (expr, mem) in [(left, &mut a), (right, &mut b)] {
            if matches!(expr.ty, Type::Buffer { .. }) {
                *mem = self.offset(*mem, 4)?;
            }
        }
        let end = self.block("compared");
        let mut results = Vec::new();
        for (offset, bytes) in pieces(most, a.align.min(b.align)) {
            let ty = self.int_type(bytes);
            let from_a = self.offset(a, offset)?;
            let from_b = self.offset(b, offset)?;
            let mut x = self.load_int(ty, from_a)?;
            let mut y = self.load_int(ty, from_b)?;
            if bytes > 1 {
                x = self.swap_bytes(x)?;
                y = self.swap_bytes(y)?;
            }
            let same = self.compare(IntPredicate::EQ, x, y)?;
            let less = self.compare(IntPredicate::ULT, x, y)?;
            let order = self.select(less, self.i32(u32::MAX), self.i32(1))?;
            let next = self.block("same");
            results.push((order, self.current()?));
            self.branch(same, next, end)?;
            self.enter(next);
        }
        results.push((self.i32(0), self.current()?));
        self.jump(end)?;
        self.enter(end);
        let phi = self.builder.build_phi(self.unit.i32, "order")?;
        for (value, block) in &results {
            phi.add_incoming(&[(value, *block)]);
        }
        Ok(phi.as_basic_value().into_int_value())
    }

    /// Bytes of text (without NUL) of what a string-reading helper returned.
    pub fn text_length(
        &mut self,
        result: IntValue<'ctx>,
        room: u32,
    ) -> Result<IntValue<'ctx>, Bug> {
        // Errors are negative, so over every bound when unsigned; they and 0 are no text.
        let result = self.opaque(result)?;
        let last = self.builder.build_int_sub(result, self.i64(1), "")?;
        let last = self.opaque(last)?;
        let bad = self.compare(IntPredicate::UGE, last, self.i64(u64::from(room)))?;
        let length = self.select(bad, self.i64(0), last)?;
        self.opaque(length)
    }
}
