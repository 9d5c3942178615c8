//! Functions that programs call to compare and search scratch memory. Their arguments are numbers alone, so the verifier
//! walks each function once, whatever calls it: loops over long strings cost a program nothing, on Linux 5.10 too.

use btc_abi as abi;
use inkwell::IntPredicate;
use inkwell::attributes::{Attribute, AttributeLoc};
use inkwell::debug_info::DISubprogram;
use inkwell::values::{BasicMetadataValueEnum, BasicValue, FunctionValue, IntValue, PointerValue};

use super::builder::Mem;
use super::debug_info::UNSIGNED;
use super::helper::number;
use super::module::Unit;
use super::program::Emitter;
use crate::bug::Bug;

/// What a function does. Memory is given by its offset in the scratch memory of a probe's program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shared {
    /// (probe, haystack, its length, needle, its length): where the needle starts, or -1.
    Find,
    /// (probe, haystack, how many starts to try, needle, its length): the same within a block.
    FindBlock,
    /// (probe, a, b, bytes): -1, 0 or 1.
    Compare,
    /// The same within a block.
    CompareBlock,
}

/// Bytes that one call of the inner function compares.
const COMPARED: u64 = 512;
/// Blocks that can be compared: more than the longest key has.
const COMPARED_BLOCKS: u64 = 1024;
/// Places that one call of the inner function looks at. What the verifier walks grows with its square.
const SEARCHED: u64 = 32;
/// Together 64 KiB, the longest string.
const SEARCHED_BLOCKS: u64 = 2048;
/// A word may be read at the last byte.
const MARGIN: u32 = 8;
const NOWHERE: u64 = u64::MAX;

impl Shared {
    /// Those that call others come first.
    const ALL: [Shared; 4] = [
        Shared::Find,
        Shared::FindBlock,
        Shared::Compare,
        Shared::CompareBlock,
    ];

    fn name(self) -> &'static str {
        match self {
            Shared::Find => "btc_find",
            Shared::FindBlock => "btc_find_block",
            Shared::Compare => "btc_compare",
            Shared::CompareBlock => "btc_compare_block",
        }
    }

    fn parameters(self) -> &'static [&'static str] {
        match self {
            Shared::Find => &[
                "probe",
                "haystack",
                "haystack_length",
                "needle",
                "needle_length",
            ],
            Shared::FindBlock => &["probe", "haystack", "starts", "needle", "needle_length"],
            Shared::Compare | Shared::CompareBlock => &["probe", "a", "b", "bytes"],
        }
    }
}

/// A function that is called, and defined when all programs are there.
#[derive(Clone, Copy)]
pub struct Declared<'ctx> {
    which: Shared,
    function: FunctionValue<'ctx>,
    subprogram: DISubprogram<'ctx>,
}

impl<'ctx> Unit<'_, 'ctx> {
    fn shared_function(&self, which: Shared) -> Result<FunctionValue<'ctx>, Bug> {
        let known = |declared: &&Declared<'ctx>| declared.which == which;
        if let Some(declared) = self.shared.borrow().iter().find(known) {
            return Ok(declared.function);
        }
        let names = which.parameters();
        let types = vec![self.i64.into(); names.len()];
        let ty = self.i64.fn_type(&types, false);
        let function = self.module.add_function(which.name(), ty, None);
        self.no_unwind(function);
        let no_inline = Attribute::get_named_enum_kind_id("noinline");
        let no_inline = self.context.create_enum_attribute(no_inline, 0);
        function.add_attribute(AttributeLoc::Function, no_inline);
        let long = self.di.basic("unsigned long", 64, UNSIGNED)?;
        let parameters: Vec<_> = names.iter().map(|name| (*name, long)).collect();
        let subprogram = self
            .di
            .function(function, which.name(), &parameters, 0, false);
        self.shared.borrow_mut().push(Declared {
            which,
            function,
            subprogram,
        });
        Ok(function)
    }

    /// Defines what is called. The bytes that an element of the scratch map must have.
    pub fn finish_shared(&self, scratch: u32) -> Result<u32, Bug> {
        if self.shared.borrow().is_empty() {
            return Ok(scratch);
        }
        let room = scratch.next_power_of_two();
        for which in Shared::ALL {
            let called = self.shared.borrow().clone();
            if let Some(declared) = called.into_iter().find(|one| one.which == which) {
                Definition::new(self, declared, room)?.emit()?;
            }
        }
        Ok(room + MARGIN)
    }
}

impl<'ctx> Emitter<'_, '_, 'ctx> {
    /// Scratch memory until the statement ends, and its offset.
    pub fn scratch_room(&mut self, bytes: u32) -> Result<(u32, Mem<'ctx>), Bug> {
        let offset = self.scratch_at;
        Ok((offset, self.scratch_memory(bytes)?))
    }

    fn call_shared(
        &mut self,
        which: Shared,
        arguments: [IntValue<'ctx>; 3],
        last: Option<IntValue<'ctx>>,
    ) -> Result<IntValue<'ctx>, Bug> {
        let function = self.unit.shared_function(which)?;
        let probe = self.i64(u64::from(self.probe_index));
        let mut all: Vec<BasicMetadataValueEnum> = vec![probe.into()];
        all.extend(arguments.map(BasicMetadataValueEnum::from));
        all.extend(last.map(BasicMetadataValueEnum::from));
        // Making room on the stack forgets it, and LLVM wants calls to have one.
        self.at(self.here);
        let call = self.builder.build_call(function, &all, "")?;
        self.int_result(call)
    }

    /// -1, 0 or 1 of so many bytes at two offsets of scratch memory.
    pub fn compare_scratch(
        &mut self,
        a: u32,
        b: u32,
        bytes: IntValue<'ctx>,
    ) -> Result<IntValue<'ctx>, Bug> {
        let (a, b) = (self.i64(u64::from(a)), self.i64(u64::from(b)));
        self.call_shared(Shared::Compare, [a, b, bytes], None)
    }

    /// Where a text in scratch memory starts in another, or -1; both with their lengths.
    pub fn find_scratch(
        &mut self,
        haystack: (u32, IntValue<'ctx>),
        needle: (u32, IntValue<'ctx>),
    ) -> Result<IntValue<'ctx>, Bug> {
        let at = self.i64(u64::from(haystack.0));
        let wanted = self.i64(u64::from(needle.0));
        self.call_shared(Shared::Find, [at, haystack.1, wanted], Some(needle.1))
    }
}

/// One function while it is defined.
struct Definition<'u, 'a, 'ctx> {
    emitter: Emitter<'u, 'a, 'ctx>,
    declared: Declared<'ctx>,
    arguments: Vec<IntValue<'ctx>>,
    /// The probe's scratch memory.
    base: PointerValue<'ctx>,
    mask: u64,
}

impl<'u, 'a, 'ctx> Definition<'u, 'a, 'ctx> {
    fn new(unit: &'u Unit<'a, 'ctx>, declared: Declared<'ctx>, room: u32) -> Result<Self, Bug> {
        let mut emitter = Emitter::of_function(unit, declared.function, declared.subprogram)?;
        let count = declared.which.parameters().len() as u32;
        let arguments: Vec<_> = (0..count)
            .filter_map(|n| declared.function.get_nth_param(n))
            .map(|value| value.into_int_value())
            .collect();
        let probe = arguments
            .first()
            .ok_or_else(|| Bug::new("a shared function without parameters"))?;
        let base = match declared.which {
            Shared::Find | Shared::Compare => unit.pointer_type().const_null(),
            Shared::FindBlock | Shared::CompareBlock => emitter.scratch_of(*probe)?,
        };
        Ok(Definition {
            emitter,
            declared,
            arguments,
            base,
            mask: u64::from(room) - 1,
        })
    }

    fn emit(mut self) -> Result<(), Bug> {
        match self.declared.which {
            Shared::Find => self.find(),
            Shared::FindBlock => self.find_block(),
            Shared::Compare => self.compare(),
            Shared::CompareBlock => self.compare_block(),
        }
    }

    fn give(&self, value: IntValue<'ctx>) -> Result<(), Bug> {
        let value: &dyn BasicValue = &value;
        self.emitter.builder.build_return(Some(value))?;
        Ok(())
    }

    /// Eight bytes at an offset, of whatever alignment: kernels that run these programs read such words in one go.
    fn word(&self, offset: IntValue<'ctx>) -> Result<IntValue<'ctx>, Bug> {
        let e = &self.emitter;
        let offset = e.opaque(offset)?;
        let inside = e.builder.build_and(offset, e.i64(self.mask), "")?;
        let at = e.gep(self.base, inside)?;
        e.load_int(e.unit.i64, Mem { at, align: 8 })
    }

    /// All bits of the first `bytes` bytes of a word.
    fn first_bytes(&self, bytes: IntValue<'ctx>) -> Result<IntValue<'ctx>, Bug> {
        let e = &self.emitter;
        let all = e.i64(u64::MAX);
        let bits = e.builder.build_left_shift(bytes, e.i64(3), "")?;
        let rest = e.builder.build_int_sub(e.i64(64), bits, "")?;
        let rest = e.builder.build_and(rest, e.i64(63), "")?;
        let some = e.builder.build_right_shift(all, rest, false, "")?;
        let short = e.compare(IntPredicate::ULT, bytes, e.i64(8))?;
        e.select(short, some, all)
    }

    /// `for (at = 0; at < rounds * stride && at < end; at += stride)`; the body gets `at` and where the next round starts.
    fn each(
        &mut self,
        (stride, rounds): (u64, u64),
        end: IntValue<'ctx>,
        body: impl FnOnce(&mut Self, IntValue<'ctx>) -> Result<(), Bug>,
    ) -> Result<(), Bug> {
        let before = self.emitter.current()?;
        let e = &self.emitter;
        let (head, bounded, inside, done) = (
            e.block("head"),
            e.block("bounded"),
            e.block("round"),
            e.block("done"),
        );
        e.jump(head)?;
        e.enter(head);
        let index = e.builder.build_phi(e.unit.i64, "at")?;
        let at = e.opaque(index.as_basic_value().into_int_value())?;
        let more = e.compare(IntPredicate::ULT, at, end)?;
        e.branch(more, bounded, done)?;
        e.enter(bounded);
        let sane = e.compare(IntPredicate::ULT, at, e.i64(stride * rounds))?;
        e.branch(sane, inside, done)?;
        e.enter(inside);
        body(self, at)?;
        let e = &self.emitter;
        let next = e.add(at, e.i64(stride))?;
        let last = e.current()?;
        e.jump(head)?;
        index.add_incoming(&[(&e.i64(0), before), (&next, last)]);
        e.enter(done);
        Ok(())
    }

    fn compare_block(&mut self) -> Result<(), Bug> {
        let (a, b, bytes) = (self.arguments[1], self.arguments[2], self.arguments[3]);
        self.each((8, COMPARED / 8), bytes, |this, at| {
            let left = this.word(this.emitter.add(a, at)?)?;
            let right = this.word(this.emitter.add(b, at)?)?;
            let e = &this.emitter;
            let rest = e.builder.build_int_sub(bytes, at, "")?;
            let wanted = this.first_bytes(rest)?;
            let left = e.builder.build_and(left, wanted, "")?;
            let right = e.builder.build_and(right, wanted, "")?;
            let (differs, same) = (e.block("differs"), e.block("same"));
            let equal = e.compare(IntPredicate::EQ, left, right)?;
            e.branch(equal, same, differs)?;
            e.enter(differs);
            // The first byte decides, which little-endian words have last.
            let (left, right) = (e.swap_bytes(left)?, e.swap_bytes(right)?);
            let less = e.compare(IntPredicate::ULT, left, right)?;
            this.give(e.select(less, e.i64(u64::MAX), e.i64(1))?)?;
            e.enter(same);
            Ok(())
        })?;
        self.give(self.emitter.i64(0))
    }

    fn compare(&mut self) -> Result<(), Bug> {
        let (a, b, bytes) = (self.arguments[1], self.arguments[2], self.arguments[3]);
        self.each((COMPARED, COMPARED_BLOCKS), bytes, |this, at| {
            let e = &this.emitter;
            let rest = e.builder.build_int_sub(bytes, at, "")?;
            let (a, b) = (e.add(a, at)?, e.add(b, at)?);
            let order = this.call(Shared::CompareBlock, &[a, b, rest])?;
            let e = &this.emitter;
            let (differs, same) = (e.block("differs"), e.block("same"));
            let equal = e.compare(IntPredicate::EQ, order, e.i64(0))?;
            e.branch(equal, same, differs)?;
            e.enter(differs);
            this.give(order)?;
            this.emitter.enter(same);
            Ok(())
        })?;
        self.give(self.emitter.i64(0))
    }

    fn find_block(&mut self) -> Result<(), Bug> {
        let (haystack, starts) = (self.arguments[1], self.arguments[2]);
        let (needle, length) = (self.arguments[3], self.arguments[4]);
        let wanted = self.first_bytes(length)?;
        let first = self.word(needle)?;
        self.each((1, SEARCHED), starts, |this, at| {
            let place = this.emitter.add(haystack, at)?;
            let word = this.word(place)?;
            let e = &this.emitter;
            let difference = e.builder.build_xor(word, first, "")?;
            let difference = e.builder.build_and(difference, wanted, "")?;
            let (candidate, long, found, next) = (
                e.block("candidate"),
                e.block("long"),
                e.block("found"),
                e.block("next"),
            );
            let begins = e.compare(IntPredicate::EQ, difference, e.i64(0))?;
            e.branch(begins, candidate, next)?;
            e.enter(candidate);
            let short = e.compare(IntPredicate::ULE, length, e.i64(8))?;
            e.branch(short, found, long)?;
            e.enter(long);
            let order = this.call(Shared::Compare, &[place, needle, length])?;
            let e = &this.emitter;
            let same = e.compare(IntPredicate::EQ, order, e.i64(0))?;
            e.branch(same, found, next)?;
            e.enter(found);
            this.give(at)?;
            this.emitter.enter(next);
            Ok(())
        })?;
        self.give(self.emitter.i64(NOWHERE))
    }

    fn find(&mut self) -> Result<(), Bug> {
        let (haystack, room) = (self.arguments[1], self.arguments[2]);
        let (needle, length) = (self.arguments[3], self.arguments[4]);
        let e = &self.emitter;
        let (empty, some, nowhere, search) = (
            e.block("empty"),
            e.block("some"),
            e.block("nowhere"),
            e.block("search"),
        );
        let nothing = e.compare(IntPredicate::EQ, length, e.i64(0))?;
        e.branch(nothing, empty, some)?;
        e.enter(empty);
        self.give(e.i64(0))?;
        e.enter(some);
        let longer = e.compare(IntPredicate::UGT, length, room)?;
        e.branch(longer, nowhere, search)?;
        e.enter(nowhere);
        self.give(e.i64(NOWHERE))?;
        e.enter(search);
        let starts = e.builder.build_int_sub(room, length, "")?;
        let starts = e.add(starts, e.i64(1))?;
        self.each((SEARCHED, SEARCHED_BLOCKS), starts, |this, at| {
            let e = &this.emitter;
            let rest = e.builder.build_int_sub(starts, at, "")?;
            let place = e.add(haystack, at)?;
            let within = this.call(Shared::FindBlock, &[place, rest, needle, length])?;
            let e = &this.emitter;
            let (found, next) = (e.block("found"), e.block("next"));
            let none = e.compare(IntPredicate::EQ, within, e.i64(NOWHERE))?;
            e.branch(none, next, found)?;
            e.enter(found);
            this.give(e.add(at, within)?)?;
            e.enter(next);
            Ok(())
        })?;
        self.give(self.emitter.i64(NOWHERE))
    }

    /// Calls another function for the same probe.
    fn call(&self, which: Shared, rest: &[IntValue<'ctx>]) -> Result<IntValue<'ctx>, Bug> {
        let e = &self.emitter;
        let function = e.unit.shared_function(which)?;
        let all: Vec<BasicMetadataValueEnum> = std::iter::once(&self.arguments[0])
            .chain(rest)
            .map(|value| (*value).into())
            .collect();
        let call = e.builder.build_call(function, &all, "")?;
        e.int_result(call)
    }
}

impl<'ctx> Emitter<'_, '_, 'ctx> {
    /// The scratch memory of a probe's program on this CPU; a function that finds none gives 0.
    fn scratch_of(&mut self, probe: IntValue<'ctx>) -> Result<PointerValue<'ctx>, Bug> {
        let key = self.builder.build_alloca(self.unit.i32, "key")?;
        let cpu = self.helper(number::PROCESSOR_ID, &[])?;
        let programs = self.i64(self.unit.program.probes.len() as u64);
        let row = self.builder.build_int_mul(cpu, programs, "")?;
        let index = self.add(row, probe)?;
        let index = self.resize(index, self.unit.i32, false)?;
        self.store_int(Mem { at: key, align: 4 }, index)?;
        let maps = &self.unit.manifest.maps;
        let scratch = maps.iter().position(|m| m.role == abi::MapRole::Scratch);
        let scratch = scratch.ok_or_else(|| Bug::new("no scratch memory"))? as u32;
        let found = self.lookup(scratch, key)?;
        let (missing, there) = (self.block("no_scratch"), self.block("scratch"));
        let null = self.is_null(found)?;
        self.branch(null, missing, there)?;
        self.enter(missing);
        let zero = self.i64(0);
        self.builder.build_return(Some(&zero))?;
        self.enter(there);
        Ok(found)
    }
}
