//! tests/programs/*.c and *.cpp → the programs, libraries and files that the cases probe.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

/// One command a line; `$P` is where the sources are. What is broken is made from what is whole.
const STEPS: &str = r#"
gcc -g -O1 -o shapes $P/shapes.c
gcc -g -O0 -o shapes-plain $P/shapes.c
gcc -g -O1 -no-pie -o shapes-fixed $P/shapes.c
gcc -g -O1 -Wl,--build-id=0x0123456789abcdef -o shapes-rebuilt $P/shapes.c
gcc -O1 -Wl,--build-id=0x0123456789abcdef -o shapes-without $P/shapes.c
gcc -g -O1 -o values $P/values.c
gcc -O1 -o globals $P/globals.c
gcc -O1 -no-pie -o globals-fixed $P/globals.c
gcc -O1 -static-pie -o globals-static $P/globals.c
g++ -g -O1 -o shapes-cpp $P/shapes.cpp
strip -o shapes-stripped shapes
objcopy --only-keep-debug shapes-plain shapes-split.debug
strip -o shapes-split shapes-plain
objcopy --add-gnu-debuglink=shapes-split.debug shapes-split
mkdir -p one two wide
gcc -g -O1 -fPIC -shared -o one/libbtcpad.so $P/pad.c
gcc -g -O1 -fPIC -shared -DPADDING=100 -o two/libbtcpad.so $P/pad.c
gcc -g -O1 -fPIC -shared -DWIDE -o wide/libbtcpad.so $P/pad.c
gcc -g -O1 -DPAD -o padded $P/shapes.c -Lone -lbtcpad
: > empty
printf '#!/bin/sh\n' > script
echo text > text
mkfifo pipe
head -c 5000 shapes > cut
head -c 30 shapes > short
cp shapes narrow; printf '\001' | dd of=narrow bs=1 seek=4 conv=notrunc status=none
cp shapes foreign; printf '\363' | dd of=foreign bs=1 seek=18 conv=notrunc status=none
gcc -c -o object.o $P/pad.c
gcc -O2 -fomit-frame-pointer -o frameless $P/frameless.c
g++ -O2 -fomit-frame-pointer -o frameless-cpp $P/frameless.cpp
gcc -O2 -fomit-frame-pointer -fPIC -shared -o libthrough.so $P/through.c
gcc -O1 -fno-omit-frame-pointer -o jit $P/jit.c
gcc -O2 -fomit-frame-pointer -DEACH_MILLISECOND -o each-millisecond $P/frameless.c
gcc -D_GNU_SOURCE -g -O2 -fno-omit-frame-pointer -o callers $P/callers.c
"#;

/// # Errors
/// A compiler that is missing or refuses.
pub fn build(within: &Path) -> Result<()> {
    std::fs::create_dir_all(within)?;
    let output = Command::new("sh")
        .args(["-e", "-c", STEPS])
        .env("P", btc_tests::root().join("tests/programs"))
        .current_dir(within)
        .output()?;
    if !output.status.success() {
        bail!(
            "building the probed programs:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}
