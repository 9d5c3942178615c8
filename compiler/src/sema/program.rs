//! The whole program: attach points resolved once, bodies lowered until types are stable, the parts put together.

use std::collections::{BTreeSet, HashMap};

use btc_abi as abi;

use super::config::Settings;
use super::constants::Constants;
use super::foreign::Foreign;
use super::lowering::Lowering;
use super::macros::Macros;
use super::maps::{self, MapTable};
use super::scope::{Outlived, Scopes};
use super::types::TypeTable;
use super::{Options, config, constants, foreign, subprograms, user_functions};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::host::Host;
use crate::ir::{self, BinaryOp, Helper, IntType, LogicalOp, ProgramKind, Stmt, StmtKind, Type};
use crate::provider::{self, Environment, ProbeContext};
use crate::source::{SourceMap, Span};
use crate::syntax::ast;
use btc_runtime::suggest::nearest;

/// Types only grow, and a type has few sizes; a program that needs more walks than this has a bug of ours.
const MAX_WALKS: usize = 64;

pub(super) fn analyze(
    program: &ast::Program,
    sources: &SourceMap,
    host: &dyn Host,
    options: &Options,
) -> (Option<ir::Program>, Diagnostics) {
    let mut diagnostics = Diagnostics::default();
    let settings = config::read(program, &options.overrides, &mut diagnostics);
    let constants = constants::read(program, sources, host, options, &mut diagnostics);
    unstable(program, &settings, &mut diagnostics);
    let macros = Macros::collect(program, &constants.macros, &mut diagnostics);
    let subprograms = subprograms(program, &macros, &mut diagnostics);
    let own = |name: &str| macros.has(name) || subprograms.contains_key(name);
    let foreign = foreign::read(program, sources, host, options, &own, &mut diagnostics);
    let mut probes = resolve(program, host, options, &settings, &mut diagnostics);
    let (declared, wrong) = declared_maps(program, &constants);
    diagnostics.extend(wrong);
    if probes.is_empty() {
        if !diagnostics.has_errors() {
            diagnostics.push(Diagnostic::error(
                Code::InvalidProbe,
                crate::source::Span::default(),
                "the script has no probes",
            ));
        }
        return (None, diagnostics);
    }
    let context = Context {
        sources,
        host,
        options,
        settings: &settings,
        constants: &constants,
        macros: &macros,
        subprograms: &subprograms,
        foreign: &foreign,
        about: program.header_comment.clone().unwrap_or_default(),
    };
    let mut tables = (TypeTable::default(), MapTable::default(), Scopes::default());
    tables.1.declare(declared.clone());
    for walk in 0..MAX_WALKS {
        tables.1.changed = false;
        tables.2.changed = false;
        let (made, found, after) = context.walk(&probes, tables);
        if context.leave_out_missing(&mut probes, &found, &mut diagnostics) {
            tables = (TypeTable::default(), MapTable::default(), Scopes::default());
            tables.1.declare(declared.clone());
            continue;
        }
        tables = after;
        let mut stable = !tables.1.changed && !tables.2.changed;
        if stable && !found.has_errors() {
            stable = !tables.1.settle();
        }
        if stable || walk + 1 == MAX_WALKS {
            diagnostics.extend(found);
            diagnostics.say_once(Code::UnstableFeature);
            let made = made.filter(|_| !diagnostics.has_errors());
            return (made, diagnostics);
        }
    }
    (None, diagnostics)
}

/// Says where files are imported, if the configuration wants to know.
fn unstable(program: &ast::Program, settings: &Settings, diagnostics: &mut Diagnostics) {
    let import = settings.unstable.import();
    let said = |span: &Span| import.used("`import`", *span);
    (program.imports.iter().filter_map(said)).for_each(|said| diagnostics.push(said));
}

/// The script's functions by name.
pub(super) type Subprograms<'p> = HashMap<String, &'p ast::Subprogram>;

/// Functions by name.
fn subprograms<'p>(
    program: &'p ast::Program,
    macros: &Macros,
    diagnostics: &mut Diagnostics,
) -> Subprograms<'p> {
    let mut functions = Subprograms::new();
    for item in &program.items {
        let ast::Item::Subprogram(found) = item else {
            continue;
        };
        let name = &found.name.text;
        let taken = match name.as_str() {
            "args" => Some("builtin"),
            name => macros.has(name).then_some("macro"),
        };
        if let Err(wrong) = subprograms::insert(&mut functions, found, taken) {
            diagnostics.push(wrong);
        }
    }
    functions
}

type Declared = Vec<(ast::Name, abi::MapKind, u32)>;

/// `let @m = hash(100);`
fn declared_maps(program: &ast::Program, constants: &Constants) -> (Declared, Diagnostics) {
    let mut declared: Declared = vec![];
    let mut diagnostics = Diagnostics::default();
    for item in &program.items {
        let ast::Item::MapDeclaration(map) = item else {
            continue;
        };
        if let Some((first, ..)) = declared.iter().find(|(n, ..)| n.text == map.name.text) {
            let message = format!("map `@{}` is declared twice", map.name.text);
            diagnostics.push(
                Diagnostic::error(Code::DuplicateName, map.name.span, message)
                    .with_label(first.span, "first declared here"),
            );
            continue;
        }
        let kind = match map.kind.text.as_str() {
            "hash" => abi::MapKind::Hash,
            "lruhash" => abi::MapKind::LruHash,
            "percpuhash" => abi::MapKind::PerCpuHash,
            "percpulruhash" => abi::MapKind::LruPerCpuHash,
            other => {
                let known = ["hash", "lruhash", "percpuhash", "percpulruhash"];
                let mut unknown = Diagnostic::error(
                    Code::UnknownType,
                    map.kind.span,
                    format!("unknown map type `{other}`"),
                );
                if let Some(near) = nearest(other, known.into_iter()) {
                    unknown = unknown.with_help(format!("did you mean `{near}`?"));
                }
                diagnostics.push(unknown);
                continue;
            }
        };
        let size = match map.arguments.as_slice() {
            [one] => match &one.kind {
                ast::ExprKind::Integer { value, .. } => Some(i128::from(*value)),
                ast::ExprKind::Identifier(name) => constants.integers.get(name).copied(),
                _ => None,
            },
            _ => None,
        };
        match size.and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0) {
            Some(size) => declared.push((map.name.clone(), kind, size)),
            None => {
                let (kind, name) = (&map.kind.text, &map.name.text);
                let message = format!("`{kind}` takes one positive integer constant");
                diagnostics.push(
                    Diagnostic::error(Code::ArgumentType, map.span, message)
                        .with_help(format!("let @{name} = {kind}(1024);")),
                );
            }
        }
    }
    (declared, diagnostics)
}

struct Body<'p> {
    context: ProbeContext,
    probe: &'p ast::Probe,
}

fn resolve<'p>(
    program: &'p ast::Program,
    host: &dyn Host,
    options: &Options,
    settings: &Settings,
    diagnostics: &mut Diagnostics,
) -> Vec<Body<'p>> {
    let environment = Environment {
        host,
        arch: options.arch,
        unsafe_mode: options.unsafe_mode,
        max_probes: settings.target.max_probes,
    };
    let mut bodies = vec![];
    for item in &program.items {
        let ast::Item::Probe(probe) = item else {
            continue;
        };
        for point in &probe.attach_points {
            let Some(found) = provider::lookup(&point.provider.text) else {
                let mut unknown = Diagnostic::error(
                    Code::InvalidProbe,
                    point.provider.span,
                    format!("unknown probe type `{}`", point.provider.text),
                );
                if let Some(near) = nearest(&point.provider.text, provider::spellings()) {
                    unknown = unknown.with_help(format!("did you mean `{near}`?"));
                }
                diagnostics.push(unknown);
                continue;
            };
            match found.contexts(point, &environment) {
                Ok(contexts) => {
                    for context in contexts {
                        for warning in &context.warnings {
                            diagnostics.push(warning.clone());
                        }
                        bodies.push(Body { context, probe });
                    }
                }
                Err(errors) => errors.into_iter().for_each(|e| diagnostics.push(e)),
            }
        }
    }
    number_probes(&mut bodies);
    same_names(&bodies, diagnostics);
    let most = settings.max_bpf_progs.0;
    if bodies.len() as u64 > most {
        let span = bodies[usize::try_from(most).unwrap_or(0)].context.span;
        let message = format!(
            "{} attach points need a program each: more than `max_bpf_progs` ({most})",
            bodies.len()
        );
        let help = format!("config = {{ max_bpf_progs = {} }}", bodies.len());
        diagnostics.push(Diagnostic::error(Code::TooManyPrograms, span, message).with_help(help));
    }
    bodies
}

/// Results of tests and benches are told by name.
fn same_names(bodies: &[Body], diagnostics: &mut Diagnostics) {
    let mut named: HashMap<&str, &ProbeContext> = HashMap::new();
    for context in bodies.iter().map(|body| &body.context) {
        if !context.attach.is_trial() {
            continue;
        }
        if let Some(first) = named.insert(&context.name, context) {
            let message = format!("`{}` is there twice", context.name);
            let twice = Diagnostic::error(Code::DuplicateName, context.span, message);
            diagnostics.push(twice.with_label(first.span, "first here"));
        }
    }
}

/// A name that a wildcard matches is known to the target alone, as a number. A map's keys are of one type, so all
/// probes of such a script have numbers.
fn number_probes(bodies: &mut [Body]) {
    if bodies.iter().any(|body| body.context.wildcard) {
        let mut numbers: HashMap<String, u32> = HashMap::new();
        for (number, body) in (0..).zip(bodies) {
            let name = body.context.name.clone();
            body.context.number = Some(*numbers.entry(name).or_insert(number));
        }
    }
}

struct Context<'a> {
    sources: &'a SourceMap,
    host: &'a dyn Host,
    options: &'a Options,
    settings: &'a Settings,
    constants: &'a Constants,
    macros: &'a Macros<'a>,
    subprograms: &'a Subprograms<'a>,
    foreign: &'a Foreign,
    about: String,
}

type Tables = (TypeTable, MapTable, Scopes);

impl Context<'_> {
    /// Where the script does without missing probes (`missing_probes`), those are left out whose arguments are needed
    /// and whose tracepoint is not there to say what they are. Whether any was.
    fn leave_out_missing(
        &self,
        bodies: &mut Vec<Body>,
        found: &Diagnostics,
        diagnostics: &mut Diagnostics,
    ) -> bool {
        let missing_probes = &self.settings.target.missing_probes;
        if *missing_probes == abi::MissingProbes::Error {
            return false;
        }
        let missing = |body: &Body| self.lacks_tracepoint(&body.context, found);
        // Without any probe the errors stand.
        if !bodies.iter().any(missing) || bodies.iter().all(missing) {
            return false;
        }
        let said = *missing_probes == abi::MissingProbes::Warn;
        for body in bodies.iter().filter(|body| said && missing(body)) {
            let name = &body.context.name;
            diagnostics.push(Diagnostic::warning(
                Code::UnknownTracepoint,
                body.context.span,
                format!("this machine has no `{name}` to take `args` from: the probe is left out"),
            ));
        }
        bodies.retain(|body| !missing(body));
        number_probes(bodies);
        true
    }

    /// Whether a body failed for want of a tracepoint that this host knows not to be there.
    fn lacks_tracepoint(&self, context: &ProbeContext, found: &Diagnostics) -> bool {
        let (provider::Args::Unknown(why), abi::Attach::Tracepoint { category, event }) =
            (&context.args, &context.attach)
        else {
            return false;
        };
        found.iter().any(|one| one.message == why.message)
            && matches!(self.host.tracepoint(category, event), Ok(None))
    }

    /// One walk over all bodies.
    fn walk(
        &self,
        bodies: &[Body],
        (types, maps, scopes): Tables,
    ) -> (Option<ir::Program>, Diagnostics, Tables) {
        let Some(first) = bodies.first() else {
            return (None, Diagnostics::default(), (types, maps, scopes));
        };
        let mut lowering = Lowering {
            host: self.host,
            sources: self.sources,
            options: self.options,
            settings: self.settings,
            probe: &first.context,
            constants: self.constants,
            macros: self.macros,
            subprograms: self.subprograms,
            foreign: self.foreign,
            types,
            maps,
            scopes,
            diagnostics: Diagnostics::default(),
            records: vec![],
            slots: vec![],
            positional: vec![],
            named: vec![],
            checks: vec![],
            locals: vec![],
            held: super::followed::Held::default(),
            status: None,
            signature: None,
            blocks: vec![],
            loops: 0,
            copies: 1,
            reached: Default::default(),
            expansions: vec![],
            expanded: 0,
            inlined: None,
            calls: vec![],
            called: BTreeSet::new(),
            next_scope: 0,
            cast_constants: BTreeSet::new(),
        };
        let mut probes = vec![];
        let mut signatures = vec![];
        for (index, body) in bodies.iter().enumerate() {
            lowering.probe = &body.context;
            probes.push(lowered(&mut lowering, index, body));
            signatures.push(lowering.signature.take());
        }
        self.check_uncalled(&mut lowering, bodies.len());
        user_functions::sign(&mut probes, signatures, &lowering.types, self.host);
        for probe in &probes {
            refuse_many_maps(&mut lowering, probe);
        }
        let maps = finished_maps(&mut lowering);
        let program = ir::Program {
            name: self.options.name.clone(),
            about: self.about.clone(),
            license: self.settings.license.0.to_owned(),
            unsafe_mode: self.options.unsafe_mode,
            types: lowering.types.types.clone(),
            maps,
            records: lowering.records,
            slots: lowering.slots,
            positional: positional(lowering.positional),
            named: lowering.named,
            checks: lowering.checks,
            probes,
            foreign: self.foreign.modules.clone(),
            config: self.settings.target.clone(),
            limits: self.settings.limits,
            fixed: self.settings.fixed(),
        };
        let tables = (lowering.types, lowering.maps, lowering.scopes);
        (Some(program), lowering.diagnostics, tables)
    }
}

impl Context<'_> {
    /// Functions that no probe calls are checked as if the last one did; what they would need is not kept.
    fn check_uncalled(&self, lowering: &mut Lowering, index: usize) {
        let mut uncalled: Vec<_> = self.subprograms.values().collect();
        uncalled.retain(|found| !lowering.called.contains(&found.name.text));
        uncalled.sort_by_key(|found| found.span.start);
        let (records, slots) = (lowering.records.len(), lowering.slots.len());
        let checks = lowering.checks.len();
        let signature = lowering.signature.take();
        lowering.scopes.start_probe(index);
        lowering.locals = vec![];
        for found in uncalled {
            lowering.check_subprogram(found);
        }
        lowering.records.truncate(records);
        lowering.slots.truncate(slots);
        lowering.checks.truncate(checks);
        lowering.signature = signature;
    }
}

/// A probe whose context is that of the lowering.
fn lowered(lowering: &mut Lowering, index: usize, body: &Body) -> ir::Probe {
    lowering.scopes.start_probe(index);
    lowering.locals = vec![];
    lowering.status = None;
    lowering.held = super::followed::Held::default();
    lowering.expanded = 0;
    lowering.next_scope = 0;
    for number in &body.context.attach_parameters {
        lowering.positional(*number, abi::ParameterType::String { default: None });
    }
    let statements = probe_body(lowering, body);
    let mut kind = body.context.kind;
    let mut attach = body.context.attach.clone();
    if let (true, abi::Attach::RawTracepoint { btf, .. }) = (lowering.held.typed, &mut attach) {
        kind = ProgramKind::BtfTracepoint;
        *btf = true;
    }
    ir::Probe {
        program: program_name(&body.context, index),
        name: body.context.name.clone(),
        kind,
        attach,
        attach_parameters: !body.context.attach_parameters.is_empty(),
        number_parameter: body.context.number_parameter.clone(),
        parameters: parameters(&body.context),
        locals: std::mem::take(&mut lowering.locals),
        status: lowering.status,
        body: statements,
        span: body.context.span,
    }
}

/// Names of what `args` has where its places are the target's.
fn parameters(context: &ProbeContext) -> Vec<String> {
    match &context.args {
        provider::Args::Values(values) => values.iter().map(|(name, ..)| name.clone()).collect(),
        _ => vec![],
    }
}

/// The -p filter, the predicate, then the body.
fn probe_body(lowering: &mut Lowering, body: &Body) -> Vec<Stmt> {
    let (statements, ()) = lowering.collect(|l| {
        l.scopes.enter();
        outlived(l);
        if body.context.pid_filter {
            pid_filter(l);
        }
        let mut told_on_target = false;
        if let Some(predicate) = &body.probe.predicate {
            let span = predicate.span;
            if let Some(condition) = l.condition(predicate) {
                told_on_target = super::convert::is_told_on_target(&condition);
                let leave = Stmt {
                    kind: StmtKind::Return,
                    span,
                };
                let kind = StmtKind::If {
                    condition: super::operators::not(condition, span),
                    then: vec![leave],
                    otherwise: vec![],
                };
                l.push(kind, span);
            }
        }
        l.reached.by_target = told_on_target;
        let inner = l.body(&body.probe.body);
        l.reached = Default::default();
        if let Some(block) = l.blocks.last_mut() {
            block.extend(inner);
        }
        l.scopes.leave();
    });
    statements
}

/// Variables that are read after their block: the whole probe's, as in the years before blocks ended them.
fn outlived(l: &mut Lowering) {
    for (name, Outlived { read, set }) in l.scopes.declare_outlived() {
        let message = format!(
            "`${name}` is read after the block that sets it: bpftrace since 0.22 refuses that"
        );
        l.report(
            Diagnostic::warning(Code::OutlivedBlock, read, message)
                .with_label(set, "set here, in a block that has ended")
                .with_help(format!("declare it before that block: `let ${name};`")),
        );
    }
}

/// Leaves when the executable was started with `-p`, and for perf events with `-c`, and the event is another process's.
fn pid_filter(l: &mut Lowering) {
    let span = l.probe.span;
    let wide = Type::Int(IntType::U64);
    let process = match l.probe.kind {
        ProgramKind::PerfEvent => abi::TargetValue::TracedProcess,
        _ => abi::TargetValue::PidFilter,
    };
    let wanted = l.slot(process, wide.clone(), span);
    let zero = l.integer(0, IntType::U64, span);
    let set = l.binary(BinaryOp::NotEqual, wanted.clone(), zero, wide.clone(), span);
    // `-p` counts as the executable's pid namespace does.
    let _ = l.slot(abi::TargetValue::PidNamespaceDevice, wide.clone(), span);
    let _ = l.slot(abi::TargetValue::PidNamespaceInode, wide.clone(), span);
    let both = l.helper(Helper::CurrentPidTgid, vec![], wide.clone(), span);
    let half = l.integer(32, IntType::U64, span);
    let tgid = l.binary(BinaryOp::ShiftRight, both, half, wide.clone(), span);
    let other = l.binary(BinaryOp::NotEqual, tgid, wanted, wide, span);
    let condition = ir::Expr {
        kind: ir::ExprKind::Logical {
            op: LogicalOp::And,
            left: Box::new(set),
            right: Box::new(other),
        },
        ty: Type::Bool,
        span,
    };
    let leave = Stmt {
        kind: StmtKind::Return,
        span,
    };
    let kind = StmtKind::If {
        condition,
        then: vec![leave],
        otherwise: vec![],
    };
    l.push(kind, span);
}

/// The kernel lets a program use 64 maps; some are taken by records, counters, stacks, scratch memory and slots.
const MOST_MAPS: usize = 56;

fn refuse_many_maps(lowering: &mut Lowering, probe: &ir::Probe) {
    let used = ir::visit::maps(&probe.body).len();
    if used > MOST_MAPS {
        let diagnostic = Diagnostic::error(
            Code::TooManyMaps,
            probe.span,
            format!("this probe uses {used} maps, more than {MOST_MAPS}"),
        );
        lowering.report(diagnostic.with_help("split it into several probes of the same event"));
    }
}

fn finished_maps(lowering: &mut Lowering) -> Vec<ir::Map> {
    let mut finished = vec![];
    let mut unset = vec![];
    for state in &lowering.maps.list {
        let value = match &state.value {
            Some(value) => value.clone(),
            None => {
                if !state.poisoned {
                    unset.push((state.name.clone(), state.span, state.declared.is_some()));
                }
                Type::Int(IntType::I64)
            }
        };
        finished.push(ir::Map {
            name: state.name.clone(),
            key: match &state.key {
                Some(key) => key.clone(),
                // Declared, never used.
                None if state.declared.is_some() => Some(Type::Int(IntType::I64)),
                None => None,
            },
            kind: maps::kind(state, &value),
            max_entries: match (&state.declared, &state.key) {
                (Some((_, size)), _) => *size,
                (None, Some(Some(_))) => 0,
                (None, _) => 1,
            },
            value,
            span: state.span,
        });
    }
    for (name, span, declared) in unset {
        let message = format!("`@{name}` is never assigned");
        if declared {
            lowering.warn(Code::UnsetMap, span, message);
        } else if !said_already(lowering, &name) {
            lowering.error::<()>(Code::UnsetMap, span, message);
        }
    }
    finished
}

/// Whether reading the map was reported: one complaint is enough.
fn said_already(lowering: &Lowering, name: &str) -> bool {
    let quoted = format!("`@{name}`");
    lowering
        .diagnostics
        .iter()
        .any(|d| d.message.contains(&quoted))
}

fn positional(used: Vec<Option<abi::ParameterType>>) -> Vec<abi::Parameter> {
    used.into_iter()
        .enumerate()
        .map(|(index, ty)| abi::Parameter {
            name: (index + 1).to_string().into(),
            ty: ty.unwrap_or(abi::ParameterType::Any),
            description: "".into(),
        })
        .collect()
}

/// A C identifier, unique by its number; the kernel shows the first 15 bytes.
fn program_name(context: &ProbeContext, index: usize) -> String {
    let what: String = context
        .name
        .rsplit(':')
        .next()
        .unwrap_or_default()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    let what = what.trim_matches('_');
    if what.is_empty() || what == context.provider {
        format!("{}_{index}", context.provider)
    } else {
        format!("{}_{what}_{index}", context.provider)
    }
}
