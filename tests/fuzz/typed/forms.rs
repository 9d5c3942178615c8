//! Statements, expressions, maps and declarations as forms with holes.

/// A map of every script that names it; the statement gives it its type.
pub const MAPS: &[(&str, &str)] = &[
    ("@n", "@n[(int64)1, (int64)2] = (int64)3;"),
    ("@un", "@un[(uint64)1, (uint8)2] = (uint64)3;"),
    ("@t", "@t = (int64)4;"),
    ("@s", "@s = comm;"),
    ("@q", "@q[comm] = \"none\";"),
    ("@w", "@w[(int64)1] = ((int64)1, comm);"),
    ("@r", "@r[(int64)1] = (a = (int64)1, b = comm);"),
    ("@y", "@y[(int64)1, ((int64)2, comm)] = (int64)1;"),
    ("@p", "@p[(int64)tid] = curtask;"),
    ("@b", "@b[true] = false;"),
    ("@sy", "@sy[ksym(0), ntop((uint32)0)] = (int64)1;"),
    ("@c", "@c = count();"),
    ("@d", "@d[comm] = count();"),
    ("@z", "@z[kstack(4), ustack(2)] = count();"),
    ("@su", "@su = sum((int64)1);"),
    ("@sk", "@sk[(int64)1] = sum((int64)1);"),
    ("@mi", "@mi = min((int64)1);"),
    ("@mk", "@mk[(int64)1, comm] = min((int64)1);"),
    ("@ma", "@ma = max((int64)1);"),
    ("@av", "@av = avg((int64)1);"),
    ("@ak", "@ak[comm] = avg((int64)1);"),
    ("@st", "@st = stats((int64)1);"),
    ("@sx", "@sx[(int64)1] = stats((int64)1);"),
    ("@x", "@x = tseries((int64)1, 1s, 5);"),
    (
        "@xk",
        "@xk[(int64)1] = tseries((int64)1, 100ms, 10, \"max\");",
    ),
    ("@k", "@k[comm, (int64)1] = hist(1);"),
    ("@hh", "@hh = hist(1);"),
    ("@h", "@h[1] = hist(1, 3);"),
    ("@l", "@l[(int64)1] = lhist(1, 0, 100, 10);"),
    ("@ll", "@ll = lhist(1, -5, 5, 1);"),
];

/// Simple statements.
pub const ACTS: &[&str] = &[
    "§var = (int64)§int;",
    "$u = (uint64)§int;",
    "$u §assign §int;",
    "§var §assign §int;",
    "§var++;",
    "--§var;",
    "@n[(int64)§int, (int64)§int] = (int64)§int;",
    "@un[(uint64)§int, (uint8)§int] = (uint64)§int;",
    "@un[(uint64)§int, (uint8)1] += §int;",
    "@n[(int64)§int, §lit] §assign (int64)§int;",
    "@n[(int64)§int, §lit]++;",
    "@t §assign (int64)§int;",
    "@t--;",
    "@s = §str;",
    "$s = §str;",
    "@q[§str] = §str;",
    "@w[(int64)§int] = ((int64)§int, §str);",
    "@r[(int64)§int] = (a = (int64)§int, b = §str);",
    "@y[(int64)§int, ((int64)§int, comm)] = (int64)§int;",
    "@p[(int64)§int] = §task;",
    "$p = §task;",
    "@b[(bool)§int] = (bool)§int;",
    "@sy[ksym(§int), ntop((uint32)§int)] = (int64)§int;",
    "_ = §int;",
    "let §new: §cast = (§cast)1; print(§same);",
    "print((§int, §str, (§any, 1)));",
    "print((a = §int, b = (§str, §int)));",
    "put(@n, (int64)§int, (int64)§int);",
    "bump(§var);",
    "return;",
];

/// Statements with blocks.
pub const BLOCKS: &[&str] = &[
    "if (§int) { §block }",
    "if (§int) { §block } else { §block }",
    "if (§int) { §block } else if (§str == §str) { §block } else { §block }",
    "if (§str == §str) { §block }",
    "{ §block }",
    "unroll(§small) { §block }",
    "while (§int) { §body }",
    "§var = 0; while (§var++ < §lit) { §body }",
    "for (§new : §int..§int) { §body print(§same); }",
    "for (§new : 0..§lit) { §body @n[(int64)§same, 1] = (int64)§int; }",
    "for (§new : @n) { §body print(§same.0.1 + §same.1); }",
    "for (§new : @n) { §body print(§same); }",
    "for (§new : @w) { §body @w[§same.0] = ((int64)§int, §same.1.1); }",
    "for (§new : @sx) { §body print(§same.1.count); }",
    "for (§new : @k) { §body print(§same.1); }",
    "for (§new : @q) { §body print(§same.1); }",
    "for (§new : @d) { §body print(§same.1); }",
    "for (§new : @y) { §body §var = (int64)§same.0.1.0; }",
];

/// What may end a loop's turn.
pub const JUMPS: &[&str] = &[
    "if (§int) { break; }",
    "if (§int) { continue; }",
    "if (§int) { return; }",
];

pub const INTEGERS: &[&str] = &[
    "(§int §op §int)",
    "(§int §op §int)",
    "(§int §op §int)",
    "(int64)!(§int)",
    "-(§int)",
    "~(§int)",
    "(§int ? §int : §int)",
    "(§int ?: §int)",
    "(int64)(§cast)(§int)",
    "@n[(int64)§int, §lit]",
    "@un[(uint64)§int, (uint8)§int]",
    "$u",
    "@y[(int64)§int, ((int64)§int, comm)]",
    "@t",
    "(int64)@c",
    "(int64)@d[§str]",
    "(int64)@su",
    "(int64)@ma",
    "(int64)@av",
    "@w[(int64)§int].0",
    "@r[(int64)§int].a",
    "(int64)@b[(bool)§int]",
    "@p[(int64)§int]->pid",
    "(§int, §str).0",
    "(1, (§int, comm)).1.0",
    "(a = §int, b = §str).a",
    "(int64)(§str == §str)",
    "(int64)(§str != §str)",
    "(int64)(((int64)§int, comm) == ((int64)§int, §task->comm))",
    "(int64)(§task == §task)",
    "§task->pid",
    "§task->real_parent->tgid",
    "§task->in_iowait",
    "(int64)§task",
    "(int64)§task->start_time",
    "*(int32 *)§task",
    "((uint8 *)§task)[§int]",
    "*((uint16 *)§int + (int64)§int)",
    "((int8[8])(int64)§int)[§lit]",
    "{ §block §int }",
    "(§var++)",
    "(--§var)",
    "(@t++)",
    "(++@n[(int64)§int, 1])",
    "twice(§int)",
    "shift((int64)§int, (uint8)§int)",
    "first((int64)§int)",
    "bump(§var)",
    "sizeof(struct task_struct)",
    "sizeof(§int)",
    "offsetof(struct task_struct, pid)",
    "(int64)($1 §op $#)",
];

/// Of the kernels that scripts really run on, and of the fixture.
pub const LIVE_INTEGERS: &[&str] = &[
    "§task->se.sum_exec_runtime",
    "§task->cpus_mask.bits[0]",
    "§task->comm[§lit]",
    "§task->mm->total_vm",
    "§task->prio",
    "§task->sched_reset_on_fork",
    "((struct file *)§int)->f_inode->i_ino",
    "(int64)PIDTYPE_TGID",
];
pub const FIXTURE_INTEGERS: &[&str] = &["§task->cpus[1]", "FIXTURE_BUSY", "§task->cpus[§int]"];

pub const STRINGS: &[&str] = &[
    "\"a\"",
    "\"\"",
    "\"longer text than that\"",
    "$s",
    "@s",
    "@q[§str]",
    "@w[(int64)§int].1",
    "@r[(int64)§int].b",
    "(1, §str).1",
    "(§int ? §str : §str)",
    "{ §block §str }",
    "§task->comm",
    "§task->real_parent->comm",
    "str($2)",
    "str((uint64)§int, §lit)",
];

/// Values of every other kind.
pub const ANY: &[&str] = &[
    "§int",
    "§str",
    "(§int, §str)",
    "(§any, §any)",
    "(a = §int, b = §any)",
    "(int8[8])(int64)§int",
    "(int32[2])§int",
    "(bool)§int",
    "(int16 *)§int",
    "§task->comm",
    "@w[(int64)§int]",
    "@r[(int64)§int]",
];

pub const TASKS: &[&str] = &[
    "$p",
    "@p[(int64)§int]",
    "§task->real_parent",
    "§task->group_leader",
    "(struct task_struct *)§int",
    "(§int ? §task : §task)",
];

pub const NUMBERS: &[&str] = &[
    "0",
    "1",
    "-1",
    "7",
    "255",
    "65536",
    "4294967295",
    "9223372036854775807",
    "0x10",
    "1e6",
    "1_000",
    "10ms",
    "true",
];
pub const OPERATORS: &[&str] = &[
    "+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>", "<", "<=", ">", ">=", "==", "!=", "&&",
    "||",
];
pub const ASSIGNMENTS: &[&str] = &[
    "=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "<<=", ">>=",
];
pub const CASTS: &[&str] = &[
    "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "bool",
];

/// At a script's head; one may be there.
pub const HEADS: &[&str] = &[
    "config = { on_stack_limit = 16 }\n",
    "config = { max_strlen = 16 }\n",
    "config = { max_strlen = 4096; max_map_keys = 10 }\n",
    "config = { stack_mode = perf }\n",
];

/// Maps that are declared.
pub const DECLARATIONS: &[&str] = &[
    "let @n = hash(64);\n",
    "let @n = lruhash(64);\n",
    "let @n = percpuhash(64);\n",
    "let @n = percpulruhash(64);\n",
    "let @d = lruhash(8);\n",
];

/// Subprograms, by the name that calls them.
pub const SUBPROGRAMS: &[(&str, &str)] = &[
    (
        "shift(",
        "fn shift($v: int64, $by: uint8): int64 { if ($by > 7) { return $v; } return $v << (int64)$by; }\n",
    ),
    (
        "first(",
        "fn first($above: int64): int64 { for ($kv : @q) { if (strlen($kv.1) > $above) { return 1; } } return 0; }\n",
    ),
];

pub const MACROS: &str = "macro twice(x) { x + x }\n\
    macro bump($v) { $v += 1; $v }\n\
    macro put(@m, k, v) { @m[k, 1] = v }\n";
