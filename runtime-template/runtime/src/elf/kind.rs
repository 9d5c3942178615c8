//! What a path names that is no binary of this machine → an error that says what it is.

use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use object::elf::{EM_AARCH64, EM_PPC64, EM_RISCV, EM_S390, EM_X86_64, ET_DYN, ET_EXEC, Machine};
use object::read::elf::FileHeader as _;

use super::Binary;
use crate::Error;

impl Binary {
    /// Says what a file is that can't be probed.
    pub(super) fn refuse_other(&self, length: u64) -> Result<(), Error> {
        use object::ReadRef as _;
        let refuse = |what: &str| Err(Error::new(format!("{} {what}", self.path.display())));
        if length == 0 {
            return refuse("is empty");
        }
        let head = (&self.data)
            .read_bytes_at(0, length.min(64))
            .unwrap_or_default();
        match head {
            [b'#', b'!', ..] => {
                return refuse("is a script: probe the program that its first line names");
            }
            [0x7f, b'E', b'L', b'F', 1, ..] => {
                return refuse("is a 32-bit program; only 64-bit ones can be probed");
            }
            [0x7f, b'E', b'L', b'F', 2, ..] => {}
            [0x7f, b'E', b'L', b'F', ..] => return refuse("is damaged or cut off"),
            _ => return refuse("is not an ELF program or library"),
        }
        let (header, endian, _) = self.headers()?;
        if !matches!(header.e_type(endian), ET_EXEC | ET_DYN) {
            return refuse("is neither a program nor a shared library (an object or core file)");
        }
        Ok(())
    }

    /// Says that a program is of another machine.
    pub(super) fn refuse_foreign(&self, wanted: Machine) -> Result<(), Error> {
        let (header, endian, _) = self.headers()?;
        let machine = header.e_machine(endian);
        if machine != wanted {
            let whose = if wanted == MACHINE {
                "this machine"
            } else {
                "the target"
            };
            return Err(Error::new(format!(
                "{} is for another architecture ({}) than {whose}'s ({})",
                self.path.display(),
                machine_name(machine),
                machine_name(wanted)
            )));
        }
        Ok(())
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) const MACHINE: Machine = EM_X86_64;
#[cfg(target_arch = "aarch64")]
pub(super) const MACHINE: Machine = EM_AARCH64;

fn machine_name(machine: Machine) -> String {
    match machine {
        EM_X86_64 => "x86-64".into(),
        EM_AARCH64 => "arm64".into(),
        EM_RISCV => "RISC-V".into(),
        EM_PPC64 => "ppc64".into(),
        EM_S390 => "s390x".into(),
        other => format!("ELF machine {}", other.0),
    }
}

/// Everything but a regular file.
pub(super) fn refuse_special(path: &Path, metadata: &std::fs::Metadata) -> Result<(), Error> {
    let kind = metadata.file_type();
    let what = if kind.is_file() {
        return Ok(());
    } else if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    Err(Error::new(format!(
        "{} is {what}, not a program or library",
        path.display()
    )))
}
