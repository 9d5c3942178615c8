//! A C file → LLVM's bitcode and the functions that a script can call, by the clang that this machine has.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SymbolKind};

use super::Machine;
use super::served::{KERNEL_TYPES, Served};
use crate::arch::Arch;
use crate::host::btf::{Btf, Kind};
use crate::host::{CError, COptions, Function};

/// Bitcode of later versions is not for the LLVM that btc is made with.
const NEWEST: u32 = if cfg!(feature = "llvm19") { 19 } else { 22 };
/// The first that has all attributes and relocations of BPF that libbpf's headers use.
const OLDEST: u32 = 12;

/// What became of a C file.
#[derive(Clone, Debug, Default)]
pub struct Compiled {
    pub bitcode: Vec<u8>,
    /// Functions that are visible outside of the file.
    pub functions: Vec<Function>,
    /// Functions with a section of their own: BPF programs, which a script has as probes.
    pub programs: Vec<String>,
    /// Warnings.
    pub complaints: Vec<CError>,
}

/// Why there is nothing.
#[derive(Clone, Debug)]
pub enum Refusal {
    /// No clang that fits.
    Missing(String),
    /// What clang says of the file.
    Errors(Vec<CError>),
}

/// Compiles a file; `text` is what was read of it, `kernel_btf` yields the kernel's types where it wants them.
///
/// # Errors
/// Errors in the text, or no clang.
pub fn compile<'k>(
    machine: Machine,
    path: &Path,
    text: &str,
    options: &COptions,
    kernel_btf: impl FnOnce() -> Result<&'k [u8], String>,
) -> Result<Compiled, Refusal> {
    let clang = find().map_err(Refusal::Missing)?;
    let served = Served::new().map_err(|error| failed(format!("can't write headers: {error}")))?;
    let mut words = arguments(machine, path, options);
    words.extend(served_here(served.directory()));
    let told = |output: &Output, fatal| complaints(output, path, text, served.directory(), fatal);
    let mut object = run(&clang, &words, path)?;
    if !object.status.success() && wants_kernel_types(&object) {
        let written = kernel_btf().and_then(|btf| served.add_kernel_types(btf));
        written.map_err(|why| failed(format!("no {KERNEL_TYPES}: {why}")))?;
        object = run(&clang, &words, path)?;
    }
    if !object.status.success() {
        return Err(Refusal::Errors(told(&object, true)));
    }
    words.push("-emit-llvm".to_owned());
    let bitcode = run(&clang, &words, path)?;
    if !bitcode.status.success() {
        return Err(Refusal::Errors(told(&bitcode, true)));
    }
    let (functions, programs) = described(&object.stdout)
        .map_err(|why| Refusal::Missing(format!("clang's object can't be read: {why}")))?;
    Ok(Compiled {
        functions,
        programs,
        complaints: told(&object, false),
        bitcode: bitcode.stdout,
    })
}

/// What is no line's fault.
fn failed(message: String) -> Refusal {
    Refusal::Errors(vec![CError {
        message,
        offset: None,
        fatal: true,
    }])
}

/// Words for clang: a directory of headers that are taken where no others are, and whose place is not in the object.
fn served_here(directory: &Path) -> [String; 3] {
    let directory = directory.display();
    [
        "-idirafter".to_owned(),
        directory.to_string(),
        format!("-ffile-prefix-map={directory}/="),
    ]
}

/// Whether the kernel's types are what clang missed: they take a moment to write, and most files need none.
fn wants_kernel_types(output: &Output) -> bool {
    String::from_utf8_lossy(&output.stderr).contains(&format!("'{KERNEL_TYPES}' file not found"))
}

fn run(clang: &Path, words: &[String], path: &Path) -> Result<Output, Refusal> {
    let output = Command::new(clang).args(words).arg(path).output();
    output.map_err(|error| Refusal::Missing(format!("can't run {}: {error}", clang.display())))
}

/// `BTC_CLANG`, else the newest that fits of those on `PATH`.
fn find() -> Result<PathBuf, String> {
    const INSTALL: &str = "install clang (Debian: clang-22), or name one in BTC_CLANG";
    if let Some(named) = std::env::var_os("BTC_CLANG").map(PathBuf::from) {
        return match version(&named) {
            Some(found) if (OLDEST..=NEWEST).contains(&found) => Ok(named),
            Some(found) => Err(format!(
                "BTC_CLANG={} is clang {found}, and btc needs {OLDEST} to {NEWEST}",
                named.display()
            )),
            None => Err(format!("BTC_CLANG={} is no clang", named.display())),
        };
    }
    let mut other = None;
    let numbered = (OLDEST..=NEWEST).rev().map(|n| format!("clang-{n}"));
    for name in std::iter::once("clang".to_owned()).chain(numbered) {
        match version(Path::new(&name)) {
            Some(found) if (OLDEST..=NEWEST).contains(&found) => return Ok(name.into()),
            Some(found) => other = Some(found),
            None => {}
        }
    }
    Err(match other {
        Some(found) => format!("clang {found} is here, and btc needs {OLDEST} to {NEWEST}"),
        None => INSTALL.to_owned(),
    })
}

fn version(clang: &Path) -> Option<u32> {
    let output = Command::new(clang).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let (_, after) = text.split_once("clang version ")?;
    after.split('.').next()?.parse().ok()
}

fn arguments(machine: Machine, path: &Path, options: &COptions) -> Vec<String> {
    let target = match machine.arch {
        Arch::X86_64 => "-D__TARGET_ARCH_x86",
        Arch::Arm64 => "-D__TARGET_ARCH_arm64",
    };
    let fixed = "-x c -target bpf -mcpu=v3 -O2 -g -c -o - -fno-color-diagnostics -fno-caret-diagnostics -fno-builtin -fdebug-compilation-dir=.";
    let mut all: Vec<String> = fixed.split(' ').map(str::to_owned).collect();
    all.push(target.to_owned());
    // No path of this machine goes into an executable.
    if let Some(directory) = path.parent().filter(|d| d.is_absolute()) {
        all.push(format!("-ffile-prefix-map={}/=", directory.display()));
    }
    for directory in &options.directories {
        all.extend(["-iquote".to_owned(), directory.display().to_string()]);
    }
    let directories = options.include_directories.iter();
    all.extend(directories.map(|d| format!("-I{}", d.display())));
    let root = machine.sysroot.unwrap_or(Path::new("/"));
    let system = root.join("usr/include").join(machine.arch.gnu_triple());
    all.extend(["-idirafter".to_owned(), system.display().to_string()]);
    all
}

/// Lines `file:line:column: error: message`.
fn complaints(output: &Output, path: &Path, text: &str, served: &Path, fatal: bool) -> Vec<CError> {
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.replace(&format!("{}/", served.display()), "");
    let name = path.display().to_string();
    let mut found: Vec<CError> = said
        .lines()
        .filter_map(|line| complaint(line, &name, text))
        .collect();
    if fatal && !found.iter().any(|c| c.fatal) {
        let first = said.lines().next().unwrap_or("clang failed");
        found.push(CError {
            message: first.to_owned(),
            offset: None,
            fatal: true,
        });
    }
    found
}

fn complaint(line: &str, name: &str, text: &str) -> Option<CError> {
    let kinds = [
        (": fatal error: ", true),
        (": error: ", true),
        (": warning: ", false),
    ];
    let (place, message, fatal) = kinds.iter().find_map(|(word, fatal)| {
        let (place, message) = line.split_once(word)?;
        Some((place, message, *fatal))
    })?;
    let mut parts = place.rsplitn(3, ':');
    let column: usize = parts.next()?.parse().ok()?;
    let row: usize = parts.next()?.parse().ok()?;
    let file = parts.next()?;
    if file != name {
        return Some(CError {
            message: format!("{file}:{row}: {message}"),
            offset: None,
            fatal,
        });
    }
    let before: usize = text.split_inclusive('\n').take(row - 1).map(str::len).sum();
    Some(CError {
        message: message.to_owned(),
        offset: Some((before + column - 1).min(text.len())),
        fatal,
    })
}

/// Visible functions with their types by the object's BTF, and the names of programs.
fn described(elf: &[u8]) -> Result<(Vec<Function>, Vec<String>), String> {
    let file = object::File::parse(elf).map_err(|e| e.to_string())?;
    let mut programs = vec![];
    let mut visible = vec![];
    for symbol in file.symbols() {
        let in_section = symbol
            .section_index()
            .filter(|_| symbol.kind() == SymbolKind::Text);
        let Some(index) = in_section else { continue };
        let section = file.section_by_index(index).map_err(|e| e.to_string())?;
        let name = symbol.name().map_err(|e| e.to_string())?.to_owned();
        if section.name() != Ok(".text") {
            programs.push(name);
        } else if symbol.is_global() {
            visible.push(name);
        }
    }
    if visible.is_empty() {
        return Ok((vec![], programs));
    }
    let btf = file.section_by_name(".BTF").ok_or("it has no BTF")?;
    let btf = Btf::parse(btf.data().map_err(|e| e.to_string())?.to_vec())?;
    let known = |name: String| btf.prototype(&name, btf.find(Kind::FUNC, &name)?);
    let functions = visible.into_iter().filter_map(known).collect();
    Ok((functions, programs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_have_places() {
        let text = "int a;\n  foo b;\n";
        let found = complaint(
            "x.bpf.c:2:3: error: unknown type name 'foo'",
            "x.bpf.c",
            text,
        );
        let found = found.unwrap();
        assert_eq!((found.offset, found.fatal), (Some(9), true));
        let other = complaint("y.h:7:1: fatal error: no", "x.bpf.c", text).unwrap();
        assert_eq!((other.message.as_str(), other.offset), ("y.h:7: no", None));
        assert!(complaint("1 error generated.", "x.bpf.c", text).is_none());
        let beyond = complaint("x.bpf.c:9:9: warning: w", "x.bpf.c", text).unwrap();
        assert_eq!((beyond.offset, beyond.fatal), (Some(text.len()), false));
    }

    #[test]
    fn a_clang_that_is_none_is_said() {
        assert_eq!(version(Path::new("/bin/true")), None);
        assert_eq!(version(Path::new("/nowhere/clang")), None);
    }
}
