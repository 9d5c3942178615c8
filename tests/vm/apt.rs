//! Debian packages that are unpacked and never installed: an apt of our own, with its own sources, lists and cache. Where
//! the mirror is comes from the system's apt.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// A suite and the archive that has it.
pub type Suite = (&'static str, Archive);

/// Where the kernels of the matrix come from.
pub const KERNELS: &[Suite] = &[
    ("bullseye-security", Archive::Security),
    ("bookworm", Archive::Main),
    ("bookworm-security", Archive::Security),
    ("trixie-backports", Archive::Main),
];

/// Where a Rust that compiles for arm64 comes from: only there are a compiler and libraries of one version.
pub const SID: &[Suite] = &[("sid", Archive::Main)];

/// Lists are fetched again after this time.
const FRESH: Duration = Duration::from_secs(12 * 3600);

const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Debian's archives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Archive {
    Main,
    Security,
}

/// An apt with lists of its own; nobody else uses them until it is dropped.
pub struct Apt {
    configuration: PathBuf,
    _lock: fs::File,
}

impl Apt {
    /// The apt of some suites below a directory, its lists fetched.
    ///
    /// # Errors
    /// When the system names no Debian mirror, or the mirror can't be reached and there are no lists yet.
    pub fn open(directory: &Path, suites: &[Suite]) -> Result<Apt> {
        for part in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(directory.join(part))?;
        }
        let lock = fs::File::create(directory.join("lock"))?;
        lock.lock()?;
        let configuration = directory.join("apt.conf");
        fs::write(directory.join("status"), "")?;
        fs::write(directory.join("sources.list"), sources(suites)?)?;
        fs::write(&configuration, configured(directory))?;
        let apt = Apt {
            configuration,
            _lock: lock,
        };
        let fetched = directory.join("fetched");
        let age = fs::metadata(&fetched).and_then(|m| m.modified());
        let fresh = age.is_ok_and(|at| at.elapsed().is_ok_and(|age| age < FRESH));
        if !fresh {
            match apt.output("apt-get", &["update", "-q"]) {
                Ok(_) => fs::write(&fetched, "")?,
                // Old lists are better than none.
                Err(_) if fetched.exists() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(apt)
    }

    /// Names of packages that match a regular expression; `:arm64` follows those of the other architecture.
    ///
    /// # Errors
    /// When apt fails.
    pub fn names(&self, pattern: &str) -> Result<Vec<String>> {
        let text = self.output("apt-cache", &["search", "--names-only", pattern])?;
        let names = text.lines().filter_map(|l| l.split_whitespace().next());
        Ok(names.map(String::from).collect())
    }

    /// Downloads packages (`name` or `name:arch`) and unpacks all into one directory.
    ///
    /// # Errors
    /// When a package can't be had.
    pub fn unpack(&self, packages: &[String], into: &Path) -> Result<()> {
        let archives = into.with_extension("debs");
        fs::create_dir_all(&archives)?;
        for package in packages {
            let mut download = self.command("apt-get");
            download
                .args(["download", "-q", package])
                .current_dir(&archives);
            output(&mut download)?;
        }
        let found = packages_in(&archives)?;
        if found.len() != packages.len() {
            bail!(
                "apt-get download {packages:?} left {} packages",
                found.len()
            );
        }
        extract(&found, into)?;
        fs::remove_dir_all(&archives)?;
        Ok(())
    }

    /// As [`Apt::unpack`], with all that the packages depend on, as if nothing were installed.
    ///
    /// # Errors
    /// When a package can't be had, or packages exclude each other.
    pub fn unpack_whole(&self, packages: &[&str], into: &Path) -> Result<()> {
        let mut words = vec!["install", "-q", "-y", "--download-only"];
        words.push("--no-install-recommends");
        words.extend(packages);
        self.output("apt-get", &words)?;
        let archives = self.configuration.with_file_name("cache/archives");
        let found = packages_in(&archives)?;
        extract(&found, into)?;
        for archive in found {
            fs::remove_file(archive)?;
        }
        Ok(())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("APT_CONFIG", &self.configuration);
        command
    }

    fn output(&self, program: &str, words: &[&str]) -> Result<String> {
        output(self.command(program).args(words))
    }
}

fn packages_in(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = crate::case::files(directory)?;
    found.retain(|path| path.extension().is_some_and(|e| e == "deb"));
    Ok(found)
}

fn extract(archives: &[PathBuf], into: &Path) -> Result<()> {
    for archive in archives {
        output(Command::new("dpkg-deb").arg("-x").arg(archive).arg(into))?;
    }
    Ok(())
}

/// The repositories that the system's own apt uses: those of Debian itself are known by the ends of their addresses.
fn sources(suites: &[Suite]) -> Result<String> {
    let known = output(Command::new("apt-get").args(["indextargets", "--format", "$(REPO_URI)"]))?;
    let find = |end: &str| {
        known
            .lines()
            .map(|uri| uri.trim_end_matches('/'))
            .find(|uri| uri.ends_with(end))
            .with_context(|| format!("the system's apt has no repository …{end}"))
    };
    let mut text = String::new();
    for (suite, archive) in suites {
        let uri = find(match archive {
            Archive::Main => "/debian",
            Archive::Security => "/debian-security",
        })?;
        let _ = writeln!(text, "deb [signed-by={KEYS}] {uri} {suite} main");
    }
    Ok(text)
}

fn configured(directory: &Path) -> String {
    let directory = directory.display();
    format!(
        "Dir::Etc::SourceList \"{directory}/sources.list\";
Dir::Etc::SourceParts \"{directory}/none\";
Dir::State \"{directory}\";
Dir::State::Lists \"{directory}/lists\";
Dir::State::Status \"{directory}/status\";
Dir::Cache \"{directory}/cache\";
APT::Architecture \"amd64\";
APT::Architectures {{ \"amd64\"; \"arm64\"; }};
APT::Sandbox::User \"root\";
Acquire::Languages \"none\";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled \"false\";
// A mirror may be a snapshot.
Acquire::Check-Valid-Until \"false\";
Acquire::Retries \"3\";
"
    )
}

fn output(command: &mut Command) -> Result<String> {
    let run = command.output().with_context(|| format!("{command:?}"))?;
    if !run.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&run.stderr));
    }
    Ok(String::from_utf8_lossy(&run.stdout).into_owned())
}
