//! What a terminal gets of traced text: the test is the terminal's other end. A traced program names files, itself and its
//! functions by sequences that would move a cursor; none may come through but those that the script itself writes.

use std::fs::File;
use std::io::Read;
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use btc_tests::compile::{self, btc};

/// What every traced name holds: red, a title, a bell, CSI in one character, a cursor that goes home.
const EVIL: &str = "e\x1b[31m\x1b]0;t\x07\u{9b}1m\rx";

/// The same as it may be shown.
const SHOWN: &str = r"e\x1b[31m\x1b]0;t\x07\xc2\x9b1m\rx";

fn directory() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let directory = btc_tests::work_directory().join("terminal");
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).unwrap();
        compile::load().unwrap();
        directory
    })
}

/// Compiles a script.
fn tool(name: &str, script: &str) -> PathBuf {
    let path = directory().join(name);
    let mut command = Command::new(btc().unwrap());
    command.args(["--unsafe", "-e", script, "-o"]).arg(&path);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    path
}

/// Both ends of a new terminal: ours and the program's.
fn terminal() -> (File, OwnedFd) {
    let (mut ours, mut theirs) = (-1, -1);
    let (name, modes, size) = (std::ptr::null_mut(), std::ptr::null(), std::ptr::null());
    // SAFETY: both places are valid; a name, modes and a size are not asked for.
    let made = unsafe { libc::openpty(&mut ours, &mut theirs, name, modes, size) };
    assert_eq!(made, 0, "{}", std::io::Error::last_os_error());
    // SAFETY: the call succeeded, so both are open and ours alone.
    unsafe { (File::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs)) }
}

/// What a terminal gets from both streams of a tool.
fn on_terminal(tool: &Path, words: &[&str]) -> String {
    let (mut ours, theirs) = terminal();
    let error = theirs.try_clone().unwrap();
    let mut command = Command::new("timeout");
    command
        .args(["-s", "KILL", "60"])
        .arg(tool)
        .args(words)
        .current_dir(directory())
        .stdin(Stdio::null())
        .stdout(theirs)
        .stderr(error);
    let mut child = command.spawn().unwrap();
    // It holds the program's end too.
    drop(command);
    let mut bytes = vec![];
    // The end is an error (EIO): nobody has the other end any more.
    let _ = ours.read_to_end(&mut bytes);
    child.wait().unwrap();
    String::from_utf8_lossy(&bytes).replace("\r\n", "\n")
}

/// What a pipe gets from standard output.
fn on_pipe(tool: &Path, words: &[&str]) -> String {
    let mut command = Command::new(tool);
    command.args(words).current_dir(directory());
    let output = command.output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// No control character but line ends and tabs; `allowed` is what the script itself writes.
#[track_caller]
fn harmless(text: &str, allowed: &str) {
    let rest = match allowed {
        "" => text.to_owned(),
        allowed => text.replace(allowed, ""),
    };
    let control = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    assert!(!rest.contains(control), "{rest:?}");
}

/// The load opens the file once.
fn opens(name: &str) -> String {
    format!("{} open 1 '{name}'", compile::LOAD)
}

const OPENED: &str = "tracepoint:syscalls:sys_enter_openat /pid == cpid && strncmp(str(args.filename), \"e\\x1b\", 2) == 0/";

#[test]
fn every_way_to_print_a_string() {
    let script = format!(
        "{OPENED} {{
           $s = str(args.filename);
           printf(\"printf %s|%-4s|\\n\", $s, $s); print($s); print((1, $s)); print((name = $s));
           @value = $s; @key[$s, 1] = 1; print(@key[$s, 1]); @hist[$s] = hist(1); @last[1] = $s;
           errorf(\"errorf %s\", $s); warnf(\"warnf %s\", $s); cat(\"/nowhere/%s\", $s);
           printf(\"char %c\\n\", 27); printf(\"own \\x1b[1m%s\\x1b[0m\\n\", \"bold\");
           system(\"printf 'system \\\\033[1m\\\\033[0m\\\\n'\");
         }}"
    );
    let tool = tool("strings", &script);
    let text = on_terminal(&tool, &["-c", &opens(EVIL)]);
    for line in [
        format!("printf {SHOWN}|{SHOWN}|"),
        SHOWN.to_owned(),
        format!("(1, {SHOWN})"),
        format!("{{ .name = {SHOWN} }}"),
        format!("@value: {SHOWN}"),
        format!("@key[{SHOWN}, 1]: 1"),
        format!("@hist[{SHOWN}]:"),
        format!("@last[1]: {SHOWN}"),
        "char \\x1b".to_owned(),
        "own \x1b[1mbold\x1b[0m".to_owned(),
        "system \x1b[1m\x1b[0m".to_owned(),
    ] {
        assert!(
            text.lines().any(|shown| shown == line),
            "{line:?} in {text:?}"
        );
    }
    for end in [
        format!("ERROR: errorf {SHOWN}"),
        format!("WARNING: warnf {SHOWN}"),
        format!("cat: /nowhere/{SHOWN}: No such file or directory (os error 2)"),
    ] {
        assert!(
            text.lines().any(|shown| shown.ends_with(&end)),
            "{end:?} in {text:?}"
        );
    }
    harmless(&text.replace("\x1b[1mbold\x1b[0m", ""), "\x1b[1m\x1b[0m");
}

#[test]
fn whoever_asks_gets_them_as_they_are() {
    let tool = tool(
        "raw",
        &format!("{OPENED} {{ @value = str(args.filename); }}"),
    );
    let command = opens(EVIL);
    let words = ["-c", &command];
    let wanted = format!("@value: {EVIL}\n");
    assert!(on_pipe(&tool, &words).ends_with(&wanted));
    let raw = on_terminal(&tool, &["--raw-output", "-c", &command]);
    assert!(raw.ends_with(&wanted), "{raw:?}");
    // A file is no terminal, whatever standard output is.
    on_terminal(&tool, &["-o", "file", "-c", &command]);
    let file = std::fs::read_to_string(directory().join("file")).unwrap();
    assert!(file.ends_with(&wanted), "{file:?}");
}

#[test]
fn names_of_processes_and_their_arguments() {
    let script = "
        tracepoint:syscalls:sys_enter_execve /ppid == cpid/ { join(args.argv); }
        tracepoint:syscalls:sys_enter_getppid /comm != \"btc-load\"/ { printf(\"%s|\", comm); @[comm] = count(); }";
    let tool = tool("processes", script);
    let name = "e\x1b[2J";
    let link = directory().join(name);
    let _ = std::fs::remove_file(&link);
    std::os::unix::fs::symlink(compile::LOAD, &link).unwrap();
    let command = format!("{} exec 1 './{name}' getppid 1", compile::LOAD);
    let text = on_terminal(&tool, &["-c", &command]);
    assert!(text.contains("./e\\x1b[2J getppid 1\n"), "{text:?}");
    assert!(text.contains("e\\x1b[2J|"), "{text:?}");
    assert!(text.contains("@[e\\x1b[2J]: 1\n"), "{text:?}");
    harmless(&text, "");
}

#[test]
fn files_and_functions() {
    let source = "
        #[unsafe(export_name = \"e\\u{1b}[31m\")] #[inline(never)] pub extern \"C\" fn evil(n: i32) -> i32 { std::hint::black_box(n) + 1 }
        fn main() { std::hint::black_box(evil(1)); }";
    let program = directory().join("named");
    std::fs::write(directory().join("named.rs"), source).unwrap();
    let mut rustc = Command::new("rustc");
    rustc
        .args([
            "--edition",
            "2024",
            "-C",
            "opt-level=1",
            "-C",
            "force-frame-pointers=yes",
            "-o",
        ])
        .arg(&program)
        .arg(directory().join("named.rs"));
    assert!(rustc.status().unwrap().success());
    let path = program.display();
    let file = directory().join("contents");
    std::fs::write(&file, "one\n\x1b[31mtwo\n").unwrap();
    let script = format!(
        "config = {{ show_debug_info = false }}
         uprobe:{path}:e* {{ print(usym(reg(\"ip\"))); print(probe); @[ustack(1)] = count(); cat(\"{}\"); }}",
        file.display()
    );
    let tool = tool("functions", &script);
    let text = on_terminal(&tool, &["-c", &path.to_string()]);
    assert!(text.contains("\ne\\x1b[31m\n"), "{text:?}");
    assert!(text.contains(":e\\x1b[31m\n"), "{text:?}");
    assert!(text.contains("        e\\x1b[31m+0\n]: 1\n"), "{text:?}");
    assert!(text.contains("one\n\\x1b[31mtwo\n"), "{text:?}");
    harmless(&text, "");
    let list = on_terminal(&tool, &["--list", "-v"]);
    assert!(list.contains(":e\\x1b[31m"), "{list:?}");
    harmless(&list, "");
}

#[test]
fn json_is_harmless_everywhere() {
    let tool = tool(
        "json",
        &format!("{OPENED} {{ @value = str(args.filename); }}"),
    );
    let command = opens(EVIL);
    let text = on_terminal(&tool, &["-f", "json", "--raw-output", "-c", &command]);
    assert!(
        text.contains(r#"{"@value": "e\u001b[31m\u001b]0;t\u0007\u009b1m\rx"}"#),
        "{text:?}"
    );
    harmless(&text, "");
}
