//! Registers of a user program or a probed function: byte offsets in what the kernel hands over as `struct pt_regs`.

/// `struct pt_regs` of x86-64 (arch/x86/include/asm/ptrace.h).
const X86_64: &[(&str, u32)] = &[
    ("r15", 0),
    ("r14", 8),
    ("r13", 16),
    ("r12", 24),
    ("bp", 32),
    ("bx", 40),
    ("r11", 48),
    ("r10", 56),
    ("r9", 64),
    ("r8", 72),
    ("ax", 80),
    ("cx", 88),
    ("dx", 96),
    ("si", 104),
    ("di", 112),
    ("orig_ax", 120),
    ("ip", 128),
    ("cs", 136),
    ("flags", 144),
    ("sp", 152),
    ("ss", 160),
];

/// `struct user_pt_regs` of arm64 (arch/arm64/include/uapi/asm/ptrace.h): x0 to x30, then these.
const ARM64: &[(&str, u32)] = &[("sp", 248), ("pc", 256), ("pstate", 264)];

fn find(table: &[(&str, u32)], name: &str) -> Option<u32> {
    table.iter().find(|(n, _)| *n == name).map(|(_, at)| *at)
}

/// The offset of a register of x86-64, by the kernel's name (`ax`, `r8`, `ip`).
#[must_use]
pub fn x86_64(name: &str) -> Option<u32> {
    find(X86_64, name)
}

/// The offset of a register of arm64 (`x0` or `r0`, `sp`, `pc`).
#[must_use]
pub fn arm64(name: &str) -> Option<u32> {
    match name.strip_prefix(['r', 'x']) {
        Some(n) => n.parse::<u32>().ok().filter(|n| *n < 31).map(|n| n * 8),
        None => find(ARM64, name),
    }
}
