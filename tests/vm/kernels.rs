//! The kernels of the matrix: Debian's cloud images, fetched once and kept under the target directory.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::apt::{self, Apt};

/// A machine's architecture, as Debian names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Arch {
    Amd64,
    Arm64,
}

impl Arch {
    #[must_use]
    pub fn debian(self) -> &'static str {
        match self {
            Arch::Amd64 => "amd64",
            Arch::Arm64 => "arm64",
        }
    }
}

/// A kernel series of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Series {
    pub arch: Arch,
    /// Major and minor number.
    pub version: (u32, u32),
}

const fn series(arch: Arch, major: u32, minor: u32) -> Series {
    Series {
        arch,
        version: (major, minor),
    }
}

/// All kernels that executables are tried on; oldest first.
pub const MATRIX: [Series; 7] = [
    series(Arch::Amd64, 5, 10),
    series(Arch::Amd64, 6, 1),
    series(Arch::Amd64, 6, 12),
    series(Arch::Amd64, 6, 18),
    series(Arch::Amd64, 7, 3),
    series(Arch::Arm64, 6, 1),
    series(Arch::Arm64, 6, 12),
];

impl Series {
    /// `6.12`, `arm64-6.12`
    #[must_use]
    pub fn name(self) -> String {
        let (major, minor) = self.version;
        match self.arch {
            Arch::Amd64 => format!("{major}.{minor}"),
            Arch::Arm64 => format!("arm64-{major}.{minor}"),
        }
    }

    /// The kernel of the matrix that has this name.
    ///
    /// # Errors
    /// When there is none.
    pub fn named(name: &str) -> Result<Series> {
        let found = MATRIX.into_iter().find(|series| series.name() == name);
        found.with_context(|| format!("the matrix has no kernel {name}"))
    }
}

/// A kernel image and the modules that came with it.
#[derive(Clone, Debug)]
pub struct Kernel {
    pub series: Series,
    pub image: PathBuf,
    /// The directory that holds `kernel/`.
    pub modules: PathBuf,
}

/// The newest cloud kernel of a series that the mirror has, fetched once.
///
/// # Errors
/// When apt knows no such kernel, can't fetch it, or the packages have another shape.
pub fn fetch(series: Series) -> Result<Kernel> {
    let kernels = crate::work_directory().join("kernels");
    let cache = kernels.join(series.name());
    if let Ok(kernel) = locate(series, &cache) {
        return Ok(kernel);
    }
    let apt = Apt::open(&kernels.join("apt"), apt::KERNELS)?;
    // Another thread or process may have fetched it meanwhile.
    if let Ok(kernel) = locate(series, &cache) {
        return Ok(kernel);
    }
    let packages = newest(&apt, series)?;
    let part = kernels.join(format!("{}.{}.part", series.name(), std::process::id()));
    apt.unpack(&packages, &part)?;
    if cache.exists() {
        std::fs::remove_dir_all(&cache)?;
    }
    std::fs::rename(&part, &cache)?;
    locate(series, &cache)
}

/// The packages of the newest kernel: one, or (since Debian's 7.2) one of the image and one of the modules.
fn newest(apt: &Apt, series: Series) -> Result<Vec<String>> {
    let (major, minor) = series.version;
    let arch = series.arch.debian();
    let pattern = format!(r"^linux-(image|binary|modules)-{major}\.{minor}\..*-cloud-{arch}$");
    let names = apt.names(&pattern)?;
    let of = |kind: &str| {
        let prefix = format!("linux-{kind}-");
        let fitting = names.iter().filter_map(|name| name.strip_prefix(&prefix));
        let ours = fitting.filter(|version| !version.contains(".deb"));
        ours.max_by_key(|version| numbers(version))
    };
    let wanted = |kind: &str, version: &str| format!("linux-{kind}-{version}:{arch}");
    match (of("binary"), of("modules"), of("image")) {
        (Some(binary), Some(modules), _) if binary == modules => {
            Ok(vec![wanted("binary", binary), wanted("modules", modules)])
        }
        (_, _, Some(image)) => Ok(vec![wanted("image", image)]),
        _ => bail!("the mirror has no Debian cloud kernel {}", series.name()),
    }
}

/// The numbers in a package's name, so that 6.12.9 comes before 6.12.10.
fn numbers(name: &str) -> Vec<u64> {
    name.split(|c: char| !c.is_ascii_digit())
        .filter_map(|n| n.parse().ok())
        .collect()
}

/// The files of an unpacked package: `/usr/lib/modules/VERSION/vmlinuz` in new ones, `/boot/vmlinuz-VERSION` in others.
fn locate(series: Series, root: &Path) -> Result<Kernel> {
    let modules = ["usr/lib/modules", "lib/modules"]
        .iter()
        .find_map(|directory| entry(&root.join(directory), "").ok())
        .with_context(|| format!("no modules in {}", root.display()))?;
    let image = [
        entry(&modules, "vmlinuz"),
        entry(&root.join("boot"), "vmlinuz-"),
    ]
    .into_iter()
    .find_map(Result::ok)
    .with_context(|| format!("no kernel image in {}", root.display()))?;
    Ok(Kernel {
        series,
        image,
        modules,
    })
}

fn entry(directory: &Path, prefix: &str) -> Result<PathBuf> {
    std::fs::read_dir(directory)
        .with_context(|| directory.display().to_string())?
        .filter_map(Result::ok)
        .find(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path())
        .with_context(|| format!("nothing in {}", directory.display()))
}

/// A module of the kernel, unpacked.
///
/// # Errors
/// When the package has no such module.
pub fn module(kernel: &Kernel, name: &str) -> Result<Vec<u8>> {
    // Packed since Debian 13.
    let (plain, packed) = (format!("{name}.ko"), format!("{name}.ko.xz"));
    let path = crate::case::files(&kernel.modules)?
        .into_iter()
        .find(|p| p.file_name().is_some_and(|n| *n == *plain || *n == *packed))
        .with_context(|| format!("the kernel package has no module {name}"))?;
    if path.extension().is_some_and(|e| e == "ko") {
        return Ok(std::fs::read(path)?);
    }
    let run = Command::new("xz")
        .args(["--decompress", "--stdout"])
        .arg(path)
        .output()?;
    if !run.status.success() {
        bail!("xz: {}", String::from_utf8_lossy(&run.stderr));
    }
    Ok(run.stdout)
}
