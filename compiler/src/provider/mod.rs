//! Probe providers: what an attach point's parts mean, what it attaches to, and what `args`, `argN`, `retval`, `func`
//! and `ctx` are inside its body. One file per provider, one table row each.

mod begin_end;
mod fentry;
mod hardware;
mod interval;
pub mod iter;
mod kprobe;
mod parameter;
mod perf;
mod point;
mod profile;
mod rawtracepoint;
mod self_signal;
mod software;
mod timer;
mod tracepoint;
mod trial;
mod uprobe;
mod usdt;
mod watchpoint;

pub use timer::duration;

use btc_abi as abi;

use crate::arch::Arch;
use crate::diagnostic::{Code, Diagnostic};
use crate::host::{CType, Host, TracepointFormat};
use crate::ir::{Context, ProgramKind};
use crate::source::Span;
use crate::syntax::ast;

/// An attach point → what is known of its probes: several where it stands for a list.
pub type Resolve =
    fn(&ast::AttachPoint, &Environment) -> Result<Vec<ProbeContext>, Vec<Diagnostic>>;

/// One probe type of the language.
pub struct Provider {
    /// The name in full, as `probetype` prints it.
    pub name: &'static str,
    /// Other spellings: `k`, `BEGIN`, `kfunc`.
    pub aliases: &'static [&'static str],
    /// Makes a context for each probe that the attach point stands for (one, but for lists that expand at compile
    /// time). Patterns stay patterns: they are matched on the target.
    pub resolve: Resolve,
}

impl Provider {
    /// The probes that an attach point stands for. Whatever the parameters of one are, its matches have names that only
    /// the target knows.
    pub fn contexts(
        &self,
        point: &ast::AttachPoint,
        environment: &Environment,
    ) -> Result<Vec<ProbeContext>, Vec<Diagnostic>> {
        let prepared = parameter::prepare(point).map_err(|error| vec![error])?;
        let mut contexts = (self.resolve)(&prepared.point, environment)?;
        if !prepared.parameters.is_empty() {
            for context in &mut contexts {
                context.wildcard = true;
                context.attach_parameters = prepared.parameters.clone();
                if let Some(number) = &prepared.number {
                    let parts = number.parts.iter().map(|part| format!(":{}", part.text));
                    context.name = std::iter::once(context.provider.to_owned())
                        .chain(parts)
                        .collect();
                    context.number_parameter = number.text.clone();
                }
            }
        }
        Ok(contexts)
    }
}

/// What a provider may ask.
pub struct Environment<'a> {
    pub host: &'a dyn Host,
    /// The machine that the executable is for.
    pub arch: Arch,
    pub unsafe_mode: bool,
    /// Largest number of probes that one attach point may expand to at compile time.
    pub max_probes: u64,
}

/// What a body sees: the meaning of its attach point.
#[derive(Clone, Debug)]
pub struct ProbeContext {
    /// [`Provider::name`].
    pub provider: &'static str,
    /// As the builtin `probe` prints it, in full spelling (`kprobe:vfs_read`).
    pub name: String,
    /// The runtime makes one name per match: `probe` and `func` come from the attach cookie.
    pub wildcard: bool,
    /// The probe's number in the script, where `probe` is a number in all of them because one has a wildcard.
    pub number: Option<u32>,
    pub kind: ProgramKind,
    pub attach: abi::Attach,
    /// Numbers of the executable's parameters that the attach point has.
    pub attach_parameters: Vec<u32>,
    /// The parameter that the attach point's number is (a period, a count, an address); empty where it is none.
    pub number_parameter: String,
    /// `-p` filters its events by process.
    pub pid_filter: bool,
    pub args: Args,
    /// `arg0` … `argN`.
    pub numbered: Numbered,
    /// `retval` and its C type (`None` where the probe has none).
    pub retval: Option<(Context, CType)>,
    /// What `func` is.
    pub func: Func,
    /// Pointers in registers, arguments and the return value are user space addresses (uprobes).
    pub user_space: bool,
    pub span: Span,
    /// Warnings that the attach point itself earns.
    pub warnings: Vec<Diagnostic>,
}

/// What `args` is.
#[derive(Clone, Debug)]
pub enum Args {
    /// No `args` here; what to use instead.
    None { help: Option<&'static str> },
    /// There would be `args`, but this host can't say what they are: the error for a script that uses them
    /// (its span becomes that of the use).
    Unknown(Box<Diagnostic>),
    /// The event's record, read from the context by the target's own format.
    Tracepoint {
        category: String,
        event: String,
        format: TracepointFormat,
        /// Pointers among the members are user space addresses (sys_enter_*).
        user_pointers: bool,
    },
    /// Typed values (fentry, fexit, raw tracepoints): name, C type, where from.
    Values(Vec<(String, CType, Context)>),
    /// Those of a user function, by the debug information of its binary on this host: looked up when asked for.
    User { binary: String, function: String },
}

/// Where `argN` comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbered {
    /// The probe has none.
    None,
    /// The calling convention: [`Context::Argument`], and [`Context::StackArgument`] for `sargN`.
    Registers,
    /// The context is an array of u64: [`Context::Slot`].
    Slots,
    /// The marker's note on the target: [`Context::MarkerArgument`].
    Marker,
}

/// What `func` is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Func {
    None,
    /// A kernel function's address, printed as a symbol.
    KernelAddress,
    /// A user function's address.
    UserAddress,
    /// Known when compiling.
    Name(String),
}

/// Typed arguments were asked for and this machine has no BTF.
pub(crate) fn no_btf(span: Span, provider: &str) -> Diagnostic {
    Diagnostic::error(
        Code::UnknownType,
        span,
        format!(
            "the arguments of `{provider}` probes come from kernel BTF, and this machine has none"
        ),
    )
    .with_help("name a kernel's BTF: --btf FILE")
}

const PROVIDERS: &[Provider] = &[
    begin_end::BEGIN,
    begin_end::END,
    interval::INTERVAL,
    profile::PROFILE,
    software::SOFTWARE,
    hardware::HARDWARE,
    tracepoint::TRACEPOINT,
    rawtracepoint::RAWTRACEPOINT,
    kprobe::KPROBE,
    kprobe::KRETPROBE,
    fentry::FENTRY,
    fentry::FEXIT,
    uprobe::UPROBE,
    uprobe::URETPROBE,
    usdt::USDT,
    watchpoint::WATCHPOINT,
    watchpoint::ASYNCWATCHPOINT,
    iter::ITER,
    self_signal::SELF,
    trial::TEST,
    trial::BENCH,
];

/// The provider that a name or alias means.
#[must_use]
pub fn lookup(name: &str) -> Option<&'static Provider> {
    // `1s { … }` is an interval.
    let name = if duration(name).is_some() {
        "interval"
    } else {
        name
    };
    PROVIDERS
        .iter()
        .find(|p| p.name == name || p.aliases.contains(&name))
}

/// The events that a provider knows by name: each with its aliases, the usual name first.
#[must_use]
pub fn events(provider: &str) -> Vec<&'static [&'static str]> {
    let table = match provider {
        "software" => software::EVENTS,
        "hardware" => hardware::EVENTS,
        _ => &[],
    };
    table.iter().map(|event| event.names).collect()
}

/// Whether the language has an iterator that a kernel has.
#[must_use]
pub fn iterates(name: &str) -> bool {
    iter::is_whole(name)
}

/// The full names of providers.
pub fn names() -> impl Iterator<Item = &'static str> {
    PROVIDERS.iter().map(|p| p.name)
}

/// Their other spellings.
pub fn aliases() -> impl Iterator<Item = &'static str> {
    PROVIDERS.iter().flat_map(|p| p.aliases.iter().copied())
}

/// All names and aliases that are words, for suggestions.
pub fn spellings() -> impl Iterator<Item = &'static str> {
    PROVIDERS
        .iter()
        .flat_map(|p| std::iter::once(p.name).chain(p.aliases.iter().copied()))
        .filter(|name| name.len() > 2)
}

#[cfg(test)]
pub(crate) mod tests;
