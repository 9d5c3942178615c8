//! Names of the language that can't be compiled yet. docs/language.md lists the same.

use super::{Call, Function};
use crate::ir::Expr;
use crate::sema::Lowering;

const fn later(name: &'static str) -> Function {
    Function::call(name, (0, usize::MAX), name, not_yet)
}

fn not_yet(l: &mut Lowering, call: &Call) -> Option<Expr> {
    l.not_supported_yet(call.span, format!("`{}`", call.name))
}

const fn later_word(name: &'static str) -> Function {
    Function::word_or_call(name, usize::MAX, name, not_yet)
}

pub(super) const FUNCTIONS: &[Function] = &[
    later("tseries"),
    later("path"),
    later("str_concat"),
    later("strcap"),
    later("find"),
    later("container_of"),
    later("is_err"),
    later("percpu_kaddr"),
    later("override").guarded(),
    later("write_user").guarded(),
    later("socket_cookie"),
    later("skboutput"),
    later("assert"),
    later("assert_str"),
    later("fail"),
    later("unwatch"),
    later("kfunc_exist"),
    later("kfunc_allowed"),
    later_word("dw_ustack"),
    later_word("usermode"),
    later_word("ctx"),
];
