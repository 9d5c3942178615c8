//! `tests/ui`, `tests/ir` and `tests/codegen`: what btc says about a script, makes of it and emits for it.

use anyhow::{Context, Result, ensure};
use btc::diagnostic::{Code, explain};
use btc::ir;
use btc::options::Language;
use btc_tests::golden::{self, Golden};
use btc_tests::root;
use libtest_mimic::{Arguments, Failed, Trial};

/// Codes that no script gets against the fixture kernel, and why.
const WITHOUT_CASE: &[(Code, &str)] = &[(
    Code::StackTooLarge,
    "only code generation can tell: tests/core_relocations.rs has its case",
)];

/// Codes whose entry shows no script: it would be too long, or there may be none.
const WITHOUT_EXAMPLE: &[Code] = &[
    Code::TooManyMaps,
    Code::StackTooLarge,
    Code::ProgramTooLarge,
];

fn main() -> Result<()> {
    let mut trials = vec![];
    for (folder, judge) in [
        ("ui", diagnostics as fn(&Golden) -> Result<()>),
        ("ir", typed_tree),
        ("codegen", llvm_text),
    ] {
        for case in golden::collect(&root().join("tests").join(folder))? {
            let name = case.name.clone();
            trials.push(Trial::test(name, move || {
                judge(&case).map_err(|e| Failed::from(format!("{e:#}")))
            }));
        }
    }
    trials.push(Trial::test("ui/every_code_has_a_case", || {
        every_code_has_a_case().map_err(|e| Failed::from(format!("{e:#}")))
    }));
    trials.push(Trial::test("docs/diagnostics_explains_every_code", || {
        diagnostics_page().map_err(|e| Failed::from(format!("{e:#}")))
    }));
    libtest_mimic::run(&Arguments::from_args(), trials).exit()
}

fn diagnostics(case: &Golden) -> Result<()> {
    let analyzed = case.analyze();
    ensure!(
        !analyzed.diagnostics.is_empty(),
        "nothing is wrong with this script"
    );
    case.compare("stderr", &analyzed.rendered()?)
}

fn typed_tree(case: &Golden) -> Result<()> {
    let analyzed = case.analyze();
    case.compare("ir", &ir::print::print(analyzed.without_errors()?))
}

/// `CHECK:` finds the next line that contains its words, `CHECK-NEXT:` asks the line after that, `CHECK-NOT:` forbids
/// its words between the lines that its neighbours found. White space counts as one space.
fn llvm_text(case: &Golden) -> Result<()> {
    let text = case.analyze().llvm()?;
    let lines: Vec<String> = text
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    let mut at = 0;
    let mut forbidden: Vec<&str> = vec![];
    let mut checks = 0;
    for line in case.text.lines() {
        let line = line.trim();
        let found = if let Some(words) = line.strip_prefix("// CHECK-NOT:") {
            forbidden.push(words.trim());
            None
        } else if let Some(words) = line.strip_prefix("// CHECK-NEXT:") {
            let next = lines.get(at).filter(|l| l.contains(words.trim()));
            next.with_context(|| format!("{line}: not found on the next line of\n{text}"))?;
            Some(at)
        } else if let Some(words) = line.strip_prefix("// CHECK:") {
            let found = lines[at..].iter().position(|l| l.contains(words.trim()));
            Some(at + found.with_context(|| format!("{line}: not found in\n{text}"))?)
        } else {
            continue;
        };
        checks += 1;
        if let Some(found) = found {
            absent(&mut forbidden, &lines[at..found])?;
            at = found + 1;
        }
    }
    ensure!(checks > 0, "the case checks nothing");
    absent(&mut forbidden, &lines[at..])
}

fn absent(forbidden: &mut Vec<&str>, lines: &[String]) -> Result<()> {
    for words in forbidden.drain(..) {
        if let Some(line) = lines.iter().find(|l| l.contains(words)) {
            anyhow::bail!("CHECK-NOT: {words}: found `{line}`");
        }
    }
    Ok(())
}

fn every_code_has_a_case() -> Result<()> {
    let mut said = vec![];
    for case in golden::collect(&root().join("tests/ui"))? {
        let diagnostics = case.analyze().diagnostics;
        said.extend(diagnostics.iter().map(|d| d.code));
    }
    for code in Code::ALL {
        let exempt = WITHOUT_CASE.iter().any(|(c, _)| c == code);
        let name = code.as_str();
        ensure!(
            exempt || said.contains(code),
            "no case in tests/ui gets `{name}`"
        );
        ensure!(
            !exempt || !said.contains(code),
            "`{name}` has a case: take it off the list"
        );
    }
    Ok(())
}

/// docs/diagnostics.md has an entry for every code and no other; of its examples the first gets the code, and the second
/// compiles without it.
fn diagnostics_page() -> Result<()> {
    let known: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    for entry in explain::entries() {
        ensure!(known.contains(&entry), "`{entry}` is no code");
    }
    let wrong: Vec<_> = Code::ALL
        .iter()
        .filter_map(|code| entry_holds(*code).err())
        .map(|error| format!("{error:#}"))
        .collect();
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

fn entry_holds(code: Code) -> Result<()> {
    let name = code.as_str();
    ensure!(
        !explain::explain(code).is_empty(),
        "`{name}` has no entry in docs/diagnostics.md"
    );
    let analyzed = |script: &str| golden::analyze("example", script, &Language::default());
    match explain::examples(code)[..] {
        [] => ensure!(
            WITHOUT_EXAMPLE.contains(&code),
            "the entry of `{name}` has no example"
        ),
        [wrong, right] => {
            let wrong = analyzed(wrong);
            ensure!(
                wrong.diagnostics.iter().any(|d| d.code == code),
                "the example does not get `{name}`:\n{}",
                wrong.rendered()?
            );
            let right = analyzed(right);
            ensure!(
                !right.diagnostics.has_errors() && right.diagnostics.iter().all(|d| d.code != code),
                "the mended example of `{name}` is still wrong:\n{}",
                right.rendered()?
            );
        }
        _ => anyhow::bail!("the entry of `{name}` needs one example and its mended form"),
    }
    Ok(())
}
