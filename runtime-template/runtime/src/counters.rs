//! The counters map → what was lost, what was full, what could not be read, each said once for every time it grew.

use btc_abi::{Counter, Manifest, MapRole};
use libbpf_rs::{Map, MapCore, MapFlags, Object};

use crate::aggregate::integer;
use crate::output::{Output, Trouble, counted};
use crate::{Context, Error, maps};

/// The counters and how far they have been said.
pub struct Counters<'o> {
    manifest: &'static Manifest,
    map: Option<Map<'o>>,
    said: Vec<u64>,
}

/// Which counters are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Telling {
    /// Not with `--no-warnings`; lost records are told all the same.
    pub warnings: bool,
    /// With `-k`: failed reads place by place, else only their sum; and what `delete` did not find.
    pub failed_reads: bool,
}

impl<'o> Counters<'o> {
    /// Finds the map.
    pub fn find(manifest: &'static Manifest, object: &'o Object) -> Result<Self, Error> {
        let described = (manifest.maps.iter()).find(|map| map.role == MapRole::Counters);
        // A script that can lose nothing has none.
        let map = described.and_then(|description| maps::find(object, description).ok());
        Ok(Counters {
            manifest,
            map,
            said: vec![0; manifest.counters.len()],
        })
    }

    /// Says which records were lost since the last time.
    pub fn tell_lost_events(&mut self, output: &mut dyn Output) -> Result<(), Error> {
        let lost = |counter: &Counter| *counter == Counter::LostRecords;
        let Some(index) = self.manifest.counters.iter().position(lost) else {
            return Ok(());
        };
        match self.grown(index)? {
            0 => Ok(()),
            count => output.trouble(&Trouble::LostEvents(count)),
        }
    }

    /// Says what grew since the last time.
    pub fn tell(&mut self, telling: Telling, output: &mut dyn Output) -> Result<(), Error> {
        let mut failed = 0;
        for (index, counter) in self.manifest.counters.iter().enumerate() {
            let count = self.grown(index)?;
            if count == 0 {
                continue;
            }
            let text = match counter {
                Counter::LostRecords => {
                    output.trouble(&Trouble::LostEvents(count))?;
                    continue;
                }
                _ if !telling.warnings => continue,
                Counter::MapFull { map } => self.map_full(*map, count),
                Counter::LostUpdates { map } => format!(
                    "{}: {} lost: the kernel had no memory for them, or other CPUs changed it all the time",
                    self.map_name(*map),
                    counted(count, "update")
                ),
                Counter::CutLoop { place, rounds } => cut_loop(place, *rounds, count),
                Counter::DivisionByZero { place } => {
                    let times = counted(count, "time");
                    let text = format!("division by zero, {times}: 1 is taken as the result");
                    output.trouble(&Trouble::At { place, text: &text })?;
                    continue;
                }
                Counter::LostStacks => self.stacks_lost(count),
                Counter::ShortStacks => format!(
                    "{} of dw_ustack ended early: code without unwind rows, or rows that were not loaded yet",
                    counted(count, "stack")
                ),
                Counter::FailedRead { place } if telling.failed_reads => {
                    output.trouble(&Trouble::FailedReads { place, count })?;
                    continue;
                }
                Counter::FailedRead { .. } => {
                    failed += count;
                    continue;
                }
                Counter::MissedDelete { place } if telling.failed_reads => {
                    let times = counted(count, "time");
                    let text = format!("`delete` found no such element, {times}");
                    output.trouble(&Trouble::At { place, text: &text })?;
                    continue;
                }
                Counter::MissedDelete { .. } => continue,
            };
            output.trouble(&Trouble::Warning(&text))?;
        }
        if failed > 0 {
            let reads = counted(failed, "read");
            let text = format!("{reads} of memory failed; -k says where");
            output.trouble(&Trouble::Warning(&text))?;
        }
        Ok(())
    }

    fn stacks_lost(&self, count: u64) -> String {
        let maps = self.manifest.maps.iter();
        let kept = maps.filter(|map| matches!(map.role, MapRole::Stacks { .. }));
        let kept = kept.map(|map| map.max_entries).max().unwrap_or(0);
        let stacks = counted(count, "stack");
        format!("{stacks} lost: a run keeps {kept} different ones")
    }

    fn map_name(&self, map: u32) -> &'static str {
        let map = self.manifest.maps.get(map as usize);
        map.map_or("", |map| &*map.name)
    }

    fn map_full(&self, map: u32, count: u64) -> String {
        let name = self.map_name(map);
        let declared = self.manifest.maps.get(map as usize);
        let more = match declared.map_or(0, |map| map.max_entries) {
            0 => format!(
                "BTC_MAX_MAP_KEYS raises the limit, or `let {name} = hash(N)` in the script"
            ),
            entries => format!(
                "the script declares it for {}",
                counted(entries.into(), "key")
            ),
        };
        format!("{name} is full: {} lost ({more})", counted(count, "update"))
    }

    fn grown(&mut self, index: usize) -> Result<u64, Error> {
        let Some(map) = &self.map else {
            return Ok(0);
        };
        let key = (index as u32).to_ne_bytes();
        let cpus = map
            .lookup_percpu(&key, MapFlags::ANY)
            .context(|| "read the counters of what was lost")?
            .unwrap_or_default();
        let now = cpus.iter().map(|cpu| integer(cpu, 0, 8, false)).sum();
        Ok(now - std::mem::replace(&mut self.said[index], now))
    }
}

/// BPF_MAX_LOOPS: what bpf_loop takes.
const MOST_ROUNDS: u32 = 1 << 23;

fn cut_loop(place: &str, rounds: u32, count: u64) -> String {
    let times = counted(count, "time");
    let more = match rounds < MOST_ROUNDS {
        true => " (more need bpf_loop, which came with Linux 5.17)",
        false => "",
    };
    format!("{place}: the loop was ended after {rounds} rounds, {times}{more}")
}
