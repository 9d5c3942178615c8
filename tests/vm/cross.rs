//! A build host for arm64: Rust's installed copy compiles for this machine only, so a root of Debian's sid, with a Rust
//! for both, lies under the target directory. Nothing in it was installed: packages are unpacked. btc, the checkout and the
//! crates that cargo has are mounted into it, for one command at a time, so what is tested is a user's `btc --target`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result};

use super::apt::{self, Apt};
use super::guest::{Programs, program_files};
use crate::case::{Case, files};
use crate::compile;

const TARGET: &str = "aarch64-unknown-linux-gnu";

/// What `btc --target` asks of a Debian, and a shell for make.
const PACKAGES: &[&str] = &[
    "base-files",
    "coreutils",
    "dash",
    "grep",
    "sed",
    "cargo",
    "rustc",
    "libstd-rust-dev",
    "libstd-rust-dev:arm64",
    "gcc",
    "gcc-aarch64-linux-gnu",
    "libelf-dev:arm64",
    "zlib1g-dev:arm64",
    "libzstd-dev:arm64",
    "make",
    "pkg-config",
];

/// What runs in guests beside what we compile.
const GUEST_PACKAGES: [&str; 4] = [
    "busybox-static:arm64",
    "bash:arm64",
    "libtinfo6:arm64",
    "libc6:arm64",
];

/// The libraries of the guest's bash, as its loader looks for them.
const BASH: [&str; 4] = [
    "bin/bash",
    "lib/ld-linux-aarch64.so.1",
    "lib/aarch64-linux-gnu/libc.so.6",
    "lib/aarch64-linux-gnu/libtinfo.so.6",
];

/// Enters the root: its first word is the root, the second the directories that it shares with this machine, the third
/// where the command runs. This machine's whole root is `/host` there.
const ENTER: &str = "set -e
root=$1 shared=$2 directory=$3
shift 3
mount --rbind / \"$root/host\"
for path in /proc /dev /sys $shared; do
    mkdir -p \"$root$path\"
    mount --rbind \"$path\" \"$root$path\"
done
exec chroot \"$root\" /usr/bin/env -C \"$directory\" \"$@\"
";

/// Where the root has the libraries of this machine that btc was linked with.
const LIBRARIES: &str = "btc-libraries";

/// The root, ready.
pub struct Cross {
    root: PathBuf,
}

impl Cross {
    /// The one root of this process, made on first use. It takes half a minute and 1.5 GB.
    ///
    /// # Errors
    /// When a package can't be had.
    pub fn get() -> Result<&'static Cross> {
        static CROSS: OnceLock<Result<Cross, String>> = OnceLock::new();
        CROSS
            .get_or_init(|| Cross::open().map_err(|error| format!("{error:#}")))
            .as_ref()
            .map_err(|error| anyhow::anyhow!("no build host for arm64: {error}"))
    }

    fn open() -> Result<Cross> {
        let directory = crate::work_directory().join("cross");
        let root = directory.join("root");
        if !root.exists() {
            let part = directory.join("root.part");
            if part.exists() {
                fs::remove_dir_all(&part)?;
            }
            let apt = Apt::open(&directory.join("apt"), apt::SID)?;
            apt.unpack_whole(PACKAGES, &part)?;
            // The system's `cc` is a choice that installing makes.
            symlink("gcc", part.join("usr/bin/cc"))?;
            apt.unpack(&GUEST_PACKAGES.map(String::from), &part.join("guest"))?;
            fs::create_dir(part.join("host"))?;
            fs::rename(&part, &root)?;
        }
        let cross = Cross { root };
        cross.link_libraries()?;
        Ok(cross)
    }

    /// Names the libraries that btc and libclang load, but for those of libc, which belong to the root's loader.
    fn link_libraries(&self) -> Result<()> {
        let directory = self.root.join(LIBRARIES);
        if directory.exists() {
            fs::remove_dir_all(&directory)?;
        }
        fs::create_dir(&directory)?;
        let btc = compile::btc()?.display().to_string();
        let mut libraries = program_files(&btc)?.split_off(1);
        if let Some(clang) = libclang() {
            libraries.extend(program_files(&clang.display().to_string())?);
        }
        libraries.sort();
        libraries.dedup();
        for library in libraries {
            let library = Path::new(&library);
            let name = library.file_name().unwrap_or_default();
            let of_libc = ["ld-linux", "libc.so", "libm.so"];
            if of_libc
                .iter()
                .any(|known| name.to_string_lossy().starts_with(known))
            {
                continue;
            }
            let file = library.canonicalize()?;
            let host = Path::new("/host").join(file.strip_prefix("/")?);
            symlink(host, directory.join(name))?;
        }
        Ok(())
    }

    /// A command of the root, with the checkout, the target directory and cargo's crates where this machine has them.
    fn command(&self, program: &str) -> Result<Command> {
        let target = crate::work_directory().join("..").canonicalize()?;
        let cargo_home = cargo_home()?;
        // A checkout may have its kernels elsewhere.
        let kernels = crate::work_directory().join("kernels").canonicalize()?;
        let root = crate::root().canonicalize()?;
        let shared = [root, target, kernels, cargo_home.clone()];
        let shared: Vec<String> = shared.iter().map(|p| p.display().to_string()).collect();
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c", ENTER, "enter"])
            .arg(&self.root)
            .arg(shared.join(" "))
            .arg(crate::root())
            .arg(program)
            .env_clear()
            .env("PATH", "/usr/bin:/usr/sbin:/bin:/sbin")
            .env("CARGO_HOME", cargo_home)
            .env("LIBCLANG_PATH", format!("/{LIBRARIES}"))
            .env("BTC_CACHE_DIR", crate::work_directory().join("cross/cache"));
        Ok(command)
    }

    /// The btc under test with `--target`, by the root's own loader.
    ///
    /// # Errors
    /// When btc can't be built.
    pub fn btc(&self) -> Result<Command> {
        let mut command = self.command("/lib64/ld-linux-x86-64.so.2")?;
        let btc = compile::btc()?.canonicalize()?;
        command
            .args(["--library-path", &format!("/{LIBRARIES}")])
            .arg(Path::new("/host").join(btc.strip_prefix("/")?))
            .args(["--target", TARGET]);
        Ok(command)
    }

    /// Compiles a case's script.
    ///
    /// # Errors
    /// With btc's own words when it refuses the script.
    pub fn compile(&self, case: &Case) -> Result<PathBuf> {
        self.ours()?;
        let directory = crate::work_directory().join("bin-arm64");
        fs::create_dir_all(&directory)?;
        let executable = directory.join(case.name.replace('/', "-"));
        compile::compile_with(self.btc()?, case, &executable)?;
        Ok(executable)
    }

    /// The programs of a guest.
    ///
    /// # Errors
    /// When the load can't be compiled, or the packages have another shape.
    pub fn programs(&self) -> Result<Programs> {
        let ours = self.ours()?;
        let guest = self.root.join("guest");
        let packed = files(&guest)?;
        let find = |path: &str| -> Result<PathBuf> {
            let name = Path::new(path).file_name();
            let found = packed.iter().find(|file| file.file_name() == name);
            let found = found.with_context(|| format!("Debian's packages have no {path}"))?;
            Ok(found.clone())
        };
        let bash = BASH
            .iter()
            .map(|path| Ok(((*path).to_string(), find(path)?)));
        Ok(Programs {
            busybox: find("bin/busybox")?,
            bash: bash.collect::<Result<_>>()?,
            ours,
        })
    }

    /// The programs that scripts trace, compiled once: their places in guests, and the files.
    fn ours(&self) -> Result<Vec<(&'static str, PathBuf)>> {
        static OURS: OnceLock<Result<Vec<(&str, PathBuf)>, String>> = OnceLock::new();
        let ours = OURS.get_or_init(|| self.compile_ours().map_err(|e| format!("{e:#}")));
        ours.clone().map_err(anyhow::Error::msg)
    }

    /// They lie in their places in the root too: btc reads their debug information.
    fn compile_ours(&self) -> Result<Vec<(&'static str, PathBuf)>> {
        let directory = crate::work_directory().join("programs-arm64");
        let compile = |(name, place): compile::Program| {
            let mut rustc = self.command("rustc")?;
            rustc.args(["--target", TARGET, "-C", "linker=aarch64-linux-gnu-gcc"]);
            let program = compile::program_with(rustc, &directory, name)?;
            fs::copy(&program, self.root.join(place.trim_start_matches('/')))?;
            Ok((place, program))
        };
        compile::PROGRAMS.into_iter().map(compile).collect()
    }
}

fn cargo_home() -> Result<PathBuf> {
    if let Some(home) = std::env::var_os("CARGO_HOME") {
        return Ok(home.into());
    }
    let home = std::env::var_os("HOME").context("no HOME")?;
    Ok(Path::new(&home).join(".cargo"))
}

/// The newest libclang that this machine's loader knows.
fn libclang() -> Option<PathBuf> {
    let known = Command::new("/sbin/ldconfig").arg("-p").output().ok()?;
    let text = String::from_utf8_lossy(&known.stdout).into_owned();
    let paths = text.lines().filter(|line| line.contains("libclang"));
    let mut found: Vec<&str> = paths
        .filter_map(|line| line.rsplit(" => ").next())
        .filter(|path| !path.contains("libclang-cpp"))
        .collect();
    found.sort_unstable();
    found.last().map(PathBuf::from)
}
