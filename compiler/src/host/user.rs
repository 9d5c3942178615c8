//! Debug information of programs and libraries of this host → types of their functions' arguments. Read by the runtime's
//! own reader, with which a target checks that its binary has the same.

use std::cell::RefCell;
use std::collections::{HashSet, VecDeque};
use std::path::PathBuf;

use btc_abi::{Layout, Signature};
use btc_runtime::dwarf::{self, DebugInfo, Kind, TypeId, signature};
use btc_runtime::{Error, elf};
use object::elf::{EM_AARCH64, EM_X86_64, Machine};

use super::{
    CType, HostEnum, HostMember, HostRecord, HostRecordBody, Named, RecordOrigin, UserFunction,
    UserParameter,
};
use crate::arch::Arch;

/// Types can't be this deep in each other.
const DEEPEST: usize = 64;
/// Bits of a record's number that are its place in the binary's debug information; the binary's number is above.
const PLACE_BITS: u32 = 48;

/// The binaries that were asked for; opened each time, since their readers borrow them.
pub struct UserBinaries {
    /// The architecture that they must be of.
    machine: Machine,
    paths: RefCell<Vec<PathBuf>>,
}

impl UserBinaries {
    #[must_use]
    pub fn new(arch: Arch) -> Self {
        UserBinaries {
            machine: match arch {
                Arch::X86_64 => EM_X86_64,
                Arch::Arm64 => EM_AARCH64,
            },
            paths: RefCell::default(),
        }
    }

    /// # Errors
    /// No such binary or function, or no debug information of it.
    pub fn function(&self, binary: PathBuf, function: &str) -> Result<UserFunction, String> {
        self.find(binary, function)
            .map_err(|error| error.to_string())
    }

    fn find(&self, path: PathBuf, function: &str) -> Result<UserFunction, Error> {
        let binary = elf::Binary::open_for(&path, self.machine)?;
        let Some(found) = binary.function(function)? else {
            return Err(Error::new(format!(
                "no function `{function}` in {}",
                path.display()
            )));
        };
        let debug = DebugInfo::of(&binary)?;
        let Some(prototype) = debug.function(found.address)? else {
            return Err(Error::new(format!(
                "the debug information of {} does not describe `{function}`",
                path.display()
            )));
        };
        let reader = Reader {
            debug: &debug,
            binary: self.number(path.clone()),
        };
        let parameters = prototype.parameters.iter().map(|(name, ty)| {
            Ok(UserParameter {
                name: name.clone(),
                ty: reader.ctype(*ty, 0)?,
                by_reference: reader.is_by_reference(*ty)?,
            })
        });
        Ok(UserFunction {
            parameters: parameters.collect::<Result<_, Error>>()?,
            result: reader.ctype(prototype.result, 0)?,
            result_by_reference: reader.is_by_reference(prototype.result)?,
            signature: Signature {
                build_id: signature::build_id(&binary)?.into(),
                parameters: signature::parameters(&debug, &prototype)?.into(),
                layouts: vec![].into(),
            },
            binary: reader.binary,
        })
    }

    /// A type that the function's parameters lead to: what is told of a function on the target covers those.
    pub fn named(&self, path: PathBuf, function: &str, wanted: Named<'_>) -> Option<CType> {
        self.find_named(path, function, wanted).ok()?
    }

    fn find_named(
        &self,
        path: PathBuf,
        function: &str,
        wanted: Named<'_>,
    ) -> Result<Option<CType>, Error> {
        let binary = elf::Binary::open_for(&path, self.machine)?;
        let Some(found) = binary.function(function)? else {
            return Ok(None);
        };
        let debug = DebugInfo::of(&binary)?;
        let Some(prototype) = debug.function(found.address)? else {
            return Ok(None);
        };
        let reader = Reader {
            debug: &debug,
            binary: self.number(path),
        };
        let mut queue: VecDeque<_> = prototype.parameters.iter().map(|(_, ty)| *ty).collect();
        let mut seen = HashSet::new();
        while let Some(next) = queue.pop_front() {
            if !next.is_some_and(|id| seen.insert(id)) {
                continue;
            }
            let kind = debug.kind(next)?;
            let is_wanted = match (&kind, wanted) {
                (
                    Kind::Record { name, union, .. },
                    Named::Record {
                        name: wanted,
                        union: of,
                    },
                ) => name == wanted && *union == of,
                (Kind::Enum { name, .. }, Named::Enum(wanted))
                | (Kind::Typedef { name, .. }, Named::Typedef(wanted)) => name == wanted,
                _ => false,
            };
            if is_wanted {
                return reader.ctype(next, 0).map(Some);
            }
            match kind {
                Kind::Pointer { to } | Kind::Typedef { to, .. } => queue.push_back(to),
                Kind::Array { element, .. } => queue.push_back(element),
                Kind::Record { id, .. } => {
                    let members = debug.record(id)?.map(|record| record.members);
                    queue.extend(members.iter().flatten().map(|member| member.ty));
                }
                _ => {}
            }
        }
        Ok(None)
    }

    fn number(&self, path: PathBuf) -> usize {
        let mut paths = self.paths.borrow_mut();
        let known = paths.iter().position(|known| *known == path);
        known.unwrap_or_else(|| {
            paths.push(path);
            paths.len() - 1
        })
    }

    /// Calls `read` with the debug information that a record is from, and its place there.
    fn with<T>(
        &self,
        record: &HostRecord,
        read: impl FnOnce(&Reader<'_>, TypeId) -> Result<T, Error>,
    ) -> Option<T> {
        let number = usize::try_from(record.id >> PLACE_BITS).ok()?;
        let path = self.paths.borrow().get(number)?.clone();
        let binary = elf::Binary::open_for(&path, self.machine).ok()?;
        let debug = DebugInfo::of(&binary).ok()?;
        let reader = Reader {
            debug: &debug,
            binary: number,
        };
        let place = record.id & ((1 << PLACE_BITS) - 1);
        read(&reader, TypeId(usize::try_from(place).ok()?)).ok()
    }

    /// The members of a struct that [`Self::function`] led to.
    pub fn body(&self, record: &HostRecord) -> Option<HostRecordBody> {
        self.with(record, |reader, id| reader.body(id))?
    }

    /// The same as it is compared on the target, and its binary's number.
    pub fn layout(&self, record: &HostRecord) -> Option<(usize, Layout)> {
        let name = signature::record_name(&record.name, record.union);
        let layout = self.with(record, |reader, id| {
            let Some(found) = reader.debug.record(id)? else {
                return Ok(None);
            };
            signature::layout(reader.debug, name, &found).map(Some)
        })??;
        Some((usize::try_from(record.id >> PLACE_BITS).ok()?, layout))
    }
}

struct Reader<'a> {
    debug: &'a DebugInfo<'a>,
    binary: usize,
}

impl Reader<'_> {
    fn ctype(&self, id: Option<TypeId>, depth: usize) -> Result<CType, Error> {
        if depth > DEEPEST {
            return Ok(CType::Void);
        }
        let inner = |id| self.ctype(id, depth + 1).map(Box::new);
        Ok(match self.debug.kind(id)? {
            Kind::Void => CType::Void,
            Kind::Int {
                bytes,
                signed,
                bool_,
                char_,
            } => CType::Int {
                bytes: u8::try_from(bytes).unwrap_or(u8::MAX),
                signed,
                bool_,
                char_,
            },
            Kind::Float { bytes } => CType::Float {
                bytes: u8::try_from(bytes).unwrap_or(u8::MAX),
            },
            Kind::Pointer { to } => CType::Pointer {
                to: inner(to)?,
                user: true,
            },
            Kind::Array { element, counts } => {
                let dimensions = counts.into_iter().rev();
                dimensions.fold(*inner(element)?, |element, count| CType::Array {
                    element: Box::new(element),
                    count: u32::try_from(count).unwrap_or(u32::MAX),
                })
            }
            Kind::Record {
                id, name, union, ..
            } => CType::Record(self.record(id, name, union)),
            Kind::Enum {
                name,
                bytes,
                signed,
                values,
            } => CType::Enum(HostEnum {
                name,
                bytes: u8::try_from(bytes).unwrap_or(4),
                signed,
                values,
                origin: RecordOrigin::User,
            }),
            Kind::Typedef { name, to } => CType::Typedef {
                name,
                to: inner(to)?,
            },
            Kind::Function => CType::Function,
            // Known by its size alone.
            Kind::Other { bytes } => CType::Array {
                element: Box::new(BYTE),
                count: u32::try_from(bytes).unwrap_or(u32::MAX),
            },
        })
    }

    fn record(&self, id: TypeId, name: String, union: bool) -> HostRecord {
        HostRecord {
            name,
            union,
            id: (self.binary as u64) << PLACE_BITS | id.0 as u64,
            origin: RecordOrigin::User,
        }
    }

    fn is_by_reference(&self, id: Option<TypeId>) -> Result<bool, Error> {
        Ok(match self.debug.kind(id)? {
            Kind::Record { by_reference, .. } => by_reference,
            Kind::Typedef { to, .. } => matches!(
                self.debug.kind(to)?,
                Kind::Record {
                    by_reference: true,
                    ..
                }
            ),
            _ => false,
        })
    }

    fn body(&self, id: TypeId) -> Result<Option<HostRecordBody>, Error> {
        let Some(record) = self.debug.record(id)? else {
            return Ok(None);
        };
        let members = record.members.iter().map(|member| self.member(member));
        Ok(Some(HostRecordBody {
            size: u32::try_from(record.size).unwrap_or(u32::MAX),
            members: members.collect::<Result<_, _>>()?,
        }))
    }

    fn member(&self, member: &dwarf::Member) -> Result<HostMember, Error> {
        Ok(HostMember {
            name: member.name.clone(),
            ty: self.ctype(member.ty, 0)?,
            bit_offset: u32::try_from(member.bit_offset).unwrap_or(u32::MAX),
            bitfield: member.bitfield,
        })
    }
}

const BYTE: CType = CType::Int {
    bytes: 1,
    signed: false,
    bool_: false,
    char_: false,
};
