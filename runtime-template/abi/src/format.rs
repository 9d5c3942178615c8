//! A printf format, parsed by the compiler so that the runtime only fills it in.

use crate::{List, Text};

describe! {
    /// A format string's parts in order.
    pub struct Format {
        pub parts: List<Part>,
    }
}

describe! {
    pub enum Part {
        /// Escapes and `%%` resolved.
        Literal { text: Text, },
        /// Takes the next argument (and one before it for a `*` width).
        Argument { flags: Flags, width: Width, precision: Option<u32>, conversion: Conversion, },
    }
}

describe! {
    pub struct Flags {
        /// `-`
        pub left: bool,
        /// `0`
        pub zero: bool,
        /// `+`
        pub plus: bool,
        /// space
        pub space: bool,
        /// `#`
        pub alternate: bool,
    }
}

describe! {
    pub enum Width {
        None,
        Fixed { columns: u32, },
        /// `*`: an integer argument of its own.
        Argument,
    }
}

describe! {
    /// The conversion letter, with the length that cuts integers (`%hhd` prints 300 as 44).
    pub enum Conversion {
        /// `d`, `i`; `bytes` 1, 2, 4 or 8 from hh, h, none (the argument's own), l and ll and j and z.
        Signed { bytes: u8, },
        Unsigned { bytes: u8, },
        Hex { bytes: u8, upper: bool, },
        Octal { bytes: u8, },
        Char,
        /// `s`: strings, and everything that has a text form (symbols, stacks, addresses, enums, names).
        String,
        /// `p`
        Pointer,
        /// `r`: printable bytes as they are, others as `\xNN`.
        Raw,
        /// `rx`: every byte as `\xNN`.
        RawHex,
        /// `rh`: bytes in hex with spaces between.
        RawHexSpaced,
        /// `gr`: GFP flags by name; the argument is a [`crate::Value::GfpFlags`].
        GfpFlags,
    }
}
