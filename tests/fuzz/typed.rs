//! Scripts whose types are right: they get through the analyzer, so that code generation sees what nobody would write.

use crate::random::Random;

const PROBES: &[&str] = &[
    "begin",
    "interval:s:1",
    "kprobe:vfs_read",
    "kretprobe:vfs_read",
    "fentry:vfs_read",
    "tracepoint:sched:sched_switch",
    "rawtracepoint:sched_switch",
    "uprobe:/bin/sh:main",
    "usdt:/bin/sh:name*",
    "software:faults:1",
];
const INTEGERS: &[&str] = &[
    "0",
    "1",
    "-1",
    "7",
    "255",
    "65536",
    "4294967295",
    "9223372036854775807",
    "pid",
    "tid",
    "uid",
    "nsecs",
    "cpu",
    "rand",
    "elapsed",
    "cgroup",
    "curtask->pid",
    "curtask->real_parent->tgid",
    "curtask->in_iowait",
    "curtask->cpus[1]",
    "FIXTURE_BUSY",
    "sizeof(struct file)",
    "offsetof(struct dentry, d_flags)",
    "$1",
    "$#",
    "@n[1, 2]",
    "@t",
    "@c",
    "strlen(comm)",
    "len(@n)",
    "(1, (2, comm)).1.0",
    "getopt(\"n\", 5)",
];
const STRINGS: &[&str] = &[
    "comm",
    "\"a\"",
    "\"longer text than that\"",
    "str($2)",
    "@s",
    "pcomm",
    "str((uint64)$a)",
    "str((uint64)$a, 12)",
    "probe",
];
const OPERATORS: &[&str] = &[
    "+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>", "<", "<=", ">", ">=", "==", "!=", "&&",
    "||",
];
const TYPES: &[&str] = &[
    "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "bool",
];

struct Typed<'r> {
    random: &'r mut Random,
    /// Statements that may still be made.
    left: usize,
}

/// A script without errors, as far as this file can tell.
pub fn typed(random: &mut Random) -> String {
    let mut made = Typed { random, left: 40 };
    let mut text = String::new();
    if made.random.once_in(4) {
        text += "config = { on_stack_limit = 8 }\n";
    }
    if made.random.once_in(3) {
        text += "let @n = lruhash(64);\n";
    }
    text += "macro twice(x) { x + x }\n";
    text += "end { @n[1, 2] = 3; @t = 4; @c = count(); @s = comm; @k[comm, 1] = hist(1); }\n";
    for _ in 0..=made.random.below(2) {
        let probe = *made.random.pick(PROBES);
        let body = made.block(3, false);
        text += &format!("{probe} {{ $a = 1; $b = -1; $c = (int64)nsecs; {body} }}\n");
    }
    text
}

impl Typed<'_> {
    fn block(&mut self, depth: usize, looping: bool) -> String {
        let statements: Vec<_> = (0..=self.random.below(4))
            .map(|_| self.statement(depth, looping))
            .collect();
        statements.join(" ")
    }

    fn statement(&mut self, depth: usize, looping: bool) -> String {
        self.left = self.left.saturating_sub(1);
        let most = if depth == 0 || self.left == 0 { 9 } else { 15 };
        let next = depth.saturating_sub(1);
        match self.random.below(most) {
            0 => format!(
                "${} = {};",
                self.random.pick(&["a", "b", "c"]),
                self.integer(3)
            ),
            1 => format!(
                "@n[{}, {}] = {};",
                self.integer(2),
                self.integer(1),
                self.integer(3)
            ),
            2 => format!(
                "@t {} {};",
                self.random.pick(&["=", "+=", "-=", "*="]),
                self.integer(2)
            ),
            3 => format!(
                "@k[{}, {}] = hist({});",
                self.string(),
                self.integer(1),
                self.integer(2)
            ),
            4 => format!(
                "printf(\"%d %s %-5x\\n\", {}, {}, {});",
                self.integer(2),
                self.string(),
                self.integer(1)
            ),
            5 => format!(
                "print(({}, {}, ({},)));",
                self.integer(2),
                self.string(),
                self.integer(1)
            ),
            6 => format!("@s = {};", self.string()),
            7 => format!(
                "print({});",
                self.random
                    .pick(&["kstack", "ustack(3)", "@n", "@c", "ksym(1)", "comm"])
            ),
            8 => match looping {
                true => format!(
                    "if ({}) {{ {}; }}",
                    self.integer(1),
                    self.random.pick(&["break", "continue"])
                ),
                false => format!("delete(@n, ({}, 2));", self.integer(1)),
            },
            9 => format!(
                "if ({}) {{ {} }} else {{ {} }}",
                self.integer(2),
                self.block(next, looping),
                self.block(next, looping)
            ),
            10 => format!(
                "while ({}) {{ {} }}",
                self.integer(2),
                self.block(next, true)
            ),
            11 => format!(
                "unroll({}) {{ {} }}",
                1 + self.random.below(3),
                self.block(next, looping)
            ),
            12 => format!(
                "for ($i{depth} : {}..{}) {{ {} print($i{depth}); }}",
                self.integer(1),
                self.integer(1),
                self.block(next, true)
            ),
            13 => format!(
                "for ($k{depth} : @n) {{ {} print($k{depth}); }}",
                self.block(next, false)
            ),
            _ => format!(
                "if ({} == {}) {{ {} }}",
                self.string(),
                self.string(),
                self.block(next, looping)
            ),
        }
    }

    fn integer(&mut self, depth: usize) -> String {
        if depth == 0 {
            return match self.random.below(3) {
                0 => format!("${}", self.random.pick(&["a", "b", "c"])),
                _ => (*self.random.pick(INTEGERS)).to_owned(),
            };
        }
        let next = depth - 1;
        match self.random.below(8) {
            0..3 => format!(
                "({} {} {})",
                self.integer(next),
                self.random.pick(OPERATORS),
                self.integer(next)
            ),
            3 => format!(
                "{}({})",
                self.random.pick(&["!", "-", "~", "twice"]),
                self.integer(next)
            ),
            4 => format!(
                "({} ? {} : {})",
                self.integer(next),
                self.integer(next),
                self.integer(next)
            ),
            5 => format!(
                "(int64)({})({})",
                self.random.pick(TYPES),
                self.integer(next)
            ),
            6 => format!("@n[{}, {}]", self.integer(next), self.integer(0)),
            _ => self.integer(0),
        }
    }

    fn string(&mut self) -> String {
        (*self.random.pick(STRINGS)).to_owned()
    }
}
