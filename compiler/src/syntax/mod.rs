//! Source text in, the untyped tree out.

pub mod ast;
