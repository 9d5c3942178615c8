//! Builtins and functions: one table entry each, families in files. An entry lowers a call (or a bare name) to
//! expressions and statements of the typed tree; sema finds it here and knows no name of its own.

mod address;
mod aggregate;
mod argument;
mod check;
pub mod configuration;
mod context;
pub mod control;
mod effect;
mod kernel;
mod map;
mod network;
mod object;
mod output;
mod parameter;
mod print;
pub mod printf;
mod process;
mod search;
mod stack;
mod string;
mod symbol;
mod system;
mod task;
mod time;
mod tseries;
mod types;

use crate::ir;
use crate::sema::Lowering;
use crate::source::Span;
use crate::syntax::ast::Expr as AstExpr;

/// One builtin or function.
pub struct Function {
    pub name: &'static str,
    pub form: Form,
    /// How it is written, for messages: `str(pointer[, length])`.
    pub usage: &'static str,
    /// Least and most arguments; checked before `lower` runs.
    pub arguments: (usize, usize),
    /// Refused without `--unsafe`.
    pub needs_unsafe: bool,
    pub lower: Lower,
}

/// How a name may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `pid`, also `pid()`.
    NameOrCall,
    /// `str(p)`
    Call,
}

/// What a call becomes.
pub enum Lower {
    /// A value, or an expression of type `Void` for calls that only act. `None`: a diagnostic was reported.
    Value(LowerValue),
    /// Only right of `@m =`.
    Aggregation(LowerAggregation),
}

type LowerValue = fn(&mut Lowering, &Call) -> Option<ir::Expr>;
type LowerAggregation = fn(&mut Lowering, &Call) -> Option<(ir::Aggregation, ir::AggregateUpdate)>;

/// A use of an entry in the script.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// As written (`arg3` for the entry `arg`).
    pub name: &'a str,
    pub arguments: &'a [AstExpr],
    /// Of the whole call.
    pub span: Span,
    /// The value is thrown away.
    pub statement: bool,
}

impl Function {
    /// A word that stands for a value: `pid`.
    const fn word(name: &'static str, lower: LowerValue) -> Function {
        Function {
            name,
            form: Form::NameOrCall,
            usage: name,
            arguments: (0, 0),
            needs_unsafe: false,
            lower: Lower::Value(lower),
        }
    }

    /// A word that may have arguments too: `kstack`, `kstack(perf, 3)`.
    const fn word_or_call(
        name: &'static str,
        most: usize,
        usage: &'static str,
        lower: LowerValue,
    ) -> Function {
        Function {
            arguments: (0, most),
            usage,
            ..Function::word(name, lower)
        }
    }

    const fn new(
        name: &'static str,
        arguments: (usize, usize),
        usage: &'static str,
        lower: Lower,
    ) -> Function {
        Function {
            name,
            form: Form::Call,
            usage,
            arguments,
            needs_unsafe: false,
            lower,
        }
    }

    const fn call(
        name: &'static str,
        arguments: (usize, usize),
        usage: &'static str,
        lower: LowerValue,
    ) -> Function {
        Function::new(name, arguments, usage, Lower::Value(lower))
    }

    const fn aggregation(
        name: &'static str,
        arguments: (usize, usize),
        usage: &'static str,
        lower: LowerAggregation,
    ) -> Function {
        Function::new(name, arguments, usage, Lower::Aggregation(lower))
    }

    const fn guarded(self) -> Function {
        Function {
            needs_unsafe: true,
            ..self
        }
    }
}

const FAMILIES: &[&[Function]] = &[
    process::FUNCTIONS,
    task::FUNCTIONS,
    context::FUNCTIONS,
    time::FUNCTIONS,
    system::FUNCTIONS,
    stack::FUNCTIONS,
    symbol::FUNCTIONS,
    address::FUNCTIONS,
    parameter::FUNCTIONS,
    string::FUNCTIONS,
    search::FUNCTIONS,
    network::FUNCTIONS,
    object::FUNCTIONS,
    output::FUNCTIONS,
    print::FUNCTIONS,
    map::FUNCTIONS,
    aggregate::FUNCTIONS,
    tseries::FUNCTIONS,
    control::FUNCTIONS,
    check::FUNCTIONS,
    effect::FUNCTIONS,
    kernel::FUNCTIONS,
    configuration::FUNCTIONS,
    types::FUNCTIONS,
];

/// The entry for a name; `arg0`, `sarg1` and the like find `arg` and `sarg`.
#[must_use]
pub fn lookup(name: &str) -> Option<&'static Function> {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let numbered = stem != name && matches!(stem, "arg" | "sarg");
    let wanted = if numbered { stem } else { name };
    if !numbered && matches!(name, "arg" | "sarg") {
        return None;
    }
    FAMILIES
        .iter()
        .flat_map(|family| family.iter())
        .find(|function| function.name == wanted)
}

/// All names, for suggestions.
pub fn names() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().flat_map(|f| f.iter()).map(|f| f.name)
}

#[cfg(test)]
mod tests;
