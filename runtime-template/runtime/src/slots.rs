//! The manifest's slots → the bytes of `.rodata.btc`: values that only the target knows, written before load.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;

use btc_abi::{Config, Manifest, Slot, TargetValue};
use libbpf_rs::ProgramType;

use crate::parameters::Parameters;
use crate::target::{self, c_string, clock_ns};
use crate::{Context, Error, config, elf, kfuncs, library};

/// The section's name, and that of its map.
pub const SECTION: &str = ".rodata.btc";

/// What a run knows beside its parameters.
pub struct Facts<'a> {
    pub parameters: &'a Parameters,
    /// Of the plan.
    pub probe_names: &'a [String],
    pub child: Option<i32>,
    pub pid_filter: Option<i32>,
    /// CLOCK_BOOTTIME in nanoseconds.
    pub start_time: u64,
    /// Whether warnings are printed.
    pub warnings: bool,
    /// After the environment's overrides.
    pub config: &'a Config,
}

/// Writes every slot into `section`, the initial value of the section's map.
pub fn write(manifest: &Manifest, facts: &Facts<'_>, section: &mut [u8]) -> Result<(), Error> {
    let kernel = kernel_addresses(manifest)?;
    if facts.warnings && facts.child.is_none() && needs_child(manifest) {
        eprintln!("WARNING: `cpid` is 0: without -c there is no child process");
    }
    for slot in manifest.slots.iter() {
        let bytes = match text(slot, facts) {
            Some(text) => text.as_bytes().to_vec(),
            None => number(&slot.value, facts, &kernel)?.to_le_bytes().to_vec(),
        };
        place(slot, &bytes, section)?;
    }
    Ok(())
}

/// Whether a script reads `cpid` and doesn't ask whether it has one.
fn needs_child(manifest: &Manifest) -> bool {
    let mut values = manifest.slots.iter().map(|slot| &slot.value);
    let asks = (values.clone()).any(|value| matches!(value, TargetValue::HasChild));
    !asks && values.any(|value| matches!(value, TargetValue::ChildPid))
}

fn place(slot: &Slot, bytes: &[u8], section: &mut [u8]) -> Result<(), Error> {
    let (offset, size) = (slot.offset as usize, slot.size as usize);
    let room = (section.get_mut(offset..offset + size))
        .ok_or_else(|| Error::new(format!("the object's {SECTION} is too small: a bug of btc")))?;
    room.fill(0);
    let whole = matches!(
        slot.value,
        TargetValue::PositionalString { .. } | TargetValue::NamedString { .. }
    );
    if !whole {
        // Little-endian, so a narrower slot keeps the low bytes.
        let length = match slot.value {
            // Texts of the configuration end with NUL.
            TargetValue::Config { .. } if size > 8 => bytes.len().min(size - 1),
            _ => bytes.len().min(size),
        };
        room[..length].copy_from_slice(&bytes[..length]);
        return Ok(());
    }
    if bytes.len() >= size {
        return Err(Error::usage(format!(
            "a text parameter of {} bytes is too long: the script has room for {}",
            bytes.len(),
            size.saturating_sub(1)
        )));
    }
    room[..bytes.len()].copy_from_slice(bytes);
    Ok(())
}

fn text<'a>(slot: &Slot, facts: &Facts<'a>) -> Option<&'a str> {
    match &slot.value {
        TargetValue::PositionalString { index } => Some(facts.parameters.positional_text(*index)),
        TargetValue::NamedString { index } => Some(facts.parameters.named_text(*index)),
        TargetValue::Config { name } => config::text(facts.config, name),
        _ => None,
    }
}

fn number(
    value: &TargetValue,
    facts: &Facts<'_>,
    kernel: &HashMap<&str, u64>,
) -> Result<u64, Error> {
    Ok(match value {
        TargetValue::PositionalString { .. } | TargetValue::NamedString { .. } => 0,
        TargetValue::Config { name } => config::number(facts.config, name),
        TargetValue::KfuncExists { name } => u64::from(kfuncs::exists(name.text())?),
        TargetValue::KfuncAllowed { name, program } => {
            u64::from(kfuncs::is_allowed(name.text(), *program)?)
        }
        TargetValue::PerCpuOffsets => kernel.get(PER_CPU_OFFSETS).copied().unwrap_or(0),
        TargetValue::Positional { index } => {
            facts.parameters.positional_number(*index).cast_unsigned()
        }
        TargetValue::Number { number } => number.most().cast_unsigned(),
        TargetValue::Buckets { of } => u64::from(of.buckets()),
        TargetValue::PositionalCount => facts.parameters.positional_count() as u64,
        TargetValue::Named { index } => facts.parameters.named_number(*index).cast_unsigned(),
        TargetValue::CpuCount => {
            libbpf_rs::num_possible_cpus().context(|| "count the possible CPUs")? as u64
        }
        TargetValue::ChildPid => facts.child.unwrap_or(0) as u64,
        TargetValue::HasChild => u64::from(facts.child.is_some()),
        TargetValue::PidFilter => facts.pid_filter.unwrap_or(0) as u64,
        TargetValue::TracedProcess => facts.pid_filter.or(facts.child).unwrap_or(0) as u64,
        TargetValue::PidNamespaceDevice => pid_namespace()?.0,
        TargetValue::PidNamespaceInode => pid_namespace()?.1,
        TargetValue::StartTime => facts.start_time,
        TargetValue::RealtimeOffset => {
            clock_ns(libc::CLOCK_REALTIME).wrapping_sub(clock_ns(libc::CLOCK_BOOTTIME))
        }
        TargetValue::KernelAddress { symbol } => kernel.get(symbol.text()).copied().unwrap_or(0),
        TargetValue::UserCodeEnd { binary } => {
            let path = library::resolve(binary, facts.pid_filter)?;
            elf::Binary::open(&path)?.moved_ends()?.code
        }
        TargetValue::UserDataEnd { binary } => {
            let path = library::resolve(binary, facts.pid_filter)?;
            elf::Binary::open(&path)?.moved_ends()?.data
        }
        TargetValue::UserAddress { binary, symbol } => {
            let path = library::resolve(binary, facts.pid_filter)?;
            let symbol = symbol.text();
            let found = elf::Binary::open(&path)?.address(symbol)?;
            found.ok_or_else(|| {
                Error::new(format!("uaddr: no symbol `{symbol}` in {}", path.display()))
            })?
        }
        TargetValue::CgroupId { path } => cgroup_id(path.text())?,
        TargetValue::ProbeNumber { name } => (facts.probe_names.iter())
            .position(|known| **known == **name)
            .map_or(u64::MAX, |number| number as u64),
        TargetValue::HasHelper { number } => {
            // The type of the programs that ask: tracepoints have no function.
            u64::from(target::has_helper(ProgramType::Kprobe, *number))
        }
    })
}

/// Device (as the kernel numbers it) and inode of our pid namespace; zeroes in the initial one.
fn pid_namespace() -> Result<(u64, u64), Error> {
    // PROC_PID_INIT_INO of linux/proc_ns.h.
    const INITIAL: u64 = 0xEFFF_FFFC;
    let path = "/proc/self/ns/pid";
    let namespace = std::fs::metadata(path).context(|| format!("read {path}"))?;
    if namespace.ino() == INITIAL {
        return Ok((0, 0));
    }
    // bpf_get_ns_current_pid_tgid compares the kernel's own dev_t: 12 bits of major, 20 of minor.
    let device = namespace.dev();
    let kernel_device = (u64::from(libc::major(device)) << 20) | u64::from(libc::minor(device));
    Ok((kernel_device, namespace.ino()))
}

/// The kernel's table of how far each CPU's copy of a variable is.
const PER_CPU_OFFSETS: &str = "__per_cpu_offset";
/// bpf_map_lookup_percpu_elem of linux/bpf.h.
const LOOKUP_PERCPU: u32 = 195;

/// One pass over /proc/kallsyms for all symbols that the script names, and those that an old kernel is read by.
fn kernel_addresses(manifest: &Manifest) -> Result<HashMap<&str, u64>, Error> {
    let wanted: Vec<&str> = (manifest.slots.iter())
        .filter_map(|slot| match &slot.value {
            TargetValue::KernelAddress { symbol } => Some(symbol.text()),
            TargetValue::PerCpuOffsets
                if !target::has_helper(ProgramType::Kprobe, LOOKUP_PERCPU) =>
            {
                Some(PER_CPU_OFFSETS)
            }
            _ => None,
        })
        .collect();
    let mut found = HashMap::new();
    if wanted.is_empty() {
        return Ok(found);
    }
    let path = "/proc/kallsyms";
    let file = std::fs::File::open(path).context(|| format!("open {path}"))?;
    for line in BufReader::new(file).lines() {
        let line = line.context(|| format!("read {path}"))?;
        let mut words = line.split_whitespace();
        let (Some(address), Some(_), Some(name)) = (words.next(), words.next(), words.next())
        else {
            continue;
        };
        let Some(symbol) = wanted.iter().find(|symbol| **symbol == name) else {
            continue;
        };
        let address = u64::from_str_radix(address, 16).context(|| format!("{path}: `{line}`"))?;
        if address == 0 {
            return Err(Error::new(format!(
                "the kernel hides its addresses (`{symbol}` reads as 0): set kernel.kptr_restrict to 0 or run with CAP_SYSLOG"
            )));
        }
        found.entry(*symbol).or_insert(address);
    }
    match wanted.iter().find(|symbol| !found.contains_key(**symbol)) {
        Some(symbol) => Err(Error::new(format!("this kernel has no symbol `{symbol}`"))),
        None => Ok(found),
    }
}

/// The id of a cgroup v2 directory: its file handle, which is its inode number too.
fn cgroup_id(path: &str) -> Result<u64, Error> {
    #[repr(C)]
    struct Handle {
        bytes: u32,
        kind: i32,
        id: [u8; 8],
    }
    let mut handle = Handle {
        bytes: 8,
        kind: 0,
        id: [0; 8],
    };
    let mut mount = 0i32;
    let name = c_string(path)?;
    // SAFETY: `handle` has the layout of struct file_handle with room for the eight bytes that it announces.
    let result = unsafe {
        libc::syscall(
            libc::SYS_name_to_handle_at,
            libc::AT_FDCWD,
            name.as_ptr(),
            &raw mut handle,
            &raw mut mount,
            0,
        )
    };
    if result == 0 && handle.bytes == 8 {
        return Ok(u64::from_ne_bytes(handle.id));
    }
    let directory = std::fs::metadata(path).context(|| format!("cgroupid: {path}"))?;
    Ok(directory.ino())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::manifest;
    use btc_abi::{Parameter, ParameterType};

    #[test]
    fn slots_are_written() {
        let mut manifest = manifest();
        manifest.positional = vec![Parameter {
            name: "1".into(),
            ty: ParameterType::Any,
            description: "".into(),
        }]
        .into();
        let slot = |offset, size, value| Slot {
            offset,
            size,
            value,
        };
        manifest.slots = vec![
            slot(0, 8, TargetValue::Positional { index: 1 }),
            slot(8, 8, TargetValue::PositionalString { index: 1 }),
            slot(16, 8, TargetValue::CpuCount),
            slot(24, 8, TargetValue::PositionalCount),
        ]
        .into();
        let write_with = |argument: &str, section: &mut [u8]| {
            let mut parameters = Parameters::new(&manifest);
            parameters
                .set_positional(&manifest, vec![argument.into()])
                .unwrap();
            let facts = Facts {
                probe_names: &[],
                parameters: &parameters,
                child: None,
                pid_filter: None,
                start_time: 0,
                warnings: true,
                config: &manifest.config,
            };
            write(&manifest, &facts, section)
        };
        let mut section = [0xffu8; 32];
        write_with("0x20", &mut section).unwrap();
        assert_eq!(section[..8], 32u64.to_le_bytes());
        assert_eq!(&section[8..16], b"0x20\0\0\0\0");
        assert!(u64::from_le_bytes(section[16..24].try_into().unwrap()) >= 1);
        assert_eq!(section[24..], 1u64.to_le_bytes());
        assert!(write_with("longtext", &mut section).is_err());
    }
}
