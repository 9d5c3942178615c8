//! LLVM's BPF passes remember kernel accesses in a static table, by the type's name: a second module of the process
//! that accesses the same member would be given a global of the first, which is gone. So one module is made at a time,
//! and its kernel types have names of their own, which end once the object is there.

use std::sync::{Mutex, MutexGuard, PoisonError};

use object::{Object as _, ObjectSection as _};

use crate::bug::Bug;

static TURN: Mutex<u32> = Mutex::new(0);

/// The right to run LLVM's passes.
pub struct Turn(MutexGuard<'static, u32>);

/// Waits for the code generation that is going on.
pub fn turn() -> Turn {
    let mut turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    *turn += 1;
    Turn(turn)
}

impl Turn {
    /// What kernel types' names end with. libbpf ignores three underscores and what follows.
    pub fn flavor(&self) -> String {
        format!("___btc{:08x}", *self.0)
    }
}

/// Ends the names in the object's BTF where their flavor starts.
pub fn remove_from_object(elf: &mut [u8], flavor: &str) -> Result<(), Bug> {
    let file = object::File::parse(&*elf)
        .map_err(|error| Bug::new(format!("LLVM's object can't be read: {error}")))?;
    let Some((start, length)) = file.section_by_name(".BTF").and_then(|s| s.file_range()) else {
        return Ok(());
    };
    let btf = &mut elf[start as usize..(start + length) as usize];
    let mut at = 0;
    while at + flavor.len() <= btf.len() {
        if btf[at..].starts_with(flavor.as_bytes()) {
            btf[at..at + flavor.len()].fill(0);
            at += flavor.len();
        }
        at += 1;
    }
    Ok(())
}

/// The same in text.
pub fn remove_from_text(text: &str, flavor: &str) -> String {
    text.replace(flavor, "")
}
