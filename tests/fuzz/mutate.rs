//! Scripts of the corpus, changed: bytes, tokens, pieces of other scripts, nesting.

use btc_tests::random::Random;

const NOISE: &[&str] = &[
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    ";",
    ",",
    "\"",
    "'",
    "/",
    "\\",
    "@",
    "$",
    "#",
    "$#",
    "..",
    "->",
    ".",
    ":",
    "=",
    "==",
    "/*",
    "*/",
    "//",
    "\n",
    "\0",
    "é",
    "§",
    "\u{feff}",
    "0",
    "1e99",
    "0x",
    "99999999999999999999",
    "if",
    "let",
    "for",
    "struct",
    "macro",
    "fn",
    "import",
    "config = {",
    "begin",
    "unroll",
    "%d",
    "-",
    "!",
    "~",
    "*",
    "&",
];

/// A script made from the corpus.
pub fn mutated(corpus: &[String], random: &mut Random) -> String {
    let mut text = random.pick(corpus).clone();
    for _ in 0..=random.below(4) {
        text = match random.below(8) {
            0 => bytes(text, random),
            1 => noise(&text, random),
            2 => delete(&text, random),
            3 => duplicate(&text, random),
            4 => splice(&text, &random.pick(corpus).clone(), random),
            5 => swap(&text, random),
            6 => nest(&text, random),
            _ => join(&text, &random.pick(corpus).clone(), random),
        };
    }
    let end = boundary(&text, 20_000);
    text.truncate(end);
    text
}

/// Words, numbers, white space, single characters.
fn tokens(text: &str) -> Vec<&str> {
    let class = |c: char| match c {
        c if c.is_alphanumeric() || c == '_' => 0,
        c if c.is_whitespace() => 1,
        _ => 2,
    };
    let mut found = vec![];
    let mut start = 0;
    let mut last = None;
    for (at, c) in text.char_indices() {
        let this = class(c);
        if at > start && (last != Some(this) || this == 2) {
            found.push(&text[start..at]);
            start = at;
        }
        last = Some(this);
    }
    found.push(&text[start..]);
    found
}

fn boundary(text: &str, mut at: usize) -> usize {
    at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn bytes(text: String, random: &mut Random) -> String {
    let mut bytes = text.into_bytes();
    for _ in 0..=random.below(3) {
        if !bytes.is_empty() {
            let at = random.below(bytes.len());
            bytes[at] = random.number() as u8;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn noise(text: &str, random: &mut Random) -> String {
    let at = boundary(text, random.below(text.len() + 1));
    format!("{}{}{}", &text[..at], random.pick(NOISE), &text[at..])
}

fn delete(text: &str, random: &mut Random) -> String {
    let mut tokens = tokens(text);
    let start = random.below(tokens.len());
    let end = (start + 1 + random.below(6)).min(tokens.len());
    tokens.drain(start..end);
    tokens.concat()
}

fn duplicate(text: &str, random: &mut Random) -> String {
    let tokens = tokens(text);
    let start = random.below(tokens.len());
    let end = (start + 1 + random.below(12)).min(tokens.len());
    let most = if random.once_in(20) { 300 } else { 3 };
    let times = 1 + random.below(most);
    let piece = tokens[start..end].concat().repeat(times);
    format!(
        "{}{piece}{}",
        tokens[..start].concat(),
        tokens[start..].concat()
    )
}

fn splice(text: &str, other: &str, random: &mut Random) -> String {
    let (to, from) = (tokens(text), tokens(other));
    let start = random.below(from.len());
    let end = (start + 1 + random.below(15)).min(from.len());
    let at = random.below(to.len());
    let after = (at + random.below(4)).min(to.len());
    let piece = from[start..end].concat();
    format!("{}{piece}{}", to[..at].concat(), to[after..].concat())
}

fn swap(text: &str, random: &mut Random) -> String {
    let mut tokens = tokens(text);
    let (a, b) = (random.below(tokens.len()), random.below(tokens.len()));
    tokens.swap(a, b);
    tokens.concat()
}

fn nest(text: &str, random: &mut Random) -> String {
    const PAIRS: &[(&str, &str)] = &[
        ("(", ")"),
        ("{ ", " }"),
        ("if (1) { ", " }"),
        ("!", ""),
        ("-", ""),
        ("1 + ", ""),
        ("(1, ", ")"),
        ("1 ? ", " : 2"),
        ("str(", ")"),
        ("@m[", "]"),
        ("*", ""),
        ("unroll(3) { ", " }"),
        ("", ".x"),
        ("", "[0]"),
    ];
    let tokens = tokens(text);
    let at = random.below(tokens.len());
    let (open, close) = random.pick(PAIRS);
    let most = if random.once_in(4) { 400 } else { 4 };
    let times = 1 + random.below(most);
    let (open, close) = (open.repeat(times), close.repeat(times));
    format!(
        "{}{open}{}{close}{}",
        tokens[..at].concat(),
        tokens[at],
        tokens[at + 1..].concat()
    )
}

fn join(text: &str, other: &str, random: &mut Random) -> String {
    let (a, b) = (random.below(text.len() + 1), random.below(other.len() + 1));
    format!(
        "{}{}",
        &text[..boundary(text, a)],
        &other[boundary(other, b)..]
    )
}
