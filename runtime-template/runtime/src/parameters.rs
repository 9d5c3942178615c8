//! Texts of the command line → positional and named parameters, checked against the manifest's types.

use btc_abi::{Manifest, Parameter, ParameterType};

use crate::{Error, told};

/// A parameter's value in both of the forms that a script may read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Argument {
    text: String,
    /// 0 where the text is no number; of 64 bits, with or without a sign.
    number: i128,
}

/// The parameters of a run.
#[derive(Clone, Debug)]
pub struct Parameters {
    positional: Vec<Argument>,
    named: Vec<Argument>,
}

impl Parameters {
    /// Every named parameter at its default.
    #[must_use]
    pub fn new(manifest: &Manifest) -> Self {
        Parameters {
            positional: Vec::new(),
            named: manifest.named.iter().map(|p| default(&p.ty)).collect(),
        }
    }

    /// Whether the named parameter may stand without a value.
    #[must_use]
    pub fn is_flag(manifest: &Manifest, index: usize) -> bool {
        matches!(manifest.named[index].ty, ParameterType::Bool { .. })
    }

    /// Checks and keeps the value of a named parameter.
    pub fn set_named(
        &mut self,
        manifest: &Manifest,
        index: usize,
        text: String,
    ) -> Result<(), Error> {
        let parameter = &manifest.named[index];
        self.named[index] = check(parameter, &format!("--{}", parameter.name), text)?;
        Ok(())
    }

    /// Checks and keeps `$1` … in order; those beyond the manifest's are only counted.
    pub fn set_positional(&mut self, manifest: &Manifest, texts: Vec<String>) -> Result<(), Error> {
        for (index, text) in texts.into_iter().enumerate() {
            let argument = match manifest.positional.get(index) {
                Some(parameter) => {
                    check(parameter, &format!("parameter {}", index + 1), text.clone()).map_err(
                        |error| match told::expected(manifest, index as u32 + 1) {
                            Some(expected) => Error::usage(format!("{expected}, found `{text}`")),
                            None => error,
                        },
                    )?
                }
                None => Argument { text, number: 0 },
            };
            self.positional.push(argument);
        }
        Ok(())
    }

    /// `$#`
    #[must_use]
    pub fn positional_count(&self) -> usize {
        self.positional.len()
    }

    /// `$n`, one-based; 0 where not given.
    #[must_use]
    pub fn positional_number(&self, n: u32) -> i64 {
        self.positional_argument(n)
            .map_or(0, |argument| bits(argument.number))
    }

    /// `$n` as it was given.
    #[must_use]
    pub fn positional_wide(&self, n: u32) -> i128 {
        self.positional_argument(n)
            .map_or(0, |argument| argument.number)
    }

    /// `str($n)`, one-based; empty where not given.
    #[must_use]
    pub fn positional_text(&self, n: u32) -> &str {
        self.positional_argument(n)
            .map_or("", |argument| &argument.text)
    }

    /// A named parameter as a number: 0 and 1 for a bool.
    #[must_use]
    pub fn named_number(&self, index: u32) -> i64 {
        self.named
            .get(index as usize)
            .map_or(0, |argument| bits(argument.number))
    }

    /// A named parameter's number as it was given.
    #[must_use]
    pub fn named_wide(&self, index: u32) -> i128 {
        self.named
            .get(index as usize)
            .map_or(0, |argument| argument.number)
    }

    /// A named parameter as text.
    #[must_use]
    pub fn named_text(&self, index: u32) -> &str {
        self.named
            .get(index as usize)
            .map_or("", |argument| &argument.text)
    }

    fn positional_argument(&self, n: u32) -> Option<&Argument> {
        self.positional.get((n as usize).checked_sub(1)?)
    }
}

fn default(ty: &ParameterType) -> Argument {
    match ty {
        ParameterType::Integer { default } => Argument {
            text: default.map_or_else(String::new, |number| number.to_string()),
            number: default.unwrap_or(0).into(),
        },
        ParameterType::Bool { default } => Argument {
            text: default.to_string(),
            number: i128::from(*default),
        },
        ParameterType::String { default } => Argument {
            text: default.as_deref().unwrap_or("").to_owned(),
            number: 0,
        },
        ParameterType::Any => Argument::default(),
    }
}

fn check(parameter: &Parameter, what: &str, text: String) -> Result<Argument, Error> {
    let number = match parameter.ty {
        ParameterType::Integer { .. } => integer(&text)
            .ok_or_else(|| Error::usage(format!("{what}: expected an integer, found `{text}`")))?,
        ParameterType::Bool { .. } => match text.as_str() {
            "true" | "1" => 1,
            "false" | "0" => 0,
            _ => {
                return Err(Error::usage(format!(
                    "{what}: expected true or false, found `{text}`"
                )));
            }
        },
        ParameterType::String { .. } => 0,
        ParameterType::Any => integer(&text).unwrap_or(0),
    };
    Ok(Argument { text, number })
}

/// The low 64 bits.
fn bits(number: i128) -> i64 {
    number as i64
}

/// A decimal, hexadecimal (`0x`) or octal (leading 0) integer, with a sign; up to 2^64 - 1.
#[must_use]
pub fn integer(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    if digits.starts_with('+') {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    if negative {
        0i64.checked_sub_unsigned(magnitude).map(i128::from)
    } else {
        Some(i128::from(magnitude))
    }
}

#[cfg(test)]
mod tests {
    use super::integer;

    #[test]
    fn integers() {
        assert_eq!(integer("42"), Some(42));
        assert_eq!(integer("0x1F"), Some(31));
        assert_eq!(integer("017"), Some(15));
        assert_eq!(integer("-0x10"), Some(-16));
        assert_eq!(integer("0"), Some(0));
        assert_eq!(integer("18446744073709551615"), Some(u64::MAX.into()));
        assert_eq!(integer("-9223372036854775808"), Some(i64::MIN.into()));
        for bad in [
            "",
            "-",
            "0x",
            "09",
            "1a",
            "+1",
            "0x+1",
            "18446744073709551616",
            "--1",
        ] {
            assert_eq!(integer(bad), None, "{bad}");
        }
    }
}
