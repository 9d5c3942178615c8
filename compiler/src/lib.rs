//! btc: an ahead-of-time compiler for the bpftrace language.
//!
//! The whole pipeline, each stage a function from one type to the next:
//! `syntax::parse` → `sema::analyze` → `layout::plan` → `codegen::emit` → `skeleton::render` → `driver`.

pub mod builtin;
pub mod diagnostic;
pub mod driver;
pub mod host;
pub mod ir;
pub mod skeleton;
pub mod provider;
pub mod sema;
pub mod source;
pub mod syntax;
