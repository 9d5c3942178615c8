//! User probes on this machine's kernel, against programs that are built here: every form of naming a place, binaries that
//! move, change and go away, and files that are no binaries. A case is a script and a shell command around its executable.

mod cases;
mod programs;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result};
use btc_tests::compile::btc;
use cases::{CASES, Case};
use libtest_mimic::{Arguments, Failed, Trial};
use regex::Regex;

fn main() -> Result<()> {
    let arguments = Arguments::from_args();
    let within = std::env::temp_dir().join(format!("btc-user-{}", std::process::id()));
    if !arguments.list {
        programs::build(&within.join("p"))?;
    }
    let trials = CASES.iter().map(|case| {
        let within = within.clone();
        Trial::test(case.name, move || check(case, &within))
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    if !arguments.list {
        std::fs::remove_dir_all(&within)?;
    }
    conclusion.exit()
}

/// Each case has a directory of its own, with the programs in `p` and its executable as `t`.
fn check(case: &Case, within: &Path) -> Result<(), Failed> {
    let directory = within.join(case.name);
    std::fs::create_dir_all(&directory)?;
    std::os::unix::fs::symlink("../p", directory.join("p"))?;
    let before = shell(case.before, &directory)?;
    if !before.status.success() {
        return Err(format!("{}\n{before:#?}", case.before).into());
    }
    let mut compiler = Command::new(btc()?);
    compiler
        .args(case.flags.split_whitespace())
        .args(["-e", case.script, "-o", "t"]);
    let compiled = compiler.current_dir(&directory).output().context("btc")?;
    let output = match (case.command, compiled.status.success()) {
        ("", _) | (_, false) => compiled,
        (command, true) => shell(command, &directory)?,
    };
    let found = (
        output.status.code(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    let fit = found.0 == Some(case.status)
        && Regex::new(case.stdout)?.is_match(&found.1)
        && Regex::new(case.stderr)?.is_match(&found.2);
    match fit {
        true => Ok(()),
        false => Err(format!("{}\n{}\n{found:#?}", case.script, case.command).into()),
    }
}

fn shell(command: &str, directory: &Path) -> Result<Output> {
    Command::new("timeout")
        .args(["--foreground", "40", "sh", "-c", command])
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .context("sh")
}
