//! The rows of the language: what a script, or an executable's command line, may hold. Names that the compiler has a
//! table of are its table's, so that none can be forgotten.

use btc::{builtin, provider, sema};

/// One thing of the language.
pub struct Row {
    /// As `// covers:` names it.
    pub name: String,
    /// A case whose text this matches has the row in it.
    pub written: String,
}

pub struct Group {
    pub title: &'static str,
    pub rows: Vec<Row>,
}

#[must_use]
pub fn groups() -> Vec<Group> {
    let mut groups = vec![
        Group {
            title: "Probe types",
            rows: provider::names()
                .map(|name| probe(name, name))
                .chain(provider::aliases().map(|name| probe(name, name)))
                .collect(),
        },
        Group {
            title: "Builtins and functions",
            rows: builtin::names().map(function).collect(),
        },
        Group {
            title: "Configuration",
            rows: sema::config_names()
                .map(|name| Row {
                    name: name.into(),
                    written: format!(
                        r"(?m)config = \{{[^}}]*\b{name}\b|(?:BTC|BPFTRACE)_{}=",
                        name.to_uppercase()
                    ),
                })
                .collect(),
        },
    ];
    groups.extend(WRITTEN.iter().map(|(title, rows)| {
        Group {
            title,
            rows: rows
                .iter()
                .map(|(name, written)| Row {
                    name: (*name).into(),
                    written: (*written).into(),
                })
                .collect(),
        }
    }));
    groups
}

fn probe(name: &str, written: &str) -> Row {
    Row {
        name: name.into(),
        written: format!(r"(?m)^(?:[^/\n]*[,=}}] *)?{written}\b *[:{{/,]"),
    }
}

/// `arg0` stands for the numbered ones; the names of aggregations and the like are words of no other meaning.
fn function(name: &str) -> Row {
    let written = match name {
        "arg" | "sarg" => format!(r"\b{name}[0-9]\b"),
        _ => format!(r"(?m)^[^/\n][^\n]*\b{name}\b|^\b{name}\b"),
    };
    Row {
        name: name.into(),
        written,
    }
}

type Written = (&'static str, &'static str);

const WRITTEN: &[(&str, &[Written])] = &[
    (
        "Attach points",
        &[
            ("predicate", r"\} */|(?m)^[a-zA-Z:_,* ]+ */[^/\n]+/"),
            ("probe-list", r"(?m)^\w+:[\w:]+,\s*\w+:"),
            ("wildcard", r"(?m)^\w+:[^\n{/]*\*"),
            ("missing-probes", r"missing_probes"),
            ("positional-attach-point", r"(?m)^\w+:[^\n{/]*\$1"),
        ],
    ),
    (
        "Statements",
        &[
            ("assignment", r"[@$]\w+ = "),
            ("compound-assignment", r"[-+*/%&|^]= "),
            ("increment", r"\+\+|--"),
            ("if", r"\bif \("),
            ("else", r"\belse\b"),
            ("for-range", r"\bfor \(?\$\w+ : [^@\n]*\.\."),
            ("for-map", r"\bfor \(?\$\w+ : @"),
            ("while", r"\bwhile \("),
            ("unroll", r"\bunroll ?\("),
            ("break", r"\bbreak\b"),
            ("continue", r"\bcontinue\b"),
            ("return", r"\breturn\b"),
            ("block-expression", r"= \{ "),
            ("discard", r"\b_ = "),
        ],
    ),
    (
        "Declarations",
        &[
            ("let", r"\blet \$\w+"),
            ("let-type", r"\blet \$\w+ ?: "),
            ("let-map", r"\blet @\w*"),
            ("config", r"config = \{"),
            ("macro", r"\bmacro \w+"),
            ("import", r"\bimport "),
            ("fn", r"\bfn \w+"),
            ("include", r"#include"),
            ("define", r"#define"),
            ("struct", r"\bstruct \w+ \{"),
            ("union", r"\bunion (?:\w+ )?\{"),
            ("c-enum", r"\benum (?:\w+ )?\{"),
            ("typedef", r"\btypedef\b"),
            ("attribute", r"__attribute__"),
        ],
    ),
    (
        "Operators",
        &[
            ("arithmetic", r" [-+*%] "),
            ("division", r" / \d"),
            ("bitwise", r" [&|^] |~"),
            ("shift", r" << | >> "),
            ("logical", r" && | \|\| "),
            ("not", r"!\w|!\("),
            ("comparison", r" <=? | >=? | == | != "),
            ("string-comparison", "[=!]= \""),
            ("array-comparison", r"(?m)^// covers:.*array-comparison"),
            (
                "tuple-comparison",
                r"\) == \(|\) != \(|(?m)^// covers:.*tuple-comparison",
            ),
            ("dereference", r"[ (]\*[$(]"),
            ("address-of", r"[ (]&[$@a-z(]"),
            ("args", r"\bargs\b"),
            ("arrow", r"->"),
            ("index", r"\w\[\w+\]\."),
            ("ternary", r" \? [^:\n]+ : "),
            ("ternary-short", r" \?: "),
            ("pointer-arithmetic", r"(?m)^// covers:.*pointer-arithmetic"),
            ("cast", r"\(u?int(?:8|16|32|64)\)"),
            ("cast-array", r"\(u?int(?:8|16|32|64)\[\d*\]\)"),
            ("cast-struct", r"\(struct \w+ ?\*\)"),
            ("cast-enum", r"\(enum \w+\)"),
            ("cast-bool", r"\(bool\)"),
        ],
    ),
    (
        "Literals",
        &[
            ("hexadecimal", r"\b0x[0-9a-fA-F]+"),
            ("octal", r"[ (]0[0-7]+\b"),
            ("exponent", r"\b\d+e\d+\b"),
            ("underscore", r"\b\d+_\d+\b"),
            ("suffix", r"\b\d+[uUlL]+\b"),
            ("duration", r"[ (]\d+(?:ns|us|ms|s|m|h|d)\b"),
            ("escape", r#""[^"\n]*\\[xt0-9"]"#),
            ("adjacent-strings", r#""[ \n]+""#),
            ("boolean", r"\btrue\b|\bfalse\b"),
        ],
    ),
    (
        "Types",
        &[
            ("bool", r"\bbool\b"),
            ("int8", r"\bu?int8(?:_t)?\b"),
            ("int16", r"\bu?int16(?:_t)?\b"),
            ("int32", r"\bu?int32(?:_t)?\b"),
            ("int64", r"\bu?int64(?:_t)?\b"),
            ("string", r"string\[\d+\]"),
            ("buffer", r"buffer\[\d+\]|\bbuf\("),
            ("inet", r"\bntop\("),
            ("pointer", r"\w ?\*\)|: \w+ ?\*"),
            ("pointer-to-pointer", r"\*\*"),
            ("array", r"\w\[\d+\];|\[\d+\]\)"),
            ("array-of-arrays", r"\]\[\d+\]"),
            ("bitfield", r"\w : \d+;|\w:\d+;"),
            ("flexible-array", r"\w\[\];|\[0\];"),
            (
                "anonymous-member",
                r"(?m)^// covers:.*anonymous-member|\{ \w+ \w+; \};",
            ),
            ("enum", r"\benum\b"),
            ("tuple", r"= \([^)\n]+, "),
            ("record", r"\(\w+ = [^)\n]+\)"),
            ("positional", r"\$[1-9#]"),
            ("typeof", r"\btypeof\("),
            ("sizeof", r"\bsizeof\("),
            ("offsetof", r"\boffsetof\("),
        ],
    ),
    (
        "Formats of printf",
        &[
            ("%d", r"%-?0?\d*d"),
            ("%u", r"%-?0?\d*u"),
            ("%i", r"%-?0?\d*i"),
            ("%x", r"%#?0?\d*x"),
            ("%X", r"%#?0?\d*X"),
            ("%o", r"%#?\d*o"),
            ("%c", r"%c"),
            ("%s", r"%-?\d*s"),
            ("%p", r"%p"),
            ("%r", r"%r\b|%r[^xh]"),
            ("%rx", r"%rx"),
            ("%rh", r"%rh"),
            ("%gr", r"%gr"),
            ("width", r"%-?\d+[a-z]"),
            ("precision", r"%\.\d+s"),
            ("star-width", r"%-?\*"),
            ("lengths", r"%(?:hh|h|l|ll|j|z)[dux]"),
        ],
    ),
    (
        "Command line of an executable",
        &[
            ("-c", r"(?m)^(?:// )?load: |args: .*-c "),
            ("-p", r"args: .*-p "),
            ("-f json", r"args: .*-f json"),
            ("-o", r"args: .*-o "),
            ("-q", r"args: .*-q\b"),
            ("-v", r"args: .*-v\b"),
            ("-B", r"args: .*-B "),
            ("-k", r"args: .*-k\b"),
            ("--no-warnings", r"args: .*--no-warnings"),
            ("--dry-run", r"args: .*--dry-run"),
            ("--list", r"args: .*--list"),
            ("--info", r"args: .*--info"),
            ("--test", r"args: .*--test"),
            ("--bench", r"args: .*--bench"),
            ("--raw-output", r"args: .*--raw-output"),
            ("--usdt-file-activation", r"args: .*--usdt-file-activation"),
            ("-h", r"args: .*-h\b"),
            ("-V", r"args: .*-V\b"),
            ("--name=value", r"args: .*-- --\w+="),
        ],
    ),
];
