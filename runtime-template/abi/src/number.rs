//! Numbers that are the same for a whole run: constants of the script, and what the command line makes of its formulas.

use alloc::vec::Vec;

use crate::{List, Name, Text};

describe! {
    /// A number that code and values are made by.
    pub enum Number {
        Constant { value: i64, },
        /// Known when a run starts; then a [`Check`] holds it to at most `most` before anything reads it.
        Told { formula: List<Term>, most: i64, },
    }
}

describe! {
    /// A step of a formula in reverse Polish notation, over whole numbers of any size.
    pub enum Term {
        Constant { value: i64, },
        /// `$n`, one-based; 0 where not given.
        Positional { index: u32, },
        /// `$#`
        PositionalCount,
        /// A getopt parameter; `index` into [`crate::Manifest::named`].
        Named { index: u32, },
        Negate,
        Complement,
        Not,
        Add,
        Subtract,
        Multiply,
        Divide,
        Remainder,
        And,
        Or,
        Xor,
        ShiftLeft,
        ShiftRight,
        Equal,
        NotEqual,
        Less,
        LessEqual,
        Greater,
        GreaterEqual,
        /// The greater of two.
        Largest,
        /// Condition, then, otherwise.
        Choose,
        /// The low bits as an integer of that width.
        Cast { bits: u8, signed: bool, },
    }
}

describe! {
    /// What must be so before a run may read its numbers.
    pub struct Check {
        /// As the script has it: ``the 1st argument of `kstack` ``.
        pub what: Text,
        /// `script:line:column` of the argument.
        pub place: Text,
        pub rule: Rule,
    }
}

describe! {
    pub enum Rule {
        /// `text` is the formula as the script has it.
        Within { text: Text, number: Number, least: i64, most: i64, },
        /// A name that must not be empty; `text` is how the script has it.
        Given { text: Text, name: Name, },
        /// Bounds of a linear histogram.
        Linear { min: Number, max: Number, step: Number, },
    }
}

/// The most buckets between the bounds of a linear histogram.
pub const MOST_LINEAR: u32 = 1000;

impl From<i64> for Number {
    fn from(value: i64) -> Self {
        Number::Constant { value }
    }
}

impl Number {
    /// The number; of one that is told the most that it can be.
    #[must_use]
    pub fn most(&self) -> i64 {
        match self {
            Number::Constant { value } => *value,
            Number::Told { most, .. } => *most,
        }
    }

    /// The number where it is a constant.
    #[must_use]
    pub fn constant(&self) -> Option<i64> {
        match self {
            Number::Constant { value } => Some(*value),
            Number::Told { .. } => None,
        }
    }

    #[must_use]
    pub fn is_told(&self) -> bool {
        self.constant().is_none()
    }

    fn terms(&self) -> Vec<Term> {
        match self {
            Number::Constant { value } => [Term::Constant { value: *value }].into(),
            Number::Told { formula, .. } => formula.to_vec(),
        }
    }

    /// The greater of two numbers.
    #[must_use]
    pub fn largest(&self, other: &Number) -> Number {
        match (self, other) {
            (a, b) if a == b => a.clone(),
            (Number::Constant { value: a }, Number::Constant { value: b }) => {
                Number::Constant { value: *a.max(b) }
            }
            (a, b) => {
                let mut formula = a.terms();
                formula.extend(b.terms());
                formula.push(Term::Largest);
                Number::Told {
                    formula: formula.into(),
                    most: a.most().max(b.most()),
                }
            }
        }
    }
}

/// What ends a formula without a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    DivisionByZero,
    /// A number of more than 64 bits.
    Overflow,
    /// Not a formula: a bug of the compiler.
    Malformed,
}

/// A formula's number; `told` answers [`Term::Positional`], [`Term::PositionalCount`] and [`Term::Named`].
///
/// # Errors
/// Where it has none, or one that no integer of 64 bits holds.
pub fn evaluate(formula: &[Term], told: &dyn Fn(&Term) -> i128) -> Result<i128, Fault> {
    let mut stack: Vec<i128> = Vec::new();
    let pop = |stack: &mut Vec<i128>| stack.pop().ok_or(Fault::Malformed);
    for term in formula {
        let value = match term {
            Term::Constant { value } => i128::from(*value),
            Term::Positional { .. } | Term::PositionalCount | Term::Named { .. } => told(term),
            Term::Negate => -pop(&mut stack)?,
            Term::Complement => !pop(&mut stack)?,
            Term::Not => i128::from(pop(&mut stack)? == 0),
            Term::Cast { bits, signed } => cast(pop(&mut stack)?, *bits, *signed),
            Term::Choose => {
                let otherwise = pop(&mut stack)?;
                let then = pop(&mut stack)?;
                match pop(&mut stack)? {
                    0 => otherwise,
                    _ => then,
                }
            }
            _ => {
                let right = pop(&mut stack)?;
                let left = pop(&mut stack)?;
                binary(term, left, right)?
            }
        };
        if !(i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&value) {
            return Err(Fault::Overflow);
        }
        stack.push(value);
    }
    match stack[..] {
        [value] => Ok(value),
        _ => Err(Fault::Malformed),
    }
}

fn binary(term: &Term, a: i128, b: i128) -> Result<i128, Fault> {
    let shift = |by: i128| {
        u32::try_from(by)
            .ok()
            .filter(|by| *by < 64)
            .ok_or(Fault::Overflow)
    };
    Ok(match term {
        // Of 64 bits each: no sum or difference of them is too much for 128.
        Term::Add => a + b,
        Term::Subtract => a - b,
        Term::Multiply => a.checked_mul(b).ok_or(Fault::Overflow)?,
        Term::Divide => a.checked_div(b).ok_or(Fault::DivisionByZero)?,
        Term::Remainder => a.checked_rem(b).ok_or(Fault::DivisionByZero)?,
        Term::And => a & b,
        Term::Or => a | b,
        Term::Xor => a ^ b,
        Term::ShiftLeft => a << shift(b)?,
        Term::ShiftRight => a >> shift(b)?,
        Term::Equal => i128::from(a == b),
        Term::NotEqual => i128::from(a != b),
        Term::Less => i128::from(a < b),
        Term::LessEqual => i128::from(a <= b),
        Term::Greater => i128::from(a > b),
        Term::GreaterEqual => i128::from(a >= b),
        Term::Largest => a.max(b),
        _ => return Err(Fault::Malformed),
    })
}

fn cast(value: i128, bits: u8, signed: bool) -> i128 {
    let unused = 128 - u32::from(bits.clamp(1, 64));
    match signed {
        true => value << unused >> unused,
        false => (value.cast_unsigned() << unused >> unused).cast_signed(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(terms: &[Term]) -> Result<i128, Fault> {
        evaluate(terms, &|term| match term {
            Term::Positional { index: 1 } => 12,
            Term::PositionalCount => 1,
            _ => 0,
        })
    }

    #[test]
    fn formulas() {
        let constant = |value| Term::Constant { value };
        let given = Term::Positional { index: 1 };
        assert_eq!(of(core::slice::from_ref(&given)), Ok(12));
        assert_eq!(
            of(&[given.clone(), constant(1000), Term::Multiply]),
            Ok(12_000)
        );
        assert_eq!(of(&[constant(3), given.clone(), Term::Subtract]), Ok(-9));
        assert_eq!(
            of(&[
                Term::PositionalCount,
                given.clone(),
                constant(5),
                Term::Choose
            ]),
            Ok(12)
        );
        let none = Term::Positional { index: 2 };
        assert_eq!(
            of(&[none.clone(), none.clone(), constant(5), Term::Choose]),
            Ok(5)
        );
        assert_eq!(
            of(&[given.clone(), none, Term::Divide]),
            Err(Fault::DivisionByZero)
        );
        assert_eq!(
            of(&[given.clone(), constant(63), Term::ShiftLeft]),
            Err(Fault::Overflow)
        );
        let narrow = |signed| Term::Cast { bits: 8, signed };
        assert_eq!(of(&[constant(-1), narrow(false)]), Ok(255));
        assert_eq!(of(&[constant(255), narrow(true)]), Ok(-1));
        assert_eq!(of(&[given, Term::Add]), Err(Fault::Malformed));
    }

    #[test]
    fn the_largest_of_what_is_told_has_a_bound() {
        let told = Number::Told {
            formula: [Term::Positional { index: 1 }].to_vec().into(),
            most: 1024,
        };
        let both = told.largest(&Number::Constant { value: 127 });
        assert_eq!(both.most(), 1024);
        let Number::Told { formula, .. } = both else {
            panic!("a constant");
        };
        assert_eq!(of(&formula), Ok(127));
        assert_eq!(told.largest(&told), told);
    }
}
