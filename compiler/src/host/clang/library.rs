//! libclang is opened at run time, once, and only for a script that has a C preamble.

use std::sync::{Arc, OnceLock};

use clang_sys::SharedLibrary;

const MISSING: &str = "install libclang1-22 (Debian) or clang22-libs (Fedora), or name its directory in LIBCLANG_PATH";

/// The newest libclang of `LIBCLANG_PATH` or of the usual places.
///
/// # Errors
/// There is none, or it is too old.
pub(super) fn library() -> Result<Arc<SharedLibrary>, String> {
    static LIBRARY: OnceLock<Result<Arc<SharedLibrary>, String>> = OnceLock::new();
    LIBRARY.get_or_init(open).clone()
}

fn open() -> Result<Arc<SharedLibrary>, String> {
    // clang-sys panics on paths that are not UTF-8.
    let found = std::panic::catch_unwind(clang_sys::load_manually)
        .map_err(|_| format!("the search for it failed: {MISSING}"))?;
    let library = found.map_err(|_| match std::env::var("LIBCLANG_PATH") {
        Ok(path) => format!("LIBCLANG_PATH={path} has none that can be opened: {MISSING}"),
        Err(_) => MISSING.to_owned(),
    })?;
    // All functions that this module calls are older.
    if library.version() < Some(clang_sys::Version::V9_0) {
        let path = library.path().display();
        return Err(format!("{path} is older than version 9: {MISSING}"));
    }
    Ok(Arc::new(library))
}
