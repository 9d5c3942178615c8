//! A binary's debug information (DWARF, its own or in a separate file) → addresses of source lines, parameters of
//! functions, layouts of structs. The compiler reads types with it, a target checks that its own are the same.

mod functions;
mod lines;
pub mod signature;
#[cfg(test)]
mod tests;
mod types;

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use gimli::{DebugInfoOffset, EndianSlice, LittleEndian, SectionId};

pub use functions::Prototype;
pub use types::{Kind, Member, Record, TypeId};

use crate::elf::Binary;
use crate::{Context, Error};

type Slice<'a> = EndianSlice<'a, LittleEndian>;
type Unit<'a> = gimli::Unit<Slice<'a>>;
type Entry<'a> = gimli::DebuggingInformationEntry<Slice<'a>>;

/// The debug information of one binary.
pub struct DebugInfo<'a> {
    dwarf: gimli::Dwarf<Slice<'a>>,
    /// Whose addresses these are.
    binary: &'a Binary,
    /// Places of the units in .debug_info, in order.
    starts: OnceCell<Vec<usize>>,
    units: RefCell<HashMap<usize, Rc<Unit<'a>>>>,
    definitions: OnceCell<HashMap<String, TypeId>>,
}

impl<'a> DebugInfo<'a> {
    /// Of a binary, or of the file that its debug information was split off into.
    ///
    /// # Errors
    /// There is none, or it can't be read.
    pub fn of(binary: &'a Binary) -> Result<Self, Error> {
        let file = match binary.section(".debug_info")? {
            Some(_) => Some(binary),
            None => binary.debug_file(),
        };
        let file = match file {
            Some(file) if file.section(".debug_info")?.is_some() => file,
            _ => {
                return Err(Error::new(format!(
                    "{} has no debug information: compile it with -g, or install the debug symbols of this very build",
                    binary.path().display()
                )));
            }
        };
        let load = |section: SectionId| -> Result<Slice<'a>, Error> {
            let data = match is_read(section) {
                true => file
                    .section(section.name())?
                    .map_or(&[][..], |found| found.data),
                false => &[],
            };
            Ok(EndianSlice::new(data, LittleEndian))
        };
        Ok(DebugInfo {
            dwarf: gimli::Dwarf::load(load)?,
            binary,
            starts: OnceCell::new(),
            units: RefCell::default(),
            definitions: OnceCell::new(),
        })
    }

    fn damaged(&self) -> String {
        format!(
            "the debug information of {} can't be read",
            self.binary.path().display()
        )
    }

    /// Where the units are.
    fn starts(&self) -> Result<&[usize], Error> {
        if let Some(starts) = self.starts.get() {
            return Ok(starts);
        }
        let mut starts = Vec::new();
        let mut units = self.dwarf.units();
        while let Some(header) = units.next().context(|| self.damaged())? {
            starts.extend(header.debug_info_offset().map(|offset| offset.0));
        }
        Ok(self.starts.get_or_init(|| starts))
    }

    /// The unit that starts at a place.
    fn unit(&self, start: usize) -> Result<Rc<Unit<'a>>, Error> {
        if let Some(unit) = self.units.borrow().get(&start) {
            return Ok(unit.clone());
        }
        let header = self.dwarf.unit_header(DebugInfoOffset(start));
        let unit = header.and_then(|header| self.dwarf.unit(header));
        let unit = Rc::new(unit.context(|| self.damaged())?);
        self.units.borrow_mut().insert(start, unit.clone());
        Ok(unit)
    }

    /// An entry by its place in .debug_info.
    fn entry(&self, id: TypeId) -> Result<(Rc<Unit<'a>>, Entry<'a>), Error> {
        let starts = self.starts()?;
        let at = starts.partition_point(|start| *start <= id.0);
        let start = at.checked_sub(1).and_then(|at| starts.get(at));
        let unit = self.unit(*start.ok_or_else(|| Error::new(self.damaged()))?)?;
        let offset = DebugInfoOffset(id.0).to_unit_offset(&unit.header);
        let offset = offset.ok_or_else(|| Error::new(self.damaged()))?;
        let entry = unit.entry(offset).context(|| self.damaged())?;
        Ok((unit, entry))
    }

    /// The entry that an attribute refers to.
    fn reference(&self, unit: &Unit<'a>, entry: &Entry<'a>, name: gimli::DwAt) -> Option<TypeId> {
        match entry.attr_value(name)? {
            gimli::AttributeValue::UnitRef(offset) => {
                let place = offset.to_debug_info_offset(&unit.header)?;
                Some(TypeId(place.0))
            }
            gimli::AttributeValue::DebugInfoRef(offset) => Some(TypeId(offset.0)),
            _ => None,
        }
    }

    fn text(&self, unit: &Unit<'a>, entry: &Entry<'a>, name: gimli::DwAt) -> Option<String> {
        let text = self.dwarf.attr_string(unit, entry.attr_value(name)?).ok()?;
        Some(text.to_string_lossy().into_owned())
    }

    /// The entries directly below one.
    fn children(&self, id: TypeId) -> Result<(Rc<Unit<'a>>, Vec<Entry<'a>>), Error> {
        let (unit, parent) = self.entry(id)?;
        let mut found = Vec::new();
        let mut read = || -> gimli::Result<()> {
            let mut tree = unit.entries_tree(Some(parent.offset()))?;
            let mut children = tree.root()?.children();
            while let Some(child) = children.next()? {
                found.push(child.entry().clone());
            }
            Ok(())
        };
        read().context(|| self.damaged())?;
        Ok((unit, found))
    }
}

/// The sections that are looked at; the others can be large.
fn is_read(section: SectionId) -> bool {
    use SectionId as S;
    matches!(
        section,
        S::DebugAbbrev
            | S::DebugAddr
            | S::DebugInfo
            | S::DebugLine
            | S::DebugLineStr
            | S::DebugRanges
            | S::DebugRngLists
            | S::DebugStr
            | S::DebugStrOffsets
    )
}
