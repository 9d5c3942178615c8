//! Files that a script imports: the one thing that compiling reads beside the script and what a machine knows.

mod text;

use std::path::{Path, PathBuf};

pub use text::decoded;

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The same for all paths to one file.
    pub identity: PathBuf,
    pub contents: Contents,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contents {
    Text(String),
    /// Names of what is in a directory, sorted.
    Directory(Vec<String>),
}

pub trait Files {
    /// What is at a path; `None`: nothing.
    ///
    /// # Errors
    /// Why it can't be read.
    fn find(&self, path: &Path) -> Result<Option<Found>, String>;
}

/// This machine's files.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

/// No files at all: for text that nobody wrote.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFiles;

impl Files for NoFiles {
    fn find(&self, _: &Path) -> Result<Option<Found>, String> {
        Ok(None)
    }
}

impl Files for Disk {
    fn find(&self, path: &Path) -> Result<Option<Found>, String> {
        // What is no file or directory would keep a reader waiting.
        let kind = match path.metadata() {
            Ok(kind) => kind,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        let contents = if kind.is_dir() {
            Contents::Directory(names(path).map_err(|error| error.to_string())?)
        } else if kind.is_file() {
            Contents::Text(text(path)?)
        } else {
            return Err("it is neither a file nor a directory".to_owned());
        };
        let identity = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        Ok(Some(Found { identity, contents }))
    }
}

fn is_missing(error: &std::io::Error) -> bool {
    use std::io::ErrorKind as Kind;
    matches!(error.kind(), Kind::NotFound | Kind::NotADirectory)
}

fn names(directory: &Path) -> std::io::Result<Vec<String>> {
    let mut names = vec![];
    for entry in directory.read_dir()? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn text(path: &Path) -> Result<String, String> {
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    decoded(bytes).map_err(|why| format!("it is {why}"))
}
