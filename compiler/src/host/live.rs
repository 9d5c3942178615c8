//! This machine, or the parts of another one given by `--btf` and `--sysroot`, answers sema's questions; the reference
//! kernel answers what it can't, and that is noted.

use super::btf::{Btf, Kind, REFERENCE};
use super::libraries;
use super::modules::KernelTypes;
use super::reference::{RELEASE, Reference};
use super::tracefs::{self, Tracefs};
use super::user::UserBinaries;
use super::{
    CDefinitions, CError, COptions, CType, Function, Host, HostEnum, HostRecord, HostRecordBody,
    Named, RecordOrigin, TracepointFormat, UserFunction, clang, matches,
};
use crate::arch::Arch;
use std::cell::{OnceCell, RefCell};
use std::collections::BTreeSet;
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
    reference: OnceCell<Result<Reference, String>>,
    borrowed: RefCell<Borrowed>,
    /// Bodies of the script's own records, by id.
    script: RefCell<Vec<HostRecordBody>>,
    /// Headers that the script's C was read with.
    headers: RefCell<BTreeSet<PathBuf>>,
    /// Headers of `--include` that are not there.
    missing: RefCell<Vec<String>>,
    user: UserBinaries,
}

/// What the reference answered.
#[derive(Default)]
struct Borrowed {
    /// There is no BTF here.
    types: bool,
    /// Why formats can't be read here.
    formats: Option<String>,
    /// What this machine's kernel does not have.
    names: BTreeSet<String>,
}

impl Borrowed {
    fn sentences(&self) -> Vec<String> {
        let mut all = vec![];
        if self.types {
            all.push(format!(
                "this machine has no kernel BTF: types are those of Linux {RELEASE}; --btf FILE names another kernel's"
            ));
        }
        if let Some(why) = &self.formats {
            all.push(format!(
                "{why}: the members of tracepoints are those of Linux {RELEASE}"
            ));
        }
        if !self.names.is_empty() {
            let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
            all.push(format!(
                "not known on this machine, taken from Linux {RELEASE}: {}",
                names.join(", ")
            ));
        }
        all
    }
}

impl LiveHost {
    #[must_use]
    pub fn new(options: LiveOptions) -> Self {
        LiveHost {
            user: UserBinaries::new(options.arch),
            options,
            btf: OnceCell::new(),
            tracefs: OnceCell::new(),
            reference: OnceCell::new(),
            borrowed: RefCell::default(),
            script: RefCell::default(),
            headers: RefCell::default(),
            missing: RefCell::default(),
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

    /// The kernel that btc knows by itself. A `--btf` says which types are meant, so it has no say beside one.
    fn reference(&self) -> Option<&Reference> {
        let opened = self.reference.get_or_init(Reference::open);
        opened.as_ref().ok()
    }

    /// The BTF of vmlinux: this machine's, else the reference's.
    fn vmlinux(&self) -> Result<&[u8], String> {
        let why = match self.btf() {
            Ok(types) => return Ok(types.vmlinux().data()),
            Err(why) => why.to_owned(),
        };
        let reference = self.reference().filter(|_| self.options.btf.is_none());
        let reference = reference.ok_or(why)?;
        self.borrowed.borrow_mut().types = true;
        Ok(reference.types.vmlinux().data())
    }

    /// Looks for a type here, then in the reference; `what` is what a note calls it.
    fn look<'h, T>(
        &'h self,
        what: impl Fn() -> String,
        find: impl Fn(&'h KernelTypes) -> Option<T>,
    ) -> Option<T> {
        let own = self.btf();
        if let Some(found) = own.ok().and_then(&find) {
            return Some(found);
        }
        if self.options.btf.is_some() {
            return None;
        }
        let found = find(&self.reference()?.types)?;
        let mut borrowed = self.borrowed.borrow_mut();
        match own {
            Ok(_) => borrowed.names.insert(what()),
            Err(_) => std::mem::replace(&mut borrowed.types, true),
        };
        Some(found)
    }

    /// A tracepoint of the reference; `missing` is why this machine does not tell.
    fn borrowed_tracepoint(
        &self,
        category: &str,
        event: &str,
        missing: Option<&str>,
    ) -> Option<TracepointFormat> {
        let found = self.reference()?.tracepoint(category, event)?;
        let mut borrowed = self.borrowed.borrow_mut();
        match missing {
            Some(why) => borrowed.formats = Some(why.to_owned()),
            None => {
                let name = format!("tracepoint {category}:{event}");
                borrowed.names.insert(name);
            }
        }
        Some(found)
    }

    /// What was asked of this machine and answered by the reference, in sentences.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        self.borrowed.borrow().sentences()
    }

    /// A header of `--include` that is not there.
    #[must_use]
    pub fn missing_header(&self) -> Option<String> {
        self.missing.borrow().first().cloned()
    }

    /// The headers that scripts included, be it through others.
    #[must_use]
    pub fn headers(&self) -> Vec<PathBuf> {
        self.headers.borrow().iter().cloned().collect()
    }

    /// The type that tells best what a raw tracepoint hands over, after the pointer to its data.
    pub(super) fn event_prototype(&self, event: &str) -> Option<(&Btf, u32)> {
        let what = || format!("raw tracepoint {event}");
        self.look(what, |types| prototype_of_event(types, event))
    }
}

fn prototype_of_event<'t>(types: &'t KernelTypes, event: &str) -> Option<(&'t Btf, u32)> {
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

impl Host for LiveHost {
    fn record(&self, name: &str, union: bool) -> Option<HostRecord> {
        let (kind, word) = match union {
            true => (Kind::UNION, "union"),
            false => (Kind::STRUCT, "struct"),
        };
        let (btf, id) = self.look(|| format!("{word} {name}"), |types| types.find(kind, name))?;
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
                let types = match record.id >> 32 == u64::from(REFERENCE) {
                    true => &self.reference()?.types,
                    false => self.btf().ok()?,
                };
                let (btf, id) = types.numbered(record.id)?;
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
        self.look(
            || format!("enum {name}"),
            |types| {
                let found = types.find(Kind::ENUM, name);
                let (btf, id) = found.or_else(|| types.find(Kind::ENUM64, name))?;
                match btf.ctype(id) {
                    CType::Enum(found) => Some(found),
                    _ => None,
                }
            },
        )
    }

    fn enum_constant(&self, name: &str) -> Option<(HostEnum, u64)> {
        self.look(
            || format!("constant {name}"),
            |types| types.all().find_map(|btf| btf.enum_constant(name)),
        )
    }

    fn typedef(&self, name: &str) -> Option<CType> {
        let find = |types: &'_ KernelTypes| {
            let (btf, id) = types.find(Kind::TYPEDEF, name)?;
            Some(btf.ctype(id))
        };
        self.look(|| format!("type {name}"), find)
    }

    fn function(&self, module: Option<&str>, name: &str) -> Option<Function> {
        self.look(
            || format!("function {name}"),
            |types| {
                let Some(module) = module else {
                    let (btf, id) = types.find(Kind::FUNC, name)?;
                    return btf.prototype(name, id);
                };
                let mut within = types.within(Some(module)).into_iter();
                within.find_map(|btf| btf.prototype(name, btf.find(Kind::FUNC, name)?))
            },
        )
    }

    fn functions(&self, module: Option<&str>, pattern: &str) -> Vec<String> {
        // A pattern means what is here, as long as there is anything.
        let reference = || self.reference().map(|reference| &reference.types);
        let Some(types) = self.btf().ok().or_else(reference) else {
            return vec![];
        };
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
        let read = |events: &Path| {
            let path = events.join(category).join(event);
            match std::fs::read_to_string(path.join("format")) {
                Ok(text) => Ok(Some(tracefs::parse(&text, category))),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(e) => Err(format!("{}: {e}", path.display())),
            }
        };
        match self.events().and_then(read) {
            Ok(Some(found)) => Ok(Some(found)),
            Ok(None) => Ok(self.borrowed_tracepoint(category, event, None)),
            Err(why) => match self.borrowed_tracepoint(category, event, Some(&why)) {
                Some(found) => Ok(Some(found)),
                None => Err(why),
            },
        }
    }

    fn tracepoints(&self, category: &str, event: &str) -> Vec<(String, String)> {
        let Ok(events) = self.events() else {
            let reference = self.reference();
            return reference.map_or(vec![], |known| known.tracepoints(category, event));
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

    fn user_type(&self, binary: &str, function: &str, wanted: Named<'_>) -> Option<CType> {
        let found = libraries::resolve(binary, self.root()).ok()?;
        let path = libraries::below(self.root(), found.first()?);
        self.user.named(path, function, wanted)
    }

    fn user_layout(&self, record: &HostRecord) -> Option<(usize, btc_abi::Layout)> {
        self.user.layout(record)
    }

    fn has_kernel_btf(&self) -> bool {
        self.btf().is_ok() || (self.options.btf.is_none() && self.reference().is_some())
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
        let headers = made.headers.iter().map(PathBuf::from);
        self.headers.borrow_mut().extend(headers);
        self.missing.borrow_mut().extend(made.missing);
        Ok((made.definitions, made.errors))
    }

    fn compile_c(
        &self,
        path: &str,
        text: &str,
        options: &COptions,
    ) -> Result<clang::Compiled, clang::Refusal> {
        let machine = clang::Machine {
            sysroot: self.options.sysroot.as_deref(),
            arch: self.options.arch,
        };
        clang::compile(machine, Path::new(path), text, options, || self.vmlinux())
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
