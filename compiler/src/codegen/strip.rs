//! Takes DWARF out of an object; BTF stays. What is left doesn't depend on how LLVM says where it compiled.

use crate::bug::Bug;

// Parts of an ELF file of 64 bits, as elf(5) has them.
const HEADER: usize = 64;
const SECTION_HEADER: usize = 64;
const SYMBOL: usize = 24;
const SECTION_TABLE_AT: usize = 0x28;
const SECTION_COUNT_AT: usize = 0x3c;
const NAMES_INDEX_AT: usize = 0x3e;
const TYPE_SYMBOLS: u32 = 2;
const TYPE_NO_BITS: u32 = 8;
const TYPE_RELOCATIONS: u32 = 9;
const RELOCATION: usize = 16;
/// Section indexes from here on aren't sections.
const FIRST_RESERVED: u16 = 0xff00;

/// One section: its header and its bytes.
struct Section<'e> {
    header: [u8; SECTION_HEADER],
    data: &'e [u8],
    name: &'e [u8],
}

impl Section<'_> {
    fn word(&self, at: usize) -> u32 {
        u32::from_le_bytes(array(&self.header, at))
    }

    fn set_word(&mut self, at: usize, value: u32) {
        self.header[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    fn set_long(&mut self, at: usize, value: u64) {
        self.header[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }

    fn is_dropped(&self) -> bool {
        let dropped: [&[u8]; 5] = [
            b".debug_",
            b".rel.debug_",
            b".eh_frame",
            b".rel.eh_frame",
            b".llvm_addrsig",
        ];
        dropped.iter().any(|prefix| self.name.starts_with(prefix))
    }
}

/// Bytes that the caller knows to be there.
fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    if let Some(from) = bytes.get(at..at + N) {
        out.copy_from_slice(from);
    }
    out
}

fn sections(elf: &[u8]) -> Option<Vec<Section<'_>>> {
    let table = usize::try_from(u64::from_le_bytes(array(elf, SECTION_TABLE_AT))).ok()?;
    let count = usize::from(u16::from_le_bytes(array(elf, SECTION_COUNT_AT)));
    let names = usize::from(u16::from_le_bytes(array(elf, NAMES_INDEX_AT)));
    let mut sections = Vec::new();
    for index in 0..count {
        let at = table + index * SECTION_HEADER;
        let header: [u8; SECTION_HEADER] = elf.get(at..at + SECTION_HEADER)?.try_into().ok()?;
        let offset = usize::try_from(u64::from_le_bytes(array(&header, 24))).ok()?;
        let size = usize::try_from(u64::from_le_bytes(array(&header, 32))).ok()?;
        let no_bits = u32::from_le_bytes(array(&header, 4)) == TYPE_NO_BITS;
        let data = if index == 0 || no_bits {
            &[]
        } else {
            elf.get(offset..offset + size)?
        };
        sections.push(Section {
            header,
            data,
            name: &[],
        });
    }
    let strings = sections.get(names)?.data;
    for section in &mut sections {
        let rest = strings.get(section.word(0) as usize..)?;
        let end = rest.iter().position(|b| *b == 0)?;
        section.name = &rest[..end];
    }
    Some(sections)
}

/// The object without its `.debug_*` sections.
pub fn debug_sections(elf: &[u8]) -> Result<Vec<u8>, Bug> {
    rewrite(elf).ok_or_else(|| Bug::new("LLVM's object has an unknown form"))
}

fn rewrite(elf: &[u8]) -> Option<Vec<u8>> {
    let sections = sections(elf)?;
    let mut section_map = Vec::new();
    let mut kept = 0u32;
    for section in &sections {
        section_map.push((!section.is_dropped()).then_some(kept));
        kept += u32::from(!section.is_dropped());
    }
    let (symbols, symbol_map, locals) = symbols(&sections, &section_map)?;
    let mut out = elf.get(..HEADER)?.to_vec();
    let mut headers = Vec::new();
    for (index, mut section) in sections.into_iter().enumerate() {
        if section_map.get(index)?.is_none() {
            continue;
        }
        let data = match section.word(4) {
            TYPE_SYMBOLS => {
                section.set_word(44, locals);
                symbols.clone()
            }
            TYPE_RELOCATIONS => {
                let target = section.word(44) as usize;
                section.set_word(44, (*section_map.get(target)?)?);
                relocations(section.data, &symbol_map)?
            }
            _ => section.data.to_vec(),
        };
        let link = section.word(40) as usize;
        if link != 0 {
            section.set_word(40, section_map.get(link).copied().flatten().unwrap_or(0));
        }
        if index > 0 {
            let align = usize::try_from(u64::from_le_bytes(array(&section.header, 48))).ok()?;
            out.resize(out.len().next_multiple_of(align.max(1)), 0);
            section.set_long(24, out.len() as u64);
            if section.word(4) != TYPE_NO_BITS {
                section.set_long(32, data.len() as u64);
            }
            out.extend_from_slice(&data);
        }
        headers.push(section.header);
    }
    out.resize(out.len().next_multiple_of(8), 0);
    let table = out.len() as u64;
    for header in &headers {
        out.extend_from_slice(header);
    }
    out[SECTION_TABLE_AT..SECTION_TABLE_AT + 8].copy_from_slice(&table.to_le_bytes());
    let count = headers.len() as u16;
    out[SECTION_COUNT_AT..SECTION_COUNT_AT + 2].copy_from_slice(&count.to_le_bytes());
    let names = usize::from(u16::from_le_bytes(array(elf, NAMES_INDEX_AT)));
    let names = (*section_map.get(names)?)? as u16;
    out[NAMES_INDEX_AT..NAMES_INDEX_AT + 2].copy_from_slice(&names.to_le_bytes());
    Some(out)
}

/// The symbol table without symbols of dropped sections, where each symbol went, and how many are local.
fn symbols(
    sections: &[Section],
    section_map: &[Option<u32>],
) -> Option<(Vec<u8>, Vec<Option<u32>>, u32)> {
    let table = sections.iter().find(|s| s.word(4) == TYPE_SYMBOLS)?;
    let first_global = table.word(44) as usize;
    let (mut out, mut map, mut locals) = (Vec::new(), Vec::new(), 0);
    for (index, symbol) in table.data.chunks_exact(SYMBOL).enumerate() {
        let section = u16::from_le_bytes(array(symbol, 6));
        let moved = if section == 0 || section >= FIRST_RESERVED {
            Some(section)
        } else {
            section_map
                .get(usize::from(section))?
                .map(|section| section as u16)
        };
        let Some(moved) = moved else {
            map.push(None);
            continue;
        };
        map.push(Some((out.len() / SYMBOL) as u32));
        locals += u32::from(index < first_global);
        let from = out.len();
        out.extend_from_slice(symbol);
        out[from + 6..from + 8].copy_from_slice(&moved.to_le_bytes());
    }
    Some((out, map, locals))
}

fn relocations(data: &[u8], symbol_map: &[Option<u32>]) -> Option<Vec<u8>> {
    let mut out = data.to_vec();
    for entry in out.chunks_exact_mut(RELOCATION) {
        let info = u64::from_le_bytes(array(entry, 8));
        let symbol = (*symbol_map.get(usize::try_from(info >> 32).ok()?)?)?;
        let info = (info & 0xffff_ffff) | u64::from(symbol) << 32;
        entry[8..].copy_from_slice(&info.to_le_bytes());
    }
    Some(out)
}
