//! What the command line asks → executables, text, or a running tool: the cache, cargo, and where results go.

mod cargo;
mod emit;
mod explain;
mod hash;
mod input;
mod kept;
mod list;
pub mod output;
mod portability;
mod project;
mod requirements;
mod run;
mod workspace;

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use btc_abi::Environment;
use codespan_reporting::term::termcolor::{ColorChoice, StandardStream};

use crate::Compiled;
use crate::diagnostic::{self, Diagnostics};
use crate::options::{Build, Check, Command, Language, Options};
use crate::sema::{Overrides, Reader};
use crate::source::SourceMap;
use input::Script;
use kept::Reuse;
use workspace::Workspace;

/// Wrong usage, as clap has it.
const USAGE: u8 = 2;

/// Does what the options ask; everything that goes wrong has been said when this returns.
#[must_use]
pub fn main(mut options: Options) -> ExitCode {
    if let Err(error) = usage(&options).and_then(|()| configure(&mut options)) {
        say(&error);
        return ExitCode::from(USAGE);
    }
    match &options.command {
        Some(Command::Check(check)) => all(check_all(check)),
        Some(Command::Explain(asked)) => explain::explain(asked.code.as_deref()),
        Some(Command::Portability(asked)) => portability::portability(asked),
        Some(Command::Run(run)) => run::run(run).unwrap_or_else(|error| failed(&error)),
        None if options.build.list => list::list(&options.build),
        None => build_all(&options.build),
    }
}

/// Takes in what the environment configures.
fn configure(options: &mut Options) -> Result<()> {
    let (language, reader) = match &mut options.command {
        Some(Command::Check(check)) => (&mut check.language, Reader::Executable),
        Some(Command::Run(run)) => (&mut run.language, Reader::Executable),
        Some(Command::Portability(_) | Command::Explain(_)) => return Ok(()),
        None if options.build.list => return Ok(()),
        None => (&mut options.build.language, Reader::Nobody),
    };
    let text = |os: std::ffi::OsString| os.to_string_lossy().into_owned();
    let all = std::env::vars_os().map(|(name, value)| (text(name), text(value)));
    let environment = Environment::new(all);
    language.overrides = Overrides::read(&environment, reader).map_err(anyhow::Error::msg)?;
    Ok(())
}

fn say(error: &anyhow::Error) {
    eprintln!("btc: {error:#}");
}

fn failed(error: &anyhow::Error) -> ExitCode {
    say(error);
    ExitCode::FAILURE
}

fn all(good: bool) -> ExitCode {
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// What clap can't see: options that don't go together.
fn usage(options: &Options) -> Result<()> {
    let build = &options.build;
    if options.command.is_some() || build.list {
        return Ok(());
    }
    if build.scripts.is_empty() && build.program.is_none() {
        bail!("no script: name one, or give a program with -e");
    }
    if build.scripts.len() > 1 && build.emit.is_some() {
        bail!("--emit shows one script at a time");
    }
    let unnamed = build.program.is_some() || build.scripts.iter().any(|s| s == Path::new("-"));
    if unnamed && build.output.is_none() && build.emit.is_none() {
        bail!("a program without a file needs a name for its executable: add -o OUT");
    }
    Ok(())
}

/// Compiles one script for an output, which can't be one of the files that it is made of; its diagnostics have been
/// printed. `None`: it has errors.
fn compile(
    script: &Script,
    language: &Language,
    output: Option<&Path>,
) -> Result<Option<(Compiled, SourceMap)>> {
    let mut sources = SourceMap::default();
    let file = sources.add(script.source.clone());
    let (tree, diagnostics) = crate::parse(&mut sources, file, language);
    let spares = |inputs: &mut dyn Iterator<Item = &Path>| match output {
        Some(output) => output::spares(output, inputs),
        None => Ok(()),
    };
    spares(&mut sources.paths().chain(language.btf.as_deref()))?;
    let outcome = crate::compile_tree(&tree, sources, diagnostics, &script.name, language)?;
    spares(&mut outcome.headers.iter().map(PathBuf::as_path))?;
    for note in &outcome.notes {
        eprintln!("note: {note}");
    }
    print_diagnostics(&outcome.diagnostics, &outcome.sources)?;
    Ok(outcome.compiled.map(|compiled| (compiled, outcome.sources)))
}

fn print_diagnostics(diagnostics: &Diagnostics, sources: &SourceMap) -> Result<()> {
    let color = if std::io::stderr().is_terminal() {
        ColorChoice::Auto
    } else {
        ColorChoice::Never
    };
    let mut stderr = StandardStream::stderr(color);
    diagnostic::render(diagnostics, sources, &mut stderr).context("can't write diagnostics")
}

fn check_all(check: &Check) -> bool {
    let mut good = true;
    for script in input::scripts(&check.scripts, check.program.as_deref()) {
        match script.and_then(|script| compile(&script, &check.language, None)) {
            Ok(compiled) => good &= compiled.is_some(),
            Err(error) => {
                say(&error);
                good = false;
            }
        }
    }
    good
}

fn build_all(build: &Build) -> ExitCode {
    if let Err(error) = outputs_fit(build) {
        return failed(&error);
    }
    let mut good = true;
    for script in input::scripts(&build.scripts, build.program.as_deref()) {
        match script.and_then(|script| build_one(build, &script)) {
            Ok(done) => good &= done,
            Err(error) => {
                say(&error);
                good = false;
            }
        }
    }
    all(good)
}

/// Several scripts need a directory and names of their own, and no output can be a script.
fn outputs_fit(build: &Build) -> Result<()> {
    if build.scripts.len() < 2 {
        return spare_scripts(build);
    }
    let mut stems = BTreeSet::new();
    for script in &build.scripts {
        if !stems.insert(script.file_stem()) {
            bail!(
                "two scripts would make one executable: {}",
                script.display()
            );
        }
    }
    if let Some(directory) = &build.output {
        if directory.exists() && !directory.is_dir() {
            bail!(
                "several scripts need a directory: {} is a file",
                directory.display()
            );
        }
        std::fs::create_dir_all(directory)
            .with_context(|| format!("can't create {}", directory.display()))?;
    }
    spare_scripts(build)
}

/// Before any of them is compiled.
fn spare_scripts(build: &Build) -> Result<()> {
    for script in &build.scripts {
        let name = input::name(script);
        if let Some(output) = output_of(build, &name) {
            output::spares(&output, build.scripts.iter().map(PathBuf::as_path))?;
        }
    }
    Ok(())
}

/// Where the result of a script with this name goes; `None`: to standard output.
fn output_of(build: &Build, name: &str) -> Option<PathBuf> {
    match (&build.output, build.emit) {
        (Some(directory), _) if build.scripts.len() > 1 => Some(directory.join(name)),
        (Some(path), _) => Some(path.clone()),
        (None, Some(_)) => None,
        (None, None) => Some(PathBuf::from(name)),
    }
}

fn build_one(build: &Build, script: &Script) -> Result<bool> {
    if let Some(stage) = build.emit {
        return emit::emit(stage, script, build);
    }
    let path = output_of(build, &script.name).context("an executable has a place")?;
    if build.output.is_none() && !script.is_file {
        bail!("standard input needs a name for its executable: add -o OUT");
    }
    output::check(&path)?;
    let start = Instant::now();
    let script = &script.named_after(&path);
    let Some((compiled, _)) = compile(script, &build.language, Some(&path))? else {
        return Ok(false);
    };
    let compiled_at = start.elapsed();
    let reuse = match build.rebuild {
        true => Reuse::Never,
        false => Reuse::Kept,
    };
    build_executable(&compiled, reuse, &path)?;
    if build.verbose > 0 {
        eprintln!(
            "btc: {}: compiled in {:.0} ms, built in {:.0} ms",
            path.display(),
            compiled_at.as_secs_f64() * 1e3,
            (start.elapsed() - compiled_at).as_secs_f64() * 1e3
        );
    }
    Ok(true)
}

/// Builds the executable of a script, and puts it at `path`.
fn build_executable(compiled: &Compiled, reuse: Reuse, path: &Path) -> Result<()> {
    output::check(path)?;
    let workspace = Workspace::open()?;
    let project = project::of(&compiled.manifest, &compiled.object, &workspace)?;
    let built = kept::executable(&workspace, &project, compiled.arch, "tool", reuse)?;
    let bytes = std::fs::read(&built).with_context(|| format!("can't read {}", built.display()))?;
    output::write(path, &bytes, output::Kind::Executable)
}
