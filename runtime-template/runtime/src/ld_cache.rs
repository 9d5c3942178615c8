//! glibc's /etc/ld.so.cache → names and paths of libraries. Both of its formats: the old one of 1998 (and a new one
//! behind it), and the new one alone, which is what glibc 2.32 and later write.

const OLD: &[u8] = b"ld.so-1.7.0";
const NEW: &[u8] = b"glibc-ld.so.cache1.1";

/// Names and paths, in the cache's order; nothing where the file is no cache, and what is whole of a damaged one.
#[must_use]
pub fn entries(cache: &[u8]) -> Vec<(&str, &str)> {
    // A header of 48 bytes, entries of 24; places of strings count from the header.
    let new = cache.windows(NEW.len()).position(|bytes| bytes == NEW);
    if let Some(new) = new.and_then(|start| cache.get(start..)) {
        return read(new, NEW.len(), 48, 24, 0);
    }
    if cache.starts_with(OLD) {
        // A header of 16 bytes, entries of 12; places of strings count from the end of the entries.
        let count = word(cache, 12).unwrap_or(0);
        return read(cache, 12, 16, 12, 16 + count.saturating_mul(12));
    }
    Vec::new()
}

/// Both formats have the number of entries somewhere, and in an entry, after four bytes, the places of name and path.
fn read(
    cache: &[u8],
    count_at: usize,
    first: usize,
    size: usize,
    strings: usize,
) -> Vec<(&str, &str)> {
    let string = |entry: usize, at: usize| {
        let start = strings.checked_add(word(cache, entry + at)?)?;
        let rest = cache.get(start..)?;
        let end = rest.iter().position(|byte| *byte == 0)?;
        std::str::from_utf8(&rest[..end]).ok()
    };
    let count = word(cache, count_at).unwrap_or(0);
    (0..count)
        .map_while(|index| {
            let entry = first.checked_add(index.checked_mul(size)?)?;
            Some((string(entry, 4)?, string(entry, 8)?))
        })
        .collect()
}

fn word(cache: &[u8], at: usize) -> Option<usize> {
    let bytes: [u8; 4] = cache.get(at..at.checked_add(4)?)?.try_into().ok()?;
    Some(u32::from_le_bytes(bytes) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(n: usize) -> [u8; 4] {
        (n as u32).to_le_bytes()
    }

    const STRINGS: &[u8] = b"libc.so.6\0/lib/libc.so.6\0";

    fn old() -> Vec<u8> {
        let words = [1, 3, 0, 10].map(word).concat();
        [OLD, b"\0", &words, STRINGS].concat()
    }

    fn new() -> Vec<u8> {
        let strings = 48 + 24;
        let header = [
            word(1),
            word(STRINGS.len()),
            [0; 4],
            [0; 4],
            [0; 4],
            [0; 4],
            [0; 4],
        ];
        let entry = [
            word(0x0303),
            word(strings),
            word(strings + 10),
            [0; 4],
            [0; 4],
            [0; 4],
        ];
        [NEW, &header.concat(), &entry.concat(), STRINGS].concat()
    }

    #[test]
    fn both_formats() {
        let expected = vec![("libc.so.6", "/lib/libc.so.6")];
        assert_eq!(entries(&old()), expected);
        assert_eq!(entries(&new()), expected);
        let mut both = old();
        both.resize(both.len().next_multiple_of(8), 0);
        both.extend(new());
        assert_eq!(entries(&both), expected);
    }

    #[test]
    fn damage_is_no_crash() {
        for whole in [old(), new()] {
            for length in 0..whole.len() {
                assert!(entries(&whole[..length]).len() <= 1);
                let mut wrong = whole.clone();
                wrong[length] ^= 0xff;
                assert!(entries(&wrong).len() <= 2);
            }
        }
    }
}
