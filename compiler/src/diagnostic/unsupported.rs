//! The one table of what btc reads and can't compile yet: each row is a diagnostic's words and a row of
//! docs/language.md.

/// A chapter of the list in docs/language.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Area {
    Declarations,
    /// Builtins and functions that can't be used in any form; their rows are their names in backticks.
    Names,
    Values,
    /// Forms of functions that otherwise work.
    Functions,
}

impl Area {
    pub const ALL: &'static [Area] = &[
        Area::Declarations,
        Area::Names,
        Area::Values,
        Area::Functions,
    ];

    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Area::Declarations => "Declarations",
            Area::Names => "Builtins and functions",
            Area::Values => "Expressions and types",
            Area::Functions => "Forms of functions",
        }
    }
}

macro_rules! table {
    ($($area:ident { $($row:ident = $what:literal,)* })*) => {
        /// One construct of the language that can't be compiled yet.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Unsupported { $($($row,)*)* }

        impl Unsupported {
            pub const ALL: &'static [Unsupported] = &[$($(Unsupported::$row,)*)*];

            /// A noun phrase: "a `watchpoint` probe".
            #[must_use]
            pub fn what(self) -> &'static str {
                match self { $($(Unsupported::$row => $what,)*)* }
            }

            #[must_use]
            pub fn area(self) -> Area {
                match self { $($(Unsupported::$row => Area::$area,)*)* }
            }
        }
    };
}

table! {
    Declarations {
    }
    Names {
    }
    Values {
        AllArguments = "`args` as a whole",
        StructArgument = "a struct or array that is passed by value",
        BitfieldOfCopy = "a bitfield of a copied struct",
        KernelStructCopy = "a copy of a kernel struct",
        VariableAddress = "the address of a variable or map",
        TypeofValue = "a type as a value",
    }
    Functions {
        StrOfValue = "`str` of an array that is not in memory",
        MemcmpArray = "`memcmp` of an array of anything but integers",
        MemcmpPointer = "`memcmp` of a pointer",
    }
}

/// The table as docs/language.md shows it.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::from("| where | what |\n|---|---|\n");
    for area in Area::ALL {
        let rows = Unsupported::ALL.iter().filter(|row| row.area() == *area);
        let rows: Vec<_> = rows.map(|row| row.what()).collect();
        let separator = if *area == Area::Names { ", " } else { "; " };
        text += &format!("| {} | {} |\n", area.title(), rows.join(separator));
    }
    text
}
