//! A probe and the target → sites to attach to → attachments. One file per kind of probe, named as the language
//! names it. Finding comes before anything is attached, so that a dry run and missing probes need no kernel.

pub mod begin_end;
pub mod fentry;
pub mod hardware;
pub mod interval;
pub mod iter;
pub mod kprobe;
pub mod kprobe_multi;
pub mod perf;
pub mod profile;
pub mod rawtracepoint;
mod refusal;
pub mod self_signal;
pub mod software;
mod test_run;
pub mod tracepoint;
pub mod trial;
pub mod uprobe;
pub mod uprobe_multi;
pub mod usdt;
mod user;
pub mod watchpoint;

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use btc_abi::{Attach, Probe};
use libbpf_rs::{OpenProgramMut, ProgramMut};

use crate::Error;
use crate::poll::Records;
use crate::target::Target;

/// A kind of probe.
pub trait Provider: Sync {
    /// Whether `attach` is of this kind.
    fn handles(&self, attach: &Attach) -> bool;

    /// Where the probe goes on this target; nothing where the target has no such place. A plain name that only the
    /// kernel can check is taken as it is.
    fn find(&self, probe: &Probe, target: &Target) -> Result<Vec<Site>, Error>;

    /// Sets what must be known before the program is loaded; it is loaded for these sites, and copies for those that
    /// it does not fit.
    fn prepare(
        &self,
        probe: &Probe,
        sites: &[Site],
        program: &mut OpenProgramMut<'_>,
        target: &Target,
    ) -> Result<(), Error> {
        let _ = (probe, sites, program, target);
        Ok(())
    }

    /// What a program must know of a site beyond the number of its name: an element of a map, whose index becomes the
    /// site's cookie.
    fn element(&self, site: &Site, name: u32) -> Option<Vec<u8>> {
        let _ = (site, name);
        None
    }

    /// Attaches a loaded program to `sites`; one failure for each site that could not be had.
    fn attach(&self, attaching: &Attaching<'_>, sites: &[Site]) -> Attached;

    /// Runs the programs of `--test` or `--bench`, in their order, and prints what came of it.
    fn try_out(
        &self,
        trials: &[Trial<'_>],
        records: &Records<'_, '_, '_>,
    ) -> Result<ExitCode, Error> {
        let _ = (trials, records);
        Err(Error::new("nothing that can be tried out: a bug of btc"))
    }
}

/// A loaded program of a `test` or `bench` probe.
pub struct Trial<'a> {
    pub probe: &'a Probe,
    pub fd: BorrowedFd<'a>,
}

/// One place that a program is attached to.
#[derive(Clone, Debug)]
pub struct Site {
    /// As `probe` prints it.
    pub name: String,
    /// Index into the run's probe names, or into the elements of sites; 0 for a probe that needs none.
    pub cookie: u64,
    pub place: Place,
}

impl Site {
    /// A site whose cookie is numbered later.
    pub fn new(name: impl Into<String>, place: Place) -> Self {
        Site {
            name: name.into(),
            cookie: 0,
            place,
        }
    }
}

/// Where a site is.
#[derive(Clone, Debug)]
pub enum Place {
    /// The runtime runs the program itself, before or after everything else.
    Run,
    /// What the probe says is all there is to know.
    Event,
    Tracepoint {
        category: String,
        event: String,
    },
    /// `function` or `module:function`.
    Kernel {
        function: String,
        offset: u64,
        /// Of the function; 0 where no list was read or the kernel hides it.
        address: u64,
    },
    Btf(BtfFunction),
    RawTracepoint {
        event: String,
    },
    User {
        binary: PathBuf,
        offset: u64,
    },
    /// A usdt probe's instruction.
    Marker {
        binary: PathBuf,
        offset: u64,
        /// File offset of the counter of tracers; 0: none.
        semaphore: u64,
        /// Where the arguments are that the program reads; its name is numbered later.
        arguments: Option<Box<btc_abi::usdt::Site>>,
    },
}

/// A place in a file that processes map.
#[derive(Clone, Copy)]
pub struct InBinary<'a> {
    pub binary: &'a Path,
    pub offset: u64,
    /// File offset of the word that the kernel counts tracers in; 0: none.
    pub counter: u64,
}

impl Place {
    /// Where a user probe goes.
    #[must_use]
    pub fn in_binary(&self) -> Option<InBinary<'_>> {
        let (binary, offset, counter) = match self {
            Place::User { binary, offset } => (binary, *offset, 0),
            Place::Marker {
                binary,
                offset,
                semaphore,
                ..
            } => (binary, *offset, *semaphore),
            _ => return None,
        };
        Some(InBinary {
            binary,
            offset,
            counter,
        })
    }
}

/// A function as BTF describes it. A program that is loaded for one fits no other.
#[derive(Clone, Debug)]
pub struct BtfFunction {
    pub name: String,
    /// Within the BTF of `object`.
    pub id: u32,
    /// `None`: the kernel itself.
    pub object: Option<Arc<OwnedFd>>,
    /// `object` is a BPF program, otherwise the BTF of a module.
    pub of_program: bool,
    /// Names of the parameters, and [`btc_abi::probe::RESULT`], with their offsets in a program's context.
    pub members: Vec<(String, u32)>,
}

impl PartialEq for BtfFunction {
    fn eq(&self, other: &Self) -> bool {
        let object = |of: &Self| of.object.as_ref().map(Arc::as_ptr);
        self.id == other.id && object(self) == object(other)
    }
}

/// A loaded program on its way.
pub struct Attaching<'a> {
    pub probe: &'a Probe,
    /// The program's descriptor: its own, or that of a variant for another layout.
    pub fd: BorrowedFd<'a>,
    pub program: &'a ProgramMut<'a>,
    pub target: &'a Target,
}

/// What came of attaching.
#[derive(Default)]
pub struct Attached {
    pub attachments: Vec<Attachment>,
    /// How many sites they cover.
    pub sites: usize,
    pub failures: Vec<Error>,
}

impl Attached {
    /// Nothing of this kind can be attached here.
    pub fn nowhere(probe: &Probe, error: Error) -> Self {
        Attached {
            failures: vec![Error::with_source(format!("attach {}", probe.name), error)],
            ..Attached::default()
        }
    }

    /// Attaches site by site.
    pub fn each(
        sites: &[Site],
        mut attach: impl FnMut(&Site) -> Result<Vec<Attachment>, Error>,
    ) -> Self {
        let mut attached = Attached::default();
        for site in sites {
            match attach(site) {
                Ok(attachments) => {
                    attached.attachments.extend(attachments);
                    attached.sites += 1;
                }
                Err(error) => attached.failures.push(error),
            }
        }
        attached
    }
}

/// Keeps a program attached.
pub enum Attachment {
    /// A link: closing it detaches at once.
    Link(OwnedFd),
    /// A perf event. Closing `link` stops the program at once; closing the event can wait for the kernel (75 ms for
    /// a tracepoint). Without links (before Linux 5.15) both happen when the event is closed.
    Perf {
        link: Option<OwnedFd>,
        event: OwnedFd,
    },
    /// The link of an iterator whose objects the runtime reads once everything is attached.
    Iterator(OwnedFd),
    /// An iterator that was left at this path.
    Pinned { path: PathBuf },
    /// One of libbpf's own.
    Libbpf(libbpf_rs::Link),
}

/// Names of the directories in one; none where it can't be read.
fn directories(path: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}
