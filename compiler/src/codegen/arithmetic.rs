//! Integer operators with BPF's answers where C has none: division by zero, wide shifts.

use inkwell::IntPredicate;
use inkwell::values::IntValue;

use super::program::Emitter;
use crate::bug::Bug;
use crate::ir::BinaryOp;

impl<'ctx> Emitter<'_, '_, 'ctx> {
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
        self.select(by_zero, if remainder { a } else { zero }, result)
    }

    fn magnitude(&self, value: IntValue<'ctx>) -> Result<IntValue<'ctx>, Bug> {
        let negative = self.compare(IntPredicate::SLT, value, value.get_type().const_zero())?;
        let negated = self.builder.build_int_neg(value, "")?;
        self.select(negative, negated, value)
    }
}
