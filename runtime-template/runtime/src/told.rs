//! Numbers and names that the command line tells (`kstack($1)`, `kaddr(str($1))`) → a manifest of constants, checked before anything is planned.

use btc_abi::number::{self, Fault, MOST_LINEAR};
use btc_abi::value::lhist_buckets;
use btc_abi::{Check, Manifest, Map, MapRole, Name, Number, Rule, Slot, TargetValue, Term};

use crate::parameters::{Parameters, integer};
use crate::{Error, Tracer};

/// The tracer with its numbers filled in; the same one where all are constants.
pub fn filled(tracer: &'static Tracer, parameters: &Parameters) -> Result<&'static Tracer, Error> {
    let manifest = tracer.manifest;
    if manifest.checks.is_empty() {
        return Ok(tracer);
    }
    let told = Told { parameters };
    for check in manifest.checks.iter() {
        told.check(check)?;
    }
    let maps = manifest.maps.iter().map(|map| told.map(map));
    let slots = manifest.slots.iter().map(|slot| told.slot(slot));
    Ok(tracer.with(Manifest {
        maps: maps.collect::<Vec<_>>().into(),
        slots: slots.collect::<Vec<_>>().into(),
        ..manifest.clone()
    }))
}

/// Why a parameter that is no integer is none of those that a number takes, where the script gives it to one alone.
#[must_use]
pub fn expected(manifest: &Manifest, index: u32) -> Option<String> {
    manifest.checks.iter().find_map(|check| match &check.rule {
        Rule::Within {
            text,
            number: Number::Told { formula, .. },
            least,
            most,
        } if **formula == [Term::Positional { index }] => {
            Some(wanted(check, text, (*least, *most)))
        }
        _ => None,
    })
}

/// ``x.bt:1:5: `$1`, the 1st argument of `kstack`: expected 1 to 1024``
fn wanted(check: &Check, text: &str, bounds: (i64, i64)) -> String {
    let bounds = match bounds {
        (i64::MIN, i64::MAX) => "an integer of 64 bits".to_owned(),
        (least, i64::MAX) => format!("at least {least}"),
        (least, most) => format!("{least} to {most}"),
    };
    let (place, what) = (&check.place, &check.what);
    format!("{place}: `{text}`, {what}: expected {bounds}")
}

struct Told<'a> {
    parameters: &'a Parameters,
}

impl Told<'_> {
    fn value(&self, number: &Number) -> Result<i128, Fault> {
        match number {
            Number::Constant { value } => Ok(i128::from(*value)),
            Number::Told { formula, .. } => number::evaluate(formula, &|term| match term {
                Term::Positional { index } => self.parameters.positional_wide(*index),
                Term::PositionalCount => self.parameters.positional_count() as i128,
                Term::Named { index } => self.parameters.named_wide(*index),
                _ => 0,
            }),
        }
    }

    fn check(&self, check: &Check) -> Result<(), Error> {
        match &check.rule {
            Rule::Within {
                text,
                number,
                least,
                most,
            } => {
                let found = match self.value(number) {
                    Ok(value) if (i128::from(*least)..=i128::from(*most)).contains(&value) => {
                        return Ok(());
                    }
                    Ok(value) => self.no_number(number).unwrap_or_else(|| value.to_string()),
                    Err(Fault::DivisionByZero) => "a division by zero".to_owned(),
                    Err(Fault::Overflow) => "a number of more than 64 bits".to_owned(),
                    Err(Fault::Malformed) => "no formula: a bug of btc".to_owned(),
                };
                let wanted = wanted(check, text, (*least, *most));
                Err(Error::usage(format!("{wanted}, found {found}")))
            }
            Rule::Given { text, name } => match self.text(name) {
                "" => {
                    let (place, what) = (&check.place, &check.what);
                    Err(Error::usage(format!(
                        "{place}: `{text}`, {what}: expected a name, found nothing: it was not given"
                    )))
                }
                _ => Ok(()),
            },
            Rule::Linear { min, max, step } => {
                let bounds = [min, max, step].map(|number| self.constant(number));
                linear(bounds).map_err(|why| {
                    let (place, what) = (&check.place, &check.what);
                    Error::usage(format!("{place}: {what} {why}"))
                })
            }
        }
    }

    /// What stands in place of a number that is a parameter.
    fn no_number(&self, number: &Number) -> Option<String> {
        let Number::Told { formula, .. } = number else {
            return None;
        };
        let [Term::Positional { index }] = **formula else {
            return None;
        };
        if self.parameters.positional_count() < index as usize {
            return Some("nothing: it was not given".to_owned());
        }
        let text = self.parameters.positional_text(index);
        integer(text).is_none().then(|| format!("`{text}`"))
    }

    /// The number, which was checked; one that passed has a value of 64 bits.
    fn constant(&self, number: &Number) -> i64 {
        let value = self.value(number).unwrap_or_default();
        i64::try_from(value).unwrap_or_default()
    }

    fn fill(&self, number: &mut Number) {
        *number = Number::from(self.constant(number));
    }

    fn text<'n>(&'n self, name: &'n Name) -> &'n str {
        match name {
            Name::Literal { text } => text,
            Name::Positional { index } => self.parameters.positional_text(*index),
            Name::Named { index } => self.parameters.named_text(*index),
        }
    }

    fn map(&self, map: &Map) -> Map {
        let mut map = map.clone();
        if let MapRole::Stacks { limit, .. } = &mut map.role {
            self.fill(limit);
        }
        map.value.numbers(&mut |number| self.fill(number));
        map
    }

    fn slot(&self, slot: &Slot) -> Slot {
        let mut slot = slot.clone();
        match &mut slot.value {
            TargetValue::Number { number } => self.fill(number),
            TargetValue::KernelAddress { symbol: name }
            | TargetValue::UserAddress { symbol: name, .. }
            | TargetValue::CgroupId { path: name }
            | TargetValue::KfuncExists { name }
            | TargetValue::KfuncAllowed { name, .. } => {
                let text = self.text(name).to_owned().into();
                *name = Name::Literal { text };
            }
            TargetValue::Buckets { of } => of.numbers(&mut |number| self.fill(number)),
            _ => {}
        }
        slot
    }
}

/// What is wrong with the bounds of a linear histogram, as the compiler says it of constants.
fn linear([min, max, step]: [i64; 3]) -> Result<(), String> {
    if max <= min {
        return Err(format!("needs a max above its min, found {min} to {max}"));
    }
    let range = i128::from(max) - i128::from(min);
    let wide = i128::from(step);
    if range + wide > i128::from(i64::MAX) {
        return Err("has bounds that are too far apart".to_owned());
    }
    let buckets = (range + wide - 1) / wide.max(1);
    if buckets > i128::from(MOST_LINEAR) {
        return Err(format!(
            "has at most {MOST_LINEAR} buckets, with {min} to {max} by {step} it would have {buckets}"
        ));
    }
    debug_assert_eq!(buckets + 2, i128::from(lhist_buckets(min, max, step)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::manifest;
    use btc_abi::{Parameter, ParameterType, Value};

    fn given(index: u32, most: i64) -> Number {
        Number::Told {
            formula: vec![Term::Positional { index }].into(),
            most,
        }
    }

    fn check(rule: Rule) -> Check {
        Check {
            what: "the 1st argument of `kstack`".into(),
            place: "x.bt:1:5".into(),
            rule,
        }
    }

    #[test]
    fn bounds_are_checked() {
        let mut manifest = manifest();
        manifest.positional = vec![Parameter {
            name: "1".into(),
            ty: ParameterType::Integer { default: None },
            description: "".into(),
        }]
        .into();
        let within = check(Rule::Within {
            text: "$1".into(),
            number: given(1, 1024),
            least: 1,
            most: 1024,
        });
        manifest.checks = vec![within.clone()].into();
        let said = |arguments: &[&str]| {
            let mut parameters = Parameters::new(&manifest);
            let texts = arguments.iter().map(|text| (*text).to_owned()).collect();
            let told = |parameters| Told { parameters }.check(&within);
            let result = parameters.set_positional(&manifest, texts);
            result
                .and_then(|()| told(&parameters))
                .map_err(|e| e.to_string())
        };
        assert_eq!(said(&["1024"]), Ok(()));
        let wanted = "x.bt:1:5: `$1`, the 1st argument of `kstack`: expected 1 to 1024";
        for (argument, found) in [
            ("0", "0"),
            ("-3", "-3"),
            ("1025", "1025"),
            ("18446744073709551615", "18446744073709551615"),
            ("many", "`many`"),
        ] {
            assert_eq!(said(&[argument]), Err(format!("{wanted}, found {found}")));
        }
        assert_eq!(
            said(&[]),
            Err(format!("{wanted}, found nothing: it was not given"))
        );
    }

    #[test]
    fn linear_bounds() {
        assert_eq!(linear([0, 100, 10]), Ok(()));
        assert_eq!(linear([-5, 95, 30]), Ok(()));
        assert_eq!(linear([0, 1000, 1]), Ok(()));
        assert!(
            linear([0, 1001, 1])
                .unwrap_err()
                .contains("it would have 1001")
        );
        assert!(linear([5, 5, 1]).is_err());
        assert!(
            linear([i64::MIN, i64::MAX, 1])
                .unwrap_err()
                .contains("too far apart")
        );
    }

    #[test]
    fn what_is_told_sizes_values() {
        let parameters = Parameters::new(&manifest());
        let told = Told {
            parameters: &parameters,
        };
        let mut value = Value::Hist { bits: given(1, 5) };
        assert_eq!(value.buckets(), btc_abi::value::hist_buckets(5));
        value.numbers(&mut |number| told.fill(number));
        assert_eq!(value.buckets(), btc_abi::value::hist_buckets(0));
        let linear = Value::Lhist {
            min: 0.into(),
            max: given(1, i64::MAX),
            step: 1.into(),
        };
        assert_eq!(linear.buckets(), MOST_LINEAR + 2);
    }
}
