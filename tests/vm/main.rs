//! The matrix: what this machine's kernel can't attach, every kind of probe and every tool on every kernel. The same
//! executables run on all kernels of an architecture; each case on each kernel is reported by itself.

use anyhow::Result;
use btc_tests::vm::kernels::Series;
use btc_tests::vm::matrix::{self, Run};
use btc_tests::vm::table;
use btc_tests::{case, root};
use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> Result<()> {
    let arguments = Arguments::from_args();
    let cases = case::collect(&root().join("tests/run"))?;
    let only = std::env::var("BTC_KERNEL").ok();
    let only = only.map(|name| Series::named(&name)).transpose()?;
    let mut runs = matrix::runs(&cases, only);
    if let Some(filter) = &arguments.filter {
        runs.retain(|run| run.title().contains(filter.as_str()));
    }
    let mut verdicts = if arguments.list {
        Default::default()
    } else {
        matrix::verdicts(&runs)
    };
    let whole = only.is_none() && arguments.filter.is_none();
    let table = whole.then(|| table::markdown(&runs, &verdicts));
    let trial = |run: &Run<'_>| {
        let verdict = verdicts.remove(&run.title());
        let verdict = verdict.unwrap_or_else(|| Err("never ran".into()));
        Trial::test(run.title(), move || verdict.map_err(Failed::from))
    };
    let mut trials: Vec<Trial> = runs.iter().map(trial).collect();
    trials.extend(table.map(|table| {
        let compared = move || table::compare(&table).map_err(Failed::from);
        Trial::test("the table of docs/portability.md", compared)
    }));
    libtest_mimic::run(&arguments, trials).exit()
}
