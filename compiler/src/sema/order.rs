//! Parts of an expression keep the order that they are written in: what a later part changes was read before.
//!
//! What a part does besides its value (`$c++`, a block, a function's body) stands as statements in front of the whole
//! expression, and the values of all parts are taken after those. A part that the statements of a later one change is therefore
//! kept in a scratch variable in front of them.

use std::collections::BTreeSet;

use super::lowering::Lowering;
use crate::ir::visit::{self, Node};
use crate::ir::{Expr, ExprKind, LocalId, MapId, Stmt, StmtKind, Type};

impl Lowering<'_> {
    /// Lowers one part after the other.
    pub fn in_order<T>(
        &mut self,
        parts: impl IntoIterator<Item = T>,
        mut lower: impl FnMut(&mut Self, T) -> Option<Expr>,
    ) -> Vec<Option<Expr>> {
        let mut lowered: Vec<Option<Expr>> = vec![];
        for part in parts {
            let before = self.written();
            let part = lower(self, part);
            self.keep(&mut lowered, before, part.as_ref());
            lowered.push(part);
        }
        lowered
    }

    /// Lowers what stands behind a part.
    pub fn behind<T>(&mut self, part: &mut Option<Expr>, lower: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.written();
        let lowered = lower(self);
        self.keep(std::slice::from_mut(part), before, None);
        lowered
    }

    /// How many statements stand in front of the expression so far.
    fn written(&self) -> usize {
        self.blocks.last().map_or(0, Vec::len)
    }

    /// Keeps the values of `earlier` parts that a later one changes by its statements, which are those from `from` on, or
    /// within its value.
    fn keep(&mut self, earlier: &mut [Option<Expr>], from: usize, later: Option<&Expr>) {
        let Some(statements) = self.blocks.last().and_then(|block| block.get(from..)) else {
            return;
        };
        let mut after = Effects::of_statements(statements);
        if let Some(later) = later {
            after.changes.extend(Effects::of(later).changes);
        }
        if statements.is_empty() && after.changes.is_empty() {
            return;
        }
        let before: Vec<_> = earlier
            .iter()
            .map(|e| e.as_ref().map(Effects::of))
            .collect();
        let meets = |e: &Option<Effects>| e.as_ref().is_some_and(|e| e.meets(&after));
        let Some(last) = before.iter().rposition(meets) else {
            return;
        };
        let mut at = from;
        // A part that changes something goes with those behind it.
        for (part, effects) in earlier.iter_mut().zip(&before).take(last + 1) {
            let changes = effects.as_ref().is_some_and(|e| !e.changes.is_empty());
            let Some(value) =
                part.take_if(|part| (changes || meets(effects)) && part.ty != Type::Void)
            else {
                continue;
            };
            let span = value.span;
            let local = self.new_local(value.ty.clone());
            *part = Some(self.local(local, span));
            let kind = StmtKind::SetLocal { local, value };
            if let Some(block) = self.blocks.last_mut() {
                block.insert(at, Stmt { kind, span });
                at += 1;
            }
        }
    }
}

/// What can change between two parts of an expression.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Thing {
    Local(LocalId),
    Map(MapId),
    Output,
    /// What C functions may use: memory, their maps.
    Foreign,
}

/// What is read and what is changed.
#[derive(Default)]
struct Effects {
    reads: BTreeSet<Thing>,
    changes: BTreeSet<Thing>,
}

impl Effects {
    fn of(expr: &Expr) -> Self {
        let mut effects = Self::default();
        visit::expression(expr, &mut |node| effects.add(&node));
        effects
    }

    fn of_statements(body: &[Stmt]) -> Self {
        let mut effects = Self::default();
        visit::statements(body, &mut |node| effects.add(&node));
        effects
    }

    /// Whether it matters that `after` comes after this.
    fn meets(&self, after: &Self) -> bool {
        let mut mine = self.reads.union(&self.changes);
        mine.any(|thing| after.changes.contains(thing)) || !self.changes.is_disjoint(&after.reads)
    }

    fn add(&mut self, node: &Node) {
        match node {
            Node::Stmt(stmt) => match &stmt.kind {
                StmtKind::SetLocal { local, .. } => self.change(Thing::Local(*local)),
                StmtKind::MapSet { map, .. } | StmtKind::Aggregate { map, .. } => {
                    self.change(Thing::Map(*map));
                }
                StmtKind::ForMap { variable, map, .. } => {
                    self.change(Thing::Local(*variable));
                    self.read(Thing::Map(*map));
                }
                StmtKind::ForRange { variable, .. } => self.change(Thing::Local(*variable)),
                StmtKind::Emit { .. } => self.change(Thing::Output),
                _ => {}
            },
            Node::Expr(expr) => match &expr.kind {
                ExprKind::Local(local) => self.read(Thing::Local(*local)),
                // Who has an address may write there.
                ExprKind::LocalAddress(local) => self.change(Thing::Local(*local)),
                ExprKind::MapGet { map, .. }
                | ExprKind::MapHas { map, .. }
                | ExprKind::MapFind { map, .. }
                | ExprKind::MapLen { map } => self.read(Thing::Map(*map)),
                ExprKind::ElementAddress { map, .. }
                | ExprKind::MapAddress(map)
                | ExprKind::MapDelete { map, .. }
                | ExprKind::MapStep { map, .. } => self.change(Thing::Map(*map)),
                ExprKind::Foreign { .. } => self.change(Thing::Foreign),
                ExprKind::SendPacket { .. } => self.change(Thing::Output),
                _ => {}
            },
            Node::Steps(_) => {}
        }
    }

    fn read(&mut self, thing: Thing) {
        self.reads.insert(thing);
    }

    fn change(&mut self, thing: Thing) {
        self.changes.insert(thing);
    }
}
