//! What must hold for any text: no panic, an end, spans inside the text, diagnostics that render, no program with
//! errors and no silence without one; and what has no errors compiles.

use btc::diagnostic::Diagnostics;
use btc::options::Language;
use btc::source::{SourceMap, Span};
use btc::{codegen, ir, layout};
use btc_tests::golden;

/// Judges a text; `compile` runs code generation too.
///
/// # Errors
/// What does not hold.
pub fn judge(text: &str, compile: bool) -> Result<(), String> {
    let judged = std::panic::catch_unwind(|| checked(text, compile));
    judged.unwrap_or_else(|panic| {
        let said = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or(panic.downcast_ref::<&str>().copied());
        Err(format!("a panic: {}", said.unwrap_or("without words")))
    })
}

fn checked(text: &str, compile: bool) -> Result<(), String> {
    let language = Language {
        r#unsafe: text.len().is_multiple_of(2),
        target: btc::arch::ALL[text.len() / 2 % btc::arch::ALL.len()],
        ..Language::default()
    };
    let analyzed = golden::analyze("fuzz", text, &language);
    spans(&analyzed.diagnostics, &analyzed.sources)?;
    analyzed
        .rendered()
        .map_err(|e| format!("the diagnostics don't render: {e}"))?;
    let Some(program) = &analyzed.program else {
        return match analyzed.diagnostics.has_errors() {
            true => Ok(()),
            false => Err("no program, and nothing is said about it".into()),
        };
    };
    if ir::print::print(program).is_empty() {
        return Err("an empty typed tree".into());
    }
    let mut manifest = layout::plan(program, &analyzed.sources);
    if compile {
        let options = codegen::Options {
            arch: language.target,
            sources: &analyzed.sources,
        };
        match codegen::emit(program, &mut manifest, &options) {
            Ok(_) | Err(codegen::Refusal::Stack { .. }) => {}
            Err(codegen::Refusal::Bug(bug)) => return Err(bug.to_string()),
        }
    }
    Ok(())
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
                    "{span:?} of `{}` is no part of the text",
                    d.message
                ));
            }
        }
        if d.message.is_empty() {
            return Err("a diagnostic without words".into());
        }
    }
    Ok(())
}
