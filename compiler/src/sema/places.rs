//! Memory: `args`, fields, elements, pointers followed. Every access to a struct becomes a [`Place`] with steps.

use super::convert;
use super::lowering::Lowering;
use super::suggest::nearest;
use crate::builtin::configuration;
use crate::diagnostic::{Code, Diagnostic, Unsupported};
use crate::host::{CType, DataLocation, TracepointMember};
use crate::ir::{BinaryOp, CRecordId, Context, Expr, ExprKind, IntType, Place, Space, Step, Type};
use crate::provider::Args;
use crate::source::Span;
use crate::syntax::ast;

impl Lowering<'_> {
    /// `args` by itself.
    pub(super) fn all_arguments(&mut self, span: Span) -> Option<Expr> {
        match &self.probe.args {
            Args::None { .. } | Args::Unknown(_) => self.no_arguments(span),
            Args::Tracepoint { .. } | Args::Values(_) | Args::User { .. } => {
                self.not_supported_yet(span, Unsupported::AllArguments)
            }
        }
    }

    fn no_arguments<T>(&mut self, span: Span) -> Option<T> {
        let probe = self.probe;
        match &probe.args {
            Args::Unknown(why) => {
                let mut why = (**why).clone();
                why.span = span;
                self.report(why);
            }
            Args::None { help } => {
                let message = format!("`{}` probes have no `args`", probe.provider);
                let diagnostic = Diagnostic::error(Code::WrongProbe, span, message);
                self.report(match help {
                    Some(help) => diagnostic.with_help(*help),
                    None => diagnostic,
                });
            }
            _ => {}
        }
        None
    }

    pub(super) fn field_access(&mut self, base: &ast::Expr, name: &ast::Name) -> Option<Expr> {
        let args = match &base.kind {
            ast::ExprKind::Identifier(word) => word == "args",
            // `*args` was how old scripts spelt it.
            ast::ExprKind::Unary {
                op: ast::UnaryOp::Dereference,
                operand,
            } => operand.kind == ast::ExprKind::Identifier("args".into()),
            _ => false,
        };
        if args {
            return self.argument(base.span, name);
        }
        if base.kind == ast::ExprKind::Identifier("config".into()) && !self.macros.has("config") {
            return configuration::named(self, name, base.span.to(name.span));
        }
        let base = self.expr(base)?;
        self.field(base, name)
    }

    /// `args.name`
    fn argument(&mut self, args: Span, name: &ast::Name) -> Option<Expr> {
        let probe = self.probe;
        let span = args.to(name.span);
        match &probe.args {
            Args::None { .. } | Args::Unknown(_) => self.no_arguments(args),
            Args::Values(values) => {
                if let Some((_, ty, from)) = values.iter().find(|(n, ..)| *n == name.text) {
                    return self.context_value(*from, ty, span);
                }
                let names: Vec<&str> = values.iter().map(|(n, ..)| n.as_str()).collect();
                self.unknown_argument(name, &names)
            }
            Args::User { binary, function } => self.user_argument(binary, function, args, name),
            Args::Tracepoint {
                category,
                event,
                format,
                user_pointers,
            } => {
                let id = self
                    .types
                    .tracepoint(category, event, format, *user_pointers);
                let mut all = format.common.iter().chain(&format.members);
                let Some(at) = all.position(|m| m.name == name.text) else {
                    let names: Vec<&str> = format
                        .members
                        .iter()
                        .chain(&format.common)
                        .map(|m| m.name.as_str())
                        .collect();
                    return self.unknown_argument(name, &names);
                };
                let member = format.common.iter().chain(&format.members).nth(at)?;
                self.tracepoint_member(id, at as u32, member, span)
            }
        }
    }

    pub(super) fn unknown_argument<T>(&mut self, name: &ast::Name, known: &[&str]) -> Option<T> {
        let probe = self.probe;
        let mut unknown = Diagnostic::error(
            Code::UnknownField,
            name.span,
            format!("`{}` has no argument named `{}`", probe.name, name.text),
        );
        if let Some(near) = nearest(&name.text, known.iter().copied()) {
            unknown = unknown.with_help(format!("did you mean `args.{near}`?"));
        } else if !known.is_empty() && known.len() <= 12 {
            unknown = unknown.with_help(format!("its arguments are {}", known.join(", ")));
        }
        self.report(unknown);
        None
    }

    /// A value of the context as its C type.
    pub fn context_value(&mut self, from: Context, ty: &CType, span: Span) -> Option<Expr> {
        let mut ty = self.types.of_c(ty);
        if let (true, Type::Pointer { space, .. }) = (self.probe.user_space, &mut ty) {
            *space = Space::User;
        }
        let bits = self.context(from, span);
        match ty {
            Type::Int(_) | Type::Bool | Type::Enum(_) | Type::Pointer { .. } => {
                Some(self.convert(bits, ty))
            }
            Type::CRecord(_) | Type::Array { .. } | Type::String { .. } => {
                self.not_supported_yet(span, Unsupported::StructArgument)
            }
            _ => Some(bits),
        }
    }

    fn tracepoint_member(
        &mut self,
        record: CRecordId,
        member: u32,
        described: &TracepointMember,
        span: Span,
    ) -> Option<Expr> {
        let base = self.convert(
            self.context(Context::Pointer, span),
            Type::Pointer {
                to: Box::new(Type::CRecord(record)),
                space: Space::Context,
            },
        );
        let declared = self.types.types.record(record).members[member as usize]
            .ty
            .clone();
        let located = described.location != DataLocation::Inline;
        let ty = if located {
            Type::Int(IntType::U32)
        } else {
            declared.clone()
        };
        let place = Place {
            base: base.clone(),
            space: Space::Context,
            steps: vec![Step::Member { record, member }],
            ty,
        };
        if !located {
            return Some(self.load(place, span));
        }
        // The word says where the data is: offset in its low half.
        let word = self.load(place.clone(), span);
        let wide = Type::Int(IntType::U64);
        let mask = self.integer(0xffff, IntType::U64, span);
        let offset = self.binary(BinaryOp::BitAnd, word, mask, wide.clone(), span);
        let start = match described.location {
            DataLocation::FromMember => {
                let address = Expr {
                    kind: ExprKind::Address(Box::new(place)),
                    ty: Type::Pointer {
                        to: Box::new(Type::Int(IntType::U32)),
                        space: Space::Context,
                    },
                    span,
                };
                let four = self.integer(4, IntType::U64, span);
                self.binary(BinaryOp::Add, address, four, wide.clone(), span)
            }
            _ => self.convert(base, wide.clone()),
        };
        let address = self.binary(BinaryOp::Add, start, offset, wide, span);
        let element = match declared {
            Type::String { .. } => Type::Int(IntType {
                bits: 8,
                signed: true,
            }),
            Type::Array { element, .. } => *element,
            other => other,
        };
        Some(self.convert(
            address,
            Type::Pointer {
                to: Box::new(element),
                space: Space::Kernel,
            },
        ))
    }

    /// Reads a place; what can't be read as a whole (an array without a length) is its address.
    pub(super) fn load(&mut self, place: Place, span: Span) -> Expr {
        let mut ty = place.ty.clone();
        self.types.load_script(&ty, self.host);
        if let (Space::User, Type::Pointer { space, .. }) = (place.space, &mut ty) {
            // What a user's struct points to is the user's too.
            *space = Space::User;
        }
        let unsized_of = match &ty {
            Type::String { size: 0 } => Some(Type::Int(IntType {
                bits: 8,
                signed: true,
            })),
            Type::Array { element, count: 0 } => Some((**element).clone()),
            _ => None,
        };
        if let Some(to) = unsized_of {
            let space = place.space;
            return Expr {
                kind: ExprKind::Address(Box::new(place)),
                ty: Type::Pointer {
                    to: Box::new(to),
                    space,
                },
                span,
            };
        }
        Expr {
            kind: ExprKind::Load(Box::new(place)),
            ty,
            span,
        }
    }

    /// `base.name`, through pointers and anonymous members.
    pub fn field(&mut self, base: Expr, name: &ast::Name) -> Option<Expr> {
        let span = base.span.to(name.span);
        match base.ty.clone() {
            Type::Pointer { to, space } => match *to {
                Type::CRecord(id) => {
                    let place = Place {
                        base,
                        space,
                        steps: vec![],
                        ty: Type::CRecord(id),
                    };
                    self.member_of_place(place, id, name, span)
                }
                other => self.no_members(
                    &Type::Pointer {
                        to: Box::new(other),
                        space,
                    },
                    name,
                ),
            },
            Type::CRecord(id) => match base.kind {
                ExprKind::Load(place) => self.member_of_place(*place, id, name, span),
                _ => {
                    let (steps, ty, bitfield) = self.find_member(id, name)?;
                    if bitfield {
                        return self.not_supported_yet(name.span, Unsupported::BitfieldOfCopy);
                    }
                    Some(part(base, steps, ty, span))
                }
            },
            Type::Record(members) => {
                if let Some(at) = members.iter().position(|(n, _)| *n == name.text) {
                    let ty = members[at].1.clone();
                    return Some(part(base, vec![Step::Tuple { index: at as u32 }], ty, span));
                }
                let known: Vec<&str> = members.iter().map(|(n, _)| n.as_str()).collect();
                let ty = base.ty.clone();
                self.unknown_field(&ty, name, &known)
            }
            other => self.no_members(&other, name),
        }
    }

    fn no_members<T>(&mut self, ty: &Type, name: &ast::Name) -> Option<T> {
        let found = self.type_name(ty);
        self.error(
            Code::InvalidOperand,
            name.span,
            format!("`{found}` has no fields, so no `{}`", name.text),
        )
    }

    fn member_of_place(
        &mut self,
        mut place: Place,
        id: CRecordId,
        name: &ast::Name,
        span: Span,
    ) -> Option<Expr> {
        let (steps, ty, _) = self.find_member(id, name)?;
        place.steps.extend(steps);
        place.ty = ty;
        Some(self.load(place, span))
    }

    /// The steps to a member by name, its type, and whether it is a bitfield.
    fn find_member(&mut self, id: CRecordId, name: &ast::Name) -> Option<(Vec<Step>, Type, bool)> {
        if let Some(found) = self.search_member(id, &name.text, 0) {
            return Some(found);
        }
        let record = self.types.types.record(id);
        let ty = Type::CRecord(id);
        if !record.loaded {
            let of = self.type_name(&ty);
            return self.error(
                Code::UnknownType,
                name.span,
                format!("the members of `{of}` are not known here"),
            );
        }
        let mut known = vec![];
        self.member_names(id, &mut known, 0);
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        self.unknown_field(&ty, name, &known)
    }

    fn unknown_field<T>(&mut self, ty: &Type, name: &ast::Name, known: &[&str]) -> Option<T> {
        let of = self.type_name(ty);
        let mut unknown = Diagnostic::error(
            Code::UnknownField,
            name.span,
            format!("`{of}` has no field `{}`", name.text),
        );
        if let Some(near) = nearest(&name.text, known.iter().copied()) {
            unknown = unknown.with_help(format!("did you mean `{near}`?"));
        }
        self.report(unknown);
        None
    }

    fn search_member(
        &mut self,
        id: CRecordId,
        name: &str,
        depth: u32,
    ) -> Option<(Vec<Step>, Type, bool)> {
        self.types.load(id, self.host);
        let members = self.types.types.record(id).members.clone();
        if let Some(at) = members.iter().position(|m| m.name == name) {
            let step = Step::Member {
                record: id,
                member: at as u32,
            };
            let member = &members[at];
            return Some((vec![step], member.ty.clone(), member.bitfield.is_some()));
        }
        if depth > 16 {
            return None;
        }
        for (at, member) in members.iter().enumerate() {
            let Type::CRecord(inner) = member.ty else {
                continue;
            };
            if !member.name.is_empty() {
                continue;
            }
            if let Some((mut steps, ty, bits)) = self.search_member(inner, name, depth + 1) {
                steps.insert(
                    0,
                    Step::Member {
                        record: id,
                        member: at as u32,
                    },
                );
                return Some((steps, ty, bits));
            }
        }
        None
    }

    fn member_names(&mut self, id: CRecordId, names: &mut Vec<String>, depth: u32) {
        self.types.load(id, self.host);
        for member in self.types.types.record(id).members.clone() {
            match member.ty {
                Type::CRecord(inner) if member.name.is_empty() && depth < 16 => {
                    self.member_names(inner, names, depth + 1);
                }
                _ => names.push(member.name),
            }
        }
    }

    /// A member by a path of names, for `offsetof`.
    pub(super) fn member_path(
        &mut self,
        id: CRecordId,
        path: &[ast::Name],
    ) -> Option<(Vec<Step>, Type)> {
        let mut steps = vec![];
        let mut ty = Type::CRecord(id);
        for name in path {
            let Type::CRecord(id) = ty else {
                return self.no_members(&ty, name);
            };
            let (found, next, bitfield) = self.find_member(id, name)?;
            if bitfield {
                return self.error(
                    Code::InvalidOperand,
                    name.span,
                    format!("`{}` is a bitfield: it has no byte offset", name.text),
                );
            }
            steps.extend(found);
            ty = next;
        }
        Some((steps, ty))
    }

    /// `t.0`
    pub(super) fn tuple_field(&mut self, base: &ast::Expr, index: u32, span: Span) -> Option<Expr> {
        let base = self.expr(base)?;
        let Type::Tuple(parts) = &base.ty else {
            let found = self.type_name(&base.ty);
            let message = format!("`.{index}` needs a tuple, found `{found}`");
            return self.error(Code::InvalidOperand, span, message);
        };
        let Some(ty) = parts.get(index as usize).cloned() else {
            let message = format!(
                "`{}` has {} elements, so no `.{index}`",
                self.type_name(&base.ty),
                parts.len()
            );
            return self.error(Code::UnknownField, span, message);
        };
        Some(part(base, vec![Step::Tuple { index }], ty, span))
    }

    pub(super) fn index(
        &mut self,
        base: &ast::Expr,
        index: &ast::Expr,
        span: Span,
    ) -> Option<Expr> {
        let base = self.expr(base);
        let index = self.integer_argument(index, "an index");
        self.element(base?, index?, span)
    }

    /// `base[index]`
    pub fn element(&mut self, base: Expr, index: Expr, span: Span) -> Option<Expr> {
        let index = self.convert(index, Type::Int(IntType::I64));
        let (element, count) = match &base.ty {
            Type::Pointer { to, .. } => ((**to).clone(), None),
            Type::Array { element, count } => ((**element).clone(), Some(*count)),
            Type::String { size } => (
                Type::Int(IntType {
                    bits: 8,
                    signed: true,
                }),
                Some(*size),
            ),
            other => {
                let found = self.type_name(other);
                let message = format!("only arrays and pointers have elements, found `{found}`");
                return self.error(Code::InvalidOperand, span, message);
            }
        };
        if element == Type::Void {
            return self.error(
                Code::InvalidOperand,
                span,
                "a `void *` points to nothing that could be read: cast it first",
            );
        }
        if let (Some(count), ExprKind::Integer(n)) = (count, &index.kind)
            && *n >= u64::from(count)
        {
            let message = format!(
                "index {} is out of bounds: the array has {count} elements",
                *n as i64
            );
            return self.error(Code::InvalidOperand, index.span, message);
        }
        let step = Step::Index {
            element: element.clone(),
            index: Box::new(index),
            count,
        };
        match (&base.ty, base.kind.clone()) {
            (Type::Pointer { space, .. }, _) => {
                let space = *space;
                let place = Place {
                    base,
                    space,
                    steps: vec![step],
                    ty: element,
                };
                Some(self.load(place, span))
            }
            (_, ExprKind::Load(mut place)) => {
                place.steps.push(step);
                place.ty = element;
                Some(self.load(*place, span))
            }
            _ => Some(part(base, vec![step], element, span)),
        }
    }

    /// `*pointer`
    pub(super) fn dereference(&mut self, pointer: Expr, span: Span) -> Option<Expr> {
        let Type::Pointer { to, space } = pointer.ty.clone() else {
            let found = self.type_name(&pointer.ty);
            let message = format!("`*` needs a pointer, found `{found}`");
            return self.error(Code::InvalidOperand, span, message);
        };
        if *to == Type::Void {
            return self.error(
                Code::InvalidOperand,
                span,
                "a `void *` points to nothing that could be read: cast it first",
            );
        }
        let place = Place {
            base: pointer,
            space,
            steps: vec![],
            ty: *to,
        };
        Some(self.load(place, span))
    }

    /// `&place`
    pub(super) fn address_of(&mut self, operand: &ast::Expr, span: Span) -> Option<Expr> {
        match &operand.kind {
            ast::ExprKind::Variable(_) | ast::ExprKind::Map { .. } => {
                return self.not_supported_yet(span, Unsupported::VariableAddress);
            }
            _ => {}
        }
        let value = self.expr(operand)?;
        match value.kind {
            ExprKind::Load(place) => {
                let ty = Type::Pointer {
                    to: Box::new(place.ty.clone()),
                    space: place.space,
                };
                Some(Expr {
                    kind: ExprKind::Address(place),
                    ty,
                    span,
                })
            }
            ExprKind::Address(_) => Some(value),
            _ => self.error(
                Code::InvalidOperand,
                span,
                "`&` needs something that stands in memory: a field or an element",
            ),
        }
    }

    /// Bytes of a type as an expression: kernel records are measured on the target.
    pub(super) fn size_expr(&mut self, ty: &Type, span: Span) -> Option<Expr> {
        if let Type::CRecord(id) = ty {
            self.types.load(*id, self.host);
            let record = self.types.types.record(*id);
            if !record.loaded {
                let name = self.type_name(ty);
                let message = format!("the size of `{name}` is not known here");
                return self.error(Code::UnknownType, span, message);
            }
            if record.origin == crate::ir::Origin::Kernel {
                return Some(Expr {
                    kind: ExprKind::TypeSize(*id),
                    ty: Type::Int(IntType::U64),
                    span,
                });
            }
        }
        if let Type::Array { element, count } = ty {
            let one = self.size_expr(element, span)?;
            let many = self.integer(u64::from(*count), IntType::U64, span);
            return match one.kind {
                ExprKind::Integer(n) => {
                    Some(self.integer(n * u64::from(*count), IntType::U64, span))
                }
                _ => {
                    Some(self.binary(BinaryOp::Multiply, one, many, Type::Int(IntType::U64), span))
                }
            };
        }
        // C lets a `void *` move by bytes.
        let size = self.types.size(ty).max(u32::from(*ty == Type::Void));
        Some(self.integer(u64::from(size), IntType::U64, span))
    }
}

/// A part of a value that is in BPF memory.
fn part(of: Expr, steps: Vec<Step>, ty: Type, span: Span) -> Expr {
    // A literal's member is the member.
    if let (ExprKind::Tuple(values), [Step::Tuple { index }]) = (&of.kind, steps.as_slice())
        && let Some(value) = values.get(*index as usize)
        && values.iter().all(convert::is_pure)
    {
        return value.clone();
    }
    if let ExprKind::Part {
        of: inner,
        steps: first,
    } = of.kind
    {
        let steps = first.into_iter().chain(steps).collect();
        return Expr {
            kind: ExprKind::Part { of: inner, steps },
            ty,
            span,
        };
    }
    Expr {
        kind: ExprKind::Part {
            of: Box::new(of),
            steps,
        },
        ty,
        span,
    }
}
