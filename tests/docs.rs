//! Each command that README.md and docs/ show is run, and prints what is shown there.
//!
//! A ```` ```console ```` block holds `$ command` lines and what they print. A shown line is found in the output after
//! the one before it: numbers, blanks and bars of histograms may differ, `…` is anything, a line of `…` alone says that
//! lines were left out. The commands of one file share a directory that has `tools` and `examples` in it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use btc_tests::compile::btc;
use libtest_mimic::{Arguments, Failed, Trial};
use regex::Regex;

/// What can't run as it is written: it would change this machine, or takes as long as all tests do.
const INSTEAD: &[(&str, &str)] = &[
    ("make deps", "make -n deps"),
    ("make test", "make -n test"),
    ("make bench", "make -n bench"),
    (
        "sudo make install",
        "make install DESTDIR=$WITHIN/installed",
    ),
];

/// One command and the lines shown below it.
struct Shown {
    line: usize,
    command: String,
    output: Vec<String>,
}

fn main() -> Result<()> {
    let arguments = Arguments::from_args();
    let root = btc_tests::root();
    let mut files = vec![root.join("README.md")];
    files.extend(btc_tests::case::files(&root.join("docs"))?);
    files.retain(|file| file.extension().is_some_and(|e| e == "md"));
    let mut trials: Vec<Trial> = files
        .into_iter()
        .map(|file| {
            let name = file
                .strip_prefix(&root)
                .unwrap_or(&file)
                .display()
                .to_string();
            Trial::test(name, move || {
                commands_hold(&file).map_err(|e| Failed::from(format!("{e:#}")))
            })
        })
        .collect();
    trials.push(Trial::test("installed", || {
        installed_needs_no_checkout().map_err(|e| Failed::from(format!("{e:#}")))
    }));
    libtest_mimic::run(&arguments, trials).exit();
}

fn commands_hold(file: &Path) -> Result<()> {
    let within = directory(&file.file_stem().context("a name")?.to_string_lossy())?;
    let root = btc_tests::root();
    for name in ["tools", "examples", "Makefile"] {
        symlink(root.join(name), within.join(name))?;
    }
    for shown in blocks(&fs::read_to_string(file)?) {
        let place = format!("{}:{}: $ {}", file.display(), shown.line, shown.command);
        let output = run(&shown.command, &within).with_context(|| place.clone())?;
        holds(&shown.output, &output).with_context(|| place)?;
    }
    Ok(())
}

/// An empty directory with `bin/btc` and a `bin/sudo` that does nothing of its own.
fn directory(name: &str) -> Result<PathBuf> {
    let within = btc_tests::work_directory().join("docs").join(name);
    if within.exists() {
        fs::remove_dir_all(&within)?;
    }
    fs::create_dir_all(within.join("bin"))?;
    symlink(btc()?, within.join("bin/btc"))?;
    let sudo = within.join("bin/sudo");
    fs::write(&sudo, "#!/bin/sh\nexec \"$@\"\n")?;
    fs::set_permissions(&sudo, fs::Permissions::from_mode(0o755))?;
    Ok(within)
}

fn blocks(text: &str) -> Vec<Shown> {
    let mut found: Vec<Shown> = vec![];
    let mut inside = false;
    for (index, line) in text.lines().enumerate() {
        if line.starts_with("```") {
            inside = line == "```console";
            continue;
        }
        if !inside {
            continue;
        }
        if let Some(command) = line.strip_prefix("$ ") {
            found.push(Shown {
                line: index + 1,
                command: command.to_string(),
                output: vec![],
            });
        } else if let Some(shown) = found.last_mut() {
            match shown.command.strip_suffix('\\') {
                Some(start) if shown.output.is_empty() => {
                    shown.command = format!("{start}{}", line.trim_start());
                }
                _ => shown.output.push(line.to_string()),
            }
        }
    }
    found
}

/// What a command prints to either stream; its status does not matter, its words do.
fn run(command: &str, within: &Path) -> Result<String> {
    let plain = command.split('#').next().unwrap_or(command).trim();
    let instead = INSTEAD.iter().find(|(written, _)| *written == plain);
    let command = instead.map_or(command, |(_, instead)| *instead);
    let make = plain.trim_start_matches("sudo ").starts_with("make ");
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new("timeout")
        .args(["-k", "5", "100", "sh", "-c"])
        .arg(format!("exec 2>&1; {command}"))
        .env("PATH", format!("{}:{path}", within.join("bin").display()))
        .env("WITHIN", within)
        .current_dir(if make {
            btc_tests::root()
        } else {
            within.into()
        })
        .stdin(std::process::Stdio::null())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    match output.status.code() {
        Some(0..=2) => Ok(text),
        other => bail!("status {other:?}\n{text}"),
    }
}

fn holds(shown: &[String], output: &str) -> Result<()> {
    let mut lines = output.lines();
    for wanted in shown
        .iter()
        .filter(|line| !line.trim().is_empty() && *line != "…")
    {
        let pattern = Regex::new(&pattern(wanted))?;
        if !lines.any(|line| pattern.is_match(line)) {
            bail!("no line like\n{wanted}\nfrom there on in\n{output}");
        }
    }
    Ok(())
}

fn pattern(shown: &str) -> String {
    let bars = Regex::new(r"\\\|[@ ]*\\\|$");
    let escaped = regex::escape(shown.trim());
    let (Ok(bars), Ok(numbers), Ok(blanks)) = (bars, Regex::new(r"\d+"), Regex::new(r" +")) else {
        return escaped;
    };
    let text = bars.replace(&escaped, r"\|[@\x20]*\|");
    let text = numbers
        .replace_all(&text, r"\d+")
        .replace(r"\x\d+", r"\x20");
    let text = blanks.replace_all(&text, r"\s+");
    format!("^\\s*{}\\s*$", text.replace('…', ".*"))
}

/// `make install`, then a compilation with an empty home where the checkout can't be seen.
fn installed_needs_no_checkout() -> Result<()> {
    let within = std::env::temp_dir().join(format!("btc-installed-{}", std::process::id()));
    fs::create_dir_all(within.join("home"))?;
    let root = btc_tests::root();
    let script = "
        make --silent -C $ROOT install DESTDIR=$TO PREFIX=/usr || exit 1
        cd $TO/home && mount -t tmpfs none $ROOT || exit 1
        unset CARGO_TARGET_DIR BTC_CACHE_DIR XDG_CACHE_HOME
        export CARGO_HOME=${CARGO_HOME:-$HOME/.cargo} RUSTUP_HOME=${RUSTUP_HOME:-$HOME/.rustup} HOME=$TO/home
        ../usr/bin/btc -e 'begin { printf(\"from afar\\n\"); exit(); }' -o tool && ./tool -q";
    let output = Command::new("unshare")
        .args(["-m", "sh", "-c", script])
        .env("ROOT", &root)
        .env("TO", &within)
        .output()?;
    fs::remove_dir_all(&within)?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !said.contains("from afar") {
        bail!("{said}{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
