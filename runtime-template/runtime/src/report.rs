//! Records → output: what the poll loop needs of it. The decoding and printing behind it is built beside this file.

use btc_abi::{Config, Manifest, MapRole, RecordKind};
use libbpf_rs::Object;

use crate::Error;
use crate::symbolize::{self, Symbolizer, Symbols};

/// How results are printed (`-f`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputFormat {
    Text,
    Json,
}

/// When output reaches its reader (`-B`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Buffering {
    None,
    Line,
    /// Flushed when the ring buffer runs empty and at the end.
    Full,
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
    pub format: OutputFormat,
    pub buffering: Buffering,
    /// `-o`; standard output without.
    pub out: Option<std::fs::File>,
    /// `-q`
    pub quiet: bool,
    /// `-k`: failed reads are told with their places.
    pub warn_failed_reads: bool,
    /// `--no-warnings`
    pub no_warnings: bool,
    /// CLOCK_BOOTTIME when the executable started, nanoseconds.
    pub start_time: u64,
}

/// What the poll loop does after a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    Continue,
    /// The script called `exit(status)`.
    Exit(i32),
}

/// A run's output.
pub struct Session<'a> {
    setup: Setup<'a>,
    symbols: Option<Box<dyn Symbols>>,
}

impl<'a> Session<'a> {
    /// Opens the output.
    pub fn new(setup: Setup<'a>) -> Result<Self, Error> {
        let symbols = (setup.symbolizer).map(|symbolizer| symbolizer.open(&setup.config));
        Ok(Session { setup, symbols })
    }

    /// Where user addresses are printed by name: [`Symbols::follow`].
    pub fn follow(&mut self, process: u32) -> Option<std::os::fd::RawFd> {
        let symbols = self.symbols.as_mut()?;
        symbolize::names_user_addresses(self.setup.manifest)
            .then(|| symbols.follow(process))
            .flatten()
    }

    /// [`Symbols::remember`]
    pub fn remember(&mut self, process: u32) {
        if let Some(symbols) = &mut self.symbols {
            symbols.remember(process);
        }
    }

    /// `Attached N probes`: to standard error in text, a line of its own in JSON.
    pub fn attached(&mut self, probes: usize) -> Result<(), Error> {
        if !self.setup.quiet {
            eprintln!(
                "Attached {probes} probe{}",
                if probes == 1 { "" } else { "s" }
            );
        }
        Ok(())
    }

    /// Acts on one record of the ring buffer.
    pub fn handle_record(&mut self, record: &[u8]) -> Result<Flow, Error> {
        let short = || Error::new("a record is shorter than its header: a bug of btc");
        let id: [u8; 4] = record
            .get(..4)
            .and_then(|id| id.try_into().ok())
            .ok_or_else(short)?;
        let records = &self.setup.manifest.records;
        let record_type = records
            .get(u32::from_le_bytes(id) as usize)
            .ok_or_else(|| Error::new("a record of no known kind: a bug of btc"))?;
        if record_type.kind != RecordKind::Exit {
            return Err(Error::new(format!(
                "{}: printing this is not supported yet",
                record_type.place
            )));
        }
        let Some(field) = record_type.fields.first() else {
            return Ok(Flow::Exit(0));
        };
        // Little-endian, and an exit status is its low bits.
        let status = record.get(field.offset as usize).ok_or_else(short)?;
        Ok(Flow::Exit(i32::from(*status)))
    }

    /// The ring buffer is empty: what is buffered goes out.
    pub fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }

    /// Prints the script's maps, as at the end of a run.
    pub fn print_maps(&mut self) -> Result<(), Error> {
        let mut maps = self.setup.manifest.maps.iter();
        match maps.find(|map| map.role == MapRole::Script) {
            Some(map) if self.setup.config.print_maps_on_exit => Err(Error::new(format!(
                "printing maps ({}) is not supported yet",
                map.name
            ))),
            _ => Ok(()),
        }
    }

    /// Says what was lost, what was full, what failed.
    pub fn report_counters(&mut self) -> Result<(), Error> {
        Ok(())
    }
}
