//! Records and maps → output: what every kind of record does, and what is printed when a run ends.

use std::collections::HashSet;
use std::os::fd::RawFd;
use std::path::Path;
use std::process::{Command, Stdio};

use btc_abi::{Config, Format, Manifest, MapRole, Record, RecordKind, Value};
use libbpf_rs::Object;

use crate::Error;
use crate::aggregate::integer;
use crate::counters::{Counters, Telling};
use crate::datum::Datum;
use crate::decode::{Decoder, Tail};
use crate::format::controls::Controls;
use crate::format::{printf, time};
use crate::maps::{self, Contents, Element};
use crate::output::json::JsonOutput;
use crate::output::text::TextOutput;
use crate::output::{Elements, MapType, Output, Severity, Sink, Trouble};
use crate::symbolize::{self, Symbolizer};
use crate::target::clock_ns;
use crate::unwind::{Rows, Unwinder};

pub use crate::output::Buffering;

/// How results are printed (`-f`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputFormat {
    Text,
    Json,
}

/// What a session is made of.
pub struct Setup<'a> {
    pub manifest: &'static Manifest,
    /// After the environment's overrides.
    pub config: Config,
    /// The loaded object: maps are found in it by [`btc_abi::Map::symbol`].
    pub object: &'a Object,
    /// Names of what was attached, indexed by attach cookies.
    pub probe_names: &'a [String],
    pub symbolizer: Option<&'static dyn Symbolizer>,
    pub unwinder: Option<&'static dyn Unwinder>,
    pub format: OutputFormat,
    pub buffering: Buffering,
    /// `-o` with its name; standard output without.
    pub out: Option<(std::fs::File, String)>,
    /// `-q`
    pub quiet: bool,
    /// `-k`: failed reads are told with their places.
    pub warn_failed_reads: bool,
    /// `--no-warnings`
    pub no_warnings: bool,
    /// `--raw-output`: terminals get control characters of traced text as they are.
    pub raw_output: bool,
}

/// What the poll loop does after a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    Continue,
    /// The script called `exit(status)`.
    Exit(i32),
}

/// How often losses are looked for while records come, in nanoseconds.
const TELLING_INTERVAL: u64 = 1_000_000_000;

/// A run's output.
pub struct Session<'a> {
    manifest: &'static Manifest,
    object: &'a Object,
    config: Config,
    quiet: bool,
    telling: Telling,
    decoder: Decoder<'a>,
    counters: Counters<'a>,
    unwind: Option<Box<dyn Rows + 'a>>,
    /// CLOCK_MONOTONIC when losses were looked for.
    told_at: u64,
    /// Maps that `zero` emptied since they were last cleared: in one without keys nothing else tells that it is there.
    zeroed: HashSet<u32>,
    format: OutputFormat,
    output: Box<dyn Output>,
    /// Formatted text on its way out; kept so that a record costs no allocation.
    text: Vec<u8>,
    /// Of traced text in results, and in messages of `errorf` and `warnf`.
    results: Controls,
    messages: Controls,
}

/// Of results and of messages. JSON escapes by itself.
fn controls(setup: &Setup<'_>) -> (Controls, Controls) {
    if setup.raw_output || setup.format == OutputFormat::Json {
        return (Controls::Raw, Controls::Raw);
    }
    let results = match setup.out {
        Some(_) => Controls::Raw,
        None => Controls::of(libc::STDOUT_FILENO),
    };
    (results, Controls::of(libc::STDERR_FILENO))
}

impl<'a> Session<'a> {
    /// Opens the output.
    pub fn new(setup: Setup<'a>) -> Result<Self, Error> {
        let (results, messages) = controls(&setup);
        let sink = Sink::new(setup.out, setup.buffering);
        let output: Box<dyn Output> = match setup.format {
            OutputFormat::Text => Box::new(TextOutput::new(sink)),
            OutputFormat::Json => Box::new(JsonOutput::new(sink)),
        };
        let mut decoder = Decoder::new(
            setup.manifest,
            &setup.config,
            setup.object,
            setup.probe_names,
            setup.symbolizer,
        )?;
        decoder.controls = results;
        Ok(Session {
            manifest: setup.manifest,
            object: setup.object,
            config: setup.config,
            quiet: setup.quiet,
            telling: Telling {
                warnings: !setup.no_warnings,
                failed_reads: setup.warn_failed_reads,
            },
            decoder,
            counters: Counters::find(setup.manifest, setup.object)?,
            unwind: match setup.unwinder {
                Some(unwinder) => Some(unwinder.open(setup.manifest, setup.object)?),
                None => None,
            },
            told_at: clock_ns(libc::CLOCK_MONOTONIC),
            zeroed: HashSet::new(),
            format: setup.format,
            output,
            text: Vec::new(),
            results,
            messages,
        })
    }

    #[must_use]
    pub fn format(&self) -> OutputFormat {
        self.format
    }

    /// Has results go elsewhere; where they went until now.
    pub fn swap_output(&mut self, output: Box<dyn Output>) -> Box<dyn Output> {
        std::mem::replace(&mut self.output, output)
    }

    /// Prints text that is in the output's format already.
    pub fn raw(&mut self, text: &[u8]) -> Result<(), Error> {
        self.output.raw(text)
    }

    /// `Attached N probes`: to standard error in text, a line of its own in JSON.
    pub fn attached(&mut self, probes: usize) -> Result<(), Error> {
        if self.quiet {
            return Ok(());
        }
        self.output.attached(probes)?;
        self.output.flush()
    }

    /// Where an iterator was left for others to read.
    pub fn pinned(&mut self, path: &Path) -> Result<(), Error> {
        let line = format!("Program pinned to {}\n", path.display());
        self.output.printf(line.as_bytes())
    }

    /// Where user addresses are printed by name: a descriptor that is readable when [`Session::catch_up`] has something
    /// to take in.
    pub fn follow(&mut self, process: u32) -> Option<RawFd> {
        symbolize::names_user_addresses(self.manifest)
            .then(|| self.decoder.follow(process))
            .flatten()
    }

    /// Keeps what is needed to name user addresses of followed processes after their end.
    pub fn catch_up(&mut self) {
        self.decoder.catch_up();
    }

    /// Has the rows ready by which stacks of a process are walked, where the script has such stacks.
    pub fn load_unwind_rows(&mut self, process: u32) {
        if let Some(unwind) = &mut self.unwind {
            unwind.load(process);
        }
    }

    /// Follows what a process and its children map; a descriptor that is readable when there is something to
    /// [`Session::catch_up_unwinding`] with.
    pub fn follow_unwinding(&mut self, process: u32) -> Option<RawFd> {
        self.unwind.as_mut()?.follow(process)
    }

    /// Loads rows for what followed processes have mapped.
    pub fn catch_up_unwinding(&mut self) {
        if let Some(unwind) = &mut self.unwind {
            unwind.catch_up();
        }
    }

    /// Acts on one record of the ring buffer.
    pub fn handle_record(&mut self, bytes: &[u8]) -> Result<Flow, Error> {
        let id = integer(bytes, 0, 4, false) as usize;
        let record = (self.manifest.records.get(id))
            .filter(|record| bytes.len() >= record.size as usize)
            .ok_or_else(|| {
                Error::new("a record that no program of the script sends: a bug of btc")
            })?;
        match &record.kind {
            RecordKind::Printf { format } => {
                self.fill(format, record, bytes, self.results);
                self.output.printf(&self.text)?;
            }
            RecordKind::Errorf { format } => {
                self.fill(format, record, bytes, self.messages);
                let severity = Severity::Error;
                self.output.message(severity, &record.place, &self.text)?;
            }
            RecordKind::Warnf { format } => {
                self.fill(format, record, bytes, self.messages);
                let severity = Severity::Warning;
                self.output.message(severity, &record.place, &self.text)?;
            }
            RecordKind::System { format } => {
                self.fill(format, record, bytes, Controls::Raw);
                self.system(record)?;
            }
            RecordKind::Cat { format } => {
                self.fill(format, record, bytes, Controls::Raw);
                self.cat(record)?;
            }
            RecordKind::Print => {
                if let Some(value) = self.fields(record, bytes).first() {
                    self.output.value(value)?;
                }
            }
            RecordKind::PrintMap { map } => {
                let fields = self.fields(record, bytes);
                let number = |index: usize| fields.get(index).and_then(Datum::bits).unwrap_or(0);
                self.print_map(*map as usize, number(0), number(1))?;
            }
            RecordKind::PrintElement { map } => {
                let key = (record.fields.first()).and_then(|field| {
                    let start = field.offset as usize;
                    bytes.get(start..start + field.value.size() as usize)
                });
                self.print_element(*map as usize, key.unwrap_or_default())?;
            }
            RecordKind::Clear { map } => {
                let description = &self.manifest.maps[*map as usize];
                maps::clear(&maps::find(self.object, description)?, description)?;
                self.zeroed.remove(map);
            }
            RecordKind::Zero { map } => {
                let description = &self.manifest.maps[*map as usize];
                if maps::zero(&maps::find(self.object, description)?, description)? {
                    self.zeroed.insert(*map);
                }
            }
            RecordKind::Exit => {
                let status = self.fields(record, bytes).first().and_then(Datum::bits);
                return Ok(Flow::Exit(status.unwrap_or(0) as i32));
            }
            RecordKind::Time { format } => {
                let now = i128::from(clock_ns(libc::CLOCK_REALTIME));
                self.output.time(time::strftime(format, now).as_bytes())?;
            }
            RecordKind::Join { separator } => self.join(separator, record, bytes)?,
            // Packets have a buffer of their own.
            RecordKind::Packet { .. } => {}
            RecordKind::Unwind => {
                let process = self.fields(record, bytes).first().and_then(Datum::bits);
                self.load_unwind_rows(process.unwrap_or(0) as u32);
            }
        }
        Ok(Flow::Continue)
    }

    fn fields<'b>(&mut self, record: &'static Record, bytes: &'b [u8]) -> Vec<Datum<'b>> {
        let mut tail = Tail(bytes.get(record.size as usize..).unwrap_or_default());
        self.decoder.fields(&record.fields, bytes, &mut tail)
    }

    /// Formats into `self.text`.
    fn fill(&mut self, format: &Format, record: &'static Record, bytes: &[u8], controls: Controls) {
        self.decoder.controls = controls;
        let fields = self.fields(record, bytes);
        self.decoder.controls = self.results;
        self.text.clear();
        printf::write(format, fields.into_iter(), controls, &mut self.text);
    }

    /// Runs `self.text` in a shell and prints what it prints; its errors go where ours go.
    fn system(&mut self, record: &Record) -> Result<(), Error> {
        // What was printed before is there before what the command prints beside its standard output.
        self.output.flush()?;
        let command = String::from_utf8_lossy(&self.text).into_owned();
        let done = Command::new("/bin/sh")
            .args(["-c", &command])
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output();
        match done {
            Ok(done) => self.output.system(&done.stdout),
            Err(error) => {
                let text = format!("system: run `{command}`: {error}");
                self.trouble_at(record, text)
            }
        }
    }

    /// Prints the head of the file that `self.text` names.
    fn cat(&mut self, record: &Record) -> Result<(), Error> {
        use std::io::Read as _;
        use std::os::unix::fs::OpenOptionsExt as _;
        let path = String::from_utf8_lossy(&self.text).into_owned();
        let mut contents = Vec::new();
        // A pipe that nobody writes into would keep the run waiting, its end too.
        let opened = std::fs::OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(&path);
        let read = opened.and_then(|file| {
            let mut head = file.take(self.config.max_cat_bytes);
            match head.read_to_end(&mut contents) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(()),
                read => read.map(drop),
            }
        });
        match read {
            Ok(()) => self.output.cat(&self.results.lines(contents.into())),
            Err(error) => {
                let text = format!("cat: {path}: {error}");
                self.trouble_at(record, text)
            }
        }
    }

    fn trouble_at(&mut self, record: &Record, text: String) -> Result<(), Error> {
        let text = self.messages.value(text.into_bytes().into());
        self.output.trouble(&Trouble::At {
            place: &record.place,
            text: &String::from_utf8_lossy(&text),
        })
    }

    fn join(
        &mut self,
        separator: &str,
        record: &'static Record,
        bytes: &[u8],
    ) -> Result<(), Error> {
        let mut strings = self.fields(record, bytes);
        // The vector ended where only empty strings follow.
        while matches!(strings.last(), Some(Datum::Text(text)) if text.is_empty()) {
            strings.pop();
        }
        self.text.clear();
        for (index, string) in strings.iter().enumerate() {
            if index > 0 {
                self.text.extend_from_slice(separator.as_bytes());
            }
            crate::format::value::write(string, &mut self.text);
        }
        self.output.join(&self.text)
    }

    /// Prints a map: its last `top` elements (all for 0), numbers divided by `divisor` (0: as they are).
    fn print_map(&mut self, index: usize, top: u64, divisor: u64) -> Result<(), Error> {
        let description = &self.manifest.maps[index];
        let elements = maps::read(&maps::find(self.object, description)?, description)?;
        let skipped = match usize::try_from(top) {
            Ok(top) if top > 0 => elements.len().saturating_sub(top),
            _ => 0,
        };
        self.print_elements(index, &elements[skipped..], divisor)
    }

    /// Prints a map's element by itself; nothing where it has none of that key.
    fn print_element(&mut self, index: usize, key: &[u8]) -> Result<(), Error> {
        let description = &self.manifest.maps[index];
        let map = maps::find(self.object, description)?;
        match maps::element(&map, description, key.to_vec())? {
            Some(element) => self.print_elements(index, &[element], 0),
            None => Ok(()),
        }
    }

    fn print_elements(
        &mut self,
        index: usize,
        elements: &[Element],
        divisor: u64,
    ) -> Result<(), Error> {
        let description = &self.manifest.maps[index];
        let map_type = match &description.value {
            Value::Avg { .. } | Value::Stats { .. } => MapType::Stats,
            Value::Hist { .. } | Value::Lhist { .. } => MapType::Histogram,
            Value::Tseries { .. } => MapType::Series,
            _ => MapType::Plain,
        };
        let mut decoded = Vec::new();
        for element in elements {
            let key = description.key.as_ref();
            let key = key.map(|key| self.decoder.value(key, &element.key));
            let value = match &element.contents {
                Contents::Merged(merged) => {
                    self.decoder.merged(&description.value, merged, divisor)
                }
                Contents::Bytes(bytes) => self.decoder.value(&description.value, bytes),
            };
            // What has no keys and took nothing in is not there, unless it did so before it was zeroed.
            if key.is_none() && is_blank(&value) && !self.zeroed.contains(&(index as u32)) {
                continue;
            }
            decoded.push((key, value));
        }
        let elements = Elements {
            map_type,
            elements: decoded,
        };
        self.output.map(&description.name, &elements)
    }

    /// The ring buffer is empty: what is buffered goes out, what was lost is told now and then.
    pub fn flush(&mut self) -> Result<(), Error> {
        let now = clock_ns(libc::CLOCK_MONOTONIC);
        if now - self.told_at >= TELLING_INTERVAL {
            self.told_at = now;
            self.report_counters()?;
        }
        self.output.flush()
    }

    /// Prints the script's maps by name, as at the end of a run; what was lost until then comes before.
    pub fn print_maps(&mut self) -> Result<(), Error> {
        self.counters.tell_lost_events(&mut *self.output)?;
        self.output.end()?;
        if !self.config.print_maps_on_exit {
            return Ok(());
        }
        let mut wanted: Vec<(usize, &str)> = (self.manifest.maps.iter().enumerate())
            .filter(|(_, map)| map.role == MapRole::Script)
            .map(|(index, map)| (index, &*map.name))
            .collect();
        wanted.sort_by_key(|(_, name)| *name);
        for (index, _) in wanted {
            self.print_map(index, 0, 0)?;
        }
        Ok(())
    }

    /// A sentence about the results, unless warnings are kept back.
    pub fn warn(&mut self, sentence: &str) -> Result<(), Error> {
        if !self.telling.warnings {
            return Ok(());
        }
        self.output.trouble(&Trouble::Warning(sentence))
    }

    /// Says what was lost, what was full, what failed.
    pub fn report_counters(&mut self) -> Result<(), Error> {
        if let Some(trouble) = self.unwind.as_mut().and_then(|unwind| unwind.trouble()) {
            self.warn(&trouble)?;
        }
        self.counters.tell(self.telling, &mut *self.output)
    }
}

/// A histogram or time series that nothing was counted in.
fn is_blank(value: &Datum<'_>) -> bool {
    match value {
        Datum::Histogram(histogram) => histogram.buckets.is_empty(),
        Datum::Timeline(timeline) => timeline.points.is_empty(),
        _ => false,
    }
}
