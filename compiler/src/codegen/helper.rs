//! BPF helpers: their numbers (linux/bpf.h), and those that builtins stand for.

use btc_abi::TargetValue;
use inkwell::IntPredicate;
use inkwell::values::{BasicValue, IntValue};

use super::program::Emitter;
use crate::bug::Bug;
use crate::ir::{Expr, Helper};

/// Numbers of `enum bpf_func_id`.
pub mod number {
    pub const MAP_LOOKUP: u32 = 1;
    pub const MAP_UPDATE: u32 = 2;
    pub const MAP_DELETE: u32 = 3;
    pub const KTIME_NS: u32 = 5;
    pub const RANDOM: u32 = 7;
    pub const PROCESSOR_ID: u32 = 8;
    pub const PID_TGID: u32 = 14;
    pub const UID_GID: u32 = 15;
    pub const COMM: u32 = 16;
    pub const TASK: u32 = 35;
    pub const WRITE_USER: u32 = 36;
    pub const NUMA_NODE: u32 = 42;
    pub const SOCKET_COOKIE: u32 = 46;
    pub const OVERRIDE_RETURN: u32 = 58;
    pub const GET_STACK: u32 = 67;
    pub const CGROUP_ID: u32 = 80;
    pub const SEND_SIGNAL: u32 = 109;
    pub const SKB_OUTPUT: u32 = 111;
    pub const READ_USER: u32 = 112;
    pub const READ_KERNEL: u32 = 113;
    pub const READ_USER_STRING: u32 = 114;
    pub const READ_KERNEL_STRING: u32 = 115;
    pub const SEND_SIGNAL_THREAD: u32 = 117;
    pub const JIFFIES: u32 = 118;
    pub const NS_PID_TGID: u32 = 120;
    pub const KTIME_BOOT_NS: u32 = 125;
    pub const SEQ_PRINTF: u32 = 126;
    pub const SEQ_WRITE: u32 = 127;
    pub const RINGBUF_OUTPUT: u32 = 130;
    pub const RINGBUF_RESERVE: u32 = 131;
    pub const RINGBUF_SUBMIT: u32 = 132;
    pub const D_PATH: u32 = 147;
    pub const KTIME_COARSE_NS: u32 = 160;
    pub const TASK_BTF: u32 = 158;
    pub const FOR_EACH_MAP: u32 = 164;
    pub const GET_FUNC_IP: u32 = crate::layout::GET_FUNC_IP;
    pub const ATTACH_COOKIE: u32 = 174;
    pub const TASK_PT_REGS: u32 = crate::layout::TASK_PT_REGS;
    pub const LOOP: u32 = 181;
    pub const LOOKUP_PERCPU: u32 = crate::layout::LOOKUP_PERCPU;
    pub const KTIME_TAI_NS: u32 = 208;
}

impl<'ctx> Emitter<'_, '_, 'ctx> {
    /// A helper without memory arguments; CurrentComm is a value in memory and made elsewhere.
    pub fn builtin(&mut self, helper: Helper, arguments: &[Expr]) -> Result<IntValue<'ctx>, Bug> {
        let simple = match helper {
            Helper::CurrentPidTgid => return self.pid_tgid(),
            Helper::CurrentPidTgidInit => number::PID_TGID,
            Helper::CurrentUidGid => number::UID_GID,
            Helper::CurrentComm => return Err(Bug::new("comm is not a scalar")),
            Helper::CurrentTask => number::TASK,
            Helper::CurrentCgroupId => number::CGROUP_ID,
            Helper::ProcessorId => number::PROCESSOR_ID,
            Helper::NumaNode => number::NUMA_NODE,
            Helper::KtimeNs => number::KTIME_NS,
            Helper::KtimeBootNs => number::KTIME_BOOT_NS,
            Helper::KtimeTaiNs => number::KTIME_TAI_NS,
            Helper::KtimeCoarseNs => number::KTIME_COARSE_NS,
            Helper::Jiffies => number::JIFFIES,
            Helper::Random => number::RANDOM,
            Helper::SendSignal => number::SEND_SIGNAL,
            Helper::SendSignalThread => number::SEND_SIGNAL_THREAD,
            Helper::SocketCookie => {
                let sock = arguments.first();
                return self.socket_cookie(sock.ok_or_else(|| Bug::new("no socket"))?);
            }
            Helper::OverrideReturn => {
                let code = self.argument(arguments)?;
                let context = self.context;
                return self.helper(number::OVERRIDE_RETURN, &[context.into(), code.into()]);
            }
        };
        if arguments.is_empty() {
            return self.helper(simple, &[]);
        }
        let argument = self.argument(arguments)?;
        self.helper(simple, &[argument.into()])
    }

    fn argument(&mut self, arguments: &[Expr]) -> Result<IntValue<'ctx>, Bug> {
        let first = arguments
            .first()
            .ok_or_else(|| Bug::new("a helper without its argument"))?;
        let value = self.int(first)?;
        let signed = super::expr::is_signed(&first.ty, &self.unit.program.types);
        self.resize(value, self.unit.i64, signed)
    }

    /// tgid and tid as the namespace of the slots counts them.
    pub fn pid_tgid(&mut self) -> Result<IntValue<'ctx>, Bug> {
        let device = self.slot_of(&TargetValue::PidNamespaceDevice)?;
        let inode = self.slot_of(&TargetValue::PidNamespaceInode)?;
        let (Some(device), Some(inode)) = (device, inode) else {
            return self.helper(number::PID_TGID, &[]);
        };
        let info = self.temporary(8)?;
        let inside = self.block("pid_namespace");
        let plain = self.block("pid_init");
        let end = self.block("pid_end");
        let set = self.compare(IntPredicate::NE, inode, self.i64(0))?;
        self.branch(set, inside, plain)?;
        self.enter(inside);
        // struct bpf_pidns_info { u32 pid; u32 tgid; }: little-endian, it reads as tgid << 32 | pid. It is zeroed
        // where the task isn't in that namespace.
        self.helper(
            number::NS_PID_TGID,
            &[
                device.into(),
                inode.into(),
                info.at.into(),
                self.i64(8).into(),
            ],
        )?;
        let in_namespace = self.load_int(self.unit.i64, info)?;
        self.jump(end)?;
        self.enter(plain);
        let initial = self.helper(number::PID_TGID, &[])?;
        self.jump(end)?;
        self.enter(end);
        self.phi((in_namespace, inside), (initial, plain))
    }

    /// The slot that holds a value of the target, where the manifest has one.
    pub fn slot_of(&self, wanted: &TargetValue) -> Result<Option<IntValue<'ctx>>, Bug> {
        let slot = self.unit.manifest.slots.iter().find(|s| s.value == *wanted);
        slot.map(|slot| self.load_slot(slot.offset)).transpose()
    }

    /// A number that is a constant, or in a slot because the run is told it; the verifier knows it either way.
    pub fn told_number(&self, number: &btc_abi::Number) -> Result<IntValue<'ctx>, Bug> {
        if let Some(value) = number.constant() {
            return Ok(self.i64(value.cast_unsigned()));
        }
        let value = TargetValue::Number {
            number: number.clone(),
        };
        let slot = self.slot_of(&value)?;
        slot.ok_or_else(|| Bug::new("no slot for a number that is told"))
    }

    /// How many counters a histogram has.
    pub fn buckets(&self, of: &btc_abi::Value) -> Result<IntValue<'ctx>, Bug> {
        let slot = self.slot_of(&TargetValue::Buckets { of: of.clone() })?;
        Ok(slot.unwrap_or_else(|| self.i64(u64::from(of.buckets()))))
    }

    /// Loads eight bytes of `.rodata.btc`. Volatile: LLVM must not take the zeroes of the object for the value.
    pub fn load_slot(&self, offset: u32) -> Result<IntValue<'ctx>, Bug> {
        let global = self.unit.slots_global()?.as_pointer_value();
        let at = self.gep(global, self.i64(u64::from(offset)))?;
        let value = self.builder.build_load(self.unit.i64, at, "slot")?;
        let instruction = value
            .as_instruction_value()
            .ok_or_else(|| Bug::new("a load that is no instruction"))?;
        let failed = |error| Bug::new(format!("volatile load: {error:?}"));
        instruction.set_volatile(true).map_err(failed)?;
        instruction
            .set_alignment(8)
            .map_err(|error| Bug::new(format!("alignment: {error:?}")))?;
        Ok(value.into_int_value())
    }
}
