//! An executable that is killed (SIGKILL) leaves nothing behind in the kernel, at whatever moment: no program, link or map.
//! What it holds is read from /proc while it is stopped; each of these must be gone soon after its death.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use btc_tests::compile::btc;

/// All that this machine's kernel attaches, and a pattern with dozens of links.
const TOOLS: &[(&str, &str)] = &[
    (
        "everything",
        "begin { @n = count(); }
         tracepoint:sched:sched_switch { @t = count(); }
         rawtracepoint:sched_wakeup { @r = count(); }
         uprobe:libc:malloc, uretprobe:libc:free { @u[ustack] = count(); }
         interval:ms:1, profile:hz:99, software:faults:1 { printf(\"%s\\n\", probe); }
         watchpoint:0x10000000:8:w { @w = count(); }
         iter:task { @i[ctx.task.pid] = count(); }
         self:signal:SIGUSR1 { @s = count(); }
         end { print(@n); }",
    ),
    (
        "dozens",
        "tracepoint:syscalls:sys_enter_*at { @[probe] = count(); }",
    ),
];

fn directory() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let directory = btc_tests::work_directory().join("killed");
        std::fs::create_dir_all(&directory).unwrap();
        for (name, program) in TOOLS {
            let output = Command::new(btc().unwrap())
                .args(["-e", program, "-o", name])
                .current_dir(&directory)
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{name}: {said}");
        }
        directory
    })
}

/// A kind of BPF object and its number.
type Object = (&'static str, u32);

/// What /proc calls the numbers of BPF objects, and the command of bpf(2) that opens one by its number.
const KINDS: [(&str, libc::c_int); 3] = [("prog_id:", 13), ("map_id:", 14), ("link_id:", 30)];

/// The BPF objects that a process has open.
fn held(pid: u32) -> BTreeSet<Object> {
    let mut held = BTreeSet::new();
    let Ok(descriptors) = std::fs::read_dir(format!("/proc/{pid}/fdinfo")) else {
        return held;
    };
    for descriptor in descriptors.flatten() {
        let text = std::fs::read_to_string(descriptor.path()).unwrap_or_default();
        for line in text.lines() {
            for (name, _) in KINDS {
                let number = line.strip_prefix(name);
                held.extend(number.and_then(|n| Some((name, n.trim().parse().ok()?))));
            }
        }
    }
    held
}

fn exists(object: Object) -> bool {
    let command = KINDS.iter().find(|(name, _)| *name == object.0).unwrap().1;
    let mut attributes = [0u32; 32];
    attributes[0] = object.1;
    // SAFETY: the attributes start with the number and are zero beyond.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, command, attributes.as_ptr(), 128) };
    if fd >= 0 {
        // SAFETY: the call succeeded, so the descriptor is open and ours alone.
        unsafe { libc::close(fd as libc::c_int) };
    }
    fd >= 0
}

fn signal(child: &Child, signal: libc::c_int) {
    // SAFETY: our own child, not waited for yet.
    unsafe { libc::kill(child.id() as libc::c_int, signal) };
}

/// Kills the tool so many milliseconds after its start, or after a Ctrl-C; how many objects it had.
fn kill(tool: &str, after: u64, ctrl_c: bool) -> usize {
    let mut child = Command::new(directory().join(tool))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    if ctrl_c {
        std::thread::sleep(Duration::from_millis(600));
        signal(&child, libc::SIGINT);
    }
    std::thread::sleep(Duration::from_millis(after));
    signal(&child, libc::SIGSTOP);
    let held = held(child.id());
    signal(&child, libc::SIGKILL);
    child.wait().unwrap();
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let left: Vec<_> = held.iter().copied().filter(|o| exists(*o)).collect();
        if left.is_empty() {
            return held.len();
        }
        assert!(
            Instant::now() < end,
            "{tool}, killed after {after} ms: {left:?} of {held:?} are left"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Milliseconds after the start.
const MOMENTS: [u64; 18] = [
    0, 2, 5, 10, 20, 40, 60, 80, 100, 130, 160, 200, 300, 400, 600, 800, 1200, 2000,
];

#[test]
fn killed_at_any_moment_root() {
    for (tool, _) in TOOLS {
        let starting = MOMENTS.iter().map(|after| kill(tool, *after, false));
        let with_something = starting.filter(|count| *count > 0).count();
        assert!(
            with_something >= 3,
            "{tool} was only killed before it loaded"
        );
        for after in [0, 1, 3, 10, 30, 100] {
            kill(tool, after, true);
        }
    }
}

#[test]
fn what_is_held_is_seen_root() {
    let mut child = Command::new(directory().join("everything"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    let links = |held: &BTreeSet<Object>| held.iter().filter(|o| o.0 == "link_id:").count();
    let mut held = held(child.id());
    while links(&held) < 8 && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(50));
        held = self::held(child.id());
    }
    let alive = held.iter().all(|object| exists(*object));
    signal(&child, libc::SIGKILL);
    child.wait().unwrap();
    assert!(links(&held) >= 8 && alive, "{held:?}");
}
