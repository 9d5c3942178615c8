//! The script's configuration and the environment (`BTC_NAME`, else `BPFTRACE_NAME`) → the run's configuration.

use btc_abi::config::{self, VARIABLES};
use btc_abi::environment::{Environment, Given};
use btc_abi::{Config, Manifest, MissingProbes, StackMode};

use crate::Error;
use crate::suggest::nearest;

/// Overrides the script's configuration by environment variables; what can't be done is a usage error.
pub fn from_environment(manifest: &Manifest) -> Result<Config, Error> {
    let text = |os: std::ffi::OsString| os.to_string_lossy().into_owned();
    let all = std::env::vars_os().map(|(name, value)| (text(name), text(value)));
    overridden(manifest, &Environment::new(all)).map_err(Error::usage)
}

fn overridden(manifest: &Manifest, environment: &Environment) -> Result<Config, String> {
    let mut config = manifest.config.clone();
    for variable in VARIABLES {
        if let Some(given) = environment.find(variable.name)? {
            (variable.set)(&mut config, &given.value).map_err(|expected| given.bad(expected))?;
        }
    }
    for (name, compiled) in manifest.fixed.iter() {
        if let Some(given) = environment.find(name)?
            && !same(&given.value, compiled)
        {
            return Err(too_late(&given, name, compiled));
        }
    }
    captured_alike(&manifest.config, &config)?;
    let fixed = manifest.fixed.iter().map(|(name, _)| &**name);
    let all = VARIABLES.iter().map(|variable| variable.name).chain(fixed);
    // What an unknown name should have done would be missed without a word.
    for stranger in environment.strangers(|name| all.clone().any(|known| known == name)) {
        let name = stranger.name;
        if let Some(near) = nearest(&stranger.lower(), all.clone()) {
            return Err(format!(
                "{name}: no such configuration variable; did you mean {}{}?",
                stranger.prefix,
                near.to_uppercase()
            ));
        }
        if stranger.is_ours() {
            return Err(format!(
                "{name}: no such configuration variable; --info lists them"
            ));
        }
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

/// Programs capture either build IDs or addresses.
fn captured_alike(script: &Config, config: &Config) -> Result<(), String> {
    let of_build_ids = |config: &Config| config.stack_mode == StackMode::BuildId;
    if of_build_ids(script) == of_build_ids(config) {
        return Ok(());
    }
    let it = match of_build_ids(script) {
        true => "captures build IDs",
        false => "captures no build IDs",
    };
    Err(format!(
        "BTC_STACK_MODE: the script {it}; that can be chosen there alone: config = {{ stack_mode = build_id }}"
    ))
}

/// A limit that programs were compiled with would do nothing here.
fn too_late(given: &Given, variable: &str, compiled: &str) -> String {
    let Given { name, written, .. } = given;
    format!(
        "{name}={written}: {variable} was fixed when the script was compiled, as {compiled}; set {name} for btc, or `config = {{ {variable} = {written} }}` in the script"
    )
}

/// Whether both texts mean one value.
fn same(given: &str, compiled: &str) -> bool {
    let number = config::number(given);
    given == compiled || (number.is_some() && number == config::number(compiled))
}

/// The run's configuration, and what was fixed before, for `--info`.
pub fn describe(manifest: &Manifest, config: &Config) -> String {
    let mut text = String::from("configuration (BTC_NAME in the environment sets one):\n");
    for variable in VARIABLES {
        text += &format!("  {} = {}\n", variable.name, (variable.shown)(config));
    }
    text.push_str("configuration that was fixed when the script was compiled:\n");
    for (name, value) in manifest.fixed.iter() {
        text += &format!("  {name} = {value}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use btc_abi::SymbolCache;

    use super::*;
    use crate::testing;

    fn read(pairs: &[(&str, &str)]) -> Result<Config, String> {
        let mut manifest = testing::manifest();
        manifest.fixed = vec![("max_strlen".into(), "64".into())].into();
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        overridden(&manifest, &Environment::new(pairs.iter().map(owned)))
    }

    fn refused(name: &str, value: &str) -> String {
        read(&[(name, value)]).expect_err("a refusal")
    }

    #[test]
    fn overrides() {
        assert_eq!(read(&[]).unwrap(), testing::config());
        let keys = |pairs| read(pairs).unwrap().max_map_keys;
        assert_eq!(keys(&[("BPFTRACE_MAP_KEYS_MAX", "7")]), 7);
        assert_eq!(keys(&[("BTC_MAX_MAP_KEYS", "1_0")]), 10);
        let config = read(&[
            ("BTC_STACK_MODE", "perf"),
            ("BTC_CACHE_USER_SYMBOLS", "none"),
        ]);
        let config = config.unwrap();
        assert_eq!(config.stack_mode, StackMode::Perf);
        assert_eq!(config.cache_user_symbols, SymbolCache::None);
    }

    #[test]
    fn bad_values() {
        assert_eq!(
            refused("BTC_STACK_MODE", "x"),
            "BTC_STACK_MODE=x: expected `bpftrace`, `perf`, `raw` or `build_id`"
        );
        assert!(refused("BTC_MAX_PROBES", "-1").ends_with("a positive integer"));
        assert!(refused("BPFTRACE_MAX_MAP_KEYS", "0").ends_with("1 to 2147483648"));
        assert!(refused("BPFTRACE_NO_CPP_DEMANGLE", "2").ends_with("`true` or `false`"));
    }

    #[test]
    fn what_was_fixed_before_may_only_be_said_again() {
        assert!(read(&[("BPFTRACE_MAX_STRLEN", "64")]).is_ok());
        assert!(read(&[("BPFTRACE_STRLEN", "0x40")]).is_ok());
        assert!(
            refused("BTC_MAX_STRLEN", "128").contains("fixed when the script was compiled, as 64")
        );
    }

    #[test]
    fn unknown_names() {
        assert!(refused("BPFTRACE_NOTHING", "1").contains("no such"));
        assert!(refused("BTC_MAX_MAP_KEY", "1").ends_with("did you mean BTC_MAX_MAP_KEYS?"));
        for (name, value) in [
            ("BTC_WALLET", "x"),
            ("BTC_CACHE_DIR", "/x"),
            ("BPFTRACE_VMLINUX", "/x"),
            ("BPFTRACE_USE_BLAZESYM", "1"),
        ] {
            assert!(read(&[(name, value)]).is_ok(), "{name}");
        }
    }
}
