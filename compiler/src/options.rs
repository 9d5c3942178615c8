//! The command line → what btc is asked to do.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use crate::arch::Arch;
use crate::sema::Overrides;

/// Compile bpftrace scripts into standalone executables.
///
/// An executable carries its BPF bytecode, its attach logic and its output formatting, and runs on other machines and
/// other kernels: no LLVM, no clang, no libraries, no script there.
#[derive(Debug, Parser)]
#[command(
    name = "btc",
    version,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    arg_required_else_help = true
)]
pub struct Options {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub build: Build,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Say what is wrong with scripts, and make nothing
    Check(Check),
    /// Compile a script into the cache and run it, with bpftrace's own command line
    Run(Run),
    /// Say what the code of a diagnostic means, with an example; without a code, list them
    Explain(Explain),
    /// Say on which kernels scripts run, by the kernels' BTF and without booting them
    Portability(Portability),
}

/// Everything that decides what a script means.
#[derive(Clone, Debug, Default, Args)]
pub struct Language {
    /// Allow functions that change the system: system(), signal(), override()
    #[arg(long)]
    pub r#unsafe: bool,
    /// Look for C headers here as well
    #[arg(short = 'I', value_name = "DIR")]
    pub include_directories: Vec<PathBuf>,
    /// Include this C header before the script
    #[arg(long = "include", value_name = "FILE")]
    pub includes: Vec<String>,
    /// Say errors only
    #[arg(long)]
    pub no_warnings: bool,
    /// Take kernel types from this BTF file instead of the running kernel
    #[arg(long, value_name = "FILE")]
    pub btf: Option<PathBuf>,
    /// Take the kernel's types and tracepoint formats from below this directory
    #[arg(long, value_name = "DIR")]
    pub sysroot: Option<PathBuf>,
    /// Compile for x86_64-unknown-linux-gnu or aarch64-unknown-linux-gnu; without it, for machines like this one
    #[arg(
        long,
        value_name = "TARGET",
        default_value_t,
        hide_default_value = true
    )]
    pub target: Arch,
    /// What the environment configures.
    #[arg(skip)]
    pub overrides: Overrides,
}

#[derive(Debug, Args)]
pub struct Build {
    /// Scripts to compile; `-` is standard input
    #[arg(value_name = "SCRIPT")]
    pub scripts: Vec<PathBuf>,
    /// Compile this program instead of a script
    #[arg(short = 'e', value_name = "PROGRAM", conflicts_with = "scripts")]
    pub program: Option<String>,
    /// The executable; a directory for several scripts; without it, the script's name without .bt in this directory
    #[arg(short = 'o', long = "output", value_name = "OUT")]
    pub output: Option<PathBuf>,
    /// Show a stage of the compilation instead of making an executable
    #[arg(long, value_name = "STAGE")]
    pub emit: Option<Stage>,
    /// List probes instead: patterns (`kprobe:vfs_*`, `*sleep*`), what a script attaches to, `struct NAME`; with -v
    /// arguments and members
    #[arg(short = 'l', long, conflicts_with_all = ["output", "emit", "rebuild"])]
    pub list: bool,
    /// Say how long each step took
    #[arg(short = 'v', long, action = ArgAction::Count)]
    pub verbose: u8,
    /// Build anew what the cache has an executable of
    #[arg(long)]
    pub rebuild: bool,
    #[command(flatten)]
    pub language: Language,
}

#[derive(Debug, Args)]
pub struct Check {
    /// Scripts to check; `-` is standard input
    #[arg(value_name = "SCRIPT", required_unless_present = "program")]
    pub scripts: Vec<PathBuf>,
    /// Check this program instead of a script
    #[arg(short = 'e', value_name = "PROGRAM", conflicts_with = "scripts")]
    pub program: Option<String>,
    #[command(flatten)]
    pub language: Language,
}

#[derive(Debug, Args)]
pub struct Explain {
    /// As a diagnostic shows it in brackets: `unset-variable`
    #[arg(value_name = "CODE")]
    pub code: Option<String>,
}

#[derive(Debug, Args)]
pub struct Portability {
    /// Scripts, and directories of scripts
    #[arg(value_name = "SCRIPT", required = true)]
    pub scripts: Vec<PathBuf>,
    /// The kernels: raw BTF or vmlinux files, as FILE or as NAME=FILE
    #[arg(long = "btf", value_name = "FILE", required = true, num_args = 1..)]
    pub kernels: Vec<String>,
    /// How the report is printed
    #[arg(short = 'f', value_name = "FORMAT", default_value = "text")]
    pub format: Format,
    /// Allow functions that change the system: system(), signal(), override()
    #[arg(long)]
    pub r#unsafe: bool,
    /// Look for C headers here as well
    #[arg(short = 'I', value_name = "DIR")]
    pub include_directories: Vec<PathBuf>,
    /// Include this C header before the script
    #[arg(long = "include", value_name = "FILE")]
    pub includes: Vec<String>,
    /// Take the types and formats that scripts are compiled with from below this directory
    #[arg(long, value_name = "DIR")]
    pub sysroot: Option<PathBuf>,
}

impl Portability {
    /// What scripts mean is this machine's to say, as it is when they are compiled.
    #[must_use]
    pub fn language(&self, target: Arch) -> Language {
        Language {
            target,
            r#unsafe: self.r#unsafe,
            include_directories: self.include_directories.clone(),
            includes: self.includes.clone(),
            sysroot: self.sysroot.clone(),
            ..Language::default()
        }
    }
}

/// Of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Format {
    Text,
    Json,
}

#[derive(Debug, Args)]
pub struct Run {
    /// Run this program instead of a script
    #[arg(short = 'e', value_name = "PROGRAM")]
    pub program: Option<String>,
    /// The script, then its positional parameters (parameters alone with -e)
    #[arg(value_name = "SCRIPT [ARGS]", required_unless_present = "program")]
    pub words: Vec<String>,
    /// Run this command and trace until it ends
    #[arg(short = 'c', value_name = "COMMAND")]
    pub command: Option<String>,
    /// Trace this process where a probe can be limited to one
    #[arg(short = 'p', value_name = "PID")]
    pub pid: Option<String>,
    /// Output format: text or json
    #[arg(short = 'f', value_name = "FORMAT")]
    pub format: Option<String>,
    /// Write the output to this file
    #[arg(short = 'o', value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Buffering of the output: line, full or none
    #[arg(short = 'B', value_name = "MODE")]
    pub buffering: Option<String>,
    /// Print no messages of the runtime's own
    #[arg(short = 'q', long)]
    pub quiet: bool,
    /// Say what is loaded and attached
    #[arg(short = 'v', long, action = ArgAction::Count)]
    pub verbose: u8,
    /// Say where reads of memory failed
    #[arg(short = 'k')]
    pub failed_reads: bool,
    /// Leave control characters in traced text as they are, on a terminal too
    #[arg(long)]
    pub raw_output: bool,
    /// Say what would be attached, and stop
    #[arg(long)]
    pub dry_run: bool,
    /// List the probes of this machine that would be attached, and stop
    #[arg(long)]
    pub list: bool,
    #[command(flatten)]
    pub language: Language,
}

impl Run {
    /// The words of the executable's command line.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let mut words = vec![];
        let output = self.output.as_ref().map(|p| p.display().to_string());
        for (option, value) in [
            ("-c", &self.command),
            ("-p", &self.pid),
            ("-f", &self.format),
            ("-o", &output),
            ("-B", &self.buffering),
        ] {
            if let Some(value) = value {
                words.extend([option.to_string(), value.clone()]);
            }
        }
        words.extend(self.quiet.then(|| "-q".to_string()));
        words.extend((0..self.verbose).map(|_| "-v".to_string()));
        for (option, given) in [
            ("-k", self.failed_reads),
            ("--no-warnings", self.language.no_warnings),
            ("--raw-output", self.raw_output),
            ("--dry-run", self.dry_run),
            ("--list", self.list),
        ] {
            words.extend(given.then(|| option.to_string()));
        }
        let skip = usize::from(self.program.is_none());
        let parameters = self.words.get(skip..).unwrap_or_default();
        // What looks like an option belongs to the script here.
        words.extend(
            parameters
                .iter()
                .any(|word| word.starts_with('-'))
                .then(|| "--".to_string()),
        );
        words.extend(parameters.iter().cloned());
        words
    }
}

/// A stage whose result can be printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Stage {
    /// The untyped tree
    Ast,
    /// The typed tree
    Ir,
    /// What the runtime is told
    Manifest,
    /// LLVM's IR
    Llvm,
    /// The BPF object
    Object,
    /// The BPF object's instructions
    Asm,
    /// The Rust crate that cargo builds
    Project,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Options {
        Options::try_parse_from(std::iter::once("btc").chain(words.iter().copied()))
            .unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory;
        Options::command().debug_assert();
    }

    #[test]
    fn scripts_and_an_output() {
        let options = parse(&["a.bt", "b.bt", "-o", "bin"]);
        assert_eq!(options.build.scripts.len(), 2);
        assert!(options.command.is_none());
    }

    #[test]
    fn run_takes_bpftraces_words() {
        let run = |words: &[&str]| match parse(words).command {
            Some(Command::Run(run)) => run,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            run(&["run", "x.bt", "181", "-q"]).arguments(),
            ["-q", "181"]
        );
        assert_eq!(
            run(&["run", "-e", "p", "-c", "ls -l"]).arguments(),
            ["-c", "ls -l"]
        );
        assert_eq!(
            run(&["run", "-e", "p", "-p7", "1"]).arguments(),
            ["-p", "7", "1"]
        );
        assert_eq!(
            run(&["run", "x.bt", "--", "--n=3"]).arguments(),
            ["--", "--n=3"]
        );
    }
}
