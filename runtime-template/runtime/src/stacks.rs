//! Stacks: ids in records and maps → addresses in the stack maps → lines of text.

use std::fmt::Write as _;

use btc_abi::{Manifest, MapRole, StackMode};
use libbpf_rs::{Map, MapCore, MapFlags, Object};

use crate::symbolize::{Frame, Symbols};
use crate::{Error, maps};

/// The stack maps, by their index in the manifest.
pub struct Stacks<'o>(Vec<(u32, Map<'o>)>);

impl<'o> Stacks<'o> {
    /// Finds the maps that hold stacks.
    pub fn find(manifest: &Manifest, object: &'o Object) -> Result<Self, Error> {
        let mut found = Vec::new();
        for (index, map) in manifest.maps.iter().enumerate() {
            if matches!(map.role, MapRole::Stacks { .. }) {
                found.push((index as u32, maps::find(object, map)?));
            }
        }
        Ok(Stacks(found))
    }

    /// Addresses of a stack from the innermost frame on; none where it was not collected.
    #[must_use]
    pub fn addresses(&self, map: u32, id: u64) -> Vec<u64> {
        let Some((_, map)) = self.0.iter().find(|(index, _)| *index == map) else {
            return Vec::new();
        };
        // A map that can't be read is a stack that is not there.
        let found = map.lookup(&id.to_le_bytes(), MapFlags::ANY).ok().flatten();
        let bytes = found.unwrap_or_default();
        let words = bytes.as_chunks::<8>().0.iter();
        words
            .map(|word| u64::from_le_bytes(*word))
            .take_while(|address| *address != 0)
            .collect()
    }
}

/// How deep a line stands under its key.
const INDENT: &str = "        ";

/// Lines of a stack, as bpftrace prints them: it starts on a line of its own. `process`: of a user stack.
#[must_use]
pub fn text(
    addresses: &[u64],
    process: Option<u32>,
    mode: &StackMode,
    symbols: Option<&mut (dyn Symbols + '_)>,
) -> String {
    let mut text = String::from("\n");
    let frames = match (mode, symbols) {
        (StackMode::Raw, _) | (_, None) => vec![Vec::new(); addresses.len()],
        (_, Some(symbols)) => match process {
            Some(process) => symbols.user(process, addresses),
            None => symbols.kernel(addresses),
        },
    };
    for (address, frames) in addresses.iter().zip(frames) {
        if *mode == StackMode::Raw {
            line(&mut text, format_args!("{address:x}"));
        } else if frames.is_empty() {
            frame(&mut text, *address, &Frame::default(), mode, process);
        }
        for inner in &frames {
            frame(&mut text, *address, inner, mode, process);
        }
    }
    text
}

fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    // A string takes everything.
    let _ = writeln!(text, "{INDENT}{content}");
}

fn frame(text: &mut String, address: u64, frame: &Frame, mode: &StackMode, process: Option<u32>) {
    if *mode == StackMode::Perf {
        return perf_frame(text, address, frame, process);
    }
    let mut content = match &frame.function {
        None => return line(text, format_args!("{address:#x}")),
        Some(function) => function.clone(),
    };
    if !frame.inlined {
        let _ = write!(content, "+{}", frame.offset);
    }
    if let Some((file, number)) = &frame.source {
        let _ = write!(content, "@{file}:{number}");
    }
    line(text, format_args!("{content}"));
}

/// `ADDRESS FUNCTION+OFFSET (MODULE)`, as perf script prints it and flame graph tools read it.
fn perf_frame(text: &mut String, address: u64, frame: &Frame, process: Option<u32>) {
    let module = match (&frame.module, process) {
        _ if frame.inlined => "inlined",
        (Some(module), Some(_)) => module,
        (Some(module), None) => &format!("[{module}]"),
        (None, None) if frame.function.is_some() => "[kernel.kallsyms]",
        (None, _) => "[unknown]",
    };
    match &frame.function {
        None => line(text, format_args!("{address:x} [unknown] ({module})")),
        Some(function) if frame.inlined => {
            line(text, format_args!("{address:x} {function} ({module})"));
        }
        Some(function) => {
            let offset = frame.offset;
            line(
                text,
                format_args!("{address:x} {function}+{offset} ({module})"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Known;

    impl Symbols for Known {
        fn kernel(&mut self, addresses: &[u64]) -> Vec<Vec<Frame>> {
            let outer = Frame {
                function: Some("vfs_read".into()),
                offset: 5,
                ..Frame::default()
            };
            let inner = Frame {
                function: Some("helper".into()),
                inlined: true,
                source: Some(("fs.c".into(), 7)),
                ..Frame::default()
            };
            (addresses.iter())
                .map(|address| match address {
                    1 => vec![inner.clone(), outer.clone()],
                    _ => vec![Frame::default()],
                })
                .collect()
        }

        fn user(&mut self, _: u32, addresses: &[u64]) -> Vec<Vec<Frame>> {
            self.kernel(addresses)
        }

        fn remember(&mut self, _: u32) {}

        fn follow(&mut self, _: u32) -> Option<i32> {
            None
        }
    }

    #[test]
    fn lines() {
        let text = |mode| text(&[1, 0x20], None, &mode, Some(&mut Known));
        assert_eq!(
            text(StackMode::Bpftrace),
            "\n        helper@fs.c:7\n        vfs_read+5\n        0x20\n"
        );
        assert_eq!(
            text(StackMode::Perf),
            "\n        1 helper (inlined)\n        1 vfs_read+5 ([kernel.kallsyms])\n        20 [unknown] ([unknown])\n"
        );
        assert_eq!(text(StackMode::Raw), "\n        1\n        20\n");
    }

    #[test]
    fn nothing_is_an_empty_line() {
        assert_eq!(text(&[], None, &StackMode::Bpftrace, None), "\n");
        assert_eq!(
            text(&[16], Some(1), &StackMode::Bpftrace, None),
            "\n        0x10\n"
        );
    }
}
