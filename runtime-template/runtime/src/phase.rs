//! A plan and a loaded object → attachments, phase by phase; what can't be attached is judged here.

use std::os::fd::{AsFd, OwnedFd};

use btc_abi::Config;
use libbpf_rs::{AsRawLibbpf, Object, ProgramMut};

use crate::attach::{Attached, Attaching, Attachment, Site};
use crate::plan::{self, Phase, Plan, Planned};
use crate::target::Target;
use crate::variant::{Group, Split};
use crate::{Error, detach};

/// Everything that attaching needs and makes.
pub struct AttachPhase<'a> {
    pub object: &'a Object,
    config: &'a Config,
    target: &'a Target,
    warnings: bool,
    pub attachments: Vec<Attachment>,
    /// Attached so far.
    pub sites: usize,
}

impl Drop for AttachPhase<'_> {
    /// After an error: nothing stays attached, and nobody waits for hundreds of probes one by one.
    fn drop(&mut self) {
        detach::stop(std::mem::take(&mut self.attachments)).release();
    }
}

impl<'a> AttachPhase<'a> {
    pub fn new(object: &'a Object, config: &'a Config, target: &'a Target, warnings: bool) -> Self {
        AttachPhase {
            object,
            config,
            target,
            warnings,
            attachments: Vec::new(),
            sites: 0,
        }
    }

    /// Attaches the probes of one phase.
    pub fn attach(&mut self, plan: &Plan, splits: &mut [Split], phase: Phase) -> Result<(), Error> {
        for (planned, split) in plan.probes.iter().zip(splits) {
            if planned.phase() != phase || planned.sites.is_empty() {
                continue;
            }
            let attached = self.probe(planned, split)?;
            if self.target.verbose {
                eprintln!(
                    "{}: attached to {} of {} places",
                    planned.probe.name,
                    attached.sites,
                    planned.sites.len()
                );
            }
            self.sites += attached.sites;
            self.attachments.extend(attached.attachments);
            self.judge(planned, attached.sites, attached.failures)?;
        }
        Ok(())
    }

    /// What failures mean for the run.
    fn judge(&self, planned: &Planned, sites: usize, failures: Vec<Error>) -> Result<(), Error> {
        if let Some(at) = failures.iter().position(Error::is_exhaustion) {
            let failure = failures.into_iter().nth(at);
            return Err(Error::with_source(
                format!(
                    "{}: attached to {sites} of {} places (`ulimit -n` is {})",
                    planned.probe.place,
                    planned.sites.len(),
                    file_limit().rlim_cur
                ),
                failure.unwrap_or_else(|| Error::new("out of descriptors")),
            ));
        }
        // What a pattern matched beyond what can be probed is left out, as long as something is left.
        let pattern = planned
            .sites
            .iter()
            .any(|site| site.name != planned.probe.name);
        if pattern && sites > 0 {
            if self.target.verbose {
                let left_out = failures.iter();
                left_out.for_each(|failure| eprintln!("left out: {failure}"));
            }
            return Ok(());
        }
        // One of a pattern's speaks for all.
        let said = if pattern { 1 } else { failures.len() };
        for failure in failures.into_iter().take(said) {
            let failure = Error::with_source(planned.probe.place.to_string(), failure);
            plan::missing(self.config, self.warnings, failure)?;
        }
        Ok(())
    }

    /// The loaded program of a probe.
    pub fn program(&self, planned: &Planned) -> Result<ProgramMut<'a>, Error> {
        (self.object.progs_mut())
            .find(|program| program.name() == &*planned.probe.program)
            .ok_or_else(|| {
                Error::new(format!(
                    "no program {}: a bug of btc",
                    planned.probe.program
                ))
            })
    }

    fn probe(&self, planned: &Planned, split: &mut Split) -> Result<Attached, Error> {
        let mut all = Attached {
            failures: std::mem::take(&mut split.failures),
            ..Attached::default()
        };
        if split.groups.is_empty() {
            return Ok(all);
        }
        let program = self.program(planned)?;
        for (index, group) in split.groups.iter().enumerate() {
            let sites: Vec<_> = (group.sites.iter())
                .map(|site| planned.sites[*site].clone())
                .collect();
            // What a copy is attached to keeps it.
            let copy = match index {
                0 => None,
                _ => match self.copy(planned, &program, group) {
                    Ok(copy) => Some(copy),
                    Err(error) => {
                        let what = format!("attach {}", names(&sites));
                        all.failures.push(Error::with_source(what, error));
                        continue;
                    }
                },
            };
            let attaching = Attaching {
                probe: planned.probe,
                fd: copy.as_ref().map_or(program.as_fd(), AsFd::as_fd),
                program: &program,
                target: self.target,
            };
            let attached = planned.provider.attach(&attaching, &sites);
            all.attachments.extend(attached.attachments);
            all.sites += attached.sites;
            all.failures.extend(attached.failures);
        }
        Ok(all)
    }

    fn copy(
        &self,
        planned: &Planned,
        program: &ProgramMut<'_>,
        group: &Group,
    ) -> Result<OwnedFd, Error> {
        // SAFETY: a live object.
        let btf =
            unsafe { libbpf_sys::bpf_object__btf_fd(self.object.as_libbpf_object().as_ptr()) };
        let raw = program.as_libbpf_object().as_ptr();
        group.variant.load(planned.probe, raw, btf)
    }
}

/// The first site, and how many there are beside it.
fn names(sites: &[Site]) -> String {
    match sites {
        [] => String::new(),
        [one] => one.name.clone(),
        [first, others @ ..] => format!("{} and {} others", first.name, others.len()),
    }
}

/// A pattern may match more events than the descriptors that a process has by default: each takes two.
pub fn raise_file_limit(sites: usize) {
    let mut limit = file_limit();
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: `limit` is a valid value; a failure leaves the limit as it was.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
    let wanted = sites as libc::rlim_t * 2 + 256;
    if limit.rlim_max < wanted {
        // With CAP_SYS_RESOURCE.
        (limit.rlim_cur, limit.rlim_max) = (wanted, wanted);
        // SAFETY: as above.
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
    }
}

fn file_limit() -> libc::rlimit {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a valid place.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    limit
}
