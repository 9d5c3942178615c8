//! How executables end, and why they can't begin: signals, closed pipes, full disks, missing privileges. Each case is a
//! shell command, since its point is what surrounds the executable.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use btc_tests::compile::{btc, program_in};
use libtest_mimic::{Arguments, Failed, Trial};
use regex::Regex;

/// The executables that the commands call.
const TOOLS: &[(&str, &str)] = &[
    ("hello", "begin { printf(\"hello\\n\"); exit(); }"),
    (
        "idle",
        "begin { @n = count(); } interval:s:100 { @n = count(); } end { printf(\"ended\\n\"); }",
    ),
    (
        "ticks",
        "interval:ms:20 { printf(\"tick %s\\n\", comm); @n = count(); }",
    ),
    (
        "opens",
        "tracepoint:syscalls:sys_enter_openat { @n = count(); }",
    ),
    (
        "execs",
        "tracepoint:syscalls:sys_enter_execve /pid == cpid/ { @n = count(); }",
    ),
    (
        "ignored",
        "config = { missing_probes = \"ignore\"; } tracepoint:syscalls:sys_enter_openat { @n = count(); }",
    ),
    (
        "calls",
        "tracepoint:syscalls:sys_enter_* { @[probe] = count(); }",
    ),
    (
        "flood",
        "config = { perf_rb_pages = 1; } tracepoint:syscalls:sys_enter_getppid /pid == cpid/ { @n = count(); printf(\"hit %s\\n\", comm); }",
    ),
    ("types", "interval:ms:10 { print(curtask.pid); exit(); }"),
    ("number", "begin { printf(\"%d\\n\", $1); exit(); }"),
];

/// Without any privilege but these.
macro_rules! as_nobody {
    ($capabilities:literal, $command:literal) => {
        concat!(
            "setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=",
            $capabilities,
            " --ambient-caps=",
            $capabilities,
            " --bounding-set=",
            $capabilities,
            " -- ",
            $command
        )
    };
}

/// Name, command, exit status, expressions that standard output and standard error match.
type Ending = (&'static str, &'static str, i32, &'static str, &'static str);

const ENDINGS: &[Ending] = &[
    // Signals.
    (
        "sigint",
        "timeout -s INT 1 ./idle",
        124,
        r"^ended\n\n\n@n: 1\n$",
        "^Attached 3 probes\n$",
    ),
    (
        "sigint-status",
        "timeout -s INT --preserve-status 1 ./idle -q",
        0,
        "ended",
        "^$",
    ),
    (
        "sigterm",
        "timeout -s TERM --preserve-status 1 ./idle -q",
        0,
        "^ended\n\n\n@n: 1\n$",
        "^$",
    ),
    (
        "sighup",
        "timeout -s HUP --preserve-status 1 ./idle -q",
        0,
        "^ended\n\n\n@n: 1\n$",
        "^$",
    ),
    (
        "nohup",
        "trap '' HUP; ./idle -q & sleep 1; kill -HUP $!; sleep 0.3; kill -TERM $! && wait $!",
        0,
        "^ended\n\n\n@n: 1\n$",
        "^$",
    ),
    (
        "many-probes-print-at-once",
        "timeout -s INT -k 15 --preserve-status 3 ./calls -q | tail -n +2",
        0,
        r"@\[tracepoint:syscalls:sys_enter_\w+\]: \d+",
        "^$",
    ),
    // Readers that go away, disks that are full.
    (
        "head",
        "timeout 10 ./ticks -q -B none | head -n 1",
        0,
        "^tick [^\n]*\n$",
        "^$",
    ),
    (
        "head-json",
        "timeout 10 ./ticks -f json | sed 2q | tail -n 1",
        0,
        "\"type\": \"printf\"",
        "^$",
    ),
    (
        "reader-gone-while-idle",
        "(timeout 10 ./idle -q; echo status $? >&2) | sleep 1",
        0,
        "^$",
        "^status 0\n$",
    ),
    (
        "slow-output-comes",
        "timeout 10 ./ticks -q -B full | head -n 3",
        0,
        "^(tick [^\n]*\n){3}$",
        "^$",
    ),
    (
        "full-file",
        "./hello -q -o /dev/full",
        1,
        "^$",
        "^hello: write to /dev/full: No space left on device .*\n$",
    ),
    (
        "full-output",
        "./hello -q >/dev/full",
        1,
        "^$",
        "^hello: write to standard output: No space left .*\n$",
    ),
    (
        "full-at-the-end",
        "./opens -q -c true >/dev/full",
        1,
        "^$",
        "^opens: write to standard output: No space .*\n$",
    ),
    (
        "full-help",
        "./hello -h >/dev/full",
        1,
        "^$",
        "^hello: write to standard output: No space .*\n$",
    ),
    (
        "no-directory",
        "./hello -o no/where",
        1,
        "^$",
        "^hello: -o no/where: No such file or directory .*\n$",
    ),
    ("all-closed", "./hello <&- >&- 2>&-", 0, "^$", "^$"),
    (
        "output-closed",
        "./hello -q -o file <&- >&- 2>&-; cat file; rm file",
        0,
        "^hello\n",
        "^$",
    ),
    // Processes.
    (
        "child-killed",
        "./opens -q -c \"sh -c 'kill -9 \\$\\$'\" | tail -n 1",
        0,
        r"^@n: \d+\n$",
        "^the child was killed by signal 9\n$",
    ),
    (
        "child-missing",
        "./opens -q -c '/no/where x'",
        1,
        "^$",
        "^opens: -c: run `/no/where`: No such file .*\n$",
    ),
    (
        "child-missing-in-path",
        "./opens -c nonexistent",
        1,
        "^$",
        "^opens: -c: run `nonexistent`: No such file .*\n$",
    ),
    (
        "child-executes-its-program-alone",
        "PATH=/nowhere:$PATH ./execs -q -c true",
        0,
        r"^\n*@n: 1\n$",
        "^$",
    ),
    (
        "child-is-a-script-without-a-first-line",
        "mkdir bin; echo 'echo is $1 >&2' >bin/plain; chmod +x bin/plain; PATH=/nowhere:$PWD/bin:$PATH ./idle -q -c 'plain here'",
        0,
        r"^ended\n\n\n@n: 1\n$",
        "^is here\n$",
    ),
    (
        "child-not-executable",
        "./opens -q -c /etc/passwd",
        1,
        "^$",
        "^opens: -c: run `/etc/passwd`: Permission denied .*\n$",
    ),
    (
        "process-ends",
        "sleep 0.5 & ./idle -q -p $!",
        0,
        "^ended\n\n\n@n: 1\n$",
        "^$",
    ),
    (
        "process-missing",
        "./idle -p 2000000000",
        1,
        "^$",
        "^idle: process 2000000000: (No such process|Invalid argument) .*\n$",
    ),
    (
        "process-of-a-namespace",
        "unshare -p -f --mount-proc sh -c './opens -q -p 1 & sleep 1; read x </etc/passwd; read x </etc/passwd; kill -INT $!; wait'",
        0,
        r"@n: [1-9]\d*\n$",
        "^$",
    ),
    // More events than there is room for: each is printed or counted as lost.
    (
        "overflow",
        "./flood -q -c './btc-load getppid 50000' 2>err | (sleep 2; cat) >out; \
         p=$(grep -c hit out); l=$(awk '/^Lost/ {n += $2} END {print n + 0}' err); n=$(sed -n 's/^@n: //p' out); \
         test $l -gt 0 -a $p -gt 0 -a $((p + l)) -eq $n -a $n -eq 50000 && echo exact || echo $p $l $n",
        0,
        "^exact\n$",
        "^$",
    ),
    // Surroundings.
    ("no-environment", "env -i ./hello -q", 0, "^hello\n", "^$"),
    (
        "no-directory-of-its-own",
        "p=$PWD; mkdir gone; cd gone; rmdir ../gone; $p/hello -q",
        0,
        "^hello\n",
        "^$",
    ),
    (
        "no-locked-memory",
        "ulimit -l 0; ./hello -q",
        0,
        "^hello\n",
        "^$",
    ),
    (
        "no-settings",
        "unshare -m sh -c 'mount -t tmpfs none /proc/sys; ./hello -q'",
        0,
        "^hello\n",
        "^$",
    ),
    (
        "no-sysfs",
        "unshare -m sh -c 'mount -t tmpfs none /sys; ./hello -q'",
        1,
        "^$",
        "^hello: read /sys/devices/system/cpu/possible: No such .*\n$",
    ),
    (
        "few-descriptors",
        "ulimit -n 64; setpriv --bounding-set=-sys_resource ./calls -q",
        1,
        "^$",
        r"^calls: program:1:1: attached to \d+ of \d+ places \(`ulimit -n` is 64\): .*Too many open files .*\n$",
    ),
    (
        "no-tracefs",
        "unshare -m sh -c 'umount -l /sys/kernel/tracing /sys/kernel/debug 2>/dev/null; ./opens -q -c true'",
        0,
        r"@n: [1-9]",
        "^$",
    ),
    (
        "debugfs-only",
        "unshare -m sh -c 'umount -l /sys/kernel/tracing 2>/dev/null; mount -t debugfs none /sys/kernel/debug; ./opens -q -c true'",
        0,
        r"@n: [1-9]",
        "^$",
    ),
    (
        "no-btf",
        "unshare -m sh -c 'mount -t tmpfs none /sys/kernel/btf; ./opens -q -c true && ./types'",
        1,
        r"@n: [1-9]",
        r"^types: types reads kernel types, and this kernel \(.*\) has no BTF .*\n$",
    ),
    // Privileges.
    (
        "no-capability",
        as_nobody!("-all", "./hello"),
        1,
        "^$",
        "^hello: tracing needs root or CAP_BPF and CAP_PERFMON, which this process lacks\n$",
    ),
    (
        "nothing-listed",
        as_nobody!("-all", "./ignored --list"),
        1,
        "^$",
        "^ignored: no probe of the script can be attached on this machine: .*tracefs.*\n$",
    ),
    (
        "only-bpf",
        as_nobody!("-all,+bpf", "./hello"),
        1,
        "^$",
        "^hello: tracing needs root or CAP_PERFMON, which this process lacks\n$",
    ),
    (
        "only-perfmon",
        as_nobody!("-all,+perfmon", "./hello"),
        1,
        "^$",
        "^hello: tracing needs root or CAP_BPF, which this process lacks\n$",
    ),
    (
        "bpf-and-perfmon",
        as_nobody!("-all,+bpf,+perfmon", "./hello -q"),
        0,
        "^hello\n",
        "^$",
    ),
    (
        "unreadable-tracefs",
        concat!(
            "unshare -m sh -c 'mount -t tracefs none /sys/kernel/tracing; ",
            as_nobody!("-all,+bpf,+perfmon", "./opens"),
            "'"
        ),
        1,
        "^$",
        "^opens: /sys/kernel/tracing: tracepoints need root or CAP_DAC_READ_SEARCH too: Permission denied .*\n$",
    ),
    (
        "readable-tracefs",
        concat!(
            "unshare -m sh -c 'mount -t tracefs none /sys/kernel/tracing; ",
            as_nobody!("-all,+bpf,+perfmon,+dac_read_search", "./opens -q -c true"),
            "'"
        ),
        0,
        "@n: [1-9]",
        "^$",
    ),
    (
        "user-namespace",
        "unshare -U -r ./hello",
        1,
        "^$",
        "^hello: tracing needs the host's root, and this process is in a user namespace\n$",
    ),
    // The command line.
    (
        "bad-number",
        "./number abc",
        2,
        "^$",
        "^number: parameter 1: expected an integer, found `abc`\n$",
    ),
    (
        "dashes",
        "./number -q -- -5 && ./number -q -7",
        0,
        "^-5\n\n\n-7\n",
        "^$",
    ),
    (
        "surplus",
        "./number 1 2",
        2,
        "^$",
        "^number: unexpected argument `2`: number takes 1 positional parameter\n$",
    ),
    (
        "unknown-option",
        "./hello -z",
        2,
        "^$",
        "^hello: unknown option `-z`; `hello -h` lists the options\n$",
    ),
    (
        "help-needs-no-privilege",
        as_nobody!("-all", "./number -h"),
        0,
        r"^Usage: number \[OPTIONS\] \[\$1\]\n",
        "^$",
    ),
    (
        "info-needs-no-privilege",
        as_nobody!("-all", "./number --info"),
        0,
        "capabilities missing: CAP_BPF, CAP_PERFMON\n",
        "^$",
    ),
    (
        "dry-run",
        "./opens --dry-run",
        0,
        "^tracepoint:syscalls:sys_enter_openat\n$",
        "^$",
    ),
    (
        "list-names-places",
        "./opens --list -v",
        0,
        "^tracepoint:syscalls:sys_enter_openat\n    program:1:1\n$",
        "^$",
    ),
    (
        "list-without-privileges-says-what-is-missing",
        as_nobody!("-all", "./opens --list"),
        1,
        "^$",
        "^WARNING: ",
    ),
];

fn main() -> Result<()> {
    let arguments = Arguments::from_args();
    let within = std::env::temp_dir().join(format!("btc-endings-{}", std::process::id()));
    if !arguments.list {
        compile(&within)?;
    }
    let trials = ENDINGS
        .iter()
        .map(|ending| {
            let within = within.clone();
            Trial::test(ending.0, move || check(ending, &within))
        })
        .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    if !arguments.list {
        std::fs::remove_dir_all(&within)?;
    }
    conclusion.exit()
}

/// Into a directory that other users can read.
fn compile(within: &PathBuf) -> Result<()> {
    std::fs::create_dir_all(within)?;
    std::fs::set_permissions(within, std::fs::Permissions::from_mode(0o755))?;
    program_in(within, "load")?;
    for (name, program) in TOOLS {
        let output = Command::new(btc()?)
            .args(["-e", program, "-o", name])
            .current_dir(within)
            .output()
            .context("btc")?;
        if !output.status.success() {
            bail!("{name}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
    Ok(())
}

fn check(ending: &Ending, within: &Path) -> Result<(), Failed> {
    let (_, command, status, stdout, stderr) = ending;
    let output = Command::new("timeout")
        .args(["--foreground", "40", "sh", "-c", command])
        .current_dir(within)
        .stdin(std::process::Stdio::null())
        .output()?;
    let found = (
        output.status.code(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    let as_expected = found.0 == Some(*status)
        && Regex::new(stdout)?.is_match(&found.1)
        && Regex::new(stderr)?.is_match(&found.2);
    match as_expected {
        true => Ok(()),
        false => Err(format!("{command}\n{found:#?}").into()),
    }
}
