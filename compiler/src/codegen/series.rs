//! `tseries`: a value goes to the bucket of the interval that is now, which may have been that of an older one.

use btc_abi as abi;
use inkwell::IntPredicate;
use inkwell::values::IntValue;

use super::builder::Mem;
use super::helper::number;
use super::program::Emitter;
use crate::bug::Bug;
use crate::ir::{Aggregation, MapId, Type};

/// Byte offsets of [`abi::value::Bucket`]'s members.
const SEEN: u32 = std::mem::offset_of!(abi::value::Bucket, seen) as u32;
const EPOCH: u32 = std::mem::offset_of!(abi::value::Bucket, epoch) as u32;

impl<'ctx> Emitter<'_, '_, 'ctx> {
    /// Uses of a map with values of both signs made it signed.
    pub fn is_signed_series(&self, map: MapId) -> bool {
        matches!(
            &self.unit.program.maps[map.index()].value,
            Type::Aggregation(Aggregation::Tseries(series)) if series.signed
        )
    }

    /// Takes a value into the series at `slot`.
    pub fn keep_in_series(
        &mut self,
        slot: Mem<'ctx>,
        value: IntValue<'ctx>,
        series: &abi::Series,
        signed: bool,
    ) -> Result<(), Bug> {
        let booted = self
            .slot_of(&abi::TargetValue::RealtimeOffset)?
            .ok_or_else(|| Bug::new("no slot for the time of day"))?;
        let now = self.helper(number::KTIME_BOOT_NS, &[])?;
        let now = self.add(now, booted)?;
        let interval = self.told_number(&series.interval)?;
        let epoch = self.builder.build_int_unsigned_div(now, interval, "")?;
        let epoch = self.add(epoch, self.i64(1))?;
        let count = self.told_number(&series.count)?;
        let index = self.builder.build_int_unsigned_rem(epoch, count, "")?;
        let last = self.builder.build_int_sub(count, self.i64(1), "")?;
        let index = self.at_most_of(index, last)?;
        let size = self.i64(u64::from(abi::value::BUCKET_SIZE));
        let bytes = self.builder.build_int_mul(index, size, "")?;
        let bucket = Mem {
            at: self.gep(slot.at, bytes)?,
            align: 8,
        };
        let seen_at = self.offset(bucket, SEEN)?;
        let epoch_at = self.offset(bucket, EPOCH)?;
        let there = self.load_int(self.unit.i64, epoch_at)?;
        let same = self.compare(IntPredicate::EQ, there, epoch)?;
        let (again, anew, end) = (
            self.block("interval"),
            self.block("interval_new"),
            self.block("interval_end"),
        );
        self.branch(same, again, anew)?;
        self.enter(anew);
        self.store_int(bucket, value)?;
        let first = match series.keeps {
            abi::Keeps::Last => now,
            _ => self.i64(1),
        };
        self.store_int(seen_at, first)?;
        self.store_int(epoch_at, epoch)?;
        self.jump(end)?;
        self.enter(again);
        let old = self.load_int(self.unit.i64, bucket)?;
        let kept = self.kept(&series.keeps, old, value, signed)?;
        self.store_int(bucket, kept)?;
        let seen = match series.keeps {
            abi::Keeps::Last => now,
            _ => {
                let seen = self.load_int(self.unit.i64, seen_at)?;
                self.add(seen, self.i64(1))?
            }
        };
        self.store_int(seen_at, seen)?;
        self.jump(end)?;
        self.enter(end);
        Ok(())
    }

    fn kept(
        &self,
        keeps: &abi::Keeps,
        old: IntValue<'ctx>,
        new: IntValue<'ctx>,
        signed: bool,
    ) -> Result<IntValue<'ctx>, Bug> {
        let predicate = match (keeps, signed) {
            (abi::Keeps::Last, _) => return Ok(new),
            (abi::Keeps::Sum | abi::Keeps::Average, _) => return self.add(old, new),
            (abi::Keeps::Min, true) => IntPredicate::SLT,
            (abi::Keeps::Min, false) => IntPredicate::ULT,
            (abi::Keeps::Max, true) => IntPredicate::SGT,
            (abi::Keeps::Max, false) => IntPredicate::UGT,
        };
        let better = self.compare(predicate, new, old)?;
        self.select(better, new, old)
    }
}
