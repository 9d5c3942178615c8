//! A stripped binary → the file that its symbols and debug information were split off into, where the target has it:
//! by build ID below /usr/lib/debug, or by the name in `.gnu_debuglink`.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::elf::Binary;

const ROOT: &str = "usr/lib/debug";

/// The first candidate that is of the same build.
pub fn find(binary: &Binary) -> Option<Binary> {
    let build_id = binary.build_id().ok().flatten();
    let link = binary.debug_link().ok().flatten();
    let root = root_of(binary.path());
    // Where links lead to; inside another root they can't be followed by name.
    let path = match root.parent() {
        None => std::fs::canonicalize(binary.path()).ok()?,
        Some(_) => binary.path().to_owned(),
    };
    let mut candidates: Vec<(PathBuf, Option<u32>)> = Vec::new();
    if let Some(id) = build_id.filter(|id| id.len() > 1) {
        candidates.push((root.join(ROOT).join(".build-id").join(id_path(id)), None));
    }
    if let (Some((name, sum)), Some(directory)) = (link, path.parent()) {
        let inside = directory.strip_prefix(&root).unwrap_or(directory);
        let below = root.join(ROOT).join(inside);
        for place in [directory.to_owned(), directory.join(".debug"), below] {
            candidates.push((place.join(&name), Some(sum)));
        }
    }
    let own = crate::elf::identity(binary.path());
    candidates.into_iter().find_map(|(path, sum)| {
        if crate::elf::identity(&path) == own {
            return None;
        }
        let debug = Binary::open_for_any_machine(&path).ok()?;
        let same = match (build_id, debug.build_id().ok().flatten(), sum) {
            (Some(id), Some(its), _) => id == its,
            (None, _, Some(sum)) => checksum(&path).is_some_and(|found| found == sum),
            _ => false,
        };
        same.then_some(debug)
    })
}

/// `/proc/PID/root` of a path in there, else `/`.
fn root_of(path: &Path) -> PathBuf {
    let mut parts = path.components();
    let root: PathBuf = parts.by_ref().take(4).collect();
    match root.starts_with("/proc") && root.ends_with("root") {
        true => root,
        false => PathBuf::from("/"),
    }
}

/// `ab/cdef.debug`
fn id_path(id: &[u8]) -> String {
    let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}/{}.debug", &hex[..2], &hex[2..])
}

/// The CRC-32 of a file, as zlib computes it.
fn checksum(path: &Path) -> Option<u32> {
    let mut file = File::open(path).ok()?;
    let mut sum = !0u32;
    let mut block = vec![0; 64 << 10];
    loop {
        let count = file.read(&mut block).ok()?;
        if count == 0 {
            return Some(!sum);
        }
        for byte in &block[..count] {
            sum ^= u32::from(*byte);
            for _ in 0..8 {
                sum = (sum >> 1) ^ (0xEDB8_8320 & (sum & 1).wrapping_neg());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        assert_eq!(id_path(&[0xab, 0xcd, 0x01]), "ab/cd01.debug");
        let inside = Path::new("/proc/12/root/usr/bin/x");
        assert_eq!(root_of(inside), Path::new("/proc/12/root"));
        assert_eq!(root_of(Path::new("/usr/bin/x")), Path::new("/"));
    }

    #[test]
    fn checksums() {
        let path = std::env::temp_dir().join(format!("btc-crc-{}", std::process::id()));
        std::fs::write(&path, b"123456789").unwrap();
        assert_eq!(checksum(&path), Some(0xCBF4_3926));
        std::fs::remove_file(&path).unwrap();
    }
}
