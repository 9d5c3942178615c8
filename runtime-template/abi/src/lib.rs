//! t
#![no_std]
extern crate alloc;
use alloc::borrow::Cow;
#[derive(Clone, Debug, PartialEq)]
pub enum A { X(Cow<'static,[A]>), Y(Cow<'static, str>) }
pub const M: A = A::X(Cow::Borrowed(&[A::Y(Cow::Borrowed("a"))]));
pub static M2: A = A::X(Cow::Borrowed(&[A::Y(Cow::Borrowed("a"))]));
