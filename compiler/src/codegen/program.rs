//! A probe becomes a BPF function: section, prologue, working memory, locals, statements.

use inkwell::basic_block::BasicBlock;
use inkwell::builder::Builder;
use inkwell::debug_info::DISubprogram;
use inkwell::values::{FunctionValue, PointerValue};

use super::builder::Mem;
use super::callback::Frame;
use super::context_reloc::Marker;
use super::expr::Val;
use super::helper::number;
use super::maps::Yields;
use super::module::Unit;
use super::place::Copy;
use crate::bug::Bug;
use crate::ir::{self, Expr, ExprKind, LocalId, ProgramKind, Stmt, StmtKind, Type};
use crate::source::Span;

/// Emits the code of one probe; a loop's callback swaps the function-level fields.
pub struct Emitter<'u, 'a, 'ctx> {
    pub unit: &'u Unit<'a, 'ctx>,
    pub builder: Builder<'ctx>,
    pub probe: &'a ir::Probe,
    pub probe_index: u32,
    pub function: FunctionValue<'ctx>,
    pub subprogram: DISubprogram<'ctx>,
    /// Allocations and the scratch lookup go here; ends without a terminator until the function is finished.
    pub entry: BasicBlock<'ctx>,
    pub exit: BasicBlock<'ctx>,
    /// The program's context.
    pub context: PointerValue<'ctx>,
    /// Where this function keeps its address of the scratch memory.
    pub scratch: PointerValue<'ctx>,
    pub scratch_used: bool,
    pub scratch_at: u32,
    /// The most scratch bytes that were in use.
    pub scratch_max: u32,
    pub stack: Stack<'ctx>,
    pub locals: Vec<PointerValue<'ctx>>,
    /// Set in programs whose loops are callbacks.
    pub frame: Option<Frame<'ctx>>,
    pub loops: Vec<LoopExits<'ctx>>,
    /// Scopes around the current statement within this function, and their ends.
    pub scopes: Vec<(u32, BasicBlock<'ctx>)>,
    pub edition: Edition,
    /// Rounds that loops may make here where the verifier walks them all, within such a loop.
    pub bound: Option<super::rounds::Bound>,
    /// How many such loops share what the verifier walks.
    pub share: u32,
    pub markers: Vec<Marker>,
    /// The copy of a record that is being made.
    pub copy: Option<Copy<'ctx>>,
    /// What the program asks of its kernel that the oldest don't have.
    pub features: Vec<btc_abi::Feature>,
    /// How many callbacks it has so far; they are numbered.
    pub callbacks: u32,
    /// The statement that is being emitted.
    pub here: Span,
}

/// Which kernels a program is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edition {
    Current,
    /// Without what came after Linux 5.10: `bpf_loop`, atomic operations other than additions.
    Floor,
}

impl Edition {
    /// The name of a probe's program.
    pub fn program(self, name: &str) -> String {
        match self {
            Edition::Current => name.to_owned(),
            Edition::Floor => format!("{name}_floor"),
        }
    }
}

/// Where break and continue go.
#[derive(Clone, Copy)]
pub struct LoopExits<'ctx> {
    pub on_break: BasicBlock<'ctx>,
    pub on_continue: BasicBlock<'ctx>,
}

/// Stack temporaries of one function, used again after the statement that needed them.
#[derive(Default)]
pub struct Stack<'ctx> {
    slots: Vec<(u32, PointerValue<'ctx>, bool)>,
    in_use: Vec<usize>,
    used: u32,
    callback: bool,
}

impl Stack<'_> {
    pub fn for_callback() -> Self {
        Stack {
            callback: true,
            ..Stack::default()
        }
    }

    pub fn reserve(&mut self, bytes: u32) {
        self.used += bytes;
    }
}

/// What was in use when a statement began.
#[derive(Clone, Copy)]
pub struct Mark {
    scratch: u32,
    stack: usize,
}

/// The section that tells libbpf a program's type.
fn section(probe: &ir::Probe) -> String {
    use btc_abi::Attach as A;
    match (probe.kind, &probe.attach) {
        (ProgramKind::TestRun | ProgramKind::RawTracepoint, _) => "raw_tp".to_owned(),
        (ProgramKind::Kprobe, A::Uprobe { .. } | A::Uretprobe { .. } | A::Usdt { .. }) => {
            "uprobe".to_owned()
        }
        (ProgramKind::Kprobe, _) => "kprobe".to_owned(),
        (ProgramKind::PerfEvent, _) => "perf_event".to_owned(),
        (ProgramKind::Tracepoint, _) => "tracepoint".to_owned(),
        (ProgramKind::BtfTracepoint, A::RawTracepoint { event, .. }) => format!("tp_btf/{event}"),
        (ProgramKind::BtfTracepoint, _) => "tp_btf".to_owned(),
        (ProgramKind::Fentry, A::Fentry { function, .. }) => format!("fentry/{function}"),
        (ProgramKind::Fentry, _) => "fentry".to_owned(),
        (ProgramKind::Fexit, A::Fexit { function, .. }) => format!("fexit/{function}"),
        (ProgramKind::Fexit, _) => "fexit".to_owned(),
        (ProgramKind::Iterator, A::Iter { name, .. }) => format!("iter/{name}"),
        (ProgramKind::Iterator, _) => "iter".to_owned(),
    }
}

/// What a program returns that has nothing to say. To users of a tracepoint's perf event, a program that returns 0 hides
/// the event (perf_trace_run_bpf_submit of kernel/events/core.c); all others must or may return 0.
fn unheeded(kind: ProgramKind) -> u32 {
    u32::from(kind == ProgramKind::Tracepoint)
}

/// What a finished program asks of the object.
pub struct Finished {
    pub scratch: u32,
    pub markers: Vec<Marker>,
    pub features: Vec<btc_abi::Feature>,
}

/// Emits the program of probe `index`.
pub fn emit(unit: &Unit, index: u32, edition: Edition) -> Result<Finished, Bug> {
    let probe = unit
        .program
        .probes
        .get(index as usize)
        .ok_or_else(|| Bug::new("no such probe"))?;
    let ty = unit.i32.fn_type(&[unit.pointer_type().into()], false);
    let name = edition.program(&probe.program);
    let function = unit.module.add_function(&name, ty, None);
    function.set_section(Some(&section(probe)));
    unit.no_unwind(function);
    let line = unit.options.line_column(probe.span).0;
    let parameters = [("ctx", unit.di.void_pointer)];
    let subprogram = unit.di.function(function, &name, &parameters, line, false);
    let entry = unit.context.append_basic_block(function, "entry");
    let body = unit.context.append_basic_block(function, "body");
    let exit = unit.context.append_basic_block(function, "exit");
    let builder = unit.context.create_builder();
    builder.position_at_end(entry);
    let scratch = builder.build_alloca(unit.pointer_type(), "scratch")?;
    let context = function
        .get_nth_param(0)
        .ok_or_else(|| Bug::new("a program without a context"))?
        .into_pointer_value();
    let mut emitter = Emitter {
        unit,
        builder,
        probe,
        probe_index: index,
        function,
        subprogram,
        entry,
        exit,
        context,
        scratch,
        scratch_used: false,
        scratch_at: 0,
        scratch_max: 0,
        stack: Stack::default(),
        locals: Vec::new(),
        frame: None,
        loops: Vec::new(),
        scopes: Vec::new(),
        edition,
        bound: None,
        share: super::loops::nests(&probe.body).max(1),
        markers: Vec::new(),
        copy: None,
        features: Vec::new(),
        callbacks: 0,
        here: probe.span,
    };
    emitter.enter(body);
    emitter.at(probe.span);
    emitter.make_frame()?;
    emitter.make_locals()?;
    if probe.kind == ProgramKind::Iterator {
        emitter.begin_object()?;
    }
    emitter.body(&probe.body)?;
    emitter.jump(exit)?;
    emitter.enter(exit);
    let zero = emitter.i32(unheeded(probe.kind));
    let status = match probe.status {
        Some(local) => {
            let (at, _) = emitter.local(local)?;
            let status = emitter.load_int(unit.i64, at)?;
            emitter.resize(status, unit.i32, true)?
        }
        None => zero,
    };
    emitter.builder.build_return(Some(&status))?;
    emitter.finish_entry(body, zero)?;
    Ok(Finished {
        scratch: emitter.scratch_max,
        markers: emitter.markers,
        features: emitter.features,
    })
}

impl<'u, 'a, 'ctx> Emitter<'u, 'a, 'ctx> {
    /// Emits a function of no probe's own, from its entry on.
    pub fn of_function(
        unit: &'u Unit<'a, 'ctx>,
        function: FunctionValue<'ctx>,
        subprogram: DISubprogram<'ctx>,
    ) -> Result<Self, Bug> {
        let probe = unit.program.probes.first();
        let probe = probe.ok_or_else(|| Bug::new("a program without probes"))?;
        let entry = unit.context.append_basic_block(function, "entry");
        let nowhere = unit.pointer_type().const_null();
        let mut emitter = Emitter {
            unit,
            builder: unit.context.create_builder(),
            probe,
            probe_index: 0,
            function,
            subprogram,
            entry,
            exit: entry,
            context: nowhere,
            scratch: nowhere,
            scratch_used: false,
            scratch_at: 0,
            scratch_max: 0,
            stack: Stack::default(),
            locals: Vec::new(),
            frame: None,
            loops: Vec::new(),
            scopes: Vec::new(),
            // One function for the programs of both.
            edition: Edition::Floor,
            bound: None,
            share: 1,
            markers: Vec::new(),
            copy: None,
            features: Vec::new(),
            callbacks: 0,
            here: probe.span,
        };
        emitter.enter(entry);
        emitter.at(probe.span);
        Ok(emitter)
    }
}

impl<'ctx> Emitter<'_, '_, 'ctx> {
    /// Instructions that follow belong to this place of the script.
    pub fn at(&mut self, span: Span) {
        self.here = span;
        let (line, column) = self.unit.options.line_column(span);
        let location = self.unit.di.location(line, column, self.subprogram);
        self.builder.set_current_debug_location(location);
    }

    /// Ends the entry block: the scratch lookup where the function needs one, then the body.
    pub fn finish_entry(
        &mut self,
        body: BasicBlock<'ctx>,
        on_failure: inkwell::values::IntValue<'ctx>,
    ) -> Result<(), Bug> {
        self.enter(self.entry);
        if !self.scratch_used {
            return self.jump(body);
        }
        let key = self.builder.build_alloca(self.unit.i32, "scratch_key")?;
        let mem = Mem { at: key, align: 4 };
        // One element for each program on each CPU. A per-CPU map would do but for its limit of 32 KiB.
        let cpu = self.helper(number::PROCESSOR_ID, &[])?;
        let programs = self.i64(self.unit.program.probes.len() as u64);
        let row = self.builder.build_int_mul(cpu, programs, "")?;
        let index = self.add(row, self.i64(u64::from(self.probe_index)))?;
        let index = self.resize(index, self.unit.i32, false)?;
        self.store_int(mem, index)?;
        let map = self.unit.maps[self.unit.maps.len() - 1].as_pointer_value();
        let found = self.helper_pointer(number::MAP_LOOKUP, &[map.into(), key.into()])?;
        self.builder.build_store(self.scratch, found)?;
        let missing = self.block("no_scratch");
        let null = self.is_null(found)?;
        self.branch(null, missing, body)?;
        self.enter(missing);
        self.builder.build_return(Some(&on_failure))?;
        Ok(())
    }

    pub fn mark(&self) -> Mark {
        Mark {
            scratch: self.scratch_at,
            stack: self.stack.in_use.len(),
        }
    }

    pub fn release(&mut self, mark: Mark) {
        self.scratch_at = mark.scratch;
        for slot in self.stack.in_use.drain(mark.stack..) {
            self.stack.slots[slot].2 = false;
        }
    }

    /// An alloca in the function's entry.
    pub fn alloca(&self, bytes: u32) -> Result<PointerValue<'ctx>, Bug> {
        let here = self.current()?;
        match self.entry.get_first_instruction() {
            Some(first) => self.builder.position_before(&first),
            None => self.enter(self.entry),
        }
        let ty = self.unit.i64.array_type(bytes.div_ceil(8).max(1));
        let at = self.builder.build_alloca(ty, "")?;
        self.enter(here);
        Ok(at)
    }

    /// Memory for a value until the statement ends: stack where small, else scratch.
    pub fn temporary(&mut self, bytes: u32) -> Result<Mem<'ctx>, Bug> {
        let bytes = bytes.div_ceil(8).max(1) * 8;
        let limit = self.unit.program.limits.on_stack_limit.clamp(16, 64);
        if bytes > limit {
            return self.scratch_memory(bytes);
        }
        // A callback's stack adds to its caller's.
        let budget = if self.stack.callback {
            self.unit.stack_budget / 3
        } else {
            self.unit.stack_budget
        };
        let free = self
            .stack
            .slots
            .iter()
            .position(|(size, _, used)| *size == bytes && !used);
        let index = match free {
            Some(index) => index,
            None if self.stack.used + bytes > budget => {
                return self.scratch_memory(bytes);
            }
            None => {
                let at = self.alloca(bytes)?;
                self.stack.used += bytes;
                self.stack.slots.push((bytes, at, true));
                self.stack.slots.len() - 1
            }
        };
        self.stack.slots[index].2 = true;
        self.stack.in_use.push(index);
        Ok(Mem {
            at: self.stack.slots[index].1,
            align: 8,
        })
    }

    /// Scratch memory until the statement ends.
    pub fn scratch_memory(&mut self, bytes: u32) -> Result<Mem<'ctx>, Bug> {
        let offset = self.scratch_at;
        self.scratch_at += bytes.div_ceil(8) * 8;
        self.scratch_max = self.scratch_max.max(self.scratch_at);
        self.scratch_at_offset(offset)
    }

    pub fn scratch_at_offset(&mut self, offset: u32) -> Result<Mem<'ctx>, Bug> {
        self.scratch_used = true;
        let base = self.load_pointer(Mem {
            at: self.scratch,
            align: 8,
        })?;
        self.offset(Mem { at: base, align: 8 }, offset)
    }

    fn make_locals(&mut self) -> Result<(), Bug> {
        // Scalars are LLVM's, which keeps in registers what it can and on the stack what lives long.
        let mut scalars = self.unit.scalar_budget();
        for (index, local) in self.probe.locals.iter().enumerate() {
            let size = self.unit.shapes.size(&local.ty);
            let mem = if let Some(mem) = self.frame_local(index)? {
                mem
            } else if Val::is_scalar(&local.ty) && scalars >= 8 {
                scalars -= 8;
                let ty = self.int_type(size);
                let here = self.current()?;
                self.enter(self.entry);
                let at = self.builder.build_alloca(ty, &local.name)?;
                self.enter(here);
                Mem { at, align: 8 }
            } else if Val::is_scalar(&local.ty) {
                self.scratch_memory(size)?
            } else {
                // Released never: locals live as long as the program.
                self.temporary(size)?
            };
            self.locals.push(mem.at);
            if Val::is_scalar(&local.ty) {
                let zero = self.int_type(size).const_zero();
                self.store_int(mem, zero)?;
            } else {
                self.zero(mem, size)?;
            }
        }
        Ok(())
    }

    pub fn local(&self, id: LocalId) -> Result<(Mem<'ctx>, &'_ Type), Bug> {
        let (Some(at), Some(local)) = (
            self.locals.get(id.index()),
            self.probe.locals.get(id.index()),
        ) else {
            return Err(Bug::new("no such local"));
        };
        Ok((Mem { at: *at, align: 8 }, &local.ty))
    }

    /// Emits statements; what follows a jump is unreachable and left to LLVM.
    pub fn body(&mut self, body: &[Stmt]) -> Result<(), Bug> {
        for stmt in body {
            let mark = self.mark();
            self.at(stmt.span);
            self.statement(stmt)?;
            self.release(mark);
        }
        Ok(())
    }

    fn statement(&mut self, stmt: &Stmt) -> Result<(), Bug> {
        match &stmt.kind {
            StmtKind::SetLocal { local, value } => self.set_local(*local, value),
            StmtKind::MapSet { map, key, value } => self.map_set(*map, key.as_ref(), value),
            StmtKind::Aggregate { map, key, update } => self.aggregate(*map, key.as_ref(), update),
            StmtKind::Emit { record, values } => self.emit_record(*record, values),
            StmtKind::Eval(Expr {
                kind:
                    ExprKind::MapStep {
                        map,
                        key,
                        op,
                        value,
                        ..
                    },
                ..
            }) => {
                self.map_step(*map, key.as_deref(), *op, value, Yields::Nothing)?;
                Ok(())
            }
            StmtKind::Eval(value) => self.expr(value).map(|_| ()),
            StmtKind::If {
                condition,
                then,
                otherwise,
            } => self.if_else(condition, then, otherwise),
            StmtKind::While { condition, body } => self.while_loop(stmt, condition, body),
            StmtKind::Unroll { count, body } => self.unroll(*count, body),
            StmtKind::ForRange {
                variable,
                start,
                end,
                body,
            } => self.for_range(stmt, *variable, (start, end), body),
            StmtKind::ForMap {
                variable,
                map,
                body,
            } => self.for_map(*variable, *map, body),
            StmtKind::Break => {
                let exits = self.innermost()?;
                self.leave(exits.on_break)
            }
            StmtKind::Continue => {
                let exits = self.innermost()?;
                self.leave(exits.on_continue)
            }
            StmtKind::Return => self.return_from_probe(),
            StmtKind::Scope { scope, body } => self.scope(*scope, body),
            StmtKind::Leave(scope) => self.leave_scope(*scope),
        }
    }

    pub fn innermost(&self) -> Result<LoopExits<'ctx>, Bug> {
        self.loops
            .last()
            .copied()
            .ok_or_else(|| Bug::new("break or continue outside of a loop"))
    }

    /// Jumps, and goes on in a block that nothing reaches.
    pub fn leave(&mut self, to: BasicBlock<'ctx>) -> Result<(), Bug> {
        self.jump(to)?;
        let after = self.block("unreachable");
        self.enter(after);
        Ok(())
    }

    fn set_local(&mut self, local: LocalId, value: &Expr) -> Result<(), Bug> {
        if Val::is_scalar(&value.ty) {
            let value = self.int(value)?;
            let (mem, _) = self.local(local)?;
            let value = self.forgotten_in_rounds(local, value)?;
            return self.store_scalar(mem, value);
        }
        if matches!(value.ty, Type::Void) {
            return self.expr(value).map(|_| ());
        }
        // Through a temporary: the value may read the local.
        let from = self.mem(value)?;
        let size = self.unit.shapes.size(&value.ty);
        let (mem, _) = self.local(local)?;
        self.copy(mem, from, size)?;
        self.forget_in_rounds(local, mem)
    }

    fn if_else(&mut self, condition: &Expr, then: &[Stmt], otherwise: &[Stmt]) -> Result<(), Bug> {
        let condition = self.int(condition)?;
        let yes = self.block("then");
        let no = self.block("else");
        let end = self.block("endif");
        self.branch(condition, yes, no)?;
        self.enter(yes);
        self.body(then)?;
        self.jump(end)?;
        self.enter(no);
        self.body(otherwise)?;
        self.jump(end)?;
        self.enter(end);
        Ok(())
    }
}
