//! An object of ours → its programs' helper calls and CO-RE relocations.

use object::{File, Object, ObjectSection, ObjectSymbol};

use super::access::Access;
use crate::bug::Bug;
use crate::host::btf::Btf;

/// What an object asks of a kernel, by function.
#[derive(Default)]
pub struct Asked {
    pub helpers: Vec<(String, u32)>,
    /// Functions with atomic operations other than additions without a value.
    pub atomics: Vec<String>,
    pub accesses: Vec<(String, Access)>,
}

const CALL: u8 = 0x85;
/// BPF_STX | BPF_ATOMIC, of 32 and of 64 bits.
const ATOMIC: [u8; 2] = [0xc3, 0xdb];
const PLAIN_ADD: u32 = 0;
const INSTRUCTION: usize = 8;

pub fn read(object: &[u8]) -> Result<Asked, Bug> {
    let file = File::parse(object).map_err(|e| Bug::new(format!("the object: {e}")))?;
    let mut asked = Asked::default();
    for section in file.sections() {
        if section.kind() == object::SectionKind::Text {
            let code = section.data().unwrap_or_default();
            instructions(&file, &section, code, &mut asked);
        }
    }
    let ext = file
        .section_by_name(".BTF.ext")
        .and_then(|section| section.data().ok());
    if let Some(ext) = ext {
        let types = Btf::parse(object.to_vec()).map_err(Bug::new)?;
        let damaged = || Bug::new("the object's .BTF.ext is damaged");
        relocations(&file, ext, &types, &mut asked).ok_or_else(damaged)?;
    }
    Ok(asked)
}

fn instructions<'d>(
    file: &File<'d>,
    section: &impl ObjectSection<'d>,
    code: &[u8],
    asked: &mut Asked,
) {
    for (index, instruction) in code.chunks_exact(INSTRUCTION).enumerate() {
        let immediate = instruction[4..].iter().rev();
        let immediate = immediate.fold(0, |number, byte| number << 8 | u32::from(*byte));
        let source = instruction[1] >> 4;
        let owner = || function_at(file, section.index(), index * INSTRUCTION);
        match instruction[0] {
            // Other sources are functions of the object and of the kernel.
            CALL if source == 0 => asked.helpers.extend(owner().map(|f| (f, immediate))),
            code if ATOMIC.contains(&code) && immediate != PLAIN_ADD => {
                asked.atomics.extend(owner());
            }
            _ => {}
        }
    }
}

fn function_at(file: &File, section: object::SectionIndex, offset: usize) -> Option<String> {
    let inside = file
        .symbols()
        .filter(|symbol| symbol.section_index() == Some(section) && symbol.is_definition());
    let last = inside
        .filter(|symbol| symbol.address() <= offset as u64)
        .max_by_key(|symbol| symbol.address())?;
    Some(last.name().ok()?.to_owned())
}

fn word(data: &[u8], at: usize) -> Option<u32> {
    let bytes = data.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

/// The part core_relo of .BTF.ext: for each section a name, a count, and records of an instruction's offset, a type, a
/// path and a kind.
fn relocations(file: &File, ext: &[u8], types: &Btf, asked: &mut Asked) -> Option<()> {
    let header = word(ext, 4)? as usize;
    let (start, length) = (word(ext, 24)? as usize, word(ext, 28)? as usize);
    let (mut at, end) = (header + start, header + start + length);
    if length == 0 {
        return Some(());
    }
    let record = word(ext, at)? as usize;
    at += 4;
    while at < end {
        let (name, count) = (types.text(word(ext, at)?), word(ext, at + 4)?);
        let section = file.section_by_name(&name)?.index();
        at += 8;
        for _ in 0..count {
            let path = types.text(word(ext, at + 8)?);
            let access = Access::read(types, word(ext, at + 4)?, &path, word(ext, at + 12)?)?;
            let function = function_at(file, section, word(ext, at)? as usize)?;
            asked.accesses.push((function, access));
            at += record;
        }
    }
    Some(())
}
