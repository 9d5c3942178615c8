//! Types as debug information has them.

use std::collections::HashMap;

use gimli::constants as dw;

use super::{DebugInfo, Entry, Slice, Unit};
use crate::{Context, Error};

/// A type, by its place in .debug_info.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TypeId(pub usize);

/// What a type is; `const` and `volatile` are looked through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Void,
    /// `char_`: the type `char`, which is text in an array; not `unsigned char` and `signed char`.
    Int {
        bytes: u64,
        signed: bool,
        bool_: bool,
        char_: bool,
    },
    Float {
        bytes: u64,
    },
    /// References of C++ too.
    Pointer {
        to: Option<TypeId>,
    },
    /// So many elements in each dimension, the outermost first; 0: of unknown length.
    Array {
        element: Option<TypeId>,
        counts: Vec<u64>,
    },
    /// A struct, union or class; its members are asked for by [`DebugInfo::record`].
    Record {
        id: TypeId,
        name: String,
        union: bool,
        bytes: u64,
        /// C++ passes it by the address of a copy, whatever its size.
        by_reference: bool,
    },
    Enum {
        name: String,
        bytes: u64,
        signed: bool,
        values: Vec<(String, u64)>,
    },
    Typedef {
        name: String,
        to: Option<TypeId>,
    },
    Function,
    /// Something else, of a language that has more.
    Other {
        bytes: u64,
    },
}

/// Members of a struct, union or class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Bytes.
    pub size: u64,
    pub members: Vec<Member>,
}

/// One member; a base class is one without a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub name: String,
    pub ty: Option<TypeId>,
    pub bit_offset: u64,
    /// Width in bits where it is a bitfield.
    pub bitfield: Option<u8>,
}

impl<'a> DebugInfo<'a> {
    /// # Errors
    /// Debug information that can't be read.
    pub fn kind(&self, id: Option<TypeId>) -> Result<Kind, Error> {
        let Some(mut id) = id else {
            return Ok(Kind::Void);
        };
        // Qualifiers upon qualifiers; more is a circle.
        for _ in 0..16 {
            let (unit, entry) = self.entry(id)?;
            if !matches!(
                entry.tag(),
                dw::DW_TAG_const_type
                    | dw::DW_TAG_volatile_type
                    | dw::DW_TAG_restrict_type
                    | dw::DW_TAG_atomic_type
            ) {
                return self.kind_of(id, &unit, &entry);
            }
            match self.reference(&unit, &entry, dw::DW_AT_type) {
                Some(next) => id = next,
                None => return Ok(Kind::Void),
            }
        }
        Err(Error::new(self.damaged()))
    }

    fn kind_of(&self, id: TypeId, unit: &Unit<'a>, entry: &Entry<'a>) -> Result<Kind, Error> {
        let bytes = number(entry, dw::DW_AT_byte_size).unwrap_or(0);
        let to = self.reference(unit, entry, dw::DW_AT_type);
        let name = || self.text(unit, entry, dw::DW_AT_name).unwrap_or_default();
        Ok(match entry.tag() {
            dw::DW_TAG_base_type => base(entry, bytes, &name()),
            dw::DW_TAG_pointer_type
            | dw::DW_TAG_reference_type
            | dw::DW_TAG_rvalue_reference_type => Kind::Pointer { to },
            dw::DW_TAG_array_type => self.array(id, to)?,
            dw::DW_TAG_structure_type | dw::DW_TAG_class_type | dw::DW_TAG_union_type => {
                let passing = entry.attr_value(dw::DW_AT_calling_convention);
                Kind::Record {
                    id,
                    name: name(),
                    union: entry.tag() == dw::DW_TAG_union_type,
                    bytes,
                    by_reference: matches!(
                        passing,
                        Some(gimli::AttributeValue::CallingConvention(
                            dw::DW_CC_pass_by_reference
                        ))
                    ),
                }
            }
            dw::DW_TAG_enumeration_type => self.enumeration(id)?,
            dw::DW_TAG_typedef => Kind::Typedef { name: name(), to },
            dw::DW_TAG_subroutine_type => Kind::Function,
            dw::DW_TAG_unspecified_type => Kind::Void,
            _ => Kind::Other { bytes },
        })
    }

    fn array(&self, id: TypeId, element: Option<TypeId>) -> Result<Kind, Error> {
        let (_, children) = self.children(id)?;
        let ranges = children
            .iter()
            .filter(|c| c.tag() == dw::DW_TAG_subrange_type);
        let mut counts: Vec<u64> = ranges
            .map(|range| {
                let last = number(range, dw::DW_AT_upper_bound).map(|last| last.wrapping_add(1));
                number(range, dw::DW_AT_count).or(last).unwrap_or(0)
            })
            .collect();
        if counts.is_empty() {
            counts.push(0);
        }
        Ok(Kind::Array { element, counts })
    }

    fn enumeration(&self, id: TypeId) -> Result<Kind, Error> {
        let (unit, entry) = self.entry(id)?;
        let (_, children) = self.children(id)?;
        let mut values = Vec::new();
        for child in children.iter().filter(|c| c.tag() == dw::DW_TAG_enumerator) {
            // Of more than 64 bits: a block.
            let value = child.attr(dw::DW_AT_const_value);
            let Some(value) = value.and_then(|value| constant(value.raw_value())) else {
                continue;
            };
            let name = self.text(&unit, child, dw::DW_AT_name).unwrap_or_default();
            values.push((name, value));
        }
        let underlying = self.underlying(&unit, &entry)?;
        let bytes = number(&entry, dw::DW_AT_byte_size)
            .or(underlying.map(|(bytes, _)| bytes))
            .unwrap_or(0);
        let signed = match (sign(&entry), underlying) {
            (Some(signed), _) | (None, Some((_, signed))) => signed,
            // Strict DWARF 2 has nothing but the values.
            (None, None) => values.iter().any(|(_, value)| *value < 0),
        };
        let values = values.into_iter();
        let values = values.map(|(name, value)| (name, within(value, bytes, signed)));
        Ok(Kind::Enum {
            name: self.text(&unit, &entry, dw::DW_AT_name).unwrap_or_default(),
            bytes,
            signed,
            values: values.collect(),
        })
    }

    /// Bytes and sign of the integer type that an enum is kept in, where it is told.
    fn underlying(&self, unit: &Unit<'a>, entry: &Entry<'a>) -> Result<Option<(u64, bool)>, Error> {
        let mut next = self.reference(unit, entry, dw::DW_AT_type);
        // A typedef of a typedef; more is a circle.
        for _ in 0..16 {
            let Some(id) = next else { break };
            let (unit, entry) = self.entry(id)?;
            match entry.tag() {
                dw::DW_TAG_base_type => {
                    return Ok(match self.kind(next)? {
                        Kind::Int { bytes, signed, .. } => Some((bytes, signed)),
                        _ => None,
                    });
                }
                dw::DW_TAG_typedef => next = self.reference(&unit, &entry, dw::DW_AT_type),
                _ => break,
            }
        }
        Ok(None)
    }

    /// The members of a struct, union or class; of one that is only declared, those of its definition elsewhere. `None`
    /// where there is none.
    ///
    /// # Errors
    /// Debug information that can't be read.
    pub fn record(&self, id: TypeId) -> Result<Option<Record>, Error> {
        let (unit, entry) = self.entry(id)?;
        if entry.attr_value(dw::DW_AT_declaration).is_some() {
            let name = self.text(&unit, &entry, dw::DW_AT_name).unwrap_or_default();
            return match self.definitions()?.get(&name).copied() {
                Some(definition) if definition != id => self.record(definition),
                _ => Ok(None),
            };
        }
        let (unit, children) = self.children(id)?;
        let members = children.iter().filter_map(|child| match child.tag() {
            // A static member is somewhere else.
            dw::DW_TAG_member if child.attr_value(dw::DW_AT_declaration).is_none() => {
                let name = self.text(&unit, child, dw::DW_AT_name).unwrap_or_default();
                self.member(&unit, child, name)
            }
            dw::DW_TAG_inheritance => self.member(&unit, child, String::new()),
            _ => None,
        });
        Ok(Some(Record {
            size: number(&entry, dw::DW_AT_byte_size).unwrap_or(0),
            members: members.collect(),
        }))
    }

    /// `None`: a virtual base, which is at no fixed place.
    fn member(&self, unit: &Unit<'a>, entry: &Entry<'a>, name: String) -> Option<Member> {
        let start = match entry.attr(dw::DW_AT_data_member_location) {
            Some(attribute) => attribute.udata_value()?,
            None => 0,
        };
        let ty = self.reference(unit, entry, dw::DW_AT_type);
        let width = number(entry, dw::DW_AT_bit_size);
        let bits = match (width, number(entry, dw::DW_AT_data_bit_offset)) {
            (_, Some(bits)) => bits,
            (Some(width), None) => {
                // Before DWARF 4: counted from the other end of the storage unit.
                let storage = number(entry, dw::DW_AT_byte_size).unwrap_or(4) * 8;
                let from_end = number(entry, dw::DW_AT_bit_offset).unwrap_or(0);
                (start * 8 + storage).checked_sub(from_end.checked_add(width)?)?
            }
            (None, None) => start.checked_mul(8)?,
        };
        Some(Member {
            name,
            ty,
            bit_offset: bits,
            bitfield: width.and_then(|width| u8::try_from(width).ok()),
        })
    }

    /// All structs, unions and classes that are defined, by name.
    fn definitions(&self) -> Result<&HashMap<String, TypeId>, Error> {
        if let Some(found) = self.definitions.get() {
            return Ok(found);
        }
        let mut found = HashMap::new();
        for start in self.starts()? {
            let unit = self.unit(*start)?;
            self.define(&unit, &mut found).context(|| self.damaged())?;
        }
        Ok(self.definitions.get_or_init(|| found))
    }

    fn define(&self, unit: &Unit<'a>, found: &mut HashMap<String, TypeId>) -> gimli::Result<()> {
        let mut entries = unit.entries();
        while let Some(entry) = entries.next_dfs()? {
            if matches!(
                entry.tag(),
                dw::DW_TAG_structure_type | dw::DW_TAG_class_type | dw::DW_TAG_union_type
            ) && entry.attr_value(dw::DW_AT_declaration).is_none()
                && let Some(name) = self.text(unit, entry, dw::DW_AT_name)
                && let Some(place) = entry.offset().to_debug_info_offset(&unit.header)
            {
                found.entry(name).or_insert(TypeId(place.0));
            }
        }
        Ok(())
    }
}

fn number(entry: &Entry<'_>, name: gimli::DwAt) -> Option<u64> {
    entry.attr(name)?.udata_value()
}

/// A constant as its form has it: fixed sizes say nothing of a sign, and stand for numbers that have none.
fn constant(value: gimli::AttributeValue<Slice<'_>>) -> Option<i128> {
    use gimli::AttributeValue as Form;
    Some(match value {
        Form::Data1(number) => number.into(),
        Form::Data2(number) => number.into(),
        Form::Data4(number) => number.into(),
        Form::Data8(number) | Form::Udata(number) => number.into(),
        Form::Sdata(number) => number.into(),
        _ => return None,
    })
}

/// The sign that a type's own encoding tells.
fn sign(entry: &Entry<'_>) -> Option<bool> {
    match entry.attr_value(dw::DW_AT_encoding)? {
        gimli::AttributeValue::Encoding(dw::DW_ATE_signed | dw::DW_ATE_signed_char) => Some(true),
        gimli::AttributeValue::Encoding(_) => Some(false),
        _ => None,
    }
}

/// A number as 64 bits hold it that was read from so many bytes.
fn within(number: i128, bytes: u64, signed: bool) -> u64 {
    let unused = match bytes {
        1..8 => 64 - 8 * bytes,
        _ => 0,
    };
    let top = (number as u64) << unused;
    match signed {
        true => (top.cast_signed() >> unused).cast_unsigned(),
        false => top >> unused,
    }
}

fn base(entry: &Entry<'_>, bytes: u64, name: &str) -> Kind {
    let encoding = match entry.attr_value(dw::DW_AT_encoding) {
        Some(gimli::AttributeValue::Encoding(encoding)) => encoding,
        _ => return Kind::Other { bytes },
    };
    let int = |signed, bool_, char_| Kind::Int {
        bytes,
        signed,
        bool_,
        char_,
    };
    match encoding {
        dw::DW_ATE_boolean => int(false, true, false),
        dw::DW_ATE_signed => int(true, false, false),
        dw::DW_ATE_unsigned => int(false, false, false),
        // Plain `char` is signed on one machine and unsigned on another.
        dw::DW_ATE_signed_char => int(true, false, name == "char"),
        dw::DW_ATE_unsigned_char => int(false, false, name == "char"),
        dw::DW_ATE_UTF if bytes <= 8 => int(false, false, false),
        dw::DW_ATE_float => Kind::Float { bytes },
        _ => Kind::Other { bytes },
    }
}
