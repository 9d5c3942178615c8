//! A kernel image → its BTF, without booting it: what `btc portability` is told about a kernel of the matrix.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use object::{Object as _, ObjectSection as _};

use super::kernels::{Arch, Kernel};

/// A file with the kernel's BTF, made once beside the kernel.
///
/// # Errors
/// When the image is of an unknown kind or holds no BTF.
pub fn file(kernel: &Kernel) -> Result<PathBuf> {
    let directory = kernel.modules.ancestors();
    let series = kernel.series.name();
    let root = directory
        .into_iter()
        .find(|path| path.ends_with(&series))
        .with_context(|| format!("the kernel {series} is not in the cache"))?;
    let file = root.join("vmlinux.btf");
    if file.exists() {
        return Ok(file);
    }
    let image = std::fs::read(&kernel.image)?;
    let types = match kernel.series.arch {
        Arch::Amd64 => of_elf(&unpacked(&image)?),
        Arch::Arm64 => of_bytes(&image),
    };
    let types = types.with_context(|| format!("no BTF in {}", kernel.image.display()))?;
    let part = file.with_extension(format!("{}.part", std::process::id()));
    std::fs::write(&part, types)?;
    std::fs::rename(&part, &file)?;
    Ok(file)
}

/// The kernel inside a bzImage (Documentation/arch/x86/boot.rst: `setup_sects`, `payload_offset`, `payload_length`).
fn unpacked(image: &[u8]) -> Result<Vec<u8>> {
    let word = |at: usize| -> Result<usize> {
        let bytes = image.get(at..at + 4).context("a short image")?;
        Ok(u32::from_le_bytes(bytes.try_into()?) as usize)
    };
    if image.get(0x202..0x206) != Some(b"HdrS") {
        bail!("no bzImage");
    }
    let start = (usize::from(image[0x1f1]) + 1) * 512 + word(0x248)?;
    // The last four bytes are the unpacked length.
    let payload = image
        .get(start..start + word(0x24c)? - 4)
        .context("the payload ends after the image")?;
    let words: &[&str] = match payload {
        [0x02, 0x21, 0x4c, 0x18, ..] => &["lz4", "-d", "-c"],
        [0x28, 0xb5, 0x2f, 0xfd, ..] => &["zstd", "-d", "-c"],
        [0xfd, b'7', b'z', b'X', b'Z', ..] => &["xz", "-d", "-c"],
        [0x1f, 0x8b, ..] => &["gzip", "-d", "-c"],
        _ => bail!("packed in an unknown way"),
    };
    let mut child = Command::new(words[0])
        .args(&words[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| words[0].to_string())?;
    let mut input = child.stdin.take().context("a pipe")?;
    let output = std::thread::scope(|scope| {
        // The program may end before it has read what follows the payload.
        scope.spawn(move || input.write_all(payload).unwrap_or_default());
        child.wait_with_output()
    })?;
    Ok(output.stdout)
}

fn of_elf(elf: &[u8]) -> Option<Vec<u8>> {
    let file = object::File::parse(elf).ok()?;
    let section = file.section_by_name(".BTF")?;
    section.data().ok().map(<[u8]>::to_vec)
}

/// An uncompressed image has no section headers: the header of the kernel's own BTF is the one with the most types.
fn of_bytes(image: &[u8]) -> Option<Vec<u8>> {
    // linux/btf.h: magic, version 1, no flags, a header of 24 bytes.
    const HEADER: [u8; 8] = [0x9f, 0xeb, 1, 0, 24, 0, 0, 0];
    let word = |at: usize| {
        let bytes = image.get(at..at + 4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?) as usize)
    };
    let starts = (0..image.len()).step_by(4);
    let headers = starts.filter(|at| image[*at..].starts_with(&HEADER));
    let blobs = headers.filter_map(|at| {
        let (strings, length) = (word(at + 16)?, word(at + 20)?);
        image.get(at..at.checked_add(24 + strings + length)?)
    });
    blobs.max_by_key(|blob| blob.len()).map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::super::kernels::{self, MATRIX};

    #[test]
    fn every_kernel_of_the_matrix_has_btf() {
        for series in MATRIX {
            let kernel = kernels::fetch(series).expect("a kernel");
            let file = super::file(&kernel).expect("BTF");
            let types =
                btc::host::btf::Btf::parse(std::fs::read(&file).expect("a file")).expect("types");
            let task = types.find(btc::host::btf::Kind::STRUCT, "task_struct");
            assert!(task.is_some(), "{}", series.name());
        }
    }
}
