//! An ELF file of the target → its functions as addresses and file offsets. Read table by table and never mapped: a file
//! that is cut off meanwhile is an error here, where a mapping would be a SIGBUS.

mod inflated;
mod kind;

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use object::elf::{
    CompressionHeader64, DF_1_PIE, DT_FLAGS_1, DT_SONAME, ELFCOMPRESS_ZLIB, ELFCOMPRESS_ZSTD,
    ET_EXEC, FileHeader64, Machine, NT_GNU_BUILD_ID, PF_X, PT_INTERP, PT_LOAD, SHT_DYNSYM,
    SHT_NOBITS, SHT_SYMTAB, STT_FUNC, STT_GNU_IFUNC, SectionHeader64, Sym64,
};
use object::read::elf::{
    CompressionHeader as _, Dyn as _, FileHeader as _, ProgramHeader as _, SectionHeader as _,
    SectionTable, Sym as _,
};
use object::{CompressedData, CompressionFormat, Endianness, ReadCache, SectionIndex};

use self::inflated::Inflated;
use crate::{Context, Error, debug_file};

/// An open ELF file of this machine's kind.
pub struct Binary {
    data: ReadCache<File>,
    path: PathBuf,
    /// The file that its debug information was split off into, once it was looked for.
    debug: OnceCell<Option<Box<Binary>>>,
    inflated: Inflated,
}

/// No debug information is as large as that; a damaged header may say so.
const MOST_INFLATED: u64 = 4 << 30;

/// A function that the file defines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    pub name: String,
    /// As the file numbers its addresses.
    pub address: u64,
    /// Bytes; 0 where the file does not say.
    pub size: u64,
}

/// A section's contents and the address that it is loaded at (0: it is not loaded).
pub struct Section<'a> {
    pub address: u64,
    pub data: &'a [u8],
}

/// Where a program's parts end, as its file numbers addresses: what `end_code` and `end_data` of mm_struct are in a process
/// without how far it is moved (load_elf_binary of fs/binfmt_elf.c).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    pub code: u64,
    /// Of what the file holds of its data.
    pub data: u64,
}

type Headers<'a> = (
    &'a FileHeader64<Endianness>,
    Endianness,
    SectionTable<'a, FileHeader64<Endianness>, &'a ReadCache<File>>,
);

impl Binary {
    /// Opens a program or library. What is anything else is refused by name; nothing that a path can name makes it wait.
    ///
    /// # Errors
    /// No such file, no permission, not a 64-bit ELF program or library of this machine's architecture.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::open_for(path, kind::MACHINE)
    }

    /// As [`Binary::open`], of another architecture: for who compiles for another machine.
    ///
    /// # Errors
    /// As [`Binary::open`].
    pub fn open_for(path: &Path, machine: Machine) -> Result<Self, Error> {
        let binary = Self::open_for_any_machine(path)?;
        binary.refuse_foreign(machine)?;
        Ok(binary)
    }

    /// The same for a file that is only read beside an open one.
    ///
    /// # Errors
    /// Those of [`Binary::open`], but for the architecture.
    pub fn open_for_any_machine(path: &Path) -> Result<Self, Error> {
        let what = || format!("open {}", path.display());
        // Looked at before it is opened: opening a device can do something, opening a pipe waits.
        kind::refuse_special(path, &std::fs::metadata(path).context(what)?)?;
        let file = File::options()
            .read(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(path)
            .context(what)?;
        let length = file.metadata().context(what)?.len();
        let binary = Binary {
            data: ReadCache::new(file),
            path: path.to_owned(),
            debug: OnceCell::new(),
            inflated: Inflated::default(),
        };
        binary.refuse_other(length)?;
        Ok(binary)
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The address that the file gives a symbol of any type; `None` where it has no such symbol.
    pub fn address(&self, symbol: &str) -> Result<Option<u64>, Error> {
        let found = self.find(|found| found.name == symbol.as_bytes())?;
        Ok(found.map(|function| function.address))
    }

    /// A function by its name as the symbol table has it.
    pub fn function(&self, name: &str) -> Result<Option<Function>, Error> {
        self.find(|found| found.function && found.name == name.as_bytes())
    }

    /// The functions that `wanted` takes, sorted by name: one for each address, by the name that people use for it.
    /// Symbols without a size are left out: they may be in the middle of something.
    pub fn functions(&self, wanted: impl Fn(&str) -> bool) -> Result<Vec<Function>, Error> {
        let mut found = Vec::new();
        self.symbols(|symbol| {
            if symbol.function
                && symbol.size > 0
                && let Ok(name) = std::str::from_utf8(symbol.name)
                && wanted(name)
            {
                found.push(symbol.named(name));
            }
        })?;
        // `malloc` rather than `__libc_malloc`.
        found.sort_by_cached_key(|function| {
            let plain = function.name.trim_start_matches('_');
            let marks = function.name.len() - plain.len();
            (
                function.address,
                marks,
                function.name.len(),
                function.name.clone(),
            )
        });
        found.dedup_by_key(|function| function.address);
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// Every name that a function has, sorted: those that [`Binary::functions`] takes for another one's too.
    ///
    /// # Errors
    /// Symbol tables that can't be read.
    pub fn function_names(&self) -> Result<BTreeSet<String>, Error> {
        let mut names = BTreeSet::new();
        self.symbols(|symbol| {
            if symbol.function
                && !symbol.name.is_empty()
                && let Ok(name) = std::str::from_utf8(symbol.name)
            {
                names.insert(name.to_owned());
            }
        })?;
        Ok(names)
    }

    /// The function that an address is in.
    pub fn function_at(&self, address: u64) -> Result<Option<Function>, Error> {
        let mut found = None;
        self.symbols(|symbol| {
            let inside =
                (symbol.address..symbol.address.saturating_add(symbol.size)).contains(&address);
            if symbol.function && inside && found.is_none() {
                found = Some(symbol.named(&String::from_utf8_lossy(symbol.name)));
            }
        })?;
        Ok(found)
    }

    /// The place in the file of code that is loaded at `address`.
    pub fn file_offset(&self, address: u64) -> Result<u64, Error> {
        self.offset_within(address, PF_X.0).and_then(|offset| {
            let path = self.path.display();
            let none = || Error::new(format!("{path}: address {address:#x} is in no code of it"));
            offset.ok_or_else(none)
        })
    }

    /// The address that code at a place in the file is loaded at; mappings start where a page does, before the code.
    pub fn code_address(&self, offset: u64) -> Result<Option<u64>, Error> {
        const PAGE: u64 = 4096;
        let (header, endian, _) = self.headers()?;
        let segments = header.program_headers(endian, &self.data);
        for segment in segments.context(|| self.damaged())? {
            let start = segment.p_offset(endian);
            let end = start.saturating_add(segment.p_filesz(endian));
            let is_code =
                segment.p_type(endian) == PT_LOAD && segment.p_flags(endian).0 & PF_X.0 != 0;
            if is_code && (start & !(PAGE - 1)..end).contains(&offset) {
                let address = segment.p_vaddr(endian).wrapping_add(offset);
                return Ok(Some(address.wrapping_sub(start)));
            }
        }
        Ok(None)
    }

    /// The ends of a program that is loaded at another address in each process; zeroes where its addresses are the file's.
    ///
    /// # Errors
    /// It is a library, of which a process says nothing.
    pub fn moved_ends(&self) -> Result<Ends, Error> {
        let (header, endian, sections) = self.headers()?;
        if header.e_type(endian) == ET_EXEC {
            return Ok(Ends::default());
        }
        let mut tags = vec![];
        if let Some((dynamic, ..)) = sections
            .dynamic(endian, &self.data)
            .context(|| self.damaged())?
        {
            tags.extend(dynamic.iter().map(|one| (one.tag(endian), one.val(endian))));
        }
        let pie = DF_1_PIE.0;
        let flagged = tags
            .iter()
            .any(|(tag, value)| *tag == DT_FLAGS_1 && value & pie != 0);
        let named = tags.iter().any(|(tag, _)| *tag == DT_SONAME);
        let segments = header.program_headers(endian, &self.data);
        let segments = segments.context(|| self.damaged())?;
        let interpreted = segments.iter().any(|one| one.p_type(endian) == PT_INTERP);
        if !flagged && (named || !interpreted) {
            return Err(Error::new(format!(
                "uaddr: {} is a library, which each process has at another address; only symbols of programs can be told",
                self.path.display()
            )));
        }
        let mut ends = Ends::default();
        for segment in segments.iter().filter(|one| one.p_type(endian) == PT_LOAD) {
            let end = segment
                .p_vaddr(endian)
                .saturating_add(segment.p_filesz(endian));
            ends.data = ends.data.max(end);
            if segment.p_flags(endian).0 & PF_X.0 != 0 {
                ends.code = ends.code.max(end);
            }
        }
        Ok(ends)
    }

    /// The place in the file of a variable that is loaded at `address`.
    pub fn data_offset(&self, address: u64) -> Result<u64, Error> {
        self.offset_within(address, 0).and_then(|offset| {
            let path = self.path.display();
            let none = || Error::new(format!("{path}: address {address:#x} is in no part of it"));
            offset.ok_or_else(none)
        })
    }

    /// The place in the file of an address in a segment with these flags.
    fn offset_within(&self, address: u64, flags: u32) -> Result<Option<u64>, Error> {
        let (header, endian, _) = self.headers()?;
        let segments = header.program_headers(endian, &self.data);
        for segment in segments.context(|| self.damaged())? {
            let start = segment.p_vaddr(endian);
            let end = start.saturating_add(segment.p_filesz(endian));
            let fits =
                segment.p_type(endian) == PT_LOAD && segment.p_flags(endian).0 & flags == flags;
            if fits && (start..end).contains(&address) {
                return Ok(Some(
                    (address - start).saturating_add(segment.p_offset(endian)),
                ));
            }
        }
        Ok(None)
    }

    /// A section by its name; `None` where the file has none, or only its header.
    pub fn section(&self, name: &str) -> Result<Option<Section<'_>>, Error> {
        let (_, endian, sections) = self.headers()?;
        let Some((_, section)) = sections.section_by_name(endian, name.as_bytes()) else {
            return Ok(None);
        };
        if section.sh_type(endian) == SHT_NOBITS {
            return Ok(None);
        }
        let address = section.sh_addr(endian);
        if let Some(data) = self.inflated.get(name) {
            return Ok(Some(Section { address, data }));
        }
        let compression = section.compression(endian, &self.data);
        if let Some((header, offset, size)) = compression.context(|| self.damaged())? {
            let data = self.inflate(endian, header, (offset, size));
            let data = data.context(|| format!("{}: {name}", self.path.display()))?;
            let data = self.inflated.keep(name, data);
            return Ok(Some(Section { address, data }));
        }
        let data = section
            .data(endian, &self.data)
            .context(|| self.damaged())?;
        Ok(Some(Section { address, data }))
    }

    /// What a compressed section holds.
    fn inflate(
        &self,
        endian: Endianness,
        header: &CompressionHeader64<Endianness>,
        (offset, size): (u64, u64),
    ) -> Result<Box<[u8]>, Error> {
        use object::ReadRef as _;
        let uncompressed_size = header.ch_size(endian);
        let format = match header.ch_type(endian) {
            ELFCOMPRESS_ZLIB => CompressionFormat::Zlib,
            ELFCOMPRESS_ZSTD => CompressionFormat::Zstandard,
            _ => CompressionFormat::Unknown,
        };
        let data = (&self.data).read_bytes_at(offset, size);
        let data = data.map_err(|()| Error::new(self.damaged()))?;
        if uncompressed_size > MOST_INFLATED {
            return Err(Error::new(self.damaged()));
        }
        let compressed = CompressedData {
            format,
            data,
            uncompressed_size,
        };
        let inflated = compressed.decompress().context(|| "decompress")?;
        Ok(inflated.into_owned().into_boxed_slice())
    }

    /// The number that the linker gave this build; `None` where it gave none.
    pub fn build_id(&self) -> Result<Option<&[u8]>, Error> {
        let (header, endian, sections) = self.headers()?;
        for section in sections.iter() {
            let notes = section.notes(endian, &self.data);
            if let Some(id) = notes
                .ok()
                .flatten()
                .and_then(|notes| find_build_id(endian, notes))
            {
                return Ok(Some(id));
            }
        }
        // Without section headers.
        let segments = header.program_headers(endian, &self.data);
        for segment in segments.context(|| self.damaged())? {
            let notes = segment.notes(endian, &self.data);
            if let Some(id) = notes
                .ok()
                .flatten()
                .and_then(|notes| find_build_id(endian, notes))
            {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    /// The name and checksum of the file that debug information was split off into.
    pub fn debug_link(&self) -> Result<Option<(PathBuf, u32)>, Error> {
        use std::os::unix::ffi::OsStrExt;
        let Some(section) = self.section(".gnu_debuglink")? else {
            return Ok(None);
        };
        let name = section
            .data
            .split(|byte| *byte == 0)
            .next()
            .unwrap_or_default();
        // The checksum follows at a multiple of four.
        let at = (name.len() + 1).next_multiple_of(4);
        let Some(sum) = section.data.get(at..at + 4) else {
            return Ok(None);
        };
        let sum = u32::from_le_bytes([sum[0], sum[1], sum[2], sum[3]]);
        let name = std::ffi::OsStr::from_bytes(name);
        Ok(Some((PathBuf::from(name), sum)))
    }

    /// The file with this one's debug information, where it is installed.
    pub fn debug_file(&self) -> Option<&Binary> {
        let find = || debug_file::find(self).map(Box::new);
        self.debug.get_or_init(find).as_deref()
    }

    /// The first symbol that is wanted; of its default version where it has several, since that is what programs are
    /// linked with.
    fn find(&self, wanted: impl Fn(&Symbol<'_>) -> bool) -> Result<Option<Function>, Error> {
        let mut first = None;
        let mut default = None;
        self.symbols(|symbol| {
            if !wanted(symbol) || default.is_some() {
                return;
            }
            let found = symbol.named(&String::from_utf8_lossy(symbol.name));
            match symbol.hidden {
                true if first.is_none() => first = Some(found),
                true => {}
                false => default = Some(found),
            }
        })?;
        Ok(default.or(first))
    }

    /// Calls `each` for every defined symbol: the file's own, and where those of its debug information were split off,
    /// these too.
    fn symbols(&self, mut each: impl FnMut(&Symbol<'_>)) -> Result<(), Error> {
        let whole = self.own_symbols(&mut each)?;
        if !whole && let Some(debug) = self.debug_file() {
            debug.own_symbols(&mut each)?;
        }
        Ok(())
    }

    /// Whether there was a full symbol table, and not only that of the dynamic linker.
    fn own_symbols(&self, each: &mut impl FnMut(&Symbol<'_>)) -> Result<bool, Error> {
        let (_, endian, sections) = self.headers()?;
        let versions = sections.gnu_versym(endian, &self.data).ok().flatten();
        let versions = versions.map_or(&[][..], |(versions, _)| versions);
        let mut whole = false;
        for section in sections.iter() {
            let kind = section.sh_type(endian);
            if !matches!(kind, SHT_SYMTAB | SHT_DYNSYM) {
                continue;
            }
            whole |= kind == SHT_SYMTAB;
            let (table, names) = self.table(section, endian, &sections)?;
            for (index, symbol) in table.iter().enumerate() {
                if symbol.st_value(endian) == 0 || symbol.is_undefined(endian) {
                    continue;
                }
                let rest = names.get(symbol.st_name(endian) as usize..);
                let Some(name) = rest.and_then(|rest| rest.split(|byte| *byte == 0).next()) else {
                    continue;
                };
                // `name@VERSION` and `name@@DEFAULT` in a full table; the dynamic one has versions beside it.
                let (name, version) = match name.iter().position(|byte| *byte == b'@') {
                    Some(at) if at > 0 => name.split_at(at),
                    _ => (name, &[][..]),
                };
                let beside = versions.get(index).filter(|_| kind == SHT_DYNSYM);
                each(&Symbol {
                    name,
                    address: symbol.st_value(endian),
                    size: symbol.st_size(endian),
                    function: matches!(symbol.st_type(), STT_FUNC | STT_GNU_IFUNC),
                    hidden: (version.len() > 1 && !version.starts_with(b"@@"))
                        || beside.is_some_and(|version| version.0.get(endian).is_hidden()),
                });
            }
        }
        Ok(whole)
    }

    /// A symbol table and its names, each in one read.
    fn table<'a>(
        &'a self,
        section: &SectionHeader64<Endianness>,
        endian: Endianness,
        sections: &SectionTable<'a, FileHeader64<Endianness>, &'a ReadCache<File>>,
    ) -> Result<(&'a [Sym64<Endianness>], &'a [u8]), Error> {
        if section.sh_type(endian) == SHT_NOBITS {
            return Ok((&[], &[]));
        }
        let table = section.data_as_array(endian, &self.data);
        let table = table.context(|| self.damaged())?;
        let names = sections.section(SectionIndex(section.sh_link(endian) as usize));
        let names = names.and_then(|names| names.data(endian, &self.data));
        Ok((table, names.context(|| self.damaged())?))
    }

    fn headers(&self) -> Result<Headers<'_>, Error> {
        let header = FileHeader64::<Endianness>::parse(&self.data).context(|| self.damaged())?;
        let endian = header.endian().context(|| self.damaged())?;
        let sections = header.sections(endian, &self.data);
        Ok((header, endian, sections.context(|| self.damaged())?))
    }

    fn damaged(&self) -> String {
        format!("{} is damaged or cut off", self.path.display())
    }
}

fn find_build_id<'a>(
    endian: Endianness,
    mut notes: object::read::elf::NoteIterator<'a, FileHeader64<Endianness>>,
) -> Option<&'a [u8]> {
    while let Ok(Some(note)) = notes.next() {
        if note.name() == b"GNU" && note.n_type(endian) == NT_GNU_BUILD_ID {
            return Some(note.desc()).filter(|id| !id.is_empty());
        }
    }
    None
}

/// Whether two paths are of one file; how a file that several names match is known.
#[must_use]
pub fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// A defined symbol.
struct Symbol<'a> {
    name: &'a [u8],
    address: u64,
    size: u64,
    function: bool,
    /// An old version, kept for programs that were linked with it.
    hidden: bool,
}

impl Symbol<'_> {
    fn named(&self, name: &str) -> Function {
        Function {
            name: name.to_owned(),
            address: self.address,
            size: self.size,
        }
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
        assert_eq!(own.function("main").unwrap().as_ref(), functions.first());
        assert_eq!(own.function("no_such_function").unwrap(), None);
        let inside = own.function_at(functions[0].address + 1).unwrap();
        assert_eq!(inside.unwrap().address, functions[0].address);
        assert!(own.file_offset(functions[0].address).is_ok());
        assert!(own.file_offset(3).is_err());
    }

    fn refused(path: &Path) -> String {
        Binary::open(path).err().expect("an error").to_string()
    }

    #[test]
    fn says_what_a_file_is() {
        let directory = std::env::temp_dir().join(format!("btc-elf-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let with = |name: &str, contents: &[u8]| {
            let path = directory.join(name);
            std::fs::write(&path, contents).unwrap();
            refused(&path)
        };
        let own = std::fs::read("/proc/self/exe").unwrap();
        assert!(with("empty", b"").ends_with("is empty"));
        assert!(with("script", b"#!/bin/sh\n").contains("is a script"));
        assert!(with("text", b"hello").contains("is not an ELF"));
        assert!(with("short", &own[..7]).contains("cut off"));
        assert!(with("cut", &own[..4096]).contains("damaged or cut off"));
        let mut other = own.clone();
        other[4] = 1;
        assert!(with("narrow", &other).contains("32-bit"));
        let mut other = own.clone();
        other[18..20].copy_from_slice(&243u16.to_le_bytes());
        assert!(with("riscv", &other).contains("another architecture (RISC-V)"));
        assert!(refused(&directory).contains("is a directory"));
        assert!(refused(Path::new("/dev/null")).contains("is a device"));
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
