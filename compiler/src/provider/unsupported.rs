//! Probe types of the language that can't be compiled yet.

use super::Provider;
use crate::diagnostic::Diagnostic;

macro_rules! unsupported {
    ($($row:ident = $name:literal, $aliases:expr;)*) => { $(
        pub(super) const $row: Provider = Provider {
            name: $name,
            aliases: $aliases,
            resolve: |point, _| {
                Err(vec![Diagnostic::not_supported_yet(
                    point.span,
                    concat!("a `", $name, "` probe"),
                )])
            },
        };
    )* };
}

unsupported! {
    USDT = "usdt", &["U"];
    WATCHPOINT = "watchpoint", &["w"];
    ASYNCWATCHPOINT = "asyncwatchpoint", &["aw"];
    ITER = "iter", &["it"];
    SELF = "self", &[];
    TEST = "test", &[];
    BENCH = "bench", &[];
}
