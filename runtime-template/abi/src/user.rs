//! User probes: where in a binary they are, and what a script took for granted of a function there.

use crate::{List, Text};

describe! {
    /// Where in a binary a user probe is. What is `bounded` is refused on the target where it is outside of a function.
    pub enum UserPlace {
        /// A function by its symbol, or all that a pattern matches; `offset` bytes into it.
        Function { symbol: Text, offset: u64, bounded: bool, },
        /// An address as the binary numbers them.
        Address { address: u64, bounded: bool, },
        /// A C++ (or Rust) function as it is written in its language, or all that a pattern matches. Without parameters:
        /// all functions of that name.
        Cpp { name: Text, },
        /// A line of a source file, by the end of its path; `column` 0: the line's first code.
        Line { file: Text, line: u32, column: u32, },
    }
}

describe! {
    /// A function as debug information described it when the script was compiled. A target's binary must be of the same
    /// build or have debug information that says the same.
    pub struct Signature {
        /// In hex; empty: the binary had none.
        pub build_id: Text,
        /// `name: type` of each parameter, in order.
        pub parameters: Text,
        /// The structs that the script reads members of.
        pub layouts: List<Layout>,
    }
}

describe! {
    /// A struct, union or class as debug information describes it.
    pub struct Layout {
        /// `struct point`
        pub name: Text,
        /// `name: type @bit` of each member, in order, then the size.
        pub members: Text,
    }
}
