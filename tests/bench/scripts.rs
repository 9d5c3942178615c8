//! The scripts that are compared. They say the same to bpftrace 0.17 and to btc.

/// Ends at the first event, which the bench makes all the time.
pub const START: &str = "tracepoint:syscalls:sys_enter_getpgid { printf(\"hit\\n\"); exit(); }\n";

pub const STACKS: &str = "profile:hz:99 { @[kstack, ustack] = count(); }\n";

pub const PRINTF: &str =
    "tracepoint:syscalls:sys_enter_getppid { printf(\"%d %s %d\\n\", pid, comm, nsecs); }\n";

const CALLS: &str = "getppid 100000";
const OPENS: &str = "open 30000 /etc/passwd";
const READS: &str = "read 100000 100";

/// Name, script, load: what tracing scripts are made of.
pub const PER_EVENT: &[(&str, &str, &str)] = &[
    (
        "count by comm",
        "tracepoint:syscalls:sys_enter_getppid { @[comm] = count(); }",
        CALLS,
    ),
    (
        "sum by pid",
        "tracepoint:syscalls:sys_exit_read /args->ret > 0/ { @[pid] = sum(args->ret); }",
        READS,
    ),
    (
        "count by tuple",
        "tracepoint:syscalls:sys_enter_getppid { @[pid, comm, cpu] = count(); }",
        CALLS,
    ),
    (
        "stats by comm",
        "tracepoint:syscalls:sys_exit_read { @[comm] = stats(args->ret); }",
        READS,
    ),
    (
        "lhist",
        "tracepoint:syscalls:sys_exit_read { @ = lhist(args->ret, 0, 10000, 1000); }",
        READS,
    ),
    (
        "hist of latency, two probes",
        "tracepoint:syscalls:sys_enter_getppid { @start[tid] = nsecs; }
         tracepoint:syscalls:sys_exit_getppid /@start[tid]/ {
           @ns = hist(nsecs - @start[tid]); delete(@start[tid]); }",
        CALLS,
    ),
    (
        "predicate on pid and comm",
        "tracepoint:syscalls:sys_enter_getppid /pid != 1 && comm == \"nobody\"/ { @ = count(); }",
        CALLS,
    ),
    (
        "predicate on a file name",
        "tracepoint:syscalls:sys_enter_openat /str(args->filename) == \"/etc/shadow\"/ { @ = count(); }",
        OPENS,
    ),
    (
        "count by parent through curtask",
        "tracepoint:syscalls:sys_enter_getppid { @[curtask->real_parent->tgid] = count(); }",
        CALLS,
    ),
    (
        "printf of opens",
        "tracepoint:syscalls:sys_enter_openat { printf(\"%d %s %s\\n\", pid, comm, str(args->filename)); }",
        // So few that nothing is lost: a lost event costs less.
        "open 2000 /etc/passwd",
    ),
    (
        "count by kernel stack",
        "tracepoint:syscalls:sys_enter_getppid { @[kstack] = count(); }",
        CALLS,
    ),
    (
        "count by user stack",
        "tracepoint:syscalls:sys_enter_getppid { @[ustack] = count(); }",
        CALLS,
    ),
    (
        "strings: read twice, compared, a key of two",
        "tracepoint:syscalls:sys_enter_openat {
           if (strncmp(str(args->filename), \"/etc/pass\", 9) == 0) { @[comm, str(args->filename)] = count(); } }",
        OPENS,
    ),
    (
        "strings: chosen and compared",
        "tracepoint:syscalls:sys_enter_getppid {
           $who = comm == \"nobody\" ? \"none\" : (comm == \"btc-load\" ? \"load\" : \"others\");
           @[$who, comm] = count(); }",
        CALLS,
    ),
    (
        "loops: while of 50 turns",
        "tracepoint:syscalls:sys_enter_getppid {
           $i = 0; $s = 0; while ($i < 50) { $s += $i * (uint64)cpu; $i++; } @ = sum($s); }",
        CALLS,
    ),
    (
        "loops: 20 unrolled map increments",
        "tracepoint:syscalls:sys_enter_getppid { $i = 0; unroll (20) { @[$i] = count(); $i += 1; } }",
        CALLS,
    ),
    (
        "stacks: kernel and user, by comm",
        "tracepoint:syscalls:sys_enter_getppid { @[kstack, ustack, comm] = count(); }",
        CALLS,
    ),
    (
        "stacks: two depths of both",
        "tracepoint:syscalls:sys_enter_getppid { @k[kstack(5)] = count(); @u[ustack(3)] = count(); @kk[kstack(20)] = count(); }",
        CALLS,
    ),
];
