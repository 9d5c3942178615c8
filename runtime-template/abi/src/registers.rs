//! Registers of a probed program: byte offsets in what the kernel hands over as `struct pt_regs`. They are fixed by each
//! kernel's user API.

/// A register's name and its byte offset.
pub type Register = (&'static str, u32);

/// `struct pt_regs` of x86-64 (arch/x86/include/asm/ptrace.h).
pub const X86_64: &[Register] = &[
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

/// `struct user_pt_regs` of arm64 (arch/arm64/include/uapi/asm/ptrace.h), which its `struct pt_regs` starts with.
#[rustfmt::skip]
pub const ARM64: &[Register] = &[
    ("r0", 0), ("r1", 8), ("r2", 16), ("r3", 24), ("r4", 32), ("r5", 40), ("r6", 48), ("r7", 56),
    ("r8", 64), ("r9", 72), ("r10", 80), ("r11", 88), ("r12", 96), ("r13", 104), ("r14", 112), ("r15", 120),
    ("r16", 128), ("r17", 136), ("r18", 144), ("r19", 152), ("r20", 160), ("r21", 168), ("r22", 176), ("r23", 184),
    ("r24", 192), ("r25", 200), ("r26", 208), ("r27", 216), ("r28", 224), ("r29", 232), ("r30", 240),
    ("sp", 248), ("pc", 256), ("pstate", 264),
];

/// The offset of a register of x86-64, by the kernel's name (`ax`, `r8`, `ip`).
#[must_use]
pub fn x86_64(name: &str) -> Option<u32> {
    find(X86_64, name)
}

/// The offset of a register of arm64 (`x0` or `r0`, `sp`, `pc`).
#[must_use]
pub fn arm64(name: &str) -> Option<u32> {
    let number = name.strip_prefix('x');
    let found = ARM64.iter().find(|(known, _)| match number {
        Some(number) => known.strip_prefix('r') == Some(number),
        None => *known == name,
    });
    found.map(|(_, at)| *at)
}

fn find(table: &[Register], name: &str) -> Option<u32> {
    table.iter().find(|(n, _)| *n == name).map(|(_, at)| *at)
}
