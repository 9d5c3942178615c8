//! Builtins and functions: one table entry each, families in files. An entry lowers a call (or a bare name) to
//! expressions and statements of the typed tree; sema finds it here and knows no name of its own.

mod process;

use crate::ir;
use crate::sema::Lowering;
use crate::source::Span;
use crate::syntax::ast::Expr as AstExpr;

/// One builtin or function.
pub struct Function {
    pub name: &'static str,
    pub form: Form,
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
    Value(fn(&mut Lowering, &Call) -> Option<ir::Expr>),
    /// Only right of `@m =`.
    Aggregation(fn(&mut Lowering, &Call) -> Option<(ir::Aggregation, ir::AggregateUpdate)>),
}

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

const FAMILIES: &[&[Function]] = &[process::FUNCTIONS];

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
