//! Members of structs, unions and records by their names, through pointers and anonymous members.

use super::convert;
use super::lowering::Lowering;
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::{CRecordId, Expr, ExprKind, Origin, Place, Step, Type};
use crate::source::Span;
use crate::syntax::ast;
use btc_runtime::suggest::nearest;

impl Lowering<'_> {
    /// `base.name`, through pointers and anonymous members.
    pub fn field(&mut self, base: Expr, name: &ast::Name) -> Option<Expr> {
        let span = base.span.to(name.span);
        match base.ty.clone() {
            Type::Pointer { to, space } => match *to {
                Type::CRecord(id) => {
                    self.is_found(id, span)?;
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
                    let (steps, ty, _) = self.find_member(id, name)?;
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

    /// Refuses what starts at a record that no kernel can be asked for: relocations are by name.
    pub(super) fn is_found(&mut self, id: CRecordId, span: Span) -> Option<()> {
        let types = &self.types.types;
        if types.record(id).origin != Origin::Kernel || types.is_rooted(id) {
            return Some(());
        }
        let word = types.record_name(id);
        let message = format!(
            "the target can't be asked for this `{word}`: neither it nor a member of its type has a name"
        );
        self.report(
            Diagnostic::error(Code::UnknownType, span, message)
                .with_help("cast to a pointer to a `struct` of the script's own"),
        );
        None
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
}

/// A part of a value that is in BPF memory.
pub(super) fn part(of: Expr, steps: Vec<Step>, ty: Type, span: Span) -> Expr {
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
