//! Declarations of a translation unit become records, enums and typedefs of the host.

// libclang's own names, in patterns.
#![allow(non_upper_case_globals)]

use std::collections::HashMap;

use clang_sys::*;

use super::cursor::{children, extent, fields, file, spelling, tag};
use super::parse::{Complaint, MAIN, PRELUDE, Parsed, Request, Unit};
use super::prelude;
use crate::host::{
    CDefinitions, CType, HostEnum, HostMember, HostRecord, HostRecordBody, RecordOrigin,
};

/// Types nest this deep at most: deeper ones are not written by hand.
const MAX_DEPTH: u32 = 64;

pub(super) fn read(unit: &Unit, request: &Request) -> Parsed {
    let mut reader = Reader {
        request,
        numbers: HashMap::new(),
        records: vec![],
        definitions: CDefinitions::default(),
        errors: vec![],
    };
    // SAFETY: the unit lives for all of this function.
    let root = unsafe { clang_getTranslationUnitCursor(unit.unit) };
    reader.declarations(root);
    let mut bodies = vec![];
    // A body may name further records.
    while let Some(record) = reader.records.get(bodies.len()).copied() {
        bodies.push(reader.body(record));
    }
    Parsed {
        definitions: reader.definitions,
        bodies,
        errors: reader.errors,
        ..Parsed::default()
    }
}

struct Reader<'r> {
    request: &'r Request,
    /// By libclang's hash of the definition, for those that have it.
    numbers: HashMap<u32, Vec<usize>>,
    records: Vec<CXCursor>,
    definitions: CDefinitions,
    errors: Vec<Complaint>,
}

impl Reader<'_> {
    /// Everything with a name, inside structs as well: C puts it all into one scope.
    fn declarations(&mut self, parent: CXCursor) {
        for cursor in children(parent) {
            match cursor.kind {
                CXCursor_StructDecl | CXCursor_UnionDecl
                    if is_definition(cursor) && self.is_own(cursor) =>
                {
                    if !tag(cursor).is_empty() {
                        let record = self.record(cursor);
                        self.definitions.records.push(record);
                    }
                    self.declarations(cursor);
                }
                CXCursor_EnumDecl if is_definition(cursor) && self.is_own(cursor) => {
                    let found = self.enumeration(cursor);
                    self.definitions.enums.push(found);
                }
                CXCursor_TypedefDecl if file(cursor) != PRELUDE => {
                    let name = spelling(cursor);
                    // SAFETY: cursors are used while their unit lives.
                    let ty = unsafe { clang_getCursorType(cursor) };
                    let ty = self.ctype(ty, 0);
                    self.definitions.typedefs.push((name, ty));
                }
                _ => {}
            }
        }
    }

    /// Whether a definition is for the script to name.
    fn is_own(&self, definition: CXCursor) -> bool {
        file(definition) != PRELUDE && !self.is_kernels(definition)
    }

    fn is_kernels(&self, definition: CXCursor) -> bool {
        let roots = &self.request.kernel_roots;
        !roots.is_empty() && {
            let file = file(definition);
            roots.iter().any(|root| file.starts_with(root.as_str()))
        }
    }

    fn record(&mut self, definition: CXCursor) -> HostRecord {
        // SAFETY: cursors are used while their unit lives.
        let hash = unsafe { clang_hashCursor(definition) };
        let same = self.numbers.entry(hash).or_default();
        let known = same.iter().copied().find(|at| {
            // SAFETY: as above.
            unsafe { clang_equalCursors(self.records[*at], definition) != 0 }
        });
        let at = known.unwrap_or_else(|| {
            same.push(self.records.len());
            self.records.push(definition);
            self.records.len() - 1
        });
        HostRecord {
            name: tag(definition),
            union: definition.kind == CXCursor_UnionDecl,
            id: self.request.first_id + at as u64,
            origin: RecordOrigin::Script,
        }
    }

    fn body(&mut self, record: CXCursor) -> HostRecordBody {
        // SAFETY: cursors are used while their unit lives.
        let (ty, size) = unsafe {
            let ty = clang_getCursorType(record);
            (ty, clang_Type_getSizeOf(ty))
        };
        for field in fields(ty) {
            self.refuse_kernels(field);
        }
        let members = fields(ty).into_iter().filter_map(|f| self.member(f));
        HostRecordBody {
            members: members.collect(),
            size: u32::try_from(size).unwrap_or(0),
        }
    }

    /// A struct of the kernel's headers by value has the layout of their kernel. What the kernel promises to programs
    /// (`uapi`) is the same in all.
    fn refuse_kernels(&mut self, field: CXCursor) {
        // SAFETY: cursors and types are used while their unit lives.
        let definition = unsafe {
            let mut ty = clang_getCanonicalType(clang_getCursorType(field));
            while matches!(ty.kind, CXType_ConstantArray | CXType_IncompleteArray) {
                ty = clang_getCanonicalType(clang_getArrayElementType(ty));
            }
            clang_getCursorDefinition(clang_getTypeDeclaration(ty))
        };
        let name = tag(definition);
        let stable = prelude::is_stable(&name) || file(definition).contains("/uapi/");
        if is_definition(definition)
            && !name.is_empty()
            && definition.kind != CXCursor_EnumDecl
            && self.is_kernels(definition)
            && !self.is_kernels(field)
            && !stable
        {
            self.errors.push(Complaint {
                message: format!("field has incomplete type 'struct {name}'"),
                offset: (file(field) == MAIN).then(|| extent(field).start),
                header: None,
            });
        }
    }

    fn member(&mut self, field: CXCursor) -> Option<HostMember> {
        // SAFETY: cursors are used while their unit lives.
        let (offset, width, ty) = unsafe {
            let bits = clang_Cursor_isBitField(field) != 0;
            (
                clang_Cursor_getOffsetOfField(field),
                bits.then(|| clang_getFieldDeclBitWidth(field)),
                clang_getCursorType(field),
            )
        };
        let name = tag(field);
        // `int : 3` is padding; an offset below zero belongs to a definition with errors.
        if name.is_empty() && width.is_some() {
            return None;
        }
        Some(HostMember {
            name,
            ty: self.ctype(ty, 0),
            bit_offset: u32::try_from(offset).ok()?,
            bitfield: width.and_then(|w| u8::try_from(w).ok()),
        })
    }

    fn ctype(&mut self, ty: CXType, depth: u32) -> CType {
        if depth > MAX_DEPTH {
            return unknown();
        }
        // SAFETY: types are used while their unit lives.
        let (declaration, size) =
            unsafe { (clang_getTypeDeclaration(ty), clang_Type_getSizeOf(ty)) };
        let bytes = u8::try_from(size).unwrap_or(0);
        match ty.kind {
            CXType_Void => CType::Void,
            CXType_Bool => integer(bytes, false, true, false),
            CXType_Char_S => integer(bytes, true, false, true),
            CXType_Char_U => integer(bytes, false, false, true),
            CXType_SChar | CXType_Short | CXType_Int | CXType_Long | CXType_LongLong
            | CXType_Int128 => integer(bytes, true, false, false),
            CXType_UChar | CXType_UShort | CXType_UInt | CXType_ULong | CXType_ULongLong
            | CXType_UInt128 | CXType_Char16 | CXType_Char32 => integer(bytes, false, false, false),
            CXType_WChar => integer(bytes, true, false, false),
            CXType_Half | CXType_Float | CXType_Double | CXType_LongDouble | CXType_Float128
            | CXType_Float16 => CType::Float { bytes },
            CXType_Pointer => self.pointer(ty, depth),
            CXType_ConstantArray
            | CXType_Vector
            | CXType_IncompleteArray
            | CXType_VariableArray => self.array(ty, depth),
            CXType_Record => self.record_or_opaque(declaration),
            CXType_Enum => self.enumeration_of(declaration),
            CXType_Typedef => self.typedef(declaration, depth),
            CXType_FunctionProto | CXType_FunctionNoProto => CType::Function,
            _ => self.sugar(ty, depth),
        }
    }

    fn pointer(&mut self, ty: CXType, depth: u32) -> CType {
        // SAFETY: types are used while their unit lives.
        let (to, space) = unsafe {
            let to = clang_getPointeeType(ty);
            (to, clang_getAddressSpace(to))
        };
        CType::Pointer {
            to: Box::new(self.ctype(to, depth + 1)),
            user: space == 1,
        }
    }

    fn array(&mut self, ty: CXType, depth: u32) -> CType {
        // SAFETY: types are used while their unit lives.
        let (element, count) = unsafe { (clang_getElementType(ty), clang_getNumElements(ty)) };
        CType::Array {
            element: Box::new(self.ctype(element, depth + 1)),
            // A flexible array has none.
            count: u32::try_from(count).unwrap_or(0),
        }
    }

    fn record_or_opaque(&mut self, declaration: CXCursor) -> CType {
        // SAFETY: cursors are used while their unit lives.
        let definition = unsafe { clang_getCursorDefinition(declaration) };
        // A struct of the kernel's headers is looked up in BTF by its name, so that it stays relocatable.
        let tagged = !tag(declaration).is_empty();
        if is_definition(definition) && !(tagged && self.is_kernels(definition)) {
            return CType::Record(self.record(definition));
        }
        CType::Opaque {
            name: tag(declaration),
            union: declaration.kind == CXCursor_UnionDecl,
        }
    }

    fn enumeration_of(&mut self, declaration: CXCursor) -> CType {
        let kernel = self.request.enums.get(&tag(declaration));
        if let (Some(of), true) = (kernel, file(declaration) == PRELUDE) {
            return CType::Enum(of.clone());
        }
        // SAFETY: cursors are used while their unit lives.
        let definition = unsafe { clang_getCursorDefinition(declaration) };
        if is_definition(definition) {
            return CType::Enum(self.enumeration(definition));
        }
        unknown()
    }

    fn typedef(&mut self, declaration: CXCursor, depth: u32) -> CType {
        let name = spelling(declaration);
        if let (Some(ty), true) = (
            self.request.typedefs.get(&name),
            file(declaration) == PRELUDE,
        ) {
            return ty.clone();
        }
        // SAFETY: cursors are used while their unit lives.
        let to = unsafe { clang_getTypedefDeclUnderlyingType(declaration) };
        CType::Typedef {
            name,
            to: Box::new(self.ctype(to, depth + 1)),
        }
    }

    /// `struct s` as a type, attributes, `typeof`: what they stand for.
    fn sugar(&mut self, ty: CXType, depth: u32) -> CType {
        // SAFETY: types are used while their unit lives.
        let inner = unsafe {
            match ty.kind {
                CXType_Elaborated => clang_Type_getNamedType(ty),
                CXType_Attributed => clang_Type_getModifiedType(ty),
                _ => clang_getCanonicalType(ty),
            }
        };
        if inner.kind == ty.kind || inner.kind == CXType_Invalid {
            return unknown();
        }
        self.ctype(inner, depth + 1)
    }

    fn enumeration(&self, definition: CXCursor) -> HostEnum {
        // SAFETY: cursors are used while their unit lives.
        let (bytes, signed) = unsafe {
            let int = clang_getEnumDeclIntegerType(definition);
            (clang_Type_getSizeOf(int), is_signed(int))
        };
        let constants = children(definition).into_iter();
        let constants = constants.filter(|c| c.kind == CXCursor_EnumConstantDecl);
        let value = |constant| {
            // SAFETY: as above.
            let value = unsafe {
                if signed {
                    clang_getEnumConstantDeclValue(constant).cast_unsigned()
                } else {
                    clang_getEnumConstantDeclUnsignedValue(constant)
                }
            };
            (spelling(constant), value)
        };
        HostEnum {
            name: tag(definition),
            bytes: u8::try_from(bytes).unwrap_or(4),
            signed,
            values: constants.map(value).collect(),
            origin: RecordOrigin::Script,
        }
    }
}

/// Whether a canonical integer type has a sign.
pub(super) fn is_signed(ty: CXType) -> bool {
    // SAFETY: types are used while their unit lives.
    let kind = unsafe { clang_getCanonicalType(ty) }.kind;
    matches!(
        kind,
        CXType_Char_S
            | CXType_SChar
            | CXType_Short
            | CXType_Int
            | CXType_Long
            | CXType_LongLong
            | CXType_Int128
    )
}

fn is_definition(cursor: CXCursor) -> bool {
    // SAFETY: cursors are used while their unit lives.
    unsafe { clang_Cursor_isNull(cursor) == 0 && clang_isCursorDefinition(cursor) != 0 }
}

fn integer(bytes: u8, signed: bool, bool_: bool, char_: bool) -> CType {
    CType::Int {
        bytes,
        signed,
        bool_,
        char_,
    }
}

fn unknown() -> CType {
    CType::Opaque {
        name: String::new(),
        union: false,
    }
}
