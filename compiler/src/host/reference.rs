//! A kernel that btc knows by itself: the types and the tracepoint formats of one Debian kernel, packed into the
//! program. They are asked where this machine has no answer of its own, and unpacked only then.

use std::io::Read;

use super::btf::{Btf, Kind};
use super::modules::KernelTypes;
use super::tracefs;
use super::{CType, TracepointFormat, matches};

/// Made by `make reference`; see compiler/reference/README.md.
static PACKED: &[u8] = include_bytes!("../../reference/linux-6.12.btcref");

/// The release that notes name.
pub const RELEASE: &str = "6.12";

const MAGIC: &str = "btc reference 1";
const EVENT: &str = "==> ";

/// What is known of the kernel.
pub struct Reference {
    pub types: KernelTypes,
    /// Category, event, text of its own members; sorted.
    events: Vec<(String, String, String)>,
    /// Text of the members that all events have.
    common: String,
}

impl Reference {
    /// # Errors
    /// The packed data are damaged: a bug.
    pub fn open() -> Result<Reference, String> {
        let mut unpacked = vec![];
        ruzstd::decoding::StreamingDecoder::new(PACKED)
            .map_err(|e| e.to_string())?
            .read_to_end(&mut unpacked)
            .map_err(|e| e.to_string())?;
        Self::parse(&unpacked)
    }

    fn parse(data: &[u8]) -> Result<Reference, String> {
        let end = data.iter().position(|byte| *byte == b'\n');
        let (head, rest) = data.split_at(end.ok_or("the reference has no head")? + 1);
        let head = String::from_utf8_lossy(head);
        let length = head.trim().strip_prefix(MAGIC).map(str::trim);
        let length: Option<usize> = length.and_then(|length| length.parse().ok());
        let (btf, text) = length
            .and_then(|length| rest.split_at_checked(length))
            .ok_or("the reference is cut short")?;
        let text = String::from_utf8_lossy(text);
        let mut blocks = text.split(EVENT);
        let common = blocks.next().unwrap_or_default().to_owned();
        let events = blocks.filter_map(|block| {
            let (name, members) = block.split_once('\n')?;
            let (category, event) = name.split_once('/')?;
            Some((category.to_owned(), event.to_owned(), members.to_owned()))
        });
        Ok(Reference {
            types: KernelTypes::of(Btf::parse_reference(btf.to_vec())?),
            events: events.collect(),
            common,
        })
    }

    #[must_use]
    pub fn tracepoint(&self, category: &str, event: &str) -> Option<TracepointFormat> {
        let key =
            |(c, e, _): &(String, String, String)| (c.as_str(), e.as_str()).cmp(&(category, event));
        let at = self.events.binary_search_by(key).ok()?;
        let members = &self.events[at].2;
        Some(tracefs::parse(
            &format!("{}{members}", self.common),
            category,
        ))
    }

    #[must_use]
    pub fn tracepoints(&self, category: &str, event: &str) -> Vec<(String, String)> {
        let names = self.events.iter().map(|(c, e, _)| (c, e));
        names
            .filter(|(c, e)| matches(category, c) && matches(event, e))
            .map(|(c, e)| (c.clone(), e.clone()))
            .collect()
    }
}

/// The name of a BPF helper by its number in linux/bpf.h: `bpf_loop`.
#[must_use]
pub fn helper(number: u32) -> Option<String> {
    let reference = Reference::open().ok()?;
    let (btf, id) = reference.types.find(Kind::ENUM, "bpf_func_id")?;
    let CType::Enum(all) = btf.ctype(id) else {
        return None;
    };
    let mut values = all.values.iter();
    let (name, _) = values.find(|(_, value)| *value == u64::from(number))?;
    Some(format!("bpf_{}", name.strip_prefix("BPF_FUNC_")?))
}

/// A kernel's BTF and its format files, each behind a line `==> CATEGORY/EVENT` → what [`Reference`] reads, to be
/// compressed with zstd. Of a format file the lines of its members are kept, those that all events have once.
#[must_use]
pub fn pack(btf: &[u8], formats: &str) -> Vec<u8> {
    let mut events: Vec<(&str, String)> = vec![];
    let mut common = String::new();
    for block in formats.split(EVENT).skip(1) {
        let Some((name, text)) = block.split_once('\n') else {
            continue;
        };
        let fields = text
            .lines()
            .filter(|line| line.trim().starts_with("field:"));
        let (shared, own): (Vec<&str>, Vec<&str>) =
            fields.partition(|line| line.contains(" common_"));
        let lines = |all: Vec<&str>| {
            all.iter()
                .map(|line| format!("{}\n", line.trim()))
                .collect()
        };
        if common.is_empty() {
            common = lines(shared);
        }
        events.push((name.trim(), lines(own)));
    }
    events.sort_by_key(|(name, _)| name.split_once('/'));
    let mut packed = format!("{MAGIC} {}\n", btf.len()).into_bytes();
    packed.extend(btf);
    packed.extend(common.bytes());
    for (name, members) in events {
        packed.extend(format!("{EVENT}{name}\n{members}").bytes());
    }
    packed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packed_kernel_has_types_and_events() {
        let reference = Reference::open().unwrap();
        let (btf, id) = reference.types.find(Kind::STRUCT, "task_struct").unwrap();
        let number = btf.number(id);
        let (btf, id) = reference.types.numbered(number).unwrap();
        assert!(btf.body(id).unwrap().members.len() > 100);
        let openat = reference
            .tracepoint("syscalls", "sys_enter_openat")
            .unwrap();
        assert_eq!(openat.common.len(), 4);
        assert!(
            openat
                .members
                .iter()
                .any(|member| member.name == "filename")
        );
        assert!(reference.tracepoint("syscalls", "sys_enter_none").is_none());
        assert_eq!(reference.tracepoints("sched", "sched_swit*").len(), 1);
        assert!(reference.tracepoints("*", "*").len() > 1000);
        assert_eq!(helper(181).as_deref(), Some("bpf_loop"));
    }

    #[test]
    fn what_was_packed_is_read() {
        let formats = "==> b/x\nname: x\nformat:\n\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n\
            \tfield:u64 a;\toffset:8;\tsize:8;\tsigned:0;\n\nprint fmt: \"\"\n==> a/y\n";
        let mut btf = vec![0x9f, 0xeb, 1, 0];
        for word in [24u32, 0, 0, 0, 1] {
            btf.extend(word.to_le_bytes());
        }
        btf.push(0);
        let packed = pack(&btf, formats);
        let reference = Reference::parse(&packed).unwrap();
        let names = [("a", "y"), ("b", "x")].map(|(c, e)| (c.to_owned(), e.to_owned()));
        assert_eq!(reference.tracepoints("*", "*"), names);
        assert_eq!(reference.tracepoint("b", "x").unwrap().members[0].name, "a");
        assert_eq!(reference.tracepoint("a", "y").unwrap().common.len(), 1);
        for length in 0..packed.len() {
            let _ = Reference::parse(&packed[..length]);
        }
    }
}
