//! Literal text to values: integers, durations, strings.

use super::ast::IntegerSuffix;

/// A number's value and how it was written.
#[derive(Debug, PartialEq)]
pub enum Number {
    Integer(u64, IntegerSuffix),
    /// Nanoseconds.
    Duration(u64),
}

/// Reads `42`, `0x2a`, `052`, `1_000`, `1e6`, `42UL`, `10ms`.
///
/// # Errors
/// What is wrong with it, as a diagnostic's message.
pub fn number(text: &str) -> Result<Number, String> {
    let plain = text.replace('_', "");
    let (digits, radix) = match plain.get(..2) {
        Some("0x" | "0X") => (&plain[2..], 16),
        Some("0b" | "0B") => (&plain[2..], 2),
        _ if plain.len() > 1 && plain.starts_with('0') && plain.as_bytes()[1].is_ascii_digit() => {
            (&plain[1..], 8)
        }
        _ => (plain.as_str(), 10),
    };
    let end = digits
        .find(|c: char| !c.is_digit(radix))
        .unwrap_or(digits.len());
    let (digits, rest) = digits.split_at(end);
    let too_large = || format!("the integer `{text}` does not fit into 64 bits");
    if digits.is_empty() {
        return Err(format!("`{text}` is not a number"));
    }
    let value = u64::from_str_radix(digits, radix).map_err(|_| too_large())?;
    if let Some(unit) = btc_abi::period::unit(rest) {
        let nanoseconds = value.checked_mul(unit).ok_or_else(too_large)?;
        return Ok(Number::Duration(nanoseconds));
    }
    if let (10, Some(exponent)) = (radix, rest.strip_prefix(['e', 'E'])) {
        let (exponent, rest) = split_digits(exponent);
        let exponent: u32 = exponent
            .parse()
            .map_err(|_| format!("`{text}` is not a number"))?;
        let scale = 10u64.checked_pow(exponent).ok_or_else(too_large)?;
        let value = value.checked_mul(scale).ok_or_else(too_large)?;
        return Ok(Number::Integer(value, suffix(rest, text)?));
    }
    Ok(Number::Integer(value, suffix(rest, text)?))
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(
        text.find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len()),
    )
}

fn suffix(rest: &str, whole: &str) -> Result<IntegerSuffix, String> {
    match rest.to_ascii_lowercase().as_str() {
        "" => Ok(IntegerSuffix::default()),
        "u" => Ok(IntegerSuffix {
            unsigned: true,
            long: false,
        }),
        "l" | "ll" => Ok(IntegerSuffix {
            unsigned: false,
            long: true,
        }),
        "ul" | "ull" | "lu" | "llu" => Ok(IntegerSuffix {
            unsigned: true,
            long: true,
        }),
        _ => Err(format!(
            "`{rest}` is no suffix of an integer and no time unit in `{whole}`"
        )),
    }
}

/// Resolves the escapes of a string's text (without its quotes); gives the offset of a bad one with its message.
///
/// # Errors
/// The byte offset of the backslash, and the message.
pub fn unescape(text: &str) -> Result<Vec<u8>, (usize, String)> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] != b'\\' {
            out.push(bytes[at]);
            at += 1;
            continue;
        }
        let (byte, length) = escape(&bytes[at + 1..]).map_err(|message| (at, message))?;
        out.push(byte);
        at += 1 + length;
    }
    Ok(out)
}

/// The byte that an escape stands for, and how many bytes follow its backslash.
fn escape(rest: &[u8]) -> Result<(u8, usize), String> {
    let digits = |set: &dyn Fn(u8) -> bool, from: usize, most: usize| {
        rest.iter()
            .skip(from)
            .take(most)
            .take_while(|b| set(**b))
            .count()
    };
    let value = |range: std::ops::Range<usize>, radix| {
        let text = std::str::from_utf8(&rest[range]).unwrap_or("");
        u32::from_str_radix(text, radix)
            .ok()
            .and_then(|v| u8::try_from(v).ok())
    };
    match rest.first() {
        Some(b'n') => Ok((b'\n', 1)),
        Some(b't') => Ok((b'\t', 1)),
        Some(b'r') => Ok((b'\r', 1)),
        Some(b'a') => Ok((7, 1)),
        Some(b'b') => Ok((8, 1)),
        Some(b'f') => Ok((12, 1)),
        Some(b'v') => Ok((11, 1)),
        Some(b'e') => Ok((27, 1)),
        Some(c @ (b'"' | b'\\' | b'\'' | b'?')) => Ok((*c, 1)),
        Some(b'0'..=b'7') => {
            let count = digits(&|b| (b'0'..=b'7').contains(&b), 0, 3);
            let byte = value(0..count, 8).ok_or("an octal escape is at most `\\377`")?;
            Ok((byte, count))
        }
        Some(b'x') => {
            let count = digits(&|b| b.is_ascii_hexdigit(), 1, 2);
            let byte = value(1..1 + count, 16).ok_or("expected hexadecimal digits after `\\x`")?;
            Ok((byte, 1 + count))
        }
        Some(c) if c.is_ascii() => Err(format!("unknown escape `\\{}`", char::from(*c))),
        Some(_) => Err("unknown escape".into()),
        None => Err("the string ends with a backslash".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn integer(text: &str) -> u64 {
        match number(text) {
            Ok(Number::Integer(value, _)) => value,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn integers_in_every_spelling() {
        for (text, value) in [
            ("0", 0),
            ("42", 42),
            ("0x2A", 42),
            ("052", 42),
            ("1_000", 1000),
            ("1e6", 1_000_000),
            ("42ULL", 42),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(integer(text), value, "{text}");
        }
    }

    #[test]
    fn durations_are_nanoseconds() {
        for (text, ns) in [
            ("1ns", 1),
            ("5us", 5_000),
            ("10ms", 10_000_000),
            ("1h", 3_600_000_000_000),
        ] {
            assert_eq!(number(text), Ok(Number::Duration(ns)), "{text}");
        }
    }

    #[test]
    fn bad_numbers_say_why() {
        for text in [
            "18446744073709551616",
            "0x",
            "12abc",
            "09",
            "1e99",
            "999999999999d",
        ] {
            assert!(number(text).is_err(), "{text}");
        }
    }

    #[test]
    fn escapes() {
        assert_eq!(
            unescape(r#"a\n\t\"\\\041\x23"#),
            Ok(b"a\n\t\"\\!#".to_vec())
        );
        assert_eq!(unescape(r"ab\q").map_err(|e| e.0), Err(2));
        assert!(unescape("x\\").is_err());
    }
}
