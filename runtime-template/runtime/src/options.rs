//! Command line → options and checked parameters. Hand-written: a parser crate would be a fifth of the executable.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use btc_abi::{Manifest, TargetValue};

use crate::Error;
use crate::format::controls::Controls;
use crate::parameters::Parameters;
use crate::plan::Mode;
use crate::report::{Buffering, OutputFormat};
use crate::usage;

/// What the command line asks for.
pub enum Request {
    Run(Box<Options>),
    /// Text for standard output, then exit status 0.
    Print(String),
}

/// The options of a run.
pub struct Options {
    /// `-p`: user probes and the pid filter are of this process; its end ends the run.
    pub pid: Option<i32>,
    /// `-c`: started when everything is attached; its end ends the run.
    pub command: Option<String>,
    pub format: OutputFormat,
    /// `-o`
    pub output: Option<String>,
    pub quiet: bool,
    /// `-v`: libbpf's log, and what is attached where.
    pub verbose: bool,
    pub buffering: Buffering,
    pub warn_failed_reads: bool,
    pub no_warnings: bool,
    /// `--raw-output`
    pub raw_output: bool,
    pub purpose: Purpose,
    /// `--test` and `--bench`
    pub mode: Mode,
    pub parameters: Parameters,
}

/// What is done with the plan of what to attach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Trace,
    /// `--dry-run`: all of it is printed, what is missing too.
    DryRun,
    /// `--list`: the names of this machine's probes are printed.
    List,
}

/// Reads the arguments after the program's name.
pub fn parse(
    manifest: &Manifest,
    arguments: impl Iterator<Item = OsString>,
) -> Result<Request, Error> {
    let mut words = Vec::new();
    for argument in arguments {
        let text = argument.into_string().map_err(|bad| {
            let shown = Controls::Escaped.value(bad.as_bytes().into());
            let shown = String::from_utf8_lossy(&shown);
            Error::usage(format!("`{shown}` is not valid UTF-8"))
        })?;
        words.push(text);
    }
    let mut reader = Reader {
        manifest,
        words: words.into_iter(),
        options: Options {
            pid: None,
            command: None,
            format: OutputFormat::Text,
            output: None,
            quiet: false,
            verbose: false,
            buffering: Buffering::Full,
            warn_failed_reads: false,
            no_warnings: false,
            raw_output: false,
            purpose: Purpose::Trace,
            mode: Mode::Trace,
            parameters: Parameters::new(manifest),
        },
        positional: Vec::new(),
        named_only: false,
    };
    while let Some(word) = reader.words.next() {
        if let Some(text) = reader.word(word)? {
            return Ok(Request::Print(text));
        }
    }
    let Reader {
        mut options,
        positional,
        ..
    } = reader;
    if options.purpose != Purpose::Trace && options.format == OutputFormat::Json {
        return Err(Error::usage("`-f json`: --list and --dry-run print text"));
    }
    if let (false, Some(file)) = (options.purpose == Purpose::Trace, &options.output) {
        return Err(Error::usage(format!(
            "`-o {file}`: --list and --dry-run print to standard output"
        )));
    }
    let counted = (manifest.slots.iter()).any(|slot| slot.value == TargetValue::PositionalCount);
    if positional.len() > manifest.positional.len() && !counted {
        let surplus = &positional[manifest.positional.len()];
        return Err(Error::usage(format!(
            "unexpected argument `{surplus}`: {} takes {} positional parameter{}",
            manifest.name,
            manifest.positional.len(),
            if manifest.positional.len() == 1 {
                ""
            } else {
                "s"
            },
        )));
    }
    options.parameters.set_positional(manifest, positional)?;
    Ok(Request::Run(Box::new(options)))
}

struct Reader<'a> {
    manifest: &'a Manifest,
    words: std::vec::IntoIter<String>,
    options: Options,
    positional: Vec<String>,
    /// After `--`: options of the runtime end, named parameters go on.
    named_only: bool,
}

impl Reader<'_> {
    /// Takes one word; text to print and stop where it asks for that.
    fn word(&mut self, word: String) -> Result<Option<String>, Error> {
        if word == "--" && !self.named_only {
            self.named_only = true;
            return Ok(None);
        }
        if let Some(long) = word.strip_prefix("--") {
            return self.long(&word, long);
        }
        let dash = !self.named_only && word.len() > 1 && word.starts_with('-');
        if dash && !word[1..].starts_with(|c: char| c.is_ascii_digit()) {
            return self.short(&word);
        }
        self.positional.push(word);
        Ok(None)
    }

    fn long(&mut self, word: &str, long: &str) -> Result<Option<String>, Error> {
        let (name, value) = match long.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (long, None),
        };
        if !self.named_only && value.is_none() {
            match name {
                "no-warnings" => self.options.no_warnings = true,
                "raw-output" => self.options.raw_output = true,
                "dry-run" => self.options.purpose = Purpose::DryRun,
                "list" => self.options.purpose = Purpose::List,
                "test" if Mode::Test.is_of(self.manifest) => self.options.mode = Mode::Test,
                "bench" if Mode::Bench.is_of(self.manifest) => self.options.mode = Mode::Bench,
                "unsafe" if self.manifest.unsafe_mode => {}
                "unsafe" => {
                    return Err(Error::usage(format!(
                        "`--unsafe`: {} was compiled without it; unsafe functions are decided when btc compiles",
                        self.manifest.name
                    )));
                }
                // The kernel counts semaphores up in whatever process maps the file.
                "usdt-file-activation" => {}
                "help" => return Ok(Some(usage::help(self.manifest))),
                "version" => return Ok(Some(usage::version(self.manifest))),
                "info" => return Ok(Some(usage::info(self.manifest)?)),
                _ => return self.named(word, name, None).map(|()| None),
            }
            return Ok(None);
        }
        self.named(word, name, value).map(|()| None)
    }

    fn named(&mut self, word: &str, name: &str, value: Option<String>) -> Result<(), Error> {
        let found = (self.manifest.named.iter()).position(|parameter| parameter.name == name);
        let Some(index) = found else {
            let known: Vec<_> = (self.manifest.named.iter())
                .map(|parameter| format!("--{}", parameter.name))
                .collect();
            let hint = if known.is_empty() {
                format!("{} has no named parameters", self.manifest.name)
            } else {
                format!("its named parameters are {}", known.join(", "))
            };
            return Err(Error::usage(format!("unknown option `{word}`: {hint}")));
        };
        let value = match value {
            Some(value) => value,
            None if Parameters::is_flag(self.manifest, index) => "true".to_owned(),
            None => (self.words.next())
                .ok_or_else(|| Error::usage(format!("`--{name}` needs a value")))?,
        };
        self.options
            .parameters
            .set_named(self.manifest, index, value)
    }

    /// A cluster of short options; the last may have its value attached (`-fjson`) or in the next word.
    fn short(&mut self, word: &str) -> Result<Option<String>, Error> {
        for (at, letter) in word.char_indices().skip(1) {
            match letter {
                'q' => self.options.quiet = true,
                'v' => self.options.verbose = true,
                'k' => self.options.warn_failed_reads = true,
                'h' => return Ok(Some(usage::help(self.manifest))),
                'V' => return Ok(Some(usage::version(self.manifest))),
                'p' | 'c' | 'f' | 'o' | 'B' => {
                    let attached = &word[at + 1..];
                    let value = if attached.is_empty() {
                        (self.words.next())
                            .ok_or_else(|| Error::usage(format!("`-{letter}` needs a value")))?
                    } else {
                        attached.to_owned()
                    };
                    return self.valued(letter, value).map(|()| None);
                }
                _ => {
                    return Err(Error::usage(format!(
                        "unknown option `-{letter}`; `{} -h` lists the options",
                        self.manifest.name
                    )));
                }
            }
        }
        Ok(None)
    }

    fn valued(&mut self, letter: char, value: String) -> Result<(), Error> {
        match letter {
            'p' => {
                let pid = value.parse::<i32>().ok().filter(|pid| *pid > 0);
                let pid = pid.ok_or_else(|| {
                    Error::usage(format!(
                        "`-p {value}`: expected a process id, a positive number"
                    ))
                })?;
                self.options.pid = Some(pid);
            }
            'c' if value.trim().is_empty() => {
                return Err(Error::usage("`-c` needs a command"));
            }
            'c' => self.options.command = Some(value),
            'o' => self.options.output = Some(value),
            'f' => {
                self.options.format = match value.as_str() {
                    "text" => OutputFormat::Text,
                    "json" => OutputFormat::Json,
                    _ => return Err(Error::usage(format!("`-f {value}`: expected text or json"))),
                };
            }
            _ => {
                self.options.buffering = match value.as_str() {
                    "none" => Buffering::None,
                    "line" => Buffering::Line,
                    "full" => Buffering::Full,
                    _ => {
                        return Err(Error::usage(format!(
                            "`-B {value}`: expected none, line or full"
                        )));
                    }
                };
            }
        }
        if self.options.pid.is_some() && self.options.command.is_some() {
            return Err(Error::usage("`-p` and `-c` exclude each other"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::manifest;
    use btc_abi::{Parameter, ParameterType};

    fn words(line: &str) -> impl Iterator<Item = OsString> {
        line.split(' ')
            .filter(|w| !w.is_empty())
            .map(OsString::from)
            .collect::<Vec<_>>()
            .into_iter()
    }

    fn run(line: &str) -> Result<Box<Options>, Error> {
        let mut manifest = manifest();
        manifest.positional = vec![Parameter {
            name: "1".into(),
            ty: ParameterType::Integer { default: None },
            description: "".into(),
        }]
        .into();
        manifest.named = vec![
            Parameter {
                name: "top".into(),
                ty: ParameterType::Integer { default: Some(5) },
                description: "".into(),
            },
            Parameter {
                name: "all".into(),
                ty: ParameterType::Bool { default: false },
                description: "".into(),
            },
        ]
        .into();
        match parse(&manifest, words(line))? {
            Request::Run(options) => Ok(options),
            Request::Print(text) => Err(Error::new(text)),
        }
    }

    #[test]
    fn options_and_parameters() {
        let options = run("-qp12 -f json 0x10 -- --top=7 --all").unwrap();
        assert!(options.quiet);
        assert_eq!(options.pid, Some(12));
        assert_eq!(options.format, OutputFormat::Json);
        assert_eq!(options.parameters.positional_number(1), 16);
        assert_eq!(options.parameters.named_number(0), 7);
        assert_eq!(options.parameters.named_number(1), 1);
        assert_eq!(
            run("--top 3 -7").unwrap().parameters.positional_number(1),
            -7
        );
        assert_eq!(run("--list -v").unwrap().purpose, Purpose::List);
        assert_eq!(run("").unwrap().parameters.named_number(0), 5);
    }

    #[test]
    fn words_that_are_no_text_are_shown_as_such() {
        use std::os::unix::ffi::OsStringExt;
        let word = OsString::from_vec(b"a\x1b[31m\xffb".to_vec());
        let Err(error) = parse(&manifest(), std::iter::once(word)) else {
            panic!("it was taken");
        };
        assert_eq!(error.to_string(), r"`a\x1b[31m\xffb` is not valid UTF-8");
    }

    #[test]
    fn lists_are_text_on_standard_output() {
        for line in ["--list -f json", "-fjson --dry-run", "--list -o file"] {
            assert!(run(line).is_err(), "{line}");
        }
        assert!(run("--list -f text").is_ok());
    }

    #[test]
    fn usage_errors() {
        for line in [
            "-z",
            "--nope",
            "x",
            "1 2",
            "-f xml",
            "-p 0",
            "-p",
            "--top=x",
            "--unsafe",
            "-p 1 -c ls",
            "--list=x",
        ] {
            let error = run(line)
                .err()
                .unwrap_or_else(|| panic!("`{line}` was taken"));
            assert_eq!(error.exit_code(), std::process::ExitCode::from(2), "{line}");
        }
    }
}
