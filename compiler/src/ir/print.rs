//! The typed tree as text, for `--emit ir` and golden tests.
