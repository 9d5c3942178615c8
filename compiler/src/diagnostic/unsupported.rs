//! The one table of what btc reads and can't compile yet: each row is a diagnostic's words and a row of
//! docs/language.md.

/// A chapter of the list in docs/language.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Area {
    Declarations,
    Probes,
    /// Builtins and functions that can't be used in any form; their rows are their names in backticks.
    Names,
    Values,
    /// Forms of functions that otherwise work.
    Functions,
}

impl Area {
    pub const ALL: &'static [Area] = &[
        Area::Declarations,
        Area::Probes,
        Area::Names,
        Area::Values,
        Area::Functions,
    ];

    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Area::Declarations => "Declarations",
            Area::Probes => "Probes",
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
        ImportC = "`import` of a `.bpf.c` file",
    }
    Probes {
        WatchpointArgument = "a `watchpoint` on a function's argument",
        AsyncWatchpoint = "an `asyncwatchpoint` probe",
        AttachParameter = "a positional parameter in an attach point whose parts are needed when compiling (`fentry`, `interval` and others)",
    }
    Names {
        Assert = "`assert`",
        AssertStr = "`assert_str`",
        ContainerOf = "`container_of`",
        DwUstack = "`dw_ustack`",
        Fail = "`fail`",
        Find = "`find`",
        IsErr = "`is_err`",
        KfuncAllowed = "`kfunc_allowed`",
        KfuncExist = "`kfunc_exist`",
        Override = "`override`",
        Path = "`path`",
        PercpuKaddr = "`percpu_kaddr`",
        Skboutput = "`skboutput`",
        SocketCookie = "`socket_cookie`",
        Tseries = "`tseries`",
        Unwatch = "`unwatch`",
        Usermode = "`usermode`",
        WriteUser = "`write_user`",
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
        CommOf = "`comm`, `pcomm` or `ppid` of another process",
        BuildIdStack = "the stack mode `build_id`",
        StackLength = "`len` of a stack",
        StrOfValue = "`str` of an array that is not in memory",
        MemcmpArray = "`memcmp` of an array of anything but integers",
        MemcmpPointer = "`memcmp` of a pointer",
    }
}

impl Unsupported {
    /// The row of a builtin or function.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Unsupported> {
        let rows = Self::ALL.iter().filter(|row| row.area() == Area::Names);
        rows.copied()
            .find(|row| row.what().trim_matches('`') == name)
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
