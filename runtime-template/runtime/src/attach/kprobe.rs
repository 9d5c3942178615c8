//! `kprobe` and `kretprobe`: a plain name goes to the kernel as it is; a pattern is matched on the target's list.

use std::io::{BufRead, BufReader};

use btc_abi::{Attach, Probe};

use super::perf::{self, Scope};
use super::{Attached, Attaching, Place, Provider, Site};
use crate::target::{Target, c_string};
use crate::{Context, Error, pattern};

/// See [`Provider`].
pub struct Kprobe;

impl Provider for Kprobe {
    fn handles(&self, attach: &Attach) -> bool {
        matches!(attach, Attach::Kprobe { .. } | Attach::Kretprobe { .. })
    }

    fn find(&self, probe: &Probe, target: &Target) -> Result<Vec<Site>, Error> {
        let Some(wanted) = Wanted::of(probe) else {
            return Ok(Vec::new());
        };
        let any_module = wanted.module.is_some_and(pattern::is_pattern);
        if !pattern::is_pattern(wanted.function) && !any_module {
            let function = wanted.symbol(wanted.module);
            let offset = wanted.offset;
            return Ok(vec![Site::new(
                &*probe.name,
                Place::Kernel { function, offset },
            )]);
        }
        let mut sites = Vec::new();
        for_each_function(target, |module, function| {
            let module_fits = match wanted.module {
                Some("vmlinux") => module.is_none(),
                Some(wanted) => module.is_some_and(|module| pattern::matches(wanted, module)),
                None => true,
            };
            if module_fits && pattern::matches(wanted.function, function) {
                let kind = if wanted.returns {
                    "kretprobe"
                } else {
                    "kprobe"
                };
                let symbol = match module {
                    Some(module) => format!("{module}:{function}"),
                    None => function.to_owned(),
                };
                let name = format!("{kind}:{symbol}");
                sites.push(Site::new(
                    name,
                    Place::Kernel {
                        function: symbol,
                        offset: wanted.offset,
                    },
                ));
            }
        })?;
        Ok(sites)
    }

    fn attach(&self, attaching: &Attaching<'_>, sites: &[Site]) -> Attached {
        let returns = matches!(attaching.probe.attach, Attach::Kretprobe { .. });
        let mut attribute = match perf::dynamic("kprobe", returns) {
            Ok(attribute) => attribute,
            Err(error) => return Attached::nowhere(attaching.probe, error),
        };
        Attached::each(sites, |site| {
            let Place::Kernel { function, offset } = &site.place else {
                return Ok(Vec::new());
            };
            let name = c_string(function.as_str())?;
            attribute.__bindgen_anon_3.kprobe_func = name.as_ptr() as u64;
            attribute.__bindgen_anon_4.probe_offset = *offset;
            let scope = Scope { pid: -1, cpu: 0 };
            let attachment = perf::attach(&mut attribute, scope, attaching.fd, site.cookie)
                .context(|| {
                    format!(
                        "attach {} (does the function exist, and is it traceable?)",
                        site.name
                    )
                })?;
            Ok(vec![attachment])
        })
    }
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

    /// As the kernel reads it; `vmlinux` is no module to it.
    fn symbol(&self, module: Option<&str>) -> String {
        match module.filter(|module| *module != "vmlinux") {
            Some(module) => format!("{module}:{}", self.function),
            None => self.function.to_owned(),
        }
    }
}

/// Traceable functions with their modules; from ftrace's list, else (functions that can't be probed among them) from
/// kallsyms.
fn for_each_function(
    target: &Target,
    mut each: impl FnMut(Option<&str>, &str),
) -> Result<(), Error> {
    let path = target.tracefs()?.join("available_filter_functions");
    if let Ok(file) = std::fs::File::open(&path)
        && lines(BufReader::new(file), |line| {
            let mut words = line.split_whitespace();
            if let Some(function) = words.next() {
                each(
                    words.next().map(|module| module.trim_matches(['[', ']'])),
                    function,
                );
            }
        })
        .is_ok()
    {
        return Ok(());
    }
    let path = "/proc/kallsyms";
    let file = std::fs::File::open(path).context(|| format!("open {path}"))?;
    lines(BufReader::new(file), |line| {
        let mut words = line.split_whitespace().skip(1);
        if let (Some("t" | "T" | "w" | "W"), Some(function)) = (words.next(), words.next()) {
            let module = words.next().map(|module| module.trim_matches(['[', ']']));
            if !function.contains('.') && !function.starts_with("__pfx_") {
                each(module, function);
            }
        }
    })
    .context(|| format!("read {path}"))
}

fn lines(mut file: impl BufRead, mut each: impl FnMut(&str)) -> std::io::Result<()> {
    let mut line = String::new();
    while file.read_line(&mut line)? > 0 {
        each(&line);
        line.clear();
    }
    Ok(())
}
