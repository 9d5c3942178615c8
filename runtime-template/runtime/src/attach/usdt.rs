//! `usdt`: markers of programs and libraries, read from the notes of the target's binaries. What tells a program where a
//! site keeps its arguments is an element of a map, found by the attach cookie; the kernel counts a marker's semaphore up
//! in every process that the probe is of, and down again.

mod arguments;
pub mod notes;

use std::path::Path;

use btc_abi::usdt::MOST_ARGUMENTS;
use btc_abi::{Attach, Probe};
use libbpf_rs::OpenProgramMut;

use self::arguments::{Machine, Surroundings};
use self::notes::Marker;
use super::{Attached, Attaching, Place, Provider, Site, uprobe_multi, user};
use crate::library::Found;
use crate::target::Target;
use crate::{Context, Error, elf, library, pattern, suggest};

/// See [`Provider`].
pub struct Usdt;

const MACHINE: Machine = if cfg!(target_arch = "aarch64") {
    Machine::Arm64
} else {
    Machine::X86_64
};

impl Provider for Usdt {
    fn handles(&self, attach: &Attach) -> bool {
        matches!(attach, Attach::Usdt { .. })
    }

    fn find(&self, probe: &Probe, target: &Target) -> Result<Vec<Site>, Error> {
        let Some(wanted) = Wanted::of(probe) else {
            return Ok(Vec::new());
        };
        let what = || format!("{}: {}", probe.place, probe.name);
        let files = files(wanted.binary, target).context(what)?;
        let mut sites = Vec::new();
        let mut others = Vec::new();
        for file in &files {
            match elf::Binary::open(&file.path) {
                Ok(binary) => {
                    let before = sites.len();
                    let read = wanted.in_file(file, &binary, &mut sites, &mut others);
                    read.and_then(|()| wanted.check_namespace(&sites[before..]))
                        .context(what)?;
                }
                // What a pattern matches beside binaries is not meant.
                Err(_) if pattern::is_pattern(wanted.binary) => {}
                Err(error) => return Err(Error::with_source(what(), error)),
            }
        }
        if sites.is_empty() {
            return Err(Error::with_source(
                what(),
                missing(&wanted, &files, &others),
            ));
        }
        Ok(sites)
    }

    fn element(&self, site: &Site, name: u32) -> Option<Vec<u8>> {
        match &site.place {
            Place::Marker {
                arguments: Some(known),
                ..
            } => {
                let mut element = **known;
                element.name = name;
                Some(element.to_bytes().to_vec())
            }
            _ => None,
        }
    }

    fn prepare(
        &self,
        _: &Probe,
        sites: &[Site],
        program: &mut OpenProgramMut<'_>,
        _: &Target,
    ) -> Result<(), Error> {
        uprobe_multi::prepare(sites, program);
        Ok(())
    }

    fn attach(&self, attaching: &Attaching<'_>, sites: &[Site]) -> Attached {
        user::attach(attaching, sites, false)
    }
}

/// A probe's parts.
struct Wanted<'a> {
    binary: &'a str,
    /// `None`: the only one that there is.
    namespace: Option<&'a str>,
    name: &'a str,
    /// Bit N: `argN` is read.
    arguments: u32,
}

impl<'a> Wanted<'a> {
    fn of(probe: &'a Probe) -> Option<Self> {
        let Attach::Usdt {
            binary,
            namespace,
            name,
            arguments,
        } = &probe.attach
        else {
            return None;
        };
        Some(Wanted {
            binary,
            namespace: namespace.as_deref(),
            name,
            arguments: *arguments,
        })
    }

    fn takes(&self, marker: &Marker) -> bool {
        pattern::matches(self.namespace.unwrap_or("*"), &marker.namespace)
            && pattern::matches(self.name, &marker.name)
    }

    /// Adds a file's markers: those that are wanted, and the names of the others.
    fn in_file(
        &self,
        file: &Found,
        binary: &elf::Binary,
        sites: &mut Vec<Site>,
        others: &mut Vec<String>,
    ) -> Result<(), Error> {
        for marker in notes::read(binary)? {
            if self.takes(&marker) {
                sites.push(self.site(file, binary, &marker)?);
            } else {
                others.push(format!("{}:{}", marker.namespace, marker.name));
            }
        }
        Ok(())
    }

    /// A plain name without a namespace must be clear.
    fn check_namespace(&self, sites: &[Site]) -> Result<(), Error> {
        let Some(first) = sites.first() else {
            return Ok(());
        };
        let other = sites.iter().find(|site| site.name != first.name);
        match other.filter(|_| self.namespace.is_none() && !pattern::is_pattern(self.name)) {
            None => Ok(()),
            Some(other) => Err(Error::new(format!(
                "several namespaces have it: name one ({}, {}) or all of them with `*`",
                first.name, other.name
            ))),
        }
    }

    fn site(&self, file: &Found, binary: &elf::Binary, marker: &Marker) -> Result<Site, Error> {
        let name = format!("usdt:{}:{}:{}", file.name, marker.namespace, marker.name);
        let arguments = match self.arguments {
            0 => None,
            _ => Some(Box::new(
                self.arguments_of(binary, marker).context(|| &name)?,
            )),
        };
        let place = Place::Marker {
            binary: file.path.clone(),
            offset: binary.file_offset(marker.address)?,
            semaphore: match marker.semaphore {
                0 => 0,
                address => binary.data_offset(address)?,
            },
            arguments,
        };
        Ok(Site::new(name, place))
    }

    /// Where a marker keeps its arguments; an error where the program reads one that it lacks or that can't be read.
    fn arguments_of(
        &self,
        binary: &elf::Binary,
        marker: &Marker,
    ) -> Result<btc_abi::usdt::Site, Error> {
        let surroundings = Surroundings {
            machine: MACHINE,
            address: marker.address,
            symbol: &|name| binary.address(name).ok().flatten(),
        };
        let parsed = arguments::parse(&marker.arguments, &surroundings);
        let mut known = btc_abi::usdt::Site::default();
        for index in (0..MOST_ARGUMENTS).filter(|index| self.arguments & (1 << index) != 0) {
            known.arguments[index] = match parsed.get(index) {
                Some(Ok(argument)) => *argument,
                Some(Err(why)) => return Err(Error::new(format!("arg{index} is {why}"))),
                None => return Err(Error::new(lacks(index, parsed.len()))),
            };
        }
        Ok(known)
    }
}

fn lacks(index: usize, count: usize) -> String {
    match count {
        0 => format!("no arg{index}: the probe has no arguments"),
        1 => format!("no arg{index}: the probe has one argument, arg0"),
        _ => format!(
            "no arg{index}: the probe has {count} arguments, arg0 to arg{}",
            count - 1
        ),
    }
}

/// The binaries that are meant.
fn files(binary: &str, target: &Target) -> Result<Vec<Found>, Error> {
    if !pattern::is_pattern(binary) || binary.contains('/') {
        return library::resolve_all(binary, target.pid);
    }
    if let Some(program) = &target.program {
        let path = library::resolve(program, None)?;
        let name = path.display().to_string();
        let found = of_process(binary, vec![Found { path, name }]);
        let without = || format!("`{program}`, the program of -c, does not match `{binary}`");
        return found.ok_or_else(|| Error::new(without()));
    }
    match target.pid {
        Some(pid) => {
            let without = || format!("process {pid} maps no binary that matches `{binary}`");
            of_process(binary, library::mapped(pid)?).ok_or_else(|| Error::new(without()))
        }
        None if binary.chars().all(|c| c == '*') => Err(Error::new(
            "all binaries are those of one process: choose it with -p or -c",
        )),
        None => library::resolve_all(binary, None),
    }
}

fn of_process(binary: &str, files: Vec<Found>) -> Option<Vec<Found>> {
    let matching = files.into_iter().filter(|file| {
        let name = Path::new(&file.name).file_name();
        name.is_some_and(|name| pattern::matches(binary, &name.to_string_lossy()))
    });
    let matching: Vec<_> = matching.collect();
    (!matching.is_empty()).then_some(matching)
}

/// Why there is no site.
fn missing(wanted: &Wanted<'_>, files: &[Found], others: &[String]) -> Error {
    let place = match files {
        [file] => file.path.display().to_string(),
        files => format!("{} binaries", files.len()),
    };
    if others.is_empty() {
        return Error::new(format!(
            "{place} has no usdt probes (no notes in .note.stapsdt)"
        ));
    }
    let looked_for = match wanted.namespace {
        None => wanted.name.to_owned(),
        Some(namespace) => format!("{namespace}:{}", wanted.name),
    };
    let compared = others.iter().map(|other| match wanted.namespace {
        None => other
            .split_once(':')
            .map_or(other.as_str(), |(_, name)| name),
        Some(_) => other,
    });
    let hint = match suggest::nearest(&looked_for, compared) {
        Some(name) => format!("; did you mean `{name}`?"),
        None => format!("; it has {}", listed(others)),
    };
    Error::new(format!("{place} has no usdt probe `{looked_for}`{hint}"))
}

/// Some of the names.
fn listed(names: &[String]) -> String {
    const MOST: usize = 8;
    let mut names: Vec<_> = names.iter().map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    let more = if names.len() > MOST { ", …" } else { "" };
    names.truncate(MOST);
    format!("{}{more}", names.join(", "))
}
