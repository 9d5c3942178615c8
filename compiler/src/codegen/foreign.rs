//! Imported C: its bitcode becomes a part of the module, its functions a part of the programs that call them.

use inkwell::attributes::{Attribute, AttributeLoc};
use inkwell::memory_buffer::MemoryBuffer;
use inkwell::module::{Linkage, Module};
use inkwell::types::BasicMetadataTypeEnum;
use inkwell::values::{BasicMetadataValueEnum, FunctionValue};

use super::expr::{Val, is_signed};
use super::module::Unit;
use super::program::Emitter;
use crate::bug::Bug;
use crate::ir::{Expr, Type};

/// What clang notes of the processor; the module has its own.
const NOTES: &[&str] = &["target-cpu", "target-features"];

/// Takes in the C that the program imports, before anything calls it.
pub fn link(unit: &Unit) -> Result<(), Bug> {
    for foreign in &unit.program.foreign {
        let buffer = MemoryBuffer::create_from_memory_range_copy(&foreign.bitcode, &foreign.name);
        let refused =
            |what: &str, why: String| Bug::new(format!("{}: {what}: {why}", foreign.name));
        let module = Module::parse_bitcode_from_buffer(&buffer, unit.context)
            .map_err(|error| refused("clang's bitcode can't be read", error.to_string()))?;
        without_license(&module);
        let names: Vec<String> = module
            .get_functions()
            .filter(|function| function.count_basic_blocks() > 0)
            .map(|function| function.get_name().to_string_lossy().into_owned())
            .collect();
        unit.module
            .link_in_module(module)
            .map_err(|error| refused("it can't be linked", error.to_string()))?;
        for function in names
            .iter()
            .filter_map(|name| unit.module.get_function(name))
        {
            inline(unit, function);
        }
    }
    Ok(())
}

/// The script has the license of the whole object.
fn without_license(module: &Module) {
    for list in ["llvm.used", "llvm.compiler.used"] {
        if let Some(global) = module.get_global(list) {
            // SAFETY: nothing refers to a list of what is used.
            unsafe { global.delete() };
        }
    }
    for global in module.get_globals() {
        if global
            .get_section()
            .is_some_and(|s| s.to_bytes() == b"license")
        {
            global.set_section(None);
            // Nothing uses it now, so that LLVM drops it.
            global.set_linkage(Linkage::Private);
            global.set_name("btc_other_license");
        }
    }
}

/// Makes a function a part of its callers, unless it asks to be one of its own: then it is a subprogram that the verifier
/// walks from each call.
fn inline<'ctx>(unit: &Unit<'_, 'ctx>, function: FunctionValue<'ctx>) {
    function.set_linkage(Linkage::Internal);
    for note in NOTES {
        function.remove_string_attribute(AttributeLoc::Function, note);
    }
    let kind = Attribute::get_named_enum_kind_id;
    let apart = function.get_enum_attribute(AttributeLoc::Function, kind("noinline"));
    if apart.is_none() {
        let always = unit.context.create_enum_attribute(kind("alwaysinline"), 0);
        function.add_attribute(AttributeLoc::Function, always);
    }
}

impl<'ctx> Emitter<'_, '_, 'ctx> {
    /// Calls a function of imported C.
    pub fn foreign(
        &mut self,
        name: &str,
        arguments: &[Expr],
        result: &Type,
    ) -> Result<Val<'ctx>, Bug> {
        let function = self.unit.module.get_function(name);
        let function = function.ok_or_else(|| Bug::new(format!("no C function `{name}`")))?;
        let wanted = function.get_type().get_param_types();
        if wanted.len() != arguments.len() {
            return Err(Bug::new(format!("C function `{name}` takes others")));
        }
        let mut values: Vec<BasicMetadataValueEnum> = vec![];
        for (argument, wanted) in arguments.iter().zip(wanted) {
            values.push(self.foreign_argument(argument, wanted)?);
        }
        let call = self.builder.build_call(function, &values, "")?;
        Ok(match result {
            Type::Void => Val::Void,
            Type::Pointer { .. } => {
                let pointer = self.pointer_result(call)?;
                Val::Int(self.pointer_to_int(pointer)?)
            }
            ty => {
                let value = self.int_result(call)?;
                let signed = is_signed(ty, &self.unit.program.types);
                Val::Int(self.resize(value, self.scalar_type(ty), signed)?)
            }
        })
    }

    fn foreign_argument(
        &mut self,
        argument: &Expr,
        wanted: BasicMetadataTypeEnum<'ctx>,
    ) -> Result<BasicMetadataValueEnum<'ctx>, Bug> {
        if !Val::is_scalar(&argument.ty) {
            let mem = self.mem(argument)?;
            // A buffer begins with its length.
            let skip = if matches!(argument.ty, Type::Buffer { .. }) {
                4
            } else {
                0
            };
            return Ok(self.offset(mem, skip)?.at.into());
        }
        let value = self.int(argument)?;
        match wanted {
            BasicMetadataTypeEnum::IntType(ty) => {
                let signed = is_signed(&argument.ty, &self.unit.program.types);
                Ok(self.resize(value, ty, signed)?.into())
            }
            BasicMetadataTypeEnum::PointerType(_) => {
                let value = self.resize(value, self.unit.i64, false)?;
                Ok(self.int_to_pointer(value)?.into())
            }
            other => Err(Bug::new(format!("a C function takes a {other:?}"))),
        }
    }
}
