//! Probe types of the language that can't be compiled yet.

use super::Provider;
use crate::diagnostic::{Diagnostic, Unsupported};

macro_rules! unsupported {
    ($($row:ident = $name:literal, $aliases:expr, $what:ident;)*) => { $(
        pub(super) const $row: Provider = Provider {
            name: $name,
            aliases: $aliases,
            resolve: |point, _| {
                Err(vec![Diagnostic::not_supported_yet(point.span, Unsupported::$what)])
            },
        };
    )* };
}

unsupported! {
    ASYNCWATCHPOINT = "asyncwatchpoint", &["aw"], AsyncWatchpoint;
}
