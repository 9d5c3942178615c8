//! The script's configuration and the environment (`BTC_NAME`, else `BPFTRACE_NAME`) → the run's configuration.

use std::borrow::Cow;

use btc_abi::{Config, MissingProbes, StackMode};

use crate::Error;

/// Overrides members of `script` by environment variables; a value that can't be read is a usage error.
pub fn from_environment(script: &Config) -> Result<Config, Error> {
    overridden(script, |name| {
        std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
    })
}

fn overridden(script: &Config, variable: impl Fn(&str) -> Option<String>) -> Result<Config, Error> {
    let mut config = script.clone();
    let look = |names: &[&str]| {
        for name in names {
            for prefix in ["BTC", "BPFTRACE"] {
                let name = format!("{prefix}_{name}");
                if let Some(value) = variable(&name) {
                    return Some((name, value));
                }
            }
        }
        None
    };
    let numbers: [(&[&str], &mut u64, u64); 5] = [
        (
            &["MAX_CAT_BYTES", "CAT_BYTES_MAX"],
            &mut config.max_cat_bytes,
            0,
        ),
        (&["MAX_PROBES"], &mut config.max_probes, 1),
        (
            &["MAX_MAP_KEYS", "MAP_KEYS_MAX"],
            &mut config.max_map_keys,
            1,
        ),
        (&["PERF_RB_PAGES"], &mut config.perf_rb_pages, 0),
        (&["LOG_SIZE"], &mut config.log_size, 1),
    ];
    for (names, member, least) in numbers {
        if let Some((name, value)) = look(names) {
            *member = (value.parse().ok().filter(|number| *number >= least)).ok_or_else(|| {
                Error::usage(format!(
                    "{name}={value}: expected a number of at least {least}"
                ))
            })?;
        }
    }
    let switches: [(&str, &mut bool); 4] = [
        ("PRINT_MAPS_ON_EXIT", &mut config.print_maps_on_exit),
        ("CPP_DEMANGLE", &mut config.cpp_demangle),
        ("LAZY_SYMBOLICATION", &mut config.lazy_symbolication),
        ("SHOW_DEBUG_INFO", &mut config.show_debug_info),
    ];
    for (name, member) in switches {
        if let Some((name, value)) = look(&[name]) {
            *member = switch(&name, &value)?;
        }
    }
    if let Some((name, value)) = look(&["NO_CPP_DEMANGLE"]) {
        config.cpp_demangle = !switch(&name, &value)?;
    }
    if let Some((_, value)) = look(&["STR_TRUNC_TRAILER"]) {
        config.str_trunc_trailer = Cow::Owned(value);
    }
    if let Some((name, value)) = look(&["STACK_MODE"]) {
        config.stack_mode = match value.as_str() {
            "bpftrace" => StackMode::Bpftrace,
            "perf" => StackMode::Perf,
            "raw" => StackMode::Raw,
            "build_id" => StackMode::BuildId,
            _ => {
                return Err(Error::usage(format!(
                    "{name}={value}: expected bpftrace, perf, raw or build_id"
                )));
            }
        };
    }
    if let Some((name, value)) = look(&["MISSING_PROBES"]) {
        config.missing_probes = match value.as_str() {
            "error" => MissingProbes::Error,
            "warn" => MissingProbes::Warn,
            "ignore" => MissingProbes::Ignore,
            _ => {
                return Err(Error::usage(format!(
                    "{name}={value}: expected error, warn or ignore"
                )));
            }
        };
    }
    Ok(config)
}

/// A variable that is a number or a bool, as the builtin `config` reads it.
#[must_use]
pub fn number(config: &Config, name: &str) -> u64 {
    match name {
        "log_size" => config.log_size,
        "max_cat_bytes" => config.max_cat_bytes,
        "max_map_keys" => config.max_map_keys,
        "max_probes" => config.max_probes,
        "perf_rb_pages" => config.perf_rb_pages,
        "cpp_demangle" => u64::from(config.cpp_demangle),
        "lazy_symbolication" => u64::from(config.lazy_symbolication),
        "print_maps_on_exit" => u64::from(config.print_maps_on_exit),
        "show_debug_info" => u64::from(config.show_debug_info),
        _ => 0,
    }
}

/// A variable that is a text; `None` for all others.
#[must_use]
pub fn text<'c>(config: &'c Config, name: &str) -> Option<&'c str> {
    match name {
        "missing_probes" => Some(match config.missing_probes {
            MissingProbes::Error => "error",
            MissingProbes::Warn => "warn",
            MissingProbes::Ignore => "ignore",
        }),
        "stack_mode" => Some(match config.stack_mode {
            StackMode::Bpftrace => "bpftrace",
            StackMode::Perf => "perf",
            StackMode::Raw => "raw",
            StackMode::BuildId => "build_id",
        }),
        "str_trunc_trailer" => Some(&config.str_trunc_trailer),
        _ => None,
    }
}

fn switch(name: &str, value: &str) -> Result<bool, Error> {
    match value {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err(Error::usage(format!(
            "{name}={value}: expected true or false"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::config;

    #[test]
    fn overrides() {
        let read = |pairs: &[(&str, &str)]| {
            overridden(&config(), |name| {
                pairs
                    .iter()
                    .find(|(n, _)| *n == name)
                    .map(|(_, v)| (*v).to_owned())
            })
        };
        assert_eq!(read(&[]).unwrap(), config());
        assert_eq!(
            read(&[("BPFTRACE_MAP_KEYS_MAX", "7")])
                .unwrap()
                .max_map_keys,
            7
        );
        let both = [("BPFTRACE_MAX_MAP_KEYS", "7"), ("BTC_MAX_MAP_KEYS", "8")];
        assert_eq!(read(&both).unwrap().max_map_keys, 8);
        assert!(
            !read(&[("BPFTRACE_NO_CPP_DEMANGLE", "1")])
                .unwrap()
                .cpp_demangle
        );
        assert!(read(&[("BTC_STACK_MODE", "x")]).is_err());
        assert!(read(&[("BTC_MAX_PROBES", "-1")]).is_err());
        assert!(read(&[("BTC_MAX_MAP_KEYS", "0")]).is_err());
    }
}
