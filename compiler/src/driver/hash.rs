//! Files → a name for their contents, in the cache.

use std::hash::{DefaultHasher, Hasher};

use crate::skeleton::File;

/// 128 bits in hex over paths and contents. A cache key: nothing is trusted because of it.
#[must_use]
pub fn of_files(files: &[File]) -> String {
    let mut halves = [DefaultHasher::new(), DefaultHasher::new()];
    halves[1].write_u8(1);
    for hasher in &mut halves {
        for file in files {
            hasher.write_usize(file.path.len());
            hasher.write(file.path.as_bytes());
            hasher.write_usize(file.contents.len());
            hasher.write(&file.contents);
        }
    }
    format!("{:016x}{:016x}", halves[0].finish(), halves[1].finish())
}
