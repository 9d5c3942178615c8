//! Every diagnostic code, one row each.

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        /// The stable kebab-case name of a kind of diagnostic.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code { $($(#[$doc])* $variant,)* }

        impl Code {
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $text,)* }
            }
        }
    };
}

codes! {
    /// The text is not a program of the language.
    Syntax = "syntax",
    /// A character or literal that no token starts with or that never ends.
    InvalidToken = "invalid-token",
    /// A number that doesn't fit, or a malformed literal.
    InvalidLiteral = "invalid-literal",
    TypeMismatch = "type-mismatch",
    UnknownField = "unknown-field",
    UnknownType = "unknown-type",
    UnknownName = "unknown-name",
    UnknownFunction = "unknown-function",
    UnsetVariable = "unset-variable",
    /// Older releases' variables were the whole probe's.
    OutlivedBlock = "outlived-block",
    UnsetMap = "unset-map",
    ArgumentCount = "argument-count",
    ArgumentType = "argument-type",
    InvalidOperand = "invalid-operand",
    InvalidCast = "invalid-cast",
    InvalidAssignment = "invalid-assignment",
    AggregationMisuse = "aggregation-misuse",
    FormatString = "format-string",
    /// The language had it once.
    Removed = "removed",
    /// What a script asserts at compile time doesn't hold.
    AssertionFailed = "assertion-failed",
    StringTooLarge = "string-too-large",
    KeyTooLarge = "key-too-large",
    /// A struct or array that no program could copy.
    ValueTooLarge = "value-too-large",
    TooManyMaps = "too-many-maps",
    /// Only code generation can tell.
    StackTooLarge = "stack-too-large",
    /// More instructions than BPF's jumps reach, or calls of functions without end in sight.
    ProgramTooLarge = "program-too-large",
    UnsafeFunction = "unsafe-function",
    WrongProbe = "wrong-probe",
    InvalidProbe = "invalid-probe",
    UnknownTracepoint = "unknown-tracepoint",
    UnknownSymbol = "unknown-symbol",
    DuplicateName = "duplicate-name",
    InvalidConfig = "invalid-config",
    /// A feature that `unstable_NAME` warns of or refuses.
    UnstableFeature = "unstable-feature",
    /// More attach points than `max_bpf_progs` allows.
    TooManyPrograms = "too-many-programs",
    InvalidControlFlow = "invalid-control-flow",
    CPreamble = "c-preamble",
    Macro = "macro",
    /// A file that can't be imported.
    Import = "import",
    UnusedResult = "unused-result",
    SignMismatch = "sign-mismatch",
    /// A constant that its type can't hold; text that can't be equal to a string that short.
    Truncation = "truncation",
    UnreachableCode = "unreachable-code",
}
