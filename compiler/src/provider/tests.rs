//! Attach points of every provider, over a host that knows a few names.

use btc_abi::{Attach, PerfPeriod, UserPlace};

pub(crate) use super::point::tests::point;
use super::*;
use crate::host::{
    CDefinitions, CError, COptions, DataLocation, Function, HostEnum, HostRecord, HostRecordBody,
    TracepointMember, UserFunction,
};

/// Two tracepoints, two functions, one raw tracepoint.
pub(crate) struct Small {
    pub(crate) btf: bool,
    pub(crate) tracefs: bool,
}

const INT: CType = CType::Int {
    bytes: 4,
    signed: true,
    bool_: false,
    char_: false,
};

fn member(name: &str) -> TracepointMember {
    TracepointMember {
        name: name.into(),
        ty: INT,
        offset: 8,
        size: 4,
        location: DataLocation::Inline,
    }
}

impl Host for Small {
    fn user_function(&self, _: &str, _: &str) -> Result<UserFunction, String> {
        Err("none".into())
    }
    fn user_layout(&self, _: &HostRecord) -> Option<(usize, btc_abi::Layout)> {
        None
    }
    fn record(&self, _: &str, _: bool) -> Option<HostRecord> {
        None
    }
    fn record_body(&self, _: &HostRecord) -> Option<HostRecordBody> {
        None
    }
    fn enumeration(&self, _: &str) -> Option<HostEnum> {
        None
    }
    fn enum_constant(&self, _: &str) -> Option<(HostEnum, u64)> {
        None
    }
    fn typedef(&self, _: &str) -> Option<CType> {
        None
    }
    fn function(&self, _: Option<&str>, name: &str) -> Option<Function> {
        let parameters: &[&str] = match name {
            "vfs_read" => &["file", "buf"],
            "vfs_readv" => &["file", "vec", "flags"],
            _ => return None,
        };
        Some(Function {
            name: name.into(),
            parameters: parameters.iter().map(|p| ((*p).into(), INT)).collect(),
            result: INT,
        })
    }
    fn functions(&self, _: Option<&str>, _: &str) -> Vec<String> {
        vec!["vfs_read".into(), "vfs_readv".into()]
    }
    fn raw_tracepoint(&self, event: &str) -> Option<Function> {
        (event == "sched_switch").then(|| Function {
            name: event.into(),
            parameters: vec![("preempt".into(), INT), ("prev".into(), INT)],
            result: CType::Void,
        })
    }
    fn tracepoint(&self, _: &str, event: &str) -> Result<Option<TracepointFormat>, String> {
        if !self.tracefs {
            return Err("tracefs is not mounted".into());
        }
        let members = match event {
            "sys_enter_open" => vec![member("nr"), member("filename")],
            "sys_enter_close" => vec![member("nr"), member("fd")],
            _ => return Ok(None),
        };
        Ok(Some(TracepointFormat {
            members,
            common: vec![],
        }))
    }
    fn tracepoints(&self, _: &str, _: &str) -> Vec<(String, String)> {
        ["sys_enter_open", "sys_enter_close"]
            .map(|e| ("syscalls".into(), e.into()))
            .to_vec()
    }
    fn has_kernel_btf(&self) -> bool {
        self.btf
    }
    fn c_definitions(&self, _: &str, _: &COptions) -> Result<(CDefinitions, Vec<CError>), String> {
        Err("no libclang".into())
    }
}

fn resolve_on(host: &Small, text: &str) -> Result<ProbeContext, Diagnostic> {
    let point = point(text);
    let provider = lookup(&point.provider.text).unwrap();
    let environment = Environment {
        host,
        arch: Arch::X86_64,
        unsafe_mode: false,
        max_probes: 1024,
    };
    (provider.resolve)(&point, &environment)
        .map(|mut all| all.remove(0))
        .map_err(|mut all| all.remove(0))
}

fn resolve(text: &str) -> Result<ProbeContext, Diagnostic> {
    let host = Small {
        btf: true,
        tracefs: true,
    };
    resolve_on(&host, text)
}

#[track_caller]
fn attach(text: &str) -> Attach {
    resolve(text).unwrap().attach
}

#[track_caller]
fn refused(text: &str) -> String {
    let why = resolve(text).unwrap_err();
    format!("{}: {}", why.code.as_str(), why.message)
}

fn names(args: &Args) -> Vec<String> {
    match args {
        Args::Tracepoint { format, .. } => format.members.iter().map(|m| m.name.clone()).collect(),
        Args::Values(values) => values.iter().map(|(n, ..)| n.clone()).collect(),
        Args::None { .. } | Args::Unknown(_) | Args::User { .. } => vec![],
    }
}

#[test]
fn periods() {
    let ns = |ns| PerfPeriod::Nanoseconds { ns };
    let interval = |period| Attach::Interval { period };
    assert_eq!(attach("interval:s:1"), interval(ns(1_000_000_000)));
    assert_eq!(attach("i:ms:20"), interval(ns(20_000_000)));
    assert_eq!(attach("interval:1s"), interval(ns(1_000_000_000)));
    assert_eq!(attach("interval:5000"), interval(ns(5000)));
    assert_eq!(attach("10ms"), interval(ns(10_000_000)));
    assert_eq!(
        attach("profile:hz:99"),
        Attach::Profile {
            period: PerfPeriod::Hertz { hz: 99 }
        }
    );
    assert_eq!(resolve("10ms").unwrap().name, "interval:10ms");
    assert_eq!(
        refused("interval:s:0"),
        "invalid-probe: a count must be at least 1"
    );
    assert_eq!(
        refused("interval:weeks:1"),
        "invalid-probe: unknown unit of time `weeks`"
    );
    assert_eq!(
        refused("profile"),
        "invalid-probe: `profile` needs to know what to attach to"
    );
}

#[test]
fn perf_events_have_aliases_and_default_counts() {
    assert_eq!(
        attach("software:faults"),
        Attach::Software {
            event: 2,
            count: 100
        }
    );
    assert_eq!(attach("s:cs:5"), Attach::Software { event: 3, count: 5 });
    assert_eq!(
        attach("h:branches"),
        Attach::Hardware {
            event: 4,
            count: 100_000
        }
    );
    let wrong = resolve("software:page-fault").unwrap_err();
    assert_eq!(wrong.help.as_deref(), Some("did you mean `page-faults`?"));
}

#[test]
fn kernel_functions() {
    assert_eq!(
        attach("k:xfs:xfs_read+0x10"),
        Attach::Kprobe {
            module: Some("xfs".into()),
            function: "xfs_read".into(),
            offset: 16
        }
    );
    let pattern = resolve("kprobe:vfs_*").unwrap();
    assert!(pattern.wildcard);
    let exit = resolve("kr:vfs_read").unwrap();
    assert_eq!(exit.name, "kretprobe:vfs_read");
    assert!(exit.retval.is_some() && exit.numbered == Numbered::None);
    assert!(refused("kprobe:0xffff0000").starts_with("unsafe-function"));
    assert!(refused("kprobe:0xg").contains("expected an address"));
    assert!(refused("kprobe:xfs:0x10").contains("in no module"));
    assert!(refused("kretprobe:f+4").contains("can't have an offset"));
    assert!(refused("kprobe:f+x").contains("expected `function+offset`"));
    assert!(refused("kprobe:a:b:c").contains("does not take `c` here"));
    assert!(refused("kprobe:").contains("an empty part"));
    assert_eq!(
        attach("kprobe:$1"),
        Attach::Kprobe {
            module: None,
            function: "$1".into(),
            offset: 0
        }
    );
}

#[test]
fn functions_with_types() {
    let entry = resolve("fentry:vfs_read").unwrap();
    assert_eq!(names(&entry.args), ["file", "buf"]);
    let exit = resolve("kretfunc:vfs_read").unwrap();
    assert_eq!(exit.retval, Some((Context::Result, INT)));
    assert_eq!(exit.name, "fexit:vfs_read");
    let pattern = resolve("fexit:vfs_*").unwrap();
    assert_eq!(names(&pattern.args), ["file"]);
    assert_eq!(pattern.retval, Some((Context::Result, INT)));
    let wrong = resolve("fentry:vfs_raed").unwrap_err();
    assert_eq!(wrong.code, Code::UnknownSymbol);
    assert_eq!(wrong.help.as_deref(), Some("did you mean `vfs_read`?"));
    let of_program = resolve("fentry:bpf:12:prog").unwrap();
    assert!(matches!(of_program.args, Args::Unknown(_)));
    assert_eq!(
        of_program.attach,
        Attach::Fentry {
            module: Some("bpf:12".into()),
            function: "prog".into()
        }
    );
    assert!(refused("fentry:bpf:x:prog").contains("expected a program's id"));
    let without = Small {
        btf: false,
        tracefs: true,
    };
    let entry = resolve_on(&without, "fentry:vfs_read").unwrap();
    assert!(matches!(entry.args, Args::Unknown(why) if why.help.is_some()));
}

#[test]
fn tracepoints() {
    let open = resolve("t:syscalls:sys_enter_open").unwrap();
    assert_eq!(open.name, "tracepoint:syscalls:sys_enter_open");
    assert!(matches!(
        open.args,
        Args::Tracepoint {
            user_pointers: true,
            ..
        }
    ));
    let both = resolve("tracepoint:syscalls:sys_enter_*").unwrap();
    assert!(both.wildcard);
    assert_eq!(names(&both.args), ["nr"]);
    let missing = resolve("tracepoint:syscalls:sys_enter_opne").unwrap();
    let Args::Unknown(why) = missing.args else {
        panic!("a tracepoint that isn't there has no args")
    };
    assert_eq!(
        why.help.as_deref(),
        Some("did you mean `tracepoint:syscalls:sys_enter_open`?")
    );
    let blind = Small {
        btf: true,
        tracefs: false,
    };
    let open = resolve_on(&blind, "tracepoint:syscalls:sys_enter_open").unwrap();
    assert!(matches!(open.args, Args::Unknown(why) if why.message.contains("not mounted")));
    assert!(refused("tracepoint:sched").contains("incomplete"));
    assert!(refused("tracepoint:a b:c").contains("has ` ` in its name"));
}

#[test]
fn raw_tracepoints() {
    let switch = resolve("rt:sched_switch").unwrap();
    assert_eq!(names(&switch.args), ["preempt", "prev"]);
    assert_eq!(switch.numbered, Numbered::Slots);
    assert_eq!(switch.kind, ProgramKind::RawTracepoint);
    let unknown = resolve("rawtracepoint:sched_swich").unwrap();
    assert!(matches!(unknown.args, Args::Unknown(_)));
}

/// Where a uprobe of a text is, in which binary.
fn user_place(text: &str) -> (String, UserPlace) {
    match attach(text) {
        Attach::Uprobe { binary, place, .. } | Attach::Uretprobe { binary, place } => {
            (binary.to_string(), place)
        }
        other => panic!("{other:?}"),
    }
}

fn in_function(symbol: &str, offset: u64) -> UserPlace {
    UserPlace::Function {
        symbol: symbol.to_owned().into(),
        offset,
        bounded: true,
    }
}

fn written(name: &str) -> UserPlace {
    let name = name.to_owned().into();
    UserPlace::Cpp { name }
}

#[test]
fn user_functions() {
    let bash = || "/bin/bash".to_owned();
    assert_eq!(
        user_place("u:/bin/bash:readline"),
        (bash(), in_function("readline", 0))
    );
    assert_eq!(
        user_place("uprobe:libc:malloc+4"),
        ("libc".into(), in_function("malloc", 4))
    );
    let address = UserPlace::Address {
        address: 0x1234,
        bounded: true,
    };
    assert_eq!(user_place("uprobe:/bin/bash:0x1234"), (bash(), address));
    assert_eq!(user_place("uprobe:a:cpp:f"), ("a".into(), written("f")));
    assert_eq!(
        user_place("uretprobe:a:cpp:f*"),
        ("a".into(), written("f*"))
    );
    assert!(resolve("uprobe:a:cpp:f*").unwrap().wildcard);
    assert!(!resolve("uprobe:a:cpp:f").unwrap().wildcard);
    assert!(resolve("uprobe:/lib/*:f").unwrap().wildcard);
    assert!(resolve("uretprobe:libc:malloc").unwrap().user_space);
    assert!(refused("uprobe:/bin/bash").contains("incomplete"));
    assert!(refused("uprobe:a:cpp:n::f").contains("must be in quotes"));
    assert!(refused("uprobe:a:java:f").contains("unknown language"));
    assert!(refused("uretprobe:a:f+4").contains("can't have an offset"));
    assert!(refused("uretprobe:a:0x10").contains("can't have an offset"));
}

#[test]
fn user_lines() {
    let line = |file: &str, line, column| UserPlace::Line {
        file: file.to_owned().into(),
        line,
        column,
    };
    assert_eq!(
        user_place("u:/bin/a@main.c:10"),
        ("/bin/a".into(), line("main.c", 10, 0))
    );
    assert_eq!(
        user_place("u:a@/src/b/main.c:10:3"),
        ("a".into(), line("/src/b/main.c", 10, 3))
    );
    // A path with an `@`.
    assert_eq!(
        user_place("u:/opt/a@2/bin/a:f"),
        ("/opt/a@2/bin/a".into(), in_function("f", 0))
    );
    assert!(refused("uprobe:a@main.c").contains("incomplete"));
    assert!(refused("uprobe:a@main.c:0").contains("line or column from 1"));
    assert!(refused("uprobe:a@main.c:1:x").contains("line or column from 1"));
    assert!(refused("uprobe:a@:1").contains("expected `binary@file`"));
    assert!(refused("uretprobe:a@main.c:10").contains("can't be at a line"));
}

#[test]
fn markers() {
    let full = resolve("usdt:/bin/x:ns:name").unwrap();
    assert!(!full.wildcard && full.user_space && full.pid_filter);
    assert_eq!(full.numbered, Numbered::Marker);
    assert_eq!(
        full.attach,
        Attach::Usdt {
            binary: "/bin/x".into(),
            namespace: Some("ns".into()),
            name: "name".into(),
            arguments: 0
        }
    );
    assert!(resolve("U:libc:setjmp").unwrap().wildcard);
    assert!(resolve("usdt:*:ns:name").unwrap().wildcard);
    assert!(resolve("usdt:/bin/x:ns:n?me").unwrap().wildcard);
    assert!(refused("usdt:/bin/x").contains("incomplete"));
    assert!(refused("usdt:/bin/x:a:b:c").contains("does not take `c` here"));
    // Without a namespace the marker may be of any.
    assert!(resolve("usdt:/bin/x::b").unwrap().wildcard);
}

#[test]
fn probe_types_that_are_gone_say_so() {
    for text in ["w:f+arg0:8:w", "asyncwatchpoint:0x1:8:w"] {
        assert!(
            refused(text).contains("no longer part of the language"),
            "{text}"
        );
    }
    assert!(refused("begin:1").contains("does not take `1` here"));
}

#[test]
fn names_and_aliases_are_told_apart_by_case() {
    let full = |name: &str| lookup(name).map(|p| p.name);
    assert_eq!(full("u"), Some("uprobe"));
    assert_eq!(full("U"), Some("usdt"));
    assert_eq!(full("BEGIN"), Some("begin"));
    assert_eq!(full("kretfunc"), Some("fexit"));
    assert_eq!(full("10ms"), Some("interval"));
    assert_eq!(full("kprob"), None);
}

#[test]
fn no_name_is_used_twice() {
    let mut all: Vec<&str> = PROVIDERS
        .iter()
        .flat_map(|p| p.aliases.iter().copied().chain([p.name]))
        .collect();
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count);
}
