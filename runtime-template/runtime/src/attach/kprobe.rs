//! `kprobe` and `kretprobe`: a plain name goes to the kernel as it is; a pattern is matched on the target's lists and
//! attached by one link where the kernel has such, else function by function.

use std::collections::HashSet;
use std::ffi::CStr;
use std::os::fd::BorrowedFd;

use btc_abi::{Attach, Probe};
use libbpf_rs::{OpenProgramMut, ProgramAttachType};
use perf_event_open_sys::bindings::perf_event_attr;

use super::perf::{self, Scope};
use super::{Attached, Attaching, Attachment, Place, Provider, Site, kprobe_multi, refusal};
use crate::symbols::{self, Symbol};
use crate::target::{Target, c_string};
use crate::{Error, pattern};

/// See [`Provider`].
pub struct Kprobe;

impl Provider for Kprobe {
    fn handles(&self, attach: &Attach) -> bool {
        matches!(attach, Attach::Kprobe { .. } | Attach::Kretprobe { .. })
    }

    fn find(&self, probe: &Probe, target: &Target) -> Result<Vec<Site>, Error> {
        match Wanted::of(probe) {
            None => Ok(Vec::new()),
            Some(wanted) if wanted.is_pattern() => matching(&wanted, target),
            Some(wanted) if wanted.function.is_empty() => Ok(vec![Site::new(
                &*probe.name,
                Place::Kernel {
                    function: String::new(),
                    offset: 0,
                    address: wanted.offset,
                },
            )]),
            Some(wanted) => Ok(vec![Site::new(
                &*probe.name,
                Place::Kernel {
                    function: wanted.symbol(),
                    offset: wanted.offset,
                    address: 0,
                },
            )]),
        }
    }

    fn prepare(
        &self,
        probe: &Probe,
        _: &[Site],
        program: &mut OpenProgramMut<'_>,
        target: &Target,
    ) -> Result<(), Error> {
        if is_multi(probe, target) {
            program.set_attach_type(ProgramAttachType::KprobeMulti);
        }
        Ok(())
    }

    fn attach(&self, attaching: &Attaching<'_>, sites: &[Site]) -> Attached {
        let returns = is_return(attaching.probe);
        if is_multi(attaching.probe, attaching.target) {
            return kprobe_multi::attach(attaching, sites, returns);
        }
        let mut attribute = match perf::dynamic("kprobe", returns) {
            Ok(attribute) => attribute,
            Err(error) => return Attached::nowhere(attaching.probe, error),
        };
        Attached::each(sites, |site| {
            let Place::Kernel {
                function,
                offset,
                address,
            } = &site.place
            else {
                return Ok(Vec::new());
            };
            let name = c_string(function.as_str())?;
            let at = match address {
                0 => At::Name(&name),
                address => At::Address(*address),
            };
            match single(&mut attribute, at, *offset, attaching.fd, site.cookie) {
                Ok(attachment) => Ok(vec![attachment]),
                // Linux 6.6: the name alone does not tell which.
                Err(error) if error.raw_os_error() == Some(libc::EADDRNOTAVAIL) => {
                    every(&mut attribute, site, function, *offset, attaching.fd)
                }
                Err(error) => Err(refusal::explained(site, error)),
            }
        })
    }
}

fn is_return(probe: &Probe) -> bool {
    matches!(probe.attach, Attach::Kretprobe { .. })
}

/// Whether the probe's program is one for kprobe.multi links, which no perf event takes.
fn is_multi(probe: &Probe, target: &Target) -> bool {
    Wanted::of(probe).is_some_and(|wanted| wanted.is_pattern()) && target.has_kprobe_multi()
}

/// How the kernel finds a function.
enum At<'a> {
    Name(&'a CStr),
    Address(u64),
}

/// One perf event at one place.
fn single(
    attribute: &mut perf_event_attr,
    at: At<'_>,
    offset: u64,
    program: BorrowedFd<'_>,
    cookie: u64,
) -> std::io::Result<Attachment> {
    match at {
        At::Name(name) => {
            attribute.__bindgen_anon_3.kprobe_func = name.as_ptr() as u64;
            attribute.__bindgen_anon_4.probe_offset = offset;
        }
        At::Address(address) => {
            attribute.__bindgen_anon_3.kprobe_func = 0;
            attribute.__bindgen_anon_4.kprobe_addr = address + offset;
        }
    }
    let scope = Scope { pid: -1, cpu: 0 };
    perf::attach(attribute, scope, program, cookie)
}

/// All functions of one name, static ones of different files.
fn every(
    attribute: &mut perf_event_attr,
    site: &Site,
    function: &str,
    offset: u64,
    program: BorrowedFd<'_>,
) -> Result<Vec<Attachment>, Error> {
    let addresses = symbols::addresses([function].into_iter())?;
    let addresses = addresses.into_values().flatten();
    let attachments = addresses.map(|address| {
        single(
            attribute,
            At::Address(address),
            offset,
            program,
            site.cookie,
        )
        .map_err(|error| refusal::explained(site, error))
    });
    let attachments: Vec<_> = attachments.collect::<Result<_, _>>()?;
    if attachments.is_empty() {
        return Err(Error::new(format!(
            "attach {}: several functions have this name, and /proc/kallsyms hides their addresses",
            site.name
        )));
    }
    Ok(attachments)
}

struct Wanted<'a> {
    module: Option<&'a str>,
    function: &'a str,
    offset: u64,
    returns: bool,
}

impl<'a> Wanted<'a> {
    fn of(probe: &'a Probe) -> Option<Self> {
        match &probe.attach {
            Attach::Kprobe {
                module,
                function,
                offset,
            } => Some(Wanted {
                module: module.as_deref(),
                function,
                offset: *offset,
                returns: false,
            }),
            Attach::Kretprobe { module, function } => Some(Wanted {
                module: module.as_deref(),
                function,
                offset: 0,
                returns: true,
            }),
            _ => None,
        }
    }

    fn is_pattern(&self) -> bool {
        pattern::is_pattern(self.function) || self.module.is_some_and(pattern::is_pattern)
    }

    /// As the kernel reads it; `vmlinux` is no module to it.
    fn symbol(&self) -> String {
        match self.module.filter(|module| *module != "vmlinux") {
            Some(module) => format!("{module}:{}", self.function),
            None => self.function.to_owned(),
        }
    }

    fn fits(&self, symbol: &Symbol<'_>) -> bool {
        let module = match (self.module, symbol.module) {
            (Some(wanted), Some(module)) => pattern::matches(wanted, module),
            (Some(wanted), None) => pattern::matches(wanted, "vmlinux"),
            (None, _) => true,
        };
        module && pattern::matches(self.function, symbol.function)
    }
}

/// A site for each function that matches: those that ftrace can trace, at every address where static functions share
/// a name. Where ftrace's list can't be read, what kallsyms has, functions that can't be probed among them.
fn matching(wanted: &Wanted<'_>, target: &Target) -> Result<Vec<Site>, Error> {
    let mut traceable = Some(HashSet::new());
    let listed = symbols::for_each_traceable(target.tracefs()?, |symbol| {
        if let Some(names) = &mut traceable
            && wanted.fits(symbol)
        {
            names.insert(symbol.name());
        }
    });
    if listed.is_err() {
        traceable = None;
    }
    let kind = if wanted.returns {
        "kretprobe"
    } else {
        "kprobe"
    };
    let mut sites = Vec::new();
    if traceable.as_ref().is_some_and(HashSet::is_empty) {
        return Ok(sites);
    }
    symbols::for_each(|symbol| {
        if !wanted.fits(symbol) {
            return;
        }
        let function = symbol.name();
        let wanted = match &traceable {
            Some(names) => names.contains(&function),
            None => !symbol.function.contains('.') && !symbol.function.starts_with("__pfx_"),
        };
        if wanted {
            let name = format!("{kind}:{function}");
            let place = Place::Kernel {
                function,
                offset: 0,
                address: symbol.address,
            };
            sites.push(Site::new(name, place));
        }
    })?;
    sites.sort_by(|a: &Site, b| a.name.cmp(&b.name));
    Ok(sites)
}
