//! Bytes of records, keys and maps → decoded values, by the shapes of the manifest.

use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::RawFd;

use btc_abi::value::CUT;
use btc_abi::{Clock, Config, Field, Manifest, StackKind, StackMode, Value};
use libbpf_rs::Object;

use crate::Error;
use crate::aggregate::{self, Merged, integer, wide};
use crate::datum::Datum;
use crate::format::controls::Controls;
use crate::format::time;
use crate::names::{self, Names};
use crate::series;
use crate::stacks::Stacks;
use crate::symbolize::{Address, Symbolizer, Symbols};
use crate::target::clock_ns;

/// Decodes values; owns what turns numbers into names.
pub struct Decoder<'o> {
    config: Config,
    /// The default of the script: stacks of this mode follow the run's configuration.
    script_stack_mode: StackMode,
    max_strlen: u32,
    names: Names,
    stacks: Stacks<'o>,
    probe_names: &'o [String],
    symbols: Option<Box<dyn Symbols>>,
    /// Of text in what is decoded next.
    pub controls: Controls,
}

/// What follows the fixed part of a record.
pub struct Tail<'b>(pub &'b [u8]);

impl<'b> Tail<'b> {
    fn take(&mut self, length: usize) -> &'b [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

impl<'o> Decoder<'o> {
    /// Finds the stack maps of the object.
    pub fn new(
        manifest: &'static Manifest,
        config: &Config,
        object: &'o Object,
        probe_names: &'o [String],
        symbolizer: Option<&dyn Symbolizer>,
    ) -> Result<Self, Error> {
        Ok(Decoder {
            config: config.clone(),
            script_stack_mode: manifest.config.stack_mode.clone(),
            max_strlen: manifest.max_strlen,
            names: Names::new(manifest),
            stacks: Stacks::find(manifest, object)?,
            probe_names,
            symbols: symbolizer.map(|symbolizer| symbolizer.open(config)),
            controls: Controls::Raw,
        })
    }

    /// [`Symbols::catch_up`]
    pub fn catch_up(&mut self) {
        if let Some(symbols) = &mut self.symbols {
            symbols.catch_up();
        }
    }

    /// [`Symbols::follow`]
    pub fn follow(&mut self, process: u32) -> Option<RawFd> {
        self.symbols.as_mut()?.follow(process)
    }

    /// The fields of a record in order.
    pub fn fields<'b>(
        &mut self,
        fields: &'static [Field],
        record: &'b [u8],
        tail: &mut Tail<'b>,
    ) -> Vec<Datum<'b>> {
        (fields.iter())
            .map(|field| self.field(field, record, tail))
            .collect()
    }

    fn field<'b>(
        &mut self,
        field: &'static Field,
        within: &'b [u8],
        tail: &mut Tail<'b>,
    ) -> Datum<'b> {
        let start = field.offset as usize;
        let end = start + field.value.size() as usize;
        let bytes = within.get(start..end).unwrap_or_default();
        match &field.value {
            Value::TailString => {
                let word = integer(bytes, 0, 4, false) as u32;
                let text = tail.take((word & !CUT) as usize);
                self.printable(&field.value, self.string(text, word & CUT != 0))
            }
            Value::TailBuffer => {
                let length = integer(bytes, 0, 4, false) as usize;
                Datum::Buffer(Cow::Borrowed(tail.take(length)))
            }
            value => self.value(value, bytes),
        }
    }

    /// A map's value after merging.
    pub fn merged<'b>(&self, value: &Value, merged: &Merged, divisor: u64) -> Datum<'b> {
        let divisor = i128::from(divisor.max(1));
        match merged {
            Merged::Number { bits, signed } => number(wide(*bits, *signed) / divisor, *signed),
            Merged::Buckets(counters) => {
                Datum::Histogram(aggregate::histogram(value, counters, divisor as u64))
            }
            Merged::Series(intervals) => match value {
                Value::Tseries { series } => {
                    Datum::Timeline(series::timeline(series, intervals, divisor))
                }
                _ => Datum::Tuple(vec![]),
            },
            Merged::Stats {
                count,
                total,
                signed,
            } => {
                let average = number(merged.average() / divisor, *signed);
                match value {
                    Value::Stats { .. } => Datum::Record(vec![
                        ("count", Datum::Unsigned(*count)),
                        ("average", average),
                        ("total", number(wide(*total, *signed), *signed)),
                    ]),
                    _ => average,
                }
            }
        }
    }

    /// A value in place.
    pub fn value<'b>(&mut self, value: &'static Value, bytes: &'b [u8]) -> Datum<'b> {
        let datum = self.as_it_is(value, bytes);
        self.printable(value, datum)
    }

    /// Text as it may be printed.
    fn printable<'b>(&self, value: &Value, datum: Datum<'b>) -> Datum<'b> {
        match datum {
            Datum::Text(text) if matches!(value, Value::Stack { .. }) => {
                Datum::Text(self.controls.lines(text))
            }
            Datum::Text(text) => Datum::Text(self.controls.value(text)),
            Datum::Named { text, number } => {
                let text = self.controls.value(Cow::Owned(text.into_bytes()));
                let text = String::from_utf8_lossy(&text).into_owned();
                Datum::Named { text, number }
            }
            other => other,
        }
    }

    fn as_it_is<'b>(&mut self, value: &'static Value, bytes: &'b [u8]) -> Datum<'b> {
        let word = || integer(bytes, 0, 8, false);
        let small = || integer(bytes, 0, 4, true) as i32;
        match value {
            Value::Int { size, signed: true } => {
                Datum::Signed(integer(bytes, 0, *size, true).cast_signed())
            }
            Value::Int { size, .. } => Datum::Unsigned(integer(bytes, 0, *size, false)),
            Value::Float { .. } => Datum::Float,
            Value::Bool => Datum::Bool(bytes.first().is_some_and(|byte| *byte != 0)),
            Value::Pointer => Datum::Named {
                text: format!("{:#x}", word()),
                number: word().into(),
            },
            Value::String { size } => {
                let text = until_nul(bytes);
                let full = text.len() + 1 >= *size as usize;
                self.string(text, full && *size == self.max_strlen)
            }
            Value::Buffer { size } => {
                let length = integer(bytes, 0, 4, false).min(u64::from(*size)) as usize;
                Datum::Buffer(bytes.get(4..4 + length).unwrap_or_default().into())
            }
            Value::Tuple { fields, .. } => Datum::Tuple(self.members(fields, bytes)),
            Value::Struct { fields, .. } => {
                let names = fields.iter().map(|field| &*field.name);
                Datum::Record(flattened(names.zip(self.members(fields, bytes))))
            }
            Value::Array {
                element, stride, ..
            } => self.array(element, *stride, bytes),
            Value::Enum { id, size, signed } => {
                let number = wide(integer(bytes, 0, *size, *signed), *signed);
                Datum::Named {
                    text: self.names.enumeration(*id, number),
                    number,
                }
            }
            Value::KernelSymbol => Datum::text(self.kernel_symbol(word())),
            Value::UserSymbol => {
                let process = integer(bytes, 8, 4, false) as u32;
                Datum::text(self.user_symbol(process, word()))
            }
            Value::Stack {
                kind, mode, map, ..
            } => {
                let process = match kind {
                    StackKind::Kernel => None,
                    StackKind::User => Some(integer(bytes, 8, 4, false) as u32),
                };
                let frames = self.stacks.frames(*map, word());
                let mode = self.stack_mode(mode).clone();
                let symbols = self.symbols.as_deref_mut();
                Datum::text(crate::stacks::text(&frames, process, &mode, symbols))
            }
            Value::Inet => Datum::text(inet(bytes)),
            Value::Mac => Datum::text(mac(bytes)),
            Value::Timestamp { clock, format } => {
                Datum::text(time::strftime(format, since_epoch(clock, word())))
            }
            Value::Username => Datum::text(self.names.user(word())),
            Value::CgroupPath { pattern } => Datum::text(self.names.cgroup(word(), pattern)),
            Value::ProbeName => {
                let name = self.probe_names.get(word() as usize);
                Datum::text(name.map_or("", String::as_str))
            }
            Value::GfpFlags => Datum::Named {
                text: self.names.gfp_flags(word()),
                number: word().into(),
            },
            Value::ErrorName => Datum::text(names::error(small())),
            Value::SignalName => Datum::text(names::signal(small())),
            Value::SyscallName => Datum::text(names::syscall(small())),
            Value::Count
            | Value::Sum { .. }
            | Value::Min { .. }
            | Value::Max { .. }
            | Value::Avg { .. }
            | Value::Stats { .. }
            | Value::Hist { .. }
            | Value::Lhist { .. }
            | Value::Tseries { .. } => match aggregate::merge(value, &[bytes]) {
                Some(merged) => self.merged(value, &merged, 1),
                None => Datum::Unsigned(0),
            },
            // Only records have these, and `field` takes them.
            Value::TailString | Value::TailBuffer => Datum::Text(Cow::Borrowed(b"")),
        }
    }

    /// Text that was cut says so.
    fn string<'b>(&self, text: &'b [u8], cut: bool) -> Datum<'b> {
        let trailer = self.config.str_trunc_trailer.as_bytes();
        Datum::Text(if cut {
            Cow::Owned([text, trailer].concat())
        } else {
            Cow::Borrowed(text)
        })
    }

    fn members<'b>(&mut self, fields: &'static [Field], bytes: &'b [u8]) -> Vec<Datum<'b>> {
        self.fields(fields, bytes, &mut Tail(b""))
    }

    fn array<'b>(&mut self, element: &'static [Value], stride: u32, bytes: &'b [u8]) -> Datum<'b> {
        let Some(element) = element.first() else {
            return Datum::Array(Vec::new());
        };
        let items = bytes.chunks_exact(stride.max(1) as usize);
        Datum::Array(items.map(|item| self.value(element, item)).collect())
    }

    fn kernel_symbol(&mut self, address: u64) -> String {
        let frames =
            (self.symbols.as_mut()).map(|symbols| symbols.kernel(&[Address::Exact(address)]));
        function(frames, address)
    }

    fn user_symbol(&mut self, process: u32, address: u64) -> String {
        let frames = (self.symbols.as_mut())
            .map(|symbols| symbols.user(process, &[Address::Exact(address)]));
        function(frames, address)
    }

    /// A mode that the script did not choose itself follows the run's configuration.
    fn stack_mode<'m>(&'m self, mode: &'m StackMode) -> &'m StackMode {
        if *mode == self.script_stack_mode {
            &self.config.stack_mode
        } else {
            mode
        }
    }
}

/// The name of the function around an address, which an inlined one is a part of; else the address.
fn function(frames: Option<Vec<Vec<crate::symbolize::Frame>>>, address: u64) -> String {
    let frames = frames.and_then(|mut of_addresses| of_addresses.pop());
    let outermost = frames.and_then(|mut frames| frames.pop());
    outermost
        .and_then(|frame| frame.function)
        .unwrap_or_else(|| format!("{address:#x}"))
}

/// Members of anonymous structs and unions are those of the struct around them; other members without a name are padding.
fn flattened<'b>(members: impl Iterator<Item = (&'b str, Datum<'b>)>) -> Vec<(&'b str, Datum<'b>)> {
    let mut all = Vec::new();
    for (name, member) in members {
        match member {
            Datum::Record(inside) if name.is_empty() => all.extend(inside),
            _ if name.is_empty() => {}
            member => all.push((name, member)),
        }
    }
    all
}

fn number<'b>(value: i128, signed: bool) -> Datum<'b> {
    if signed {
        Datum::Signed(value as i64)
    } else {
        Datum::Unsigned(value as u64)
    }
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|byte| *byte == 0);
    &bytes[..end.unwrap_or(bytes.len())]
}

/// `u32` length, then the address in network order.
fn inet(bytes: &[u8]) -> String {
    let octets = bytes.get(4..20).unwrap_or(&[0; 16]);
    if integer(bytes, 0, 4, false) == 4 {
        return Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3]).to_string();
    }
    let mut all = [0; 16];
    all.copy_from_slice(octets);
    Ipv6Addr::from(all).to_string()
}

fn mac(bytes: &[u8]) -> String {
    let parts: Vec<String> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    parts.join(":")
}

/// A clock's nanoseconds as nanoseconds since 1970, by what the clocks show now.
pub fn since_epoch(clock: &Clock, ns: u64) -> i128 {
    let id = match clock {
        Clock::Realtime => return i128::from(ns),
        Clock::Monotonic => libc::CLOCK_MONOTONIC,
        Clock::Boot => libc::CLOCK_BOOTTIME,
        Clock::Tai => libc::CLOCK_TAI,
    };
    let offset = i128::from(clock_ns(libc::CLOCK_REALTIME)) - i128::from(clock_ns(id));
    i128::from(ns) + offset
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anonymous_members_are_the_outer_structs() {
        let inside = Datum::Record(vec![("a", Datum::Unsigned(1))]);
        let members = [
            ("", inside),
            ("", Datum::Unsigned(9)),
            ("b", Datum::Unsigned(2)),
        ];
        let flat = flattened(members.into_iter());
        assert_eq!(flat, [("a", Datum::Unsigned(1)), ("b", Datum::Unsigned(2))]);
    }

    #[test]
    fn addresses_are_written() {
        let mut bytes = [0u8; 20];
        bytes[0] = 4;
        bytes[4..8].copy_from_slice(&[127, 0, 0, 1]);
        assert_eq!(inet(&bytes), "127.0.0.1");
        bytes[0] = 16;
        bytes[4..8].fill(0);
        bytes[19] = 1;
        assert_eq!(inet(&bytes), "::1");
        assert_eq!(mac(&[0, 0xAB, 1, 2, 3, 4]), "00:AB:01:02:03:04");
    }

    #[test]
    fn tails_are_bounded() {
        let mut tail = Tail(b"abc");
        assert_eq!(tail.take(2), b"ab");
        assert_eq!(tail.take(5), b"c");
        assert_eq!(tail.take(1), b"");
    }

    #[test]
    fn clocks_meet_the_epoch() {
        let now = clock_ns(libc::CLOCK_BOOTTIME);
        let wall = i128::from(clock_ns(libc::CLOCK_REALTIME));
        let difference = since_epoch(&Clock::Boot, now) - wall;
        assert!(difference.abs() < 10_000_000_000);
        assert_eq!(since_epoch(&Clock::Realtime, 5), 5);
    }
}
