//! Loops: plain ones that the verifier walks, and callbacks for long ranges and for maps.
//!
//! A callback is a function of its own. What it shares with the program (locals, the context, whether the probe
//! has returned) lies in a frame on the program's stack, whose address the helper hands on.

use inkwell::module::Linkage;
use inkwell::types::BasicMetadataTypeEnum;
use inkwell::values::{FunctionValue, IntValue, PointerValue};
use inkwell::{AtomicOrdering, AtomicRMWBinOp, IntPredicate};

use super::builder::Mem;
use super::expr::{Val, parameter_addend};
use super::helper::number;
use super::program::{Emitter, LoopExits, Stack};
use crate::bug::Bug;
use crate::ir::visit::{self, Node};
use crate::ir::{Context, Expr, ExprKind, LocalId, MapId, Origin, Step, Stmt, StmtKind, Type};

/// Constant ranges up to this many rounds are plain loops.
const PLAIN_ROUNDS: i64 = 64;
/// Larger locals live in scratch memory.
const LARGEST_IN_FRAME: u32 = 32;

/// Bytes of the frame before the locals: the context, then whether the probe has returned.
const RETURNED: u32 = 8;
const FIRST_LOCAL: u32 = 16;

#[derive(Clone)]
enum Home {
    Frame(u32),
    Scratch(u32),
}

/// What a program and its callbacks share.
#[derive(Clone)]
pub struct Frame<'ctx> {
    at: PointerValue<'ctx>,
    homes: Vec<Home>,
    /// Where the next callback loop over a range keeps its start.
    next_start: u32,
    /// What callbacks read and the program reads for them first, because only its own instructions can be patched for
    /// the target.
    hoisted: Vec<(Hoisted, u32)>,
    pub in_callback: bool,
}

/// What a program reads for its callbacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hoisted {
    Event(EventRead),
    Cookie,
}

/// A member of a tracepoint's record as a callback wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRead {
    pub field: String,
    pub addend: u32,
    /// `None`: its offset in the record.
    pub size: Option<u32>,
}

fn is_plain(start: &Expr, end: &Expr) -> bool {
    match (&start.kind, &end.kind) {
        (ExprKind::Integer(a), ExprKind::Integer(b)) => {
            (*b as i64).saturating_sub(*a as i64) <= PLAIN_ROUNDS
        }
        _ => false,
    }
}

impl<'ctx> Emitter<'_, '_, 'ctx> {
    /// Makes the frame where a loop of the probe needs one.
    pub fn make_frame(&mut self) -> Result<(), Bug> {
        let mut loops = 0;
        let mut reads = Vec::new();
        visit::statements(&self.probe.body, &mut |node| {
            if let Node::Stmt(stmt) = node {
                let body = match &stmt.kind {
                    StmtKind::ForMap { body, .. } => body,
                    StmtKind::ForRange {
                        start, end, body, ..
                    } if !is_plain(start, end) => body,
                    _ => return,
                };
                loops += 1;
                visit::statements(body, &mut |node| self.patched_reads(&node, &mut reads));
            }
        });
        if loops == 0 {
            return Ok(());
        }
        let mut at = FIRST_LOCAL;
        let mut homes = Vec::new();
        for local in &self.probe.locals {
            let size = self.unit.shapes.size(&local.ty).div_ceil(8).max(1) * 8;
            if size > LARGEST_IN_FRAME || at + size > 160 {
                homes.push(Home::Scratch(self.scratch_at));
                self.scratch_memory(size)?;
            } else {
                homes.push(Home::Frame(at));
                at += size;
            }
        }
        let starts = at;
        at += 8 * loops;
        let hoisted: Vec<(Hoisted, u32)> = reads
            .into_iter()
            .enumerate()
            .map(|(i, read)| (read, at + 8 * i as u32))
            .collect();
        let size = at + 8 * hoisted.len() as u32;
        let frame = self.alloca(size)?;
        self.stack.reserve(size);
        let mem = Mem {
            at: frame,
            align: 8,
        };
        self.builder.build_store(frame, self.context)?;
        let rest = self.offset(mem, RETURNED)?;
        self.zero(rest, size - RETURNED)?;
        for (read, home) in &hoisted {
            let value = match read {
                Hoisted::Cookie => self.cookie()?,
                Hoisted::Event(read) => match read.size {
                    Some(size) => self.event_load(&read.field, read.addend, size)?,
                    None => self.event_offset(&read.field, read.addend)?,
                },
            };
            let to = self.offset(mem, *home)?;
            self.store_int(to, value)?;
        }
        self.frame = Some(Frame {
            at: frame,
            homes,
            next_start: starts,
            hoisted,
            in_callback: false,
        });
        Ok(())
    }

    fn patched_context(&self, context: Context) -> Option<Hoisted> {
        match context {
            Context::Cookie | Context::MarkerArgument(_) => Some(Hoisted::Cookie),
            _ => Some(Hoisted::Event(EventRead {
                field: self.parameter(context).ok()??,
                addend: parameter_addend(context),
                size: Some(8),
            })),
        }
    }

    /// Notes what a callback's expression reads by instructions that the runtime may patch, each once.
    fn patched_reads(&self, node: &Node, reads: &mut Vec<Hoisted>) {
        let Node::Expr(expr) = node else { return };
        if let ExprKind::Context(context) = expr.kind
            && let Some(read) = self.patched_context(context)
            && !reads.contains(&read)
        {
            reads.push(read);
        }
        let (ExprKind::Load(place) | ExprKind::Address(place)) = &expr.kind else {
            return;
        };
        let types = &self.unit.program.types;
        let Some(Step::Member { record, member }) = place.steps.first() else {
            return;
        };
        let record = types.record(*record);
        let (Origin::Tracepoint { .. }, Some(member)) =
            (&record.origin, record.members.get(*member as usize))
        else {
            return;
        };
        // With a constant index the read is of the element, at its addend; other ways need the member's offset.
        let mut addend = 0;
        let mut constant = true;
        for step in &place.steps[1..] {
            match step {
                Step::Index { element, index, .. } if constant => match index.kind {
                    ExprKind::Integer(n) => addend += n as u32 * self.unit.shapes.size(element),
                    _ => constant = false,
                },
                _ => constant = false,
            }
        }
        let scalar = matches!(expr.kind, ExprKind::Load(_)) && Val::is_scalar(&expr.ty);
        let mut note = |addend, size| {
            let read = Hoisted::Event(EventRead {
                field: member.name.clone(),
                addend,
                size,
            });
            if !reads.contains(&read) {
                reads.push(read);
            }
        };
        if scalar && constant {
            note(addend, Some(self.unit.shapes.size(&expr.ty)));
        } else {
            note(addend, None);
        }
    }

    /// What the program read for its callbacks; `None` in the program itself.
    pub fn hoisted(&self, read: &Hoisted) -> Result<Option<IntValue<'ctx>>, Bug> {
        let Some(frame) = self.frame.as_ref().filter(|f| f.in_callback) else {
            return Ok(None);
        };
        let (_, home) = frame
            .hoisted
            .iter()
            .find(|(r, _)| r == read)
            .ok_or_else(|| Bug::new("a value that wasn't read for the callback"))?;
        let from = self.frame_word(*home)?;
        self.load_int(self.unit.i64, from).map(Some)
    }

    /// Where the frame keeps a local.
    pub fn frame_local(&mut self, index: usize) -> Result<Option<Mem<'ctx>>, Bug> {
        let Some(frame) = &self.frame else {
            return Ok(None);
        };
        let base = Mem {
            at: frame.at,
            align: 8,
        };
        match frame.homes.get(index).cloned() {
            Some(Home::Frame(at)) => self.offset(base, at).map(Some),
            Some(Home::Scratch(at)) => self.scratch_at_offset(at).map(Some),
            None => Err(Bug::new("a local without a home")),
        }
    }

    /// Makes the verifier forget what a callback left in a local. It walks a callback again for every state that it
    /// finds new, so a local that counts rounds would be walked a million times.
    pub fn forget_in_callback(&mut self, local: LocalId, mem: Mem<'ctx>) -> Result<(), Bug> {
        let frame = self.frame.as_ref().filter(|frame| frame.in_callback);
        let Some(Home::Frame(_)) = frame.and_then(|frame| frame.homes.get(local.index())) else {
            return Ok(());
        };
        let (_, ty) = self.local(local)?;
        let words = self.unit.shapes.size(ty).div_ceil(8);
        for word in 0..words {
            let at = self.offset(mem, 8 * word)?;
            let nothing = self.opaque(self.i64(0))?;
            self.add_in_place(at, nothing)?;
        }
        Ok(())
    }

    /// An atomic addition: after it the verifier takes the word for any number.
    fn add_in_place(&self, to: Mem<'ctx>, by: IntValue<'ctx>) -> Result<(), Bug> {
        self.builder
            .build_atomicrmw(AtomicRMWBinOp::Add, to.at, by, AtomicOrdering::Monotonic)?;
        Ok(())
    }

    fn frame_word(&self, offset: u32) -> Result<Mem<'ctx>, Bug> {
        let frame = self
            .frame
            .as_ref()
            .ok_or_else(|| Bug::new("a callback loop without a frame"))?;
        let base = Mem {
            at: frame.at,
            align: 8,
        };
        self.offset(base, offset)
    }

    pub fn return_from_probe(&mut self) -> Result<(), Bug> {
        if self.frame.as_ref().is_some_and(|f| f.in_callback) {
            let returned = self.frame_word(RETURNED)?;
            self.store_int(returned, self.i64(1))?;
            let exits = self.loops.first().copied();
            let exits = exits.ok_or_else(|| Bug::new("a callback outside of a loop"))?;
            return self.leave(exits.on_break);
        }
        self.leave(self.exit)
    }

    pub fn while_loop(&mut self, condition: &Expr, body: &[Stmt]) -> Result<(), Bug> {
        let (head, inside, end) = (
            self.block("while"),
            self.block("while_body"),
            self.block("while_end"),
        );
        self.jump(head)?;
        self.enter(head);
        let mark = self.mark();
        let go = self.int(condition)?;
        self.release(mark);
        self.branch(go, inside, end)?;
        self.enter(inside);
        self.inside(end, head, body)?;
        self.jump(head)?;
        self.enter(end);
        Ok(())
    }

    fn inside(
        &mut self,
        on_break: inkwell::basic_block::BasicBlock<'ctx>,
        on_continue: inkwell::basic_block::BasicBlock<'ctx>,
        body: &[Stmt],
    ) -> Result<(), Bug> {
        self.loops.push(LoopExits {
            on_break,
            on_continue,
        });
        let result = self.body(body);
        self.loops.pop();
        result
    }

    pub fn unroll(&mut self, count: u32, body: &[Stmt]) -> Result<(), Bug> {
        let end = self.block("unrolled");
        for _ in 0..count {
            let next = self.block("copy");
            self.inside(end, next, body)?;
            self.jump(next)?;
            self.enter(next);
        }
        self.jump(end)?;
        self.enter(end);
        Ok(())
    }

    pub fn for_range(
        &mut self,
        variable: LocalId,
        start: &Expr,
        end: &Expr,
        body: &[Stmt],
    ) -> Result<(), Bug> {
        if is_plain(start, end) {
            return self.plain_range(variable, start, end, body);
        }
        let from = self.int64(start)?;
        let to = self.int64(end)?;
        let some = self.compare(IntPredicate::SGT, to, from)?;
        let rounds = self.builder.build_int_sub(to, from, "")?;
        let rounds = self.select(some, rounds, self.i64(0))?;
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
        let frame = self.frame_word(0)?.at;
        self.helper(
            number::LOOP,
            &[
                rounds.into(),
                callback.into(),
                frame.into(),
                self.i64(0).into(),
            ],
        )?;
        self.after_callback()
    }

    fn plain_range(
        &mut self,
        variable: LocalId,
        start: &Expr,
        end: &Expr,
        body: &[Stmt],
    ) -> Result<(), Bug> {
        let from = self.int64(start)?;
        let to = self.int64(end)?;
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
        self.inside(done, next, body)?;
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
        let callback = self.callback(&parameters, |this, function| {
            let key = parameter(function, 1)?.into_pointer_value();
            let value = parameter(function, 2)?.into_pointer_value();
            this.element(variable, map, script_map, key, value)?;
            this.body(body)
        })?;
        let frame = self.frame_word(0)?.at;
        let map = self.map_pointer(map.0)?;
        self.helper(
            number::FOR_EACH_MAP,
            &[
                map.into(),
                callback.into(),
                frame.into(),
                self.i64(0).into(),
            ],
        )?;
        self.after_callback()
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
            let read = self.read_aggregation(map, key_to.at, aggregation)?;
            return self.store_scalar(value_to, read);
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

    /// The probe may have returned inside of a callback.
    fn after_callback(&mut self) -> Result<(), Bug> {
        let returned = self.frame_word(RETURNED)?;
        let returned = self.load_int(self.unit.i64, returned)?;
        let yes = self.compare(IntPredicate::NE, returned, self.i64(0))?;
        let (out, on) = (self.block("returned"), self.block("loop_end"));
        self.branch(yes, out, on)?;
        self.enter(out);
        self.return_from_probe()?;
        self.jump(on)?;
        self.enter(on);
        Ok(())
    }

    fn declare_callback(
        &mut self,
        parameters: &[(&str, bool)],
    ) -> Result<FunctionValue<'ctx>, Bug> {
        let types: Vec<BasicMetadataTypeEnum> = parameters
            .iter()
            .map(|(_, pointer)| {
                if *pointer {
                    self.unit.pointer_type().into()
                } else {
                    self.unit.i64.into()
                }
            })
            .collect();
        self.callbacks += 1;
        let name = format!("{}_loop{}", self.probe.program, self.callbacks);
        let ty = self.unit.i64.fn_type(&types, false);
        let function = self
            .unit
            .module
            .add_function(&name, ty, Some(Linkage::Internal));
        self.unit.no_unwind(function);
        Ok(function)
    }

    /// Emits a callback, and yields its address. The last parameter is the frame.
    fn callback(
        &mut self,
        parameters: &[(&str, bool)],
        body: impl FnOnce(&mut Self, FunctionValue<'ctx>) -> Result<(), Bug>,
    ) -> Result<PointerValue<'ctx>, Bug> {
        let function = self.declare_callback(parameters)?;
        let long = self
            .unit
            .di
            .basic("unsigned long", 64, super::debug_info::UNSIGNED)?;
        let types: Vec<_> = parameters
            .iter()
            .map(|(name, pointer)| {
                let ty = if *pointer {
                    self.unit.di.void_pointer
                } else {
                    long
                };
                (*name, ty)
            })
            .collect();
        let name = function.get_name().to_string_lossy().into_owned();
        let line = self.unit.options.line_column(self.probe.span).0;
        let subprogram = self.unit.di.function(function, &name, &types, line, true);
        let append = |name| self.unit.context.append_basic_block(function, name);
        let (entry, start, on_continue, on_break) = (
            append("entry"),
            append("body"),
            append("next"),
            append("stop"),
        );
        let outer_block = self.current()?;
        let outer_location = self.builder.get_current_debug_location();
        let outer = (
            std::mem::replace(&mut self.function, function),
            std::mem::replace(&mut self.subprogram, subprogram),
            std::mem::replace(&mut self.entry, entry),
            std::mem::replace(&mut self.exit, on_break),
            self.context,
            self.scratch,
            std::mem::replace(&mut self.scratch_used, false),
            std::mem::replace(&mut self.stack, Stack::for_callback()),
            std::mem::take(&mut self.locals),
            std::mem::replace(
                &mut self.loops,
                vec![LoopExits {
                    on_break,
                    on_continue,
                }],
            ),
            self.frame.clone(),
        );
        self.enter(entry);
        self.at(self.probe.span);
        self.scratch = self
            .builder
            .build_alloca(self.unit.pointer_type(), "scratch")?;
        self.enter(start);
        self.enter_frame(parameter(function, parameters.len() as u32 - 1)?.into_pointer_value())?;
        body(self, function)?;
        self.jump(on_continue)?;
        for (block, result) in [(on_continue, 0), (on_break, 1)] {
            self.enter(block);
            let result = self.i64(result);
            self.builder.build_return(Some(&result))?;
        }
        let stop = self.i64(1);
        self.finish_entry(start, stop)?;
        let next_start = self.frame.as_ref().map(|f| f.next_start);
        (
            self.function,
            self.subprogram,
            self.entry,
            self.exit,
            self.context,
            self.scratch,
            self.scratch_used,
            self.stack,
            self.locals,
            self.loops,
            self.frame,
        ) = outer;
        if let (Some(frame), Some(next)) = (&mut self.frame, next_start) {
            frame.next_start = next;
        }
        self.enter(outer_block);
        match outer_location {
            Some(location) => self.builder.set_current_debug_location(location),
            // Else what follows would belong to the callback.
            None => self.at(self.probe.span),
        }
        Ok(function.as_global_value().as_pointer_value())
    }

    /// Takes over what the frame holds.
    fn enter_frame(&mut self, at: PointerValue<'ctx>) -> Result<(), Bug> {
        match &mut self.frame {
            Some(frame) => {
                frame.at = at;
                frame.in_callback = true;
            }
            None => return Err(Bug::new("a callback without a frame")),
        }
        self.context = self.load_pointer(Mem { at, align: 8 })?;
        for index in 0..self.probe.locals.len() {
            if let Some(mem) = self.frame_local(index)? {
                self.locals.push(mem.at);
            }
        }
        Ok(())
    }

    /// The number of elements: a callback that counts.
    pub fn map_len(&mut self, map: MapId) -> Result<IntValue<'ctx>, Bug> {
        let parameters = [
            ("map", true),
            ("key", true),
            ("value", true),
            ("count", true),
        ];
        let function = self.declare_callback(&parameters)?;
        let name = function.get_name().to_string_lossy().into_owned();
        let types = parameters.map(|(name, _)| (name, self.unit.di.void_pointer));
        let line = self.unit.options.line_column(self.probe.span).0;
        let subprogram = self.unit.di.function(function, &name, &types, line, true);
        let here = self.current()?;
        let location = self.builder.get_current_debug_location();
        let outer = std::mem::replace(&mut self.subprogram, subprogram);
        let block = self.unit.context.append_basic_block(function, "entry");
        self.enter(block);
        self.at(self.probe.span);
        let count = Mem {
            at: parameter(function, 3)?.into_pointer_value(),
            align: 8,
        };
        // The verifier must not know the count: see `forget_in_callback`.
        self.add_in_place(count, self.i64(1))?;
        let go_on = self.i64(0);
        self.builder.build_return(Some(&go_on))?;
        self.subprogram = outer;
        self.enter(here);
        match location {
            Some(location) => self.builder.set_current_debug_location(location),
            None => self.at(self.probe.span),
        }
        let at = self.alloca(8)?;
        self.stack.reserve(8);
        let count = Mem { at, align: 8 };
        self.store_int(count, self.i64(0))?;
        let map = self.map_pointer(map.0)?;
        let callback = function.as_global_value().as_pointer_value();
        self.helper(
            number::FOR_EACH_MAP,
            &[map.into(), callback.into(), at.into(), self.i64(0).into()],
        )?;
        self.load_int(self.unit.i64, count)
    }
}

fn parameter<'ctx>(
    function: FunctionValue<'ctx>,
    index: u32,
) -> Result<inkwell::values::BasicValueEnum<'ctx>, Bug> {
    function
        .get_nth_param(index)
        .ok_or_else(|| Bug::new("a callback without its parameter"))
}
