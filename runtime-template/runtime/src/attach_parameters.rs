//! Parameters of attach points (`kprobe:$1`) → the texts that the executable was given, before anything is planned.

use btc_abi::{Attach, Manifest, PerfPeriod, Probe, TargetValue, Text, UserPlace, period};

use crate::parameters::Parameters;
use crate::{Error, Tracer};

/// The tracer with its attach points filled in; the same one where they have no parameters.
pub fn filled(tracer: &'static Tracer, parameters: &Parameters) -> Result<&'static Tracer, Error> {
    if !tracer.manifest.probes.iter().any(|probe| probe.parameters) {
        return Ok(tracer);
    }
    let probes = tracer.manifest.probes.iter().map(|probe| {
        let mut probe = probe.clone();
        if probe.parameters {
            fill(&mut probe, parameters)?;
        }
        Ok(probe)
    });
    let probes = probes.collect::<Result<Vec<_>, Error>>()?;
    let slots = tracer.manifest.slots.iter().map(|slot| {
        let mut slot = slot.clone();
        if let TargetValue::UserAddress { binary, .. }
        | TargetValue::UserCodeEnd { binary }
        | TargetValue::UserDataEnd { binary } = &mut slot.value
        {
            fill_binary(binary, (&tracer.manifest.probes, &probes));
        }
        slot
    });
    let slots = slots.collect::<Vec<_>>();
    let manifest = Manifest {
        slots: slots.into(),
        probes: probes.into(),
        ..tracer.manifest.clone()
    };
    Ok(tracer.with(manifest))
}

/// Gives the binary that a program looks into the name that its probe's binary got.
fn fill_binary(binary: &mut Text, (written, filled): (&[Probe], &[Probe])) {
    for (written, filled) in written.iter().zip(filled) {
        if let (Some(name), Some(given)) = (probed(&written.attach), probed(&filled.attach))
            && written.parameters
            && *name == *binary
        {
            *binary = given.clone();
            return;
        }
    }
}

fn probed(attach: &Attach) -> Option<&Text> {
    match attach {
        Attach::Uprobe { binary, .. }
        | Attach::Uretprobe { binary, .. }
        | Attach::Usdt { binary, .. } => Some(binary),
        _ => None,
    }
}

fn fill(probe: &mut Probe, parameters: &Parameters) -> Result<(), Error> {
    let place = probe.place.clone();
    for text in std::iter::once(&mut probe.name).chain(texts(&mut probe.attach)) {
        *text = with_parameters(text, parameters)
            .map_err(|missing| {
                Error::usage(format!("{place}: the probe needs parameter {missing}"))
            })?
            .into();
    }
    if probe.number.is_empty() {
        return Ok(());
    }
    let text = with_parameters(&probe.number, parameters).unwrap_or_default();
    set_number(&mut probe.attach, &text).map_err(|why| {
        let name = &probe.name;
        Error::usage(format!("{place}: {name}: {why}"))
    })
}

/// Gives the attach point its number; says what it should have been.
fn set_number(attach: &mut Attach, text: &str) -> Result<(), String> {
    let expected = |what: &str| format!("expected {what}, found `{text}`");
    let positive = || period::number(text).filter(|n| *n > 0);
    let count = || positive().ok_or_else(|| expected("a number above 0"));
    match attach {
        Attach::Interval { period } | Attach::Profile { period } => {
            *period = match period {
                PerfPeriod::Hertz { .. } => PerfPeriod::Hertz { hz: count()? },
                // A bare period may have its unit with it.
                PerfPeriod::Nanoseconds { ns: 1 } => match period::bare(text) {
                    Some(period) => period,
                    None => return Err(expected("a period")),
                },
                PerfPeriod::Nanoseconds { ns } => match count()?.checked_mul(*ns) {
                    Some(ns) => PerfPeriod::Nanoseconds { ns },
                    None => return Err(expected("a shorter period")),
                },
            };
        }
        Attach::Software { count: all, .. } | Attach::Hardware { count: all, .. } => {
            *all = count()?;
        }
        Attach::Watchpoint {
            address, length, ..
        } => {
            let given = positive().ok_or_else(|| expected("an address"))?;
            if !given.is_multiple_of(u64::from(*length)) {
                return Err(expected(&format!("a multiple of the length, {length}")));
            }
            *address = given;
        }
        _ => {}
    }
    Ok(())
}

/// The parts that a script may give as parameters.
fn texts(attach: &mut Attach) -> Vec<&mut Text> {
    match attach {
        Attach::Kprobe {
            module, function, ..
        }
        | Attach::Kretprobe { module, function }
        | Attach::Fentry { module, function }
        | Attach::Fexit { module, function } => module.iter_mut().chain([function]).collect(),
        Attach::Tracepoint { category, event } => vec![category, event],
        Attach::RawTracepoint { event, .. } => vec![event],
        Attach::Uprobe { binary, place, .. } | Attach::Uretprobe { binary, place } => {
            let inside = match place {
                UserPlace::Function { symbol, .. } => Some(symbol),
                UserPlace::Cpp { name } => Some(name),
                UserPlace::Line { file, .. } => Some(file),
                UserPlace::Address { .. } => None,
            };
            [binary].into_iter().chain(inside).collect()
        }
        Attach::Usdt {
            binary,
            namespace,
            name,
            ..
        } => [binary, name].into_iter().chain(namespace).collect(),
        _ => vec![],
    }
}

/// `$1` becomes the parameter, `$$` a dollar. `Err`: the number of a parameter that was not given.
fn with_parameters(text: &str, parameters: &Parameters) -> Result<String, u32> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        filled.push_str(before);
        let digits = (after.find(|c: char| !c.is_ascii_digit())).unwrap_or(after.len());
        let Ok(number) = after[..digits].parse() else {
            filled.push('$');
            rest = after.strip_prefix('$').unwrap_or(after);
            continue;
        };
        match parameters.positional_text(number) {
            "" => return Err(number),
            given => filled.push_str(given),
        }
        rest = &after[digits..];
    }
    filled.push_str(rest);
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::manifest;
    use btc_abi::{Parameter, ParameterType};

    #[test]
    fn numbers_are_set() {
        let set = |period: PerfPeriod, text: &str| {
            let mut attach = Attach::Interval { period };
            set_number(&mut attach, text).map(|()| match attach {
                Attach::Interval { period } => period,
                other => panic!("{other:?}"),
            })
        };
        let ns = |ns| PerfPeriod::Nanoseconds { ns };
        assert_eq!(set(ns(1_000_000), "5"), Ok(ns(5_000_000)));
        assert_eq!(set(ns(1), "20ms"), Ok(ns(20_000_000)));
        assert_eq!(set(ns(1), "99hz"), Ok(PerfPeriod::Hertz { hz: 99 }));
        let hertz = PerfPeriod::Hertz { hz: 1 };
        assert_eq!(set(hertz.clone(), "99"), Ok(PerfPeriod::Hertz { hz: 99 }));
        assert!(set(hertz, "0").is_err());
        assert!(set(ns(1000), "x").is_err());
        assert!(set(ns(1_000_000_000), "99999999999999").is_err());
        let watchpoint = |text| {
            let mut attach = Attach::Watchpoint {
                address: 8,
                length: 8,
                access: 2,
            };
            set_number(&mut attach, text).is_ok()
        };
        assert!(watchpoint("0x1000"));
        assert!(!watchpoint("0x1001"));
        assert!(!watchpoint("0"));
    }

    #[test]
    fn texts_are_filled() {
        let mut manifest = manifest();
        let parameter = |name: &'static str| Parameter {
            name: name.into(),
            ty: ParameterType::String { default: None },
            description: "".into(),
        };
        manifest.positional = vec![parameter("1"), parameter("2")].into();
        let mut parameters = Parameters::new(&manifest);
        let given = vec!["vfs_read".into(), "x".into()];
        parameters.set_positional(&manifest, given).unwrap();
        let filled = |text| with_parameters(text, &parameters);
        assert_eq!(filled("kprobe:$1").unwrap(), "kprobe:vfs_read");
        assert_eq!(filled("a_$2_$$1$1").unwrap(), "a_x_$1vfs_read");
        assert_eq!(filled("plain").unwrap(), "plain");
        assert_eq!(filled("$3"), Err(3));
    }
}
