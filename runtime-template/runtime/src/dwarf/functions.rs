//! A function's address → its parameters and result.

use gimli::constants as dw;

use super::{DebugInfo, Entry, TypeId, Unit};
use crate::{Context, Error};

/// What debug information says of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prototype {
    /// Name and type of each; `this` among them. A parameter without a name has an empty one.
    pub parameters: Vec<(String, Option<TypeId>)>,
    /// `None`: void.
    pub result: Option<TypeId>,
    /// Takes more arguments than these.
    pub variadic: bool,
}

impl<'a> DebugInfo<'a> {
    /// The function that starts at an address; `None` where the debug information does not describe it.
    ///
    /// # Errors
    /// Debug information that can't be read.
    pub fn function(&self, address: u64) -> Result<Option<Prototype>, Error> {
        for start in self.starts()? {
            let unit = self.unit(*start)?;
            if !self.covers(&unit, address).context(|| self.damaged())? {
                self.units.borrow_mut().remove(start);
                continue;
            }
            let found = self.subprogram(&unit, address).context(|| self.damaged())?;
            if let Some(id) = found {
                return self.prototype(id).map(Some);
            }
        }
        Ok(None)
    }

    /// Whether a unit has code at the address.
    fn covers(&self, unit: &Unit<'a>, address: u64) -> gimli::Result<bool> {
        let mut ranges = self.dwarf.unit_ranges(unit)?;
        while let Some(range) = ranges.next()? {
            if (range.begin..range.end).contains(&address) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn subprogram(&self, unit: &Unit<'a>, address: u64) -> gimli::Result<Option<TypeId>> {
        let mut entries = unit.entries();
        while let Some(entry) = entries.next_dfs()? {
            if entry.tag() != dw::DW_TAG_subprogram {
                continue;
            }
            let Some(start) = entry.attr_value(dw::DW_AT_low_pc) else {
                continue;
            };
            if self.dwarf.attr_address(unit, start)? == Some(address) {
                let place = entry.offset().to_debug_info_offset(&unit.header);
                return Ok(place.map(|place| TypeId(place.0)));
            }
        }
        Ok(None)
    }

    fn prototype(&self, id: TypeId) -> Result<Prototype, Error> {
        let (unit, entry) = self.entry(id)?;
        let result = self.inherited(&unit, &entry, |unit, entry| {
            self.reference(unit, entry, dw::DW_AT_type)
        });
        let (unit, children) = self.children(id)?;
        let mut prototype = Prototype {
            parameters: Vec::new(),
            result,
            variadic: false,
        };
        for child in &children {
            match child.tag() {
                dw::DW_TAG_formal_parameter => {
                    let name = self.inherited(&unit, child, |unit, entry| {
                        self.text(unit, entry, dw::DW_AT_name)
                    });
                    let ty = self.inherited(&unit, child, |unit, entry| {
                        self.reference(unit, entry, dw::DW_AT_type)
                    });
                    prototype.parameters.push((name.unwrap_or_default(), ty));
                }
                dw::DW_TAG_unspecified_parameters => prototype.variadic = true,
                _ => {}
            }
        }
        Ok(prototype)
    }

    /// Asks an entry, then what it is an instance or the definition of.
    fn inherited<T>(
        &self,
        unit: &Unit<'a>,
        entry: &Entry<'a>,
        ask: impl Fn(&Unit<'a>, &Entry<'a>) -> Option<T>,
    ) -> Option<T> {
        if let Some(found) = ask(unit, entry) {
            return Some(found);
        }
        let mut next = self.origin(unit, entry);
        // An instance of a definition of a declaration; more is a circle.
        for _ in 0..4 {
            let (unit, entry) = self.entry(next?).ok()?;
            if let Some(found) = ask(&unit, &entry) {
                return Some(found);
            }
            next = self.origin(&unit, &entry);
        }
        None
    }

    fn origin(&self, unit: &Unit<'a>, entry: &Entry<'a>) -> Option<TypeId> {
        self.reference(unit, entry, dw::DW_AT_abstract_origin)
            .or_else(|| self.reference(unit, entry, dw::DW_AT_specification))
    }
}
