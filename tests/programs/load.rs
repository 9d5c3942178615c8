//! A known load: so many opens, reads, calls, … and nothing else, so that a tracer's numbers can be checked. One file,
//! standard library only, linked statically: it runs on the host and in guests.
//!
//! `load WORK…` does the work; `load WORK… + WORK…` does several; `load beside WORK… -- TRACER…` starts a tracer, waits
//! until it says that it has attached, does the work, interrupts the tracer and ends with its status (`{pid}` among the
//! tracer's words is its own number); `load peak COMMAND…` runs a command and prints its peak resident kilobytes;
//! `load start COMMAND…` prints the microseconds until its line `hit`, with the event of its probe happening all the time;
//! `load holding FILES THREADS MAPPINGS COMMAND…` runs a command while it has so many files open, threads asleep and pages
//! mapped.

use std::ffi::{CString, c_char, c_int, c_long, c_void};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio, exit};
use std::time::{Duration, Instant};

unsafe extern "C" {
    fn open(path: *const c_char, flags: c_int, ...) -> c_int;
    fn close(fd: c_int) -> c_int;
    fn read(fd: c_int, buffer: *mut c_void, size: usize) -> isize;
    fn write(fd: c_int, buffer: *const c_void, size: usize) -> isize;
    fn kill(pid: c_int, signal: c_int) -> c_int;
    fn fork() -> c_int;
    fn wait(status: *mut c_int) -> c_int;
    fn _exit(status: c_int) -> !;
    fn getpid() -> c_int;
    fn getpgid(pid: c_int) -> c_int;
    fn fsync(fd: c_int) -> c_int;
    fn mmap(
        at: *mut c_void,
        size: usize,
        prot: c_int,
        flags: c_int,
        fd: c_int,
        offset: c_long,
    ) -> *mut c_void;
    fn madvise(at: *mut c_void, size: usize, advice: c_int) -> c_int;
    fn syscall(number: c_long, ...) -> c_long;
    fn prctl(option: c_int, ...) -> c_int;
    fn clock_gettime(clock: c_int, time: *mut c_long) -> c_int;
    fn getrusage(who: c_int, usage: *mut c_long) -> c_int;
}

#[cfg(target_arch = "x86_64")]
mod number {
    pub const NEWFSTATAT: i64 = 262;
    pub const GETPPID: i64 = 110;
    pub const PERF_EVENT_OPEN: i64 = 298;
    pub const O_DIRECT: i32 = 0o40000;
}
#[cfg(target_arch = "aarch64")]
mod number {
    pub const NEWFSTATAT: i64 = 79;
    pub const GETPPID: i64 = 173;
    pub const PERF_EVENT_OPEN: i64 = 241;
    pub const O_DIRECT: i32 = 0o200000;
}



/// A function for uprobes: its arguments and result are known.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn load_add(a: c_int, b: c_int) -> c_int {
    std::hint::black_box(a).wrapping_add(std::hint::black_box(b))
}

/// A struct behind a pointer, for scripts that declare it themselves.
#[repr(C)]
pub struct LoadPoint {
    x: c_int,
    y: c_long,
    name: [u8; 8],
    next: *const LoadPoint,
}

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn load_point(point: *const LoadPoint) -> c_long {
    // SAFETY: only `points` calls it, with a live value.
    unsafe { std::hint::black_box((*point).y) }
}

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn load_name(text: *const c_char, length: usize) -> usize {
    std::hint::black_box(text);
    std::hint::black_box(length)
}

/// Three frames for user stacks: load_outer → load_middle → load_inner.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn load_inner(n: c_int) -> c_int {
    std::hint::black_box(n) * 2
}

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn load_middle(n: c_int) -> c_int {
    std::hint::black_box(load_inner(n)) + 1
}

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn load_outer(n: c_int) -> c_int {
    std::hint::black_box(load_middle(n)) + 1
}

/// Calls itself from two places down to `depth`, where load_leaf is called: as many stacks as leaves, all different.
#[inline(never)]
fn tree(depth: u64) -> u64 {
    if depth == 0 {
        return load_leaf();
    }
    let left = std::hint::black_box(tree(depth - 1));
    let right = std::hint::black_box(tree(depth - 1));
    left + right
}

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn load_leaf() -> u64 {
    std::hint::black_box(1)
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.first().is_some_and(|w| w == "beside") {
        exit(beside(&words[1..]));
    }
    if words.first().is_some_and(|w| w == "peak") {
        exit(peak(&words[1..]));
    }
    if words.first().is_some_and(|w| w == "start") {
        exit(start(&words[1..]));
    }
    if words.first().is_some_and(|w| w == "holding") {
        exit(holding(&words[1..]));
    }
    if words.first().is_some_and(|w| w == "pair") {
        pair(&words[1..]);
    }
    perform(&words);
}

/// Starts a tracer, waits until it says that it has attached, and becomes a second one; the first ends with it.
fn pair(words: &[String]) -> ! {
    let Some((program, arguments)) = words.split_first() else { usage("a tracer") };
    let mut first = Command::new(program);
    first.args(arguments).stdout(Stdio::null()).stderr(Stdio::piped());
    // SAFETY: asks the kernel for SIGKILL when the parent ends; takes no memory.
    unsafe {
        first.pre_exec(|| {
            prctl(1, 9);
            Ok(())
        });
    }
    let Ok(mut child) = first.spawn() else { usage("a tracer that starts") };
    let lines = child.stderr.take().map(BufReader::new);
    let mut lines = lines.into_iter().flat_map(BufRead::lines).map_while(Result::ok);
    if !lines.any(|line| line.starts_with("Attached ")) {
        usage("a tracer that attaches");
    }
    let error = Command::new(program).args(arguments).exec();
    eprintln!("load: {program}: {error}");
    exit(1)
}

fn perform(words: &[String]) {
    for work in words.split(|w| w == "+") {
        let Some((name, arguments)) = work.split_first() else {
            usage("a kind of work");
        };
        one(name, arguments);
    }
}

fn usage(expected: &str) -> ! {
    eprintln!("load: expected {expected}");
    exit(2)
}

fn one(name: &str, arguments: &[String]) {
    let number = |i: usize| {
        let text = arguments.get(i).unwrap_or_else(|| usage("a number"));
        text.parse::<u64>().unwrap_or_else(|_| usage("a number"))
    };
    let text = |i: usize| arguments.get(i).unwrap_or_else(|| usage("a path")).as_str();
    match name {
        "nothing" => {}
        "open" => opens(number(0), text(1)),
        "stat" => stats(number(0), text(1)),
        "read" => transfers(number(0), number(1), "/dev/zero", true),
        "write" => transfers(number(0), number(1), "/dev/null", false),
        "direct" => direct(number(0), number(1), text(2)),
        "exec" => execs(number(0), &arguments[1..]),
        "kill" => kills(number(0), number(1)),
        "sleep" => {
            for _ in 0..number(0) {
                std::thread::sleep(Duration::from_millis(number(1)));
            }
        }
        "spin" => spin(number(0)),
        "add" => {
            for i in 0..number(0) {
                load_add(i as c_int, 1000);
            }
        }
        "stack" => {
            for i in 0..number(0) {
                std::hint::black_box(load_outer(i as c_int));
            }
        }
        "tree" => {
            std::hint::black_box(tree(number(0)));
        }
        "points" => points(number(0)),
        "name" => {
            let name = CString::new(text(1)).unwrap_or_default();
            for _ in 0..number(0) {
                load_name(name.as_ptr(), name.as_bytes().len());
            }
        }
        "getppid" => {
            for _ in 0..number(0) {
                // SAFETY: takes no memory.
                unsafe { syscall(number::GETPPID as c_long) };
            }
        }
        "counted" => counted(number(0)),
        "pace" => pace(number(0), number(1)),
        "faults" => faults(number(0)),
        "fault-in-threads" => threads(number(0), || faults(number(1))),
        "touch" => touches(number(0), number(1), number(2)),
        "touch-in-threads" => {
            map_watched();
            threads(number(0), || {
                // SAFETY: mapped, and nothing is made of what it holds.
                (0..number(1)).for_each(|i| unsafe { (WATCHED as *mut u64).write_volatile(i) });
            });
        }
        "fork" => forks(number(0)),
        "connect" => connects(number(0), number(1) as u16),
        "threads" => threads(number(0), || {
            for i in 0..number(1) {
                load_add(i as c_int, 1);
            }
        }),
        "exit" => exit(number(0) as i32),
        "signal" => {
            // SAFETY: kills ourselves, as asked.
            unsafe { kill(getpid(), number(0) as c_int) };
        }
        "say" => println!("{}", text(0)),
        _ => usage("a kind of work"),
    }
}

/// So many getppid calls a millisecond, for so many milliseconds; prints how many were made.
/// Calls getppid so many times, while a perf event of our own counts the system call's tracepoint, and prints its count.
fn counted(calls: u64) {
    let id = std::fs::read_to_string("/sys/kernel/tracing/events/syscalls/sys_enter_getppid/id");
    let id = id.ok().and_then(|id| id.trim().parse::<u64>().ok());
    let Some(id) = id else { usage("a tracefs") };
    // struct perf_event_attr of linux/perf_event.h: PERF_TYPE_TRACEPOINT, the size of its first version, the event.
    let mut attributes = [0u64; 8];
    attributes[0] = 2 | 64 << 32;
    attributes[1] = id;
    let mut count = 0u64;
    // SAFETY: the attributes are of the size that they say, and the count has room for what is read.
    unsafe {
        let ours = attributes.as_ptr();
        let event = syscall(number::PERF_EVENT_OPEN as c_long, ours, 0, -1, -1, 0) as c_int;
        for _ in 0..calls {
            syscall(number::GETPPID as c_long);
        }
        if read(event, (&raw mut count).cast(), 8) != 8 {
            usage("a perf event");
        }
    }
    println!("counted {count}");
}

fn pace(calls: u64, milliseconds: u64) {
    let start = Instant::now();
    let mut made = 0u64;
    for tick in 0..milliseconds {
        for _ in 0..calls {
            // SAFETY: takes no memory.
            unsafe { syscall(number::GETPPID as c_long) };
        }
        made += calls;
        let next = Duration::from_millis(tick + 1);
        if let Some(rest) = next.checked_sub(start.elapsed()) {
            std::thread::sleep(rest);
        }
    }
    let rate = made as f64 / start.elapsed().as_secs_f64();
    println!("paced {made} {}", rate as u64);
}

fn opens(count: u64, path: &str) {
    let path = CString::new(path).unwrap_or_default();
    for _ in 0..count {
        // SAFETY: the path is NUL-terminated; a failed open's -1 is refused by close.
        unsafe { close(open(path.as_ptr(), 0)) };
    }
}

fn stats(count: u64, path: &str) {
    let path = CString::new(path).unwrap_or_default();
    let mut room = [0u8; 512];
    let here: c_long = -100;
    for _ in 0..count {
        // SAFETY: struct stat is smaller than the room.
        unsafe {
            syscall(number::NEWFSTATAT as c_long, here, path.as_ptr(), room.as_mut_ptr(), 0 as c_long)
        };
    }
}

fn transfers(count: u64, size: u64, device: &str, reading: bool) {
    let device = CString::new(device).unwrap_or_default();
    let mut room = vec![0u8; size as usize];
    // SAFETY: the room has `size` bytes; 2 is O_RDWR.
    unsafe {
        let fd = open(device.as_ptr(), 2);
        for _ in 0..count {
            if reading {
                read(fd, room.as_mut_ptr().cast(), room.len());
            } else {
                write(fd, room.as_ptr().cast(), room.len());
            }
        }
        close(fd);
    }
}

/// Writes past the page cache, so that each is a request to the block device.
fn direct(count: u64, size: u64, path: &str) {
    let path_c = CString::new(path).unwrap_or_default();
    let failed = || -> ! {
        eprintln!("load: {path}: {}", std::io::Error::last_os_error());
        exit(1)
    };
    // SAFETY: an anonymous mapping of `size` bytes is page-aligned, as O_DIRECT asks; 0o101 is O_CREAT | O_WRONLY.
    unsafe {
        let room = mmap(std::ptr::null_mut(), size as usize, 3, 0x22, -1, 0);
        let fd = open(path_c.as_ptr(), 0o101 | number::O_DIRECT, 0o644);
        if fd < 0 {
            failed();
        }
        for _ in 0..count {
            if write(fd, room, size as usize) != size as isize {
                failed();
            }
        }
        fsync(fd);
        close(fd);
    }
}

fn execs(count: u64, words: &[String]) {
    let Some((program, arguments)) = words.split_first() else { usage("a program") };
    for _ in 0..count {
        let status = Command::new(program).args(arguments).stdout(Stdio::null()).status();
        if let Err(error) = status {
            eprintln!("load: {program}: {error}");
            exit(1);
        }
    }
}

fn kills(count: u64, signal: u64) {
    for _ in 0..count {
        // SAFETY: signals ourselves; tests choose signals that do nothing (0, SIGURG, SIGCONT).
        unsafe { kill(getpid(), signal as c_int) };
    }
}

/// Milliseconds of CPU time, however busy the machine is.
fn spin(milliseconds: u64) {
    let end = cpu_time() + Duration::from_millis(milliseconds);
    let mut n = 0u64;
    while cpu_time() < end {
        // Long enough that the system call between is not what samples find.
        for _ in 0..100_000 {
            n = std::hint::black_box(n.wrapping_mul(31).wrapping_add(7));
        }
    }
}

/// Of this thread.
fn cpu_time() -> Duration {
    let mut time = [0 as c_long; 2];
    // SAFETY: a struct timespec is two words; 3 is CLOCK_THREAD_CPUTIME_ID.
    unsafe { clock_gettime(3, time.as_mut_ptr()) };
    Duration::new(time[0] as u64, time[1] as u32)
}

fn points(count: u64) {
    let last = LoadPoint { x: 7, y: 700, name: *b"last\0\0\0\0", next: std::ptr::null() };
    for i in 0..count {
        let point =
            LoadPoint { x: i as c_int, y: 100 * i as c_long, name: *b"first\0\0\0", next: &last };
        load_point(std::hint::black_box(&point));
    }
    std::hint::black_box((last.x, last.name, last.next));
}

fn faults(pages: u64) {
    let size = pages as usize * 4096;
    // SAFETY: a fresh private anonymous mapping; each page of it is touched once.
    unsafe {
        let room = mmap(std::ptr::null_mut(), size, 3, 0x22, -1, 0).cast::<u8>();
        // MADV_NOHUGEPAGE: a fault for every page.
        madvise(room.cast(), size, 15);
        for page in 0..pages as usize {
            room.add(page * 4096).write_volatile(1);
        }
    }
}

/// Where `touch` works; the same in every process and on every machine.
const WATCHED: usize = 0x1000_0000;

fn map_watched() {
    // SAFETY: nothing else is mapped so low; 7 is readable, writable and executable, 0x100000 is MAP_FIXED_NOREPLACE.
    let page = unsafe { mmap(WATCHED as *mut c_void, 4096, 7, 0x100022, -1, 0) };
    if page as usize != WATCHED {
        eprintln!("load: {WATCHED:#x}: {}", std::io::Error::last_os_error());
        exit(1);
    }
}

/// Writes and reads eight bytes at a fixed address, and calls the empty function that lies in the eight bytes after them.
fn touches(writes: u64, reads: u64, calls: u64) {
    #[cfg(target_arch = "x86_64")]
    let code: u64 = 0xc3;
    #[cfg(target_arch = "aarch64")]
    let code: u64 = 0xd65f_03c0;
    map_watched();
    let word = WATCHED as *mut u64;
    // SAFETY: mapped; the function is a single return.
    unsafe {
        word.add(1).write_volatile(code);
        let empty: extern "C" fn() = std::mem::transmute(word.add(1));
        for i in 0..writes {
            word.write_volatile(i);
        }
        for _ in 0..reads {
            std::hint::black_box(word.read_volatile());
        }
        for _ in 0..calls {
            std::hint::black_box(empty)();
        }
    }
}

/// Processes that end at once, 16 of them at a time.
fn forks(count: u64) {
    for born in 0..count {
        // SAFETY: the child only exits; the parent has no other threads.
        unsafe {
            if fork() == 0 {
                _exit(0);
            }
            if born >= 16 {
                wait(std::ptr::null_mut());
            }
        }
    }
    // SAFETY: takes no memory; ends where no child is left.
    while unsafe { wait(std::ptr::null_mut()) } > 0 {}
}

fn connects(count: u64, port: u16) {
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap_or_else(|error| {
        eprintln!("load: port {port}: {error}");
        exit(1)
    });
    for _ in 0..count {
        let client = TcpStream::connect(("127.0.0.1", port));
        drop((client, listener.accept()));
    }
}

fn threads(count: u64, work: impl Fn() + Sync) {
    std::thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(&work);
        }
    });
}

/// The event that a tracer's first line waits for, every 50 microseconds.
fn events() {
    loop {
        // SAFETY: takes no memory.
        unsafe { getpgid(0) };
        std::thread::sleep(Duration::from_micros(1));
    }
}

fn start(words: &[String]) -> i32 {
    let Some((program, arguments)) = words.split_first() else { usage("a command") };
    std::thread::spawn(events);
    let start = Instant::now();
    let child = Command::new(program).args(arguments).stdout(Stdio::piped()).spawn();
    let Ok(mut child) = child else { return 1 };
    let stdout = child.stdout.take().map(BufReader::new);
    let mut lines = stdout.into_iter().flat_map(BufRead::lines).map_while(Result::ok);
    let hit = lines.any(|line| line == "hit");
    let microseconds = start.elapsed().as_micros();
    let _ = child.wait();
    println!("start {microseconds}");
    i32::from(!hit)
}

/// A child's peak includes that of the process that it was forked from: this one is smaller than any tracer.
fn peak(words: &[String]) -> i32 {
    let Some((program, arguments)) = words.split_first() else { usage("a command") };
    std::thread::spawn(events);
    let status = Command::new(program).args(arguments).stdout(Stdio::null()).status();
    // struct rusage: two times of two words, then ru_maxrss, in all 18 words.
    let mut usage = [0 as c_long; 18];
    // SAFETY: the room is as large as the struct; -1 is RUSAGE_CHILDREN.
    unsafe { getrusage(-1, usage.as_mut_ptr()) };
    println!("peak {}", usage[4]);
    status.ok().and_then(|s| s.code()).unwrap_or(1)
}

/// Opens /etc/passwd so often, maps so many pages from `WATCHED` on (every other of them read-only, so that each is a mapping of its
/// own) and has so many threads beside the first.
fn holding(words: &[String]) -> i32 {
    let number = |i: usize| words.get(i).and_then(|w| w.parse::<usize>().ok());
    let (Some(files), Some(threads), Some(mappings)) = (number(0), number(1), number(2)) else {
        usage("how many files, threads and mappings")
    };
    let Some((program, arguments)) = words[3..].split_first() else { usage("a command") };
    for _ in 0..files {
        // SAFETY: the path is NUL-terminated; 0o2000000 is O_CLOEXEC. The descriptor stays open to the end.
        unsafe { open(c"/etc/passwd".as_ptr(), 0o2000000) };
    }
    for page in 0..mappings {
        let at = (WATCHED + page * 4096) as *mut c_void;
        // SAFETY: nothing else is mapped there; 0x100022 is private, anonymous and MAP_FIXED_NOREPLACE.
        unsafe { mmap(at, 4096, if page % 2 == 0 { 3 } else { 1 }, 0x100022, -1, 0) };
    }
    for _ in 0..threads {
        std::thread::spawn(|| std::thread::sleep(Duration::from_secs(600)));
    }
    let status = Command::new(program).args(arguments).status();
    status.ok().and_then(|s| s.code()).unwrap_or(1)
}

fn beside(words: &[String]) -> i32 {
    let Some(middle) = words.iter().position(|w| w == "--") else {
        usage("`--` before the tracer")
    };
    let (work, tracer) = (&words[..middle], &words[middle + 1..]);
    let Some((program, arguments)) = tracer.split_first() else { usage("a tracer") };
    let own = std::process::id().to_string();
    let mut child = Command::new(program)
        .args(arguments.iter().map(|word| word.replace("{pid}", &own)))
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap_or_else(|error| {
            eprintln!("load: {program}: {error}");
            exit(1)
        });
    let Some(pipe) = child.stderr.take() else { usage("a pipe") };
    let mut lines = BufReader::new(pipe).lines();
    let attached = lines.by_ref().map_while(Result::ok).any(|line| {
        eprintln!("{line}");
        line.starts_with("Attached ")
    });
    let rest = std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            eprintln!("{line}");
        }
    });
    if attached {
        perform(work);
        std::thread::sleep(Duration::from_millis(100));
        // SAFETY: the child has not been waited for, so its pid is still its own; 2 is SIGINT.
        unsafe { kill(child.id() as c_int, 2) };
    }
    let status = child.wait();
    let _ = rest.join();
    let _ = std::io::stdout().flush();
    status.map_or(1, |s| s.code().unwrap_or(128 + s.signal().unwrap_or(0)))
}
