//! A test case: a script, how its executable is run, and what it must print. Directives are `// key: value` lines at the
//! head of a `.bt` file, or `key: value` lines of a `.case` file that names its script.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::vm::kernels::{Arch, MATRIX, Series};

/// Where a case runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On the machine that builds.
    Host,
    /// In a guest, since the host's kernel lacks what it needs.
    Guest,
    Both,
}

/// One thing that the output must satisfy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// The lines of standard output, all of them, in this order.
    Exact(Vec<String>),
    /// A line of standard output that comes after the one that the expectation before it found.
    Line(String),
    Regex(String),
    /// No line matches.
    None(String),
    /// So many lines match.
    Count(usize, String),
    /// The first group of the first match is a number within the bounds.
    Range(String, i64, i64),
    /// The first groups of all matches are numbers whose sum is within the bounds.
    Sum(String, i64, i64),
    /// A line of standard error matches.
    Stderr(String),
    StderrNone(String),
    Status(i32),
}

#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    /// What it is for.
    pub about: String,
    /// The rows of the language that it shows at work.
    pub covers: Vec<String>,
    /// The script; relative names are relative to the checkout.
    pub script: PathBuf,
    /// Further words for btc.
    pub flags: Vec<String>,
    /// Set for btc alone.
    pub btc_environment: Vec<(String, String)>,
    /// Words for the executable; `{load}` and `{tmp}` are replaced.
    pub args: Vec<String>,
    pub environment: Vec<(String, String)>,
    /// A known load that the executable starts itself (`-c`).
    pub load: Option<String>,
    /// A known load that runs beside the executable once it is attached; then it is interrupted.
    pub with: Option<String>,
    /// Words in front of the executable: `unshare -pf --mount-proc`.
    pub under: Vec<String>,
    pub place: Place,
    /// The kernels of the matrix that it runs on, where it runs in guests.
    pub kernels: Vec<Series>,
    /// CPUs of the guest.
    pub cpus: u32,
    pub timeout_seconds: u64,
    pub expectations: Vec<Expectation>,
}

impl Case {
    /// Reads a case from a `.bt` or `.case` file; `base` is cut off its name.
    ///
    /// # Errors
    /// An unreadable file, an unknown directive or a malformed value.
    pub fn read(path: &Path, base: &Path) -> Result<Case> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let is_script = path.extension().is_some_and(|e| e == "bt");
        let mut case = Case {
            name: path
                .strip_prefix(base)
                .unwrap_or(path)
                .with_extension("")
                .display()
                .to_string(),
            about: String::new(),
            covers: vec![],
            script: path.to_path_buf(),
            flags: vec![],
            btc_environment: vec![],
            args: vec![],
            environment: vec![],
            load: None,
            with: None,
            under: vec![],
            place: Place::Host,
            kernels: vec![],
            cpus: 1,
            timeout_seconds: 20,
            expectations: vec![],
        };
        for line in text.lines() {
            let line = match (is_script, line.strip_prefix("//")) {
                (true, None) => break,
                (true, Some(rest)) => rest.strip_prefix(' ').unwrap_or(rest),
                (false, _) if line.starts_with('#') || line.is_empty() => continue,
                (false, _) => line,
            };
            let Some((key, value)) = line.split_once(':') else {
                bail!("{}: not a directive: {line}", path.display());
            };
            let value = value.strip_prefix(' ').unwrap_or(value);
            case.directive(key, value)
                .with_context(|| format!("{}: {line}", path.display()))?;
        }
        if case.place != Place::Host && case.kernels.is_empty() {
            case.kernels = kernels(DEFAULT_KERNELS)?;
        }
        if case.expectations.is_empty() {
            bail!(
                "{}: a case that expects nothing tests nothing",
                path.display()
            );
        }
        Ok(case)
    }

    /// It shows that something can't be had and is said.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        let refused = |e: &Expectation| matches!(e, Expectation::Status(status) if *status != 0);
        self.expectations.iter().any(refused)
    }

    /// Its script is one that we ship: it knows nothing of the known load.
    #[must_use]
    pub fn is_of_the_whole_machine(&self) -> bool {
        ["tools", "examples"]
            .iter()
            .any(|folder| self.script.starts_with(crate::root().join(folder)))
    }

    fn directive(&mut self, key: &str, value: &str) -> Result<()> {
        match key {
            "about" => self.about = value.into(),
            "covers" => self
                .covers
                .extend(value.split(',').map(|row| row.trim().to_owned())),
            "script" => self.script = crate::root().join(value),
            "btc" => self.flags.extend(words(value)?),
            "args" => self.args.extend(words(value)?),
            "env" => self.environment.push(variable(value)?),
            "btc-env" => self.btc_environment.push(variable(value)?),
            "load" => self.load = Some(value.into()),
            "with" => self.with = Some(value.into()),
            "under" => self.under = words(value)?,
            "where" => {
                self.place = match value {
                    "host" => Place::Host,
                    "guest" => Place::Guest,
                    "both" => Place::Both,
                    _ => bail!("expected host, guest or both"),
                }
            }
            "kernels" => self.kernels = kernels(value)?,
            "cpus" => self.cpus = value.parse()?,
            "timeout" => self.timeout_seconds = value.parse()?,
            "exact" => match self.expectations.last_mut() {
                Some(Expectation::Exact(lines)) => lines.push(value.into()),
                _ => self
                    .expectations
                    .push(Expectation::Exact(vec![value.into()])),
            },
            "expect" => self.expectations.push(Expectation::Line(value.into())),
            "expect-regex" => self.expectations.push(Expectation::Regex(value.into())),
            "expect-none" => self.expectations.push(Expectation::None(value.into())),
            "expect-stderr" => self.expectations.push(Expectation::Stderr(value.into())),
            "expect-stderr-none" => self
                .expectations
                .push(Expectation::StderrNone(value.into())),
            "status" => self.expectations.push(Expectation::Status(value.parse()?)),
            "count" => {
                let (count, regex) = value.split_once(' ').context("expected `N REGEX`")?;
                self.expectations
                    .push(Expectation::Count(count.parse()?, regex.into()));
            }
            "range" => {
                let (low, high, regex) = bounds(value)?;
                let expected = Expectation::Range(regex, low, high);
                self.expectations.push(expected);
            }
            "sum" => {
                let (low, high, regex) = bounds(value)?;
                self.expectations.push(Expectation::Sum(regex, low, high));
            }
            _ => bail!("no such directive"),
        }
        Ok(())
    }
}

/// `NAME=value`
fn variable(text: &str) -> Result<(String, String)> {
    let (name, value) = text.split_once('=').context("expected NAME=value")?;
    Ok((name.into(), value.into()))
}

/// Where a case of guests runs that doesn't say it.
const DEFAULT_KERNELS: &str = "all";

/// `all` (of amd64), `arm64` (all of it), `6.12`, `6.12+` (that and newer ones), `arm64-6.1`
fn kernels(text: &str) -> Result<Vec<Series>> {
    let mut chosen = vec![];
    for word in text.split_whitespace() {
        let fits: Box<dyn Fn(&Series) -> bool> = match word {
            "all" => Box::new(|series| series.arch == Arch::Amd64),
            "arm64" => Box::new(|series| series.arch == Arch::Arm64),
            _ => match word.strip_suffix('+') {
                Some(first) => {
                    let first = Series::named(first)?;
                    Box::new(move |s| s.arch == first.arch && s.version >= first.version)
                }
                None => {
                    let one = Series::named(word)?;
                    Box::new(move |series| *series == one)
                }
            },
        };
        chosen.extend(MATRIX.into_iter().filter(|series| fits(series)));
    }
    chosen.sort();
    chosen.dedup();
    Ok(chosen)
}

/// `LOW HIGH REGEX`
fn bounds(value: &str) -> Result<(i64, i64, String)> {
    let (low, rest) = value.split_once(' ').context("expected `LOW HIGH REGEX`")?;
    let (high, regex) = rest.split_once(' ').context("expected `LOW HIGH REGEX`")?;
    Ok((low.parse()?, high.parse()?, regex.into()))
}

/// All cases below a directory, by name.
///
/// # Errors
/// The first case that can't be read.
pub fn collect(directory: &Path) -> Result<Vec<Case>> {
    let mut cases = vec![];
    for path in files(directory)? {
        if path.extension().is_some_and(|e| e == "bt" || e == "case") {
            cases.push(Case::read(&path, directory)?);
        }
    }
    Ok(cases)
}

/// All files below a directory, sorted.
///
/// # Errors
/// A directory that can't be read.
pub fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = vec![];
    let entries = std::fs::read_dir(directory).with_context(|| directory.display().to_string())?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?)
        } else {
            found.push(path)
        }
    }
    found.sort();
    Ok(found)
}

/// Splits as a shell does, with single and double quotes.
///
/// # Errors
/// A quote that doesn't end.
pub fn words(text: &str) -> Result<Vec<String>> {
    let mut words = vec![];
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in text.chars() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        bail!("a quote doesn't end: {text}");
    }
    words.extend(word);
    Ok(words)
}
