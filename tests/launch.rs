//! The command line of a case, and running it on this machine with a time limit.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::case::{Case, words};
use crate::check::Outcome;

/// The words that run a case. A case with `with` is run by the load program, which starts the executable, waits until
/// it has attached, does its work and interrupts it: the same on the host and in a guest.
///
/// # Errors
/// A malformed load line.
pub fn command_line(case: &Case, executable: &str, load: &str, tmp: &str) -> Result<Vec<String>> {
    let fill = |text: &str| text.replace("{load}", load).replace("{tmp}", tmp);
    let mut tracer: Vec<String> = case.under.iter().map(|word| fill(word)).collect();
    tracer.push(executable.to_string());
    if let Some(child) = &case.load {
        tracer.extend(["-c".to_string(), fill(&child_command(child))]);
    }
    tracer.extend(case.args.iter().map(|a| fill(a)));
    let Some(beside) = &case.with else {
        return Ok(tracer);
    };
    let mut line = vec![load.to_string(), "beside".to_string()];
    line.extend(words(&fill(beside))?);
    line.push("--".into());
    line.extend(tracer);
    Ok(line)
}

/// A load line starts with one of the load program's own words, or with the path of another program.
fn child_command(child: &str) -> String {
    if child.starts_with('/') {
        child.to_string()
    } else {
        format!("{{load}} {child}")
    }
}

/// Runs a case here.
///
/// # Errors
/// When the program can't be started.
pub fn run(case: &Case, executable: &Path, load: &Path) -> Result<Outcome> {
    let tmp = crate::work_directory()
        .join("tmp")
        .join(case.name.replace('/', "-"));
    std::fs::create_dir_all(&tmp)?;
    let text = |path: &Path| path.display().to_string();
    let line = command_line(case, &text(executable), &text(load), &text(&tmp))?;
    let mut command = Command::new(&line[0]);
    command
        .args(&line[1..])
        .envs(case.environment.iter().map(|(k, v)| (k, v)))
        .current_dir(&tmp)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let mut child = command.spawn().with_context(|| line.join(" "))?;
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let limit = Instant::now() + Duration::from_secs(case.timeout_seconds);
    let status = loop {
        if let Some(status) = child.try_wait()? {
            use std::os::unix::process::ExitStatusExt;
            break status.code().or(status.signal().map(|s| 128 + s));
        }
        if Instant::now() > limit {
            // SAFETY: kill takes no memory; the group is the child's own.
            unsafe { libc::kill(-(child.id() as i32), libc::SIGKILL) };
            child.wait()?;
            break None;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let join = |thread: std::thread::JoinHandle<String>| thread.join().unwrap_or_default();
    Ok(Outcome {
        stdout: join(stdout),
        stderr: join(stderr),
        status,
    })
}

fn drain(pipe: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = vec![];
        if let Some(mut pipe) = pipe {
            // What came before an error is still worth showing.
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
