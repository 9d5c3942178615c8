//! Configuration in the environment: `BTC_NAME`, else `BPFTRACE_NAME`, by current and by older names.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::config::{OLDER_NAMES, WITHOUT_EFFECT, current_value};

/// What our environment variables begin with, in the order in which they are looked for.
const PREFIXES: [&str; 2] = ["BTC_", "BPFTRACE_"];

/// What bpftrace reads from its environment beside its configuration.
pub const OF_BPFTRACE: &[&str] = &[
    "btf",
    "cache_dir",
    "color",
    "kernel_build",
    "kernel_source",
    "vmlinux",
];

/// Names and values of all variables that may be ours.
#[derive(Clone, Debug, Default)]
pub struct Environment(Vec<(String, String)>);

/// A variable that is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// Name and value as the environment has them.
    pub name: String,
    pub written: String,
    /// The value as one of the current name.
    pub value: String,
}

impl Given {
    /// What is wrong with a value, for a usage error.
    #[must_use]
    pub fn bad(&self, expected: &str) -> String {
        format!("{}={}: expected {expected}", self.name, self.written)
    }
}

/// A variable with our prefix whose name means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stranger<'e> {
    pub name: &'e str,
    pub prefix: &'static str,
}

impl Stranger<'_> {
    /// The name as scripts would write it.
    #[must_use]
    pub fn lower(&self) -> String {
        self.name[self.prefix.len()..].to_lowercase()
    }

    /// Whether it can only be meant for us: other programs may have names that begin with `BTC_`.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.prefix != PREFIXES[0]
    }
}

impl Environment {
    /// Keeps what begins with our prefixes.
    pub fn new(all: impl Iterator<Item = (String, String)>) -> Self {
        let ours = |name: &str| PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        Environment(all.filter(|(name, _)| ours(name)).collect())
    }

    /// The variable of that name, by any of its names.
    ///
    /// # Errors
    /// A value that no current one can be made of, as a sentence.
    pub fn find(&self, variable: &str) -> Result<Option<Given>, String> {
        if let Some((name, written)) = self.set(variable) {
            return Ok(Some(Given {
                name: name.to_owned(),
                written: written.to_owned(),
                value: written.to_owned(),
            }));
        }
        for older in OLDER_NAMES.iter().filter(|older| older.current == variable) {
            let Some((name, written)) = self.set(older.name) else {
                continue;
            };
            let mut given = Given {
                name: name.to_owned(),
                written: written.to_owned(),
                value: String::new(),
            };
            given.value = current_value(older, written).map_err(|expected| given.bad(expected))?;
            return Ok(Some(given));
        }
        Ok(None)
    }

    fn set(&self, variable: &str) -> Option<(&str, &str)> {
        PREFIXES.iter().find_map(|prefix| {
            let wanted = format!("{prefix}{}", variable.to_uppercase());
            let found = self.0.iter().find(|(name, _)| *name == wanted);
            found.map(|(name, value)| (&**name, &**value))
        })
    }

    /// The names that are none of `known`, nor older names of them, nor of bpftrace's other variables.
    pub fn strangers<'e>(
        &'e self,
        known: impl Fn(&str) -> bool + 'e,
    ) -> impl Iterator<Item = Stranger<'e>> {
        self.0.iter().filter_map(move |(name, _)| {
            let prefix = PREFIXES.iter().find(|prefix| name.starts_with(**prefix))?;
            let stranger = Stranger { name, prefix };
            let lower = stranger.lower();
            let older = OLDER_NAMES.iter().any(|older| older.name == lower);
            let others = [WITHOUT_EFFECT, OF_BPFTRACE].concat();
            let meant = known(&lower) || older || others.contains(&&*lower);
            (!meant).then_some(stranger)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Environment::new(pairs.iter().map(owned))
    }

    fn value(pairs: &[(&str, &str)], variable: &str) -> Option<String> {
        let found = environment(pairs).find(variable);
        found.expect("a good value").map(|given| given.value)
    }

    #[test]
    fn the_first_prefix_and_the_current_name_win() {
        let both = [("BPFTRACE_MAX_STRLEN", "7"), ("BTC_MAX_STRLEN", "8")];
        assert_eq!(value(&both, "max_strlen").as_deref(), Some("8"));
        let older = [("BTC_STRLEN", "7"), ("BPFTRACE_MAX_STRLEN", "8")];
        assert_eq!(value(&older, "max_strlen").as_deref(), Some("8"));
        assert_eq!(value(&older[..1], "max_strlen").as_deref(), Some("7"));
        let opposite = [("BPFTRACE_NO_CPP_DEMANGLE", "1")];
        assert_eq!(value(&opposite, "cpp_demangle").as_deref(), Some("false"));
        assert_eq!(value(&[("MAX_STRLEN", "7")], "max_strlen"), None);
    }

    #[test]
    fn strangers() {
        let all = environment(&[
            ("BTC_WALLET", ""),
            ("BPFTRACE_NOTHING", ""),
            ("BPFTRACE_BTF", ""),
            ("BPFTRACE_STRLEN", ""),
            ("BTC_MAX_STRLEN", ""),
            ("HOME", ""),
        ]);
        let found: Vec<_> = (all.strangers(|name| name == "max_strlen"))
            .map(|stranger| (stranger.lower(), stranger.is_ours()))
            .collect();
        assert_eq!(found, [("wallet".into(), false), ("nothing".into(), true)]);
    }
}
