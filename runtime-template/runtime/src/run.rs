//! A tracer and the process's arguments → a run, phase by phase, and its exit status.

use std::io::Write as _;
use std::os::fd::AsFd;
use std::process::ExitCode;

use btc_abi::{Config, MissingProbes};
use libbpf_rs::{MapCore, Object, ProgramMut};

use crate::attach::{Attachment, Trial};
use crate::child::{self, Child};
use crate::cpus::Cpus;
use crate::format::controls::Controls;
use crate::load::Skeleton;
use crate::options::{self, Options, Purpose, Request};
use crate::packets::Packets;
use crate::phase::{self, AttachPhase};
use crate::plan::{self, Mode, Phase, Plan, Planned};
use crate::poll::{self, Ending, Records, State, Watched};
use crate::report::{Session, Setup};
use crate::signal::Signals;
use crate::slots::Facts;
use crate::target::{self, Target, clock_ns};
use crate::variant::Split;
use crate::{
    Context, Error, Tracer, attach_parameters, config, detach, floor, iterate, load, told,
};

/// The phases of a run.
pub fn run(tracer: &'static Tracer, skeleton: Box<dyn Skeleton>) -> Result<ExitCode, Error> {
    let start_time = clock_ns(libc::CLOCK_BOOTTIME);
    let options = match options::parse(tracer.manifest, std::env::args_os().skip(1))? {
        Request::Run(options) => options,
        Request::Print(text) => return print(&text),
    };
    let tracer = attach_parameters::filled(tracer, &options.parameters)?;
    let mut tracer = told::filled(tracer, &options.parameters)?;
    let config = config::from_environment(tracer.manifest)?;
    if let Some(pid) = options.pid {
        poll::watch_process(pid)?;
    }
    if options.purpose == Purpose::List {
        return list(tracer, &options, config);
    }
    if options.purpose == Purpose::Trace {
        if let Some(reason) = load::privileges() {
            return Err(Error::new(reason));
        }
        plan::check_btf(tracer.manifest)?;
        tracer = floor::chosen(tracer, !options.no_warnings);
        // What per-CPU values are read by; better missed now than when results are printed.
        target::cpu_ids()?;
    }
    let manifest = tracer.manifest;
    let mut child = match &options.command {
        Some(command) if options.purpose == Purpose::Trace => Some(child::start(command)?),
        _ => None,
    };
    let child_pid = child.as_ref().map(|child| child.pid);
    let mut target = Target::new(options.pid.or(child_pid), options.verbose);
    target.program = child.as_ref().map(|child| child.program.clone());
    let plan = plan::make(tracer, &config, &target, options.mode, !options.no_warnings)?;
    if options.purpose == Purpose::DryRun {
        return print(&plan.describe());
    }
    if plan.sites() == 0 {
        return Err(why_nothing(tracer, &options, config, &target));
    }
    phase::raise_file_limit(plan.sites());
    load::capture_log(options.verbose);
    let facts = Facts {
        probe_names: &plan.names,
        parameters: &options.parameters,
        child: child_pid,
        pid_filter: options.pid,
        start_time,
        warnings: !options.no_warnings,
        config: &config,
    };
    let (loaded, mut splits) = load::load(skeleton, manifest, &config, &plan, &facts, &target)?;
    let object = loaded.object();
    let mut attach = AttachPhase::new(object, &config, &target, !options.no_warnings);
    // From here on a signal ends the run in order.
    let signals = Signals::block(&plan.traced_signals())?;
    let mut session = Session::new(setup(tracer, &options, config.clone(), object, &plan)?)?;
    let packets = tracer.packets;
    let packets = packets.map(|open| open(manifest, object, config.perf_rb_pages));
    let packets = packets.transpose()?;
    if let Some(pid) = options.pid {
        session.load_unwind_rows(pid.unsigned_abs());
    }
    attach.attach(&plan, &mut splits, Phase::Begin)?;
    attach.attach(&plan, &mut splits, Phase::Trace)?;
    session.attached(attach.sites + plan.sites_of_later_phases())?;
    for attachment in &attach.attachments {
        if let Attachment::Pinned { path } = attachment {
            session.pinned(path)?;
        }
    }
    if options.mode != Mode::Trace {
        return try_out(&mut session, &mut attach, &plan, &mut splits);
    }
    let cpus = Cpus::traced(&plan, target.pid);
    let mut run = Run {
        attach,
        plan: &plan,
        splits: &mut splits,
        signals,
        cpus,
        packets,
    };
    let (ending, idle) = run.trace(&mut session, child.as_mut(), &options)?;
    drop(run);
    drop(session);
    drop(loaded);
    idle.release();
    Ok(match ending {
        Ending::Exit(status) => ExitCode::from(status as u8),
        Ending::Signal | Ending::Process | Ending::Done => ExitCode::SUCCESS,
    })
}

/// Every probe is missing, and `missing_probes` may have had that ignored: why the first of them is.
fn why_nothing(tracer: &Tracer, options: &Options, mut config: Config, target: &Target) -> Error {
    config.missing_probes = MissingProbes::Error;
    let nothing = plan::nothing_to_attach(tracer.manifest);
    match plan::make(tracer, &config, target, options.mode, false) {
        Err(first) => Error::with_source(nothing.to_string(), first),
        Ok(_) => nothing,
    }
}

/// The names of what would be attached; what is missing is said, and is a failure as it would be for a run.
fn list(tracer: &Tracer, options: &Options, mut config: Config) -> Result<ExitCode, Error> {
    let strict = config.missing_probes == MissingProbes::Error;
    if strict {
        config.missing_probes = MissingProbes::Warn;
    }
    let target = Target::new(options.pid, options.verbose);
    let plan = plan::make(
        tracer,
        &config,
        &target,
        options.mode,
        strict || !options.no_warnings,
    )?;
    if plan.sites() == 0 {
        return Err(why_nothing(tracer, options, config, &target));
    }
    print(&plan.list(options.verbose))?;
    Ok(match strict && plan.is_incomplete() {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

/// The programs of a run, attached.
struct Run<'a> {
    attach: AttachPhase<'a>,
    plan: &'a Plan,
    splits: &'a mut [Split],
    signals: Signals,
    cpus: Option<Cpus>,
    packets: Option<Box<dyn Packets>>,
}

impl Run<'_> {
    /// From the first record to the last line: poll, stop the programs, run the end probes, print.
    fn trace(
        &mut self,
        session: &mut Session<'_>,
        mut child: Option<&mut Child>,
        options: &Options,
    ) -> Result<(Ending, detach::Idle), Error> {
        let pid = child.as_ref().map(|child| child.pid).or(options.pid);
        let watched = watched(session, pid, options)?;
        if let Some(child) = &mut child {
            child.release()?;
        }
        let buffer = ring_buffer(self.attach.object);
        let packets = self.packets.take();
        let (ending, idle) = {
            let state = State::new(session);
            let records = Records::open(buffer.as_ref(), packets.as_deref(), &state)?;
            let mut ending = self.follow(&records, &watched)?;
            self.signals.end_at_once();
            let idle = detach::stop(std::mem::take(&mut self.attach.attachments));
            if matches!(ending, Ending::Exit(_)) {
                records.discard()?;
            }
            self.attach.attach(self.plan, self.splits, Phase::End)?;
            if let (Some(status), false) = (records.drain()?, matches!(ending, Ending::Exit(_))) {
                ending = Ending::Exit(status);
            }
            (ending, idle)
        };
        let lost = packets.map_or(0, |packets| packets.lost());
        if lost > 0 {
            session.warn(&format!(
                "{lost} packets found no room (perf_rb_pages gives them more)"
            ))?;
        }
        if let Some(said) = child.and_then(Child::reap)
            && !options.no_warnings
        {
            eprintln!("{said}");
        }
        session.print_maps()?;
        session.report_counters()?;
        for change in self.cpus.iter().flat_map(Cpus::changes) {
            session.warn(&change)?;
        }
        session.flush()?;
        Ok((ending, idle))
    }

    /// Iterators to their ends, then records and signals until something ends the run.
    fn follow(
        &mut self,
        records: &Records<'_, '_, '_>,
        watched: &Watched,
    ) -> Result<Ending, Error> {
        let (attach, plan, splits) = (&mut self.attach, self.plan, &mut *self.splits);
        let attachments = std::mem::take(&mut attach.attachments);
        let mut on_signal = |signal| attach.attach(plan, splits, Phase::Signal(signal));
        let ended = iterate::read_all(&attachments, records, &self.signals, &mut on_signal);
        let ended = match ended? {
            None if plan.is_iteration() => Some(Ending::Done),
            ended => ended,
        };
        let ended = match ended {
            Some(ended) => Ok(ended),
            None => records.poll(&self.signals, watched, on_signal),
        };
        attach.attachments.extend(attachments);
        ended
    }
}

/// What ends a run beside signals and the script.
fn watched(
    session: &mut Session<'_>,
    pid: Option<i32>,
    options: &Options,
) -> Result<Watched, Error> {
    Ok(Watched {
        process: pid.map(poll::watch_process).transpose()?,
        followed: pid.and_then(|pid| session.follow(pid.unsigned_abs())),
        unwound: pid.and_then(|pid| session.follow_unwinding(pid.unsigned_abs())),
        pipe: match options.output {
            Some(_) => None,
            None => poll::piped_output(),
        },
    })
}

fn ring_buffer(object: &Object) -> Option<libbpf_rs::Map<'_>> {
    object
        .maps()
        .find(|map| map.map_type() == libbpf_rs::MapType::RingBuf)
}

/// `--test` and `--bench`: runs their programs in place of tracing.
fn try_out(
    session: &mut Session<'_>,
    attach: &mut AttachPhase<'_>,
    plan: &Plan,
    splits: &mut [Split],
) -> Result<ExitCode, Error> {
    let mut trials: Vec<(&Planned, ProgramMut<'_>)> = Vec::new();
    for planned in plan.of(Phase::Trial).filter(|planned| planned.wanted) {
        trials.push((planned, attach.program(planned)?));
    }
    let status = {
        let buffer = ring_buffer(attach.object);
        let state = State::new(session);
        let records = Records::open(buffer.as_ref(), None, &state)?;
        records.drain()?;
        let all: Vec<_> = (trials.iter())
            .map(|(planned, program)| Trial {
                probe: planned.probe,
                fd: program.as_fd(),
            })
            .collect();
        let status = match trials.first() {
            Some((planned, _)) => planned.provider.try_out(&all, &records)?,
            None => ExitCode::SUCCESS,
        };
        drop(trials);
        attach.attach(plan, splits, Phase::End)?;
        records.drain()?;
        status
    };
    session.report_counters()?;
    session.flush()?;
    Ok(status)
}

fn setup<'a>(
    tracer: &Tracer,
    options: &Options,
    config: Config,
    object: &'a Object,
    plan: &'a Plan,
) -> Result<Setup<'a>, Error> {
    let out = match &options.output {
        Some(path) => {
            let file = std::fs::File::create(path).context(|| format!("-o {path}"))?;
            Some((file, path.clone()))
        }
        None => None,
    };
    Ok(Setup {
        manifest: tracer.manifest,
        config,
        object,
        probe_names: &plan.names,
        symbolizer: tracer.symbolizer,
        unwinder: tracer.unwinder,
        format: options.format,
        buffering: options.buffering,
        out,
        quiet: options.quiet,
        warn_failed_reads: options.warn_failed_reads,
        no_warnings: options.no_warnings,
        raw_output: options.raw_output,
    })
}

/// Names of functions and files are in it, which may be called anything.
fn print(text: &str) -> Result<ExitCode, Error> {
    let mut out = std::io::stdout();
    let text = Controls::of(libc::STDOUT_FILENO).lines(text.as_bytes().into());
    let written = out.write_all(&text).and_then(|()| out.flush());
    written.map_err(|error| Error::output("write to standard output", error))?;
    Ok(ExitCode::SUCCESS)
}
