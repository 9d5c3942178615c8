//! `@m op= value`: one atomic change where CPUs share the element, so that no update is lost.

use btc_abi as abi;
use inkwell::basic_block::BasicBlock;
use inkwell::values::IntValue;
use inkwell::{AtomicOrdering, AtomicRMWBinOp, IntPredicate};

use super::builder::Mem;
use super::expr::is_signed;
use super::maps::{Yields, is_per_cpu};
use super::program::{Edition, Emitter};
use crate::bug::Bug;
use crate::ir::{BinaryOp, Expr, MapId};

/// How often a change is tried that other CPUs keep coming before.
const TRIES: u64 = 64;

/// A change that was made: the value before and after.
type Changed<'ctx> = (IntValue<'ctx>, IntValue<'ctx>);

impl<'ctx> Emitter<'_, '_, 'ctx> {
    /// The old or the new value, whichever is wanted; 0 where the element can't be inserted.
    pub fn map_step(
        &mut self,
        map: MapId,
        key: Option<&Expr>,
        op: BinaryOp,
        value: &Expr,
        yields: Yields,
    ) -> Result<IntValue<'ctx>, Bug> {
        let operand = self.int(value)?;
        self.count_if_by_zero(op, operand)?;
        let key = self.key(map, key)?;
        let end = self.block("stepped");
        let nothing = self.block("not_stepped");
        let slot = self.find_or_insert(map, key, nothing)?;
        let shared = !is_per_cpu(&self.map_kind(map));
        let wide = operand.get_type().get_bit_width() >= 32;
        let (old, new) = if shared && wide {
            self.shared_step(map, slot, (op, value), operand, yields)?
        } else {
            self.plain_step(slot, (op, value), operand)?
        };
        let result = match yields {
            Yields::Old => old,
            Yields::New => new,
            Yields::Nothing => old.get_type().const_zero(),
        };
        let stepped = self.current()?;
        self.jump(end)?;
        self.enter(nothing);
        self.jump(end)?;
        self.enter(end);
        let zero = result.get_type().const_zero();
        self.phi((result, stepped), (zero, nothing))
    }

    fn plain_step(
        &mut self,
        slot: Mem<'ctx>,
        (op, value): (BinaryOp, &Expr),
        operand: IntValue<'ctx>,
    ) -> Result<Changed<'ctx>, Bug> {
        let old = self.load_scalar(slot, &value.ty)?;
        let signed = is_signed(&value.ty, &self.unit.program.types);
        let new = self.arithmetic(op, old, operand, signed)?;
        self.store_scalar(slot, new)?;
        Ok((old, new))
    }

    fn shared_step(
        &mut self,
        map: MapId,
        slot: Mem<'ctx>,
        (op, value): (BinaryOp, &Expr),
        operand: IntValue<'ctx>,
        yields: Yields,
    ) -> Result<Changed<'ctx>, Bug> {
        let by = match op {
            BinaryOp::Subtract => self.builder.build_int_neg(operand, "")?,
            _ => operand,
        };
        let instruction = match op {
            BinaryOp::Add | BinaryOp::Subtract => AtomicRMWBinOp::Add,
            BinaryOp::BitAnd => AtomicRMWBinOp::And,
            BinaryOp::BitOr => AtomicRMWBinOp::Or,
            BinaryOp::BitXor => AtomicRMWBinOp::Xor,
            _ if self.edition == Edition::Floor => {
                return self.plain_step(slot, (op, value), operand);
            }
            _ => {
                self.needs(abi::Feature::AtomicUpdate);
                return self.exchange(map, slot, (op, value), operand);
            }
        };
        let adds = instruction == AtomicRMWBinOp::Add;
        match self.edition {
            Edition::Floor if adds => {
                // The oldest kernels' addition gives no value.
                let old = self.load_scalar(slot, &value.ty)?;
                self.add_in_place(slot, by)?;
                return Ok((old, self.add(old, by)?));
            }
            Edition::Floor => return self.plain_step(slot, (op, value), operand),
            Edition::Current if !adds => self.needs(abi::Feature::AtomicUpdate),
            Edition::Current if yields != Yields::Nothing => self.needs(abi::Feature::AtomicFetch),
            Edition::Current => {}
        }
        // The relaxed order makes it an instruction that gives no value.
        let order = match yields {
            Yields::Nothing => AtomicOrdering::Monotonic,
            Yields::Old | Yields::New => AtomicOrdering::SequentiallyConsistent,
        };
        let old = self
            .builder
            .build_atomicrmw(instruction, slot.at, by, order)?;
        let signed = is_signed(&value.ty, &self.unit.program.types);
        Ok((old, self.arithmetic(op, old, operand, signed)?))
    }

    /// Changes what is there only if it is still what was read, else again.
    fn exchange(
        &mut self,
        map: MapId,
        slot: Mem<'ctx>,
        (op, value): (BinaryOp, &Expr),
        operand: IntValue<'ctx>,
    ) -> Result<Changed<'ctx>, Bug> {
        let signed = is_signed(&value.ty, &self.unit.program.types);
        let first = self.load_scalar(slot, &value.ty)?;
        let before = self.current()?;
        let (head, retry, lost, done) = self.exchange_blocks();
        self.jump(head)?;
        self.enter(head);
        let tries = self.builder.build_phi(self.unit.i64, "tries")?;
        let held = self.builder.build_phi(first.get_type(), "held")?;
        let tries_now = self.opaque(tries.as_basic_value().into_int_value())?;
        let old = held.as_basic_value().into_int_value();
        let new = self.arithmetic(op, old, operand, signed)?;
        let order = AtomicOrdering::SequentiallyConsistent;
        let answer = self
            .builder
            .build_cmpxchg(slot.at, old, new, order, order)?;
        let found = self.builder.build_extract_value(answer, 0, "")?;
        let found = found.into_int_value();
        let same = self.compare(IntPredicate::EQ, found, old)?;
        let tried = self.current()?;
        self.branch(same, done, retry)?;
        self.enter(retry);
        let next = self.add(tries_now, self.i64(1))?;
        let more = self.compare(IntPredicate::ULT, next, self.i64(TRIES))?;
        self.branch(more, head, lost)?;
        let zero = self.i64(0);
        tries.add_incoming(&[(&zero, before), (&next, retry)]);
        held.add_incoming(&[(&first, before), (&found, retry)]);
        self.enter(lost);
        self.count(&abi::Counter::LostUpdates { map: map.0 })?;
        let lost_at = self.current()?;
        self.jump(done)?;
        self.enter(done);
        let changed = self.phi((new, tried), (found, lost_at))?;
        Ok((self.phi((old, tried), (found, lost_at))?, changed))
    }

    fn exchange_blocks(
        &self,
    ) -> (
        BasicBlock<'ctx>,
        BasicBlock<'ctx>,
        BasicBlock<'ctx>,
        BasicBlock<'ctx>,
    ) {
        (
            self.block("exchange"),
            self.block("exchange_again"),
            self.block("exchange_lost"),
            self.block("exchanged"),
        )
    }

    /// Notes what this program asks of its kernel that the oldest don't have.
    pub fn needs(&mut self, feature: abi::Feature) {
        if self.edition == Edition::Current && !self.features.contains(&feature) {
            self.features.push(feature);
        }
    }
}
