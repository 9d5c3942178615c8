//! `#define NAME value`: clang itself computes the values, in a second run over the text with a declaration for each
//! macro at its end. What is in error there is not a constant.

use std::collections::{HashMap, HashSet};
use std::ffi::CStr;
use std::fmt::Write;
use std::ops::Range;

use clang_sys::*;

use super::cursor::{children, extent, file, owned, spelling};
use super::parse::{MAIN, PRELUDE, Parsed, Request, Unit};
use super::types::is_signed;

/// Kernel headers define some ten thousand.
const MAX_MACROS: usize = 50_000;

/// Words that ask for a type's layout.
const MEASURES: &[&str] = &[
    "sizeof",
    "offsetof",
    "__builtin_offsetof",
    "_Alignof",
    "__alignof__",
];

/// Where macros of the script's own text are defined: the name and all after it.
pub(super) fn definitions(unit: &Unit) -> Vec<Range<usize>> {
    // SAFETY: the unit lives for all of this function.
    let root = unsafe { clang_getTranslationUnitCursor(unit.unit) };
    let own = |cursor: &CXCursor| cursor.kind == CXCursor_MacroDefinition && file(*cursor) == MAIN;
    let all = children(root).into_iter().filter(own);
    all.map(extent).collect()
}

/// Names of macros that may have a value, of the script and its headers.
pub(super) fn candidates(unit: &Unit, kernel_roots: &[String]) -> Vec<String> {
    // SAFETY: the unit lives for all of this function.
    let root = unsafe { clang_getTranslationUnitCursor(unit.unit) };
    let mut bodies: HashMap<String, Vec<String>> = HashMap::new();
    let mut order = vec![];
    for cursor in children(root) {
        // SAFETY: as above.
        let constant = cursor.kind == CXCursor_MacroDefinition
            && unsafe {
                clang_Cursor_isMacroFunctionLike(cursor) == 0
                    && clang_Cursor_isMacroBuiltin(cursor) == 0
            };
        let place = file(cursor);
        if !constant || place.is_empty() || place == PRELUDE || order.len() >= MAX_MACROS {
            continue;
        }
        let name = spelling(cursor);
        let body = tokens(unit, cursor).split_off(1);
        // The last definition counts.
        if bodies.insert(name.clone(), body).is_none() {
            order.push(name);
        }
    }
    // With the kernel's headers, the size of its structs would be this machine's: such a text is left to where it is used.
    let measures = !kernel_roots.is_empty();
    let broken = unfit(&bodies, |body| {
        reaches_out(body) || measures && is_measure(body)
    });
    let whole = |name: &String| !broken.contains(name.as_str()) && !bodies[name].is_empty();
    order.retain(whole);
    order
}

fn tokens(unit: &Unit, cursor: CXCursor) -> Vec<String> {
    let (mut list, mut count) = (std::ptr::null_mut(), 0);
    // SAFETY: the unit lives; libclang allocates `list` of `count` tokens, which is freed once after its use.
    unsafe {
        let extent = clang_getCursorExtent(cursor);
        clang_tokenize(unit.unit, extent, &raw mut list, &raw mut count);
        let all =
            (0..count as usize).map(|at| owned(clang_getTokenSpelling(unit.unit, *list.add(at))));
        let mut all: Vec<String> = all.collect();
        if !list.is_null() {
            clang_disposeTokens(unit.unit, list, count);
        }
        // The name always counts as one.
        if all.is_empty() {
            all.push(String::new());
        }
        all
    }
}

/// Macros that are no constants of ours, and those that use one.
fn unfit(
    bodies: &HashMap<String, Vec<String>>,
    is_unfit: impl Fn(&[String]) -> bool,
) -> HashSet<&str> {
    let mut broken: HashSet<&str> = bodies
        .iter()
        .filter(|(_, body)| is_unfit(body))
        .map(|(name, _)| name.as_str())
        .collect();
    loop {
        let before = broken.len();
        for (name, body) in bodies {
            if body.iter().any(|token| broken.contains(token.as_str())) {
                broken.insert(name);
            }
        }
        if broken.len() == before {
            return broken;
        }
    }
}

fn is_measure(body: &[String]) -> bool {
    body.iter().any(|token| MEASURES.contains(&token.as_str()))
}

/// Whether a text would reach out of the declaration that is made for it.
fn reaches_out(body: &[String]) -> bool {
    let mut open: Vec<&str> = vec![];
    for token in body {
        match token.as_str() {
            "(" => open.push(")"),
            "[" => open.push("]"),
            "{" => open.push("}"),
            ")" | "]" | "}" if open.pop() != Some(token) => return true,
            "," | ";" if open.is_empty() => return true,
            "#" | "##" => return true,
            _ => {}
        }
    }
    !open.is_empty()
}

/// Finds the values of these macros.
pub(super) fn evaluate(request: &Request, names: &[String], parsed: &mut Parsed) {
    let mut text = request.text.clone();
    text.push('\n');
    let first_line = text.matches('\n').count() + 1;
    for (at, name) in names.iter().enumerate() {
        // Writing to a string can't fail.
        let _ = writeln!(text, "enum {{ btc_integer_{at} = ({name}) }};");
        // An array is what only a string of chars can begin; a pointer is what old versions evaluate.
        let _ = writeln!(
            text,
            "static const char btc_array_{at}[] = {name}; static const char *const btc_text_{at} = {name};"
        );
    }
    let Some(unit) = Unit::new(request, &text) else {
        return;
    };
    let mut wrong = HashSet::new();
    for (message, place) in unit.diagnostics() {
        if place.file == MAIN {
            wrong.insert(place.line as usize);
        }
        parsed.macro_errors.push(message);
    }
    // SAFETY: the unit lives for all of this function.
    let root = unsafe { clang_getTranslationUnitCursor(unit.unit) };
    for cursor in children(root) {
        if let Some((name, value)) = integer(cursor, names, &wrong, first_line) {
            parsed.definitions.integers.push((name, value));
        } else if let Some((name, value)) = string(cursor, names, &wrong, first_line) {
            parsed.definitions.strings.push((name, value));
        }
    }
}

fn integer(
    cursor: CXCursor,
    names: &[String],
    wrong: &HashSet<usize>,
    first_line: usize,
) -> Option<(String, i128)> {
    let constant = (cursor.kind == CXCursor_EnumDecl).then(|| children(cursor))?;
    let constant = constant.first().copied()?;
    let name = spelling(constant);
    let at: usize = name.strip_prefix("btc_integer_")?.parse().ok()?;
    if wrong.contains(&(first_line + 2 * at)) {
        return None;
    }
    // SAFETY: cursors are used while their unit lives.
    let value = unsafe {
        if is_signed(clang_getEnumDeclIntegerType(cursor)) {
            i128::from(clang_getEnumConstantDeclValue(constant))
        } else {
            i128::from(clang_getEnumConstantDeclUnsignedValue(constant))
        }
    };
    Some((names.get(at)?.clone(), value))
}

fn string(
    cursor: CXCursor,
    names: &[String],
    wrong: &HashSet<usize>,
    first_line: usize,
) -> Option<(String, Vec<u8>)> {
    if cursor.kind != CXCursor_VarDecl {
        return None;
    }
    let at: usize = spelling(cursor).strip_prefix("btc_text_")?.parse().ok()?;
    if wrong.contains(&(first_line + 2 * at + 1)) {
        return None;
    }
    // SAFETY: cursors are used while their unit lives; the result is disposed of once, after its string was copied.
    unsafe {
        let result = clang_Cursor_Evaluate(cursor);
        if result.is_null() {
            return None;
        }
        let bytes = (clang_EvalResult_getKind(result) == CXEval_StrLiteral)
            .then(|| clang_EvalResult_getAsStr(result))
            .filter(|text| !text.is_null())
            .map(|text| CStr::from_ptr(text).to_bytes().to_vec());
        clang_EvalResult_dispose(result);
        Some((names.get(at)?.clone(), bytes?))
    }
}
