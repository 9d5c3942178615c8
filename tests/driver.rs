//! The command line as a user meets it: what is written, what is left behind, and with which exit status.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use btc_tests::compile::btc;

const PROGRAM: &str = "begin { printf(\"hello %d\\n\", 7); exit(); }";
/// What bytes of paths of the build machine would start with.
const PRIVATE: &[&str] = &[
    "/.cargo/",
    "/registry/",
    "/.cache/",
    "/rustup/",
    "runtime-template",
];

fn directory(name: &str) -> PathBuf {
    let path = btc_tests::work_directory().join("driver").join(name);
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

fn run(words: &[&str], within: &Path) -> Output {
    Command::new(btc().unwrap())
        .args(words)
        .current_dir(within)
        .output()
        .unwrap()
}

fn status(words: &[&str]) -> (i32, String) {
    let output = run(words, &directory("status"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().unwrap_or(-1), said)
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn is_good(output: &Output) {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn two_builds_are_the_same_bytes_and_hold_no_path() {
    let (one, two) = (directory("one"), directory("two"));
    is_good(&run(&["-e", PROGRAM, "-o", "tool"], &one));
    // Anew, with something else in between, so that nothing is merely left over.
    is_good(&run(
        &["-e", "end { printf(\"x\\n\"); }", "-o", "other"],
        &one,
    ));
    is_good(&run(&["-e", PROGRAM, "-o", "tool", "--rebuild"], &two));
    let bytes = fs::read(one.join("tool")).unwrap();
    assert!(bytes == fs::read(two.join("tool")).unwrap());
    let text = String::from_utf8_lossy(&bytes);
    let home = std::env::var("HOME").unwrap_or("/root".into());
    for private in PRIVATE.iter().copied().chain([format!("{home}/").as_str()]) {
        assert!(!text.contains(private), "{private}");
    }
    let root = btc_tests::root().display().to_string();
    assert!(!text.contains(&root), "{root}");
}

#[test]
fn an_executable_is_static_and_can_be_executed() {
    let within = directory("static");
    is_good(&run(&["-e", PROGRAM, "-o", "tool"], &within));
    let path = within.join("tool");
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o111,
        0o111
    );
    assert!(fs::metadata(&path).unwrap().len() <= 1_700_000);
    let ldd = Command::new("ldd").arg(&path).output().unwrap();
    let said = String::from_utf8_lossy(&ldd.stdout) + String::from_utf8_lossy(&ldd.stderr);
    assert!(
        said.contains("not a dynamic executable") || said.contains("statically linked"),
        "{said}"
    );
    assert_eq!(names(&within), ["tool"]);
}

#[test]
fn a_symbolizer_is_linked_where_a_script_prints_symbols() {
    let within = directory("symbolizer");
    let program = "profile:hz:99 { @[kstack] = count(); }";
    is_good(&run(&["-e", program, "-o", "tool"], &within));
    let bytes = fs::metadata(within.join("tool")).unwrap().len();
    assert!((1_700_001..=2_600_000).contains(&bytes), "{bytes}");
}

#[test]
fn a_script_with_errors_leaves_nothing_behind() {
    let within = directory("errors");
    let output = run(&["-e", "begin { print($nope); }", "-o", "tool"], &within);
    assert_eq!(output.status.code(), Some(1));
    assert!(names(&within).is_empty());
}

#[test]
fn several_scripts_go_into_a_directory() {
    let within = directory("several");
    fs::write(within.join("a.bt"), PROGRAM).unwrap();
    fs::write(within.join("b.bt"), PROGRAM).unwrap();
    is_good(&run(&["a.bt", "b.bt", "-o", "bin"], &within));
    assert_eq!(names(&within.join("bin")), ["a", "b"]);
}

#[test]
fn a_script_names_its_executable() {
    let within = directory("stem");
    fs::write(within.join("hello.bt"), PROGRAM).unwrap();
    is_good(&run(&["hello.bt"], &within));
    assert_eq!(names(&within), ["hello", "hello.bt"]);
}

#[test]
fn standard_input_is_a_script() {
    use std::io::Write;
    let within = directory("stdin");
    let mut child = Command::new(btc().unwrap())
        .args(["-", "-o", "tool"])
        .current_dir(&within)
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(PROGRAM.as_bytes()).unwrap();
    drop(stdin);
    assert!(child.wait().unwrap().success());
    assert_eq!(names(&within), ["tool"]);
}

#[test]
fn a_directory_is_not_overwritten() {
    let within = directory("occupied");
    fs::create_dir(within.join("tool")).unwrap();
    let output = run(&["-e", PROGRAM, "-o", "tool"], &within);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "btc: tool is a directory\n"
    );
}

#[test]
fn a_device_stays_a_device() {
    use std::os::unix::fs::FileTypeExt;
    let within = directory("device");
    let device = within.join("full");
    // A copy of /dev/full, in case it is not.
    let made = Command::new("mknod")
        .arg(&device)
        .args(["c", "1", "7"])
        .status();
    assert!(made.unwrap().success());
    let output = run(&["-e", PROGRAM, "-o", "full"], &within);
    assert_eq!(
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned()
        ),
        (Some(1), "btc: no space left to write full\n".to_string())
    );
    assert!(fs::metadata(&device).unwrap().file_type().is_char_device());
    assert_eq!(names(&within), ["full"]);
}

#[test]
fn run_compiles_once_and_hands_parameters_on() {
    let within = directory("run");
    let words = [
        "run",
        "-e",
        "begin { printf(\"got %d\\n\", $1); exit(); }",
        "41",
    ];
    for _ in 0..2 {
        let output = run(&words, &within);
        is_good(&output);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains("got 41"), "{said}");
    }
    assert!(names(&within).is_empty());
}

#[test]
fn a_change_of_an_imported_or_included_file_is_seen() {
    let here = directory("imports");
    let write = |name: &str, text: &str| fs::write(here.join(name), text).unwrap();
    let ran = || {
        let output = run(&["run", "tool.bt"], &here);
        is_good(&output);
        String::from_utf8(output.stdout).unwrap()
    };
    let script = "#include \"size.h\"\nimport \"lib.bt\"\nbegin { printf(\"%d %d\\n\", answer(), SIZE); exit(); }";
    write("tool.bt", script);
    write("lib.bt", "macro answer() { 41 }");
    write("size.h", "#define SIZE 1");
    assert_eq!(ran().trim_end(), "41 1");
    write("lib.bt", "macro answer() { 42 }");
    assert_eq!(ran().trim_end(), "42 1");
    write("size.h", "#define SIZE 2");
    assert_eq!(ran().trim_end(), "42 2");
    // The whole program is shown, and where an error is in it.
    let shown = run(&["tool.bt", "--emit", "ast"], &here);
    is_good(&shown);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("\"answer\""));
    write("lib.bt", "macro answer() { 42 + }");
    let broken = run(&["check", "tool.bt"], &here);
    let said = String::from_utf8_lossy(&broken.stderr).into_owned();
    assert!(said.contains("lib.bt:1:23"), "{said}");
    assert!(said.contains("imported here"), "{said}");
}

#[test]
fn what_is_wrong_with_imported_c_is_said_at_its_place() {
    let here = directory("c");
    let write = |name: &str, text: &str| fs::write(here.join(name), text).unwrap();
    let said = |program: &str, clang: Option<&str>| {
        let mut command = Command::new(btc().unwrap());
        command.args(["check", "-e", program]).current_dir(&here);
        if let Some(clang) = clang {
            command.env("BTC_CLANG", clang);
        }
        String::from_utf8(command.output().unwrap().stderr).unwrap()
    };
    write("half.bpf.c", "int half(int x)\n{\n\treturn x / two;\n}\n");
    let wrong = said("import \"half.bpf.c\" begin { print(half(4)); }", None);
    assert!(wrong.contains("half.bpf.c:3:13"), "{wrong}");
    assert!(wrong.contains("undeclared identifier 'two'"), "{wrong}");
    assert!(wrong.contains("imported here"), "{wrong}");
    write(
        "program.bpf.c",
        "__attribute__((section(\"kprobe/vfs_read\"))) int on_read(void *c) { return 0; }\n",
    );
    let program = said("import \"program.bpf.c\" begin { exit(); }", None);
    assert!(program.contains("`on_read` is a BPF program"), "{program}");
    write(
        "good.bpf.c",
        "int good(int x) { return x; }\nint strlen(int x) { return x; }\n",
    );
    let calls = said(
        "import \"good.bpf.c\" begin { print(good(1, 2)); print(goodd(1)); print(good(\"x\")); }",
        None,
    );
    assert!(calls.contains("`strlen` is a builtin"), "{calls}");
    write("good.bpf.c", "int good(int x) { return x; }\n");
    let calls = said(
        "import \"good.bpf.c\" begin { print(good(1, 2)); print(goodd(1)); print(good(\"x\")); }",
        None,
    );
    assert!(
        calls.contains("`good` takes 1 argument, found 2"),
        "{calls}"
    );
    assert!(calls.contains("did you mean `good`?"), "{calls}");
    assert!(
        calls.contains("expected an integer for `x` of `good`"),
        "{calls}"
    );
    let program = "import \"good.bpf.c\" macro good(x) { x } begin { print(good(1)); }";
    let twice = said(program, None);
    assert!(
        twice.contains("`good` is a macro or function of the script already"),
        "{twice}"
    );
    let none = said(
        "import \"good.bpf.c\" begin { print(good(1)); }",
        Some("/bin/true"),
    );
    assert!(none.contains("BTC_CLANG=/bin/true is no clang"), "{none}");
}

#[test]
fn check_makes_nothing() {
    let within = directory("check");
    is_good(&run(&["check", "-e", PROGRAM], &within));
    assert!(names(&within).is_empty());
}

#[test]
fn every_stage_can_be_shown() {
    let within = directory("emit");
    for stage in ["ast", "ir", "manifest", "llvm", "object", "asm", "project"] {
        let output = run(&["-e", PROGRAM, "--emit", stage], &within);
        is_good(&output);
        assert!(!output.stdout.is_empty(), "{stage}");
    }
    assert!(names(&within).is_empty());
}

#[test]
fn a_project_is_built_by_plain_cargo() {
    let within = directory("project");
    is_good(&run(
        &["-e", PROGRAM, "--emit", "project", "-o", "project"],
        &within,
    ));
    let project = within.join("project");
    let built = Command::new("cargo")
        .args(["build", "--release", "--quiet"])
        .env_remove("CARGO_TARGET_DIR")
        .current_dir(&project)
        .output()
        .unwrap();
    is_good(&built);
    let targets = std::fs::read_dir(project.join("target")).unwrap();
    let made = targets
        .map(|target| target.unwrap().path().join("release/tool"))
        .find(|tool| tool.exists());
    assert!(made.is_some_and(|tool| tool.metadata().unwrap().len() > 1_000_000));
}

#[test]
fn wrong_usage_is_status_2() {
    for words in [
        &["run"][..],
        &["check"],
        &["-e", PROGRAM],
        &["--no-such-option"],
    ] {
        assert_eq!(status(words).0, 2, "{words:?}");
    }
}

#[test]
fn this_machines_faults_are_one_line() {
    for (words, expected) in [
        (
            &["check", "nofile.bt"][..],
            "btc: can't read nofile.bt: No such file or directory (os error 2)\n",
        ),
        (
            &["-e", PROGRAM, "-o", "no/where"],
            "btc: the output's directory no does not exist\n",
        ),
    ] {
        assert_eq!(status(words), (1, expected.to_string()));
    }
}

#[test]
fn listing_ends_silently_and_says_what_is_not_there() {
    let within = directory("listing");
    let btc = btc().unwrap();
    let command = format!("{} -l 2>err | head -1; cat err", btc.display());
    let shell = |command: &str| {
        let output = Command::new("bash")
            .args(["-o", "pipefail", "-c", command])
            .current_dir(&within)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), text)
    };
    let (status, text) = shell(&command);
    assert_eq!(status, Some(0));
    assert!(text.lines().count() == 1 && text.contains(':'), "{text}");
    let (code, said) = self::status(&["-l", "software:none"]);
    assert_eq!(code, 1);
    assert!(said.contains("nothing on this machine matches"), "{said}");
    assert_eq!(self::status(&["-l", "begin"]).0, 2);
    fs::write(
        within.join("x.bt"),
        "software:faults:7, t:none:none { @ = count(); }",
    )
    .unwrap();
    let output = run(&["-l", "x.bt"], &within);
    assert_eq!(output.stdout, b"software:faults:7\n");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("x.bt:1:20: tracepoint:none:none: this machine has none"),
        "{said}"
    );
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn explains_its_codes() {
    let within = directory("explain");
    let entry = run(&["explain", "unset-variable"], &within);
    is_good(&entry);
    let text = String::from_utf8(entry.stdout).unwrap();
    assert!(text.starts_with("## `unset-variable`"), "{text}");
    assert!(text.contains("let $x = 0;"), "{text}");
    let list = String::from_utf8(run(&["explain"], &within).stdout).unwrap();
    let codes = btc::diagnostic::Code::ALL;
    assert_eq!(list.lines().count(), codes.len());
    for (line, code) in list.lines().zip(codes) {
        assert!(line.starts_with(code.as_str()), "{line}");
    }
    let (code, said) = status(&["explain", "unset-variables"]);
    assert_eq!(code, 2);
    assert!(said.contains("did you mean `unset-variable`?"), "{said}");
}

#[test]
fn warnings_can_be_kept_back_and_errors_can_t() {
    let program = "begin { pid; exit(); }";
    let (code, said) = status(&["check", "-e", program]);
    assert!(
        code == 0 && said.contains("warning[unused-result]"),
        "{said}"
    );
    assert_eq!(
        status(&["check", "--no-warnings", "-e", program]),
        (0, String::new())
    );
    let (code, said) = status(&["check", "--no-warnings", "-e", "begin { pid; print($x); }"]);
    assert_eq!(code, 1);
    assert!(
        said.contains("error[unset-variable]") && !said.contains("warning"),
        "{said}"
    );
}

/// Each refused before anything is written, and its sources are as they were.
#[test]
fn no_source_is_overwritten() {
    let within = directory("sources");
    let files = [
        ("tool", PROGRAM),
        ("a.bt", PROGRAM),
        (
            "i.bt",
            "#include \"outer.h\"\nimport \"m.bt\"\nbegin { print(m() + X); exit(); }",
        ),
        ("m.bt", "macro m() { 1 }"),
        ("outer.h", "#include \"inner.h\"\n"),
        ("inner.h", "#define X 5\n"),
    ];
    for (name, text) in files {
        fs::write(within.join(name), text).unwrap();
    }
    std::os::unix::fs::symlink("a.bt", within.join("symbolic")).unwrap();
    fs::hard_link(within.join("a.bt"), within.join("hard")).unwrap();
    let before = names(&within);
    for words in [
        "tool",
        "a.bt -o a.bt",
        "a.bt -o symbolic",
        "a.bt -o ./hard",
        "a.bt --emit ir -o a.bt",
        "a.bt --emit ast -o a.bt",
        "a.bt tool -o .",
        "a.bt tool",
        "i.bt -o m.bt",
        "i.bt -o outer.h",
        "i.bt -o inner.h",
        "i.bt --emit object -o inner.h",
        "i.bt --emit ast -o m.bt",
        "i.bt --emit ast -o outer.h",
        "a.bt --include outer.h -o inner.h",
        "run a.bt -o a.bt",
    ] {
        let output = run(&words.split(' ').collect::<Vec<_>>(), &within);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{words}: {said}");
        assert!(
            said.contains(" would overwrite ") && said.contains("-o OUT"),
            "{words}: {said}"
        );
        for (name, text) in files {
            let now = fs::read(within.join(name)).unwrap();
            assert!(now == text.as_bytes(), "{words}: {name}");
        }
        assert_eq!(names(&within), before, "{words}");
    }
    // What was built before is no source.
    for _ in 0..2 {
        is_good(&run(&["a.bt", "--emit", "ir", "-o", "out"], &within));
    }
}

#[test]
fn options_name_what_is_not_there() {
    let missing = "btc: --include: nope.h is not found: -I DIR adds a directory to look in\n";
    assert_eq!(
        status(&["check", "--include", "nope.h", "-e", PROGRAM]),
        (1, missing.to_string())
    );
    for option in ["-I", "--sysroot"] {
        assert_eq!(
            status(&["check", option, "nowhere", "-e", PROGRAM]),
            (1, format!("btc: {option}: nowhere is no directory\n"))
        );
    }
}

#[test]
fn scripts_of_other_systems_are_read() {
    let within = directory("texts");
    let script: &[u8] = b"\xef\xbb\xbf#!/usr/bin/env btc\r\n// caf\xe9\r\n#define ADD(a, b) \\\r\n  ((a) + \\\r\n  (b))\r\n#define X 5\r\nimport \"m.bt\"\r\nstruct s {\r\n  int a; /* \xe9 */\r\n};\r\nbegin\r\n/1/\r\n{\r\n  print(m(ADD(X, 1))); /* \xff */ print($nope);\r\n  // end\r\n}\r\n";
    fs::write(within.join("x.bt"), script).unwrap();
    let imported = b"\xef\xbb\xbf// \xe9\r\nmacro m(a) {\r\n  a\r\n}\r\n";
    fs::write(within.join("m.bt"), imported).unwrap();
    let output = run(&["check", "x.bt"], &within);
    let said = String::from_utf8_lossy(&output.stderr);
    let errors = said.matches("error").count();
    assert_eq!((output.status.code(), errors), (Some(1), 1), "{said}");
    // The place is that of the file.
    assert!(said.contains("x.bt:14:38\n"), "{said}");
    assert!(
        said.contains("print(m(ADD(X, 1))); /* ? */ print($nope);\n"),
        "{said}"
    );
    fs::write(within.join("y.bt"), b"begin { print(\"\xe9\"); }").unwrap();
    let output = run(&["check", "y.bt"], &within);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said, "btc: y.bt is not UTF-8 text: line 1\n");
}
