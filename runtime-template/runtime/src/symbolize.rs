//! Addresses → names (the implementation comes with `blazesym`, behind the feature `symbolize`).

/// Turns kernel and user addresses into names.
pub trait Symbolizer: Sync {}
