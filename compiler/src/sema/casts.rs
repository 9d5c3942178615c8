//! Types as written, casts, `sizeof` and `offsetof`.

use super::convert;
use super::lowering::Lowering;
use crate::diagnostic::{Code, Diagnostic};
use crate::host::Named;
use crate::ir::{CRecordId, Expr, ExprKind, IntType, Origin, Space, Type};
use crate::source::Span;
use crate::syntax::ast::{self, TypeExpr, TypeExprKind, TypeOrExpr};
use btc_runtime::suggest::nearest;

const SCALARS: &[(&str, u8, bool)] = &[
    ("int8", 8, true),
    ("int16", 16, true),
    ("int32", 32, true),
    ("int64", 64, true),
    ("uint8", 8, false),
    ("uint16", 16, false),
    ("uint32", 32, false),
    ("uint64", 64, false),
    ("int8_t", 8, true),
    ("int16_t", 16, true),
    ("int32_t", 32, true),
    ("int64_t", 64, true),
    ("uint8_t", 8, false),
    ("uint16_t", 16, false),
    ("uint32_t", 32, false),
    ("uint64_t", 64, false),
    ("s8", 8, true),
    ("s16", 16, true),
    ("s32", 32, true),
    ("s64", 64, true),
    ("u8", 8, false),
    ("u16", 16, false),
    ("u32", 32, false),
    ("u64", 64, false),
    ("__s8", 8, true),
    ("__s16", 16, true),
    ("__s32", 32, true),
    ("__s64", 64, true),
    ("__u8", 8, false),
    ("__u16", 16, false),
    ("__u32", 32, false),
    ("__u64", 64, false),
    ("char", 8, true),
    ("signed char", 8, true),
    ("unsigned char", 8, false),
    ("short", 16, true),
    ("short int", 16, true),
    ("unsigned short", 16, false),
    ("unsigned short int", 16, false),
    ("int", 32, true),
    ("signed", 32, true),
    ("signed int", 32, true),
    ("unsigned", 32, false),
    ("unsigned int", 32, false),
    ("long", 64, true),
    ("long int", 64, true),
    ("signed long", 64, true),
    ("unsigned long", 64, false),
    ("unsigned long int", 64, false),
    ("long unsigned int", 64, false),
    ("long long", 64, true),
    ("long long int", 64, true),
    ("unsigned long long", 64, false),
    ("unsigned long long int", 64, false),
    ("size_t", 64, false),
    ("ssize_t", 64, true),
    ("uintptr_t", 64, false),
    ("intptr_t", 64, true),
];

/// The longest string or buffer that a type may name.
const MAX_BYTES: u64 = 1 << 20;

impl Lowering<'_> {
    /// A type as written.
    pub fn type_expr(&mut self, ty: &TypeExpr) -> Option<Type> {
        let span = ty.span;
        match &ty.kind {
            TypeExprKind::Named(name) => self.named_type(name, span),
            TypeExprKind::Sized { name, size } => {
                if *size > MAX_BYTES {
                    let message = format!("`{name}[{size}]` is too large");
                    return self.error(Code::StringTooLarge, span, message);
                }
                let size = *size as u32;
                match name.as_str() {
                    "string" => Some(Type::String { size }),
                    "buffer" => Some(Type::Buffer { size }),
                    "inet" => Some(Type::Inet),
                    other => {
                        let element = self.named_type(other, span)?;
                        Some(Type::Array {
                            element: Box::new(element),
                            count: size,
                        })
                    }
                }
            }
            TypeExprKind::Struct(name) => self.record_type(name, false, span),
            TypeExprKind::Union(name) => self.record_type(name, true, span),
            TypeExprKind::Enum(name) => {
                if let Some(of) = self.constants.enums.get(name) {
                    return Some(Type::Enum(self.types.enumeration(of)));
                }
                if let Some(ty) = self.user_type(Named::Enum(name)) {
                    return Some(ty);
                }
                match self.host.enumeration(name) {
                    Some(of) => Some(Type::Enum(self.types.enumeration(&of))),
                    None => self.unknown_type(&format!("enum {name}"), span),
                }
            }
            TypeExprKind::Pointer(to) => {
                let to = match &to.kind {
                    // A pointer to what nobody describes is still a pointer.
                    TypeExprKind::Named(name) if name == "void" => Type::Void,
                    _ => self.type_expr(to)?,
                };
                Some(Type::Pointer {
                    to: Box::new(to),
                    space: self.default_space(),
                })
            }
            TypeExprKind::Array { element, length } => {
                let element = self.type_expr(element)?;
                Some(Type::Array {
                    element: Box::new(element),
                    count: length.unwrap_or(0).min(MAX_BYTES) as u32,
                })
            }
            TypeExprKind::Tuple(parts) => {
                let parts: Vec<_> = parts.iter().map(|p| self.type_expr(p)).collect();
                Some(Type::Tuple(parts.into_iter().collect::<Option<_>>()?))
            }
            TypeExprKind::Record(members) => {
                let mut made = vec![];
                for (name, ty) in members {
                    made.push((name.text.clone(), self.type_expr(ty)?));
                }
                Some(Type::Record(made))
            }
            TypeExprKind::Typeof(of) => {
                self.unstable(self.settings.unstable.typeinfo(), "`typeof`", ty.span)?;
                self.type_of(of)
            }
        }
    }

    /// Where a pointer made from a number points: this probe's own memory.
    pub(super) fn default_space(&self) -> Space {
        if self.probe.user_space {
            Space::User
        } else {
            Space::Kernel
        }
    }

    /// The type of a type or an expression, which is not evaluated.
    pub fn type_of(&mut self, of: &TypeOrExpr) -> Option<Type> {
        match of {
            TypeOrExpr::Type(ty) => self.type_expr(ty),
            TypeOrExpr::Expr(expr) => {
                // `sizeof(size_t)`: only what names mean tells a type from a value.
                if let Some(ty) = self.type_in_place_of_value(expr) {
                    return Some(ty);
                }
                if let Some(key) = self.key_type(expr) {
                    return Some(key);
                }
                let (_, value) = self.collect(|l| l.read_or_not(expr));
                value.map(|v| v.ty)
            }
        }
    }

    /// The type of a whole map that has keys is that of its keys, as in bpftrace.
    fn key_type(&mut self, expr: &ast::Expr) -> Option<Type> {
        let ast::ExprKind::Map { name, key: None } = &expr.kind else {
            return None;
        };
        let map = self.map(name, expr.span);
        self.map_key_type(map)
    }

    /// `name`, `name[2]`, `name[2][3]` where the name is a type's.
    fn type_in_place_of_value(&mut self, expr: &ast::Expr) -> Option<Type> {
        let mut lengths = vec![];
        let mut of = expr;
        while let ast::ExprKind::Index { base, index } = &of.kind {
            let ast::ExprKind::Integer { value, .. } = index.kind else {
                return None;
            };
            lengths.push(value.min(MAX_BYTES) as u32);
            of = base;
        }
        let ast::ExprKind::Identifier(name) = &of.kind else {
            return None;
        };
        if self.is_value(name) {
            return None;
        }
        let named = self.known_type(name)?;
        let array = |element, count| Type::Array {
            element: Box::new(element),
            count,
        };
        // The last length is the innermost.
        Some(lengths.into_iter().fold(named, array))
    }

    fn named_type(&mut self, name: &str, span: Span) -> Option<Type> {
        self.known_type(name)
            .or_else(|| self.unknown_type(name, span))
    }

    fn known_type(&mut self, name: &str) -> Option<Type> {
        if let Some(ty) = self.constants.typedefs.get(name) {
            return Some(self.types.of_c(ty));
        }
        if let Some((_, bits, signed)) = SCALARS.iter().find(|(n, ..)| *n == name) {
            return Some(Type::Int(IntType {
                bits: *bits,
                signed: *signed,
            }));
        }
        let limit = self.settings.limits.max_strlen;
        match name {
            "bool" | "_Bool" => return Some(Type::Bool),
            "void" => return Some(Type::Void),
            "string" => return Some(Type::String { size: limit }),
            "buffer" => return Some(Type::Buffer { size: limit }),
            "inet" => return Some(Type::Inet),
            _ => {}
        }
        if let Some(record) = self.constants.records.get(&(name.to_owned(), false)) {
            return Some(Type::CRecord(self.types.record(record)));
        }
        if let Some(of) = self.constants.enums.get(name) {
            return Some(Type::Enum(self.types.enumeration(of)));
        }
        if let Some(ty) = self.user_type(Named::Typedef(name)) {
            return Some(ty);
        }
        if let Some(ty) = self.host.typedef(name) {
            return Some(self.types.of_c(&ty));
        }
        if let Some(ty) = self.user_type(Named::Record { name, union: false }) {
            return Some(ty);
        }
        let record = self.host.record(name, false)?;
        Some(Type::CRecord(self.types.record(&record)))
    }

    fn record_type(&mut self, name: &str, union: bool, span: Span) -> Option<Type> {
        if let Some(own) = self.constants.records.get(&(name.to_owned(), union)) {
            return Some(Type::CRecord(self.types.record(own)));
        }
        if let Some(ty) = self.user_type(Named::Record { name, union }) {
            return Some(ty);
        }
        match self.host.record(name, union) {
            Some(record) => Some(Type::CRecord(self.types.record(&record))),
            None => {
                let word = if union { "union" } else { "struct" };
                self.unknown_type(&format!("{word} {name}"), span)
            }
        }
    }

    fn unknown_type<T>(&mut self, name: &str, span: Span) -> Option<T> {
        if self.constants.broken {
            return None;
        }
        let mut unknown =
            Diagnostic::error(Code::UnknownType, span, format!("unknown type `{name}`"));
        let own: Vec<String> = self
            .constants
            .records
            .keys()
            .map(|(n, union)| format!("{} {n}", if *union { "union" } else { "struct" }))
            .collect();
        let known = SCALARS
            .iter()
            .map(|(n, ..)| *n)
            .chain(["string", "buffer", "bool"])
            .chain(own.iter().map(String::as_str));
        if let Some(near) = nearest(name, known) {
            unknown = unknown.with_help(format!("did you mean `{near}`?"));
        } else if !self.host.has_kernel_btf() {
            unknown = unknown.with_help("this machine has no kernel BTF; name one: --btf FILE");
        }
        self.report(unknown);
        None
    }

    pub(super) fn cast(&mut self, ty: &TypeExpr, operand: &ast::Expr, span: Span) -> Option<Expr> {
        let ty = self.type_expr(ty);
        let value = self.expr(operand);
        let (ty, mut value) = (ty?, value?);
        value.span = span;
        let value = self.cast_value(value, ty, span)?;
        if let ExprKind::Integer(_) = value.kind {
            self.cast_constants.insert(span);
        }
        Some(value)
    }

    fn cast_value(&mut self, value: Expr, ty: Type, span: Span) -> Option<Expr> {
        let scalar = convert::int64_type(&value.ty, &self.types);
        match (&value.ty, &ty) {
            (Type::Pointer { space, .. }, Type::Pointer { to, .. }) => {
                let (to, space) = (to.clone(), *space);
                Some(self.convert(value, Type::Pointer { to, space }))
            }
            (Type::String { .. }, Type::Bool) => self.truth(value),
            (_, Type::Bool) if scalar.is_some() => self.truth(value),
            (_, Type::Int(_) | Type::Pointer { .. } | Type::Enum(_)) if scalar.is_some() => {
                let wide = scalar.unwrap_or(IntType::U64);
                // Pointers and enums pass through 64 bits; integers are cut or extended at once.
                let value = match &value.ty {
                    Type::Int(_) => value,
                    _ => self.convert(value, Type::Int(wide)),
                };
                if let Type::Int(to) = &ty {
                    self.warn_cut_constant(&value, *to, span);
                }
                Some(self.convert(value, ty))
            }
            (Type::String { .. }, Type::String { .. })
            | (Type::Buffer { .. }, Type::Buffer { .. }) => Some(self.convert(value, ty)),
            (Type::Pointer { .. }, Type::Array { .. }) => {
                let value = self.convert(value, Type::Int(IntType::U64));
                self.cast_to_array(value, &ty, span)
            }
            (
                Type::Int(_) | Type::Array { .. } | Type::Buffer { .. } | Type::String { .. },
                Type::Array { .. },
            ) => self.cast_to_array(value, &ty, span),
            (Type::Array { .. } | Type::Buffer { .. }, Type::Int(_) | Type::Pointer { .. }) => {
                let bits = (self.types.size(&ty) * 8) as u8;
                if self.plain_bytes(&value.ty) != Some(self.types.size(&ty)) {
                    return self.no_cast(&value.ty, &ty, span);
                }
                let signed = matches!(&ty, Type::Int(int) if int.signed);
                let number = self.convert(value, Type::Int(IntType { bits, signed }));
                Some(self.convert(number, ty))
            }
            (Type::Array { .. }, Type::Buffer { size })
                if self.plain_bytes(&value.ty) == Some(*size) =>
            {
                Some(self.convert(value, ty))
            }
            (Type::Array { element, count }, Type::String { .. }) if matches!(&**element, Type::Int(int) if int.bits == 8) =>
            {
                let size = count.saturating_add(1);
                let text = Expr {
                    kind: ExprKind::ReadString {
                        address: Box::new(self.in_memory(value)),
                        space: Space::Bpf,
                        length: None,
                    },
                    ty: Type::String { size },
                    span,
                };
                Some(self.convert(text, ty))
            }
            (Type::Tuple(_), Type::Tuple(_)) | (Type::Record(_), Type::Record(_)) => {
                match convert::unify(&value.ty, &ty) {
                    Some(_) => Some(self.convert(value, ty)),
                    None => self.no_cast(&value.ty, &ty, span),
                }
            }
            _ if value.ty == ty => Some(value),
            _ => self.no_cast(&value.ty, &ty, span),
        }
    }

    /// Bytes that are the value as C lays it out; `None` where they are not.
    fn plain_bytes(&self, ty: &Type) -> Option<u32> {
        match ty {
            Type::Buffer { size } | Type::String { size } => Some(*size),
            other if self.is_repacked(other) => None,
            other => Some(self.types.size(other)),
        }
    }

    /// The same bytes as elements; text is cut, or followed by zeroes.
    fn cast_to_array(&mut self, value: Expr, to: &Type, span: Span) -> Option<Expr> {
        let Type::Array { element, count } = to else {
            return None;
        };
        let each = self.types.size(element).max(1);
        let Some(bytes) = self.plain_bytes(&value.ty) else {
            return self.no_cast(&value.ty, to, span);
        };
        let count = if *count == 0 { bytes / each } else { *count };
        let made = Type::Array {
            element: element.clone(),
            count,
        };
        let wanted = count.saturating_mul(each);
        // A literal is as wide as the array asks for.
        let literal = matches!(
            (&value.kind, &value.ty),
            (ExprKind::Integer(_), Type::Int(_))
        );
        let value = match literal && matches!(wanted, 1 | 2 | 4 | 8) {
            true => {
                let bits = (wanted * 8) as u8;
                let signed = false;
                self.convert(value, Type::Int(IntType { bits, signed }))
            }
            false => value,
        };
        let fits = match &value.ty {
            Type::String { .. } => each == 1,
            ty => self.plain_bytes(ty) == Some(wanted),
        };
        if self.is_repacked(&made) || !fits {
            return self.no_cast(&value.ty, &made, span);
        }
        Some(self.convert(value, made))
    }

    fn no_cast<T>(&mut self, from: &Type, to: &Type, span: Span) -> Option<T> {
        let (a, b) = (self.type_name(from), self.type_name(to));
        let mut diagnostic = Diagnostic::error(
            Code::InvalidCast,
            span,
            format!("`{a}` can't be cast to `{b}`"),
        );
        if matches!(to, Type::CRecord(_)) {
            diagnostic = diagnostic.with_help(format!("cast to a pointer: `{b} *`"));
        }
        self.report(diagnostic);
        None
    }

    pub(super) fn size_of(&mut self, of: &TypeOrExpr, span: Span) -> Option<Expr> {
        let ty = self.type_of(of)?;
        self.size_expr(&ty, span)
    }

    pub(super) fn offset_of(
        &mut self,
        of: &TypeOrExpr,
        path: &[ast::Name],
        span: Span,
    ) -> Option<Expr> {
        let record = match self.type_of(of)? {
            Type::CRecord(id) => id,
            Type::Pointer { to, .. } if matches!(*to, Type::CRecord(_)) => match *to {
                Type::CRecord(id) => id,
                _ => return None,
            },
            other => {
                let found = self.type_name(&other);
                let message = format!("`offsetof` needs a struct or union, found `{found}`");
                return self.error(Code::ArgumentType, span, message);
            }
        };
        self.offset_of_member(record, path, span)
    }

    /// The record around one of its members.
    pub(super) fn container_of(
        &mut self,
        pointer: &ast::Expr,
        ty: &TypeExpr,
        path: &[ast::Name],
        span: Span,
    ) -> Option<Expr> {
        let given = self.expr(pointer);
        let ty = self.type_expr(ty);
        let (given, ty) = (given?, ty?);
        let Type::CRecord(record) = ty else {
            let found = self.type_name(&ty);
            let message = format!("`container_of` needs a struct or union, found `{found}`");
            return self.error(Code::ArgumentType, span, message);
        };
        let space = match &given.ty {
            Type::Pointer { space, .. } => *space,
            Type::Int(_) => Space::Kernel,
            other => {
                let found = self.type_name(other);
                let message = format!(
                    "expected a pointer for the 1st argument of `container_of`, found `{found}`"
                );
                return self.error(Code::ArgumentType, given.span, message);
            }
        };
        let offset = self.offset_of_member(record, path, span)?;
        let wide = Type::Int(IntType::U64);
        let start = self.binary(crate::ir::BinaryOp::Subtract, given, offset, wide, span);
        let ty = Type::Pointer {
            to: Box::new(Type::CRecord(record)),
            space,
        };
        Some(self.convert(start, ty))
    }

    /// Bytes from a record's start to a member: of a kernel's record on the target.
    pub fn offset_of_member(
        &mut self,
        record: CRecordId,
        path: &[ast::Name],
        span: Span,
    ) -> Option<Expr> {
        self.is_found(record, span)?;
        let (steps, _) = self.member_path(record, path)?;
        if self.types.types.record(record).origin == Origin::Kernel {
            return Some(Expr {
                kind: ExprKind::FieldOffset { record, steps },
                ty: Type::Int(IntType::U64),
                span,
            });
        }
        let bits = self.plain_offset(&steps);
        Some(self.integer(u64::from(bits / 8), IntType::U64, span))
    }

    fn plain_offset(&self, steps: &[crate::ir::Step]) -> u32 {
        let member = |record: CRecordId, at: u32| {
            self.types.types.record(record).members[at as usize].bit_offset
        };
        steps
            .iter()
            .map(|step| match step {
                crate::ir::Step::Member { record, member: at } => member(*record, *at),
                _ => 0,
            })
            .sum()
    }
}
