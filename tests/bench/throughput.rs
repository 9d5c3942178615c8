//! Events per second through printf without loss: the load's pace is raised until a tracer loses events.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use btc_tests::work_directory;

use crate::tracer::{self, Running, Tracer};
use crate::{compare, scripts};

/// Calls a millisecond that are tried.
const PACES: &[u64] = &[30, 45, 60, 90, 120, 180, 240, 360, 480, 720, 960, 1440];
const MILLISECONDS: u64 = 600;
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
        // Where tracing slows the load down so far, no faster pace makes more events.
        if !complete || best < 900.0 * pace as f64 {
            break;
        }
    }
    Ok(best)
}

/// The rate, where every event came out.
fn attempt(tracer: &Tracer<'_>, load: &Path, pace: u64) -> Result<Option<f64>> {
    let path = work_directory().join("bench-output");
    let output = std::fs::File::create(&path)?;
    // Under another name, so that its events aren't counted.
    let poke = load.with_file_name("btc-poke");
    std::fs::copy(load, &poke)?;
    let running = Running::start(tracer, Stdio::from(output), &poke, "getppid 1")?;
    let said = tracer::load(load, &format!("pace {pace} {MILLISECONDS}"))?;
    let mut words = said.split_whitespace().skip(1).map(str::parse::<u64>);
    let made = words.next().context("a count")??;
    let rate = words.next().context("a rate")??;
    settle(&path)?;
    running.stop(tracer)?;
    let text = std::fs::read(&path)?;
    let lines = text.split(|byte| *byte == b'\n');
    let seen = lines
        .filter(|line| line.windows(10).any(|w| w == b" btc-load "))
        .count() as u64;
    std::fs::remove_file(&path)?;
    Ok((seen == made).then_some(rate as f64))
}

/// Waits until the output grows no more.
fn settle(path: &Path) -> Result<()> {
    let mut size = 0;
    loop {
        std::thread::sleep(Duration::from_millis(200));
        let now = std::fs::metadata(path)?.len();
        if now == size {
            return Ok(());
        }
        size = now;
    }
}
