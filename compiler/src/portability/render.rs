//! Reports → a table with the reasons below it, or JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Report, Verdict};
use crate::arch::Arch;

impl Verdict {
    /// As the table has it.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Verdict::Runs => "runs",
            Verdict::Fallback => "runs with fallback",
            Verdict::Fails => "does not run",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Verdict::Runs => "runs",
            Verdict::Fallback => "fallback",
            Verdict::Fails => "fails",
        }
    }
}

/// A line for each script, a column for each kernel; then each reason, with the kernels that it is of.
#[must_use]
pub fn text(reports: &[Report]) -> String {
    let mut scripts: Vec<&str> = vec![];
    let mut kernels: Vec<&str> = vec![];
    for report in reports {
        if !scripts.contains(&&*report.script) {
            scripts.push(&report.script);
        }
        if !kernels.contains(&&*report.kernel) {
            kernels.push(&report.kernel);
        }
    }
    let of = |script: &str, kernel: &str| {
        reports
            .iter()
            .find(|report| report.script == script && report.kernel == kernel)
    };
    let first = scripts.iter().map(|script| script.chars().count()).max();
    let first = first.unwrap_or(0);
    let width = |kernel: &str| kernel.chars().count().max(Verdict::Fallback.words().len());
    let mut out = " ".repeat(first);
    for kernel in &kernels {
        let _ = write!(out, "  {kernel:<0$}", width(kernel));
    }
    trim_line(&mut out);
    for script in &scripts {
        let _ = write!(out, "{script:<first$}");
        for kernel in &kernels {
            let words = of(script, kernel).map_or("", |report| report.verdict().words());
            let _ = write!(out, "  {words:<0$}", width(kernel));
        }
        trim_line(&mut out);
    }
    for script in &scripts {
        let all: Vec<&Report> = kernels.iter().filter_map(|k| of(script, k)).collect();
        reasons(&mut out, &all);
    }
    out
}

fn trim_line(out: &mut String) {
    out.truncate(out.trim_end().len());
    out.push('\n');
}

/// The reasons of one script, those of several kernels once.
fn reasons(out: &mut String, reports: &[&Report]) {
    let mut all: Vec<_> = reports.iter().flat_map(|report| &report.reasons).collect();
    all.sort();
    all.dedup();
    // What keeps the script from running leads.
    all.sort_by_key(|reason| std::cmp::Reverse(reason.verdict));
    let Some(script) = reports.first().filter(|_| !all.is_empty()) else {
        return;
    };
    let _ = writeln!(out, "\n{}", script.script);
    for reason in all {
        let with = reports
            .iter()
            .filter(|report| report.reasons.contains(reason));
        let kernels: Vec<&str> = with.map(|report| report.kernel.as_str()).collect();
        let place = [reason.place.as_str(), reason.probe.as_str()];
        let place: Vec<&str> = place.into_iter().filter(|word| !word.is_empty()).collect();
        let place = match place.is_empty() {
            true => String::new(),
            false => format!("{}: ", place.join(": ")),
        };
        let _ = writeln!(
            out,
            "  {}: {place}{} ({})",
            reason.verdict.words(),
            reason.what,
            kernels.join(", ")
        );
    }
}

/// An array with an object for each script and kernel: `script`, `kernel`, `arch` (null where the BTF does not tell), `verdict` (`runs`, `fallback`,
/// `fails`), and `reasons` with `verdict`, `place`, `probe` and `what`.
#[must_use]
pub fn json(reports: &[Report]) -> String {
    let all: Vec<Value> = reports
        .iter()
        .map(|report| {
            let reasons: Vec<Value> = report
                .reasons
                .iter()
                .map(|reason| {
                    json!({
                        "verdict": reason.verdict.word(),
                        "place": reason.place,
                        "probe": reason.probe,
                        "what": reason.what,
                    })
                })
                .collect();
            json!({
                "script": report.script,
                "kernel": report.kernel,
                "arch": report.arch.map(Arch::rust_name),
                "verdict": report.verdict().word(),
                "reasons": reasons,
            })
        })
        .collect();
    format!("{:#}\n", Value::Array(all))
}
