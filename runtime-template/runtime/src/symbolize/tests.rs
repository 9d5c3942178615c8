//! The symbolizer on this process, on the kernel, and on programs that the tests compile.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use btc_abi::Config;

use super::{Address, Blazesym, Frame, Symbolizer, Symbols};
use crate::testing;

fn symbols() -> Box<dyn Symbols> {
    Blazesym.open(&testing::config())
}

fn without_debug_info() -> Box<dyn Symbols> {
    Blazesym.open(&Config {
        show_debug_info: false,
        ..testing::config()
    })
}

fn exact(addresses: &[u64]) -> Vec<Address> {
    addresses.iter().copied().map(Address::Exact).collect()
}

/// The function's frame.
fn last(mut frames: Vec<Vec<Frame>>) -> Frame {
    assert_eq!(frames.len(), 1);
    frames.pop().unwrap().pop().unwrap()
}

#[inline(never)]
fn landmark(x: u64) -> u64 {
    std::hint::black_box(x) + 1
}

#[test]
fn a_function_of_this_process() {
    let address = landmark as fn(u64) -> u64 as usize as u64;
    let own = std::process::id();
    let name = concat!(module_path!(), "::landmark");
    let frame = last(symbols().user(own, &exact(&[address + 1])));
    assert_eq!(frame.function.as_deref(), Some(name));
    assert_eq!(frame.offset, 1);
    let (file, line) = frame.source.unwrap();
    assert!(
        file.ends_with("symbolize/tests.rs") && line > 1,
        "{file}:{line}"
    );
    let binary = std::env::current_exe().unwrap();
    assert_eq!(frame.module.map(PathBuf::from), Some(binary));
    let plain = last(without_debug_info().user(own, &exact(&[address])));
    assert_eq!((plain.offset, plain.source), (0, None));
    assert!(plain.function.unwrap().ends_with("::landmark"));
}

#[test]
fn names_stay_mangled_where_the_configuration_says_so() {
    let address = landmark as fn(u64) -> u64 as usize as u64;
    let mut symbols = Blazesym.open(&Config {
        cpp_demangle: false,
        show_debug_info: false,
        ..testing::config()
    });
    let name = last(symbols.user(std::process::id(), &exact(&[address])))
        .function
        .unwrap();
    assert!(name.starts_with("_R") || name.starts_with("_ZN"), "{name}");
}

#[test]
fn the_vdso() {
    // SAFETY: looks a number up.
    let vdso = unsafe { libc::getauxval(libc::AT_SYSINFO_EHDR) };
    let frames: Vec<_> = (0..0x2000 / 16)
        .map(|step| last(symbols().user(std::process::id(), &exact(&[vdso + 16 * step]))))
        .collect();
    let function = |frame: &Frame| frame.function.clone().unwrap_or_default();
    let clock = frames
        .iter()
        .find(|frame| function(frame).contains("clock_gettime"));
    assert_eq!(clock.unwrap().module.as_deref(), Some("[vdso]"));
}

#[test]
fn unknown_addresses_have_no_function() {
    let own = symbols().user(std::process::id(), &exact(&[0, 8, u64::MAX]));
    assert_eq!(own, vec![vec![Frame::default()]; 3]);
    // Beyond the largest pid there is.
    let nobody = symbols().user(1 << 30, &exact(&[0x40_0000]));
    assert_eq!(nobody, vec![vec![Frame::default()]]);
    assert_eq!(
        symbols().kernel(&exact(&[0, 0x40_0000])),
        vec![vec![Frame::default()]; 2]
    );
    assert!(symbols().user(1, &exact(&[])).is_empty());
}

/// Addresses in kallsyms are zero without privileges.
#[test]
fn root_a_function_of_the_kernel() {
    let text = std::fs::read_to_string("/proc/kallsyms").unwrap();
    let line = text
        .lines()
        .find(|line| line.ends_with(" T vfs_read"))
        .unwrap();
    let address = u64::from_str_radix(line.split(' ').next().unwrap(), 16).unwrap();
    let frames = symbols().kernel(&exact(&[address + 5, u64::MAX]));
    assert_eq!(frames[0][0].function.as_deref(), Some("vfs_read"));
    assert_eq!((frames[0][0].offset, &frames[0][0].module), (5, &None));
    assert_eq!(frames[1], [Frame::default()]);
    let before = symbols().kernel(&[Address::Caller(address)]);
    assert_ne!(before[0][0].function, frames[0][0].function);
}

/// Says on its first line where it called `where` from: in `inner`, inlined into `outer`. Ends when it has read a line.
const PROGRAM: &str = "\
#include <stdio.h>
static __attribute__((noinline)) void *where(void) { return __builtin_return_address(0); }
static inline __attribute__((always_inline)) void *inner(void) {
    void *at = where();
    __asm__ volatile(\"nop\\nnop\" : \"+r\"(at));
    return at;
}
__attribute__((noinline)) void *outer(void) {
    void *at = inner();
    __asm__ volatile(\"nop\" : \"+r\"(at));
    return at;
}
int main(void) { printf(\"%p\\n\", outer()); fflush(stdout); return getchar() == 0; }
";

/// A directory of a test's own with the program in it.
struct Program {
    directory: PathBuf,
    path: PathBuf,
}

impl Program {
    fn compile(test: &str, flags: &[&str]) -> Self {
        Self::compile_text(test, PROGRAM, flags)
    }

    fn compile_text(test: &str, text: &str, flags: &[&str]) -> Self {
        let name = format!("btc-symbolize-{test}-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        let source = directory.join("program.c");
        std::fs::write(&source, text).unwrap();
        let path = directory.join("program");
        let mut compiler = Command::new("cc");
        compiler.arg("-o").arg(&path).arg(&source).args(flags);
        assert!(compiler.status().unwrap().success());
        Program { directory, path }
    }

    fn start(&self) -> Running {
        Running::of(&mut Command::new(&self.path))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

struct Running {
    child: Child,
    address: u64,
}

impl Running {
    fn of(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let address = Self::read_address(&mut child);
        Running { child, address }
    }

    fn read_address(child: &mut Child) -> u64 {
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        u64::from_str_radix(line.trim().trim_start_matches("0x"), 16).unwrap()
    }

    fn end(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }
}

fn assert_inlined(frames: &[Frame], binary: &Path) {
    let names: Vec<_> = frames
        .iter()
        .map(|frame| frame.function.as_deref())
        .collect();
    assert_eq!(names, [Some("inner"), Some("outer")]);
    assert!(frames[0].inlined && !frames[1].inlined);
    let place = |frame: &Frame| {
        let (file, line) = frame.source.clone().unwrap();
        (file.rsplit_once('/').unwrap().1.to_owned(), line)
    };
    assert_eq!(place(&frames[1]), ("program.c".into(), 9));
    assert!([4, 5].contains(&place(&frames[0]).1));
    assert!(
        frames
            .iter()
            .all(|frame| frame.module.as_deref() == binary.to_str())
    );
}

#[test]
fn inlined_functions_also_after_the_end() {
    let program = Program::compile("inlined", &["-O1", "-g"]);
    let mut running = program.start();
    let (pid, address) = (running.child.id(), running.address);
    let mut following = symbols();
    let mut live = symbols();
    following.follow(pid);
    let frames = live.user(pid, &exact(&[address]));
    assert_inlined(&frames[0], &program.path);
    assert!(frames[0][1].offset > 0);
    running.end();
    assert_eq!(following.user(pid, &exact(&[address])), frames);
    assert_eq!(live.user(pid, &exact(&[address])), frames);
    assert_eq!(
        symbols().user(pid, &exact(&[address])),
        [[Frame::default()]]
    );
}

/// `outer` ends in the call that `inner` is: the address it returns to is the next function's.
const ENDS_IN_A_CALL: &str = "\
#include <stdio.h>
#include <stdlib.h>
__attribute__((noinline, noreturn)) static void where(void) {
    printf(\"%p\\n\", __builtin_return_address(0));
    fflush(stdout);
    exit(getchar() == 0);
}
static inline __attribute__((always_inline, noreturn)) void inner(void) {
    where();
}
__attribute__((noinline, noreturn)) static void outer(void) {
    inner();
}
__attribute__((noinline, used, aligned(1))) static void next(void) {
}
int main(void) { outer(); }
";

#[test]
fn callers_are_named_by_their_calls() {
    let program = Program::compile_text("caller", ENDS_IN_A_CALL, &["-O1", "-g"]);
    let mut running = program.start();
    let (pid, address) = (running.child.id(), running.address);
    let mut symbols = symbols();
    let frames = symbols.user(pid, &[Address::Exact(address), Address::Caller(address)]);
    let exact = last(vec![frames[0].clone()]);
    let [inner, outer] = &frames[1][..] else {
        panic!("{frames:?}");
    };
    assert_eq!(inner.function.as_deref(), Some("inner"));
    assert_eq!(outer.function.as_deref(), Some("outer"));
    assert_ne!(exact.function, outer.function);
    let line = |frame: &Frame| frame.source.as_ref().map(|(_, line)| *line);
    assert_eq!((line(inner), line(outer)), (Some(9), Some(12)));
    running.end();
}

#[test]
fn a_binary_without_symbols_is_named_with_an_offset() {
    let program = Program::compile("stripped", &["-O1", "-s"]);
    let mut running = program.start();
    let pid = running.child.id();
    let mut symbols = symbols();
    let found = last(symbols.user(pid, &exact(&[running.address])));
    assert_eq!(found.function, None);
    assert_eq!(found.module.as_deref(), program.path.to_str());
    let size = std::fs::metadata(&program.path).unwrap().len();
    assert!(found.offset > 0 && found.offset < size);
    running.end();
    std::fs::remove_file(&program.path).unwrap();
    assert_eq!(last(symbols.user(pid, &exact(&[running.address]))), found);
}

/// Links in /proc/PID/map_files ask for privileges.
#[test]
fn root_a_deleted_binary_is_held() {
    let program = Program::compile("deleted", &["-O1", "-g"]);
    let mut running = program.start();
    std::fs::remove_file(&program.path).unwrap();
    let mut symbols = symbols();
    symbols.follow(running.child.id());
    running.end();
    let frames = symbols.user(running.child.id(), &exact(&[running.address]));
    assert_inlined(&frames[0], &program.path);
}

/// As when a package is upgraded while its program is traced: what lies under the name now says nothing of the process.
#[test]
fn a_binary_that_was_replaced_has_no_names() {
    let program = Program::compile("replaced", &["-O1", "-g"]);
    let mut running = program.start();
    let (pid, address) = (running.child.id(), running.address);
    let mut symbols = symbols();
    symbols.follow(pid);
    running.end();
    let new = program.directory.join("new");
    std::fs::copy(&program.path, &new).unwrap();
    std::fs::rename(&new, &program.path).unwrap();
    let found = last(symbols.user(pid, &exact(&[address])));
    assert_eq!(found.function, None);
    assert_eq!(found.module.as_deref(), program.path.to_str());
}

/// What `-c` needs: a program that was started and has ended before anyone looks, as a child of the followed process.
#[test]
fn root_a_followed_process_has_names_after_its_end() {
    let program = Program::compile("followed", &["-O1", "-g"]);
    for script in ["read x; exec \"$0\"", "read x; echo $$ >&2; \"$0\" & wait"] {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).arg(&program.path);
        let piped = shell
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = piped.spawn().unwrap();
        let mut symbols = symbols();
        let fd = symbols.follow(child.id());
        assert!(fd.is_some());
        let mut input = child.stdin.take().unwrap();
        input.write_all(b"\n").unwrap();
        let address = Running::read_address(&mut child);
        drop(input);
        child.wait().unwrap();
        // A child's pid is one of the next ones.
        let named = (child.id()..child.id() + 50).find(|pid| {
            symbols.user(*pid, &exact(&[address]))[0][0]
                .function
                .is_some()
        });
        let frames = symbols.user(named.unwrap(), &exact(&[address]));
        assert_inlined(&frames[0], &program.path);
    }
}

/// Prints an address of a library that a second thread loads when a line has been read.
const LOADER: &str = "\
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
static void *load(void *unused) {
    getchar();
    printf(\"%p\\n\", dlsym(dlopen(\"libm.so.6\", RTLD_NOW), \"cbrt\"));
    return unused;
}
int main(void) {
    pthread_t thread;
    pthread_create(&thread, 0, load, 0);
    putchar('\\n');
    fflush(stdout);
    pthread_join(thread, 0);
    return 0;
}
";

/// What `-p` needs: threads that were there before.
#[test]
fn root_a_library_that_another_thread_loads() {
    let program = Program::compile_text("thread", LOADER, &["-ldl", "-pthread"]);
    let mut command = Command::new(&program.path);
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    // It has its thread.
    output.read_line(&mut line).unwrap();
    let mut symbols = symbols();
    assert!(symbols.follow(child.id()).is_some());
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    line.clear();
    output.read_line(&mut line).unwrap();
    child.wait().unwrap();
    let address = u64::from_str_radix(line.trim().trim_start_matches("0x"), 16).unwrap();
    let frame = last(symbols.user(child.id(), &exact(&[address])));
    assert!(frame.function.unwrap().contains("cbrt"));
    assert!(frame.module.unwrap().ends_with("/libm.so.6"));
}

/// Prints the address of memory that may be executed.
const COMPILER: &str = "\
#include <stdio.h>
#include <sys/mman.h>
int main(void) {
    printf(\"%p\\n\", mmap(0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    fflush(stdout);
    return getchar() == 0;
}
";

#[test]
fn code_made_at_run_time_has_its_perf_map() {
    let program = Program::compile_text("made", COMPILER, &[]);
    let mut running = program.start();
    let (pid, address) = (running.child.id(), running.address);
    let mut symbols = symbols();
    let unknown = vec![vec![Frame::default()]];
    assert_eq!(symbols.user(pid, &exact(&[address + 4])), unknown);
    let map = PathBuf::from(format!("/tmp/perf-{pid}.map"));
    std::fs::write(&map, format!("{address:x} 10 main.js:f\n")).unwrap();
    let found = symbols.user(pid, &exact(&[address + 4]));
    std::fs::remove_file(&map).unwrap();
    running.end();
    let frame = Frame {
        function: Some("main.js:f".into()),
        offset: 4,
        ..Frame::default()
    };
    assert_eq!(found, [[frame]]);
    let caller = symbols.user(pid, &[Address::Caller(address + 0x10)]);
    assert_eq!(last(caller).offset, 0x10);
    assert_eq!(symbols.user(pid, &exact(&[address + 4])), found);
    assert_eq!(symbols.user(pid, &exact(&[address + 0x10])), unknown);
}

/// Makes code when a line has been read, writes its map and ends.
const SHORT_LIVED: &str = "\
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
int main(void) {
    char path[64];
    getchar();
    void *code = mmap(0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    snprintf(path, sizeof path, \"/tmp/perf-%d.map\", getpid());
    FILE *map = fopen(path, \"w\");
    fprintf(map, \"%lx 10 main.js:f\\n\", (unsigned long)code);
    fclose(map);
    printf(\"%p\\n\", code);
    return 0;
}
";

#[test]
fn root_a_perf_map_is_found_after_the_process() {
    let program = Program::compile_text("ended", SHORT_LIVED, &[]);
    let mut command = Command::new(&program.path);
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    let pid = child.id();
    let mut symbols = symbols();
    assert!(symbols.follow(pid).is_some());
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    // Until it has closed its output, as it ends.
    let address = Running::read_address(&mut child);
    while std::fs::read_link(format!("/proc/{pid}/exe")).is_ok() {}
    symbols.catch_up();
    child.wait().unwrap();
    let frame = last(symbols.user(pid, &[Address::Exact(address + 4)]));
    std::fs::remove_file(format!("/tmp/perf-{pid}.map")).unwrap();
    assert_eq!(frame.function.as_deref(), Some("main.js:f"));
}

/// A program that was not seen alive, in a namespace that was, and both are gone.
#[test]
fn root_a_binary_that_comes_and_goes_with_its_mount_namespace() {
    let program = Program::compile("gone", &["-O1", "-g"]);
    let hidden = program.directory.join("inside");
    std::fs::create_dir(&hidden).unwrap();
    let script = "read x; exec unshare --mount sh -c \"$1\" \"$2\" \"$3\"";
    let inner =
        "mount -t tmpfs none \"$1\" && cp \"$0\" \"$1/copy\"; echo; read x; exec \"$1/copy\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh", inner]);
    command.args([&program.path, &hidden]);
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    let mut symbols = symbols();
    assert!(symbols.follow(child.id()).is_some());
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"\n").unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    symbols.catch_up();
    input.write_all(b"\n").unwrap();
    line.clear();
    output.read_line(&mut line).unwrap();
    drop(input);
    child.wait().unwrap();
    let address = u64::from_str_radix(line.trim().trim_start_matches("0x"), 16).unwrap();
    let frames = symbols.user(child.id(), &exact(&[address]));
    assert_inlined(&frames[0], &hidden.join("copy"));
}

/// The path names another file, or none, outside.
#[test]
fn root_a_binary_of_another_mount_namespace() {
    let program = Program::compile("namespace", &["-O1", "-g"]);
    let hidden = program.directory.join("inside");
    std::fs::create_dir(&hidden).unwrap();
    let script = "mount -t tmpfs none \"$1\" && cp \"$0\" \"$1/copy\" && exec \"$1/copy\"";
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", script])
        .args([&program.path, &hidden]);
    let mut running = Running::of(&mut command);
    let inside = hidden.join("copy");
    assert!(!inside.exists());
    let mut symbols = symbols();
    symbols.follow(running.child.id());
    running.end();
    let frames = symbols.user(running.child.id(), &exact(&[running.address]));
    assert_inlined(&frames[0], &inside);
}
