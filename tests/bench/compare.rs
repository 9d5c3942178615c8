//! One measurement each.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use btc_tests::{compile, work_directory};

use crate::tracer::{self, Running, Tracer};

/// The least of both sides over `runs` measurements of each, in turn: what else the machine does only adds.
pub fn least_of(
    runs: usize,
    mut ours: impl FnMut() -> Result<f64>,
    mut theirs: impl FnMut() -> Result<f64>,
) -> Result<(f64, f64)> {
    let mut both = (f64::INFINITY, f64::INFINITY);
    for _ in 0..runs {
        both = (both.0.min(ours()?), both.1.min(theirs()?));
    }
    Ok(both)
}

/// Compiles a script; the executable, and the seconds it took.
pub fn compile(script: &str, name: &str) -> Result<(PathBuf, f64)> {
    let directory = work_directory().join("bench");
    std::fs::create_dir_all(&directory)?;
    let executable = directory.join(name.replace(' ', "-"));
    let btc = compile::btc()?;
    let start = Instant::now();
    let output = Command::new(btc)
        .args(["-e", script, "-o"])
        .arg(&executable)
        .output()?;
    let seconds = start.elapsed().as_secs_f64();
    if !output.status.success() {
        bail!("btc: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok((executable, seconds))
}

/// Seconds of a first build: an empty cache, the runtime built for it.
pub fn first_build() -> Result<f64> {
    let cache = work_directory().join("bench-cache");
    if cache.exists() {
        std::fs::remove_dir_all(&cache)?;
    }
    let executable = work_directory().join("bench-first");
    let btc = compile::btc()?;
    let start = Instant::now();
    let status = Command::new(btc)
        .env("BTC_CACHE_DIR", &cache)
        .args(["-e", "begin { exit(); }", "-o"])
        .arg(&executable)
        .stderr(Stdio::null())
        .status()?;
    let seconds = start.elapsed().as_secs_f64();
    std::fs::remove_dir_all(&cache)?;
    if !status.success() {
        bail!("the first build failed");
    }
    Ok(seconds)
}

/// Seconds from exec to the line of the first event, which comes within the time of a wake-up after attaching.
pub fn start(load: &Path, tracer: &Tracer<'_>) -> Result<f64> {
    Ok(measured(load, "start", tracer)? / 1e6)
}

/// Peak resident megabytes of a run that ends by itself.
pub fn peak_memory(load: &Path, tracer: &Tracer<'_>) -> Result<f64> {
    Ok(measured(load, "peak", tracer)? * 1024.0 / 1e6)
}

/// What the load, a small process, measures of a child.
fn measured(load: &Path, what: &str, tracer: &Tracer<'_>) -> Result<f64> {
    let run = Command::new(load)
        .arg(what)
        .args(tracer.command_line())
        // The line comes out when its event does, not when the tracer has detached.
        .args(["-B", "line"])
        .stderr(Stdio::null())
        .output()?;
    let said = String::from_utf8(run.stdout)?;
    if !run.status.success() {
        bail!("{:?} saw no event", tracer.command_line());
    }
    let number = said.split_whitespace().nth(1).context("a number")?;
    Ok(number.parse()?)
}

pub fn megabytes(path: &Path) -> Result<f64> {
    Ok(std::fs::metadata(path)?.len() as f64 / 1e6)
}

/// bpftrace and every library that it loads, in megabytes.
pub fn bpftrace_megabytes() -> Result<f64> {
    let run = Command::new("sh")
        .args(["-c", "command -v bpftrace && ldd $(command -v bpftrace)"])
        .output()?;
    let text = String::from_utf8(run.stdout)?;
    let files = text.split_whitespace().filter(|w| w.starts_with('/'));
    let mut sum = 0.0;
    for path in files {
        sum += megabytes(Path::new(path))?;
    }
    Ok(sum)
}

/// Times that a tracer is started, and loads it sees each time.
const STARTS: usize = 3;
const LOADS: usize = 4;

/// Nanoseconds a run of a script's programs take, ours and theirs, the least of several loads: what disturbs only adds.
pub fn per_event(name: &str, script: &str, load: &Path, work: &str) -> Result<(f64, f64)> {
    let executable = compile(script, name)?.0;
    let (mut ours, mut theirs) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..STARTS {
        ours = ours.min(least(&Tracer::Btc(executable.clone()), load, work)?);
        theirs = theirs.min(least(&Tracer::Bpftrace(script), load, work)?);
    }
    Ok((ours, theirs))
}

fn least(tracer: &Tracer<'_>, load: &Path, work: &str) -> Result<f64> {
    let running = Running::start(tracer, Stdio::null(), load, work)?;
    let mut least = f64::INFINITY;
    for _ in 0..LOADS {
        let before = running.spent()?;
        tracer::load(load, work)?;
        let after = running.spent()?;
        let runs = after.runs - before.runs;
        if runs < 1000.0 {
            bail!("{:?}: only {runs} runs", tracer.command_line());
        }
        least = least.min((after.nanoseconds - before.nanoseconds) / runs);
    }
    running.stop(tracer)?;
    Ok(least)
}
