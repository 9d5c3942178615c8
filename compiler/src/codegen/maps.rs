//! Maps: keys in memory, lookups, inserts that don't race, and what is counted where the kernel refuses one.

use btc_abi as abi;
use inkwell::IntPredicate;
use inkwell::basic_block::BasicBlock;
use inkwell::values::{IntValue, PointerValue};

use super::builder::Mem;
use super::expr::Val;
use super::helper::number;
use super::module::Counted;
use super::program::Emitter;
use crate::bug::Bug;
use crate::ir::{Expr, LocalId, MapId, Type};
use crate::source::Span;

/// BPF_NOEXIST of linux/bpf.h.
pub const NO_EXIST: u64 = 1;
/// -E2BIG: a full map's answer.
const FULL: u64 = -7i64 as u64;

/// Bytes of a map's value as the kernel is told. Per-CPU values are rounded to 8 by the kernel itself.
pub fn value_size(map: &abi::Map) -> u32 {
    map.value.size().max(1)
}

pub fn is_per_cpu(kind: &abi::MapKind) -> bool {
    use abi::MapKind as K;
    matches!(kind, K::PerCpuArray | K::PerCpuHash | K::LruPerCpuHash)
}

fn is_array(kind: &abi::MapKind) -> bool {
    matches!(kind, abi::MapKind::Array | abi::MapKind::PerCpuArray)
}

/// Which value of a changed map element is wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Yields {
    Nothing,
    Old,
    New,
}

impl<'ctx> Emitter<'_, '_, 'ctx> {
    pub fn map_pointer(&self, index: u32) -> Result<PointerValue<'ctx>, Bug> {
        self.unit
            .maps
            .get(index as usize)
            .map(|map| map.as_pointer_value())
            .ok_or_else(|| Bug::new("no such map"))
    }

    pub fn map_kind(&self, map: MapId) -> abi::MapKind {
        self.unit.program.maps[map.index()].kind.clone()
    }

    /// The key's address.
    pub fn key(&mut self, map: MapId, key: Option<&Expr>) -> Result<PointerValue<'ctx>, Bug> {
        match key {
            Some(key) if Val::is_scalar(&key.ty) => {
                let value = self.int(key)?;
                let to = self.temporary(8)?;
                self.store_scalar(to, value)?;
                Ok(to.at)
            }
            Some(key) => Ok(self.mem(key)?.at),
            None => {
                if !is_array(&self.map_kind(map)) {
                    return Err(Bug::new("a hash map without a key"));
                }
                let to = self.temporary(8)?;
                self.store_int(Mem { align: 4, ..to }, self.i32(0))?;
                Ok(to.at)
            }
        }
    }

    pub fn lookup(&self, map: u32, key: PointerValue<'ctx>) -> Result<PointerValue<'ctx>, Bug> {
        let map = self.map_pointer(map)?;
        self.helper_pointer(number::MAP_LOOKUP, &[map.into(), key.into()])
    }

    fn update(
        &self,
        map: u32,
        key: PointerValue<'ctx>,
        value: PointerValue<'ctx>,
        flags: u64,
    ) -> Result<IntValue<'ctx>, Bug> {
        let map = self.map_pointer(map)?;
        let flags = self.i64(flags);
        self.helper(
            number::MAP_UPDATE,
            &[map.into(), key.into(), value.into(), flags.into()],
        )
    }

    /// A counter's index, and that of the map of counters.
    fn counter(&self, wanted: &abi::Counter) -> Option<(u32, u32)> {
        let index = self
            .unit
            .manifest
            .counters
            .iter()
            .position(|c| c == wanted)?;
        Some((index as u32, self.counters_map().ok()?))
    }

    fn counters_map(&self) -> Result<u32, Bug> {
        let mut maps = self.unit.manifest.maps.iter();
        let counters = maps.position(|m| m.role == abi::MapRole::Counters);
        let counters = counters.ok_or_else(|| Bug::new("no map of counters"))?;
        Ok(counters as u32)
    }

    /// Adds one to a counter of `btc_counters`.
    pub fn count(&mut self, wanted: &abi::Counter) -> Result<(), Bug> {
        match self.counter(wanted) {
            Some((index, counters)) => self.count_at(self.i32(index), counters),
            None => Ok(()),
        }
    }

    /// Counts a read whose helper returned an error.
    pub fn count_if_failed(&mut self, result: IntValue<'ctx>) -> Result<(), Bug> {
        let span = self.here;
        let negative = self.compare(IntPredicate::SLT, result, self.i64(0))?;
        self.count_if(negative, Counted::FailedRead { span })
    }

    /// Counts a division by zero of the statement.
    pub fn count_division(&mut self) -> Result<(), Bug> {
        let index = self
            .unit
            .counter_of(Counted::DivisionByZero { span: self.here });
        let counters = self.counters_map()?;
        self.count_at(self.i32(index), counters)
    }

    /// Counts a deletion of the statement that found no element.
    pub fn count_missed_delete(&mut self, deleted: IntValue<'ctx>) -> Result<(), Bug> {
        let span = self.here;
        let missed = self.builder.build_not(deleted, "")?;
        self.count_if(missed, Counted::MissedDelete { span })
    }

    fn count_if(&mut self, happened: IntValue<'ctx>, what: Counted) -> Result<(), Bug> {
        let index = self.unit.counter_of(what);
        let counters = self.counters_map()?;
        let (count, end) = (self.block("count"), self.block("counted"));
        self.branch(happened, count, end)?;
        self.enter(count);
        self.count_at(self.i32(index), counters)?;
        self.jump(end)?;
        self.enter(end);
        Ok(())
    }

    fn count_at(&mut self, index: IntValue<'ctx>, counters: u32) -> Result<(), Bug> {
        // One statement may count in many places.
        let mark = self.mark();
        let key = self.temporary(8)?;
        self.store_int(Mem { align: 4, ..key }, index)?;
        let at = self.lookup(counters, key.at)?;
        self.release(mark);
        let found = self.block("counter");
        let end = self.block("counted");
        let null = self.is_null(at)?;
        self.branch(null, end, found)?;
        self.enter(found);
        let mem = Mem { at, align: 8 };
        let old = self.load_int(self.unit.i64, mem)?;
        let new = self.add(old, self.i64(1))?;
        self.store_int(mem, new)?;
        self.jump(end)?;
        self.enter(end);
        Ok(())
    }

    /// Counts a failed update (`result` negative).
    fn count_if_refused(&mut self, map: MapId, result: IntValue<'ctx>) -> Result<(), Bug> {
        let refused = self.block("map_refused");
        let end = self.block("map_set");
        let failed = self.compare(IntPredicate::SLT, result, self.i64(0))?;
        self.branch(failed, refused, end)?;
        self.enter(refused);
        self.count_refused(map, result)?;
        self.jump(end)?;
        self.enter(end);
        Ok(())
    }

    /// Counts an update that the kernel refused: because the map is full, or for any other reason.
    fn count_refused(&mut self, map: MapId, result: IntValue<'ctx>) -> Result<(), Bug> {
        let lost = abi::Counter::LostUpdates { map: map.0 };
        let full = abi::Counter::MapFull { map: map.0 };
        let (Some((lost, counters)), full) = (self.counter(&lost), self.counter(&full)) else {
            return Ok(());
        };
        let mut index = self.i32(lost);
        if let Some((full, _)) = full {
            let is_full = self.compare(IntPredicate::EQ, result, self.i64(FULL))?;
            index = self.select(is_full, self.i32(full), index)?;
        }
        self.count_at(index, counters)
    }

    /// Counts a loop that was ended after so many rounds.
    pub fn count_cut(&mut self, span: Span, rounds: u32) -> Result<(), Bug> {
        let index = self.unit.counter_of(Counted::CutLoop { span, rounds });
        let counters = self.counters_map()?;
        self.count_at(self.i32(index), counters)
    }

    /// `@m[key] = value`
    pub fn map_set(&mut self, map: MapId, key: Option<&Expr>, value: &Expr) -> Result<(), Bug> {
        let size = self.unit.shapes.size(&value.ty);
        let from = if Val::is_scalar(&value.ty) {
            let value = self.int(value)?;
            let to = self.temporary(8)?;
            self.store_scalar(to, value)?;
            to
        } else {
            self.mem(value)?
        };
        let key_at = self.key(map, key)?;
        if !is_array(&self.map_kind(map)) {
            let result = self.update(map.0, key_at, from.at, 0)?;
            return self.count_if_refused(map, result);
        }
        let at = self.lookup(map.0, key_at)?;
        let found = self.block("found");
        let end = self.block("map_set");
        let null = self.is_null(at)?;
        self.branch(null, end, found)?;
        self.enter(found);
        self.copy(Mem { at, align: 8 }, from, size)?;
        self.jump(end)?;
        self.enter(end);
        Ok(())
    }

    /// The element's address; a zeroed element is inserted where there is none. Goes to `failed` where it can't be.
    pub fn find_or_insert(
        &mut self,
        map: MapId,
        key: PointerValue<'ctx>,
        failed: BasicBlock<'ctx>,
    ) -> Result<Mem<'ctx>, Bug> {
        let first = self.lookup(map.0, key)?;
        let found = self.block("found");
        let null = self.is_null(first)?;
        let first_block = self.current()?;
        if is_array(&self.map_kind(map)) {
            self.branch(null, failed, found)?;
            self.enter(found);
            return Ok(Mem {
                at: first,
                align: 8,
            });
        }
        let insert = self.block("insert");
        self.branch(null, insert, found)?;
        self.enter(insert);
        let size = value_size(&self.unit.manifest.maps[map.index()]);
        let zero = self.temporary(size)?;
        self.zero(zero, size)?;
        // Another CPU may insert it first: then this update fails and the second lookup finds theirs.
        let result = self.update(map.0, key, zero.at, NO_EXIST)?;
        let second = self.lookup(map.0, key)?;
        let null = self.is_null(second)?;
        let refused = self.block("map_refused");
        let second_block = self.current()?;
        self.branch(null, refused, found)?;
        self.enter(refused);
        self.count_refused(map, result)?;
        self.jump(failed)?;
        self.enter(found);
        let at = self.phi_pointer((first, first_block), (second, second_block))?;
        Ok(Mem { at, align: 8 })
    }

    /// Reads an element; zero bytes where it is missing.
    pub fn map_get(&mut self, map: MapId, key: Option<&Expr>, ty: &Type) -> Result<Val<'ctx>, Bug> {
        let key = self.key(map, key)?;
        if let Type::Aggregation(aggregation) = &self.unit.program.maps[map.index()].value {
            return self.read_aggregation(map, key, aggregation).map(Val::Int);
        }
        let at = self.lookup(map.0, key)?;
        let end = self.block("map_get");
        let null = self.is_null(at)?;
        if Val::is_scalar(ty) {
            let found = self.block("found");
            let before = self.current()?;
            self.branch(null, end, found)?;
            self.enter(found);
            let value = self.load_scalar(Mem { at, align: 8 }, ty)?;
            let loaded = self.current()?;
            self.jump(end)?;
            self.enter(end);
            let zero = value.get_type().const_zero();
            return self.phi((value, loaded), (zero, before)).map(Val::Int);
        }
        let size = self.unit.shapes.size(ty);
        let zero = self.temporary(size)?;
        let missing = self.block("missing");
        let before = self.current()?;
        self.branch(null, missing, end)?;
        self.enter(missing);
        self.zero(zero, size)?;
        let zeroed = self.current()?;
        self.jump(end)?;
        self.enter(end);
        let at = self.phi_pointer((at, before), (zero.at, zeroed))?;
        Ok(Val::Mem(Mem { at, align: 8 }))
    }

    pub fn map_has(&mut self, map: MapId, key: &Expr) -> Result<IntValue<'ctx>, Bug> {
        let key = self.key(map, Some(key))?;
        let at = self.lookup(map.0, key)?;
        Ok(self.builder.build_is_not_null(at, "")?)
    }

    /// Looks an element up once: whether it is there, and its value in a local.
    pub fn map_find(
        &mut self,
        map: MapId,
        key: &Expr,
        local: LocalId,
    ) -> Result<IntValue<'ctx>, Bug> {
        let key = self.key(map, Some(key))?;
        let at = self.lookup(map.0, key)?;
        let there = self.builder.build_is_not_null(at, "")?;
        let found = self.block("found");
        let end = self.block("find");
        self.branch(there, found, end)?;
        self.enter(found);
        let (to, ty) = self.local(local)?;
        let size = self.unit.shapes.size(ty);
        if let Type::Aggregation(of) = &self.unit.program.maps[map.index()].value {
            let value = self.read_aggregation(map, key, of)?;
            self.store_int(to, value)?;
        } else {
            self.copy(to, Mem { at, align: 8 }, size)?;
        }
        self.forget_in_rounds(local, to)?;
        self.jump(end)?;
        self.enter(end);
        Ok(there)
    }

    fn zero_element(&mut self, map: MapId, at: Mem<'ctx>) -> Result<(), Bug> {
        let of = &self.unit.manifest.maps[map.index()];
        let size = match &of.value {
            abi::Value::Tseries { series } if series.count.is_told() => {
                let count = self.told_number(&series.count)?;
                let bucket = self.i64(u64::from(abi::value::BUCKET_SIZE));
                self.builder.build_int_mul(count, bucket, "")?
            }
            value if value.buckets() > 0 => {
                let shift = self.i64(3);
                self.builder
                    .build_left_shift(self.buckets(value)?, shift, "")?
            }
            _ => return self.zero(at, value_size(of)),
        };
        // A failed read zeroes its destination.
        let null = self.unit.pointer_type().const_null();
        let arguments = [at.at.into(), size.into(), null.into()];
        self.helper(number::READ_KERNEL, &arguments)?;
        Ok(())
    }

    pub fn map_delete(&mut self, map: MapId, key: Option<&Expr>) -> Result<IntValue<'ctx>, Bug> {
        let key_at = self.key(map, key)?;
        if !is_array(&self.map_kind(map)) {
            let map = self.map_pointer(map.0)?;
            let result = self.helper(number::MAP_DELETE, &[map.into(), key_at.into()])?;
            return self.compare(IntPredicate::EQ, result, self.i64(0));
        }
        // An array's element can't be deleted: it becomes zero.
        let at = self.lookup(map.0, key_at)?;
        let found = self.block("found");
        let end = self.block("deleted");
        let null = self.is_null(at)?;
        self.branch(null, end, found)?;
        self.enter(found);
        self.zero_element(map, Mem { at, align: 8 })?;
        self.jump(end)?;
        self.enter(end);
        Ok(self.builder.build_not(null, "")?)
    }
}
