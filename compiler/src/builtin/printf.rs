//! A format string's text, made into [`abi::Format`]; and what each of its conversions takes.

use btc_abi as abi;

/// Why a format string can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormatError {
    pub message: String,
    pub help: Option<String>,
}

impl FormatError {
    fn new(message: impl Into<String>) -> Self {
        FormatError {
            message: message.into(),
            help: None,
        }
    }
}

/// What an argument must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// The column count of a `*` width.
    Width,
    Integer,
    Char,
    /// A string or anything that has a text form.
    Text,
    Pointer,
    Buffer,
}

impl Takes {
    /// In the words of a diagnostic.
    #[must_use]
    pub fn noun(self) -> &'static str {
        match self {
            Takes::Width => "an integer (the width)",
            Takes::Integer | Takes::Char => "an integer",
            Takes::Text => "a value",
            Takes::Pointer => "a pointer",
            Takes::Buffer => "a buffer",
        }
    }
}

/// A parsed format and what its arguments must be, in order, each with the specifier as it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    pub format: abi::Format,
    pub takes: Vec<(Takes, String)>,
}

/// Parses a format string.
///
/// # Errors
/// An unknown or unfinished specifier, or text that is not UTF-8.
pub fn parse(text: &[u8]) -> Result<Parsed, FormatError> {
    let text = std::str::from_utf8(text)
        .map_err(|_| FormatError::new("the format string is not valid UTF-8"))?;
    let mut parts = vec![];
    let mut takes = vec![];
    let mut literal = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        literal.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("%%") {
            literal.push('%');
            rest = after;
            continue;
        }
        let mut reader = Reader { text: rest, at: 1 };
        let part = reader.specifier()?;
        let written = rest[..reader.at].to_string();
        rest = &rest[reader.at..];
        if let abi::Part::Argument {
            width, conversion, ..
        } = &part
        {
            if *width == abi::Width::Argument {
                takes.push((Takes::Width, written.clone()));
            }
            takes.push((what_it_takes(conversion), written));
        }
        if !literal.is_empty() {
            parts.push(abi::Part::Literal {
                text: std::mem::take(&mut literal).into(),
            });
        }
        parts.push(part);
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(abi::Part::Literal {
            text: literal.into(),
        });
    }
    Ok(Parsed {
        format: abi::Format {
            parts: parts.into(),
        },
        takes,
    })
}

fn what_it_takes(conversion: &abi::Conversion) -> Takes {
    match conversion {
        abi::Conversion::Signed { .. }
        | abi::Conversion::Unsigned { .. }
        | abi::Conversion::Hex { .. }
        | abi::Conversion::Octal { .. }
        | abi::Conversion::GfpFlags => Takes::Integer,
        abi::Conversion::Char => Takes::Char,
        abi::Conversion::String => Takes::Text,
        abi::Conversion::Pointer => Takes::Pointer,
        abi::Conversion::Raw | abi::Conversion::RawHex | abi::Conversion::RawHexSpaced => {
            Takes::Buffer
        }
    }
}

struct Reader<'a> {
    /// Starts at the `%`.
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn eat(&mut self, wanted: &str) -> bool {
        let found = self.text[self.at..].starts_with(wanted);
        if found {
            self.at += wanted.len();
        }
        found
    }

    fn number(&mut self) -> Result<Option<u32>, FormatError> {
        let digits = self.text[self.at..]
            .bytes()
            .take_while(u8::is_ascii_digit)
            .count();
        if digits == 0 {
            return Ok(None);
        }
        let number = &self.text[self.at..self.at + digits];
        self.at += digits;
        match number.parse::<u32>() {
            // Wider than any terminal; the runtime would only allocate blanks.
            Ok(n) if n <= 65_536 => Ok(Some(n)),
            _ => Err(FormatError::new(format!(
                "`{number}` is too large for a width or precision"
            ))),
        }
    }

    fn flags(&mut self) -> abi::Flags {
        let mut flags = abi::Flags {
            left: false,
            zero: false,
            plus: false,
            space: false,
            alternate: false,
        };
        loop {
            match self.peek() {
                Some('-') => flags.left = true,
                Some('0') => flags.zero = true,
                Some('+') => flags.plus = true,
                Some(' ') => flags.space = true,
                Some('#') => flags.alternate = true,
                // Thousands separators: C locale has none.
                Some('\'') => {}
                _ => return flags,
            }
            self.at += 1;
        }
    }

    fn width(&mut self) -> Result<abi::Width, FormatError> {
        if self.eat("*") {
            return Ok(abi::Width::Argument);
        }
        Ok(match self.number()? {
            Some(columns) => abi::Width::Fixed { columns },
            None => abi::Width::None,
        })
    }

    fn precision(&mut self) -> Result<Option<u32>, FormatError> {
        if !self.eat(".") {
            return Ok(None);
        }
        if self.peek() == Some('*') {
            return Err(FormatError::new(
                "a precision must be a number in the format string",
            ));
        }
        Ok(Some(self.number()?.unwrap_or(0)))
    }

    /// Bytes that a length modifier cuts an integer to.
    fn length(&mut self) -> u8 {
        const LENGTHS: &[(&str, u8)] = &[
            ("hh", 1),
            ("h", 2),
            ("ll", 8),
            ("l", 8),
            ("j", 8),
            ("z", 8),
            ("t", 8),
        ];
        LENGTHS
            .iter()
            .find(|(text, _)| self.eat(text))
            .map_or(8, |(_, bytes)| *bytes)
    }

    fn specifier(&mut self) -> Result<abi::Part, FormatError> {
        let flags = self.flags();
        let width = self.width()?;
        let precision = self.precision()?;
        let bytes = self.length();
        let conversion = self.conversion(bytes)?;
        Ok(abi::Part::Argument {
            flags,
            width,
            precision,
            conversion,
        })
    }

    fn conversion(&mut self, bytes: u8) -> Result<abi::Conversion, FormatError> {
        let Some(letter) = self.peek() else {
            return Err(FormatError {
                message: format!(
                    "the format string ends inside the specifier `{}`",
                    self.text
                ),
                help: Some("write `%%` for a percent sign".into()),
            });
        };
        self.at += letter.len_utf8();
        Ok(match letter {
            'd' | 'i' => abi::Conversion::Signed { bytes },
            'u' => abi::Conversion::Unsigned { bytes },
            'x' => abi::Conversion::Hex {
                bytes,
                upper: false,
            },
            'X' => abi::Conversion::Hex { bytes, upper: true },
            'o' => abi::Conversion::Octal { bytes },
            'c' => abi::Conversion::Char,
            's' => abi::Conversion::String,
            'p' => abi::Conversion::Pointer,
            'r' if self.eat("x") => abi::Conversion::RawHex,
            'r' if self.eat("h") => abi::Conversion::RawHexSpaced,
            'r' => abi::Conversion::Raw,
            'g' if self.eat("r") => abi::Conversion::GfpFlags,
            _ => {
                return Err(FormatError {
                    message: format!("unknown format specifier `{}`", &self.text[..self.at]),
                    help: Some(
                        "the conversions are d i u x X o c s p r rx rh gr; write `%%` for a percent sign"
                            .into(),
                    ),
                        });
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conversions(text: &str) -> Vec<abi::Conversion> {
        let parsed = parse(text.as_bytes()).unwrap();
        parsed
            .format
            .parts
            .iter()
            .filter_map(|p| match p {
                abi::Part::Argument { conversion, .. } => Some(conversion.clone()),
                abi::Part::Literal { .. } => None,
            })
            .collect()
    }

    #[test]
    fn lengths_cut_integers() {
        assert_eq!(
            conversions("%hhd %hu %x %lX %llo %jd %zu"),
            [
                abi::Conversion::Signed { bytes: 1 },
                abi::Conversion::Unsigned { bytes: 2 },
                abi::Conversion::Hex {
                    bytes: 8,
                    upper: false
                },
                abi::Conversion::Hex {
                    bytes: 8,
                    upper: true
                },
                abi::Conversion::Octal { bytes: 8 },
                abi::Conversion::Signed { bytes: 8 },
                abi::Conversion::Unsigned { bytes: 8 },
            ]
        );
    }

    #[test]
    fn buffers_have_three_forms() {
        assert_eq!(
            conversions("%r%rx%rh"),
            [
                abi::Conversion::Raw,
                abi::Conversion::RawHex,
                abi::Conversion::RawHexSpaced
            ]
        );
    }

    #[test]
    fn percent_signs_join_the_text_around_them() {
        let parsed = parse(b"100%% of %-*s|").unwrap();
        assert_eq!(
            parsed.format.parts[0],
            abi::Part::Literal {
                text: "100% of ".into()
            }
        );
        assert_eq!(
            parsed.takes,
            [
                (Takes::Width, "%-*s".to_string()),
                (Takes::Text, "%-*s".to_string())
            ]
        );
    }

    #[test]
    fn flags_and_precision() {
        let parsed = parse(b"%+08.3d").unwrap();
        let abi::Part::Argument {
            flags,
            width,
            precision,
            ..
        } = &parsed.format.parts[0]
        else {
            panic!("no argument")
        };
        assert!(flags.plus && flags.zero && !flags.left);
        assert_eq!(*width, abi::Width::Fixed { columns: 8 });
        assert_eq!(*precision, Some(3));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let message = |text: &[u8]| parse(text).unwrap_err().message;
        assert_eq!(message(b"%q"), "unknown format specifier `%q`");
        assert_eq!(
            message(b"a %-5"),
            "the format string ends inside the specifier `%-5`"
        );
        assert!(message(b"%99999999d").contains("too large"));
        assert!(message(b"\xff%d").contains("UTF-8"));
    }
}
