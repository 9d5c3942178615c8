//! The `config` block: names and values become [`Settings`].

use btc_abi as abi;

use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::ir::Limits;
use crate::syntax::ast::{ConfigEntry, ConfigValue, Item, Program};

/// All configuration of a script, with defaults.
#[derive(Clone, Debug)]
pub struct Settings {
    pub target: abi::Config,
    pub limits: Limits,
    pub license: String,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            target: abi::Config {
                stack_mode: abi::StackMode::Bpftrace,
                str_trunc_trailer: "..".into(),
                print_maps_on_exit: true,
                max_cat_bytes: 10240,
                missing_probes: abi::MissingProbes::Error,
                max_probes: 1024,
                max_map_keys: 4096,
                perf_rb_pages: 0,
                cpp_demangle: true,
                lazy_symbolication: false,
                show_debug_info: true,
                log_size: 1_000_000,
            },
            limits: Limits {
                max_strlen: 1024,
                on_stack_limit: 32,
            },
            license: "GPL".into(),
        }
    }
}

type Set = fn(&mut Settings, &ConfigValue) -> Result<(), &'static str>;

const INTEGER: &str = "a positive integer";
const BOOL: &str = "`true` or `false`";

fn integer(value: &ConfigValue) -> Result<u64, &'static str> {
    match value {
        ConfigValue::Integer(n) => Ok(*n),
        ConfigValue::Word(text) => text.parse().map_err(|_| INTEGER),
        ConfigValue::Bool(_) => Err(INTEGER),
    }
}

fn boolean(value: &ConfigValue) -> Result<bool, &'static str> {
    match value {
        ConfigValue::Bool(b) => Ok(*b),
        ConfigValue::Integer(n @ (0 | 1)) => Ok(*n == 1),
        ConfigValue::Word(text) if text == "true" => Ok(true),
        ConfigValue::Word(text) if text == "false" => Ok(false),
        _ => Err(BOOL),
    }
}

fn word(value: &ConfigValue) -> Option<&str> {
    match value {
        ConfigValue::Word(text) => Some(text),
        _ => None,
    }
}

fn length(value: &ConfigValue) -> Result<u32, &'static str> {
    let n = integer(value)?;
    u32::try_from(n).map_err(|_| "a length below 4 GiB")
}

fn stack_mode(s: &mut Settings, v: &ConfigValue) -> Result<(), &'static str> {
    s.target.stack_mode = match word(v) {
        Some("bpftrace") => abi::StackMode::Bpftrace,
        Some("perf") => abi::StackMode::Perf,
        Some("raw") => abi::StackMode::Raw,
        Some("build_id") => abi::StackMode::BuildId,
        _ => return Err("`bpftrace`, `perf`, `raw` or `build_id`"),
    };
    Ok(())
}

fn missing_probes(s: &mut Settings, v: &ConfigValue) -> Result<(), &'static str> {
    s.target.missing_probes = match word(v) {
        Some("error") => abi::MissingProbes::Error,
        Some("warn") => abi::MissingProbes::Warn,
        Some("ignore") => abi::MissingProbes::Ignore,
        _ => return Err("`error`, `warn` or `ignore`"),
    };
    Ok(())
}

fn text(value: &ConfigValue) -> Result<String, &'static str> {
    word(value).map(str::to_owned).ok_or("a string")
}

/// What `max_strlen` may be at most: searching and comparing are bounded by it (codegen/shared.rs).
const LONGEST_STRING: u32 = 65536;

const ENTRIES: &[(&str, Set)] = &[
    ("max_strlen", |s, v| {
        let expected = "a length of 1 to 65536 bytes";
        let given = length(v).ok();
        let usable = given.filter(|n| (1..=LONGEST_STRING).contains(n));
        s.limits.max_strlen = usable.ok_or(expected)?;
        Ok(())
    }),
    ("on_stack_limit", |s, v| {
        s.limits.on_stack_limit = length(v)?;
        Ok(())
    }),
    ("license", |s, v| {
        s.license = text(v)?;
        Ok(())
    }),
    ("max_map_keys", |s, v| {
        s.target.max_map_keys = integer(v)?;
        Ok(())
    }),
    ("max_cat_bytes", |s, v| {
        s.target.max_cat_bytes = integer(v)?;
        Ok(())
    }),
    ("max_probes", |s, v| {
        s.target.max_probes = integer(v)?;
        Ok(())
    }),
    // How many programs an object may hold is no limit here: one program per attach point, patterns on the target.
    ("max_bpf_progs", |_, v| integer(v).map(|_| ())),
    ("perf_rb_pages", |s, v| {
        s.target.perf_rb_pages = integer(v)?;
        Ok(())
    }),
    ("log_size", |s, v| {
        s.target.log_size = integer(v)?;
        Ok(())
    }),
    ("print_maps_on_exit", |s, v| {
        s.target.print_maps_on_exit = boolean(v)?;
        Ok(())
    }),
    ("cpp_demangle", |s, v| {
        s.target.cpp_demangle = boolean(v)?;
        Ok(())
    }),
    ("lazy_symbolication", |s, v| {
        s.target.lazy_symbolication = boolean(v)?;
        Ok(())
    }),
    ("show_debug_info", |s, v| {
        s.target.show_debug_info = boolean(v)?;
        Ok(())
    }),
    ("str_trunc_trailer", |s, v| {
        s.target.str_trunc_trailer = text(v)?.into();
        Ok(())
    }),
    ("stack_mode", stack_mode),
    ("missing_probes", missing_probes),
    // The symbolizer caches by process; the three modes of bpftrace give the same output.
    ("cache_user_symbols", |_, v| match word(v) {
        Some("PER_PID" | "PER_PROGRAM" | "NONE") => Ok(()),
        _ => Err("`PER_PID`, `PER_PROGRAM` or `NONE`"),
    }),
];

/// The variables of a `config` block, by their current names.
pub fn names() -> impl Iterator<Item = &'static str> {
    ENTRIES.iter().map(|(name, _)| *name)
}

/// Names of earlier versions, and `no_` names that say the opposite.
fn current_name(name: &str) -> &str {
    match name {
        "strlen" => "max_strlen",
        "map_keys_max" => "max_map_keys",
        "cat_bytes_max" => "max_cat_bytes",
        "no_cpp_demangle" => "cpp_demangle",
        other => other,
    }
}

pub(super) fn read(program: &Program, diagnostics: &mut Diagnostics) -> Settings {
    let mut settings = Settings::default();
    for item in &program.items {
        if let Item::Config(entries) = item {
            for entry in entries {
                apply(&mut settings, entry, diagnostics);
            }
        }
    }
    settings
}

fn apply(settings: &mut Settings, entry: &ConfigEntry, diagnostics: &mut Diagnostics) {
    // `BPFTRACE_MAX_STRLEN` is the variable's name outside of scripts; people write it inside too.
    let lower = entry.name.text.to_lowercase();
    let written = lower.strip_prefix("bpftrace_").unwrap_or(&lower);
    let name = current_name(written);
    if name.starts_with("unstable_") {
        return;
    }
    let Some((_, set)) = ENTRIES.iter().find(|(known, _)| *known == name) else {
        let mut unknown = Diagnostic::error(
            Code::InvalidConfig,
            entry.name.span,
            format!("unknown config variable `{}`", entry.name.text),
        );
        if let Some(near) = super::suggest::nearest(name, ENTRIES.iter().map(|(n, _)| *n)) {
            unknown = unknown.with_help(format!("did you mean `{near}`?"));
        }
        diagnostics.push(unknown);
        return;
    };
    if let Err(expected) = set(settings, &entry.value) {
        diagnostics.push(Diagnostic::error(
            Code::InvalidConfig,
            entry.span,
            format!("`{name}` expects {expected}"),
        ));
    } else if written == "no_cpp_demangle" {
        settings.target.cpp_demangle = !settings.target.cpp_demangle;
    }
}
