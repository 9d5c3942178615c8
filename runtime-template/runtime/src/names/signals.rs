//! Signal numbers → names (signal(7); the same on x86-64 and arm64).

const NAMES: [&str; 31] = [
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];

/// A signal's name; the number where there is none.
#[must_use]
pub fn signal(number: i32) -> String {
    // The kernel's first real-time signal.
    const REAL_TIME: i32 = 32;
    match number {
        1..=31 => NAMES[number as usize - 1].to_owned(),
        REAL_TIME => "SIGRTMIN".to_owned(),
        33..=64 => format!("SIGRTMIN+{}", number - REAL_TIME),
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn names() {
        assert_eq!(super::signal(libc::SIGTERM), "SIGTERM");
        assert_eq!(super::signal(libc::SIGSYS), "SIGSYS");
        assert_eq!(super::signal(34), "SIGRTMIN+2");
        assert_eq!(super::signal(0), "0");
    }
}
