//! Events per second through printf without loss: the load's pace is raised until a tracer loses events.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use btc_tests::work_directory;

use crate::tracer::{self, Running, Tracer};
use crate::{compare, scripts};

/// Calls a millisecond that are tried, up to more than the load can make.
const PACES: &[u64] = &[
    20, 40, 80, 120, 160, 240, 320, 480, 640, 960, 1280, 1920, 2560, 3840,
];
const MILLISECONDS: u64 = 1000;
/// Other work on the machine makes a tracer lose events too.
const ATTEMPTS: usize = 3;

pub fn report(load: &Path) -> Result<()> {
    let (executable, _) = compare::compile(scripts::PRINTF, "printf")?;
    let ours = highest(&Tracer::Btc(executable), load)?;
    let theirs = highest(&Tracer::Bpftrace(scripts::PRINTF), load)?;
    crate::line("printf events without loss", (ours, theirs), "a second");
    Ok(())
}

/// The highest rate at which every event of the load came out.
fn highest(tracer: &Tracer<'_>, load: &Path) -> Result<f64> {
    let _on = tracer::Statistics::on()?;
    let mut best = 0.0f64;
    for &pace in PACES {
        let mut complete = false;
        for _ in 0..ATTEMPTS {
            if let Some(rate) = attempt(tracer, load, pace)? {
                best = best.max(rate);
                complete = true;
                break;
            }
        }
        if !complete {
            break;
        }
    }
    Ok(best)
}

/// The rate, where every event came out.
fn attempt(tracer: &Tracer<'_>, load: &Path, pace: u64) -> Result<Option<f64>> {
    let path = work_directory().join("bench-output");
    let output = std::fs::File::create(&path)?;
    let running = Running::start(tracer, Stdio::from(output), load, "getppid 1")?;
    let pokes = settled(&path, 0)?;
    let said = tracer::load(load, &format!("pace {pace} {MILLISECONDS}"))?;
    let mut words = said.split_whitespace().skip(1).map(str::parse::<u64>);
    let made = words.next().context("a count")??;
    let rate = words.next().context("a rate")??;
    let seen = settled(&path, pokes + made)? - pokes;
    running.stop()?;
    std::fs::remove_file(&path)?;
    Ok((seen == made).then_some(rate as f64))
}

/// Lines of the load in the output, once they are all there or no more come.
fn settled(path: &Path, expected: u64) -> Result<u64> {
    let mut last = (0, Instant::now());
    loop {
        let text = std::fs::read(path)?;
        let lines = text.split(|byte| *byte == b'\n');
        let of_load = lines.filter(|line| line.windows(10).any(|w| w == b" btc-load "));
        let seen = of_load.count() as u64;
        if seen != last.0 {
            last = (seen, Instant::now());
        }
        let rested = last.1.elapsed() > Duration::from_millis(500);
        if rested || expected > 0 && seen >= expected {
            return Ok(seen);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
