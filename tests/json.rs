//! Lines of JSON output, held against the schema that docs/json.md gives to their readers.
//!
//! The validator knows the keywords of JSON Schema (draft 2020-12) that the schema uses, and refuses a schema with others: the
//! crates that know all of them take longer to compile than btc.

use std::sync::OnceLock;

use anyhow::{Context, Result};
use regex::Regex;
use serde_json::{Map, Value};

use crate::case::Case;

/// Whether a case's executable prints JSON on standard output.
#[must_use]
pub fn is_printed_by(case: &Case) -> bool {
    let words = case.args.join(" ");
    (words.contains("-f json") || words.contains("-fjson")) && !case.args.iter().any(|w| w == "-o")
}

/// Every line is an object that the schema knows; else which is not, and why.
///
/// # Errors
/// The first line that is wrong, or a schema that can't be used.
pub fn check(text: &str) -> Result<(), String> {
    static SCHEMA: OnceLock<Result<Value, String>> = OnceLock::new();
    let schema = SCHEMA.get_or_init(|| schema().map_err(|e| format!("{e:#}")));
    let schema = schema.as_ref().map_err(Clone::clone)?;
    for line in text.lines() {
        let value: Value = serde_json::from_str(line).map_err(|e| format!("{line}: {e}"))?;
        let validator = Validator { root: schema };
        if let Err(why) = validator.holds(schema, &value) {
            return Err(format!("{line}\nis not what the schema says: {why}"));
        }
    }
    Ok(())
}

fn schema() -> Result<Value> {
    let path = crate::root().join("docs/json.schema.json");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    serde_json::from_str(&text).context("docs/json.schema.json")
}

struct Validator<'s> {
    /// What `$ref`s are looked up in.
    root: &'s Value,
}

type Verdict = Result<(), String>;

fn holds_if(good: bool, why: impl FnOnce() -> String) -> Verdict {
    if good { Ok(()) } else { Err(why()) }
}

impl Validator<'_> {
    fn holds(&self, schema: &Value, value: &Value) -> Verdict {
        let Value::Object(keywords) = schema else {
            return holds_if(schema == &Value::Bool(true), || {
                format!("{value} is not allowed")
            });
        };
        keywords
            .iter()
            .try_for_each(|(keyword, argument)| self.keyword(keyword, argument, keywords, value))
    }

    fn keyword(
        &self,
        keyword: &str,
        argument: &Value,
        beside: &Map<String, Value>,
        value: &Value,
    ) -> Verdict {
        let array = || argument.as_array().map_or(&[][..], Vec::as_slice);
        let good = || {
            array()
                .iter()
                .filter(|one| self.holds(one, value).is_ok())
                .count()
        };
        match keyword {
            "$schema" | "title" | "description" | "$defs" => Ok(()),
            "$ref" => self.holds(self.referred(argument)?, value),
            "oneOf" => holds_if(good() == 1, || {
                format!("{value} is {} of the choices", good())
            }),
            "anyOf" => holds_if(good() > 0, || format!("{value} is none of the choices")),
            "const" => holds_if(value == argument, || format!("{value} is not {argument}")),
            "enum" => holds_if(array().contains(value), || {
                format!("{value} is not one of {argument}")
            }),
            "type" => holds_if(is_of_type(value, argument), || {
                format!("{value} is no {argument}")
            }),
            "minimum" => holds_if(
                integer(value).is_none_or(|value| integer(argument) <= Some(value)),
                || format!("{value} is less than {argument}"),
            ),
            "pattern" => match (value.as_str(), argument.as_str().map(Regex::new)) {
                (Some(text), Some(Ok(pattern))) => holds_if(pattern.is_match(text), || {
                    format!("{value} does not match {pattern}")
                }),
                (None, Some(Ok(_))) => Ok(()),
                _ => Err(format!("a schema with the pattern {argument}")),
            },
            "items" => (value.as_array().into_iter().flatten())
                .try_for_each(|item| self.holds(argument, item)),
            _ => match value {
                Value::Object(members) => self.of_object(keyword, argument, beside, members),
                _ => known_of_objects(keyword),
            },
        }
    }

    /// The keywords that only objects are asked by.
    fn of_object(
        &self,
        keyword: &str,
        argument: &Value,
        beside: &Map<String, Value>,
        members: &Map<String, Value>,
    ) -> Verdict {
        let count = |limit: &Value| limit.as_u64().unwrap_or(0) as usize;
        let there = |names: &Value| {
            let names = names
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str);
            let missing = names.into_iter().find(|name| !members.contains_key(*name));
            missing.map_or(Ok(()), |name| Err(format!("`{name}` is missing")))
        };
        match keyword {
            "required" => there(argument),
            "dependentRequired" => (argument.as_object().into_iter().flatten())
                .filter(|(name, _)| members.contains_key(*name))
                .try_for_each(|(_, names)| there(names)),
            "minProperties" => holds_if(members.len() >= count(argument), || {
                "too few members".into()
            }),
            "maxProperties" => holds_if(members.len() <= count(argument), || {
                "too many members".into()
            }),
            "propertyNames" => members
                .keys()
                .try_for_each(|name| self.holds(argument, &Value::String(name.clone()))),
            "properties" => (argument.as_object().into_iter().flatten())
                .filter_map(|(name, schema)| Some((name, schema, members.get(name)?)))
                .try_for_each(|(name, schema, member)| {
                    self.holds(schema, member)
                        .map_err(|why| format!("{name}: {why}"))
                }),
            "additionalProperties" => {
                let named = beside.get("properties").and_then(Value::as_object);
                let named = |name: &String| named.is_some_and(|named| named.contains_key(name));
                (members.iter().filter(|(name, _)| !named(name))).try_for_each(|(name, member)| {
                    self.holds(argument, member)
                        .map_err(|why| format!("{name}: {why}"))
                })
            }
            _ => known_of_objects(keyword),
        }
    }

    /// `#/$defs/NAME`
    fn referred(&self, reference: &Value) -> Result<&Value, String> {
        let pointer = reference.as_str().and_then(|text| text.strip_prefix('#'));
        let found = pointer.and_then(|pointer| self.root.pointer(pointer));
        found.ok_or_else(|| format!("a schema that refers to {reference}"))
    }
}

fn known_of_objects(keyword: &str) -> Verdict {
    let known = [
        "required",
        "dependentRequired",
        "minProperties",
        "maxProperties",
        "propertyNames",
        "properties",
        "additionalProperties",
    ];
    holds_if(known.contains(&keyword), || {
        format!("a schema with the keyword `{keyword}`, which this validator does not know")
    })
}

/// Not as a double, which has not all of them.
fn integer(value: &Value) -> Option<i128> {
    let signed = value.as_i64().map(i128::from);
    signed.or_else(|| value.as_u64().map(i128::from))
}

fn is_of_type(value: &Value, name: &Value) -> bool {
    match name.as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("null") => value.is_null(),
        Some("integer") => value.is_i64() || value.is_u64(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn the_schema_can_refuse() {
        for good in [
            r#"{"type": "map", "data": {"@a": {"1,x": [1,"b",{"c": true}]}}}"#,
            r#"{"type": "value", "data": [9007199254740992, "9007199254740993", {"float": null}]}"#,
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
            r#"{"type": "value", "data": null}"#,
            r#"{"type": "hist", "data": {"@h": [{"count": 2}]}}"#,
            r#"{"type": "stats", "data": {"@s": {"count": 1, "average": true}}}"#,
            r#"{"type": "errorf", "msg": "m", "filename": "a.bt", "line": -1, "col": 2}"#,
            r#"{"type": "warning", "data": "w", "line": 1}"#,
            r#"{"type": "test_result", "data": {"t": {"duration": 1, "passed": 1, "output": ""}}}"#,
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
