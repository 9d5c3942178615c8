//! Listings of a made-up machine: a directory with tracefs files, kallsyms and binaries.

use super::*;
use crate::arch::Arch;
use crate::host::live::LiveOptions;
use std::path::PathBuf;

struct Machine(PathBuf);

impl Machine {
    fn new(test: &str, files: &[(&str, &str)]) -> Self {
        let name = format!("btc-listing-{test}-{}", std::process::id());
        let root = std::env::temp_dir().join(name);
        for (path, text) in files {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Machine(root)
    }

    fn host(&self) -> LiveHost {
        LiveHost::new(LiveOptions {
            btf: None,
            sysroot: Some(self.0.clone()),
            arch: Arch::X86_64,
        })
    }

    fn list(&self, pattern: &str, verbose: bool) -> String {
        let mut out = vec![];
        let host = self.host();
        let mut listing = Listing::new(&host, verbose, &mut out);
        listing.pattern(pattern).unwrap();
        String::from_utf8(out).unwrap()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const TRACING: &str = "sys/kernel/tracing";
const OPENAT: &str = "name: sys_enter_openat\nID: 1\nformat:\n\
    \tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\n\
    \tfield:int dfd;\toffset:16;\tsize:8;\tsigned:0;\n\
    \tfield:const char * filename;\toffset:24;\tsize:8;\tsigned:0;\n";

fn machine(test: &str) -> Machine {
    Machine::new(
        test,
        &[
            (
                &format!("{TRACING}/events/syscalls/sys_enter_openat/format"),
                OPENAT,
            ),
            (&format!("{TRACING}/events/sched/sched_switch/format"), ""),
            (&format!("{TRACING}/events/ftrace/function/format"), ""),
            (
                &format!("{TRACING}/available_filter_functions"),
                "vfs_write\nvfs_read\nnf_hook [nf_tables]\nvfs_read\n",
            ),
        ],
    )
}

#[test]
fn tracepoints_with_their_members() {
    let machine = machine("tracepoints");
    let all = "tracepoint:sched:sched_switch\ntracepoint:syscalls:sys_enter_openat\n";
    assert_eq!(machine.list("tracepoint:*", false), all);
    assert_eq!(machine.list("t", false), all);
    assert_eq!(
        machine.list("t:sys*:*_[n-p]*", true),
        "tracepoint:syscalls:sys_enter_openat\n    int dfd\n    const char * filename\n"
    );
    assert_eq!(
        machine.list("*open*", false),
        "tracepoint:syscalls:sys_enter_openat\n"
    );
}

#[test]
fn functions_by_module() {
    let machine = machine("functions");
    assert_eq!(
        machine.list("kprobe:*", false),
        "kprobe:nf_hook\nkprobe:vfs_read\nkprobe:vfs_write\n"
    );
    assert_eq!(
        machine.list("kr:vmlinux:*read", false),
        "kretprobe:vmlinux:vfs_read\n"
    );
    assert_eq!(machine.list("k:nf*:*", false), "kprobe:nf_tables:nf_hook\n");
}

#[test]
fn functions_of_kallsyms_where_ftrace_has_no_list() {
    let lines = "0 T vfs_read\n0 t __pfx_vfs_read\n0 D jiffies\n0 t a.cold\n0 t f\t[m]\n";
    let machine = Machine::new("kallsyms", &[("proc/kallsyms", lines)]);
    assert_eq!(
        machine.list("kprobe:*:*", false),
        "kprobe:m:f\nkprobe:vmlinux:vfs_read\n"
    );
}

#[test]
fn events_that_are_the_same_everywhere() {
    let machine = machine("events");
    let found = machine.list("software:c*", false);
    assert!(
        found.starts_with("software:cgroup-switches:\nsoftware:context-switches:\nsoftware:cpu:\n"),
        "{found}"
    );
    assert_eq!(machine.list("h:cycles:", false), "hardware:cycles:\n");
    assert!(machine.list("interval", false).contains("interval:ms:\n"));
}

#[test]
fn a_script_lists_what_it_finds() {
    let machine = machine("script");
    let text = "begin { } kprobe:vfs_*, kprobe:nope, t:sched:sched_switch, uprobe:/none:f, kprobe:$1 { } 1s { }";
    let mut sources = crate::source::SourceMap::default();
    let file = sources.add(crate::source::Source::new("x.bt", text.to_owned()));
    let (program, _) = crate::syntax::parse(file, text);
    let mut out = vec![];
    let host = machine.host();
    let missing = Listing::new(&host, false, &mut out)
        .script(&program)
        .unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "kprobe:vfs_read\nkprobe:vfs_write\ntracepoint:sched:sched_switch\nkprobe:$1\ninterval:1s\n"
    );
    let names: Vec<_> = missing.iter().map(|m| m.probe.as_str()).collect();
    assert_eq!(names, ["kprobe:nope", "uprobe:/none:f"]);
    assert!(missing[0].why.is_none() && missing[1].why.is_some());
}

#[test]
fn what_a_machine_cannot_say_is_an_error() {
    let machine = Machine::new("nothing", &[("etc/passwd", "")]);
    let host = machine.host();
    let mut out = vec![];
    let mut listing = Listing::new(&host, false, &mut out);
    for asked in ["kprobe:*", "t:*:*", "f:*", "struct s", "uprobe:/bin/none:*"] {
        assert!(
            matches!(listing.pattern(asked), Err(Refusal::Unknown(_))),
            "{asked}"
        );
    }
    for wrong in ["begin", "nothing:x", "k:a:b:c", "usdt", "t:a:b:c"] {
        assert!(
            matches!(listing.pattern(wrong), Err(Refusal::Usage(_))),
            "{wrong}"
        );
    }
    let unknown = listing.pattern("*").unwrap();
    assert_eq!(unknown.len(), 5, "{unknown:?}");
    assert!(String::from_utf8(out).unwrap().contains("software:faults:"));
}

#[test]
fn each_kind_is_a_provider() {
    for kind in KINDS {
        assert!(
            provider::names().any(|name| name == kind.provider),
            "{}",
            kind.provider
        );
    }
}
