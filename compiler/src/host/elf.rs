//! An ELF file of this machine or below a root → the functions that it names and its USDT probes, by the runtime's readers.

use std::path::Path;

use btc_runtime::Error;
use btc_runtime::attach::usdt::notes::{self, Marker};
use btc_runtime::elf::Binary;

/// The names of a file's functions, sorted, each once.
pub fn functions(path: &Path) -> Result<Vec<String>, String> {
    let names = Binary::open_for_any_machine(path).and_then(|binary| binary.function_names());
    let names = names.map_err(|error| error.to_string())?;
    Ok(names.into_iter().collect())
}

/// The notes of `.note.stapsdt`, sorted by their names; places with the same arguments are one.
pub fn markers(path: &Path) -> Result<Vec<Marker>, String> {
    let read = || notes::read(&Binary::open_for_any_machine(path)?);
    let mut found = read().map_err(|error: Error| error.to_string())?;
    let key = |marker: &Marker| {
        let Marker {
            namespace,
            name,
            arguments,
            ..
        } = marker;
        (namespace.clone(), name.clone(), arguments.clone())
    };
    found.sort_by_key(key);
    found.dedup_by_key(|marker| key(marker));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_of_this_program() {
        let path = std::env::current_exe().unwrap();
        let names = functions(&path).unwrap();
        assert!(names.iter().any(|name| name == "main"));
        assert!(markers(&path).unwrap().is_empty());
        assert!(functions(Path::new("/etc/passwd")).is_err());
    }
}
