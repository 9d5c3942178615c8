//! The `btc` command: options in, exit status out. 0: done; 1: diagnostics or errors; 2: wrong usage.

use std::process::ExitCode;

use btc::options::Options;
use clap::Parser;

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        eprintln!(
            "btc: bug: {panic}\nThis is btc's fault, not the script's. Please report it with the script, at {}/issues",
            env!("CARGO_PKG_REPOSITORY")
        );
        std::process::exit(1);
    }));
    btc::driver::main(Options::parse())
}
