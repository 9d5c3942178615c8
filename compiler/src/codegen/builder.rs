//! A thin wrapper around inkwell's builder: each call is one instruction of a kind that BPF has.

use inkwell::IntPredicate;
use inkwell::basic_block::BasicBlock;
use inkwell::types::{BasicMetadataTypeEnum, IntType};
use inkwell::values::{
    AnyValue, BasicMetadataValueEnum, BasicValue, CallSiteValue, IntValue, PointerValue,
};

use super::program::Emitter;
use crate::bug::Bug;

/// An address in BPF memory, and what its address is a multiple of.
#[derive(Clone, Copy, Debug)]
pub struct Mem<'ctx> {
    pub at: PointerValue<'ctx>,
    pub align: u32,
}

impl<'ctx> Emitter<'_, '_, 'ctx> {
    pub fn i64(&self, value: u64) -> IntValue<'ctx> {
        self.unit.i64.const_int(value, false)
    }

    pub fn i32(&self, value: u32) -> IntValue<'ctx> {
        self.unit.i32.const_int(u64::from(value), false)
    }

    pub fn bool(&self, value: bool) -> IntValue<'ctx> {
        self.unit.bool.const_int(u64::from(value), false)
    }

    /// The integer type of so many bytes (1, 2, 4 or 8).
    pub fn int_type(&self, bytes: u32) -> IntType<'ctx> {
        match bytes {
            1 => self.unit.i8,
            2 => self.unit.i16,
            4 => self.unit.i32,
            _ => self.unit.i64,
        }
    }

    pub fn block(&self, name: &str) -> BasicBlock<'ctx> {
        self.unit.context.append_basic_block(self.function, name)
    }

    pub fn current(&self) -> Result<BasicBlock<'ctx>, Bug> {
        self.builder
            .get_insert_block()
            .ok_or_else(|| Bug::new("no block to emit into"))
    }

    /// Goes on emitting at the end of `block`.
    pub fn enter(&self, block: BasicBlock<'ctx>) {
        self.builder.position_at_end(block);
    }

    pub fn jump(&self, to: BasicBlock<'ctx>) -> Result<(), Bug> {
        if self.current()?.get_terminator().is_none() {
            self.builder.build_unconditional_branch(to)?;
        }
        Ok(())
    }

    pub fn branch(
        &self,
        condition: IntValue<'ctx>,
        then: BasicBlock<'ctx>,
        otherwise: BasicBlock<'ctx>,
    ) -> Result<(), Bug> {
        self.builder
            .build_conditional_branch(condition, then, otherwise)?;
        Ok(())
    }

    pub fn compare(
        &self,
        predicate: IntPredicate,
        a: IntValue<'ctx>,
        b: IntValue<'ctx>,
    ) -> Result<IntValue<'ctx>, Bug> {
        Ok(self.builder.build_int_compare(predicate, a, b, "")?)
    }

    pub fn add(&self, a: IntValue<'ctx>, b: IntValue<'ctx>) -> Result<IntValue<'ctx>, Bug> {
        Ok(self.builder.build_int_add(a, b, "")?)
    }

    pub fn select(
        &self,
        condition: IntValue<'ctx>,
        a: IntValue<'ctx>,
        b: IntValue<'ctx>,
    ) -> Result<IntValue<'ctx>, Bug> {
        Ok(self
            .builder
            .build_select(condition, a, b, "")?
            .into_int_value())
    }

    /// Two values from two blocks.
    pub fn phi(
        &self,
        a: (IntValue<'ctx>, BasicBlock<'ctx>),
        b: (IntValue<'ctx>, BasicBlock<'ctx>),
    ) -> Result<IntValue<'ctx>, Bug> {
        let phi = self.builder.build_phi(a.0.get_type(), "")?;
        phi.add_incoming(&[(&a.0, a.1), (&b.0, b.1)]);
        Ok(phi.as_basic_value().into_int_value())
    }

    pub fn phi_pointer(
        &self,
        a: (PointerValue<'ctx>, BasicBlock<'ctx>),
        b: (PointerValue<'ctx>, BasicBlock<'ctx>),
    ) -> Result<PointerValue<'ctx>, Bug> {
        let phi = self.builder.build_phi(self.unit.pointer_type(), "")?;
        phi.add_incoming(&[(&a.0, a.1), (&b.0, b.1)]);
        Ok(phi.as_basic_value().into_pointer_value())
    }

    /// `mem + bytes`
    pub fn offset(&self, mem: Mem<'ctx>, bytes: u32) -> Result<Mem<'ctx>, Bug> {
        if bytes == 0 {
            return Ok(mem);
        }
        let at = self.gep(mem.at, self.i64(u64::from(bytes)))?;
        let align = mem.align.min(1 << bytes.trailing_zeros().min(3));
        Ok(Mem { at, align })
    }

    pub fn gep(
        &self,
        at: PointerValue<'ctx>,
        bytes: IntValue<'ctx>,
    ) -> Result<PointerValue<'ctx>, Bug> {
        // SAFETY: plain byte arithmetic without `inbounds`; the verifier judges the access.
        Ok(unsafe { self.builder.build_gep(self.unit.i8, at, &[bytes], "")? })
    }

    pub fn load_int(&self, ty: IntType<'ctx>, mem: Mem<'ctx>) -> Result<IntValue<'ctx>, Bug> {
        let value = self.builder.build_load(ty, mem.at, "")?;
        self.set_align(value.as_instruction_value(), mem.align, ty)?;
        Ok(value.into_int_value())
    }

    pub fn load_pointer(&self, mem: Mem<'ctx>) -> Result<PointerValue<'ctx>, Bug> {
        let value = self
            .builder
            .build_load(self.unit.pointer_type(), mem.at, "")?;
        Ok(value.into_pointer_value())
    }

    pub fn store_int(&self, mem: Mem<'ctx>, value: IntValue<'ctx>) -> Result<(), Bug> {
        let store = self.builder.build_store(mem.at, value)?;
        self.set_align(Some(store), mem.align, value.get_type())
    }

    fn set_align(
        &self,
        instruction: Option<inkwell::values::InstructionValue<'ctx>>,
        align: u32,
        ty: IntType<'ctx>,
    ) -> Result<(), Bug> {
        let natural = ty.get_bit_width().div_ceil(8);
        let instruction = instruction.ok_or_else(|| Bug::new("not a memory instruction"))?;
        instruction
            .set_alignment(align.min(natural).max(1))
            .map_err(|error| Bug::new(format!("alignment: {error:?}")))
    }

    pub fn is_null(&self, pointer: PointerValue<'ctx>) -> Result<IntValue<'ctx>, Bug> {
        Ok(self.builder.build_is_null(pointer, "")?)
    }

    pub fn pointer_to_int(&self, pointer: PointerValue<'ctx>) -> Result<IntValue<'ctx>, Bug> {
        Ok(self.builder.build_ptr_to_int(pointer, self.unit.i64, "")?)
    }

    pub fn int_to_pointer(&self, value: IntValue<'ctx>) -> Result<PointerValue<'ctx>, Bug> {
        Ok(self
            .builder
            .build_int_to_ptr(value, self.unit.pointer_type(), "")?)
    }

    pub fn int_result(&self, call: CallSiteValue<'ctx>) -> Result<IntValue<'ctx>, Bug> {
        match call.as_any_value_enum() {
            inkwell::values::AnyValueEnum::IntValue(value) => Ok(value),
            _ => Err(Bug::new("a call without an integer result")),
        }
    }

    pub fn pointer_result(&self, call: CallSiteValue<'ctx>) -> Result<PointerValue<'ctx>, Bug> {
        match call.as_any_value_enum() {
            inkwell::values::AnyValueEnum::PointerValue(value) => Ok(value),
            _ => Err(Bug::new("a call without a pointer result")),
        }
    }

    fn raw_helper(
        &self,
        number: u32,
        arguments: &[BasicMetadataValueEnum<'ctx>],
        pointer: bool,
    ) -> Result<CallSiteValue<'ctx>, Bug> {
        let types: Vec<BasicMetadataTypeEnum> = arguments
            .iter()
            .map(|a| match a {
                BasicMetadataValueEnum::PointerValue(_) => self.unit.pointer_type().into(),
                _ => self.unit.i64.into(),
            })
            .collect();
        let ty = if pointer {
            self.unit.pointer_type().fn_type(&types, false)
        } else {
            self.unit.i64.fn_type(&types, false)
        };
        let function = self
            .i64(u64::from(number))
            .const_to_pointer(self.unit.pointer_type());
        Ok(self
            .builder
            .build_indirect_call(ty, function, arguments, "")?)
    }

    /// Calls a BPF helper; integer arguments are 64 bits wide.
    pub fn helper(
        &self,
        number: u32,
        arguments: &[BasicMetadataValueEnum<'ctx>],
    ) -> Result<IntValue<'ctx>, Bug> {
        let call = self.raw_helper(number, arguments, false)?;
        self.int_result(call)
    }

    /// Calls a BPF helper that returns a pointer or null.
    pub fn helper_pointer(
        &self,
        number: u32,
        arguments: &[BasicMetadataValueEnum<'ctx>],
    ) -> Result<PointerValue<'ctx>, Bug> {
        let call = self.raw_helper(number, arguments, true)?;
        self.pointer_result(call)
    }

    /// Hides a value from LLVM, so that what it knows doesn't undo a bound that the verifier must see.
    pub fn opaque(&self, value: IntValue<'ctx>) -> Result<IntValue<'ctx>, Bug> {
        self.in_place("", true, value)
    }

    /// A pointer of the verifier's as a plain number: it allows little arithmetic on pointers, and takes those that it
    /// trusts for others than NULL. After a negation it knows nothing of a register, whatever was in it (check_alu_op of
    /// kernel/bpf/verifier.c), and this costs no access to memory.
    pub fn number(&self, pointer: IntValue<'ctx>) -> Result<IntValue<'ctx>, Bug> {
        // Not LLVM's negation: it would undo the two.
        let negative = self.in_place("$0 = -$0", false, pointer)?;
        Ok(self.builder.build_int_neg(negative, "")?)
    }

    /// An address in BPF memory as a plain number.
    pub fn address_as_number(&self, at: PointerValue<'ctx>) -> Result<IntValue<'ctx>, Bug> {
        let address = self.pointer_to_int(at)?;
        self.number(address)
    }

    /// A copy that the verifier doesn't take for one: what it learns from comparing the copy says nothing of the value, and
    /// so parts no paths that are the same otherwise. An operation that changes nothing ends the link of two registers.
    pub fn unlinked(&self, value: IntValue<'ctx>) -> Result<IntValue<'ctx>, Bug> {
        if value.is_const() {
            return Ok(value);
        }
        self.in_place("$0 ^= 0", false, value)
    }

    /// No instruction, but a place with a number of its own in the function: LLVM unites no code before it with other code.
    /// The number is an operand, since a text that isn't empty would have a line of its own in the object's line table.
    pub fn landmark(&self, number: u32) -> Result<(), Bug> {
        let ty = self.unit.context.void_type();
        let ty = ty.fn_type(&[self.unit.i64.into()], false);
        let code = self.unit.context.create_inline_asm(
            ty,
            String::new(),
            "i".to_owned(),
            true,
            false,
            None,
            false,
        );
        let number = self.i64(u64::from(number));
        self.builder
            .build_indirect_call(ty, code, &[number.into()], "")?;
        Ok(())
    }

    /// One instruction, or none, on a register that holds the value.
    fn in_place(
        &self,
        instruction: &str,
        side_effects: bool,
        value: IntValue<'ctx>,
    ) -> Result<IntValue<'ctx>, Bug> {
        let ty = self.unit.i64.fn_type(&[self.unit.i64.into()], false);
        let code = self.unit.context.create_inline_asm(
            ty,
            instruction.to_owned(),
            "=r,0".to_owned(),
            side_effects,
            false,
            None,
            false,
        );
        let call = self
            .builder
            .build_indirect_call(ty, code, &[value.into()], "")?;
        self.int_result(call)
    }

    /// `value`, but at most `limit`; the verifier sees the bound.
    pub fn at_most(&self, value: IntValue<'ctx>, limit: u64) -> Result<IntValue<'ctx>, Bug> {
        self.at_most_of(value, self.i64(limit))
    }

    /// The same with a limit that the verifier knows and LLVM does not.
    pub fn at_most_of(
        &self,
        value: IntValue<'ctx>,
        limit: IntValue<'ctx>,
    ) -> Result<IntValue<'ctx>, Bug> {
        let value = self.opaque(value)?;
        let over = self.compare(IntPredicate::UGT, value, limit)?;
        let cut = self.select(over, limit, value)?;
        self.opaque(cut)
    }

    /// Widens or narrows an integer.
    pub fn resize(
        &self,
        value: IntValue<'ctx>,
        to: IntType<'ctx>,
        signed: bool,
    ) -> Result<IntValue<'ctx>, Bug> {
        let (from, bits) = (value.get_type().get_bit_width(), to.get_bit_width());
        Ok(if from == bits {
            value
        } else if from > bits {
            self.builder.build_int_truncate(value, to, "")?
        } else if signed && from > 1 {
            self.builder.build_int_s_extend(value, to, "")?
        } else {
            self.builder.build_int_z_extend(value, to, "")?
        })
    }
}
