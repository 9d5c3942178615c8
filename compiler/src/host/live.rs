//! This machine, or the parts of another one given by `--btf` and `--sysroot`, answers sema's questions.

use super::btf::{Btf, Kind};
use super::tracefs::{self, Tracefs};
use super::{
    CDefinitions, CError, COptions, CType, Function, Host, HostEnum, HostRecord, HostRecordBody,
    RecordOrigin, TracepointFormat, clang,
};
use std::cell::{OnceCell, RefCell};
use std::path::{Path, PathBuf};

/// Where the facts come from.
#[derive(Clone, Debug, Default)]
pub struct LiveOptions {
    /// Raw BTF or an ELF file with `.BTF`, instead of the running kernel's.
    pub btf: Option<PathBuf>,
    /// Root of the file system whose `sys` is read.
    pub sysroot: Option<PathBuf>,
}

/// Opens BTF and tracefs when first asked.
pub struct LiveHost {
    options: LiveOptions,
    btf: OnceCell<Result<Btf, String>>,
    tracefs: OnceCell<Result<Tracefs, String>>,
    /// Bodies of the script's own records, by id.
    script: RefCell<Vec<HostRecordBody>>,
}

impl LiveHost {
    #[must_use]
    pub fn new(options: LiveOptions) -> Self {
        LiveHost {
            options,
            btf: OnceCell::new(),
            tracefs: OnceCell::new(),
            script: RefCell::default(),
        }
    }

    fn root(&self) -> &Path {
        self.options.sysroot.as_deref().unwrap_or(Path::new("/"))
    }

    /// The kernel's BTF, or why it can't be had (for the driver to say where `--btf` was given).
    pub fn btf(&self) -> Result<&Btf, &str> {
        let open = || {
            let path = self.options.btf.clone();
            let path = path.unwrap_or_else(|| self.root().join("sys/kernel/btf/vmlinux"));
            let data = std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
            Btf::parse(data).map_err(|e| format!("{}: {e}", path.display()))
        };
        self.btf.get_or_init(open).as_ref().map_err(String::as_str)
    }

    /// The directory of events, or why it can't be read.
    fn events(&self) -> Result<&Path, String> {
        let tracefs = self.tracefs.get_or_init(|| Tracefs::open(self.root()));
        match tracefs {
            Ok(tracefs) => Ok(&tracefs.events),
            Err(why) => Err(why.clone()),
        }
    }

    fn prototype(&self, kind: Kind, name: &str, shown: &str) -> Option<Function> {
        let btf = self.btf().ok()?;
        btf.prototype(shown, btf.find(kind, name)?)
    }
}

impl Host for LiveHost {
    fn record(&self, name: &str, union: bool) -> Option<HostRecord> {
        let kind = if union { Kind::UNION } else { Kind::STRUCT };
        let id = self.btf().ok()?.find(kind, name)?;
        Some(HostRecord {
            name: name.to_owned(),
            union,
            id: id.into(),
            origin: RecordOrigin::KernelBtf,
        })
    }

    fn record_body(&self, record: &HostRecord) -> Option<HostRecordBody> {
        match record.origin {
            RecordOrigin::KernelBtf => self.btf().ok()?.body(u32::try_from(record.id).ok()?),
            RecordOrigin::Script => {
                let at = usize::try_from(record.id).ok()?;
                self.script.borrow().get(at).cloned()
            }
        }
    }

    fn enumeration(&self, name: &str) -> Option<HostEnum> {
        let btf = self.btf().ok()?;
        let id = btf.find(Kind::ENUM, name);
        match btf.ctype(id.or_else(|| btf.find(Kind::ENUM64, name))?) {
            CType::Enum(found) => Some(found),
            _ => None,
        }
    }

    fn enum_constant(&self, name: &str) -> Option<(HostEnum, u64)> {
        self.btf().ok()?.enum_constant(name)
    }

    fn typedef(&self, name: &str) -> Option<CType> {
        let btf = self.btf().ok()?;
        Some(btf.ctype(btf.find(Kind::TYPEDEF, name)?))
    }

    fn function(&self, module: Option<&str>, name: &str) -> Option<Function> {
        if module.is_some_and(|m| m != "vmlinux") {
            return None;
        }
        self.prototype(Kind::FUNC, name, name)
    }

    fn functions(&self, module: Option<&str>, pattern: &str) -> Vec<String> {
        let Ok(btf) = self.btf() else { return vec![] };
        if module.is_some_and(|m| m != "vmlinux") {
            return vec![];
        }
        let mut names: Vec<String> = btf
            .function_names()
            .filter(|name| matches(pattern, name))
            .collect();
        names.sort();
        names.dedup();
        names
    }

    fn raw_tracepoint(&self, event: &str) -> Option<Function> {
        // The typedef is what the kernel's verifier goes by, but names no parameters; the functions that the tracepoint
        // is made of do. 5.10 has the first of them, and a class of events shares the last.
        let typed = self.prototype(Kind::TYPEDEF, &format!("btf_trace_{event}"), event);
        let named = ["__traceiter_", "__probestub_", "__bpf_trace_"]
            .iter()
            .find_map(|prefix| self.prototype(Kind::FUNC, &format!("{prefix}{event}"), event));
        let mut found = match (typed, named) {
            (Some(typed), Some(named)) if typed.parameters.len() != named.parameters.len() => typed,
            (typed, named) => named.or(typed)?,
        };
        if !found.parameters.is_empty() {
            found.parameters.remove(0);
        }
        Some(found)
    }

    fn tracepoint(&self, category: &str, event: &str) -> Result<Option<TracepointFormat>, String> {
        let path = self.events()?.join(category).join(event);
        match std::fs::read_to_string(path.join("format")) {
            Ok(text) => Ok(Some(tracefs::parse(&text, category))),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(format!("{}: {e}", path.display())),
        }
    }

    fn tracepoints(&self, category: &str, event: &str) -> Vec<(String, String)> {
        let Ok(events) = self.events() else {
            return vec![];
        };
        let mut found = vec![];
        for group in directories(&events).filter(|g| matches(category, g)) {
            let names = directories(&events.join(&group)).filter(|n| matches(event, n));
            found.extend(names.map(|name| (group.clone(), name)));
        }
        found.sort();
        found
    }

    fn has_kernel_btf(&self) -> bool {
        self.btf().is_ok()
    }

    fn c_definitions(
        &self,
        text: &str,
        options: &COptions,
    ) -> Result<(CDefinitions, Vec<CError>), String> {
        let first_id = self.script.borrow().len() as u64;
        let sysroot = self.options.sysroot.as_deref();
        let made = clang::read(self, sysroot, text, options, first_id)?;
        self.script.borrow_mut().extend(made.bodies);
        Ok((made.definitions, made.errors))
    }

    fn read(&self, path: &Path) -> Result<String, String> {
        std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))
    }
}

fn directories(path: &Path) -> impl Iterator<Item = String> + use<> {
    let entries = path.read_dir().into_iter().flatten().flatten();
    entries
        .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
        .filter_map(|e| e.file_name().into_string().ok())
}

/// Whether a name fits a pattern of `*` and `?`.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((at, from)) = star else { return false };
                star = Some((at, from + 1));
                p = at + 1;
                n = from + 1;
            }
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        assert!(matches("vfs_*", "vfs_read"));
        assert!(matches("*a*c", "abac"));
        assert!(!matches("vfs_*d", "vfs_open"));
    }

    #[test]
    fn live_kernel_has_task_struct() {
        let host = LiveHost::new(LiveOptions::default());
        let Some(task) = host.record("task_struct", false) else {
            assert!(!host.has_kernel_btf(), "BTF without task_struct");
            return;
        };
        let body = host.record_body(&task).unwrap();
        let pid = body.members.iter().find(|m| m.name == "pid").unwrap();
        assert!(matches!(&pid.ty, CType::Typedef { name, .. } if name == "pid_t"));
        assert!(host.function(None, "vfs_read").unwrap().parameters.len() == 4);
        let switch = host.raw_tracepoint("sched_switch").unwrap();
        let named = |(name, _): &(String, CType)| name == "prev";
        assert!(switch.parameters.len() >= 3 && switch.parameters.iter().any(named));
    }
}
