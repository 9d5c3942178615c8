//! Maps: one key type and one value type over all probes.

use btc_abi as abi;

use super::convert;
use super::lowering::Lowering;
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::{Aggregation, Expr, ExprKind, IntType, MapId, Type};
use crate::source::Span;
use crate::syntax::ast;

/// Bytes that a key may have: room for a few of the longest strings. It is made in scratch memory; kernels before 5.11
/// take less, which the runtime says.
const MAX_KEY_BYTES: u32 = 256 << 10;

/// What is known of a map after all walks so far.
pub(super) struct MapState {
    pub name: String,
    /// `None`: not used with or without a key yet. `Some(None)`: no key.
    pub key: Option<Option<Type>>,
    key_constant: bool,
    key_span: Span,
    pub value: Option<Type>,
    value_constant: bool,
    value_span: Span,
    /// Something that is an error itself was assigned: keep silent about what follows from it.
    pub poisoned: bool,
    pub declared: Option<(abi::MapKind, u32)>,
    pub span: Span,
}

#[derive(Default)]
pub(super) struct MapTable {
    pub list: Vec<MapState>,
    pub changed: bool,
}

/// A map, or one of its elements, as an argument.
#[derive(Clone, Debug)]
pub struct MapArgument {
    pub map: MapId,
    /// The element's key, converted to the map's key type.
    pub key: Option<Expr>,
    pub span: Span,
}

impl Lowering<'_> {
    /// The map of a name, made on its first mention.
    pub fn map(&mut self, name: &str, span: Span) -> MapId {
        if let Some(at) = self.maps.list.iter().position(|m| m.name == name) {
            return MapId(at as u32);
        }
        self.maps.changed = true;
        self.maps.list.push(MapState {
            name: name.to_owned(),
            key: None,
            key_constant: true,
            key_span: span,
            value: None,
            value_constant: true,
            value_span: span,
            poisoned: false,
            declared: None,
            span,
        });
        MapId(self.maps.list.len() as u32 - 1)
    }

    /// `@name`, for messages.
    #[must_use]
    pub fn map_name(&self, map: MapId) -> String {
        format!("@{}", self.maps.list[map.index()].name)
    }

    /// The type of a map's values; `None` (reported) where nothing was ever assigned.
    pub fn map_value(&mut self, map: MapId, span: Span) -> Option<Type> {
        let state = &self.maps.list[map.index()];
        if let Some(ty) = &state.value {
            return Some(ty.clone());
        }
        if state.poisoned {
            return None;
        }
        let name = self.map_name(map);
        self.error(
            Code::UnsetMap,
            span,
            format!("`{name}` is read but never assigned"),
        )
    }

    /// The type of a map's keys, where it has keys.
    #[must_use]
    pub fn map_key_type(&self, map: MapId) -> Option<Type> {
        self.maps.list[map.index()].key.clone().flatten()
    }

    /// Whether the map is used without keys.
    #[must_use]
    pub fn map_is_scalar(&self, map: MapId) -> bool {
        matches!(self.maps.list[map.index()].key, Some(None))
    }

    /// `@m` or `@m[k]` as a function's argument; anything else is a diagnostic that names `what`. The key's type is
    /// checked and learnt.
    pub fn map_argument(&mut self, argument: &ast::Expr, what: &str) -> Option<MapArgument> {
        let ast::ExprKind::Map { name, key } = &argument.kind else {
            if argument.kind == ast::ExprKind::Error {
                return None;
            }
            return self.error(
                Code::ArgumentType,
                argument.span,
                format!("expected a map for {what}"),
            );
        };
        let map = self.map(name, argument.span);
        let key = match key {
            Some(parts) => self.map_key(map, Some(parts), argument.span)?,
            None => None,
        };
        Some(MapArgument {
            map,
            key,
            span: argument.span,
        })
    }

    /// Lowers a key and converts it to the map's key type, which may grow by it. `None` parts: the map is used
    /// without a key.
    pub fn map_key(
        &mut self,
        map: MapId,
        parts: Option<&[ast::Expr]>,
        span: Span,
    ) -> Option<Option<Expr>> {
        let key = match parts {
            None => None,
            Some([one]) => Some(self.expr(one)?),
            Some(parts) => {
                let parts = self.in_order(parts, |l, part| l.expr(part));
                let parts = parts.into_iter().collect::<Option<Vec<_>>>()?;
                Some(super::expr::tuple(parts, span))
            }
        };
        self.key_of(map, key, span)
    }

    /// As [`Lowering::map_key`] for a key that is lowered already.
    pub fn key_of(&mut self, map: MapId, key: Option<Expr>, span: Span) -> Option<Option<Expr>> {
        let Some(key) = key else {
            return self.without_key(map, span);
        };
        let key = self.key_value(key)?;
        let state = &self.maps.list[map.index()];
        let name = format!("@{}", state.name);
        let ty = match &state.key {
            None => convert::widen(&key.ty),
            Some(None) => {
                let first = state.key_span;
                self.report(
                    Diagnostic::error(
                        Code::TypeMismatch,
                        span,
                        format!("`{name}` is used with a key here, and without one elsewhere"),
                    )
                    .with_label(first, "without a key"),
                );
                return None;
            }
            Some(Some(known)) => {
                match convert::unify_numbers(known, state.key_constant, &key, &self.types) {
                    Some(ty) => convert::widen(&ty),
                    None => {
                        let (found, expected) = (self.type_name(&key.ty), self.type_name(known));
                        let first = self.maps.list[map.index()].key_span;
                        self.report(
                            Diagnostic::error(
                                Code::TypeMismatch,
                                key.span,
                                format!("expected a key of type `{expected}` for `{name}`, found `{found}`"),
                            )
                            .with_label(first, "the key's type comes from here"),
                        );
                        return None;
                    }
                }
            }
        };
        let size = self.types.size(&ty);
        if size > MAX_KEY_BYTES {
            return self.error(
                Code::KeyTooLarge,
                key.span,
                format!("the key of `{name}` has {size} bytes, more than {MAX_KEY_BYTES}"),
            );
        }
        let constant = convert::is_nonnegative_constant(&key);
        let state = &mut self.maps.list[map.index()];
        if state.key.is_none() {
            state.key_span = key.span;
        }
        let made = Some(Some(ty.clone()));
        if state.key != made || (state.key_constant && !constant) {
            state.key = made;
            state.key_constant &= constant;
            self.maps.changed = true;
        }
        Some(Some(self.convert(key, ty)))
    }

    /// Refuses what no key can be.
    fn key_value(&mut self, key: Expr) -> Option<Expr> {
        if key.ty != Type::Void {
            self.can_hold(&key.ty, key.span)?;
        }
        let refused = match &key.ty {
            Type::Void => true,
            Type::Tuple(parts) => parts.contains(&Type::Void),
            _ => false,
        };
        if refused {
            return self.error(
                Code::TypeMismatch,
                key.span,
                "a key must have a value, found `void`",
            );
        }
        Some(key)
    }

    fn without_key(&mut self, map: MapId, span: Span) -> Option<Option<Expr>> {
        let state = &mut self.maps.list[map.index()];
        match &state.key {
            None => {
                state.key = Some(None);
                state.key_span = span;
                self.maps.changed = true;
                Some(None)
            }
            Some(None) => Some(None),
            Some(Some(_)) => {
                let (name, first) = (state.name.clone(), state.key_span);
                self.report(
                    Diagnostic::error(
                        Code::TypeMismatch,
                        span,
                        format!("`@{name}` is used without a key here, and with one elsewhere"),
                    )
                    .with_label(first, "with a key"),
                );
                None
            }
        }
    }

    /// Notes an assigned value; the map's value type, which may grow by it.
    pub(super) fn map_assigned(&mut self, map: MapId, value: &Expr, span: Span) -> Option<Type> {
        let state = &self.maps.list[map.index()];
        let ty = match &state.value {
            None => Some(convert::widen(&value.ty)),
            Some(Type::Aggregation(_)) => None,
            Some(known) => convert::unify_numbers(known, state.value_constant, value, &self.types)
                .map(|t| convert::widen(&t)),
        };
        let Some(ty) = ty else {
            self.value_mismatch(map, &value.ty, span);
            return None;
        };
        let constant = convert::is_nonnegative_constant(value);
        self.learn_value(map, ty.clone(), constant, span);
        Some(ty)
    }

    fn learn_value(&mut self, map: MapId, ty: Type, constant: bool, span: Span) {
        let state = &mut self.maps.list[map.index()];
        if state.value.is_none() {
            state.value_span = span;
        }
        if state.value.as_ref() != Some(&ty) || (state.value_constant && !constant) {
            state.value = Some(ty);
            state.value_constant &= constant;
            self.maps.changed = true;
        }
    }

    fn value_mismatch(&mut self, map: MapId, found: &Type, span: Span) {
        let state = &self.maps.list[map.index()];
        let Some(known) = state.value.clone() else {
            return;
        };
        let (name, first) = (state.name.clone(), state.value_span);
        let aggregation =
            matches!(known, Type::Aggregation(_)) || matches!(found, Type::Aggregation(_));
        let code = if aggregation {
            Code::AggregationMisuse
        } else {
            Code::TypeMismatch
        };
        let (known, found) = (self.type_name(&known), self.type_name(found));
        let message = match known == found {
            true => format!("`@{name}` is a `{known}` with other arguments elsewhere"),
            false => format!("expected a value of type `{known}` for `@{name}`, found `{found}`"),
        };
        self.report(
            Diagnostic::error(code, span, message)
                .with_label(first, "the value's type comes from here"),
        );
    }

    /// Notes an aggregation; signed and unsigned ones of a kind become signed.
    pub(super) fn map_aggregated(
        &mut self,
        map: MapId,
        of: Aggregation,
        span: Span,
    ) -> Option<Aggregation> {
        let ty = match &self.maps.list[map.index()].value {
            None => Some(of.clone()),
            Some(Type::Aggregation(known)) => unify_aggregation(known, &of),
            Some(_) => None,
        };
        let Some(merged) = ty else {
            self.value_mismatch(map, &Type::Aggregation(of), span);
            return None;
        };
        self.learn_value(map, Type::Aggregation(merged.clone()), false, span);
        Some(merged)
    }

    /// Says nothing more about a map whose assigned value was an error.
    pub(super) fn poison_map(&mut self, map: MapId) {
        let state = &mut self.maps.list[map.index()];
        if !state.poisoned {
            state.poisoned = true;
            self.maps.changed = true;
        }
    }

    /// Reads `@m` or `@m[key]` (the key converted already): an aggregation by its integer reading.
    pub fn map_get(&mut self, map: MapId, key: Option<Expr>, span: Span) -> Option<Expr> {
        let ty = match self.map_value(map, span)? {
            Type::Aggregation(of) => match reading(&of) {
                Some(int) => Type::Int(int),
                None => {
                    let name = self.map_name(map);
                    let found = super::types::aggregation_name(&of);
                    return self.error(
                        Code::AggregationMisuse,
                        span,
                        format!("`{name}` holds `{found}`, which has no single value to read"),
                    );
                }
            },
            ty => ty,
        };
        Some(Expr {
            kind: ExprKind::MapGet {
                map,
                key: key.map(Box::new),
            },
            ty,
            span,
        })
    }
}

/// The integer that an aggregation reads as.
pub(super) fn reading(of: &Aggregation) -> Option<IntType> {
    match of {
        Aggregation::Count => Some(IntType::I64),
        Aggregation::Sum { signed }
        | Aggregation::Min { signed }
        | Aggregation::Max { signed }
        | Aggregation::Avg { signed } => Some(IntType {
            bits: 64,
            signed: *signed,
        }),
        Aggregation::Stats { .. }
        | Aggregation::Hist { .. }
        | Aggregation::Lhist { .. }
        | Aggregation::Tseries(_) => None,
    }
}

/// What a loop over a map of aggregations has as an element's value: of stats their parts, of histograms the number of
/// values that they took in.
pub(super) fn element_reading(of: &Aggregation) -> Type {
    if let Some(int) = reading(of) {
        return Type::Int(int);
    }
    let Aggregation::Stats { signed } = of else {
        return Type::Int(IntType::I64);
    };
    let value = Type::Int(IntType {
        bits: 64,
        signed: *signed,
    });
    Type::Record(vec![
        ("count".to_owned(), Type::Int(IntType::I64)),
        ("average".to_owned(), value.clone()),
        ("total".to_owned(), value),
    ])
}

fn unify_aggregation(a: &Aggregation, b: &Aggregation) -> Option<Aggregation> {
    use Aggregation as A;
    if a == b {
        return Some(a.clone());
    }
    match (a, b) {
        (A::Sum { .. }, A::Sum { .. }) => Some(A::Sum { signed: true }),
        (A::Min { .. }, A::Min { .. }) => Some(A::Min { signed: true }),
        (A::Max { .. }, A::Max { .. }) => Some(A::Max { signed: true }),
        (A::Avg { .. }, A::Avg { .. }) => Some(A::Avg { signed: true }),
        (A::Stats { .. }, A::Stats { .. }) => Some(A::Stats { signed: true }),
        (A::Tseries(a), A::Tseries(b)) => {
            let made = |of: &abi::Series| abi::Series {
                signed: true,
                ..of.clone()
            };
            (made(a) == made(b)).then(|| A::Tseries(made(a)))
        }
        _ => None,
    }
}

/// The kind of BPF map that holds these values.
pub(super) fn kind(state: &MapState, value: &Type) -> abi::MapKind {
    let aggregation = matches!(value, Type::Aggregation(_));
    // What is declared and never used is a map with keys.
    let keyed = match &state.key {
        Some(key) => key.is_some(),
        None => state.declared.is_some(),
    };
    if let (Some((kind, _)), true) = (&state.declared, keyed) {
        // What is counted on one CPU another one must not count away.
        return match kind {
            abi::MapKind::Hash if aggregation => abi::MapKind::PerCpuHash,
            abi::MapKind::LruHash if aggregation => abi::MapKind::LruPerCpuHash,
            kind => kind.clone(),
        };
    }
    match (keyed, aggregation) {
        (false, false) => abi::MapKind::Array,
        (false, true) => abi::MapKind::PerCpuArray,
        (true, false) => abi::MapKind::Hash,
        (true, true) => abi::MapKind::PerCpuHash,
    }
}

impl MapTable {
    /// Maps that nothing but themselves is assigned to (`@n = @n + 1`) hold integers. Whether there are any.
    pub(super) fn settle(&mut self) -> bool {
        let mut any = false;
        for state in &mut self.list {
            if state.poisoned && state.value.is_none() {
                state.value = Some(Type::Int(IntType::I64));
                state.poisoned = false;
                any = true;
            }
        }
        any
    }

    /// Takes in `let @m = kind(size)`.
    pub(super) fn declare(&mut self, declared: Vec<(ast::Name, abi::MapKind, u32)>) {
        for (name, kind, size) in declared {
            self.list.push(MapState {
                name: name.text,
                key: None,
                key_constant: true,
                key_span: name.span,
                value: None,
                value_constant: true,
                value_span: name.span,
                poisoned: false,
                declared: Some((kind, size)),
                span: name.span,
            });
        }
    }
}
