//! An ELF file of the target → its function symbols as addresses and file offsets. Maps the file, reads only tables.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;

use object::Endianness;
use object::elf::{FileHeader64, PT_LOAD, SHT_DYNSYM, SHT_SYMTAB, STT_FUNC, STT_GNU_IFUNC};
use object::read::elf::{FileHeader as _, ProgramHeader as _, SectionHeader as _, Sym as _};

use crate::{Context, Error};

/// A section's contents and the address that it is loaded at (0: it is not loaded).
pub struct Section<'a> {
    pub address: u64,
    pub data: &'a [u8],
}

/// A mapped ELF file.
pub struct Binary {
    map: Mapping,
    path: std::path::PathBuf,
}

impl Binary {
    /// Maps `path`.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let what = || format!("open {}", path.display());
        let file = File::open(path).context(what)?;
        let length = file.metadata().context(what)?.len() as usize;
        Ok(Binary {
            map: Mapping::new(&file, length).context(what)?,
            path: path.to_owned(),
        })
    }

    /// The address that the file gives a symbol of any type; `None` where it has no such symbol.
    pub fn address(&self, symbol: &str) -> Result<Option<u64>, Error> {
        self.find(|found| found.name == symbol.as_bytes())
    }

    /// The file offset of a function.
    pub fn function_offset(&self, symbol: &str) -> Result<Option<u64>, Error> {
        let found = self.find(|found| found.function && found.name == symbol.as_bytes())?;
        found.map(|address| self.file_offset(address)).transpose()
    }

    /// The address of the first symbol that is wanted; of its default version where it has several, since that is
    /// what programs are linked with.
    fn find(&self, wanted: impl Fn(&Symbol<'_>) -> bool) -> Result<Option<u64>, Error> {
        let mut first = None;
        let mut default = None;
        self.symbols(|symbol| {
            if wanted(symbol) {
                first = first.or(Some(symbol.address));
                if !symbol.hidden {
                    default = default.or(Some(symbol.address));
                }
            }
        })?;
        Ok(default.or(first))
    }

    /// Names and file offsets of the functions that `wanted` takes; one name per offset.
    pub fn functions(&self, wanted: impl Fn(&str) -> bool) -> Result<Vec<(String, u64)>, Error> {
        let mut found = Vec::new();
        self.symbols(|symbol| {
            if let (true, Ok(name)) = (symbol.function, std::str::from_utf8(symbol.name))
                && wanted(name)
            {
                found.push((name.to_owned(), symbol.address));
            }
        })?;
        for (_, address) in &mut found {
            *address = self.file_offset(*address)?;
        }
        found.sort_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
        found.dedup_by_key(|(_, offset)| *offset);
        found.sort();
        Ok(found)
    }

    /// The place in the file that is loaded at `address`.
    pub fn file_offset(&self, address: u64) -> Result<u64, Error> {
        let data = self.map.bytes();
        let header = self.header()?;
        let endian = header.endian().context(|| self.name())?;
        for segment in header
            .program_headers(endian, data)
            .context(|| self.name())?
        {
            let start = segment.p_vaddr(endian);
            let end = start.saturating_add(segment.p_filesz(endian));
            if segment.p_type(endian) == PT_LOAD && (start..end).contains(&address) {
                return Ok(address - start + segment.p_offset(endian));
            }
        }
        Err(Error::new(format!(
            "{}: address {address:#x} is in no loaded part of it",
            self.name()
        )))
    }

    /// The place in the file of a variable that is loaded at `address`.
    pub fn data_offset(&self, address: u64) -> Result<u64, Error> {
        self.file_offset(address)
    }

    /// A section by its name; `None` where the file has none, or only its header.
    pub fn section(&self, name: &str) -> Result<Option<Section<'_>>, Error> {
        let data = self.map.bytes();
        let header = self.header()?;
        let endian = header.endian().context(|| self.name())?;
        let sections = header.sections(endian, data).context(|| self.name())?;
        let Some((_, section)) = sections.section_by_name(endian, name.as_bytes()) else {
            return Ok(None);
        };
        let address = section.sh_addr(endian);
        let data = section.data(endian, data).context(|| self.name())?;
        Ok(Some(Section { address, data }))
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn header(&self) -> Result<&FileHeader64<Endianness>, Error> {
        FileHeader64::parse(self.map.bytes())
            .context(|| format!("{} is not a 64-bit ELF file", self.name()))
    }

    /// Calls `each` for every defined symbol.
    fn symbols(&self, mut each: impl FnMut(&Symbol<'_>)) -> Result<(), Error> {
        let data = self.map.bytes();
        let header = self.header()?;
        let endian = header.endian().context(|| self.name())?;
        let sections = header.sections(endian, data).context(|| self.name())?;
        let versions = sections.gnu_versym(endian, data).ok().flatten();
        let versions = versions.map_or(&[][..], |(versions, _)| versions);
        for kind in [SHT_SYMTAB, SHT_DYNSYM] {
            let table = sections
                .symbols(endian, data, kind)
                .context(|| self.name())?;
            for (index, symbol) in table.iter().enumerate() {
                if symbol.st_value(endian) == 0 || symbol.is_undefined(endian) {
                    continue;
                }
                let Ok(name) = symbol.name(endian, table.strings()) else {
                    continue;
                };
                let version = versions.get(index).filter(|_| kind == SHT_DYNSYM);
                each(&Symbol {
                    name,
                    address: symbol.st_value(endian),
                    function: matches!(symbol.st_type(), STT_FUNC | STT_GNU_IFUNC),
                    hidden: version.is_some_and(|version| version.0.get(endian).is_hidden()),
                });
            }
        }
        Ok(())
    }
}

/// A defined symbol.
struct Symbol<'a> {
    name: &'a [u8],
    address: u64,
    function: bool,
    /// An old version, kept for programs that were linked with it.
    hidden: bool,
}

struct Mapping {
    start: *mut libc::c_void,
    length: usize,
}

impl Mapping {
    fn new(file: &File, length: usize) -> std::io::Result<Self> {
        if length == 0 {
            return Err(std::io::Error::new(
                std::io::ErrorKind::InvalidData,
                "the file is empty",
            ));
        }
        // SAFETY: a fresh private read-only mapping of an open file.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ,
                libc::MAP_PRIVATE,
                file.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error());
        }
        Ok(Mapping { start, length })
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping is readable, this long, and lives as long as `self`.
        unsafe { std::slice::from_raw_parts(self.start.cast(), self.length) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: what `new` mapped, unmapped once.
        unsafe { libc::munmap(self.start, self.length) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_its_own_symbols() {
        let own = Binary::open(Path::new("/proc/self/exe")).unwrap();
        let functions = own.functions(|name| name == "main").unwrap();
        assert_eq!(functions.len(), 1);
        assert_eq!(own.function_offset("main").unwrap(), Some(functions[0].1));
        assert_eq!(own.function_offset("no_such_function").unwrap(), None);
    }
}
