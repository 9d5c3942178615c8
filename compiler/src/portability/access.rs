//! A CO-RE relocation: what it reads of which kernel type, by name; and whether a kernel's BTF has that, as libbpf will
//! decide on the target.

use std::fmt::Write as _;

use crate::host::btf::{Btf, Kind};
use crate::host::{CType, HostRecord, HostRecordBody};

/// What a relocation asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Info {
    /// A member's offset, size, sign or shifts; a type's size or id; a constant's value: it has to be there.
    Fact,
    /// Whether it is there.
    Existence,
    /// Of the object itself.
    Local,
}

/// BPF_CORE_ENUMVAL_EXISTS and BPF_CORE_ENUMVAL_VALUE: the path is a constant's number.
const OF_CONSTANTS: [u32; 2] = [10, 11];

impl Info {
    /// enum bpf_core_relo_kind of linux/bpf.h.
    fn of(kind: u32) -> Option<Info> {
        Some(match kind {
            0 | 1 | 3..=5 | 7 | 9 | 11 => Info::Fact,
            2 | 8 | 10 | 12 => Info::Existence,
            6 => Info::Local,
            _ => return None,
        })
    }
}

/// One step from a type to a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Of which record (empty: an anonymous one).
    Member {
        record: String,
        name: String,
    },
    Index(u32),
    /// A constant of an enum.
    Constant(String),
}

/// What is read, of which type, by which way.
#[derive(Clone, Debug, PartialEq)]
pub struct Access {
    pub info: Info,
    kind: Kind,
    /// Without a flavor.
    pub name: String,
    steps: Vec<Step>,
    /// What the object takes the end of the way for.
    end: Option<CType>,
}

/// A way that a kernel does not have: how far it goes, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lacking {
    pub what: String,
    /// The step that is missing; `None`: the type.
    pub step: Option<Step>,
}

impl Access {
    /// The meaning of a relocation: its type, path (`0:1:2`) and kind, in the object's own types.
    pub fn read(types: &Btf, id: u32, path: &str, relocation: u32) -> Option<Access> {
        let info = Info::of(relocation)?;
        let mut indices = path.split(':').map(|index| index.parse::<u32>());
        let first = indices.next()?.ok()?;
        let root = types.ctype(id);
        let mut ty = bare(root.clone());
        let (kind, name) = match &ty {
            CType::Record(record) if record.name.is_empty() => match root {
                CType::Typedef { name, .. } => (Kind::TYPEDEF, name),
                _ => (Kind::STRUCT, String::new()),
            },
            CType::Record(record) if record.union => (Kind::UNION, record.name.clone()),
            CType::Record(record) => (Kind::STRUCT, record.name.clone()),
            CType::Enum(of) => (Kind::ENUM, of.name.clone()),
            _ => (Kind::TYPEDEF, String::new()),
        };
        let mut steps = vec![];
        if let (CType::Enum(of), true) = (&ty, OF_CONSTANTS.contains(&relocation)) {
            let (constant, _) = of.values.get(first as usize)?;
            steps.push(Step::Constant(constant.clone()));
        }
        for index in indices {
            let index = index.ok()?;
            ty = match bare(ty) {
                CType::Record(record) => {
                    let member = body(types, &record)?
                        .members
                        .into_iter()
                        .nth(index as usize)?;
                    if !member.name.is_empty() {
                        let record = essential(&record.name).to_owned();
                        let name = member.name;
                        steps.push(Step::Member { record, name });
                    }
                    member.ty
                }
                CType::Array { element, .. } => {
                    steps.push(Step::Index(index));
                    *element
                }
                _ => return None,
            };
        }
        let of_member = matches!(steps.last(), Some(Step::Member { .. } | Step::Index(_)));
        let end = of_member.then(|| bare(ty));
        let name = essential(&name).to_owned();
        Some(Access {
            info,
            kind,
            name,
            steps,
            end,
        })
    }

    /// Whether a kernel has all of the way.
    pub fn find(&self, kernel: &Btf) -> Result<(), Lacking> {
        if self.name.is_empty() || self.info == Info::Local {
            return Ok(());
        }
        let mut lacking = None;
        for kind in [self.kind, Kind::ENUM64] {
            if kind == Kind::ENUM64 && self.kind != Kind::ENUM {
                continue;
            }
            // A name may stand for several types; one that fits is enough.
            for (_, id) in kernel
                .named(kind)
                .filter(|(name, _)| essential(name) == self.name)
            {
                match self.walk(kernel, kernel.ctype(id)) {
                    Ok(()) => return Ok(()),
                    Err(found) => lacking = Some(found),
                }
            }
        }
        Err(lacking.unwrap_or_else(|| Lacking {
            what: format!("no `{}`", self.title()),
            step: None,
        }))
    }

    /// Whether another access asks for the existence of this one, or of something on its way.
    pub fn is_guarded_by(&self, guard: &Access) -> bool {
        guard.info == Info::Existence
            && (guard.kind, &guard.name) == (self.kind, &self.name)
            && self.steps.starts_with(&guard.steps)
    }

    fn title(&self) -> String {
        let word = match self.kind {
            Kind::STRUCT => "struct ",
            Kind::UNION => "union ",
            Kind::ENUM => "enum ",
            _ => "",
        };
        format!("{word}{}", self.name)
    }

    fn walk(&self, kernel: &Btf, mut ty: CType) -> Result<(), Lacking> {
        let mut way = String::new();
        for step in &self.steps {
            let lacking = |what: String| Lacking {
                what,
                step: Some(step.clone()),
            };
            ty = match (step, bare(ty)) {
                (Step::Constant(wanted), CType::Enum(of)) => {
                    return match of.values.iter().any(|(name, _)| name == wanted) {
                        true => Ok(()),
                        false => Err(lacking(format!("no `{wanted}` in `{}`", self.title()))),
                    };
                }
                (Step::Member { name, .. }, CType::Record(record)) => {
                    let _ = write!(way, "{}{name}", if way.is_empty() { "" } else { "." });
                    member(kernel, &record, name, 0).ok_or_else(|| {
                        lacking(format!("no member `{way}` in `{}`", self.title()))
                    })?
                }
                (Step::Index(index), CType::Array { element, count }) => {
                    let _ = write!(way, "[{index}]");
                    if count != 0 && *index >= count {
                        let what = format!("`{way}` of `{}` has {count} elements", self.title());
                        return Err(lacking(what));
                    }
                    *element
                }
                _ => {
                    let what = format!("`{way}` of `{}` is of another kind", self.title());
                    return Err(lacking(what));
                }
            };
        }
        match &self.end {
            Some(end) if !alike(end, &bare(ty)) => Err(Lacking {
                what: format!("`{way}` of `{}` is of another type", self.title()),
                step: self.steps.last().cloned(),
            }),
            _ => Ok(()),
        }
    }
}

/// A name without the `___FLAVOR` that libbpf does not compare.
fn essential(name: &str) -> &str {
    match name.find("___") {
        Some(at) if at > 0 => &name[..at],
        _ => name,
    }
}

fn bare(ty: CType) -> CType {
    match ty {
        CType::Typedef { to, .. } => bare(*to),
        other => other,
    }
}

fn body(btf: &Btf, record: &HostRecord) -> Option<HostRecordBody> {
    btf.body(u32::try_from(record.id & u64::from(u32::MAX)).ok()?)
}

/// A member by name, also within anonymous structs and unions.
fn member(btf: &Btf, record: &HostRecord, name: &str, depth: u32) -> Option<CType> {
    const DEEPEST: u32 = 16;
    let members = body(btf, record)?.members;
    if let Some(found) = members.iter().find(|member| member.name == name) {
        return Some(found.ty.clone());
    }
    let anonymous = members.iter().filter(|member| member.name.is_empty());
    let mut inside = anonymous.filter_map(|member| match bare(member.ty.clone()) {
        CType::Record(record) if depth < DEEPEST => self::member(btf, &record, name, depth + 1),
        _ => None,
    });
    inside.next()
}

/// Whether libbpf takes one type for the other: kinds count, sizes don't.
fn alike(local: &CType, target: &CType) -> bool {
    match (local, target) {
        (CType::Array { element: a, .. }, CType::Array { element: b, .. }) => {
            alike(&bare((**a).clone()), &bare((**b).clone()))
        }
        (CType::Enum(a), CType::Enum(b)) => {
            let (a, b) = (essential(&a.name), essential(&b.name));
            a.is_empty() || b.is_empty() || a == b
        }
        (CType::Int { .. }, CType::Int { .. })
        | (CType::Float { .. }, CType::Float { .. })
        | (CType::Pointer { .. }, CType::Pointer { .. })
        | (CType::Record(_), CType::Record(_))
        | (CType::Function, CType::Function) => true,
        _ => false,
    }
}
