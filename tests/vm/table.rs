//! Verdicts of the matrix → the table of docs/portability.md: kinds of probes × kernels.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::kernels::{MATRIX, Series};
use super::matrix::{Run, Verdict};

/// Cases of `tests/run/probe/TYPE/` are what the table is made of.
const FOLDER: &str = "probe/";

/// The kind of probe that a case is for.
fn kind<'a>(run: &'a Run<'_>) -> Option<&'a str> {
    let rest = run.case.name.strip_prefix(FOLDER)?;
    rest.split_once('/').map(|(kind, _)| kind)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Cell {
    Untried,
    Runs,
    /// It can't, and says so.
    Refuses,
    Fails,
}

impl Cell {
    fn text(self) -> &'static str {
        match self {
            Cell::Untried => "",
            Cell::Runs => "yes",
            Cell::Refuses => "no",
            Cell::Fails => "**fails**",
        }
    }
}

/// The table, and a line for each reason why a kind can't be had.
#[must_use]
pub fn markdown(runs: &[Run<'_>], verdicts: &BTreeMap<String, Verdict>) -> String {
    let kinds: BTreeSet<&str> = runs.iter().filter_map(kind).collect();
    let names: Vec<String> = MATRIX.iter().map(|series| series.name()).collect();
    let mut text = format!(
        "| | {} |\n|---|{}\n",
        names.join(" | "),
        "---|".repeat(names.len())
    );
    for kind in &kinds {
        let cells = MATRIX
            .iter()
            .map(|series| cell(kind, *series, runs, verdicts).text());
        let cells: Vec<&str> = cells.collect();
        let _ = writeln!(text, "| {kind} | {} |", cells.join(" | "));
    }
    text.push('\n');
    for kind in &kinds {
        for (why, kernels) in reasons(kind, runs, verdicts) {
            let _ = writeln!(text, "- {kind} on {}: {why}", kernels.join(", "));
        }
    }
    text
}

fn cell(
    wanted: &str,
    kernel: Series,
    runs: &[Run<'_>],
    verdicts: &BTreeMap<String, Verdict>,
) -> Cell {
    let tried = runs
        .iter()
        .filter(|run| run.kernel == kernel && kind(run) == Some(wanted));
    let mut cell = Cell::Untried;
    for run in tried {
        let passed = verdicts
            .get(&run.title())
            .is_some_and(|verdict| verdict.is_ok());
        cell = match (passed, run.case.is_refusal(), cell) {
            (false, ..) => return Cell::Fails,
            (true, true, Cell::Untried) => Cell::Refuses,
            (true, true, cell) => cell,
            (true, false, _) => Cell::Runs,
        };
    }
    cell
}

/// What the cases are about that say why a kind can't be had, and the kernels.
fn reasons<'a>(
    wanted: &str,
    runs: &'a [Run<'_>],
    verdicts: &BTreeMap<String, Verdict>,
) -> BTreeMap<&'a str, Vec<String>> {
    let mut reasons: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let refusing = runs
        .iter()
        .filter(|run| kind(run) == Some(wanted) && run.case.is_refusal());
    for run in refusing {
        if cell(wanted, run.kernel, runs, verdicts) == Cell::Refuses {
            let kernels = reasons.entry(&run.case.about).or_default();
            kernels.push(run.kernel.name());
        }
    }
    reasons
}

const START: &str = "<!-- matrix -->\n";
const END: &str = "<!-- end of matrix -->\n";

/// Compares the table with the one in docs/portability.md; with `BTC_BLESS` writes it there.
///
/// # Errors
/// When they differ, or the page has no room for a table.
pub fn compare(table: &str) -> Result<(), String> {
    let path = crate::root().join("docs/portability.md");
    let page = std::fs::read_to_string(&path).map_err(|error| error.to_string())?;
    let parts = page.split_once(START).and_then(|(before, rest)| {
        let (shown, after) = rest.split_once(END)?;
        Some((before, shown, after))
    });
    let (before, shown, after) = parts.ok_or("docs/portability.md has no matrix markers")?;
    if shown == table {
        return Ok(());
    }
    if std::env::var_os("BTC_BLESS").is_some() {
        let page = format!("{before}{START}{table}{END}{after}");
        return std::fs::write(path, page).map_err(|error| error.to_string());
    }
    Err(format!(
        "docs/portability.md shows another table (BTC_BLESS=1 renews it); this run's is\n{table}"
    ))
}
