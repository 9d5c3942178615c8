//! Registers of a probed program: offsets in what the kernel hands over as `struct pt_regs`, by architecture.

/// The machine that the executable runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Arch {
    #[default]
    X86_64,
    Arm64,
}

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

/// `struct user_pt_regs` of arm64: x0 to x30, then these.
const ARM64: &[(&str, u32)] = &[("sp", 248), ("pc", 256), ("pstate", 264)];

impl Arch {
    /// Byte offset of a register.
    #[must_use]
    pub fn register(self, name: &str) -> Option<u32> {
        let table = match self {
            Arch::X86_64 => X86_64,
            Arch::Arm64 => {
                if let Some(n) = name.strip_prefix('r').or_else(|| name.strip_prefix('x')) {
                    return n.parse::<u32>().ok().filter(|n| *n < 31).map(|n| n * 8);
                }
                ARM64
            }
        };
        table.iter().find(|(n, _)| *n == name).map(|(_, at)| *at)
    }

    /// The register of argument `n` of a function call.
    #[must_use]
    pub fn argument(self, n: u8) -> Option<u32> {
        match self {
            Arch::X86_64 => {
                let names = ["di", "si", "dx", "cx", "r8", "r9"];
                self.register(names.get(usize::from(n))?)
            }
            Arch::Arm64 => (n < 8).then(|| u32::from(n) * 8),
        }
    }

    #[must_use]
    pub fn return_value(self) -> u32 {
        match self {
            Arch::X86_64 => 80,
            Arch::Arm64 => 0,
        }
    }

    #[must_use]
    pub fn instruction_pointer(self) -> u32 {
        match self {
            Arch::X86_64 => 128,
            Arch::Arm64 => 256,
        }
    }

    #[must_use]
    pub fn stack_pointer(self) -> u32 {
        match self {
            Arch::X86_64 => 152,
            Arch::Arm64 => 248,
        }
    }

    /// Bytes between the stack pointer at a function's entry and its first stack argument.
    #[must_use]
    pub fn first_stack_argument(self) -> u32 {
        match self {
            Arch::X86_64 => 8,
            Arch::Arm64 => 0,
        }
    }

    /// How far the instruction pointer of a kprobe at a function's entry is past the function's address.
    #[must_use]
    pub fn kprobe_skew(self) -> u64 {
        match self {
            Arch::X86_64 => 1,
            Arch::Arm64 => 0,
        }
    }
}
