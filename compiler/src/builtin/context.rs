//! What the probe itself hands over: `arg0`…, `sarg0`…, `retval`, `func`, `ctx`, `probe`, `probetype`.

use btc_abi as abi;

use super::argument::unsigned;
use super::symbol::user_symbol;
use super::{Call, Function};
use crate::diagnostic::{Code, Diagnostic};
use crate::host::CType;
use crate::ir::{Context, Expr, IntType, Space, Type};
use crate::provider::iter::context_type;
use crate::provider::{Func, Numbered, no_btf};
use crate::sema::Lowering;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::word("arg", numbered),
    Function::word("sarg", on_stack),
    Function::word("retval", return_value),
    Function::word("func", function_name),
    Function::word("ctx", whole_context),
    Function::word("probe", probe_name),
    Function::word("probetype", |l, call| {
        let kind = match l.probe.provider {
            // What the tool itself fires.
            "begin" | "end" | "self" => "special",
            provider => provider,
        };
        Some(l.string(kind.as_bytes(), call.span))
    }),
];

/// Slots of a raw tracepoint's or fentry program's context: the kernel's limit of a traced function's arguments.
const MOST_SLOTS: u8 = 12;
const MOST_MARKED: u8 = btc_abi::usdt::MOST_ARGUMENTS as u8;

/// `3` of `arg3`.
fn index(l: &mut Lowering, call: &Call) -> Option<u8> {
    let digits = call.name.trim_start_matches(|c: char| !c.is_ascii_digit());
    match digits.parse() {
        Ok(n) => Some(n),
        Err(_) => l.error(
            Code::UnknownName,
            call.span,
            format!("no probe has an `{}`", call.name),
        ),
    }
}

fn numbered(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let at = index(l, call)?;
    let (most, context) = match l.probe.numbered {
        Numbered::None => return not_here(l, call),
        Numbered::Registers => (in_registers(l), Context::Argument(at)),
        Numbered::Slots => (MOST_SLOTS, Context::Slot(at)),
        Numbered::Marker => (MOST_MARKED, Context::MarkerArgument(at)),
    };
    if at >= most {
        let diagnostic = Diagnostic::error(
            Code::UnknownName,
            call.span,
            format!(
                "`{}` probes have `arg0` to `arg{}`",
                l.probe.provider,
                most - 1
            ),
        );
        l.report(match l.probe.numbered {
            Numbered::Registers => {
                diagnostic.with_help("arguments on the stack are `sarg0`, `sarg1`, …")
            }
            _ => diagnostic,
        });
        return None;
    }
    Some(l.context(context, call.span))
}

/// Arguments that the calling convention passes in registers.
fn in_registers(l: &Lowering) -> u8 {
    l.options.arch.argument_registers().len() as u8
}

fn on_stack(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let at = index(l, call)?;
    if l.probe.numbered != Numbered::Registers {
        return not_here(l, call);
    }
    Some(l.context(Context::StackArgument(at), call.span))
}

fn not_here<T>(l: &mut Lowering, call: &Call) -> Option<T> {
    let message = format!("`{}` probes have no `{}`", l.probe.provider, call.name);
    l.error(Code::WrongProbe, call.span, message)
}

fn return_value(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let Some((context, ty)) = l.probe.retval.clone() else {
        let diagnostic = Diagnostic::error(
            Code::WrongProbe,
            call.span,
            match l.probe.provider {
                "fexit" => "this function returns nothing that is known here".to_string(),
                provider => format!("`{provider}` probes have no `retval`"),
            },
        );
        l.report(match l.probe.provider {
            "kprobe" => diagnostic.with_help("use a `kretprobe`"),
            "uprobe" => diagnostic.with_help("use a `uretprobe`"),
            "fentry" => diagnostic.with_help("use an `fexit` probe"),
            _ => diagnostic,
        });
        return None;
    };
    l.context_value(context, &ty, call.span)
}

fn function_name(l: &mut Lowering, call: &Call) -> Option<Expr> {
    match l.probe.func.clone() {
        Func::None => not_here(l, call),
        Func::Name(name) => Some(l.string(name.as_bytes(), call.span)),
        Func::KernelAddress => {
            let address = l.context(Context::FunctionAddress, call.span);
            Some(l.convert(address, Type::KernelSymbol))
        }
        Func::UserAddress => {
            let address = l.context(Context::FunctionAddress, call.span);
            Some(user_symbol(address, call))
        }
    }
}

/// What the kernel hands an iterator's program: its objects are in kernel memory, and so are the pointers to them.
fn whole_context(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let abi::Attach::Iter { name, .. } = &l.probe.attach else {
        return not_here(l, call);
    };
    let Some(record) = l.host.record(&context_type(name), false) else {
        l.report(no_btf(call.span, l.probe.provider));
        return None;
    };
    let ty = Type::Pointer {
        to: Box::new(l.ctype(&CType::Record(record))),
        space: Space::Kernel,
    };
    let address = l.context(Context::Pointer, call.span);
    Some(l.convert(address, ty))
}

/// A pattern's probes share one program: which of them ran is in the attach cookie.
fn probe_name(l: &mut Lowering, call: &Call) -> Option<Expr> {
    let number = match l.probe.number {
        None => return Some(l.string(l.probe.name.as_bytes(), call.span)),
        Some(_) if l.probe.wildcard => {
            let cookie = l.context(Context::Cookie, call.span);
            unsigned(l, cookie)
        }
        Some(number) => l.integer(u64::from(number), IntType::U64, call.span),
    };
    Some(l.convert(number, Type::ProbeName))
}
