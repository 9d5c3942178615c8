//! Cases × kernels → verdicts. Every script is compiled once; a kernel boots once and runs its batch; as many kernels
//! run side by side as the host has cores.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use anyhow::Result;

use super::cross::Cross;
use super::guest::{self, BIN, Job};
use super::kernels::{self, Arch, Series};
use crate::case::{Case, Place};
use crate::check::check;
use crate::compile::{self, LOAD};
use crate::launch;

/// What came of a case on a kernel; `Err` says what was wrong.
pub type Verdict = Result<(), String>;

/// A case and a kernel that it runs on.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    pub case: &'a Case,
    pub kernel: Series,
}

impl Run<'_> {
    fn boot(&self) -> Boot {
        (self.kernel, self.case.cpus)
    }

    /// `5.10/guest/kprobe-count`
    #[must_use]
    pub fn title(&self) -> String {
        format!("{}/{}", self.kernel.name(), self.case.name)
    }
}

/// All that the cases ask for; with `only`, every case of guests on that kernel alone.
#[must_use]
pub fn runs(cases: &[Case], only: Option<Series>) -> Vec<Run<'_>> {
    let guests = cases.iter().filter(|case| case.place != Place::Host);
    let mut runs: Vec<Run<'_>> = guests
        .flat_map(|case| {
            let kernels = only.map_or_else(|| case.kernels.clone(), |kernel| vec![kernel]);
            kernels.into_iter().map(move |kernel| Run { case, kernel })
        })
        .collect();
    runs.sort_by_key(|run| run.kernel);
    runs
}

/// Runs everything; verdicts by title. What can't be compiled, fetched or booted is the verdict of each case that
/// needs it.
#[must_use]
pub fn verdicts(runs: &[Run<'_>]) -> BTreeMap<String, Verdict> {
    let executables = Mutex::new(BTreeMap::new());
    let verdicts = Mutex::new(BTreeMap::new());
    let boots: BTreeSet<Boot> = runs.iter().map(Run::boot).collect();
    let waiting: Mutex<Vec<Boot>> = Mutex::new(boots.into_iter().collect());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some(boot) = next(&waiting) {
                    let batch = runs.iter().filter(|run| run.boot() == boot);
                    let batch: Vec<Run<'_>> = batch.copied().collect();
                    let judged = run_batch(boot, &batch, &executables);
                    if let Ok(mut verdicts) = verdicts.lock() {
                        verdicts.extend(judged);
                    }
                }
            });
        }
    });
    verdicts.into_inner().unwrap_or_default()
}

fn next(waiting: &Mutex<Vec<Boot>>) -> Option<Boot> {
    waiting.lock().ok()?.pop()
}

/// Bytes of an executable, or why there is none; by the case's name and the architecture.
type Executables = Mutex<BTreeMap<(String, Arch), Result<Vec<u8>, String>>>;

/// A kernel, and how many CPUs its guest has.
type Boot = (Series, u32);

/// Boots one kernel for all of its cases.
fn run_batch(
    (kernel, cpus): Boot,
    batch: &[Run<'_>],
    executables: &Executables,
) -> Vec<(String, Verdict)> {
    let mut judged = vec![];
    let (mut files, mut jobs, mut ready) = (vec![], vec![], vec![]);
    for run in batch {
        match executable(run, executables).and_then(|bytes| Ok((bytes, job(run.case)?))) {
            Ok((bytes, job)) => {
                files.push((file_name(run.case), bytes));
                jobs.push(job);
                ready.push(run);
            }
            Err(why) => judged.push((run.title(), Err(why))),
        }
    }
    if ready.is_empty() {
        return judged;
    }
    let outcomes =
        kernels::fetch(kernel).and_then(|kernel| guest::run(&kernel, cpus, &files, &jobs));
    for (index, run) in ready.iter().enumerate() {
        let verdict = match &outcomes {
            Ok(outcomes) => check(run.case, &outcomes[index]),
            Err(error) => Err(format!("{error:#}")),
        };
        judged.push((run.title(), verdict));
    }
    judged
}

fn file_name(case: &Case) -> String {
    case.name.replace('/', "-")
}

fn job(case: &Case) -> Result<Job, String> {
    let path = format!("{BIN}/{}", file_name(case));
    let words =
        launch::command_line(case, &path, LOAD, "/tmp").map_err(|error| format!("{error:#}"))?;
    Ok(Job {
        words,
        environment: case.environment.clone(),
        timeout_seconds: case.timeout_seconds.max(20),
    })
}

/// Compiled once, whatever the number of kernels.
fn executable(run: &Run<'_>, executables: &Executables) -> Result<Vec<u8>, String> {
    let mut executables = executables
        .lock()
        .map_err(|_| "another compilation panicked")?;
    let key = (run.case.name.clone(), run.kernel.arch);
    let made = executables.entry(key).or_insert_with(|| {
        let made = match run.kernel.arch {
            Arch::Amd64 => compile::compile(run.case),
            Arch::Arm64 => Cross::get().and_then(|cross| cross.compile(run.case)),
        };
        let path = made.map_err(|error| format!("{error:#}"))?;
        std::fs::read(path).map_err(|error| error.to_string())
    });
    made.clone()
}
