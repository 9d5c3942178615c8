//! The cargo workspace in the cache that every executable is built in: the runtime's sources as they travel inside btc,
//! and a `tool` crate that is rewritten for each script. One target directory serves all of them.

use std::fs;
use std::fs::File as Handle;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use include_dir::{Dir, include_dir};

use super::requirements::Linking;
use crate::arch::Arch;
use crate::skeleton::{self, File, Needs, Project};

static ABI: Dir = include_dir!("$CARGO_MANIFEST_DIR/../runtime-template/abi");
static RUNTIME: Dir = include_dir!("$CARGO_MANIFEST_DIR/../runtime-template/runtime");
const ROOT_MANIFEST: &str = include_str!("../../../Cargo.toml");
const LOCK: &str = include_str!("../../../Cargo.lock");

/// How executables are compiled: small, without unwinding, and quick to link. What is compiled anew for each script, a
/// manifest and a skeleton, isn't optimised: that saves a quarter of the script's wait and costs 15 KB.
const PROFILE: &str = "\
[profile.release]
opt-level = \"s\"
panic = \"abort\"
strip = true
debug = false
lto = \"off\"
codegen-units = 4
incremental = false

[profile.release.package.tool]
opt-level = 0
codegen-units = 1
# cargo forgets it in an override.
strip = true

[profile.release.build-override]
opt-level = 0
";

/// `BTC_CACHE_DIR`, else `btc` in the user's cache directory.
///
/// # Errors
/// When no variable says where that is.
pub fn cache_directory() -> Result<PathBuf> {
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|p| !p.as_os_str().is_empty())
    };
    if let Some(path) = absolute("BTC_CACHE_DIR") {
        return std::path::absolute(&path).with_context(|| path.display().to_string());
    }
    let base = absolute("XDG_CACHE_HOME")
        .filter(|p| p.is_absolute())
        .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
        .context(
            "no HOME and no XDG_CACHE_HOME: set BTC_CACHE_DIR to a directory for btc's cache",
        )?;
    Ok(base.join("btc"))
}

/// The cache, held alone: another btc waits until this value is dropped.
pub struct Workspace {
    pub cache: PathBuf,
    /// Where the runtime's sources and the `tool` crate are.
    pub root: PathBuf,
    _lock: Handle,
}

impl Workspace {
    /// Waits for the cache and unpacks the runtime where that has not been done.
    ///
    /// # Errors
    /// A cache directory that can't be written.
    pub fn open() -> Result<Workspace> {
        let cache = cache_directory()?;
        fs::create_dir_all(&cache).with_context(|| format!("can't create {}", cache.display()))?;
        let lock_path = cache.join("lock");
        let lock = Handle::create(&lock_path)
            .with_context(|| format!("can't write {}", lock_path.display()))?;
        lock.lock()
            .with_context(|| format!("can't lock {}", lock_path.display()))?;
        let files = runtime_files();
        let root = cache.join(format!("runtime-{}", super::hash::of_files(&files)));
        let workspace = Workspace {
            cache,
            root,
            _lock: lock,
        };
        if !workspace.is_unpacked() {
            workspace.write(&files)?;
            // The workspace names the crate: cargo can fetch before the first script is rendered.
            workspace.place(&skeleton::empty(&Needs::default())?)?;
            workspace.mark("unpacked")?;
        }
        Ok(workspace)
    }

    fn is_unpacked(&self) -> bool {
        self.root.join("unpacked").exists()
    }

    /// The file that tells cargo how executables for a target are compiled.
    #[must_use]
    pub fn configuration(&self, target: Arch) -> PathBuf {
        self.root.join(format!("{target}.toml"))
    }

    /// Whether cargo has fetched what a target's executables are made of, and its configuration is there.
    #[must_use]
    pub fn is_configured(&self, target: Arch) -> bool {
        self.configuration(target).exists()
    }

    /// Records that cargo has fetched the dependencies, and how to compile them. What was compiled in another way goes:
    /// the make of libbpf-sys looks at times alone.
    ///
    /// # Errors
    /// A cache that can't be written.
    pub fn configure(&self, target: Arch, linking: &Linking, cargo_home: &Path) -> Result<()> {
        let config = cargo_config(target, linking, cargo_home, &self.cache);
        let compiled = self.compiled(target);
        let compiled_with = compiled.join("btc-config.toml");
        if fs::read_to_string(&compiled_with).ok().as_ref() != Some(&config) {
            let _ = fs::remove_dir_all(&compiled);
            fs::create_dir_all(&compiled)
                .and_then(|()| fs::write(&compiled_with, &config))
                .with_context(|| format!("can't write {}", compiled_with.display()))?;
        }
        let path = self.configuration(target);
        fs::write(&path, config).with_context(|| format!("can't write {}", path.display()))
    }

    /// Whether the runtime has been compiled for a target.
    #[must_use]
    pub fn is_built(&self, target: Arch) -> bool {
        self.root.join(built(target)).exists()
    }

    /// # Errors
    /// A cache that can't be written.
    pub fn mark_built(&self, target: Arch) -> Result<()> {
        self.mark(&built(target))
    }

    /// Where cargo builds, for every version of the runtime.
    #[must_use]
    pub fn target_directory(&self) -> PathBuf {
        self.cache.join("target")
    }

    /// Where cargo puts what it compiles for a target.
    #[must_use]
    pub fn compiled(&self, target: Arch) -> PathBuf {
        self.target_directory().join(target.triple())
    }

    /// Makes sure that cargo takes nothing for ours that another version of btc compiled: it knows a local package by its
    /// place in the workspace, and trusts it as long as its files are older than what was made of them.
    ///
    /// # Errors
    /// A cache that can't be written.
    pub fn claim_target(&self) -> Result<()> {
        let target = self.target_directory();
        let owner = target.join("btc-runtime");
        let name = self.root.as_os_str().as_encoded_bytes();
        if fs::read(&owner).is_ok_and(|last| last == name) {
            return Ok(());
        }
        let now = std::time::SystemTime::now();
        touch(&self.root, now)
            .and_then(|()| fs::create_dir_all(&target))
            .and_then(|()| fs::write(&owner, name))
            .with_context(|| format!("can't write {}", owner.display()))
    }

    fn mark(&self, name: &str) -> Result<()> {
        let path = self.root.join(name);
        fs::write(&path, "").with_context(|| format!("can't write {}", path.display()))
    }

    /// Puts a rendered project where cargo builds it.
    ///
    /// # Errors
    /// A cache that can't be written.
    pub fn place(&self, project: &Project) -> Result<()> {
        let files: Vec<File> = project
            .files
            .iter()
            .map(|file| File::new(format!("tool/{}", file.path), &file.contents[..]))
            .collect();
        self.write(&files)
    }

    fn write(&self, files: &[File]) -> Result<()> {
        write_files(&self.root, files)
    }

    /// A directory of one's own for generators that work with files; it is emptied first.
    ///
    /// # Errors
    /// A cache that can't be written.
    pub fn scratch(&self) -> Result<PathBuf> {
        let path = self.cache.join("scratch");
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).with_context(|| format!("can't create {}", path.display()))?;
        Ok(path)
    }
}

/// Gives all files below a directory the same time.
fn touch(directory: &Path, time: std::time::SystemTime) -> std::io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            touch(&path, time)?;
        } else {
            Handle::options()
                .append(true)
                .open(&path)?
                .set_modified(time)?;
        }
    }
    Ok(())
}

/// Writes files below a directory; a file that is there with the same bytes keeps its time, so that cargo trusts it.
///
/// # Errors
/// The first file that can't be written.
pub fn write_files(root: &Path, files: &[File]) -> Result<()> {
    for file in files {
        let path = root.join(&file.path);
        if fs::read(&path).is_ok_and(|old| old == file.contents) {
            continue;
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)
                .with_context(|| format!("can't create {}", parent.display()))?;
        }
        fs::write(&path, &file.contents)
            .with_context(|| format!("can't write {}", path.display()))?;
    }
    Ok(())
}

/// All that the workspace holds beside the `tool` crate.
#[must_use]
pub fn runtime_files() -> Vec<File> {
    let mut files = vec![
        File::new("Cargo.toml", workspace_manifest(ROOT_MANIFEST)),
        File::new("Cargo.lock", LOCK),
    ];
    collect(&ABI, "abi", &mut files);
    collect(&RUNTIME, "runtime", &mut files);
    files
}

fn collect(directory: &Dir, under: &str, files: &mut Vec<File>) {
    for file in directory.files() {
        let path = format!("{under}/{}", file.path().display());
        files.push(File::new(path, file.contents()));
    }
    for inner in directory.dirs() {
        collect(inner, under, files);
    }
}

/// btc's own workspace manifest with the members of a produced executable and its profile: one list of versions for both.
fn workspace_manifest(own: &str) -> String {
    let mut text = String::from("# Made by btc.\n");
    for line in own.lines() {
        if line.starts_with("[profile.") {
            break;
        }
        if line.starts_with("members = ") {
            text.push_str("members = [\"abi\", \"runtime\", \"tool\"]\n");
        } else if !line.starts_with("default-members = ") && !line.starts_with("btc = ") {
            text.push_str(&line.replace("runtime-template/", ""));
            text.push('\n');
        }
    }
    text + PROFILE
}

fn built(target: Arch) -> String {
    format!("built-{target}")
}

/// Static linking, what links, where the C libraries are, and no path of this machine in what comes out.
#[must_use]
pub fn cargo_config(target: Arch, linking: &Linking, cargo_home: &Path, cache: &Path) -> String {
    let registry = cargo_home.join("registry/src");
    let mut renamed: Vec<(PathBuf, &str)> = vec![
        (cargo_home.to_path_buf(), "cargo"),
        (registry.clone(), "crates"),
    ];
    let mut sources: Vec<_> = fs::read_dir(&registry)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    sources.sort();
    renamed.extend(sources.into_iter().map(|path| (path, "crates")));
    renamed.push((cache.to_path_buf(), "btc"));
    let mut flags = vec![
        "-Ctarget-feature=+crt-static".to_string(),
        // A tenth smaller than a static executable that can be moved; nothing unwinds.
        "-Crelocation-model=static".to_string(),
        "-Cforce-unwind-tables=no".to_string(),
        // From the workspace's root: the directory in the cache is named by content, and the tool's bytes must not depend on it.
        "-Clink-arg=-Wl,--no-eh-frame-hdr,-T,runtime/no-unwind.ld".to_string(),
        // The runtime's `unused.rs` comes before the C libraries.
        "-Clink-arg=-Wl,-z,muldefs".to_string(),
        "-Clink-arg=-Wl,--build-id=none".to_string(),
    ];
    flags.extend(linking.link_args.iter().cloned());
    let mut c_flags = String::from(
        "-Os -ffunction-sections -fdata-sections -fno-asynchronous-unwind-tables -fno-record-gcc-switches",
    );
    for (from, to) in &renamed {
        flags.push(format!("--remap-path-prefix={}={to}", from.display()));
        c_flags.push_str(&format!(" -ffile-prefix-map={}={to}", from.display()));
    }
    let quoted: Vec<String> = flags.iter().map(|flag| format!("{flag:?}")).collect();
    let compiler = &linking.compiler;
    format!(
        "[target.{target}]\nlinker = {compiler:?}\nrustflags = [{}]\n\n[env]\nCC_{} = {compiler:?}\n\
         LIBBPF_SYS_LIBRARY_PATH = {:?}\nLIBBPF_SYS_EXTRA_CFLAGS = {c_flags:?}\n",
        quoted.join(", "),
        target.triple().replace('-', "_"),
        linking.directory.display().to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_version_compiled_is_not_trusted() {
        let cache = std::env::temp_dir().join(format!("btc-claim-{}", std::process::id()));
        let past = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
        let workspace = |name: &str| {
            let root = cache.join(name);
            write_files(&root, &[File::new("abi/src/lib.rs", "x")]).unwrap();
            touch(&root, past).unwrap();
            Workspace {
                cache: cache.clone(),
                root,
                _lock: Handle::create(cache.join("lock")).unwrap(),
            }
        };
        let age = |workspace: &Workspace| {
            let path = workspace.root.join("abi/src/lib.rs");
            fs::metadata(path).unwrap().modified().unwrap()
        };
        let (one, two) = (workspace("runtime-1"), workspace("runtime-2"));
        one.claim_target().unwrap();
        assert!(age(&one) > past);
        touch(&one.root, past).unwrap();
        one.claim_target().unwrap();
        assert_eq!(age(&one), past);
        two.claim_target().unwrap();
        one.claim_target().unwrap();
        assert!(age(&one) > past);
        fs::remove_dir_all(&cache).unwrap();
    }

    #[test]
    fn the_workspace_of_executables_has_its_own_members_and_btcs_versions() {
        let text = workspace_manifest(ROOT_MANIFEST);
        assert!(text.contains("members = [\"abi\", \"runtime\", \"tool\"]"));
        assert!(text.contains("btc-abi = { path = \"abi\" }"));
        assert!(text.contains("btc-runtime = { path = \"runtime\" }"));
        assert!(text.contains("libbpf-rs = "));
        assert!(!text.contains("compiler"));
        assert_eq!(text.matches("[profile.release]").count(), 1);
    }
}
