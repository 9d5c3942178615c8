//! This machine, or the parts of another one given by `--btf` and `--sysroot`, answers sema's questions.

use super::btf::{Btf, Kind};
use super::libraries;
use super::modules::KernelTypes;
use super::tracefs::{self, Tracefs};
use super::user::UserBinaries;
use super::{
    CDefinitions, CError, COptions, CType, Function, Host, HostEnum, HostRecord, HostRecordBody,
    RecordOrigin, TracepointFormat, UserFunction, clang, matches,
};
use crate::arch::Arch;
use std::cell::{OnceCell, RefCell};
use std::path::{Path, PathBuf};

/// Where the facts come from.
#[derive(Clone, Debug, Default)]
pub struct LiveOptions {
    /// Raw BTF or an ELF file with `.BTF`, instead of the running kernel's.
    pub btf: Option<PathBuf>,
    /// Root of the file system whose `sys` is read.
    pub sysroot: Option<PathBuf>,
    /// The target, as C headers see it.
    pub arch: Arch,
}

/// Opens BTF and tracefs when first asked.
pub struct LiveHost {
    options: LiveOptions,
    btf: OnceCell<Result<KernelTypes, String>>,
    tracefs: OnceCell<Result<Tracefs, String>>,
    /// Bodies of the script's own records, by id.
    script: RefCell<Vec<HostRecordBody>>,
    user: UserBinaries,
}

impl LiveHost {
    #[must_use]
    pub fn new(options: LiveOptions) -> Self {
        LiveHost {
            options,
            btf: OnceCell::new(),
            tracefs: OnceCell::new(),
            script: RefCell::default(),
            user: UserBinaries::default(),
        }
    }

    pub(super) fn root(&self) -> &Path {
        self.options.sysroot.as_deref().unwrap_or(Path::new("/"))
    }

    /// The kernel's BTF, or why it can't be had (for the driver to say where `--btf` was given).
    pub fn btf(&self) -> Result<&KernelTypes, &str> {
        let open = || match &self.options.btf {
            // The running kernel's modules continue another BTF.
            Some(path) => KernelTypes::open(path, None),
            None => {
                let directory = self.root().join("sys/kernel/btf");
                KernelTypes::open(&directory.join("vmlinux"), Some(directory))
            }
        };
        self.btf.get_or_init(open).as_ref().map_err(String::as_str)
    }

    /// The directory of events, or why it can't be read.
    pub(super) fn events(&self) -> Result<&Path, String> {
        let tracefs = self.tracefs.get_or_init(|| Tracefs::open(self.root()));
        match tracefs {
            Ok(tracefs) => Ok(&tracefs.events),
            Err(why) => Err(why.clone()),
        }
    }

    fn prototype(&self, kind: Kind, name: &str, shown: &str) -> Option<Function> {
        let (btf, id) = self.btf().ok()?.find(kind, name)?;
        btf.prototype(shown, id)
    }

    /// The type that tells best what a raw tracepoint hands over, after the pointer to its data.
    pub(super) fn event_prototype(&self, event: &str) -> Option<(&Btf, u32)> {
        let types = self.btf().ok()?;
        let count = |(btf, id): (&Btf, u32)| Some(btf.prototype(event, id)?.parameters.len());
        // The typedef is what the kernel's verifier goes by, but names no parameters; the functions that the tracepoint
        // is made of do. 5.10 has the first of them, and a class of events shares the last.
        let typed = types.find(Kind::TYPEDEF, &format!("btf_trace_{event}"));
        let named = ["__traceiter_", "__probestub_", "__bpf_trace_"]
            .iter()
            .find_map(|prefix| types.find(Kind::FUNC, &format!("{prefix}{event}")));
        match (typed, named) {
            (Some(typed), Some(named)) if count(typed) != count(named) => Some(typed),
            (typed, named) => named.or(typed),
        }
    }
}

impl Host for LiveHost {
    fn record(&self, name: &str, union: bool) -> Option<HostRecord> {
        let kind = if union { Kind::UNION } else { Kind::STRUCT };
        let (btf, id) = self.btf().ok()?.find(kind, name)?;
        Some(HostRecord {
            name: name.to_owned(),
            union,
            id: btf.number(id),
            origin: RecordOrigin::KernelBtf,
        })
    }

    fn record_body(&self, record: &HostRecord) -> Option<HostRecordBody> {
        match record.origin {
            RecordOrigin::KernelBtf => {
                let (btf, id) = self.btf().ok()?.numbered(record.id)?;
                btf.body(id)
            }
            RecordOrigin::Script => {
                let at = usize::try_from(record.id).ok()?;
                self.script.borrow().get(at).cloned()
            }
            RecordOrigin::User => self.user.body(record),
        }
    }

    fn enumeration(&self, name: &str) -> Option<HostEnum> {
        let types = self.btf().ok()?;
        let found = types.find(Kind::ENUM, name);
        let (btf, id) = found.or_else(|| types.find(Kind::ENUM64, name))?;
        match btf.ctype(id) {
            CType::Enum(found) => Some(found),
            _ => None,
        }
    }

    fn enum_constant(&self, name: &str) -> Option<(HostEnum, u64)> {
        let mut all = self.btf().ok()?.all();
        all.find_map(|btf| btf.enum_constant(name))
    }

    fn typedef(&self, name: &str) -> Option<CType> {
        let (btf, id) = self.btf().ok()?.find(Kind::TYPEDEF, name)?;
        Some(btf.ctype(id))
    }

    fn function(&self, module: Option<&str>, name: &str) -> Option<Function> {
        let types = self.btf().ok()?;
        if module.is_none() {
            return self.prototype(Kind::FUNC, name, name);
        }
        let mut within = types.within(module).into_iter();
        within.find_map(|btf| btf.prototype(name, btf.find(Kind::FUNC, name)?))
    }

    fn functions(&self, module: Option<&str>, pattern: &str) -> Vec<String> {
        let Ok(types) = self.btf() else { return vec![] };
        let within = types.within(module).into_iter();
        let mut names: Vec<String> = within
            .flat_map(|btf| btf.function_names())
            .filter(|name| matches(pattern, name))
            .collect();
        names.sort();
        names.dedup();
        names
    }

    fn raw_tracepoint(&self, event: &str) -> Option<Function> {
        let (btf, id) = self.event_prototype(event)?;
        let mut found = btf.prototype(event, id)?;
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
        for group in directories(events).filter(|g| matches(category, g)) {
            let names = directories(&events.join(&group)).filter(|n| matches(event, n));
            found.extend(names.map(|name| (group.clone(), name)));
        }
        found.sort();
        found
    }

    fn user_function(&self, binary: &str, function: &str) -> Result<UserFunction, String> {
        let found = libraries::resolve(binary, self.root())?;
        let path = found.first().ok_or("no such binary")?;
        self.user
            .function(libraries::below(self.root(), path), function)
    }

    fn user_layout(&self, record: &HostRecord) -> Option<(usize, btc_abi::Layout)> {
        self.user.layout(record)
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
        let machine = clang::Machine {
            sysroot: self.options.sysroot.as_deref(),
            arch: self.options.arch,
        };
        let made = clang::read(self, machine, text, options, first_id)?;
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

#[cfg(test)]
mod tests {
    use super::*;

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
