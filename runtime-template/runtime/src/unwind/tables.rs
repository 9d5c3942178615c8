//! Processes → which rows are for which of their addresses, in the maps that programs read.

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::rc::Rc;

use btc_abi::unwind::{
    FRAME_POINTERS, KEY_BITS, KEY_SIZE, MAPPING_SIZE, MOST_TABLES, Mapping, NOTHING_KNOWN,
    PROCESS_BITS, Row, TABLE_ROWS, TABLE_SIZE, key,
};
use btc_abi::{Manifest, MapRole};
use libbpf_rs::{Map, MapCore, MapFlags, Object};
use object::read::elf::{FileHeader as _, SectionHeader as _};

use super::eh_frame::{self, Rule};
use super::{Rows, Unwinder, inner_map};
use crate::elf::Binary;
use crate::maps::find;
use crate::symbolize::binaries::{Binaries, BinaryId, Seen};
use crate::symbolize::follow::{Change, Follow};
use crate::symbolize::maps::{self as proc_maps, Source};
use crate::target::clock_ns;
use crate::{Context, Error};

/// The unwinder of executables; needs the features `symbolize` and `dwarf`.
pub struct EhFrame;

impl Unwinder for EhFrame {
    fn open<'o>(
        &self,
        manifest: &Manifest,
        object: &'o Object,
    ) -> Result<Box<dyn Rows + 'o>, Error> {
        let map = |role: MapRole| {
            let described = manifest.maps.iter().find(|map| map.role == role);
            let described =
                described.ok_or_else(|| Error::new("no map of unwinding: a bug of btc"))?;
            find(object, described)
        };
        let mut opened = Opened {
            mappings: map(MapRole::UnwindMappings)?,
            tables: map(MapRole::UnwindTables)?,
            placed: 0,
            empty: Vec::new(),
            binaries: Binaries::default(),
            built: HashMap::new(),
            vdso: None,
            known: HashMap::new(),
            follow: None,
            trouble: None,
        };
        if let Err(error) = opened.place(AHEAD) {
            opened.note(&error);
        }
        Ok(Box::new(opened))
    }
}

struct Opened<'o> {
    mappings: Map<'o>,
    tables: Map<'o>,
    /// Tables that are in their map.
    placed: u32,
    /// Those of them without rows yet, the next one last.
    empty: Vec<(u32, OwnedFd)>,
    binaries: Binaries,
    built: HashMap<BinaryId, Rc<[Chunk]>>,
    vdso: Option<Rc<[Chunk]>>,
    known: HashMap<u32, Known>,
    follow: Option<Follow>,
    trouble: Option<Trouble>,
}

enum Trouble {
    New(String),
    Told,
}

/// What is in the map of a process.
#[derive(Default)]
struct Known {
    entries: HashMap<Key, Value>,
    /// Nanoseconds until programs ask again.
    interval: u64,
}

type Key = [u8; KEY_SIZE as usize];
type Value = [u8; MAPPING_SIZE as usize];

/// Rows of a part of a binary.
struct Chunk {
    /// Addresses as the file counts them.
    start: u64,
    end: u64,
    table: u32,
}

/// Rows of a chunk; a table's first row is before all of them.
const CHUNK: usize = TABLE_ROWS as usize - 1;
/// How far a binary's first and last rows count beyond its first and last function.
const MARGIN: u64 = 1 << 20;
/// Programs ask for an unknown address of a known process after so many nanoseconds; each time that there is
/// nothing new the time doubles.
const FIRST_INTERVAL: u64 = 5_000_000;
const LONGEST_INTERVAL: u64 = 2_000_000_000;
/// Tables that are in their map before there are rows, which is enough for a C program and its libraries.
const AHEAD: u32 = 16;
/// Processes beyond this number are looked at for whether they live.
const MANY_PROCESSES: usize = 256;

impl Rows for Opened<'_> {
    fn load(&mut self, process: u32) {
        if let Err(error) = self.refresh(process) {
            self.note(&error);
        }
    }

    fn follow(&mut self, process: u32) -> Option<RawFd> {
        self.follow = Follow::start(process).ok();
        self.follow.as_ref().map(Follow::fd)
    }

    fn catch_up(&mut self) {
        let events = self.follow.as_mut().map(Follow::take);
        let mut processes = HashSet::new();
        for event in events.unwrap_or_default() {
            match event.change {
                Change::Map { .. } | Change::Fork { .. } | Change::Exec => {
                    processes.insert(event.process);
                }
            }
        }
        for process in processes {
            self.load(process);
        }
    }

    fn trouble(&mut self) -> Option<String> {
        match self.trouble.replace(Trouble::Told) {
            Some(Trouble::New(trouble)) => Some(trouble),
            Some(Trouble::Told) => None,
            None => {
                self.trouble = None;
                None
            }
        }
    }
}

impl Opened<'_> {
    /// The first error is told.
    fn note(&mut self, error: &Error) {
        (self.trouble).get_or_insert_with(|| Trouble::New(format!("dw_ustack: {error}")));
    }

    /// Makes the map say what the process maps now.
    fn refresh(&mut self, process: u32) -> Result<(), Error> {
        if self.known.len() > MANY_PROCESSES {
            self.forget_ended()?;
        }
        let text = std::fs::read(format!("/proc/{process}/maps")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let mut wanted = HashMap::new();
        for mapping in proc_maps::parse(&text) {
            self.cover(process, &mapping, &mut wanted);
        }
        let mut known = self.known.remove(&process).unwrap_or_default();
        let result = self.apply(process, &mut known, wanted);
        self.known.insert(process, known);
        result
    }

    /// Writes what is new, deletes what is gone.
    fn apply(
        &mut self,
        process: u32,
        known: &mut Known,
        wanted: HashMap<Key, Value>,
    ) -> Result<(), Error> {
        let gone: Vec<Key> = (known.entries.keys())
            .filter(|key| !wanted.contains_key(*key))
            .copied()
            .collect();
        let mut changed = !gone.is_empty();
        for key in gone {
            self.mappings
                .delete(&key)
                .context(|| "forget a mapping's unwind rows")?;
            known.entries.remove(&key);
        }
        for (key, value) in wanted {
            if known.entries.get(&key) == Some(&value) {
                continue;
            }
            changed = true;
            self.mappings
                .update(&key, &value, MapFlags::ANY)
                .context(|| "note a mapping's unwind rows")?;
            known.entries.insert(key, value);
        }
        known.interval = match changed {
            true => FIRST_INTERVAL,
            false => (2 * known.interval).clamp(FIRST_INTERVAL, LONGEST_INTERVAL),
        };
        let all = Mapping {
            table: NOTHING_KNOWN,
            asked: clock_ns(libc::CLOCK_MONOTONIC),
            interval: known.interval,
            ..Mapping::default()
        };
        let key = key(PROCESS_BITS, process, 0);
        self.mappings
            .update(&key, &all.to_bytes(), MapFlags::ANY)
            .context(|| "note a process for unwinding")
    }

    /// Takes processes that have ended out of the map.
    fn forget_ended(&mut self) -> Result<(), Error> {
        let ended: Vec<u32> = (self.known.keys().copied())
            .filter(|process| !Path::new(&format!("/proc/{process}")).exists())
            .collect();
        for process in ended {
            let known = self.known.remove(&process).unwrap_or_default();
            for key in known.entries.keys().chain([&key(PROCESS_BITS, process, 0)]) {
                self.mappings
                    .delete(key)
                    .context(|| "forget a process for unwinding")?;
            }
        }
        Ok(())
    }

    /// The entries of a mapping: its binary's tables, and frame pointers where these say nothing.
    fn cover(
        &mut self,
        process: u32,
        mapping: &proc_maps::Mapping<'_>,
        wanted: &mut HashMap<Key, Value>,
    ) {
        let plain = Mapping {
            table: FRAME_POINTERS,
            ..Mapping::default()
        };
        prefixes(mapping.start, mapping.end, |bits, address| {
            wanted.insert(key(bits, process, address), plain.to_bytes());
        });
        let seen = Seen {
            process,
            start: mapping.start,
            end: mapping.end,
            view: None,
        };
        // The address that the mapping's start has in the file.
        let (chunks, start) = match mapping.source {
            Source::Anonymous => return,
            Source::Vdso => (self.vdso(), 0),
            Source::File(file) => {
                let id = self.binaries.add(file, seen);
                match self.of_binary(id, mapping.offset) {
                    Some(found) => found,
                    None => return,
                }
            }
        };
        for chunk in &*chunks {
            let shift = mapping.start.wrapping_sub(start);
            let from = chunk.start.saturating_add_signed(shift.cast_signed());
            let to = chunk.end.saturating_add_signed(shift.cast_signed());
            let value = Mapping {
                bias: start.wrapping_sub(mapping.start).wrapping_sub(chunk.start),
                table: chunk.table,
                ..Mapping::default()
            };
            let (from, to) = (from.max(mapping.start), to.min(mapping.end));
            prefixes(from, to, |bits, address| {
                wanted.insert(key(bits, process, address), value.to_bytes());
            });
        }
    }

    /// The tables of a binary, made when it is first seen, and the address of a place in its file.
    fn of_binary(&mut self, id: BinaryId, offset: u64) -> Option<(Rc<[Chunk]>, u64)> {
        let place = self.binaries.get(id).place()?;
        let binary = Binary::open(place).ok()?;
        let start = binary.code_address(offset).ok()??;
        if let Some(chunks) = self.built.get(&id) {
            return Some((chunks.clone(), start));
        }
        let section = binary.section(".eh_frame").ok()?;
        let rules = section.map_or_else(Vec::new, |section| {
            eh_frame::rows(section.data, section.address)
        });
        let chunks = self.keep(&rules);
        self.built.insert(id, chunks.clone());
        Some((chunks, start))
    }

    /// Those of the kernel's own code in every process, which is the same as in this one.
    fn vdso(&mut self) -> Rc<[Chunk]> {
        if let Some(known) = &self.vdso {
            return known.clone();
        }
        let rules = own_vdso().unwrap_or_default();
        let chunks = self.keep(&rules);
        self.vdso = Some(chunks.clone());
        chunks
    }

    /// Writes rows into tables; what finds no room is missing, and said.
    fn keep(&mut self, rules: &[Rule]) -> Rc<[Chunk]> {
        let mut chunks = Vec::new();
        let parts: Vec<&[Rule]> = rules.chunks(CHUNK).collect();
        let missing = parts.len().saturating_sub(self.empty.len());
        if let Err(error) = self.place(missing as u32) {
            self.note(&error);
        }
        for (at, part) in parts.iter().enumerate() {
            let (Some(first), Some(last)) = (part.first(), part.last()) else {
                continue;
            };
            let start = match at {
                0 => first.address.saturating_sub(MARGIN),
                _ => first.address,
            };
            let end = match parts.get(at + 1).and_then(|next| next.first()) {
                Some(next) => next.address,
                None => last.address.saturating_add(MARGIN),
            };
            match self.keep_part(start, part) {
                Ok(table) => chunks.push(Chunk { start, end, table }),
                Err(error) => self.note(&error),
            }
        }
        chunks.into()
    }

    fn keep_part(&mut self, start: u64, rules: &[Rule]) -> Result<u32, Error> {
        let (table, map) = (self.empty.pop())
            .ok_or_else(|| Error::new("no room for the unwind rows of more binaries"))?;
        // Before the first function nothing is known; the search always finds this row.
        let mut bytes = Row::default().to_bytes().to_vec();
        for rule in rules {
            let row = Row {
                address: u32::try_from(rule.address - start).unwrap_or(u32::MAX),
                rules: rule.rules,
                cfa_offset: rule.cfa_offset,
                frame_pointer_offset: rule.frame_pointer_offset,
            };
            bytes.extend(row.to_bytes());
        }
        let unused = Row {
            address: u32::MAX,
            ..Row::default()
        };
        while bytes.len() < TABLE_SIZE as usize {
            bytes.extend(unused.to_bytes());
        }
        let first = 0u32;
        // SAFETY: a key of four bytes and a value of the map's size.
        let written = unsafe {
            libbpf_sys::bpf_map_update_elem(
                map.as_raw_fd(),
                (&raw const first).cast(),
                bytes.as_ptr().cast(),
                0,
            )
        };
        if written < 0 {
            let source = std::io::Error::from_raw_os_error(-written);
            return Err(Error::with_source("write unwind rows", source));
        }
        Ok(table)
    }

    /// Puts empty tables into their map, as many as there is room for. The kernel waits each time for all programs that may
    /// see the map as it was (synchronize_rcu, some 10 milliseconds), since Linux 6.8 once for a batch. So this is done
    /// before rows are there, and writing rows waits for nothing.
    fn place(&mut self, count: u32) -> Result<(), Error> {
        let count = count.min(MOST_TABLES - self.placed);
        if count == 0 {
            return Ok(());
        }
        let numbers = self.placed..self.placed + count;
        let new = numbers.map(|table| Ok((table, inner_map()?)));
        let new = new.collect::<Result<Vec<_>, Error>>()?;
        let keys = new.iter().flat_map(|(table, _)| table.to_ne_bytes());
        let values = (new.iter()).flat_map(|(_, map)| map.as_raw_fd().to_ne_bytes());
        let (keys, values): (Vec<u8>, Vec<u8>) = (keys.collect(), values.collect());
        let flags = MapFlags::ANY;
        let batch = (self.tables).update_batch(&keys, &values, count, flags, flags);
        // Before Linux 5.17 maps of maps take no batches.
        if batch.is_err() {
            for (key, value) in keys.chunks_exact(4).zip(values.chunks_exact(4)) {
                self.tables
                    .update(key, value, flags)
                    .context(|| "keep a table of unwind rows")?;
            }
        }
        self.placed += count;
        self.empty.splice(..0, new.into_iter().rev());
        Ok(())
    }
}

/// The rows of the kernel's code in this process, whose addresses count from its start.
fn own_vdso() -> Option<Vec<Rule>> {
    // SAFETY: looks a number up.
    let start = unsafe { libc::getauxval(libc::AT_SYSINFO_EHDR) };
    let text = std::fs::read_to_string("/proc/self/maps").ok()?;
    let mapping = proc_maps::parse(&text).find(|mapping| mapping.start == start)?;
    let size = usize::try_from(mapping.end - mapping.start).ok()?;
    // SAFETY: mapped as long as the process lives, readable, and never written.
    let image = unsafe { std::slice::from_raw_parts(start as *const u8, size) };
    let header = object::elf::FileHeader64::<object::Endianness>::parse(image).ok()?;
    let endian = header.endian().ok()?;
    let sections = header.sections(endian, image).ok()?;
    let (_, section) = sections.section_by_name(endian, b".eh_frame")?;
    let data = section.data(endian, image).ok()?;
    Some(eh_frame::rows(data, section.sh_addr(endian)))
}

/// The prefixes of addresses that make up a range, as key bits and first address.
fn prefixes(mut start: u64, end: u64, mut each: impl FnMut(u32, u64)) {
    while start < end {
        let aligned = start.trailing_zeros();
        let fits = (end - start).ilog2();
        let bits = aligned.min(fits);
        each(KEY_BITS - bits, start);
        match start.checked_add(1 << bits) {
            Some(next) => start = next,
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use btc_abi::unwind::rule;

    #[test]
    fn ranges_are_made_of_prefixes() {
        let of = |start, end| {
            let mut found = Vec::new();
            prefixes(start, end, |bits, address| {
                found.push((KEY_BITS - bits, address))
            });
            found
        };
        assert_eq!(of(0x1000, 0x2000), [(12, 0x1000)]);
        assert_eq!(
            of(0x1800, 0x4800),
            [(11, 0x1800), (13, 0x2000), (11, 0x4000)]
        );
        assert_eq!(of(5, 5), []);
        assert_eq!(of(3, 6), [(0, 3), (1, 4)]);
        assert_eq!(of(0, 1 << 63), [(63, 0)]);
    }

    #[test]
    fn the_kernels_code_has_rows() {
        let rules = own_vdso().unwrap();
        assert!(rules.len() > 4);
        assert!(rules.is_sorted_by_key(|rule| rule.address));
    }

    /// This program's own rows agree with what the processor does: the caller of a function is found by them.
    #[test]
    fn rows_of_this_program() {
        let own = Binary::open(Path::new("/proc/self/exe")).unwrap();
        let section = own.section(".eh_frame").unwrap().unwrap();
        let rules = eh_frame::rows(section.data, section.address);
        assert!(rules.len() > 1000);
        assert!(
            rules
                .windows(2)
                .all(|pair| pair[0].address < pair[1].address)
        );
        let main = own.function("main").unwrap().unwrap();
        let at = rules.partition_point(|rule| rule.address <= main.address);
        let first = rules[at - 1];
        // Before anything is pushed the caller's stack pointer is above the return address.
        assert_eq!((first.rules, first.cfa_offset), (rule::KNOWN, 8));
    }
}
