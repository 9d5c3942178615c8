//! The state of one walk over a program, and what builtins and statements lower with: constants, conversions,
//! prelude statements, slots, records, locals.

use std::collections::BTreeSet;

use btc_abi as abi;

use super::Options;
use super::config::{Feature, Level, Settings};
use super::constants::Constants;
use super::followed::Held;
use super::foreign::Foreign;
use super::macros::{Frame, Macros};
use super::maps::MapTable;
use super::program::Subprograms;
use super::scope::Scopes;
use super::subprograms::Inlined;
use super::types::TypeTable;
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::host::Host;
use crate::ir::{
    self, Expr, ExprKind, Helper, IntType, LocalId, RecordId, SlotId, Stmt, StmtKind, Type,
};
use crate::provider::{ProbeContext, iter};
use crate::source::{SourceMap, Span};

/// What a copy of a struct may have: each member of a kernel struct is read by itself.
const MOST_PARTS: u32 = 1024;
const MOST_BYTES: u32 = 32 << 10;

/// One walk over the whole program. Types of maps and variables survive it in tables; everything else is made anew by
/// each walk, and the last one's results count.
pub struct Lowering<'a> {
    pub host: &'a dyn Host,
    pub sources: &'a SourceMap,
    pub options: &'a Options,
    pub settings: &'a Settings,
    /// The attach point whose body is being lowered.
    pub probe: &'a ProbeContext,
    pub(super) constants: &'a Constants,
    pub(super) macros: &'a Macros<'a>,
    pub(super) subprograms: &'a Subprograms<'a>,
    pub(super) foreign: &'a Foreign,
    pub(super) types: TypeTable,
    pub(super) maps: MapTable,
    pub(super) scopes: Scopes,
    pub(super) diagnostics: Diagnostics,
    pub(super) records: Vec<ir::Record>,
    pub(super) slots: Vec<ir::Slot>,
    pub(super) positional: Vec<Option<abi::ParameterType>>,
    pub(super) named: Vec<abi::Parameter>,
    pub(super) checks: Vec<ir::Check>,
    pub(super) locals: Vec<ir::Local>,
    pub(super) held: Held,
    /// Where the probe's return value is, once it returns one.
    pub(super) status: Option<LocalId>,
    /// Of the user function whose arguments the current probe reads by name, and its binary's number.
    pub(super) signature: Option<(usize, abi::Signature)>,
    /// Statement lists under construction; a prelude goes to the innermost.
    pub(super) blocks: Vec<Vec<Stmt>>,
    /// Loops around the current statement, and whether `break` may stand in them.
    pub(super) loops: u32,
    /// How often the current statement is copied by the `unroll`s around it.
    pub(super) copies: i128,
    /// Whether the current statement is.
    pub(super) reached: Reached,
    /// Macro expansions around the current expression.
    pub(super) expansions: Vec<Frame<'a>>,
    /// Expansions made so far: each has its own names.
    pub(super) expanded: u32,
    /// The script's function whose body is being lowered, the calls that led there, and all that were ever called.
    pub(super) inlined: Option<Inlined>,
    pub(super) calls: Vec<(String, Span)>,
    pub(super) called: BTreeSet<String>,
    /// The number of the next [`StmtKind::Scope`] of the probe.
    pub(super) next_scope: u32,
    /// Where constants stand whose type a cast says: they have its sign.
    pub(super) cast_constants: BTreeSet<Span>,
}

/// What is known of the conditions around a statement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reached {
    /// One of them is a constant that leads elsewhere.
    pub never: bool,
    /// One of them depends on what the target tells before anything runs, and on nothing else.
    pub by_target: bool,
}

impl Lowering<'_> {
    /// Whether the current statement is never reached, as is known when compiling.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.reached.never
    }

    /// Whether the target decides, before anything runs, if the current statement is reached.
    #[must_use]
    pub fn depends_on_target(&self) -> bool {
        self.reached.by_target
    }

    // -- diagnostics ------------------------------------------------------------------------------------------------

    /// Reports an error or a warning.
    pub fn report(&mut self, diagnostic: Diagnostic) {
        let traced = self.traced(diagnostic);
        self.diagnostics.push(traced);
    }

    /// Reports an error; `None`, so that `return l.error(…)` ends a lowering.
    pub fn error<T>(&mut self, code: Code, span: Span, message: impl Into<String>) -> Option<T> {
        self.report(Diagnostic::error(code, span, message));
        None
    }

    pub fn warn(&mut self, code: Code, span: Span, message: impl Into<String>) {
        self.report(Diagnostic::warning(code, span, message));
    }

    /// Says that a feature is used, where the configuration wants that; `None` where it refuses it.
    pub fn unstable(&mut self, feature: Feature, what: &str, span: Span) -> Option<()> {
        let said = feature.used(what, span);
        said.into_iter().for_each(|said| self.report(said));
        (feature.level != Level::Error).then_some(())
    }

    /// A type as users read it: `int64`, `string[16]`, `struct task_struct *`.
    #[must_use]
    pub fn type_name(&self, ty: &Type) -> String {
        self.types.name(ty)
    }

    // -- constants and simple expressions ---------------------------------------------------------------------------

    #[must_use]
    pub fn integer(&self, value: u64, ty: IntType, span: Span) -> Expr {
        Expr {
            kind: ExprKind::Integer(value),
            ty: Type::Int(ty),
            span,
        }
    }

    #[must_use]
    pub fn boolean(&self, value: bool, span: Span) -> Expr {
        Expr {
            kind: ExprKind::Integer(u64::from(value)),
            ty: Type::Bool,
            span,
        }
    }

    /// A string constant with room for its NUL.
    #[must_use]
    pub fn string(&self, text: &[u8], span: Span) -> Expr {
        Expr {
            kind: ExprKind::String(text.to_vec()),
            ty: Type::String {
                size: text.len() as u32 + 1,
            },
            span,
        }
    }

    /// What a call that only acts evaluates to.
    #[must_use]
    pub fn void(&self, span: Span) -> Expr {
        Expr {
            kind: ExprKind::Integer(0),
            ty: Type::Void,
            span,
        }
    }

    #[must_use]
    pub fn helper(&self, helper: Helper, arguments: Vec<Expr>, ty: Type, span: Span) -> Expr {
        Expr {
            kind: ExprKind::Helper { helper, arguments },
            ty,
            span,
        }
    }

    #[must_use]
    pub fn context(&self, context: ir::Context, span: Span) -> Expr {
        Expr {
            kind: ExprKind::Context(context),
            ty: Type::Int(IntType::U64),
            span,
        }
    }

    /// `left op right`, both converted to `ty`; the result is `ty`, or Bool for comparisons.
    #[must_use]
    pub fn binary(&self, op: ir::BinaryOp, left: Expr, right: Expr, ty: Type, span: Span) -> Expr {
        use ir::BinaryOp as B;
        let compares = matches!(
            op,
            B::Less | B::LessEqual | B::Greater | B::GreaterEqual | B::Equal | B::NotEqual
        );
        Expr {
            kind: ExprKind::Binary {
                op,
                left: Box::new(self.convert(left, ty.clone())),
                right: Box::new(self.convert(right, ty.clone())),
            },
            ty: if compares { Type::Bool } else { ty },
            span,
        }
    }

    /// A value of the target; the same value has one slot. `ty`: Int of 64 bits, Bool or String.
    pub fn slot(&mut self, value: abi::TargetValue, ty: Type, span: Span) -> Expr {
        let slot = ir::Slot {
            value,
            ty: ty.clone(),
        };
        let id = match self.slots.iter().position(|s| *s == slot) {
            Some(at) => at,
            None => {
                self.slots.push(slot);
                self.slots.len() - 1
            }
        };
        Expr {
            kind: ExprKind::Target(SlotId(id as u32)),
            ty,
            span,
        }
    }

    // -- statements, locals, records --------------------------------------------------------------------------------

    /// Puts a statement before the expression that is being lowered.
    pub fn push(&mut self, kind: StmtKind, span: Span) {
        if let Some(block) = self.blocks.last_mut() {
            block.push(Stmt { kind, span });
        }
    }

    /// Lowers in a statement list of its own and returns the list.
    pub fn collect<T>(&mut self, lower: impl FnOnce(&mut Self) -> T) -> (Vec<Stmt>, T) {
        self.blocks.push(vec![]);
        let result = lower(self);
        (self.blocks.pop().unwrap_or_default(), result)
    }

    /// Lowers an expression that is not always evaluated (a branch, the right side of `&&`): its prelude stays with it.
    pub fn branch(&mut self, lower: impl FnOnce(&mut Self) -> Option<Expr>) -> Option<Expr> {
        let (body, value) = self.collect(lower);
        let value = value?;
        if body.is_empty() {
            return Some(value);
        }
        Some(Expr {
            ty: value.ty.clone(),
            span: value.span,
            kind: ExprKind::Block {
                body,
                value: Box::new(value),
            },
        })
    }

    /// A compiler-made scratch variable, zero at first.
    pub fn new_local(&mut self, ty: Type) -> LocalId {
        let name = format!(".{}", self.locals.len());
        self.add_local(name, ty)
    }

    pub(super) fn add_local(&mut self, name: String, ty: Type) -> LocalId {
        self.locals.push(ir::Local { name, ty });
        LocalId(self.locals.len() as u32 - 1)
    }

    /// Reads a scratch variable.
    #[must_use]
    pub fn local(&self, id: LocalId, span: Span) -> Expr {
        Expr {
            kind: ExprKind::Local(id),
            ty: self.locals[id.index()].ty.clone(),
            span,
        }
    }

    /// Where a scratch variable lies, taken for a `to`.
    #[must_use]
    pub fn local_address(&self, id: LocalId, to: Type, span: Span) -> Expr {
        Expr {
            kind: ExprKind::LocalAddress(id),
            ty: Type::Pointer {
                to: Box::new(to),
                space: ir::Space::Kernel,
            },
            span,
        }
    }

    /// Puts a value into memory: the address of its copy.
    pub fn in_memory(&mut self, value: Expr) -> Expr {
        let (ty, span) = (value.ty.clone(), value.span);
        let local = self.new_local(ty.clone());
        self.push(StmtKind::SetLocal { local, value }, span);
        self.local_address(local, ty, span)
    }

    /// Evaluates once: the value goes to a scratch variable, which the result reads.
    pub fn once(&mut self, value: Expr) -> Expr {
        if matches!(value.kind, ExprKind::Integer(_) | ExprKind::String(_)) {
            return value;
        }
        let span = value.span;
        let local = self.new_local(value.ty.clone());
        self.push(StmtKind::SetLocal { local, value }, span);
        self.local(local, span)
    }

    /// A ring buffer record's shape.
    pub fn record(&mut self, kind: abi::RecordKind, fields: Vec<Type>, span: Span) -> RecordId {
        let record = ir::Record { kind, fields, span };
        if let Some(at) = self.records.iter().position(|r| *r == record) {
            return RecordId(at as u32);
        }
        self.records.push(record);
        RecordId(self.records.len() as u32 - 1)
    }

    /// Sends a record of `values` here; the call's own value is Void.
    pub fn emit(&mut self, kind: abi::RecordKind, values: Vec<Expr>, span: Span) -> Expr {
        let fields: Vec<_> = values.iter().map(|v| v.ty.clone()).collect();
        if let abi::Attach::Iter { pin: Some(_), .. } = self.probe.attach
            && let Some(message) = iter::refused_when_pinned(&kind, &fields)
        {
            self.report(Diagnostic::error(Code::WrongProbe, span, message));
        }
        let record = self.record(kind, fields, span);
        self.push(StmtKind::Emit { record, values }, span);
        self.void(span)
    }

    // -- conversions ------------------------------------------------------------------------------------------------

    /// Changes the type without asking whether that makes sense (see [`ExprKind::Convert`]); folds constants.
    #[must_use]
    pub fn convert(&self, value: Expr, ty: Type) -> Expr {
        super::convert::convert(value, ty)
    }

    /// An integer, bool, enum or pointer as an Int of 64 bits with its own signedness; else a diagnostic that
    /// names `what` ("the 2nd argument of `lhist`").
    pub fn int64(&mut self, value: Expr, what: &str) -> Option<Expr> {
        match self.integer_type(&value.ty) {
            Some(ty) => Some(self.convert(value, Type::Int(ty))),
            None => {
                let found = self.type_name(&value.ty);
                self.error(
                    Code::ArgumentType,
                    value.span,
                    format!("expected an integer for {what}, found `{found}`"),
                )
            }
        }
    }

    /// The integer of 64 bits that a value of this type becomes, where it is a number of some kind.
    #[must_use]
    pub fn integer_type(&self, ty: &Type) -> Option<IntType> {
        super::convert::int64_type(ty, &self.types)
    }

    /// Anything that has a truth as Bool; strings are true when not empty.
    pub fn truth(&mut self, value: Expr) -> Option<Expr> {
        super::convert::truth(self, value)
    }

    /// Refuses types that no value has: what a variable, a map, a tuple or a printed record could not hold.
    pub fn can_hold(&mut self, ty: &Type, span: Span) -> Option<()> {
        self.types.load_whole(ty, self.host);
        match ty {
            Type::Void => self.error(Code::TypeMismatch, span, "expected a value, found `void`"),
            Type::CRecord(id) if !self.types.types.record(*id).loaded => {
                let name = self.type_name(ty);
                let message = format!("the members of `{name}` are not known here");
                self.error(Code::UnknownType, span, message)
            }
            Type::Array { count: 0, .. } => {
                let name = self.type_name(ty);
                let message = format!("`{name}` has no elements: say how many");
                self.error(Code::InvalidOperand, span, message)
            }
            Type::Float { .. } => self.can_read(ty, span),
            Type::Array { .. } | Type::CRecord(_) => {
                self.can_read(ty, span)?;
                let (parts, bytes) = (self.types.parts(ty), self.types.size(ty));
                if parts <= MOST_PARTS && bytes <= MOST_BYTES {
                    return Some(());
                }
                let name = self.type_name(ty);
                let (has, most) = match bytes > MOST_BYTES {
                    true => (format!("{bytes} bytes"), format!("{MOST_BYTES} bytes")),
                    false => (format!("{parts} members"), format!("{MOST_PARTS} members")),
                };
                let message =
                    format!("a value of type `{name}` has {has}, more than can be copied");
                self.report(
                    Diagnostic::error(Code::ValueTooLarge, span, message).with_help(format!(
                        "at most {most} are copied; read what is needed by itself"
                    )),
                );
                None
            }
            Type::Tuple(parts) => parts.iter().try_for_each(|part| self.can_hold(part, span)),
            Type::Record(parts) => {
                (parts.iter()).try_for_each(|(_, part)| self.can_hold(part, span))
            }
            _ => Some(()),
        }
    }

    /// Whether a value of the type lies as btc lays it out, not as C does.
    #[must_use]
    pub fn is_repacked(&self, ty: &Type) -> bool {
        self.types.types.holds_repacked(ty)
    }

    /// Bytes of a value in memory.
    #[must_use]
    pub fn size_of_value(&self, ty: &Type) -> u32 {
        self.types.size(ty)
    }

    // -- parameters -------------------------------------------------------------------------------------------------

    /// Notes that `$n` is used as `ty`; used as number and as text it takes anything.
    pub fn positional(&mut self, index: u32, ty: abi::ParameterType) {
        let at = (index.max(1) - 1) as usize;
        if self.positional.len() <= at {
            self.positional.resize(at + 1, None);
        }
        let known = &mut self.positional[at];
        *known = match known.take() {
            Some(before) if before != ty => Some(abi::ParameterType::Any),
            _ => Some(ty),
        };
    }

    /// A getopt parameter; asked for twice it must be the same. Its index in the manifest.
    pub fn named(&mut self, parameter: abi::Parameter, span: Span) -> Option<u32> {
        if let Some(at) = self.named.iter().position(|p| p.name == parameter.name) {
            if self.named[at].ty != parameter.ty {
                let name = &parameter.name;
                return self.error(
                    Code::DuplicateName,
                    span,
                    format!("`{name}` is a parameter already, with another type or default"),
                );
            }
            return Some(at as u32);
        }
        self.named.push(parameter);
        Some(self.named.len() as u32 - 1)
    }
}
