//! Ours and bpftrace's side, told apart only by the command that is run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// What runs a script.
pub enum Tracer<'s> {
    Btc(PathBuf),
    Bpftrace(&'s str),
}

impl Tracer<'_> {
    pub fn command_line(&self) -> Vec<String> {
        let words = match self {
            Tracer::Btc(executable) => vec![executable.to_str().unwrap_or_default()],
            Tracer::Bpftrace(script) => vec!["bpftrace", "-e", script],
        };
        words.into_iter().map(str::to_string).collect()
    }

    pub fn command(&self) -> Command {
        let words = self.command_line();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stderr(Stdio::null());
        command
    }
}

/// A tracer at work. Dropped, it is killed.
pub struct Running {
    child: Child,
}

impl Running {
    /// Starts it and waits until its programs run, for which the load is `poke`d.
    pub fn start(tracer: &Tracer<'_>, stdout: Stdio, load: &Path, poke: &str) -> Result<Running> {
        let child = tracer.command().stdout(stdout).spawn()?;
        let mut running = Running { child };
        let limit = Instant::now() + Duration::from_secs(20);
        while running.spent()?.runs == 0.0 {
            if Instant::now() > limit || running.child.try_wait()?.is_some() {
                bail!("{:?} attached no program", tracer.command_line());
            }
            std::thread::sleep(Duration::from_millis(20));
            if !programs(running.child.id())?.is_empty() {
                self::load(load, poke)?;
            }
        }
        std::thread::sleep(Duration::from_millis(50));
        Ok(running)
    }

    /// What its programs have spent since they were loaded.
    pub fn spent(&self) -> Result<Spent> {
        let all = programs(self.child.id())?;
        Ok(all.values().fold(Spent::default(), |sum, spent| Spent {
            nanoseconds: sum.nanoseconds + spent.nanoseconds,
            runs: sum.runs + spent.runs,
        }))
    }

    /// Interrupts it. bpftrace 0.17 now and then goes on after a Ctrl-C: then it is killed, since what is measured was
    /// read before.
    pub fn stop(mut self, tracer: &Tracer<'_>) -> Result<()> {
        // SAFETY: the child has not been waited for, so its pid is still its own.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGINT) };
        let limit = Instant::now() + Duration::from_secs(15);
        while self.child.try_wait()?.is_none() {
            match tracer {
                _ if Instant::now() < limit => {}
                Tracer::Bpftrace(_) => return Ok(()),
                Tracer::Btc(_) => bail!("{:?} goes on after a Ctrl-C", tracer.command_line()),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Clone, Copy, Default)]
pub struct Spent {
    pub nanoseconds: f64,
    pub runs: f64,
}

/// By id, the programs that a process holds: proc(5), fdinfo; the numbers stand still unless [`Statistics`] are on.
fn programs(pid: u32) -> Result<BTreeMap<u64, Spent>> {
    let mut all = BTreeMap::new();
    let Ok(directory) = std::fs::read_dir(format!("/proc/{pid}/fdinfo")) else {
        return Ok(all);
    };
    for entry in directory {
        // A descriptor may be closed by now.
        let text = std::fs::read_to_string(entry?.path()).unwrap_or_default();
        let number = |key: &str| {
            let (_, rest) = text.split_once(key)?;
            rest.split_whitespace().next()?.parse::<u64>().ok()
        };
        if let (Some(id), Some(time), Some(runs)) = (
            number("prog_id:"),
            number("run_time_ns:"),
            number("run_cnt:"),
        ) {
            let spent = Spent {
                nanoseconds: time as f64,
                runs: runs as f64,
            };
            all.insert(id, spent);
        }
    }
    Ok(all)
}

/// The kernel keeps statistics of programs while this is open (BPF_ENABLE_STATS, Linux 5.8).
pub struct Statistics {
    _fd: std::os::fd::OwnedFd,
}

impl Statistics {
    pub fn on() -> Result<Statistics> {
        use std::os::fd::FromRawFd;
        const ENABLE_STATS: i32 = 32;
        // union bpf_attr: the type BPF_STATS_RUN_TIME is 0.
        let attributes = [0u64; 16];
        // SAFETY: the attributes live through the call and are as large as said.
        let fd = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                ENABLE_STATS,
                attributes.as_ptr(),
                size_of_val(&attributes),
            )
        };
        let fd = i32::try_from(fd)?;
        if fd < 0 {
            bail!("BPF_ENABLE_STATS: {}", std::io::Error::last_os_error());
        }
        // SAFETY: the call succeeded: the descriptor is open and ours alone.
        let fd = unsafe { std::os::fd::OwnedFd::from_raw_fd(fd) };
        Ok(Statistics { _fd: fd })
    }
}

/// Runs the load; what it printed.
pub fn load(load: &Path, work: &str) -> Result<String> {
    let run = Command::new(load).args(work.split(' ')).output()?;
    if !run.status.success() {
        bail!("the load failed: {work}");
    }
    String::from_utf8(run.stdout).context("what the load printed")
}
