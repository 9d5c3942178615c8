//! Formatted output: `printf` and all that shares its format strings.

use btc_abi as abi;

use super::argument::{self, named, unsigned};
use super::printf::{self, Takes};
use super::{Call, Function};
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::{Expr, IntType, Type};
use crate::sema::Lowering;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::call("printf", ANY, "printf(\"format\", …)", |l, call| {
        formatted(l, call, |format| abi::RecordKind::Printf { format })
    }),
    Function::call("errorf", ANY, "errorf(\"format\", …)", |l, call| {
        formatted(l, call, |format| abi::RecordKind::Errorf { format })
    }),
    Function::call("warnf", ANY, "warnf(\"format\", …)", |l, call| {
        formatted(l, call, |format| abi::RecordKind::Warnf { format })
    }),
    Function::call("cat", ANY, "cat(\"path\", …)", |l, call| {
        formatted(l, call, |format| abi::RecordKind::Cat { format })
    }),
    Function::call("system", ANY, "system(\"command\", …)", |l, call| {
        formatted(l, call, |format| abi::RecordKind::System { format })
    })
    .guarded(),
];

/// A format and as many arguments as it has room for.
const ANY: (usize, usize) = (1, usize::MAX);

fn formatted(
    l: &mut Lowering,
    call: &Call,
    kind: fn(abi::Format) -> abi::RecordKind,
) -> Option<Expr> {
    let (format, values) = format_and_values(l, call)?;
    Some(l.emit(kind(format), values, call.span))
}

/// The format of a call and what goes into it.
pub(super) fn format_and_values(l: &mut Lowering, call: &Call) -> Option<(abi::Format, Vec<Expr>)> {
    let text = argument::literal(l, call, 0)?;
    let parsed = match printf::parse(&text) {
        Ok(parsed) => parsed,
        Err(error) => return malformed(l, call, error),
    };
    let given = call.arguments.len() - 1;
    let wanted = parsed.takes.len();
    if given != wanted {
        let amount = if given < wanted {
            "not enough"
        } else {
            "too many"
        };
        return l.error(
            Code::ArgumentCount,
            call.span,
            format!("{amount} arguments for format string ({given} supplied, {wanted} expected)"),
        );
    }
    let values = l.in_order(parsed.takes.iter().zip(1..), |l, ((takes, written), at)| {
        printed(l, call, at, *takes, written)
    });
    let values = values.into_iter().collect::<Option<Vec<_>>>()?;
    Some((parsed.format, values))
}

fn malformed<T>(l: &mut Lowering, call: &Call, error: printf::FormatError) -> Option<T> {
    let span = call.arguments.first().map_or(call.span, |a| a.span);
    let diagnostic = Diagnostic::error(Code::FormatString, span, error.message);
    l.report(match error.help {
        Some(help) => diagnostic.with_help(help),
        None => diagnostic,
    });
    None
}

/// An argument as its specifier prints it: integers in 64 bits with their own sign.
fn printed(l: &mut Lowering, call: &Call, at: usize, takes: Takes, written: &str) -> Option<Expr> {
    let given = argument::value(l, call, at)?;
    let fits = match takes {
        Takes::Width => matches!(given.ty, Type::Int(_)),
        Takes::Integer | Takes::Char | Takes::Pointer => matches!(
            given.ty,
            Type::Int(_) | Type::Bool | Type::Enum(_) | Type::Pointer { .. } | Type::KernelSymbol
        ),
        Takes::Text => has_text(&given.ty),
        Takes::Buffer => matches!(given.ty, Type::Buffer { .. }),
    };
    if !fits {
        return misfit(l, &given, takes, written);
    }
    match takes {
        Takes::Width => Some(l.convert(given, Type::Int(IntType::I64))),
        Takes::Integer | Takes::Char => l.int64(given, "a format specifier"),
        Takes::Pointer => Some(unsigned(l, given)),
        Takes::Text | Takes::Buffer => Some(given),
    }
}

/// Whether `%s` can print it: all that `print` can.
pub(super) fn has_text(ty: &Type) -> bool {
    !matches!(ty, Type::Void | Type::Aggregation(_))
}

fn misfit<T>(l: &mut Lowering, given: &Expr, takes: Takes, written: &str) -> Option<T> {
    let found = named(l, &given.ty);
    let help = match (&given.ty, takes) {
        (_, Takes::Width) => None,
        (Type::Buffer { .. }, _) => Some("use `%r`"),
        (Type::String { .. } | Type::Array { .. } | Type::Pointer { .. }, Takes::Buffer) => {
            Some("use `buf()` around it")
        }
        // Text is no way to see the bytes of a number.
        (Type::Int(_) | Type::Bool | Type::Enum(_), Takes::Buffer) => None,
        (ty, _) if has_text(ty) => Some("use `%s`"),
        _ => None,
    };
    let diagnostic = Diagnostic::error(
        Code::ArgumentType,
        given.span,
        format!("`{written}` expects {}, found {found}", takes.noun()),
    );
    l.report(match help {
        Some(help) => diagnostic.with_help(help),
        None => diagnostic,
    });
    None
}
