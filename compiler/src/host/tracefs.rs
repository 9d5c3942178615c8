//! A tracepoint's format file becomes its members with types, offsets and sizes.

use super::{CType, DataLocation, TracepointFormat, TracepointMember};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

/// A tracefs and, where it is a mount of our own, what keeps it.
pub struct Tracefs {
    pub events: PathBuf,
    _mount: Option<OwnedFd>,
}

impl Tracefs {
    /// Where tracefs is mounted; for this machine else a mount that no other process sees and that ends with us.
    ///
    /// # Errors
    /// Why it can't be read.
    pub fn open(sysroot: &Path) -> Result<Tracefs, String> {
        let places = [
            "sys/kernel/tracing/events",
            "sys/kernel/debug/tracing/events",
        ];
        let mut places = places.iter().map(|place| sysroot.join(place));
        if let Some(events) = places.find(|place| place.read_dir().is_ok()) {
            return Ok(Tracefs {
                events,
                _mount: None,
            });
        }
        if sysroot != Path::new("/") {
            return Err(format!("there is no tracefs below {}", sysroot.display()));
        }
        let mount = mount().map_err(|error| {
            format!(
                "tracefs is not mounted and can't be ({error}); as root: `mount -t tracefs tracefs /sys/kernel/tracing`"
            )
        })?;
        Ok(Tracefs {
            events: PathBuf::from(format!("/proc/self/fd/{}/events", mount.as_raw_fd())),
            _mount: Some(mount),
        })
    }
}

/// A detached mount (Linux 5.2), reached through its descriptor.
fn mount() -> rustix::io::Result<OwnedFd> {
    let context = fsopen("tracefs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// The text of a format file. Pointers of `syscalls` tracepoints are user pointers.
pub fn parse(text: &str, category: &str) -> TracepointFormat {
    let user = category == "syscalls";
    let all = text.lines().filter_map(|line| member(line, user));
    let (common, members) = all.partition(|m| m.name.starts_with("common_"));
    TracepointFormat { members, common }
}

/// The declarations of an event's own members, as they are written; the common ones stand above an empty line.
pub fn declarations(text: &str) -> Vec<String> {
    let own = text.split_once("\n\n").map_or(text, |(_, own)| own);
    own.lines()
        .filter_map(|line| line.trim().strip_prefix("field:")?.split(';').next())
        .map(str::to_owned)
        .collect()
}

fn member(line: &str, user: bool) -> Option<TracepointMember> {
    let mut parts = line.trim().split(';').map(str::trim);
    let declaration = parts.next()?.strip_prefix("field:")?;
    let (mut offset, mut size, mut signed) = (None, None, false);
    for part in parts {
        match part.split_once(':') {
            Some(("offset", n)) => offset = n.parse().ok(),
            Some(("size", n)) => size = n.parse().ok(),
            Some(("signed", n)) => signed = n == "1",
            _ => {}
        }
    }
    let (offset, size): (u32, u32) = (offset?, size?);
    let (location, declaration) = if let Some(rest) = declaration.strip_prefix("__data_loc ") {
        (DataLocation::FromStart, rest)
    } else if let Some(rest) = declaration.strip_prefix("__rel_loc ") {
        (DataLocation::FromMember, rest)
    } else {
        (DataLocation::Inline, declaration)
    };
    // `char comm[16]`, but `__data_loc char[] name`.
    let (front, dimension) = match declaration.split_once('[') {
        Some((front, rest)) if location == DataLocation::Inline => {
            (front, Some(rest.split(']').next()?))
        }
        _ => (declaration, None),
    };
    let front = front.trim();
    let split = front.rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_')? + 1;
    let (ty, name) = front.split_at(split);
    let ty = ty.trim();
    let ty = if location != DataLocation::Inline {
        let element = ty.trim_end_matches("[]").trim();
        CType::Array {
            element: Box::new(scalar(element, known_size(element), signed, user)),
            count: 0,
        }
    } else if let Some(dimension) = dimension {
        let count = dimension.parse().ok().filter(|n| *n != 0);
        let count: u32 = count.unwrap_or(size.checked_div(known_size(ty)).unwrap_or(1));
        let element = size.checked_div(count).unwrap_or(known_size(ty));
        CType::Array {
            element: Box::new(scalar(ty, element, signed, user)),
            count,
        }
    } else {
        scalar(ty, size, signed, user)
    };
    Some(TracepointMember {
        name: name.to_owned(),
        ty,
        offset,
        size,
        location,
    })
}

/// The size of an element or a pointer's target, which the file doesn't say; 0 where it can't be known from the name.
fn known_size(ty: &str) -> u32 {
    match ty.trim_start_matches("const ").trim() {
        "char" | "unsigned char" | "u8" | "s8" | "__u8" | "__s8" | "uint8_t" | "bool" => 1,
        "short" | "unsigned short" | "u16" | "s16" | "__u16" | "__s16" | "uint16_t" => 2,
        "long" | "unsigned long" | "u64" | "s64" | "__u64" | "__s64" | "uint64_t" => 8,
        ty if ty.ends_with('*') => 8,
        "int" | "unsigned int" | "unsigned" | "u32" | "s32" | "__u32" | "__s32" | "uint32_t"
        | "pid_t" | "uid_t" | "gid_t" | "dev_t" => 4,
        _ => 0,
    }
}

/// The file's size and sign are authoritative for integers, whatever a typedef's name suggests.
fn scalar(text: &str, size: u32, signed: bool, user: bool) -> CType {
    let text = text.trim();
    if let Some(to) = text.strip_suffix('*') {
        let to = to.trim_end().trim_end_matches("const").trim_end();
        let bare = to.trim_start_matches("const ").trim();
        let to = if bare == "void" || bare.is_empty() {
            CType::Void
        } else {
            scalar(
                to,
                known_size(to),
                !bare.starts_with(['u', 'b']) && !bare.starts_with("__u"),
                user,
            )
        };
        return CType::Pointer {
            to: Box::new(to),
            user,
        };
    }
    let bare = text.trim_start_matches("const ").trim();
    for (prefix, union) in [("struct ", false), ("union ", true)] {
        if let Some(name) = bare.strip_prefix(prefix) {
            let name = name.trim().to_owned();
            return CType::Opaque { name, union };
        }
    }
    match u8::try_from(size) {
        Ok(bytes @ (1 | 2 | 4 | 8)) => CType::Int {
            bytes,
            signed,
            bool_: bare == "bool",
            char_: bare == "char",
        },
        _ => CType::Opaque {
            name: bare.to_owned(),
            union: false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_arrays_pointers_and_locations() {
        let text = "\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\
            \tfield:char comm[16];\toffset:8;\tsize:16;\tsigned:0;\n\
            \tfield:const char * filename;\toffset:24;\tsize:8;\tsigned:0;\n\
            \tfield:unsigned long args[6];\toffset:32;\tsize:48;\tsigned:0;\n\
            \tfield:__data_loc char[] name;\toffset:80;\tsize:4;\tsigned:0;\n";
        let format = parse(text, "syscalls");
        assert_eq!(format.common.len(), 1);
        let names: Vec<_> = format.members.iter().map(|m| m.name.as_str()).collect();
        assert_eq!(names, ["comm", "filename", "args", "name"]);
        assert!(matches!(
            &format.members[0].ty,
            CType::Array { count: 16, .. }
        ));
        assert!(matches!(
            &format.members[1].ty,
            CType::Pointer { user: true, .. }
        ));
        assert!(matches!(
            &format.members[2].ty,
            CType::Array { count: 6, .. }
        ));
        assert_eq!(format.members[3].location, DataLocation::FromStart);
    }
}
