//! One measurement each: ours and bpftrace's side, told apart only by the command that is run.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use btc_tests::{compile, work_directory};

/// The median of `runs` measurements.
pub fn median(runs: usize, mut measure: impl FnMut(usize) -> Result<f64>) -> Result<f64> {
    let mut all = (0..runs).map(&mut measure).collect::<Result<Vec<f64>>>()?;
    all.sort_by(f64::total_cmp);
    Ok(all[runs / 2])
}

/// Compiles a script; the executable, and the seconds it took.
pub fn compile(script: &str, name: &str) -> Result<(PathBuf, f64)> {
    let directory = work_directory().join("bench");
    std::fs::create_dir_all(&directory)?;
    let executable = directory.join(name.replace(' ', "-"));
    let btc = compile::btc()?;
    let start = Instant::now();
    let output = Command::new(btc)
        .args(["-e", script, "-o"])
        .arg(&executable)
        .output()?;
    let seconds = start.elapsed().as_secs_f64();
    if !output.status.success() {
        bail!("btc: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok((executable, seconds))
}

/// Seconds of a first build: an empty cache, the runtime built for it.
pub fn first_build() -> Result<f64> {
    let cache = work_directory().join("bench-cache");
    if cache.exists() {
        std::fs::remove_dir_all(&cache)?;
    }
    let executable = work_directory().join("bench-first");
    let btc = compile::btc()?;
    let start = Instant::now();
    let status = Command::new(btc)
        .env("BTC_CACHE_DIR", &cache)
        .args(["-e", "begin { exit(); }", "-o"])
        .arg(&executable)
        .stderr(Stdio::null())
        .status()?;
    let seconds = start.elapsed().as_secs_f64();
    std::fs::remove_dir_all(&cache)?;
    if !status.success() {
        bail!("the first build failed");
    }
    Ok(seconds)
}

/// Makes the event that the start script waits for, until dropped.
struct Events {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Events {
    fn start() -> Events {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = stop.clone();
        let thread = std::thread::spawn(move || {
            while !seen.load(Ordering::Relaxed) {
                // SAFETY: takes no memory.
                unsafe { libc::getpgid(0) };
                std::thread::sleep(Duration::from_micros(100));
            }
        });
        Events {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // The thread has nothing to report.
            let _ = thread.join();
        }
    }
}

fn bpftrace(script: &str) -> Command {
    let mut command = Command::new("bpftrace");
    command.args(["-e", script]);
    command
}

/// Seconds from exec to the first event's line.
pub fn start(executable: &Path) -> Result<f64> {
    first_line(&mut Command::new(executable))
}

pub fn bpftrace_start(script: &str) -> Result<f64> {
    first_line(&mut bpftrace(script))
}

fn first_line(command: &mut Command) -> Result<f64> {
    let _events = Events::start();
    let start = Instant::now();
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let stdout = child.stdout.take().context("a pipe")?;
    let seen = BufReader::new(stdout)
        .lines()
        .map_while(Result::ok)
        .any(|line| line == "hit");
    let seconds = start.elapsed().as_secs_f64();
    child.wait()?;
    if !seen {
        bail!("{command:?} saw no event");
    }
    Ok(seconds)
}

pub fn peak_memory(executable: &Path) -> Result<f64> {
    rusage(&mut Command::new(executable))
}

pub fn bpftrace_peak_memory(script: &str) -> Result<f64> {
    rusage(&mut bpftrace(script))
}

/// Peak resident megabytes of a run that ends by itself.
fn rusage(command: &mut Command) -> Result<f64> {
    let _events = Events::start();
    let child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let mut status = 0;
    // SAFETY: zero bytes are a valid rusage; the pointers live through the call; the child is waited for once.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        if libc::wait4(child.id() as i32, &raw mut status, 0, &raw mut usage) < 0 {
            bail!("wait4: {}", std::io::Error::last_os_error());
        }
        usage
    };
    Ok(usage.ru_maxrss as f64 / 1024.0)
}

pub fn megabytes(path: &Path) -> Result<f64> {
    Ok(std::fs::metadata(path)?.len() as f64 / 1e6)
}

/// bpftrace and every library that it loads, in megabytes.
pub fn bpftrace_bytes() -> Result<f64> {
    let run = Command::new("ldd").arg("/usr/bin/bpftrace").output()?;
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    let mut sum = megabytes(Path::new("/usr/bin/bpftrace"))?;
    for path in text.split_whitespace().filter(|w| w.starts_with('/')) {
        sum += megabytes(Path::new(path))?;
    }
    Ok(sum)
}

/// A tracer at work, until it is interrupted.
pub struct Running {
    child: Child,
    stderr: std::thread::JoinHandle<String>,
}

impl Running {
    /// Starts it and waits until its programs are loaded and run.
    pub fn start(command: &mut Command, stdout: Stdio) -> Result<Running> {
        let mut child = command
            .stdout(stdout)
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let stderr = child.stderr.take().context("a pipe")?;
        let stderr = std::thread::spawn(move || {
            BufReader::new(stderr)
                .lines()
                .map_while(Result::ok)
                .collect::<Vec<_>>()
                .join("\n")
        });
        let pid = child.id();
        let running = Running { child, stderr };
        let limit = Instant::now() + Duration::from_secs(20);
        while programs(pid)?.is_empty() {
            if Instant::now() > limit {
                bail!("{command:?} loaded no program");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        // Loaded is not attached yet: give it the time that attaching takes.
        std::thread::sleep(Duration::from_millis(700));
        Ok(running)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Interrupts it and gives back what it wrote to standard error.
    pub fn stop(mut self) -> Result<String> {
        // SAFETY: the child has not been waited for, so its pid is still its own.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGINT) };
        self.child.wait()?;
        Ok(self.stderr.join().unwrap_or_default())
    }
}

/// `(run_time_ns, run_cnt)` of each program that a process holds, as bpftool tells.
fn programs(pid: u32) -> Result<Vec<(f64, f64)>> {
    let run = Command::new("bpftool")
        .args(["--json", "prog", "show"])
        .output()
        .context("bpftool")?;
    let all: serde_json::Value = serde_json::from_slice(&run.stdout).context("bpftool's answer")?;
    let of_pid = |program: &&serde_json::Value| {
        program["pids"]
            .as_array()
            .is_some_and(|pids| pids.iter().any(|p| p["pid"] == pid))
    };
    let number = |value: &serde_json::Value| value.as_f64().unwrap_or(0.0);
    let programs = all.as_array().context("a list of programs")?;
    Ok(programs
        .iter()
        .filter(of_pid)
        .map(|p| (number(&p["run_time_ns"]), number(&p["run_cnt"])))
        .collect())
}

/// Nanoseconds per run of a script's program under a load; `name`: compiled by btc, else bpftrace's.
pub fn nanoseconds_per_event(name: Option<&str>, script: &str, load: &str) -> Result<f64> {
    std::fs::write("/proc/sys/kernel/bpf_stats_enabled", "1")?;
    let mut command = match name {
        Some(name) => Command::new(compile(script, name)?.0),
        None => bpftrace(script),
    };
    let running = Running::start(&mut command, Stdio::null())?;
    let status = Command::new(compile::load()?)
        .args(load.split(' '))
        .status()?;
    let all = programs(running.pid())?;
    running.stop()?;
    std::fs::write("/proc/sys/kernel/bpf_stats_enabled", "0")?;
    if !status.success() {
        bail!("the load failed");
    }
    let (time, runs) = all
        .iter()
        .fold((0.0, 0.0), |sum, p| (sum.0 + p.0, sum.1 + p.1));
    if runs < 1000.0 {
        bail!("{script}: only {runs} runs");
    }
    Ok(time / runs)
}
