//! The scripts that are compared. They say the same to bpftrace 0.17 and to btc.

/// Ends at the first event, which the bench makes all the time.
pub const START: &str = "tracepoint:syscalls:sys_enter_getpgid { printf(\"hit\\n\"); exit(); }\n";

pub const STACKS: &str = "profile:hz:99 { @[kstack, ustack] = count(); }\n";

pub const PRINTF: &str =
    "tracepoint:syscalls:sys_enter_getppid { printf(\"%d %s %d\\n\", pid, comm, nsecs); }\n";

const OPENS: &str = "open 200000 /etc/passwd";
const CALLS: &str = "getppid 400000";

/// Name, script, load.
pub const PER_EVENT: &[(&str, &str, &str)] = &[
    (
        "count",
        "tracepoint:syscalls:sys_enter_getppid { @ = count(); }",
        CALLS,
    ),
    (
        "count by pid",
        "tracepoint:syscalls:sys_enter_getppid { @[pid] = count(); }",
        CALLS,
    ),
    (
        "count by comm",
        "tracepoint:syscalls:sys_enter_getppid { @[comm] = count(); }",
        CALLS,
    ),
    (
        "count by file name",
        "tracepoint:syscalls:sys_enter_openat { @[str(args->filename)] = count(); }",
        OPENS,
    ),
    (
        "hist",
        "tracepoint:syscalls:sys_enter_getppid { @ = hist(nsecs); }",
        CALLS,
    ),
    (
        "sum by pid and cpu",
        "tracepoint:syscalls:sys_enter_getppid { @[pid, cpu] = sum(1); }",
        CALLS,
    ),
    (
        "timestamp into a map",
        "tracepoint:syscalls:sys_enter_getppid { @t[tid] = nsecs; }",
        CALLS,
    ),
    (
        "predicate on comm",
        "tracepoint:syscalls:sys_enter_getppid /comm == \"nobody\"/ { @ = count(); }",
        CALLS,
    ),
    (
        "lhist",
        "tracepoint:syscalls:sys_enter_openat { @ = lhist(args->flags, 0, 1000, 100); }",
        OPENS,
    ),
    (
        "kernel stack count",
        "tracepoint:syscalls:sys_enter_getppid { @[kstack] = count(); }",
        CALLS,
    ),
    (
        "string compare of an argument",
        "tracepoint:syscalls:sys_enter_openat /str(args->filename) == \"/etc/shadow\"/ { @ = count(); }",
        OPENS,
    ),
    ("printf", PRINTF, "getppid 2000"),
];
