//! Builtins and functions as well-typed scripts write them: a row for each of the compiler's own table, and a test that
//! none is missing. A new builtin is one row.
//!
//! A form is text of the language with holes: `§int` is filled with an expression of that [`Kind`], see `typed/mod.rs`.

use super::Kind::{self, Act, Aggregation, Any, Int, Str, Task};

/// A builtin or function.
pub struct Function {
    /// As the compiler's table has it.
    pub name: &'static str,
    pub gives: Kind,
    /// The probes that it may stand in: those with this tag; all where it is empty.
    pub tag: &'static str,
    pub forms: &'static [&'static str],
}

const fn row(name: &'static str, gives: Kind, forms: &'static [&'static str]) -> Function {
    Function {
        name,
        gives,
        tag: "",
        forms,
    }
}

const fn only(
    tag: &'static str,
    name: &'static str,
    gives: Kind,
    forms: &'static [&'static str],
) -> Function {
    Function {
        name,
        gives,
        tag,
        forms,
    }
}

pub const FUNCTIONS: &[Function] = &[
    // The process.
    row("pid", Int, &["pid", "pid()", "pid(init)", "pid(curr_ns)"]),
    row("tid", Int, &["tid", "tid(init)", "tid(curr_ns)"]),
    row("ppid", Int, &["ppid", "ppid()", "ppid(§task)"]),
    row("uid", Int, &["uid"]),
    row("gid", Int, &["gid"]),
    row("cgroup", Int, &["cgroup"]),
    row("cpid", Int, &["cpid"]),
    row("has_cpid", Int, &["has_cpid"]),
    row("leader_tid", Int, &["leader_tid"]),
    only("reg", "usermode", Int, &["usermode"]),
    row(
        "comm",
        Str,
        &["comm", "comm()", "comm(§task)", "comm((int32)§int)"],
    ),
    row("pcomm", Str, &["pcomm", "pcomm(§task)"]),
    row("leader_comm", Str, &["leader_comm"]),
    row("username", Any, &["username"]),
    row(
        "curtask",
        Task,
        &["curtask", "(struct task_struct *)curtask"],
    ),
    // The probe.
    only("arg", "arg", Int, &["arg0", "arg1", "(int64)(int32)arg2"]),
    only("sarg", "sarg", Int, &["sarg0", "sarg1"]),
    only("retval", "retval", Int, &["retval", "(int32)retval"]),
    only(
        "reg",
        "reg",
        Int,
        &["reg(\"ip\")", "reg(\"sp\")", "reg(\"di\")"],
    ),
    only("ctx", "ctx", Int, &["(uint64)ctx"]),
    only("func", "func", Any, &["func"]),
    row("probe", Any, &["probe"]),
    row("probetype", Str, &["probetype"]),
    // Time.
    row(
        "nsecs",
        Int,
        &[
            "nsecs",
            "nsecs(monotonic)",
            "nsecs(boot)",
            "nsecs(tai)",
            "nsecs(sw_tai)",
        ],
    ),
    row("elapsed", Int, &["elapsed"]),
    row("jiffies", Int, &["jiffies"]),
    row("time", Act, &["time();", "time(\"%H:%M:%S\\n\");"]),
    row(
        "strftime",
        Any,
        &["strftime(\"%H:%M:%S.%f\", §int)", "strftime(\"%Y\", nsecs)"],
    ),
    // The machine.
    row("cpu", Int, &["cpu"]),
    row("numaid", Int, &["numaid"]),
    row("rand", Int, &["rand"]),
    row("ncpus", Int, &["ncpus"]),
    // Stacks.
    row(
        "kstack",
        Any,
        &[
            "kstack",
            "kstack()",
            "kstack(3)",
            "kstack(perf)",
            "kstack(raw, 5)",
            "kstack(127)",
            "kstack(raw, $1)",
        ],
    ),
    row(
        "ustack",
        Any,
        &[
            "ustack",
            "ustack(1)",
            "ustack(perf, 4)",
            "ustack(raw)",
            "ustack(build_id, 2)",
        ],
    ),
    only("user", "dw_ustack", Any, &["dw_ustack", "dw_ustack(5)"]),
    // Symbols and addresses.
    row("ksym", Any, &["ksym(§int)", "ksym((uint64)§task)"]),
    row("usym", Any, &["usym(§int)"]),
    row(
        "kaddr",
        Int,
        &[
            "(uint64)kaddr(\"vfs_read\")",
            "*(int32 *)kaddr(\"vfs_read\")",
        ],
    ),
    row(
        "percpu_kaddr",
        Int,
        &[
            "(uint64)percpu_kaddr(\"runqueues\")",
            "(uint64)percpu_kaddr(\"runqueues\", §lit)",
        ],
    ),
    only("named", "uaddr", Int, &["(uint64)uaddr(\"readline\")"]),
    row("cgroupid", Int, &["cgroupid(\"/sys/fs/cgroup\")"]),
    row(
        "cgroup_path",
        Any,
        &["cgroup_path(§int)", "cgroup_path(cgroup, \"unified\")"],
    ),
    row(
        "kptr",
        Int,
        &["*kptr((int32 *)§int)", "(uint64)kptr(§task)"],
    ),
    row(
        "uptr",
        Int,
        &["*uptr((int64 *)§int)", "(uint64)uptr((int8 *)§int)"],
    ),
    row(
        "bswap",
        Int,
        &[
            "bswap(§int)",
            "bswap((uint16)§int)",
            "bswap((uint32)§int)",
            "bswap((uint8)§int)",
        ],
    ),
    row(
        "container_of",
        Int,
        &["container_of(&§task->pid, struct task_struct, pid)->tgid"],
    ),
    // Parameters and configuration.
    row(
        "config",
        Int,
        &["config.max_strlen", "(int64)config.print_maps_on_exit"],
    ),
    row(
        "getopt",
        Int,
        &[
            "getopt(\"n\", 5)",
            "getopt(\"long\", -1, \"a number\")",
            "getopt(\"flag\")",
            "getopt(\"on\", true)",
            "(getopt(\"s\", \"x\") == §str)",
        ],
    ),
    // Strings and bytes.
    row(
        "str",
        Str,
        &[
            "str((uint64)§var)",
            "str((uint64)§int, 12)",
            "str((uint64)§int, (uint8)§int)",
            "str($2)",
            "str(§str, 4)",
            "str(kptr((int8 *)§int))",
        ],
    ),
    row(
        "buf",
        Any,
        &[
            "buf((uint64)§int, 8)",
            "buf((uint64)§int, §int)",
            "buf(§str)",
            "buf(comm, §int)",
            "buf(\"abc\", 2)",
            "buf(uptr((int8 *)§int), 200)",
        ],
    ),
    row(
        "strncmp",
        Int,
        &[
            "strncmp(§str, §str, §lit)",
            "strncmp(comm, \"bash\", 4)",
            "strncmp(§str, §str, 100)",
            "strncmp(§str, §str, §int)",
            "strncmp(§str, comm, $1)",
        ],
    ),
    row("strlen", Int, &["strlen(§str)", "strlen(comm)"]),
    row(
        "memcmp",
        Int,
        &[
            "memcmp(comm, \"longer than that\", §lit)",
            "memcmp(buf(comm, 4), buf((uint64)§int, 4), 4)",
        ],
    ),
    row(
        "strcontains",
        Int,
        &[
            "(int64)strcontains(§str, \"a\")",
            "(int64)strcontains(comm, \"ab\")",
            "(int64)strcontains(§str, §str)",
        ],
    ),
    row(
        "strstr",
        Int,
        &[
            "strstr(§str, \"xyz\")",
            "strstr(comm, \"h\")",
            "strstr(§str, §str)",
        ],
    ),
    row(
        "str_concat",
        Str,
        &["str_concat(§str, §str)", "str_concat(comm, \"x\")"],
    ),
    row("strcap", Int, &["strcap(§str)"]),
    row("strerror", Any, &["strerror(§int)", "strerror(2)"]),
    row("signal_name", Any, &["signal_name(§int)", "signal_name(9)"]),
    row(
        "syscall_name",
        Any,
        &["syscall_name(§int)", "syscall_name(0)"],
    ),
    row("default_str_length", Int, &["default_str_length"]),
    only(
        "file",
        "path",
        Any,
        &["path(ctx.file.f_path)", "path(ctx.file.f_path, 32)"],
    ),
    // Network.
    row(
        "ntop",
        Any,
        &["ntop(§int)", "ntop(2, (uint32)§int)", "ntop(pton(\"::1\"))"],
    ),
    row(
        "pton",
        Any,
        &["ntop(pton(\"127.0.0.1\"))", "ntop(10, pton(\"fe80::1\"))"],
    ),
    row("macaddr", Any, &["macaddr((uint8 *)(uint64)§int)"]),
    only("sock", "socket_cookie", Int, &["socket_cookie(args.sk)"]),
    only(
        "skb",
        "skboutput",
        Int,
        &[
            "skboutput(\"/tmp/fuzz.pcap\", args.skb, 64, 0)",
            "skboutput(\"/tmp/fuzz.pcap\", args.skb, args.skb.len, §int)",
        ],
    ),
    // Output.
    row(
        "printf",
        Act,
        &[
            "printf(\"plain\\n\");",
            "printf(\"%d %s\\n\", §int, §str);",
            "printf(\"%-5x|%08llu|%c|%hhd\\n\", §int, §int, §int, §int);",
            "printf(\"%*d %.3s %p\\n\", §lit, §int, §str, §int);",
            "printf(\"%s %s\\n\", §any, §str);",
            "printf(\"%r %rx\\n\", buf(comm, 4), buf((uint64)§int, 3));",
        ],
    ),
    row("errorf", Act, &["errorf(\"bad %d %s\\n\", §int, §str);"]),
    row(
        "warnf",
        Act,
        &["warnf(\"%s\\n\", §str);", "warnf(\"careful\\n\");"],
    ),
    row(
        "cat",
        Act,
        &["cat(\"/proc/%d/comm\", §int);", "cat(\"/proc/uptime\");"],
    ),
    row("system", Act, &["system(\"true %d %s\", §int, §str);"]),
    row(
        "print",
        Act,
        &[
            "print(§any);",
            "print(§int);",
            "print(§str);",
            "print(@n);",
            "print(@n, §small);",
            "print(@n, §small, §small);",
            "print(@n[(int64)§int, (int64)§int]);",
            "print(@c);",
            "print(@k);",
            "print(@h[§lit]);",
            "print(@st);",
        ],
    ),
    row(
        "join",
        Act,
        &["join((char **)§int);", "join((int8 **)§int, \",\");"],
    ),
    // Maps.
    row(
        "delete",
        Act,
        &[
            "delete(@n, ((int64)§int, (int64)§int));",
            "delete(@n[(int64)§int, (int64)§int]);",
            "delete(@q, §str);",
            "delete(@k[§str, (int64)§int]);",
        ],
    ),
    row(
        "has_key",
        Int,
        &[
            "(int64)has_key(@n, ((int64)§int, (int64)§int))",
            "(int64)has_key(@q, §str)",
        ],
    ),
    row(
        "find",
        Int,
        &["(int64)find(@n, ((int64)§int, (int64)1), $found)"],
    ),
    row(
        "len",
        Int,
        &[
            "len(@n)",
            "len(@q)",
            "len(@k)",
            "len(kstack)",
            "len(ustack)",
            "len(ustack(5))",
        ],
    ),
    row(
        "clear",
        Act,
        &["clear(@n);", "clear(@c);", "clear(@k);", "clear(@st);"],
    ),
    row(
        "zero",
        Act,
        &["zero(@n);", "zero(@d);", "zero(@k);", "zero(@su);"],
    ),
    row(
        "count",
        Aggregation,
        &[
            "@c = count();",
            "@d[§str] = count();",
            "@z[kstack(4), ustack(2)] = count();",
        ],
    ),
    row(
        "sum",
        Aggregation,
        &[
            "@su = sum((int64)§int);",
            "@sk[(int64)§int] = sum((int64)§int);",
        ],
    ),
    row(
        "min",
        Aggregation,
        &[
            "@mi = min((int64)§int);",
            "@mk[(int64)§int, §str] = min((int64)§int);",
        ],
    ),
    row("max", Aggregation, &["@ma = max((int64)§int);"]),
    row(
        "avg",
        Aggregation,
        &["@av = avg((int64)§int);", "@ak[§str] = avg((int64)§int);"],
    ),
    row(
        "stats",
        Aggregation,
        &[
            "@st = stats((int64)§int);",
            "@sx[(int64)§int] = stats((int64)§int);",
        ],
    ),
    row(
        "hist",
        Aggregation,
        &[
            "@k[§str, (int64)§int] = hist(§int);",
            "@hh = hist(§int);",
            "@h[§lit] = hist(§int, 3);",
            "@told = hist(§int, $1);",
        ],
    ),
    row(
        "lhist",
        Aggregation,
        &[
            "@l[(int64)§int] = lhist(§int, 0, 100, 10);",
            "@ll = lhist(§int, -5, 5, 1);",
            "@lt[(int64)§int] = lhist(§int, $1, $2 * 10, $3);",
        ],
    ),
    row(
        "tseries",
        Aggregation,
        &[
            "@x = tseries((int64)§int, 1s, 5);",
            "@xk[(int64)§int] = tseries((int64)§int, 100ms, 10, \"max\");",
        ],
    ),
    // Control.
    row("exit", Act, &["exit();", "exit(§small);"]),
    row(
        "signal",
        Act,
        &[
            "signal(\"USR1\");",
            "signal(§small);",
            "signal((int64)§int);",
        ],
    ),
    row(
        "signal_thread",
        Act,
        &["signal_thread(\"SIGUSR1\");", "signal_thread((int64)§int);"],
    ),
    row(
        "static_assert",
        Act,
        &[
            "static_assert(sizeof(int32) == 4);",
            "static_assert(1 < 2, \"numbers\");",
        ],
    ),
    row("assert", Act, &["assert(§int, \"holds\");"]),
    row("assert_str", Act, &["assert_str(\"x\");"]),
    row(
        "fail",
        Act,
        &["if (sizeof(int32) != 4) { fail(\"never %d\", 1); }"],
    ),
    only("override", "override", Act, &["override(§int);"]),
    row("write_user", Int, &["write_user((uint64)§int, \"abc\", 3)"]),
    // Refused with what to write instead.
    row("unwatch", Act, &[]),
    // Types.
    row(
        "is_array",
        Int,
        &[
            "(int64)is_array(§int)",
            "(int64)is_array(curtask->cpus_mask.bits)",
        ],
    ),
    row(
        "is_integer",
        Int,
        &["(int64)is_integer(§int)", "(int64)is_integer(comm)"],
    ),
    row(
        "is_literal",
        Int,
        &["(int64)is_literal(5)", "(int64)is_literal(§int)"],
    ),
    row(
        "is_ptr",
        Int,
        &["(int64)is_ptr(§task)", "(int64)is_ptr(§int)"],
    ),
    row(
        "typeinfo",
        Int,
        &[
            "(int64)(typeinfo(§int).base_type == \"int\")",
            "(int64)strlen(typeinfo(§str).full_type)",
        ],
    ),
    row("is_str", Int, &["(int64)is_str(§str)", "(int64)is_str(1)"]),
    row(
        "is_unsigned_integer",
        Int,
        &["(int64)is_unsigned_integer(§int)"],
    ),
    row("is_err", Int, &["(int64)is_err(§task)"]),
    row(
        "kfunc_exist",
        Int,
        &[
            "(int64)kfunc_exist(\"bpf_task_from_pid\")",
            "(int64)kfunc_exist(\"no_such\")",
        ],
    ),
    row(
        "kfunc_allowed",
        Int,
        &["(int64)kfunc_allowed(\"bpf_task_from_pid\")"],
    ),
];
