//! A manifest and a BPF object → the small Rust crate that becomes the executable.
//!
//! Text of the user enters the crate only in `manifest.rs`, as Rust literals that [`btc_abi::ToConst`] prints.

mod needs;
mod pretty;

use anyhow::Result;
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
    packets: &'static str,
    unwinder: &'static str,
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

/// Makes the crate; `generated` is what libbpf-cargo made of the object.
///
/// # Errors
/// A template that can't be rendered.
pub fn render(manifest: &Manifest, object: &[u8], generated: &str) -> Result<Project> {
    let needs = Needs::of(manifest);
    let mut literal = String::new();
    manifest.to_const(&mut literal);
    let cargo = CargoToml {
        features: needs.features(),
    };
    let main = MainRs {
        providers: &needs.providers,
        symbolizer: needs.symbolizer(),
        packets: needs.packets(),
        unwinder: needs.unwinder(),
    };
    let constant = ManifestRs {
        manifest: pretty::break_lines(&literal),
    };
    Ok(Project {
        files: vec![
            File::new("Cargo.toml", cargo.render()?),
            File::new("src/main.rs", main.render()?),
            File::new("src/manifest.rs", constant.render()?),
            File::new("src/skel.rs", relative_object(generated)),
            File::new("src/tool.bpf.o", object),
        ],
    })
}

/// Names the object relative to the source file, not by the generator's absolute path.
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
