//! Ring buffer records: a header, fields at planned offsets, then the bytes of long strings and buffers.

use btc_abi as abi;
use inkwell::IntPredicate;
use inkwell::values::IntValue;

use super::builder::Mem;
use super::expr::Val;
use super::helper::number;
use super::program::Emitter;
use crate::bug::Bug;
use crate::ir::{Expr, ExprKind, RecordId, Space, Type};

/// A record up to this size without a tail is written in the ring buffer itself.
const RESERVE_LIMIT: u32 = 512;

impl<'ctx> Emitter<'_, '_, 'ctx> {
    pub fn emit_record(&mut self, id: RecordId, values: &[Expr]) -> Result<(), Bug> {
        let manifest = self.unit.manifest;
        let record = manifest
            .records
            .get(id.index())
            .ok_or_else(|| Bug::new("no such record"))?;
        if record.fields.len() != values.len() {
            return Err(Bug::new("a record with other fields than planned"));
        }
        if self.is_pinned_iterator() {
            return self.print_to_reader(&record.kind, values);
        }
        let ring = manifest
            .maps
            .iter()
            .position(|m| m.role == abi::MapRole::RingBuffer)
            .ok_or_else(|| Bug::new("no ring buffer"))? as u32;
        let tail = record.fields.iter().any(|f| is_tail(&f.value));
        if tail || record.size > RESERVE_LIMIT {
            self.send_built(id, ring, record, values)
        } else {
            self.send_reserved(id, ring, record, values)
        }
    }

    fn header(&mut self, at: Mem<'ctx>, id: RecordId) -> Result<(), Bug> {
        let word = u64::from(id.0) | u64::from(self.probe_index) << 32;
        self.store_int(at, self.i64(word))
    }

    /// Zeroes what lies between the fields.
    fn gaps(&mut self, at: Mem<'ctx>, record: &abi::Record) -> Result<(), Bug> {
        let mut next = abi::record::HEADER_SIZE;
        for field in record.fields.iter() {
            if field.offset > next {
                let gap = self.offset(at, next)?;
                self.zero(gap, field.offset - next)?;
            }
            next = field.offset + field.value.size();
        }
        if record.size > next {
            let gap = self.offset(at, next)?;
            self.zero(gap, record.size - next)?;
        }
        Ok(())
    }

    /// A fixed record: reserve, store, submit. Nothing may end the program in between, so values come first.
    fn send_reserved(
        &mut self,
        id: RecordId,
        ring: u32,
        record: &abi::Record,
        values: &[Expr],
    ) -> Result<(), Bug> {
        let mut ready = Vec::new();
        for value in values {
            ready.push(self.expr(value)?);
        }
        let ring = self.map_pointer(ring)?;
        let size = self.i64(u64::from(record.size));
        let at = self.helper_pointer(
            number::RINGBUF_RESERVE,
            &[ring.into(), size.into(), self.i64(0).into()],
        )?;
        let (lost, room, end) = (
            self.block("record_lost"),
            self.block("record"),
            self.block("record_end"),
        );
        let null = self.is_null(at)?;
        self.branch(null, lost, room)?;
        self.enter(room);
        let to = Mem { at, align: 8 };
        self.header(to, id)?;
        self.gaps(to, record)?;
        for (field, value) in record.fields.iter().zip(ready) {
            let at = self.offset(to, field.offset)?;
            match value {
                Val::Int(value) => self.store_scalar(at, value)?,
                Val::Mem(from) => self.copy(at, from, field.value.size())?,
                Val::Void => {}
            }
        }
        self.helper(number::RINGBUF_SUBMIT, &[at.into(), self.i64(0).into()])?;
        self.jump(end)?;
        self.enter(lost);
        self.count(&abi::Counter::LostRecords)?;
        self.jump(end)?;
        self.enter(end);
        Ok(())
    }

    /// A record with a tail: built in scratch, then copied out at its real length.
    fn send_built(
        &mut self,
        id: RecordId,
        ring: u32,
        record: &abi::Record,
        values: &[Expr],
    ) -> Result<(), Bug> {
        let room: u32 = record
            .fields
            .iter()
            .zip(values)
            .filter(|(field, _)| is_tail(&field.value))
            .map(|(_, value)| tail_room(&value.ty))
            .sum();
        let to = self.scratch_memory(record.size + room)?;
        self.header(to, id)?;
        self.gaps(to, record)?;
        let mut position = self.i64(u64::from(record.size));
        for (field, value) in record.fields.iter().zip(values) {
            let at = self.offset(to, field.offset)?;
            if !is_tail(&field.value) {
                self.into(value, at)?;
                continue;
            }
            let tail = self.gep(to.at, position)?;
            let tail = Mem { at: tail, align: 1 };
            let length = if field.value == abi::Value::TailString {
                self.tail_string(value, tail)?
            } else {
                self.tail_buffer(value, tail)?
            };
            let mut word = self.resize(length, self.unit.i32, false)?;
            if self.may_be_cut(&record.kind, value) {
                word = self.mark_cut(word)?;
            }
            self.store_int(Mem { align: 4, ..at }, word)?;
            position = self.add(position, length)?;
        }
        let size = self.at_most(position, u64::from(record.size + room))?;
        let ring = self.map_pointer(ring)?;
        let result = self.helper(
            number::RINGBUF_OUTPUT,
            &[ring.into(), to.at.into(), size.into(), self.i64(0).into()],
        )?;
        let (lost, end) = (self.block("record_lost"), self.block("record_end"));
        let failed = self.compare(IntPredicate::SLT, result, self.i64(0))?;
        self.branch(failed, lost, end)?;
        self.enter(lost);
        self.count(&abi::Counter::LostRecords)?;
        self.jump(end)?;
        self.enter(end);
        Ok(())
    }

    /// Whether a text may be the head of a longer one. What `join` prints is never marked.
    fn may_be_cut(&self, kind: &abi::RecordKind, value: &Expr) -> bool {
        let largest = self.unit.manifest.max_strlen;
        value.ty == Type::String { size: largest }
            && !matches!(value.kind, ExprKind::String(_) | ExprKind::Helper { .. })
            && !matches!(kind, abi::RecordKind::Join { .. })
    }

    /// The length of a text with the mark of one that fills all the room there is, as bpftrace tells those that were cut.
    fn mark_cut(&mut self, length: IntValue<'ctx>) -> Result<IntValue<'ctx>, Bug> {
        let full = self.i32(self.unit.manifest.max_strlen - 1);
        let cut = self.compare(IntPredicate::EQ, length, full)?;
        let marked = self.i32((self.unit.manifest.max_strlen - 1) | abi::value::CUT);
        self.select(cut, marked, length)
    }

    /// Text goes straight from where it is into the record; its length without NUL.
    pub fn tail_string(&mut self, value: &Expr, tail: Mem<'ctx>) -> Result<IntValue<'ctx>, Bug> {
        let size = self.unit.shapes.size(&value.ty);
        let (room, address, space) = match &value.kind {
            ExprKind::String(bytes) => {
                let keep = bytes.len().min(size.saturating_sub(1) as usize);
                self.store_bytes(tail, &bytes[..keep], keep as u32)?;
                return Ok(self.i64(keep as u64));
            }
            ExprKind::ReadString {
                address,
                space,
                length,
            } => {
                let address = self.int64(address)?;
                let length = length.as_deref().map(|l| self.int64(l)).transpose()?;
                (self.string_room(size, length)?, address, *space)
            }
            ExprKind::Head { of, length } => {
                let from = self.mem(of)?;
                let address = self.pointer_to_int(from.at)?;
                let length = self.int64(length)?;
                (self.string_room(size, Some(length))?, address, Space::Bpf)
            }
            ExprKind::Select {
                condition,
                then,
                otherwise,
            } => return self.tail_select(condition, then, otherwise, tail),
            ExprKind::Load(place) if place.space != Space::Bpf => {
                let address = self.address(place)?;
                (self.i64(u64::from(size)), address, place.space)
            }
            _ => {
                let from = self.mem(value)?;
                let address = self.pointer_to_int(from.at)?;
                (self.i64(u64::from(size)), address, Space::Bpf)
            }
        };
        let result = self.read_c_string(tail, room, address, space)?;
        self.text_length(result, size)
    }

    /// One of two texts, each written where it belongs.
    fn tail_select(
        &mut self,
        condition: &Expr,
        then: &Expr,
        otherwise: &Expr,
        tail: Mem<'ctx>,
    ) -> Result<IntValue<'ctx>, Bug> {
        let condition = self.int(condition)?;
        let (yes, no, end) = (
            self.block("then_text"),
            self.block("else_text"),
            self.block("text_end"),
        );
        self.branch(condition, yes, no)?;
        self.enter(yes);
        let first = self.tail_string(then, tail)?;
        let first_end = self.current()?;
        self.jump(end)?;
        self.enter(no);
        let second = self.tail_string(otherwise, tail)?;
        let second_end = self.current()?;
        self.jump(end)?;
        self.enter(end);
        self.phi((first, first_end), (second, second_end))
    }

    fn tail_buffer(&mut self, value: &Expr, tail: Mem<'ctx>) -> Result<IntValue<'ctx>, Bug> {
        let Type::Buffer { size } = value.ty else {
            return Err(Bug::new("a tail buffer of another type"));
        };
        if let ExprKind::ReadBuffer {
            address,
            space,
            length,
        } = &value.kind
        {
            let address = self.int64(address)?;
            let length = self.int64(length)?;
            let length = self.at_most(length, u64::from(size))?;
            self.read(tail, length, address, *space)?;
            return Ok(length);
        }
        let from = self.mem(value)?;
        let length = self.load_int(self.unit.i32, Mem { align: 4, ..from })?;
        let length = self.resize(length, self.unit.i64, false)?;
        let length = self.at_most(length, u64::from(size))?;
        let bytes = self.offset(from, 4)?;
        let address = self.pointer_to_int(bytes.at)?;
        self.read(tail, length, address, Space::Bpf)?;
        Ok(length)
    }
}

fn is_tail(value: &abi::Value) -> bool {
    matches!(value, abi::Value::TailString | abi::Value::TailBuffer)
}

/// The most bytes that a value may take in the tail.
fn tail_room(ty: &Type) -> u32 {
    match ty {
        Type::String { size } | Type::Buffer { size } => *size,
        _ => 0,
    }
}
