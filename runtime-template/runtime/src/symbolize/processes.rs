//! Processes → what is mapped where in them, kept beyond their end.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::binaries::{Binaries, BinaryId, Seen};
use super::follow::{Change, Event};
use super::maps::{self, FileName, Mapping, Source};
use super::perf_map::{PerfMap, Writer};
use super::ranges::Ranges;
use super::views::{Sight, View, Views};

/// What an address of a process is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Added to an address (wrapping), `bias` gives the offset in the file.
    File { binary: BinaryId, bias: u64 },
    /// The same to give the offset in the vDSO.
    Vdso { bias: u64 },
    /// Made at run time: a perf map may know it.
    Anonymous,
}

/// A process that was seen alive.
#[derive(Debug, Default)]
struct Process {
    code: Ranges<Code>,
    /// Of the program: another one means that it executed another, or that the pid is another process's now.
    program: Option<(u64, u64)>,
    /// When /proc/PID/maps was last read.
    read: Option<Instant>,
    perf_map: Option<PerfMap>,
    /// Of a followed process that made code at run time: it may write its map later.
    writer: Option<Writer>,
    /// Of a followed process that sees other files than this one.
    view: Option<Rc<View>>,
    /// On the clock of uses, which decides what is forgotten.
    used: u64,
}

/// The processes last used.
#[derive(Debug)]
pub struct Processes {
    known: HashMap<u32, Process>,
    clock: u64,
    own_program: Option<(u64, u64)>,
    views: Views,
    views_checked: Instant,
    pub binaries: Binaries,
}

/// Processes kept at most.
const MAX_PROCESSES: usize = 1024;
/// Mappings of one process kept at most.
const MAX_MAPPINGS: usize = 8192;
/// While all addresses are known and the program is the same, maps are not read again; and views of processes that may
/// have ended are not looked at again.
const FRESH: Duration = Duration::from_secs(1);

impl Processes {
    pub fn new() -> Self {
        Processes {
            known: HashMap::new(),
            clock: 0,
            own_program: program(std::process::id()),
            views: Views::new(),
            views_checked: Instant::now(),
            binaries: Binaries::default(),
        }
    }

    /// Looks at the process if it lives and what is known of it does not cover the addresses or is old.
    pub fn refresh(&mut self, id: u32, addresses: &[u64]) {
        let program = program(id);
        self.clock += 1;
        if let Some(process) = self.known.get_mut(&id) {
            process.used = self.clock;
            let fresh = process.read.is_some_and(|read| read.elapsed() < FRESH);
            let same = program.is_none() || process.program == program;
            let code = |address: &u64| process.code.get(*address);
            if fresh && same && addresses.iter().all(|address| code(address).is_some()) {
                self.seek_perf_map(id, addresses);
                return;
            }
        }
        self.snapshot(id, program);
        self.seek_perf_map(id, addresses);
    }

    /// Opens a perf map for code that is of no file, if the process has, or left, one.
    fn seek_perf_map(&mut self, id: u32, addresses: &[u64]) {
        let Some(process) = self.known.get_mut(&id) else {
            return;
        };
        let made =
            |address: &u64| matches!(process.code.get(*address), None | Some(Code::Anonymous));
        if process.perf_map.is_some() || !addresses.iter().any(made) {
            return;
        }
        let view = process.view.as_deref();
        let left = || PerfMap::left_by(process.writer?, view);
        process.perf_map = PerfMap::open(id).or_else(left);
    }

    /// Reads what the process maps now, if it lives. The child of `-c` still runs this program before it executes its
    /// own: nothing to remember.
    pub fn remember(&mut self, id: u32) {
        let program = program(id);
        if program != self.own_program {
            self.snapshot(id, program);
        }
    }

    /// A process that is gone, or ends just now (its maps are empty), stays as it was known.
    fn snapshot(&mut self, id: u32, program: Option<(u64, u64)>) {
        let text = std::fs::read(format!("/proc/{id}/maps")).unwrap_or_default();
        if text.is_empty() {
            return;
        }
        let text = String::from_utf8_lossy(&text);
        let perf_map = PerfMap::open(id);
        let process = entry(&mut self.known, &mut self.clock, id);
        if process.program != program && process.read.is_some() {
            process.code.clear();
        }
        process.program = program;
        process.read = Some(Instant::now());
        if let Some(new) = perf_map
            && !process
                .perf_map
                .as_ref()
                .is_some_and(|old| old.is_same_file(&new))
        {
            process.perf_map = Some(new);
        }
        for mapping in maps::parse(&text) {
            put(process, &mut self.binaries, id, &mapping);
        }
    }

    /// Drops what is known of a process.
    pub fn forget(&mut self, id: u32) {
        self.known.remove(&id);
    }

    /// Takes in what a followed process or a child of it did.
    pub fn apply(&mut self, event: &Event) {
        let id = event.process;
        match &event.change {
            Change::Map {
                start,
                end,
                offset,
                device,
                inode,
                path,
            } => {
                let mapping = Mapping {
                    start: *start,
                    end: *end,
                    offset: *offset,
                    source: FileName::source(*device, *inode, path),
                };
                let alive = self.look(id);
                let process = entry(&mut self.known, &mut self.clock, id);
                put(process, &mut self.binaries, id, &mapping);
                if mapping.source == Source::Anonymous && process.perf_map.is_none() {
                    process.perf_map = PerfMap::open(id);
                    // Numbers of another namespace mean nothing in a /tmp that may not be the process's.
                    process.writer = Writer::of(id)
                        .filter(|writer| writer.id == id || alive)
                        .or(process.writer);
                }
            }
            Change::Fork { parent } => {
                let Some(parent) = self.known.get(parent) else {
                    return;
                };
                let (code, view) = (parent.code.clone(), parent.view.clone());
                let process = entry(&mut self.known, &mut self.clock, id);
                process.code = code;
                process.view = view;
                process.read = None;
                self.look(id);
            }
            Change::Exec => {
                self.look(id);
                let process = entry(&mut self.known, &mut self.clock, id);
                process.code.clear();
                process.read = None;
                process.perf_map = None;
                process.writer = None;
            }
        }
    }

    /// Notes how a process sees files now; if it has ended, it stays as when last seen alive. Whether it lives.
    fn look(&mut self, id: u32) -> bool {
        let sight = self.views.of(id);
        let process = entry(&mut self.known, &mut self.clock, id);
        match sight {
            Sight::AsWeDo => process.view = None,
            Sight::Otherwise(view) => process.view = Some(view),
            Sight::Unknown => return false,
        }
        true
    }

    /// Processes that have ended, among those whose views are held; looked for once a second.
    pub fn ended_elsewhere(&mut self) -> Vec<u32> {
        if self.views_checked.elapsed() < FRESH {
            return Vec::new();
        }
        self.views_checked = Instant::now();
        let of_others = self
            .known
            .iter()
            .filter(|(_, process)| process.view.is_some());
        let ids: Vec<u32> = of_others.map(|(id, _)| *id).collect();
        (ids.into_iter())
            .filter(|id| matches!(self.views.of(*id), Sight::Unknown))
            .collect()
    }

    /// Lets go of what processes saw: a mount namespace without processes shall not live longer than it is needed.
    pub fn release_views(&mut self, ids: &[u32]) {
        for id in ids {
            if let Some(process) = self.known.get_mut(id) {
                process.view = None;
            }
        }
    }

    /// What was last seen at an address.
    pub fn code(&self, id: u32, address: u64) -> Option<Code> {
        self.known.get(&id)?.code.get(address).copied()
    }

    /// The name that a process's own compiler gave the code at an address, and the offset in it.
    pub fn made_at_run_time(&mut self, id: u32, address: u64) -> Option<(String, u64)> {
        self.known.get_mut(&id)?.perf_map.as_mut()?.find(address)
    }
}

/// The process, new where it was not known; then the one used longest ago is forgotten if there are too many.
fn entry<'a>(known: &'a mut HashMap<u32, Process>, clock: &mut u64, id: u32) -> &'a mut Process {
    if known.len() >= MAX_PROCESSES && !known.contains_key(&id) {
        let oldest = known.iter().min_by_key(|(_, process)| process.used);
        if let Some(oldest) = oldest.map(|(id, _)| *id) {
            known.remove(&oldest);
        }
    }
    *clock += 1;
    let process = known.entry(id).or_default();
    process.used = *clock;
    process
}

fn put(process: &mut Process, binaries: &mut Binaries, id: u32, mapping: &Mapping<'_>) {
    let Mapping {
        start,
        end,
        offset,
        source,
    } = *mapping;
    if process.code.len() >= MAX_MAPPINGS {
        return;
    }
    let seen = Seen {
        process: id,
        start,
        end,
        view: process.view.as_deref(),
    };
    let code = match source {
        Source::File(file) => Code::File {
            binary: binaries.add(file, seen),
            bias: offset.wrapping_sub(start),
        },
        Source::Vdso => Code::Vdso {
            bias: 0u64.wrapping_sub(start),
        },
        Source::Anonymous => Code::Anonymous,
    };
    process.code.insert(start, end, code);
}

/// File system and inode of the program that a live process runs.
fn program(id: u32) -> Option<(u64, u64)> {
    let found = std::fs::metadata(format!("/proc/{id}/exe")).ok()?;
    Some((found.dev(), found.ino()))
}
