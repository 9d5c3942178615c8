//! Stacks: ids in records and maps → addresses in the stack maps → lines of text.

use std::fmt::Write as _;

use btc_abi::map::BUILD_ID_FRAME;
use btc_abi::{Manifest, MapRole, StackMode};
use libbpf_rs::{Map, MapCore, MapFlags, Object};

use crate::aggregate::integer;
use crate::symbolize::{Address, Frame, Symbols};
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

    /// The frames of a stack from the innermost on, as the map holds them; none where it was not collected.
    #[must_use]
    pub fn frames(&self, map: u32, id: u64) -> Vec<u8> {
        let Some((_, map)) = self.0.iter().find(|(index, _)| *index == map) else {
            return Vec::new();
        };
        // A map that can't be read is a stack that is not there.
        let found = map.lookup(&id.to_le_bytes(), MapFlags::ANY).ok().flatten();
        found.unwrap_or_default()
    }
}

/// The innermost frame is where a probe hit or a sample was taken, the others are callers.
fn addresses(frames: &[u8]) -> Vec<Address> {
    let words = frames.as_chunks::<8>().0.iter();
    words
        .map(|word| u64::from_le_bytes(*word))
        .take_while(|address| *address != 0)
        .enumerate()
        .map(|(depth, address)| match depth {
            0 => Address::Exact(address),
            _ => Address::Caller(address),
        })
        .collect()
}

/// How deep a line stands under its key.
const INDENT: &str = "        ";

/// `BUILD-ID OFFSET`, or an address where the kernel found no build ID.
fn build_ids(frames: &[u8]) -> String {
    let mut text = String::from("\n");
    for frame in frames.as_chunks::<{ BUILD_ID_FRAME as usize }>().0 {
        let offset = integer(frame, 24, 8, false);
        match integer(frame, 0, 4, false) {
            1 => {
                let id: String = frame[4..24]
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect();
                line(&mut text, format_args!("{id} {offset:#x}"));
            }
            2 => line(&mut text, format_args!("{offset:#x}")),
            _ => break,
        }
    }
    text
}

/// Lines of a stack, as bpftrace prints them: it starts on a line of its own. `process`: of a user stack.
#[must_use]
pub fn text(
    frames: &[u8],
    process: Option<u32>,
    mode: &StackMode,
    symbols: Option<&mut (dyn Symbols + '_)>,
) -> String {
    if *mode == StackMode::BuildId {
        return build_ids(frames);
    }
    let addresses = &addresses(frames)[..];
    let mut text = String::from("\n");
    let frames = match (mode, symbols) {
        (StackMode::Raw, _) | (_, None) => vec![Vec::new(); addresses.len()],
        (_, Some(symbols)) => match process {
            Some(process) => symbols.user(process, addresses),
            None => symbols.kernel(addresses),
        },
    };
    for (address, frames) in addresses.iter().zip(frames) {
        let address = address.value();
        if *mode == StackMode::Raw {
            line(&mut text, format_args!("{address:x}"));
        } else if frames.is_empty() {
            frame(&mut text, address, &Frame::default(), mode, process);
        }
        for inner in &frames {
            frame(&mut text, address, inner, mode, process);
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
        fn kernel(&mut self, addresses: &[Address]) -> Vec<Vec<Frame>> {
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
                    Address::Exact(1) => vec![inner.clone(), outer.clone()],
                    _ => vec![Frame::default()],
                })
                .collect()
        }

        fn user(&mut self, _: u32, addresses: &[Address]) -> Vec<Vec<Frame>> {
            self.kernel(addresses)
        }

        fn catch_up(&mut self) {}

        fn follow(&mut self, _: u32) -> Option<i32> {
            None
        }
    }

    fn words(words: &[u64]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn frames_with_build_ids() {
        let mut frames = vec![0; 4 * 32];
        frames[0] = 1;
        frames[4] = 0xab;
        frames[23] = 0x01;
        frames[24] = 0x10;
        frames[32] = 2;
        frames[32 + 25] = 0x20;
        let expected = format!("\n        ab{}01 0x10\n        0x2000\n", "00".repeat(18));
        assert_eq!(text(&frames, Some(1), &StackMode::BuildId, None), expected);
    }

    #[test]
    fn lines() {
        let frames = words(&[1, 0x20, 0, 7]);
        let text = |mode| text(&frames, None, &mode, Some(&mut Known));
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
    fn callers_are_looked_up_in_their_calls() {
        let frames = words(&[7, 9, 8, 0]);
        let expected = [Address::Exact(7), Address::Caller(9), Address::Caller(8)];
        assert_eq!(addresses(&frames), expected);
        assert_eq!(expected.map(Address::within), [7, 8, 7]);
    }

    #[test]
    fn nothing_is_an_empty_line() {
        assert_eq!(text(&[], None, &StackMode::Bpftrace, None), "\n");
        assert_eq!(
            text(&words(&[16]), Some(1), &StackMode::Bpftrace, None),
            "\n        0x10\n"
        );
    }
}
