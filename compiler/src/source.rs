//! Source text: every file of a compilation, and the spans that point into them.

use std::ops::Range;
use std::path::{Path, PathBuf};

/// Index of a file in a [`SourceMap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct FileId(pub u32);

/// A half-open byte range `start..end` of one file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct Span {
    pub file: FileId,
    pub start: u32,
    pub end: u32,
}

impl Span {
    #[must_use]
    pub fn new(file: FileId, start: usize, end: usize) -> Self {
        // Sources over 4 GiB are refused by the driver before they are lexed.
        Span {
            file,
            start: start as u32,
            end: end as u32,
        }
    }

    /// The smallest span that covers both; spans of two files keep the first.
    #[must_use]
    pub fn to(self, other: Span) -> Span {
        if self.file != other.file {
            return self;
        }
        Span {
            file: self.file,
            start: self.start.min(other.start),
            end: self.end.max(other.end),
        }
    }

    #[must_use]
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

impl std::fmt::Debug for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}

/// One file: the name that diagnostics print, and its text.
#[derive(Clone, Debug)]
pub struct Source {
    pub name: String,
    pub text: String,
    /// The file; `None` for a text that is in none.
    pub path: Option<PathBuf>,
    /// A part of the standard library, whose names mean what btc says: a script's definitions don't change them.
    pub library: bool,
    /// Byte offset of the first character of each line.
    line_starts: Vec<usize>,
}

impl Source {
    #[must_use]
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let line_starts = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(i, _)| i + 1))
            .collect();
        Source {
            name: name.into(),
            text,
            path: None,
            library: false,
            line_starts,
        }
    }

    /// The text of a file.
    #[must_use]
    pub fn file(path: &Path, text: impl Into<String>) -> Self {
        Source {
            path: Some(path.to_path_buf()),
            ..Source::new(path.display().to_string(), text)
        }
    }

    /// Where the file is.
    #[must_use]
    pub fn directory(&self) -> Option<PathBuf> {
        let parent = self.path.as_ref()?.parent()?;
        Some(match parent.as_os_str().is_empty() {
            true => PathBuf::from("."),
            false => parent.to_path_buf(),
        })
    }

    #[must_use]
    pub fn of_library(self) -> Self {
        Source {
            library: true,
            ..self
        }
    }

    /// One-based line and one-based column (in bytes) of a byte offset.
    #[must_use]
    pub fn line_column(&self, offset: usize) -> (usize, usize) {
        let line = self
            .line_starts
            .partition_point(|&s| s <= offset)
            .saturating_sub(1);
        (line + 1, offset - self.line_starts[line] + 1)
    }
}

/// All files of one compilation: the script, and what it imports.
#[derive(Clone, Debug, Default)]
pub struct SourceMap {
    files: Vec<Source>,
}

impl SourceMap {
    pub fn add(&mut self, source: Source) -> FileId {
        self.files.push(source);
        FileId(self.files.len() as u32 - 1)
    }

    #[must_use]
    pub fn get(&self, file: FileId) -> &Source {
        &self.files[file.0 as usize]
    }

    /// The file that all others were added for: the first.
    ///
    /// # Panics
    /// Before a file was added.
    #[must_use]
    pub fn script(&self) -> &Source {
        self.get(FileId(0))
    }

    /// The text under a span.
    #[must_use]
    pub fn text(&self, span: Span) -> &str {
        self.get(span.file).text.get(span.range()).unwrap_or("")
    }

    /// `name:line:column`, as diagnostics and run-time messages name a place in a script.
    #[must_use]
    pub fn place(&self, span: Span) -> String {
        let source = self.get(span.file);
        let (line, column) = source.line_column(span.start as usize);
        format!("{}:{line}:{column}", source.name)
    }

    /// Where the files are, each directory once.
    #[must_use]
    pub fn directories(&self) -> Vec<PathBuf> {
        let mut found: Vec<PathBuf> = vec![];
        for directory in self.files.iter().filter_map(Source::directory) {
            if !found.contains(&directory) {
                found.push(directory);
            }
        }
        found
    }

    /// The files that there is a text of.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().filter_map(|file| file.path.as_deref())
    }

    pub fn files(&self) -> impl Iterator<Item = (FileId, &Source)> {
        self.files
            .iter()
            .enumerate()
            .map(|(i, s)| (FileId(i as u32), s))
    }
}
