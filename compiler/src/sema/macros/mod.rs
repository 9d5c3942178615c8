//! A macro's call becomes its body with the arguments in place of the parameters, and is lowered as if it stood there.

mod substitute;

use std::collections::HashMap;

use super::lowering::Lowering;
use crate::builtin;
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::ir;
use crate::source::Span;
use crate::syntax::ast::{self, ExprKind, Macro, MacroParameter, Name};

/// Macro expansions in one probe: an argument that is used twice doubles what is in it.
const MAX_EXPANSIONS: u32 = 10_000;
/// Expansions within expansions.
const MAX_DEPTH: usize = 32;

/// The macros of a program by name; those of one name differ in what they take.
#[derive(Default)]
pub(in crate::sema) struct Macros<'a>(HashMap<String, Vec<&'a Macro>>);

/// An expansion that is being lowered.
#[derive(Clone, Copy)]
pub(in crate::sema) struct Frame<'a> {
    found: &'a Macro,
    /// The call that it stands for.
    call: Span,
}

impl<'a> Macros<'a> {
    /// The script's macros, then those of its C: a `macro` of the same name hides a `#define`.
    pub(in crate::sema) fn collect(
        program: &'a ast::Program,
        defined: &'a HashMap<String, Macro>,
        diagnostics: &mut Diagnostics,
    ) -> Self {
        let mut macros = Macros::default();
        for item in &program.items {
            if let ast::Item::Macro(found) = item {
                macros.add(found, diagnostics);
            }
        }
        for (name, found) in defined {
            let own = macros.0.entry(name.clone()).or_default();
            if own.is_empty() {
                own.push(found);
            }
        }
        macros
    }

    fn add(&mut self, found: &'a Macro, diagnostics: &mut Diagnostics) {
        let name = &found.name;
        // Its members are a probe's arguments; nothing that a macro expands to has them.
        if name.text == "args" {
            let message = "`args` is a builtin: a macro can't have its name";
            diagnostics.push(Diagnostic::error(Code::DuplicateName, name.span, message));
            return;
        }
        if let Some(twice) = same_parameters(found) {
            let message = format!("macro `{}` has two parameters of this name", name.text);
            diagnostics.push(Diagnostic::error(Code::DuplicateName, twice.span, message));
            return;
        }
        let same = self.0.entry(name.text.clone()).or_default();
        match same.iter().find(|first| hides(first, found)) {
            Some(first) => diagnostics.push(hidden(first, found)),
            None => same.push(found),
        }
    }

    pub(in crate::sema) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(in crate::sema) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The first macro of this name that takes the arguments.
    fn find(
        &self,
        name: &str,
        arguments: &[ast::Expr],
        span: Span,
    ) -> Result<&'a Macro, Diagnostic> {
        let all = self.0.get(name).map_or(&[][..], Vec::as_slice);
        match all.iter().find(|found| takes(found, arguments)) {
            Some(found) => Ok(found),
            None => Err(misused(name, all, arguments, span)),
        }
    }
}

fn parameter_name(parameter: &MacroParameter) -> &Name {
    match parameter {
        MacroParameter::Expression(name)
        | MacroParameter::Variable(name)
        | MacroParameter::Map(name) => name,
    }
}

fn same_parameters(found: &Macro) -> Option<&Name> {
    let mut seen: Vec<&MacroParameter> = vec![];
    for parameter in &found.parameters {
        let name = parameter_name(parameter);
        let same = |other: &&MacroParameter| {
            std::mem::discriminant(*other) == std::mem::discriminant(parameter)
                && parameter_name(other).text == name.text
        };
        if seen.iter().any(same) {
            return Some(name);
        }
        seen.push(parameter);
    }
    None
}

/// Whether every call that fits `later` is one of `first` already.
fn hides(first: &Macro, later: &Macro) -> bool {
    let covers = |(one, other): (&MacroParameter, &MacroParameter)| {
        matches!(one, MacroParameter::Expression(_))
            || std::mem::discriminant(one) == std::mem::discriminant(other)
    };
    let (one, other) = (&first.parameters, &later.parameters);
    one.len() == other.len() && one.iter().zip(other).all(covers)
}

fn hidden(first: &Macro, later: &Macro) -> Diagnostic {
    let name = &later.name.text;
    let same = hides(later, first);
    let message = match same {
        true => format!("macro `{name}` is defined twice"),
        false => format!("this macro `{name}` is never used: another one takes all that it takes"),
    };
    let twice = Diagnostic::error(Code::DuplicateName, later.name.span, message)
        .with_label(first.name.span, "first defined here");
    match same {
        true => twice,
        false => twice.with_help("define the one that takes less before the one that takes more"),
    }
}

fn fits(parameter: &MacroParameter, argument: &ast::Expr) -> bool {
    match (parameter, &argument.kind) {
        (MacroParameter::Expression(_), _)
        | (MacroParameter::Variable(_), ExprKind::Variable(_))
        | (MacroParameter::Map(_), ExprKind::Map { key: None, .. }) => true,
        (MacroParameter::Variable(_) | MacroParameter::Map(_), _) => false,
    }
}

fn takes(found: &Macro, arguments: &[ast::Expr]) -> bool {
    let pairs = found.parameters.iter().zip(arguments);
    found.parameters.len() == arguments.len() && pairs.into_iter().all(|(p, a)| fits(p, a))
}

/// `macro f(x, $y, @z)`, as it was written.
fn header(found: &Macro) -> String {
    let parameters = found.parameters.iter().map(|parameter| match parameter {
        MacroParameter::Expression(name) => name.text.clone(),
        MacroParameter::Variable(name) => format!("${}", name.text),
        MacroParameter::Map(name) => format!("@{}", name.text),
    });
    let parameters: Vec<_> = parameters.collect();
    format!("macro {}({})", found.name.text, parameters.join(", "))
}

/// Says of a call what none of the macros takes.
fn misused(name: &str, all: &[&Macro], arguments: &[ast::Expr], span: Span) -> Diagnostic {
    let count = arguments.len();
    let [only] = all else {
        let message = format!("no macro `{name}` takes these arguments");
        let wrong = Diagnostic::error(Code::Macro, span, message);
        return all.iter().fold(wrong, |wrong, found| {
            wrong.with_label(found.name.span, format!("`{}`", header(found)))
        });
    };
    let expected = only.parameters.len();
    if expected != count {
        let plural = if expected == 1 { "" } else { "s" };
        let message = format!("macro `{name}` takes {expected} argument{plural}, found {count}");
        return Diagnostic::error(Code::ArgumentCount, span, message)
            .with_label(only.name.span, "the macro");
    }
    let mut pairs = only.parameters.iter().zip(arguments);
    let (what, wanted, at) = match pairs.find(|(p, a)| !fits(p, a)) {
        Some((MacroParameter::Map(wanted), given)) => {
            ("a map", format!("@{}", wanted.text), given.span)
        }
        Some((parameter, given)) => {
            let wanted = format!("${}", parameter_name(parameter).text);
            ("a variable", wanted, given.span)
        }
        // Not reached: all of them fit.
        None => ("arguments", name.to_owned(), span),
    };
    let message = format!("macro `{name}` takes {what} for `{wanted}`");
    Diagnostic::error(Code::Macro, at, message).with_label(only.name.span, "the macro")
}

fn contains(outer: Span, inner: Span) -> bool {
    outer.file == inner.file && outer.start <= inner.start && inner.end <= outer.end
}

impl Lowering<'_> {
    /// Whether a call, or a bare name, is a macro's. Where a builtin has the name too, a macro is meant that takes the
    /// arguments, so that what btc learns doesn't change a script that had its own. In the library's text the builtin is meant,
    /// and a `#define` without parameters, which a header may bring, hides none.
    pub(super) fn is_macro(&self, name: &str, arguments: &[ast::Expr], span: Span) -> bool {
        if builtin::lookup(name).is_none() {
            return self.macros.has(name);
        }
        let found = self.macros.find(name, arguments, span);
        let hides = |found: &Macro| found.hygienic || !found.parameters.is_empty();
        found.is_ok_and(hides) && !self.in_library(span)
    }

    /// Whether the text at a place is the standard library's.
    pub(super) fn in_library(&self, span: Span) -> bool {
        self.sources.get(span.file).library
    }

    /// A macro's call, as a value or as a statement.
    pub(super) fn expand(
        &mut self,
        name: &str,
        arguments: &[ast::Expr],
        span: Span,
        statement: bool,
    ) -> Option<ir::Expr> {
        let found = match self.macros.find(name, arguments, span) {
            Ok(found) => found,
            Err(diagnostic) => {
                self.report(diagnostic);
                return None;
            }
        };
        if self.never_ends(found, span) {
            return None;
        }
        self.expanded += 1;
        let (block, wrong) = substitute::substitute(found, arguments, self.expanded);
        self.expansions.push(Frame { found, call: span });
        let value = match wrong.is_empty() {
            true if statement => self.block_or_void(&block, span),
            true => self.block_value(&block, span),
            false => {
                wrong.into_iter().for_each(|d| self.report(d));
                None
            }
        };
        self.expansions.pop();
        value
    }

    /// The expression that the text of a `#define` is, or an element of the map that it is.
    pub(super) fn defined(&self, expr: &ast::Expr) -> Option<ast::Expr> {
        let (name, arguments) = match &expr.kind {
            ExprKind::Identifier(name) => (name, &[][..]),
            ExprKind::Call { name, arguments } => (&name.text, arguments.as_slice()),
            ExprKind::Index { base, index } => {
                let base = self.defined(base)?;
                let ExprKind::Map { name, key: None } = base.kind else {
                    return None;
                };
                let key = Some(vec![(**index).clone()]);
                let kind = ExprKind::Map { name, key };
                let span = expr.span;
                return Some(ast::Expr { kind, span });
            }
            _ => return None,
        };
        let found = self.macros.find(name, arguments, expr.span).ok()?;
        if found.hygienic {
            return None;
        }
        let (block, _) = substitute::substitute(found, arguments, 0);
        let value = block.value.filter(|_| block.statements.is_empty())?;
        let (kind, span) = (value.kind, expr.span);
        Some(ast::Expr { kind, span })
    }

    /// Says once, at the script's own call, that its macros never end or grow too much.
    fn never_ends(&mut self, found: &ast::Macro, span: Span) -> bool {
        let name = &found.name.text;
        let message = if let Some(chain) = self.chain(found, span) {
            format!("macro `{name}` expands to itself: {chain}")
        } else if self.expansions.len() >= MAX_DEPTH {
            format!("this expands macros in macros more than {MAX_DEPTH} deep")
        } else if self.expanded >= MAX_EXPANSIONS {
            format!("this expands to more than {MAX_EXPANSIONS} macros")
        } else {
            return false;
        };
        if std::mem::replace(&mut self.expanded, u32::MAX) == u32::MAX {
            return true;
        }
        let outermost = self.expansions.first().map_or(span, |frame| frame.call);
        let mut diagnostic = Diagnostic::error(Code::Macro, outermost, message);
        if span != outermost && self.expansions.len() < MAX_DEPTH {
            diagnostic = diagnostic.with_label(span, "by this call");
        }
        self.diagnostics.push(diagnostic);
        true
    }

    /// The names of macros from `found` back to itself, where a call is in what it expands to. An argument may call the
    /// macro that it is given to: it was written outside of it.
    fn chain(&self, found: &ast::Macro, call: Span) -> Option<String> {
        let mut names = vec![found.name.text.as_str()];
        let mut inside = call;
        for frame in self.expansions.iter().rev() {
            if !contains(frame.found.body.span, inside) {
                continue;
            }
            names.push(&frame.found.name.text);
            if std::ptr::eq(frame.found, found) {
                names.reverse();
                return Some(names.join(" > "));
            }
            inside = frame.call;
        }
        None
    }

    /// A diagnostic with the calls that led to its place, innermost first.
    pub(super) fn traced(&self, diagnostic: Diagnostic) -> Diagnostic {
        self.expansions
            .iter()
            .rev()
            .fold(diagnostic, |told, frame| {
                // What is wrong with an argument stands in the call.
                if contains(frame.call, told.span) {
                    return told;
                }
                let name = &frame.found.name.text;
                told.with_label(frame.call, format!("in this expansion of `{name}`"))
            })
    }
}
