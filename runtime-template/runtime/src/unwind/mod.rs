//! Unwind tables of the target's binaries → rows in maps, by which programs walk user stacks (`dw_ustack`). The
//! implementation is behind the features `symbolize` and `dwarf`: other executables link none of it.

#[cfg(all(feature = "symbolize", feature = "dwarf"))]
mod eh_frame;
#[cfg(all(feature = "symbolize", feature = "dwarf"))]
mod tables;

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use btc_abi::Manifest;
use btc_abi::unwind::TABLE_SIZE;
use libbpf_rs::Object;

use crate::Error;

#[cfg(all(feature = "symbolize", feature = "dwarf"))]
pub use self::tables::EhFrame;

/// Opens what fills the maps; what a [`crate::Tracer`] names.
pub trait Unwinder: Sync {
    /// One for a run.
    ///
    /// # Errors
    /// The object lacks the maps.
    fn open<'o>(
        &self,
        manifest: &Manifest,
        object: &'o Object,
    ) -> Result<Box<dyn Rows + 'o>, Error>;
}

/// The rows of processes.
pub trait Rows {
    /// Has the rows of all code that a process maps now in the maps. One that is gone is forgotten.
    fn load(&mut self, process: u32);
    /// Notes what a process and its children map from here on. The descriptor is readable when there is something:
    /// [`Rows::catch_up`] loads it. `None`: the kernel can't tell; programs ask.
    fn follow(&mut self, process: u32) -> Option<RawFd>;
    /// Loads the rows of what followed processes have mapped.
    fn catch_up(&mut self);
    /// Why rows are missing, told once.
    fn trouble(&mut self) -> Option<String>;
}

/// An array of one table, such as the map of tables holds.
pub fn inner_map() -> Result<OwnedFd, Error> {
    let options = libbpf_sys::bpf_map_create_opts {
        sz: size_of::<libbpf_sys::bpf_map_create_opts>() as _,
        ..Default::default()
    };
    // SAFETY: a NUL-terminated name, and options that say their own size.
    let fd = unsafe {
        libbpf_sys::bpf_map_create(
            libbpf_sys::BPF_MAP_TYPE_ARRAY,
            c"btc_rows".as_ptr(),
            4,
            TABLE_SIZE,
            1,
            &options,
        )
    };
    if fd < 0 {
        let source = std::io::Error::from_raw_os_error(-fd);
        return Err(Error::with_source("make a map of unwind rows", source));
    }
    // SAFETY: the call succeeded, so the descriptor is open and ours alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
