//! Noise for the parser, the analyzer and code generation. A worker process makes scripts from seeds and judges them;
//! when it fails, dies or hangs, the test prints the seed and the script, made as small as it still fails.
//!
//! `BTC_FUZZ_SECONDS` (20 for each of the three kinds by default) and `BTC_FUZZ_SEED` (the first seed) are read.

mod grammar;
mod judge;
mod mutate;
mod random;
mod typed;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use btc_tests::case::files;
use btc_tests::{root, work_directory};
use libtest_mimic::{Arguments, Failed, Trial};
use random::Random;

/// No script of this size takes so long unless something grows without bounds.
const LONGEST: Duration = Duration::from_secs(10);
/// Every so many scripts one is compiled to an object; of the well typed ones all are.
const COMPILED: u64 = 8;
/// What may be tried to make a failing script smaller.
const MINIMISING: Duration = Duration::from_secs(60);

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["--worker", kind, seed, seconds] => worker(
            kind,
            seed.parse().expect("a seed"),
            seconds.parse().expect("seconds"),
        ),
        ["--judge", file] => judge_file(Path::new(file)),
        _ => {
            let mut arguments = Arguments::from_args();
            arguments.test_threads.get_or_insert(2);
            let trials = ["mutated", "generated", "typed"]
                .map(|kind| Trial::test(format!("fuzz/{kind}"), move || fuzz(kind)));
            libtest_mimic::run(&arguments, trials.into()).exit()
        }
    }
}

fn setting(name: &str, default: u64) -> u64 {
    let value = std::env::var(name).ok();
    value.and_then(|v| v.parse().ok()).unwrap_or(default)
}

/// Where a worker leaves the seed and the script that it is about to judge.
fn current(kind: &str) -> PathBuf {
    work_directory().join(format!("fuzz-{kind}.bt"))
}

fn fuzz(kind: &'static str) -> Result<(), Failed> {
    std::fs::create_dir_all(work_directory())?;
    let seconds = setting("BTC_FUZZ_SECONDS", 20);
    let seed = setting("BTC_FUZZ_SEED", 1);
    let output = Command::new(std::env::current_exe()?)
        .args(["--worker", kind, &seed.to_string(), &seconds.to_string()])
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    let text = std::fs::read_to_string(current(kind))?;
    let (seed, text) = text.split_once('\n').unwrap_or_default();
    let small = minimised(text, kind);
    let said: String = said.chars().take(4000).collect();
    Err(Failed::from(format!(
        "{} (BTC_FUZZ_SEED={seed}, {kind})\n{said}\n--- made smaller\n{small}\n---",
        output.status
    )))
}

/// The script of a seed.
fn script(kind: &str, seed: u64, corpus: &[String]) -> String {
    let mut random = Random::new(seed);
    match kind {
        "generated" => grammar::generated(&mut random),
        "typed" => typed::typed(&mut random),
        _ => mutate::mutated(corpus, &mut random),
    }
}

fn corpus() -> Vec<String> {
    let folders = ["tools", "examples", "tests"];
    let found = folders
        .iter()
        .flat_map(|f| files(&root().join(f)).expect("a folder"));
    found
        .filter(|path| path.extension().is_some_and(|e| e == "bt"))
        .filter_map(|path| std::fs::read_to_string(path).ok())
        .filter(|text| !text.is_empty())
        .collect()
}

fn worker(kind: &str, first: u64, seconds: u64) {
    std::panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
    static JUDGED: AtomicU64 = AtomicU64::new(0);
    watch(&JUDGED);
    let corpus = corpus();
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut seed = first;
    while Instant::now() < end {
        let text = script(kind, seed, &corpus);
        std::fs::write(current(kind), format!("{seed}\n{text}")).expect("the target directory");
        let compile = kind == "typed" || seed.is_multiple_of(COMPILED);
        if let Err(why) = judge::judge(&text, compile) {
            println!("{why}");
            std::process::exit(1);
        }
        seed += 1;
        JUDGED.fetch_add(1, Ordering::Relaxed);
    }
    println!("{} scripts", seed - first);
}

/// Ends the process when one script takes too long.
fn watch(judged: &'static AtomicU64) {
    std::thread::spawn(move || {
        loop {
            let before = judged.load(Ordering::Relaxed);
            std::thread::sleep(LONGEST);
            if judged.load(Ordering::Relaxed) == before {
                println!("one script takes longer than {LONGEST:?}");
                std::process::exit(2);
            }
        }
    });
}

fn judge_file(file: &Path) {
    std::panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
    static JUDGED: AtomicU64 = AtomicU64::new(0);
    watch(&JUDGED);
    let text = std::fs::read_to_string(file).expect("a script");
    if let Err(why) = judge::judge(&text, true) {
        println!("{why}");
        std::process::exit(1);
    }
}

/// Takes out pieces, smaller and smaller ones, as long as what is left fails.
fn minimised(text: &str, kind: &str) -> String {
    let end = Instant::now() + MINIMISING;
    let mut best: Vec<char> = text.chars().collect();
    if !fails(&best, kind) {
        return text.to_owned();
    }
    let mut piece = best.len().div_ceil(2).max(1);
    loop {
        let mut at = 0;
        while at < best.len() && Instant::now() < end {
            let mut shorter = best.clone();
            shorter.drain(at..(at + piece).min(best.len()));
            if fails(&shorter, kind) {
                best = shorter;
            } else {
                at += piece;
            }
        }
        if piece == 1 || Instant::now() >= end {
            return best.into_iter().collect();
        }
        piece = piece.div_ceil(2);
    }
}

fn fails(text: &[char], kind: &str) -> bool {
    let path = work_directory().join(format!("fuzz-{kind}-smaller.bt"));
    let text: String = text.iter().collect();
    let written = std::fs::write(&path, text);
    let status = std::env::current_exe().and_then(|exe| {
        Command::new(exe)
            .arg("--judge")
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
    });
    written.is_ok() && status.is_ok_and(|s| !s.success())
}
