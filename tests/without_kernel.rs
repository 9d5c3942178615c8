//! btc where there is no kernel to ask: what it makes there is what it makes anywhere, and it says where its answers
//! came from.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use btc_tests::case::files;
use btc_tests::compile::{btc, load};
use btc_tests::root;

fn directory(name: &str) -> PathBuf {
    let path = btc_tests::work_directory()
        .join("without-kernel")
        .join(name);
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

fn run(words: &[&str], within: &Path) -> Output {
    let output = Command::new(btc().unwrap())
        .args(words)
        .current_dir(within)
        .output();
    output.unwrap()
}

fn good(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    said
}

/// An object depends on no machine: types that the reference told of give the same bytes as this kernel's.
#[test]
fn what_we_ship_is_the_same_without_a_kernel() {
    let within = directory("same");
    fs::create_dir(within.join("empty")).unwrap();
    let mut noted = 0;
    let scripts = ["tools", "examples"].map(|d| files(&root().join(d)).unwrap());
    for script in scripts.concat() {
        if script.extension().is_none_or(|e| e != "bt") {
            continue;
        }
        let script = script.to_str().unwrap();
        for stage in ["object", "manifest"] {
            good(&run(&[script, "--emit", stage, "-o", "here"], &within));
            let words = [script, "--emit", stage, "-o", "there", "--sysroot", "empty"];
            let said = good(&run(&words, &within));
            assert!(
                said.lines().all(|line| line.starts_with("note: ")),
                "{said}"
            );
            noted += said.matches("those of Linux 6.12").count();
            let read = |name| fs::read(within.join(name)).unwrap();
            assert!(read("here") == read("there"), "{script}: another {stage}");
        }
    }
    assert!(noted > 10, "{noted} notes");
}

/// Compiled with an empty /sys, and run here: numbers are those of the load.
#[test]
fn an_executable_made_without_sys_traces() {
    let within = directory("traces");
    let script = "tracepoint:syscalls:sys_enter_openat
        /curtask.tgid == cpid && str(args.filename) == \"/etc/passwd\"/ { @[args.flags & 3] = count(); }
        rawtracepoint:sched_switch /args.prev.tgid == cpid/ { @left = count(); }";
    fs::write(within.join("x.bt"), script).unwrap();
    let btc = btc().unwrap().display();
    let shell = format!("mount -t tmpfs none /sys && exec {btc} x.bt -o x");
    let made = Command::new("unshare")
        .args(["-m", "sh", "-c", &shell])
        .current_dir(&within)
        .output();
    let said = good(&made.unwrap());
    assert!(
        said.contains("note: this machine has no kernel BTF: types are those of Linux 6.12;"),
        "{said}"
    );
    let load = load().unwrap();
    let command = format!("{} open 7 /etc/passwd", load.display());
    let ran = Command::new(within.join("x"))
        .args(["-q", "-c", &command])
        .output()
        .unwrap();
    good(&ran);
    let text = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(
        text.contains("@[0]: 7\n") && text.contains("@left: "),
        "{text}"
    );
}

#[test]
fn what_this_machine_lacks_is_named() {
    let within = directory("named");
    let event = within.join("sys/kernel/tracing/events/sched/sched_wakeup");
    fs::create_dir_all(&event).unwrap();
    fs::write(event.join("format"), "").unwrap();
    let check = |program: &str| run(&["check", "-e", program, "--sysroot", "."], &within);
    let said = good(&check(
        "tracepoint:sched:sched_switch { print(args.prev_pid); }",
    ));
    let wanted =
        "note: not known on this machine, taken from Linux 6.12: tracepoint sched:sched_switch\n";
    assert_eq!(said, wanted);
    // What needs no answer gets no note.
    assert_eq!(good(&check("begin { print(1); }")), "");
    // Nobody knows it.
    let refused = check("tracepoint:sched:sched_none { print(args.prev_pid); }");
    assert_eq!(refused.status.code(), Some(1));
    // A BTF that was named is the whole truth.
    fs::write(
        within.join("x.btf"),
        btc_tests::btf::Builder::new().finish(),
    )
    .unwrap();
    let program = "begin { print(((struct file *)0)->f_flags); }";
    let refused = run(&["check", "-e", program, "--btf", "x.btf"], &within);
    assert_eq!(refused.status.code(), Some(1));
}
