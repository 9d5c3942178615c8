//! A small hand-written kernel answers sema's questions: the same everywhere, without root and without a kernel.

use super::{
    CDefinitions, CError, COptions, CType, Function, Host, HostEnum, HostMember, HostRecord,
    HostRecordBody, RecordOrigin, TracepointFormat, tracefs,
};
use std::path::Path;

#[derive(Clone, Copy, Debug, Default)]
pub struct FixtureHost;

/// Records by index: name, size, members as (name, type, byte offset).
const RECORDS: &[(&str, u32, &[(&str, &str, u32)])] = &[
    (
        "task_struct",
        64,
        &[
            ("pid", "int", 0),
            ("tgid", "int", 4),
            ("comm", "comm", 8),
            ("real_parent", "task_struct", 24),
            ("start_time", "u64", 32),
        ],
    ),
    (
        "file",
        16,
        &[("f_dentry", "dentry", 0), ("f_flags", "u32", 8)],
    ),
    (
        "dentry",
        16,
        &[("d_parent", "dentry", 0), ("d_flags", "u32", 8)],
    ),
];

/// Functions: name, parameters, result.
const FUNCTIONS: &[(&str, &[(&str, &str)], &str)] = &[
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

/// A type of the tables above; a record's name means a pointer to it.
fn ctype(name: &str) -> CType {
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
        "user" => (integer(1, true, true), true),
        name => (named(name).map_or(CType::Void, CType::Record), false),
    };
    let to = Box::new(to);
    CType::Pointer { to, user }
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
            bitfield: None,
        };
        let members = members.iter().map(member).collect();
        let size = *size;
        Some(HostRecordBody { size, members })
    }

    fn enumeration(&self, name: &str) -> Option<HostEnum> {
        (name == "fixture_state").then(|| HostEnum {
            name: name.to_owned(),
            bytes: 4,
            signed: false,
            values: vec![
                ("FIXTURE_IDLE".to_owned(), 0),
                ("FIXTURE_BUSY".to_owned(), 1),
            ],
            origin: RecordOrigin::KernelBtf,
        })
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

    fn has_kernel_btf(&self) -> bool {
        true
    }

    fn c_definitions(
        &self,
        _text: &str,
        _options: &COptions,
    ) -> Result<(CDefinitions, Vec<CError>), String> {
        Err("this host reads no C".to_owned())
    }

    fn read(&self, path: &Path) -> Result<String, String> {
        Err(format!("{}: no such file", path.display()))
    }
}
