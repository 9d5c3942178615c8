//! A finished file → its place: written under a temporary name beside it, then renamed. A failure leaves nothing behind.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Executable files get mode 0777 less the umask, others 0666.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Executable,
    Data,
}

/// Refuses what can't become the output before anything is compiled.
///
/// # Errors
/// A directory of that name, or a parent that isn't there.
pub fn check(path: &Path) -> Result<()> {
    if path.is_dir() {
        bail!("{} is a directory", path.display());
    }
    let parent = parent(path);
    if !parent.is_dir() {
        bail!("the output's directory {} does not exist", parent.display());
    }
    Ok(())
}

/// Refuses an output that is one of the files that it is made of, whatever they are called here: files are told by device
/// and inode.
///
/// # Errors
/// It is one of them.
pub fn spares<'p>(path: &Path, inputs: impl IntoIterator<Item = &'p Path>) -> Result<()> {
    let identity = |path: &Path| {
        let found = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
        Some((found.dev(), found.ino()))
    };
    let Some(there) = identity(path) else {
        return Ok(());
    };
    let mut inputs = inputs.into_iter();
    match inputs.find(|input| identity(input) == Some(there)) {
        None => Ok(()),
        Some(input) => bail!(
            "the output {} would overwrite {}, which it is made of: name another with -o OUT",
            path.display(),
            input.display()
        ),
    }
}

fn parent(path: &Path) -> &Path {
    path.parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// Puts `contents` at `path`; a device or a pipe is written to and stays what it is.
///
/// # Errors
/// What writing gives; a temporary file is removed.
pub fn write(path: &Path, contents: &[u8], kind: Kind) -> Result<()> {
    check(path)?;
    let name = path.file_name().context("the output has no file name")?;
    let temporary = parent(path).join(format!(
        ".{}.{}.tmp",
        name.to_string_lossy(),
        std::process::id()
    ));
    let special = fs::metadata(path).is_ok_and(|found| !found.is_file());
    let written = if special {
        fs::write(path, contents)
    } else {
        create(&temporary, contents, kind).and_then(|()| fs::rename(&temporary, path))
    };
    written.map_err(|error| {
        let _ = fs::remove_file(&temporary);
        match error.kind() {
            io::ErrorKind::StorageFull => {
                anyhow::anyhow!("no space left to write {}", path.display())
            }
            _ => anyhow::Error::new(error).context(format!("can't write {}", path.display())),
        }
    })
}

fn create(path: &PathBuf, contents: &[u8], kind: Kind) -> io::Result<()> {
    let mode = match kind {
        Kind::Executable => 0o777,
        Kind::Data => 0o666,
    };
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(path)?;
    file.write_all(contents)?;
    file.flush()
}
