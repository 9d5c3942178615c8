//! Arguments of usdt probes. Each site keeps them elsewhere, so that code can't be fixed when compiling: it follows what the
//! runtime found in the target's notes and put into the map of sites ([`btc_abi::usdt`]).

use std::mem::offset_of;

use btc_abi::usdt::{Argument, Site};
use btc_abi::{Attach, MapRole};
use inkwell::IntPredicate;
use inkwell::types::IntType;
use inkwell::values::IntValue;

use super::builder::Mem;
use super::callback::Hoisted;
use super::helper::number;
use super::program::Emitter;
use crate::bug::Bug;
use crate::ir::Space;

impl<'ctx> Emitter<'_, '_, 'ctx> {
    /// What the runtime attached the program with; a constant of the program where the kernel has no cookies.
    pub fn cookie(&mut self) -> Result<IntValue<'ctx>, Bug> {
        if let Some(value) = self.hoisted(&Hoisted::Cookie)? {
            return Ok(value);
        }
        let context = self.context;
        self.helper(number::ATTACH_COOKIE, &[context.into()])
    }

    /// The number of the hit site's name.
    pub fn site_name(&mut self) -> Result<IntValue<'ctx>, Bug> {
        let described = self.unit.manifest.probes.get(self.probe_index as usize);
        let by_map = described.is_some_and(|probe| match probe.attach {
            Attach::Usdt { arguments, .. } => arguments != 0,
            _ => false,
        });
        if !by_map {
            return self.cookie();
        }
        self.of_site(|emitter, site| {
            let name = emitter.offset(site, offset_of!(Site, name) as u32)?;
            let name = emitter.load_int(emitter.unit.i32, name)?;
            emitter.resize(name, emitter.unit.i64, false)
        })
    }

    /// `argN`
    pub fn marker_argument(&mut self, n: u8) -> Result<IntValue<'ctx>, Bug> {
        let at = offset_of!(Site, arguments) + usize::from(n) * size_of::<Argument>();
        self.of_site(|emitter, site| {
            let argument = emitter.offset(site, at as u32)?;
            let value = emitter.located(argument)?;
            emitter.extended(argument, value)
        })
    }

    /// What is read of the element of the hit site; 0 where it has none, which no site that was attached lacks.
    fn of_site(
        &mut self,
        read: impl FnOnce(&mut Self, Mem<'ctx>) -> Result<IntValue<'ctx>, Bug>,
    ) -> Result<IntValue<'ctx>, Bug> {
        let maps = &self.unit.manifest.maps;
        let map = maps.iter().position(|map| map.role == MapRole::UsdtSites);
        let map = map.ok_or_else(|| Bug::new("no map of usdt sites"))?;
        let cookie = self.cookie()?;
        let key = self.temporary(8)?;
        let cookie = self.resize(cookie, self.unit.i32, false)?;
        self.store_int(Mem { align: 4, ..key }, cookie)?;
        let at = self.lookup(map as u32, key.at)?;
        let (found, end) = (self.block("site"), self.block("site_end"));
        let null = self.is_null(at)?;
        let before = self.current()?;
        self.branch(null, end, found)?;
        self.enter(found);
        let mark = self.mark();
        let value = read(self, Mem { at, align: 8 })?;
        self.release(mark);
        let after = self.current()?;
        self.jump(end)?;
        self.enter(end);
        self.phi((value, after), (self.i64(0), before))
    }

    /// A member of an [`Argument`], widened.
    fn of_argument(
        &self,
        argument: Mem<'ctx>,
        offset: usize,
        ty: IntType<'ctx>,
    ) -> Result<IntValue<'ctx>, Bug> {
        let at = self.offset(argument, offset as u32)?;
        let value = self.load_int(ty, at)?;
        self.resize(value, self.unit.i64, false)
    }

    /// The sum of an argument's parts, or what lies there.
    fn located(&mut self, argument: Mem<'ctx>) -> Result<IntValue<'ctx>, Bug> {
        let (i8, i16, i64) = (self.unit.i8, self.unit.i16, self.unit.i64);
        let constant = self.of_argument(argument, offset_of!(Argument, constant), i64)?;
        let base = self.of_argument(argument, offset_of!(Argument, base), i16)?;
        let base = self.register(base)?;
        let index = self.of_argument(argument, offset_of!(Argument, index), i16)?;
        let index = self.register(index)?;
        let scale = self.of_argument(argument, offset_of!(Argument, scale), i8)?;
        let index = self.builder.build_left_shift(index, scale, "")?;
        let sum = self.add(constant, base)?;
        let sum = self.add(sum, index)?;
        let memory = self.of_argument(argument, offset_of!(Argument, memory), i8)?;
        let memory = self.compare(IntPredicate::NE, memory, self.i64(0))?;
        let (before, read) = (self.current()?, self.block("marker_memory"));
        let end = self.block("marker_value");
        self.branch(memory, read, end)?;
        self.enter(read);
        let to = self.zeroed_word()?;
        let size = self.of_argument(argument, offset_of!(Argument, size), i8)?;
        let size = self.at_most(size, 8)?;
        self.read(to, size, sum, Space::User)?;
        let there = self.load_int(i64, to)?;
        let read = self.current()?;
        self.jump(end)?;
        self.enter(end);
        self.phi((there, read), (sum, before))
    }

    /// A register's value; 0 where there is none. By the helper, since the verifier wants to know where in the context a load
    /// goes.
    fn register(&mut self, one_more: IntValue<'ctx>) -> Result<IntValue<'ctx>, Bug> {
        let (before, some) = (self.current()?, self.block("marker_register"));
        let end = self.block("marker_sum");
        let none = self.compare(IntPredicate::EQ, one_more, self.i64(0))?;
        self.branch(none, end, some)?;
        self.enter(some);
        let to = self.zeroed_word()?;
        let context = self.pointer_to_int(self.context)?;
        let offset = self.builder.build_int_sub(one_more, self.i64(1), "")?;
        let from = self.add(context, offset)?;
        self.read(to, self.i64(8), from, Space::Context)?;
        let value = self.load_int(self.unit.i64, to)?;
        let some = self.current()?;
        self.jump(end)?;
        self.enter(end);
        self.phi((value, some), (self.i64(0), before))
    }

    fn zeroed_word(&mut self) -> Result<Mem<'ctx>, Bug> {
        let to = self.temporary(8)?;
        self.store_int(to, self.i64(0))?;
        Ok(to)
    }

    /// The low bytes of a value, extended as the argument says.
    fn extended(
        &mut self,
        argument: Mem<'ctx>,
        value: IntValue<'ctx>,
    ) -> Result<IntValue<'ctx>, Bug> {
        let i8 = self.unit.i8;
        let size = self.of_argument(argument, offset_of!(Argument, size), i8)?;
        let bits = self.builder.build_left_shift(size, self.i64(3), "")?;
        let spare = self.builder.build_int_sub(self.i64(64), bits, "")?;
        let spare = self.builder.build_and(spare, self.i64(63), "")?;
        let high = self.builder.build_left_shift(value, spare, "")?;
        let by_sign = self.builder.build_right_shift(high, spare, true, "")?;
        let by_zero = self.builder.build_right_shift(high, spare, false, "")?;
        let signed = self.of_argument(argument, offset_of!(Argument, signed), i8)?;
        let signed = self.compare(IntPredicate::NE, signed, self.i64(0))?;
        self.select(signed, by_sign, by_zero)
    }
}
