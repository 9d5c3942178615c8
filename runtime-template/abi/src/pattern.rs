//! A name with `*`, `?` and `[a-z]` → does a name match.

/// Whether `text` is a pattern rather than a plain name.
#[must_use]
pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// Whether all of `name` matches `pattern`. A `[` without its `]` stands for itself.
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    // Where to go on after a mismatch: just after the last `*`, one byte of the name further.
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            retry = Some((p, n));
        } else if let Some(length) = one(&pattern[p..], name[n]) {
            p += length;
            n += 1;
        } else if let Some((after_star, from)) = retry {
            p = after_star;
            n = from + 1;
            retry = Some((after_star, n));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// The bytes of the pattern's first element if it matches `byte`.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match *pattern.first()? {
        b'?' => Some(1),
        b'[' => {
            let Some(end) = pattern.iter().skip(2).position(|b| *b == b']') else {
                return (byte == b'[').then_some(1);
            };
            let class = &pattern[1..end + 2];
            let (negated, class) = match class {
                [b'!' | b'^', rest @ ..] if !rest.is_empty() => (true, rest),
                _ => (false, class),
            };
            (in_class(class, byte) != negated).then_some(end + 3)
        }
        literal => (literal == byte).then_some(1),
    }
}

fn in_class(mut class: &[u8], byte: u8) -> bool {
    loop {
        match class {
            [low, b'-', high, rest @ ..] => {
                if (*low..=*high).contains(&byte) {
                    return true;
                }
                class = rest;
            }
            [single, rest @ ..] => {
                if *single == byte {
                    return true;
                }
                class = rest;
            }
            [] => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns() {
        assert!(matches("sys_enter_*", "sys_enter_openat"));
        assert!(matches("*read*", "vfs_read"));
        assert!(matches("*a*b*c", "xxaxxbxxbc"));
        assert!(matches("*a*c", "abac"));
        assert!(matches("vfs_?ead", "vfs_read"));
        assert!(matches("vfs_[q-s]ead", "vfs_read"));
        assert!(matches("vfs_[!a-c]ead", "vfs_read"));
        assert!(matches("*", ""));
        assert!(matches("a[b", "a[b"));
        assert!(!matches("vfs_[a-c]ead", "vfs_read"));
        assert!(!matches("sys_enter_*", "sys_exit_openat"));
        assert!(!matches("vfs_read", "vfs_readv"));
        assert!(!matches("*a", "ab"));
        assert!(!matches("?", ""));
    }
}
