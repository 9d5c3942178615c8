//! The table at the end of docs/language.md: each row of the language and the cases that show it. A row without a case
//! fails, and so does a case that says to cover what is no row. `BTC_BLESS=1` rewrites the table.

mod rows;

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::{Context, Result, ensure};
use btc::diagnostic::Code;
use btc_tests::case::files;
use btc_tests::{golden, root};
use regex::Regex;

use rows::{Row, groups};

const HEADING: &str = "## What shows it at work\n\n";
const FOLDERS: &[&str] = &["run", "ir", "ui", "codegen"];
/// How many cases a row names.
const SHOWN: usize = 2;

/// A case, as far as the table needs it.
struct Case {
    /// `run/string/strncmp`
    name: String,
    text: String,
    covers: Vec<String>,
    /// Its place in [`FOLDERS`]: what runs shows more than what is refused.
    folder: usize,
}

#[test]
fn every_row_of_the_language_has_a_case() {
    hold().unwrap_or_else(|error| panic!("{error}"));
}

fn hold() -> Result<()> {
    let cases = collect()?;
    let groups = groups();
    let known: Vec<&str> = groups
        .iter()
        .flat_map(|group| group.rows.iter().map(|row| row.name.as_str()))
        .collect();
    let mut wrong = vec![];
    for case in &cases {
        for covered in &case.covers {
            if !known.contains(&covered.as_str()) && !is_topic(covered) {
                wrong.push(format!("{}: `{covered}` is no row", case.name));
            }
        }
    }
    let mut table = String::from("| row | cases | for example |\n|---|---|---|\n");
    for group in &groups {
        writeln!(table, "| **{}** | | |", group.title)?;
        for row in &group.rows {
            let found = showing(row, &cases)?;
            if found.is_empty() {
                wrong.push(format!("{}: no case shows `{}`", group.title, row.name));
            }
            let named: Vec<_> = found
                .iter()
                .take(SHOWN)
                .map(|case| format!("`{}`", case.name))
                .collect();
            let name = row.name.replace('|', "\\|");
            writeln!(
                table,
                "| `{name}` | {} | {} |",
                found.len(),
                named.join(", ")
            )?;
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    let path = root().join("docs/language.md");
    let page = std::fs::read_to_string(&path)?;
    let (before, _) = page
        .split_once(HEADING)
        .context("docs/language.md has no section `What shows it at work`")?;
    let counts: BTreeMap<_, usize> = cases.iter().fold(BTreeMap::new(), |mut counts, case| {
        *counts.entry(case.folder).or_default() += 1;
        counts
    });
    let counted: Vec<_> = FOLDERS
        .iter()
        .zip(counts.values())
        .map(|(folder, count)| format!("{count} of `tests/{folder}`"))
        .collect();
    let intro = format!(
        "Each row of the language, how many of the cases have it in them ({}), and two that are there for it where there are such.\n\n",
        counted.join(", ")
    );
    golden::compare(&path, &format!("{before}{HEADING}{intro}{table}"))
}

/// Words of `covers` that are no rows: the collections of scripts by year, and codes of diagnostics.
fn is_topic(word: &str) -> bool {
    word.starts_with("year-") || Code::ALL.iter().any(|code| code.as_str() == word)
}

fn collect() -> Result<Vec<Case>> {
    let mut cases = vec![];
    let base = root().join("tests");
    for (at, folder) in FOLDERS.iter().enumerate() {
        for path in files(&base.join(folder))? {
            if !path.extension().is_some_and(|e| e == "bt" || e == "case") {
                continue;
            }
            let text = std::fs::read_to_string(&path)?;
            let covers = text
                .lines()
                .filter_map(|line| line.trim_start_matches("// ").strip_prefix("covers:"))
                .flat_map(|words| words.split(','))
                .map(|word| word.trim().to_owned())
                .collect();
            cases.push(Case {
                name: path
                    .strip_prefix(&base)?
                    .with_extension("")
                    .display()
                    .to_string(),
                text,
                covers,
                folder: at,
            });
        }
    }
    Ok(cases)
}

/// The cases of a row: those first that say so, that run, that are named after it, and that are short.
fn showing<'c>(row: &Row, cases: &'c [Case]) -> Result<Vec<&'c Case>> {
    let written = Regex::new(&row.written).with_context(|| row.name.clone())?;
    let says = |case: &Case| case.covers.contains(&row.name);
    let mut found: Vec<_> = cases
        .iter()
        .filter(|case| says(case) || written.is_match(&case.text))
        .collect();
    found.sort_by_key(|case| {
        let last = case.name.rsplit('/').next().unwrap_or_default();
        let named = last.replace('-', "_").contains(&row.name.replace('-', "_"));
        (
            !(says(case) || named),
            case.folder,
            !named,
            case.text.len(),
            &case.name,
        )
    });
    Ok(found)
}
