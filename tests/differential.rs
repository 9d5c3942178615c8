//! The same script and the same load under the distribution's bpftrace (0.17) and under btc: what both print is compared, after
//! what changed between bpftrace 0.17 and 0.26 was named.
//!
//! A case is `tests/differential/NAME.bt`, as people wrote scripts for 0.17, with head lines `// load: WORDS`, `// args: WORDS`,
//! `// unsafe`.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};
use btc_tests::case::{files, words};
use btc_tests::{compile, root, work_directory};
use libtest_mimic::{Arguments, Failed, Trial};
use regex::Regex;

/// What 0.26 prints in another way than 0.17, as a regular expression and its replacement in 0.17's lines.
struct Change {
    why: &'static str,
    /// The cases that it is of; none: of all.
    only: &'static [&'static str],
    from: &'static str,
    to: &'static str,
}

const CHANGES: &[Change] = &[
    Change {
        why: "statistics are printed as a record",
        only: &[],
        from: r"^(@.*): count (-?\d+), average (-?\d+), total (-?\d+)$",
        to: "$1: { .count = $2, .average = $3, .total = $4 }",
    },
    Change {
        why: "no blank after the name of a histogram",
        only: &[],
        from: r"^(@.*): $",
        to: "$1:",
    },
    Change {
        why: "frames of stacks are indented by eight",
        only: &[],
        from: r"^    (\S+\+\d+)$",
        to: "        $1",
    },
    Change {
        why: "comparisons are bools, which keys show",
        only: &["opens", "two-probes", "string-map-values"],
        from: r"^(@\w+)\[1\]",
        to: "$1[true]",
    },
    Change {
        why: "comparisons are bools, which keys show",
        only: &["opens"],
        from: r"^(@\w+)\[0\]",
        to: "$1[false]",
    },
    Change {
        why: "a map without keys is an array: what was deleted or cleared is 0, and printed",
        only: &["map-scalar-deleted"],
        from: "^deleted$",
        to: "deleted\n@d: 0",
    },
    Change {
        why: "a map without keys is an array: what was deleted or cleared is 0, and printed",
        only: &["end"],
        from: "^1$",
        to: "1\n@a: 0",
    },
    Change {
        why: "conversions without a length print the whole number",
        only: &["bitwise"],
        from: "^fffffff3$",
        to: "fffffffffffffff3",
    },
    Change {
        why: "functions of processes that have ended have names",
        only: &["func"],
        from: r"^@\[0x[0-9a-f]+\]",
        to: "@[load_inner]",
    },
    Change {
        why: "`%%` is one sign where there are no arguments too",
        only: &["printf-strings"],
        from: "%%",
        to: "%",
    },
];

/// Fewer would be a directory that was lost.
const LEAST: usize = 60;

fn main() -> Result<()> {
    let mut arguments = Arguments::from_args();
    // Both trace the whole machine.
    arguments.test_threads = Some(1);
    let cases = files(&root().join("tests/differential"))?;
    if cases.len() < LEAST {
        bail!("{} scripts to compare, expected {LEAST}", cases.len());
    }
    let trials = cases.into_iter().map(|path| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let name = name.into_owned();
        Trial::test(name.clone(), move || {
            compare(&name, &path).map_err(|e| Failed::from(format!("{e:#}")))
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit()
}

struct Script<'p> {
    path: &'p Path,
    load: Option<String>,
    args: Vec<String>,
    is_unsafe: bool,
}

fn read(path: &Path) -> Result<Script<'_>> {
    let text = std::fs::read_to_string(path)?;
    let mut script = Script {
        path,
        load: None,
        args: vec![],
        is_unsafe: false,
    };
    for line in text.lines().map_while(|line| line.strip_prefix("// ")) {
        match line.split_once(": ") {
            Some(("load", load)) => script.load = Some(load.to_owned()),
            Some(("args", args)) => script.args = words(args)?,
            None if line == "unsafe" => script.is_unsafe = true,
            _ => bail!("not a directive: {line}"),
        }
    }
    Ok(script)
}

fn compare(name: &str, path: &Path) -> Result<()> {
    let script = read(path)?;
    let load = compile::load()?;
    let child = |work: &String| format!("{} {work}", load.display());
    let child: Vec<String> = (script.load.iter())
        .flat_map(|work| ["-c".to_owned(), child(work)])
        .collect();
    let theirs = theirs(&script, &child)?;
    let ours = ours(name, &script, &child)?;
    let (expected, found) = (normal(&changed(name, &theirs)?), normal(&ours));
    if expected != found {
        bail!(
            "bpftrace prints\n{}\nand btc\n{}",
            expected.join("\n"),
            found.join("\n")
        );
    }
    Ok(())
}

fn stdout(what: &str, output: Output) -> Result<String> {
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("{what}: {}\n{said}", output.status);
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// It mounts nothing by itself, and now and then goes on after its end: then it is killed.
const MOUNTED: &str =
    "[ -e /sys/kernel/tracing/events ] || mount -t tracefs none /sys/kernel/tracing
    [ -e /sys/kernel/debug/tracing ] || mount -t debugfs none /sys/kernel/debug
    exec timeout -s KILL 60 bpftrace \"$@\"";

fn theirs(script: &Script<'_>, child: &[String]) -> Result<String> {
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", MOUNTED, "bpftrace"]);
    command.args(script.is_unsafe.then_some("--unsafe"));
    command.args(child).arg(script.path).args(&script.args);
    let output = command.stdin(Stdio::null()).output().context("unshare")?;
    stdout("bpftrace", output)
}

fn ours(name: &str, script: &Script<'_>, child: &[String]) -> Result<String> {
    let directory = work_directory().join("differential");
    std::fs::create_dir_all(&directory)?;
    let executable = directory.join(name);
    let mut command = Command::new(compile::btc()?);
    command.args(script.is_unsafe.then_some("--unsafe"));
    command.arg(script.path).arg("-o").arg(&executable);
    stdout("btc", command.output().context("btc")?)?;
    let mut command = Command::new("timeout");
    command.args(["-s", "KILL", "60"]).arg(&executable);
    command.args(child).args(&script.args);
    // 0.17 knows of no source lines.
    command.env("BTC_SHOW_DEBUG_INFO", "0");
    stdout("the executable", command.output()?)
}

/// 0.17's lines as 0.26 would print them.
fn changed(name: &str, text: &str) -> Result<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    // Both say it; 0.26 to standard error.
    if lines
        .first()
        .is_some_and(|line| line.starts_with("Attaching "))
    {
        lines.remove(0);
    }
    for change in CHANGES {
        if !change.only.is_empty() && !change.only.contains(&name) {
            continue;
        }
        let from = Regex::new(change.from)?;
        let mut found = false;
        for line in &mut lines {
            found |= from.is_match(line);
            *line = from.replace_all(line, change.to).into_owned();
        }
        if !found && !change.only.is_empty() {
            bail!("nothing here changed: {}", change.why);
        }
    }
    Ok(lines.join("\n"))
}

/// Lines without blank ones; elements of equal value, which come in any order, sorted.
fn normal(text: &str) -> Vec<String> {
    let blank = |line: &&str| !line.trim().is_empty();
    let mut lines: Vec<String> = text.lines().filter(blank).map(str::to_owned).collect();
    let value = |line: &String| {
        let (key, value) = line.rsplit_once("]: ")?;
        let (map, _) = key.split_once('[')?;
        map.starts_with('@')
            .then(|| (map.to_owned(), value.to_owned()))
    };
    let alike = |a: &String, b: &String| value(a).is_some_and(|of_a| value(b) == Some(of_a));
    lines.chunk_by_mut(alike).for_each(<[String]>::sort);
    lines
}
