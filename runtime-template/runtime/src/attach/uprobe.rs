//! `uprobe` and `uretprobe`: the binary, its symbols and their file offsets are looked up on the target.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use btc_abi::{Attach, Probe};

use super::perf::{self, Scope};
use super::{Attached, Attaching, Place, Provider, Site};
use crate::target::{Target, c_string};
use crate::{Context, Error, elf, library, pattern};

/// See [`Provider`].
pub struct Uprobe;

impl Provider for Uprobe {
    fn handles(&self, attach: &Attach) -> bool {
        matches!(attach, Attach::Uprobe { .. } | Attach::Uretprobe { .. })
    }

    fn find(&self, probe: &Probe, target: &Target) -> Result<Vec<Site>, Error> {
        let (name, symbol, offset) = match &probe.attach {
            Attach::Uprobe {
                binary,
                symbol,
                offset,
            } => (binary, symbol, *offset),
            Attach::Uretprobe { binary, symbol } => (binary, symbol, 0),
            _ => return Ok(Vec::new()),
        };
        let path = library::resolve(name, target.pid)
            .context(|| format!("{}: {}", probe.place, probe.name))?;
        if symbol.is_empty() {
            return Ok(vec![site(probe.name.to_string(), &path, offset)]);
        }
        let binary = elf::Binary::open(&path)?;
        if !pattern::is_pattern(symbol) {
            let start = binary.function_offset(symbol)?;
            return Ok(start
                .map(|start| site(probe.name.to_string(), &path, start + offset))
                .into_iter()
                .collect());
        }
        let kind = if matches!(probe.attach, Attach::Uretprobe { .. }) {
            "uretprobe"
        } else {
            "uprobe"
        };
        let functions = binary.functions(|function| pattern::matches(symbol, function))?;
        Ok((functions.into_iter())
            .map(|(function, start)| {
                site(format!("{kind}:{name}:{function}"), &path, start + offset)
            })
            .collect())
    }

    fn attach(&self, attaching: &Attaching<'_>, sites: &[Site]) -> Attached {
        let returns = matches!(attaching.probe.attach, Attach::Uretprobe { .. });
        let mut attribute = match perf::dynamic("uprobe", returns) {
            Ok(attribute) => attribute,
            Err(error) => return Attached::nowhere(attaching.probe, error),
        };
        // An event of one process is of any CPU; one of all processes needs a CPU, and fires on all.
        let scope = match attaching.target.pid {
            Some(pid) => Scope { pid, cpu: -1 },
            None => Scope { pid: -1, cpu: 0 },
        };
        Attached::each(sites, |site| {
            let Place::User { binary, offset } = &site.place else {
                return Ok(Vec::new());
            };
            let path = c_string(binary.as_os_str().as_bytes())?;
            attribute.__bindgen_anon_3.uprobe_path = path.as_ptr() as u64;
            attribute.__bindgen_anon_4.probe_offset = *offset;
            let attachment = perf::attach(&mut attribute, scope, attaching.fd, site.cookie)
                .context(|| {
                    format!("attach {} ({} at {offset:#x})", site.name, binary.display())
                })?;
            Ok(vec![attachment])
        })
    }
}

fn site(name: String, binary: &Path, offset: u64) -> Site {
    let binary = binary.to_owned();
    Site::new(name, Place::User { binary, offset })
}
