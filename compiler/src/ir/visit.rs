//! Walks the typed tree: every expression, statement and list of steps of a program, in order.

use std::collections::BTreeSet;

use crate::ir::{
    AggregateUpdate, Expr, ExprKind, MapId, Place, Program, Step, Stmt, StmtKind, Walk,
};

/// What a walk meets, before its parts.
pub enum Node<'n> {
    Expr(&'n Expr),
    Stmt(&'n Stmt),
    Steps(&'n [Step]),
}

/// Visits all of a program.
pub fn program<'n>(program: &'n Program, visit: &mut dyn FnMut(Node<'n>)) {
    for probe in &program.probes {
        statements(&probe.body, visit);
    }
}

/// Visits statements and all they hold.
pub fn statements<'n>(body: &'n [Stmt], visit: &mut dyn FnMut(Node<'n>)) {
    for stmt in body {
        statement(stmt, visit);
    }
}

/// The maps that statements name.
#[must_use]
pub fn maps(body: &[Stmt]) -> BTreeSet<MapId> {
    let mut found = BTreeSet::new();
    statements(body, &mut |node| {
        let map = match node {
            Node::Stmt(stmt) => match &stmt.kind {
                StmtKind::MapSet { map, .. }
                | StmtKind::Aggregate { map, .. }
                | StmtKind::ForMap { map, .. } => map,
                _ => return,
            },
            Node::Expr(expr) => match &expr.kind {
                ExprKind::MapGet { map, .. }
                | ExprKind::MapHas { map, .. }
                | ExprKind::MapFind { map, .. }
                | ExprKind::MapLen { map }
                | ExprKind::ElementAddress { map, .. }
                | ExprKind::MapAddress(map)
                | ExprKind::MapDelete { map, .. }
                | ExprKind::MapStep { map, .. } => map,
                _ => return,
            },
            Node::Steps(_) => return,
        };
        found.insert(*map);
    });
    found
}

fn statement<'n>(stmt: &'n Stmt, visit: &mut dyn FnMut(Node<'n>)) {
    visit(Node::Stmt(stmt));
    match &stmt.kind {
        StmtKind::SetLocal { value, .. } => expression(value, visit),
        StmtKind::MapSet { key, value, .. } => {
            optional(key.as_ref(), visit);
            expression(value, visit);
        }
        StmtKind::Aggregate { key, update, .. } => {
            optional(key.as_ref(), visit);
            match update {
                AggregateUpdate::Count => {}
                AggregateUpdate::Sum(value)
                | AggregateUpdate::Min(value)
                | AggregateUpdate::Max(value)
                | AggregateUpdate::Avg(value)
                | AggregateUpdate::Stats(value)
                | AggregateUpdate::Hist { value, .. }
                | AggregateUpdate::Lhist { value, .. }
                | AggregateUpdate::Tseries { value, .. } => expression(value, visit),
            }
        }
        StmtKind::Emit { values, .. } => values.iter().for_each(|v| expression(v, visit)),
        StmtKind::Eval(value) => expression(value, visit),
        StmtKind::If {
            condition,
            then,
            otherwise,
        } => {
            expression(condition, visit);
            statements(then, visit);
            statements(otherwise, visit);
        }
        StmtKind::While { condition, body } => {
            expression(condition, visit);
            statements(body, visit);
        }
        StmtKind::Unroll { body, .. }
        | StmtKind::ForMap { body, .. }
        | StmtKind::Scope { body, .. } => statements(body, visit),
        StmtKind::ForRange {
            start, end, body, ..
        } => {
            expression(start, visit);
            expression(end, visit);
            statements(body, visit);
        }
        StmtKind::Break | StmtKind::Continue | StmtKind::Return | StmtKind::Leave(_) => {}
    }
}

/// Visits the statement lists that a statement holds, those in its expressions too; not what those hold.
pub fn children<'n>(stmt: &'n Stmt, visit: &mut dyn FnMut(&'n [Stmt])) {
    match &stmt.kind {
        StmtKind::If {
            then, otherwise, ..
        } => {
            visit(then);
            visit(otherwise);
        }
        StmtKind::While { body, .. }
        | StmtKind::Unroll { body, .. }
        | StmtKind::ForRange { body, .. }
        | StmtKind::ForMap { body, .. }
        | StmtKind::Scope { body, .. } => visit(body),
        _ => {}
    }
    own_expressions(stmt, &mut |node| {
        if let Node::Expr(Expr {
            kind: ExprKind::Block { body, .. },
            ..
        }) = node
        {
            visit(body);
        }
    });
}

/// Visits the expressions of a statement, but not its statements.
fn own_expressions<'n>(stmt: &'n Stmt, visit: &mut dyn FnMut(Node<'n>)) {
    match &stmt.kind {
        StmtKind::If { condition, .. } | StmtKind::While { condition, .. } => {
            expression(condition, visit);
        }
        StmtKind::ForRange { start, end, .. } => {
            expression(start, visit);
            expression(end, visit);
        }
        StmtKind::Unroll { .. }
        | StmtKind::ForMap { .. }
        | StmtKind::Scope { .. }
        | StmtKind::Break
        | StmtKind::Continue
        | StmtKind::Return
        | StmtKind::Leave(_) => {}
        StmtKind::SetLocal { .. }
        | StmtKind::MapSet { .. }
        | StmtKind::Aggregate { .. }
        | StmtKind::Emit { .. }
        | StmtKind::Eval(_) => statement(stmt, visit),
    }
}

fn optional<'n>(expr: Option<&'n Expr>, visit: &mut dyn FnMut(Node<'n>)) {
    if let Some(expr) = expr {
        expression(expr, visit);
    }
}

fn steps<'n>(list: &'n [Step], visit: &mut dyn FnMut(Node<'n>)) {
    visit(Node::Steps(list));
    for step in list {
        if let Step::Index { index, .. } = step {
            expression(index, visit);
        }
    }
}

fn place<'n>(place: &'n Place, visit: &mut dyn FnMut(Node<'n>)) {
    expression(&place.base, visit);
    steps(&place.steps, visit);
}

/// Visits an expression and all it holds.
pub fn expression<'n>(expr: &'n Expr, visit: &mut dyn FnMut(Node<'n>)) {
    visit(Node::Expr(expr));
    match &expr.kind {
        ExprKind::Integer(_)
        | ExprKind::EnumValue { .. }
        | ExprKind::String(_)
        | ExprKind::Local(_)
        | ExprKind::Target(_)
        | ExprKind::Context(_)
        | ExprKind::Stack(Walk::Kernel)
        | ExprKind::MapLen { .. }
        | ExprKind::LocalAddress(_)
        | ExprKind::MapAddress(_)
        | ExprKind::TypeSize(_) => {}
        ExprKind::Helper { arguments, .. } | ExprKind::Foreign { arguments, .. } => {
            arguments.iter().for_each(|a| expression(a, visit))
        }
        ExprKind::Stack(Walk::Tables { stack, .. }) => expression(stack, visit),
        ExprKind::Unary { operand, .. } => expression(operand, visit),
        ExprKind::Binary { left, right, .. }
        | ExprKind::Logical { left, right, .. }
        | ExprKind::Equal { left, right, .. }
        | ExprKind::Concat { left, right }
        | ExprKind::Find {
            haystack: left,
            needle: right,
        } => {
            expression(left, visit);
            expression(right, visit);
        }
        ExprKind::Select {
            condition,
            then,
            otherwise,
        } => {
            expression(condition, visit);
            expression(then, visit);
            expression(otherwise, visit);
        }
        ExprKind::Convert(of)
        | ExprKind::StringLength(of)
        | ExprKind::StackLength(of)
        | ExprKind::ByteSwap(of)
        | ExprKind::UserSymbol { address: of }
        | ExprKind::ObjectPath { of }
        | ExprKind::Inet { source: of } => expression(of, visit),
        ExprKind::SendPacket {
            packet,
            length,
            values,
            ..
        } => {
            expression(packet, visit);
            expression(length, visit);
            values.iter().for_each(|v| expression(v, visit));
        }
        ExprKind::Load(at) | ExprKind::Address(at) => place(at, visit),
        ExprKind::Part { of, steps: list } => {
            expression(of, visit);
            steps(list, visit);
        }
        ExprKind::Tuple(items) => items.iter().for_each(|i| expression(i, visit)),
        ExprKind::Compare {
            left, right, count, ..
        } => {
            expression(left, visit);
            expression(right, visit);
            optional(count.as_deref(), visit);
        }
        ExprKind::ReadString {
            address, length, ..
        } => {
            expression(address, visit);
            optional(length.as_deref(), visit);
        }
        ExprKind::ReadBuffer {
            address, length, ..
        } => {
            expression(address, visit);
            expression(length, visit);
        }
        ExprKind::Bytes { of, length } | ExprKind::Head { of, length } => {
            expression(of, visit);
            expression(length, visit);
        }
        ExprKind::MapGet { key, .. }
        | ExprKind::MapDelete { key, .. }
        | ExprKind::ElementAddress { key, .. } => {
            optional(key.as_deref(), visit);
        }
        ExprKind::MapHas { key, .. } | ExprKind::MapFind { key, .. } => expression(key, visit),
        ExprKind::WriteUser { to, from } => {
            expression(to, visit);
            expression(from, visit);
        }
        ExprKind::MapStep { key, value, .. } => {
            optional(key.as_deref(), visit);
            expression(value, visit);
        }
        ExprKind::Block { body, value } => {
            statements(body, visit);
            expression(value, visit);
        }
        ExprKind::FieldOffset { steps: list, .. } | ExprKind::FieldExists { steps: list, .. } => {
            steps(list, visit);
        }
    }
}
