//! Expressions become values: integers in SSA, everything larger in BPF memory.

use inkwell::IntPredicate;
use inkwell::values::IntValue;

use super::builder::Mem;
use super::helper::number;
use super::maps::Yields;
use super::program::Emitter;
use crate::bug::Bug;
use crate::ir::{Context, Expr, ExprKind, Helper, LogicalOp, ProgramKind, Type, Types, UnaryOp};

/// An emitted value.
#[derive(Clone, Copy, Debug)]
pub enum Val<'ctx> {
    Void,
    /// Of its type's width; a Bool is one bit.
    Int(IntValue<'ctx>),
    Mem(Mem<'ctx>),
}

impl Val<'_> {
    /// Whether values of the type are held in SSA.
    pub fn is_scalar(ty: &Type) -> bool {
        matches!(
            ty,
            Type::Bool
                | Type::Int(_)
                | Type::Enum(_)
                | Type::Pointer { .. }
                | Type::KernelSymbol
                | Type::Timestamp { .. }
                | Type::Username
                | Type::CgroupPath { .. }
                | Type::ProbeName
                | Type::ErrorName
                | Type::SignalName
                | Type::SyscallName
        )
    }
}

/// Whether an integer of the type is extended by its sign.
pub fn is_signed(ty: &Type, types: &Types) -> bool {
    match ty {
        Type::Int(int) => int.signed,
        Type::Enum(id) => types.enumeration(*id).int.signed,
        Type::ErrorName | Type::SignalName | Type::SyscallName => true,
        _ => false,
    }
}

/// Bytes behind a parameter's first slot.
pub fn parameter_addend(context: Context) -> u32 {
    match context {
        Context::ParameterRest(_) => 8,
        _ => 0,
    }
}

impl<'ctx> Emitter<'_, '_, 'ctx> {
    /// The LLVM type of a scalar in SSA.
    pub fn scalar_type(&self, ty: &Type) -> inkwell::types::IntType<'ctx> {
        match ty {
            Type::Bool => self.unit.bool,
            _ => self.int_type(self.unit.shapes.size(ty)),
        }
    }

    pub fn load_scalar(&self, mem: Mem<'ctx>, ty: &Type) -> Result<IntValue<'ctx>, Bug> {
        let value = self.load_int(self.int_type(self.unit.shapes.size(ty)), mem)?;
        if matches!(ty, Type::Bool) {
            let zero = value.get_type().const_zero();
            return self.compare(IntPredicate::NE, value, zero);
        }
        Ok(value)
    }

    /// Stores a scalar; a Bool as one byte.
    pub fn store_scalar(&self, mem: Mem<'ctx>, value: IntValue<'ctx>) -> Result<(), Bug> {
        let value = if value.get_type().get_bit_width() == 1 {
            self.resize(value, self.unit.i8, false)?
        } else {
            value
        };
        self.store_int(mem, value)
    }

    pub fn int(&mut self, expr: &Expr) -> Result<IntValue<'ctx>, Bug> {
        match self.expr(expr)? {
            Val::Int(value) => Ok(value),
            _ => Err(Bug::new(format!("{:?} is not an integer", expr.ty))),
        }
    }

    /// A 64-bit integer of any scalar.
    pub fn int64(&mut self, expr: &Expr) -> Result<IntValue<'ctx>, Bug> {
        let value = self.int(expr)?;
        let signed = is_signed(&expr.ty, &self.unit.program.types);
        self.resize(value, self.unit.i64, signed)
    }

    pub fn mem(&mut self, expr: &Expr) -> Result<Mem<'ctx>, Bug> {
        match self.expr(expr)? {
            Val::Mem(mem) => Ok(mem),
            _ => Err(Bug::new(format!("{:?} is not in memory", expr.ty))),
        }
    }

    /// Evaluates into memory.
    pub fn into(&mut self, expr: &Expr, to: Mem<'ctx>) -> Result<(), Bug> {
        if Val::is_scalar(&expr.ty) {
            let value = self.int(expr)?;
            return self.store_scalar(to, value);
        }
        if self.build(expr, to)? {
            return Ok(());
        }
        match self.expr(expr)? {
            Val::Mem(from) => {
                let size = self.unit.shapes.size(&expr.ty);
                self.copy(to, from, size)
            }
            _ => Ok(()),
        }
    }

    /// Builds a value that doesn't exist in memory yet; false where it does.
    fn build(&mut self, expr: &Expr, to: Mem<'ctx>) -> Result<bool, Bug> {
        let size = self.unit.shapes.size(&expr.ty);
        match &expr.kind {
            ExprKind::String(bytes) => self.string_literal(bytes, &expr.ty, to)?,
            ExprKind::Tuple(items) => self.tuple(expr, items, to)?,
            ExprKind::ReadString {
                address,
                space,
                length,
            } => {
                let address = self.int64(address)?;
                let length = length.as_deref().map(|l| self.int64(l)).transpose()?;
                self.read_string(to, size, address, *space, length)?;
            }
            ExprKind::ReadBuffer {
                address,
                space,
                length,
            } => {
                let address = self.int64(address)?;
                let length = self.int64(length)?;
                self.read_buffer(to, size - 4, address, *space, length)?;
            }
            ExprKind::Bytes { of, length } => self.bytes_of(of, length, to, size - 4)?,
            ExprKind::Concat { left, right } => self.concat(left, right, to, size)?,
            ExprKind::Head { of, length } => self.head(of, length, to, size)?,
            ExprKind::ObjectPath { of } => self.object_path(of, to, size)?,
            ExprKind::Helper {
                helper: Helper::CurrentComm,
                ..
            } => {
                // Linux 5.17 to 6.4 leaves what follows the name's end as it was, and keys are compared whole.
                self.zero(to, size)?;
                let room = self.i64(u64::from(size.min(16)));
                self.helper(number::COMM, &[to.at.into(), room.into()])?;
            }
            ExprKind::Stack(walk) => self.stack(walk, &expr.ty, to)?,
            ExprKind::UserSymbol { address } => {
                let address = self.int64(address)?;
                self.store_int(to, address)?;
                self.store_tgid(to)?;
            }
            ExprKind::Inet { source } => self.inet(source, to)?,
            ExprKind::Convert(from) => return self.convert_into(from, &expr.ty, to),
            ExprKind::Load(place) => return self.load_into(place, &expr.ty, to),
            ExprKind::Select {
                condition,
                then,
                otherwise,
            } => {
                let condition = self.int(condition)?;
                let (yes, no, end) = (self.block("yes"), self.block("no"), self.block("either"));
                self.branch(condition, yes, no)?;
                self.enter(yes);
                self.into(then, to)?;
                self.jump(end)?;
                self.enter(no);
                self.into(otherwise, to)?;
                self.jump(end)?;
                self.enter(end);
            }
            ExprKind::Block { body, value } => {
                self.body(body)?;
                self.into(value, to)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn tuple(&mut self, expr: &Expr, items: &[Expr], to: Mem<'ctx>) -> Result<(), Bug> {
        let size = self.unit.shapes.size(&expr.ty);
        let offsets = match &expr.ty {
            Type::Array { element, .. } => {
                let stride = self.unit.shapes.size(element);
                (0..items.len() as u32).map(|i| i * stride).collect()
            }
            ty => self.unit.shapes.offsets(ty),
        };
        let mut at = 0;
        for (item, offset) in items.iter().zip(offsets) {
            if offset > at {
                let gap = self.offset(to, at)?;
                self.zero(gap, offset - at)?;
            }
            let place = self.offset(to, offset)?;
            self.into(item, place)?;
            at = offset + self.unit.shapes.size(&item.ty);
        }
        if size > at {
            let gap = self.offset(to, at)?;
            self.zero(gap, size - at)?;
        }
        Ok(())
    }

    /// The address of a user symbol or stack goes with the process it belongs to, by the number that the runtime sees
    /// in its /proc.
    pub fn store_tgid(&mut self, to: Mem<'ctx>) -> Result<(), Bug> {
        let both = self.pid_tgid()?;
        let tgid = self
            .builder
            .build_right_shift(both, self.i64(32), false, "")?;
        let at = self.offset(to, 8)?;
        self.store_int(at, tgid)
    }

    fn inet(&mut self, source: &Expr, to: Mem<'ctx>) -> Result<(), Bug> {
        let rest = self.offset(to, 4)?;
        let length = if Val::is_scalar(&source.ty) {
            self.zero(rest, 16)?;
            let value = self.int(source)?;
            let value = self.resize(value, self.unit.i32, false)?;
            self.store_int(rest, value)?;
            4
        } else {
            let size = self.unit.shapes.size(&source.ty);
            let from = self.mem(source)?;
            if size < 16 {
                self.zero(rest, 16)?;
            }
            self.copy(rest, from, size.min(16))?;
            size.min(16)
        };
        self.store_int(
            Mem {
                align: to.align.min(4),
                ..to
            },
            self.i32(length),
        )
    }

    pub fn expr(&mut self, expr: &Expr) -> Result<Val<'ctx>, Bug> {
        let scalar = Val::is_scalar(&expr.ty);
        let value = match &expr.kind {
            ExprKind::Integer(value) => {
                let value = match expr.ty {
                    Type::Bool => u64::from(*value != 0),
                    _ => *value,
                };
                Val::Int(self.scalar_type(&expr.ty).const_int(value, false))
            }
            ExprKind::EnumValue { of, name, value } => {
                let ty = self.scalar_type(&expr.ty);
                let of_kernel = self.unit.program.types.enumeration(*of);
                // Relocations go by the enum's name; constants of enums without one are the kernel's stable interface.
                if of_kernel.kernel && !of_kernel.name.is_empty() {
                    let value = self.enum_value(*of, name)?;
                    Val::Int(self.resize(value, ty, true)?)
                } else {
                    Val::Int(ty.const_int(*value, false))
                }
            }
            ExprKind::Local(id) => {
                let (mem, _) = self.local(*id)?;
                if scalar {
                    Val::Int(self.load_scalar(mem, &expr.ty)?)
                } else {
                    Val::Mem(mem)
                }
            }
            ExprKind::Target(slot) => self.target(slot.0, &expr.ty)?,
            ExprKind::Context(context) => Val::Int(self.context_number(*context)?),
            ExprKind::Helper { helper, arguments } if *helper != Helper::CurrentComm => {
                let value = self.builtin(*helper, arguments)?;
                if matches!(expr.ty, Type::Void) {
                    return Ok(Val::Void);
                }
                Val::Int(self.resize(value, self.scalar_type(&expr.ty), false)?)
            }
            ExprKind::Foreign {
                function,
                arguments,
            } => return self.foreign(function, arguments, &expr.ty),
            ExprKind::Unary { op, operand } => {
                let value = self.int(operand)?;
                Val::Int(match op {
                    UnaryOp::Negate => self.builder.build_int_neg(value, "")?,
                    UnaryOp::BitNot | UnaryOp::Not => self.builder.build_not(value, "")?,
                })
            }
            ExprKind::Binary { op, left, right } => {
                let signed = is_signed(&left.ty, &self.unit.program.types);
                let left = self.int(left)?;
                let right = self.int(right)?;
                Val::Int(self.operate(*op, left, right, signed)?)
            }
            ExprKind::Logical { op, left, right } => Val::Int(self.logical(*op, left, right)?),
            ExprKind::Select {
                condition,
                then,
                otherwise,
            } if scalar => Val::Int(self.choose(condition, then, otherwise)?),
            ExprKind::Select {
                condition,
                then,
                otherwise,
            } if matches!(expr.ty, Type::Void) => {
                let condition = self.int(condition)?;
                let (yes, no, end) = (self.block("yes"), self.block("no"), self.block("either"));
                self.branch(condition, yes, no)?;
                self.enter(yes);
                self.expr(then)?;
                self.jump(end)?;
                self.enter(no);
                self.expr(otherwise)?;
                self.jump(end)?;
                self.enter(end);
                Val::Void
            }
            ExprKind::Convert(from) if scalar => Val::Int(self.convert_scalar(from, &expr.ty)?),
            ExprKind::Load(place) if scalar => Val::Int(self.load_place(place, &expr.ty)?),
            ExprKind::Load(place) => match self.direct_place(place)? {
                Some(mem) => Val::Mem(mem),
                None => self.built(expr)?,
            },
            ExprKind::Address(place) => Val::Int(self.address(place)?),
            ExprKind::LocalAddress(id) => {
                let (mem, _) = self.local(*id)?;
                Val::Int(self.address_as_number(mem.at)?)
            }
            ExprKind::ElementAddress { map, key } => {
                let key = self.key(*map, key.as_deref())?;
                let at = self.lookup(map.0, key)?;
                Val::Int(self.address_as_number(at)?)
            }
            ExprKind::MapAddress(map) => {
                let at = self.map_pointer(map.0)?;
                Val::Int(self.address_as_number(at)?)
            }
            ExprKind::Part { of, steps } => self.part(of, steps, &expr.ty)?,
            ExprKind::Equal { left, right, limit } => Val::Int(self.equal(left, right, *limit)?),
            ExprKind::Compare {
                left,
                right,
                size,
                count,
            } => Val::Int(self.compare_bytes(left, right, *size, count.as_deref())?),
            ExprKind::MapGet { map, key } => {
                let value = self.map_get(*map, key.as_deref(), &expr.ty)?;
                match value {
                    Val::Int(v) => Val::Int(self.resize(v, self.scalar_type(&expr.ty), true)?),
                    other => other,
                }
            }
            ExprKind::MapHas { map, key } => Val::Int(self.map_has(*map, key)?),
            ExprKind::MapFind { map, key, local } => Val::Int(self.map_find(*map, key, *local)?),
            ExprKind::MapLen { map } => Val::Int(self.map_len(*map)?),
            ExprKind::StackLength(stack) => Val::Int(self.stack_length(stack)?),
            ExprKind::WriteUser { to, from } => Val::Int(self.write_user(to, from)?),
            ExprKind::MapDelete { map, key } => {
                let deleted = self.map_delete(*map, key.as_deref())?;
                if matches!(expr.ty, Type::Void) {
                    self.count_missed_delete(deleted)?;
                    return Ok(Val::Void);
                }
                Val::Int(self.resize(deleted, self.scalar_type(&expr.ty), false)?)
            }
            ExprKind::MapStep {
                map,
                key,
                op,
                value,
                yields_old,
            } => {
                let yields = if *yields_old {
                    Yields::Old
                } else {
                    Yields::New
                };
                Val::Int(self.map_step(*map, key.as_deref(), *op, value, yields)?)
            }
            ExprKind::Find { haystack, needle } => Val::Int(self.find(haystack, needle)?),
            ExprKind::StringLength(of) => Val::Int(self.string_length(of)?),
            ExprKind::SendPacket {
                record,
                packet,
                length,
                values,
            } => Val::Int(self.send_packet(*record, packet, length, values)?),
            ExprKind::Block { body, value } if scalar || matches!(expr.ty, Type::Void) => {
                self.body(body)?;
                return self.expr(value);
            }
            ExprKind::ByteSwap(of) => Val::Int(self.byte_swap(of)?),
            ExprKind::TypeSize(record) => Val::Int(self.type_size(*record)?),
            ExprKind::FieldOffset { steps, .. } => Val::Int(self.field_offset(steps)?),
            ExprKind::FieldExists { steps, .. } => Val::Int(self.field_exists(steps)?),
            _ if matches!(expr.ty, Type::Void) => Val::Void,
            _ => self.built(expr)?,
        };
        Ok(value)
    }

    /// A value that is built in a temporary.
    fn built(&mut self, expr: &Expr) -> Result<Val<'ctx>, Bug> {
        let to = self.temporary(self.unit.shapes.size(&expr.ty))?;
        if self.build(expr, to)? {
            return Ok(Val::Mem(to));
        }
        Err(Bug::new(format!(
            "no code for an expression of type {:?}",
            expr.ty
        )))
    }

    fn target(&mut self, slot: u32, ty: &Type) -> Result<Val<'ctx>, Bug> {
        let offset = self
            .unit
            .manifest
            .slots
            .get(slot as usize)
            .map(|s| s.offset)
            .ok_or_else(|| Bug::new("no such slot"))?;
        if Val::is_scalar(ty) {
            let value = self.load_slot(offset)?;
            if matches!(ty, Type::Bool) {
                return Ok(Val::Int(self.compare(
                    IntPredicate::NE,
                    value,
                    self.i64(0),
                )?));
            }
            return Ok(Val::Int(self.resize(value, self.scalar_type(ty), true)?));
        }
        let size = self.unit.shapes.size(ty);
        let to = self.temporary(size)?;
        let global = self.unit.slots_global()?.as_pointer_value();
        let from = self.gep(global, self.i64(u64::from(offset)))?;
        // Through a helper: LLVM must not read the zeroes of the object.
        self.helper(
            number::READ_KERNEL,
            &[to.at.into(), self.i64(u64::from(size)).into(), from.into()],
        )?;
        Ok(Val::Mem(to))
    }

    fn logical(&mut self, op: LogicalOp, left: &Expr, right: &Expr) -> Result<IntValue<'ctx>, Bug> {
        let left = self.int(left)?;
        let other = self.block("operand");
        let end = self.block("logical");
        let first = self.current()?;
        match op {
            LogicalOp::And => self.branch(left, other, end)?,
            LogicalOp::Or => self.branch(left, end, other)?,
        }
        self.enter(other);
        let right = self.int(right)?;
        let second = self.current()?;
        self.jump(end)?;
        self.enter(end);
        let decided = self.bool(op == LogicalOp::Or);
        self.phi((decided, first), (right, second))
    }

    fn choose(
        &mut self,
        condition: &Expr,
        then: &Expr,
        otherwise: &Expr,
    ) -> Result<IntValue<'ctx>, Bug> {
        let condition = self.int(condition)?;
        let (yes, no, end) = (self.block("yes"), self.block("no"), self.block("either"));
        self.branch(condition, yes, no)?;
        self.enter(yes);
        let a = self.int(then)?;
        let from_a = self.current()?;
        self.jump(end)?;
        self.enter(no);
        let b = self.int(otherwise)?;
        let from_b = self.current()?;
        self.jump(end)?;
        self.enter(end);
        let chosen = self.phi((a, from_a), (b, from_b))?;
        if condition.is_const() || chosen.get_type().get_bit_width() < 64 {
            return Ok(chosen);
        }
        // Where LLVM knows what one way chooses, it parts the ways up to where that is looked at, and all that differs
        // between them then needs a place on the stack: three words for each string that `join` prints.
        self.opaque(chosen)
    }

    /// What the program is handed, as a number: typed programs get pointers that the verifier follows, with which nothing
    /// can be calculated.
    fn context_number(&mut self, of: Context) -> Result<IntValue<'ctx>, Bug> {
        let value = self.context_value(of)?;
        let followed = match of {
            Context::Pointer => self.probe.kind == ProgramKind::Iterator,
            Context::Slot(_)
            | Context::Parameter(_)
            | Context::ParameterRest(_)
            | Context::Result => matches!(
                self.probe.kind,
                ProgramKind::Fentry | ProgramKind::Fexit | ProgramKind::BtfTracepoint
            ),
            _ => false,
        };
        if followed {
            self.number(value)
        } else {
            Ok(value)
        }
    }

    /// What the program is handed, as the verifier knows it.
    pub fn context_value(&mut self, of: Context) -> Result<IntValue<'ctx>, Bug> {
        let arch = self.unit.arch();
        let register = |name: &str| Bug::new(format!("no register `{name}`"));
        match of {
            Context::Pointer => self.pointer_to_int(self.context),
            Context::Argument(n) => {
                let at = arch.argument(n).ok_or_else(|| register("argument"))?;
                self.context_word(at)
            }
            Context::StackArgument(n) => {
                let sp = self.context_word(arch.stack_pointer())?;
                let skip = arch.first_stack_argument() + 8 * u32::from(n);
                let at = self.add(sp, self.i64(u64::from(skip)))?;
                let user = matches!(
                    self.probe.attach,
                    btc_abi::Attach::Uprobe { .. } | btc_abi::Attach::Uretprobe { .. }
                );
                let space = if user {
                    crate::ir::Space::User
                } else {
                    crate::ir::Space::Kernel
                };
                let to = self.temporary(8)?;
                self.read(to, self.i64(8), at, space)?;
                self.load_int(self.unit.i64, to)
            }
            Context::ReturnValue => self.context_word(arch.return_value()),
            Context::InstructionPointer => self.context_word(arch.instruction_pointer()),
            Context::FunctionAddress => self.function_address(),
            Context::Slot(_)
            | Context::Parameter(_)
            | Context::ParameterRest(_)
            | Context::Result => match self.parameter(of)? {
                Some(name) => self.event_load(&name, parameter_addend(of), 8),
                None => self.slot(of),
            },
            Context::MarkerArgument(n) => self.marker_argument(n),
            Context::Cookie => self.site_name(),
            Context::Register(name) => {
                let at = arch.register(name).ok_or_else(|| register(name))?;
                self.context_word(at)
            }
        }
    }

    /// The name by which the runtime finds a value of an fentry or fexit program: a parameter's, or its number.
    pub fn parameter(&self, context: Context) -> Result<Option<String>, Bug> {
        let traced = matches!(self.probe.kind, ProgramKind::Fentry | ProgramKind::Fexit);
        match context {
            Context::Parameter(n) | Context::ParameterRest(n) => {
                (self.probe.parameters.get(usize::from(n)))
                    .map(|name| Some(name.clone()))
                    .ok_or_else(|| Bug::new("no such parameter"))
            }
            Context::Slot(n) if traced => Ok(Some(n.to_string())),
            Context::Result => Ok(Some(btc_abi::probe::RESULT.to_owned())),
            _ => Ok(None),
        }
    }

    fn slot(&mut self, of: Context) -> Result<IntValue<'ctx>, Bug> {
        match of {
            Context::Slot(n) => self.context_word(8 * u32::from(n)),
            _ => Err(Bug::new("no slot")),
        }
    }

    /// Eight bytes of the context. Not by LLVM's load: it would merge two of them into one of a chosen address, or of a
    /// width, that the verifier refuses.
    pub fn context_word(&mut self, offset: u32) -> Result<IntValue<'ctx>, Bug> {
        let load = format!("$0 = *(u64 *)($1 + {offset})");
        self.on_context(load, "=r,r", false)
    }

    /// A probe at a place that registers tell of needs no helper; one elsewhere has it on every kernel, since the
    /// runtime writes the address into the program where the kernel has no bpf_get_func_ip.
    fn function_address(&mut self) -> Result<IntValue<'ctx>, Bug> {
        use btc_abi::Attach as A;
        let context = self.context;
        match &self.probe.attach {
            // The helper knows user functions since Linux 6.6 only, and the registers always do.
            A::Uprobe { .. } => self.context_word(self.unit.arch().instruction_pointer()),
            // Asked inside of a function or at an address, the helper answers 0.
            A::Kprobe { offset, .. } if *offset != 0 => self.probe_address(),
            A::Kprobe { .. } | A::Uretprobe { .. } => self.asked_where_it_can_be(),
            _ => self.helper(number::GET_FUNC_IP, &[context.into()]),
        }
    }

    /// The address of a kprobe's instruction.
    fn probe_address(&mut self) -> Result<IntValue<'ctx>, Bug> {
        let ip = self.context_word(self.unit.arch().instruction_pointer())?;
        let skew = self.i64(self.unit.arch().kprobe_skew());
        Ok(self.builder.build_int_sub(ip, skew, "")?)
    }

    /// What bpf_get_func_ip says; without it where a kprobe is, and nothing for the return of a user's function.
    fn asked_where_it_can_be(&mut self) -> Result<IntValue<'ctx>, Bug> {
        let has = btc_abi::TargetValue::HasHelper {
            number: number::GET_FUNC_IP,
        };
        let has = self
            .slot_of(&has)?
            .ok_or_else(|| Bug::new("no slot for bpf_get_func_ip"))?;
        let (yes, no, end) = (
            self.block("func_ip"),
            self.block("registers"),
            self.block("func"),
        );
        let there = self.compare(IntPredicate::NE, has, self.i64(0))?;
        self.branch(there, yes, no)?;
        self.enter(yes);
        let context = self.context;
        let asked = self.helper(number::GET_FUNC_IP, &[context.into()])?;
        self.jump(end)?;
        self.enter(no);
        let guessed = match self.probe.attach {
            btc_abi::Attach::Kprobe { .. } => self.probe_address()?,
            _ => self.i64(0),
        };
        self.jump(end)?;
        self.enter(end);
        self.phi((asked, yes), (guessed, no))
    }

    fn byte_swap(&mut self, of: &Expr) -> Result<IntValue<'ctx>, Bug> {
        let value = self.int(of)?;
        if value.get_type().get_bit_width() <= 8 {
            return Ok(value);
        }
        self.swap_bytes(value)
    }

    pub fn swap_bytes(&self, value: IntValue<'ctx>) -> Result<IntValue<'ctx>, Bug> {
        let swap = inkwell::intrinsics::Intrinsic::find("llvm.bswap")
            .and_then(|i| i.get_declaration(&self.unit.module, &[value.get_type().into()]))
            .ok_or_else(|| Bug::new("no intrinsic `llvm.bswap`"))?;
        let call = self.builder.build_call(swap, &[value.into()], "")?;
        self.int_result(call)
    }
}
