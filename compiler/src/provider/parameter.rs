//! Parameters in attach points: `kprobe:$1` is attached to what the executable is told. Texts hold them for the runtime to
//! fill in, where a dollar that is none is written `$$`.

use std::borrow::Cow;

use super::lookup;
use crate::diagnostic::{Code, Diagnostic};
use crate::syntax::ast::{AttachPart, AttachPoint};

/// Providers whose parts are names that the target looks up.
const NAMED_ON_THE_TARGET: &[&str] = &[
    "kprobe",
    "kretprobe",
    "fentry",
    "fexit",
    "uprobe",
    "uretprobe",
    "usdt",
    "tracepoint",
    "rawtracepoint",
];

/// Providers with a number that the target can fill in, which part that is, and what stands there meanwhile.
const NUMBERED_ON_THE_TARGET: &[(&str, Place, &str)] = &[
    ("interval", Place::Last, "1"),
    ("profile", Place::Last, "1"),
    ("software", Place::Second, "1"),
    ("hardware", Place::Second, "1"),
    // A multiple of every length.
    ("watchpoint", Place::First, "8"),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    First,
    Second,
    Last,
}

/// The attach point as providers read it, and the parameters that it has.
pub struct Prepared<'a> {
    pub point: Cow<'a, AttachPoint>,
    /// From 1.
    pub parameters: Vec<u32>,
    /// The parameter that is the attach point's number, and the parts as they were written.
    pub number: Option<Number>,
}

pub struct Number {
    /// `$1`
    pub text: String,
    pub parts: Vec<AttachPart>,
}

/// Finds the parameters of an attach point.
pub fn prepare(point: &AttachPoint) -> Result<Prepared<'_>, Diagnostic> {
    let mut parameters = vec![];
    for part in point.parts.iter().filter(|part| !part.quoted) {
        let Some(found) = numbers(&part.text) else {
            return Err(Diagnostic::error(
                Code::InvalidProbe,
                part.span,
                format!("expected a parameter, found `{}`", part.text.escape_debug()),
            )
            .with_help("parameters are `$1`, `$2`, …"));
        };
        parameters.extend(found);
    }
    let mut prepared = Prepared {
        point: Cow::Borrowed(point),
        parameters,
        number: None,
    };
    if prepared.parameters.is_empty() {
        return Ok(prepared);
    }
    let provider = lookup(&point.provider.text).map_or("", |provider| provider.name);
    let numbered = NUMBERED_ON_THE_TARGET.iter().find(|row| row.0 == provider);
    let mut point = point.clone();
    if let Some((_, place, placeholder)) = numbered {
        prepared.number = Some(number(&mut point, *place, placeholder)?);
    } else if NAMED_ON_THE_TARGET.contains(&provider) {
        let literal = |part: &&mut AttachPart| part.quoted;
        for part in point.parts.iter_mut().filter(literal) {
            part.text = part.text.replace('$', "$$");
        }
    } else {
        let message = format!("`{}` probes take no parameters", point.provider.text);
        return Err(Diagnostic::error(Code::InvalidProbe, point.span, message));
    }
    prepared.point = Cow::Owned(point);
    Ok(prepared)
}

/// Takes the parameter out of the one part that may be one.
fn number(point: &mut AttachPoint, place: Place, placeholder: &str) -> Result<Number, Diagnostic> {
    let parts = point.parts.clone();
    let wanted = match place {
        Place::First => 0,
        Place::Second => 1,
        Place::Last => parts.len().saturating_sub(1),
    };
    for (at, part) in point.parts.iter().enumerate() {
        let has_parameter = !part.quoted && part.text.contains('$');
        let is_parameter = part
            .text
            .strip_prefix('$')
            .is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()));
        if has_parameter && (at != wanted || !is_parameter) {
            let message = format!(
                "`{}` probes can't have a parameter here",
                point.provider.text
            );
            return Err(Diagnostic::error(Code::InvalidProbe, part.span, message)
                .with_help("its number may be one, alone: `interval:ms:$1`, `software:faults:$1`, `watchpoint:$1:8:w`"));
        }
    }
    let text = std::mem::replace(&mut point.parts[wanted].text, placeholder.to_owned());
    Ok(Number { text, parts })
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
        assert_eq!(of("interval:s:$1").unwrap(), [1]);
        assert!(of("interval:$1:5").is_err());
        assert!(of("interval:s:1$1").is_err());
        assert!(of("watchpoint:$1:8:w").is_ok());
        assert!(of("watchpoint:8:$1:w").is_err());
        assert!(of("begin:$1").is_err());
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
