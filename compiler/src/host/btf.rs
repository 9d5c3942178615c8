//! Raw BTF bytes become records, enums, typedefs and prototypes of the host, each looked up when it is asked for.
//!
//! A module's BTF continues vmlinux's: its first type and its first string have the numbers after the last ones there
//! (split BTF).

mod c;

pub use c::Signature;

use super::{CType, Function, HostEnum, HostMember, HostRecord, HostRecordBody, RecordOrigin};
use object::{Object, ObjectSection};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// The kinds of include/uapi/linux/btf.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kind(u32);

impl Kind {
    pub const STRUCT: Kind = Kind(4);
    pub const UNION: Kind = Kind(5);
    pub const ENUM: Kind = Kind(6);
    pub const TYPEDEF: Kind = Kind(8);
    pub const FUNC: Kind = Kind(12);
    pub const ENUM64: Kind = Kind(19);
}

/// Types nest this deep at most; deeper ones are taken for damaged input.
const MAX_DEPTH: u32 = 64;

pub struct Btf {
    data: Vec<u8>,
    strings: usize,
    strings_len: u32,
    /// Where each type starts; vmlinux's first is `void` and has no bytes.
    types: Vec<usize>,
    /// What a module's BTF continues.
    base: Option<Rc<Btf>>,
    /// Tells this BTF's records from others': 0 for vmlinux, a module's number, or [`REFERENCE`].
    owner: u32,
    found: RefCell<HashMap<Kind, Found>>,
    /// What was asked of constants: a script asks for each of its unknown names.
    constants: RefCell<HashMap<String, Option<(HostEnum, u64)>>>,
}

/// What was asked of the names of a kind, or all of them.
#[derive(Default)]
struct Found {
    names: HashMap<String, Option<u32>>,
    whole: bool,
}

/// A kind that so many names were asked of is indexed: `fentry:*` asks for each function.
const INDEXED_AFTER: usize = 64;

/// Whose records are those of the kernel that btc itself knows.
pub const REFERENCE: u32 = u32::MAX;

impl Btf {
    /// Raw BTF, or an ELF file with a `.BTF` section.
    pub fn parse(data: Vec<u8>) -> Result<Self, String> {
        Self::open(data, None, 0)
    }

    /// The BTF of the kernel that btc itself knows.
    pub fn parse_reference(data: Vec<u8>) -> Result<Self, String> {
        Self::open(data, None, REFERENCE)
    }

    /// The split BTF of a module; `module` is its number, from 1.
    pub fn parse_module(data: Vec<u8>, base: Rc<Btf>, module: u32) -> Result<Self, String> {
        Self::open(data, Some(base), module)
    }

    /// The types as BTF, header first.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    fn open(data: Vec<u8>, base: Option<Rc<Btf>>, owner: u32) -> Result<Self, String> {
        let data = if data.starts_with(b"\x7fELF") {
            let file = object::File::parse(data.as_slice()).map_err(|e| e.to_string())?;
            let section = file
                .section_by_name(".BTF")
                .ok_or("the file has no .BTF section")?;
            section.data().map_err(|e| e.to_string())?.to_vec()
        } else {
            data
        };
        if data.get(..2) != Some(&[0x9f, 0xeb]) {
            return Err("not little-endian BTF".to_owned());
        }
        let header = |at| word(&data, at).map(|w| w as usize);
        let parts = (header(4), header(8), header(12), header(16));
        let (Some(header_len), Some(type_off), Some(type_len), Some(str_off)) = parts else {
            return Err("the BTF header is cut short".to_owned());
        };
        let strings_len = word(&data, 20).ok_or("the BTF header is cut short")?;
        let start = header_len + type_off;
        let (end, strings) = (start + type_len, header_len + str_off);
        if end > data.len() || strings > data.len() {
            return Err("the BTF is cut short".to_owned());
        }
        let mut types = if base.is_none() { vec![0] } else { vec![] };
        let mut at = start;
        while at < end {
            let info = word(&data, at + 4).ok_or("the BTF is cut short")?;
            types.push(at);
            let count = (info & 0xffff) as usize;
            at += 12
                + match info >> 24 & 0x1f {
                    1 | 14 | 17 => 4,
                    3 => 12,
                    4 | 5 | 15 | 19 => 12 * count,
                    6 | 13 => 8 * count,
                    2 | 7..=12 | 16 | 18 => 0,
                    kind => return Err(format!("BTF kind {kind} is unknown")),
                };
        }
        if at != end {
            return Err("the BTF's last type is cut short".to_owned());
        }
        let found = RefCell::default();
        Ok(Btf {
            data,
            strings,
            strings_len,
            types,
            base,
            owner,
            found,
            constants: RefCell::default(),
        })
    }

    /// The number of the first type that is this BTF's own, `void` aside.
    fn first(&self) -> u32 {
        let base = self.base.as_ref();
        base.map_or(0, |base| base.first() + base.types.len() as u32)
    }

    fn at(&self, id: u32) -> Option<usize> {
        let index = id.checked_sub(self.first())?;
        (id != 0).then(|| self.types.get(index as usize).copied())?
    }

    /// Types that have bytes, with their numbers.
    fn own(&self) -> impl Iterator<Item = (usize, u32)> + '_ {
        let ids = self.first()..;
        self.types
            .iter()
            .copied()
            .zip(ids)
            .filter(|(_, id)| *id != 0)
    }

    /// vmlinux's BTF for a number of its own types.
    fn base_of(&self, id: u32) -> Option<&Btf> {
        let base = self.base.as_ref()?;
        (id < self.first()).then_some(&**base)
    }

    fn word(&self, at: usize) -> u32 {
        word(&self.data, at).unwrap_or(0)
    }

    fn kind(&self, at: usize) -> u32 {
        self.word(at + 4) >> 24 & 0x1f
    }

    fn count(&self, at: usize) -> usize {
        (self.word(at + 4) & 0xffff) as usize
    }

    fn flag(&self, at: usize) -> bool {
        self.word(at + 4) >> 31 == 1
    }

    fn bytes(&self, offset: u32) -> &[u8] {
        let (of, start) = self.string(offset);
        let rest = of.data.get(start..).unwrap_or(&[]);
        let end = rest.iter().position(|b| *b == 0).unwrap_or(rest.len());
        &rest[..end]
    }

    /// A string by its offset.
    pub fn text(&self, offset: u32) -> String {
        String::from_utf8_lossy(self.bytes(offset)).into_owned()
    }

    fn name(&self, at: usize) -> String {
        String::from_utf8_lossy(self.bytes(self.word(at))).into_owned()
    }

    /// The BTF that has a string, and where its data has it.
    fn string(&self, offset: u32) -> (&Btf, usize) {
        let Some(base) = &self.base else {
            return (self, self.strings + offset as usize);
        };
        match offset.checked_sub(base.strings_len) {
            Some(own) => (self, self.strings + own as usize),
            None => base.string(offset),
        }
    }

    /// Compares without measuring the stored name: most differ in their first bytes.
    fn is_named(&self, at: usize, name: &str) -> bool {
        let (of, start) = self.string(self.word(at));
        let end = start + name.len();
        of.data.get(start..end) == Some(name.as_bytes()) && of.data.get(end) == Some(&0)
    }

    /// The first type of this kind and name; in a module's BTF, among its own.
    pub fn find(&self, kind: Kind, name: &str) -> Option<u32> {
        if name.is_empty() {
            return None;
        }
        let mut kinds = self.found.borrow_mut();
        let known = kinds.entry(kind).or_default();
        if let Some(id) = known.names.get(name) {
            return *id;
        }
        if known.names.len() >= INDEXED_AFTER && !known.whole {
            for (name, id) in self.named(kind) {
                known.names.entry(name).or_insert(Some(id));
            }
            known.whole = true;
            return known.names.get(name).copied().flatten();
        }
        if known.whole {
            return None;
        }
        let mut own = self.own();
        let id = own.find(|(at, _)| self.kind(*at) == kind.0 && self.is_named(*at, name));
        let id = id.map(|(_, id)| id);
        known.names.insert(name.to_owned(), id);
        id
    }

    /// All names of functions.
    pub fn function_names(&self) -> impl Iterator<Item = String> + '_ {
        self.named(Kind::FUNC).map(|(name, _)| name)
    }

    /// The types of a kind that have a name, in a module's BTF its own.
    pub fn named(&self, kind: Kind) -> impl Iterator<Item = (String, u32)> + '_ {
        self.own()
            .filter(move |(at, _)| self.kind(*at) == kind.0 && self.word(*at) != 0)
            .map(|(at, id)| (self.name(at), id))
    }

    /// The type as C sees it; `const`, `volatile` and `restrict` are skipped.
    pub fn ctype(&self, id: u32) -> CType {
        self.nested(id, 0)
    }

    fn nested(&self, id: u32, depth: u32) -> CType {
        if let Some(base) = self.base_of(id) {
            return base.nested(id, depth);
        }
        let Some(at) = self.at(id) else {
            return CType::Void;
        };
        let name = self.name(at);
        if depth > MAX_DEPTH {
            return CType::Opaque { name, union: false };
        }
        let size = self.word(at + 8);
        match self.kind(at) {
            1 => self.int(at, &name),
            2 => CType::Pointer {
                user: self.is_user(size),
                to: Box::new(self.nested(size, depth + 1)),
            },
            3 => CType::Array {
                element: Box::new(self.nested(self.word(at + 12), depth + 1)),
                count: self.word(at + 20),
            },
            kind @ (4 | 5) => CType::Record(HostRecord {
                name,
                union: kind == 5,
                id: self.number(id),
                origin: RecordOrigin::KernelBtf,
            }),
            6 | 19 => CType::Enum(self.enumeration(at)),
            7 => CType::Opaque {
                name,
                union: self.flag(at),
            },
            8 => CType::Typedef {
                name,
                to: Box::new(self.nested(size, depth + 1)),
            },
            9..=11 | 18 => self.nested(size, depth + 1),
            12 | 13 => CType::Function,
            16 => CType::Float { bytes: size as u8 },
            _ => CType::Opaque { name, union: false },
        }
    }

    fn int(&self, at: usize, name: &str) -> CType {
        let encoding = self.word(at + 12) >> 24 & 0xf;
        CType::Int {
            bytes: self.word(at + 8) as u8,
            signed: encoding & 1 != 0,
            bool_: encoding & 4 != 0,
            char_: encoding & 2 != 0 || name == "char",
        }
    }

    /// A record's number for the host: its BTF's above the type's.
    pub fn number(&self, id: u32) -> u64 {
        u64::from(self.owner) << 32 | u64::from(id)
    }

    /// Whether a pointer's target carries the type tag `user`, qualifiers aside.
    fn is_user(&self, mut id: u32) -> bool {
        for _ in 0..MAX_DEPTH {
            if let Some(base) = self.base_of(id) {
                return base.is_user(id);
            }
            let Some(at) = self.at(id) else { return false };
            match self.kind(at) {
                18 if self.is_named(at, "user") => return true,
                9..=11 | 18 => id = self.word(at + 8),
                _ => return false,
            }
        }
        false
    }

    fn enumeration(&self, at: usize) -> HostEnum {
        let (wide, signed) = (self.kind(at) == 19, self.flag(at));
        let value = |index: usize| {
            let entry = at + 12 + index * if wide { 12 } else { 8 };
            let low = self.word(entry + 4);
            let value = if wide {
                u64::from(low) | u64::from(self.word(entry + 8)) << 32
            } else if signed {
                i64::from(low.cast_signed()).cast_unsigned()
            } else {
                low.into()
            };
            (self.name(entry), value)
        };
        HostEnum {
            name: self.name(at),
            bytes: self.word(at + 8) as u8,
            signed,
            values: (0..self.count(at)).map(value).collect(),
            origin: RecordOrigin::KernelBtf,
        }
    }

    /// The enum that has this constant.
    pub fn enum_constant(&self, name: &str) -> Option<(HostEnum, u64)> {
        if let Some(known) = self.constants.borrow().get(name) {
            return known.clone();
        }
        let found = self.find_constant(name);
        (self.constants.borrow_mut()).insert(name.to_owned(), found.clone());
        found
    }

    fn find_constant(&self, name: &str) -> Option<(HostEnum, u64)> {
        self.own().find_map(|(at, _)| {
            let width = match self.kind(at) {
                6 => 8,
                19 => 12,
                _ => return None,
            };
            let index = (0..self.count(at)).find(|i| self.is_named(at + 12 + i * width, name))?;
            let found = self.enumeration(at);
            let value = found.values.get(index)?.1;
            Some((found, value))
        })
    }

    pub fn body(&self, id: u32) -> Option<HostRecordBody> {
        let at = self.at(id).filter(|at| matches!(self.kind(*at), 4 | 5))?;
        let flag = self.flag(at);
        let member = |index: usize| {
            let entry = at + 12 + index * 12;
            let offset = self.word(entry + 8);
            let width = if flag { (offset >> 24) as u8 } else { 0 };
            HostMember {
                name: self.name(entry),
                ty: self.ctype(self.word(entry + 4)),
                bit_offset: if flag { offset & 0xff_ffff } else { offset },
                bitfield: (width != 0).then_some(width),
            }
        };
        Some(HostRecordBody {
            size: self.word(at + 8),
            members: (0..self.count(at)).map(member).collect(),
        })
    }

    /// The prototype that a FUNC has, or that a typedef points to.
    pub fn prototype(&self, name: &str, mut id: u32) -> Option<Function> {
        for _ in 0..MAX_DEPTH {
            if let Some(base) = self.base_of(id) {
                return base.prototype(name, id);
            }
            let at = self.at(id)?;
            match self.kind(at) {
                13 => {
                    let parameter = |index: usize| {
                        let entry = at + 12 + index * 8;
                        (self.name(entry), self.ctype(self.word(entry + 4)))
                    };
                    return Some(Function {
                        name: name.to_owned(),
                        parameters: (0..self.count(at)).map(parameter).collect(),
                        result: self.ctype(self.word(at + 8)),
                    });
                }
                2 | 8..=12 | 18 => id = self.word(at + 8),
                _ => return None,
            }
        }
        None
    }
}

fn word(data: &[u8], at: usize) -> Option<u32> {
    let bytes = data.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}
