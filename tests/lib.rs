//! What the test binaries share: cases and their directives, compiling scripts, running executables here or in a
//! guest, and the known load that numbers are checked against.

pub mod btf;
pub mod case;
pub mod check;
pub mod compile;
pub mod golden;
pub mod json;
pub mod launch;
pub mod random;
pub mod vm;

use std::path::{Path, PathBuf};

/// The checkout's root.
#[must_use]
pub fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_path_buf()
}

/// Where the tests build: under the target directory, so that `cargo clean` removes it.
#[must_use]
pub fn work_directory() -> PathBuf {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    target.join("btc-tests")
}

/// In CI nothing may be skipped.
#[must_use]
pub fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|v| v == "true" || v == "1")
}
