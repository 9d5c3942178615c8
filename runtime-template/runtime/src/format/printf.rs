//! A parsed format and decoded arguments → text, as C's printf lays it out.

use std::io::Write as _;

use btc_abi::{Conversion, Flags, Format, Part, Width};

use crate::datum::Datum;
use crate::format::controls::Controls;
use crate::format::value;

/// Appends the format with its arguments filled in. An argument that is missing prints as nothing: the compiler
/// counts them.
pub fn write<'a>(
    format: &Format,
    mut arguments: impl Iterator<Item = Datum<'a>>,
    controls: Controls,
    out: &mut Vec<u8>,
) {
    for part in format.parts.iter() {
        match part {
            Part::Literal { text } => out.extend_from_slice(text.as_bytes()),
            Part::Argument {
                flags,
                width,
                precision,
                conversion,
            } => {
                let mut field = Field {
                    left: flags.left,
                    zero: flags.zero && !flags.left,
                    width: 0,
                };
                match width {
                    Width::None => {}
                    Width::Fixed { columns } => field.width = *columns as usize,
                    Width::Argument => field.set_width(arguments.next()),
                }
                let Some(argument) = arguments.next() else {
                    continue;
                };
                if *conversion == Conversion::Char {
                    character(&argument, field, controls, out);
                } else {
                    convert(&argument, flags, *precision, conversion, field, out);
                }
            }
        }
    }
}

/// How a converted argument is padded.
#[derive(Clone, Copy)]
struct Field {
    left: bool,
    zero: bool,
    width: usize,
}

/// Wider than any terminal: a width that a script computes must not take all memory.
const WIDEST: u64 = 1 << 16;

impl Field {
    /// A `*` width; a negative one means `-` and its absolute value.
    fn set_width(&mut self, argument: Option<Datum<'_>>) {
        let width = argument.and_then(|datum| datum.bits()).unwrap_or(0);
        let width = width.cast_signed();
        if width < 0 {
            self.left = true;
            self.zero = false;
        }
        self.width = width.unsigned_abs().min(WIDEST) as usize;
    }

    /// Appends `prefix` (a sign, `0x`) and `body` with what fills the width.
    fn write(self, prefix: &str, body: &[u8], out: &mut Vec<u8>) {
        let blank = self.width.saturating_sub(prefix.len() + body.len());
        if !self.left && !self.zero {
            out.resize(out.len() + blank, b' ');
        }
        out.extend_from_slice(prefix.as_bytes());
        if self.zero {
            out.resize(out.len() + blank, b'0');
        }
        out.extend_from_slice(body);
        if self.left {
            out.resize(out.len() + blank, b' ');
        }
    }
}

fn convert(
    argument: &Datum<'_>,
    flags: &Flags,
    precision: Option<u32>,
    conversion: &Conversion,
    field: Field,
    out: &mut Vec<u8>,
) {
    let bits = || argument.bits().unwrap_or(0);
    match conversion {
        Conversion::Signed { bytes } => signed(argument, *bytes, flags, precision, field, out),
        Conversion::Unsigned { bytes } => {
            number("", cut(bits(), *bytes).to_string(), precision, field, out);
        }
        Conversion::Hex { bytes, upper } => {
            let cut = cut(bits(), *bytes);
            let prefix = match (flags.alternate && cut != 0, upper) {
                (false, _) => "",
                (true, false) => "0x",
                (true, true) => "0X",
            };
            let digits = if *upper {
                format!("{cut:X}")
            } else {
                format!("{cut:x}")
            };
            number(prefix, digits, precision, field, out);
        }
        Conversion::Octal { bytes } => {
            let cut = cut(bits(), *bytes);
            let prefix = if flags.alternate && cut != 0 { "0" } else { "" };
            number(prefix, format!("{cut:o}"), precision, field, out);
        }
        Conversion::Char => character(argument, field, Controls::Raw, out),
        Conversion::Pointer => number("0x", format!("{:x}", bits()), precision, field, out),
        Conversion::String | Conversion::GfpFlags => text(argument, precision, field, out),
        Conversion::Raw => buffer(argument, field, out, value::escaped),
        Conversion::RawHex => buffer(argument, field, out, |bytes, out| {
            bytes.iter().for_each(|byte| value::hex_escaped(*byte, out));
        }),
        Conversion::RawHexSpaced => buffer(argument, field, out, spaced),
    }
}

/// One byte, whatever it is in the number's text.
fn character(argument: &Datum<'_>, field: Field, controls: Controls, out: &mut Vec<u8>) {
    let byte = [argument.bits().unwrap_or(0) as u8];
    unpadded(field).write("", &controls.value(byte[..].into()), out);
}

/// The low bytes of a number.
fn cut(bits: u64, bytes: u8) -> u64 {
    match bytes {
        8.. => bits,
        _ => bits & ((1 << (8 * bytes)) - 1),
    }
}

fn signed(
    argument: &Datum<'_>,
    bytes: u8,
    flags: &Flags,
    precision: Option<u32>,
    field: Field,
    out: &mut Vec<u8>,
) {
    let bits = argument.bits().unwrap_or(0);
    let unused = 64 - 8 * u32::from(bytes.clamp(1, 8));
    let value = (bits << unused).cast_signed() >> unused;
    let sign = match (value < 0, flags.plus, flags.space) {
        (true, _, _) => "-",
        (false, true, _) => "+",
        (false, false, true) => " ",
        (false, false, false) => "",
    };
    number(
        sign,
        value.unsigned_abs().to_string(),
        precision,
        field,
        out,
    );
}

/// Digits, at least as many as the precision says; a precision turns the flag `0` off.
fn number(
    prefix: &str,
    mut digits: String,
    precision: Option<u32>,
    mut field: Field,
    out: &mut Vec<u8>,
) {
    if let Some(precision) = precision {
        field.zero = false;
        if precision == 0 && digits == "0" {
            digits.clear();
        }
        let missing = (precision as usize).saturating_sub(digits.len());
        digits.insert_str(0, &"0".repeat(missing));
    }
    field.write(prefix, digits.as_bytes(), out);
}

/// Zeroes pad numbers alone.
fn unpadded(field: Field) -> Field {
    Field {
        zero: false,
        ..field
    }
}

fn text(argument: &Datum<'_>, precision: Option<u32>, field: Field, out: &mut Vec<u8>) {
    let most = precision.map_or(usize::MAX, |precision| precision as usize);
    if let Datum::Text(text) = argument {
        let kept = &text[..text.len().min(most)];
        return unpadded(field).write("", kept, out);
    }
    let mut made = Vec::new();
    value::write(argument, &mut made);
    made.truncate(most);
    unpadded(field).write("", &made, out);
}

fn buffer(argument: &Datum<'_>, field: Field, out: &mut Vec<u8>, form: fn(&[u8], &mut Vec<u8>)) {
    let (Datum::Buffer(bytes) | Datum::Text(bytes)) = argument else {
        return;
    };
    let mut made = Vec::new();
    form(bytes, &mut made);
    unpadded(field).write("", &made, out);
}

fn spaced(bytes: &[u8], out: &mut Vec<u8>) {
    for (index, byte) in bytes.iter().enumerate() {
        let space = if index > 0 { " " } else { "" };
        // A vector takes everything.
        let _ = write!(out, "{space}{byte:02x}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Flags = Flags {
        left: false,
        zero: false,
        plus: false,
        space: false,
        alternate: false,
    };

    fn one(
        flags: Flags,
        width: u32,
        precision: Option<u32>,
        conversion: Conversion,
        argument: Datum<'_>,
    ) -> String {
        let part = Part::Argument {
            flags,
            width: Width::Fixed { columns: width },
            precision,
            conversion,
        };
        let format = Format {
            parts: vec![part].into(),
        };
        let mut out = Vec::new();
        write(&format, [argument].into_iter(), Controls::Raw, &mut out);
        String::from_utf8(out).unwrap()
    }

    const DECIMAL: Conversion = Conversion::Signed { bytes: 8 };

    #[test]
    fn integers() {
        let n = Datum::Signed;
        assert_eq!(one(NONE, 5, None, DECIMAL, n(42)), "   42");
        let zero = Flags { zero: true, ..NONE };
        assert_eq!(one(zero.clone(), 5, None, DECIMAL, n(-42)), "-0042");
        assert_eq!(one(zero, 6, Some(3), DECIMAL, n(42)), "   042");
        let left = Flags { left: true, ..NONE };
        assert_eq!(one(left, 5, None, DECIMAL, n(42)), "42   ");
        let plus = Flags { plus: true, ..NONE };
        assert_eq!(one(plus, 0, None, DECIMAL, n(5)), "+5");
        assert_eq!(one(NONE, 0, Some(0), DECIMAL, n(0)), "");
        assert_eq!(
            one(NONE, 0, None, Conversion::Signed { bytes: 1 }, n(300)),
            "44"
        );
        assert_eq!(
            one(NONE, 0, None, Conversion::Unsigned { bytes: 4 }, n(-1)),
            "4294967295"
        );
        assert_eq!(
            one(NONE, 0, None, DECIMAL, n(i64::MIN)),
            i64::MIN.to_string()
        );
    }

    #[test]
    fn bases() {
        let alternate = Flags {
            alternate: true,
            ..NONE
        };
        let hex = Conversion::Hex {
            bytes: 8,
            upper: false,
        };
        let n = Datum::Unsigned;
        assert_eq!(one(alternate.clone(), 0, None, hex.clone(), n(255)), "0xff");
        assert_eq!(one(alternate.clone(), 0, None, hex.clone(), n(0)), "0");
        let zero = Flags {
            zero: true,
            ..alternate.clone()
        };
        assert_eq!(one(zero, 8, None, hex, n(255)), "0x0000ff");
        let octal = Conversion::Octal { bytes: 8 };
        assert_eq!(one(alternate, 0, None, octal, n(8)), "010");
        assert_eq!(one(NONE, 0, None, Conversion::Pointer, n(16)), "0x10");
    }

    #[test]
    fn texts_and_buffers() {
        let s = || Datum::Text(b"abc".into());
        assert_eq!(one(NONE, 5, None, Conversion::String, s()), "  abc");
        assert_eq!(one(NONE, 0, Some(2), Conversion::String, s()), "ab");
        let zero = Flags { zero: true, ..NONE };
        assert_eq!(one(zero, 5, None, Conversion::String, s()), "  abc");
        let b = || Datum::Buffer(b"\x01a".into());
        assert_eq!(one(NONE, 0, None, Conversion::Raw, b()), "\\x01a");
        assert_eq!(one(NONE, 0, None, Conversion::RawHex, b()), "\\x01\\x61");
        assert_eq!(one(NONE, 0, None, Conversion::RawHexSpaced, b()), "01 61");
        assert_eq!(
            one(NONE, 3, None, Conversion::Char, Datum::Signed(65)),
            "  A"
        );
    }

    #[test]
    fn star_widths_may_be_negative() {
        let part = Part::Argument {
            flags: NONE,
            width: Width::Argument,
            precision: None,
            conversion: DECIMAL,
        };
        let format = Format {
            parts: vec![part].into(),
        };
        let mut out = Vec::new();
        let arguments = [Datum::Signed(-4), Datum::Signed(7)];
        write(&format, arguments.into_iter(), Controls::Raw, &mut out);
        assert_eq!(out, b"7   ");
    }
}
