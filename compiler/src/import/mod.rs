//! A script with `import`s → one tree: what imported files define stands in front of what imports them.
//!
//! Each file is taken once, whoever imports it and by whatever path, so that cycles and doubles are no errors. What an
//! imported file has is merged as it is: macros, maps, functions, C definitions and probes, dependencies first.

mod stdlib;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::host::files::{Contents, Files, Found};
use crate::source::{FileId, Source, SourceMap, Span};
use crate::syntax;
use crate::syntax::ast::{CText, Config, ForeignSource, Import, Item, Program};

/// Files that import files that import files: deeper than anybody writes, and no stack is used up.
const MAX_DEPTH: usize = 64;

/// Where imported files are.
pub struct Search<'a> {
    pub files: &'a dyn Files,
    /// Where they are looked for after the importing file's and the script's own directory (`-I`).
    pub directories: &'a [PathBuf],
}

/// Puts what the script imports into its tree. The text of every file that was read is in `sources` afterwards.
pub fn resolve(tree: Program, sources: &mut SourceMap, search: &Search) -> (Program, Diagnostics) {
    let mut items = tree.items.iter();
    let imports = items.any(|item| matches!(item, Item::Import(_)));
    let includes = tree.preamble.iter().any(|c| include(c).is_some());
    if !imports && !includes {
        return (tree, Diagnostics::default());
    }
    let script = sources.script();
    let directory = script.directory().unwrap_or_else(|| ".".into());
    let mut resolver = Resolver {
        search,
        script: directory.clone(),
        sources,
        seen: HashSet::new(),
        depth: 0,
        made: Program::default(),
        diagnostics: Diagnostics::default(),
    };
    resolver.seen_script();
    let header_comment = tree.header_comment.clone();
    resolver.merge(tree, &directory);
    let made = Program {
        header_comment,
        ..resolver.made
    };
    (made, resolver.diagnostics)
}

struct Resolver<'a> {
    search: &'a Search<'a>,
    /// The script's directory.
    script: PathBuf,
    sources: &'a mut SourceMap,
    /// Files that were taken, by identity.
    seen: HashSet<PathBuf>,
    depth: usize,
    made: Program,
    diagnostics: Diagnostics,
}

/// What can be imported, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Script,
    Header,
    C,
}

impl Kind {
    fn of(path: &str) -> Option<Kind> {
        let ends = |end: &str| path.len() > end.len() && path.ends_with(end);
        if ends(".bt") {
            Some(Kind::Script)
        } else if ends(".bpf.c") {
            Some(Kind::C)
        } else {
            ends(".h").then_some(Kind::Header)
        }
    }
}

impl Resolver<'_> {
    /// The script itself is one of the files that are taken once.
    fn seen_script(&mut self) {
        let script = self.sources.script();
        if let Some(path) = &script.path
            && let Ok(Some(found)) = self.search.files.find(path)
        {
            self.seen.insert(found.identity);
        }
    }

    fn error(&mut self, code: Code, span: Span, message: String) {
        self.diagnostics
            .push(Diagnostic::error(code, span, message));
    }

    /// Takes in a file's tree; its imports come where they stand.
    fn merge(&mut self, tree: Program, directory: &Path) {
        let mut preamble = tree.preamble.into_iter().peekable();
        for item in tree.items {
            match item {
                Item::Import(import) => {
                    let before = |c: &CText| c.span.start < import.span.start;
                    while let Some(c) = preamble.next_if(before) {
                        self.c_text(c);
                    }
                    self.made.imports.push(import.span);
                    self.import(&import, directory);
                }
                other => self.made.items.push(other),
            }
        }
        preamble.for_each(|c| self.c_text(c));
    }

    /// A piece of C, and what the library has for a header that it includes.
    fn c_text(&mut self, c: CText) {
        if let Some((name, text)) = include(&c).and_then(stdlib::of_header)
            && self.seen.insert(PathBuf::from(name))
        {
            let file = self.sources.add(Source::new(name, text).of_library());
            let (tree, _) = syntax::parse(file, text);
            self.made.items.extend(tree.items);
        }
        self.made.preamble.push(c);
    }

    fn import(&mut self, import: &Import, directory: &Path) {
        let path = import.path.text.as_str();
        let Some((place, found)) = self.find(import, directory) else {
            return;
        };
        match found.contents {
            Contents::Text(text) => match Kind::of(path) {
                Some(kind) => self.file(kind, &place, found.identity, text, import),
                None => self.unknown_kind(import),
            },
            Contents::Directory(_) if import.statement => self.only_at_the_top(import),
            Contents::Directory(names) => self.directory(&place, &names, import),
        }
    }

    /// Everything in a directory that can be imported; directories in it can not.
    fn directory(&mut self, place: &Path, names: &[String], import: &Import) {
        let mut taken = false;
        for name in names {
            let Some(kind) = Kind::of(name) else { continue };
            let path = place.join(name);
            let found = match self.member(&path) {
                Ok(found) => found,
                Err(why) => {
                    self.unreadable(&path, &why, import);
                    continue;
                }
            };
            if let Some(Found {
                identity,
                contents: Contents::Text(text),
            }) = found
            {
                taken = true;
                self.file(kind, &path, identity, text, import);
            }
        }
        if !taken {
            let message = format!("`{}` has nothing to import in it", import.path.text);
            self.diagnostics.push(
                Diagnostic::warning(Code::Import, import.path.span, message)
                    .with_help("files of the kinds `.bt`, `.h` and `.bpf.c` are"),
            );
        }
    }

    fn file(&mut self, kind: Kind, place: &Path, identity: PathBuf, text: String, import: &Import) {
        if kind == Kind::Script && import.statement {
            return self.only_at_the_top(import);
        }
        if self.depth >= MAX_DEPTH {
            let message = format!("imports are nested deeper than {MAX_DEPTH} files here");
            return self.error(Code::Import, import.path.span, message);
        }
        let mut source = Source::file(place, text);
        source.library = stdlib::has(&identity);
        if !self.seen.insert(identity) {
            return;
        }
        let file = self.sources.add(source);
        match kind {
            Kind::Script => self.parsed(file, place, import),
            Kind::Header => {
                let text = self.sources.get(file).text.clone();
                let span = Span::new(file, 0, text.len());
                self.made.preamble.push(CText { text, span });
            }
            Kind::C => self.made.foreign.push(ForeignSource {
                file,
                span: import.path.span,
            }),
        }
    }

    fn parsed(&mut self, file: FileId, place: &Path, import: &Import) {
        let (tree, found) = syntax::parse(file, &self.sources.get(file).text);
        for diagnostic in found.iter() {
            let diagnostic = diagnostic.clone();
            self.diagnostics
                .push(diagnostic.with_label(import.span, "imported here"));
        }
        for item in &tree.items {
            if let Item::Config(Config { entries, .. }) = item
                && let Some(first) = entries.first()
            {
                let config = Diagnostic::error(
                    Code::Import,
                    first.span,
                    "an imported file can't have a `config` block",
                );
                self.diagnostics.push(
                    config
                        .with_label(import.span, "imported here")
                        .with_help("only the script itself says how it is compiled and run"),
                );
            }
        }
        let items = tree.items.into_iter();
        let tree = Program {
            items: items
                .filter(|item| !matches!(item, Item::Config(_)))
                .collect(),
            ..tree
        };
        self.depth += 1;
        self.merge(tree, place.parent().unwrap_or(Path::new(".")));
        self.depth -= 1;
    }

    /// What is there, and by which path: beside the importing file, beside the script, in the directories of `-I`, in
    /// the standard library.
    fn find(&mut self, import: &Import, directory: &Path) -> Option<(PathBuf, Found)> {
        let path = import.path.text.as_str();
        if path.is_empty() {
            let message = "this imports nothing: its path is empty".to_owned();
            self.error(Code::Import, import.path.span, message);
            return None;
        }
        let mut looked: Vec<PathBuf> = vec![];
        let own = [directory.to_path_buf(), self.script.clone()];
        for directory in own.iter().chain(self.search.directories) {
            if looked.contains(directory) {
                continue;
            }
            looked.push(directory.clone());
            let place = tidy(directory, path);
            match self.search.files.find(&place) {
                Ok(Some(found)) => return Some((place, found)),
                Ok(None) => {}
                Err(why) => {
                    self.unreadable(&place, &why, import);
                    return None;
                }
            }
        }
        if let Some(found) = stdlib::find(path) {
            return Some((PathBuf::from(path), found));
        }
        self.not_found(import, &looked);
        None
    }

    /// What is in a directory, be it the library.
    fn member(&self, path: &Path) -> Result<Option<Found>, String> {
        match self.search.files.find(path)? {
            None => Ok(path.to_str().and_then(stdlib::find)),
            found => Ok(found),
        }
    }

    fn not_found(&mut self, import: &Import, looked: &[PathBuf]) {
        let path = &import.path.text;
        let mut missing = Diagnostic::error(
            Code::Import,
            import.path.span,
            format!("can't find `{path}` to import"),
        );
        let known: Vec<String> = stdlib::paths().collect();
        let near = btc_runtime::suggest::nearest(path, known.iter().map(String::as_str));
        missing = match near {
            Some(near) => missing.with_help(format!("did you mean `{near}`?")),
            None => {
                let looked: Vec<_> = looked
                    .iter()
                    .map(|d| format!("`{}`", d.display()))
                    .collect();
                missing.with_help(format!(
                    "looked in {}; `-I DIR` adds a directory",
                    looked.join(", ")
                ))
            }
        };
        self.diagnostics.push(missing);
    }

    fn unreadable(&mut self, path: &Path, why: &str, import: &Import) {
        let message = format!("can't read `{}`: {why}", path.display());
        self.error(Code::Import, import.path.span, message);
    }

    fn unknown_kind(&mut self, import: &Import) {
        let path = &import.path.text;
        let message = format!("`{path}` is no kind of file that can be imported");
        let help = match path.strip_suffix(".o") {
            Some(source) => format!("import what it was compiled from: import \"{source}.c\""),
            None => "import a `.bt`, `.h` or `.bpf.c` file, or a directory of them".to_owned(),
        };
        self.diagnostics
            .push(Diagnostic::error(Code::Import, import.path.span, message).with_help(help));
    }

    fn only_at_the_top(&mut self, import: &Import) {
        let path = &import.path.text;
        let message = format!("`{path}` can't be imported in a block: only C files can");
        self.diagnostics.push(
            Diagnostic::error(Code::Import, import.path.span, message)
                .with_help(format!("write it outside of all blocks: import \"{path}\"")),
        );
    }
}

/// The header of an `#include <…>`.
fn include(c: &CText) -> Option<&str> {
    let word = c.text.strip_prefix('#')?.trim_start();
    let rest = word.strip_prefix("include")?.trim_start();
    rest.strip_prefix('<')?.split('>').next()
}

/// A path below a directory as a user would write it: nothing in front of what is in the working directory.
fn tidy(directory: &Path, path: &str) -> PathBuf {
    match directory == Path::new(".") {
        true => PathBuf::from(path),
        false => directory.join(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::files::NoFiles;

    /// What ships with btc has no errors that only its users would meet.
    #[test]
    fn the_library_is_well_formed() {
        let headers = ["linux/blkdev.h"].map(|header| stdlib::of_header(header).unwrap().1);
        let scripts = stdlib::SCRIPTS.iter().map(|(_, text)| *text);
        for text in scripts.chain(headers) {
            let (tree, found) = syntax::parse(FileId(0), text);
            assert!(found.is_empty(), "{text}");
            assert!(!tree.items.is_empty(), "{text}");
        }
    }

    #[test]
    fn a_script_without_imports_is_as_it_was() {
        let mut sources = SourceMap::default();
        let file = sources.add(Source::new("x.bt", "begin { }"));
        let (tree, _) = syntax::parse(file, &sources.get(file).text);
        let search = Search {
            files: &NoFiles,
            directories: &[],
        };
        let (made, found) = resolve(tree.clone(), &mut sources, &search);
        assert!(found.is_empty() && made == tree);
        assert_eq!(sources.files().count(), 1);
    }

    #[test]
    fn files_are_told_by_their_names() {
        assert_eq!(Kind::of("a/b.bt"), Some(Kind::Script));
        assert_eq!(Kind::of("b.bpf.c"), Some(Kind::C));
        assert_eq!(Kind::of("b.h"), Some(Kind::Header));
        assert_eq!(Kind::of(".h"), None);
        assert_eq!(Kind::of("b.c"), None);
    }
}
