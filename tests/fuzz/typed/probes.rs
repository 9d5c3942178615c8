//! The probes that well-typed scripts have, and what can be said in each alone.

/// A probe of every machine that is meant.
pub struct Probe {
    pub point: &'static str,
    /// Of the functions that may stand in it.
    pub tags: &'static [&'static str],
    pub integers: &'static [&'static str],
    pub strings: &'static [&'static str],
    /// The fixture kernel has it.
    pub fixture: bool,
}

const fn plain(point: &'static str) -> Probe {
    Probe {
        point,
        tags: &["user"],
        integers: &[],
        strings: &[],
        fixture: true,
    }
}

const fn with(
    point: &'static str,
    tags: &'static [&'static str],
    integers: &'static [&'static str],
    strings: &'static [&'static str],
) -> Probe {
    Probe {
        tags,
        integers,
        strings,
        ..plain(point)
    }
}

const fn live(probe: Probe) -> Probe {
    Probe {
        fixture: false,
        ..probe
    }
}

const ENTRY: &[&str] = &["arg", "sarg", "reg", "func", "user", "override"];
const RETURN: &[&str] = &["retval", "reg", "func", "user"];

pub const PROBES: &[Probe] = &[
    plain("begin"),
    plain("end"),
    plain("self:signal:SIGUSR1"),
    plain("test:t"),
    plain("bench:b"),
    plain("interval:s:1"),
    plain("profile:hz:99"),
    plain("software:faults:1"),
    plain("hardware:cycles:1000000"),
    plain("watchpoint:0x10000000:8:w"),
    with(
        "kprobe:vfs_read",
        ENTRY,
        &["((struct file *)arg0)->f_flags"],
        &[],
    ),
    live(with("kprobe:vfs_r*", ENTRY, &[], &[])),
    with("kretprobe:vfs_read", RETURN, &[], &[]),
    with(
        "fentry:vfs_read",
        &["func", "user", "path"],
        &[
            "args.count",
            "args.file->f_flags",
            "(uint64)args.pos",
            "((uint64)args.file >> 4)",
            "(int64)(args.file == 0)",
            "(arg0 * 3)",
        ],
        &["str(args.buf)", "str(args.buf, args.count)"],
    ),
    with(
        "fexit:vfs_read",
        &["func", "user", "retval"],
        &["args.count", "retval"],
        &[],
    ),
    live(with(
        "rawtracepoint:net_dev_queue",
        &["user", "skb"],
        &["args.skb->len"],
        &[],
    )),
    with(
        "tracepoint:sched:sched_switch",
        &["user"],
        &[
            "args.prev_pid",
            "args.prev_state",
            "args->next_pid",
            "((uint64)&args.next_pid >> 3)",
            "*(&args.next_pid)",
        ],
        &["args.prev_comm", "args->next_comm"],
    ),
    with(
        "tracepoint:syscalls:sys_enter_openat",
        &["user"],
        &["args.dfd", "args.flags"],
        &["str(args.filename)", "str(args->filename, 20)"],
    ),
    with(
        "tracepoint:sched:sched_process_exec",
        &["user"],
        &["args.pid"],
        &["str(args.filename)", "args.filename"],
    ),
    live(with(
        "tracepoint:syscalls:sys_enter_re*",
        &["user"],
        &[],
        &[],
    )),
    with(
        "rawtracepoint:sched_switch",
        &["user"],
        &[
            "args.prev->pid",
            "args.next->tgid",
            "args.next->real_parent->pid",
            "((uint64)args.prev & 15)",
            "(arg1 * 5)",
        ],
        &["args.prev->comm"],
    ),
    live(with("rawtracepoint:sched_wak*", &["user"], &[], &[])),
    with(
        "uprobe:/bin/bash:readline",
        &["arg", "sarg", "reg", "func", "user", "named"],
        &[],
        &["str(arg0)"],
    ),
    live(with(
        "uprobe:/bin/bash:readline*",
        &["arg", "user", "named"],
        &[],
        &[],
    )),
    with(
        "uretprobe:/bin/bash:readline",
        &["retval", "reg", "func", "user", "named"],
        &[],
        &["str(retval)"],
    ),
    with(
        "usdt:/tmp/btc-usdt:btc:registers",
        &["arg", "user"],
        &[],
        &["str(arg1)"],
    ),
    live(with("usdt:/tmp/btc-usdt:*:*", &["user"], &[], &[])),
    with(
        "iter:task",
        &["ctx"],
        &[
            "ctx.task->pid",
            "ctx.meta->seq_num",
            "((uint64)ctx >> 4)",
            "((uint64)ctx.task * 3)",
            "(int64)(ctx.task == curtask)",
        ],
        &["ctx.task->comm"],
    ),
    live(with(
        "iter:task_file",
        &["ctx", "file"],
        &["ctx.fd", "ctx.file->f_flags"],
        &[],
    )),
    live(with("iter:task_vma", &["ctx"], &["ctx.vma->vm_start"], &[])),
    live(with(
        "rawtracepoint:inet_sock_set_state",
        &["user", "sock"],
        &["args.newstate"],
        &[],
    )),
];
