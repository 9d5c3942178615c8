//! Kernel and user addresses → frames: kallsyms by a table of our own, ELF and DWARF by blazesym.
//!
//! Addresses of a process become offsets in files here and not in blazesym: so one parsed libc serves all processes,
//! and names are to be had after a process's end.

use std::collections::HashSet;
use std::os::fd::RawFd;
use std::path::Path;

use ::blazesym::Pid;
use ::blazesym::symbolize::source::{Elf, Process, Source};
use ::blazesym::symbolize::{CodeInfo, Input, Sym, Symbolizer as Resolver};
use btc_abi::{Config, SymbolCache};

use super::binaries::BinaryId;
use super::follow::Follow;
use super::kallsyms::Kallsyms;
use super::maps;
use super::processes::{Code, Processes};
use super::returns::{self, Returns};
use super::{Address, Frame, Symbolizer, Symbols};
use crate::demangle::demangle;

/// The symbolizer of executables; needs the feature `symbolize`.
pub struct Blazesym;

impl Symbolizer for Blazesym {
    fn open(&self, config: &Config) -> Box<dyn Symbols> {
        let resolver = Resolver::builder()
            .enable_code_info(config.show_debug_info)
            .enable_inlined_fns(config.show_debug_info)
            .enable_demangling(false)
            .build();
        Box::new(Opened {
            resolver,
            debug_info: config.show_debug_info,
            names: if config.cpp_demangle {
                Names::Demangled
            } else {
                Names::AsTheyAre
            },
            bad_debug_info: HashSet::new(),
            returns: Returns::default(),
            kallsyms: None,
            processes: Processes::new(),
            keep: Keep::of(config),
            follow: None,
        })
    }
}

/// How names of functions are written.
#[derive(Clone, Copy, Debug)]
enum Names {
    Demangled,
    AsTheyAre,
}

/// What is kept of processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keep {
    /// What they map, from when the tracing starts: they can be named after their end.
    AheadOfTime,
    /// What they map when an address of theirs is first named.
    OnceNamed,
    Nothing,
}

impl Keep {
    fn of(config: &Config) -> Keep {
        match (&config.cache_user_symbols, config.lazy_symbolication) {
            (SymbolCache::None, _) => Keep::Nothing,
            (_, true) => Keep::OnceNamed,
            (_, false) => Keep::AheadOfTime,
        }
    }
}

struct Opened {
    resolver: Resolver,
    debug_info: bool,
    names: Names,
    /// Binaries whose debug information can't be read: their symbols are.
    bad_debug_info: HashSet<BinaryId>,
    returns: Returns,
    /// Read when the first kernel address is named.
    kallsyms: Option<Kallsyms>,
    processes: Processes,
    keep: Keep,
    follow: Option<Follow>,
}

impl Symbols for Opened {
    fn kernel(&mut self, addresses: &[Address]) -> Vec<Vec<Frame>> {
        let table = self.kallsyms.get_or_insert_with(Kallsyms::open);
        let mut interrupted = false;
        (addresses.iter())
            .map(|address| {
                let address = match interrupted {
                    true => Address::Exact(address.value()),
                    false => *address,
                };
                let frame = table.find(address.within()).unwrap_or_default();
                interrupted = frame.function.as_deref().is_some_and(is_entry);
                let mut frames = vec![frame];
                count_from(&mut frames, address);
                self.names.write(&mut frames);
                frames
            })
            .collect()
    }

    fn user(&mut self, process: u32, addresses: &[Address]) -> Vec<Vec<Frame>> {
        self.catch_up();
        if self.keep == Keep::Nothing {
            self.processes.forget(process);
        }
        let looked_up: Vec<u64> = addresses.iter().map(|address| address.within()).collect();
        self.processes.refresh(process, &looked_up);
        (addresses.iter())
            .map(|address| {
                let address = self.told(process, *address);
                let mut frames = self.user_address(process, address.within());
                count_from(&mut frames, address);
                self.names.write(&mut frames);
                frames
            })
            .collect()
    }

    fn follow(&mut self, process: u32) -> Option<RawFd> {
        if self.keep != Keep::AheadOfTime {
            return None;
        }
        // Before the snapshot, so that nothing is mapped between the two.
        self.follow = Follow::start(process).ok();
        self.processes.remember(process);
        self.follow.as_ref().map(Follow::fd)
    }

    fn catch_up(&mut self) {
        let Some(follow) = &mut self.follow else {
            return;
        };
        // All that these did is among the events.
        let ended = self.processes.ended_elsewhere();
        for event in follow.take() {
            self.processes.apply(&event);
        }
        self.processes.release_views(&ended);
    }
}

impl Names {
    fn write(self, frames: &mut [Frame]) {
        if matches!(self, Names::AsTheyAre) {
            return;
        }
        for function in frames
            .iter_mut()
            .filter_map(|frame| frame.function.as_mut())
        {
            *function = demangle(function);
        }
    }
}

/// Offsets of what was looked up at [`Address::within`] → those of the address.
fn count_from(frames: &mut [Frame], address: Address) {
    for frame in frames {
        let known = frame.function.is_some() || frame.module.is_some();
        if known && !frame.inlined {
            frame.offset += address.back();
        }
    }
}

/// Whether a function of the kernel is where interrupts and exceptions enter it: the frame beyond is what was interrupted
/// (x86-64: DECLARE_IDTENTRY of asm/idtentry.h; arm64: kernel_ventry of entry.S).
fn is_entry(function: &str) -> bool {
    function.starts_with(if cfg!(target_arch = "aarch64") {
        "el1"
    } else {
        "asm_"
    })
}

impl Opened {
    /// An address that no call returns to is that of an instruction.
    fn told(&mut self, process: u32, address: Address) -> Address {
        if matches!(address, Address::Exact(_)) {
            return address;
        }
        let value = address.value();
        let called = match self.processes.code(process, address.within()) {
            Some(Code::File { binary, bias }) => {
                let offset = value.wrapping_add(bias);
                let file = self.processes.binaries.get(binary);
                self.returns.to(binary, file, offset)
            }
            Some(Code::Vdso { bias }) => {
                vdso_before(value.wrapping_add(bias)).is_none_or(returns::ends_in_call)
            }
            Some(Code::Anonymous) | None => true,
        };
        match called {
            true => address,
            false => Address::Exact(value),
        }
    }

    /// At least one frame.
    fn user_address(&mut self, process: u32, address: u64) -> Vec<Frame> {
        let code = self.processes.code(process, address);
        let known = match code {
            Some(Code::File { binary, bias }) => self.in_binary(binary, address.wrapping_add(bias)),
            Some(Code::Vdso { bias }) => self.in_vdso(address, address.wrapping_add(bias)),
            Some(Code::Anonymous) | None => Vec::new(),
        };
        if known.iter().any(|frame| frame.function.is_some()) {
            return known;
        }
        // A compiler may put code over a mapped file too.
        if let Some((function, offset)) = self.processes.made_at_run_time(process, address) {
            return vec![Frame {
                function: Some(function),
                offset,
                ..Frame::default()
            }];
        }
        match known.is_empty() {
            true => vec![Frame::default()],
            false => known,
        }
    }

    /// Frames at an offset in a file; one without a function where it has no symbol there.
    fn in_binary(&mut self, id: BinaryId, offset: u64) -> Vec<Frame> {
        let binary = self.processes.binaries.get(id);
        let unknown = || Frame {
            offset,
            module: Some(binary.name.clone()),
            ..Frame::default()
        };
        let Some(place) = binary.place() else {
            return vec![unknown()];
        };
        let mut found = Err(());
        if self.debug_info && !self.bad_debug_info.contains(&id) {
            found = in_file(&self.resolver, place, offset, true, &binary.name);
            if found.is_err() {
                self.bad_debug_info.insert(id);
            }
        }
        if found.is_err() {
            found = in_file(&self.resolver, place, offset, false, &binary.name);
        }
        match found {
            Ok(frames) if !frames.is_empty() => frames,
            _ => vec![unknown()],
        }
    }

    /// All 64-bit processes have the same vDSO as this one, elsewhere.
    fn in_vdso(&self, address: u64, offset: u64) -> Vec<Frame> {
        // SAFETY: looks a number up.
        let own = unsafe { libc::getauxval(libc::AT_SYSINFO_EHDR) };
        if own == 0 || address <= u64::from(u32::MAX) {
            return Vec::new();
        }
        let mut source = Process::new(Pid::Slf);
        source.debug_syms = false;
        source.perf_map = false;
        let input = Input::AbsAddr(own.wrapping_add(offset));
        let found = self
            .resolver
            .symbolize_single(&Source::Process(source), input);
        match found.as_ref().ok().and_then(|found| found.as_sym()) {
            Some(symbol) => frames(symbol, "[vdso]"),
            None => Vec::new(),
        }
    }
}

/// What is before an offset in this process's vDSO.
fn vdso_before(offset: u64) -> Option<[u8; returns::BEFORE]> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    // SAFETY: looks a number up.
    let own = unsafe { libc::getauxval(libc::AT_SYSINFO_EHDR) };
    let mapping = maps::parse(&maps).find(|mapping| mapping.start == own)?;
    let start = offset.checked_sub(returns::BEFORE as u64)?;
    if offset > mapping.end - mapping.start {
        return None;
    }
    // SAFETY: mapped and readable as long as the process lives, and never written; the range is inside.
    Some(unsafe { *((own + start) as *const [u8; returns::BEFORE]) })
}

/// No frames: the file has no symbol there. An error: it can't be read that way.
fn in_file(
    resolver: &Resolver,
    place: &Path,
    offset: u64,
    debug_info: bool,
    name: &str,
) -> Result<Vec<Frame>, ()> {
    let mut elf = Elf::new(place);
    elf.debug_syms = debug_info;
    let found = resolver.symbolize_single(&Source::Elf(elf), Input::FileOffset(offset));
    let found = found.map_err(|_| ())?;
    Ok(found
        .as_sym()
        .map_or_else(Vec::new, |symbol| frames(symbol, name)))
}

/// blazesym lists inlined calls from the outside in.
fn frames(symbol: &Sym<'_>, module: &str) -> Vec<Frame> {
    let inlined = symbol.inlined.iter().rev().map(|call| Frame {
        function: Some(call.name.clone().into_owned()),
        offset: 0,
        inlined: true,
        source: call.code_info.as_ref().and_then(source_line),
        module: Some(module.to_owned()),
    });
    let function = Frame {
        function: Some(symbol.name.clone().into_owned()),
        offset: symbol.offset as u64,
        inlined: false,
        source: symbol.code_info.as_deref().and_then(source_line),
        module: Some(module.to_owned()),
    };
    inlined.chain([function]).collect()
}

fn source_line(info: &CodeInfo<'_>) -> Option<(String, u32)> {
    let path = info.to_path().to_string_lossy().into_owned();
    Some((path, info.line?))
}
