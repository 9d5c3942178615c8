//! `write_user`: bytes of ours into a process's memory.

use inkwell::IntPredicate;
use inkwell::values::IntValue;

use super::helper::number;
use super::program::Emitter;
use crate::bug::Bug;
use crate::ir::{Expr, Type};

impl<'ctx> Emitter<'_, '_, 'ctx> {
    /// The helper's result; 0 where there is nothing to write.
    pub fn write_user(&mut self, to: &Expr, from: &Expr) -> Result<IntValue<'ctx>, Bug> {
        let Type::Buffer { size } = from.ty else {
            return Err(Bug::new("no buffer to write"));
        };
        let to = self.int64(to)?;
        let to = self.int_to_pointer(to)?;
        let buffer = self.mem(from)?;
        let length = self.load_int(self.unit.i32, buffer)?;
        let length = self.resize(length, self.unit.i64, false)?;
        let length = self.at_most(length, u64::from(size))?;
        let start = self.current()?;
        let (write, end) = (self.block("write"), self.block("written"));
        // The verifier takes a lower bound from this comparison; LLVM would make it one with 0, which old ones don't learn from.
        let one = self.opaque(self.i64(1))?;
        let none = self.compare(IntPredicate::ULT, length, one)?;
        self.branch(none, end, write)?;
        self.enter(write);
        let bytes = self.offset(buffer, 4)?;
        let result = self.helper(
            number::WRITE_USER,
            &[to.into(), bytes.at.into(), length.into()],
        )?;
        let wrote = self.current()?;
        self.jump(end)?;
        self.enter(end);
        self.phi((self.i64(0), start), (result, wrote))
    }
}
