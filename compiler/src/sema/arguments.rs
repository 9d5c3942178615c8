//! `args`: one argument of the traced function or event by its name, or all of them as a record.

use super::lowering::Lowering;
use crate::diagnostic::{Code, Diagnostic};
use crate::host::{CType, DataLocation, TracepointMember};
use crate::ir::{
    BinaryOp, CRecordId, Context, Expr, ExprKind, IntType, Place, Space, Step, StmtKind, Type,
};
use crate::provider::Args;
use crate::source::Span;
use crate::syntax::ast;
use btc_runtime::suggest::nearest;

/// What a trampoline hands over of a struct.
const LARGEST_PASSED: u32 = 16;

impl Lowering<'_> {
    /// `args` by itself: a record of all arguments, each read where it is.
    pub(super) fn all_arguments(&mut self, span: Span) -> Option<Expr> {
        let probe = self.probe;
        let names: Vec<String> = match &probe.args {
            Args::None { .. } | Args::Unknown(_) => return self.no_arguments(span),
            Args::Tracepoint { format, .. } => {
                format.members.iter().map(|m| m.name.clone()).collect()
            }
            Args::Values(values) => values.iter().map(|(name, ..)| name.clone()).collect(),
            Args::User { binary, function } => self.user_parameters(binary, function, span)?,
        };
        if names.is_empty() {
            let message = format!("`{}` has no arguments", probe.name);
            return self.error(Code::WrongProbe, span, message);
        }
        let mut types = vec![];
        let mut values = vec![];
        for text in names {
            let value = self.argument(
                span,
                &ast::Name {
                    text: text.clone(),
                    span,
                },
            )?;
            let value = self.located_text(&text, value);
            types.push((text, value.ty.clone()));
            values.push(value);
        }
        Some(Expr {
            kind: ExprKind::Tuple(values),
            ty: Type::Record(types),
            span,
        })
    }

    /// An event's text outlives the event as a string, not as a pointer.
    fn located_text(&self, name: &str, value: Expr) -> Expr {
        let Args::Tracepoint { format, .. } = &self.probe.args else {
            return value;
        };
        let described = format.members.iter().find(|m| m.name == name);
        let text = described.is_some_and(|m| {
            m.location != DataLocation::Inline
                && matches!(&m.ty, CType::Array { element, .. }
                    if matches!(super::types::strip(element), CType::Int { char_: true, .. }))
        });
        if !text {
            return value;
        }
        let span = value.span;
        Expr {
            kind: ExprKind::ReadString {
                address: Box::new(self.convert(value, Type::Int(IntType::U64))),
                space: Space::Kernel,
                length: None,
            },
            ty: Type::String {
                size: self.settings.limits.max_strlen,
            },
            span,
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

    /// `args.name`
    pub(super) fn argument(&mut self, args: Span, name: &ast::Name) -> Option<Expr> {
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
            Type::CRecord(id) => self.passed_record(from, id, span),
            // C passes no arrays, only where they are.
            Type::Array { element, .. } => Some(self.convert(bits, self.pointer_to(*element))),
            Type::String { .. } => {
                let char = Type::Int(IntType {
                    bits: 8,
                    signed: true,
                });
                Some(self.convert(bits, self.pointer_to(char)))
            }
            _ => Some(bits),
        }
    }

    fn pointer_to(&self, to: Type) -> Type {
        Type::Pointer {
            to: Box::new(to),
            space: match self.probe.user_space {
                true => Space::User,
                false => Space::Kernel,
            },
        }
    }

    /// A struct that is passed by value, in the context's words.
    fn passed_record(&mut self, from: Context, id: CRecordId, span: Span) -> Option<Expr> {
        let ty = Type::CRecord(id);
        self.types.load_whole(&ty, self.host);
        let size = self.types.types.record(id).size;
        let words = match from {
            Context::Parameter(n) if size > 8 && size <= LARGEST_PASSED => {
                vec![Context::Parameter(n), Context::ParameterRest(n)]
            }
            Context::Result => {
                let message = "the kernel traces no function that returns a struct";
                return self.error(Code::WrongProbe, span, message);
            }
            _ if size <= 8 => vec![from],
            _ => {
                let name = self.type_name(&ty);
                let message =
                    format!("a `{name}` of {size} bytes is passed where no probe sees it");
                return self.error(Code::WrongProbe, span, message);
            }
        };
        let words = words.into_iter().map(|w| self.context(w, span)).collect();
        Some(self.record_in_words(words, ty, span))
    }

    /// A record whose bytes are those of 64-bit words: they are put into memory and read as what they are.
    pub(super) fn record_in_words(&mut self, words: Vec<Expr>, ty: Type, span: Span) -> Expr {
        let array = Type::Array {
            element: Box::new(Type::Int(IntType::U64)),
            count: words.len().max(1) as u32,
        };
        let local = self.new_local(array.clone());
        let value = Expr {
            kind: ExprKind::Tuple(words),
            ty: array,
            span,
        };
        self.push(StmtKind::SetLocal { local, value }, span);
        let base = self.local_address(local, ty.clone(), span);
        let place = Place {
            base,
            space: Space::Kernel,
            steps: vec![],
            ty,
        };
        self.load(place, span)
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
}
