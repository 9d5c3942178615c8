//! A decoded value → the text that `print`, maps and `%s` show.

use std::io::Write as _;

use crate::datum::Datum;
use crate::format::{histogram, timeline};

/// Appends a value's text.
pub fn write(datum: &Datum<'_>, out: &mut Vec<u8>) {
    match datum {
        Datum::Signed(number) => integer(*number, out),
        Datum::Unsigned(number) => integer(*number, out),
        Datum::Bool(yes) => out.extend_from_slice(if *yes { b"true" } else { b"false" }),
        Datum::Float => out.extend_from_slice(b"<float>"),
        Datum::Text(text) => out.extend_from_slice(text),
        Datum::Named { text, .. } => out.extend_from_slice(text.as_bytes()),
        Datum::Buffer(bytes) => escaped(bytes, out),
        Datum::Tuple(items) => {
            out.push(b'(');
            list(items, b", ", out);
            out.push(b')');
        }
        Datum::Array(items) => {
            out.push(b'[');
            list(items, b",", out);
            out.push(b']');
        }
        Datum::Record(members) => record(members, out),
        Datum::Histogram(buckets) => histogram::write(buckets, out),
        Datum::Timeline(points) => timeline::write(points, out),
    }
}

/// A map's key: a tuple stands without its parentheses.
pub fn write_key(key: &Datum<'_>, out: &mut Vec<u8>) {
    match key {
        Datum::Tuple(items) => list(items, b", ", out),
        _ => write(key, out),
    }
}

fn integer(number: impl std::fmt::Display, out: &mut Vec<u8>) {
    // A vector takes everything.
    let _ = write!(out, "{number}");
}

fn list(items: &[Datum<'_>], separator: &[u8], out: &mut Vec<u8>) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(separator);
        }
        write(item, out);
    }
}

fn record(members: &[(&str, Datum<'_>)], out: &mut Vec<u8>) {
    if members.is_empty() {
        out.extend_from_slice(b"{}");
        return;
    }
    out.extend_from_slice(b"{ ");
    for (index, (name, member)) in members.iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        out.push(b'.');
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b" = ");
        write(member, out);
    }
    out.extend_from_slice(b" }");
}

/// Printable ASCII as it is, every other byte as `\xNN`.
pub fn escaped(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        match byte {
            b' '..=b'~' => out.push(*byte),
            _ => hex_escaped(*byte, out),
        }
    }
}

/// `\xNN`
pub fn hex_escaped(byte: u8, out: &mut Vec<u8>) {
    let _ = write!(out, "\\x{byte:02x}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(datum: &Datum<'_>) -> String {
        let mut out = Vec::new();
        write(datum, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn shapes() {
        let nested = Datum::Tuple(vec![
            Datum::Signed(1),
            Datum::text("two"),
            Datum::Tuple(vec![Datum::Unsigned(3), Datum::Bool(true)]),
        ]);
        assert_eq!(text(&nested), "(1, two, (3, true))");
        let mut key = Vec::new();
        write_key(&nested, &mut key);
        assert_eq!(key, b"1, two, (3, true)");
        let array = Datum::Array(vec![Datum::Signed(-1), Datum::Signed(2)]);
        assert_eq!(text(&array), "[-1,2]");
        assert_eq!(
            text(&Datum::Record(vec![
                ("x", Datum::Signed(1)),
                ("list", array)
            ])),
            "{ .x = 1, .list = [-1,2] }"
        );
        assert_eq!(text(&Datum::Record(vec![])), "{}");
        assert_eq!(text(&Datum::Buffer(b"\x01a~\x7f".into())), "\\x01a~\\x7f");
    }
}
