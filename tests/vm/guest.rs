//! A guest: qemu boots a kernel with a payload, runs every command of a batch, and gives back what each printed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::cross::Cross;
use super::initramfs::Archive;
use super::kernels::{Arch, Kernel, Series, module};
use crate::check::Outcome;
use crate::compile::{self, PROGRAMS};

/// One command of a batch: its words, and the files that it needs beside the load program.
#[derive(Clone, Debug)]
pub struct Job {
    pub words: Vec<String>,
    pub environment: Vec<(String, String)>,
    pub timeout_seconds: u64,
}

/// Where the guest keeps each job's executables.
pub const BIN: &str = "/bin-under-test";

/// Boots once and runs the whole batch; the answers are in the batch's order.
///
/// # Errors
/// When the guest can't be made or never reached its end (it is tried twice).
pub fn run(
    kernel: &Kernel,
    cpus: u32,
    executables: &[(String, Vec<u8>)],
    jobs: &[Job],
) -> Result<Vec<Outcome>> {
    let directory = crate::work_directory().join(format!(
        "guest-{}-{cpus}-{}",
        kernel.series.name(),
        std::process::id()
    ));
    std::fs::create_dir_all(&directory)?;
    let initrd = directory.join("initrd");
    std::fs::write(&initrd, archive(kernel, executables, jobs)?)?;
    let limit = 60 + jobs.iter().map(|j| j.timeout_seconds).sum::<u64>().min(900);
    let mut text = boot(kernel, cpus, &initrd, &directory, limit)?;
    if !text.contains("@@begin") {
        text = boot(kernel, cpus, &initrd, &directory, limit)?;
    }
    let console = std::fs::read(directory.join("console")).unwrap_or_default();
    std::fs::remove_dir_all(&directory)?;
    if !text.contains("@@done") {
        let console = String::from_utf8_lossy(&console).into_owned();
        let tail: Vec<&str> = console.lines().rev().take(30).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        bail!(
            "the guest did not reach its end; its console ends with:\n{}",
            tail.join("\n")
        );
    }
    parse(&text, jobs.len())
}

fn archive(kernel: &Kernel, executables: &[(String, Vec<u8>)], jobs: &[Job]) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    let programs = Programs::of(kernel.series.arch)?;
    archive.file("bin/busybox", &read(&programs.busybox)?);
    archive.link("bin/sh", "busybox");
    for directory in ["proc", "sys", "dev", "tmp", "etc", "var/run"] {
        archive.directory(directory);
    }
    archive.file("etc/passwd", b"root:x:0:0:root:/:/bin/sh\n");
    for (path, file) in &programs.bash {
        archive.file(path.trim_start_matches('/'), &read(file)?);
    }
    for name in ["configfs", "null_blk"] {
        archive.file(&format!("modules/{name}.ko"), &module(kernel, name)?);
    }
    for (place, file) in &programs.ours {
        archive.file(place.trim_start_matches('/'), &read(file)?);
    }
    for (name, bytes) in executables {
        archive.file(&format!("{}/{name}", BIN.trim_start_matches('/')), bytes);
    }
    let init = INIT.replace("PORT", port(kernel.series.arch));
    archive.file("init", init.as_bytes());
    archive.file("batch", batch(jobs).as_bytes());
    Ok(archive.finish())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| path.display().to_string())
}

/// The programs of a guest that aren't under test, where this machine has them.
pub struct Programs {
    pub busybox: PathBuf,
    /// The one program traced that isn't ours, and its libraries: their paths in the guest, and the files.
    pub bash: Vec<(String, PathBuf)>,
    /// [`compile::PROGRAMS`]: their places in the guest, and the files.
    pub ours: Vec<(&'static str, PathBuf)>,
}

impl Programs {
    fn of(arch: Arch) -> Result<Programs> {
        if arch == Arch::Arm64 {
            return Cross::get()?.programs();
        }
        let bash = program_files("/bin/bash")?.into_iter();
        compile::programs()?;
        Ok(Programs {
            busybox: "/bin/busybox".into(),
            bash: bash.map(|path| (path.clone(), path.into())).collect(),
            ours: PROGRAMS
                .map(|(name, place)| (place, compile::program(name)))
                .to_vec(),
        })
    }
}

/// A dynamic program and what `ldd` says it loads.
///
/// # Errors
/// When there is no ldd.
pub fn program_files(program: &str) -> Result<Vec<String>> {
    let run = Command::new("ldd").arg(program).output().context("ldd")?;
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    let libraries = text.split_whitespace().filter(|w| w.starts_with('/'));
    Ok(std::iter::once(program)
        .chain(libraries)
        .map(String::from)
        .collect())
}

const INIT: &str = "#!/bin/sh
/bin/busybox --install -s /bin
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
mount -t debugfs none /sys/kernel/debug
mount -t tracefs none /sys/kernel/tracing
mount -t bpf none /sys/fs/bpf
mount -t cgroup2 none /sys/fs/cgroup
echo 0 > /proc/sys/kernel/kptr_restrict
ip link set lo up
insmod /modules/configfs.ko
insmod /modules/null_blk.ko
stty -F /dev/PORT raw
sh /batch > /dev/PORT 2>&1
sync
poweroff -f
";

/// The batch as a shell script: each job's streams go to files and come back with a `|` before every line.
fn batch(jobs: &[Job]) -> String {
    let mut script = String::from("echo @@begin\nmkdir -p /tmp/work\ncd /tmp/work\n");
    for (index, job) in jobs.iter().enumerate() {
        let mut line = String::new();
        for (name, value) in &job.environment {
            let _ = write!(line, "{name}={} ", quote(value));
        }
        let _ = write!(line, "timeout -s KILL {}", job.timeout_seconds);
        for word in &job.words {
            let _ = write!(line, " {}", quote(word));
        }
        let _ = write!(
            script,
            "{line} > /tmp/out 2> /tmp/err < /dev/null\necho @@status {index} $?\n\
             echo @@stdout {index}\nsed 's/^/|/' /tmp/out\necho\n\
             echo @@stderr {index}\nsed 's/^/|/' /tmp/err\necho\n"
        );
    }
    script.push_str("echo @@done\n");
    script
}

fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// The words of qemu that make a machine of this architecture, with `file` as the port that answers come back by.
fn machine(series: Series, cpus: u32, file: &Path) -> Result<(&'static str, Vec<String>)> {
    let words = |text: &str| text.split(' ').map(String::from).collect::<Vec<_>>();
    match series.arch {
        Arch::Amd64 => {
            // In one thread: a CPU that runs code which another one is patching stops the kernel ("int3").
            let mut machine = words("-machine q35 -accel tcg,thread=single -cpu max -smp");
            machine.push(cpus.to_string());
            machine.extend(["-serial".into(), format!("file:{}", file.display())]);
            Ok(("qemu-system-x86_64", machine))
        }
        Arch::Arm64 => {
            // The counters of this processor are emulated, and `-icount` makes it count instructions.
            let mut machine = words("-machine virt,accel=tcg -cpu cortex-a57 -smp 1");
            machine.extend(words("-icount shift=0 -device pci-serial,chardev=out"));
            machine.extend([
                "-chardev".into(),
                format!("file,id=out,path={}", file.display()),
            ]);
            Ok(("qemu-system-aarch64", machine))
        }
    }
}

/// The port that answers come back by, as the guest names it.
fn port(arch: Arch) -> &'static str {
    match arch {
        Arch::Amd64 => "ttyS1",
        Arch::Arm64 => "ttyS0",
    }
}

/// Megabytes: half of a guest's memory holds what the initramfs unpacks to, which lies in the other half at first.
fn memory(initrd: &Path) -> Result<String> {
    let megabytes = std::fs::metadata(initrd)?.len() >> 20;
    Ok((512 + 3 * megabytes).max(1024).to_string())
}

fn boot(
    kernel: &Kernel,
    cpus: u32,
    initrd: &Path,
    directory: &Path,
    limit_seconds: u64,
) -> Result<String> {
    let out = directory.join("out");
    let (program, machine) = machine(kernel.series, cpus, &out)?;
    let console = match kernel.series.arch {
        Arch::Amd64 => "ttyS0",
        Arch::Arm64 => "ttyAMA0",
    };
    let mut qemu = Command::new(program)
        .args(["-nodefaults", "-no-user-config", "-nographic", "-no-reboot"])
        .args(["-monitor", "none", "-m", &memory(initrd)?])
        .arg("-kernel")
        .arg(&kernel.image)
        .arg("-initrd")
        .arg(initrd)
        .arg("-serial")
        .arg(format!("file:{}", directory.join("console").display()))
        .args(machine)
        .arg("-append")
        .arg(format!(
            "console={console} panic=-1 loglevel=4 mitigations=off nokaslr"
        ))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context(program)?;
    let limit = Instant::now() + Duration::from_secs(limit_seconds);
    while qemu.try_wait()?.is_none() {
        if Instant::now() > limit {
            qemu.kill()?;
            qemu.wait()?;
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(String::from_utf8_lossy(&std::fs::read(out).unwrap_or_default()).replace('\r', ""))
}

fn parse(text: &str, jobs: usize) -> Result<Vec<Outcome>> {
    let mut outcomes = vec![Outcome::default(); jobs];
    let mut into: Option<(usize, bool)> = None;
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let index = words
            .get(1)
            .and_then(|w| w.parse::<usize>().ok())
            .filter(|i| *i < jobs);
        match (words[0], index) {
            ("@@status", Some(index)) => {
                let status = words
                    .get(2)
                    .and_then(|w| w.parse().ok())
                    .context("a status")?;
                // 137: killed by `timeout -s KILL`.
                outcomes[index].status = (status != 137).then_some(status);
                into = None;
            }
            ("@@stdout", Some(index)) => into = Some((index, true)),
            ("@@stderr", Some(index)) => into = Some((index, false)),
            _ => {
                let (Some((index, stdout)), Some(rest)) = (into, line.strip_prefix('|')) else {
                    continue;
                };
                let outcome = &mut outcomes[index];
                let stream = if stdout {
                    &mut outcome.stdout
                } else {
                    &mut outcome.stderr
                };
                stream.push_str(rest);
                stream.push('\n');
            }
        }
    }
    Ok(outcomes)
}

#[cfg(test)]
mod tests {
    use super::super::kernels::{self, Series};
    use super::*;

    #[test]
    fn a_guest_gives_back_streams_and_status() {
        let kernel = kernels::fetch(Series::named("6.12").expect("a series")).expect("a kernel");
        let job = |text: &str| Job {
            words: ["sh", "-c", text].map(String::from).to_vec(),
            environment: vec![("NAME".into(), "a b".into())],
            timeout_seconds: 5,
        };
        let jobs = [
            job("echo \"out $NAME\"; echo err >&2; exit 3"),
            job("test -b /dev/nullb0 && uname -r"),
        ];
        let outcomes = run(&kernel, 1, &[], &jobs).expect("a guest");
        assert_eq!(outcomes[0].stdout.trim_end(), "out a b");
        assert_eq!(outcomes[0].stderr.trim_end(), "err");
        assert_eq!(outcomes[0].status, Some(3));
        assert_eq!(outcomes[1].status, Some(0));
        assert!(
            outcomes[1].stdout.starts_with("6.12."),
            "{}",
            outcomes[1].stdout
        );
    }
}
