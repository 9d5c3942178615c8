//! An object and its manifest → whether this kernel takes the programs: made to fit this machine and loaded as for a
//! run, and attached to nothing. For tests, whose programs may be whatever a script can say.

use libbpf_rs::skel::Skel;
use libbpf_rs::{AsRawLibbpf, Object, ObjectBuilder, OpenObject};

use crate::load::{self, Open, Skeleton};
use crate::parameters::Parameters;
use crate::slots::Facts;
use crate::target::{Target, clock_ns};
use crate::{Error, Tracer, floor, plan};

/// What a kernel made of an object that it did not refuse.
#[derive(Debug, Default)]
pub struct Rehearsal {
    /// Programs that were loaded, copies for further sites included.
    pub loaded: usize,
    /// Why others were not: this machine has none of their sites, or takes no program of their kind.
    pub left_out: Vec<String>,
}

/// Loads every program of an object, whatever the mode that it is for.
///
/// # Errors
/// What a run would end with before it attaches anything: foremost that the kernel refused a program.
pub fn rehearse(tracer: &'static Tracer, object: Vec<u8>) -> Result<Rehearsal, Error> {
    load::capture_log(false);
    let tracer = floor::chosen(tracer, false);
    let manifest = tracer.manifest;
    let target = Target::new(None, false);
    let (plan, missing) = plan::everything(tracer, &target)?;
    let parameters = Parameters::new(manifest);
    let facts = Facts {
        parameters: &parameters,
        probe_names: &plan.names,
        child: None,
        pid_filter: None,
        start_time: clock_ns(libc::CLOCK_BOOTTIME),
        warnings: false,
        config: &manifest.config,
    };
    let skeleton = Box::new(Bytes(object));
    let (loaded, splits) =
        load::load(skeleton, manifest, &manifest.config, &plan, &facts, &target)?;
    let mut rehearsal = Rehearsal {
        left_out: missing.iter().map(ToString::to_string).collect(),
        ..Rehearsal::default()
    };
    // SAFETY: a live object.
    let btf =
        unsafe { libbpf_sys::bpf_object__btf_fd(loaded.object().as_libbpf_object().as_ptr()) };
    for (planned, split) in plan.probes.iter().zip(&splits) {
        rehearsal
            .left_out
            .extend(split.failures.iter().map(ToString::to_string));
        let program =
            (loaded.object().progs()).find(|program| program.name() == &*planned.probe.program);
        let Some(program) = program.filter(|_| !split.groups.is_empty()) else {
            continue;
        };
        rehearsal.loaded += 1;
        for group in &split.groups[1..] {
            let raw = program.as_libbpf_object().as_ptr();
            group.variant.load(planned.probe, raw, btf)?;
            rehearsal.loaded += 1;
        }
    }
    Ok(rehearsal)
}

/// An object in memory, which is closed with its last owner: a process may rehearse many.
struct Bytes(Vec<u8>);

impl Skeleton for Bytes {
    fn open(self: Box<Self>) -> libbpf_rs::Result<Box<dyn Open>> {
        let open = ObjectBuilder::default().open_memory(&self.0)?;
        Ok(Box::new(Opened(open)))
    }
}

struct Opened(OpenObject);

impl Open for Opened {
    fn object(&mut self) -> &mut OpenObject {
        &mut self.0
    }

    fn load(self: Box<Self>) -> libbpf_rs::Result<Box<dyn Skel<'static>>> {
        Ok(Box::new(Rehearsed(self.0.load()?)))
    }
}

struct Rehearsed(Object);

impl Skel<'static> for Rehearsed {
    fn object(&self) -> &Object {
        &self.0
    }

    fn object_mut(&mut self) -> &mut Object {
        &mut self.0
    }
}
