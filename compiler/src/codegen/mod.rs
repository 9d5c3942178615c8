//! The typed tree becomes a BPF object: programs, BTF-defined maps, `.rodata.btc`, CO-RE relocations.

mod aggregate;
pub mod arithmetic;
mod builder;
mod callback;
mod context_reloc;
mod convert;
mod core_reloc;
mod debug_info;
mod depth;
mod expr;
mod flavor;
mod foreign;
mod helper;
mod iterator;
mod kernel_object;
mod llvm_messages;
mod loops;
mod maps;
mod marker;
mod module;
mod place;
mod program;
mod reach;
mod read;
mod reading;
mod record;
mod rounds;
mod series;
mod shared;
mod stack;
mod step;
mod strip;
#[cfg(test)]
mod tests;
mod text;
mod unwind;
mod verify;
mod write;

use std::borrow::Cow;

use btc_abi as abi;
use inkwell::context::Context;
use inkwell::targets::FileType;

use crate::arch::Arch;
use crate::bug::Bug;
use crate::ir;
use crate::source::{SourceMap, Span};
use module::{Counted, Unit};
use program::Edition;

/// What code generation is told beside the program.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    pub arch: Arch,
    /// For the lines that the verifier's messages name.
    pub sources: &'a SourceMap,
}

impl Options<'_> {
    fn file_name(&self, program: &ir::Program) -> String {
        let first = self.sources.files().next();
        first.map_or_else(|| program.name.clone(), |(_, source)| source.name.clone())
    }

    fn line_column(&self, span: Span) -> (u32, u32) {
        let known = self.sources.files().any(|(id, _)| id == span.file);
        if !known {
            return (0, 0);
        }
        let (line, column) = self.sources.get(span.file).line_column(span.start as usize);
        (line as u32, column as u32)
    }
}

/// A finished BPF object.
#[derive(Clone, Debug)]
pub struct Object {
    pub elf: Vec<u8>,
}

/// Why there is no object.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error(transparent)]
    Bug(#[from] Bug),
    /// A probe's values don't fit into BPF's stack, however many are kept elsewhere: the script's fault after all.
    #[error("the values of probe {probe} don't fit into BPF's stack")]
    Stack { probe: usize },
    /// Loops within each other that kernels don't take.
    #[error("probe {probe} has loops that are {depth} deep")]
    Nesting { probe: usize, depth: u32 },
    /// A probe's functions call each other deeper than kernels take.
    #[error("probe {probe} has calls that are {frames} deep")]
    Calls { probe: usize, frames: u32 },
    /// A probe has so many instructions that BPF's jumps don't reach.
    #[error("probe {probe} has {instructions} instructions")]
    Size { probe: usize, instructions: u64 },
}

/// What `--emit` prints of code generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text {
    /// Before optimisation.
    LlvmIr,
    Assembly,
}

/// Compiles a program. Fills in what only the object tells: where the context is read, how much scratch memory is
/// needed, whether the target's kernel must have BTF.
pub fn emit(
    program: &ir::Program,
    manifest: &mut abi::Manifest,
    options: &Options,
) -> Result<Object, Refusal> {
    for (probe, of) in program.probes.iter().enumerate() {
        let depth = callback::nested_loops(&of.body);
        if depth > callback::MOST_NESTED {
            return Err(Refusal::Nesting { probe, depth });
        }
    }
    let (elf, markers) = attempt(program, manifest, options, FileType::Object)?;
    let file = object::File::parse(&*elf)
        .map_err(|error| Bug::new(format!("LLVM's object can't be read: {error}")))?;
    for (probe, markers) in manifest.probes.to_mut().iter_mut().zip(&markers) {
        let found = context_reloc::locate(&file, &probe.program, &markers.own)?;
        probe.context = Cow::Owned(found);
        if let Some(floor) = &mut probe.floor {
            let found = context_reloc::locate(&file, &floor.program, &markers.floor)?;
            floor.context = Cow::Owned(found);
        }
    }
    drop(file);
    manifest.needs_btf |= verify::count_relocations(&elf)? > 0;
    Ok(Object {
        elf: strip::debug_sections(&elf)?,
    })
}

/// The same program as text.
pub fn emit_text(
    program: &ir::Program,
    manifest: &mut abi::Manifest,
    options: &Options,
    text: Text,
) -> Result<String, Refusal> {
    match text {
        Text::LlvmIr => {
            let context = Context::create();
            let turn = flavor::turn();
            let attempt = Attempt {
                stack_budget: STACK_BUDGETS[0],
                flavor: &turn.flavor(),
            };
            let made = translate(&context, program, manifest, options, attempt)?;
            let text = made.module.print_to_string().to_string();
            Ok(flavor::remove_from_text(&text, attempt.flavor))
        }
        Text::Assembly => {
            let (bytes, ..) = attempt(program, manifest, options, FileType::Assembly)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        }
    }
}

/// How much of the 512 bytes of stack our own values may take: how many LLVM's spills take is known only after code
/// generation, so a program whose stack overflows is made again with more of it in scratch memory.
const STACK_BUDGETS: [u32; 4] = [256, 128, 64, 0];

/// One try at a program.
#[derive(Clone, Copy)]
struct Attempt<'a> {
    stack_budget: u32,
    /// What the names of kernel types end with until the object is there.
    flavor: &'a str,
}

type Assembled = (Vec<u8>, Vec<Markers>);

fn attempt(
    program: &ir::Program,
    manifest: &mut abi::Manifest,
    options: &Options,
    file_type: FileType,
) -> Result<Assembled, Refusal> {
    let machine = module::machine()?;
    let mut last = Bug::new("no stack budget");
    for stack_budget in STACK_BUDGETS {
        let turn = flavor::turn();
        let attempt = Attempt {
            stack_budget,
            flavor: &turn.flavor(),
        };
        let context = Context::create();
        let mut planned = manifest.clone();
        let made = translate(&context, program, &mut planned, options, attempt)?;
        module::optimise(&made.module, &machine)?;
        let bytes = match module::too_large(&made.module, &machine) {
            Ok(Some(large)) => return Err(too_large(program, large)),
            Ok(None) => module::write(&made.module, &machine, file_type),
            Err(bug) => Err(bug),
        };
        match bytes {
            Ok(mut bytes) => {
                match file_type {
                    FileType::Object => {
                        if let Some((probe, deep)) = too_deep(program, &bytes)? {
                            if !deep.has_few_frames() {
                                let frames = deep.frames;
                                return Err(Refusal::Calls { probe, frames });
                            }
                            last = Bug::new(format!(
                                "a stack of {} bytes in function {}",
                                deep.bytes, program.probes[probe].program
                            ));
                            continue;
                        }
                        flavor::remove_from_object(&mut bytes, attempt.flavor)?;
                    }
                    FileType::Assembly => {
                        let text = String::from_utf8_lossy(&bytes);
                        bytes = flavor::remove_from_text(&text, attempt.flavor).into_bytes();
                    }
                }
                *manifest = planned;
                return Ok((bytes, made.markers));
            }
            Err(bug) if bug.message.contains("stack") => last = bug,
            Err(bug) => return Err(bug.into()),
        }
    }
    let named = |probe: &ir::Probe| {
        last.message
            .contains(&format!("in function {}", probe.program))
    };
    match program.probes.iter().position(named) {
        Some(probe) => Err(Refusal::Stack { probe }),
        None => Err(last.into()),
    }
}

/// A probe whose stack and that of all that runs on top of it don't fit, on some kernel that takes the program else.
fn too_deep(program: &ir::Program, elf: &[u8]) -> Result<Option<(usize, depth::Depth)>, Bug> {
    let file = object::File::parse(elf)
        .map_err(|error| Bug::new(format!("LLVM's object can't be read: {error}")))?;
    let calls = depth::Calls::of(&file)?;
    let editions = [Edition::Current, Edition::Floor];
    let depths = program
        .probes
        .iter()
        .enumerate()
        .flat_map(|(index, probe)| {
            let names = editions.map(|edition| edition.program(&probe.program));
            let depths = names.into_iter().filter_map(|name| calls.depth(&name));
            depths.map(move |depth| (index, depth)).collect::<Vec<_>>()
        });
    Ok(depths
        .filter(|(_, depth)| !depth.fits())
        .max_by_key(|(_, depth)| depth.frames))
}

fn too_large(program: &ir::Program, large: reach::TooLarge) -> Refusal {
    let owner = large.function.rsplit_once("_loop");
    let owner = owner.map_or(&*large.function, |(owner, _)| owner);
    let owner = owner.strip_suffix("_floor").unwrap_or(owner);
    let probe = program.probes.iter().position(|p| p.program == owner);
    match probe {
        Some(probe) => Refusal::Size {
            probe,
            instructions: large.instructions,
        },
        None => Bug::new(format!("`{}` is too large", large.function)).into(),
    }
}

struct Translated<'ctx> {
    module: inkwell::module::Module<'ctx>,
    /// By probe.
    markers: Vec<Markers>,
}

/// Of a probe's program, and of that for the oldest kernels.
#[derive(Default)]
struct Markers {
    own: Vec<context_reloc::Marker>,
    floor: Vec<context_reloc::Marker>,
}

fn translate<'ctx>(
    context: &'ctx Context,
    program: &ir::Program,
    manifest: &mut abi::Manifest,
    options: &Options,
    attempt: Attempt,
) -> Result<Translated<'ctx>, Bug> {
    // Another attempt may have added its own.
    set_counters(manifest, &[], options);
    let mut unit = Unit::new(context, program, manifest, options, attempt)?;
    foreign::link(&unit)?;
    let mut markers = Vec::new();
    let mut floors = Vec::new();
    let mut scratch = 0;
    let mut scratch_entries = 0;
    for index in 0..program.probes.len() as u32 {
        let mut take = |edition| {
            let finished = program::emit(&unit, index, edition)?;
            if finished.scratch > 0 {
                scratch = scratch.max(finished.scratch);
                // The key is the program's index.
                scratch_entries = program.probes.len() as u32;
            }
            Ok::<_, Bug>((finished.markers, finished.features))
        };
        let mut probe_markers = Markers::default();
        let mut floor = None;
        let (own, features) = take(Edition::Current)?;
        probe_markers.own = own;
        if !features.is_empty() {
            probe_markers.floor = take(Edition::Floor)?.0;
            let name = &program.probes[index as usize].program;
            floor = Some(abi::FloorProgram {
                program: Edition::Floor.program(name).into(),
                needs: features.into(),
                context: Cow::Borrowed(&[]),
            });
        }
        markers.push(probe_markers);
        floors.push(floor);
    }
    let scratch = unit.finish_shared(scratch)?;
    unit.finish_scratch(scratch, scratch_entries)?;
    unit.finish_counters()?;
    module::without_library(&unit);
    unit.di.builder.finalize();
    unit.module
        .verify()
        .map_err(|error| Bug::new(format!("LLVM refuses the module: {}", error.to_string())))?;
    let module = unit.module;
    let counted = unit.counted.into_inner();
    set_scratch(manifest, scratch, scratch_entries);
    set_counters(manifest, &counted, options);
    for (probe, floor) in manifest.probes.to_mut().iter_mut().zip(floors) {
        probe.floor = floor;
    }
    Ok(Translated { module, markers })
}

/// The manifest tells of the counters that code generation added.
fn set_counters(manifest: &mut abi::Manifest, counted: &[Counted], options: &Options) {
    use abi::Counter as C;
    let counters = manifest.counters.to_mut();
    counters.retain(|one| {
        !matches!(
            one,
            C::FailedRead { .. }
                | C::DivisionByZero { .. }
                | C::MissedDelete { .. }
                | C::CutLoop { .. }
        )
    });
    counters.extend(counted.iter().map(|one| match one {
        Counted::FailedRead { span } => C::FailedRead {
            place: options.sources.place(*span).into(),
        },
        Counted::DivisionByZero { span } => C::DivisionByZero {
            place: options.sources.place(*span).into(),
        },
        Counted::MissedDelete { span } => C::MissedDelete {
            place: options.sources.place(*span).into(),
        },
        Counted::CutLoop { span, rounds } => C::CutLoop {
            place: options.sources.place(*span).into(),
            rounds: *rounds,
        },
    }));
    for map in manifest.maps.to_mut() {
        if map.role == abi::MapRole::Counters {
            map.max_entries = manifest.counters.len() as u32;
        }
    }
}

/// The manifest tells of the scratch map as it came out; a manifest without it is one that no program asks for.
fn set_scratch(manifest: &mut abi::Manifest, bytes: u32, entries: u32) {
    let maps = manifest.maps.to_mut();
    if entries == 0 {
        maps.retain(|map| map.role != abi::MapRole::Scratch);
        return;
    }
    for map in maps {
        if map.role == abi::MapRole::Scratch {
            map.max_entries = entries;
            if let abi::Value::Array { count, .. } = &mut map.value {
                *count = bytes;
            }
        }
    }
}
