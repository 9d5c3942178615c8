//! A misspelled name → the nearest of those that there are.

/// The other candidate that the fewest changes make of `name`, where they are few against its length; of several the first
/// by name.
pub fn nearest<'n>(name: &str, candidates: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let limit = (name.len() / 3).clamp(1, 3);
    (candidates.filter(|candidate| !candidate.is_empty() && *candidate != name))
        // Each byte more or less is a change.
        .filter(|candidate| candidate.len().abs_diff(name.len()) <= limit)
        .map(|candidate| (distance(name.as_bytes(), candidate.as_bytes()), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// How many bytes must be put in, taken out or changed, or swapped with their neighbour.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut before = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, &x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &y) in b.iter().enumerate() {
            let mut best = (last[j] + usize::from(x != y))
                .min(last[j + 1] + 1)
                .min(row[j] + 1);
            if i > 0 && j > 0 && x == b[j - 1] && a[i - 1] == y {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::{distance, nearest};

    #[test]
    fn distances() {
        assert_eq!(distance(b"kitten", b"sitting"), 3);
        assert_eq!(distance(b"ab", b"ba"), 1);
        assert_eq!(distance(b"", b"abc"), 3);
        assert_eq!(distance(b"abc", b"abc"), 0);
    }

    #[test]
    fn only_near_names() {
        let names = ["setjmp", "longjmp", "lll_lock_wait"];
        assert_eq!(nearest("setjump", names.into_iter()), Some("setjmp"));
        assert_eq!(nearest("lognjmp", names.into_iter()), Some("longjmp"));
        assert_eq!(nearest("malloc", names.into_iter()), None);
    }
}
