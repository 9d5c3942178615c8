//! `tests/run`: scripts compiled, run on the live kernel against a known load, their numbers checked.

use std::sync::RwLock;

use btc_tests::case::{self, Place};
use btc_tests::{check, compile, launch, root};
use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> anyhow::Result<()> {
    let mut arguments = Arguments::from_args();
    // Live-kernel cases count system-wide events; two at once are enough for two cores.
    arguments.test_threads.get_or_insert(2);
    let trials = case::collect(&root().join("tests/run"))?
        .into_iter()
        .filter(|case| case.place != Place::Guest)
        .map(|case| Trial::test(case.name.clone(), move || live(&case)))
        .collect();
    libtest_mimic::run(&arguments, trials).exit()
}

fn live(case: &case::Case) -> Result<(), Failed> {
    let executable = compile::compile(case).map_err(|e| format!("{e:#}"))?;
    let load = compile::load().map_err(|e| format!("{e:#}"))?;
    compile::usdt().map_err(|e| format!("{e:#}"))?;
    // What we ship traces the whole machine, and its cases count: nothing else may run a load meanwhile.
    static QUIET: RwLock<()> = RwLock::new(());
    let (_alone, _together);
    if case.is_of_the_whole_machine() {
        _alone = QUIET.write();
    } else {
        _together = QUIET.read();
    }
    let outcome = launch::run(case, &executable, load).map_err(|e| format!("{e:#}"))?;
    check::check(case, &outcome).map_err(Failed::from)
}
