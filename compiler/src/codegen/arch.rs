//! Registers of a probed program: offsets in what the kernel hands over as `struct pt_regs`, by architecture.

use btc_abi as abi;

/// The machine that the executable runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Arch {
    #[default]
    X86_64,
    Arm64,
}

impl Arch {
    /// Byte offset of a register.
    #[must_use]
    pub fn register(self, name: &str) -> Option<u32> {
        match self {
            Arch::X86_64 => abi::registers::x86_64(name),
            Arch::Arm64 => abi::registers::arm64(name),
        }
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
