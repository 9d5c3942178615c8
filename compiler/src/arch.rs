//! The machines that executables run on: their names, their calling conventions, and the registers in what the kernel
//! hands over as `struct pt_regs`. These are fixed by each kernel's user API, so no BTF of the machine is needed for them.

use std::fmt;
use std::str::FromStr;

use btc_abi::registers::{ARM64, Register, X86_64, arm64, x86_64};

/// The architecture of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    X86_64,
    Arm64,
}

/// Every architecture, in the order in which they are named to a user.
pub const ALL: [Arch; 2] = [Arch::X86_64, Arch::Arm64];

impl Arch {
    /// Rust's and the C compilers' name of the architecture.
    #[must_use]
    pub fn rust_name(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86_64",
            Arch::Arm64 => "aarch64",
        }
    }

    /// Whether btc runs on such a machine itself.
    #[must_use]
    pub fn is_this_machine(self) -> bool {
        self.rust_name() == std::env::consts::ARCH
    }

    /// Rust's name of the target.
    #[must_use]
    pub fn triple(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86_64-unknown-linux-gnu",
            Arch::Arm64 => "aarch64-unknown-linux-gnu",
        }
    }

    /// The C compilers' name of the target, which cross compilers start with.
    #[must_use]
    pub fn gnu_triple(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86_64-linux-gnu",
            Arch::Arm64 => "aarch64-linux-gnu",
        }
    }

    /// Debian's name of the architecture.
    #[must_use]
    pub fn debian(self) -> &'static str {
        match self {
            Arch::X86_64 => "amd64",
            Arch::Arm64 => "arm64",
        }
    }

    /// The directory of the architecture in a kernel tree.
    #[must_use]
    pub fn kernel_directory(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86",
            Arch::Arm64 => "arm64",
        }
    }

    /// All registers, in the order of `struct pt_regs`.
    #[must_use]
    pub fn registers(self) -> &'static [Register] {
        match self {
            Arch::X86_64 => X86_64,
            Arch::Arm64 => ARM64,
        }
    }

    /// Byte offset of a register.
    #[must_use]
    pub fn register(self, name: &str) -> Option<u32> {
        match self {
            Arch::X86_64 => x86_64(name),
            Arch::Arm64 => arm64(name),
        }
    }

    /// The names of the registers that arguments of a function call are passed in, in order.
    #[must_use]
    pub fn argument_registers(self) -> &'static [&'static str] {
        match self {
            Arch::X86_64 => &["di", "si", "dx", "cx", "r8", "r9"],
            Arch::Arm64 => &["r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7"],
        }
    }

    /// The register of argument `n` of a function call, as a byte offset.
    #[must_use]
    pub fn argument(self, n: u8) -> Option<u32> {
        self.register(self.argument_registers().get(usize::from(n))?)
    }

    /// Byte offset of the register that a function returns its value in.
    #[must_use]
    pub fn return_value(self) -> u32 {
        match self {
            Arch::X86_64 => 80,
            Arch::Arm64 => 0,
        }
    }

    /// Byte offset of the instruction pointer.
    #[must_use]
    pub fn instruction_pointer(self) -> u32 {
        match self {
            Arch::X86_64 => 128,
            Arch::Arm64 => 256,
        }
    }

    /// Byte offset of the stack pointer.
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

/// This machine's, or the first where executables can't be for this one.
impl Default for Arch {
    fn default() -> Arch {
        let this = std::env::consts::ARCH;
        let found = ALL.into_iter().find(|arch| arch.rust_name() == this);
        found.unwrap_or(ALL[0])
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.triple())
    }
}

impl FromStr for Arch {
    type Err = String;

    /// A target as rustup names it.
    fn from_str(text: &str) -> Result<Arch, String> {
        let found = ALL.into_iter().find(|arch| arch.triple() == text);
        found.ok_or_else(|| format!("expected {}", ALL.map(Arch::triple).join(" or ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_lie_eight_bytes_apart() {
        for arch in ALL {
            for (n, (name, at)) in arch.registers().iter().enumerate() {
                assert_eq!(*at as usize, n * 8, "{name}");
            }
            assert_eq!(arch.argument(arch.argument_registers().len() as u8), None);
        }
    }

    #[test]
    fn named_offsets_are_those_of_the_registers() {
        for (arch, result, instruction) in [(Arch::X86_64, "ax", "ip"), (Arch::Arm64, "r0", "pc")] {
            assert_eq!(arch.register(result), Some(arch.return_value()));
            assert_eq!(arch.register(instruction), Some(arch.instruction_pointer()));
            assert_eq!(arch.register("sp"), Some(arch.stack_pointer()));
        }
    }

    #[test]
    fn targets_by_name() {
        assert_eq!("aarch64-unknown-linux-gnu".parse(), Ok(Arch::Arm64));
        let refused = "riscv64gc-unknown-linux-gnu".parse::<Arch>().unwrap_err();
        assert!(refused.starts_with("expected x86_64-unknown-linux-gnu or "));
    }
}
