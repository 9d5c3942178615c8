//! Debug information, of which LLVM makes BTF: types of maps, functions and the kernel's records.

use std::ops::Range;

use inkwell::AddressSpace;
use inkwell::context::ContextRef;
use inkwell::debug_info::{
    AsDIScope, DICompileUnit, DIFile, DIFlags, DIFlagsConstants, DILocation, DISubprogram, DIType,
    DWARFEmissionKind, DWARFSourceLanguage, DebugInfoBuilder,
};
use inkwell::llvm_sys::debuginfo as raw;
use inkwell::llvm_sys::prelude::LLVMMetadataRef;
use inkwell::module::Module;
use inkwell::values::{FunctionValue, GlobalValue};

use crate::bug::Bug;

/// Encodings of DWARF (DW_ATE_*).
pub const BOOLEAN: u32 = 2;
pub const FLOAT: u32 = 4;
pub const SIGNED: u32 = 5;
pub const UNSIGNED: u32 = 7;

/// A member of a DI struct that is to be made.
pub struct DiMember<'ctx> {
    pub name: String,
    pub ty: DIType<'ctx>,
    pub bits: u64,
    pub offset: u64,
    pub bitfield: bool,
}

pub struct DebugInfo<'ctx> {
    context: ContextRef<'ctx>,
    pub builder: DebugInfoBuilder<'ctx>,
    unit: DICompileUnit<'ctx>,
    file: DIFile<'ctx>,
    /// `int`
    pub int: DIType<'ctx>,
    pub void_pointer: DIType<'ctx>,
}

impl<'ctx> DebugInfo<'ctx> {
    pub fn new(module: &Module<'ctx>, file_name: &str) -> Result<Self, Bug> {
        let (builder, unit) = module.create_debug_info_builder(
            true,
            DWARFSourceLanguage::C,
            file_name,
            "",
            "btc",
            true,
            "",
            0,
            "",
            DWARFEmissionKind::Full,
            0,
            false,
            false,
            "",
            "",
        );
        let file = unit.get_file();
        let int = basic(&builder, "int", 32, SIGNED)?;
        // SAFETY: the builder lives; a null pointee is how LLVM says `void`.
        let void_pointer = unsafe {
            node(raw::LLVMDIBuilderCreatePointerType(
                builder.as_mut_ptr(),
                std::ptr::null_mut(),
                64,
                0,
                0,
                c"".as_ptr(),
                0,
            ))
        };
        Ok(DebugInfo {
            context: module.get_context(),
            builder,
            unit,
            file,
            int,
            void_pointer,
        })
    }

    pub fn basic(&self, name: &str, bits: u64, encoding: u32) -> Result<DIType<'ctx>, Bug> {
        basic(&self.builder, name, bits, encoding)
    }

    pub fn pointer(&self, to: DIType<'ctx>) -> DIType<'ctx> {
        self.builder
            .create_pointer_type("", to, 64, 0, AddressSpace::default())
            .as_type()
    }

    pub fn array(&self, element: DIType<'ctx>, element_bits: u64, count: u32) -> DIType<'ctx> {
        let range: Range<i64> = 0..i64::from(count);
        self.builder
            .create_array_type(element, element_bits * u64::from(count), 0, &[range])
            .as_type()
    }

    pub fn structure(
        &self,
        name: &str,
        union: bool,
        bytes: u32,
        members: &[DiMember<'ctx>],
    ) -> DIType<'ctx> {
        let scope = self.unit.as_debug_info_scope();
        let made: Vec<DIType> = members
            .iter()
            .map(|m| {
                if m.bitfield {
                    return self.bitfield(m);
                }
                self.builder
                    .create_member_type(
                        scope,
                        &m.name,
                        self.file,
                        0,
                        m.bits,
                        0,
                        m.offset,
                        DIFlags::ZERO,
                        m.ty,
                    )
                    .as_type()
            })
            .collect();
        let bits = u64::from(bytes) * 8;
        if union {
            self.builder
                .create_union_type(
                    scope,
                    name,
                    self.file,
                    0,
                    bits,
                    0,
                    DIFlags::ZERO,
                    &made,
                    0,
                    "",
                )
                .as_type()
        } else {
            self.builder
                .create_struct_type(
                    scope,
                    name,
                    self.file,
                    0,
                    bits,
                    0,
                    DIFlags::ZERO,
                    None,
                    &made,
                    0,
                    None,
                    "",
                )
                .as_type()
        }
    }

    pub fn typedef(&self, name: &str, ty: DIType<'ctx>) -> DIType<'ctx> {
        let scope = self.unit.as_debug_info_scope();
        self.builder
            .create_typedef(ty, name, self.file, 0, scope, 0)
            .as_type()
    }

    fn bitfield(&self, member: &DiMember<'ctx>) -> DIType<'ctx> {
        // SAFETY: all nodes belong to this builder's module; the name is passed with its length.
        unsafe {
            node(raw::LLVMDIBuilderCreateBitFieldMemberType(
                self.builder.as_mut_ptr(),
                self.unit.as_debug_info_scope().as_mut_ptr(),
                member.name.as_ptr().cast(),
                member.name.len(),
                self.file.as_mut_ptr(),
                0,
                member.bits,
                member.offset,
                0,
                0,
                member.ty.as_mut_ptr(),
            ))
        }
    }

    pub fn enumeration(
        &self,
        name: &str,
        bits: u64,
        signed: bool,
        values: &[(String, u64)],
    ) -> Result<DIType<'ctx>, Bug> {
        let inner = self.basic(
            if signed { "int" } else { "unsigned int" },
            bits,
            if signed { SIGNED } else { UNSIGNED },
        )?;
        let values: Vec<_> = values
            .iter()
            .map(|(name, value)| self.builder.create_enumerator(name, *value as i64, !signed))
            .collect();
        Ok(self
            .builder
            .create_enumeration_type(
                self.unit.as_debug_info_scope(),
                name,
                self.file,
                0,
                bits,
                0,
                &values,
                inner,
            )
            .as_type())
    }

    /// Gives a global a type in BTF.
    pub fn global(&self, global: GlobalValue<'ctx>, name: &str, ty: DIType<'ctx>) {
        let expression = self.builder.create_global_variable_expression(
            self.unit.as_debug_info_scope(),
            name,
            "",
            self.file,
            0,
            ty,
            false,
            None,
            None,
            0,
        );
        // Kind 0 is `!dbg`.
        global.set_metadata(expression.as_metadata_value(self.context), 0);
    }

    /// Gives a function a type in BTF. Without it LLVM makes no CO-RE records and says nothing.
    pub fn function(
        &self,
        function: FunctionValue<'ctx>,
        name: &str,
        parameters: &[(&str, DIType<'ctx>)],
        line: u32,
        local: bool,
    ) -> DISubprogram<'ctx> {
        let types: Vec<_> = parameters.iter().map(|(_, ty)| *ty).collect();
        let ty =
            self.builder
                .create_subroutine_type(self.file, Some(self.int), &types, DIFlags::ZERO);
        let subprogram = self.builder.create_function(
            self.unit.as_debug_info_scope(),
            name,
            None,
            self.file,
            line,
            ty,
            local,
            true,
            line,
            DIFlags::ZERO,
            true,
        );
        for (i, (name, ty)) in parameters.iter().enumerate() {
            self.builder.create_parameter_variable(
                subprogram.as_debug_info_scope(),
                name,
                i as u32 + 1,
                self.file,
                line,
                *ty,
                true,
                DIFlags::ZERO,
            );
        }
        function.set_subprogram(subprogram);
        subprogram
    }

    pub fn location(&self, line: u32, column: u32, scope: DISubprogram<'ctx>) -> DILocation<'ctx> {
        self.builder.create_debug_location(
            self.context,
            line,
            column,
            scope.as_debug_info_scope(),
            None,
        )
    }
}

/// inkwell has no constructor for a type made by llvm-sys.
///
/// # Safety
/// `metadata` is a non-null DIType of a module that outlives `'ctx`.
unsafe fn node<'ctx>(metadata: LLVMMetadataRef) -> DIType<'ctx> {
    // SAFETY: DIType is a transparent wrapper around exactly this pointer.
    unsafe { std::mem::transmute::<LLVMMetadataRef, DIType<'ctx>>(metadata) }
}

fn basic<'ctx>(
    builder: &DebugInfoBuilder<'ctx>,
    name: &str,
    bits: u64,
    encoding: u32,
) -> Result<DIType<'ctx>, Bug> {
    builder
        .create_basic_type(name, bits, encoding, DIFlags::ZERO)
        .map(|ty| ty.as_type())
        .map_err(|error| Bug::new(format!("basic type `{name}`: {error}")))
}
