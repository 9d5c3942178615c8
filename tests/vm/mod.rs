//! Guests: Debian's kernels in qemu, each running a batch of cases.

pub mod apt;
pub mod cross;
pub mod facts;
pub mod guest;
pub mod initramfs;
pub mod kernels;
pub mod matrix;
pub mod table;
pub mod types;
