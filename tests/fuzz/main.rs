//! Noise for the parser, the analyzer, code generation and the kernel's verifier. A worker process makes scripts from
//! seeds and judges them; when it fails, dies or hangs, the test prints the seed and the script, made as small as it
//! still fails.
//!
//! `BTC_FUZZ_SECONDS` (60 for each kind by default) and `BTC_FUZZ_SEED` (the first seed) are read. With
//! `BTC_FUZZ_SURVEY=DIRECTORY` a worker leaves what fails there and goes on.

mod grammar;
mod guest;
mod judge;
mod kernel;
mod mutate;
mod shrink;
mod typed;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use btc_tests::case::files;
use btc_tests::random::Random;
use btc_tests::{compile, root, work_directory};
use kernel::{Machine, Outcome};
use libtest_mimic::{Arguments, Failed, Trial};
use typed::Machine as For;

/// No script of this size takes so much of a processor unless something grows without bounds.
const LONGEST: Duration = Duration::from_secs(10);
/// Every so many scripts one is compiled to an object; of the well typed ones all are.
const COMPILED: u64 = 8;
/// What may be tried to make a failing script smaller.
const MINIMISING: Duration = Duration::from_secs(60);

/// What scripts are made of, and who judges them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Scripts of the checkout, changed at random, against the fixture kernel.
    Mutated,
    /// What the grammar allows, against the fixture kernel.
    Generated,
    /// What the types allow, against the fixture kernel.
    Typed,
    /// Scripts of the checkout, changed a little, loaded into this machine's kernel.
    MutatedLoaded,
    /// What the types allow, loaded into this machine's kernel.
    TypedLoaded,
}

impl Kind {
    const ALL: [Kind; 5] = [
        Kind::Mutated,
        Kind::Generated,
        Kind::Typed,
        Kind::MutatedLoaded,
        Kind::TypedLoaded,
    ];

    fn name(self) -> &'static str {
        match self {
            Kind::Mutated => "mutated",
            Kind::Generated => "generated",
            Kind::Typed => "typed",
            Kind::MutatedLoaded => "mutated-loaded",
            Kind::TypedLoaded => "typed-loaded",
        }
    }

    fn named(name: &str) -> Kind {
        let found = Kind::ALL.into_iter().find(|kind| kind.name() == name);
        found.expect("a kind of scripts")
    }

    fn is_loaded(self) -> bool {
        matches!(self, Kind::MutatedLoaded | Kind::TypedLoaded)
    }

    /// Of 100 scripts at least so many must compile, or the tables no longer know the language.
    fn least_compiled(self) -> u64 {
        match self {
            Kind::Mutated | Kind::Generated => 0,
            Kind::MutatedLoaded => 10,
            Kind::Typed | Kind::TypedLoaded => 50,
        }
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse().expect("a number");
    match words.as_slice() {
        ["--worker", kind, seed, seconds] => {
            worker(Kind::named(kind), number(seed), number(seconds));
        }
        ["--judge", kind, file] => judge_file(Kind::named(kind), Path::new(file)),
        ["--shrink", kind, file] => shrink_file(Kind::named(kind), Path::new(file)),
        ["--make", kind, seed] => print!("{}", script(Kind::named(kind), number(seed), &corpus())),
        ["--rows", rest @ ..] => print_rows(rest.first().copied().unwrap_or_default()),
        _ => {
            let mut arguments = Arguments::from_args();
            arguments.test_threads.get_or_insert(2);
            let mut trials: Vec<Trial> = (Kind::ALL.into_iter())
                .map(|kind| Trial::test(format!("fuzz/{}", kind.name()), move || fuzz(kind)))
                .collect();
            trials.push(Trial::test("fuzz/every-function-has-a-row", has_rows));
            trials.push(Trial::test("fuzz/every-row-loads", rows_load));
            trials.push(Trial::test("fuzz/guests", guests));
            libtest_mimic::run(&arguments, trials).exit()
        }
    }
}

fn setting(name: &str, default: u64) -> u64 {
    let value = std::env::var(name).ok();
    value.and_then(|v| v.parse().ok()).unwrap_or(default)
}

/// Where a worker leaves the seed and the script that it is about to judge.
fn current(kind: Kind) -> PathBuf {
    work_directory().join(format!("fuzz-{}.bt", kind.name()))
}

fn fuzz(kind: Kind) -> Result<(), Failed> {
    std::fs::create_dir_all(work_directory())?;
    if kind.is_loaded() {
        compile::programs()?;
    }
    let seconds = setting("BTC_FUZZ_SECONDS", 60);
    let seed = setting("BTC_FUZZ_SEED", 1);
    let output = Command::new(std::env::current_exe()?)
        .args([
            "--worker",
            kind.name(),
            &seed.to_string(),
            &seconds.to_string(),
        ])
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        print!("{}: {said}", kind.name());
        return Ok(());
    }
    let said = said + &String::from_utf8_lossy(&output.stderr);
    let text = std::fs::read_to_string(current(kind))?;
    let (seed, text) = text.split_once('\n').unwrap_or_default();
    let small = minimised(text, kind);
    let said: String = said.chars().take(4000).collect();
    Err(Failed::from(format!(
        "{} (BTC_FUZZ_SEED={seed}, {})\n{said}\n--- made smaller\n{small}\n---",
        output.status,
        kind.name()
    )))
}

/// The script of a seed.
fn script(kind: Kind, seed: u64, corpus: &[String]) -> String {
    let mut random = Random::new(seed);
    match kind {
        Kind::Generated => grammar::generated(&mut random),
        Kind::Typed => typed::typed(&mut random, For::Fixture),
        Kind::TypedLoaded => typed::typed(&mut random, For::Live),
        Kind::Mutated | Kind::MutatedLoaded => mutate::mutated(corpus, &mut random),
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

/// Judges texts, one after the other.
struct Judge {
    kind: Kind,
    machine: Option<Machine>,
}

impl Judge {
    fn new(kind: Kind) -> Judge {
        Judge {
            kind,
            machine: kind.is_loaded().then(Machine::new),
        }
    }

    /// How many programs a text became; `None` where diagnostics refuse it.
    fn verdict(&self, text: &str, compile: bool) -> Result<Option<usize>, String> {
        judge::caught(|| {
            let Some(machine) = &self.machine else {
                return Ok(judge::judge(text, compile)?.then_some(0));
            };
            // Files of this machine are no part of the noise.
            if ["#", "import"].iter().any(|word| text.contains(word))
                && self.kind == Kind::MutatedLoaded
            {
                return Ok(None);
            }
            Ok(match machine.judge(text)? {
                Outcome::Diagnosed(_) => None,
                Outcome::Loaded(programs) => Some(programs),
            })
        })
    }
}

fn worker(kind: Kind, first: u64, seconds: u64) {
    std::panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
    static JUDGED: AtomicU64 = AtomicU64::new(0);
    watch(&JUDGED);
    let corpus = corpus();
    let judge = Judge::new(kind);
    let end = Instant::now() + Duration::from_secs(seconds);
    let (mut seed, mut compiled, mut programs) = (first, 0, 0);
    while Instant::now() < end {
        let text = script(kind, seed, &corpus);
        std::fs::write(current(kind), format!("{seed}\n{text}")).expect("the target directory");
        let compile = kind == Kind::Typed || seed.is_multiple_of(COMPILED);
        match judge.verdict(&text, compile) {
            Err(why) => match std::env::var_os("BTC_FUZZ_SURVEY") {
                Some(directory) => {
                    let file = format!("{}-{seed}.bt", kind.name());
                    let why = why.replace('\n', "\n// ");
                    std::fs::write(
                        Path::new(&directory).join(file),
                        format!("// {why}\n{text}"),
                    )
                    .expect("the directory of a survey");
                }
                None => {
                    println!("{why}");
                    std::process::exit(1);
                }
            },
            Ok(Some(loaded)) => {
                compiled += 1;
                programs += loaded;
            }
            Ok(None) => {}
        }
        seed += 1;
        JUDGED.fetch_add(1, Ordering::Relaxed);
    }
    let judged = seed - first;
    println!("{judged} scripts, {compiled} without errors, {programs} programs loaded");
    if judged > 100 && compiled * 100 < judged * kind.least_compiled() {
        println!("fewer than {} of 100 compile", kind.least_compiled());
        std::process::exit(1);
    }
}

/// Ends the process when one script takes too long: of our own time, since others may want the processors too.
fn watch(judged: &'static AtomicU64) {
    std::thread::spawn(move || {
        let (mut last, mut since) = (judged.load(Ordering::Relaxed), used());
        loop {
            std::thread::sleep(Duration::from_millis(500));
            let now = judged.load(Ordering::Relaxed);
            if now != last {
                (last, since) = (now, used());
            } else if used().saturating_sub(since) > LONGEST {
                println!("one script takes longer than {LONGEST:?}");
                std::process::exit(2);
            }
        }
    });
}

/// Processor time of this process.
fn used() -> Duration {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` is a valid place for the result.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut now) };
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32)
}

fn judge_file(kind: Kind, file: &Path) {
    std::panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
    static JUDGED: AtomicU64 = AtomicU64::new(0);
    watch(&JUDGED);
    let text = std::fs::read_to_string(file).expect("a script");
    let judge = Judge::new(kind);
    if let (Some(machine), false) = (&judge.machine, text.contains('#'))
        && let Ok(Ok(Outcome::Diagnosed(said))) = judge::caught(|| Ok(machine.judge(&text)))
    {
        println!("{said}");
    }
    match judge.verdict(&text, true) {
        Err(why) => {
            println!("{why}");
            std::process::exit(1);
        }
        Ok(programs) => println!("{programs:?}"),
    }
}

/// What a verdict is about: its first words.
fn class(why: &str) -> String {
    why.split(':').next().unwrap_or_default().to_owned()
}

/// Writes a smaller script of the same failure beside the file, better and better ones.
fn shrink_file(kind: Kind, file: &Path) {
    std::panic::set_hook(Box::new(|_| {}));
    static JUDGED: AtomicU64 = AtomicU64::new(0);
    watch(&JUDGED);
    let text = std::fs::read_to_string(file).expect("a script");
    let judge = Judge::new(kind);
    let verdict = |text: &str| {
        JUDGED.fetch_add(1, Ordering::Relaxed);
        judge.verdict(text, true).err().map(|why| class(&why))
    };
    let Some(wanted) = verdict(&text) else {
        return;
    };
    let best = file.with_extension("smaller");
    shrink::shrunk(
        &text,
        Instant::now() + MINIMISING,
        |text| verdict(text).as_ref() == Some(&wanted),
        |smaller| std::fs::write(&best, smaller).expect("the target directory"),
    );
}

/// The smallest script of the same failure; in another process, which a failure may end.
fn minimised(text: &str, kind: Kind) -> String {
    let file = work_directory().join(format!("fuzz-{}-failed.bt", kind.name()));
    let best = file.with_extension("smaller");
    let _ = std::fs::remove_file(&best);
    let shrunk = std::fs::write(&file, text).and_then(|()| {
        Command::new(std::env::current_exe()?)
            .args(["--shrink", kind.name()])
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
    });
    let smaller = shrunk.and_then(|_| std::fs::read_to_string(best));
    smaller.unwrap_or_else(|_| text.to_owned())
}

/// The compiler's own table knows no function that the tables here lack, and none of theirs is left out of scripts.
fn has_rows() -> Result<(), Failed> {
    let known = |name: &str| typed::FUNCTIONS.iter().any(|row| row.name == name);
    let missing: Vec<_> = btc::builtin::names().filter(|name| !known(name)).collect();
    if !missing.is_empty() {
        return Err(format!("no row in tests/fuzz/typed/functions.rs: {missing:?}").into());
    }
    let mut unseen: Vec<&str> = (typed::FUNCTIONS.iter())
        .flat_map(|row| row.forms.iter().map(|form| words(form)))
        .collect();
    for seed in 0..20_000 {
        if unseen.is_empty() {
            return Ok(());
        }
        let text = typed::typed(&mut Random::new(seed), For::Live);
        unseen.retain(|words| !text.contains(words));
    }
    Err(format!("in no script of 20000: {unseen:?}").into())
}

/// What stands before a form's first hole.
fn words(form: &'static str) -> &'static str {
    form.split('§').next().unwrap_or_default()
}

/// Scripts of a row before it is taken for one that no script can have: what fills its holes may not fit.
const ATTEMPTS: u64 = 5;

/// The rows of which this machine loads no script, and why; what the kernel refuses fails at once.
fn failing_rows(only: &str) -> Vec<String> {
    let machine = Machine::new();
    let attempts: Vec<_> = (0..ATTEMPTS).map(|n| typed::rows(For::Live, n)).collect();
    let mut failures = vec![];
    for row in 0..attempts[0].len() {
        if !attempts[0][row].1.contains(only) {
            continue;
        }
        let mut diagnosed = None;
        for (name, text) in attempts.iter().map(|rows| &rows[row]) {
            match judge::caught(|| machine.judge(text)) {
                Ok(Outcome::Loaded(_)) => diagnosed = None,
                Ok(Outcome::Diagnosed(said)) => {
                    diagnosed = Some(format!("{name}\n{text}{said}"));
                    continue;
                }
                Err(why) => failures.push(format!("{name}\n{text}{why}")),
            }
            break;
        }
        failures.extend(diagnosed);
    }
    failures
}

fn rows_load() -> Result<(), Failed> {
    compile::programs()?;
    let failures = failing_rows("");
    match failures.is_empty() {
        true => Ok(()),
        false => Err(failures.join("\n---\n").into()),
    }
}

/// The kernels that differ most from the one that tests run on.
const KERNELS: [&str; 2] = ["5.10", "6.1"];

fn guests() -> Result<(), Failed> {
    let seed = setting("BTC_FUZZ_SEED", 1);
    let seconds = setting("BTC_FUZZ_SECONDS", 60);
    let refused = guest::refused(&KERNELS, seed, seconds).map_err(|error| format!("{error:#}"))?;
    match refused.is_empty() {
        true => Ok(()),
        false => Err(refused.join("\n---\n").into()),
    }
}

fn print_rows(only: &str) {
    std::panic::set_hook(Box::new(|_| {}));
    compile::programs().expect("the programs of tests/programs");
    for failure in failing_rows(only) {
        println!("{failure}\n---");
    }
}
