//! `config`: the configuration as a record. What was fixed when compiling is a constant, the rest is that of the run.

use btc_abi as abi;

use super::{Call, Function};
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::{Expr, ExprKind, IntType, Type};
use crate::sema::Lowering;
use crate::source::Span;
use crate::syntax::ast::Name;
use btc_runtime::suggest::nearest;

pub(super) const FUNCTIONS: &[Function] = &[Function::word("config", whole)];

/// What a variable is.
#[derive(Clone, Copy)]
enum Kind {
    /// Fixed when compiling.
    Fixed(fn(&Lowering) -> u64),
    License,
    Integer,
    Bool,
    Text,
}

/// By name, sorted.
const VARIABLES: &[(&str, Kind)] = &[
    ("cpp_demangle", Kind::Bool),
    ("lazy_symbolication", Kind::Bool),
    ("license", Kind::License),
    ("log_size", Kind::Integer),
    ("max_cat_bytes", Kind::Integer),
    ("max_map_keys", Kind::Integer),
    ("max_probes", Kind::Integer),
    (
        "max_strlen",
        Kind::Fixed(|l| u64::from(l.settings.limits.max_strlen)),
    ),
    ("missing_probes", Kind::Text),
    (
        "on_stack_limit",
        Kind::Fixed(|l| u64::from(l.settings.limits.on_stack_limit)),
    ),
    ("perf_rb_pages", Kind::Integer),
    ("print_maps_on_exit", Kind::Bool),
    ("show_debug_info", Kind::Bool),
    ("stack_mode", Kind::Text),
    ("str_trunc_trailer", Kind::Text),
];

/// Room for what the environment may set.
const TEXT: Type = Type::String { size: 64 };

fn whole(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let mut types = vec![];
    let mut values = vec![];
    for (name, kind) in VARIABLES {
        let value = variable(l, name, *kind, call.span);
        types.push(((*name).to_owned(), value.ty.clone()));
        values.push(value);
    }
    Some(Expr {
        kind: ExprKind::Tuple(values),
        ty: Type::Record(types),
        span: call.span,
    })
}

/// `config.name`
pub fn named(l: &mut Lowering, name: &Name, span: Span) -> Option<Expr> {
    let found = VARIABLES.iter().find(|(known, _)| *known == name.text);
    if let Some((known, kind)) = found {
        return Some(variable(l, known, *kind, span));
    }
    let mut unknown = Diagnostic::error(
        Code::UnknownField,
        name.span,
        format!("no config variable is called `{}`", name.text),
    );
    if let Some(near) = nearest(&name.text, VARIABLES.iter().map(|(name, _)| *name)) {
        unknown = unknown.with_help(format!("did you mean `config.{near}`?"));
    }
    l.report(unknown);
    None
}

fn variable(l: &mut Lowering, name: &'static str, kind: Kind, span: Span) -> Expr {
    let ty = match kind {
        Kind::Fixed(value) => {
            let value = value(l);
            return l.integer(value, IntType::U64, span);
        }
        Kind::License => {
            let license = l.settings.license.clone();
            return l.string(license.0.as_bytes(), span);
        }
        Kind::Integer => Type::Int(IntType::U64),
        Kind::Bool => Type::Bool,
        Kind::Text => TEXT,
    };
    l.slot(abi::TargetValue::Config { name: name.into() }, ty, span)
}
