//! `fentry` and `fexit`: trampolines of kernel functions, found in the target's BTF. A program is loaded for one
//! function, so each match of a pattern has a copy of it.

use std::collections::HashSet;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use btc_abi::{Attach, Probe};
use libbpf_rs::{AsRawLibbpf, OpenProgramMut};

use super::{Attached, Attaching, Attachment, BtfFunction, Place, Provider, Site, refusal};
use crate::btf::{self, Types};
use crate::target::Target;
use crate::{Context, Error, pattern, suggest, symbols};

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
        if let Some(id) = wanted.program() {
            return Ok(of_programs(&wanted, id, probe));
        }
        let kernel = (target.types()).context(|| format!("{}: {}", probe.place, probe.name))?;
        if wanted.is_pattern() {
            return matching(&wanted, kernel, target);
        }
        match plain(&wanted, kernel) {
            Some(function) => Ok(vec![Site::new(&*probe.name, Place::Btf(function))]),
            None => Err(Error::new(format!(
                "{}: {}: {}",
                probe.place,
                probe.name,
                no_function(&wanted, kernel)
            ))),
        }
    }

    fn prepare(
        &self,
        _: &Probe,
        sites: &[Site],
        program: &mut OpenProgramMut<'_>,
        _: &Target,
    ) -> Result<(), Error> {
        let [first, ..] = sites else {
            return Ok(());
        };
        let Place::Btf(function) = &first.place else {
            return Ok(());
        };
        // SAFETY: a live program.
        let attach_type = unsafe {
            libbpf_sys::bpf_program__expected_attach_type(program.as_libbpf_object().as_ptr())
        };
        btf::try_load(function, attach_type, None)
            .map_err(|error| refusal::of_trampoline(first, error))?;
        set_target(function, program).context(|| format!("attach {}", first.name))
    }

    fn attach(&self, attaching: &Attaching<'_>, sites: &[Site]) -> Attached {
        Attached::each(sites, |site| {
            // SAFETY: no name: the program knows its target.
            let link = unsafe {
                libbpf_sys::bpf_raw_tracepoint_open(std::ptr::null(), attaching.fd.as_raw_fd())
            };
            if link < 0 {
                let error = std::io::Error::from_raw_os_error(-link);
                return Err(refusal::of_trampoline(site, error));
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

    /// Of BPF programs: of one by its id, or (0) of all.
    fn program(&self) -> Option<u32> {
        match self.module? {
            "bpf" => Some(0),
            module => module.strip_prefix("bpf:")?.parse().ok(),
        }
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

/// What is missing, and the function that may be meant.
fn no_function(wanted: &Wanted<'_>, kernel: &Types) -> String {
    let what = match wanted.module {
        Some(module) => format!(
            "this kernel's BTF has no function `{}` of {module}",
            wanted.function
        ),
        None => format!("this kernel's BTF has no function `{}`", wanted.function),
    };
    let mut names = Vec::new();
    kernel.for_each_function(|_, name| names.push(name.to_owned()));
    match suggest::nearest(wanted.function, names.iter().map(String::as_str)) {
        Some(near) if wanted.fits_module("vmlinux") => format!("{what}; did you mean `{near}`?"),
        _ => {
            format!("{what} (a module's functions are there while it is loaded, since Linux 5.11)")
        }
    }
}

/// The functions of loaded BPF programs. The programs of an object share their BTF, so that the kernel is asked which
/// function is in which.
fn of_programs(wanted: &Wanted<'_>, id: u32, probe: &Probe) -> Vec<Site> {
    let attach_type = match probe.attach {
        Attach::Fexit { .. } => libbpf_sys::BPF_TRACE_FEXIT,
        _ => libbpf_sys::BPF_TRACE_FENTRY,
    };
    let mut sites = Vec::new();
    btf::for_each_program(id, |types| {
        types.for_each_function(|id, function| {
            let mut traced = types.traced(id, function);
            if pattern::matches(wanted.function, function)
                && btf::try_load(&traced, attach_type, None).is_ok()
            {
                place_result(&mut traced, attach_type);
                let name = match wanted.is_pattern() {
                    true => format!("{}:bpf:{function}", wanted.kind),
                    false => probe.name.to_string(),
                };
                sites.push(Site::new(name, Place::Btf(traced)));
            }
        });
    });
    sites
}

/// The kernel does not trust the types of every BPF function, of a program's own least: it then takes it for one with
/// five arguments, behind which is the result.
fn place_result(function: &mut BtfFunction, attach_type: u32) {
    const BEHIND_FIVE: u32 = 5 * 8;
    if attach_type == libbpf_sys::BPF_TRACE_FEXIT
        && btf::try_load(function, attach_type, Some(BEHIND_FIVE as i16)).is_ok()
    {
        let result = |(name, _): &&mut (String, u32)| name == btc_abi::probe::RESULT;
        if let Some((_, offset)) = function.members.iter_mut().find(result) {
            *offset = BEHIND_FIVE;
        }
    }
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
