//! `tracepoint`: static events of the kernel, by category and name.

use btc_abi as abi;

use super::point::{Parts, is_pattern, one};
use super::{Args, Environment, ProbeContext, Provider};
use crate::diagnostic::{Code, Diagnostic};
use crate::host::TracepointFormat;
use crate::ir::ProgramKind;
use btc_runtime::suggest::nearest;

const FORMS: &str = "`tracepoint:category:event`, with `*` in either";

pub(super) const TRACEPOINT: Provider = Provider {
    name: "tracepoint",
    aliases: &["t"],
    resolve: |point, environment| {
        let parts = Parts {
            point,
            provider: "tracepoint",
            forms: FORMS,
        };
        one(parse(&parts, environment))
    },
};

fn parse(parts: &Parts, environment: &Environment) -> Result<ProbeContext, Diagnostic> {
    let given = parts.between(2, 2)?;
    let [category, event] = given else {
        return Err(parts.wrong(parts.span(), "expected a category and an event"));
    };
    for part in given {
        if let Some(c) = part.text.chars().find(|c| {
            !c.is_ascii_alphanumeric()
                && !matches!(c, '_' | '-' | '.' | '$' | '*' | '?' | '[' | ']' | '!')
        }) {
            return Err(parts.wrong(
                part.span,
                format!("no tracepoint has `{}` in its name", c.escape_debug()),
            ));
        }
    }
    let mut point = parts.made(
        ProgramKind::Tracepoint,
        abi::Attach::Tracepoint {
            category: category.text.clone().into(),
            event: event.text.clone().into(),
        },
    );
    point.wildcard = given.iter().any(|p| is_pattern(&p.text));
    point.pid_filter = true;
    point.args = if point.wildcard {
        common_arguments(parts, environment, &category.text, &event.text)
    } else {
        arguments(parts, environment, &category.text, &event.text)
    };
    Ok(point)
}

/// Pointers that a system call is handed are the process's.
fn user_pointers(category: &str, event: &str) -> bool {
    category == "syscalls" && event.starts_with("sys_enter")
}

fn arguments(parts: &Parts, environment: &Environment, category: &str, event: &str) -> Args {
    match environment.host.tracepoint(category, event) {
        Ok(Some(format)) => Args::Tracepoint {
            category: category.into(),
            event: event.into(),
            format,
            user_pointers: user_pointers(category, event),
        },
        Ok(None) => Args::Unknown(Box::new(unknown(parts, environment, category, event))),
        Err(why) => Args::Unknown(Box::new(unreadable(parts, category, event, &why))),
    }
}

fn unreadable(parts: &Parts, category: &str, event: &str, why: &str) -> Diagnostic {
    Diagnostic::error(
        Code::UnknownTracepoint,
        parts.span(),
        format!("the arguments of `tracepoint:{category}:{event}` are not known here: {why}"),
    )
}

fn unknown(parts: &Parts, environment: &Environment, category: &str, event: &str) -> Diagnostic {
    let diagnostic = Diagnostic::error(
        Code::UnknownTracepoint,
        parts.span(),
        format!("this machine has no tracepoint `{category}:{event}` to take `args` from"),
    );
    let same = environment.host.tracepoints(category, "*");
    let all = if same.is_empty() {
        environment.host.tracepoints("*", "*")
    } else {
        same
    };
    let wrong = format!("{category}:{event}");
    let known: Vec<String> = all.iter().map(|(c, e)| format!("{c}:{e}")).collect();
    match nearest(&wrong, known.iter().map(String::as_str)) {
        Some(close) => diagnostic.with_help(format!("did you mean `tracepoint:{close}`?")),
        None => diagnostic,
    }
}

/// The members that all events of a pattern have on this machine.
fn common_arguments(parts: &Parts, environment: &Environment, category: &str, event: &str) -> Args {
    let matches = environment.host.tracepoints(category, event);
    let mut common: Option<TracepointFormat> = None;
    let mut user = true;
    for (category, event) in &matches {
        let format = match environment.host.tracepoint(category, event) {
            Ok(Some(format)) => format,
            // Listed but without a format (`ftrace:*` events): not attachable either.
            Ok(None) => continue,
            Err(why) => return Args::Unknown(Box::new(unreadable(parts, category, event, &why))),
        };
        user &= user_pointers(category, event);
        common = Some(match common {
            None => format,
            Some(so_far) => intersect(so_far, &format),
        });
    }
    match common {
        Some(format) => Args::Tracepoint {
            category: category.into(),
            event: event.into(),
            format,
            user_pointers: user,
        },
        None => Args::Unknown(Box::new(Diagnostic::error(
            Code::UnknownTracepoint,
            parts.span(),
            format!(
                "no tracepoint that this machine knows matches `{category}:{event}`, to take `args` from"
            ),
        ))),
    }
}

fn intersect(mut left: TracepointFormat, right: &TracepointFormat) -> TracepointFormat {
    left.members.retain(|member| {
        right.members.iter().any(|other| {
            other.name == member.name
                && other.ty == member.ty
                && other.size == member.size
                && other.location == member.location
        })
    });
    left
}
