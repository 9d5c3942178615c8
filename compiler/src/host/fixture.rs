//! A small hand-written kernel answers sema's questions: the same everywhere, without root and without a kernel.

use super::{
    CDefinitions, CError, COptions, CType, Function, Host, HostEnum, HostMember, HostRecord,
    HostRecordBody, RecordOrigin, TracepointFormat, UserFunction, UserParameter, tracefs,
};

#[derive(Clone, Copy, Debug, Default)]
pub struct FixtureHost;

/// Name, size, members as (name, type, byte offset).
type FixtureRecord = (
    &'static str,
    u32,
    &'static [(&'static str, &'static str, u32)],
);

/// Records by index. `u32:1` is a bitfield of one bit.
const RECORDS: &[FixtureRecord] = &[
    (
        "task_struct",
        136,
        &[
            ("pid", "int", 0),
            ("tgid", "int", 4),
            ("comm", "comm", 8),
            ("real_parent", "task_struct", 24),
            ("start_time", "u64", 32),
            ("group_leader", "task_struct", 40),
            ("in_iowait", "u32:1", 48),
            ("state", "state", 52),
            ("cpus", "u32[2]", 56),
            ("thread_pid", "pid", 64),
            ("pid_links", "in hlist_node[4]", 72),
        ],
    ),
    ("hlist_node", 16, &[("next", "hlist_node", 0)]),
    ("hlist_head", 8, &[("first", "hlist_node", 0)]),
    (
        "pid",
        48,
        &[
            ("tasks", "in hlist_head[4]", 0),
            ("numbers", "in upid[1]", 32),
        ],
    ),
    ("upid", 16, &[("nr", "int", 0), ("ns", "pid_namespace", 8)]),
    ("pid_namespace", 16, &[("idr", "in idr", 0)]),
    ("idr", 16, &[("idr_rt", "in xarray", 0)]),
    ("xarray", 16, &[("xa_head", "void", 8)]),
    (
        "xa_node",
        520,
        &[("shift", "u32", 0), ("slots", "void[64]", 8)],
    ),
    (
        "file",
        32,
        &[
            ("f_dentry", "dentry", 0),
            ("f_flags", "u32", 8),
            ("f_path", "struct path", 16),
        ],
    ),
    (
        "bpf_iter__task",
        16,
        &[("meta", "bpf_iter_meta", 0), ("task", "task_struct", 8)],
    ),
    (
        "bpf_iter_meta",
        24,
        &[("session_id", "u64", 8), ("seq_num", "u64", 16)],
    ),
    (
        "dentry",
        16,
        &[("d_parent", "dentry", 0), ("d_flags", "u32", 8)],
    ),
    ("path", 16, &[("mnt", "user", 0), ("dentry", "dentry", 8)]),
    ("sock", 16, &[("sk_family", "u32", 0)]),
    ("sk_buff", 16, &[("sk", "sock", 0), ("len", "u32", 8)]),
];

/// Name, parameters, result.
type FixtureFunction = (
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
);

const FUNCTIONS: &[FixtureFunction] = &[
    (
        "vfs_read",
        &[
            ("file", "file"),
            ("buf", "user"),
            ("count", "u64"),
            ("pos", "user"),
        ],
        "s64",
    ),
    ("do_nanosleep", &[("t", "user"), ("mode", "u32")], "int"),
    ("filp_close", &[("filp", "file"), ("id", "user")], "int"),
    ("ip_rcv", &[("skb", "sk_buff")], "int"),
];

/// Tracepoints: category, event, members in the words of a format file.
const TRACEPOINTS: &[(&str, &str, &str)] = &[
    (
        "syscalls",
        "sys_enter_openat",
        "field:int __syscall_nr; offset:8; size:4; signed:1;
         field:int dfd; offset:16; size:8; signed:0;
         field:const char * filename; offset:24; size:8; signed:0;
         field:int flags; offset:32; size:8; signed:0;",
    ),
    (
        "syscalls",
        "sys_exit_openat",
        "field:int __syscall_nr; offset:8; size:4; signed:1;
         field:long ret; offset:16; size:8; signed:1;",
    ),
    (
        "sched",
        "sched_switch",
        "field:char prev_comm[16]; offset:8; size:16; signed:0;
         field:pid_t prev_pid; offset:24; size:4; signed:1;
         field:long prev_state; offset:32; size:8; signed:1;
         field:char next_comm[16]; offset:40; size:16; signed:0;
         field:pid_t next_pid; offset:56; size:4; signed:1;",
    ),
    (
        "sched",
        "sched_process_exec",
        "field:__data_loc char[] filename; offset:8; size:4; signed:0;
         field:pid_t pid; offset:12; size:4; signed:1;",
    ),
];

fn integer(bytes: u8, signed: bool, char_: bool) -> CType {
    CType::Int {
        bytes,
        signed,
        bool_: false,
        char_,
    }
}

/// A type of the tables above; a record's name means a pointer to it, with `struct` or `in` before it the record itself.
fn ctype(name: &str) -> CType {
    if let Some((element, count)) = name.trim_end_matches(']').split_once('[')
        && name != "u32[2]"
    {
        return CType::Array {
            element: Box::new(ctype(element)),
            count: count.parse().unwrap_or(0),
        };
    }
    if let Some(record) = name.strip_prefix("in ").and_then(named) {
        return CType::Record(record);
    }
    let (to, user) = match name {
        "int" => return integer(4, true, false),
        "u32" => return integer(4, false, false),
        "u64" => return integer(8, false, false),
        "s64" => return integer(8, true, false),
        "comm" => {
            return CType::Array {
                element: Box::new(integer(1, true, true)),
                count: 16,
            };
        }
        "u32:1" => return integer(4, false, false),
        "u32[2]" => {
            return CType::Array {
                element: Box::new(integer(4, false, false)),
                count: 2,
            };
        }
        "state" => return CType::Enum(state()),
        "user" => (integer(1, true, true), true),
        name if name.starts_with("struct ") => {
            let name = name.trim_start_matches("struct ");
            return named(name).map_or(CType::Void, CType::Record);
        }
        name => (named(name).map_or(CType::Void, CType::Record), false),
    };
    let to = Box::new(to);
    CType::Pointer { to, user }
}

fn state() -> HostEnum {
    HostEnum {
        name: "fixture_state".to_owned(),
        bytes: 4,
        signed: false,
        values: vec![
            ("FIXTURE_IDLE".to_owned(), 0),
            ("FIXTURE_BUSY".to_owned(), 1),
        ],
        origin: RecordOrigin::KernelBtf,
    }
}

fn named(name: &str) -> Option<HostRecord> {
    let id = RECORDS.iter().position(|r| r.0 == name)?;
    Some(HostRecord {
        name: name.to_owned(),
        union: false,
        id: id as u64,
        origin: RecordOrigin::KernelBtf,
    })
}

/// What one line of a C preamble is.
enum Directive {
    Integer(String, i128),
    String(String, Vec<u8>),
    Error(String),
}

/// The fixture has no libclang: it knows `#define` of a number or a string, and no header.
fn directive(line: &str) -> Option<Directive> {
    if let Some(header) = line.strip_prefix("#include") {
        let header = header.trim().trim_matches(['<', '>', '"']);
        return Some(Directive::Error(format!("'{header}' file not found")));
    }
    let (name, value) = line.strip_prefix("#define ")?.split_once(' ')?;
    let (name, value) = (name.to_owned(), value.trim());
    if let Ok(number) = value.parse() {
        return Some(Directive::Integer(name, number));
    }
    let text = value.strip_prefix('"')?.strip_suffix('"')?;
    Some(Directive::String(name, text.as_bytes().to_vec()))
}

impl Host for FixtureHost {
    fn record(&self, name: &str, union: bool) -> Option<HostRecord> {
        named(name).filter(|_| !union)
    }

    fn record_body(&self, record: &HostRecord) -> Option<HostRecordBody> {
        let (_, size, members) = RECORDS.get(usize::try_from(record.id).ok()?)?;
        let member = |(name, ty, offset): &(&str, &str, u32)| HostMember {
            name: (*name).to_owned(),
            ty: ctype(ty),
            bit_offset: offset * 8,
            bitfield: ty.ends_with(":1").then_some(1),
        };
        let members = members.iter().map(member).collect();
        let size = *size;
        Some(HostRecordBody { size, members })
    }

    fn enumeration(&self, name: &str) -> Option<HostEnum> {
        (name == "fixture_state").then(state)
    }

    fn enum_constant(&self, name: &str) -> Option<(HostEnum, u64)> {
        let found = self.enumeration("fixture_state")?;
        let value = found.values.iter().find(|v| v.0 == name)?.1;
        Some((found, value))
    }

    fn typedef(&self, name: &str) -> Option<CType> {
        (name == "pid_t").then(|| CType::Typedef {
            name: name.to_owned(),
            to: Box::new(ctype("int")),
        })
    }

    fn function(&self, _module: Option<&str>, name: &str) -> Option<Function> {
        let (_, parameters, result) = FUNCTIONS.iter().find(|f| f.0 == name)?;
        let parameters = parameters.iter();
        Some(Function {
            name: name.to_owned(),
            parameters: parameters
                .map(|(n, t)| ((*n).to_owned(), ctype(t)))
                .collect(),
            result: ctype(result),
        })
    }

    fn functions(&self, _module: Option<&str>, pattern: &str) -> Vec<String> {
        let names = FUNCTIONS.iter().map(|f| f.0.to_owned());
        names.filter(|n| super::matches(pattern, n)).collect()
    }

    fn raw_tracepoint(&self, event: &str) -> Option<Function> {
        let parameters = [("prev", "task_struct"), ("next", "task_struct")];
        (event == "sched_switch").then(|| Function {
            name: event.to_owned(),
            parameters: parameters.map(|(n, t)| (n.to_owned(), ctype(t))).into(),
            result: CType::Void,
        })
    }

    fn tracepoint(&self, category: &str, event: &str) -> Result<Option<TracepointFormat>, String> {
        let found = TRACEPOINTS.iter().find(|t| t.0 == category && t.1 == event);
        Ok(found.map(|t| tracefs::parse(t.2, category)))
    }

    fn tracepoints(&self, category: &str, event: &str) -> Vec<(String, String)> {
        let fits = super::matches;
        let found = TRACEPOINTS.iter();
        found
            .filter(|t| fits(category, t.0) && fits(event, t.1))
            .map(|t| (t.0.to_owned(), t.1.to_owned()))
            .collect()
    }

    fn user_function(&self, binary: &str, function: &str) -> Result<UserFunction, String> {
        if (binary, function) != ("/bin/fixture", "scale") {
            return Err(format!("{binary} has no debug information"));
        }
        let parameters = [("from", "int"), ("factor", "float"), ("by", "u64")];
        Ok(UserFunction {
            parameters: parameters
                .map(|(name, ty)| UserParameter {
                    name: name.to_owned(),
                    ty: match ty {
                        "float" => CType::Float { bytes: 8 },
                        other => ctype(other),
                    },
                    by_reference: false,
                })
                .into(),
            result: CType::Void,
            result_by_reference: false,
            signature: btc_abi::Signature {
                build_id: "0123abcd".into(),
                parameters: "from: int32, factor: float64, by: uint64".into(),
                layouts: vec![].into(),
            },
            binary: 0,
        })
    }

    fn user_layout(&self, _: &HostRecord) -> Option<(usize, btc_abi::Layout)> {
        None
    }

    fn has_kernel_btf(&self) -> bool {
        true
    }

    fn c_definitions(
        &self,
        text: &str,
        _options: &COptions,
    ) -> Result<(CDefinitions, Vec<CError>), String> {
        let mut definitions = CDefinitions::default();
        let mut errors = vec![];
        let mut offset = 0;
        for line in text.split_inclusive('\n') {
            match directive(line.trim()) {
                Some(Directive::Integer(name, value)) => definitions.integers.push((name, value)),
                Some(Directive::String(name, value)) => definitions.strings.push((name, value)),
                Some(Directive::Error(message)) => errors.push(CError {
                    message,
                    offset: Some(offset),
                    fatal: true,
                }),
                None if line.trim().is_empty() => {}
                None => return Err("the fixture reads directives only".to_owned()),
            }
            offset += line.len();
        }
        Ok((definitions, errors))
    }
}
