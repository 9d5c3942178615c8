//! A user probe's binary as a script names it → files of this machine, in the order in which executables look on theirs.

use std::path::{Component, Path, PathBuf};

use btc_abi::pattern;

const DIRECTORIES: [&str; 8] = [
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib/aarch64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
];

const PROGRAMS: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// An absolute path as it is below a root.
pub fn below(root: &Path, path: &Path) -> PathBuf {
    match path.strip_prefix("/") {
        Ok(inside) => root.join(inside),
        Err(_) => path.to_owned(),
    }
}

/// The files, named without the root.
pub fn resolve(binary: &str, root: &Path) -> Result<Vec<PathBuf>, String> {
    let found = if binary.contains('/') {
        paths(binary, root)
    } else {
        let programs = std::env::var("PATH").unwrap_or_default();
        let programs = match root == Path::new("/") {
            true => programs.as_str(),
            false => PROGRAMS,
        };
        named(binary, root, programs)
    };
    match found.is_empty() {
        true if binary.contains('/') => Err(format!("there is no file {binary}")),
        true => Err(format!(
            "`{binary}`: no program in PATH and no library of that name"
        )),
        false => Ok(found),
    }
}

fn named(binary: &str, root: &Path, programs: &str) -> Vec<PathBuf> {
    let programs = programs.split(':').map(Path::new);
    let programs: Vec<PathBuf> = programs
        .flat_map(|directory| {
            entries(&below(root, directory), directory, |n| {
                pattern::matches(binary, n)
            })
        })
        .collect();
    let libraries: Vec<PathBuf> = DIRECTORIES
        .iter()
        .flat_map(|directory| {
            let directory = Path::new(directory);
            entries(&below(root, directory), directory, |n| {
                is_library(n, binary)
            })
        })
        .collect();
    let library = binary.contains(".so") || binary.starts_with("lib");
    let mut candidates = match library {
        true => [libraries, programs].concat(),
        false => [programs, libraries].concat(),
    };
    candidates.retain(|path| is_elf(&below(root, path)));
    if !pattern::is_pattern(binary) {
        candidates.truncate(1);
    }
    candidates
}

/// A path whose components may be patterns.
fn paths(binary: &str, root: &Path) -> Vec<PathBuf> {
    if !pattern::is_pattern(binary) {
        let path = PathBuf::from(binary);
        return below(root, &path)
            .is_file()
            .then_some(path)
            .into_iter()
            .collect();
    }
    let mut found = vec![PathBuf::new()];
    for component in Path::new(binary).components() {
        let Component::Normal(name) = component else {
            found.iter_mut().for_each(|path| path.push(component));
            continue;
        };
        let name = name.to_string_lossy();
        if !pattern::is_pattern(&name) {
            found.iter_mut().for_each(|path| path.push(&*name));
            continue;
        }
        let parents = std::mem::take(&mut found);
        for parent in parents {
            let real = match parent.as_os_str().is_empty() {
                true => PathBuf::from("."),
                false => below(root, &parent),
            };
            found.extend(entries(&real, &parent, |n| pattern::matches(&name, n)));
        }
    }
    found.retain(|path| is_elf(&below(root, path)));
    found
}

fn entries(real: &Path, shown: &Path, fits: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let files = real.read_dir().into_iter().flatten().flatten();
    let names = files.filter_map(|file| file.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| fits(name)).collect();
    names.sort();
    names.into_iter().map(|name| shown.join(name)).collect()
}

/// Whether the file name is what a script means: the soname, `libc`, `c`, or `libc.so`.
fn is_library(file: &str, wanted: &str) -> bool {
    if file == wanted {
        return true;
    }
    let Some((stem, _)) = file.split_once(".so") else {
        return false;
    };
    let wanted = wanted.strip_suffix(".so").unwrap_or(wanted);
    stem == wanted || stem.strip_prefix("lib") == Some(wanted)
}

fn is_elf(path: &Path) -> bool {
    use std::io::Read;
    let mut head = [0; 5];
    path.is_file()
        && std::fs::File::open(path).is_ok_and(|mut file| file.read_exact(&mut head).is_ok())
        && head == *b"\x7fELF\x02"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_patterns_below_a_root() {
        let root = std::env::temp_dir().join(format!("btc-libraries-{}", std::process::id()));
        for (path, bytes) in [
            ("usr/bin/tool", b"\x7fELF\x02".as_slice()),
            ("usr/bin/text", b"#!/bin/sh"),
            ("usr/lib/libtool.so.1", b"\x7fELF\x02"),
        ] {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        let found = |binary| resolve(binary, &root);
        let one = |path: &str| Ok(vec![PathBuf::from(path)]);
        assert_eq!(found("tool"), one("/usr/bin/tool"));
        assert_eq!(found("libtool"), one("/usr/lib/libtool.so.1"));
        assert_eq!(found("libtool.so.1"), one("/usr/lib/libtool.so.1"));
        assert_eq!(found("/usr/bin/t*"), one("/usr/bin/tool"));
        assert_eq!(found("/usr/*/*tool*").unwrap().len(), 2);
        assert!(found("text").is_err() && found("/usr/bin/none").is_err());
        std::fs::remove_dir_all(&root).unwrap();
    }
}
