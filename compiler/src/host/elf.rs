//! An ELF file of this machine → the functions that it names and its USDT probes.

use std::path::Path;

use object::{File, Object, ObjectSection, ObjectSymbol, SymbolKind};

/// A USDT probe as its note describes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Marker {
    pub provider: String,
    pub name: String,
    /// `8@%rax -4@$5`: sizes and places.
    pub arguments: String,
}

/// The names of a file's functions, sorted, each once.
pub fn functions(path: &Path) -> Result<Vec<String>, String> {
    let data = read(path)?;
    let file = parse(path, &data)?;
    let symbols = file.symbols().chain(file.dynamic_symbols());
    let mut names: Vec<String> = symbols
        .filter(|symbol| symbol.kind() == SymbolKind::Text && !symbol.is_undefined())
        .filter_map(|symbol| Some(symbol.name().ok()?.to_owned()))
        .filter(|name| !name.is_empty())
        .collect();
    names.sort();
    names.dedup();
    Ok(names)
}

/// The notes of `.note.stapsdt`, sorted.
pub fn markers(path: &Path) -> Result<Vec<Marker>, String> {
    let data = read(path)?;
    let file = parse(path, &data)?;
    let Some(section) = file.section_by_name(".note.stapsdt") else {
        return Ok(vec![]);
    };
    let notes = section.data().map_err(|e| said(path, &e))?;
    let mut found = notes_of(notes);
    found.sort();
    found.dedup();
    Ok(found)
}

/// Each note: three sizes, `stapsdt`, then three addresses and three strings.
fn notes_of(mut notes: &[u8]) -> Vec<Marker> {
    let mut found = vec![];
    while let Some((name, rest)) = number(notes) {
        let Some((description, rest)) = number(rest) else {
            break;
        };
        let Some(owner) = rest.get(4..4 + name) else {
            break;
        };
        let start = 4 + name.next_multiple_of(4);
        let Some(body) = rest.get(start..start + description) else {
            break;
        };
        if owner == b"stapsdt\0" {
            found.extend(marker(body));
        }
        let next = start + description.next_multiple_of(4);
        notes = rest.get(next..).unwrap_or(&[]);
    }
    found
}

fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (head, rest) = bytes.split_first_chunk()?;
    // Larger ones are damage, and would not fit the sums above.
    let number = u32::from_le_bytes(*head) as usize;
    (number < 1 << 24).then_some((number, rest))
}

fn marker(body: &[u8]) -> Option<Marker> {
    let strings = body.get(24..)?;
    let mut strings = strings.split(|byte| *byte == 0);
    let mut next = || Some(String::from_utf8_lossy(strings.next()?).into_owned());
    Some(Marker {
        provider: next()?,
        name: next()?,
        arguments: next()?,
    })
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|e| said(path, &e))
}

fn parse<'d>(path: &Path, data: &'d [u8]) -> Result<File<'d>, String> {
    File::parse(data).map_err(|e| said(path, &e))
}

fn said(path: &Path, why: &dyn std::fmt::Display) -> String {
    format!("{}: {why}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(owner: &[u8], strings: &[u8]) -> Vec<u8> {
        let mut bytes = vec![];
        let length = 24 + strings.len() as u32;
        for word in [owner.len() as u32, length, 3] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(owner);
        bytes.extend([0; 24]);
        bytes.extend(strings);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn notes_of_several_owners() {
        let mut notes = note(b"other\0\0\0", b"a\0b\0c\0");
        notes.extend(note(b"stapsdt\0", b"prov\0one\0-4@%eax 8@$1\0"));
        notes.extend(note(b"stapsdt\0", b"prov\0two\0\0"));
        let found = notes_of(&notes);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].arguments, "-4@%eax 8@$1");
        assert_eq!(found[1].name, "two");
        for length in 0..notes.len() {
            notes_of(&notes[..length]);
        }
    }

    #[test]
    fn functions_of_this_program() {
        let path = std::env::current_exe().unwrap();
        let names = functions(&path).unwrap();
        assert!(names.iter().any(|name| name == "main"));
        assert!(markers(&path).unwrap().is_empty());
        assert!(functions(Path::new("/etc/passwd")).is_err());
    }
}
