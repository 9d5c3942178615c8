//! What a script took for granted of a function in a binary → whether another build of the binary keeps to it.

use std::collections::VecDeque;

use btc_abi::{Layout, Signature};

use super::{DebugInfo, Kind, Prototype, Record, TypeId};
use crate::Error;
use crate::elf::{Binary, Function};

/// Checks a target's function.
///
/// # Errors
/// The binary is of another build, and its debug information is missing or says something else.
pub fn check(binary: &Binary, function: &Function, signature: &Signature) -> Result<(), Error> {
    if !signature.build_id.is_empty() && build_id(binary)? == signature.build_id {
        return Ok(());
    }
    let path = binary.path().display();
    let advice = "compile the script with this binary, or use arg0 to argN instead of args";
    let debug = DebugInfo::of(binary).map_err(|error| {
        let what = format!(
            "the arguments of `{}` are those of another build of {path}; {advice}",
            function.name
        );
        Error::with_source(what, error)
    })?;
    let prototype = debug.function(function.address)?.ok_or_else(|| {
        Error::new(format!(
            "{path}: no debug information of `{}`, and it is not the build that the script was compiled with; {advice}",
            function.name
        ))
    })?;
    let parameters = parameters(&debug, &prototype)?;
    if parameters != signature.parameters {
        return Err(Error::new(format!(
            "{path}: the parameters of `{}` are ({parameters}), and the script was compiled for ({}); {advice}",
            function.name, signature.parameters
        )));
    }
    for layout in signature.layouts.iter() {
        // One that can't be reached any more has a changed one before it.
        let Some(found) = reachable(&debug, &prototype, &layout.name)? else {
            continue;
        };
        if found != layout.members {
            return Err(Error::new(format!(
                "{path}: `{}` is {{ {found} }}, and the script was compiled for {{ {} }}; {advice}",
                layout.name, layout.members
            )));
        }
    }
    Ok(())
}

/// In hex; empty where the binary has none.
///
/// # Errors
/// A damaged binary.
pub fn build_id(binary: &Binary) -> Result<String, Error> {
    let id = binary.build_id()?.unwrap_or_default();
    Ok(id.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// `name: type` of each parameter.
///
/// # Errors
/// Debug information that can't be read.
pub fn parameters(debug: &DebugInfo<'_>, prototype: &Prototype) -> Result<String, Error> {
    let all = prototype.parameters.iter();
    let all = all.map(|(name, ty)| Ok(format!("{name}: {}", type_name(debug, *ty, 0)?)));
    Ok(all.collect::<Result<Vec<_>, Error>>()?.join(", "))
}

/// A struct as it is compared.
///
/// # Errors
/// Debug information that can't be read.
pub fn layout(debug: &DebugInfo<'_>, name: String, record: &Record) -> Result<Layout, Error> {
    Ok(Layout {
        name: name.into(),
        members: members(debug, record)?.into(),
    })
}

fn members(debug: &DebugInfo<'_>, record: &Record) -> Result<String, Error> {
    let mut text = String::new();
    for member in &record.members {
        let ty = type_name(debug, member.ty, 0)?;
        text += &format!("{}: {ty} @{}", member.name, member.bit_offset);
        if let Some(width) = member.bitfield {
            text += &format!(":{width}");
        }
        text += ", ";
    }
    Ok(format!("{text}{} bytes", record.size))
}

/// A type's name, without typedefs and qualifiers: what decides how a value is read.
fn type_name(debug: &DebugInfo<'_>, id: Option<TypeId>, depth: usize) -> Result<String, Error> {
    if depth > 32 {
        return Ok("…".to_owned());
    }
    let name = |id| type_name(debug, id, depth + 1);
    Ok(match debug.kind(id)? {
        Kind::Void => "void".to_owned(),
        Kind::Int { bool_: true, .. } => "bool".to_owned(),
        Kind::Int { bytes, signed, .. } => int_name(bytes, signed),
        Kind::Float { bytes } => format!("float{}", bytes * 8),
        Kind::Pointer { to } => format!("{} *", name(to)?),
        Kind::Array { .. } => array_name(debug, id, depth)?,
        Kind::Record { name, union, .. } => record_name(&name, union),
        Kind::Enum {
            name,
            bytes,
            signed,
            ..
        } => format!("enum {name} ({})", int_name(bytes, signed)),
        Kind::Typedef { to, .. } => name(to)?,
        Kind::Function => "function".to_owned(),
        Kind::Other { bytes } => format!("other{}", bytes * 8),
    })
}

fn int_name(bytes: u64, signed: bool) -> String {
    format!("{}int{}", if signed { "" } else { "u" }, bytes * 8)
}

/// `int32[2][3]`, also of an array whose element is a typedef of an array.
fn array_name(debug: &DebugInfo<'_>, id: Option<TypeId>, depth: usize) -> Result<String, Error> {
    let (mut innermost, mut dimensions) = (id, String::new());
    for depth in depth..=32 {
        match debug.kind(innermost)? {
            Kind::Array { element, counts } => {
                for count in counts {
                    dimensions += &format!("[{count}]");
                }
                innermost = element;
            }
            Kind::Typedef { to, .. } => innermost = to,
            _ => {
                return Ok(format!(
                    "{}{dimensions}",
                    type_name(debug, innermost, depth + 1)?
                ));
            }
        }
    }
    Ok("…".to_owned())
}

/// `struct point`
#[must_use]
pub fn record_name(name: &str, union: bool) -> String {
    format!("{} {name}", if union { "union" } else { "struct" })
}

/// The members of a struct that the parameters lead to, by its name.
pub(super) fn reachable(
    debug: &DebugInfo<'_>,
    prototype: &Prototype,
    wanted: &str,
) -> Result<Option<String>, Error> {
    let mut queue: VecDeque<Option<TypeId>> =
        prototype.parameters.iter().map(|(_, ty)| *ty).collect();
    let mut seen = std::collections::HashSet::new();
    while let Some(next) = queue.pop_front() {
        let Some(id) = next else { continue };
        if !seen.insert(id) {
            continue;
        }
        match debug.kind(next)? {
            Kind::Pointer { to } | Kind::Typedef { to, .. } => queue.push_back(to),
            Kind::Array { element, .. } => queue.push_back(element),
            Kind::Record {
                id, name, union, ..
            } => {
                let Some(record) = debug.record(id)? else {
                    continue;
                };
                if record_name(&name, union) == wanted {
                    return members(debug, &record).map(Some);
                }
                queue.extend(record.members.iter().map(|member| member.ty));
            }
            _ => {}
        }
    }
    Ok(None)
}
