//! /proc/kallsyms → names of kernel addresses, modules' and BPF programs' among them.
//!
//! A table of our own: blazesym's takes three times the memory and drops the names of modules.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};

use super::Frame;

/// No function is longer: what is farther from a symbol lies between the kernel and a module, or between two.
const LONGEST: u64 = 1 << 20;
/// Kernel addresses on x86-64 and arm64; below are offsets of per-CPU variables.
const LOWEST: u64 = 1 << 63;

/// The kernel's symbols by address.
#[derive(Debug, Default)]
pub struct Kallsyms {
    /// Address and where the name begins in `names`; symbols of one address are in the file's order.
    symbols: Vec<(u64, u32)>,
    /// `name` or `name<TAB>[module]`, each ended by a newline.
    names: Vec<u8>,
}

impl Kallsyms {
    /// The symbols of the running kernel; none where the kernel hides addresses.
    pub fn open() -> Self {
        File::open("/proc/kallsyms").map_or_else(|_| Self::default(), Self::read)
    }

    /// Reads lines `ADDRESS TYPE NAME[<TAB>[MODULE]]` (Documentation/filesystems/proc.rst) until the first error.
    fn read(file: impl Read) -> Self {
        let mut reader = BufReader::with_capacity(64 << 10, file);
        let mut table = Self::default();
        let mut line = Vec::new();
        while matches!(reader.read_until(b'\n', &mut line), Ok(1..)) {
            if table.push(&line).is_none() {
                break;
            }
            line.clear();
        }
        table.symbols.sort_unstable();
        table.symbols.shrink_to_fit();
        table.names.shrink_to_fit();
        table
    }

    /// `None`: this is no kallsyms, or more of it than any kernel has.
    fn push(&mut self, line: &[u8]) -> Option<()> {
        let line = line.trim_ascii_end();
        let space = line.iter().position(|byte| *byte == b' ')?;
        let address = std::str::from_utf8(&line[..space]).ok()?;
        let address = u64::from_str_radix(address, 16).ok()?;
        // A space, the type, a space.
        let name = line.get(space + 3..)?;
        // The padding before functions (CONFIG_CALL_PADDING) doubles the table, and nothing runs there. Arm's mapping
        // symbols (`$x`, `$d`; those of modules are listed) say what follows and are no functions.
        if address < LOWEST || name.starts_with(b"__pfx_") || name.starts_with(b"$") {
            return Some(());
        }
        let at = u32::try_from(self.names.len()).ok()?;
        self.names.extend_from_slice(name);
        self.names.push(b'\n');
        self.symbols.push((address, at));
        Some(())
    }

    /// The symbol at or before an address; of several with one address the first, as the kernel itself prints it.
    pub fn find(&self, address: u64) -> Option<Frame> {
        let after = self.symbols.partition_point(|(start, _)| *start <= address);
        let (start, _) = *self.symbols.get(after.checked_sub(1)?)?;
        let first = self.symbols[..after].partition_point(|(before, _)| *before < start);
        let offset = address - start;
        if offset > LONGEST {
            return None;
        }
        let name = &self.names[self.symbols[first].1 as usize..];
        let end = name.iter().position(|byte| *byte == b'\n')?;
        let name = String::from_utf8_lossy(&name[..end]);
        let (function, module) = match name.split_once('\t') {
            Some((function, module)) => (function, Some(module.trim_matches(['[', ']']))),
            None => (&*name, None),
        };
        Some(Frame {
            function: Some(function.to_owned()),
            offset,
            module: module.map(str::to_owned),
            ..Frame::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
0000000000001000 A cpu_variable
ffffffff81000000 T first
ffffffff81000000 T alias
ffffffff81000010 t __pfx_second
ffffffff81000020 t second
ffffffff81000022 t $x.7
ffffffffc0000000 t in_module\t[ext4]
ffffffffa0000000 t bpf_prog_6deef7357e7b4530_sd_fw\t[bpf]
";

    #[test]
    fn symbols_are_found() {
        let table = Kallsyms::read(TEXT.as_bytes());
        let found = |address| {
            let frame = table.find(address)?;
            Some((frame.function?, frame.offset, frame.module))
        };
        assert_eq!(
            found(0xffff_ffff_8100_0001),
            Some(("first".into(), 1, None))
        );
        assert_eq!(
            found(0xffff_ffff_8100_0024),
            Some(("second".into(), 4, None))
        );
        let module = Some(("in_module".into(), 0, Some("ext4".into())));
        assert_eq!(found(0xffff_ffff_c000_0000), module);
        let program = found(0xffff_ffff_a000_0008).unwrap();
        assert_eq!(program.0, "bpf_prog_6deef7357e7b4530_sd_fw");
        assert_eq!(program.2.as_deref(), Some("bpf"));
        for unknown in [
            0,
            0x1000,
            0xffff_ffff_80ff_ffff,
            0xffff_ffff_9000_0000,
            u64::MAX,
        ] {
            assert_eq!(found(unknown), None);
        }
    }

    #[test]
    fn hidden_addresses_name_nothing() {
        let table = Kallsyms::read(&b"0000000000000000 T _text\n"[..]);
        assert_eq!(table.find(0xffff_ffff_8100_0000), None);
    }
}
