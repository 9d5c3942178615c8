//! Lines of /proc/PID/maps → executable mappings.

/// A mapping of code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping<'a> {
    pub start: u64,
    pub end: u64,
    /// Of `start` in the file.
    pub offset: u64,
    pub source: Source<'a>,
}

/// Where code comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source<'a> {
    File(FileName<'a>),
    Vdso,
    /// Made at run time.
    Anonymous,
}

/// A mapped file, as the kernel names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileName<'a> {
    /// Major and minor number of the file system; not everywhere what stat says (btrfs, overlayfs).
    pub device: (u32, u32),
    pub inode: u64,
    /// In the process's mount namespace, without ` (deleted)`.
    pub path: &'a str,
}

impl<'a> FileName<'a> {
    /// What the path of a mapping stands for.
    pub fn source(device: (u32, u32), inode: u64, path: &'a str) -> Source<'a> {
        let path = path.strip_suffix(" (deleted)").unwrap_or(path);
        let made = ["//anon", "/memfd:", "/dev/zero", "/SYSV", "/anon_hugepage"];
        if path == "[vdso]" {
            Source::Vdso
        } else if !path.starts_with('/') || made.iter().any(|prefix| path.starts_with(prefix)) {
            Source::Anonymous
        } else {
            Source::File(FileName {
                device,
                inode,
                path,
            })
        }
    }
}

/// The executable mappings of a maps file; lines that can't be read are left out.
pub fn parse(text: &str) -> impl Iterator<Item = Mapping<'_>> {
    text.lines().filter_map(parse_line)
}

/// `START-END PERMISSIONS OFFSET MAJOR:MINOR INODE      PATH` (proc_pid_maps(5)).
fn parse_line(line: &str) -> Option<Mapping<'_>> {
    let hex = |text| u64::from_str_radix(text, 16).ok();
    let mut fields = line.splitn(6, ' ');
    let (start, end) = fields.next()?.split_once('-')?;
    if fields.next()?.as_bytes().get(2) != Some(&b'x') {
        return None;
    }
    let offset = hex(fields.next()?)?;
    let (major, minor) = fields.next()?.split_once(':')?;
    let number = |text| u32::from_str_radix(text, 16).ok();
    let device = (number(major)?, number(minor)?);
    let inode = fields.next()?.parse().ok()?;
    let path = fields.next().unwrap_or("").trim_start();
    Some(Mapping {
        start: hex(start)?,
        end: hex(end)?,
        offset,
        source: FileName::source(device, inode, path),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let text = "\
55d0c0a00000-55d0c0a02000 r--p 00000000 fe:01 1234                       /usr/bin/a b
55d0c0a02000-55d0c0a06000 r-xp 00002000 fe:01 1234                       /usr/bin/a b (deleted)
7f0000000000-7f0000001000 rwxp 00000000 00:00 0 
7f0000002000-7f0000003000 r-xs 00000000 00:01 7                          /memfd:jit (deleted)
7ffc5a5f2000-7ffc5a5f4000 r-xp 00000000 00:00 0                          [vdso]
nonsense
";
        let mappings: Vec<_> = parse(text).collect();
        assert_eq!(mappings.len(), 4);
        let file = FileName {
            device: (0xfe, 1),
            inode: 1234,
            path: "/usr/bin/a b",
        };
        assert_eq!(mappings[0].source, Source::File(file));
        assert_eq!(mappings[0].offset, 0x2000);
        assert_eq!(mappings[1].source, Source::Anonymous);
        assert_eq!(mappings[2].source, Source::Anonymous);
        assert_eq!(mappings[3].source, Source::Vdso);
    }
}
