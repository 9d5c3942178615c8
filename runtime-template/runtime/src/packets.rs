//! Packets that programs send (`skboutput`) → pcap files, as tcpdump and Wireshark read them.

use std::cell::RefCell;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::os::fd::RawFd;
use std::rc::Rc;

use btc_abi::{Clock, Manifest, MapRole, Record, RecordKind};
use libbpf_rs::{Object, PerfBuffer, PerfBufferBuilder};

use crate::aggregate::integer;
use crate::decode::since_epoch;
use crate::{Context, Error, maps};

/// Packets on their way into files.
pub trait Packets {
    /// Readable when there are packets.
    fn fd(&self) -> RawFd;
    /// Writes all that there are.
    fn consume(&self) -> Result<(), Error>;
    /// How many packets found no room since this was asked last.
    fn lost(&self) -> u64;
}

/// Opens the files and the buffers; a tool that sends no packets does without.
pub type Open = fn(&'static Manifest, &Object, u64) -> Result<Box<dyn Packets>, Error>;

/// See [`Open`]; `pages` of the configuration are those of each CPU, 0 for the default.
pub fn open(
    manifest: &'static Manifest,
    object: &Object,
    pages: u64,
) -> Result<Box<dyn Packets>, Error> {
    const DEFAULT_PAGES: u64 = 64;
    let described = manifest.maps.iter();
    let described = described.clone().find(|map| map.role == MapRole::Packets);
    let described = described.ok_or_else(|| Error::new("no map of packets: a bug of btc"))?;
    let map = maps::find(object, described)?;
    let files = Rc::new(RefCell::new(Files::create(manifest)?));
    let pages = match pages {
        0 => DEFAULT_PAGES,
        pages => pages.clamp(1, 1 << 18).next_power_of_two(),
    };
    let (taken, dropped) = (Rc::clone(&files), Rc::clone(&files));
    let buffer = PerfBufferBuilder::new(&map)
        .pages(pages as usize)
        .sample_cb(move |_, bytes| taken.borrow_mut().take(bytes))
        .lost_cb(move |_, count| dropped.borrow_mut().lost += count)
        .build()
        .context(|| format!("make buffers of {pages} pages for packets"))?;
    Ok(Box::new(Buffer { buffer, files }))
}

struct Buffer {
    buffer: PerfBuffer<'static>,
    files: Rc<RefCell<Files>>,
}

impl Packets for Buffer {
    fn fd(&self) -> RawFd {
        self.buffer.epoll_fd()
    }

    fn consume(&self) -> Result<(), Error> {
        (self.buffer.consume()).context(|| "read the buffers of packets")?;
        self.files.borrow_mut().flush()
    }

    fn lost(&self) -> u64 {
        std::mem::take(&mut self.files.borrow_mut().lost)
    }
}

struct Files {
    manifest: &'static Manifest,
    /// By the path that the script writes.
    files: Vec<(&'static str, BufWriter<File>)>,
    error: Option<Error>,
    lost: u64,
}

impl Files {
    fn create(manifest: &'static Manifest) -> Result<Self, Error> {
        let mut files: Vec<(&str, BufWriter<File>)> = Vec::new();
        for record in manifest.records.iter() {
            let RecordKind::Packet { path } = &record.kind else {
                continue;
            };
            if files.iter().any(|(known, _)| known == path) {
                continue;
            }
            let what = || format!("{}: skboutput: {path}", record.place);
            let mut file = BufWriter::new(File::create(&**path).context(what)?);
            file.write_all(&file_header()).context(what)?;
            files.push((path, file));
        }
        Ok(Files {
            manifest,
            files,
            error: None,
            lost: 0,
        })
    }

    fn take(&mut self, bytes: &[u8]) {
        let id = integer(bytes, 0, 4, false) as usize;
        let Some(record) = self.manifest.records.get(id) else {
            return;
        };
        let (RecordKind::Packet { path }, Some(written)) = (&record.kind, packet(record, bytes))
        else {
            return;
        };
        let file = self.files.iter_mut().find(|(known, _)| known == path);
        if let (Some((path, file)), None) = (file, &self.error)
            && let Err(error) = file.write_all(&written)
        {
            self.error = Some(Error::output(format!("write to {path}"), error));
        }
    }

    fn flush(&mut self) -> Result<(), Error> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        for (path, file) in &mut self.files {
            (file.flush()).map_err(|error| Error::output(format!("write to {path}"), error))?;
        }
        Ok(())
    }
}

/// Times in nanoseconds (pcap-savefile(5)).
const MAGIC: u32 = 0xa1b2_3c4d;
/// Packets begin with their IP header (LINKTYPE_RAW).
const RAW_IP: u32 = 101;
const LONGEST: u32 = 1 << 20;

fn file_header() -> [u8; 24] {
    let mut header = [0; 24];
    header[..4].copy_from_slice(&MAGIC.to_ne_bytes());
    header[4..6].copy_from_slice(&2u16.to_ne_bytes());
    header[6..8].copy_from_slice(&4u16.to_ne_bytes());
    header[16..20].copy_from_slice(&LONGEST.to_ne_bytes());
    header[20..].copy_from_slice(&RAW_IP.to_ne_bytes());
    header
}

/// A packet as it stands in a file.
fn packet(record: &Record, bytes: &[u8]) -> Option<Vec<u8>> {
    let number = |index: usize| {
        let at = record.fields.get(index)?.offset as usize;
        let word = bytes.get(at..at + 8)?;
        Some(integer(word, 0, 8, false))
    };
    let (time, sent, skipped, whole) = (number(0)?, number(1)?, number(2)?, number(3)?);
    let sent = usize::try_from(sent).ok()?;
    // The kernel pads what it hands over.
    let data = bytes.get(record.size as usize..)?;
    let data = data.get(..sent.min(data.len()))?;
    let kept = data
        .get(usize::try_from(skipped).ok()?..)
        .unwrap_or_default();
    let time = since_epoch(&Clock::Boot, time).max(0);
    let length = whole.saturating_sub(skipped);
    let mut written = Vec::with_capacity(16 + kept.len());
    for word in [
        (time / 1_000_000_000) as u32,
        (time % 1_000_000_000) as u32,
        kept.len() as u32,
        u32::try_from(length).unwrap_or(u32::MAX),
    ] {
        written.extend_from_slice(&word.to_ne_bytes());
    }
    written.extend_from_slice(kept);
    Some(written)
}

#[cfg(test)]
mod tests {
    use super::*;
    use btc_abi::{Field, Value};

    fn record() -> Record {
        let field = |offset| Field {
            offset,
            name: "".into(),
            value: Value::Int {
                size: 8,
                signed: false,
            },
        };
        Record {
            kind: RecordKind::Packet { path: "x".into() },
            fields: [8, 16, 24, 32].map(field).to_vec().into(),
            size: 40,
            place: "".into(),
        }
    }

    fn sent(numbers: [u64; 4], data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 8];
        numbers.iter().for_each(|n| bytes.extend(n.to_ne_bytes()));
        bytes.extend_from_slice(data);
        bytes
    }

    #[test]
    fn a_packet_loses_what_is_before_its_offset_and_the_padding() {
        let bytes = sent([1, 6, 2, 60], b"ethIP!pad");
        let written = packet(&record(), &bytes).unwrap();
        assert_eq!(&written[16..], b"hIP!");
        assert_eq!(written[8..12], 4u32.to_ne_bytes());
        assert_eq!(written[12..16], 58u32.to_ne_bytes());
    }

    #[test]
    fn damaged_records_are_no_packets() {
        let whole = sent([1, u64::MAX, u64::MAX, 0], b"");
        for end in 0..whole.len() {
            let _ = packet(&record(), &whole[..end]);
        }
        assert!(packet(&record(), &whole[..39]).is_none());
        assert_eq!(packet(&record(), &whole).unwrap().len(), 16);
    }
}
