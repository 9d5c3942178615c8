//! A point in time → strftime's text in the target's time zone.

use std::ffi::CString;

/// Seconds and nanoseconds since 1970 as `format` says; `%f` is microseconds, six digits.
#[must_use]
pub fn strftime(format: &str, ns_since_epoch: i128) -> String {
    let seconds = ns_since_epoch.div_euclid(1_000_000_000);
    let microseconds = ns_since_epoch.rem_euclid(1_000_000_000) / 1000;
    let seconds = libc::time_t::try_from(seconds).unwrap_or(0);
    let format = with_microseconds(format, microseconds);
    let Ok(format) = CString::new(format) else {
        return String::new();
    };
    if format.is_empty() {
        return String::new();
    }
    // SAFETY: an all-zero `tm` is valid, both pointers are.
    let broken_down = unsafe {
        let mut broken_down: libc::tm = std::mem::zeroed();
        libc::localtime_r(&seconds, &mut broken_down);
        broken_down
    };
    let mut text = vec![0u8; 128];
    loop {
        // SAFETY: `text` has that many bytes, `format` is NUL-terminated.
        let length = unsafe {
            libc::strftime(
                text.as_mut_ptr().cast(),
                text.len(),
                format.as_ptr(),
                &broken_down,
            )
        };
        // 0 is too little room, or a text without letters (`%p` in some locales).
        if length > 0 || text.len() > 1 << 14 {
            text.truncate(length);
            return String::from_utf8_lossy(&text).into_owned();
        }
        text.resize(text.len() * 4, 0);
    }
}

/// Replaces `%f`, which C's strftime does not know.
fn with_microseconds(format: &str, microseconds: i128) -> String {
    let mut text = String::new();
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            text.push(letter);
            continue;
        }
        match letters.next() {
            Some('f') => text.push_str(&format!("{microseconds:06}")),
            Some(specifier) => text.extend(['%', specifier]),
            None => text.push_str("%%"),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn microseconds_are_filled_in() {
        assert_eq!(with_microseconds("%S.%f %%f %", 42), "%S.000042 %%f %%");
        assert_eq!(strftime("%f", 1_500_000_000), "500000");
        assert_eq!(strftime("", 0), "");
        // Every time zone agrees within two days.
        assert!(["1969", "1970"].contains(&strftime("%Y", 86_400).as_str()));
        assert_eq!(
            strftime(&"%Y-".repeat(200), 400 * 86_400 * 1_000_000_000).len(),
            1000
        );
    }
}
