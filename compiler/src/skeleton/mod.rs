//! A manifest and a BPF object → the small Rust crate that becomes the executable.
//!
//! Text of the user enters the crate only in `manifest.rs`, as Rust literals that [`btc_abi::ToConst`] prints.

mod needs;
mod pretty;

use std::path::Path;

use anyhow::{Context, Result};
use askama::Template;
use btc_abi::{Manifest, ToConst};

pub use needs::Needs;
pub use pretty::break_lines;

/// A file of a project; the path is relative to the project's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub path: String,
    pub contents: Vec<u8>,
}

impl File {
    pub fn new(path: impl Into<String>, contents: impl Into<Vec<u8>>) -> Self {
        File {
            path: path.into(),
            contents: contents.into(),
        }
    }
}

/// The crate of one tool, to be a member of a workspace that holds `btc-abi` and `btc-runtime` as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    pub files: Vec<File>,
}

#[derive(Template)]
#[template(path = "Cargo.toml.txt", escape = "none")]
struct CargoToml<'a> {
    features: &'a [&'static str],
}

#[derive(Template)]
#[template(path = "main.rs.txt", escape = "none")]
struct MainRs<'a> {
    providers: &'a [&'static str],
    symbolizer: &'static str,
}

#[derive(Template)]
#[template(path = "manifest.rs.txt", escape = "none")]
struct ManifestRs {
    manifest: String,
}

/// A crate with the dependencies of a tool and nothing in it, so that cargo can fetch and compile them ahead.
///
/// # Errors
/// A template that can't be rendered.
pub fn empty(needs: &Needs) -> Result<Project> {
    let cargo = CargoToml {
        features: needs.features(),
    };
    Ok(Project {
        files: vec![
            File::new("Cargo.toml", cargo.render()?),
            File::new("src/main.rs", "fn main() {}\n"),
        ],
    })
}

/// Makes the crate; `scratch` is an existing directory where libbpf-cargo's generator may work.
///
/// # Errors
/// An object that libbpf can't read, or a scratch directory that can't be written.
pub fn render(manifest: &Manifest, object: &[u8], scratch: &Path) -> Result<Project> {
    let needs = Needs::of(manifest);
    let mut literal = String::new();
    manifest.to_const(&mut literal);
    let cargo = CargoToml {
        features: needs.features(),
    };
    let main = MainRs {
        providers: &needs.providers,
        symbolizer: needs.symbolizer(),
    };
    let constant = ManifestRs {
        manifest: pretty::break_lines(&literal),
    };
    Ok(Project {
        files: vec![
            File::new("Cargo.toml", cargo.render()?),
            File::new("src/main.rs", main.render()?),
            File::new("src/manifest.rs", constant.render()?),
            File::new("src/skel.rs", skeleton_source(object, scratch)?),
            File::new("src/tool.bpf.o", object),
        ],
    })
}

/// libbpf-cargo's skeleton of the object, which it names relative to the source file.
fn skeleton_source(object: &[u8], scratch: &Path) -> Result<String> {
    let object_path = scratch.join("tool.bpf.o");
    let output = scratch.join("skel.rs");
    std::fs::write(&object_path, object).with_context(|| object_path.display().to_string())?;
    libbpf_cargo::SkeletonBuilder::new()
        .obj(&object_path)
        .reference_obj(true)
        // A path that can't exist: the generator then leaves its text as it is, whether there is a rustfmt or not.
        .rustfmt(scratch.join("no/rustfmt"))
        .generate(&output)
        .context("libbpf can't read the object")?;
    let text = std::fs::read_to_string(&output).with_context(|| output.display().to_string())?;
    Ok(relative_object(&text))
}

/// Replaces the absolute path in `include_bytes!`.
fn relative_object(skeleton: &str) -> String {
    const OPEN: &str = "include_bytes!(\"";
    let Some(start) = skeleton.find(OPEN).map(|at| at + OPEN.len()) else {
        return skeleton.to_string();
    };
    let Some(end) = skeleton[start..].find("\")").map(|at| start + at) else {
        return skeleton.to_string();
    };
    format!("{}tool.bpf.o{}", &skeleton[..start], &skeleton[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_is_named_beside_its_skeleton() {
        let text = "a; static DATA: [u8; 3] = *include_bytes!(\"/cache/x/tool.bpf.o\"); }";
        assert_eq!(
            relative_object(text),
            "a; static DATA: [u8; 3] = *include_bytes!(\"tool.bpf.o\"); }"
        );
    }
}
