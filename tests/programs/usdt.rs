//! A known number of usdt markers, whose arguments are where compilers put them: registers of every width, memory, constants.
//! The notes are written here, so that the operands are known. Static; it runs on the host and in guests.
//!
//! `usdt NAME COUNT` fires the marker `btc:NAME` so often; `usdt NAME COUNT + NAME COUNT` several; `usdt beside WORK… -- WORK…`
//! does the one work in a child at the same time.

#![allow(named_asm_labels)]

use std::arch::asm;
use std::hint::black_box;
use std::process::exit;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};

/// The kernel counts it up where someone traces the marker.
#[unsafe(link_section = ".probes")]
#[unsafe(no_mangle)]
static BTC_USDT_SEMAPHORE: AtomicU16 = AtomicU16::new(0);

/// Found by its distance from the marker.
#[unsafe(no_mangle)]
static BTC_USDT_COUNTER: AtomicU64 = AtomicU64::new(0);

/// One marker: an instruction that does nothing, and its note.
macro_rules! marker {
    ($namespace:literal, $name:literal, $semaphore:literal, $x86:literal, $arm:literal $(, $operand:ident = $value:expr)*) => {{
        #[cfg(target_arch = "x86_64")]
        // SAFETY: one `nop`; the rest goes into other sections.
        unsafe { asm!(note!($namespace, $name, $semaphore, $x86) $(, $operand = in(reg_abcd) $value)*, options(att_syntax, nostack)) }
        #[cfg(target_arch = "aarch64")]
        // SAFETY: as above.
        unsafe { asm!(note!($namespace, $name, $semaphore, $arm) $(, $operand = in(reg) $value)*, options(nostack)) }
    }};
}

macro_rules! note {
    ($namespace:literal, $name:literal, $semaphore:literal, $arguments:literal) => {
        concat!(
            "990: nop\n",
            ".pushsection .note.stapsdt,\"\",%note\n",
            ".balign 4\n",
            ".4byte 992f-991f, 994f-993f, 3\n",
            "991: .asciz \"stapsdt\"\n",
            "992: .balign 4\n",
            "993: .8byte 990b\n",
            ".8byte _.stapsdt.base\n",
            ".8byte ", $semaphore, "\n",
            ".asciz \"", $namespace, "\"\n",
            ".asciz \"", $name, "\"\n",
            ".asciz \"", $arguments, "\"\n",
            "994: .balign 4\n",
            ".popsection\n",
            ".ifndef _.stapsdt.base\n",
            ".pushsection .stapsdt.base,\"aG\",%progbits,.stapsdt.base,comdat\n",
            ".weak _.stapsdt.base\n",
            ".hidden _.stapsdt.base\n",
            "_.stapsdt.base: .space 1\n",
            ".size _.stapsdt.base, 1\n",
            ".popsection\n",
            ".endif"
        )
    };
}

/// Bytes that differ, the topmost bit of each set.
const WIDE: u64 = 0xf8f7_f6f5_f4f3_f2f1;

#[inline(never)]
fn registers() {
    marker!(
        "btc", "registers", "0",
        "8@{a} -8@{a} 4@{a:e} -4@{a:e} 2@{a:x} -2@{a:x} 1@{a:l} -1@{a:l}",
        "8@{a} -8@{a} 4@{a:w} -4@{a:w} 2@{a:w} -2@{a:w} 1@{a:w} -1@{a:w}",
        a = black_box(WIDE)
    );
}

#[repr(C)]
struct Row {
    wide: u64,
    cells: [i32; 4],
    byte: u8,
}

/// The row's number, its cells, a byte.
#[inline(never)]
fn memory(i: u64) {
    let row = Row { wide: i, cells: [-1, -20, -300, 4000], byte: 0x80 };
    let row = black_box(&row);
    marker!(
        "btc", "memory", "0",
        "8@({p}) -4@12({p}) -4@({c},{i},4) 1@24({p}) -1@24({p})",
        "8@[{p}] -4@[{p}, 12] -4@[{c}, {i}, lsl 2] 1@[{p}, 24] -1@[{p}, #24]",
        p = std::ptr::from_ref(row),
        i = black_box(3usize),
        c = row.cells.as_ptr()
    );
}

#[inline(never)]
fn constants() {
    marker!("btc", "constants", "0", "-4@$-5 8@$7 1@$200 4@$0xffffffff", "-4@-5 8@7 1@200 4@0xffffffff");
}

#[inline(never)]
fn counter(i: u64) {
    BTC_USDT_COUNTER.store(i, Ordering::Relaxed);
    let at = &raw const BTC_USDT_COUNTER;
    marker!("btc", "counter", "0", "8@BTC_USDT_COUNTER(%rip) 8@({p})", "8@[{p}] 8@[{p}]", p = at);
}

/// One name in three places, each with its argument elsewhere.
#[inline(never)]
fn several(i: u64) {
    let place = black_box(i + 200);
    marker!("btc", "several", "0", "8@{a}", "8@{a}", a = black_box(i + 100));
    marker!("btc", "several", "0", "8@({p})", "8@[{p}]", p = std::ptr::from_ref(&place));
    marker!("btc", "several", "0", "4@$300", "4@300");
}

#[inline(never)]
fn nothing() {
    marker!("btc", "nothing", "0", "", "");
    marker!("other", "nothing", "0", "", "");
}

/// Only where it is traced; how many it was traced by.
fn guarded() -> u64 {
    let tracers = BTC_USDT_SEMAPHORE.load(Ordering::Relaxed);
    if tracers == 0 {
        return 0;
    }
    marker!("btc", "guarded", "BTC_USDT_SEMAPHORE", "2@{a:x}", "2@{a:w}", a = u64::from(tracers));
    1
}

#[inline(never)]
fn unreadable() {
    marker!("btc", "float", "0", "4@$1 8f@%xmm0", "4@1 8f@d0");
    marker!("btc", "null", "0", "8@({p})", "8@[{p}]", p = black_box(0usize));
}

fn fire(name: &str, count: u64) {
    let mut guards = 0;
    for i in 0..count {
        match name {
            "registers" => registers(),
            "memory" => memory(i),
            "constants" => constants(),
            "counter" => counter(i),
            "several" => several(i),
            "nothing" => nothing(),
            "guarded" => guards += guarded(),
            "unreadable" => unreadable(),
            "sleep" => std::thread::sleep(std::time::Duration::from_millis(1)),
            _ => usage(),
        }
    }
    if name == "guarded" {
        println!("fired {guards} of {count}");
    }
}

fn usage() -> ! {
    eprintln!("usdt: expected NAME COUNT [+ NAME COUNT]… [-- NAME COUNT…]");
    exit(2)
}

fn perform(words: &[String]) {
    for work in words.split(|word| word == "+") {
        let [name, count] = work else { usage() };
        fire(name, count.parse().unwrap_or_else(|_| usage()));
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some((first, rest)) = words.split_first()
        && first == "beside"
    {
        let Some(middle) = rest.iter().position(|word| word == "--") else { usage() };
        let program = std::env::current_exe().unwrap_or_else(|_| usage());
        let child = std::process::Command::new(program).args(&rest[..middle]).spawn();
        perform(&rest[middle + 1..]);
        match child.and_then(|mut child| child.wait()) {
            Ok(status) => exit(status.code().unwrap_or(1)),
            Err(_) => exit(1),
        }
    }
    perform(&words);
}
