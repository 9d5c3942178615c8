//! Traced text → text that a terminal shows and does not obey: a file's name may hold the sequences that move its cursor,
//! rename its window or answer for its user.

use std::borrow::Cow;

/// What becomes of control characters in traced text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Controls {
    /// They stay: nobody but programs reads the output, or its reader asked for them.
    Raw,
    /// They are written as a string literal has them: `\n`, `\x1b`.
    Escaped,
}

impl Controls {
    /// For what is written to a descriptor.
    #[must_use]
    pub fn of(fd: libc::c_int) -> Controls {
        // SAFETY: asks about a number.
        match unsafe { libc::isatty(fd) } {
            1 => Controls::Escaped,
            _ => Controls::Raw,
        }
    }

    /// Text of one value.
    #[must_use]
    pub fn value(self, text: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
        self.written(text, |_| false)
    }

    /// Text whose lines are meant: a stack, a file.
    #[must_use]
    pub fn lines(self, text: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
        self.written(text, |c| matches!(c, '\n' | '\t'))
    }

    fn written(self, text: Cow<'_, [u8]>, meant: fn(char) -> bool) -> Cow<'_, [u8]> {
        let harmless = |c: char| !c.is_control() || meant(c);
        let plain = || std::str::from_utf8(&text).is_ok_and(|text| text.chars().all(harmless));
        if self == Controls::Raw || plain() {
            return text;
        }
        let mut out = Vec::with_capacity(text.len() + 16);
        for chunk in text.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    c if harmless(c) => push(c, &mut out),
                    '\n' => out.extend_from_slice(b"\\n"),
                    '\r' => out.extend_from_slice(b"\\r"),
                    '\t' => out.extend_from_slice(b"\\t"),
                    c => c
                        .encode_utf8(&mut [0; 4])
                        .bytes()
                        .for_each(|b| byte(b, &mut out)),
                }
            }
            // An 8-bit terminal has control characters there.
            chunk.invalid().iter().for_each(|b| byte(*b, &mut out));
        }
        Cow::Owned(out)
    }
}

fn push(c: char, out: &mut Vec<u8>) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

fn byte(byte: u8, out: &mut Vec<u8>) {
    super::value::hex_escaped(byte, out);
}

#[cfg(test)]
mod tests {
    use super::Controls;

    fn escaped(text: &[u8]) -> String {
        String::from_utf8(Controls::Escaped.value(text.into()).into_owned()).unwrap()
    }

    #[test]
    fn what_a_terminal_would_obey() {
        assert_eq!(escaped("plain é ✓".as_bytes()), "plain é ✓");
        assert_eq!(escaped(b"\x1b[31m\x07\x7f"), r"\x1b[31m\x07\x7f");
        assert_eq!(escaped(b"a\nb\r\t"), r"a\nb\r\t");
        // CSI as one character, and as one byte.
        assert_eq!(escaped("\u{9b}31m".as_bytes()), r"\xc2\x9b31m");
        assert_eq!(escaped(b"\x9b31m"), r"\x9b31m");
    }

    #[test]
    fn lines_stay_lines() {
        let lines = |text: &'static [u8]| Controls::Escaped.lines(text.into()).into_owned();
        assert_eq!(lines(b"a\n\tb\x1b"), b"a\n\tb\\x1b");
        assert_eq!(Controls::Raw.value(b"\x1b"[..].into()), &b"\x1b"[..]);
    }
}
