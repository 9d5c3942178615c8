//! Callbacks: functions of their own that a helper calls for each round of a loop or each element of a map.
//!
//! What a callback shares with the program (locals, the context, where it leaves to) lies in a frame on the program's stack,
//! whose address the helper hands on.

use inkwell::module::Linkage;
use inkwell::types::BasicMetadataTypeEnum;
use inkwell::values::{BasicValueEnum, FunctionValue, IntValue, PointerValue};
use inkwell::{AtomicOrdering, AtomicRMWBinOp};

use super::builder::Mem;
use super::expr::{Val, parameter_addend};
use super::program::{Edition, Emitter, LoopExits, Stack};
use super::rounds;
use crate::bug::Bug;
use crate::ir::visit::{self, Node};
use crate::ir::{Context, Expr, ExprKind, LocalId, Origin, Step, Stmt, StmtKind};

/// Larger locals live in scratch memory.
const LARGEST_IN_FRAME: u32 = 32;

/// Callbacks within each other; with the program and what small callbacks add they come to the kernel's 8 frames.
pub const MOST_NESTED: u32 = 6;

/// Bytes of the frame before the locals: the context, where a callback left to, and a zero that the verifier doesn't know.
pub const LEFT: u32 = 8;
const NOTHING: u32 = 16;
const FIRST_LOCAL: u32 = 24;

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
    /// Where the next callback loop over a range keeps its start; loops within each other have their own.
    pub next_start: u32,
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

/// Loops within each other that need words of the frame.
pub fn nested_loops(body: &[Stmt]) -> u32 {
    let mut deepest = 0;
    for stmt in body {
        let mut inside = 0;
        visit::children(stmt, &mut |body| inside = inside.max(nested_loops(body)));
        let own = rounds::is_long(stmt) || matches!(stmt.kind, StmtKind::ForMap { .. });
        deepest = deepest.max(inside + u32::from(own));
    }
    deepest
}

impl<'ctx> Emitter<'_, '_, 'ctx> {
    /// Makes the frame where a loop of the probe needs one.
    pub fn make_frame(&mut self) -> Result<(), Bug> {
        let mut reads = Vec::new();
        visit::statements(&self.probe.body, &mut |node| {
            let Node::Stmt(stmt) = node else { return };
            if rounds::is_long(stmt) || matches!(stmt.kind, StmtKind::ForMap { .. }) {
                visit::statements(std::slice::from_ref(stmt), &mut |node| {
                    self.patched_reads(&node, &mut reads);
                });
            }
        });
        let depth = nested_loops(&self.probe.body);
        if depth == 0 {
            return Ok(());
        }
        let room = self.unit.stack_budget * 5 / 8;
        let mut at = FIRST_LOCAL;
        let mut homes = Vec::new();
        for local in &self.probe.locals {
            let size = self.unit.shapes.size(&local.ty).div_ceil(8).max(1) * 8;
            if size > LARGEST_IN_FRAME || at + size > room {
                homes.push(Home::Scratch(self.scratch_at));
                self.scratch_memory(size)?;
            } else {
                homes.push(Home::Frame(at));
                at += size;
            }
        }
        let starts = at;
        at += 8 * depth;
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
        let rest = self.offset(mem, LEFT)?;
        self.zero(rest, size - LEFT)?;
        let nothing = self.offset(mem, NOTHING)?;
        self.add_in_place(nothing, self.opaque(self.i64(0))?)?;
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

    /// Whether the verifier would know what a round leaves in a local. It walks a round again for every state that it
    /// finds new, so a local that counts rounds would be walked a million times.
    fn counts_rounds(&self, local: LocalId) -> bool {
        let forgets = |frame: &&Frame| frame.in_callback || self.bound.is_some();
        let frame = self.frame.as_ref().filter(forgets);
        let home = frame.and_then(|frame| frame.homes.get(local.index()));
        matches!(home, Some(Home::Frame(_)))
    }

    /// A scalar that a round leaves in a local, as one that the verifier knows nothing of.
    pub fn forgotten_in_rounds(
        &mut self,
        local: LocalId,
        value: IntValue<'ctx>,
    ) -> Result<IntValue<'ctx>, Bug> {
        if !self.counts_rounds(local) {
            return Ok(value);
        }
        let bits = value.get_type().get_bit_width();
        let mut word = self.resize(value, self.unit.i64, false)?;
        if bits == 64 && !value.is_const() {
            // It may be a pointer, to which it allows no such operation.
            word = self.number(word)?;
        }
        let nothing = self.frame_word(NOTHING)?;
        let nothing = self.load_int(self.unit.i64, nothing)?;
        let word = self.builder.build_xor(word, nothing, "")?;
        let stored = if bits == 1 {
            self.unit.i8
        } else {
            value.get_type()
        };
        self.resize(word, stored, false)
    }

    /// Makes the verifier forget what a round left in a local.
    pub fn forget_in_rounds(&mut self, local: LocalId, mem: Mem<'ctx>) -> Result<(), Bug> {
        if !self.counts_rounds(local) {
            return Ok(());
        }
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
    pub fn add_in_place(&self, to: Mem<'ctx>, by: IntValue<'ctx>) -> Result<(), Bug> {
        self.builder
            .build_atomicrmw(AtomicRMWBinOp::Add, to.at, by, AtomicOrdering::Monotonic)?;
        Ok(())
    }

    pub fn frame_word(&self, offset: u32) -> Result<Mem<'ctx>, Bug> {
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

    pub fn in_callback(&self) -> bool {
        self.frame.as_ref().is_some_and(|frame| frame.in_callback)
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
        let program = self.edition.program(&self.probe.program);
        self.callbacks += 1;
        let name = format!("{program}_loop{}", self.callbacks);
        let ty = self.unit.i64.fn_type(&types, false);
        let function = self
            .unit
            .module
            .add_function(&name, ty, Some(Linkage::Internal));
        self.unit.no_unwind(function);
        Ok(function)
    }

    /// Emits a callback, and yields its address. The last parameter is the frame.
    pub fn callback(
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
            std::mem::take(&mut self.scopes),
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
            self.scopes,
            self.frame,
        ) = outer;
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

    /// A callback that has no frame but a pointer to what it works on, its last parameter.
    pub fn small_callback(
        &mut self,
        parameters: &[(&str, bool)],
        body: impl FnOnce(&mut Self, FunctionValue<'ctx>) -> Result<(), Bug>,
    ) -> Result<PointerValue<'ctx>, Bug> {
        let function = self.declare_callback(parameters)?;
        let name = function.get_name().to_string_lossy().into_owned();
        let long = self
            .unit
            .di
            .basic("unsigned long", 64, super::debug_info::UNSIGNED)?;
        let types = parameters.iter().map(|(name, pointer)| match pointer {
            true => (*name, self.unit.di.void_pointer),
            false => (*name, long),
        });
        let types: Vec<_> = types.collect();
        let line = self.unit.options.line_column(self.probe.span).0;
        let subprogram = self.unit.di.function(function, &name, &types, line, true);
        let here = self.current()?;
        let location = self.builder.get_current_debug_location();
        let outer = (
            std::mem::replace(&mut self.function, function),
            std::mem::replace(&mut self.subprogram, subprogram),
        );
        let block = self.unit.context.append_basic_block(function, "entry");
        self.enter(block);
        self.at(self.probe.span);
        body(self, function)?;
        let go_on = self.i64(0);
        self.builder.build_return(Some(&go_on))?;
        (self.function, self.subprogram) = outer;
        self.enter(here);
        match location {
            Some(location) => self.builder.set_current_debug_location(location),
            None => self.at(self.probe.span),
        }
        Ok(function.as_global_value().as_pointer_value())
    }

    /// Whether long loops are callbacks here.
    pub fn calls_back(&self) -> bool {
        self.edition == Edition::Current
    }
}

pub fn parameter<'ctx>(
    function: FunctionValue<'ctx>,
    index: u32,
) -> Result<BasicValueEnum<'ctx>, Bug> {
    function
        .get_nth_param(index)
        .ok_or_else(|| Bug::new("a callback without its parameter"))
}

/// What a body may leave to beyond its own loop.
#[derive(Default)]
pub struct Leaves {
    pub probe: bool,
    pub scopes: Vec<u32>,
}

impl Leaves {
    pub fn of(body: &[Stmt], condition: Option<&Expr>) -> Leaves {
        let mut leaves = Leaves::default();
        let mut note = |node: Node| {
            let Node::Stmt(stmt) = node else { return };
            match &stmt.kind {
                StmtKind::Return => leaves.probe = true,
                StmtKind::Leave(scope) if !leaves.scopes.contains(scope) => {
                    leaves.scopes.push(*scope);
                }
                _ => {}
            }
        };
        visit::statements(body, &mut note);
        if let Some(condition) = condition {
            visit::expression(condition, &mut note);
        }
        leaves
    }
}
