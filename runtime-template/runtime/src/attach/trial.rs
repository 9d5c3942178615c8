//! `test` and `bench`: each program run by itself → passed or failed, or the nanoseconds that a run takes.

use std::fmt::Write as _;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::process::ExitCode;

use btc_abi::{Attach, Probe};

use super::{Attached, Attaching, Place, Provider, Site, Trial, test_run};
use crate::output::capture::Capture;
use crate::output::json;
use crate::poll::Records;
use crate::report::OutputFormat;
use crate::target::{Target, clock_ns};
use crate::{Context, Error};

/// See [`Provider`].
pub struct TestBench;

impl Provider for TestBench {
    fn handles(&self, attach: &Attach) -> bool {
        attach.is_trial()
    }

    fn find(&self, probe: &Probe, _: &Target) -> Result<Vec<Site>, Error> {
        Ok(vec![Site::new(&*probe.name, Place::Run)])
    }

    /// Nothing to attach: [`Provider::try_out`] runs them.
    fn attach(&self, _: &Attaching<'_>, _: &[Site]) -> Attached {
        Attached::default()
    }

    fn try_out(
        &self,
        trials: &[Trial<'_>],
        records: &Records<'_, '_, '_>,
    ) -> Result<ExitCode, Error> {
        match trials.first().map(|trial| &trial.probe.attach) {
            Some(Attach::Bench { .. }) => benches(trials, records),
            _ => tests(trials, records),
        }
    }
}

/// `test:NAME` by its name.
fn name<'a>(trial: &Trial<'a>) -> &'a str {
    match &trial.probe.attach {
        Attach::Test { name } | Attach::Bench { name } => name,
        _ => "",
    }
}

fn is_json(records: &Records<'_, '_, '_>) -> bool {
    records.session(|session| session.format() == OutputFormat::Json)
}

fn say(records: &Records<'_, '_, '_>, text: &str) -> Result<(), Error> {
    records.session(|session| session.raw(text.as_bytes()))
}

/// What came of a test.
struct Verdict {
    passed: bool,
    nanoseconds: u64,
    /// What it printed.
    text: Vec<u8>,
}

fn tests(trials: &[Trial<'_>], records: &Records<'_, '_, '_>) -> Result<ExitCode, Error> {
    let json = is_json(records);
    let mut failed = Vec::new();
    if !json {
        say(
            records,
            &format!("[==========] Running {}.\n", counted(trials.len())),
        )?;
    }
    for trial in trials {
        let name = name(trial);
        let verdict = test(trial, records)?;
        say(
            records,
            &if json {
                verdict.json(name)
            } else {
                verdict.text(name)
            },
        )?;
        if !verdict.passed {
            failed.push(name);
        }
    }
    if !json {
        say(records, &summary(trials.len(), &failed))?;
    }
    Ok(if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Passes where the program returns 0, exits with nothing else, and reports no error.
fn test(trial: &Trial<'_>, records: &Records<'_, '_, '_>) -> Result<Verdict, Error> {
    let capture = Capture::default();
    let output = records.session(|session| session.swap_output(Box::new(capture.clone())));
    let start = clock_ns(libc::CLOCK_MONOTONIC);
    let returned = test_run::once(trial.fd);
    let nanoseconds = clock_ns(libc::CLOCK_MONOTONIC) - start;
    let exit = records.drain();
    records.session(|session| session.swap_output(output));
    let returned = returned.context(|| format!("run {}", trial.probe.name))?;
    let exit = exit?.unwrap_or(0);
    let (text, errors) = capture.taken();
    Ok(Verdict {
        passed: returned == 0 && exit == 0 && errors == 0,
        nanoseconds,
        text,
    })
}

impl Verdict {
    fn text(&self, name: &str) -> String {
        let mut text = format!("[ RUN      ] {name}\n");
        let duration = duration(self.nanoseconds);
        if self.passed {
            let _ = writeln!(text, "[       OK ] {name} ({duration})");
            return text;
        }
        let printed = String::from_utf8_lossy(&self.text);
        for line in printed.lines().filter(|line| !line.is_empty()) {
            text.push_str(line);
            text.push('\n');
        }
        let _ = writeln!(text, "[  FAILED  ] {name} ({duration})");
        text
    }

    fn json(&self, name: &str) -> String {
        let members = format!(
            "{{\"duration\": {}, \"passed\": {}, \"output\": {}}}",
            self.nanoseconds,
            self.passed,
            quoted(&self.text)
        );
        result("test_result", name, &members)
    }
}

fn summary(all: usize, failed: &[&str]) -> String {
    let mut text = format!(
        "[==========] {} ran.\n[  PASSED  ] {}.\n",
        counted(all),
        counted(all - failed.len())
    );
    if !failed.is_empty() {
        let _ = writeln!(
            text,
            "[  FAILED  ] {}, listed below:",
            counted(failed.len())
        );
        for name in failed {
            let _ = writeln!(text, "[  FAILED  ] {name}");
        }
    }
    text
}

fn counted(tests: usize) -> String {
    format!("{tests} test{}", if tests == 1 { "" } else { "s" })
}

fn duration(nanoseconds: u64) -> String {
    match nanoseconds {
        0..1_000 => format!("{nanoseconds} ns"),
        1_000..1_000_000 => format!("{} us", nanoseconds / 1_000),
        1_000_000..1_000_000_000 => format!("{} ms", nanoseconds / 1_000_000),
        _ => format!("{} s", nanoseconds / 1_000_000_000),
    }
}

/// `{"type": KIND, "data": {NAME: MEMBERS}}`
fn result(kind: &str, name: &str, members: &str) -> String {
    let name = quoted(name.as_bytes());
    format!("{{\"type\": \"{kind}\", \"data\": {{{name}: {members}}}}}\n")
}

fn quoted(text: &[u8]) -> String {
    let mut quoted = Vec::new();
    json::string(text, &mut quoted);
    String::from_utf8_lossy(&quoted).into_owned()
}

fn benches(trials: &[Trial<'_>], records: &Records<'_, '_, '_>) -> Result<ExitCode, Error> {
    const TIME: usize = 15;
    // Programs are timed as long as it is open.
    let _stats = enable_stats()?;
    let json = is_json(records);
    let longest = trials.iter().map(|trial| name(trial).len()).max();
    let width = longest.unwrap_or(0).max(40) + 1;
    if !json {
        let mut head = format!("{:<width$}{:<TIME$}Iterations\n", "Benchmark", "Time(ns)");
        head.push_str(&"-".repeat(head.len() - 1));
        head.push('\n');
        say(records, &head)?;
    }
    for trial in trials {
        let name = name(trial);
        let Measured { average, runs } = bench(trial, records)?;
        let text = match json {
            true => {
                let members = format!("{{\"average\": {average}, \"iters\": {runs}}}");
                result("benchmark_result", name, &members)
            }
            false => format!("{name:<width$}{average:<TIME$}{runs}\n"),
        };
        say(records, &text)?;
    }
    Ok(ExitCode::SUCCESS)
}

struct Measured {
    /// Nanoseconds of a run.
    average: u64,
    runs: u64,
}

/// The kernel's own account of the program's run time, so that the system calls around it don't count. What the
/// program reports is dropped.
fn bench(trial: &Trial<'_>, records: &Records<'_, '_, '_>) -> Result<Measured, Error> {
    const WARM_UP: u64 = 100;
    const BATCH: u64 = 200;
    const MOST: u64 = 1_000_000;
    const LONG_ENOUGH: u64 = 250_000_000;
    let what = || format!("run {}", trial.probe.name);
    let run = |times| -> Result<(), Error> {
        for _ in 0..times {
            test_run::once(trial.fd).context(what)?;
        }
        records.discard()
    };
    run(WARM_UP)?;
    let before = account(trial.fd).context(what)?;
    let start = clock_ns(libc::CLOCK_MONOTONIC);
    loop {
        run(BATCH)?;
        let after = account(trial.fd).context(what)?;
        let runs = after.run_cnt - before.run_cnt;
        if runs == 0 {
            return Err(Error::new(format!(
                "{}: the kernel does not time it",
                what()
            )));
        }
        let passed = clock_ns(libc::CLOCK_MONOTONIC) - start;
        if passed >= LONG_ENOUGH || runs >= MOST {
            let average = (after.run_time_ns - before.run_time_ns) / runs;
            return Ok(Measured { average, runs });
        }
    }
}

fn enable_stats() -> Result<OwnedFd, Error> {
    // SAFETY: a plain integer.
    let fd = unsafe { libbpf_sys::bpf_enable_stats(libbpf_sys::BPF_STATS_RUN_TIME) };
    if fd < 0 {
        let source = std::io::Error::from_raw_os_error(-fd);
        return Err(Error::with_source(
            "--bench: time BPF programs (needs CAP_SYS_ADMIN)",
            source,
        ));
    }
    // SAFETY: the call succeeded, so the descriptor is open and ours alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn account(program: BorrowedFd<'_>) -> std::io::Result<libbpf_sys::bpf_prog_info> {
    let mut info = libbpf_sys::bpf_prog_info::default();
    let mut size = size_of::<libbpf_sys::bpf_prog_info>() as u32;
    // SAFETY: an open program, and a place of the size that is said.
    let result = unsafe {
        libbpf_sys::bpf_obj_get_info_by_fd(program.as_raw_fd(), (&raw mut info).cast(), &mut size)
    };
    if result < 0 {
        return Err(std::io::Error::from_raw_os_error(-result));
    }
    Ok(info)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts() {
        let verdict = |passed| Verdict {
            passed,
            nanoseconds: 1_500,
            text: b"said\n\n\"more\"\n".to_vec(),
        };
        assert_eq!(
            verdict(true).text("a"),
            "[ RUN      ] a\n[       OK ] a (1 us)\n"
        );
        assert_eq!(
            verdict(false).text("a"),
            "[ RUN      ] a\nsaid\n\"more\"\n[  FAILED  ] a (1 us)\n"
        );
        assert_eq!(
            verdict(false).json("a"),
            "{\"type\": \"test_result\", \"data\": {\"a\": {\"duration\": 1500, \"passed\": false, \"output\": \"said\\n\\n\\\"more\\\"\\n\"}}}\n"
        );
    }

    #[test]
    fn summaries() {
        assert_eq!(
            summary(1, &[]),
            "[==========] 1 test ran.\n[  PASSED  ] 1 test.\n"
        );
        assert!(summary(3, &["b"]).ends_with(
            "[  PASSED  ] 2 tests.\n[  FAILED  ] 1 test, listed below:\n[  FAILED  ] b\n"
        ));
    }
}
