//! How often a loop may go around where the verifier walks every round: a few rounds on every kernel, and all that a
//! kernel without `bpf_loop` can be made to walk. Estimates by the typed tree; the kernel's own limits are a million
//! instructions and 8192 branches that wait to be walked.

use crate::ir::visit::{self, Node};
use crate::ir::{Expr, ExprKind, Stmt, StmtKind};

/// Constant ranges up to this many rounds are plain loops, if their bodies are small.
const PLAIN_ROUNDS: i64 = 64;
/// Nodes of the typed tree that plain loops within each other may come to.
const PLAIN_NODES: u64 = 4096;
/// The same for a program whose loops are all walked.
const WALKED_NODES: u64 = 40_000;
/// Branches that may wait.
const WAITING: u64 = 7500;
/// Rounds that loops are to have at least.
const FEWEST: u64 = 8;

/// The rounds of a range whose bounds are constants.
pub fn constant(start: &Expr, end: &Expr) -> Option<i64> {
    match (&start.kind, &end.kind) {
        (ExprKind::Integer(a), ExprKind::Integer(b)) => {
            Some((*b as i64).saturating_sub(*a as i64).max(0))
        }
        _ => None,
    }
}

/// Whether a range is a loop that every verifier walks.
pub fn is_plain(start: &Expr, end: &Expr, body: &[Stmt]) -> bool {
    constant(start, end).is_some_and(|rounds| {
        rounds <= PLAIN_ROUNDS
            && (rounds as u64).saturating_mul(cost(body, Constants::Cut).nodes) <= PLAIN_NODES
    })
}

/// Whether a statement is a loop that a callback makes where there is `bpf_loop`.
pub fn is_long(stmt: &Stmt) -> bool {
    match &stmt.kind {
        StmtKind::While { .. } => true,
        StmtKind::ForRange {
            start, end, body, ..
        } => !is_plain(start, end, body),
        _ => false,
    }
}

/// What the verifier has to do for statements, loops of constant rounds multiplied.
#[derive(Clone, Copy, Default)]
struct Cost {
    nodes: u64,
    /// Branches on a path through them that wait to be walked.
    branches: u64,
    /// Long loops within each other.
    depth: u32,
}

impl Cost {
    fn add(&mut self, other: Cost, times: u64) {
        self.nodes = (self.nodes).saturating_add(other.nodes.saturating_mul(times));
        self.branches = (self.branches).saturating_add(other.branches.saturating_mul(times));
        self.depth = self.depth.max(other.depth);
    }

    fn of_expr(expr: &Expr) -> Cost {
        let mut cost = Cost::default();
        visit::expression(expr, &mut |node| cost.note(&node));
        cost
    }

    fn note(&mut self, node: &Node) {
        self.nodes += 1;
        match node {
            Node::Expr(expr) => {
                self.branches += match &expr.kind {
                    ExprKind::Select { .. }
                    | ExprKind::Logical { .. }
                    | ExprKind::MapGet { .. }
                    | ExprKind::MapDelete { .. }
                    | ExprKind::Load(_)
                    | ExprKind::ReadString { .. } => 1,
                    ExprKind::MapStep { .. } | ExprKind::Stack(_) | ExprKind::Equal { .. } => 2,
                    _ => 0,
                };
            }
            // In blocks of an expression.
            Node::Stmt(stmt) => {
                self.branches += own_branches(stmt);
                self.depth += u32::from(is_loop(stmt));
            }
            Node::Steps(_) => {}
        }
    }
}

fn is_loop(stmt: &Stmt) -> bool {
    matches!(
        stmt.kind,
        StmtKind::While { .. } | StmtKind::ForRange { .. } | StmtKind::Unroll { .. }
    )
}

fn own_branches(stmt: &Stmt) -> u64 {
    match &stmt.kind {
        StmtKind::MapSet { .. } | StmtKind::If { .. } => 1,
        StmtKind::Aggregate { .. } | StmtKind::Emit { .. } => 2,
        StmtKind::While { .. } | StmtKind::ForRange { .. } => 1,
        _ => 0,
    }
}

/// How loops of constant rounds that aren't plain are taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Constants {
    /// As so many rounds.
    Whole,
    /// As any long loop.
    Cut,
}

fn cost(body: &[Stmt], constants: Constants) -> Cost {
    let mut all = Cost::default();
    for stmt in body {
        all.nodes += 1;
        all.branches += own_branches(stmt);
        match &stmt.kind {
            StmtKind::If {
                condition,
                then,
                otherwise,
            } => {
                all.add(Cost::of_expr(condition), 1);
                all.add(cost(then, constants), 1);
                all.add(cost(otherwise, constants), 1);
            }
            StmtKind::While { condition, body } => {
                let mut inside = cost(body, constants);
                inside.add(Cost::of_expr(condition), 1);
                inside.depth += 1;
                all.add(inside, 1);
            }
            StmtKind::Unroll { count, body } => all.add(cost(body, constants), u64::from(*count)),
            StmtKind::Scope { body, .. } | StmtKind::ForMap { body, .. } => {
                all.add(cost(body, constants), 1);
            }
            StmtKind::ForRange {
                start, end, body, ..
            } => {
                let mut inside = cost(body, constants);
                if constants == Constants::Whole {
                    // A loop without a body has its step.
                    inside.nodes = inside.nodes.max(1);
                }
                all.add(Cost::of_expr(start), 1);
                all.add(Cost::of_expr(end), 1);
                let whole = constants == Constants::Whole || is_plain(start, end, body);
                match constant(start, end).filter(|_| whole) {
                    Some(rounds) => all.add(inside, rounds as u64),
                    None => {
                        inside.depth += 1;
                        all.add(inside, 1);
                    }
                }
            }
            _ => {
                let mut own = Cost::default();
                visit::statements(std::slice::from_ref(stmt), &mut |node| {
                    if let Node::Expr(_) = node {
                        own.note(&node);
                    }
                });
                all.add(own, 1);
            }
        }
    }
    all
}

/// How often each loop of a nest may go around where all are walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    pub rounds: u32,
    /// Loops of constant rounds make them all.
    pub whole: bool,
}

/// The bound of a nest, which shares a program with `others`.
pub fn bound(outermost: &Stmt, others: u32) -> Bound {
    let nest = std::slice::from_ref(outermost);
    let share = u64::from(others.max(1));
    let rounds = |all: Cost| {
        let nodes = WALKED_NODES / share / all.nodes.max(1);
        let branches = WAITING / share / all.branches.max(1);
        let product = nodes.min(branches);
        let mut rounds = 0u64;
        while (rounds + 1)
            .checked_pow(all.depth.max(1))
            .is_some_and(|all| all <= product)
        {
            rounds += 1;
        }
        rounds
    };
    let whole = cost(nest, Constants::Whole);
    let least = if whole.depth == 0 { 1 } else { FEWEST };
    let whole = rounds(whole);
    let cut = || rounds(cost(nest, Constants::Cut)).max(FEWEST);
    Bound {
        rounds: (if whole >= least { whole } else { cut() }) as u32,
        whole: whole >= least,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{IntType, LocalId, Type};
    use crate::source::Span;

    fn number(value: u64) -> Expr {
        Expr {
            kind: ExprKind::Integer(value),
            ty: Type::Int(IntType::I64),
            span: Span::default(),
        }
    }

    fn range(end: Expr, body: Vec<Stmt>) -> Stmt {
        Stmt {
            kind: StmtKind::ForRange {
                variable: LocalId(0),
                start: number(0),
                end,
                body,
            },
            span: Span::default(),
        }
    }

    fn unknown() -> Expr {
        Expr {
            kind: ExprKind::Local(LocalId(1)),
            ..number(0)
        }
    }

    #[test]
    fn short_ranges_are_plain_until_they_multiply() {
        assert!(!is_long(&range(number(64), vec![])));
        assert!(is_long(&range(number(65), vec![])));
        assert!(is_long(&range(unknown(), vec![])));
        let inner = range(number(64), vec![]);
        assert!(!is_long(&inner));
        let twice = range(number(64), vec![inner]);
        assert!(!is_long(&twice));
        assert!(is_long(&range(number(64), vec![twice])));
    }

    #[test]
    fn nests_share_the_rounds() {
        let one = bound(&range(unknown(), vec![]), 1).rounds;
        let two = bound(&range(unknown(), vec![range(unknown(), vec![])]), 1).rounds;
        assert!(one > 1000, "{one}");
        assert!((FEWEST as u32..one / 10).contains(&two), "{two}");
        assert!(bound(&range(unknown(), vec![]), 2).rounds < one);
        let hundred = bound(&range(number(100), vec![range(unknown(), vec![])]), 1);
        assert!(hundred.whole && hundred.rounds >= 10, "{hundred:?}");
        assert!(!bound(&range(number(1 << 40), vec![]), 1).whole);
    }
}
