//! What a probe attaches to → what a kernel lacks of it.

use btc_abi::{Attach, Probe, pattern};

use super::Verdict;
use super::kernel::Kernel;
use crate::host::CType;
use crate::host::btf::Kind;

/// What is missing, and whether the runtime makes up for it.
pub type Finding = (Verdict, String);

fn fails(what: impl Into<String>) -> Vec<Finding> {
    vec![(Verdict::Fails, what.into())]
}

/// Whether a part of a probe is only known when the executable is called (`kprobe:$1`).
fn is_open(part: &str) -> bool {
    part.contains('$')
}

/// What keeps a probe from being attached, or makes it another kind of attachment.
pub fn findings(probe: &Probe, kernel: &Kernel) -> Vec<Finding> {
    match &probe.attach {
        Attach::Begin
        | Attach::End
        | Attach::SelfSignal { .. }
        | Attach::Test { .. }
        | Attach::Bench { .. }
        | Attach::Interval { .. }
        | Attach::Profile { .. }
        | Attach::Software { .. }
        // Whether there is a processor that counts is not the kernel's to say.
        | Attach::Hardware { .. } => vec![],
        Attach::Kprobe {
            module, function, ..
        }
        | Attach::Kretprobe { module, function } => {
            kprobe(kernel, module.as_deref(), function)
        }
        Attach::Fentry { module, function } | Attach::Fexit { module, function } => {
            let mut found = fentry(kernel, module.as_deref(), function);
            if found.is_empty() && module.is_none() {
                found = parameters(kernel, probe, function);
            }
            found
        }
        Attach::Tracepoint { category, event } => tracepoint(kernel, probe, category, event),
        Attach::RawTracepoint { event, .. } => match is_open(event) || kernel.has_event(event) {
            true => vec![],
            false => fails(format!("no raw tracepoint `{event}`")),
        },
        Attach::Watchpoint { .. } => match kernel.has_function("register_user_hw_breakpoint") {
            true => vec![],
            false => fails("this kernel has no hardware breakpoints (CONFIG_HAVE_HW_BREAKPOINT)"),
        },
        Attach::Iter { name, .. } => {
            match is_open(name) || kernel.has_function(&format!("bpf_iter_{name}")) {
                true => vec![],
                false => fails(format!("no iterator `{name}`")),
            }
        }
        Attach::Uprobe { .. } | Attach::Uretprobe { .. } => {
            uprobe(kernel, pattern::is_pattern(&probe.name))
        }
        Attach::Usdt { .. } => uprobe(kernel, false),
    }
}

fn kprobe(kernel: &Kernel, module: Option<&str>, function: &str) -> Vec<Finding> {
    if !kernel.has_kprobes() {
        return fails("this kernel has no kprobes (CONFIG_KPROBES)");
    }
    // An address has no name.
    if function.is_empty() {
        return vec![];
    }
    let mut found = traced(kernel, module, function);
    if found.is_empty() && pattern::is_pattern(function) && !kernel.has_kprobe_multi() {
        let what = "no kprobe.multi (CONFIG_FPROBE): one link for each function";
        found.push((Verdict::Fallback, what.to_owned()));
    }
    found
}

fn fentry(kernel: &Kernel, module: Option<&str>, function: &str) -> Vec<Finding> {
    if !kernel.has_trampolines() {
        return fails(
            "this kernel has no fentry: ftrace's direct calls are missing (CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS)",
        );
    }
    traced(kernel, module, function)
}

fn uprobe(kernel: &Kernel, several: bool) -> Vec<Finding> {
    if !kernel.has_uprobes() {
        return fails("this kernel has no uprobes (CONFIG_UPROBES)");
    }
    match several && !kernel.has_uprobe_multi() {
        true => {
            let what = "no uprobe.multi, which came with Linux 6.6: one link for each place";
            vec![(Verdict::Fallback, what.to_owned())]
        }
        false => vec![],
    }
}

/// A function, or a pattern of functions. A module's are not in the kernel's own BTF.
fn traced(kernel: &Kernel, module: Option<&str>, function: &str) -> Vec<Finding> {
    if is_open(function) || module.is_some_and(|module| module != "vmlinux") {
        return vec![];
    }
    if pattern::is_pattern(function) {
        return match kernel.count(function) {
            0 => fails(format!("no function in its BTF matches `{function}`")),
            _ => vec![],
        };
    }
    match kernel.has_function(function) {
        true => vec![],
        false => fails(format!("no function `{function}` in its BTF")),
    }
}

/// Parameters that a program reads and a function does not have. Of a pattern's functions, those are left out.
fn parameters(kernel: &Kernel, probe: &Probe, function: &str) -> Vec<Finding> {
    let found = kernel.btf.find(Kind::FUNC, function);
    let Some(prototype) = found.and_then(|id| kernel.btf.prototype(function, id)) else {
        return vec![];
    };
    let lacks = |field: &&str| match *field {
        btc_abi::probe::RESULT => prototype.result == CType::Void,
        name => match name.parse::<usize>() {
            Ok(number) => number >= prototype.parameters.len(),
            Err(_) => !prototype.parameters.iter().any(|(known, _)| known == name),
        },
    };
    let mut fields: Vec<&str> = probe.context.iter().map(|r| &*r.field).collect();
    fields.dedup();
    (fields.iter().filter(|field| lacks(field)))
        .map(|field| {
            let what = match *field {
                btc_abi::probe::RESULT => format!("`{function}` returns nothing"),
                name => format!("no argument `{name}` of `{function}`"),
            };
            (Verdict::Fails, what)
        })
        .collect()
}

fn tracepoint(kernel: &Kernel, probe: &Probe, category: &str, event: &str) -> Vec<Finding> {
    let missing = || fails(format!("no tracepoint `{category}:{event}`"));
    if is_open(category) || is_open(event) {
        return vec![];
    }
    if category == "syscalls" {
        let call = ["sys_enter_", "sys_exit_"]
            .iter()
            .find_map(|prefix| event.strip_prefix(prefix));
        return match call.and_then(|call| kernel.has_syscall(call)) {
            Some(false) => missing(),
            // Where there is no function to ask for, nothing is known.
            _ => vec![],
        };
    }
    if !kernel.has_event(event) {
        return missing();
    }
    // Events of a class share its record, whose name is not known.
    let Some(members) = members(kernel, event) else {
        return vec![];
    };
    let fields = probe.context.iter().map(|relocation| &*relocation.field);
    let lacks = fields.filter(|field| {
        let named = |member: &String| {
            let located = ["__data_loc_", "__rel_loc_"]
                .iter()
                .find_map(|prefix| member.strip_prefix(prefix));
            located.unwrap_or(member) == *field
        };
        !field.starts_with("common_") && !members.iter().any(named)
    });
    lacks
        .map(|field| {
            let what = format!("no member `{field}` in `tracepoint:{category}:{event}`");
            (Verdict::Fails, what)
        })
        .collect()
}

fn members(kernel: &Kernel, event: &str) -> Option<Vec<String>> {
    let btf = &kernel.btf;
    let id = btf.find(Kind::STRUCT, &format!("trace_event_raw_{event}"))?;
    debug_assert!(matches!(btf.ctype(id), CType::Record(_)));
    let members = btf.body(id)?.members.into_iter();
    Some(members.map(|member| member.name).collect())
}
