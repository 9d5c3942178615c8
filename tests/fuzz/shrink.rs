//! A failing script → the smallest that still fails in the same way: statements, blocks and operands go first, then any
//! piece of text.

use std::time::Instant;

/// Makes `text` smaller as long as `fails` says that what is left fails. Every success is handed to `keep`.
pub fn shrunk(
    text: &str,
    end: Instant,
    fails: impl Fn(&str) -> bool,
    keep: impl Fn(&str),
) -> String {
    let mut best = text.to_owned();
    loop {
        let before = best.len();
        best = pass(&best, end, &fails, &keep, structured);
        best = pass(&best, end, &fails, &keep, pieces);
        if best.len() == before || Instant::now() >= end {
            return best;
        }
    }
}

type Candidates = fn(&str) -> Vec<String>;

/// Tries what `candidates` makes of the best so far, until nothing of it fails.
fn pass(
    text: &str,
    end: Instant,
    fails: &impl Fn(&str) -> bool,
    keep: &impl Fn(&str),
    candidates: Candidates,
) -> String {
    let mut best = text.to_owned();
    loop {
        let smaller = candidates(&best).into_iter();
        let found = smaller
            .take_while(|_| Instant::now() < end)
            .find(|smaller| smaller.len() < best.len() && fails(smaller));
        match found {
            Some(smaller) => best = smaller,
            None => return best,
        }
        keep(&best);
    }
}

/// The text without one of its statements or blocks, or with a group in parentheses replaced by what is in it.
fn structured(text: &str) -> Vec<String> {
    let mut all = vec![];
    for (start, end) in groups(text) {
        let inside = &text[start + 1..end];
        let (before, after) = (&text[..start], &text[end + 1..]);
        if text[start..].starts_with('{') {
            all.push(format!("{before}{{}}{after}"));
            // With its head: from the end of the statement before.
            let head = before.rfind([';', '{', '}', '\n']).map_or(0, |at| at + 1);
            all.push(format!("{}{after}", &before[..head]));
            all.push(format!("{}{inside}{after}", &before[..head]));
            let mut at = start + 1;
            for statement in pieces_at(inside, ';') {
                let stop = (at + statement.len() + 1).min(end);
                all.push(format!("{}{}", &text[..at], &text[stop..]));
                at = stop;
            }
        } else {
            all.push(format!("{before}1{after}"));
            for operand in pieces_at(inside, ',').into_iter().chain(inside.split(' ')) {
                all.push(format!("{before}{operand}{after}"));
                let name = before.trim_end_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
                all.push(format!("{name}{operand}{after}"));
            }
        }
    }
    all.sort_by_key(String::len);
    all.dedup();
    all
}

/// Pairs of brackets, by their places.
fn groups(text: &str) -> Vec<(usize, usize)> {
    let (mut open, mut groups) = (vec![], vec![]);
    for (at, c) in text.char_indices() {
        match c {
            '(' | '{' => open.push(at),
            ')' | '}' => groups.extend(open.pop().map(|start| (start, at))),
            _ => {}
        }
    }
    groups
}

/// The parts between separators that are in no brackets.
fn pieces_at(text: &str, separator: char) -> Vec<&str> {
    let (mut depth, mut start, mut pieces) = (0i32, 0, vec![]);
    for (at, c) in text.char_indices() {
        match c {
            '(' | '{' | '[' => depth += 1,
            ')' | '}' | ']' => depth -= 1,
            c if c == separator && depth == 0 => {
                pieces.push(&text[start..at]);
                start = at + c.len_utf8();
            }
            _ => {}
        }
    }
    pieces.push(&text[start..]);
    pieces
}

/// The text without a piece of so many characters, large ones first.
fn pieces(text: &str) -> Vec<String> {
    let ends: Vec<usize> = (text.char_indices().map(|(at, _)| at))
        .chain([text.len()])
        .collect();
    let count = ends.len() - 1;
    let (mut all, mut size) = (vec![], count / 2);
    while size > 0 {
        for start in (0..count).step_by(size) {
            let end = (start + size).min(count);
            all.push(format!("{}{}", &text[..ends[start]], &text[ends[end]..]));
        }
        size /= 2;
    }
    all
}
