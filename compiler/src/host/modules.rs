//! vmlinux's BTF and the split BTF of each loaded module, searched in this order.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::btf::{Btf, Kind, REFERENCE};
use super::matches;

/// The kernel's types. Modules are opened when vmlinux lacks something.
pub struct KernelTypes {
    vmlinux: Rc<Btf>,
    /// Where modules' BTF is, if it belongs to this vmlinux.
    directory: Option<PathBuf>,
    modules: OnceCell<Vec<(String, Btf)>>,
}

impl KernelTypes {
    /// # Errors
    /// vmlinux's BTF can't be read.
    pub fn open(vmlinux: &Path, directory: Option<PathBuf>) -> Result<Self, String> {
        let said = |e: &dyn std::fmt::Display| format!("{}: {e}", vmlinux.display());
        let data = std::fs::read(vmlinux).map_err(|e| said(&e))?;
        Ok(KernelTypes {
            vmlinux: Rc::new(Btf::parse(data).map_err(|e| said(&e))?),
            directory,
            modules: OnceCell::new(),
        })
    }

    /// A kernel whose modules are not known.
    pub fn of(vmlinux: Btf) -> Self {
        KernelTypes {
            vmlinux: Rc::new(vmlinux),
            directory: None,
            modules: OnceCell::new(),
        }
    }

    pub fn vmlinux(&self) -> &Btf {
        &self.vmlinux
    }

    fn modules(&self) -> &[(String, Btf)] {
        self.modules.get_or_init(|| {
            let directory = self.directory.iter();
            let entries = directory.flat_map(|d| d.read_dir().into_iter().flatten().flatten());
            let mut names: Vec<String> = entries
                .filter_map(|entry| entry.file_name().into_string().ok())
                .filter(|name| name != "vmlinux")
                .collect();
            names.sort();
            let mut found = vec![];
            for name in names {
                // A module may be gone by now, or its BTF be of another format: the others still count.
                found.extend(
                    self.module(&name, found.len() as u32 + 1)
                        .map(|btf| (name, btf)),
                );
            }
            found
        })
    }

    fn module(&self, name: &str, number: u32) -> Option<Btf> {
        let data = std::fs::read(self.directory.as_ref()?.join(name)).ok()?;
        Btf::parse_module(data, self.vmlinux.clone(), number).ok()
    }

    /// vmlinux, then the modules.
    pub fn all(&self) -> impl Iterator<Item = &Btf> {
        self.with_names().map(|(_, btf)| btf)
    }

    /// vmlinux, then the modules, as the kernel calls them.
    pub fn with_names(&self) -> impl Iterator<Item = (&str, &Btf)> {
        let modules = std::iter::once_with(|| self.modules()).flatten();
        let modules = modules.map(|(name, btf)| (name.as_str(), btf));
        std::iter::once(("vmlinux", &*self.vmlinux)).chain(modules)
    }

    /// Those whose name matches; all without a name.
    pub fn within(&self, module: Option<&str>) -> Vec<&Btf> {
        let Some(pattern) = module else {
            return self.all().collect();
        };
        // `kvm-intel` is what its file is called, `kvm_intel` what the kernel calls it.
        let pattern = pattern.replace('-', "_");
        let vmlinux = matches(&pattern, "vmlinux").then_some(&*self.vmlinux);
        if pattern == "vmlinux" {
            return vmlinux.into_iter().collect();
        }
        let modules = self.modules().iter();
        let modules = modules.filter(|(name, _)| matches(&pattern, name));
        vmlinux
            .into_iter()
            .chain(modules.map(|(_, btf)| btf))
            .collect()
    }

    /// The first of a kind and name.
    pub fn find(&self, kind: Kind, name: &str) -> Option<(&Btf, u32)> {
        self.all()
            .find_map(|btf| Some((btf, btf.find(kind, name)?)))
    }

    /// What [`Btf::number`] made of a type.
    pub fn numbered(&self, number: u64) -> Option<(&Btf, u32)> {
        let id = u32::try_from(number & u64::from(u32::MAX)).ok()?;
        let owner = number >> 32;
        if owner == 0 || owner == u64::from(REFERENCE) {
            return Some((&self.vmlinux, id));
        }
        let index = usize::try_from(owner - 1).ok()?;
        self.modules().get(index).map(|(_, btf)| (btf, id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{CType, HostRecord};

    /// Writes BTF: types as (name, info, size or type, words that follow).
    struct Writer {
        types: Vec<u8>,
        strings: Vec<u8>,
        first_string: u32,
    }

    impl Writer {
        fn new(first_string: u32) -> Self {
            let strings = if first_string == 0 { vec![0] } else { vec![] };
            Writer {
                types: vec![],
                strings,
                first_string,
            }
        }

        fn name(&mut self, text: &str) -> u32 {
            let at = self.first_string + self.strings.len() as u32;
            self.strings.extend(text.bytes().chain([0]));
            at
        }

        fn add(&mut self, name: u32, kind: u32, count: u32, size: u32, words: &[u32]) {
            let head = [name, kind << 24 | count, size];
            for word in head.iter().chain(words) {
                self.types.extend(word.to_le_bytes());
            }
        }

        fn bytes(&self) -> Vec<u8> {
            let (types, strings) = (self.types.len() as u32, self.strings.len() as u32);
            let mut all = vec![0x9f, 0xeb, 1, 0];
            for word in [24, 0, types, types, strings] {
                all.extend(u32::to_le_bytes(word));
            }
            all.extend(&self.types);
            all.extend(&self.strings);
            all
        }
    }

    /// vmlinux: 1 `int`, 2 `struct base { int x; }`, 3 a pointer to it.
    fn vmlinux() -> Writer {
        let mut out = Writer::new(0);
        let (int, base, x) = (out.name("int"), out.name("base"), out.name("x"));
        out.add(int, 1, 0, 4, &[1 << 24 | 32]);
        out.add(base, 4, 1, 4, &[x, 1, 0]);
        out.add(0, 2, 0, 2, &[]);
        out
    }

    /// A module: 4 `struct NAME { struct base *x; struct NAME *self; }`, 5 a pointer to it, 6 `void FUNCTION(5 own, 1 x)`.
    fn module(base: &Writer, name: &str, function: &str) -> Vec<u8> {
        let mut out = Writer::new(base.strings.len() as u32);
        // "x" is vmlinux's string.
        let x = base.strings.len() as u32 - 2;
        let (of, own) = (out.name(name), out.name("own"));
        let function = out.name(function);
        out.add(of, 4, 2, 16, &[x, 3, 0, own, 5, 64]);
        out.add(0, 2, 0, 4, &[]);
        out.add(0, 13, 2, 0, &[own, 5, x, 1]);
        out.add(function, 12, 1, 6, &[]);
        out.bytes()
    }

    fn types(test: &str) -> KernelTypes {
        let name = format!("btc-modules-{test}-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        let base = vmlinux();
        std::fs::write(directory.join("vmlinux"), base.bytes()).unwrap();
        std::fs::write(directory.join("one"), module(&base, "first", "shared")).unwrap();
        std::fs::write(directory.join("two_b"), module(&base, "second", "shared")).unwrap();
        std::fs::write(directory.join("zero"), b"not BTF").unwrap();
        let types = KernelTypes::open(&directory.join("vmlinux"), Some(directory.clone()));
        let types = types.unwrap();
        assert_eq!(types.modules().len(), 2);
        std::fs::remove_dir_all(&directory).unwrap();
        types
    }

    fn pointee(ty: &CType) -> &HostRecord {
        match ty {
            CType::Pointer { to, .. } => match &**to {
                CType::Record(record) => record,
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn modules_types_continue_vmlinux() {
        let types = types("records");
        let (btf, id) = types.find(Kind::STRUCT, "second").unwrap();
        assert_eq!((id, btf.number(id)), (4, 2 << 32 | 4));
        let (btf, id) = types.numbered(btf.number(id)).unwrap();
        let body = btf.body(id).unwrap();
        let names: Vec<_> = body.members.iter().map(|m| m.name.as_str()).collect();
        assert_eq!(names, ["x", "own"]);
        let (base, own) = (pointee(&body.members[0].ty), pointee(&body.members[1].ty));
        assert_eq!((base.name.as_str(), base.id), ("base", 2));
        assert_eq!((own.name.as_str(), own.id), ("second", 2 << 32 | 4));
        let (btf, id) = types.numbered(base.id).unwrap();
        assert_eq!(btf.body(id).unwrap().members[0].name, "x");
        assert!(types.find(Kind::STRUCT, "third").is_none());
        assert!(types.numbered(7 << 32 | 4).is_none());
    }

    #[test]
    fn functions_of_modules() {
        let types = types("functions");
        let own = |module| {
            let btf = *types.within(Some(module)).first()?;
            let function = btf.prototype("shared", btf.find(Kind::FUNC, "shared")?)?;
            assert_eq!(function.result, CType::Void);
            assert_eq!(function.parameters[1].0, "x");
            Some(pointee(&function.parameters[0].1).name.clone())
        };
        assert_eq!(own("one").as_deref(), Some("first"));
        assert_eq!(own("two-b").as_deref(), Some("second"));
        assert_eq!(own("vmlinux"), None);
        assert_eq!(types.within(Some("*")).len(), 3);
        assert_eq!(types.within(Some("t*")).len(), 1);
        assert!(types.within(Some("zero")).is_empty());
    }

    #[test]
    fn damaged_split_btf_is_no_panic() {
        let base = vmlinux();
        let whole = module(&base, "first", "shared");
        let btf = Rc::new(Btf::parse(base.bytes()).unwrap());
        for length in 0..whole.len() {
            let cut = whole[..length].to_vec();
            if let Ok(cut) = Btf::parse_module(cut, btf.clone(), 1) {
                let _ = (cut.find(Kind::STRUCT, "first"), cut.body(4), cut.ctype(6));
            }
        }
        for at in 4..whole.len() {
            let mut bad = whole.clone();
            bad[at] = 0xff;
            if let Ok(bad) = Btf::parse_module(bad, btf.clone(), 1) {
                let _ = (
                    bad.find(Kind::FUNC, "shared"),
                    bad.body(4),
                    bad.prototype("", 7),
                );
            }
        }
    }
}
