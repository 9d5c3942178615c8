//! btc-abi: what the compiler, the BPF code and the runtime of an executable agree on.
//!
//! The compiler fills a [`Manifest`]; code generation stores by its offsets; the generated crate holds it as a
//! constant; the runtime decodes by it. Nothing here depends on the build machine. All integers in records, keys
//! and values are in the target's byte order (little-endian: triple `bpfel`).
#![no_std]

extern crate alloc;

#[macro_use]
mod describe;

pub mod config;
pub mod environment;
pub mod format;
pub mod manifest;
pub mod map;
pub mod number;
pub mod parameter;
pub mod pattern;
pub mod period;
pub mod probe;
pub mod record;
pub mod registers;
pub mod unwind;
pub mod usdt;
pub mod user;
pub mod value;

pub use config::{Config, MissingProbes, StackMode, SymbolCache};
#[cfg(feature = "render")]
pub use describe::ToConst;
pub use describe::{List, Text};
pub use environment::Environment;
pub use format::{Conversion, Flags, Format, Part, Width};
pub use manifest::{Enum, Manifest};
pub use map::{Counter, Map, MapKind, MapRole};
pub use number::{Check, Number, Rule, Term};
pub use parameter::{Name, Parameter, ParameterType, Slot, TargetValue};
pub use probe::{
    Attach, ContextRelocation, DataLocation, Feature, FloorProgram, PerfPeriod, Probe,
};
pub use record::{Record, RecordHeader, RecordKind};
pub use user::{Layout, Signature, UserPlace};
pub use value::{Clock, Field, Keeps, Series, StackKind, Value};
