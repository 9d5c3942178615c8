//! Headers that btc serves to a script's C files where no other is found: libbpf's own (`<bpf/bpf_helpers.h>` and its
//! neighbours), and the kernel's types as `vmlinux.h`.

use std::ffi::{c_char, c_void};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// The name by which C files include the kernel's types.
pub const KERNEL_TYPES: &str = "vmlinux.h";

/// A directory of headers, for as long as clang runs.
pub struct Served {
    directory: PathBuf,
}

impl Served {
    /// Writes libbpf's headers into a directory of their own.
    ///
    /// # Errors
    /// The directory for temporary files can't be written.
    pub fn new() -> io::Result<Served> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("btc-headers-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir(&directory)?;
        let served = Served { directory };
        let library = served.directory.join("bpf");
        std::fs::create_dir(&library)?;
        for (name, text) in libbpf_sys::API_HEADERS {
            std::fs::write(library.join(name), text)?;
        }
        Ok(served)
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Writes `vmlinux.h`. Accesses to its structs are relocations, so it is right for other kernels than that of
    /// `btf`, the kernel's types as BTF.
    ///
    /// # Errors
    /// BTF that libbpf can't read, or the file can't be written.
    pub fn add_kernel_types(&self, btf: &[u8]) -> Result<(), String> {
        let text = kernel_types(btf)?;
        let path = self.directory.join(KERNEL_TYPES);
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // What is left of it is a temporary file.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// All types as C.
fn kernel_types(btf: &[u8]) -> Result<Vec<u8>, String> {
    const BEFORE: &[u8] = b"#ifndef __VMLINUX_H__\n#define __VMLINUX_H__\n\
        #ifndef BPF_NO_PRESERVE_ACCESS_INDEX\n\
        #pragma clang attribute push (__attribute__((preserve_access_index)), apply_to = record)\n#endif\n";
    const AFTER: &[u8] =
        b"#ifndef BPF_NO_PRESERVE_ACCESS_INDEX\n#pragma clang attribute pop\n#endif\n#endif\n";
    let mut text = BEFORE.to_vec();
    // SAFETY: libbpf copies the bytes; its objects are freed below, and it calls `print` with `text` while they live.
    unsafe {
        let read = libbpf_sys::btf__new(btf.as_ptr().cast::<c_void>(), btf.len() as u32);
        if read.is_null() {
            return Err(last_error("the kernel's BTF can't be read"));
        }
        let dump = libbpf_sys::btf_dump__new(
            read,
            Some(print),
            (&raw mut text).cast::<c_void>(),
            std::ptr::null(),
        );
        let mut result = Ok(());
        if dump.is_null() {
            result = Err(last_error("the kernel's types can't be printed"));
        } else {
            let count = libbpf_sys::btf__type_cnt(read);
            let failed = (1..count).find(|id| libbpf_sys::btf_dump__dump_type(dump, *id) != 0);
            if let Some(id) = failed {
                result = Err(last_error(&format!(
                    "type {id} of the kernel can't be printed"
                )));
            }
            libbpf_sys::btf_dump__free(dump);
        }
        libbpf_sys::btf__free(read);
        result?;
    }
    text.extend_from_slice(AFTER);
    Ok(text)
}

fn last_error(what: &str) -> String {
    format!("{what}: {}", io::Error::last_os_error())
}

/// Appends what libbpf prints to the text that `context` is.
unsafe extern "C" fn print(
    context: *mut c_void,
    format: *const c_char,
    arguments: *mut libbpf_sys::__va_list_tag,
) {
    // SAFETY: `btf_dump__new` got the text as its context; format and arguments are libbpf's.
    unsafe {
        let text = &mut *context.cast::<Vec<u8>>();
        text.extend(vsprintf::vsprintf_raw(format, arguments).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_btf_is_an_error() {
        assert!(kernel_types(b"no types").is_err());
    }

    #[test]
    fn headers_are_gone_with_their_owner() {
        let served = Served::new().unwrap();
        let directory = served.directory().to_owned();
        assert!(directory.join("bpf/bpf_helpers.h").exists());
        drop(served);
        assert!(!directory.exists());
    }
}
