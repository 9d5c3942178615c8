//! A rendered project → an executable, by cargo, in the shared workspace of the cache.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::requirements;
use super::workspace::{Workspace, cargo_config};
use crate::arch::Arch;
use crate::skeleton::{self, File, Needs, Project};

/// Builds a project and returns where cargo left the executable; it stays there while the workspace is held.
///
/// # Errors
/// A build host that lacks something, or cargo's own words when it fails.
pub fn build(workspace: &Workspace, project: &Project, target: Arch) -> Result<PathBuf> {
    if !workspace.is_configured(target) {
        let linking = requirements::check(target)?;
        fetch(workspace, target)?;
        workspace.configure(target, &linking, &cargo_home()?)?;
    }
    // It may have been removed since.
    requirements::has_cargo()?;
    workspace.claim_target()?;
    if !workspace.is_built(target) {
        build_runtime(workspace, target)?;
    }
    workspace.place(project)?;
    compile(workspace, target, &mut Progress::new(0))?;
    Ok(workspace.compiled(target).join("release/tool"))
}

/// Compiles the runtime in both its forms, so that no later script waits for it.
fn build_runtime(workspace: &Workspace, target: Arch) -> Result<()> {
    let forms = [true, false].map(|symbolize| Needs {
        symbolize,
        ..Needs::default()
    });
    let mut progress = Progress::new(0);
    for needs in forms {
        workspace.place(&skeleton::empty(&needs)?)?;
        if progress.total == 0 {
            progress.total = count_packages(workspace, target);
        }
        compile(workspace, target, &mut progress)?;
    }
    workspace.mark_built(target)
}

fn compile(workspace: &Workspace, target: Arch, progress: &mut Progress) -> Result<()> {
    let mut command = cargo(workspace);
    command
        .args(["build", "--release", "--locked", "--package", "tool"])
        .args(["--target", target.triple(), "--config"])
        .arg(workspace.configuration(target))
        .arg("--target-dir")
        .arg(workspace.target_directory());
    watch(command, progress)
}

/// The `.cargo/config.toml` of a project that its user builds with plain cargo.
///
/// # Errors
/// A build host that lacks something.
pub fn configuration(workspace: &Workspace, target: Arch) -> Result<File> {
    let linking = requirements::check(target)?;
    let config = cargo_config(target, &linking, &cargo_home()?, &workspace.cache);
    // Named for this machine too: else build scripts would be linked as executables are.
    let config = format!("[build]\ntarget = \"{target}\"\n\n{config}");
    Ok(File::new(".cargo/config.toml", config))
}

fn cargo_home() -> Result<PathBuf> {
    if let Some(home) = std::env::var_os("CARGO_HOME") {
        return std::path::absolute(home).context("CARGO_HOME");
    }
    let home = std::env::var_os("HOME").context("neither CARGO_HOME nor HOME is set")?;
    Ok(PathBuf::from(home).join(".cargo"))
}

/// Cargo in the workspace, deaf to the settings of a build that btc itself may run under.
fn cargo(workspace: &Workspace) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(&workspace.root).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        let Some(name) = name.to_str() else { continue };
        let of_a_build = [
            "RUSTFLAGS",
            "RUSTDOCFLAGS",
            "MAKEFLAGS",
            "MFLAGS",
            "MAKELEVEL",
            "CFLAGS",
        ]
        .contains(&name)
            || [
                "RUSTC",
                "LIBBPF_SYS_",
                "CARGO_PROFILE_",
                "CARGO_BUILD_",
                "CARGO_TARGET_",
                "CARGO_PKG_",
            ]
            .iter()
            .any(|prefix| name.starts_with(prefix))
            || [
                "CARGO_ENCODED_RUSTFLAGS",
                "CARGO_INCREMENTAL",
                "CARGO_MANIFEST_DIR",
                "CARGO_MAKEFLAGS",
            ]
            .contains(&name);
        if of_a_build {
            command.env_remove(name);
        }
    }
    command
        .env("CARGO_TERM_COLOR", "never")
        .env("CARGO_TERM_PROGRESS_WHEN", "never")
        .env("CARGO_TERM_QUIET", "false")
        .env("CARGO_TERM_VERBOSE", "false");
    command
}

/// Downloads the dependencies at the versions of btc's lock file, and drops from it what executables don't use.
fn fetch(workspace: &Workspace, target: Arch) -> Result<()> {
    let mut progress = Progress::new(0);
    progress.say("fetching the runtime's dependencies");
    let attempt = |offline: bool| {
        let mut command = cargo(workspace);
        command.args(["fetch", "--target", target.triple()]);
        if offline {
            command.arg("--offline");
        }
        command.output().context("can't run cargo")
    };
    // What a machine has already needs no network.
    if attempt(true)?.status.success() {
        return Ok(());
    }
    let output = attempt(false)?;
    if !output.status.success() {
        progress.clear();
        bail!(
            "cargo can't fetch the runtime's dependencies:\n{}",
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
    }
    Ok(())
}

/// How many packages a first build compiles; 0 when cargo doesn't say.
fn count_packages(workspace: &Workspace, target: Arch) -> usize {
    let output = cargo(workspace)
        .args(["tree", "--locked", "--package", "tool"])
        .args(["--target", target.triple()])
        .args(["--edges", "normal,build", "--prefix", "none", "--no-dedupe"])
        .output();
    let Ok(output) = output else { return 0 };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines()
        .filter_map(|line| line.split(' ').next())
        .filter(|name| !name.is_empty())
        .collect::<BTreeSet<_>>()
        .len()
}

/// Runs cargo; shows what it compiles while that is the runtime, and its words only when it fails.
fn watch(mut command: Command, progress: &mut Progress) -> Result<()> {
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("can't run cargo")?;
    let mut said = String::new();
    if let Some(stderr) = child.stderr.take() {
        for line in BufReader::new(stderr).lines() {
            let line = line.context("can't read what cargo says")?;
            if let Some(package) = line.trim_start().strip_prefix("Compiling ") {
                progress.compiling(package.split(' ').next().unwrap_or(package));
            } else {
                said.push_str(&line);
                said.push('\n');
            }
        }
    }
    let status = child.wait().context("can't wait for cargo")?;
    progress.clear();
    if status.success() {
        return Ok(());
    }
    if said.contains("No space left on device") {
        bail!("no space left on the disk that holds btc's cache");
    }
    bail!("cargo can't build the executable:\n{}", said.trim_end());
}

/// One line on standard error that is rewritten on a terminal, and said once elsewhere.
struct Progress {
    terminal: bool,
    shown: bool,
    done: usize,
    total: usize,
}

impl Progress {
    fn new(total: usize) -> Self {
        Progress {
            terminal: std::io::stderr().is_terminal(),
            shown: false,
            done: 0,
            total,
        }
    }

    fn compiling(&mut self, package: &str) {
        if package == "tool" {
            return;
        }
        self.done += 1;
        if !self.terminal {
            if !self.shown {
                self.say("building the runtime, once (about a minute)");
            }
            return;
        }
        let total = self.total.max(self.done);
        self.say(&format!(
            "building the runtime, once: {} of {total}, {package}",
            self.done
        ));
    }

    fn say(&mut self, text: &str) {
        self.shown = true;
        let mut stderr = std::io::stderr().lock();
        let _ = if self.terminal {
            write!(stderr, "\r\x1b[Kbtc: {text}").and_then(|()| stderr.flush())
        } else {
            writeln!(stderr, "btc: {text}")
        };
    }

    fn clear(&mut self) {
        if self.terminal && self.shown {
            let mut stderr = std::io::stderr().lock();
            let _ = write!(stderr, "\r\x1b[K").and_then(|()| stderr.flush());
        }
    }
}
