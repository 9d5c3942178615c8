//! A chain of calls for unwinders: main → frameless_outer → frameless_middle → libc's qsort → compare → frameless_inner,
//! compiled without frame pointers. `frameless MS N…` sleeps so many milliseconds and does the chain for each number;
//! without numbers it does it once, from the handler of a signal. `frameless spaced MS N…` sleeps after each.

use std::ffi::{c_int, c_void};
use std::time::Duration;

unsafe extern "C" {
    fn qsort(
        base: *mut c_void,
        count: usize,
        size: usize,
        compare: unsafe extern "C" fn(*const c_void, *const c_void) -> c_int,
    );
    fn signal(number: c_int, handler: extern "C" fn(c_int)) -> usize;
    fn raise(number: c_int) -> c_int;
}

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn frameless_inner(a: c_int, b: c_int) -> c_int {
    std::hint::black_box(a) - std::hint::black_box(b)
}

#[inline(never)]
unsafe extern "C" fn compare(a: *const c_void, b: *const c_void) -> c_int {
    // SAFETY: qsort hands over elements of the array.
    let (a, b) = unsafe { (*a.cast::<c_int>(), *b.cast::<c_int>()) };
    std::hint::black_box(frameless_inner(a, b))
}

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn frameless_middle(n: c_int) -> c_int {
    let mut numbers = [n, n + 1];
    // SAFETY: two elements of this size.
    unsafe { qsort(numbers.as_mut_ptr().cast(), 2, size_of::<c_int>(), compare) };
    std::hint::black_box(numbers)[0]
}

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn frameless_outer(n: c_int) -> c_int {
    std::hint::black_box(frameless_middle(n)) + 1
}

extern "C" fn on_signal(number: c_int) {
    std::hint::black_box(frameless_outer(number));
}

fn main() {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let spaced = words.first().is_some_and(|word| word == "spaced");
    if spaced {
        words.remove(0);
    }
    let mut numbers = words.iter().filter_map(|word| word.parse::<u64>().ok());
    let pause = Duration::from_millis(numbers.next().unwrap_or(0));
    std::thread::sleep(pause);
    let numbers: Vec<u64> = numbers.collect();
    for number in &numbers {
        std::hint::black_box(frameless_outer(*number as c_int));
        if spaced {
            std::thread::sleep(pause);
        }
    }
    if numbers.is_empty() {
        const SIGUSR1: c_int = 10;
        // SAFETY: the handler calls nothing that a signal may not interrupt.
        unsafe {
            signal(SIGUSR1, on_signal);
            raise(SIGUSR1);
        }
    }
}
