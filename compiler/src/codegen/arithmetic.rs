//! Integer operators, and their answers where C has none: a division by zero is 1, as in bpftrace, wide shifts are BPF's.

use inkwell::IntPredicate;
use inkwell::values::IntValue;

use super::program::Emitter;
use crate::bug::Bug;
use crate::ir::BinaryOp;

impl<'ctx> Emitter<'_, '_, 'ctx> {
    /// An operator of the script's own: a division by zero is counted.
    pub fn operate(
        &mut self,
        op: BinaryOp,
        a: IntValue<'ctx>,
        b: IntValue<'ctx>,
        signed: bool,
    ) -> Result<IntValue<'ctx>, Bug> {
        self.count_if_by_zero(op, b)?;
        self.arithmetic(op, a, b, signed)
    }

    /// Counts a division whose divisor is zero.
    pub fn count_if_by_zero(&mut self, op: BinaryOp, divisor: IntValue<'ctx>) -> Result<(), Bug> {
        let divides = matches!(op, BinaryOp::Divide | BinaryOp::Modulo);
        let known = divisor.get_zero_extended_constant();
        if !divides || known.is_some_and(|n| n != 0) {
            return Ok(());
        }
        let (counted, end) = (self.block("by_zero"), self.block("divide"));
        let zero = divisor.get_type().const_zero();
        let by_zero = self.compare(IntPredicate::EQ, divisor, zero)?;
        self.branch(by_zero, counted, end)?;
        self.enter(counted);
        self.count_division()?;
        self.jump(end)?;
        self.enter(end);
        Ok(())
    }

    /// The average of no values is 0.
    pub fn average(
        &mut self,
        total: IntValue<'ctx>,
        count: IntValue<'ctx>,
        signed: bool,
    ) -> Result<IntValue<'ctx>, Bug> {
        let average = self.arithmetic(BinaryOp::Divide, total, count, signed)?;
        let zero = count.get_type().const_zero();
        let empty = self.compare(IntPredicate::EQ, count, zero)?;
        self.select(empty, zero, average)
    }

    pub fn arithmetic(
        &mut self,
        op: BinaryOp,
        a: IntValue<'ctx>,
        b: IntValue<'ctx>,
        signed: bool,
    ) -> Result<IntValue<'ctx>, Bug> {
        use BinaryOp as Op;
        let pick = |s, u| if signed { s } else { u };
        let predicate = match op {
            Op::Less => Some(pick(IntPredicate::SLT, IntPredicate::ULT)),
            Op::LessEqual => Some(pick(IntPredicate::SLE, IntPredicate::ULE)),
            Op::Greater => Some(pick(IntPredicate::SGT, IntPredicate::UGT)),
            Op::GreaterEqual => Some(pick(IntPredicate::SGE, IntPredicate::UGE)),
            Op::Equal => Some(IntPredicate::EQ),
            Op::NotEqual => Some(IntPredicate::NE),
            _ => None,
        };
        if let Some(predicate) = predicate {
            return self.compare(predicate, a, b);
        }
        let b_shift = || -> Result<IntValue<'ctx>, Bug> {
            let bits = u64::from(b.get_type().get_bit_width());
            let mask = b.get_type().const_int(bits - 1, false);
            Ok(self.builder.build_and(b, mask, "")?)
        };
        Ok(match op {
            Op::Add => self.builder.build_int_add(a, b, "")?,
            Op::Subtract => self.builder.build_int_sub(a, b, "")?,
            Op::Multiply => self.builder.build_int_mul(a, b, "")?,
            Op::BitAnd => self.builder.build_and(a, b, "")?,
            Op::BitOr => self.builder.build_or(a, b, "")?,
            Op::BitXor => self.builder.build_xor(a, b, "")?,
            Op::ShiftLeft => self.builder.build_left_shift(a, b_shift()?, "")?,
            Op::ShiftRight => self.builder.build_right_shift(a, b_shift()?, signed, "")?,
            Op::Divide => self.divide(a, b, signed, false)?,
            Op::Modulo => self.divide(a, b, signed, true)?,
            _ => return Err(Bug::new("not an arithmetic operator")),
        })
    }

    fn divide(
        &mut self,
        a: IntValue<'ctx>,
        b: IntValue<'ctx>,
        signed: bool,
        remainder: bool,
    ) -> Result<IntValue<'ctx>, Bug> {
        let ty = a.get_type();
        let zero = ty.const_zero();
        let one = ty.const_int(1, false);
        let by_zero = self.compare(IntPredicate::EQ, b, zero)?;
        let safe = self.select(by_zero, one, b)?;
        // CPU v3 divides unsigned only.
        let (x, y) = if signed {
            (self.magnitude(a)?, self.magnitude(safe)?)
        } else {
            (a, safe)
        };
        let result = if remainder {
            self.builder.build_int_unsigned_rem(x, y, "")?
        } else {
            self.builder.build_int_unsigned_div(x, y, "")?
        };
        let result = if signed {
            let sign = if remainder {
                a
            } else {
                self.builder.build_xor(a, safe, "")?
            };
            let negative = self.compare(IntPredicate::SLT, sign, zero)?;
            let negated = self.builder.build_int_neg(result, "")?;
            self.select(negative, negated, result)?
        } else {
            result
        };
        self.select(by_zero, one, result)
    }

    fn magnitude(&self, value: IntValue<'ctx>) -> Result<IntValue<'ctx>, Bug> {
        let negative = self.compare(IntPredicate::SLT, value, value.get_type().const_zero())?;
        let negated = self.builder.build_int_neg(value, "")?;
        self.select(negative, negated, value)
    }
}
