//! A compiled script against one kernel → everything that is missing, with its place.

use std::collections::{BTreeMap, BTreeSet};

use btc_abi::{Attach, Feature, Manifest, Map, MapKind, MissingProbes, Probe, TargetValue};

use super::access::Info;
use super::ext::{self, Asked};
use super::kernel::{Kernel, helper_version};
use super::places::Places;
use super::{Reason, Script, Verdict, probes};
use crate::arch::Arch;
use crate::bug::Bug;
use crate::host::reference;
use crate::layout::{GET_FUNC_IP, TASK_PT_REGS};
use crate::source::SourceMap;

/// Bytes of the longest key of a hash map before Linux 5.11.
const LONGEST_OLD_KEY: u32 = 512;
/// bpf_get_socket_cookie of linux/bpf.h, which other kinds of programs had earlier.
const GET_SOCKET_COOKIE: u32 = 46;
/// bpf_get_attach_cookie of linux/bpf.h.
const GET_ATTACH_COOKIE: u32 = 174;
/// bpf_loop of linux/bpf.h.
const LOOP: u32 = 181;
/// bpf_get_current_task_btf.
const GET_CURRENT_TASK_BTF: u32 = 158;

pub fn reasons(script: &Script, kernel: &Kernel) -> Result<Vec<Reason>, Bug> {
    let compiled = script.compiled;
    let manifest = &compiled.manifest;
    let mut judge = Judge {
        manifest,
        kernel,
        reasons: vec![],
        left_out: BTreeSet::new(),
    };
    judge.arch(script.arch);
    judge.probes();
    let asked = ext::read(&compiled.object)?;
    judge.helpers(&asked);
    let places = Places::of(&compiled.program);
    judge.accesses(&asked, &places, script.sources);
    for map in manifest.maps.iter() {
        judge.map(map);
    }
    Ok(judge.reasons)
}

/// Whether the runtime writes a helper's answers into copies of the program where the kernel has no such helper.
fn is_answered(helper: u32, probe: Option<&Probe>) -> bool {
    let knows_function = probe.is_some_and(|probe| {
        matches!(
            probe.attach,
            Attach::Kretprobe { .. } | Attach::Fentry { .. } | Attach::Fexit { .. }
        )
    });
    helper == GET_ATTACH_COOKIE || (helper == GET_FUNC_IP && knows_function)
}

fn has_floor(probe: Option<&Probe>, feature: &Feature) -> bool {
    let floor = probe.and_then(|probe| probe.floor.as_ref());
    floor.is_some_and(|floor| floor.needs.contains(feature))
}

struct Judge<'a> {
    manifest: &'a Manifest,
    kernel: &'a Kernel,
    reasons: Vec<Reason>,
    /// Programs of probes that are missing and may be: they are not loaded.
    left_out: BTreeSet<&'a str>,
}

impl<'a> Judge<'a> {
    fn note(&mut self, verdict: Verdict, probe: Option<&Probe>, what: impl Into<String>) {
        self.reasons.push(Reason {
            verdict,
            place: probe.map_or(String::new(), |probe| probe.place.to_string()),
            probe: probe.map_or(String::new(), |probe| probe.name.to_string()),
            what: what.into(),
        });
    }

    /// The probe of a program, or of a loop's callback: `PROGRAM_loop1`.
    fn probe(&self, function: &str) -> Option<&'a Probe> {
        let mut probes = self.manifest.probes.iter();
        let loops = function.rsplit_once("_loop");
        probes.find(|probe| {
            probe.program == function || loops.is_some_and(|(owner, _)| probe.program == owner)
        })
    }

    /// Whether a function belongs to a program for the oldest kernels: what it asks for, the probe's other one asks
    /// for too.
    fn is_floor(&self, function: &str) -> bool {
        let owner = function
            .rsplit_once("_loop")
            .map_or(function, |(owner, _)| owner);
        let floors = self.manifest.probes.iter().filter_map(|p| p.floor.as_ref());
        floors.into_iter().any(|floor| floor.program == owner)
    }

    fn arch(&mut self, own: Arch) {
        if let Some(theirs) = self.kernel.arch().filter(|theirs| *theirs != own) {
            let (own, theirs) = (own.rust_name(), theirs.rust_name());
            let what = format!("compiled for {own}, and this is a kernel of {theirs}");
            self.note(Verdict::Fails, None, what);
        }
    }

    fn probes(&mut self) {
        let manifest = self.manifest;
        let strict = manifest.config.missing_probes == MissingProbes::Error;
        for probe in manifest.probes.iter() {
            for (verdict, what) in probes::findings(probe, self.kernel) {
                match verdict {
                    Verdict::Fails if !strict => {
                        self.left_out.insert(&*probe.program);
                        let what = format!("{what}: the probe is left out");
                        self.note(Verdict::Fallback, Some(probe), what);
                    }
                    verdict => self.note(verdict, Some(probe), what),
                }
            }
        }
        let traced = |probe: &&Probe| !matches!(probe.attach, Attach::Begin | Attach::End);
        let mut all = manifest.probes.iter().filter(traced).peekable();
        if all.peek().is_some() && all.all(|probe| self.left_out.contains(&*probe.program)) {
            self.note(
                Verdict::Fails,
                None,
                "no probe of the script can be attached",
            );
        }
    }

    fn helpers(&mut self, asked: &Asked) {
        let mut optional: BTreeSet<u32> = (self.manifest.slots.iter())
            .filter_map(|slot| match slot.value {
                TargetValue::HasHelper { number } => Some(number),
                _ => None,
            })
            .collect();
        // Whose argument is had by another new helper.
        if optional.contains(&TASK_PT_REGS) {
            optional.insert(GET_CURRENT_TASK_BTF);
        }
        let mut missing: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
        for (function, number) in &asked.helpers {
            let asked = !self.left_out.contains(function.as_str()) && !self.is_floor(function);
            if asked && !self.kernel.has_helper(*number) {
                missing.entry(*number).or_default().push(function);
            }
        }
        for (number, functions) in missing {
            let since = helper_version(number);
            let since = since.map_or(String::new(), |v| format!(", which came with Linux {v}"));
            let name = helper_name(number);
            for function in functions {
                let probe = self.probe(function);
                let instead = match number {
                    number if is_answered(number, probe) => {
                        Some("a copy of the program for each place")
                    }
                    number if optional.contains(&number) => Some("found out in another way"),
                    LOOP if has_floor(probe, &Feature::LoopHelper) => {
                        Some("loops are ended after a number of rounds that depends on them")
                    }
                    _ => None,
                };
                match instead {
                    Some(instead) => {
                        let what = format!("no {name}{since}: {instead}");
                        self.note(Verdict::Fallback, probe, what);
                    }
                    None => self.note(Verdict::Fails, probe, format!("no {name}{since}")),
                }
            }
        }
        let uretprobe = |function: &str| {
            let probe = self.probe(function)?;
            matches!(probe.attach, Attach::Uretprobe { .. }).then_some(probe)
        };
        let asks = asked.helpers.iter().filter(|(_, n)| *n == GET_FUNC_IP);
        let asks: Vec<&Probe> = asks
            .filter_map(|(function, _)| uretprobe(function))
            .collect();
        if !self.kernel.has_uprobe_multi() {
            for probe in asks {
                let what = "`func` in a uretprobe came with Linux 6.6";
                self.note(Verdict::Fails, Some(probe), what);
            }
        }
        if !self.kernel.is_since("5.12") {
            let cookies = asked
                .helpers
                .iter()
                .filter(|(_, n)| *n == GET_SOCKET_COOKIE);
            for (function, _) in cookies {
                let what =
                    "no bpf_get_socket_cookie for tracing programs, which came with Linux 5.12";
                self.note(Verdict::Fails, self.probe(function), what);
            }
            let functions: BTreeSet<&String> = asked.atomics.iter().collect();
            for function in functions {
                let probe = self.probe(function);
                let lossy = has_floor(probe, &Feature::AtomicUpdate);
                let (verdict, instead) = match probe.is_some_and(|p| p.floor.is_some()) {
                    true if lossy => (
                        Verdict::Fallback,
                        ": changes by several CPUs at once may be lost",
                    ),
                    true => (Verdict::Fallback, ": the value may be another moment's"),
                    false => (Verdict::Fails, ""),
                };
                let what = format!(
                    "no atomic operations but additions, which came with Linux 5.12{instead}"
                );
                self.note(verdict, probe, what);
            }
        }
    }

    fn accesses(&mut self, asked: &Asked, places: &Places, sources: &SourceMap) {
        for (function, access) in &asked.accesses {
            // What a program for the oldest kernels reads, the probe's other one reads too.
            if access.info != Info::Fact
                || self.left_out.contains(function.as_str())
                || self.is_floor(function)
            {
                continue;
            }
            let Err(lacking) = access.find(&self.kernel.btf) else {
                continue;
            };
            let of_function = asked.accesses.iter().filter(|(f, _)| f == function);
            if of_function.clone().any(|(_, guard)| {
                access.is_guarded_by(guard) && guard.find(&self.kernel.btf).is_err()
            }) {
                continue;
            }
            let probe = self.probe(function);
            self.note(Verdict::Fails, probe, lacking.what);
            let program = probe.map_or(function.as_str(), |probe| &probe.program);
            let span = places.find(program, lacking.step.as_ref());
            if let (Some(span), Some(reason)) = (span, self.reasons.last_mut()) {
                reason.place = sources.place(span);
            }
        }
    }

    fn map(&mut self, map: &Map) {
        let hash = matches!(
            map.kind,
            MapKind::Hash | MapKind::PerCpuHash | MapKind::LruHash | MapKind::LruPerCpuHash
        );
        let Some(key) = map.key.as_ref().filter(|_| hash) else {
            return;
        };
        if key.size() <= LONGEST_OLD_KEY || self.kernel.is_since("5.11") {
            return;
        }
        let name = &map.name;
        match key.can_be_cut(LONGEST_OLD_KEY) {
            true => self.note(
                Verdict::Fallback,
                None,
                format!(
                    "keys end after {LONGEST_OLD_KEY} bytes (more came with Linux 5.11): strings in {name} that differ only after that are one key"
                ),
            ),
            false => self.note(
                Verdict::Fails,
                None,
                format!(
                    "the keys of {name} need {} bytes, and there is room for {LONGEST_OLD_KEY} (more came with Linux 5.11)",
                    key.size()
                ),
            ),
        }
    }
}

/// `bpf_loop`, by the list of the kernel that btc carries with it.
fn helper_name(number: u32) -> String {
    let known = reference::helper(number);
    known.unwrap_or_else(|| format!("BPF helper number {number}"))
}
