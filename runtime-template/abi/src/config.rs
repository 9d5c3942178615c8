//! Configuration that is decided on the target: one table, by which the compiler reads `config` blocks and the runtime
//! its environment.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};

use crate::Text;

describe! {
    /// What the script's `config` block set, else the defaults.
    pub struct Config {
        pub stack_mode: StackMode,
        pub str_trunc_trailer: Text,
        pub print_maps_on_exit: bool,
        pub max_cat_bytes: u64,
        pub missing_probes: MissingProbes,
        pub max_probes: u64,
        pub max_map_keys: u64,
        /// Pages of the ring buffer; 0: chosen by the target's memory.
        pub perf_rb_pages: u64,
        pub cpp_demangle: bool,
        pub lazy_symbolication: bool,
        pub show_debug_info: bool,
        pub cache_user_symbols: SymbolCache,
        pub log_size: u64,
    }
}

describe! {
    pub enum MissingProbes {
        Error,
        Warn,
        Ignore,
    }
}

describe! {
    pub enum StackMode {
        Bpftrace,
        Perf,
        Raw,
        BuildId,
    }
}

describe! {
    /// What is kept of processes whose addresses are named.
    pub enum SymbolCache {
        PerPid,
        /// As `PerPid`: what is read of a binary is always shared by all processes that map it.
        PerProgram,
        /// Nothing: each time an address is printed, its process is looked at anew.
        None,
    }
}

/// What a value should have been, for an error: "a positive integer".
pub type Expected = &'static str;

/// A variable of [`Config`].
pub struct Variable {
    pub name: &'static str,
    pub set: fn(&mut Config, &str) -> Result<(), Expected>,
    pub shown: fn(&Config) -> String,
}

macro_rules! variable {
    ($member:ident, $read:expr, $shown:expr) => {
        Variable {
            name: stringify!($member),
            set: |config, value| {
                config.$member = $read(value)?;
                Ok(())
            },
            shown: |config| $shown(&config.$member),
        }
    };
}

/// All of [`Config`].
pub const VARIABLES: &[Variable] = &[
    variable!(cache_user_symbols, symbol_cache, |cache: &_| match cache {
        SymbolCache::PerPid => "PER_PID".to_owned(),
        SymbolCache::PerProgram => "PER_PROGRAM".to_owned(),
        SymbolCache::None => "NONE".to_owned(),
    }),
    variable!(cpp_demangle, switch, bool::to_string),
    variable!(lazy_symbolication, switch, bool::to_string),
    variable!(log_size, positive, u64::to_string),
    variable!(max_cat_bytes, natural, u64::to_string),
    variable!(max_map_keys, map_keys, u64::to_string),
    variable!(max_probes, positive, u64::to_string),
    variable!(missing_probes, missing_probes, |mode: &_| match mode {
        MissingProbes::Error => "error".to_owned(),
        MissingProbes::Warn => "warn".to_owned(),
        MissingProbes::Ignore => "ignore".to_owned(),
    }),
    variable!(perf_rb_pages, ring_pages, |pages: &u64| match pages {
        0 => "0 (by memory)".to_owned(),
        pages => pages.to_string(),
    }),
    variable!(print_maps_on_exit, switch, bool::to_string),
    variable!(show_debug_info, switch, bool::to_string),
    variable!(stack_mode, stack_mode, |mode: &_| match mode {
        StackMode::Bpftrace => "bpftrace".to_owned(),
        StackMode::Perf => "perf".to_owned(),
        StackMode::Raw => "raw".to_owned(),
        StackMode::BuildId => "build_id".to_owned(),
    }),
    variable!(
        str_trunc_trailer,
        |value: &str| Ok::<Text, Expected>(value.to_owned().into()),
        |trailer: &Text| alloc::format!("{trailer:?}")
    ),
];

/// A name of earlier versions.
pub struct OlderName {
    pub name: &'static str,
    pub current: &'static str,
    /// It says the opposite of the current one.
    pub negated: bool,
}

const fn renamed(name: &'static str, current: &'static str) -> OlderName {
    OlderName {
        name,
        current,
        negated: false,
    }
}

pub const OLDER_NAMES: &[OlderName] = &[
    renamed("strlen", "max_strlen"),
    renamed("map_keys_max", "max_map_keys"),
    renamed("cat_bytes_max", "max_cat_bytes"),
    OlderName {
        name: "no_cpp_demangle",
        current: "cpp_demangle",
        negated: true,
    },
];

/// Variables that an earlier bpftrace had and that decide nothing any more.
pub const WITHOUT_EFFECT: &[&str] = &[
    "debug_output",
    "max_ast_nodes",
    "max_type_res_iterations",
    "no_user_symbols",
    "symbol_source",
    "use_blazesym",
];

/// The value of an older name as one of the current name.
///
/// # Errors
/// What a value that says the opposite should have been.
pub fn current_value(older: &OlderName, value: &str) -> Result<String, Expected> {
    match older.negated {
        true => switch(value).map(|yes| (!yes).to_string()),
        false => Ok(value.to_owned()),
    }
}

/// A number as the language writes it: decimal, `0x1f`, `1_000`, `1e6`.
#[must_use]
pub fn number(text: &str) -> Option<u64> {
    let digits: String = text.chars().filter(|c| *c != '_').collect();
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    if let Some(hex) = digits.strip_prefix("0x") {
        return u64::from_str_radix(hex, 16).ok();
    }
    let (digits, exponent) = digits.split_once('e').unwrap_or((&digits, "0"));
    let power = 10u64.checked_pow(exponent.parse().ok()?)?;
    digits.parse::<u64>().ok()?.checked_mul(power)
}

/// # Errors
/// No such number.
pub fn positive(text: &str) -> Result<u64, Expected> {
    number(text)
        .filter(|number| *number > 0)
        .ok_or("a positive integer")
}

/// # Errors
/// No such number.
pub fn natural(text: &str) -> Result<u64, Expected> {
    number(text).ok_or("an integer that is not negative")
}

/// The kernel has no hash of more buckets (kernel/bpf/hashtab.c).
fn map_keys(text: &str) -> Result<u64, Expected> {
    let usable = number(text).filter(|keys| (1..=1 << 31).contains(keys));
    usable.ok_or("a number of 1 to 2147483648")
}

/// 1 GiB, with pages of 4 KiB: the size of a ring buffer is a power of two of 32 bits, and it is mapped twice.
fn ring_pages(text: &str) -> Result<u64, Expected> {
    let usable = number(text).filter(|pages| *pages <= 1 << 18);
    usable.ok_or("a number of pages up to 262144, or 0")
}

fn switch(text: &str) -> Result<bool, Expected> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err("`true` or `false`"),
    }
}

fn symbol_cache(text: &str) -> Result<SymbolCache, Expected> {
    if text.eq_ignore_ascii_case("per_pid") || text == "1" {
        Ok(SymbolCache::PerPid)
    } else if text.eq_ignore_ascii_case("per_program") {
        Ok(SymbolCache::PerProgram)
    } else if text.eq_ignore_ascii_case("none") || text == "0" {
        Ok(SymbolCache::None)
    } else {
        Err("`PER_PID`, `PER_PROGRAM` or `NONE`")
    }
}

fn missing_probes(text: &str) -> Result<MissingProbes, Expected> {
    match text {
        "error" => Ok(MissingProbes::Error),
        "warn" => Ok(MissingProbes::Warn),
        "ignore" => Ok(MissingProbes::Ignore),
        _ => Err("`error`, `warn` or `ignore`"),
    }
}

fn stack_mode(text: &str) -> Result<StackMode, Expected> {
    match text {
        "bpftrace" => Ok(StackMode::Bpftrace),
        "perf" => Ok(StackMode::Perf),
        "raw" => Ok(StackMode::Raw),
        "build_id" => Ok(StackMode::BuildId),
        _ => Err("`bpftrace`, `perf`, `raw` or `build_id`"),
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            stack_mode: StackMode::Bpftrace,
            str_trunc_trailer: "..".into(),
            print_maps_on_exit: true,
            max_cat_bytes: 10240,
            missing_probes: MissingProbes::Error,
            max_probes: 1024,
            max_map_keys: 4096,
            perf_rb_pages: 0,
            cpp_demangle: true,
            lazy_symbolication: false,
            show_debug_info: true,
            cache_user_symbols: SymbolCache::PerPid,
            log_size: 1_000_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_language() {
        assert_eq!(number("1_000"), Some(1000));
        assert_eq!(number("0x1f"), Some(31));
        assert_eq!(number("2e3"), Some(2000));
        for bad in ["", "-1", "_1", "1k", "0x", "1e99", "99999999999999999999"] {
            assert_eq!(number(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_shown_can_be_set() {
        let config = Config::default();
        for variable in VARIABLES {
            let mut other = config.clone();
            let shown = (variable.shown)(&config);
            let value = shown.trim_matches('"').split(' ').next().unwrap_or("");
            assert_eq!(
                (variable.set)(&mut other, value),
                Ok(()),
                "{}",
                variable.name
            );
            assert_eq!(other, config, "{}", variable.name);
        }
    }
}
