//! `fentry` and `fexit`: entry and return of a kernel function that BTF describes, with typed arguments.

use btc_abi as abi;

use super::kprobe::module_and_function;
use super::point::{Parts, is_pattern, number, one};
use super::{Args, Environment, Func, Numbered, ProbeContext, Provider};
use crate::diagnostic::{Code, Diagnostic};
use crate::host::{CType, Function, Host};
use crate::ir::{Context, ProgramKind};
use crate::source::Span;
use crate::syntax::ast::AttachPart;
use btc_runtime::suggest::nearest;

const FORMS: &str = "`fentry:function`, `fentry:module:function` and `fentry:bpf[:id]:program`";
const RETURN_FORMS: &str = "`fexit:function`, `fexit:module:function` and `fexit:bpf[:id]:program`";

/// What a BPF program returns.
const INT: CType = CType::Int {
    bytes: 4,
    signed: true,
    bool_: false,
    char_: false,
};

pub(super) const FENTRY: Provider = Provider {
    name: "fentry",
    aliases: &["f", "kfunc"],
    resolve: |point, environment| {
        let parts = Parts {
            point,
            provider: "fentry",
            forms: FORMS,
        };
        one(entry(&parts, environment))
    },
};

pub(super) const FEXIT: Provider = Provider {
    name: "fexit",
    aliases: &["fr", "kretfunc"],
    resolve: |point, environment| {
        let parts = Parts {
            point,
            provider: "fexit",
            forms: RETURN_FORMS,
        };
        one(exit(&parts, environment))
    },
};

/// What a function returns that is only known on the target.
const WORD: CType = CType::Int {
    bytes: 8,
    signed: false,
    bool_: false,
    char_: false,
};

/// What the parts name.
struct Target {
    module: Option<abi::Text>,
    function: abi::Text,
    pattern: bool,
    of_program: bool,
    /// One of the executable's.
    parameter: bool,
    span: Span,
}

fn read(parts: &Parts) -> Result<Target, Diagnostic> {
    if let [first, .., function] = parts.all()
        && first.text == "bpf"
    {
        return of_program(parts, function);
    }
    let (module, part) = module_and_function(parts)?;
    if part.text.contains('+') {
        return Err(parts.wrong(
            part.span,
            format!("`{}` probes can't have an offset", parts.provider),
        ));
    }
    let pattern = is_pattern(&part.text) || module.as_ref().is_some_and(|m| is_pattern(m));
    Ok(Target {
        module,
        function: part.text.clone().into(),
        pattern,
        of_program: false,
        parameter: parts.all().iter().any(|part| part.text.contains('$')),
        span: part.span,
    })
}

/// `bpf[:id]:function`
fn of_program(parts: &Parts, function: &AttachPart) -> Result<Target, Diagnostic> {
    let module = match parts.between(2, 3)? {
        [_, id, _] if number(&id.text).is_some_and(|id| u32::try_from(id).is_ok()) => {
            format!("bpf:{}", id.text)
        }
        [_, id, _] => {
            let found = id.text.escape_debug();
            let message = format!("expected a program's id, found `{found}`");
            return Err(parts.wrong(id.span, message));
        }
        _ => "bpf".to_owned(),
    };
    Ok(Target {
        module: Some(module.into()),
        function: function.text.clone().into(),
        pattern: is_pattern(&function.text),
        of_program: true,
        parameter: function.text.contains('$'),
        span: function.span,
    })
}

/// Only the target has the program.
fn unknown_program(target: &Target) -> Diagnostic {
    Diagnostic::error(
        Code::UnknownSymbol,
        target.span,
        "the arguments of a BPF program's function are known only where it runs",
    )
    .with_help("use `arg0`, `arg1`, …: the first is a program's context")
}

fn entry(parts: &Parts, environment: &Environment) -> Result<ProbeContext, Diagnostic> {
    let target = read(parts)?;
    let mut point = parts.made(
        ProgramKind::Fentry,
        abi::Attach::Fentry {
            module: target.module.clone(),
            function: target.function.clone(),
        },
    );
    typed(&mut point, &target, environment)?;
    Ok(point)
}

fn exit(parts: &Parts, environment: &Environment) -> Result<ProbeContext, Diagnostic> {
    let target = read(parts)?;
    let mut point = parts.made(
        ProgramKind::Fexit,
        abi::Attach::Fexit {
            module: target.module.clone(),
            function: target.function.clone(),
        },
    );
    let prototype = typed(&mut point, &target, environment)?;
    if target.parameter {
        point.retval = Some((Context::Result, WORD));
        return Ok(point);
    }
    if target.of_program {
        point.retval = Some((Context::Result, INT));
        return Ok(point);
    }
    point.retval = prototype
        .filter(|function| function.result != CType::Void)
        .map(|function| (Context::Result, function.result));
    Ok(point)
}

/// Fills in the arguments; gives the prototype where this host has one for all matches.
fn typed(
    point: &mut ProbeContext,
    target: &Target,
    environment: &Environment,
) -> Result<Option<Function>, Diagnostic> {
    let host = environment.host;
    point.wildcard = target.pattern;
    point.pid_filter = true;
    point.numbered = Numbered::Slots;
    point.func = if target.pattern {
        Func::KernelAddress
    } else {
        Func::Name(target.function.to_string())
    };
    if target.of_program {
        point.args = Args::Unknown(Box::new(unknown_program(target)));
        return Ok(None);
    }
    if target.parameter {
        point.func = Func::KernelAddress;
        point.args = Args::Unknown(Box::new(
            Diagnostic::error(
                Code::UnknownSymbol,
                target.span,
                "the arguments of a function that a parameter names are known only where it runs",
            )
            .with_help("use `arg0`, `arg1`, …"),
        ));
        return Ok(None);
    }
    if !host.has_kernel_btf() {
        point.args = Args::Unknown(Box::new(super::no_btf(point.span, point.provider)));
        return Ok(None);
    }
    let module = target.module.as_deref();
    let prototype = if target.pattern {
        common_prototype(host, module, &target.function)
    } else {
        host.function(module, &target.function)
    };
    if let Some(function) = prototype {
        let parameters = function.parameters.iter().zip(0..);
        point.args = Args::Values(
            parameters
                .map(|((name, ty), n)| (name.clone(), ty.clone(), Context::Parameter(n)))
                .collect(),
        );
        return Ok(Some(function));
    }
    let diagnostic = if target.pattern {
        Diagnostic::error(
            Code::UnknownSymbol,
            target.span,
            format!(
                "no function that the kernel's BTF knows matches `{}`, to take `args` from",
                target.function
            ),
        )
    } else {
        unknown(host, target)
    };
    // A module need not be loaded where the script is compiled, nor a pattern match there.
    if target.pattern || module.is_some_and(|m| m != "vmlinux") {
        point.args = Args::Unknown(Box::new(diagnostic));
        return Ok(None);
    }
    Err(diagnostic)
}

fn unknown(host: &dyn Host, target: &Target) -> Diagnostic {
    let diagnostic = Diagnostic::error(
        Code::UnknownSymbol,
        target.span,
        format!("the kernel's BTF has no function `{}`", target.function),
    );
    let all = host.functions(None, "*");
    match nearest(&target.function, all.iter().map(String::as_str)) {
        Some(close) => diagnostic.with_help(format!("did you mean `{close}`?")),
        None => diagnostic,
    }
}

/// Parameters that have the same name and type in every match, wherever they stand; the return value where all return
/// the same.
fn common_prototype(host: &dyn Host, module: Option<&str>, pattern: &str) -> Option<Function> {
    let mut common: Option<Function> = None;
    for name in host.functions(module, pattern) {
        let Some(function) = host.function(module, &name) else {
            continue;
        };
        let Some(so_far) = &mut common else {
            common = Some(function);
            continue;
        };
        if so_far.result != function.result {
            so_far.result = CType::Void;
        }
        (so_far.parameters).retain(|parameter| function.parameters.contains(parameter));
    }
    common
}
