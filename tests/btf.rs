//! BTF for the tests: a kernel's types made up from a description, and an object's CO-RE relocations read back by name.

use std::collections::HashMap;

use anyhow::{Context, Result, anyhow};
use object::{Object, ObjectSection, ObjectSymbol};

/// Kinds of include/uapi/linux/btf.h.
const INT: u32 = 1;
const PTR: u32 = 2;
const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const ENUM: u32 = 6;
const TYPEDEF: u32 = 8;
const FUNC: u32 = 12;
const FUNC_PROTO: u32 = 13;

/// A member: name, type, offset in bits, width in bits of a bitfield.
pub type Member<'a> = (&'a str, u32, u32, u32);

/// BTF under construction; types are numbered from 1 in the order they are added.
#[derive(Default)]
pub struct Builder {
    types: Vec<u8>,
    strings: Vec<u8>,
    count: u32,
}

impl Builder {
    #[must_use]
    pub fn new() -> Builder {
        Builder {
            strings: vec![0],
            ..Builder::default()
        }
    }

    fn string(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        let at = self.strings.len() as u32;
        self.strings.extend(text.bytes().chain([0]));
        at
    }

    fn add(&mut self, name: &str, info: u32, size_or_type: u32, tail: &[u32]) -> u32 {
        let name = self.string(name);
        for word in [name, info, size_or_type].iter().chain(tail) {
            self.types.extend(word.to_le_bytes());
        }
        self.count += 1;
        self.count
    }

    /// The number that the next type gets: for pointers to what comes later.
    #[must_use]
    pub fn next_id(&self) -> u32 {
        self.count + 1
    }

    pub fn int(&mut self, name: &str, bytes: u32, signed: bool) -> u32 {
        let encoding = (u32::from(signed) << 24) | (bytes * 8);
        self.add(name, INT << 24, bytes, &[encoding])
    }

    pub fn pointer(&mut self, to: u32) -> u32 {
        self.add("", PTR << 24, to, &[])
    }

    pub fn array(&mut self, element: u32, index: u32, count: u32) -> u32 {
        self.add("", ARRAY << 24, 0, &[element, index, count])
    }

    pub fn record(&mut self, name: &str, union: bool, bytes: u32, members: &[Member]) -> u32 {
        let mut tail = vec![];
        for (name, ty, offset, width) in members {
            tail.extend([self.string(name), *ty, width << 24 | offset]);
        }
        let kind = if union { UNION } else { STRUCT };
        // The flag says that offsets hold bitfield widths.
        let info = 1 << 31 | kind << 24 | members.len() as u32;
        self.add(name, info, bytes, &tail)
    }

    pub fn enumeration(&mut self, name: &str, values: &[(&str, u32)]) -> u32 {
        let mut tail = vec![];
        for (name, value) in values {
            tail.extend([self.string(name), *value]);
        }
        self.add(name, ENUM << 24 | values.len() as u32, 4, &tail)
    }

    pub fn typedef(&mut self, name: &str, to: u32) -> u32 {
        self.add(name, TYPEDEF << 24, to, &[])
    }

    pub fn prototype(&mut self, result: u32, parameters: &[(&str, u32)]) -> u32 {
        let mut tail = vec![];
        for (name, ty) in parameters {
            tail.extend([self.string(name), *ty]);
        }
        self.add(
            "",
            FUNC_PROTO << 24 | parameters.len() as u32,
            result,
            &tail,
        )
    }

    pub fn function(&mut self, name: &str, prototype: u32) -> u32 {
        self.add(name, FUNC << 24, prototype, &[])
    }

    /// The bytes of a BTF file.
    #[must_use]
    pub fn finish(&self) -> Vec<u8> {
        let (types, strings) = (self.types.len() as u32, self.strings.len() as u32);
        let mut bytes = 0x0001_eb9f_u32.to_le_bytes().to_vec();
        for word in [24, 0, types, types, strings] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(&self.types);
        bytes.extend(&self.strings);
        bytes
    }
}

/// One CO-RE relocation of an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Relocation {
    /// The program.
    pub program: String,
    /// Byte offset of the instruction in its section.
    pub offset: usize,
    /// `byte_offset struct node.next`: what of it, and by which names.
    pub access: String,
}

/// All CO-RE relocations of an object, in the order of its .BTF.ext.
///
/// # Errors
/// An object without BTF, or one that is damaged.
pub fn relocations(object: &[u8]) -> Result<Vec<Relocation>> {
    let file = object::File::parse(object)?;
    let section = |name: &str| -> Result<Vec<u8>> {
        let section = file.section_by_name(name);
        let section = section.with_context(|| format!("no section {name}"))?;
        Ok(section.data()?.to_vec())
    };
    let types = Types::read(section(".BTF")?)?;
    let ext = section(".BTF.ext")?;
    let header = word(&ext, 4)? as usize;
    let (start, length) = (word(&ext, 24)? as usize, word(&ext, 28)? as usize);
    let (mut at, end) = (header + start, header + start + length);
    let mut found = vec![];
    let record = word(&ext, at)? as usize;
    at += 4;
    while at < end {
        let (name, count) = (types.text(word(&ext, at)?)?, word(&ext, at + 4)?);
        at += 8;
        for _ in 0..count {
            let offset = word(&ext, at)? as usize;
            let path = types.text(word(&ext, at + 8)?)?;
            found.push(Relocation {
                program: program_at(&file, &name, offset)?,
                offset,
                access: types.access(word(&ext, at + 4)?, &path, word(&ext, at + 12)?)?,
            });
            at += record;
        }
    }
    Ok(found)
}

fn program_at(file: &object::File, section: &str, offset: usize) -> Result<String> {
    let section = file.section_by_name(section).context("a section")?;
    let symbol = file
        .symbols()
        .filter(|s| {
            s.section_index() == Some(section.index()) && !s.name().unwrap_or("").is_empty()
        })
        .filter(|s| s.address() as usize <= offset && s.is_definition())
        .max_by_key(|s| s.address());
    Ok(symbol.context("a program")?.name()?.to_owned())
}

fn word(data: &[u8], at: usize) -> Result<u32> {
    let bytes = data.get(at..at + 4).context("the BTF is cut short")?;
    Ok(u32::from_le_bytes(bytes.try_into()?))
}

/// An object's own types.
struct Types {
    data: Vec<u8>,
    strings: usize,
    starts: HashMap<u32, usize>,
}

impl Types {
    fn read(data: Vec<u8>) -> Result<Types> {
        let header = word(&data, 4)? as usize;
        let start = header + word(&data, 8)? as usize;
        let end = start + word(&data, 12)? as usize;
        let strings = header + word(&data, 16)? as usize;
        let (mut at, mut id, mut starts) = (start, 1, HashMap::new());
        while at < end {
            let info = word(&data, at + 4)?;
            starts.insert(id, at);
            let count = (info & 0xffff) as usize;
            at += 12
                + match info >> 24 & 0x1f {
                    1 | 14 | 17 => 4,
                    3 => 12,
                    4 | 5 | 15 | 19 => 12 * count,
                    6 | 13 => 8 * count,
                    _ => 0,
                };
            id += 1;
        }
        Ok(Types {
            data,
            strings,
            starts,
        })
    }

    fn text(&self, offset: u32) -> Result<String> {
        let rest = self.data.get(self.strings + offset as usize..);
        let rest = rest.context("a string outside of the BTF")?;
        let end = rest.iter().position(|b| *b == 0).unwrap_or(rest.len());
        Ok(String::from_utf8_lossy(&rest[..end]).into_owned())
    }

    fn at(&self, id: u32) -> Result<(usize, u32, u32)> {
        let at = *self.starts.get(&id).context("a type outside of the BTF")?;
        Ok((
            at,
            word(&self.data, at + 4)? >> 24 & 0x1f,
            word(&self.data, at + 8)?,
        ))
    }

    /// Through typedefs and qualifiers.
    fn resolve(&self, id: u32) -> Result<u32> {
        match self.at(id)? {
            (_, TYPEDEF | 9 | 10 | 11 | 18, to) => self.resolve(to),
            _ => Ok(id),
        }
    }

    /// `0:1:2` of a type by the names of its members.
    fn access(&self, id: u32, path: &str, kind: u32) -> Result<String> {
        const KINDS: &[&str] = &[
            "byte_offset",
            "byte_size",
            "exists",
            "signed",
            "left_shift",
            "right_shift",
            "local_type_id",
            "target_type_id",
            "type_exists",
            "type_size",
            "enum_exists",
            "enum_value",
            "type_matches",
        ];
        let what = KINDS.get(kind as usize).context("a relocation's kind")?;
        let (root, root_kind, _) = self.at(id)?;
        let mut id = self.resolve(id)?;
        let (at, of, _) = self.at(id)?;
        let name = self.text(word(&self.data, at)?)?;
        let mut text = match of {
            STRUCT | UNION if root_kind == TYPEDEF => {
                format!("{what} {}", self.text(word(&self.data, root)?)?)
            }
            STRUCT => format!("{what} struct {name}"),
            UNION => format!("{what} union {name}"),
            ENUM => format!("{what} enum {name}"),
            _ => format!("{what} type {name}"),
        };
        let mut indices = path.split(':').map(str::parse::<usize>);
        let first = indices.next().context("an empty path")??;
        if of == ENUM {
            let name = self.text(word(&self.data, at + 12 + 8 * first)?)?;
            return Ok(format!("{text}.{name}"));
        }
        if first != 0 {
            text += &format!("[{first}]");
        }
        for index in indices {
            let index = index?;
            let (at, of, _) = self.at(id)?;
            match of {
                STRUCT | UNION => {
                    let member = at + 12 + 12 * index;
                    text += &format!(".{}", self.text(word(&self.data, member)?)?);
                    id = self.resolve(word(&self.data, member + 4)?)?;
                }
                ARRAY => {
                    text += &format!("[{index}]");
                    id = self.resolve(word(&self.data, at + 12)?)?;
                }
                other => return Err(anyhow!("{text}: a step into kind {other}")),
            }
        }
        Ok(text)
    }
}
