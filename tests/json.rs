//! Lines of JSON output, held against the schema that docs/json.md gives to their readers.

use std::sync::OnceLock;

use anyhow::{Context, Result};
use jsonschema::Validator;
use serde_json::Value;

use crate::case::Case;

/// Whether a case's executable prints JSON on standard output.
#[must_use]
pub fn is_printed_by(case: &Case) -> bool {
    let words = case.args.join(" ");
    (words.contains("-f json") || words.contains("-fjson")) && !case.args.iter().any(|w| w == "-o")
}

fn schema() -> Result<Validator> {
    let path = crate::root().join("docs/json.schema.json");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let schema: Value = serde_json::from_str(&text).context("docs/json.schema.json")?;
    jsonschema::validator_for(&schema).map_err(|e| anyhow::anyhow!("docs/json.schema.json: {e}"))
}

/// Every line is an object that the schema knows; else which is not, and why.
///
/// # Errors
/// The first line that is wrong, or a schema that can't be used.
pub fn check(text: &str) -> Result<(), String> {
    static SCHEMA: OnceLock<Result<Validator, String>> = OnceLock::new();
    let schema = SCHEMA.get_or_init(|| schema().map_err(|e| format!("{e:#}")));
    let schema = schema.as_ref().map_err(Clone::clone)?;
    for line in text.lines() {
        let value: Value =
            serde_json::from_str(line).map_err(|error| format!("{line}: {error}"))?;
        if let Err(error) = schema.validate(&value) {
            return Err(format!("{line}\nis not what the schema says: {error}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn the_schema_can_refuse() {
        for good in [
            r#"{"type": "map", "data": {"@a": {"1,x": [1,"b",{"c": true}]}}}"#,
            r#"{"type": "hist", "data": {"@h": {"k": [{"max": -1, "count": 2}]}}}"#,
            r#"{"type": "warning", "data": "w", "filename": "a.bt", "line": 1, "col": 2}"#,
        ] {
            assert_eq!(check(good), Ok(()));
        }
        for bad in [
            "text",
            "{}",
            r#"{"type": "nothing", "data": 1}"#,
            r#"{"type": "printf", "data": 1}"#,
            r#"{"type": "printf", "data": "a", "more": 1}"#,
            r#"{"type": "map", "data": {"a": 1}}"#,
            r#"{"type": "map", "data": {"@a": null}}"#,
            r#"{"type": "map", "data": {"@a": 1, "@b": 2}}"#,
            r#"{"type": "value", "data": 1.5}"#,
            r#"{"type": "hist", "data": {"@h": [{"count": 2}]}}"#,
            r#"{"type": "stats", "data": {"@s": {"count": 1, "average": 2}}}"#,
            r#"{"type": "errorf", "msg": "m", "filename": "a.bt", "line": -1, "col": 2}"#,
            r#"{"type": "warning", "data": "w", "line": 1}"#,
            r#"{"type": "test_result", "data": {"t": {"duration": 1, "passed": 1, "output": ""}}}"#,
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
