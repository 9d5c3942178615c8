//! Memory: fields, elements, pointers followed. Every access to a struct becomes a [`Place`] with steps.

use btc_abi as abi;

use super::lowering::Lowering;
use super::members::part;
use crate::builtin::configuration;
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::visit;
use crate::ir::{BinaryOp, Expr, ExprKind, IntType, Place, Space, Step, Type};
use crate::source::Span;
use crate::syntax::ast;

impl Lowering<'_> {
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

    /// Reads a place; what can't be read as a whole (an array without a length) is its address.
    pub(super) fn load(&mut self, place: Place, span: Span) -> Expr {
        let mut ty = place.ty.clone();
        self.types.load_whole(&ty, self.host);
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

    /// `t.0`
    pub(super) fn tuple_field(&mut self, base: &ast::Expr, index: u32, span: Span) -> Option<Expr> {
        let info =
            matches!(&base.kind, ast::ExprKind::Call { name, .. } if name.text == "typeinfo");
        let mut base = self.expr(base)?;
        if let (true, Type::Record(members)) = (info, &base.ty) {
            // It was a tuple before its parts had names.
            base.ty = Type::Tuple(members.iter().map(|(_, ty)| ty.clone()).collect());
        }
        self.tuple_part(base, index, span)
    }

    fn tuple_part(&mut self, base: Expr, index: u32, span: Span) -> Option<Expr> {
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
        if let ast::ExprKind::Identifier(_) = &base.kind
            && let Some(element) = self.defined(&ast::Expr {
                kind: ast::ExprKind::Index {
                    base: Box::new(base.clone()),
                    index: Box::new(index.clone()),
                },
                span,
            })
        {
            // A `#define` of a map.
            return self.expr(&element);
        }
        let mut base = self.read_or_not(base);
        if let Some(Expr {
            ty: Type::Tuple(_), ..
        }) = &base
        {
            // The parts differ in type, so which one it is must be known here.
            let Some(at) = self.constant_integer(index) else {
                let message = "a tuple's index must be known when compiling";
                return self.error(Code::InvalidOperand, index.span, message);
            };
            let Ok(at) = u32::try_from(at) else {
                let message = format!("a tuple has no part {at}");
                return self.error(Code::UnknownField, index.span, message);
            };
            return self.tuple_part(base?, at, span);
        }
        let index = self.behind(&mut base, |l| l.integer_argument(index, "an index"));
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
        if let (Type::Pointer { .. }, Type::CRecord(id)) = (&base.ty, &element) {
            self.is_found(*id, span)?;
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

    /// What `uptr` and `kptr` make of a number points to a `uint64` where it is followed at once, as the number itself does.
    pub(super) fn number_in_space(&self, operand: &ast::Expr, pointer: Expr) -> Expr {
        let marked = matches!(
            &operand.kind,
            ast::ExprKind::Call { name, .. } if matches!(name.text.as_str(), "uptr" | "kptr")
        );
        match (&pointer.kind, &pointer.ty) {
            (ExprKind::Convert(number), Type::Pointer { to, space })
                if marked
                    && **to == Type::Void
                    && matches!(number.ty, Type::Int(int) if int.bits == 64) =>
            {
                let space = *space;
                let to = Box::new(Type::Int(IntType::U64));
                self.convert(pointer, Type::Pointer { to, space })
            }
            _ => pointer,
        }
    }

    /// `*pointer`. A number that is an address is followed as a `uint64 *`: addresses that `kaddr`, `reg` and `arg0` give
    /// are numbers, so that adding to them counts bytes.
    pub(super) fn dereference(&mut self, pointer: Expr, span: Span) -> Option<Expr> {
        let pointer = match &pointer.ty {
            Type::Int(int) if int.bits == 64 => {
                let space = self.space_of_address(&pointer);
                let to = Box::new(Type::Int(IntType::U64));
                self.convert(pointer, Type::Pointer { to, space })
            }
            _ => pointer,
        };
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
        if let Type::CRecord(id) = *to {
            self.is_found(id, span)?;
        }
        let place = Place {
            base: pointer,
            space,
            steps: vec![],
            ty: *to,
        };
        Some(self.load(place, span))
    }

    /// Where a number points: what `kaddr` gave is the kernel's, anything else is in the memory that the probe sees.
    fn space_of_address(&self, address: &Expr) -> Space {
        let mut of_kernel = false;
        visit::expression(address, &mut |node| {
            if let visit::Node::Expr(Expr {
                kind: ExprKind::Target(slot),
                ..
            }) = node
            {
                let value = self.slots.get(slot.0 as usize).map(|slot| &slot.value);
                of_kernel |= matches!(value, Some(abi::TargetValue::KernelAddress { .. }));
            }
        });
        match of_kernel {
            true => Space::Kernel,
            false => self.default_space(),
        }
    }

    /// `&place`
    pub(super) fn address_of(&mut self, operand: &ast::Expr, span: Span) -> Option<Expr> {
        if let ast::ExprKind::Map { name, key } = &operand.kind {
            return self.address_of_map(name, key.as_deref(), operand.span);
        }
        let mut value = self.read_or_not(operand)?;
        if let ExprKind::Part { of, steps } = &value.kind
            && let ExprKind::Local(local) = of.kind
            && self.has_offsets(&of.ty, steps)
        {
            // A part of a variable is a place like any other.
            let base = self.local_address(local, of.ty.clone(), span);
            let place = Place {
                base,
                space: Space::Kernel,
                steps: steps.clone(),
                ty: value.ty.clone(),
            };
            value.kind = ExprKind::Load(Box::new(place));
        }
        match value.kind {
            ExprKind::Local(local) => {
                self.has_address(&value.ty, span)?;
                Some(self.local_address(local, value.ty, span))
            }
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
                "`&` needs something that stands in memory: a variable, a map, a field or an element",
            ),
        }
    }

    /// Refuses the address of a copy whose members lie as btc keeps them: its type says that they lie elsewhere.
    fn has_address(&mut self, ty: &Type, span: Span) -> Option<()> {
        if !self.types.types.holds_repacked(ty) {
            return Some(());
        }
        let name = self.type_name(ty);
        let message = format!("a copy of `{name}` has no address that its type would be true of");
        self.report(
            Diagnostic::error(Code::InvalidOperand, span, message)
                .with_help("take the address of what was copied"),
        );
        None
    }

    /// Whether steps through a variable end where C would say: members of repacked structs lie elsewhere.
    fn has_offsets(&self, of: &Type, steps: &[Step]) -> bool {
        let repacked = |step: &Step| match step {
            Step::Member { record, .. } => self.types.types.is_repacked(*record),
            _ => false,
        };
        !self.types.types.holds_repacked(of) && !steps.iter().any(repacked)
    }

    /// `&@m[key]` and `&@m` of a map without keys: where the value is. `&@m` of another: the kernel's own map.
    fn address_of_map(
        &mut self,
        name: &str,
        key: Option<&[ast::Expr]>,
        span: Span,
    ) -> Option<Expr> {
        let map = self.map(name, span);
        let pointer = |to: Type| Type::Pointer {
            to: Box::new(to),
            space: Space::Kernel,
        };
        if key.is_none() && !self.map_is_scalar(map) {
            self.map_value(map, span)?;
            let kernel = self.host.record("bpf_map", false);
            let to = kernel.map_or(Type::Void, |r| Type::CRecord(self.types.record(&r)));
            return Some(Expr {
                kind: ExprKind::MapAddress(map),
                ty: pointer(to),
                span,
            });
        }
        let key = self.map_key(map, key, span)?;
        let value = self.map_value(map, span)?;
        self.has_address(&value, span)?;
        if let Type::Aggregation(of) = &value {
            let found = super::types::aggregation_name(of);
            let message = format!("a `{found}` has a part on each CPU, so no address");
            return self.error(Code::InvalidOperand, span, message);
        }
        Some(Expr {
            kind: ExprKind::ElementAddress {
                map,
                key: key.map(Box::new),
            },
            ty: pointer(value),
            span,
        })
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
                self.is_found(*id, span)?;
                return Some(Expr {
                    kind: ExprKind::TypeSize(*id),
                    ty: Type::Int(IntType::U64),
                    span,
                });
            }
            if record.origin == crate::ir::Origin::Script {
                // As C lays it out, whatever a copy takes.
                let size = u64::from(record.size);
                return Some(self.integer(size, IntType::U64, span));
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
