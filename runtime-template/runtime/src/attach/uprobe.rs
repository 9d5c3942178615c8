//! `uprobe` and `uretprobe`: the binary, its symbols, lines and file offsets are looked up on the target.

use std::path::Path;

use btc_abi::{Attach, Probe, Signature, UserPlace};
use libbpf_rs::OpenProgramMut;

use super::{Attached, Attaching, Place, Provider, Site, uprobe_multi, user};
use crate::elf::{self, Function};
use crate::library::{self, Found};
use crate::target::Target;
use crate::{Context, Error, pattern, suggest};

/// See [`Provider`].
pub struct Uprobe;

impl Provider for Uprobe {
    fn handles(&self, attach: &Attach) -> bool {
        matches!(attach, Attach::Uprobe { .. } | Attach::Uretprobe { .. })
    }

    fn find(&self, probe: &Probe, target: &Target) -> Result<Vec<Site>, Error> {
        let Some(wanted) = Wanted::of(probe) else {
            return Ok(Vec::new());
        };
        let sites = wanted.sites(target.pid);
        sites.context(|| format!("{}: {}", probe.place, probe.name))
    }

    fn prepare(
        &self,
        probe: &Probe,
        sites: &[Site],
        program: &mut OpenProgramMut<'_>,
        _: &Target,
    ) -> Result<(), Error> {
        let returns = matches!(probe.attach, Attach::Uretprobe { .. });
        if returns && asks_for_function(program) && !uprobe_multi::is_there() {
            return Err(Error::new(format!(
                "{}: `func` in a uretprobe needs Linux 6.6, whose bpf_get_func_ip knows user functions; this is {}: use `probe`",
                probe.name,
                crate::target::kernel_release()
            )));
        }
        uprobe_multi::prepare(sites, program);
        Ok(())
    }

    fn attach(&self, attaching: &Attaching<'_>, sites: &[Site]) -> Attached {
        let returns = matches!(attaching.probe.attach, Attach::Uretprobe { .. });
        user::attach(attaching, sites, returns)
    }
}

/// Whether a program calls bpf_get_func_ip.
fn asks_for_function(program: &OpenProgramMut<'_>) -> bool {
    const CALL: u8 = 0x85;
    let calls = program
        .insns()
        .iter()
        .filter(|i| i.code == CALL && i.src_reg() == 0);
    calls
        .into_iter()
        .any(|call| call.imm == libbpf_sys::BPF_FUNC_get_func_ip as i32)
}

/// What a probe of the manifest asks for.
struct Wanted<'a> {
    probe: &'a Probe,
    kind: &'static str,
    binary: &'a str,
    place: &'a UserPlace,
    signature: Option<&'a Signature>,
}

/// A place in one binary: its name where a pattern matched it, and its address.
type Address = (Option<String>, u64);

impl<'a> Wanted<'a> {
    fn of(probe: &'a Probe) -> Option<Self> {
        let (kind, binary, place, signature) = match &probe.attach {
            Attach::Uprobe {
                binary,
                place,
                signature,
            } => ("uprobe", binary, place, signature.as_ref()),
            Attach::Uretprobe { binary, place } => ("uretprobe", binary, place, None),
            _ => return None,
        };
        Some(Wanted {
            probe,
            kind,
            binary,
            place,
            signature,
        })
    }

    fn sites(&self, pid: Option<i32>) -> Result<Vec<Site>, Error> {
        let files = library::resolve_all(self.binary, pid)?;
        if !pattern::is_pattern(self.binary) {
            let sites = files.iter().map(|file| self.in_file(file));
            return Ok(sites.collect::<Result<Vec<_>, _>>()?.concat());
        }
        // Not everything that a pattern matches has the function.
        let sites = files
            .iter()
            .flat_map(|file| self.in_file(file).unwrap_or_default());
        let sites: Vec<Site> = sites.collect();
        match sites.is_empty() {
            true => Err(Error::new(format!(
                "none of the {} programs and libraries that match `{}` has it",
                files.len(),
                self.binary
            ))),
            false => Ok(sites),
        }
    }

    fn in_file(&self, file: &Found) -> Result<Vec<Site>, Error> {
        let binary = elf::Binary::open(&file.path)?;
        let addresses = match self.place {
            UserPlace::Function { symbol, .. } if pattern::is_pattern(symbol) => {
                matching(&binary, symbol)?
            }
            UserPlace::Function {
                symbol,
                offset,
                bounded,
            } => self.in_function(&binary, symbol, *offset, *bounded)?,
            UserPlace::Address { address, bounded } => at_address(&binary, *address, *bounded)?,
            UserPlace::Cpp { name } => by_written_name(&binary, name)?,
            UserPlace::Line { file, line, column } => at_line(&binary, file, *line, *column)?,
        };
        let sites = addresses.into_iter().map(|(name, address)| {
            let place = Place::User {
                binary: file.path.clone(),
                offset: binary.file_offset(address)?,
            };
            Ok(Site::new(self.name(file, name), place))
        });
        sites.collect()
    }

    /// As `probe` prints a site: as the script has it, but for what a pattern stands for.
    fn name(&self, file: &Found, found: Option<String>) -> String {
        let place = match (found, self.place) {
            (None, _) if !pattern::is_pattern(self.binary) => return self.probe.name.to_string(),
            (Some(name), UserPlace::Cpp { .. }) => format!(":cpp:{name}"),
            (Some(name), _) => format!(":{name}"),
            // The script's text behind the pattern of binaries.
            (None, _) => self.probe.name[self.kind.len() + 1 + self.binary.len()..].to_owned(),
        };
        format!("{}:{}{place}", self.kind, file.name)
    }

    fn in_function(
        &self,
        binary: &elf::Binary,
        symbol: &str,
        offset: u64,
        bounded: bool,
    ) -> Result<Vec<Address>, Error> {
        let Some(function) = binary.function(symbol)? else {
            return Err(missing(
                binary,
                &format!("function `{symbol}`"),
                Some(symbol),
            ));
        };
        if bounded && offset > 0 {
            refuse_outside(binary.path(), &function, offset)?;
        }
        if let Some(signature) = self.signature {
            check(binary, &function, signature)?;
        }
        Ok(vec![(None, function.address.saturating_add(offset))])
    }
}

/// The functions that a pattern of symbols matches.
fn matching(binary: &elf::Binary, symbol: &str) -> Result<Vec<Address>, Error> {
    let functions = binary.functions(|name| pattern::matches(symbol, name) && !is_part(name))?;
    if functions.is_empty() {
        return Err(missing(
            binary,
            &format!("function that matches `{symbol}`"),
            None,
        ));
    }
    Ok(named(functions))
}

fn named(functions: Vec<Function>) -> Vec<Address> {
    let functions = functions.into_iter();
    functions
        .map(|function| (Some(function.name), function.address))
        .collect()
}

/// A piece of a function that the compiler moved out of the way: jumped to, never called.
fn is_part(name: &str) -> bool {
    name.contains(".cold")
}

fn at_address(binary: &elf::Binary, address: u64, bounded: bool) -> Result<Vec<Address>, Error> {
    if bounded && binary.function_at(address)?.is_none() {
        return Err(Error::new(format!(
            "{}: address {address:#x} is in no function that it has a symbol of: a probe between two instructions breaks the program; a script compiled with --unsafe attaches all the same",
            binary.path().display()
        )));
    }
    Ok(vec![(None, address)])
}

fn refuse_outside(path: &Path, function: &Function, offset: u64) -> Result<(), Error> {
    if offset < function.size {
        return Ok(());
    }
    let has = match function.size {
        0 => "its size is not known".to_owned(),
        size => format!("it has {size} bytes"),
    };
    Err(Error::new(format!(
        "{}: offset {offset} is outside of `{}`: {has}; a script compiled with --unsafe attaches all the same",
        path.display(),
        function.name
    )))
}

/// What is not there, and what may be meant.
fn missing(binary: &elf::Binary, what: &str, name: Option<&str>) -> Error {
    let path = binary.path().display();
    let functions = binary.functions(|_| true).unwrap_or_default();
    if functions.is_empty() {
        return Error::new(format!(
            "{path} has no function symbols (it is stripped): install the debug symbols of this very build, or name an address"
        ));
    }
    let names = functions.iter().map(|function| function.name.as_str());
    match name.and_then(|name| suggest::nearest(name, names)) {
        Some(near) => Error::new(format!("no {what} in {path}; did you mean `{near}`?")),
        None => Error::new(format!("no {what} in {path}")),
    }
}

#[cfg(feature = "symbolize")]
fn by_written_name(binary: &elf::Binary, wanted: &str) -> Result<Vec<Address>, Error> {
    let wanted = crate::demangle::Wanted::new(wanted);
    let mut functions = binary.functions(|name| wanted.fit(name).is_some())?;
    // `f(char*)` is the one function of that name where there is one, and a pattern elsewhere.
    let exact =
        |function: &Function| wanted.fit(&function.name) == Some(crate::demangle::Fit::Exact);
    if functions.iter().any(exact) {
        functions.retain(exact);
    }
    if functions.is_empty() {
        return Err(missing(
            binary,
            &format!("C++ function `{}`", wanted.text()),
            None,
        ));
    }
    if !pattern::is_pattern(wanted.text()) {
        return Ok(functions.into_iter().map(|f| (None, f.address)).collect());
    }
    for function in &mut functions {
        function.name = crate::demangle::demangle(&function.name);
    }
    Ok(named(functions))
}

#[cfg(not(feature = "symbolize"))]
fn by_written_name(_: &elf::Binary, _: &str) -> Result<Vec<Address>, Error> {
    Err(Error::new("no demangler was linked in: a bug of btc"))
}

#[cfg(feature = "dwarf")]
fn at_line(
    binary: &elf::Binary,
    file: &str,
    line: u32,
    column: u32,
) -> Result<Vec<Address>, Error> {
    let debug = crate::dwarf::DebugInfo::of(binary)?;
    Ok(vec![(None, debug.address_of_line(file, line, column)?)])
}

#[cfg(feature = "dwarf")]
fn check(binary: &elf::Binary, function: &Function, signature: &Signature) -> Result<(), Error> {
    crate::dwarf::signature::check(binary, function, signature)
}

#[cfg(not(feature = "dwarf"))]
fn at_line(_: &elf::Binary, _: &str, _: u32, _: u32) -> Result<Vec<Address>, Error> {
    Err(Error::new(
        "no reader of debug information was linked in: a bug of btc",
    ))
}

#[cfg(not(feature = "dwarf"))]
fn check(_: &elf::Binary, _: &Function, _: &Signature) -> Result<(), Error> {
    Err(Error::new(
        "no reader of debug information was linked in: a bug of btc",
    ))
}
