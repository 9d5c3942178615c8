//! Kernels for guests: Debian's cloud images, downloaded by apt from the system's own sources, unpacked and never installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// A kernel image and the modules that came with it.
#[derive(Clone, Debug)]
pub struct Kernel {
    pub image: PathBuf,
    /// The directory that holds `kernel/`.
    pub modules: PathBuf,
}

/// The newest cloud kernel of a series ("6.12") that the mirror has, fetched once and kept under the target directory.
///
/// # Errors
/// When apt knows no such kernel, can't fetch it, or the package has another shape.
pub fn fetch(series: &str) -> Result<Kernel> {
    let cache = crate::work_directory().join("kernels").join(series);
    if let Ok(kernel) = locate(&cache) {
        return Ok(kernel);
    }
    let package = newest(series)?;
    let download = crate::work_directory()
        .join("kernels")
        .join(format!("{series}.part"));
    if download.exists() {
        std::fs::remove_dir_all(&download)?;
    }
    std::fs::create_dir_all(&download)?;
    output(
        Command::new("apt-get")
            .args(["download", "-q", &package])
            .current_dir(&download),
    )?;
    let archive = crate::case::files(&download)?
        .into_iter()
        .find(|p| p.extension().is_some_and(|e| e == "deb"))
        .with_context(|| format!("apt-get download {package} left no package"))?;
    output(
        Command::new("dpkg-deb")
            .arg("-x")
            .arg(&archive)
            .arg(download.join("root")),
    )?;
    std::fs::remove_file(&archive)?;
    std::fs::rename(&download, &cache)?;
    locate(&cache)
}

fn newest(series: &str) -> Result<String> {
    let pattern = format!(
        r"^linux-image-{}\..*cloud-amd64$",
        series.replace('.', r"\.")
    );
    let names = output(Command::new("apt-cache").args(["search", "--names-only", &pattern]))?;
    let mut packages: Vec<&str> = names
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    packages.sort_by_key(|name| numbers(name));
    let newest = packages.last().map(|name| name.to_string());
    newest
        .with_context(|| format!("apt knows no Debian cloud kernel {series} (run apt-get update)"))
}

/// The numbers in a package's name, so that 6.12.9 comes before 6.12.10.
fn numbers(name: &str) -> Vec<u64> {
    name.split(|c: char| !c.is_ascii_digit())
        .filter_map(|n| n.parse().ok())
        .collect()
}

fn locate(cache: &Path) -> Result<Kernel> {
    let entry = |directory: PathBuf, prefix: &str| {
        std::fs::read_dir(&directory)
            .with_context(|| directory.display().to_string())?
            .filter_map(Result::ok)
            .map(|e| e.path())
            .find(|p| {
                p.file_name()
                    .is_some_and(|n| n.to_string_lossy().starts_with(prefix))
            })
            .with_context(|| format!("nothing in {}", directory.display()))
    };
    let root = cache.join("root");
    let image = entry(root.join("boot"), "vmlinuz-")?;
    let modules = entry(root.join("lib/modules"), "")?;
    Ok(Kernel { image, modules })
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

fn output(command: &mut Command) -> Result<String> {
    let run = command.output().with_context(|| format!("{command:?}"))?;
    if !run.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&run.stderr));
    }
    Ok(String::from_utf8_lossy(&run.stdout).into_owned())
}
