//! Diagnostics and sources in, the text a user reads out (codespan-reporting).

use codespan_reporting::diagnostic::{Diagnostic as Report, Label as Mark};
use codespan_reporting::files::SimpleFiles;
use codespan_reporting::term;
use codespan_reporting::term::termcolor::WriteColor;

use super::{Diagnostic, Diagnostics, Severity};
use crate::source::{SourceMap, Span};

/// Writes every diagnostic, with its source lines, to `out`.
///
/// # Errors
/// What writing to `out` gives.
pub fn render(
    diagnostics: &Diagnostics,
    sources: &SourceMap,
    out: &mut dyn WriteColor,
) -> std::io::Result<()> {
    let mut files = SimpleFiles::new();
    for (_, source) in sources.files() {
        files.add(source.name.as_str(), source.text.as_str());
    }
    let config = term::Config::default();
    for diagnostic in diagnostics.iter() {
        term::emit_to_write_style(out, &config, &files, &report(diagnostic))
            .map_err(std::io::Error::other)?;
    }
    Ok(())
}

fn report(diagnostic: &Diagnostic) -> Report<usize> {
    let head = match diagnostic.severity {
        Severity::Error => Report::error(),
        Severity::Warning => Report::warning(),
    };
    let mark = |span: Span| (span.file.0 as usize, span.range());
    let (file, range) = mark(diagnostic.span);
    let mut marks = vec![Mark::primary(file, range)];
    marks.extend(diagnostic.labels.iter().map(|label| {
        let (file, range) = mark(label.span);
        Mark::secondary(file, range).with_message(&label.text)
    }));
    head.with_code(diagnostic.code.as_str())
        .with_message(&diagnostic.message)
        .with_labels(marks)
        .with_notes(
            diagnostic
                .help
                .iter()
                .map(|h| format!("help: {h}"))
                .collect(),
        )
}
