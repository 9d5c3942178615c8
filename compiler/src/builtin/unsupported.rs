//! Names of the language that can't be compiled yet: each has a row in diagnostic/unsupported.rs.

use super::{Call, Function};
use crate::diagnostic::Unsupported;
use crate::ir::Expr;
use crate::sema::Lowering;

const fn later(name: &'static str) -> Function {
    Function::call(name, (0, usize::MAX), name, not_yet)
}

fn not_yet(l: &mut Lowering, call: &Call) -> Option<Expr> {
    l.not_supported_yet(call.span, Unsupported::of_name(call.name)?)
}

const fn later_word(name: &'static str) -> Function {
    Function::word_or_call(name, usize::MAX, name, not_yet)
}

pub(super) const FUNCTIONS: &[Function] = &[
    later("tseries"),
    later("path"),
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
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::unsupported::Area;

    #[test]
    fn every_name_has_a_row_and_every_row_a_name() {
        let rows = Unsupported::ALL.iter().filter(|r| r.area() == Area::Names);
        assert_eq!(rows.count(), FUNCTIONS.len());
        for function in FUNCTIONS {
            assert!(
                Unsupported::of_name(function.name).is_some(),
                "{}",
                function.name
            );
        }
    }
}
