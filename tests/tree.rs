//! The tree itself: layers import one way, files say what they are for.

use std::path::Path;

use btc_tests::case::files;
use btc_tests::root;

/// Each module of the compiler and the modules that it must not name.
const LAYERS: &[(&str, &[&str])] = &[
    (
        "source",
        &[
            "syntax", "host", "provider", "builtin", "sema", "ir", "layout", "codegen", "skeleton",
            "driver",
        ],
    ),
    (
        "diagnostic",
        &[
            "syntax", "host", "provider", "builtin", "sema", "ir", "layout", "codegen", "skeleton",
            "driver",
        ],
    ),
    (
        "syntax",
        &[
            "host", "provider", "builtin", "sema", "ir", "layout", "codegen", "skeleton", "driver",
        ],
    ),
    (
        "host",
        &[
            "syntax", "provider", "builtin", "sema", "ir", "layout", "codegen", "skeleton",
            "driver",
        ],
    ),
    (
        "ir",
        &[
            "syntax", "host", "provider", "builtin", "sema", "layout", "codegen", "skeleton",
            "driver",
        ],
    ),
    (
        "import",
        &[
            "provider", "builtin", "ir", "layout", "codegen", "skeleton", "driver",
        ],
    ),
    ("portability", &["builtin", "skeleton", "driver"]),
    (
        "listing",
        &[
            "builtin", "sema", "ir", "layout", "codegen", "skeleton", "driver",
        ],
    ),
    ("provider", &["layout", "codegen", "skeleton", "driver"]),
    ("builtin", &["layout", "codegen", "skeleton", "driver"]),
    ("sema", &["layout", "codegen", "skeleton", "driver"]),
    (
        "layout",
        &[
            "syntax", "host", "provider", "builtin", "sema", "codegen", "skeleton", "driver",
        ],
    ),
    (
        "codegen",
        &[
            "syntax", "host", "provider", "builtin", "sema", "skeleton", "driver",
        ],
    ),
    (
        "skeleton",
        &[
            "syntax", "host", "provider", "builtin", "sema", "ir", "codegen", "driver",
        ],
    ),
];

fn sources(directory: &str) -> Vec<(String, String)> {
    files(&root().join(directory))
        .expect("a directory of the checkout")
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == "rs"))
        .map(|path| {
            let name = path
                .strip_prefix(root())
                .unwrap_or(&path)
                .display()
                .to_string();
            (name, std::fs::read_to_string(&path).expect("a source file"))
        })
        .collect()
}

fn module_of(name: &str) -> &str {
    let inside = name.strip_prefix("compiler/src/").unwrap_or(name);
    inside.split(['/', '.']).next().unwrap_or(inside)
}

#[test]
fn imports_point_one_way() {
    let mut wrong = vec![];
    for (name, text) in sources("compiler/src") {
        let Some((_, forbidden)) = LAYERS.iter().find(|(m, _)| *m == module_of(&name)) else {
            continue;
        };
        for other in *forbidden {
            if text.contains(&format!("crate::{other}::"))
                || text.contains(&format!("use crate::{other};"))
            {
                wrong.push(format!("{name} names {other}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn only_driver_and_host_touch_files() {
    let mut wrong = vec![];
    for (name, text) in sources("compiler/src") {
        let allowed = matches!(module_of(&name), "driver" | "host" | "main" | "options")
            || name.ends_with("/tests.rs");
        let code = text.split("#[cfg(test)]").next().unwrap_or("");
        if !allowed && (code.contains("std::fs") || code.contains("std::process::Command")) {
            wrong.push(name);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn only_codegen_names_inkwell() {
    let wrong: Vec<_> = sources("compiler/src")
        .into_iter()
        .filter(|(name, text)| module_of(name) != "codegen" && text.contains("use inkwell"))
        .map(|(name, _)| name)
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_file_says_what_it_is_for() {
    let wrong: Vec<_> = [
        "compiler/src",
        "runtime-template/abi/src",
        "runtime-template/runtime/src",
        "tests",
    ]
    .iter()
    .flat_map(|d| sources(d))
    .filter(|(_, text)| !text.starts_with("//!"))
    .map(|(name, _)| name)
    .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_top_level_is_the_design_card() {
    let allowed = [
        "Cargo.toml",
        "Cargo.lock",
        "compiler",
        "runtime-template",
        "tools",
        "examples",
        "tests",
        "docs",
        "README.md",
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "CHANGELOG.md",
        "Makefile",
        "target",
    ];
    for entry in std::fs::read_dir(root()).expect("the checkout") {
        let name = entry
            .expect("an entry")
            .file_name()
            .to_string_lossy()
            .into_owned();
        assert!(
            name.starts_with('.') || allowed.contains(&name.as_str()),
            "{name} is not on the design card"
        );
    }
    assert!(Path::new(&root().join("Cargo.lock")).exists());
}
