//! btc: an ahead-of-time compiler for the bpftrace language.
//!
//! The whole pipeline, each stage a function from one type to the next:
//! `syntax::parse` → `import::resolve` → `sema::analyze` → `layout::plan` → `codegen::emit` → `skeleton::render` → `driver`.

pub mod arch;
pub mod bug;
pub mod builtin;
pub mod codegen;
pub mod diagnostic;
pub mod driver;
pub mod host;
pub mod import;
pub mod ir;
pub mod layout;
pub mod listing;
pub mod options;
pub mod portability;
pub mod provider;
pub mod sema;
pub mod skeleton;
pub mod source;
pub mod syntax;

use std::path::PathBuf;

use btc_abi::Manifest;

use arch::Arch;
use codegen::{Refusal, Text};
use diagnostic::{Code, Diagnostic, Diagnostics};
use host::COptions;
use host::files::Disk;
use host::live::{LiveHost, LiveOptions};
use options::Language;
use source::{FileId, Source, SourceMap};
use syntax::ast;

/// A script that has no errors.
#[derive(Clone, Debug)]
pub struct Compiled {
    pub program: ir::Program,
    pub manifest: Manifest,
    /// The BPF object.
    pub object: Vec<u8>,
    /// The machine that all of it is for.
    pub arch: Arch,
}

/// What became of a script.
#[derive(Debug)]
pub struct Outcome {
    pub sources: SourceMap,
    pub diagnostics: Diagnostics,
    /// What the answers came from where this machine had none.
    pub notes: Vec<String>,
    /// The headers that its C includes; the other files are `sources`.
    pub headers: Vec<PathBuf>,
    /// `None`: the diagnostics have errors.
    pub compiled: Option<Compiled>,
}

/// The whole compiler: a script, its tool's name and the options that say what it means → a manifest and a BPF object.
///
/// # Errors
/// This machine's fault, or a bug; the script's faults are diagnostics.
pub fn compile(source: Source, name: &str, language: &Language) -> anyhow::Result<Outcome> {
    let mut sources = SourceMap::default();
    let script = sources.add(source);
    let (tree, diagnostics) = parse(&mut sources, script, language);
    compile_tree(&tree, sources, diagnostics, name, language)
}

/// The stages after parsing.
///
/// # Errors
/// As [`compile`].
pub fn compile_tree(
    tree: &ast::Program,
    sources: SourceMap,
    mut diagnostics: Diagnostics,
    name: &str,
    language: &Language,
) -> anyhow::Result<Outcome> {
    let host = host(language)?;
    let compiled = if diagnostics.has_errors() {
        None
    } else {
        let options = sema_options(name, &sources, language);
        let (program, found) = sema::analyze(tree, &sources, &host, &options);
        if let Some(header) = host.missing_header() {
            anyhow::bail!("--include: {header} is not found: -I DIR adds a directory to look in");
        }
        diagnostics.extend(found);
        match program.filter(|_| !diagnostics.has_errors()) {
            Some(program) => generate(program, language.target, &sources, &mut diagnostics)?,
            None => None,
        }
    };
    if language.no_warnings {
        diagnostics.keep_errors();
    }
    Ok(Outcome {
        sources,
        diagnostics,
        notes: host.notes(),
        headers: host.headers(),
        compiled,
    })
}

/// The typed tree → manifest and object.
fn generate(
    program: ir::Program,
    arch: Arch,
    sources: &SourceMap,
    diagnostics: &mut Diagnostics,
) -> anyhow::Result<Option<Compiled>> {
    let mut manifest = layout::plan(&program, sources);
    let object = match codegen::emit(&program, &mut manifest, &codegen_options(arch, sources)) {
        Ok(object) => object.elf,
        Err(Refusal::Stack { probe }) => {
            diagnostics.push(stack_too_large(&program.probes[probe]));
            return Ok(None);
        }
        Err(Refusal::Nesting { probe, depth }) => {
            diagnostics.push(loops_too_deep(&program.probes[probe], depth));
            return Ok(None);
        }
        Err(Refusal::Calls { probe, frames }) => {
            diagnostics.push(calls_too_deep(&program.probes[probe], frames));
            return Ok(None);
        }
        Err(Refusal::Size {
            probe,
            instructions,
        }) => {
            diagnostics.push(program_too_large(&program.probes[probe], instructions));
            return Ok(None);
        }
        Err(Refusal::Bug(bug)) => return Err(bug.into()),
    };
    Ok(Some(Compiled {
        program,
        manifest,
        object,
        arch,
    }))
}

fn loops_too_deep(probe: &ir::Probe, depth: u32) -> Diagnostic {
    Diagnostic::error(
        Code::ProgramTooLarge,
        probe.span,
        format!("loops are {depth} deep within each other here, and kernels take 6"),
    )
    .with_help("constant ranges of a few rounds and `unroll` don't count")
}

fn calls_too_deep(probe: &ir::Probe, frames: u32) -> Diagnostic {
    Diagnostic::error(
        Code::ProgramTooLarge,
        probe.span,
        format!("functions call each other {frames} deep here, and kernels take 8"),
    )
    .with_help("loops within each other are such functions, and what compares or searches long strings has four")
}

fn program_too_large(probe: &ir::Probe, instructions: u64) -> Diagnostic {
    Diagnostic::error(
        Code::ProgramTooLarge,
        probe.span,
        format!("this probe has {instructions} instructions, more than BPF's jumps reach"),
    )
    .with_help("use `for` or `while` in place of `unroll`, or split the probe")
}

fn stack_too_large(probe: &ir::Probe) -> Diagnostic {
    Diagnostic::error(
        Code::StackTooLarge,
        probe.span,
        "the values of this probe don't fit into the 512 bytes of BPF's stack",
    )
    .with_help("keep some of them in maps, or split the probe")
}

/// Source text → the untyped tree, with all that the script imports.
#[must_use]
pub fn parse(
    sources: &mut SourceMap,
    script: FileId,
    language: &Language,
) -> (ast::Program, Diagnostics) {
    let (tree, mut diagnostics) = syntax::parse(script, &sources.get(script).text);
    let search = import::Search {
        files: &Disk,
        directories: &language.include_directories,
    };
    let (tree, found) = import::resolve(tree, sources, &search);
    diagnostics.extend(found);
    (tree, diagnostics)
}

impl Compiled {
    /// The program as LLVM's text or as BPF instructions.
    ///
    /// # Errors
    /// A bug.
    pub fn text(&self, sources: &SourceMap, text: Text) -> anyhow::Result<String> {
        let mut manifest = layout::plan(&self.program, sources);
        let options = codegen_options(self.arch, sources);
        Ok(codegen::emit_text(
            &self.program,
            &mut manifest,
            &options,
            text,
        )?)
    }
}

/// What this machine, or the one that the options name, knows.
///
/// # Errors
/// The file of `--btf` can't be read, or a directory of an option is none.
pub fn host(language: &Language) -> anyhow::Result<LiveHost> {
    let host = LiveHost::new(LiveOptions {
        btf: language.btf.clone(),
        sysroot: language.sysroot.clone(),
        arch: language.target,
    });
    if language.btf.is_some() {
        host.btf().map_err(|why| anyhow::anyhow!("--btf: {why}"))?;
    }
    let include = language.include_directories.iter().map(|d| ("-I", d));
    let sysroot = language.sysroot.iter().map(|d| ("--sysroot", d));
    for (option, directory) in include.chain(sysroot) {
        if !directory.is_dir() {
            anyhow::bail!("{option}: {} is no directory", directory.display());
        }
    }
    Ok(host)
}

fn sema_options(name: &str, sources: &SourceMap, language: &Language) -> sema::Options {
    sema::Options {
        name: name.to_string(),
        unsafe_mode: language.r#unsafe,
        c: COptions {
            directories: sources.directories(),
            include_directories: language.include_directories.clone(),
            includes: language.includes.clone(),
        },
        arch: language.target,
        overrides: language.overrides.clone(),
    }
}

fn codegen_options(arch: Arch, sources: &SourceMap) -> codegen::Options<'_> {
    codegen::Options { arch, sources }
}
