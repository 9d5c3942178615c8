//! What a finished object holds of CO-RE relocations.

use object::{Object as _, ObjectSection as _};

use crate::bug::Bug;

/// CO-RE records of a `.BTF.ext` section (struct btf_ext_header of libbpf: magic, version, flags, length, then
/// offset and length of three parts, the third being relocations).
pub fn count_relocations(elf: &[u8]) -> Result<u64, Bug> {
    let file = object::File::parse(elf)
        .map_err(|error| Bug::new(format!("LLVM's object can't be read: {error}")))?;
    let Some(section) = file.section_by_name(".BTF.ext") else {
        return Ok(0);
    };
    let data = section
        .data()
        .map_err(|error| Bug::new(format!(".BTF.ext: {error}")))?;
    let word = |at: usize| -> Option<u32> {
        let bytes = data.get(at..at + 4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    };
    let short = || Bug::new(".BTF.ext is cut off");
    let header = word(4).ok_or_else(short)?;
    if header < 32 {
        return Ok(0);
    }
    let from = header as usize + word(24).ok_or_else(short)? as usize;
    let length = word(28).ok_or_else(short)? as usize;
    if length == 0 {
        return Ok(0);
    }
    let record = word(from).ok_or_else(short)? as usize;
    let (mut at, mut total) = (from + 4, 0u64);
    while at < from + length {
        let records = word(at + 4).ok_or_else(short)?;
        total += u64::from(records);
        at += 8 + records as usize * record;
    }
    Ok(total)
}
