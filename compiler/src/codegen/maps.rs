//! Maps: keys in memory, lookups, inserts that don't race, and reading an aggregation over all CPUs.

use btc_abi as abi;
use inkwell::IntPredicate;
use inkwell::basic_block::BasicBlock;
use inkwell::values::{IntValue, PointerValue};

use super::builder::Mem;
use super::expr::Val;
use super::helper::number;
use super::program::Emitter;
use crate::bug::Bug;
use crate::ir::{BinaryOp, Expr, LocalId, MapId, Type};

/// BPF_NOEXIST of linux/bpf.h.
pub const NO_EXIST: u64 = 1;
/// Bytes of a map's value as the kernel is told. Per-CPU values are rounded to 8 by the kernel itself.
pub fn value_size(map: &abi::Map) -> u32 {
    map.value.size().max(1)
}

fn is_per_cpu(kind: &abi::MapKind) -> bool {
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

    fn map_kind(&self, map: MapId) -> abi::MapKind {
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

    /// Adds one to a counter of `btc_counters`.
    pub fn count(&mut self, wanted: &abi::Counter) -> Result<(), Bug> {
        let index = self.unit.manifest.counters.iter().position(|c| c == wanted);
        let counters = self
            .unit
            .manifest
            .maps
            .iter()
            .position(|m| m.role == abi::MapRole::Counters);
        let (Some(index), Some(counters)) = (index, counters) else {
            return Ok(());
        };
        self.count_at(index as u32, counters as u32)
    }

    /// Counts a read whose helper returned an error.
    pub fn count_if_failed(&mut self, result: IntValue<'ctx>) -> Result<(), Bug> {
        let index = self.unit.read_counter(self.here);
        let maps = &self.unit.manifest.maps;
        let counters = maps.iter().position(|m| m.role == abi::MapRole::Counters);
        let counters = counters.ok_or_else(|| Bug::new("no map of counters"))?;
        let failed = self.block("read_failed");
        let end = self.block("read");
        let negative = self.compare(IntPredicate::SLT, result, self.i64(0))?;
        self.branch(negative, failed, end)?;
        self.enter(failed);
        self.count_at(index, counters as u32)?;
        self.jump(end)?;
        self.enter(end);
        Ok(())
    }

    fn count_at(&mut self, index: u32, counters: u32) -> Result<(), Bug> {
        let key = self.temporary(8)?;
        self.store_int(Mem { align: 4, ..key }, self.i32(index))?;
        let at = self.lookup(counters, key.at)?;
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
    fn count_if_full(&mut self, map: MapId, result: IntValue<'ctx>) -> Result<(), Bug> {
        if !matches!(
            self.map_kind(map),
            abi::MapKind::Hash | abi::MapKind::PerCpuHash
        ) {
            return Ok(());
        }
        let full = self.block("map_full");
        let end = self.block("map_set");
        let failed = self.compare(IntPredicate::SLT, result, self.i64(0))?;
        self.branch(failed, full, end)?;
        self.enter(full);
        self.count(&abi::Counter::MapFull { map: map.0 })?;
        self.jump(end)?;
        self.enter(end);
        Ok(())
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
            return self.count_if_full(map, result);
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
        self.update(map.0, key, zero.at, NO_EXIST)?;
        let second = self.lookup(map.0, key)?;
        let null = self.is_null(second)?;
        let full = self.block("map_full");
        let second_block = self.current()?;
        self.branch(null, full, found)?;
        self.enter(full);
        self.count(&abi::Counter::MapFull { map: map.0 })?;
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
        self.forget_in_callback(local, to)?;
        self.jump(end)?;
        self.enter(end);
        Ok(there)
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
        let size = value_size(&self.unit.manifest.maps[map.index()]);
        self.zero(Mem { at, align: 8 }, size)?;
        self.jump(end)?;
        self.enter(end);
        Ok(self.builder.build_not(null, "")?)
    }

    /// `@m op= value`: the old or the new value, whichever is wanted; 0 where the element can't be inserted.
    pub fn map_step(
        &mut self,
        map: MapId,
        key: Option<&Expr>,
        op: BinaryOp,
        value: &Expr,
        yields: Yields,
    ) -> Result<IntValue<'ctx>, Bug> {
        let ty = &value.ty;
        let operand = self.int(value)?;
        let key = self.key(map, key)?;
        let end = self.block("stepped");
        let nothing = self.block("not_stepped");
        let slot = self.find_or_insert(map, key, nothing)?;
        let shared = !is_per_cpu(&self.map_kind(map));
        let wide = operand.get_type().get_bit_width() >= 32;
        let atomic = shared && wide && matches!(op, BinaryOp::Add | BinaryOp::Subtract);
        let (old, new) = if atomic {
            let by = if op == BinaryOp::Add {
                operand
            } else {
                self.builder.build_int_neg(operand, "")?
            };
            // The relaxed order makes it an instruction that gives no value; the one that does came with Linux 5.12.
            let order = match yields {
                Yields::Nothing => inkwell::AtomicOrdering::Monotonic,
                Yields::Old | Yields::New => inkwell::AtomicOrdering::SequentiallyConsistent,
            };
            let old =
                self.builder
                    .build_atomicrmw(inkwell::AtomicRMWBinOp::Add, slot.at, by, order)?;
            (old, self.add(old, by)?)
        } else {
            let old = self.load_scalar(slot, ty)?;
            let signed = super::expr::is_signed(ty, &self.unit.program.types);
            let new = self.arithmetic(op, old, operand, signed)?;
            self.store_scalar(slot, new)?;
            (old, new)
        };
        let result = match yields {
            Yields::Old => old,
            Yields::New => new,
            Yields::Nothing => old.get_type().const_zero(),
        };
        let stepped = self.current()?;
        self.jump(end)?;
        self.enter(nothing);
        self.jump(end)?;
        self.enter(end);
        let zero = result.get_type().const_zero();
        self.phi((result, stepped), (zero, nothing))
    }
}
