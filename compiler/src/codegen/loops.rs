//! Loops: plain ones that the verifier walks, callbacks for long ones and for maps, and long ones with a bound for kernels
//! that have no helper for them.

use inkwell::IntPredicate;
use inkwell::basic_block::BasicBlock;
use inkwell::values::{IntValue, PointerValue};

use super::builder::Mem;
use super::callback::{LEFT, Leaves, parameter};
use super::helper::number;
use super::program::{Emitter, LoopExits};
use super::rounds;
use crate::bug::Bug;
use crate::ir::{Expr, LocalId, MapId, Stmt, Type};

/// BPF_MAX_LOOPS of the kernel: rounds of one bpf_loop.
const MOST_ROUNDS: u64 = 1 << 23;
/// What the frame says where a callback left: the probe, or a scope (its number more).
const LEFT_PROBE: u64 = 1;
const LEFT_SCOPE: u64 = 2;

impl<'ctx> Emitter<'_, '_, 'ctx> {
    /// `return`
    pub fn return_from_probe(&mut self) -> Result<(), Bug> {
        if self.in_callback() {
            return self.leave_callback(LEFT_PROBE);
        }
        self.leave(self.exit)
    }

    fn leave_callback(&mut self, to: u64) -> Result<(), Bug> {
        let left = self.frame_word(LEFT)?;
        self.store_int(left, self.i64(to))?;
        self.stop_callback()
    }

    fn stop_callback(&mut self) -> Result<(), Bug> {
        let exits = self.loops.first().copied();
        let exits = exits.ok_or_else(|| Bug::new("a callback outside of a loop"))?;
        self.leave(exits.on_break)
    }

    /// Statements that may be left from within.
    pub fn scope(&mut self, scope: u32, body: &[Stmt]) -> Result<(), Bug> {
        let end = self.block("scope_end");
        self.scopes.push((scope, end));
        let result = self.body(body);
        self.scopes.pop();
        result?;
        self.jump(end)?;
        self.enter(end);
        Ok(())
    }

    pub fn leave_scope(&mut self, scope: u32) -> Result<(), Bug> {
        let known = self.scopes.iter().rev().find(|(known, _)| *known == scope);
        match known {
            Some((_, end)) => self.leave(*end),
            None if self.in_callback() => self.leave_callback(LEFT_SCOPE + u64::from(scope)),
            None => Err(Bug::new("a scope is left that isn't entered")),
        }
    }

    /// A callback may have left the probe or a scope.
    fn after_callback(&mut self, leaves: &Leaves) -> Result<(), Bug> {
        if !leaves.probe && leaves.scopes.is_empty() {
            return Ok(());
        }
        let left_at = self.frame_word(LEFT)?;
        let left = self.load_int(self.unit.i64, left_at)?;
        let yes = self.compare(IntPredicate::NE, left, self.i64(0))?;
        let (out, on) = (self.block("left"), self.block("loop_end"));
        self.branch(yes, out, on)?;
        self.enter(out);
        let here: Vec<_> = self.scopes.clone();
        for (scope, end) in here {
            if !leaves.scopes.contains(&scope) {
                continue;
            }
            let wanted = self.i64(LEFT_SCOPE + u64::from(scope));
            let (is_it, other) = (self.block("left_scope"), self.block("left_further"));
            let found = self.compare(IntPredicate::EQ, left, wanted)?;
            self.branch(found, is_it, other)?;
            self.enter(is_it);
            let at = self.frame_word(LEFT)?;
            self.store_int(at, self.i64(0))?;
            self.jump(end)?;
            self.enter(other);
        }
        if self.in_callback() {
            self.stop_callback()?;
        } else {
            self.leave(self.exit)?;
        }
        self.jump(on)?;
        self.enter(on);
        Ok(())
    }

    fn inside(
        &mut self,
        on_break: BasicBlock<'ctx>,
        on_continue: BasicBlock<'ctx>,
        body: impl FnOnce(&mut Self) -> Result<(), Bug>,
    ) -> Result<(), Bug> {
        self.loops.push(LoopExits {
            on_break,
            on_continue,
        });
        let result = body(self);
        self.loops.pop();
        result
    }

    pub fn unroll(&mut self, count: u32, body: &[Stmt]) -> Result<(), Bug> {
        let end = self.block("unrolled");
        let share = self.share;
        self.share = share.saturating_mul(count);
        for _ in 0..count {
            let next = self.block("copy");
            self.inside(end, next, |this| this.body(body))?;
            self.jump(next)?;
            self.enter(next);
        }
        self.share = share;
        self.jump(end)?;
        self.enter(end);
        Ok(())
    }

    pub fn while_loop(&mut self, stmt: &Stmt, condition: &Expr, body: &[Stmt]) -> Result<(), Bug> {
        if !self.calls_back() {
            return self.bounded(stmt, None, |this, _, inside, done| {
                let mark = this.mark();
                let go = this.int(condition)?;
                this.release(mark);
                this.branch(go, inside, done)?;
                this.enter(inside);
                this.body(body)
            });
        }
        let callback = self.callback(&[("index", false), ("frame", true)], |this, _| {
            let mark = this.mark();
            let go = this.int(condition)?;
            this.release(mark);
            let inside = this.block("while_body");
            let done = this.innermost()?.on_break;
            this.branch(go, inside, done)?;
            this.enter(inside);
            this.body(body)
        })?;
        let made = self.call_loop(self.i64(MOST_ROUNDS), callback)?;
        let all = self.compare(IntPredicate::UGE, made, self.i64(MOST_ROUNDS))?;
        self.count_cut_if(all, stmt, MOST_ROUNDS)?;
        self.after_callback(&Leaves::of(body, Some(condition)))
    }

    pub fn for_range(
        &mut self,
        stmt: &Stmt,
        variable: LocalId,
        (start, end): (&Expr, &Expr),
        body: &[Stmt],
    ) -> Result<(), Bug> {
        let from = self.int64(start)?;
        let to = self.int64(end)?;
        let known = rounds::constant(start, end);
        if rounds::is_plain(start, end, body) {
            let share = self.share;
            self.share = share.saturating_mul(known.unwrap_or(1).clamp(1, 64) as u32);
            let result = self.plain_range(variable, (from, to), body);
            self.share = share;
            return result;
        }
        if !self.calls_back() {
            return self.bounded(stmt, known, |this, round, inside, done| {
                let now = this.add(from, round)?;
                let go = this.compare(IntPredicate::SLT, now, to)?;
                this.branch(go, inside, done)?;
                this.enter(inside);
                let (mem, _) = this.local(variable)?;
                this.store_int(mem, now)?;
                this.body(body)
            });
        }
        let some = self.compare(IntPredicate::SGT, to, from)?;
        let rounds = self.builder.build_int_sub(to, from, "")?;
        let rounds = self.select(some, rounds, self.i64(0))?;
        let many = self.compare(IntPredicate::UGT, rounds, self.i64(MOST_ROUNDS))?;
        let rounds = self.select(many, self.i64(MOST_ROUNDS), rounds)?;
        let home = match &mut self.frame {
            Some(frame) => {
                frame.next_start += 8;
                frame.next_start - 8
            }
            None => return Err(Bug::new("a callback loop without a frame")),
        };
        let start_at = self.frame_word(home)?;
        self.store_int(start_at, from)?;
        let callback = self.callback(&[("index", false), ("frame", true)], |this, function| {
            let index = parameter(function, 0)?.into_int_value();
            let start_at = this.frame_word(home)?;
            let start = this.load_int(this.unit.i64, start_at)?;
            let value = this.add(start, index)?;
            let (mem, _) = this.local(variable)?;
            this.store_int(mem, value)?;
            this.body(body)
        })?;
        if let Some(frame) = &mut self.frame {
            frame.next_start = home;
        }
        let made = self.call_loop(rounds, callback)?;
        if known.is_none_or(|n| n as u64 > MOST_ROUNDS) {
            let all = self.compare(IntPredicate::UGE, made, self.i64(MOST_ROUNDS))?;
            let cut = self.builder.build_and(many, all, "")?;
            self.count_cut_if(cut, stmt, MOST_ROUNDS)?;
        }
        self.after_callback(&Leaves::of(body, None))
    }

    /// bpf_loop; yields the rounds that were made. It is not called for none: kernels that know the number beforehand never
    /// look at the callback then, drop it, and fail for a program that names it.
    fn call_loop(
        &mut self,
        rounds: IntValue<'ctx>,
        callback: PointerValue<'ctx>,
    ) -> Result<IntValue<'ctx>, Bug> {
        self.needs(btc_abi::Feature::LoopHelper);
        let frame = self.frame_word(0)?.at;
        let flags = self.i64(0);
        let (call, end) = (self.block("loop_call"), self.block("loop_called"));
        let rounds = self.opaque(rounds)?;
        let none = self.compare(IntPredicate::EQ, rounds, self.i64(0))?;
        let before = self.current()?;
        self.branch(none, end, call)?;
        self.enter(call);
        let made = self.helper(
            number::LOOP,
            &[rounds.into(), callback.into(), frame.into(), flags.into()],
        )?;
        let called = self.current()?;
        self.jump(end)?;
        self.enter(end);
        self.phi((made, called), (self.i64(0), before))
    }

    /// Counts a loop that was ended because it went around too often.
    fn count_cut_if(&mut self, cut: IntValue<'ctx>, stmt: &Stmt, rounds: u64) -> Result<(), Bug> {
        let (count, end) = (self.block("loop_cut"), self.block("loop_whole"));
        self.branch(cut, count, end)?;
        self.enter(count);
        self.count_cut(stmt.span, rounds as u32)?;
        self.jump(end)?;
        self.enter(end);
        Ok(())
    }

    /// A loop that the verifier walks to its bound. `round` decides whether there is another one, and makes it.
    fn bounded(
        &mut self,
        stmt: &Stmt,
        known: Option<i64>,
        round: impl FnOnce(
            &mut Self,
            IntValue<'ctx>,
            BasicBlock<'ctx>,
            BasicBlock<'ctx>,
        ) -> Result<(), Bug>,
    ) -> Result<(), Bug> {
        let outer = self.bound;
        let bound = outer.unwrap_or_else(|| rounds::bound(stmt, self.share));
        self.bound = Some(bound);
        let (head, within, cut, inside, next, done) = (
            self.block("bounded"),
            self.block("bounded_check"),
            self.block("bounded_cut"),
            self.block("bounded_body"),
            self.block("bounded_next"),
            self.block("bounded_end"),
        );
        let before = self.current()?;
        self.jump(head)?;
        self.enter(head);
        let round_phi = self.builder.build_phi(self.unit.i64, "round")?;
        // One register counts and is compared: the verifier knows it in every round.
        let now = self.opaque(round_phi.as_basic_value().into_int_value())?;
        let limit = self.i64(u64::from(bound.rounds));
        if known.is_some_and(|n| bound.whole || n <= i64::from(bound.rounds)) {
            self.jump(within)?;
        } else {
            let more = self.compare(IntPredicate::ULT, now, limit)?;
            self.branch(more, within, cut)?;
        }
        self.enter(within);
        // What LLVM learns from the body's comparisons must not become the count of the next round: where it knows that
        // there is none, the verifier may not.
        let shown = self.opaque(now)?;
        self.inside(done, next, |this| round(this, shown, inside, done))?;
        self.jump(next)?;
        self.enter(next);
        let after = self.add(now, self.i64(1))?;
        self.jump(head)?;
        let zero = self.i64(0);
        round_phi.add_incoming(&[(&zero, before), (&after, next)]);
        self.enter(cut);
        self.count_cut(stmt.span, bound.rounds)?;
        self.jump(done)?;
        self.enter(done);
        self.bound = outer;
        Ok(())
    }

    fn plain_range(
        &mut self,
        variable: LocalId,
        (from, to): (IntValue<'ctx>, IntValue<'ctx>),
        body: &[Stmt],
    ) -> Result<(), Bug> {
        let before = self.current()?;
        let (head, inside, next, done) = (
            self.block("for"),
            self.block("for_body"),
            self.block("for_next"),
            self.block("for_end"),
        );
        self.jump(head)?;
        self.enter(head);
        let index = self.builder.build_phi(self.unit.i64, "i")?;
        let now = index.as_basic_value().into_int_value();
        let go = self.compare(IntPredicate::SLT, now, to)?;
        self.branch(go, inside, done)?;
        self.enter(inside);
        let (mem, _) = self.local(variable)?;
        self.store_int(mem, now)?;
        self.inside(done, next, |this| this.body(body))?;
        self.jump(next)?;
        self.enter(next);
        let after = self.add(now, self.i64(1))?;
        self.jump(head)?;
        index.add_incoming(&[(&from, before), (&after, next)]);
        self.enter(done);
        Ok(())
    }

    pub fn for_map(&mut self, variable: LocalId, map: MapId, body: &[Stmt]) -> Result<(), Bug> {
        let parameters = [
            ("map", true),
            ("key", true),
            ("value", true),
            ("frame", true),
        ];
        let script_map = &self.unit.program.maps[map.index()];
        // A callback's rounds need no bound of ours.
        let bound = self.bound.take();
        let callback = self.callback(&parameters, |this, function| {
            let key = parameter(function, 1)?.into_pointer_value();
            let value = parameter(function, 2)?.into_pointer_value();
            this.element(variable, map, script_map, key, value)?;
            this.body(body)
        })?;
        self.bound = bound;
        let frame = self.frame_word(0)?.at;
        self.walk(map, callback, frame)?;
        self.after_callback(&Leaves::of(body, None))
    }

    /// Fills the loop's variable with key and value.
    fn element(
        &mut self,
        variable: LocalId,
        map: MapId,
        of: &crate::ir::Map,
        key: PointerValue<'ctx>,
        value: PointerValue<'ctx>,
    ) -> Result<(), Bug> {
        let (to, ty) = self.local(variable)?;
        let ty = ty.clone();
        let offsets = self.unit.shapes.offsets(&ty);
        let (Some(key_at), Some(value_at), Type::Tuple(types)) =
            (offsets.first(), offsets.get(1), &ty)
        else {
            return Err(Bug::new("a map loop's variable is no pair"));
        };
        let key_to = self.offset(to, *key_at)?;
        let size = types.first().map_or(0, |ty| self.unit.shapes.size(ty));
        let from = Mem { at: key, align: 8 };
        self.copy(key_to, from, size)?;
        let value_to = self.offset(to, *value_at)?;
        if let Type::Aggregation(aggregation) = &of.value {
            // The key as a helper's argument: the copy, which every kernel takes.
            return self.read_element(map, key_to.at, aggregation, value_to);
        }
        let size = types.get(1).map_or(0, |ty| self.unit.shapes.size(ty));
        self.copy(
            value_to,
            Mem {
                at: value,
                align: 8,
            },
            size,
        )
    }

    /// The number of elements: a callback that counts.
    pub fn map_len(&mut self, map: MapId) -> Result<IntValue<'ctx>, Bug> {
        let parameters = [
            ("map", true),
            ("key", true),
            ("value", true),
            ("count", true),
        ];
        let callback = self.small_callback(&parameters, |this, function| {
            let count = Mem {
                at: parameter(function, 3)?.into_pointer_value(),
                align: 8,
            };
            // The verifier must not know the count: see `forget_in_rounds`.
            this.add_in_place(count, this.i64(1))
        })?;
        let at = self.alloca(8)?;
        self.stack.reserve(8);
        let count = Mem { at, align: 8 };
        self.store_int(count, self.i64(0))?;
        self.walk(map, callback, at)?;
        self.load_int(self.unit.i64, count)
    }

    /// Calls a callback for each element of a map, with what the two share. LLVM must not make one call of two for
    /// different maps: kernels refuse that (`tail_call abusing map_ptr`).
    fn walk(
        &mut self,
        map: MapId,
        callback: PointerValue<'ctx>,
        shared: PointerValue<'ctx>,
    ) -> Result<(), Bug> {
        let map = self.map_pointer(map.0)?;
        let flags = self.i64(0);
        self.helper(
            number::FOR_EACH_MAP,
            &[map.into(), callback.into(), shared.into(), flags.into()],
        )?;
        self.landmark(self.callbacks)
    }
}

/// Loops of a body that no other long loop is around.
pub fn nests(body: &[Stmt]) -> u32 {
    let mut count = 0;
    for stmt in body {
        if rounds::is_long(stmt) {
            count += 1;
            continue;
        }
        crate::ir::visit::children(stmt, &mut |body| count += nests(body));
    }
    count
}
