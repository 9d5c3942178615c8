//! The typed tree → where a probe names a member of a kernel type or a constant.

use std::collections::HashMap;

use super::access::Step as Part;
use crate::ir::visit::{self, Node};
use crate::ir::{ExprKind, Program, Step};
use crate::source::Span;

/// Spans by probe (its program), record and member; constants have no record.
#[derive(Default)]
pub struct Places(HashMap<(String, String, String), Span>);

impl Places {
    pub fn of(program: &Program) -> Places {
        let mut places = Places::default();
        for probe in &program.probes {
            let mut last = probe.span;
            visit::statements(&probe.body, &mut |node| {
                let mut note = |record: &str, name: &str| {
                    let key = (probe.program.clone(), record.to_owned(), name.to_owned());
                    places.0.entry(key).or_insert(last);
                };
                match node {
                    Node::Expr(expr) => {
                        last = expr.span;
                        if let ExprKind::EnumValue { name, .. } = &expr.kind {
                            places
                                .0
                                .entry((probe.program.clone(), String::new(), name.clone()))
                                .or_insert(last);
                        }
                    }
                    Node::Steps(steps) => {
                        for step in steps {
                            if let Step::Member { record, member } = step {
                                let record = program.types.record(*record);
                                if let Some(member) = record.members.get(*member as usize) {
                                    note(&record.name, &member.name);
                                }
                            }
                        }
                    }
                    Node::Stmt(stmt) => last = stmt.span,
                }
            });
        }
        places
    }

    /// Where a program takes this step.
    pub fn find(&self, program: &str, step: Option<&Part>) -> Option<Span> {
        let (record, name) = match step? {
            Part::Member { record, name } => (record.as_str(), name),
            Part::Constant(name) => ("", name),
            Part::Index(_) => return None,
        };
        let key = (program.to_owned(), record.to_owned(), name.clone());
        self.0.get(&key).copied()
    }
}
