//! Events per second through printf without loss: the load's pace is raised until a tracer loses events.

use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use btc_tests::{compile, work_directory};

use crate::{compare, scripts};

/// Calls a millisecond that are tried, up to more than the load can make.
const PACES: &[u64] = &[
    5, 10, 20, 40, 60, 80, 120, 160, 240, 320, 480, 640, 960, 1280, 1920, 2560,
];
const MILLISECONDS: u64 = 1500;

pub fn report() -> Result<()> {
    println!("# printf events per second with nothing lost");
    let (executable, _) = compare::compile(scripts::PRINTF, "printf-throughput")?;
    let ours = highest(&|| Command::new(&executable))?;
    let theirs = highest(&|| {
        let mut command = Command::new("bpftrace");
        command.args(["-e", scripts::PRINTF]);
        command
    })?;
    crate::line("printf events per second", ours, theirs, "1/s");
    Ok(())
}

/// The highest rate at which every event of the load came out.
fn highest(tracer: &dyn Fn() -> Command) -> Result<f64> {
    let mut best = 0.0;
    for &pace in PACES {
        let (rate, complete) = attempt(&mut tracer(), pace)?;
        if !complete {
            break;
        }
        best = rate;
    }
    Ok(best)
}

fn attempt(tracer: &mut Command, pace: u64) -> Result<(f64, bool)> {
    let path = work_directory().join("bench-output");
    let output = std::fs::File::create(&path)?;
    let running = compare::Running::start(tracer, Stdio::from(output))?;
    let load = compile::load()?;
    let run = Command::new(load)
        .args(["pace", &pace.to_string(), &MILLISECONDS.to_string()])
        .output()?;
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    let mut words = said.split_whitespace().skip(1).map(str::parse::<u64>);
    let made = words.next().context("a count")??;
    let rate = words.next().context("a rate")??;
    // What is in the buffer still comes out.
    std::thread::sleep(std::time::Duration::from_millis(1500));
    running.stop()?;
    let text = std::fs::read(&path)?;
    let text = String::from_utf8_lossy(&text);
    let seen = text
        .lines()
        .filter(|line| line.contains(" btc-load "))
        .count() as u64;
    std::fs::remove_file(&path)?;
    Ok((rate as f64, seen == made))
}
