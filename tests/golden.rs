//! Golden files: a script is compiled against the fixture kernel, and what came of it is held against the file beside
//! it. `BTC_BLESS=1` rewrites the file instead.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use btc::arch::Arch;
use btc::codegen::{self, Text};
use btc::diagnostic::{self, Diagnostics};
use btc::host::files::{Disk, Files, Found, NoFiles};
use btc::host::{COptions, fixture::FixtureHost};
use btc::options::{Language, Options};
use btc::source::{Source, SourceMap};
use btc::{import, ir, layout, sema, syntax};
use clap::Parser;
use codespan_reporting::term::termcolor::NoColor;

use crate::case::{files, words};
use crate::root;

/// What the stages up to the typed tree make of a script.
pub struct Analyzed {
    pub sources: SourceMap,
    pub diagnostics: Diagnostics,
    /// `None`: the diagnostics have errors.
    pub program: Option<ir::Program>,
    arch: Arch,
}

/// Files below a directory, by names that don't tell where it is.
struct Below(PathBuf);

impl Files for Below {
    fn find(&self, path: &Path) -> Result<Option<Found>, String> {
        Disk.find(&self.0.join(path))
    }
}

/// Parses and analyzes against the fixture kernel; nothing can be imported but the standard library.
#[must_use]
pub fn analyze(name: &str, text: &str, language: &Language) -> Analyzed {
    analyze_with(&NoFiles, name, text, language)
}

fn analyze_with(files: &dyn Files, name: &str, text: &str, language: &Language) -> Analyzed {
    let mut sources = SourceMap::default();
    let script = sources.add(Source::new(format!("{name}.bt"), text));
    let (tree, mut diagnostics) = syntax::parse(script, text);
    let search = import::Search {
        files,
        directories: &language.include_directories,
    };
    let (tree, found) = import::resolve(tree, &mut sources, &search);
    diagnostics.extend(found);
    let mut program = None;
    if !diagnostics.has_errors() {
        let (made, found) = sema::analyze(&tree, &sources, &FixtureHost, &options(name, language));
        diagnostics.extend(found);
        program = made.filter(|_| !diagnostics.has_errors());
    }
    Analyzed {
        sources,
        diagnostics,
        program,
        arch: language.target,
    }
}

fn options(name: &str, language: &Language) -> sema::Options {
    sema::Options {
        name: name.to_owned(),
        unsafe_mode: language.r#unsafe,
        c: COptions {
            directories: vec![],
            include_directories: language.include_directories.clone(),
            includes: language.includes.clone(),
        },
        arch: language.target,
        overrides: language.overrides.clone(),
    }
}

impl Analyzed {
    /// The diagnostics as a user reads them, without colours.
    ///
    /// # Errors
    /// What rendering gives, for a span outside of its file.
    pub fn rendered(&self) -> Result<String> {
        let mut out = NoColor::new(vec![]);
        diagnostic::render(&self.diagnostics, &self.sources, &mut out)?;
        Ok(String::from_utf8(out.into_inner())?)
    }

    /// LLVM's text before any pass.
    ///
    /// # Errors
    /// A script with errors, or a bug.
    pub fn llvm(&self) -> Result<String> {
        let program = self.without_errors()?;
        let mut manifest = layout::plan(program, &self.sources);
        let options = codegen::Options {
            arch: self.arch,
            sources: &self.sources,
        };
        Ok(codegen::emit_text(
            program,
            &mut manifest,
            &options,
            Text::LlvmIr,
        )?)
    }

    /// # Errors
    /// The script's errors.
    pub fn without_errors(&self) -> Result<&ir::Program> {
        match &self.program {
            Some(program) => Ok(program),
            None => Err(anyhow!("the script has errors\n{}", self.rendered()?)),
        }
    }
}

/// A golden case: a script and the words of its `// btc:` lines.
pub struct Golden {
    /// `folder/name`, as the test is called.
    pub name: String,
    pub path: PathBuf,
    pub text: String,
    pub language: Language,
}

impl Golden {
    fn read(path: &Path) -> Result<Golden> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let mut line = vec!["btc".to_owned()];
        for head in text.lines().map_while(|l| l.strip_prefix("// btc:")) {
            line.extend(words(head)?);
        }
        // The same on every machine.
        if !line.iter().any(|word| word == "--target") {
            line.extend(["--target", Arch::X86_64.triple()].map(String::from));
        }
        let language = Options::try_parse_from(line.iter().chain(&["x.bt".to_owned()]))?
            .build
            .language;
        let folder = path.parent().and_then(Path::file_name).unwrap_or_default();
        let stem = path.file_stem().unwrap_or_default();
        Ok(Golden {
            name: format!("{}/{}", folder.display(), stem.display()),
            path: path.to_path_buf(),
            text,
            language,
        })
    }

    /// Analyzes the case's script.
    #[must_use]
    pub fn analyze(&self) -> Analyzed {
        let stem = self.path.file_stem().unwrap_or_default();
        let files = Below(root().join("tests/fixtures/import"));
        analyze_with(
            &files,
            &stem.display().to_string(),
            &self.text,
            &self.language,
        )
    }

    /// Holds `made` against the file with this extension beside the script.
    ///
    /// # Errors
    /// They differ; the message shows where.
    pub fn compare(&self, extension: &str, made: &str) -> Result<()> {
        compare(&self.path.with_extension(extension), made)
    }
}

/// All cases of a folder.
///
/// # Errors
/// A case that can't be read.
pub fn collect(folder: &Path) -> Result<Vec<Golden>> {
    files(folder)?
        .iter()
        .filter(|path| path.extension().is_some_and(|e| e == "bt"))
        .map(|path| Golden::read(path))
        .collect()
}

/// Holds a text against a file, or writes the file where `BTC_BLESS` is set.
///
/// # Errors
/// They differ; the message shows where.
pub fn compare(path: &Path, made: &str) -> Result<()> {
    if std::env::var_os("BTC_BLESS").is_some() {
        return Ok(std::fs::write(path, made)?);
    }
    let golden = std::fs::read_to_string(path).unwrap_or_default();
    if golden == made {
        return Ok(());
    }
    let at = golden
        .lines()
        .zip(made.lines())
        .take_while(|(a, b)| a == b)
        .count();
    Err(anyhow!(
        "{} differs from line {} on; `BTC_BLESS=1` rewrites it\n--- expected\n{golden}\n--- made\n{made}",
        path.display(),
        at + 1
    ))
}
