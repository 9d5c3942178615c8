//! Parameters in attach points: `kprobe:$1` is attached to what the executable is told. Texts hold them for the runtime to
//! fill in, where a dollar that is none is written `$$`.

use std::borrow::Cow;

use super::lookup;
use crate::diagnostic::{Diagnostic, Unsupported};
use crate::syntax::ast::{AttachPart, AttachPoint};

/// Providers whose parts are names that the target looks up.
const NAMED_ON_THE_TARGET: &[&str] = &[
    "kprobe",
    "kretprobe",
    "uprobe",
    "uretprobe",
    "usdt",
    "tracepoint",
    "rawtracepoint",
];

/// The attach point as providers read it, and the parameters that it has.
pub struct Prepared<'a> {
    pub point: Cow<'a, AttachPoint>,
    /// From 1.
    pub parameters: Vec<u32>,
}

/// Finds the parameters of an attach point.
pub fn prepare(point: &AttachPoint) -> Result<Prepared<'_>, Diagnostic> {
    let mut parameters = vec![];
    for part in point.parts.iter().filter(|part| !part.quoted) {
        let Some(found) = numbers(&part.text) else {
            return Err(Diagnostic::not_supported_yet(
                part.span,
                Unsupported::AttachParameter,
            ));
        };
        parameters.extend(found);
    }
    if parameters.is_empty() {
        let point = Cow::Borrowed(point);
        return Ok(Prepared { point, parameters });
    }
    let provider = lookup(&point.provider.text).map_or("", |provider| provider.name);
    if !NAMED_ON_THE_TARGET.contains(&provider) {
        return Err(Diagnostic::not_supported_yet(
            point.span,
            Unsupported::AttachParameter,
        ));
    }
    let mut point = point.clone();
    let literal = |part: &&mut AttachPart| part.quoted;
    for part in point.parts.iter_mut().filter(literal) {
        part.text = part.text.replace('$', "$$");
    }
    Ok(Prepared {
        point: Cow::Owned(point),
        parameters,
    })
}

/// The numbers behind all dollars; `None` where one has none.
fn numbers(text: &str) -> Option<Vec<u32>> {
    let (_, dollars) = text
        .split_once('$')
        .map_or((text, None), |(a, b)| (a, Some(b)));
    let Some(rest) = dollars else {
        return Some(vec![]);
    };
    let numbers = rest.split('$').map(|after| {
        let digits = after
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(after.len());
        after[..digits]
            .parse()
            .ok()
            .filter(|n| (1..=1000).contains(n))
    });
    numbers.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::point::tests::point;

    #[test]
    fn parameters_are_found() {
        let of = |text: &str| prepare(&point(text)).map(|prepared| prepared.parameters);
        assert_eq!(of("kprobe:vfs_read").unwrap(), [0; 0]);
        assert_eq!(of("uprobe:$1:f_$2_$12").unwrap(), [1, 2, 12]);
        assert!(of("kprobe:$").is_err());
        assert!(of("kprobe:$0").is_err());
        assert!(of("kprobe:$name").is_err());
        assert!(of("interval:s:$1").is_err());
    }

    #[test]
    fn other_dollars_are_doubled() {
        let mut point = point("uprobe:$1:a$b");
        point.parts[1].quoted = true;
        let prepared = prepare(&point).unwrap();
        assert_eq!(prepared.point.parts[0].text, "$1");
        assert_eq!(prepared.point.parts[1].text, "a$$b");
    }
}
