//! A script and a stage → that stage's result, on standard output or in a file.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use btc_abi::ToConst;

use super::input::Script;
use super::workspace::{self, Workspace};
use super::{cargo, compile, output, project};
use crate::codegen::Text;
use crate::options::{Build, Language, Stage};
use crate::skeleton::{self, File};
use crate::source::SourceMap;
use crate::syntax::ast::Program;
use crate::{Compiled, ir};

/// Shows one stage; `false` when the script has errors.
///
/// # Errors
/// This machine's fault.
pub fn emit(stage: Stage, script: &Script, build: &Build) -> Result<bool> {
    if stage == Stage::Ast {
        return emit_ast(script, &build.language, build.output.as_deref());
    }
    let Some((compiled, sources)) = compile(script, &build.language, build.output.as_deref())?
    else {
        return Ok(false);
    };
    let output = build.output.as_deref();
    match stage {
        Stage::Project => emit_project(&compiled, output)?,
        Stage::Object => {
            if output.is_none() && std::io::stdout().is_terminal() {
                bail!("an object is not text: add -o FILE");
            }
            write(&compiled.object, output)?;
        }
        Stage::Manifest => {
            let mut literal = String::new();
            compiled.manifest.to_const(&mut literal);
            write_text(&skeleton::break_lines(&literal), output)?;
        }
        Stage::Ir => write_text(&ir::print::print(&compiled.program), output)?,
        Stage::Llvm => write_text(&compiled.text(&sources, Text::LlvmIr)?, output)?,
        Stage::Asm => write_text(&compiled.text(&sources, Text::Assembly)?, output)?,
        Stage::Ast => {}
    }
    Ok(true)
}

/// The tree is shown as far as it could be read, beside what is wrong with the text.
fn emit_ast(script: &Script, language: &Language, output: Option<&Path>) -> Result<bool> {
    let mut sources = SourceMap::default();
    let file = sources.add(script.source.clone());
    let (tree, diagnostics) = crate::parse(&mut sources, file, language);
    super::print_diagnostics(&diagnostics, &sources)?;
    if let Some(output) = output {
        output::spares(output, sources.paths())?;
        let included: Vec<PathBuf> = quoted(&tree, &sources, language).collect();
        output::spares(output, included.iter().map(PathBuf::as_path))?;
    }
    write_text(&format!("{tree:#?}"), output)?;
    Ok(!diagnostics.has_errors())
}

/// Where the headers in quotes may be, which nothing has read.
fn quoted<'a>(
    tree: &'a Program,
    sources: &SourceMap,
    language: &'a Language,
) -> impl Iterator<Item = PathBuf> + 'a {
    let mut directories = sources.directories();
    directories.extend(language.include_directories.iter().cloned());
    directories.push(PathBuf::from("."));
    let lines = tree.preamble.iter().flat_map(|c| c.text.lines());
    let headers = lines.filter_map(|line| {
        let word = line.trim_start().strip_prefix('#')?.trim_start();
        let name = word.strip_prefix("include")?.trim_start();
        name.strip_prefix('"')?.split('"').next()
    });
    let options = language.includes.iter().map(String::as_str);
    (headers.chain(options))
        .flat_map(move |name| directories.clone().into_iter().map(move |d| d.join(name)))
}

/// Text, with a line's end at its end, for a file or standard output.
pub fn write_text(text: &str, path: Option<&Path>) -> Result<()> {
    let end = if text.ends_with('\n') { "" } else { "\n" };
    write(format!("{text}{end}").as_bytes(), path)
}

fn write(contents: &[u8], path: Option<&Path>) -> Result<()> {
    if let Some(path) = path {
        return output::write(path, contents, output::Kind::Data);
    }
    match std::io::stdout().lock().write_all(contents) {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("can't write to standard output"),
    }
}

/// A workspace that plain cargo builds: the tool, the runtime beside it, and how to link. Without a directory, the text
/// files of the tool alone.
fn emit_project(compiled: &Compiled, directory: Option<&Path>) -> Result<()> {
    let cache = Workspace::open()?;
    let project = project::of(&compiled.manifest, &compiled.object, &cache)?;
    let Some(directory) = directory else {
        let mut text = String::new();
        for file in &project.files {
            let shown = String::from_utf8(file.contents.clone());
            let shown = shown.unwrap_or(format!("({} bytes)\n", file.contents.len()));
            text.push_str(&format!("==> {} <==\n{shown}\n", file.path));
        }
        return write_text(&text, None);
    };
    if directory.exists() && std::fs::read_dir(directory).is_ok_and(|mut d| d.next().is_some()) {
        bail!("{} is not empty", directory.display());
    }
    let mut files = workspace::runtime_files();
    files.push(cargo::configuration(&cache, compiled.arch)?);
    files.extend(
        project
            .files
            .into_iter()
            .map(|file| File::new(format!("tool/{}", file.path), file.contents)),
    );
    workspace::write_files(directory, &files)
}
