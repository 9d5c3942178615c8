//! Statements of the typed tree.

use btc_abi as abi;

use super::{Expr, LocalId, MapId, RecordId};
use crate::source::Span;

#[derive(Clone, Debug, PartialEq)]
pub struct Stmt {
    pub kind: StmtKind,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum StmtKind {
    SetLocal {
        local: LocalId,
        value: Expr,
    },
    MapSet {
        map: MapId,
        key: Option<Expr>,
        value: Expr,
    },
    Aggregate {
        map: MapId,
        key: Option<Expr>,
        update: AggregateUpdate,
    },
    /// Sends a ring buffer record; `values` match the record's fields.
    Emit {
        record: RecordId,
        values: Vec<Expr>,
    },
    /// For its effects.
    Eval(Expr),
    If {
        condition: Expr,
        then: Vec<Stmt>,
        otherwise: Vec<Stmt>,
    },
    While {
        condition: Expr,
        body: Vec<Stmt>,
    },
    /// `body` repeated; break and continue count copies as iterations.
    Unroll {
        count: u32,
        body: Vec<Stmt>,
    },
    /// `variable` runs from `start` up to and without `end` (both Int 64 signed).
    ForRange {
        variable: LocalId,
        start: Expr,
        end: Expr,
        body: Vec<Stmt>,
    },
    /// `variable` is a Tuple of key and value. For aggregations the value is their integer reading: the number of
    /// values of histograms, a Record of count, average and total of stats.
    ForMap {
        variable: LocalId,
        map: MapId,
        body: Vec<Stmt>,
    },
    Break,
    Continue,
    /// Ends the probe.
    Return,
    /// Statements that [`StmtKind::Leave`] ends from within, out of any loops between: a function's body. The same body
    /// has its number once.
    Scope {
        scope: u32,
        body: Vec<Stmt>,
    },
    Leave(u32),
}

/// What an aggregation takes in. Values are Ints of 64 bits with the aggregation's signedness (hist and lhist: signed).
#[derive(Clone, Debug, PartialEq)]
pub enum AggregateUpdate {
    Count,
    Sum(Expr),
    Min(Expr),
    Max(Expr),
    Avg(Expr),
    Stats(Expr),
    Hist {
        value: Expr,
        bits: abi::Number,
    },
    Lhist {
        value: Expr,
        min: abi::Number,
        max: abi::Number,
        step: abi::Number,
    },
    Tseries {
        value: Expr,
        series: abi::Series,
    },
}
