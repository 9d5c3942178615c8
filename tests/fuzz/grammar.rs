//! Scripts made up by the language's own grammar: they parse, and most of what they mean is nonsense.

use btc::builtin;

use btc_tests::random::Random;

const PROBES: &[&str] = &[
    "begin",
    "end",
    "interval:s:1",
    "profile:hz:99",
    "kprobe:vfs_read",
    "kretprobe:vfs_read",
    "kprobe:vfs_*",
    "fentry:vfs_read",
    "fexit:vfs_read",
    "fentry:*",
    "tracepoint:sched:sched_switch",
    "tracepoint:syscalls:sys_enter_openat",
    "tracepoint:syscalls:*",
    "rawtracepoint:sched_switch",
    "uprobe:/bin/sh:main",
    "usdt:/bin/sh:ns:name",
    "uretprobe:/bin/sh:main",
    "software:faults:1",
    "hardware:cycles",
];
const MEMBERS: &[&str] = &[
    "pid",
    "comm",
    "real_parent",
    "in_iowait",
    "state",
    "cpus",
    "f_dentry",
    "f_flags",
    "d_parent",
    "filename",
    "prev_comm",
    "file",
    "prev",
    "0",
    "1",
    "nope",
];
const TYPES: &[&str] = &[
    "uint8",
    "int16",
    "uint32",
    "int64",
    "bool",
    "string",
    "string[8]",
    "buffer[4]",
    "int8[4]",
    "uint64[2]",
    "inet",
    "struct task_struct *",
    "struct file *",
    "struct file",
    "enum fixture_state",
    "pid_t",
    "void *",
    "(int8, string)",
];
const BINARY: &[&str] = &[
    "+", "-", "*", "/", "%", "&&", "||", "&", "|", "^", "<<", ">>", "<", "<=", ">", ">=", "==",
    "!=",
];
const NUMBERS: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "5",
    "127",
    "128",
    "255",
    "256",
    "65536",
    "4294967295",
    "9223372036854775807",
    "18446744073709551615",
    "0x10",
    "1e6",
    "10ms",
    "3u",
];
const STRINGS: &[&str] = &[
    "\"\"",
    "\"a\"",
    "\"hello world\"",
    "\"%d\"",
    "\"%s %d\\n\"",
    "\"%-8s|%r\"",
    "\"\\x00\"",
    "\"::1\"",
    "\"KILL\"",
    "\"ip\"",
];

pub struct Script<'r> {
    random: &'r mut Random,
    names: Vec<&'static str>,
    /// Expressions and statements that may still be made: bounds the size.
    left: usize,
}

/// A script of its own.
pub fn generated(random: &mut Random) -> String {
    let names = builtin::names().collect();
    let mut script = Script {
        random,
        names,
        left: 60,
    };
    let mut text = String::new();
    if script.random.once_in(6) {
        text += "config = { max_strlen = 64 }\n";
    }
    if script.random.once_in(4) {
        let body = script.expression(2);
        text +=
            &format!("macro twice(x) {{ x + x }}\nmacro put($v, @m) {{ @m[$v] = {body}; $v }}\n");
    }
    if script.random.once_in(6) {
        text += "let @a = lruhash(10);\n";
    }
    for _ in 0..=script.random.below(3) {
        let probe = *script.random.pick(PROBES);
        let predicate = match script.random.once_in(4) {
            true => format!(" /{}/", script.expression(2)),
            false => String::new(),
        };
        let body = script.block(3);
        text += &format!("{probe}{predicate} {body}\n");
    }
    text
}

impl Script<'_> {
    fn variable(&mut self) -> String {
        format!("${}", self.random.pick(&["a", "b", "c", "i"]))
    }

    fn map(&mut self, depth: usize) -> String {
        let name = format!("@{}", self.random.pick(&["a", "b", "c", ""]));
        match self.random.below(3) {
            0 => name,
            1 => format!("{name}[{}]", self.expression(depth)),
            _ => {
                let (a, b) = (self.expression(depth), self.expression(depth));
                format!("{name}[{a}, {b}]")
            }
        }
    }

    fn block(&mut self, depth: usize) -> String {
        let statements: Vec<_> = (0..=self.random.below(4))
            .map(|_| self.statement(depth))
            .collect();
        format!("{{ {} }}", statements.join(" "))
    }

    fn statement(&mut self, depth: usize) -> String {
        self.left = self.left.saturating_sub(1);
        if depth == 0 || self.left == 0 {
            return format!("print({});", self.expression(1));
        }
        let next = depth - 1;
        match self.random.below(14) {
            0 | 1 => format!("{} = {};", self.variable(), self.expression(depth)),
            2 | 3 => format!("{} = {};", self.map(next), self.expression(depth)),
            4 => {
                let aggregation = self
                    .random
                    .pick(&["count()", "sum(pid)", "hist(pid)", "avg(5)"]);
                format!("@{} = {aggregation};", self.random.pick(&["x", "y"]))
            }
            5 => format!(
                "if ({}) {} else {}",
                self.expression(next),
                self.block(next),
                self.block(next)
            ),
            6 => format!("while ({}) {}", self.expression(next), self.block(next)),
            7 => format!("unroll({}) {}", self.random.below(4), self.block(next)),
            8 => format!(
                "for ($i : {}..{}) {}",
                self.expression(0),
                self.expression(0),
                self.block(next)
            ),
            9 => format!(
                "for ($k : @{}) {}",
                self.random.pick(&["a", "b", "x"]),
                self.block(next)
            ),
            10 => format!(
                "{};",
                self.random.pick(&["return", "break", "continue", "exit()"])
            ),
            11 => format!(
                "let {}: {} = {};",
                self.variable(),
                self.random.pick(TYPES),
                self.expression(next)
            ),
            12 => {
                let place = match self.random.once_in(2) {
                    true => self.variable(),
                    false => self.map(next),
                };
                format!(
                    "{place}{}",
                    self.random.pick(&["++;", "--;", " += 2;", " <<= 1;"])
                )
            }
            _ => format!("{};", self.call(depth)),
        }
    }

    fn call(&mut self, depth: usize) -> String {
        let name = match self.random.once_in(3) {
            true => "print",
            false => *self.random.pick(&self.names),
        };
        let count = self.random.below(4);
        let arguments: Vec<_> = (0..count)
            .map(|_| match self.random.below(4) {
                0 => (*self.random.pick(STRINGS)).to_owned(),
                1 => self.map(0),
                _ => self.expression(depth.saturating_sub(1)),
            })
            .collect();
        format!("{name}({})", arguments.join(", "))
    }

    fn expression(&mut self, depth: usize) -> String {
        self.left = self.left.saturating_sub(1);
        if depth == 0 || self.left == 0 {
            return match self.random.below(5) {
                0 => (*self.random.pick(STRINGS)).to_owned(),
                1 => self.variable(),
                2 => (*self.random.pick(&self.names)).to_owned(),
                _ => (*self.random.pick(NUMBERS)).to_owned(),
            };
        }
        let next = depth - 1;
        match self.random.below(14) {
            0 | 1 => format!(
                "({} {} {})",
                self.expression(next),
                self.random.pick(BINARY),
                self.expression(next)
            ),
            2 => format!(
                "{}({})",
                self.random.pick(&["!", "-", "~", "*", "&"]),
                self.expression(next)
            ),
            3 => format!(
                "({} ? {} : {})",
                self.expression(next),
                self.expression(next),
                self.expression(next)
            ),
            4 => format!("({})({})", self.random.pick(TYPES), self.expression(next)),
            5 => format!("({}, {})", self.expression(next), self.expression(next)),
            6 => format!("({}).{}", self.expression(next), self.random.pick(MEMBERS)),
            7 => format!("args.{}", self.random.pick(MEMBERS)),
            8 => format!("curtask->{}", self.random.pick(MEMBERS)),
            9 => format!("({})[{}]", self.expression(next), self.expression(next)),
            10 => self.map(next),
            11 => format!("arg{}", self.random.below(8)),
            12 => format!("sizeof({})", self.random.pick(TYPES)),
            _ => self.call(next),
        }
    }
}
