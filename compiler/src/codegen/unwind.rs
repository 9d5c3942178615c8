//! `dw_ustack`: a user stack walked by the program itself, with the rows that the runtime made of unwind tables
//! ([`btc_abi::unwind`]). Only the stack pointer, the frame pointer and the instruction pointer are followed, which is all
//! that rows of compiled code ask for.
//!
//! The verifier walks every step of the loops on every path, so that decisions are arithmetic where they can be, and there is
//! one counter that it knows.

use std::mem::offset_of;

use btc_abi::unwind::{self, Mapping, Row, rule};
use btc_abi::{Attach, Counter, MapRole, TargetValue};
use inkwell::IntPredicate;
use inkwell::basic_block::BasicBlock;
use inkwell::values::{BasicValue as _, IntValue, PointerValue};

use super::builder::Mem;
use super::helper::number;
use super::program::Emitter;
use crate::bug::Bug;
use crate::ir::{Expr, RecordId};

/// Offsets in x86-64's struct pt_regs, and its size.
const FRAME_POINTER: u32 = 32;
const INSTRUCTION_POINTER: u32 = 128;
const CODE_SEGMENT: u32 = 136;
const STACK_POINTER: u32 = 152;
const REGISTERS: u32 = 168;
/// The code segment of 32-bit programs, which have other tables (__USER32_CS).
const CODE_SEGMENT_32: u64 = 0x23;
/// THREAD_SIZE of x86-64 kernels without KASAN; used for those that lack bpf_task_pt_regs alone (before 5.15).
const KERNEL_STACK: u64 = 16 << 10;
/// Offsets from the stack pointer at the return from a signal handler (struct ucontext): saved registers.
const SIGNAL_FRAME_POINTER: u64 = 120;
const SIGNAL_STACK_POINTER: u64 = 160;
const SIGNAL_INSTRUCTION_POINTER: u64 = 168;

/// A variable of the walk; LLVM makes a register of it.
type Cell<'ctx> = Mem<'ctx>;
/// A variable in scratch memory, whose value the verifier does not know: it would walk all that follows once for each
/// value that it knows.
#[derive(Clone, Copy)]
pub struct Hidden<'ctx>(Mem<'ctx>);

/// State and exits of a walk.
struct Walker<'ctx> {
    ip: Cell<'ctx>,
    sp: Cell<'ctx>,
    bp: Cell<'ctx>,
    /// 0: `ip` is where a call returns to, which may be in the next function already; 1: where the code was interrupted.
    exact: Hidden<'ctx>,
    /// 1: nothing is known of the code, and the runtime shall look.
    unknown: Hidden<'ctx>,
    /// Bytes of frames.
    filled: Hidden<'ctx>,
    hash: Hidden<'ctx>,
    /// Where addresses of user memory and keys are put.
    word: Mem<'ctx>,
    key: Mem<'ctx>,
    index: Mem<'ctx>,
    process: IntValue<'ctx>,
    /// After the outermost frame, or when there is no room for more.
    whole: BasicBlock<'ctx>,
    /// Where the walk can't go on.
    short: BasicBlock<'ctx>,
    /// The next frame.
    next: BasicBlock<'ctx>,
}

/// The table of an address.
struct Found<'ctx> {
    rows: PointerValue<'ctx>,
    /// As the table counts.
    address: IntValue<'ctx>,
}

impl<'ctx> Emitter<'_, '_, 'ctx> {
    /// Fills frames (zeroed, `size` bytes) from the innermost one on. How many bytes are filled, and their hash.
    pub fn walk_by_tables(
        &mut self,
        frames: Mem<'ctx>,
        size: IntValue<'ctx>,
        ask: RecordId,
        kernel_stack: &Expr,
    ) -> Result<(IntValue<'ctx>, IntValue<'ctx>), Bug> {
        let both = self.pid_tgid()?;
        let (head, store, body) = (
            self.block("unwind"),
            self.block("unwind_store"),
            self.block("unwind_frame"),
        );
        let walker = Walker {
            ip: self.cell()?,
            sp: self.cell()?,
            bp: self.cell()?,
            exact: self.hidden_cell()?,
            unknown: self.hidden_cell()?,
            filled: self.hidden_cell()?,
            hash: self.hidden_cell()?,
            word: self.temporary(16)?,
            key: self.temporary(unwind::KEY_SIZE)?,
            index: self.temporary(8)?,
            process: self
                .builder
                .build_right_shift(both, self.i64(32), false, "")?,
            whole: self.block("unwound"),
            short: self.block("unwound_short"),
            next: self.block("unwind_next"),
        };
        self.first_frame(&walker, kernel_stack)?;
        self.hide(walker.exact, self.i64(1))?;
        self.hide(walker.unknown, self.i64(0))?;
        self.hide(walker.filled, self.i64(0))?;
        self.hide(walker.hash, self.i64(super::stack::MIX))?;
        let before = self.current()?;
        self.jump(head)?;
        self.enter(head);
        let counted = self.builder.build_phi(self.unit.i64, "frames")?;
        let at = self.opaque(counted.as_basic_value().into_int_value())?;
        let last = self.builder.build_int_sub(size, self.i64(8), "")?;
        let room = self.compare(IntPredicate::ULE, at, last)?;
        self.branch(room, store, walker.whole)?;
        self.enter(store);
        let ip = self.load_int(self.unit.i64, walker.ip)?;
        let outermost = self.compare(IntPredicate::EQ, ip, self.i64(0))?;
        self.branch(outermost, walker.whole, body)?;
        self.enter(body);
        let to = Mem {
            at: self.gep(frames.at, at)?,
            align: 8,
        };
        self.store_int(to, ip)?;
        let more = self.add(at, self.i64(8))?;
        self.hide(walker.filled, more)?;
        let hash = self.reveal(walker.hash)?;
        let hash = self.hash_word(hash, ip)?;
        self.hide(walker.hash, hash)?;
        self.caller(&walker, ip)?;
        self.enter(walker.next);
        counted.add_incoming(&[(&self.i64(0), before), (&more, walker.next)]);
        self.jump(head)?;
        self.finish_walk(&walker, ask)
    }

    /// What was filled, once the walk has ended in one of its ways; a short one is counted, and rows are asked for.
    fn finish_walk(
        &mut self,
        walker: &Walker<'ctx>,
        ask: RecordId,
    ) -> Result<(IntValue<'ctx>, IntValue<'ctx>), Bug> {
        let (asking, end) = (self.block("unwind_ask"), self.block("unwind_end"));
        self.enter(walker.short);
        self.count(&Counter::ShortStacks)?;
        self.jump(walker.whole)?;
        self.enter(walker.whole);
        let unknown = self.reveal(walker.unknown)?;
        let unknown = self.compare(IntPredicate::NE, unknown, self.i64(0))?;
        self.branch(unknown, asking, end)?;
        self.enter(asking);
        self.ask_for_rows(ask, walker.process)?;
        self.jump(end)?;
        self.enter(end);
        Ok((self.reveal(walker.filled)?, self.reveal(walker.hash)?))
    }

    pub fn hidden_cell(&mut self) -> Result<Hidden<'ctx>, Bug> {
        self.scratch_memory(8).map(Hidden)
    }

    pub fn hide(&self, cell: Hidden<'ctx>, value: IntValue<'ctx>) -> Result<(), Bug> {
        self.store_int(cell.0, value)
    }

    /// Volatile: LLVM must not take the value from where it was stored.
    pub fn reveal(&self, cell: Hidden<'ctx>) -> Result<IntValue<'ctx>, Bug> {
        let value = self.load_int(self.unit.i64, cell.0)?;
        if let Some(instruction) = value.as_instruction_value() {
            let done = instruction.set_volatile(true);
            done.map_err(|error| Bug::new(format!("volatile load: {error:?}")))?;
        }
        Ok(value)
    }

    /// All ones where the lowest bit of `flags` that `bit` names is set, else 0.
    fn mask(&self, flags: IntValue<'ctx>, bit: u32) -> Result<IntValue<'ctx>, Bug> {
        let shift = self.i64(63 - u64::from(bit.trailing_zeros()));
        let top = self.builder.build_left_shift(flags, shift, "")?;
        self.sign(top)
    }

    /// All ones where a number is negative, else 0. LLVM would make a branch of it if it saw what it is for.
    fn sign(&self, value: IntValue<'ctx>) -> Result<IntValue<'ctx>, Bug> {
        let value = self.opaque(value)?;
        let sign = self
            .builder
            .build_right_shift(value, self.i64(63), true, "")?;
        self.opaque(sign)
    }

    /// `yes` where the mask is all ones, `no` where it is 0.
    fn either(
        &self,
        mask: IntValue<'ctx>,
        yes: IntValue<'ctx>,
        no: IntValue<'ctx>,
    ) -> Result<IntValue<'ctx>, Bug> {
        let differ = self.builder.build_xor(yes, no, "")?;
        let flip = self.builder.build_and(differ, mask, "")?;
        Ok(self.builder.build_xor(no, flip, "")?)
    }

    fn cell(&mut self) -> Result<Cell<'ctx>, Bug> {
        let at = self.alloca(8)?;
        Ok(Mem { at, align: 8 })
    }

    /// The registers of the user's code: those that hit a user probe, else those that it entered the kernel with.
    fn first_frame(&mut self, walker: &Walker<'ctx>, kernel_stack: &Expr) -> Result<(), Bug> {
        let of_user = matches!(
            self.probe.attach,
            Attach::Uprobe { .. } | Attach::Uretprobe { .. } | Attach::Usdt { .. }
        );
        let cells = [
            (walker.ip, INSTRUCTION_POINTER),
            (walker.sp, STACK_POINTER),
            (walker.bp, FRAME_POINTER),
        ];
        if of_user {
            for (cell, offset) in cells {
                let value = self.context_word(offset)?;
                self.store_int(cell, value)?;
            }
            return Ok(());
        }
        let registers = self.scratch_memory(REGISTERS)?;
        let at = self.registers_address(kernel_stack)?;
        let size = self.i64(u64::from(REGISTERS));
        // A failed read gives zeroes.
        self.helper(
            number::READ_KERNEL,
            &[registers.at.into(), size.into(), at.into()],
        )?;
        let segment = self.offset(registers, CODE_SEGMENT)?;
        let segment = self.load_int(self.unit.i64, segment)?;
        let segment = self.builder.build_and(segment, self.i64(0xffff), "")?;
        let ring = self.builder.build_and(segment, self.i64(3), "")?;
        let user = self.compare(IntPredicate::EQ, ring, self.i64(3))?;
        let wide = self.compare(IntPredicate::NE, segment, self.i64(CODE_SEGMENT_32))?;
        let usable = self.builder.build_and(user, wide, "")?;
        for (cell, offset) in cells {
            let from = self.offset(registers, offset)?;
            let value = self.load_int(self.unit.i64, from)?;
            // Without an instruction pointer there is no frame: a kernel thread.
            let value = self.select(usable, value, self.i64(0))?;
            self.store_int(cell, value)?;
        }
        Ok(())
    }

    /// Where the kernel saved the current task's user registers.
    fn registers_address(&mut self, kernel_stack: &Expr) -> Result<IntValue<'ctx>, Bug> {
        let has = TargetValue::HasHelper {
            number: number::TASK_PT_REGS,
        };
        let has = self.slot_of(&has)?;
        let has = has.ok_or_else(|| Bug::new("no slot says whether there is a helper"))?;
        let (asked, computed, end) = (
            self.block("registers_asked"),
            self.block("registers_computed"),
            self.block("registers"),
        );
        let has = self.compare(IntPredicate::NE, has, self.i64(0))?;
        self.branch(has, asked, computed)?;
        self.enter(asked);
        let task = self.helper_pointer(number::TASK_BTF, &[])?;
        let registers = self.helper_pointer(number::TASK_PT_REGS, &[task.into()])?;
        let by_helper = self.pointer_to_int(registers)?;
        let asked = self.current()?;
        self.jump(end)?;
        self.enter(computed);
        let stack = self.int64(kernel_stack)?;
        let top = KERNEL_STACK - u64::from(REGISTERS);
        let by_layout = self.add(stack, self.i64(top))?;
        let computed = self.current()?;
        self.jump(end)?;
        self.enter(end);
        self.phi((by_helper, asked), (by_layout, computed))
    }

    /// From a frame to its caller's.
    fn caller(&mut self, walker: &Walker<'ctx>, ip: IntValue<'ctx>) -> Result<(), Bug> {
        let exact = self.reveal(walker.exact)?;
        let pc = self.builder.build_int_sub(ip, self.i64(1), "")?;
        let pc = self.add(pc, exact)?;
        self.hide(walker.exact, self.i64(0))?;
        let by_frame_pointer = self.block("by_frame_pointer");
        let found = self.mapping(walker, pc, by_frame_pointer)?;
        let row = self.row(&found)?;
        self.follow_row(walker, ip, row)?;
        self.enter(by_frame_pointer);
        self.follow_frame_pointer(walker)
    }

    /// The table of an address of the process; goes to `by_frame_pointer` where there is none.
    fn mapping(
        &mut self,
        walker: &Walker<'ctx>,
        pc: IntValue<'ctx>,
        by_frame_pointer: BasicBlock<'ctx>,
    ) -> Result<Found<'ctx>, Bug> {
        self.store_int(walker.key, self.i32(unwind::KEY_BITS))?;
        let process = self.swap_bytes(walker.process)?;
        let process = self
            .builder
            .build_right_shift(process, self.i64(32), false, "")?;
        let process = self.resize(process, self.unit.i32, false)?;
        let at = self.offset(walker.key, 4)?;
        self.store_int(at, process)?;
        let at = self.offset(walker.key, 8)?;
        let address = self.swap_bytes(pc)?;
        self.store_int(at, address)?;
        let found = self.lookup(self.map_of(&MapRole::UnwindMappings)?, walker.key.at)?;
        let (new, known, mapped, has_table) = (
            self.block("new_process"),
            self.block("known_process"),
            self.block("mapped"),
            self.block("has_table"),
        );
        let null = self.is_null(found)?;
        self.branch(null, new, known)?;
        self.enter(new);
        // Code that nothing is known of may well keep no frame pointers: following them would make callers up.
        self.hide(walker.unknown, self.i64(1))?;
        self.jump(walker.short)?;
        self.enter(known);
        let mapping = Mem {
            at: found,
            align: 8,
        };
        let table = self.offset(mapping, offset_of!(Mapping, table) as u32)?;
        let table = self.load_int(self.unit.i32, table)?;
        let nothing = self.i32(unwind::NOTHING_KNOWN);
        let nothing = self.compare(IntPredicate::EQ, table, nothing)?;
        let ask = self.block("ask_again");
        self.branch(nothing, ask, mapped)?;
        self.enter(ask);
        self.ask_again(walker, mapping)?;
        self.jump(walker.short)?;
        self.enter(mapped);
        let bias = self.offset(mapping, offset_of!(Mapping, bias) as u32)?;
        let bias = self.load_int(self.unit.i64, bias)?;
        let address = self.add(pc, bias)?;
        let index = Mem {
            align: 4,
            ..walker.index
        };
        self.store_int(index, table)?;
        // FRAME_POINTERS is beyond the map's end.
        let tables = self.lookup(self.map_of(&MapRole::UnwindTables)?, walker.index.at)?;
        let null = self.is_null(tables)?;
        self.branch(null, by_frame_pointer, has_table)?;
        self.enter(has_table);
        self.store_int(index, self.i32(0))?;
        let arguments = [tables.into(), walker.index.at.into()];
        let rows = self.helper_pointer(number::MAP_LOOKUP, &arguments)?;
        let found = self.block("rows");
        let null = self.is_null(rows)?;
        self.branch(null, walker.short, found)?;
        self.enter(found);
        Ok(Found { rows, address })
    }

    /// Notes that the runtime shall look at the process again, if it was not asked just now.
    fn ask_again(&mut self, walker: &Walker<'ctx>, mapping: Mem<'ctx>) -> Result<(), Bug> {
        let asked_at = self.offset(mapping, offset_of!(Mapping, asked) as u32)?;
        let interval = self.offset(mapping, offset_of!(Mapping, interval) as u32)?;
        let now = self.helper(number::KTIME_NS, &[])?;
        let asked = self.load_int(self.unit.i64, asked_at)?;
        let interval = self.load_int(self.unit.i64, interval)?;
        let since = self.builder.build_int_sub(now, asked, "")?;
        let due = self.compare(IntPredicate::UGT, since, interval)?;
        let (note, end) = (self.block("asking"), self.block("asked"));
        self.branch(due, note, end)?;
        self.enter(note);
        self.store_int(asked_at, now)?;
        self.hide(walker.unknown, self.i64(1))?;
        self.jump(end)?;
        self.enter(end);
        Ok(())
    }

    /// The last row of a table whose address is not above the one that is looked for. The first row's is 0.
    fn row(&mut self, table: &Found<'ctx>) -> Result<Mem<'ctx>, Bug> {
        let (head, inside, done) = (
            self.block("search"),
            self.block("search_row"),
            self.block("search_end"),
        );
        let before = self.current()?;
        self.jump(head)?;
        self.enter(head);
        let step = self.builder.build_phi(self.unit.i64, "step")?;
        let low = self.builder.build_phi(self.unit.i64, "low")?;
        let low_now = low.as_basic_value().into_int_value();
        let step_now = self.opaque(step.as_basic_value().into_int_value())?;
        let over = self.compare(IntPredicate::EQ, step_now, self.i64(0))?;
        self.branch(over, done, inside)?;
        self.enter(inside);
        let middle = self.add(low_now, step_now)?;
        let row = self.row_at(table, middle)?;
        let starts = self.load_int(self.unit.i32, Mem { align: 4, ..row })?;
        let starts = self.resize(starts, self.unit.i64, false)?;
        let above = self.builder.build_int_sub(table.address, starts, "")?;
        let above = self.sign(above)?;
        let fits = self.builder.build_not(above, "")?;
        let taken = self.builder.build_and(step_now, fits, "")?;
        let low_next = self.add(low_now, taken)?;
        let half = self
            .builder
            .build_right_shift(step_now, self.i64(1), false, "")?;
        self.jump(head)?;
        let first_step = self.i64(u64::from(unwind::TABLE_ROWS) / 2);
        step.add_incoming(&[(&first_step, before), (&half, inside)]);
        low.add_incoming(&[(&self.i64(0), before), (&low_next, inside)]);
        self.enter(done);
        self.row_at(table, low_now)
    }

    /// A row of the table; the verifier sees that it is one.
    fn row_at(&self, table: &Found<'ctx>, index: IntValue<'ctx>) -> Result<Mem<'ctx>, Bug> {
        let index = self.opaque(index)?;
        let most = self.i64(u64::from(unwind::TABLE_ROWS - 1));
        let index = self.builder.build_and(index, most, "")?;
        let size = self.i64(u64::from(unwind::ROW_SIZE));
        let offset = self.builder.build_int_mul(index, size, "")?;
        let at = self.gep(table.rows, offset)?;
        Ok(Mem { at, align: 8 })
    }

    /// A signed member of a row.
    fn row_offset(&mut self, row: Mem<'ctx>, offset: usize) -> Result<IntValue<'ctx>, Bug> {
        let at = self.offset(row, offset as u32)?;
        let value = self.load_int(self.unit.i32, at)?;
        self.resize(value, self.unit.i64, true)
    }

    /// The caller by a row's rules.
    fn follow_row(
        &mut self,
        walker: &Walker<'ctx>,
        ip: IntValue<'ctx>,
        row: Mem<'ctx>,
    ) -> Result<(), Bug> {
        let rules = self.offset(row, offset_of!(Row, rules) as u32)?;
        let rules = self.load_int(self.unit.i32, rules)?;
        let rules = self.resize(rules, self.unit.i64, false)?;
        let cfa_offset = self.row_offset(row, offset_of!(Row, cfa_offset))?;
        let saved = self.row_offset(row, offset_of!(Row, frame_pointer_offset))?;
        let (special, plain) = (self.block("special"), self.block("rule"));
        let how = rule::KNOWN | rule::OUTERMOST | rule::SIGNAL;
        let how = self
            .builder
            .build_and(rules, self.i64(u64::from(how)), "")?;
        let known = self.i64(u64::from(rule::KNOWN));
        let usual = self.compare(IntPredicate::EQ, how, known)?;
        self.branch(usual, plain, special)?;
        self.enter(special);
        self.follow_special(walker, rules)?;
        self.enter(plain);
        let sp = self.load_int(self.unit.i64, walker.sp)?;
        let bp = self.load_int(self.unit.i64, walker.bp)?;
        let by_frame_pointer = self.mask(rules, rule::BY_FRAME_POINTER)?;
        let base = self.either(by_frame_pointer, bp, sp)?;
        let address = self.add(base, cfa_offset)?;
        // Entries of procedure linkage tables push eight bytes on their way.
        let low = self.builder.build_and(ip, self.i64(15), "")?;
        let before = self.builder.build_int_sub(low, saved, "")?;
        let before = self.sign(before)?;
        let pushed = self.builder.build_not(before, "")?;
        let in_plt = self.mask(rules, rule::PLT)?;
        let pushed = self.builder.build_and(pushed, in_plt, "")?;
        let more = self.builder.build_and(pushed, self.i64(8), "")?;
        let address = self.add(address, more)?;
        // What is not asked for is read all the same, at the stack pointer.
        let indirect = self.mask(rules, rule::INDIRECT)?;
        let at = self.either(indirect, address, sp)?;
        let (there, failed) = self.user_word(walker, at)?;
        let cfa = self.either(indirect, there, address)?;
        let (at_cfa, at_bp) = (
            self.mask(rules, rule::SAVED_AT_CFA)?,
            self.mask(rules, rule::SAVED_AT_FRAME_POINTER)?,
        );
        let is_saved = self.builder.build_or(at_cfa, at_bp, "")?;
        let base = self.either(at_cfa, cfa, bp)?;
        let at = self.add(base, saved)?;
        let at = self.either(is_saved, at, sp)?;
        let (there, failed_too) = self.user_word(walker, at)?;
        let failed = self.builder.build_or(failed, failed_too, "")?;
        let caller_bp = self.either(is_saved, there, bp)?;
        let at = self.builder.build_int_sub(cfa, self.i64(8), "")?;
        let (caller_ip, failed_too) = self.user_word(walker, at)?;
        let failed = self.builder.build_or(failed, failed_too, "")?;
        // The stack grows down: a caller that is not above is none, and a walk goes in no circles.
        let up = self.builder.build_int_sub(sp, cfa, "")?;
        let up = self.sign(up)?;
        let down = self.builder.build_not(up, "")?;
        let failed = self.builder.build_or(failed, down, "")?;
        self.go_on(walker, failed, [caller_ip, cfa, caller_bp])
    }

    /// Takes the caller's instruction, stack and frame pointer, unless something failed.
    fn go_on(
        &mut self,
        walker: &Walker<'ctx>,
        failed: IntValue<'ctx>,
        [ip, sp, bp]: [IntValue<'ctx>; 3],
    ) -> Result<(), Bug> {
        self.store_int(walker.ip, ip)?;
        self.store_int(walker.sp, sp)?;
        self.store_int(walker.bp, bp)?;
        let failed = self.compare(IntPredicate::NE, failed, self.i64(0))?;
        self.branch(failed, walker.short, walker.next)
    }

    /// Where a walk ends, and the return of a signal's handler to the code that the signal interrupted.
    fn follow_special(&mut self, walker: &Walker<'ctx>, rules: IntValue<'ctx>) -> Result<(), Bug> {
        let (known, signal) = (self.block("known_rule"), self.block("signal"));
        let has = self.has_rule(rules, rule::KNOWN)?;
        self.branch(has, known, walker.short)?;
        self.enter(known);
        let outermost = self.has_rule(rules, rule::OUTERMOST)?;
        self.branch(outermost, walker.whole, signal)?;
        self.enter(signal);
        let sp = self.load_int(self.unit.i64, walker.sp)?;
        let mut failed = self.i64(0);
        let mut registers = [failed; 3];
        let offsets = [
            SIGNAL_INSTRUCTION_POINTER,
            SIGNAL_STACK_POINTER,
            SIGNAL_FRAME_POINTER,
        ];
        for (register, offset) in registers.iter_mut().zip(offsets) {
            let address = self.add(sp, self.i64(offset))?;
            let (value, failed_too) = self.user_word(walker, address)?;
            failed = self.builder.build_or(failed, failed_too, "")?;
            *register = value;
        }
        self.hide(walker.exact, self.i64(1))?;
        self.go_on(walker, failed, registers)
    }

    fn has_rule(&self, rules: IntValue<'ctx>, bit: u32) -> Result<IntValue<'ctx>, Bug> {
        let found = self
            .builder
            .build_and(rules, self.i64(u64::from(bit)), "")?;
        self.compare(IntPredicate::NE, found, self.i64(0))
    }

    /// The caller by the frame pointer, in code without rows: what a run-time compiler made, or what is not known yet.
    fn follow_frame_pointer(&mut self, walker: &Walker<'ctx>) -> Result<(), Bug> {
        let sp = self.load_int(self.unit.i64, walker.sp)?;
        let bp = self.load_int(self.unit.i64, walker.bp)?;
        let (saved, failed) = self.user_word(walker, bp)?;
        let address = self.add(bp, self.i64(8))?;
        let (ip, failed_too) = self.user_word(walker, address)?;
        let failed = self.builder.build_or(failed, failed_too, "")?;
        let below = self.builder.build_int_sub(bp, sp, "")?;
        let below = self.sign(below)?;
        let failed = self.builder.build_or(failed, below, "")?;
        let sp = self.add(bp, self.i64(16))?;
        self.go_on(walker, failed, [ip, sp, saved])
    }

    /// Eight bytes of the user's memory, and a number that is not 0 where they can't be read.
    fn user_word(
        &mut self,
        walker: &Walker<'ctx>,
        address: IntValue<'ctx>,
    ) -> Result<(IntValue<'ctx>, IntValue<'ctx>), Bug> {
        let size = self.i64(8);
        let failed = self.helper(
            number::READ_USER,
            &[walker.word.at.into(), size.into(), address.into()],
        )?;
        Ok((self.load_int(self.unit.i64, walker.word)?, failed))
    }

    /// Sends the record that asks for a process's rows.
    fn ask_for_rows(&mut self, ask: RecordId, process: IntValue<'ctx>) -> Result<(), Bug> {
        let manifest = self.unit.manifest;
        let record = manifest.records.get(ask.index());
        let record = record.ok_or_else(|| Bug::new("no record asks for rows"))?;
        let field = record.fields.first().map_or(0, |field| field.offset);
        let ring = self.map_pointer(self.map_of(&MapRole::RingBuffer)?)?;
        let size = self.i64(u64::from(record.size));
        let at = self.helper_pointer(
            number::RINGBUF_RESERVE,
            &[ring.into(), size.into(), self.i64(0).into()],
        )?;
        let (room, end) = (self.block("ask_room"), self.block("ask_end"));
        let null = self.is_null(at)?;
        // Without room another event will ask.
        self.branch(null, end, room)?;
        self.enter(room);
        let to = Mem { at, align: 8 };
        self.header(to, ask)?;
        let to = self.offset(to, field)?;
        self.store_int(to, process)?;
        self.helper(number::RINGBUF_SUBMIT, &[at.into(), self.i64(0).into()])?;
        self.jump(end)?;
        self.enter(end);
        Ok(())
    }

    fn map_of(&self, role: &MapRole) -> Result<u32, Bug> {
        let maps = &self.unit.manifest.maps;
        let at = maps.iter().position(|map| map.role == *role);
        at.map(|at| at as u32)
            .ok_or_else(|| Bug::new("a map of unwinding is missing"))
    }
}
