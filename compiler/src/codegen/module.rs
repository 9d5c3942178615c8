//! One LLVM module for a script: target, maps, slots, and the way from LLVM's code to an object file.

use std::cell::{Cell, RefCell};

use btc_abi as abi;
use inkwell::OptimizationLevel;
use inkwell::attributes::AttributeLoc;
use inkwell::context::Context;
use inkwell::module::{FlagBehavior, Linkage, Module};
use inkwell::passes::PassBuilderOptions;
use inkwell::targets::{
    CodeModel, FileType, InitializationConfig, RelocMode, Target, TargetMachine, TargetTriple,
};
use inkwell::types::{IntType, PointerType};
use inkwell::values::{BasicValue as _, GlobalValue};

use super::Options;
use super::core_reloc::CoreTypes;
use super::debug_info::{DebugInfo, DiMember, UNSIGNED};
use super::shared::Declared;
use crate::arch::Arch;
use crate::bug::Bug;
use crate::ir;
use crate::layout::Shapes;
use crate::source::Span;

/// Entries of maps whose size the runtime sets before load; libbpf wants a number until then.
const DEFAULT_ENTRIES: u32 = 4096;
/// Bytes of the ring buffer until the runtime sets them.
const DEFAULT_RING: u32 = 256 * 1024;

/// What only code generation knows that it has to be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Reads that fail in a statement.
    FailedRead {
        span: Span,
    },
    /// Divisions by zero in a statement.
    DivisionByZero {
        span: Span,
    },
    /// Deletions in a statement of elements that were not there.
    MissedDelete {
        span: Span,
    },
    CutLoop {
        span: Span,
        rounds: u32,
    },
}

/// All that the programs of an object share.
pub struct Unit<'a, 'ctx> {
    pub context: &'ctx Context,
    pub module: Module<'ctx>,
    pub program: &'a ir::Program,
    pub manifest: &'a abi::Manifest,
    pub shapes: Shapes<'a>,
    pub options: &'a Options<'a>,
    pub di: DebugInfo<'ctx>,
    pub core: CoreTypes<'ctx>,
    /// By index in the manifest.
    pub maps: Vec<GlobalValue<'ctx>>,
    slots: Option<GlobalValue<'ctx>>,
    pub i8: IntType<'ctx>,
    pub i16: IntType<'ctx>,
    pub i32: IntType<'ctx>,
    pub i64: IntType<'ctx>,
    pub bool: IntType<'ctx>,
    sequence: Cell<u64>,
    /// Functions that programs call.
    pub shared: RefCell<Vec<Declared<'ctx>>>,
    /// What programs count beyond the manifest's counters, in the order of their own.
    pub counted: RefCell<Vec<Counted>>,
    /// Bytes of BPF stack for values of our own; LLVM's spills and a helper's frame get the rest of the 512.
    pub stack_budget: u32,
}

impl<'a, 'ctx> Unit<'a, 'ctx> {
    pub fn new(
        context: &'ctx Context,
        program: &'a ir::Program,
        manifest: &'a abi::Manifest,
        options: &'a Options<'a>,
        attempt: super::Attempt,
    ) -> Result<Self, Bug> {
        let module = context.create_module("btc");
        module.set_triple(&TargetTriple::create(TRIPLE));
        let version = context.i32_type().const_int(3, false);
        module.add_basic_value_flag("Debug Info Version", FlagBehavior::Warning, version);
        let file_name = options.file_name(program);
        let di = DebugInfo::new(&module, &file_name)?;
        let core = CoreTypes::new(program, &di, attempt.flavor)?;
        let mut unit = Unit {
            context,
            module,
            program,
            manifest,
            shapes: Shapes::of(&program.types, manifest),
            options,
            di,
            core,
            maps: Vec::new(),
            slots: None,
            i8: context.i8_type(),
            i16: context.i16_type(),
            i32: context.i32_type(),
            i64: context.i64_type(),
            bool: context.bool_type(),
            sequence: Cell::new(0),
            shared: RefCell::new(Vec::new()),
            counted: RefCell::new(Vec::new()),
            stack_budget: attempt.stack_budget,
        };
        unit.license()?;
        unit.slots()?;
        for map in manifest.maps.iter() {
            let global = unit.map_global(map);
            // How large scratch memory is and how much is counted, the programs decide.
            if !matches!(map.role, abi::MapRole::Scratch | abi::MapRole::Counters) {
                unit.define_map(map, global)?;
            }
            unit.maps.push(global);
        }
        Ok(unit)
    }

    #[must_use]
    pub fn pointer_type(&self) -> PointerType<'ctx> {
        self.context.ptr_type(inkwell::AddressSpace::default())
    }

    #[must_use]
    pub fn arch(&self) -> Arch {
        self.options.arch
    }

    /// Bytes of variables that LLVM may keep on the stack: as many as it likes until a program's stack turned out too small.
    #[must_use]
    pub fn scalar_budget(&self) -> u32 {
        if self.stack_budget < super::STACK_BUDGETS[0] {
            self.stack_budget
        } else {
            u32::MAX
        }
    }

    /// Marks a function as one that never unwinds: there is nothing to unwind to.
    pub fn no_unwind(&self, function: inkwell::values::FunctionValue<'ctx>) {
        let kind = inkwell::attributes::Attribute::get_named_enum_kind_id("nounwind");
        let attribute = self.context.create_enum_attribute(kind, 0);
        function.add_attribute(inkwell::attributes::AttributeLoc::Function, attribute);
    }

    /// Numbers relocations that LLVM would otherwise take for the same.
    pub fn next_sequence(&self) -> u64 {
        let next = self.sequence.get();
        self.sequence.set(next + 1);
        next
    }

    fn license(&self) -> Result<(), Bug> {
        let text = self
            .context
            .const_string(self.program.license.as_bytes(), true);
        let global = self.module.add_global(text.get_type(), None, "LICENSE");
        global.set_initializer(&text);
        global.set_section(Some("license"));
        let char = self.di.basic("char", 8, super::debug_info::SIGNED)?;
        let size = self.program.license.len() as u32 + 1;
        self.di
            .global(global, "LICENSE", self.di.array(char, 8, size));
        Ok(())
    }

    fn slots(&mut self) -> Result<(), Bug> {
        let size = self.manifest.slots_size;
        if size == 0 {
            return Ok(());
        }
        let ty = self.i8.array_type(size);
        let global = self.module.add_global(ty, None, "btc_slots");
        global.set_initializer(&ty.const_zero());
        global.set_constant(true);
        global.set_alignment(8);
        global.set_section(Some(".rodata.btc"));
        let byte = self.di.basic("unsigned char", 8, UNSIGNED)?;
        self.di
            .global(global, "btc_slots", self.di.array(byte, 8, size));
        self.slots = Some(global);
        Ok(())
    }

    /// The section of slots.
    pub fn slots_global(&self) -> Result<GlobalValue<'ctx>, Bug> {
        self.slots
            .ok_or_else(|| Bug::new("a slot is read but the manifest has none"))
    }

    /// The number of a counter.
    pub fn counter_of(&self, wanted: Counted) -> u32 {
        let mut counted = self.counted.borrow_mut();
        let known = counted.iter().position(|one| *one == wanted);
        let index = known.unwrap_or_else(|| {
            counted.push(wanted);
            counted.len() - 1
        });
        (self.manifest.counters.len() + index) as u32
    }

    /// Defines the map of counters, now that the programs have said what they count.
    pub fn finish_counters(&self) -> Result<(), Bug> {
        for (map, global) in self.manifest.maps.iter().zip(&self.maps) {
            if map.role == abi::MapRole::Counters {
                let mut map = map.clone();
                map.max_entries += self.counted.borrow().len() as u32;
                self.define_map(&map, *global)?;
            }
        }
        Ok(())
    }

    /// Defines the scratch map, or takes it away where no program needs it.
    pub fn finish_scratch(&mut self, bytes: u32, entries: u32) -> Result<(), Bug> {
        for (map, global) in self.manifest.maps.iter().zip(&self.maps) {
            if map.role != abi::MapRole::Scratch {
                continue;
            }
            if entries == 0 {
                // SAFETY: no program refers to it, and the list of maps isn't used any more.
                unsafe { global.delete() };
                continue;
            }
            let mut map = map.clone();
            map.max_entries = entries;
            if let abi::Value::Array { count, .. } = &mut map.value {
                *count = bytes;
            }
            self.define_map(&map, *global)?;
        }
        Ok(())
    }

    fn map_global(&self, map: &abi::Map) -> GlobalValue<'ctx> {
        let members = if map.kind == abi::MapKind::RingBuffer {
            2
        } else {
            4
        };
        let pointers = vec![self.pointer_type().into(); members];
        let ty = self.context.struct_type(&pointers, false);
        let global = self.module.add_global(ty, None, &map.symbol);
        global.set_initializer(&ty.const_zero());
        global.set_section(Some(".maps"));
        global.set_linkage(Linkage::External);
        global
    }

    /// A BTF-defined map: a global whose members' types say what libbpf is to create.
    fn define_map(&self, map: &abi::Map, global: GlobalValue<'ctx>) -> Result<(), Bug> {
        use abi::MapKind as K;
        // enum bpf_map_type of linux/bpf.h
        let kind = match map.kind {
            K::Hash => 1,
            K::Array => 2,
            K::PerfEventArray => 4,
            K::PerCpuHash => 5,
            K::PerCpuArray => 6,
            K::LruHash => 9,
            K::LruPerCpuHash => 10,
            K::LpmTrie => 11,
            K::ArrayOfMaps => 12,
            K::RingBuffer => 27,
        };
        let ring = map.kind == K::RingBuffer;
        let entries = match map.max_entries {
            0 if ring => DEFAULT_RING,
            // One for each CPU, which libbpf knows.
            0 if map.kind == K::PerfEventArray => 0,
            0 => DEFAULT_ENTRIES,
            n => n,
        };
        let mut members = vec![("type", kind)];
        if !ring {
            members.push(("key_size", map.key.as_ref().map_or(4, abi::Value::size)));
            members.push(("value_size", super::maps::value_size(map)));
        }
        members.push(("max_entries", entries));
        let members: Vec<_> = members
            .into_iter()
            .enumerate()
            .map(|(i, (name, number))| DiMember {
                name: name.to_owned(),
                ty: self.di.pointer(self.di.array(self.di.int, 32, number)),
                bits: 64,
                offset: 64 * i as u64,
                bitfield: false,
            })
            .collect();
        let size = 8 * members.len() as u32;
        let di = self.di.structure("", false, size, &members);
        self.di.global(global, &map.symbol, di);
        Ok(())
    }
}

const TRIPLE: &str = "bpfel";
/// What Linux 5.10 runs.
const CPU: &str = "v3";

/// LLVM's description of the BPF machine.
pub fn machine() -> Result<TargetMachine, Bug> {
    Target::initialize_bpf(&InitializationConfig::default());
    // For inline assembly, which inkwell doesn't ask for.
    // SAFETY: registers a parser; LLVM allows it any number of times.
    unsafe { inkwell::llvm_sys::target::LLVMInitializeBPFAsmParser() };
    let triple = TargetTriple::create(TRIPLE);
    let target = Target::from_triple(&triple)
        .map_err(|error| Bug::new(format!("LLVM has no BPF target: {error}")))?;
    target
        .create_target_machine(
            &triple,
            CPU,
            "",
            OptimizationLevel::Default,
            RelocMode::Default,
            CodeModel::Default,
        )
        .ok_or_else(|| Bug::new("LLVM made no target machine for BPF"))
}

/// There is no C library. LLVM must make no `memset` of many stores of zero, no `memcpy` or `strlen` of a loop and no
/// `memcmp` of comparisons: the BPF backend refuses the call.
pub fn without_library(unit: &Unit) {
    let attribute = unit.context.create_string_attribute("no-builtins", "");
    for function in unit.module.get_functions() {
        if function.count_basic_blocks() > 0 {
            function.add_attribute(AttributeLoc::Function, attribute);
        }
    }
}

/// Optimises a finished module.
pub fn optimise(module: &Module, machine: &TargetMachine) -> Result<(), Bug> {
    module.set_data_layout(&machine.get_target_data().get_data_layout());
    let said = super::llvm_messages::Collected::install(module);
    module
        .run_passes("default<O2>", machine, PassBuilderOptions::create())
        .map_err(|error| Bug::new(format!("LLVM passes: {error}")))?;
    said.check()?;
    overlooked_accesses(module)
}

/// LLVM's instructions of a function from which on its BPF instructions are counted.
const LARGE: usize = 8000;

/// A function that is too large for BPF.
pub fn too_large(
    module: &Module,
    machine: &TargetMachine,
) -> Result<Option<super::reach::TooLarge>, Bug> {
    let size = |function: inkwell::values::FunctionValue| {
        let blocks = function.get_basic_block_iter();
        blocks.map(|block| block.get_instructions().count()).sum()
    };
    let large = module.get_functions().any(|f| {
        let instructions: usize = size(f);
        instructions >= LARGE
    });
    if !large {
        return Ok(None);
    }
    let text = write(module, machine, FileType::Assembly)?;
    Ok(super::reach::check(&String::from_utf8_lossy(&text)).err())
}

/// Assembles an optimised module.
pub fn write(
    module: &Module,
    machine: &TargetMachine,
    file_type: FileType,
) -> Result<Vec<u8>, Bug> {
    let said = super::llvm_messages::Collected::install(module);
    let buffer = machine
        .write_to_memory_buffer(module, file_type)
        .map_err(|error| Bug::new(format!("LLVM code generation: {error}")))?;
    said.check()?;
    Ok(buffer.as_slice().to_vec())
}

/// LLVM's passes turn every access that something needs into a relocation. One that they overlooked would read at the
/// made-up offset of debug_info.
fn overlooked_accesses(module: &Module) -> Result<(), Bug> {
    let calls = module.get_functions().find(|function| {
        let name = function.get_name().to_bytes();
        let access = name.starts_with(b"llvm.preserve") || name.starts_with(b"llvm.bpf.preserve");
        let function = function.as_global_value().as_pointer_value();
        access && function.get_first_use().is_some()
    });
    match calls {
        Some(function) => Err(Bug::new(format!(
            "LLVM left a call of {}",
            function.get_name().to_string_lossy()
        ))),
        None => Ok(()),
    }
}
