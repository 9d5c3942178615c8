//! What this machine's kernel can't attach, and every tool, in a guest: one boot for all cases, each reported by itself.

use std::collections::BTreeMap;

use anyhow::Result;
use btc_tests::case::{self, Case, Place};
use btc_tests::check::{Outcome, check};
use btc_tests::guest::{BIN, Job, LOAD};
use btc_tests::{compile, guest, kernels, launch, root};
use libtest_mimic::{Arguments, Failed, Trial};

/// Debian's kernel that has kprobes, kprobe.multi, fentry and BTF; `BTC_KERNEL` tries another.
fn series() -> String {
    std::env::var("BTC_KERNEL").unwrap_or_else(|_| "6.12".into())
}

fn main() -> Result<()> {
    let arguments = Arguments::from_args();
    let mut cases = case::collect(&root().join("tests/run"))?;
    cases.retain(|case| case.place != Place::Host);
    if arguments.list {
        let trials = cases
            .iter()
            .map(|c| Trial::test(title(c), || Ok(())))
            .collect();
        libtest_mimic::run(&arguments, trials).exit();
    }
    if let Some(filter) = &arguments.filter {
        cases.retain(|case| title(case).contains(filter.as_str()));
    }
    let mut verdicts = verdicts(&cases);
    let trials = cases
        .iter()
        .map(|case| {
            let verdict = verdicts
                .remove(&case.name)
                .unwrap_or_else(|| Err("never ran".into()));
            Trial::test(title(case), move || verdict.map_err(Failed::from))
        })
        .collect();
    libtest_mimic::run(&arguments, trials).exit()
}

fn title(case: &Case) -> String {
    format!("{}/{}", series(), case.name)
}

/// Compiles every case, boots once, and judges each. A guest that can't be had fails all of them.
fn verdicts(cases: &[Case]) -> BTreeMap<String, Result<(), String>> {
    let mut verdicts = BTreeMap::new();
    let mut executables = vec![];
    let mut jobs = vec![];
    let mut ready = vec![];
    for case in cases {
        match prepare(case) {
            Ok((executable, job)) => {
                executables.push(executable);
                jobs.push(job);
                ready.push(case);
            }
            Err(error) => {
                verdicts.insert(case.name.clone(), Err(format!("{error:#}")));
            }
        }
    }
    if ready.is_empty() {
        return verdicts;
    }
    let outcomes: Result<Vec<Outcome>> =
        kernels::fetch(&series()).and_then(|kernel| guest::run(&kernel, &executables, &jobs));
    for (index, case) in ready.iter().enumerate() {
        let verdict = match &outcomes {
            Ok(outcomes) => check(case, &outcomes[index]),
            Err(error) => Err(format!("{error:#}")),
        };
        verdicts.insert(case.name.clone(), verdict);
    }
    verdicts
}

fn prepare(case: &Case) -> Result<((String, Vec<u8>), Job)> {
    let executable = compile::compile(case)?;
    let name = case.name.replace('/', "-");
    let words = launch::command_line(case, &format!("{BIN}/{name}"), LOAD, "/tmp")?;
    let job = Job {
        words,
        environment: case.environment.clone(),
        timeout_seconds: case.timeout_seconds.max(20),
    };
    Ok(((name, std::fs::read(executable)?), job))
}
