//! A map of the loaded object → its elements, merged over CPUs and in the order in which they are printed; and what
//! `clear` and `zero` do to it.

use std::cmp::Ordering;
use std::collections::HashSet;

use btc_abi::{Map as Description, MapKind, Value};
use libbpf_rs::{Map, MapCore, MapFlags, Object};

use crate::aggregate::{self, Merged, integer};
use crate::{Context, Error};

/// One element.
pub struct Element {
    /// Empty in a map without keys.
    pub key: Vec<u8>,
    pub contents: Contents,
}

/// An element's value.
pub enum Contents {
    /// A number or an aggregation.
    Merged(Merged),
    /// Anything else, as it lies in the map.
    Bytes(Vec<u8>),
}

/// A map of the object by its description.
pub fn find<'o>(object: &'o Object, description: &Description) -> Result<Map<'o>, Error> {
    (object.maps())
        .find(|map| map.name().to_str() == Some(&*description.symbol))
        .ok_or_else(|| {
            Error::new(format!(
                "the object has no map {}: a bug of btc",
                description.symbol
            ))
        })
}

fn is_per_cpu(kind: &MapKind) -> bool {
    match kind {
        MapKind::PerCpuArray | MapKind::PerCpuHash | MapKind::LruPerCpuHash => true,
        MapKind::Array
        | MapKind::Hash
        | MapKind::LruHash
        | MapKind::RingBuffer
        | MapKind::PerfEventArray
        | MapKind::LpmTrie
        | MapKind::ArrayOfMaps => false,
    }
}

fn is_array(kind: &MapKind) -> bool {
    matches!(kind, MapKind::Array | MapKind::PerCpuArray)
}

/// The keys of a map that may change meanwhile: deleting the key that was read last starts the kernel over, so a key
/// that was seen is left out, and so many steps are enough.
fn keys(map: &Map<'_>) -> Vec<Vec<u8>> {
    let most = 2 * map.max_entries() as usize + 1;
    let mut seen = HashSet::new();
    let mut keys = Vec::new();
    for key in map.keys().take(most) {
        if seen.insert(key.clone()) {
            keys.push(key);
        }
    }
    keys
}

/// The value of each CPU, or the only one. `None`: deleted meanwhile.
fn values(map: &Map<'_>, kind: &MapKind, key: &[u8]) -> libbpf_rs::Result<Option<Vec<Vec<u8>>>> {
    if is_per_cpu(kind) {
        return map.lookup_percpu(key, MapFlags::ANY);
    }
    let found = map.lookup(key, MapFlags::ANY)?;
    Ok(found.map(|value| vec![value]))
}

/// All elements, sorted as they are printed: numbers by value, anything else by key.
pub fn read(map: &Map<'_>, description: &Description) -> Result<Vec<Element>, Error> {
    let mut elements = Vec::new();
    for key in keys(map) {
        elements.extend(element(map, description, key)?);
    }
    sort(&mut elements, description);
    Ok(elements)
}

/// The element of a key; `None` where there is none.
pub fn element(
    map: &Map<'_>,
    description: &Description,
    mut key: Vec<u8>,
) -> Result<Option<Element>, Error> {
    // Shorter where the kernel's longest key is (see `load`).
    key.truncate(map.key_size() as usize);
    let found = values(map, &description.kind, &key);
    let Some(found) = found.context(|| format!("read {}", description.name))? else {
        return Ok(None);
    };
    let cpus: Vec<&[u8]> = found.iter().map(Vec::as_slice).collect();
    let contents = match aggregate::merge(&description.value, &cpus) {
        Some(merged) => Contents::Merged(merged),
        None => Contents::Bytes(first_set(&cpus).to_vec()),
    };
    let size = description.key.as_ref().map_or(0, Value::size);
    key.resize(size as usize, 0);
    Ok(Some(Element { key, contents }))
}

/// The copy of the first CPU that set one: of what can't be added up, one of the copies is printed. An element that no
/// CPU set to anything but zero bytes has those.
fn first_set<'a>(cpus: &[&'a [u8]]) -> &'a [u8] {
    let set = cpus.iter().find(|cpu| cpu.iter().any(|byte| *byte != 0));
    set.or(cpus.first()).copied().unwrap_or_default()
}

fn sort(elements: &mut [Element], description: &Description) {
    if let Some(key) = &description.key {
        elements.sort_by(|a, b| compare(key, &a.key, &b.key));
    }
    // Stable: equal numbers stay in the order of their keys.
    elements.sort_by_key(|element| match &element.contents {
        Contents::Merged(merged) => merged.rank(),
        Contents::Bytes(_) => 0,
    });
}

/// Integers by number, tuples by their first parts first, all else by bytes.
fn compare(value: &Value, a: &[u8], b: &[u8]) -> Ordering {
    match value {
        Value::Int { size, signed } => {
            let (a, b) = (integer(a, 0, *size, *signed), integer(b, 0, *size, *signed));
            if *signed {
                a.cast_signed().cmp(&b.cast_signed())
            } else {
                a.cmp(&b)
            }
        }
        Value::Tuple { fields, .. } => (fields.iter())
            .map(|field| {
                let part = |bytes: &'_ [u8]| {
                    let start = field.offset as usize;
                    let end = start + field.value.size() as usize;
                    bytes.get(start..end).unwrap_or_default().to_vec()
                };
                compare(&field.value, &part(a), &part(b))
            })
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal),
        _ => a.cmp(b),
    }
}

/// Deletes every element; an array's elements become zero.
pub fn clear(map: &Map<'_>, description: &Description) -> Result<(), Error> {
    if is_array(&description.kind) {
        return zero(map, description).map(|_| ());
    }
    for key in keys(map) {
        ignore_missing(map.delete(&key)).context(|| format!("clear {}", description.name))?;
    }
    Ok(())
}

/// Sets every element to zero bytes, and says whether any CPU's had another before.
pub fn zero(map: &Map<'_>, description: &Description) -> Result<bool, Error> {
    let mut held = false;
    for key in keys(map) {
        let done = if is_per_cpu(&description.kind) {
            let Ok(Some(mut cpus)) = map.lookup_percpu(&key, MapFlags::ANY) else {
                continue;
            };
            held |= cpus.iter().flatten().any(|byte| *byte != 0);
            cpus.iter_mut().for_each(|cpu| cpu.fill(0));
            map.update_percpu(&key, &cpus, MapFlags::EXIST)
        } else {
            let value = vec![0; map.value_size() as usize];
            map.update(&key, &value, MapFlags::EXIST)
        };
        ignore_missing(done).context(|| format!("zero {}", description.name))?;
    }
    Ok(held)
}

/// A program may have deleted the element.
fn ignore_missing(done: libbpf_rs::Result<()>) -> libbpf_rs::Result<()> {
    match done {
        Err(error) if error.kind() == libbpf_rs::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use btc_abi::{Field, MapRole};

    fn int(size: u8, signed: bool) -> Value {
        Value::Int { size, signed }
    }

    #[test]
    fn keys_are_compared_by_meaning() {
        let minus = (-1i32).to_le_bytes();
        let one = 1i32.to_le_bytes();
        assert_eq!(compare(&int(4, true), &minus, &one), Ordering::Less);
        assert_eq!(compare(&int(4, false), &minus, &one), Ordering::Greater);
        let field = |offset, value| Field {
            offset,
            name: "".into(),
            value,
        };
        let tuple = Value::Tuple {
            size: 8,
            fields: vec![field(0, Value::String { size: 4 }), field(4, int(4, true))].into(),
        };
        assert_eq!(
            compare(&tuple, b"a\0\0\0\x02\0\0\0", b"b\0\0\0\x01\0\0\0"),
            Ordering::Less
        );
        assert_eq!(
            compare(&tuple, b"a\0\0\0\x02\0\0\0", b"a\0\0\0\x01\0\0\0"),
            Ordering::Greater
        );
    }

    #[test]
    fn the_first_copy_that_a_cpu_set_is_printed() {
        let idle: &[u8] = b"\0\0";
        assert_eq!(first_set(&[idle, b"a\0", b"b\0"]), b"a\0");
        assert_eq!(first_set(&[idle, idle]), idle);
        assert_eq!(first_set(&[]), b"");
    }

    #[test]
    fn numbers_come_in_order_then_keys() {
        let description = Description {
            name: "@m".into(),
            symbol: "AT_m".into(),
            role: MapRole::Script,
            kind: MapKind::Hash,
            key: Some(int(1, false)),
            value: int(8, true),
            max_entries: 0,
            sparse: false,
        };
        let element = |key: u8, bits: i64| Element {
            key: vec![key],
            contents: Contents::Merged(Merged::Number {
                bits: bits.cast_unsigned(),
                signed: true,
            }),
        };
        let mut elements = [element(3, 5), element(1, 5), element(2, -5)];
        sort(&mut elements, &description);
        let order: Vec<_> = elements.iter().map(|element| element.key[0]).collect();
        assert_eq!(order, [2, 1, 3]);
    }
}
