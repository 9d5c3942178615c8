//! The manifest's probes and the target → a list of what to attach, before anything is attached. Missing probes are
//! decided here, probe names are numbered here, `--dry-run` prints it.

use std::collections::HashMap;

use btc_abi::{Attach, Config, Manifest, MissingProbes, Probe};

use crate::attach::{Place, Provider, Site};
use crate::target::Target;
use crate::{Error, Tracer};

/// What will be attached.
pub struct Plan {
    /// In the manifest's order, those without a site included.
    pub probes: Vec<Planned>,
    /// Those of the manifest's probes, then one for each match of a pattern: indexed by [`btc_abi::Value::ProbeName`].
    pub names: Vec<String>,
    /// Elements of the map that programs look sites up in, by cookie ([`Provider::element`]).
    pub elements: Vec<Vec<u8>>,
}

/// One probe of the plan.
pub struct Planned {
    pub probe: &'static Probe,
    pub provider: &'static dyn Provider,
    /// Empty: missing on this target, the program is not loaded.
    pub sites: Vec<Site>,
    /// Not left out by the run's mode.
    pub wanted: bool,
}

/// What the executable was started for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Trace,
    /// `--test`: `begin`, tests, `end`.
    Test,
    /// `--bench`: `begin`, benches, `end`.
    Bench,
}

impl Mode {
    /// Whether a probe is not left out.
    fn wants(self, probe: &Probe) -> bool {
        match probe.attach {
            Attach::Begin | Attach::End => true,
            Attach::Test { .. } => self == Mode::Test,
            Attach::Bench { .. } => self == Mode::Bench,
            _ => self == Mode::Trace,
        }
    }

    /// Whether a script has probes that no other mode has.
    #[must_use]
    pub fn is_of(self, manifest: &Manifest) -> bool {
        (manifest.probes.iter()).any(|probe| self.wants(probe) && !is_edge(probe))
    }
}

fn is_edge(probe: &Probe) -> bool {
    matches!(probe.attach, Attach::Begin | Attach::End)
}

/// Finds the sites of every probe that the mode wants.
pub fn make(
    tracer: &Tracer,
    config: &Config,
    target: &Target,
    mode: Mode,
    warnings: bool,
) -> Result<Plan, Error> {
    let mut plan = Plan::empty(tracer.manifest);
    let mut numbers = Numbers::of(&plan.names);
    let mut count = 0;
    for probe in tracer.manifest.probes.iter() {
        let provider = provider(tracer, probe)?;
        if !mode.wants(probe) {
            plan.probes.push(Planned::unwanted(probe, provider));
            continue;
        }
        let mut sites = match provider.find(probe, target) {
            Ok(sites) => sites,
            Err(error) if config.missing_probes == MissingProbes::Error => return Err(error),
            Err(error) => {
                missing(config, warnings, error)?;
                count += 1;
                plan.probes.push(Planned {
                    wanted: true,
                    ..Planned::unwanted(probe, provider)
                });
                continue;
            }
        };
        if sites.is_empty() {
            let error = Error::new(format!(
                "{}: nothing to attach {} to: this machine has no such probe",
                probe.place, probe.name
            ));
            missing(config, warnings, error)?;
        }
        for site in &mut sites {
            site.cookie = numbers.cookie(&mut plan, provider, site);
        }
        count += sites.len();
        plan.probes.push(Planned {
            probe,
            provider,
            sites,
            wanted: true,
        });
    }
    if count as u64 > config.max_probes {
        return Err(Error::new(format!(
            "{count} probes are more than max_probes allows ({}); BTC_MAX_PROBES={count} raises it",
            config.max_probes
        )));
    }
    Ok(plan)
}

/// The probes of all modes, and why those are without a site that have none on this target.
pub fn everything(tracer: &Tracer, target: &Target) -> Result<(Plan, Vec<Error>), Error> {
    let mut plan = Plan::empty(tracer.manifest);
    let mut numbers = Numbers::of(&plan.names);
    let mut missing = Vec::new();
    for probe in tracer.manifest.probes.iter() {
        let provider = provider(tracer, probe)?;
        let mut sites = provider.find(probe, target).unwrap_or_else(|error| {
            missing.push(error);
            Vec::new()
        });
        for site in &mut sites {
            site.cookie = numbers.cookie(&mut plan, provider, site);
        }
        plan.probes.push(Planned {
            probe,
            provider,
            sites,
            wanted: true,
        });
    }
    Ok((plan, missing))
}

/// What was numbered already: probes that one name stands for share its number, so that they count as one.
struct Numbers {
    names: HashMap<String, u32>,
    elements: HashMap<Vec<u8>, u64>,
}

impl Numbers {
    /// Numbers of the manifest's own names: of those that are alike, the first.
    fn of(names: &[String]) -> Self {
        let mut known = HashMap::new();
        for (number, name) in (0..).zip(names) {
            known.entry(name.clone()).or_insert(number);
        }
        Numbers {
            names: known,
            elements: HashMap::new(),
        }
    }

    /// A site's cookie: the number of its name, or of its element.
    fn cookie(&mut self, plan: &mut Plan, provider: &dyn Provider, site: &Site) -> u64 {
        let name = match self.names.get(&site.name) {
            Some(known) => *known,
            None => {
                let number = plan.names.len() as u32;
                plan.names.push(site.name.clone());
                self.names.insert(site.name.clone(), number);
                number
            }
        };
        let Some(element) = provider.element(site, name) else {
            return u64::from(name);
        };
        if plan.elements.is_empty() {
            // A cookie of 0 is none.
            plan.elements.push(vec![0; element.len()]);
        }
        let next = plan.elements.len() as u64;
        *self.elements.entry(element).or_insert_with_key(|element| {
            plan.elements.push(element.clone());
            next
        })
    }
}

/// Applies `missing_probes` to a probe that the target does not have.
pub fn missing(config: &Config, warnings: bool, error: Error) -> Result<(), Error> {
    match config.missing_probes {
        MissingProbes::Error => Err(error),
        MissingProbes::Warn => {
            if warnings {
                eprintln!("WARNING: {error}");
            }
            Ok(())
        }
        MissingProbes::Ignore => Ok(()),
    }
}

/// The error of a run without a single site.
#[must_use]
pub fn nothing_to_attach(manifest: &Manifest) -> Error {
    let trials = match (Mode::Test.is_of(manifest), Mode::Bench.is_of(manifest)) {
        (false, false) => {
            return Error::new("no probe of the script can be attached on this machine");
        }
        (true, false) => "--test runs its tests",
        (false, true) => "--bench runs its benches",
        (true, true) => "--test runs its tests, --bench its benches",
    };
    let name = &manifest.name;
    Error::new(format!("{name} has nothing to trace here; {trials}"))
}

fn provider(tracer: &Tracer, probe: &Probe) -> Result<&'static dyn Provider, Error> {
    (tracer.providers.iter().copied())
        .find(|provider| provider.handles(&probe.attach))
        .ok_or_else(|| {
            Error::new(format!(
                "{}: no provider for {} was linked in: a bug of btc",
                probe.place, probe.name
            ))
        })
}

impl Planned {
    fn unwanted(probe: &'static Probe, provider: &'static dyn Provider) -> Self {
        Planned {
            probe,
            provider,
            sites: Vec::new(),
            wanted: false,
        }
    }

    /// When the probe's program comes into play.
    #[must_use]
    pub fn phase(&self) -> Phase {
        Phase::of(self.probe)
    }
}

impl Plan {
    /// Nothing yet, but the names of the manifest's probes.
    fn empty(manifest: &Manifest) -> Self {
        let names = manifest.probes.iter().map(|probe| probe.name.to_string());
        Plan {
            probes: Vec::new(),
            names: names.collect(),
            elements: Vec::new(),
        }
    }

    /// How many sites there are.
    #[must_use]
    pub fn sites(&self) -> usize {
        self.probes.iter().map(|planned| planned.sites.len()).sum()
    }

    /// How many sites are neither run before the others attach nor attached.
    #[must_use]
    pub fn sites_of_later_phases(&self) -> usize {
        let later = self
            .probes
            .iter()
            .filter(|planned| !matches!(planned.phase(), Phase::Begin | Phase::Trace));
        later.map(|planned| planned.sites.len()).sum()
    }

    /// The signals of `self` probes.
    #[must_use]
    pub fn traced_signals(&self) -> Vec<i32> {
        let wanted = self.probes.iter().filter(|planned| planned.wanted);
        wanted
            .filter_map(|planned| match planned.phase() {
                Phase::Signal(signal) => Some(signal),
                _ => None,
            })
            .collect()
    }

    /// Whether there is nothing to trace but what iterators give at once.
    #[must_use]
    pub fn is_iteration(&self) -> bool {
        let mut traced = (self.of(Phase::Trace))
            .filter(|planned| !planned.sites.is_empty())
            .peekable();
        traced.peek().is_some()
            && traced.all(|planned| matches!(planned.probe.attach, Attach::Iter { .. }))
    }

    /// The probes of one phase.
    pub fn of(&self, wanted: Phase) -> impl Iterator<Item = &Planned> {
        self.probes
            .iter()
            .filter(move |planned| planned.phase() == wanted)
    }

    /// One name a line, for `--list`: what the runtime runs by itself is of no machine. `verbose` adds where each place is
    /// and which line of the script names it.
    #[must_use]
    pub fn list(&self, verbose: bool) -> String {
        use std::fmt::Write as _;
        let mut text = String::new();
        for planned in &self.probes {
            let mut last = "";
            for site in &planned.sites {
                // A marker has a name and several places.
                if matches!(site.place, Place::Run) || (!verbose && site.name == last) {
                    continue;
                }
                last = &site.name;
                let _ = writeln!(text, "{}", site.name);
                if !verbose {
                    continue;
                }
                if let Some(place) = site.place.in_binary() {
                    let (binary, offset) = (place.binary.display(), place.offset);
                    let _ = writeln!(text, "    {binary} at {offset:#x}");
                }
                let _ = writeln!(text, "    {}", planned.probe.place);
            }
        }
        text
    }

    /// Whether a probe has nothing on this machine to attach to.
    #[must_use]
    pub fn is_incomplete(&self) -> bool {
        (self.probes.iter()).any(|planned| planned.wanted && planned.sites.is_empty())
    }

    /// One line a site, for `--dry-run`.
    #[must_use]
    pub fn describe(&self) -> String {
        use std::fmt::Write as _;
        let mut text = String::new();
        for planned in &self.probes {
            for site in &planned.sites {
                let _ = write!(text, "{}", site.name);
                if let Some(place) = site.place.in_binary() {
                    let (binary, offset) = (place.binary.display(), place.offset);
                    let _ = write!(text, " ({binary} at {offset:#x})");
                }
                text.push('\n');
            }
            if planned.sites.is_empty() && planned.wanted {
                let _ = writeln!(text, "{} (missing)", planned.probe.name);
            }
        }
        text
    }
}

/// When a probe's program comes into play.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Begin,
    Trace,
    /// This signal has come.
    Signal(i32),
    Trial,
    End,
}

impl Phase {
    fn of(probe: &Probe) -> Self {
        match probe.attach {
            Attach::Begin => Phase::Begin,
            Attach::End => Phase::End,
            Attach::SelfSignal { signal } => Phase::Signal(signal.cast_signed()),
            Attach::Test { .. } | Attach::Bench { .. } => Phase::Trial,
            _ => Phase::Trace,
        }
    }
}

/// Whether the manifest can be run on a kernel without types.
pub fn check_btf(manifest: &Manifest) -> Result<(), Error> {
    if manifest.needs_btf && !crate::target::has_btf() {
        return Err(Error::new(format!(
            "{} reads kernel types, and this kernel ({}) has no BTF (/sys/kernel/btf/vmlinux; CONFIG_DEBUG_INFO_BTF)",
            manifest.name,
            crate::target::kernel_release()
        )));
    }
    Ok(())
}
