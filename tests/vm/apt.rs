//! Debian packages that are unpacked and never installed: an apt of our own, with its own sources, lists and cache. Where
//! the mirror is comes from the system's apt.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// Suites that the kernels of the matrix and arm64's busybox come from, and the archive that has them.
const SUITES: [(&str, Archive); 4] = [
    ("bullseye-security", Archive::Security),
    ("bookworm", Archive::Main),
    ("bookworm-security", Archive::Security),
    ("trixie-backports", Archive::Main),
];

/// Lists are fetched again after this time.
const FRESH: Duration = Duration::from_secs(12 * 3600);

const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Archive {
    Main,
    Security,
}

/// An apt with lists of its own.
pub struct Apt {
    configuration: PathBuf,
}

impl Apt {
    /// The apt below a directory, its lists fetched.
    ///
    /// # Errors
    /// When the system names no Debian mirror, or the mirror can't be reached and there are no lists yet.
    pub fn open(directory: &Path) -> Result<Apt> {
        for part in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(directory.join(part))?;
        }
        let configuration = directory.join("apt.conf");
        fs::write(directory.join("status"), "")?;
        fs::write(directory.join("sources.list"), sources()?)?;
        fs::write(&configuration, configured(directory))?;
        let apt = Apt { configuration };
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
        let found = crate::case::files(&archives)?;
        if found.len() != packages.len() {
            bail!(
                "apt-get download {packages:?} left {} packages",
                found.len()
            );
        }
        for archive in found {
            output(Command::new("dpkg-deb").arg("-x").arg(archive).arg(into))?;
        }
        fs::remove_dir_all(&archives)?;
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

/// The repositories that the system's own apt uses: those of Debian itself are known by the ends of their addresses.
fn sources() -> Result<String> {
    let known = output(Command::new("apt-get").args(["indextargets", "--format", "$(REPO_URI)"]))?;
    let find = |end: &str| {
        known
            .lines()
            .map(|uri| uri.trim_end_matches('/'))
            .find(|uri| uri.ends_with(end))
            .with_context(|| format!("the system's apt has no repository …{end}"))
    };
    let mut text = String::new();
    for (suite, archive) in SUITES {
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
