//! Stacks: captured into scratch, hashed, kept in the map of their form under the hash.

use btc_abi as abi;
use inkwell::IntPredicate;
use inkwell::values::IntValue;

use super::builder::Mem;
use super::helper::number;
use super::maps::NO_EXIST;
use super::program::Emitter;
use crate::bug::Bug;
use crate::ir::{Expr, Type, Walk};
use crate::layout::StackMap;

/// BPF_F_USER_STACK and BPF_F_USER_BUILD_ID of linux/bpf.h.
const USER_STACK: u64 = 1 << 8;
const USER_BUILD_ID: u64 = 1 << 11;
/// Odd constants of the 64-bit golden ratio and its square root's neighbour: they mix well under multiplication.
pub const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

impl<'ctx> Emitter<'_, '_, 'ctx> {
    /// Captures a stack: `to` gets its key, and for user stacks the process.
    pub fn stack(&mut self, walk: &Walk, ty: &Type, to: Mem<'ctx>) -> Result<(), Bug> {
        let Type::Stack { kind, mode, limit } = ty else {
            return Err(Bug::new("a stack of no stack type"));
        };
        let user = *kind == abi::StackKind::User;
        let stacks = self.unit.shapes.stack_map(mode);
        let stacks = stacks.ok_or_else(|| Bug::new("no map of stacks"))?.clone();
        let size = self.frames_size(limit, stacks.frame())?;
        let map = stacks.map;
        let frames = self.scratch_memory(stacks.room())?;
        let (bytes, hashed) = match walk {
            Walk::Kernel => {
                if *limit != stacks.limit {
                    self.zero_behind(frames, limit, &stacks)?;
                }
                let bytes = self.kernel_walk(frames, size, user, stacks.build_ids)?;
                (bytes, None)
            }
            Walk::Tables { ask, stack } => {
                self.zero(frames, stacks.room())?;
                let (bytes, hash) = self.walk_by_tables(frames, size, *ask, stack)?;
                (bytes, Some(hash))
            }
        };
        let start = self.current()?;
        let captured = self.block("stack");
        let lost = self.block("stack_lost");
        let end = self.block("stack_end");
        let some = self.compare(IntPredicate::SGT, bytes, self.i64(0))?;
        self.branch(some, captured, end)?;
        self.enter(captured);
        let hash = match hashed {
            Some(hash) => hash,
            None => self.hash_frames(frames, size, bytes)?,
        };
        // 0 is no stack.
        let none = self.compare(IntPredicate::EQ, hash, self.i64(0))?;
        let hash = self.select(none, self.i64(1), hash)?;
        let key = self.temporary(8)?;
        self.store_int(key, hash)?;
        let map_at = self.map_pointer(map)?;
        let there = self.lookup(map, key.at)?;
        let known = self.is_null(there)?;
        let add = self.block("stack_new");
        let known_block = self.current()?;
        self.branch(known, add, end)?;
        self.enter(add);
        let result = self.helper(
            number::MAP_UPDATE,
            &[
                map_at.into(),
                key.at.into(),
                frames.at.into(),
                self.i64(NO_EXIST).into(),
            ],
        )?;
        // EEXIST: another CPU was first.
        let ok = self.compare(IntPredicate::SGE, result, self.i64(0))?;
        let exists = self.compare(IntPredicate::EQ, result, self.i64(-17i64 as u64))?;
        let kept = self.builder.build_or(ok, exists, "")?;
        let add_block = self.current()?;
        self.branch(kept, end, lost)?;
        self.enter(lost);
        self.count(&abi::Counter::LostStacks)?;
        let lost_block = self.current()?;
        self.jump(end)?;
        self.enter(end);
        let phi = self.builder.build_phi(self.unit.i64, "stack_id")?;
        let none = self.i64(0);
        phi.add_incoming(&[
            (&none, start),
            (&hash, known_block),
            (&hash, add_block),
            (&none, lost_block),
        ]);
        self.store_int(to, phi.as_basic_value().into_int_value())?;
        if user {
            self.store_tgid(to)?;
        }
        Ok(())
    }

    /// Bytes of so many frames.
    fn frames_size(&self, limit: &abi::Number, frame: u32) -> Result<IntValue<'ctx>, Bug> {
        let shift = self.i64(u64::from(frame.trailing_zeros()));
        let limit = self.told_number(limit)?;
        Ok(self.builder.build_left_shift(limit, shift, "")?)
    }

    /// Zeroes what a stack of fewer frames leaves of the room that the map's values have.
    fn zero_behind(
        &mut self,
        frames: Mem<'ctx>,
        limit: &abi::Number,
        stacks: &StackMap,
    ) -> Result<(), Bug> {
        let frame = stacks.frame();
        if let (Some(limit), Some(most)) = (limit.constant(), stacks.limit.constant()) {
            let size = limit as u32 * frame;
            let rest = self.offset(frames, size)?;
            return self.zero(rest, most as u32 * frame - size);
        }
        // All of it, since only the run knows how much is behind. A failed read zeroes its destination.
        let room = self.frames_size(&stacks.limit, frame)?;
        let null = self.unit.pointer_type().const_null();
        let arguments = [frames.at.into(), room.into(), null.into()];
        self.helper(number::READ_KERNEL, &arguments)?;
        Ok(())
    }

    /// The bytes of frames, or a negative number. The helper zeroes what it doesn't fill, and all of it when it fails.
    fn kernel_walk(
        &mut self,
        frames: Mem<'ctx>,
        size: IntValue<'ctx>,
        user: bool,
        build_ids: bool,
    ) -> Result<IntValue<'ctx>, Bug> {
        let mut flags = if user { USER_STACK } else { 0 };
        if build_ids {
            flags |= USER_BUILD_ID;
        }
        let context = self.context;
        let flags = self.i64(flags);
        self.helper(
            number::GET_STACK,
            &[context.into(), frames.at.into(), size.into(), flags.into()],
        )
    }

    /// A hash with one word more.
    pub fn hash_word(
        &self,
        hash: IntValue<'ctx>,
        word: IntValue<'ctx>,
    ) -> Result<IntValue<'ctx>, Bug> {
        let mixed = self.builder.build_xor(hash, word, "")?;
        let mixed = self.builder.build_int_mul(mixed, self.i64(MIX), "")?;
        let high = self
            .builder
            .build_right_shift(mixed, self.i64(29), false, "")?;
        Ok(self.builder.build_xor(mixed, high, "")?)
    }

    /// A hash of the captured frames. The loop ends with the frames.
    fn hash_frames(
        &mut self,
        frames: Mem<'ctx>,
        size: IntValue<'ctx>,
        bytes: IntValue<'ctx>,
    ) -> Result<IntValue<'ctx>, Bug> {
        let bytes = self.unlinked(bytes)?;
        let before = self.current()?;
        let head = self.block("hash");
        let bounded = self.block("hash_bounded");
        let body = self.block("hash_body");
        let end = self.block("hash_end");
        self.jump(head)?;
        self.enter(head);
        let offset = self.builder.build_phi(self.unit.i64, "offset")?;
        let hash = self.builder.build_phi(self.unit.i64, "hash")?;
        let h = hash.as_basic_value().into_int_value();
        // One register counts, is compared and is added to the address: the verifier sees its bound.
        let at = self.opaque(offset.as_basic_value().into_int_value())?;
        let more = self.compare(IntPredicate::ULT, at, bytes)?;
        self.branch(more, bounded, end)?;
        self.enter(bounded);
        let last = self.builder.build_int_sub(size, self.i64(8), "")?;
        let sane = self.compare(IntPredicate::ULE, at, last)?;
        self.branch(sane, body, end)?;
        self.enter(body);
        let frame = self.gep(frames.at, at)?;
        let mem = Mem {
            at: frame,
            align: 8,
        };
        let frame = self.load_int(self.unit.i64, mem)?;
        let mixed = self.hash_word(h, frame)?;
        let next = self.add(at, self.i64(8))?;
        self.jump(head)?;
        let seed = self.i64(MIX);
        let zero = self.i64(0);
        offset.add_incoming(&[(&zero, before), (&next, body)]);
        hash.add_incoming(&[(&seed, before), (&mixed, body)]);
        self.enter(end);
        Ok(h)
    }

    /// How many frames were captured: those before the first that is zero.
    pub fn stack_length(&mut self, stack: &Expr) -> Result<IntValue<'ctx>, Bug> {
        let Type::Stack { mode, .. } = &stack.ty else {
            return Err(Bug::new("frames of no stack"));
        };
        let stacks = self.unit.shapes.stack_map(mode);
        let stacks = stacks.ok_or_else(|| Bug::new("no map of stacks"))?;
        let (map, width) = (stacks.map, u64::from(stacks.frame()));
        let limit = stacks.limit.clone();
        let stack = self.mem(stack)?;
        let id = self.load_int(self.unit.i64, stack)?;
        let key = self.temporary(8)?;
        self.store_int(key, id)?;
        let frames = self.lookup(map, key.at)?;
        let missing = self.is_null(frames)?;
        let before = self.current()?;
        let (head, body, end) = (
            self.block("frame"),
            self.block("frame_body"),
            self.block("frames"),
        );
        self.branch(missing, end, head)?;
        self.enter(head);
        let offset = self.builder.build_phi(self.unit.i64, "offset")?;
        let at = self.opaque(offset.as_basic_value().into_int_value())?;
        let size = self.frames_size(&limit, width as u32)?;
        let more = self.compare(IntPredicate::ULT, at, size)?;
        self.branch(more, body, end)?;
        self.enter(body);
        let frame = Mem {
            at: self.gep(frames, at)?,
            align: 8,
        };
        // A frame of a build ID begins with its status, which is 0 where there is none.
        let frame = self.load_int(self.unit.i64, frame)?;
        let next = self.add(at, self.i64(width))?;
        let some = self.compare(IntPredicate::NE, frame, self.i64(0))?;
        let again = self.block("frame_next");
        self.branch(some, again, end)?;
        self.enter(again);
        self.jump(head)?;
        let zero = self.i64(0);
        offset.add_incoming(&[(&zero, before), (&next, again)]);
        self.enter(end);
        let bytes = self.builder.build_phi(self.unit.i64, "bytes")?;
        bytes.add_incoming(&[(&zero, before), (&at, head), (&at, body)]);
        let bytes = bytes.as_basic_value().into_int_value();
        let shift = self.i64(u64::from(width.trailing_zeros()));
        let frames = self.builder.build_right_shift(bytes, shift, false, "")?;
        // Or the verifier would walk what follows once for each length.
        let cell = self.hidden_cell()?;
        self.hide(cell, frames)?;
        self.reveal(cell)
    }
}
