//! `fentry` and `fexit`: trampolines of kernel functions, found in the target's BTF. A program is loaded for one
//! function, so each match of a pattern has a copy of it.

use std::collections::HashSet;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use btc_abi::{Attach, Probe};
use libbpf_rs::{AsRawLibbpf, OpenProgramMut};

use super::{Attached, Attaching, Attachment, BtfFunction, Place, Provider, Site};
use crate::btf::{self, Types};
use crate::target::Target;
use crate::{Context, Error, pattern, symbols};

/// See [`Provider`].
pub struct Fentry;

impl Provider for Fentry {
    fn handles(&self, attach: &Attach) -> bool {
        matches!(attach, Attach::Fentry { .. } | Attach::Fexit { .. })
    }

    fn find(&self, probe: &Probe, target: &Target) -> Result<Vec<Site>, Error> {
        let Some(wanted) = Wanted::of(probe) else {
            return Ok(Vec::new());
        };
        let kernel = Types::kernel().context(|| format!("{}: {}", probe.place, probe.name))?;
        if wanted.is_pattern() {
            return matching(&wanted, &kernel, target);
        }
        let found = plain(&wanted, &kernel);
        let site = found.map(|function| Site::new(&*probe.name, Place::Btf(function)));
        Ok(site.into_iter().collect())
    }

    fn prepare(
        &self,
        _: &Probe,
        first: &Site,
        program: &mut OpenProgramMut<'_>,
        _: &Target,
    ) -> Result<(), Error> {
        let Place::Btf(function) = &first.place else {
            return Ok(());
        };
        // SAFETY: a live program.
        let attach_type = unsafe {
            libbpf_sys::bpf_program__expected_attach_type(program.as_libbpf_object().as_ptr())
        };
        btf::try_load(function, attach_type).context(|| format!("attach {}", first.name))?;
        set_target(function, program).context(|| format!("attach {}", first.name))
    }

    fn attach(&self, attaching: &Attaching<'_>, sites: &[Site]) -> Attached {
        Attached::each(sites, |site| {
            // SAFETY: no name: the program knows its target.
            let link = unsafe {
                libbpf_sys::bpf_raw_tracepoint_open(std::ptr::null(), attaching.fd.as_raw_fd())
            };
            if link < 0 {
                let source = std::io::Error::from_raw_os_error(-link);
                return Err(Error::with_source(format!("attach {}", site.name), source));
            }
            // SAFETY: the call succeeded, so the descriptor is open and ours alone.
            Ok(vec![Attachment::Link(unsafe {
                OwnedFd::from_raw_fd(link)
            })])
        })
    }
}

/// What libbpf loads the object's own program for. It reads `module:function`, and a name alone as the kernel's first.
fn set_target(function: &BtfFunction, program: &mut OpenProgramMut<'_>) -> Result<(), Error> {
    let fd = match &function.object {
        Some(object) if function.of_program => object.as_raw_fd(),
        _ => 0,
    };
    program
        .set_attach_target(fd, Some(function.name.clone()))
        .context(|| "name the function")
}

struct Wanted<'a> {
    module: Option<&'a str>,
    function: &'a str,
    kind: &'static str,
}

impl<'a> Wanted<'a> {
    fn of(probe: &'a Probe) -> Option<Self> {
        let (module, function, kind) = match &probe.attach {
            Attach::Fentry { module, function } => (module, function, "fentry"),
            Attach::Fexit { module, function } => (module, function, "fexit"),
            _ => return None,
        };
        Some(Wanted {
            module: module.as_deref(),
            function,
            kind,
        })
    }

    fn is_pattern(&self) -> bool {
        pattern::is_pattern(self.function) || self.module.is_some_and(pattern::is_pattern)
    }

    fn fits_module(&self, module: &str) -> bool {
        self.module
            .is_none_or(|wanted| pattern::matches(wanted, module))
    }
}

/// The kernel's function of that name, else a module's.
fn plain(wanted: &Wanted<'_>, kernel: &Types) -> Option<BtfFunction> {
    if wanted.fits_module("vmlinux")
        && let Some(id) = kernel.function(wanted.function)
    {
        return Some(kernel.traced(id, wanted.function));
    }
    let modules = kernel.modules(|module| wanted.fits_module(module));
    modules.iter().find_map(|types| {
        let id = types.function(wanted.function)?;
        Some(types.traced(id, &full_name(types, wanted.function)))
    })
}

fn full_name(types: &Types, function: &str) -> String {
    match &types.module {
        Some(module) => format!("{module}:{function}"),
        None => function.to_owned(),
    }
}

/// Every function that matches and that ftrace can trace, where it says so.
fn matching(wanted: &Wanted<'_>, kernel: &Types, target: &Target) -> Result<Vec<Site>, Error> {
    let mut traceable = HashSet::new();
    let listed = symbols::for_each_traceable(target.tracefs()?, |symbol| {
        if pattern::matches(wanted.function, symbol.function) {
            traceable.insert(symbol.name());
        }
    });
    let mut sites = Vec::new();
    let mut add = |types: &Types| {
        types.for_each_function(|id, function| {
            if !pattern::matches(wanted.function, function) {
                return;
            }
            let full = full_name(types, function);
            if listed.is_err() || traceable.contains(&full) {
                let name = format!("{}:{full}", wanted.kind);
                sites.push(Site::new(name, Place::Btf(types.traced(id, &full))));
            }
        });
    };
    if wanted.fits_module("vmlinux") {
        add(kernel);
    }
    kernel
        .modules(|module| wanted.fits_module(module))
        .iter()
        .for_each(add);
    sites.sort_by(|a: &Site, b| a.name.cmp(&b.name));
    Ok(sites)
}
