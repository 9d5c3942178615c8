//! What an executable printed, held against a case's expectations.

use regex::Regex;

use crate::case::{Case, Expectation};
use crate::json;

/// What a run left.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub stdout: String,
    pub stderr: String,
    /// `None` when it was killed at the time limit.
    pub status: Option<i32>,
}

/// `Err` says which expectation failed, and shows all that was printed.
///
/// # Errors
/// The first expectation that does not hold.
pub fn check(case: &Case, outcome: &Outcome) -> Result<(), String> {
    let mut from = 0;
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    let explicit_status = case
        .expectations
        .iter()
        .any(|e| matches!(e, Expectation::Status(_)));
    let failed = match outcome.status {
        None => Some("it did not end in time".to_string()),
        Some(status) if status != 0 && !explicit_status => Some(format!("exit status {status}")),
        Some(_) => case.expectations.iter().find_map(|e| {
            holds(e, &lines, outcome, &mut from)
                .err()
                .map(|why| format!("{e:?}: {why}"))
        }),
    };
    let failed = failed.or_else(|| match json::is_printed_by(case) {
        true => json::check(&outcome.stdout).err(),
        false => None,
    });
    match failed {
        None => Ok(()),
        Some(why) => Err(format!(
            "{}: {why}\n--- stdout\n{}\n--- stderr\n{}\n--- status {:?}",
            case.name, outcome.stdout, outcome.stderr, outcome.status
        )),
    }
}

fn holds(
    expectation: &Expectation,
    lines: &[&str],
    outcome: &Outcome,
    from: &mut usize,
) -> Result<(), String> {
    let regex = |text: &str| Regex::new(text).map_err(|e| e.to_string());
    let mut find = |test: &dyn Fn(&str) -> bool| {
        let at = lines[*from..]
            .iter()
            .position(|l| test(l))
            .ok_or("no such line")?;
        *from += at + 1;
        Ok::<(), String>(())
    };
    match expectation {
        Expectation::Exact(expected) => {
            if without_blank_end(lines) == without_blank_end(expected) {
                Ok(())
            } else {
                Err("the output differs".into())
            }
        }
        Expectation::Line(line) => find(&|l| l == line),
        Expectation::Regex(text) => {
            let regex = regex(text)?;
            find(&|l| regex.is_match(l))
        }
        Expectation::None(text) => {
            let regex = regex(text)?;
            lines
                .iter()
                .find(|l| regex.is_match(l))
                .map_or(Ok(()), |l| Err(format!("found {l:?}")))
        }
        Expectation::Count(expected, text) => {
            let regex = regex(text)?;
            let found = lines.iter().filter(|l| regex.is_match(l)).count();
            if found == *expected {
                Ok(())
            } else {
                Err(format!("found {found}"))
            }
        }
        Expectation::Range(text, low, high) => {
            in_range(&regex(text)?, &outcome.stdout, *low, *high)
        }
        Expectation::Sum(text, low, high) => {
            sum_in_range(&regex(text)?, &outcome.stdout, *low, *high)
        }
        Expectation::Stderr(text) => {
            let regex = regex(text)?;
            let found = outcome.stderr.lines().any(|l| regex.is_match(l));
            if found {
                Ok(())
            } else {
                Err("no such line on standard error".into())
            }
        }
        Expectation::StderrNone(text) => {
            let regex = regex(text)?;
            let found = outcome.stderr.lines().any(|l| regex.is_match(l));
            if found {
                Err("found on standard error".into())
            } else {
                Ok(())
            }
        }
        Expectation::Status(expected) => {
            if outcome.status == Some(*expected) {
                Ok(())
            } else {
                Err("another status".into())
            }
        }
    }
}

/// Text output ends with blank lines before the maps, whether there are maps or not.
fn without_blank_end<T: AsRef<str>>(lines: &[T]) -> Vec<&str> {
    let mut lines: Vec<&str> = lines.iter().map(AsRef::as_ref).collect();
    while lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    lines
}

fn in_range(regex: &Regex, stdout: &str, low: i64, high: i64) -> Result<(), String> {
    let captures = regex.captures(stdout).ok_or("no match")?;
    within(number(&captures)?, low, high)
}

fn sum_in_range(regex: &Regex, stdout: &str, low: i64, high: i64) -> Result<(), String> {
    let mut sum = 0;
    for captures in regex.captures_iter(stdout) {
        sum += number(&captures)?;
    }
    within(sum, low, high)
}

fn number(captures: &regex::Captures<'_>) -> Result<i64, String> {
    let group = captures.get(1).ok_or("the expression needs a group")?;
    let text = group.as_str();
    text.parse().map_err(|_| format!("{text:?} is no number"))
}

fn within(number: i64, low: i64, high: i64) -> Result<(), String> {
    if (low..=high).contains(&number) {
        Ok(())
    } else {
        Err(format!("{number} is out of range"))
    }
}
