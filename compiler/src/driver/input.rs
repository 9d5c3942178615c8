//! Files, standard input or a word of the command line → a script and what its executable is called.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::host::files::decoded;
use crate::source::Source;

/// One script to compile.
#[derive(Clone, Debug)]
pub struct Script {
    /// The tool's name: the file's stem; without a file that of the executable, or `btc`.
    pub name: String,
    pub source: Source,
    /// Whether there is a file that an executable can be named after.
    pub is_file: bool,
}

impl Script {
    /// A program without a file is called as its executable is.
    #[must_use]
    pub fn named_after(&self, executable: &Path) -> Self {
        let mut script = self.clone();
        if let (false, Some(name)) = (self.is_file, executable.file_name()) {
            script.name = name.to_string_lossy().into_owned();
        }
        script
    }
}

/// The scripts of a command line, each read or refused by itself.
pub fn scripts(paths: &[PathBuf], program: Option<&str>) -> Vec<Result<Script>> {
    match program {
        Some(program) => {
            let text = text("program", program.as_bytes().to_vec());
            vec![text.map(|text| unnamed("program", text))]
        }
        None => paths.iter().map(|path| read(path)).collect(),
    }
}

fn unnamed(source: &str, text: String) -> Script {
    Script {
        name: "btc".into(),
        source: Source::new(source, text),
        is_file: false,
    }
}

fn read(path: &Path) -> Result<Script> {
    let mut bytes = vec![];
    if path == Path::new("-") {
        std::io::stdin()
            .read_to_end(&mut bytes)
            .context("can't read standard input")?;
        return Ok(unnamed("stdin", text("standard input", bytes)?));
    }
    let name = path.display().to_string();
    if path.is_dir() {
        bail!("{name} is a directory");
    }
    bytes = std::fs::read(path).with_context(|| format!("can't read {name}"))?;
    Ok(Script {
        name: self::name(path),
        source: Source::file(path, text(&name, bytes)?),
        is_file: true,
    })
}

/// What the tool of a script is called.
pub fn name(path: &Path) -> String {
    let stem = path.file_stem();
    stem.map_or("btc".into(), |s| s.to_string_lossy().into_owned())
}

fn text(name: &str, bytes: Vec<u8>) -> Result<String> {
    decoded(bytes).map_err(|why| anyhow::anyhow!("{name} is {why}"))
}
