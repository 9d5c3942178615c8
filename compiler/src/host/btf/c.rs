//! Types of BTF → C text, as `-l` prints them.

use super::{Btf, MAX_DEPTH};
use std::fmt::Write as _;

const INT: u32 = 1;
const POINTER: u32 = 2;
const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const ENUM: u32 = 6;
const FORWARD: u32 = 7;
const CONST: u32 = 10;
const VOLATILE: u32 = 9;
const RESTRICT: u32 = 11;
const PROTOTYPE: u32 = 13;
const TYPE_TAG: u32 = 18;
const ENUM64: u32 = 19;

/// A function's parameters and result in C's words.
pub struct Signature {
    /// `struct file * file`
    pub parameters: Vec<String>,
    /// Empty for `void`.
    pub result: String,
}

impl Btf {
    /// `struct NAME { … };`, `union` or `enum`, as C defines it; nothing for other types.
    pub fn definition(&self, id: u32) -> Option<String> {
        let at = self.at(id)?;
        matches!(self.kind(at), STRUCT | UNION | ENUM | ENUM64).then(|| {
            let mut text = String::new();
            self.body_text(&mut text, id, 0);
            text.push(';');
            text
        })
    }

    /// The signature of a FUNC, or of what a typedef points to.
    pub fn signature(&self, mut id: u32) -> Option<Signature> {
        for _ in 0..MAX_DEPTH {
            if let Some(base) = self.base_of(id) {
                return base.signature(id);
            }
            let at = self.at(id)?;
            match self.kind(at) {
                PROTOTYPE => {
                    let parameter = |index: usize| {
                        let entry = at + 12 + index * 8;
                        let ty = self.declare(self.word(entry + 4), "", 0);
                        format!("{ty} {}", self.name(entry)).trim_end().to_owned()
                    };
                    let result = match self.word(at + 8) {
                        0 => String::new(),
                        id => self.declare(id, "", 0),
                    };
                    return Some(Signature {
                        parameters: (0..self.count(at)).map(parameter).collect(),
                        result,
                    });
                }
                POINTER | 8..=12 | TYPE_TAG => id = self.word(at + 8),
                _ => return None,
            }
        }
        None
    }

    /// `inner` declared to be of the type: C's declarators read from the inside out.
    fn declare(&self, id: u32, inner: &str, depth: u32) -> String {
        if let Some(base) = self.base_of(id) {
            return base.declare(id, inner, depth);
        }
        let Some(at) = self.at(id) else {
            return joined("void", inner);
        };
        if depth > MAX_DEPTH {
            return joined("void", inner);
        }
        let to = self.word(at + 8);
        match self.kind(at) {
            POINTER => {
                let inner = match self.kind_of(to) {
                    ARRAY | PROTOTYPE => format!("(*{inner})"),
                    _ => format!("*{inner}"),
                };
                self.declare(to, &inner, depth + 1)
            }
            ARRAY => {
                let inner = format!("{inner}[{}]", self.word(at + 20));
                self.declare(self.word(at + 12), &inner, depth + 1)
            }
            PROTOTYPE => {
                let parameters: Vec<String> = (0..self.count(at))
                    .map(|index| self.word(at + 12 + index * 8 + 4))
                    .map(|id| match id {
                        0 => "...".to_owned(),
                        id => self.declare(id, "", depth + 1),
                    })
                    .collect();
                let parameters = match parameters.is_empty() {
                    true => "void".to_owned(),
                    false => parameters.join(", "),
                };
                self.declare(to, &format!("{inner}({parameters})"), depth + 1)
            }
            kind @ (CONST | VOLATILE | RESTRICT) => {
                let word = match kind {
                    CONST => "const",
                    VOLATILE => "volatile",
                    _ => "restrict",
                };
                match self.kind_of(to) {
                    // A qualified pointer: the word stands between the star and the name.
                    POINTER => self.declare(to, &joined(word, inner), depth + 1),
                    _ => format!("{word} {}", self.declare(to, inner, depth + 1)),
                }
            }
            TYPE_TAG => self.declare(to, inner, depth + 1),
            STRUCT | UNION | ENUM | ENUM64 if self.word(at) == 0 => {
                let mut text = String::new();
                self.body_text(&mut text, id, depth + 1);
                joined(&text, inner)
            }
            kind => joined(
                &format!("{}{}", keyword(kind, self.flag(at)), self.name(at)),
                inner,
            ),
        }
    }

    fn kind_of(&self, id: u32) -> u32 {
        match self.base_of(id) {
            Some(base) => base.kind_of(id),
            None => self.at(id).map_or(0, |at| self.kind(at)),
        }
    }

    fn body_text(&self, text: &mut String, id: u32, depth: u32) {
        let Some(at) = self.at(id) else { return };
        let (kind, name) = (self.kind(at), self.name(at));
        let head = format!("{}{name}", keyword(kind, false));
        if self.count(at) == 0 {
            let _ = write!(text, "{} {{}}", head.trim_end());
            return;
        }
        let _ = writeln!(text, "{} {{", head.trim_end());
        match kind {
            ENUM | ENUM64 => self.constants(text, at, depth),
            _ => self.members(text, at, depth),
        }
        let _ = write!(text, "{}}}", indent(depth));
    }

    fn members(&self, text: &mut String, at: usize, depth: u32) {
        for index in 0..self.count(at) {
            let entry = at + 12 + index * 12;
            // A nested body is indented as its member is.
            let member = self.declare(self.word(entry + 4), &self.name(entry), depth);
            let width = match self.flag(at) {
                true => self.word(entry + 8) >> 24,
                false => 0,
            };
            let _ = write!(text, "{}{member}", indent(depth + 1));
            if width != 0 {
                let _ = write!(text, ": {width}");
            }
            text.push_str(";\n");
        }
    }

    fn constants(&self, text: &mut String, at: usize, depth: u32) {
        let found = self.enumeration(at);
        for (name, value) in &found.values {
            let value = match found.signed {
                true => value.cast_signed().to_string(),
                false => value.to_string(),
            };
            let _ = writeln!(text, "{}{name} = {value},", indent(depth + 1));
        }
    }
}

fn joined(left: &str, right: &str) -> String {
    if right.is_empty() {
        return left.to_owned();
    }
    format!("{left} {right}")
}

fn keyword(kind: u32, union: bool) -> &'static str {
    match kind {
        STRUCT => "struct ",
        UNION => "union ",
        ENUM | ENUM64 => "enum ",
        FORWARD if union => "union ",
        FORWARD => "struct ",
        INT.. => "",
        0 => "void",
    }
}

fn indent(depth: u32) -> String {
    "\t".repeat(depth as usize)
}
