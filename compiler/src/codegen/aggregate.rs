//! Values in memory: copying, zeroing, comparing, and what an aggregation's map takes in.

use btc_abi::Number;
use inkwell::IntPredicate;
use inkwell::values::IntValue;

use super::builder::Mem;
use super::helper::number;
use super::program::Emitter;
use crate::bug::Bug;
use crate::ir::{AggregateUpdate, Aggregation, Expr, MapId, Type};

/// More memory instructions than this are left to a helper.
const INLINE_WORDS: u32 = 32;

/// Pieces `(offset, bytes)` of a memory of `size` bytes at an address that is a multiple of `align`.
pub fn pieces(size: u32, align: u32) -> Vec<(u32, u32)> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while at < size {
        let mut bytes = align.clamp(1, 8);
        while bytes > size - at {
            bytes /= 2;
        }
        pieces.push((at, bytes));
        at += bytes;
    }
    pieces
}

impl<'ctx> Emitter<'_, '_, 'ctx> {
    pub fn copy(&mut self, to: Mem<'ctx>, from: Mem<'ctx>, size: u32) -> Result<(), Bug> {
        if size == 0 || to.at == from.at {
            return Ok(());
        }
        let pieces = pieces(size, to.align.min(from.align));
        if pieces.len() as u32 > INLINE_WORDS {
            // BPF memory is kernel memory.
            let size = self.i64(u64::from(size));
            self.helper(
                number::READ_KERNEL,
                &[to.at.into(), size.into(), from.at.into()],
            )?;
            return Ok(());
        }
        let mut values = Vec::new();
        for (offset, bytes) in &pieces {
            let from = self.offset(from, *offset)?;
            values.push(self.load_int(self.int_type(*bytes), from)?);
        }
        for ((offset, _), value) in pieces.iter().zip(values) {
            let to = self.offset(to, *offset)?;
            self.store_int(to, value)?;
        }
        Ok(())
    }

    pub fn zero(&mut self, to: Mem<'ctx>, size: u32) -> Result<(), Bug> {
        let pieces = pieces(size, to.align);
        if pieces.len() as u32 > INLINE_WORDS {
            // Reading from address 0 fails, and a failed read zeroes its destination.
            let size = self.i64(u64::from(size));
            let null = self.unit.pointer_type().const_null();
            self.helper(
                number::READ_KERNEL,
                &[to.at.into(), size.into(), null.into()],
            )?;
            return Ok(());
        }
        for (offset, bytes) in pieces {
            let to = self.offset(to, offset)?;
            self.store_int(to, self.int_type(bytes).const_zero())?;
        }
        Ok(())
    }

    /// Stores bytes that are known now, then zeroes up to `size`.
    pub fn store_bytes(&mut self, to: Mem<'ctx>, bytes: &[u8], size: u32) -> Result<(), Bug> {
        let known = (bytes.len() as u32).next_multiple_of(8).min(size);
        for (offset, width) in pieces(known, to.align) {
            let mut word = 0u64;
            for i in 0..width {
                let byte = bytes.get((offset + i) as usize).copied().unwrap_or(0);
                word |= u64::from(byte) << (8 * i);
            }
            let to = self.offset(to, offset)?;
            self.store_int(to, self.int_type(width).const_int(word, false))?;
        }
        let rest = self.offset(to, known)?;
        self.zero(rest, size - known)
    }

    /// Whether `size` bytes are the same.
    pub fn same_bytes(
        &mut self,
        a: Mem<'ctx>,
        b: Mem<'ctx>,
        size: u32,
    ) -> Result<IntValue<'ctx>, Bug> {
        let words = pieces(size, a.align.min(b.align));
        self.same_words(&words, |this, offset, ty| {
            let left = this.offset(a, offset)?;
            let right = this.offset(b, offset)?;
            Ok((this.load_int(ty, left)?, this.load_int(ty, right)?))
        })
    }

    /// Whether memory starts with these bytes.
    pub fn starts_with(&mut self, a: Mem<'ctx>, bytes: &[u8]) -> Result<IntValue<'ctx>, Bug> {
        let words = pieces(bytes.len() as u32, a.align);
        self.same_words(&words, |this, offset, ty| {
            let mut word = 0u64;
            let from = &bytes[offset as usize..];
            for (i, byte) in from
                .iter()
                .take(ty.get_bit_width() as usize / 8)
                .enumerate()
            {
                word |= u64::from(*byte) << (8 * i);
            }
            let left = this.offset(a, offset)?;
            Ok((this.load_int(ty, left)?, ty.const_int(word, false)))
        })
    }

    fn same_words(
        &mut self,
        words: &[(u32, u32)],
        mut load: impl FnMut(
            &mut Self,
            u32,
            inkwell::types::IntType<'ctx>,
        ) -> Result<(IntValue<'ctx>, IntValue<'ctx>), Bug>,
    ) -> Result<IntValue<'ctx>, Bug> {
        if words.is_empty() {
            return Ok(self.bool(true));
        }
        let end = self.block("compared");
        let mut differing = Vec::new();
        // Eight words at a time, then a way out.
        for group in words.chunks(8) {
            let mut difference = self.i64(0);
            for (offset, bytes) in group {
                let (a, b) = load(self, *offset, self.int_type(*bytes))?;
                let xor = self.builder.build_xor(a, b, "")?;
                let xor = self.resize(xor, self.unit.i64, false)?;
                difference = self.builder.build_or(difference, xor, "")?;
            }
            let same = self.compare(IntPredicate::EQ, difference, self.i64(0))?;
            let next = self.block("same");
            differing.push(self.current()?);
            self.branch(same, next, end)?;
            self.enter(next);
        }
        let all_same = self.current()?;
        self.jump(end)?;
        self.enter(end);
        let phi = self.builder.build_phi(self.unit.bool, "")?;
        let (yes, no) = (self.bool(true), self.bool(false));
        phi.add_incoming(&[(&yes, all_same)]);
        for block in differing {
            phi.add_incoming(&[(&no, block)]);
        }
        Ok(phi.as_basic_value().into_int_value())
    }

    /// A statement such as `@m[key] = count()`.
    pub fn aggregate(
        &mut self,
        map: MapId,
        key: Option<&Expr>,
        update: &AggregateUpdate,
    ) -> Result<(), Bug> {
        let value = match update {
            AggregateUpdate::Count => self.i64(1),
            AggregateUpdate::Sum(value)
            | AggregateUpdate::Min(value)
            | AggregateUpdate::Max(value)
            | AggregateUpdate::Avg(value)
            | AggregateUpdate::Stats(value)
            | AggregateUpdate::Hist { value, .. }
            | AggregateUpdate::Lhist { value, .. }
            | AggregateUpdate::Tseries { value, .. } => self.int(value)?,
        };
        let key = self.key(map, key)?;
        let end = self.block("aggregated");
        let slot = self.find_or_insert(map, key, end)?;
        match update {
            AggregateUpdate::Count | AggregateUpdate::Sum(_) => self.bump(slot, 0, value)?,
            AggregateUpdate::Avg(_) | AggregateUpdate::Stats(_) => {
                self.bump(slot, 0, value)?;
                self.bump(slot, 8, self.i64(1))?;
            }
            AggregateUpdate::Min(_) | AggregateUpdate::Max(_) => {
                self.keep_extreme(map, slot, value)?;
            }
            AggregateUpdate::Hist { bits, .. } => {
                let value = self.unlinked(value)?;
                let bits = self.told_number(bits)?;
                let bucket = self.log2_bucket(value, bits)?;
                self.bump_bucket(map, slot, bucket)?;
            }
            AggregateUpdate::Lhist { min, max, step, .. } => {
                let value = self.unlinked(value)?;
                let bucket = self.linear_bucket(map, value, (min, max, step))?;
                self.bump_bucket(map, slot, bucket)?;
            }
            AggregateUpdate::Tseries { series, .. } => {
                let signed = self.is_signed_series(map);
                self.keep_in_series(slot, value, series, signed)?;
            }
        }
        self.jump(end)?;
        self.enter(end);
        Ok(())
    }

    fn bump(&mut self, slot: Mem<'ctx>, offset: u32, by: IntValue<'ctx>) -> Result<(), Bug> {
        let at = self.offset(slot, offset)?;
        let old = self.load_int(self.unit.i64, at)?;
        let new = self.add(old, by)?;
        self.store_int(at, new)
    }

    fn bump_bucket(
        &mut self,
        map: MapId,
        slot: Mem<'ctx>,
        bucket: IntValue<'ctx>,
    ) -> Result<(), Bug> {
        // The bound that the verifier sees; the index is never over it.
        let last = self.last_bucket(map)?;
        let bucket = self.at_most_of(bucket, last)?;
        let bytes = self.builder.build_left_shift(bucket, self.i64(3), "")?;
        let at = self.gep(slot.at, bytes)?;
        self.bump(Mem { at, align: 8 }, 0, self.i64(1))
    }

    /// The index of a histogram's last bucket.
    fn last_bucket(&self, map: MapId) -> Result<IntValue<'ctx>, Bug> {
        let buckets = self.buckets(&self.unit.manifest.maps[map.index()].value)?;
        Ok(self.builder.build_int_sub(buckets, self.i64(1), "")?)
    }

    fn keep_extreme(
        &mut self,
        map: MapId,
        slot: Mem<'ctx>,
        value: IntValue<'ctx>,
    ) -> Result<(), Bug> {
        let predicate = match &self.unit.program.maps[map.index()].value {
            Type::Aggregation(of) => more_extreme(of),
            _ => None,
        };
        let predicate = predicate.ok_or_else(|| Bug::new("an extreme of what keeps none"))?;
        let flag = self.offset(slot, 8)?;
        let old = self.load_int(self.unit.i64, slot)?;
        let set = self.load_int(self.unit.i64, flag)?;
        let unset = self.compare(IntPredicate::EQ, set, self.i64(0))?;
        let better = self.compare(predicate, value, old)?;
        let take = self.builder.build_or(unset, better, "")?;
        let store = self.block("extreme");
        let end = self.block("extreme_end");
        self.branch(take, store, end)?;
        self.enter(store);
        self.store_int(slot, value)?;
        self.store_int(flag, self.i64(1))?;
        self.jump(end)?;
        self.enter(end);
        Ok(())
    }

    /// The bucket that `abi::value::hist_buckets` documents, without branches on the logarithm: each would double
    /// what the verifier walks.
    fn log2_bucket(
        &mut self,
        n: IntValue<'ctx>,
        bits: IntValue<'ctx>,
    ) -> Result<IntValue<'ctx>, Bug> {
        let steps = self.builder.build_left_shift(self.i64(1), bits, "")?;
        let start = self.current()?;
        let small = self.block("hist_small");
        let large = self.block("hist_large");
        let end = self.block("hist_end");
        let negative = self.block("hist_sign");
        let below_zero = self.compare(IntPredicate::SLT, n, self.i64(0))?;
        self.branch(below_zero, end, negative)?;
        self.enter(negative);
        let exact = self.compare(IntPredicate::ULT, n, steps)?;
        self.branch(exact, small, large)?;
        self.enter(small);
        let small_bucket = self.add(n, self.i64(1))?;
        self.jump(end)?;
        self.enter(large);
        let mut rest = n;
        let mut log = self.i64(0);
        for shift in [5u64, 4, 3, 2, 1, 0] {
            let most = self.i64((1u64 << (1u64 << shift)) - 1);
            let over = self.builder.build_int_sub(most, rest, "")?;
            let over = self.opaque(over)?;
            let over = self
                .builder
                .build_right_shift(over, self.i64(63), false, "")?;
            let by = self.builder.build_left_shift(over, self.i64(shift), "")?;
            rest = self.builder.build_right_shift(rest, by, false, "")?;
            log = self.builder.build_or(log, by, "")?;
        }
        // 1 + ((log - bits + 1) << bits) + ((n >> (log - bits)) & mask)
        let power = self.builder.build_int_sub(log, bits, "")?;
        let row = self.add(power, self.i64(1))?;
        let row = self.builder.build_left_shift(row, bits, "")?;
        let safe = self.builder.build_and(power, self.i64(63), "")?;
        let part = self.builder.build_right_shift(n, safe, false, "")?;
        let mask = self.builder.build_int_sub(steps, self.i64(1), "")?;
        let part = self.builder.build_and(part, mask, "")?;
        let bucket = self.add(row, part)?;
        let large_bucket = self.add(bucket, self.i64(1))?;
        self.jump(end)?;
        self.enter(end);
        let phi = self.builder.build_phi(self.unit.i64, "bucket")?;
        let zero = self.i64(0);
        phi.add_incoming(&[
            (&zero, start),
            (&small_bucket, small),
            (&large_bucket, large),
        ]);
        Ok(phi.as_basic_value().into_int_value())
    }

    fn linear_bucket(
        &mut self,
        map: MapId,
        value: IntValue<'ctx>,
        (min, max, step): (&Number, &Number, &Number),
    ) -> Result<IntValue<'ctx>, Bug> {
        let last = self.last_bucket(map)?;
        let (min, max, step) = (
            self.told_number(min)?,
            self.told_number(max)?,
            self.told_number(step)?,
        );
        let low = self.compare(IntPredicate::SLT, value, min)?;
        let high = self.compare(IntPredicate::SGE, value, max)?;
        let from = self.builder.build_int_sub(value, min, "")?;
        let row = self.builder.build_int_unsigned_div(from, step, "")?;
        let row = self.add(row, self.i64(1))?;
        let row = self.select(high, last, row)?;
        self.select(low, self.i64(0), row)
    }
}

/// How a value compares with the kept one whose place it takes.
pub fn more_extreme(of: &Aggregation) -> Option<IntPredicate> {
    match of {
        Aggregation::Min { signed: true } => Some(IntPredicate::SLT),
        Aggregation::Min { signed: false } => Some(IntPredicate::ULT),
        Aggregation::Max { signed: true } => Some(IntPredicate::SGT),
        Aggregation::Max { signed: false } => Some(IntPredicate::UGT),
        _ => None,
    }
}
