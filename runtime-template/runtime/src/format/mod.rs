//! Decoded values → text.

pub mod controls;
pub mod histogram;
pub mod printf;
pub mod time;
pub mod timeline;
pub mod value;
