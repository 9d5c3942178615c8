//! `make reference`: boots the kernel in a guest, asks it for its types and formats, and writes what btc carries with it
//! to compiler/reference.

use std::process::Command;

use anyhow::{Result, bail};
use btc::host::reference::{RELEASE, pack};
use btc_tests::vm::{facts, kernels::Series};

fn main() -> Result<()> {
    let facts = facts::facts(Series::named(RELEASE)?)?;
    let btf = std::fs::read(&facts.btf)?;
    let formats = std::fs::read_to_string(&facts.formats)?;
    let plain = btc_tests::work_directory().join("reference");
    std::fs::write(&plain, pack(&btf, &formats))?;
    let out = btc_tests::root().join(format!("compiler/reference/linux-{RELEASE}.btcref"));
    let zstd = Command::new("zstd")
        .args(["--ultra", "-22", "--force", "--quiet", "-o"])
        .args([&out, &plain])
        .status()?;
    if !zstd.success() {
        bail!("zstd failed");
    }
    println!(
        "{}: {} bytes, of Linux {}",
        out.display(),
        out.metadata()?.len(),
        facts.release
    );
    Ok(())
}
