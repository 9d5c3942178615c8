//! A binary as a script names it (`libc`, `c`, a soname, a name in PATH, a path, a pattern of paths) → files of the
//! target, as the whole host sees them or as one process does.

use std::path::{Path, PathBuf};

use crate::{Context, Error, elf, ld_cache, pattern};

/// A file that a script's name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// To open it: for a process's files a path below /proc.
    pub path: PathBuf,
    /// As `probe` shows it: without that.
    pub name: String,
}

/// Finds the one file of a name without a pattern; with a pid, as that process sees it.
///
/// # Errors
/// No such file.
pub fn resolve(binary: &str, pid: Option<i32>) -> Result<PathBuf, Error> {
    let view = View { pid };
    if binary.is_empty() {
        return match pid {
            Some(pid) => Ok(PathBuf::from(format!("/proc/{pid}/exe"))),
            None => Err(Error::new("a user probe without a binary needs -p or -c")),
        };
    }
    if binary.contains('/') {
        return view.file(Path::new(binary));
    }
    if let Some(mapped) = view.mapped(|path| is_library(file_name(path), binary)) {
        return Ok(mapped);
    }
    view.search(binary).ok_or_else(|| {
        Error::new(format!(
            "`{binary}`: no library in ld.so.cache and no program in PATH of that name"
        ))
    })
}

/// Finds every file that a name or pattern stands for: each once, whatever links lead to it.
///
/// # Errors
/// No such file.
pub fn resolve_all(binary: &str, pid: Option<i32>) -> Result<Vec<Found>, Error> {
    if !pattern::is_pattern(binary) {
        let path = resolve(binary, pid)?;
        let name = binary.to_owned();
        return Ok(vec![Found { path, name }]);
    }
    let view = View { pid };
    let mut names = match binary.contains('/') {
        true => view.glob(binary),
        false => view.matching(binary),
    };
    names.sort();
    let mut seen = Vec::new();
    let files = names.into_iter().filter_map(|name| {
        let path = view.visible(Path::new(&name));
        let identity = elf::identity(&path).filter(|_| is_elf(&path))?;
        if seen.contains(&identity) {
            return None;
        }
        seen.push(identity);
        Some(Found { path, name })
    });
    let files: Vec<Found> = files.collect();
    match files.is_empty() {
        true => Err(Error::new(format!(
            "no program or library matches `{binary}`"
        ))),
        false => Ok(files),
    }
}

/// Whose files they are.
#[derive(Clone, Copy)]
struct View {
    pid: Option<i32>,
}

impl View {
    /// A path of the view as this process can open it; relative ones are ours.
    fn visible(self, path: &Path) -> PathBuf {
        match (self.pid, path.strip_prefix("/")) {
            (Some(pid), Ok(inside)) => PathBuf::from(format!("/proc/{pid}/root")).join(inside),
            _ => path.to_owned(),
        }
    }

    /// The file of a path. One that the process still maps while its name is gone, or is another file's by now, is
    /// reached through the mapping.
    fn file(self, path: &Path) -> Result<PathBuf, Error> {
        let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let linked = std::fs::canonicalize(path);
        let replaced = self.mapped_entry(|mapped| {
            let mapped = Path::new(mapped);
            mapped == whole || linked.as_ref().is_ok_and(|linked| mapped == linked)
        });
        if let Some((mapped, true)) = replaced {
            return Ok(mapped);
        }
        let visible = self.visible(path);
        match visible.try_exists() {
            Ok(true) => Ok(visible),
            Ok(false) => Err(Error::new(match self.pid {
                Some(pid) => format!("no file {} for process {pid}", path.display()),
                None => format!("no file {}", path.display()),
            })),
            Err(error) => Err(Error::with_source(visible.display().to_string(), error)),
        }
    }

    /// A file that the process maps.
    fn mapped(self, wanted: impl Fn(&str) -> bool) -> Option<PathBuf> {
        self.mapped_entry(wanted).map(|(path, _)| path)
    }

    /// The same, and whether its name is gone.
    fn mapped_entry(self, wanted: impl Fn(&str) -> bool) -> Option<(PathBuf, bool)> {
        let pid = self.pid?;
        let program = elf::identity(Path::new(&format!("/proc/{pid}/exe")));
        if program.is_some() && program == elf::identity(Path::new("/proc/self/exe")) {
            // The child of -c, which has yet to become what it will be.
            return None;
        }
        let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
        let found = mappings(&maps).find(|mapping| wanted(mapping.name))?;
        Some((self.mapping(pid, &found), found.gone))
    }

    /// The file of a mapping as this process can open it.
    fn mapping(self, pid: i32, of: &Mapping<'_>) -> PathBuf {
        let by_range = || PathBuf::from(format!("/proc/{pid}/map_files/{}", of.range));
        if of.gone {
            return by_range();
        }
        // The name is that from our own root where the file can be reached from there, as for a process that has changed
        // its root only; otherwise from the process's.
        let names = [self.visible(Path::new(of.name)), PathBuf::from(of.name)];
        let there = names.into_iter().find(|name| name.exists());
        there.unwrap_or_else(by_range)
    }

    /// A library or a program by its short name.
    fn search(self, name: &str) -> Option<PathBuf> {
        let cache = self.cache();
        let cached = ld_cache::entries(&cache).into_iter();
        let cached = cached.filter(|(library, _)| is_library(library, name));
        let cached = cached.map(|(_, path)| path.to_owned());
        let in_directories = DIRECTORIES.into_iter().flat_map(|directory| {
            let files = self.list(directory).into_iter();
            let libraries = files.filter(|file| is_library(file, name));
            libraries.map(move |file| format!("{directory}/{file}"))
        });
        let libraries = cached.chain(in_directories);
        let search = std::env::var("PATH").unwrap_or_default();
        let programs = search
            .split(':')
            .map(|directory| format!("{directory}/{name}"));
        // A program of that name comes first only where no library can be meant.
        let candidates: Box<dyn Iterator<Item = String>> =
            if name.contains(".so") || name.starts_with("lib") {
                Box::new(libraries.chain(programs))
            } else {
                Box::new(programs.chain(libraries))
            };
        candidates
            .map(|path| self.visible(Path::new(&path)))
            .find(|path| is_elf(path))
    }

    fn cache(self) -> Vec<u8> {
        std::fs::read(self.visible(Path::new("/etc/ld.so.cache"))).unwrap_or_default()
    }

    fn list(self, directory: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.visible(Path::new(directory)));
        let entries = entries.into_iter().flatten().flatten();
        entries
            .filter_map(|e| e.file_name().into_string().ok())
            .collect()
    }

    /// Paths that a pattern of paths matches, component by component.
    fn glob(self, wanted: &str) -> Vec<String> {
        let mut found = vec![String::from(if wanted.starts_with('/') { "/" } else { "" })];
        let parts = wanted.split('/').filter(|part| !part.is_empty());
        for part in parts {
            let join = |directory: &String, name: &str| match directory.as_str() {
                "" | "/" => format!("{directory}{name}"),
                _ => format!("{directory}/{name}"),
            };
            found = (found.iter())
                .flat_map(|directory| {
                    if !pattern::is_pattern(part) {
                        return vec![join(directory, part)];
                    }
                    let place = if directory.is_empty() { "." } else { directory };
                    let names = self.list(place).into_iter();
                    let names = names.filter(|name| {
                        pattern::matches(part, name)
                            && (part.starts_with('.') || !name.starts_with('.'))
                    });
                    names.map(|name| join(directory, &name)).collect()
                })
                .collect();
        }
        found
    }

    /// Libraries whose file name a pattern without a slash matches, and programs in PATH.
    fn matching(self, wanted: &str) -> Vec<String> {
        let cache = self.cache();
        let cached = ld_cache::entries(&cache).into_iter();
        let cached = cached.filter(|(library, _)| pattern::matches(wanted, library));
        let mut found: Vec<String> = cached.map(|(_, path)| path.to_owned()).collect();
        let search = std::env::var("PATH").unwrap_or_default();
        for directory in DIRECTORIES.into_iter().chain(search.split(':')) {
            let names = self.list(directory).into_iter();
            let names = names.filter(|name| pattern::matches(wanted, name));
            found.extend(names.map(|name| format!("{directory}/{name}")));
        }
        found
    }
}

/// A line of /proc/PID/maps that is of a file.
struct Mapping<'a> {
    range: &'a str,
    executable: bool,
    name: &'a str,
    /// No file has that name any more.
    gone: bool,
}

fn mappings(maps: &str) -> impl Iterator<Item = Mapping<'_>> {
    maps.lines().filter_map(|line| {
        let path = &line[line.find('/')?..];
        let kept = path.strip_suffix(" (deleted)");
        let mut words = line.split(' ');
        Some(Mapping {
            range: words.next()?,
            executable: words.next()?.contains('x'),
            name: kept.unwrap_or(path),
            gone: kept.is_some(),
        })
    })
}

/// The files whose code a process maps, each once.
///
/// # Errors
/// No such process, or no permission to look at it.
pub fn mapped(pid: i32) -> Result<Vec<Found>, Error> {
    let path = format!("/proc/{pid}/maps");
    let maps = std::fs::read_to_string(&path).context(|| format!("read {path}"))?;
    let view = View { pid: Some(pid) };
    let mut files: Vec<Found> = Vec::new();
    for mapping in mappings(&maps).filter(|mapping| mapping.executable) {
        if !files.iter().any(|file| file.name == mapping.name) {
            files.push(Found {
                path: view.mapping(pid, &mapping),
                name: mapping.name.to_owned(),
            });
        }
    }
    Ok(files)
}

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

/// 64-bit ELF: the cache also lists libraries of other word sizes, and a pattern matches linker scripts.
fn is_elf(path: &Path) -> bool {
    use std::io::Read;
    let mut head = [0; 5];
    path.is_file()
        && std::fs::File::open(path).is_ok_and(|mut file| file.read_exact(&mut head).is_ok())
        && head == *b"\x7fELF\x02"
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_libraries() {
        assert!(is_library("libc.so.6", "libc"));
        assert!(is_library("libc.so.6", "c"));
        assert!(is_library("libc.so.6", "libc.so.6"));
        assert!(is_library("libssl.so.3", "libssl.so"));
        assert!(!is_library("libcrypt.so.1", "libc"));
        assert!(!is_library("libc.so.6", "libc.so.5"));
    }

    #[test]
    fn finds_libc() {
        let path = resolve("libc", None).unwrap();
        assert!(
            path.to_string_lossy().contains("libc.so"),
            "{}",
            path.display()
        );
        assert_eq!(resolve("c", None).unwrap(), path);
        assert!(resolve("sh", None).unwrap().ends_with("sh"));
        assert!(resolve("no-such-library", None).is_err());
        assert!(resolve("/no/such/file", None).is_err());
    }

    #[test]
    fn patterns_give_each_file_once() {
        let libc = elf::identity(&resolve("libc", None).unwrap());
        // As a link in /lib too, and beside the linker script libc.so where that is installed.
        for pattern in ["/*/*/libc.so*", "libc.so*"] {
            let found = resolve_all(pattern, None).unwrap();
            let of_libc = found.iter().filter(|f| elf::identity(&f.path) == libc);
            assert_eq!(of_libc.count(), 1, "{found:?}");
        }
        assert!(resolve_all("/no/such/*", None).is_err());
    }

    #[test]
    fn a_process_sees_its_own_files() {
        let own = std::process::id() as i32;
        let path = resolve("/etc/passwd", Some(own)).unwrap();
        assert_eq!(path, PathBuf::from(format!("/proc/{own}/root/etc/passwd")));
        let error = resolve("/no/such/file", Some(own)).unwrap_err();
        assert!(error.to_string().contains("for process"), "{error}");
    }
}
