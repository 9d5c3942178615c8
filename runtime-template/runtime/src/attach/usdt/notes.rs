//! An ELF file's section `.note.stapsdt` → its markers. SystemTap's sys/sdt.h writes a note of type 3 and name `stapsdt` for
//! each: three addresses (the marker, the linker's idea of `.stapsdt.base`, the semaphore), then three strings.

use crate::Error;
use crate::elf::Binary;

/// One place in a binary that a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    pub namespace: String,
    pub name: String,
    /// Of the instruction, as the binary counts addresses.
    pub address: u64,
    /// Address of a counter that says how many trace the marker; 0: it has none.
    pub semaphore: u64,
    /// See [`super::arguments`].
    pub arguments: String,
}

/// The markers of a binary, in the notes' order; an error where a note is cut short.
pub fn read(binary: &Binary) -> Result<Vec<Marker>, Error> {
    let Some(section) = binary.section(".note.stapsdt")? else {
        return Ok(Vec::new());
    };
    let base = binary.section(".stapsdt.base")?.map(|base| base.address);
    notes(section.data, base).map_err(|why| {
        let path = binary.path().display();
        Error::new(format!("{path}: .note.stapsdt: {why}"))
    })
}

const TYPE: u32 = 3;
const OWNER: &[u8] = b"stapsdt\0";

/// The markers of the notes; `base` is where the section `.stapsdt.base` is.
fn notes(mut bytes: &[u8], base: Option<u64>) -> Result<Vec<Marker>, String> {
    let mut markers = Vec::new();
    while !bytes.is_empty() {
        let number = markers.len() + 1;
        let cut = || format!("note {number} is cut short");
        let name_size = word(&mut bytes).ok_or_else(cut)?;
        let size = word(&mut bytes).ok_or_else(cut)?;
        let kind = word(&mut bytes).ok_or_else(cut)?;
        let owner = padded(&mut bytes, name_size).ok_or_else(cut)?;
        let description = padded(&mut bytes, size).ok_or_else(cut)?;
        if kind == TYPE && owner == OWNER {
            let marker = marker(description, base);
            markers.push(marker.ok_or_else(|| format!("note {number} lacks its strings"))?);
        }
    }
    Ok(markers)
}

fn word(bytes: &mut &[u8]) -> Option<u32> {
    let (head, rest) = bytes.split_first_chunk::<4>()?;
    *bytes = rest;
    Some(u32::from_le_bytes(*head))
}

/// So many bytes; the next starts at a multiple of four, but the last may end without.
fn padded<'a>(bytes: &mut &'a [u8], size: u32) -> Option<&'a [u8]> {
    let size = size as usize;
    let found = bytes.get(..size)?;
    *bytes = bytes
        .get(size.checked_next_multiple_of(4)?..)
        .unwrap_or_default();
    Some(found)
}

fn marker(description: &[u8], base: Option<u64>) -> Option<Marker> {
    let mut rest = description;
    let mut address = || {
        let (head, tail) = rest.split_first_chunk::<8>()?;
        rest = tail;
        Some(u64::from_le_bytes(*head))
    };
    let (at, linked, semaphore) = (address()?, address()?, address()?);
    let mut strings = rest.split_inclusive(|byte| *byte == 0).map_while(|text| {
        let text = text.strip_suffix(&[0])?;
        Some(String::from_utf8_lossy(text).into_owned())
    });
    let (namespace, name) = (strings.next()?, strings.next()?);
    let arguments = strings.next().unwrap_or_default();
    // A prelinked binary was moved after its notes were written, and its sections tell how far.
    let moved = match base {
        Some(base) if linked != 0 => base.wrapping_sub(linked),
        _ => 0,
    };
    Some(Marker {
        namespace,
        name,
        address: at.wrapping_add(moved),
        semaphore: match semaphore {
            0 => 0,
            semaphore => semaphore.wrapping_add(moved),
        },
        arguments,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(kind: u32, owner: &[u8], description: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for word in [owner.len() as u32, description.len() as u32, kind] {
            bytes.extend(word.to_le_bytes());
        }
        for part in [owner, description] {
            bytes.extend(part);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }

    fn description(addresses: [u64; 3], strings: &[u8]) -> Vec<u8> {
        let mut bytes: Vec<u8> = addresses.into_iter().flat_map(u64::to_le_bytes).collect();
        bytes.extend(strings);
        bytes
    }

    #[test]
    fn notes_are_read_and_prelinking_is_followed() {
        let first = description([0x1000, 0x2000, 0x3000], b"ns\0one\0-4@%eax\0");
        let second = description([0x1010, 0x2000, 0], b"ns\0two\0\0");
        let mut bytes = note(TYPE, OWNER, &first);
        bytes.extend(note(1, b"GNU\0", b"other"));
        bytes.extend(note(TYPE, OWNER, &second));
        let found = notes(&bytes, Some(0x2000)).unwrap();
        let seen: Vec<_> = (found.iter())
            .map(|m| {
                (
                    m.name.as_str(),
                    m.address,
                    m.semaphore,
                    m.arguments.as_str(),
                )
            })
            .collect();
        assert_eq!(
            seen,
            [("one", 0x1000, 0x3000, "-4@%eax"), ("two", 0x1010, 0, "")]
        );
        let moved = notes(&bytes, Some(0x5000)).unwrap();
        assert_eq!((moved[0].address, moved[0].semaphore), (0x4000, 0x6000));
        assert_eq!((moved[1].address, moved[1].semaphore), (0x4010, 0));
        assert_eq!(notes(&bytes, None).unwrap(), found);
    }

    #[test]
    fn cut_notes_are_errors() {
        let whole = note(TYPE, OWNER, &description([1, 2, 3], b"ns\0one\0\0"));
        for length in 1..whole.len() {
            // Padding after the last note may be missing.
            let read = notes(&whole[..length], None);
            assert!(read.is_err() || length >= whole.len() - 3, "{length}");
        }
        let strings = note(TYPE, OWNER, &description([1, 2, 3], b"ns\0one"));
        assert_eq!(
            notes(&strings, None),
            Err("note 1 lacks its strings".into())
        );
        let huge = [[0xff; 4], [0xff; 4], [3, 0, 0, 0]].concat();
        assert_eq!(notes(&huge, None), Err("note 1 is cut short".into()));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let mut state = 1u64;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let whole = note(TYPE, OWNER, &description([1, 2, 3], b"ns\0one\0-4@%eax\0"));
        for _ in 0..20_000 {
            let mut bytes = whole.repeat(3);
            for _ in 0..random() % 6 {
                let at = random() as usize % bytes.len();
                bytes[at] = random() as u8;
            }
            bytes.truncate(random() as usize % bytes.len());
            let _ = notes(&bytes, Some(random()));
        }
    }
}
