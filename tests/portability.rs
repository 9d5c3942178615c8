//! The portability report: kernels that lack one thing each, and what is said of a script that needs it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use btc::arch::Arch;
use btc::options::{Language, Options};
use btc::portability::{self, Kernel, Report, Script, Verdict};
use btc::source::Source;
use btc_tests::btf::Builder;
use btc_tests::case::{self, Case, Expectation, Place};
use btc_tests::compile::{btc, filled, programs};
use btc_tests::root;
use btc_tests::vm::kernels::{self, MATRIX, Series};
use btc_tests::vm::types;
use clap::Parser;

const SCRIPT: &str = "kprobe:do_thing {
  $n = (struct node *)arg0;
  print($n->id);
  print($n->inner.word);
  print($n->first);
  print($n->slots[2]);
  print($n->mode == MODE_ON);
}
fentry:do_thing { print(args.node->next->id); }
kretprobe:do_* { print(retval); }
rawtracepoint:switch { print(args.task->tgid); }
uprobe:/bin/sh:main { @long[str(arg0)] = count(); }
tracepoint:syscalls:sys_enter_openat { @n[1] = 1; for ($kv : @n) { print($kv); } }
";

/// A kernel that has all that the script needs, but for the things that are named.
fn kernel(lacks: &[&str]) -> Vec<u8> {
    let has = |name: &str| !lacks.contains(&name);
    let mut btf = Builder::new();
    let u32_ = btf.int("unsigned int", 4, false);
    let int = btf.int("int", 4, true);
    let slots = btf.array(u32_, u32_, 4);
    let slots = if has("array") { slots } else { u32_ };
    let mut constants = vec![("MODE_OFF", 0)];
    constants.extend(has("MODE_ON").then_some(("MODE_ON", 1)));
    let mode = btf.enumeration("mode", &constants);
    let words = [("word", u32_, 0, 0)];
    let words = if has("inner.word") { &words[..] } else { &[] };
    let inner = btf.record("inner", false, 4, words);
    let first = [("first", u32_, 0, 0), ("second", u32_, 0, 0)];
    let first = if has("first") {
        &first[..]
    } else {
        &first[1..]
    };
    let either = btf.record("", true, 4, first);
    let node = btf.pointer(btf.next_id() + 1);
    let id = if has("id") { u32_ } else { inner };
    let mut members = vec![
        ("next", node, 0, 0),
        ("id", id, 64, 0),
        ("inner", inner, 96, 0),
        ("", either, 128, 0),
        ("slots", slots, 160, 0),
        ("mode", mode, 288, 0),
    ];
    members.retain(|(name, ..)| has(name) || *name == "id");
    let name = if has("struct node") { "node" } else { "knot" };
    btf.record(name, false, 40, &members);
    let task = btf.pointer(btf.next_id() + 1);
    btf.record("task_struct", false, 8, &[("tgid", int, 0, 0)]);
    let prototype = btf.prototype(int, &[("node", node)]);
    let functions = [
        "do_thing",
        "register_kprobe",
        "register_fprobe_ips",
        "bpf_uprobe_multi_link_attach",
        "register_ftrace_direct",
        "uprobe_register",
        "__x64_sys_openat",
    ];
    for function in functions.into_iter().filter(|name| has(name)) {
        btf.function(function, prototype);
    }
    let void = btf.pointer(0);
    let trace = btf.prototype(0, &[("__data", void), ("task", task)]);
    let trace = btf.pointer(trace);
    if has("btf_trace_switch") {
        btf.typedef("btf_trace_switch", trace);
    }
    let helpers: Vec<(String, u32)> = (1..212)
        .filter(|number| !lacks.contains(&&*format!("helper {number}")))
        .map(|number| (format!("BPF_FUNC_{number}"), number))
        .collect();
    let helpers: Vec<(&str, u32)> = helpers.iter().map(|(n, v)| (n.as_str(), *v)).collect();
    btf.enumeration("bpf_func_id", &helpers);
    btf.finish()
}

fn judged(script: &str, lacks: &[&str]) -> Report {
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let path = directory("types").join(format!("{number}.btf"));
    fs::write(&path, kernel(&[])).unwrap();
    let language = Language {
        btf: Some(path),
        ..Language::default()
    };
    let outcome = btc::compile(Source::new("x.bt", script), "x", &language).unwrap();
    let said: Vec<_> = outcome.diagnostics.iter().collect();
    let compiled = outcome.compiled.unwrap_or_else(|| panic!("{said:?}"));
    let script = Script {
        name: "x.bt",
        compiled: &compiled,
        sources: &outcome.sources,
        arch: Arch::X86_64,
    };
    let kernel = Kernel::new("k", kernel(lacks)).unwrap();
    portability::report(&script, &kernel).unwrap()
}

fn directory(name: &str) -> PathBuf {
    let path = btc_tests::work_directory().join("portability").join(name);
    fs::create_dir_all(&path).unwrap();
    path
}

/// What is missing → where the report says so, and in which words.
const LACKS: &[(&str, &str, &str)] = &[
    ("id", "x.bt:3:", "`id` of `struct node` is of another type"),
    (
        "inner.word",
        "x.bt:4:",
        "no member `inner.word` in `struct node`",
    ),
    ("first", "x.bt:5:", "no member `first` in `struct node`"),
    (
        "array",
        "x.bt:6:",
        "`slots` of `struct node` is of another type",
    ),
    ("MODE_ON", "x.bt:7:", "no `MODE_ON` in `enum mode`"),
    ("next", "x.bt:9:", "no member `next` in `struct node`"),
    ("struct node", "x.bt:1:", "no `struct node`"),
    ("do_thing", "x.bt:1:", "no function `do_thing`"),
    (
        "do_thing",
        "x.bt:10:",
        "no function in its BTF matches `do_*`",
    ),
    ("register_kprobe", "x.bt:10:", "no kprobes"),
    ("register_ftrace_direct", "x.bt:9:", "no fentry"),
    ("btf_trace_switch", "x.bt:11:", "no raw tracepoint `switch`"),
    ("uprobe_register", "x.bt:12:", "no uprobes"),
    (
        "helper 164",
        "x.bt:13:",
        "no bpf_for_each_map_elem, which came with Linux 5.13",
    ),
];

#[test]
fn each_thing_that_is_missing_has_its_place() {
    assert_eq!(judged(SCRIPT, &[]).reasons, []);
    for (lack, place, words) in LACKS {
        let report = judged(SCRIPT, &[lack]);
        assert_eq!(report.verdict(), Verdict::Fails, "{lack}");
        let found = report
            .reasons
            .iter()
            .find(|reason| reason.place.starts_with(place) && reason.what.contains(words));
        assert!(found.is_some(), "{lack}: {:#?}", report.reasons);
    }
}

#[test]
fn a_loops_callback_is_its_probes() {
    let script = "kprobe:do_thing {
        $n = (struct node *)arg0;
        for ($i : 0..100) {
            print($n->id);
        }
    }";
    let report = judged(script, &["id"]);
    let found = &report.reasons[0];
    assert!(found.place.starts_with("x.bt:4:"), "{found:?}");
    assert_eq!(found.probe, "kprobe:do_thing");
}

#[test]
fn what_the_runtime_makes_up_for_is_a_fallback() {
    // Linux 5.10: no helper from 156 on.
    let newer: Vec<String> = (156..212)
        .map(|number| format!("helper {number}"))
        .collect();
    let newer: Vec<&str> = newer.iter().map(String::as_str).collect();
    let one = |script: &str| {
        let report = judged(script, &newer);
        assert_eq!(report.reasons.len(), 1, "{:#?}", report.reasons);
        (report.verdict(), report.reasons[0].what.clone())
    };
    let (verdict, what) = one("kprobe:do_thing { print(func); }");
    assert_eq!(verdict, Verdict::Fallback);
    assert!(
        what.starts_with("no bpf_get_func_ip, which came with Linux 5.15"),
        "{what}"
    );
    let (verdict, what) = one("uprobe:/bin/sh:main { @long[str(arg0)] = 1; }");
    assert_eq!(verdict, Verdict::Fallback);
    assert!(what.contains("@long"), "{what}");
    let (verdict, what) = one("uprobe:/bin/sh:main { @long[str(arg0), 1] = 1; }");
    assert_eq!(verdict, Verdict::Fails);
    assert!(what.contains("@long"), "{what}");
    let (verdict, what) = one("uprobe:/bin/sh:main { for ($i : 0..100) { @n[$i] = 1; } }");
    assert_eq!(verdict, Verdict::Fallback);
    assert!(
        what.starts_with("no bpf_loop, which came with Linux 5.17: loops are"),
        "{what}"
    );
    let report = judged("kprobe:do_* { @ = count(); }", &["register_fprobe_ips"]);
    assert_eq!(report.verdict(), Verdict::Fallback);
    let what = "no kprobe.multi (CONFIG_FPROBE): one link for each function";
    assert_eq!(report.reasons[0].what, what);
    let multi = "bpf_uprobe_multi_link_attach";
    let report = judged(
        "uprobe:/bin/sh:m* { @[probe] = count(); }",
        &[multi, "helper 174"],
    );
    assert_eq!(report.verdict(), Verdict::Fallback);
    assert_eq!(report.reasons.len(), 2, "{:#?}", report.reasons);
    let open = "kprobe:$1, fentry:do_thing { @ = count(); }";
    let report = judged(open, &[]);
    assert_eq!(report.verdict(), Verdict::Runs, "{:#?}", report.reasons);
    let report = judged("uretprobe:/bin/sh:main { print(func); }", &[multi]);
    assert_eq!(report.verdict(), Verdict::Fails, "{:#?}", report.reasons);
    let lenient =
        "config = { missing_probes = \"warn\" } kprobe:do_thing { @ = count(); } interval:s:1 { }";
    let report = judged(lenient, &["do_thing"]);
    assert_eq!(report.verdict(), Verdict::Fallback, "{:#?}", report.reasons);
    let nothing = "config = { missing_probes = \"warn\" } kprobe:do_thing { @ = count(); }";
    assert_eq!(judged(nothing, &["do_thing"]).verdict(), Verdict::Fails);
}

fn run(words: &[&str], within: &Path) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(btc().unwrap())
        .arg("portability")
        .args(words)
        .current_dir(within)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn the_command_prints_a_table_or_json() {
    let within = directory("command");
    fs::create_dir_all(within.join("scripts/more")).unwrap();
    fs::write(
        within.join("scripts/a.bt"),
        "fentry:vfs_read { @ = count(); }",
    )
    .unwrap();
    fs::write(within.join("scripts/more/b.bt"), "interval:s:1 { exit(); }").unwrap();
    let functions = |names: &[&str]| {
        let mut btf = Builder::new();
        let prototype = btf.prototype(0, &[]);
        for name in names {
            btf.function(name, prototype);
        }
        btf.finish()
    };
    let direct = "register_ftrace_direct";
    fs::write(
        within.join("new"),
        functions(&[direct, "vfs_read", "__arm64_sys_openat"]),
    )
    .unwrap();
    fs::write(within.join("old"), functions(&["vfs_read"])).unwrap();
    let (status, table, said) = run(&["scripts", "--btf", "new", "Linux 5=old"], &within);
    assert_eq!((status, said.as_str()), (Some(1), ""));
    let wanted = "                   new                 Linux 5
scripts/a.bt       runs                does not run
scripts/more/b.bt  runs                runs

scripts/a.bt
  does not run: scripts/a.bt:1:1: fentry:vfs_read: this kernel has no fentry: ftrace's direct calls are missing (CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS) (Linux 5)
";
    assert_eq!(table, wanted);
    let (status, json, _) = run(&["scripts", "-f", "json", "--btf", "new"], &within);
    assert_eq!(status, Some(0));
    let all: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(all[0]["script"], "scripts/a.bt");
    assert_eq!(all[0]["verdict"], "runs");
    assert_eq!(all[0]["arch"], "aarch64");
    let (status, _, said) = run(&["scripts", "--btf", "scripts/a.bt"], &within);
    assert_eq!(status, Some(1));
    assert!(
        said.contains("scripts/a.bt: not little-endian BTF"),
        "{said}"
    );
    fs::write(within.join("wrong.bt"), "begin { nothing(); }").unwrap();
    let (status, _, said) = run(&["wrong.bt", "--btf", "new"], &within);
    assert_eq!(status, Some(1));
    assert!(said.contains("error["), "{said}");
    assert_eq!(run(&["scripts"], &within).0, Some(2));
}

/// Cases of kprobes on functions that BTF leaves out, for they have several prototypes: the report can't know of them.
const NOT_IN_BTF: &[&str] = &["guest/kprobe-duplicate"];

/// Cases whose scripts are compiled with the types of a binary, which this machine has for itself alone.
const OF_A_BINARY: &[&str] = &["probe/uprobe/args"];

/// What runs in the matrix is said to run: the cases with the kernels that they pass on, against these kernels' BTF.
#[test]
fn the_cases_of_the_matrix_run_by_the_report() {
    let kernels: Vec<(Series, Kernel)> = MATRIX
        .into_iter()
        .map(|series| {
            let image = kernels::fetch(series).unwrap();
            let data = fs::read(types::file(&image).unwrap()).unwrap();
            (series, Kernel::new(series.name(), data).unwrap())
        })
        .collect();
    // Whose types scripts read.
    programs().unwrap();
    let refused = |case: &Case| {
        let expects = |wanted: &Expectation| matches!(wanted, Expectation::Status(n) if *n != 0);
        case.expectations.iter().any(expects) || NOT_IN_BTF.contains(&case.name.as_str())
    };
    let mut wrong = vec![];
    let mut count = 0;
    for case in case::collect(&root().join("tests/run")).unwrap() {
        if case.place == Place::Host || refused(&case) {
            continue;
        }
        for arch in [Arch::X86_64, Arch::Arm64] {
            if arch == Arch::Arm64 && OF_A_BINARY.contains(&case.name.as_str()) {
                continue;
            }
            let chosen = kernels.iter().filter(|(series, kernel)| {
                kernel.arch() == Some(arch) && case.kernels.contains(series)
            });
            let chosen: Vec<&Kernel> = chosen.map(|(_, kernel)| kernel).collect();
            count += chosen.len();
            for report in of_case(&case, arch, &chosen) {
                if report.verdict() == Verdict::Fails {
                    wrong.push(report);
                }
            }
        }
    }
    assert!(wrong.is_empty(), "of {count}: {wrong:#?}");
    assert!(count > 200, "{count} runs");
}

/// Compiles a case once, as it wants it.
fn of_case(case: &Case, arch: Arch, kernels: &[&Kernel]) -> Vec<Report> {
    if kernels.is_empty() {
        return vec![];
    }
    let path = root().join(&case.script);
    let flags = case.flags.iter().map(|flag| filled(flag).unwrap());
    let words = ["btc".to_string()].into_iter().chain(flags);
    let options = Options::parse_from(words.chain([path.display().to_string()]));
    let mut language = options.build.language;
    language.target = arch;
    for directory in &mut language.include_directories {
        *directory = root().join(&*directory);
    }
    let source = Source::file(&path, fs::read_to_string(&path).unwrap());
    let outcome = btc::compile(source, "case", &language).unwrap();
    let said: Vec<_> = outcome.diagnostics.iter().collect();
    let compiled = outcome
        .compiled
        .unwrap_or_else(|| panic!("{}: {said:?}", case.name));
    let script = Script {
        name: &case.name,
        compiled: &compiled,
        sources: &outcome.sources,
        arch,
    };
    let reports = kernels
        .iter()
        .map(|kernel| portability::report(&script, kernel));
    reports.map(Result::unwrap).collect()
}
