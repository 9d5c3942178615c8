//! JSON output: one object a line, `type` and `data`, with the spacing that bpftrace has.

use std::io::Write as _;

use crate::Error;
use crate::datum::{Bucket, Datum, Histogram, Point, Timeline};
use crate::format::{timeline, value};
use crate::output::{Elements, MapType, Output, Severity, Sink, Trouble};

/// See [`Output`].
pub struct JsonOutput {
    sink: Sink,
}

impl JsonOutput {
    #[must_use]
    pub fn new(sink: Sink) -> Self {
        JsonOutput { sink }
    }

    /// `{"type": KIND, "data": DATA}`
    fn object(&mut self, kind: &str, data: impl FnOnce(&mut Vec<u8>)) -> Result<(), Error> {
        self.sink.write(|out| {
            raw(out, format_args!("{{\"type\": \"{kind}\", \"data\": "));
            data(out);
            out.extend_from_slice(b"}\n");
        })
    }

    fn text(&mut self, kind: &str, text: &[u8]) -> Result<(), Error> {
        self.object(kind, |out| string(text, out))
    }

    /// `{"type": KIND, "count": N, "data": {NAME: N}}`
    fn count(&mut self, kind: &str, name: &str, count: u64) -> Result<(), Error> {
        self.sink.write(|out| {
            raw(
                out,
                format_args!(
                    "{{\"type\": \"{kind}\", \"count\": {count}, \"data\": {{\"{name}\": {count}}}}}\n"
                ),
            );
        })
    }
}

impl JsonOutput {
    /// `{"type": KIND, NAME: TEXT, …, "filename": FILE, "line": N, "col": N}`: what belongs to a place in the script.
    fn at(
        &mut self,
        kind: &str,
        name: &str,
        text: &[u8],
        place: &str,
        more: &str,
    ) -> Result<(), Error> {
        let mut parts = place.rsplitn(3, ':');
        let (column, line) = (parts.next(), parts.next());
        let file = parts.next().unwrap_or(place);
        let number = |text: Option<&str>| text.and_then(|text| text.parse().ok()).unwrap_or(0u32);
        self.sink.write(|out| {
            raw(out, format_args!("{{\"type\": \"{kind}\", \"{name}\": "));
            string(text, out);
            raw(out, format_args!("{more}, \"filename\": "));
            string(file.as_bytes(), out);
            let (line, column) = (number(line), number(column));
            raw(
                out,
                format_args!(", \"line\": {line}, \"col\": {column}}}\n"),
            );
        })
    }
}

impl Output for JsonOutput {
    fn attached(&mut self, probes: usize) -> Result<(), Error> {
        self.count("attached_probes", "probes", probes as u64)
    }

    fn printf(&mut self, text: &[u8]) -> Result<(), Error> {
        self.text("printf", text)
    }

    fn value(&mut self, value: &Datum<'_>) -> Result<(), Error> {
        self.object("value", |out| datum(value, out))
    }

    fn map(&mut self, name: &str, elements: &Elements<'_>) -> Result<(), Error> {
        if elements.elements.is_empty() {
            return Ok(());
        }
        let kind = match elements.map_type {
            MapType::Plain => "map",
            MapType::Stats => "stats",
            MapType::Histogram => "hist",
            MapType::Series => "tseries",
        };
        self.object(kind, |out| {
            raw(out, format_args!("{{\"{name}\": "));
            match &elements.elements[..] {
                [(None, element)] => datum(element, out),
                keyed => {
                    let members = keyed.iter().map(|(key, element)| (key_text(key), element));
                    object(members, out);
                }
            }
            out.push(b'}');
        })
    }

    fn time(&mut self, text: &[u8]) -> Result<(), Error> {
        self.text("time", text)
    }

    fn cat(&mut self, text: &[u8]) -> Result<(), Error> {
        self.text("cat", text)
    }

    fn join(&mut self, text: &[u8]) -> Result<(), Error> {
        self.text("join", text)
    }

    fn system(&mut self, text: &[u8]) -> Result<(), Error> {
        self.text("syscall", text)
    }

    fn message(&mut self, severity: Severity, place: &str, text: &[u8]) -> Result<(), Error> {
        let kind = match severity {
            Severity::Error => "errorf",
            Severity::Warning => "warnf",
        };
        self.at(kind, "msg", text, place, "")
    }

    fn trouble(&mut self, trouble: &Trouble<'_>) -> Result<(), Error> {
        match trouble {
            Trouble::LostEvents(count) => self.count("lost_events", "events", *count),
            Trouble::FailedReads { place, count } => {
                let text = std::io::Error::from_raw_os_error(libc::EFAULT).to_string();
                let text = text.split(" (os error").next().unwrap_or_default();
                let more = format!(
                    ", \"helper\": \"probe_read\", \"retcode\": {}, \"count\": {count}",
                    -libc::EFAULT
                );
                self.at("helper_error", "msg", text.as_bytes(), place, &more)
            }
            Trouble::At { place, text } => self.at("warning", "data", text.as_bytes(), place, ""),
            Trouble::Warning(text) => self.text("warning", text.as_bytes()),
        }
    }

    fn end(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn raw(&mut self, text: &[u8]) -> Result<(), Error> {
        self.sink.write(|out| out.extend_from_slice(text))
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.sink.flush()
    }
}

fn raw(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // A vector takes everything.
    let _ = out.write_fmt(text);
}

/// A map's key as a member's name: its parts with commas between.
fn key_text(key: &Option<Datum<'_>>) -> Vec<u8> {
    let mut text = Vec::new();
    match key {
        Some(Datum::Tuple(parts)) => key_parts(parts, &mut text),
        Some(key) => key_part(key, &mut text),
        None => {}
    }
    text
}

fn key_parts(parts: &[Datum<'_>], out: &mut Vec<u8>) {
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        key_part(part, out);
    }
}

fn key_part(part: &Datum<'_>, out: &mut Vec<u8>) {
    if let Datum::Tuple(parts) = part {
        out.push(b'(');
        key_parts(parts, out);
        out.push(b')');
    } else {
        value::write(part, out);
    }
}

fn object<'d>(members: impl Iterator<Item = (Vec<u8>, &'d Datum<'d>)>, out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, (name, member)) in members.enumerate() {
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        string(&name, out);
        out.extend_from_slice(b": ");
        datum(member, out);
    }
    out.push(b'}');
}

fn datum(value: &Datum<'_>, out: &mut Vec<u8>) {
    match value {
        Datum::Signed(number) => integer(i128::from(*number), out),
        Datum::Unsigned(number) => integer(i128::from(*number), out),
        Datum::Named { number, .. } => integer(*number, out),
        Datum::Bool(yes) => raw(out, format_args!("{yes}")),
        Datum::Float => out.extend_from_slice(b"null"),
        Datum::Text(text) => string(text, out),
        Datum::Buffer(bytes) => list(bytes.iter(), out, |byte, out| {
            raw(out, format_args!("{byte}"));
        }),
        Datum::Tuple(items) | Datum::Array(items) => list(items.iter(), out, datum),
        Datum::Record(members) => {
            let members = members
                .iter()
                .map(|(name, member)| (name.as_bytes().to_vec(), member));
            object(members, out);
        }
        Datum::Histogram(histogram) => buckets(histogram, out),
        Datum::Timeline(timeline) => intervals(timeline, out),
    }
}

/// Readers keep numbers as doubles; as bpftrace does, one that is no double is a string (RFC 8259, section 6).
fn integer(number: i128, out: &mut Vec<u8>) {
    if number as f64 as i128 == number {
        raw(out, format_args!("{number}"));
    } else {
        raw(out, format_args!("\"{number}\""));
    }
}

fn list<T>(items: impl Iterator<Item = T>, out: &mut Vec<u8>, write: impl Fn(T, &mut Vec<u8>)) {
    out.push(b'[');
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(b']');
}

/// `max` is the greatest number in the bucket.
fn buckets(histogram: &Histogram, out: &mut Vec<u8>) {
    list(histogram.buckets.iter(), out, |bucket: &Bucket, out| {
        out.push(b'{');
        if let Some(low) = &bucket.low {
            out.extend_from_slice(b"\"min\": ");
            integer(low.number, out);
            out.extend_from_slice(b", ");
        }
        if let Some(high) = &bucket.high {
            out.extend_from_slice(b"\"max\": ");
            integer(high.number - 1, out);
            out.extend_from_slice(b", ");
        }
        raw(out, format_args!("\"count\": {}}}", bucket.count));
    });
}

/// An interval without a value has `null`.
fn intervals(timeline: &Timeline, out: &mut Vec<u8>) {
    list(timeline.points.iter(), out, |point: &Point, out| {
        out.extend_from_slice(b"{\"interval_start\": ");
        string(timeline::stamp(point.start).as_bytes(), out);
        out.extend_from_slice(b", \"value\": ");
        match point.value {
            Some(value) => integer(value, out),
            None => out.extend_from_slice(b"null"),
        }
        out.push(b'}');
    });
}

/// Bytes that are not UTF-8 become U+FFFD: JSON has no other way to say them.
pub fn string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for character in String::from_utf8_lossy(text).chars() {
        match character {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            // A terminal obeys the latter ones too.
            '\0'..='\x1f' | '\x7f'..='\u{9f}' => {
                raw(out, format_args!("\\u{:04x}", character as u32))
            }
            _ => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &Datum<'_>) -> String {
        let mut out = Vec::new();
        datum(value, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values() {
        assert_eq!(text(&Datum::text("a\"b\\\n\u{1}é")), r#""a\"b\\\n\u0001é""#);
        assert_eq!(text(&Datum::Text(b"\xff"[..].into())), "\"\u{fffd}\"");
        assert_eq!(text(&Datum::Unsigned(u64::MAX)), "\"18446744073709551615\"");
        assert_eq!(text(&Datum::Unsigned(1 << 60)), "1152921504606846976");
        assert_eq!(text(&Datum::Unsigned(1 << 53)), "9007199254740992");
        assert_eq!(text(&Datum::Signed(-1 << 53)), "-9007199254740992");
        assert_eq!(text(&Datum::Signed(-(1 << 53) - 2)), "-9007199254740994");
        assert_eq!(
            text(&Datum::Signed(-(1 << 53) - 1)),
            "\"-9007199254740993\""
        );
        let tuple = Datum::Tuple(vec![Datum::Signed(-1), Datum::Bool(true)]);
        assert_eq!(
            text(&Datum::Record(vec![
                ("t", tuple),
                ("n", Datum::Unsigned(2))
            ])),
            r#"{"t": [-1,true], "n": 2}"#
        );
        let named = Datum::Named {
            text: "0x10".into(),
            number: 16,
        };
        assert_eq!(text(&named), "16");
        assert_eq!(text(&Datum::Buffer(b"\x01a"[..].into())), "[1,97]");
    }

    #[test]
    fn parts_of_keys_are_joined() {
        let inner = Datum::Tuple(vec![Datum::Signed(2), Datum::text("c")]);
        let key = Datum::Tuple(vec![Datum::Signed(1), Datum::text("a b"), inner]);
        assert_eq!(key_text(&Some(key)), b"1,a b,(2,c)");
        assert_eq!(key_text(&Some(Datum::text("a b"))), b"a b");
    }
}
