//! What must hold for any text: no panic, an end, spans inside the text, diagnostics that render, no program with
//! errors and no silence without one; and what has no errors compiles.

use btc::diagnostic::{self, Diagnostics};
use btc::options::Language;
use btc::source::{SourceMap, Span};
use btc::{codegen, ir, layout};
use btc_tests::golden;
use codespan_reporting::term::termcolor::NoColor;

/// A verdict; a panic is one too.
pub fn caught<T>(judge: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    let judged = std::panic::catch_unwind(std::panic::AssertUnwindSafe(judge));
    judged.unwrap_or_else(|panic| {
        let said = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or(panic.downcast_ref::<&str>().copied());
        Err(format!("a panic: {}", said.unwrap_or("without words")))
    })
}

/// Judges a text against the fixture kernel; `compile` runs code generation too. Whether it has no errors.
///
/// # Errors
/// What does not hold.
pub fn judge(text: &str, compile: bool) -> Result<bool, String> {
    let language = Language {
        r#unsafe: text.len().is_multiple_of(2),
        target: btc::arch::ALL[text.len() / 2 % btc::arch::ALL.len()],
        ..Language::default()
    };
    let analyzed = golden::analyze("fuzz", text, &language);
    rendered(&analyzed.diagnostics, &analyzed.sources)?;
    let Some(program) = &analyzed.program else {
        return match analyzed.diagnostics.has_errors() {
            true => Ok(false),
            false => Err("silence: no program, and nothing is said about it".into()),
        };
    };
    if ir::print::print(program).is_empty() {
        return Err("silence: an empty typed tree".into());
    }
    let mut manifest = layout::plan(program, &analyzed.sources);
    if compile {
        let options = codegen::Options {
            arch: language.target,
            sources: &analyzed.sources,
        };
        if let Err(codegen::Refusal::Bug(bug)) = codegen::emit(program, &mut manifest, &options) {
            return Err(format!("a bug: {bug}"));
        }
    }
    Ok(true)
}

/// Diagnostics as a user reads them.
///
/// # Errors
/// They can't be shown: a span that is no part of the text.
pub fn rendered(diagnostics: &Diagnostics, sources: &SourceMap) -> Result<String, String> {
    spans(diagnostics, sources)?;
    let mut out = NoColor::new(vec![]);
    diagnostic::render(diagnostics, sources, &mut out)
        .map_err(|error| format!("spans: the diagnostics don't render: {error}"))?;
    Ok(String::from_utf8_lossy(&out.into_inner()).into_owned())
}

fn spans(diagnostics: &Diagnostics, sources: &SourceMap) -> Result<(), String> {
    let inside = |span: Span| {
        let text = &sources.get(span.file).text;
        text.get(span.range()).is_some()
    };
    for d in diagnostics.iter() {
        let all = std::iter::once(d.span).chain(d.labels.iter().map(|l| l.span));
        for span in all {
            if !inside(span) {
                return Err(format!(
                    "spans: {span:?} of `{}` is no part of the text",
                    d.message
                ));
            }
        }
        if d.message.is_empty() {
            return Err("spans: a diagnostic without words".into());
        }
    }
    Ok(())
}
