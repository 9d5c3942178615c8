//! Helpers that take the kernel's own objects. The verifier knows what a pointer is as long as it was loaded from the context and
//! from such pointers by plain instructions, and nothing else was done to it.

use btc_abi as abi;
use inkwell::IntPredicate;
use inkwell::basic_block::BasicBlock;
use inkwell::values::{BasicValue, IntValue};

use super::builder::Mem;
use super::helper::number;
use super::program::Emitter;
use crate::bug::Bug;
use crate::ir::{CRecordId, Context, Expr, ExprKind, Place, RecordId, Space, Step};

/// The longest path that the kernel makes (PATH_MAX of linux/limits.h).
const PATH_MAX: u32 = 4096;
/// BPF_F_CURRENT_CPU of linux/bpf.h; what is above it tells how many bytes of the packet are wanted.
const CURRENT_CPU: u64 = 0xffff_ffff;
const MOST_PACKET: u64 = 0xf_ffff;
/// -EINVAL (asm-generic/errno-base.h).
const NO_PACKET: u64 = (-22i64).cast_unsigned();

impl<'ctx> Emitter<'_, '_, 'ctx> {
    /// A pointer as the verifier follows it; goes to `none` where one on the way is NULL.
    fn object(&mut self, value: &Expr, none: BasicBlock<'ctx>) -> Result<IntValue<'ctx>, Bug> {
        let loaded = match &value.kind {
            ExprKind::Convert(inner) => return self.object(inner, none),
            ExprKind::Context(Context::Pointer) => return self.context_value(Context::Pointer),
            ExprKind::Context(of) => self.context_value(*of)?,
            ExprKind::Address(place) => {
                let at = self.object_place(place, none)?;
                return self.pointer_to_int(at.at);
            }
            ExprKind::Load(place) => {
                let at = self.object_place(place, none)?;
                let loaded = self.load_int(self.unit.i64, at)?;
                if let Some(instruction) = loaded.as_instruction_value() {
                    // Else LLVM may load it again elsewhere, and the verifier has to see it checked.
                    instruction
                        .set_volatile(true)
                        .map_err(|error| Bug::new(format!("volatile load: {error:?}")))?;
                }
                loaded
            }
            _ => return Err(Bug::new("an object that the verifier doesn't follow")),
        };
        let there = self.block("object");
        let null = self.compare(IntPredicate::EQ, loaded, self.i64(0))?;
        self.branch(null, none, there)?;
        self.enter(there);
        Ok(loaded)
    }

    fn object_place(&mut self, place: &Place, none: BasicBlock<'ctx>) -> Result<Mem<'ctx>, Bug> {
        let base = self.object(&place.base, none)?;
        let base = self.int_to_pointer(base)?;
        let chain: Vec<(CRecordId, u32)> = (place.steps.iter())
            .filter_map(|step| match step {
                Step::Member { record, member } => Some((*record, *member)),
                _ => None,
            })
            .collect();
        let at = self.core_chain(base, &chain)?;
        Ok(Mem { at, align: 8 })
    }

    /// What a helper says of an object; `otherwise` where there is no object.
    fn ask(
        &mut self,
        of: &Expr,
        otherwise: u64,
        helper: impl FnOnce(&mut Self, IntValue<'ctx>) -> Result<IntValue<'ctx>, Bug>,
    ) -> Result<IntValue<'ctx>, Bug> {
        let (none, end) = (self.block("no_object"), self.block("asked"));
        let object = self.object(of, none)?;
        let answer = helper(self, object)?;
        let asked = self.current()?;
        self.jump(end)?;
        self.enter(none);
        self.jump(end)?;
        self.enter(end);
        self.phi((answer, asked), (self.i64(otherwise), none))
    }

    pub fn socket_cookie(&mut self, sock: &Expr) -> Result<IntValue<'ctx>, Bug> {
        self.ask(sock, 0, |this, sock| {
            let sock = this.int_to_pointer(sock)?;
            this.helper(number::SOCKET_COOKIE, &[sock.into()])
        })
    }

    /// bpf_d_path into a room that every path fits into; a path that is longer than the string loses its beginning.
    pub fn object_path(&mut self, of: &Expr, to: Mem<'ctx>, size: u32) -> Result<(), Bug> {
        let room = self.scratch_memory(PATH_MAX.max(size))?;
        let bytes = self.i64(u64::from(PATH_MAX));
        let length = self.ask(of, 0, |this, path| {
            let path = this.int_to_pointer(path)?;
            let length =
                this.helper(number::D_PATH, &[path.into(), room.at.into(), bytes.into()])?;
            this.count_if_failed(length)?;
            Ok(length)
        })?;
        self.zero(to, size)?;
        let (found, end) = (self.block("path"), self.block("path_end"));
        let some = self.compare(IntPredicate::SGT, length, self.i64(0))?;
        self.branch(some, found, end)?;
        self.enter(found);
        let length = self.at_most(length, u64::from(PATH_MAX))?;
        let over = self.compare(IntPredicate::UGT, length, self.i64(u64::from(size)))?;
        let skipped = self
            .builder
            .build_int_sub(length, self.i64(u64::from(size)), "")?;
        let skipped = self.select(over, skipped, self.i64(0))?;
        let skipped = self.at_most(skipped, u64::from(PATH_MAX))?;
        let from = self.pointer_to_int(room.at)?;
        let from = self.add(from, skipped)?;
        self.read_c_string(to, self.i64(u64::from(size)), from, Space::Bpf)?;
        self.jump(end)?;
        self.enter(end);
        Ok(())
    }

    /// bpf_skb_output: a record of numbers, then the packet's first bytes. What the helper said.
    pub fn send_packet(
        &mut self,
        id: RecordId,
        packet: &Expr,
        length: &Expr,
        values: &[Expr],
    ) -> Result<IntValue<'ctx>, Bug> {
        let manifest = self.unit.manifest;
        let record =
            (manifest.records.get(id.index())).ok_or_else(|| Bug::new("no such record"))?;
        let maps = manifest.maps.iter();
        let map = maps.clone().position(|m| m.role == abi::MapRole::Packets);
        let map = map.ok_or_else(|| Bug::new("no map for packets"))? as u32;
        let about = self.scratch_memory(record.size)?;
        self.header(about, id)?;
        for (field, value) in record.fields.iter().zip(values) {
            let at = self.offset(about, field.offset)?;
            self.into(value, at)?;
        }
        let length = self.int64(length)?;
        let length = self.at_most(length, MOST_PACKET)?;
        let flags = self.builder.build_left_shift(length, self.i64(32), "")?;
        let flags = self.builder.build_or(flags, self.i64(CURRENT_CPU), "")?;
        let map = self.map_pointer(map)?;
        let size = self.i64(u64::from(record.size));
        let sent = self.ask(packet, NO_PACKET, |this, packet| {
            let packet = this.int_to_pointer(packet)?;
            this.helper(
                number::SKB_OUTPUT,
                &[
                    packet.into(),
                    map.into(),
                    flags.into(),
                    about.at.into(),
                    size.into(),
                ],
            )
        })?;
        self.resize(sent, self.unit.i32, true)
    }
}
