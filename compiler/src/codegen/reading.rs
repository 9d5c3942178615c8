//! Aggregations are read: what each CPU counted becomes one value.

use btc_abi as abi;
use inkwell::IntPredicate;
use inkwell::values::{IntValue, PointerValue};

use super::aggregate::more_extreme;
use super::builder::Mem;
use super::callback::parameter;
use super::helper::number;
use super::program::Emitter;
use crate::bug::Bug;
use crate::ir::{Aggregation, MapId, Space};

/// No machine has more; the verifier wants a bound that isn't a variable.
const MOST_CPUS: u64 = 4096;

/// An element of a per-CPU map, of which each CPU has a copy.
#[derive(Clone, Copy)]
struct Element<'ctx> {
    map: PointerValue<'ctx>,
    key: PointerValue<'ctx>,
    /// Whether the kernel has bpf_map_lookup_percpu_elem (Linux 5.19).
    has_helper: IntValue<'ctx>,
    /// Without that helper: how far the copy of CPU 0 would be if its offset were 0; 0 where there is no element.
    base: IntValue<'ctx>,
    /// Bytes of a copy.
    size: u32,
}

impl<'ctx> Emitter<'_, '_, 'ctx> {
    /// An element's reading as a loop over its map has it: see [`crate::ir::StmtKind::ForMap`].
    pub fn read_element(
        &mut self,
        map: MapId,
        key: PointerValue<'ctx>,
        of: &Aggregation,
        to: Mem<'ctx>,
    ) -> Result<(), Bug> {
        match of {
            Aggregation::Stats { signed } => {
                let (total, count) = self.totals(map, key, of)?;
                let average = self.average(total, count, *signed)?;
                for (at, value) in [(0, count), (8, average), (16, total)] {
                    let to = self.offset(to, at)?;
                    self.store_int(to, value)?;
                }
                Ok(())
            }
            _ => {
                let read = self.read_aggregation(map, key, of)?;
                self.store_scalar(to, read)
            }
        }
    }

    /// One number of a per-CPU aggregation: sums are added up, averages divided, extremes compared.
    pub fn read_aggregation(
        &mut self,
        map: MapId,
        key: PointerValue<'ctx>,
        of: &Aggregation,
    ) -> Result<IntValue<'ctx>, Bug> {
        let (total, count) = self.totals(map, key, of)?;
        match of {
            Aggregation::Avg { signed } | Aggregation::Stats { signed } => {
                self.average(total, count, *signed)
            }
            _ => Ok(total),
        }
    }

    /// The sum (or extreme, or number of values of a histogram) and the number of values over all CPUs.
    fn totals(
        &mut self,
        map: MapId,
        key: PointerValue<'ctx>,
        of: &Aggregation,
    ) -> Result<(IntValue<'ctx>, IntValue<'ctx>), Bug> {
        let buckets = self.bucket_sum(map)?;
        let cpus = self
            .slot_of(&abi::TargetValue::CpuCount)?
            .ok_or_else(|| Bug::new("no slot holds the number of CPUs"))?;
        let i64 = self.unit.i64;
        let slot = self.temporary(16)?;
        let element = match buckets {
            Some(_) => None,
            None => Some(self.per_cpu_element(map, key)?),
        };
        let before = self.current()?;
        let head = self.block("cpu");
        let body = self.block("cpu_body");
        let found = self.block("cpu_found");
        let next = self.block("cpu_next");
        let end = self.block("cpu_end");
        self.jump(head)?;
        self.enter(head);
        let cpu = self.builder.build_phi(i64, "cpu")?;
        let total = self.builder.build_phi(i64, "total")?;
        let count = self.builder.build_phi(i64, "count")?;
        let (cpu_now, total_now, count_now) = (
            cpu.as_basic_value().into_int_value(),
            total.as_basic_value().into_int_value(),
            count.as_basic_value().into_int_value(),
        );
        let some = self.compare(IntPredicate::ULT, cpu_now, cpus)?;
        let sane = self.compare(IntPredicate::ULT, cpu_now, self.i64(MOST_CPUS))?;
        let go = self.builder.build_and(some, sane, "")?;
        self.branch(go, body, end)?;
        self.enter(body);
        let (there, at) = match element {
            Some(element) => (self.copy_of_cpu(element, cpu_now, slot)?, slot.at),
            None => self.element_of_cpu(map, key, cpu_now)?,
        };
        let fetched = self.current()?;
        self.branch(there, found, next)?;
        self.enter(found);
        let (new_total, new_count) = match buckets {
            Some(sum) => (self.sum_buckets(sum, at, total_now)?, count_now),
            None => {
                let value = self.load_int(i64, slot)?;
                self.merge(of, slot, value, total_now, count_now)?
            }
        };
        let merged = self.current()?;
        self.jump(next)?;
        self.enter(next);
        let total_next = self.phi((new_total, merged), (total_now, fetched))?;
        let count_next = self.phi((new_count, merged), (count_now, fetched))?;
        let cpu_next = self.add(cpu_now, self.i64(1))?;
        self.jump(head)?;
        let zero = self.i64(0);
        cpu.add_incoming(&[(&zero, before), (&cpu_next, next)]);
        total.add_incoming(&[(&zero, before), (&total_next, next)]);
        count.add_incoming(&[(&zero, before), (&count_next, next)]);
        self.enter(end);
        Ok((total_now, count_now))
    }

    /// A CPU's copy of an element that is too large to be copied, and whether there is one: Linux 5.19 has the helper.
    fn element_of_cpu(
        &mut self,
        map: MapId,
        key: PointerValue<'ctx>,
        cpu: IntValue<'ctx>,
    ) -> Result<(IntValue<'ctx>, PointerValue<'ctx>), Bug> {
        let arguments = [self.map_pointer(map.0)?.into(), key.into(), cpu.into()];
        let at = self.helper_pointer(number::LOOKUP_PERCPU, &arguments)?;
        let missing = self.is_null(at)?;
        Ok((self.builder.build_not(missing, "")?, at))
    }

    /// What is to know of an element before its copies are read.
    fn per_cpu_element(
        &mut self,
        map: MapId,
        key: PointerValue<'ctx>,
    ) -> Result<Element<'ctx>, Bug> {
        let number = number::LOOKUP_PERCPU;
        let has = self
            .slot_of(&abi::TargetValue::HasHelper { number })?
            .ok_or_else(|| Bug::new("no slot for bpf_map_lookup_percpu_elem"))?;
        let has_helper = self.compare(IntPredicate::NE, has, self.i64(0))?;
        let size = super::maps::value_size(&self.unit.manifest.maps[map.index()]);
        let (without, ours, end) = (
            self.block("own_copy"),
            self.block("own_found"),
            self.block("element"),
        );
        let start = self.current()?;
        self.branch(has_helper, end, without)?;
        self.enter(without);
        let own = self.lookup(map.0, key)?;
        let missing = self.is_null(own)?;
        let looked = self.current()?;
        self.branch(missing, end, ours)?;
        self.enter(ours);
        let address = self.address_as_number(own)?;
        let cpu = self.helper(number::PROCESSOR_ID, &[])?;
        let offset = self.per_cpu_offset(cpu)?;
        let base = self.builder.build_int_sub(address, offset, "")?;
        let based = self.current()?;
        self.jump(end)?;
        self.enter(end);
        let phi = self.builder.build_phi(self.unit.i64, "base")?;
        let zero = self.i64(0);
        phi.add_incoming(&[(&zero, start), (&zero, looked), (&base, based)]);
        Ok(Element {
            map: self.map_pointer(map.0)?,
            key,
            has_helper,
            base: phi.as_basic_value().into_int_value(),
            size: size.min(16),
        })
    }

    /// `__per_cpu_offset[cpu]`
    fn per_cpu_offset(&mut self, cpu: IntValue<'ctx>) -> Result<IntValue<'ctx>, Bug> {
        let table = self
            .slot_of(&abi::TargetValue::PerCpuOffsets)?
            .ok_or_else(|| Bug::new("no slot for __per_cpu_offset"))?;
        let bytes = self.builder.build_left_shift(cpu, self.i64(3), "")?;
        let at = self.add(table, bytes)?;
        let to = self.temporary(8)?;
        self.read(to, self.i64(8), at, Space::Bpf)?;
        self.load_int(self.unit.i64, to)
    }

    /// Copies a CPU's copy of an element to `to`, and says whether there is one.
    fn copy_of_cpu(
        &mut self,
        element: Element<'ctx>,
        cpu: IntValue<'ctx>,
        to: Mem<'ctx>,
    ) -> Result<IntValue<'ctx>, Bug> {
        let (asked, found) = (self.block("asked"), self.block("asked_found"));
        let (computed, read) = (self.block("computed"), self.block("computed_read"));
        let end = self.block("copied");
        self.branch(element.has_helper, asked, computed)?;
        self.enter(asked);
        let arguments = [element.map.into(), element.key.into(), cpu.into()];
        let at = self.helper_pointer(number::LOOKUP_PERCPU, &arguments)?;
        let missing = self.is_null(at)?;
        self.branch(missing, end, found)?;
        self.enter(found);
        self.copy(to, Mem { at, align: 8 }, element.size)?;
        let copied = self.current()?;
        self.jump(end)?;
        self.enter(computed);
        let nothing = self.compare(IntPredicate::EQ, element.base, self.i64(0))?;
        self.branch(nothing, end, read)?;
        self.enter(read);
        let offset = self.per_cpu_offset(cpu)?;
        let at = self.add(element.base, offset)?;
        let size = self.i64(u64::from(element.size));
        self.read(to, size, at, Space::Bpf)?;
        let was_read = self.current()?;
        self.jump(end)?;
        self.enter(end);
        let phi = self.builder.build_phi(self.unit.bool, "there")?;
        let (yes, no) = (self.bool(true), self.bool(false));
        phi.add_incoming(&[
            (&no, asked),
            (&yes, copied),
            (&no, computed),
            (&yes, was_read),
        ]);
        Ok(phi.as_basic_value().into_int_value())
    }

    /// The callback that adds up a histogram's buckets, and how many there are.
    fn bucket_sum(&mut self, map: MapId) -> Result<Option<BucketSum<'ctx>>, Bug> {
        let of = self.unit.manifest.maps[map.index()].value.clone();
        if of.buckets() == 0 {
            return Ok(None);
        }
        // Two words: the buckets' address and their sum.
        let at = self.alloca(16)?;
        self.stack.reserve(16);
        let work = Mem { at, align: 8 };
        let parameters = [("index", false), ("work", true)];
        let callback = self.small_callback(&parameters, |this, function| {
            let index = parameter(function, 0)?.into_int_value();
            let work = Mem {
                at: parameter(function, 1)?.into_pointer_value(),
                align: 8,
            };
            let base = this.load_pointer(work)?;
            let buckets = this.buckets(&of)?;
            let last = this.builder.build_int_sub(buckets, this.i64(1), "")?;
            let index = this.at_most_of(index, last)?;
            let bytes = this.builder.build_int_mul(index, this.i64(8), "")?;
            let bucket = Mem {
                at: this.gep(base, bytes)?,
                align: 8,
            };
            let count = this.load_int(this.unit.i64, bucket)?;
            let sum = this.offset(work, 8)?;
            this.add_in_place(sum, count)
        })?;
        Ok(Some(BucketSum {
            callback,
            work,
            buckets: self.buckets(&self.unit.manifest.maps[map.index()].value)?,
        }))
    }

    fn sum_buckets(
        &mut self,
        sum: BucketSum<'ctx>,
        at: PointerValue<'ctx>,
        total: IntValue<'ctx>,
    ) -> Result<IntValue<'ctx>, Bug> {
        self.builder.build_store(sum.work.at, at)?;
        let to = self.offset(sum.work, 8)?;
        self.store_int(to, self.i64(0))?;
        self.helper(
            number::LOOP,
            &[
                sum.buckets.into(),
                sum.callback.into(),
                sum.work.at.into(),
                self.i64(0).into(),
            ],
        )?;
        let counted = self.load_int(self.unit.i64, to)?;
        self.add(total, counted)
    }

    fn merge(
        &mut self,
        of: &Aggregation,
        slot: Mem<'ctx>,
        value: IntValue<'ctx>,
        total: IntValue<'ctx>,
        count: IntValue<'ctx>,
    ) -> Result<(IntValue<'ctx>, IntValue<'ctx>), Bug> {
        let Some(predicate) = more_extreme(of) else {
            return match of {
                Aggregation::Avg { .. } | Aggregation::Stats { .. } => {
                    let second = self.offset(slot, 8)?;
                    let second = self.load_int(self.unit.i64, second)?;
                    Ok((self.add(total, value)?, self.add(count, second)?))
                }
                Aggregation::Count | Aggregation::Sum { .. } => {
                    Ok((self.add(total, value)?, count))
                }
                _ => Err(Bug::new("buckets are read one by one")),
            };
        };
        let flag = self.offset(slot, 8)?;
        let set = self.load_int(self.unit.i64, flag)?;
        let is_set = self.compare(IntPredicate::NE, set, self.i64(0))?;
        let first = self.compare(IntPredicate::EQ, count, self.i64(0))?;
        let better = self.compare(predicate, value, total)?;
        let better = self.builder.build_or(first, better, "")?;
        let take = self.builder.build_and(is_set, better, "")?;
        let total = self.select(take, value, total)?;
        let count = self.builder.build_or(count, set, "")?;
        Ok((total, count))
    }
}

/// What adds up the buckets of a histogram.
#[derive(Clone, Copy)]
struct BucketSum<'ctx> {
    callback: PointerValue<'ctx>,
    work: Mem<'ctx>,
    buckets: IntValue<'ctx>,
}
