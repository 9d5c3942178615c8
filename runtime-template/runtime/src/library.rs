//! A binary as a script names it (`libc`, `c`, a soname, a name in PATH, a path) → a file of the target.

use std::path::{Path, PathBuf};

use crate::Error;

/// A file that a script's name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// To open it: for a process's files a path below /proc.
    pub path: PathBuf,
    /// As `probe` shows it: without that.
    pub name: String,
}

/// Finds every file that a name or pattern stands for.
pub fn resolve_all(binary: &str, pid: Option<i32>) -> Result<Vec<Found>, Error> {
    let path = resolve(binary, pid)?;
    let name = binary.to_owned();
    Ok(vec![Found { path, name }])
}

/// Finds the file; with a pid, as that process sees it.
pub fn resolve(binary: &str, pid: Option<i32>) -> Result<PathBuf, Error> {
    let root = pid.map(|pid| PathBuf::from(format!("/proc/{pid}/root")));
    let visible = |path: &Path| match &root {
        Some(root) => root.join(path.strip_prefix("/").unwrap_or(path)),
        None => path.to_owned(),
    };
    if binary.is_empty() {
        return match pid {
            Some(pid) => Ok(PathBuf::from(format!("/proc/{pid}/exe"))),
            None => Err(Error::new("a user probe without a binary needs -p or -c")),
        };
    }
    if binary.contains('/') {
        let path = if binary.starts_with('/') {
            visible(Path::new(binary))
        } else {
            PathBuf::from(binary)
        };
        return match path.exists() {
            true => Ok(path),
            false => Err(Error::new(format!("no file {}", path.display()))),
        };
    }
    if let Some(path) = pid.and_then(|pid| in_maps(pid, binary)) {
        return Ok(visible(&path));
    }
    let cache = std::fs::read(visible(Path::new("/etc/ld.so.cache"))).unwrap_or_default();
    let cached = (cache_entries(&cache).into_iter()).filter(|(name, _)| is_library(name, binary));
    let in_directories = DIRECTORIES.into_iter().flat_map(|directory| {
        let files = std::fs::read_dir(visible(Path::new(directory)))
            .into_iter()
            .flatten()
            .flatten();
        files.filter_map(move |file| {
            let name = file.file_name().into_string().ok()?;
            is_library(&name, binary).then(|| format!("{directory}/{name}"))
        })
    });
    let libraries = cached
        .map(|(_, path)| path.to_owned())
        .chain(in_directories);
    let search = std::env::var("PATH").unwrap_or_default();
    let programs = search
        .split(':')
        .map(|directory| format!("{directory}/{binary}"));
    // A program of that name comes first only where no library can be meant.
    let candidates: Box<dyn Iterator<Item = String>> =
        if binary.contains(".so") || binary.starts_with("lib") {
            Box::new(libraries.chain(programs))
        } else {
            Box::new(programs.chain(libraries))
        };
    (candidates
        .map(|path| visible(Path::new(&path)))
        .find(|path| is_elf(path)))
    .ok_or_else(|| {
        Error::new(format!(
            "`{binary}`: no library in ld.so.cache and no program in PATH of that name"
        ))
    })
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

/// 64-bit ELF: the cache also lists libraries of other word sizes.
fn is_elf(path: &Path) -> bool {
    use std::io::Read;
    let mut head = [0; 5];
    path.is_file()
        && std::fs::File::open(path).is_ok_and(|mut file| file.read_exact(&mut head).is_ok())
        && head == *b"\x7fELF\x02"
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

/// A library that the process has mapped already.
fn in_maps(pid: i32, wanted: &str) -> Option<PathBuf> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let path = maps.lines().find_map(|line| {
        let path = &line[line.find('/')?..];
        let name = path.rsplit('/').next()?;
        is_library(name, wanted).then_some(path)
    })?;
    Some(PathBuf::from(path))
}

/// Names and paths of glibc's cache in its new format: a header of 48 bytes, entries of 24.
fn cache_entries(cache: &[u8]) -> Vec<(&str, &str)> {
    const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
    let Some(start) = cache
        .windows(MAGIC.len())
        .position(|window| window == MAGIC)
    else {
        return Vec::new();
    };
    let cache = &cache[start..];
    let word = |at: usize| {
        let bytes: [u8; 4] = cache.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_le_bytes(bytes) as usize)
    };
    let string = |at: usize| {
        let rest = cache.get(at..)?;
        let end = rest.iter().position(|byte| *byte == 0)?;
        std::str::from_utf8(&rest[..end]).ok()
    };
    let count = word(MAGIC.len()).unwrap_or(0);
    (0..count)
        .map_while(|index| {
            let entry = 48 + index * 24;
            Some((string(word(entry + 4)?)?, string(word(entry + 8)?)?))
        })
        .collect()
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
}
