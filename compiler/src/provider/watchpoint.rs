//! `watchpoint`: a hardware breakpoint on an address, `address:length:mode`.

use btc_abi as abi;

use super::point::{Parts, number, one};
use super::{Environment, ProbeContext, Provider};
use crate::arch::Arch;
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::ProgramKind;
use crate::source::Span;
use crate::syntax::ast::AttachPart;

const FORMS: &str = "`watchpoint:0x10000000:8:w`, with a length of 1, 2, 4 or 8 bytes and the mode \
                     `r`, `w`, `rw` or `x`";

pub(super) const WATCHPOINT: Provider = Provider {
    name: "watchpoint",
    aliases: &["w"],
    resolve: |point, environment| {
        // Until bpftrace 0.10 the address followed an empty part.
        let mut point = point.clone();
        if point.parts.len() == 4 && point.parts[0].text.is_empty() {
            point.parts.remove(0);
        }
        let parts = Parts {
            point: &point,
            provider: "watchpoint",
            forms: FORMS,
        };
        one(parse(&parts, environment))
    },
};

/// The language had it until 0.24.
pub(super) const ASYNCWATCHPOINT: Provider = Provider {
    name: "asyncwatchpoint",
    aliases: &["aw"],
    resolve: |point, _| {
        let message = "`asyncwatchpoint` probes are no longer part of the language";
        Err(vec![removed(point.span, message)])
    },
};

/// What can be written instead of watching what a function is handed.
fn removed(span: Span, message: &str) -> Diagnostic {
    Diagnostic::error(Code::Removed, span, message).with_help(
        "print the address in a `uprobe` of the function, and watch it with `watchpoint:$1:8:w` and -p",
    )
}

/// HW_BREAKPOINT_* of linux/hw_breakpoint.h.
const READ: u32 = 1;
const WRITE: u32 = 2;
const EXECUTE: u32 = 4;

fn parse(parts: &Parts, environment: &Environment) -> Result<ProbeContext, Diagnostic> {
    let [at, length, mode] = parts.between(3, 3)? else {
        return Err(parts.wrong(parts.span(), "expected an address, a length and a mode"));
    };
    let address = address(parts, at)?;
    let access = access(parts, mode, environment.arch)?;
    let bytes = match number(&length.text) {
        Some(bytes @ (1 | 2 | 4 | 8)) => bytes,
        _ => {
            let found = length.text.escape_debug();
            return Err(parts.wrong(
                length.span,
                format!("expected a length of 1, 2, 4 or 8 bytes, found `{found}`"),
            ));
        }
    };
    if access == EXECUTE && bytes != 8 && environment.arch == Arch::X86_64 {
        return Err(invalid(
            length,
            "a watchpoint that is executed has a length of 8 on x86-64",
            format!("watchpoint:{}:8:x", at.text),
        ));
    }
    if access != EXECUTE && address % bytes != 0 {
        return Err(parts.wrong(
            at.span,
            format!("the address is not a multiple of the length, {bytes}"),
        ));
    }
    let attach = abi::Attach::Watchpoint {
        address,
        length: bytes as u32,
        access,
    };
    let mut context = parts.made(ProgramKind::PerfEvent, attach);
    context.pid_filter = true;
    Ok(context)
}

fn address(parts: &Parts, at: &AttachPart) -> Result<u64, Diagnostic> {
    match number(&at.text) {
        Some(0) => Err(parts.wrong(at.span, "nothing can be watched at address 0")),
        Some(address) => Ok(address),
        None if is_argument(&at.text) => Err(removed(
            at.span,
            "watchpoints on a function's argument are no longer part of the language",
        )),
        None => Err(parts.wrong(
            at.span,
            format!("expected an address, found `{}`", at.text.escape_debug()),
        )),
    }
}

/// `function+arg0`
fn is_argument(text: &str) -> bool {
    let index = text.rsplit_once("+arg").map(|(_, index)| index);
    index.is_some_and(|index| index.parse::<u8>().is_ok())
}

/// The mode's letters, in any order, as bits.
fn access(parts: &Parts, mode: &AttachPart, arch: Arch) -> Result<u32, Diagnostic> {
    let mut access = 0;
    for letter in mode.text.chars() {
        let bit = match letter {
            'r' => READ,
            'w' => WRITE,
            'x' => EXECUTE,
            _ => {
                let found = mode.text.escape_debug();
                let message = format!("unknown mode `{found}` of a watchpoint");
                return Err(parts.wrong(mode.span, message));
            }
        };
        if access & bit != 0 {
            return Err(parts.wrong(mode.span, format!("`{letter}` stands twice in the mode")));
        }
        access |= bit;
    }
    if access & EXECUTE != 0 && access != EXECUTE {
        let message = "`x` can't be combined with `r` or `w`";
        return Err(parts.wrong(mode.span, message));
    }
    if access == READ && arch == Arch::X86_64 {
        let message = "x86-64 can't watch for reads without writes";
        return Err(invalid(mode, message, "rw".to_owned()));
    }
    Ok(access)
}

fn invalid(part: &AttachPart, message: &str, instead: String) -> Diagnostic {
    Diagnostic::error(Code::InvalidProbe, part.span, message)
        .with_help(format!("write `{instead}`"))
}
