//! The same judge on other kernels: scripts are compiled here, and one executable with all of their objects loads them in
//! a guest. What a kernel lacks is a line that says so; the verifier says nothing.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use btc_abi::ToConst;
use btc_tests::vm::guest::{self, BIN, Job};
use btc_tests::vm::kernels::{self, Series};
use btc_tests::{compile, work_directory};

use crate::kernel::{Compiled, Machine, PROVIDER_NAMES};
use crate::typed;
use btc_tests::random::Random;

/// Made-up scripts that compile; the rows' own come on top of them.
const COUNT: usize = 150;
/// Far from the seeds that are judged here, as far as they come in a test's time.
const FAR: u64 = 1_000_000;
/// One in so many objects must be judged in the time.
const LEAST: usize = 8;
const NAME: &str = "rehearse";
/// The guest's last word.
const END: &str = "end";

/// A script, and what it became.
struct Specimen {
    text: String,
    compiled: Compiled,
}

/// Judges the same objects for some seconds on each of these kernels, side by side: what the verifier refused.
///
/// # Errors
/// A bug of the compiler, or no guest.
pub fn refused(kernels: &[&str], seed: u64, seconds: u64) -> Result<Vec<String>> {
    let specimens = specimens(seed + FAR)?;
    let executable = std::fs::read(build(&specimens)?)?;
    let kernels: Vec<_> = (kernels.iter())
        .map(|name| Ok((*name, kernels::fetch(Series::named(name)?)?)))
        .collect::<Result<_>>()?;
    let said: Vec<Result<String>> = std::thread::scope(|scope| {
        let guests: Vec<_> = (kernels.iter())
            .map(|(_, kernel)| scope.spawn(|| on_kernel(kernel, &executable, seconds)))
            .collect();
        let ended = guests.into_iter().map(std::thread::ScopedJoinHandle::join);
        ended
            .map(|said| said.unwrap_or_else(|_| bail!("a guest's thread panicked")))
            .collect()
    });
    let mut refused = vec![];
    for ((name, _), said) in kernels.iter().zip(said) {
        refused.extend(verdicts(name, &said?, &specimens)?);
    }
    Ok(refused)
}

/// What a kernel's verifier refused, by what the guest said.
fn verdicts(name: &str, said: &str, specimens: &[Specimen]) -> Result<Vec<String>> {
    let (mut judged, mut refused) = (0, vec![]);
    for line in said.lines() {
        let Some((index, verdict)) = line.split_once(' ') else {
            continue;
        };
        let Some(specimen) = index.parse().ok().and_then(|at: usize| specimens.get(at)) else {
            continue;
        };
        judged += 1;
        if verdict.contains("the kernel refused") || !verdict.starts_with(['+', '-']) {
            let verdict = verdict.replace('\\', "\n");
            refused.push(format!("on {name}: {verdict}\n{}", specimen.text));
        }
    }
    let all = specimens.len();
    if !said.lines().any(|line| line == END) || judged * LEAST < all {
        bail!(
            "{name}: {judged} of {all} objects were judged; the last words were\n{}",
            tail(said)
        );
    }
    let loaded = said.lines().filter(|line| line.contains(" +")).count();
    println!("{name}: {judged} of {all} objects, {loaded} loaded");
    if loaded * 2 < judged {
        bail!("{name}: {loaded} of {judged} objects were loaded\n{said}");
    }
    Ok(refused)
}

fn tail(text: &str) -> &str {
    let start = text.len().saturating_sub(1000);
    text.get(start..).unwrap_or(text)
}

/// Rows in kprobes, or in the probes that they are for, and made-up scripts, in an order of chance: the time may not
/// suffice for all.
fn specimens(first_seed: u64) -> Result<Vec<Specimen>> {
    let machine = Machine::new();
    let rows = typed::rows(typed::Machine::Live, 0).into_iter();
    let rows = rows.filter(|(_, text)| {
        !["begin", "iter:task ", "tracepoint:sched:"]
            .iter()
            .any(|p| text.starts_with(p))
    });
    let rows: Vec<String> = rows.map(|(_, text)| text).collect();
    let most = rows.len() + COUNT;
    let made =
        (first_seed..).map(|seed| typed::typed(&mut Random::new(seed), typed::Machine::Live));
    let mut all = vec![];
    for text in rows.into_iter().chain(made).take(most * 2) {
        let compiled = machine.compile(&text);
        match compiled.map_err(|why| anyhow::anyhow!("{why}\n{text}"))? {
            Ok(compiled) => all.push(Specimen { text, compiled }),
            Err(_) => continue,
        }
        if all.len() == most {
            break;
        }
    }
    let mut random = Random::new(first_seed);
    for index in (1..all.len()).rev() {
        all.swap(index, random.below(index + 1));
    }
    Ok(all)
}

/// An executable of all objects: a project of btc's own whose tool is another.
fn build(specimens: &[Specimen]) -> Result<PathBuf> {
    let directory = work_directory().join(NAME);
    let project = directory.join("project");
    if project.exists() {
        std::fs::remove_dir_all(&project)?;
    }
    std::fs::create_dir_all(&directory)?;
    let emitted = Command::new(compile::btc()?)
        .args(["-e", "begin { }", "--emit", "project", "-o"])
        .arg(&project)
        .output()?;
    if !emitted.status.success() {
        bail!("btc: {}", String::from_utf8_lossy(&emitted.stderr));
    }
    write_tool(&project.join("tool/src"), specimens)?;
    let target = directory.join("target");
    let built = Command::new("cargo")
        .args(["build", "--release", "--quiet"])
        .env("CARGO_TARGET_DIR", &target)
        .current_dir(&project)
        .output()
        .context("cargo")?;
    if !built.status.success() {
        bail!("cargo: {}", String::from_utf8_lossy(&built.stderr));
    }
    let triples = std::fs::read_dir(&target)?.flatten();
    let tool = triples
        .map(|entry| entry.path().join("release/tool"))
        .find(|tool| tool.exists());
    tool.context("cargo made no tool")
}

fn write_tool(source: &Path, specimens: &[Specimen]) -> Result<()> {
    let mut scripts = String::from(
        "#[allow(unused_imports)]\nuse btc_runtime::abi::*;\n#[allow(unused_imports)]\nuse std::borrow::Cow;\n",
    );
    let mut list = String::new();
    for (index, Specimen { compiled, .. }) in specimens.iter().enumerate() {
        std::fs::write(source.join(format!("{index}.o")), &compiled.object)?;
        let mut manifest = String::new();
        compiled.manifest.to_const(&mut manifest);
        writeln!(scripts, "static M{index}: Manifest = {manifest};")?;
        writeln!(list, "(&M{index}, include_bytes!(\"{index}.o\")),")?;
    }
    writeln!(
        scripts,
        "pub static ALL: &[(&Manifest, &[u8])] = &[{list}];"
    )?;
    let providers = PROVIDER_NAMES
        .iter()
        .map(|name| format!("&btc_runtime::attach::{name}"));
    let providers: Vec<String> = providers.collect();
    let main = MAIN.replace("PROVIDERS", &providers.join(", "));
    std::fs::write(source.join("scripts.rs"), scripts)?;
    Ok(std::fs::write(source.join("main.rs"), main)?)
}

/// One line an object until the seconds are over: its number, `+` with what was loaded or `-` with why nothing was; `\` ends a line of many.
const MAIN: &str = r#"
mod scripts;

use std::time::{Duration, Instant};

fn main() {
    let seconds = std::env::args().nth(1).and_then(|word| word.parse().ok());
    let end = Instant::now() + Duration::from_secs(seconds.expect("a number of seconds"));
    for (index, (manifest, object)) in scripts::ALL.iter().enumerate() {
        if Instant::now() > end {
            break;
        }
        let tracer = Box::leak(Box::new(btc_runtime::Tracer {
            manifest,
            providers: &[PROVIDERS],
            symbolizer: None,
            packets: None,
            unwinder: None,
        }));
        match btc_runtime::rehearsal::rehearse(tracer, object.to_vec()) {
            Ok(rehearsal) => println!("{index} +{}", rehearsal.loaded),
            Err(error) => println!("{index} -{}", error.to_string().replace('\n', "\\")),
        }
    }
    println!("end");
}
"#;

fn on_kernel(kernel: &kernels::Kernel, executable: &[u8], seconds: u64) -> Result<String> {
    let job = Job {
        words: vec![format!("{BIN}/{NAME}"), seconds.to_string()],
        environment: vec![],
        timeout_seconds: seconds + 120,
    };
    let files = [(NAME.to_owned(), executable.to_vec())];
    let outcomes = guest::run(kernel, 1, &files, &[job])?;
    let outcome = outcomes.into_iter().next().context("no outcome")?;
    Ok(outcome.stdout + &outcome.stderr)
}
