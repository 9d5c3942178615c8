//! `make bench`: btc's executables beside Debian's bpftrace, on the same scripts, in the same run. It prints ratios: these
//! machines are shared, so a time by itself says little.

mod compare;
mod scripts;
mod throughput;

use anyhow::Result;

fn main() -> Result<()> {
    compile_times()?;
    start_and_memory()?;
    disk()?;
    per_event()?;
    throughput::report()
}

/// One line of the report: what, ours, theirs, and how many times better or worse we are.
fn line(what: &str, ours: f64, theirs: f64, unit: &str) {
    let ratio = if theirs > 0.0 {
        ours / theirs
    } else {
        f64::NAN
    };
    println!(
        "{what:<44} btc {ours:>12.3} {unit:<6} bpftrace {theirs:>12.3} {unit:<6} ratio {ratio:.4}"
    );
}

fn compile_times() -> Result<()> {
    println!("# script to executable");
    let cold = compare::first_build()?;
    println!(
        "{:<44} btc {cold:>12.3} s",
        "first build, empty cache (runtime included)"
    );
    let script = scripts::START;
    compare::compile(script, "warm-up")?;
    let ours = compare::median(5, |i| {
        compare::compile(&format!("{script}// {i}\n"), &format!("warm{i}")).map(|r| r.1)
    })?;
    let theirs = compare::median(5, |_| compare::bpftrace_start(script))?;
    line("script to executable, runtime built", ours, theirs, "s");
    Ok(())
}

fn start_and_memory() -> Result<()> {
    println!("# one tracepoint");
    let (executable, _) = compare::compile(scripts::START, "start")?;
    let ours = compare::median(9, |_| compare::start(&executable))?;
    let theirs = compare::median(5, |_| compare::bpftrace_start(scripts::START))?;
    line("exec to the first event", ours, theirs, "s");
    let ours = compare::median(5, |_| compare::peak_memory(&executable))?;
    let theirs = compare::median(3, |_| compare::bpftrace_peak_memory(scripts::START))?;
    line("peak resident memory, no stacks", ours, theirs, "MB");
    Ok(())
}

fn disk() -> Result<()> {
    println!("# bytes on disk, libraries included");
    let (plain, _) = compare::compile(scripts::START, "plain")?;
    let (symbols, _) = compare::compile(scripts::STACKS, "symbols")?;
    let theirs = compare::bpftrace_bytes()?;
    line(
        "executable without symbolizer",
        compare::megabytes(&plain)?,
        theirs,
        "MB",
    );
    line(
        "executable with symbolizer",
        compare::megabytes(&symbols)?,
        theirs,
        "MB",
    );
    Ok(())
}

fn per_event() -> Result<()> {
    println!("# run time in BPF per event (kernel.bpf_stats_enabled)");
    for (name, script, load) in scripts::PER_EVENT {
        let ours = compare::nanoseconds_per_event(Some(name), script, load)?;
        let theirs = compare::nanoseconds_per_event(None, script, load)?;
        line(name, ours, theirs, "ns");
    }
    Ok(())
}
