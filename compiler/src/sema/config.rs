//! The `config` block and btc's environment: names and values become [`Settings`].

use btc_abi as abi;
use btc_abi::config::{
    Expected, OLDER_NAMES, VARIABLES, WITHOUT_EFFECT, current_value, number, positive,
};
use btc_abi::environment::{Environment, OF_BPFTRACE};

use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::ir::Limits;
use crate::source::Span;
use crate::syntax::ast::{Config, ConfigEntry, ConfigValue, Item, Program};
use btc_runtime::suggest::nearest;

/// All configuration of a script, with defaults.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub target: abi::Config,
    pub limits: Limits,
    pub license: License,
    pub max_bpf_progs: MaxPrograms,
    pub unstable: Unstable,
}

/// Of the object; the kernel gives tracing helpers to programs of these alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct License(pub &'static str);

const LICENSES: [&str; 6] = [
    "GPL",
    "GPL v2",
    "GPL and additional rights",
    "Dual BSD/GPL",
    "Dual MIT/GPL",
    "Dual MPL/GPL",
];

impl Default for License {
    fn default() -> Self {
        License(LICENSES[0])
    }
}

/// How many programs an object may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPrograms(pub u64);

impl Default for MaxPrograms {
    fn default() -> Self {
        MaxPrograms(1024)
    }
}

/// What the use of a feature is, that bpftrace calls unstable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Enable,
    Warn,
    Error,
}

impl Level {
    fn read(value: &str) -> Result<Level, Expected> {
        match value {
            "enable" | "true" | "1" => Ok(Level::Enable),
            "warn" => Ok(Level::Warn),
            "error" | "false" | "0" => Ok(Level::Error),
            _ => Err("`enable`, `warn` or `error`"),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Level::Enable => "enable",
            Level::Warn => "warn",
            Level::Error => "error",
        }
    }
}

/// The levels of all such features.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unstable {
    pub dw_ustack: Level,
    pub import: Level,
    pub tseries: Level,
    pub typeinfo: Level,
}

impl Default for Unstable {
    /// As bpftrace 0.26 has it: imports are stable since then, and `typeof` never was among its unstable features.
    fn default() -> Self {
        Unstable {
            dw_ustack: Level::Warn,
            import: Level::Enable,
            tseries: Level::Warn,
            typeinfo: Level::Enable,
        }
    }
}

/// A feature with its variable and its level.
#[derive(Clone, Copy, Debug)]
pub struct Feature {
    pub variable: &'static str,
    pub level: Level,
}

impl Unstable {
    /// The feature that a function is, if it is one.
    #[must_use]
    pub fn function(&self, name: &str) -> Option<Feature> {
        let (variable, level) = match name {
            "dw_ustack" => ("unstable_dw_ustack", self.dw_ustack),
            "tseries" => ("unstable_tseries", self.tseries),
            _ => return None,
        };
        Some(Feature { variable, level })
    }

    #[must_use]
    pub fn import(&self) -> Feature {
        Feature {
            variable: "unstable_import",
            level: self.import,
        }
    }

    #[must_use]
    pub fn typeinfo(&self) -> Feature {
        Feature {
            variable: "unstable_typeinfo",
            level: self.typeinfo,
        }
    }
}

impl Feature {
    /// What is said where `what` is used.
    #[must_use]
    pub fn used(self, what: &str, span: crate::source::Span) -> Option<Diagnostic> {
        let Feature { variable, level } = self;
        match level {
            Level::Enable => None,
            Level::Warn => {
                let message = format!("{what} is unstable in bpftrace: it may change there");
                let warning = Diagnostic::warning(Code::UnstableFeature, span, message);
                Some(warning.with_help(format!("config = {{ {variable} = enable }}")))
            }
            Level::Error => {
                let message = format!("{what} is refused: `{variable}` is `error`");
                let error = Diagnostic::error(Code::UnstableFeature, span, message);
                Some(error.with_help(format!("config = {{ {variable} = enable }}")))
            }
        }
    }
}

/// A variable that is decided when a script is compiled.
struct Fixed {
    name: &'static str,
    set: fn(&mut Settings, &str) -> Result<(), Expected>,
    shown: fn(&Settings) -> String,
}

fn length(value: &str) -> Result<u32, Expected> {
    u32::try_from(positive(value)?).map_err(|_| "a length below 4 GiB")
}

/// What `max_strlen` may be at most: searching and comparing are bounded by it (codegen/shared.rs).
const LONGEST_STRING: u32 = 65536;

/// What code generation can do (codegen/program.rs); bpftrace's scripts may have 0, for as little as can be.
const STACK_LIMITS: std::ops::RangeInclusive<u64> = 16..=64;

const FIXED: &[Fixed] = &[
    Fixed {
        name: "license",
        set: |s, v| {
            let known = LICENSES.iter().find(|license| **license == v);
            s.license = License(known.ok_or(
                "`GPL`, `GPL v2`, `GPL and additional rights`, `Dual BSD/GPL`, `Dual MIT/GPL` or `Dual MPL/GPL`",
            )?);
            Ok(())
        },
        shown: |s| s.license.0.to_owned(),
    },
    Fixed {
        name: "max_bpf_progs",
        set: |s, v| {
            s.max_bpf_progs = MaxPrograms(positive(v)?);
            Ok(())
        },
        shown: |s| s.max_bpf_progs.0.to_string(),
    },
    Fixed {
        name: "max_strlen",
        set: |s, v| {
            let usable = length(v).ok().filter(|n| (1..=LONGEST_STRING).contains(n));
            s.limits.max_strlen = usable.ok_or("a length of 1 to 65536 bytes")?;
            Ok(())
        },
        shown: |s| s.limits.max_strlen.to_string(),
    },
    Fixed {
        name: "on_stack_limit",
        set: |s, v| {
            let usable = number(v).filter(|n| *n == 0 || STACK_LIMITS.contains(n));
            s.limits.on_stack_limit = usable.ok_or("a size of 16 to 64 bytes, or 0")? as u32;
            Ok(())
        },
        shown: |s| s.limits.on_stack_limit.to_string(),
    },
    Fixed {
        name: "unstable_dw_ustack",
        set: |s, v| {
            s.unstable.dw_ustack = Level::read(v)?;
            Ok(())
        },
        shown: |s| s.unstable.dw_ustack.name().to_owned(),
    },
    Fixed {
        name: "unstable_import",
        set: |s, v| {
            s.unstable.import = Level::read(v)?;
            Ok(())
        },
        shown: |s| s.unstable.import.name().to_owned(),
    },
    Fixed {
        name: "unstable_tseries",
        set: |s, v| {
            s.unstable.tseries = Level::read(v)?;
            Ok(())
        },
        shown: |s| s.unstable.tseries.name().to_owned(),
    },
    Fixed {
        name: "unstable_typeinfo",
        set: |s, v| {
            s.unstable.typeinfo = Level::read(v)?;
            Ok(())
        },
        shown: |s| s.unstable.typeinfo.name().to_owned(),
    },
];

/// All variables, by their current names.
pub fn names() -> impl Iterator<Item = &'static str> + Clone {
    let target = VARIABLES.iter().map(|variable| variable.name);
    target.chain(FIXED.iter().map(|variable| variable.name))
}

impl Settings {
    /// Sets a variable by its current name. `None`: there is none of that name.
    fn set(&mut self, name: &str, value: &str) -> Option<Result<(), Expected>> {
        if let Some(variable) = VARIABLES.iter().find(|variable| variable.name == name) {
            return Some((variable.set)(&mut self.target, value));
        }
        let variable = FIXED.iter().find(|variable| variable.name == name)?;
        Some((variable.set)(self, value))
    }

    /// What an executable has to know of what it can't change.
    #[must_use]
    pub fn fixed(&self) -> Vec<(String, String)> {
        let shown = |variable: &Fixed| (variable.name.to_owned(), (variable.shown)(self));
        FIXED.iter().map(shown).collect()
    }
}

/// What btc's environment sets, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides(Vec<(&'static str, String)>);

/// Who reads the environment after btc.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// The executable runs at once, in the same environment.
    Executable,
    /// Nobody: what only an executable reads is misplaced.
    Nobody,
}

impl Overrides {
    /// Reads the variables that are decided when a script is compiled.
    ///
    /// # Errors
    /// An unknown or misplaced name or a bad value, as a sentence.
    pub fn read(environment: &Environment, reader: Reader) -> Result<Overrides, String> {
        let mut overrides = Overrides::default();
        let mut tried = Settings::default();
        for variable in FIXED {
            if let Some(given) = environment.find(variable.name)? {
                (variable.set)(&mut tried, &given.value).map_err(|expected| given.bad(expected))?;
                overrides.0.push((variable.name, given.value));
            }
        }
        if reader == Reader::Executable {
            return Ok(overrides);
        }
        for variable in VARIABLES {
            if let Some(given) = environment.find(variable.name)? {
                let name = variable.name;
                return Err(format!(
                    "{}={}: {name} is decided where the executable runs: set it there, or write `config = {{ {name} = … }}` in the script",
                    given.name, given.written
                ));
            }
        }
        for stranger in environment.strangers(|name| names().any(|known| known == name)) {
            let name = stranger.name;
            if let Some(near) = nearest(&stranger.lower(), names()) {
                let near = near.to_uppercase();
                return Err(format!(
                    "{name}: no such configuration variable; did you mean {}{near}?",
                    stranger.prefix
                ));
            }
            if stranger.is_ours() {
                return Err(format!("{name}: no such configuration variable"));
            }
        }
        Ok(overrides)
    }
}

/// The block, then what overrides it.
pub(super) fn read(
    program: &Program,
    overrides: &Overrides,
    diagnostics: &mut Diagnostics,
) -> Settings {
    let mut settings = Settings::default();
    let mut blocks: Vec<&Config> = vec![];
    for item in &program.items {
        let Item::Config(config) = item else { continue };
        placed(config, &blocks, program, diagnostics);
        let mut set: Vec<(&str, Span)> = vec![];
        for entry in &config.entries {
            let Some(name) = apply(&mut settings, entry, diagnostics) else {
                continue;
            };
            match set.iter().find(|(known, _)| *known == name) {
                Some((_, before)) => diagnostics.push(twice(entry, *before)),
                None => set.push((name, entry.span)),
            }
        }
        blocks.push(config);
    }
    for (name, value) in &overrides.0 {
        // Their values are known to be good.
        let _ = settings.set(name, value);
    }
    settings
}

/// A script has one block, and no probe before it.
fn placed(config: &Config, before: &[&Config], program: &Program, diagnostics: &mut Diagnostics) {
    let error = |message: &str| Diagnostic::error(Code::InvalidConfig, config.span, message);
    if let Some(first) = before.first() {
        let second = error("a script has one `config` block");
        let second = second.with_label(first.span, "the first one");
        diagnostics.push(second.with_help("set all variables there"));
        return;
    }
    let earlier = |item: &Item| match item {
        Item::Probe(probe) => {
            probe.span.file == config.span.file && probe.span.start < config.span.start
        }
        _ => false,
    };
    if program.items.iter().any(earlier) {
        let misplaced = error("the `config` block stands before all probes");
        diagnostics.push(misplaced.with_help("move it to the top of the script"));
    }
}

fn twice(entry: &ConfigEntry, before: Span) -> Diagnostic {
    let message = format!("`{}` is set twice", entry.name.text);
    Diagnostic::error(Code::InvalidConfig, entry.span, message).with_label(before, "set here")
}

/// Sets a variable; its current name where there is such a one.
fn apply(
    settings: &mut Settings,
    entry: &ConfigEntry,
    diagnostics: &mut Diagnostics,
) -> Option<&'static str> {
    // `BPFTRACE_MAX_STRLEN` is the variable's name outside of scripts; people write it inside too.
    let lower = entry.name.text.to_lowercase();
    let written = lower.strip_prefix("bpftrace_").unwrap_or(&lower);
    let text = match &entry.value {
        ConfigValue::Integer(number) => number.to_string(),
        ConfigValue::Bool(yes) => yes.to_string(),
        ConfigValue::Word(word) => word.clone(),
    };
    let older = OLDER_NAMES.iter().find(|older| older.name == written);
    let name = older.map_or(written, |older| older.current);
    let value = older.map_or(Ok(text.clone()), |older| current_value(older, &text));
    let set = match value {
        Ok(value) => settings.set(name, &value),
        Err(expected) => Some(Err(expected)),
    };
    match set {
        Some(Ok(())) => {}
        Some(Err(expected)) => diagnostics.push(Diagnostic::error(
            Code::InvalidConfig,
            entry.span,
            format!("`{written}` expects {expected}"),
        )),
        None if WITHOUT_EFFECT.contains(&name) || name.starts_with("unstable_") => {
            diagnostics.push(Diagnostic::warning(
                Code::InvalidConfig,
                entry.span,
                format!("`{written}` decides nothing any more"),
            ));
        }
        None => diagnostics.push(unknown(entry, name)),
    }
    names().find(|known| *known == name)
}

fn unknown(entry: &ConfigEntry, name: &str) -> Diagnostic {
    let unknown = Diagnostic::error(
        Code::InvalidConfig,
        entry.name.span,
        format!("unknown config variable `{}`", entry.name.text),
    );
    if OF_BPFTRACE.contains(&name) {
        return unknown
            .with_help("btc takes the kernel's types and headers from --btf FILE and -I DIR");
    }
    match nearest(name, names()) {
        Some(near) => unknown.with_help(format!("did you mean `{near}`?")),
        None => unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)], reader: Reader) -> Result<Overrides, String> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Overrides::read(&Environment::new(pairs.iter().map(owned)), reader)
    }

    #[test]
    fn the_environment_sets_what_is_fixed() {
        let set = read(&[("BPFTRACE_STRLEN", "0x40")], Reader::Nobody);
        assert_eq!(set, Ok(Overrides(vec![("max_strlen", "0x40".into())])));
        let bad = read(&[("BTC_LICENSE", "MIT")], Reader::Executable).expect_err("a refusal");
        assert!(bad.starts_with("BTC_LICENSE=MIT: expected `GPL`"), "{bad}");
    }

    #[test]
    fn misplaced_and_unknown_names() {
        let keys = [("BTC_MAX_MAP_KEYS", "5")];
        let misplaced = read(&keys, Reader::Nobody).expect_err("a refusal");
        assert!(
            misplaced.contains("where the executable runs"),
            "{misplaced}"
        );
        assert!(read(&keys, Reader::Executable).is_ok());
        let unknown = read(&[("BPFTRACE_MAX_STRLN", "5")], Reader::Nobody);
        assert!(
            unknown
                .expect_err("a refusal")
                .ends_with("did you mean BPFTRACE_MAX_STRLEN?")
        );
        assert!(
            read(
                &[("BTC_CACHE_DIR", "/x"), ("BTC_BLESS", "1")],
                Reader::Nobody
            )
            .is_ok()
        );
    }

    #[test]
    fn what_is_shown_can_be_set() {
        let settings = Settings::default();
        for (name, value) in settings.fixed() {
            assert_eq!(
                Settings::default().set(&name, &value),
                Some(Ok(())),
                "{name}"
            );
        }
    }
}
