//! The last judge: this machine's kernel. What the compiler takes is loaded, by the runtime's own way of loading; the
//! verifier is never the first to find a fault.

use btc::codegen::{self, Refusal};
use btc::host::COptions;
use btc::host::files::NoFiles;
use btc::host::live::{LiveHost, LiveOptions};
use btc::source::{Source, SourceMap};
use btc::{arch::Arch, import, layout, sema, syntax};
use btc_abi::Manifest;
use btc_runtime::attach::{self, Provider};
use btc_runtime::{Tracer, rehearsal};

macro_rules! providers {
    ($($module:ident::$provider:ident,)*) => {
        /// All kinds of probes.
        pub static PROVIDERS: &[&dyn Provider] = &[$(&attach::$module::$provider,)*];
        /// The same below `btc_runtime::attach`.
        pub const PROVIDER_NAMES: &[&str] =
            &[$(concat!(stringify!($module), "::", stringify!($provider)),)*];
    };
}

providers! {
    begin_end::BeginEnd,
    fentry::Fentry,
    hardware::Hardware,
    interval::Interval,
    iter::Iter,
    kprobe::Kprobe,
    profile::Profile,
    rawtracepoint::Rawtracepoint,
    self_signal::SelfSignal,
    software::Software,
    tracepoint::Tracepoint,
    trial::TestBench,
    uprobe::Uprobe,
    usdt::Usdt,
    watchpoint::Watchpoint,
}

/// What became of a script.
pub enum Outcome {
    /// Diagnostics refuse it; they are as a user reads them.
    Diagnosed(String),
    /// The kernel took so many of its programs.
    Loaded(usize),
}

/// A script that compiles for this machine's kernel.
pub struct Compiled {
    pub manifest: Manifest,
    pub object: Vec<u8>,
}

/// This machine; its types are read once.
pub struct Machine(LiveHost);

impl Machine {
    #[must_use]
    pub fn new() -> Machine {
        Machine(LiveHost::new(LiveOptions {
            btf: None,
            sysroot: None,
            arch: Arch::X86_64,
        }))
    }

    /// Compiles; the diagnostics where there are errors.
    ///
    /// # Errors
    /// A bug of the compiler.
    pub fn compile(&self, text: &str) -> Result<Result<Compiled, String>, String> {
        let mut sources = SourceMap::default();
        let script = sources.add(Source::new("fuzz.bt", text));
        let (tree, mut diagnostics) = syntax::parse(script, text);
        let search = import::Search {
            files: &NoFiles,
            directories: &[],
        };
        let (tree, found) = import::resolve(tree, &mut sources, &search);
        diagnostics.extend(found);
        let options = sema::Options {
            name: "fuzz".into(),
            unsafe_mode: true,
            c: COptions::default(),
            arch: Arch::X86_64,
            overrides: sema::Overrides::default(),
        };
        let mut program = None;
        if !diagnostics.has_errors() {
            let (made, found) = sema::analyze(&tree, &sources, &self.0, &options);
            diagnostics.extend(found);
            program = made.filter(|_| !diagnostics.has_errors());
        }
        let Some(program) = program else {
            return Ok(Err(crate::judge::rendered(&diagnostics, &sources)?));
        };
        let mut manifest = layout::plan(&program, &sources);
        let options = codegen::Options {
            arch: Arch::X86_64,
            sources: &sources,
        };
        match codegen::emit(&program, &mut manifest, &options) {
            Ok(object) => Ok(Ok(Compiled {
                manifest,
                object: object.elf,
            })),
            Err(Refusal::Bug(bug)) => Err(bug.to_string()),
            Err(refusal) => Ok(Err(refusal.to_string())),
        }
    }

    /// Compiles a script and loads what comes of it.
    ///
    /// # Errors
    /// A bug of the compiler, or the kernel refuses a program.
    pub fn judge(&self, text: &str) -> Result<Outcome, String> {
        let compiled = match self.compile(text)? {
            Ok(compiled) => compiled,
            Err(diagnostics) => return Ok(Outcome::Diagnosed(diagnostics)),
        };
        // A tracer lives as long as its process.
        let tracer = Box::leak(Box::new(Tracer {
            manifest: Box::leak(Box::new(compiled.manifest)),
            providers: PROVIDERS,
            symbolizer: None,
            packets: Some(btc_runtime::packets::open),
            unwinder: None,
        }));
        match rehearsal::rehearse(tracer, compiled.object) {
            Ok(rehearsed) => Ok(Outcome::Loaded(rehearsed.loaded)),
            // Other errors say what this machine lacks.
            Err(error) if !error.to_string().contains("the kernel refused") => {
                Ok(Outcome::Loaded(0))
            }
            Err(error) => Err(format!("refused by the kernel: {error}")),
        }
    }
}
