//! Everything of one kind that a machine has, by name: what `-l` lists. Other questions are [`super::Host`]'s.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::btf::{Btf, Kind};
use btc_runtime::attach::usdt::notes::Marker;

use super::elf;
use super::live::LiveHost;
use super::{libraries, matches, tracefs};

pub use super::btf::Signature;

/// A function or an event of the kernel.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Symbol {
    /// `vmlinux`, or the module.
    pub module: String,
    pub name: String,
}

/// Types of BTF by module and name.
pub struct Typed<'a>(HashMap<Symbol, (&'a Btf, u32)>);

impl Typed<'_> {
    /// Parameters and result of one of them.
    #[must_use]
    pub fn signature(&self, wanted: &Symbol) -> Option<Signature> {
        let (btf, id) = self.0.get(wanted)?;
        btf.signature(*id)
    }

    /// All names, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<Symbol> {
        let mut all: Vec<Symbol> = self.0.keys().cloned().collect();
        all.sort();
        all
    }
}

impl LiveHost {
    fn typed(&self, kind: Kind, prefix: &str) -> Result<Typed<'_>, String> {
        let mut found = HashMap::new();
        for (module, btf) in self.btf()?.with_names() {
            for (name, id) in btf.named(kind) {
                let Some(name) = name.strip_prefix(prefix) else {
                    continue;
                };
                let (module, name) = (module.to_owned(), name.to_owned());
                found.entry(Symbol { module, name }).or_insert((btf, id));
            }
        }
        Ok(Typed(found))
    }

    /// The functions that BTF describes.
    ///
    /// # Errors
    /// There is no BTF.
    pub fn typed_functions(&self) -> Result<Typed<'_>, String> {
        self.typed(Kind::FUNC, "")
    }

    /// Raw tracepoints, by event.
    ///
    /// # Errors
    /// There is no BTF.
    pub fn typed_events(&self) -> Result<Typed<'_>, String> {
        self.typed(Kind::TYPEDEF, "btf_trace_")
    }

    /// What a raw tracepoint hands over: `struct task_struct * prev`.
    #[must_use]
    pub fn event_parameters(&self, event: &str) -> Vec<String> {
        let signature = self
            .event_prototype(event)
            .and_then(|(btf, id)| btf.signature(id));
        // The first parameter is the tracepoint's own data.
        signature.map_or(vec![], |s| s.parameters.into_iter().skip(1).collect())
    }

    /// Iterators: the programs' prototypes by what they walk through.
    ///
    /// # Errors
    /// There is no BTF.
    pub fn typed_iterators(&self) -> Result<Typed<'_>, String> {
        let mut found = self.typed(Kind::FUNC, "bpf_iter_")?;
        let contexts = self.typed(Kind::STRUCT, "bpf_iter__")?;
        // Other functions have such names too.
        found.0.retain(|name, _| contexts.0.contains_key(name));
        Ok(found)
    }

    /// The functions that ftrace can trace, sorted.
    ///
    /// # Errors
    /// ftrace's list can't be read here.
    pub fn traceable_functions(&self) -> Result<Vec<Symbol>, String> {
        let path = self.events()?.with_file_name("available_filter_functions");
        let mut found = HashSet::new();
        lines(&path, |line| {
            let mut words = line.split_whitespace();
            if let Some(name) = words.next() {
                found.insert(kernel(name, words.next()));
            }
        })?;
        Ok(sorted(found))
    }

    /// The functions that kprobes can be set on: ftrace's list, else what kallsyms has (some of which can't be probed).
    ///
    /// # Errors
    /// Neither list can be read.
    pub fn kernel_functions(&self) -> Result<Vec<Symbol>, String> {
        if let Ok(found) = self.traceable_functions() {
            return Ok(found);
        }
        let mut found = HashSet::new();
        lines(&self.root().join("proc/kallsyms"), |line| {
            let mut words = line.split_whitespace().skip(1);
            if let (Some("t" | "T" | "w" | "W"), Some(name)) = (words.next(), words.next())
                && !name.contains('.')
                && !name.starts_with("__pfx_")
            {
                found.insert(kernel(name, words.next()));
            }
        })?;
        Ok(sorted(found))
    }

    /// The names of all tracepoints that match, as `category` and `event`.
    ///
    /// # Errors
    /// tracefs can't be read.
    pub fn tracepoint_names(
        &self,
        category: &str,
        event: &str,
    ) -> Result<Vec<(String, String)>, String> {
        self.events()?;
        let mut found = super::Host::tracepoints(self, category, event);
        // Records of the function tracers: they can't be attached to.
        found.retain(|(category, _)| category != "ftrace");
        Ok(found)
    }

    /// A tracepoint's own members as its format file declares them: `const char * filename`.
    #[must_use]
    pub fn tracepoint_members(&self, category: &str, event: &str) -> Vec<String> {
        let path = self
            .events()
            .map(|events| events.join(category).join(event));
        let text = path.map(|path| std::fs::read_to_string(path.join("format")));
        match text {
            Ok(Ok(text)) => tracefs::declarations(&text),
            _ => vec![],
        }
    }

    /// `word` is `struct`, `union` or `enum`: the names that match, each with its definition if `bodies`.
    ///
    /// # Errors
    /// There is no BTF.
    pub fn definitions(
        &self,
        word: &str,
        pattern: &str,
        bodies: bool,
    ) -> Result<Vec<(String, Option<String>)>, String> {
        let kinds: &[Kind] = match word {
            "struct" => &[Kind::STRUCT],
            "union" => &[Kind::UNION],
            _ => &[Kind::ENUM, Kind::ENUM64],
        };
        let mut found = vec![];
        for btf in self.btf()?.all() {
            for kind in kinds {
                let named = btf.named(*kind).filter(|(name, _)| matches(pattern, name));
                found.extend(named.map(|(name, id)| {
                    let body = bodies.then(|| btf.definition(id)).flatten();
                    (name, body)
                }));
            }
        }
        found.sort();
        // A module may have its own copy of a type.
        found.dedup();
        Ok(found)
    }

    /// The files that a user probe's binary means: a path, a pattern of paths, a program in PATH, a library's name.
    ///
    /// # Errors
    /// There is no such file.
    pub fn binaries(&self, binary: &str) -> Result<Vec<PathBuf>, String> {
        libraries::resolve(binary, self.root())
    }

    /// The functions that a binary's symbol tables name, sorted.
    ///
    /// # Errors
    /// The file can't be read or is no ELF file.
    pub fn user_functions(&self, binary: &Path) -> Result<Vec<String>, String> {
        elf::functions(&libraries::below(self.root(), binary))
    }

    /// The USDT probes of a binary, sorted.
    ///
    /// # Errors
    /// As [`LiveHost::user_functions`].
    pub fn markers(&self, binary: &Path) -> Result<Vec<Marker>, String> {
        elf::markers(&libraries::below(self.root(), binary))
    }
}

fn kernel(name: &str, module: Option<&str>) -> Symbol {
    let module = module.map_or("vmlinux", |module| module.trim_matches(['[', ']']));
    Symbol {
        module: module.to_owned(),
        name: name.to_owned(),
    }
}

fn sorted(found: HashSet<Symbol>) -> Vec<Symbol> {
    let mut all: Vec<Symbol> = found.into_iter().collect();
    all.sort_by(|a, b| (&a.name, &a.module).cmp(&(&b.name, &b.module)));
    all
}

fn lines(path: &Path, mut each: impl FnMut(&str)) -> Result<(), String> {
    let said = |e: std::io::Error| format!("{}: {e}", path.display());
    let mut file = BufReader::with_capacity(1 << 16, File::open(path).map_err(said)?);
    let mut line = String::new();
    while file.read_line(&mut line).map_err(said)? > 0 {
        each(&line);
        line.clear();
    }
    Ok(())
}
