//! `make bench`: btc's executables beside Debian's bpftrace, on the same scripts, in the same run. It prints ratios: these
//! machines are shared, so a time by itself says little. Words choose the parts: `make bench PARTS='start per-event'`.

mod compare;
mod mounts;
mod scripts;
mod throughput;
mod tracer;

use std::path::Path;

use anyhow::Result;
use btc_tests::{compile, work_directory};

use compare::least_of;
use tracer::Tracer;

/// Measures and prints; gets the load program.
type Part = fn(&Path) -> Result<()>;

fn main() -> Result<()> {
    mounts::add_missing()?;
    let load = compile::program_in(&work_directory().join("bench"), "load")?;
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    let parts: &[(&str, Part)] = &[
        ("first-build", first_build),
        ("compile", compile_times),
        ("start", start),
        ("memory", memory),
        ("disk", |_| disk()),
        ("per-event", per_event),
        ("throughput", throughput::report),
    ];
    println!("{:<46} {:>8}   btc and bpftrace", "", "ratio");
    for (name, part) in parts {
        if wanted.is_empty() || wanted.iter().any(|word| word == name) {
            part(&load)?;
        }
    }
    Ok(())
}

/// One line of the report: what, how many times theirs ours is, then both.
fn line(what: &str, (ours, theirs): (f64, f64), unit: &str) {
    let ratio = ours / theirs;
    println!("{what:<46} {ratio:>8.4}   {ours:.4} and {theirs:.4} {unit}");
}

fn first_build(load: &Path) -> Result<()> {
    let theirs = compare::start(load, &Tracer::Bpftrace(scripts::START))?;
    let what = "first build, empty cache : bpftrace's start";
    line(what, (compare::first_build()?, theirs), "s");
    Ok(())
}

fn compile_times(load: &Path) -> Result<()> {
    let script = scripts::START;
    compare::compile(script, "warm-up")?;
    let mut n = 0;
    let both = least_of(
        9,
        || {
            n += 1;
            // Another script each time, in every run of the bench: the cache keeps executables.
            let new = format!("hit {} {n}\\n", std::process::id());
            Ok(compare::compile(&script.replace("hit\\n", &new), "warm")?.1)
        },
        || compare::start(load, &Tracer::Bpftrace(script)),
    )?;
    line("script to executable : bpftrace's start", both, "s");
    let both = least_of(
        9,
        || Ok(compare::compile(script, "warm")?.1),
        || compare::start(load, &Tracer::Bpftrace(script)),
    )?;
    line("unchanged script to executable : the same", both, "s");
    Ok(())
}

fn start(load: &Path) -> Result<()> {
    let (executable, _) = compare::compile(scripts::START, "start")?;
    let both = least_of(
        15,
        || compare::start(load, &Tracer::Btc(executable.clone())),
        || compare::start(load, &Tracer::Bpftrace(scripts::START)),
    )?;
    line("exec to attached, one tracepoint", both, "s");
    Ok(())
}

fn memory(load: &Path) -> Result<()> {
    let (executable, _) = compare::compile(scripts::START, "start")?;
    let both = least_of(
        5,
        || compare::peak_memory(load, &Tracer::Btc(executable.clone())),
        || compare::peak_memory(load, &Tracer::Bpftrace(scripts::START)),
    )?;
    line("peak resident memory, no stacks", both, "MB");
    Ok(())
}

fn disk() -> Result<()> {
    let theirs = compare::bpftrace_megabytes()?;
    let executables = [("without", scripts::START), ("with", scripts::STACKS)];
    for (how, script) in executables {
        let (executable, _) = compare::compile(script, how)?;
        let what = format!("on disk with libraries, {how} symbolizer");
        line(&what, (compare::megabytes(&executable)?, theirs), "MB");
    }
    Ok(())
}

fn per_event(load: &Path) -> Result<()> {
    let _on = tracer::Statistics::on()?;
    let mut within = 0;
    for (name, script, work) in scripts::PER_EVENT {
        let (ours, theirs) = compare::per_event(name, script, load, work)?;
        within += usize::from(ours <= theirs);
        line(&format!("BPF run time, {name}"), (ours, theirs), "ns");
    }
    println!("{within} of {} at most 1.0", scripts::PER_EVENT.len());
    Ok(())
}
