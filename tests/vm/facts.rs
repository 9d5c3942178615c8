//! A kernel of the matrix → what it says of itself: its BTF and the formats of its tracepoints, read in a guest once
//! and kept under the target directory.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::guest::{self, Job};
use super::kernels::{self, Series};

/// Files of a kernel's facts.
#[derive(Clone, Debug)]
pub struct Facts {
    /// `/sys/kernel/btf/vmlinux`
    pub btf: PathBuf,
    /// The format files of all events, one after the other; each behind a line `==> CATEGORY/EVENT`.
    pub formats: PathBuf,
    /// `uname -r`
    pub release: String,
}

/// Boots the kernel unless its facts are there.
///
/// # Errors
/// The kernel can't be fetched or booted, or says nothing.
pub fn facts(series: Series) -> Result<Facts> {
    let directory = crate::work_directory().join("facts").join(series.name());
    let release = directory.join("release");
    let facts = |release: String| Facts {
        btf: directory.join("vmlinux.btf"),
        formats: directory.join("formats"),
        release,
    };
    // Written last.
    if let Ok(release) = std::fs::read_to_string(&release) {
        return Ok(facts(release));
    }
    std::fs::create_dir_all(&directory)?;
    let kernel = kernels::fetch(series)?;
    let job = |command: &str| Job {
        words: ["sh", "-c", command].map(String::from).to_vec(),
        environment: vec![],
        timeout_seconds: 120,
    };
    let jobs = [
        job("gzip -c /sys/kernel/btf/vmlinux | base64"),
        job(
            "cd /sys/kernel/tracing/events; for f in */*/format; do echo \"==> ${f%/format}\"; cat $f; done | gzip -c | base64",
        ),
        job("uname -r"),
    ];
    let answers = guest::run(&kernel, 1, &[], &jobs)?;
    let [btf, formats, name] = answers.as_slice() else {
        bail!("a guest answered {} of 3 questions", answers.len());
    };
    unpack(&btf.stdout, &directory.join("vmlinux.btf"))?;
    unpack(&formats.stdout, &directory.join("formats"))?;
    std::fs::write(&release, name.stdout.trim())?;
    Ok(facts(name.stdout.trim().to_owned()))
}

/// What `gzip | base64` printed → a file.
fn unpack(text: &str, path: &Path) -> Result<()> {
    let mut shell = Command::new("sh")
        .args(["-c", "base64 -d | gzip -d"])
        .stdin(Stdio::piped())
        .stdout(std::fs::File::create(path)?)
        .spawn()?;
    let mut input = shell.stdin.take().context("a pipe")?;
    input.write_all(text.as_bytes())?;
    drop(input);
    if !shell.wait()?.success() {
        bail!("the guest's answer for {} is damaged", path.display());
    }
    Ok(())
}
