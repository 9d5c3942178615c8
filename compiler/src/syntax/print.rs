//! The untyped tree as text: one node a line, children indented. `--emit ast` and golden tests print it.

use std::fmt::Write as _;

use super::ast::{
    AttachPoint, Block, ConfigValue, Expr, ExprKind, Item, MacroParameter, Program, Statement,
    StatementKind, Target, TypeExpr, TypeExprKind, TypeOrExpr,
};

/// Prints a whole script.
#[must_use]
pub fn print(program: &Program) -> String {
    let mut out = Printer {
        text: String::new(),
        depth: 0,
    };
    for c in &program.preamble {
        out.line(&format!("c {:?}", c.text));
    }
    for item in &program.items {
        out.item(item);
    }
    out.text
}

struct Printer {
    text: String,
    depth: usize,
}

impl Printer {
    fn line(&mut self, text: &str) {
        // Writing to a String can't fail.
        let _ = writeln!(self.text, "{:width$}{text}", "", width = 2 * self.depth);
    }

    fn nested(&mut self, head: &str, inside: impl FnOnce(&mut Self)) {
        self.line(head);
        self.depth += 1;
        inside(self);
        self.depth -= 1;
    }

    fn item(&mut self, item: &Item) {
        match item {
            Item::Config(config) => self.nested("config", |p| {
                for entry in &config.entries {
                    let value = match &entry.value {
                        ConfigValue::Integer(v) => v.to_string(),
                        ConfigValue::Bool(v) => v.to_string(),
                        ConfigValue::Word(v) => format!("{v:?}"),
                    };
                    p.line(&format!("{} = {value}", entry.name.text));
                }
            }),
            Item::Import(import) => self.line(&format!("import {:?}", import.path.text)),
            Item::Macro(m) => {
                let parameters: Vec<String> = m
                    .parameters
                    .iter()
                    .map(|p| match p {
                        MacroParameter::Expression(n) => n.text.clone(),
                        MacroParameter::Variable(n) => format!("${}", n.text),
                        MacroParameter::Map(n) => format!("@{}", n.text),
                    })
                    .collect();
                let head = format!("macro {}({})", m.name.text, parameters.join(", "));
                self.nested(&head, |p| p.block(&m.body));
            }
            Item::MapDeclaration(d) => {
                self.nested(&format!("map @{} {}", d.name.text, d.kind.text), |p| {
                    p.exprs(&d.arguments);
                });
            }
            Item::Probe(probe) => {
                let points: Vec<String> = probe.attach_points.iter().map(attach_point).collect();
                self.nested(&format!("probe {}", points.join(", ")), |p| {
                    if let Some(predicate) = &probe.predicate {
                        p.nested("predicate", |p| p.expr(predicate));
                    }
                    p.block(&probe.body);
                });
            }
            Item::Subprogram(f) => {
                let parameters: Vec<String> = f
                    .parameters
                    .iter()
                    .map(|(n, t)| format!("${}: {}", n.text, type_text(t)))
                    .collect();
                let head = format!(
                    "fn {}({}): {}",
                    f.name.text,
                    parameters.join(", "),
                    type_text(&f.result)
                );
                self.nested(&head, |p| p.block(&f.body));
            }
        }
    }

    fn block(&mut self, block: &Block) {
        self.nested("block", |p| {
            for statement in &block.statements {
                p.statement(statement);
            }
            if let Some(value) = &block.value {
                p.nested("value", |p| p.expr(value));
            }
        });
    }

    fn statement(&mut self, statement: &Statement) {
        match &statement.kind {
            StatementKind::Expression(e) => self.nested("do", |p| p.expr(e)),
            StatementKind::Let { name, ty, value } => {
                let ty = ty
                    .as_ref()
                    .map(|t| format!(": {}", type_text(t)))
                    .unwrap_or_default();
                self.nested(&format!("let ${}{ty}", name.text), |p| {
                    if let Some(value) = value {
                        p.expr(value);
                    }
                });
            }
            StatementKind::Assign { target, op, value } => {
                let op = op.map_or("", |op| op.symbol());
                self.nested(&format!("assign {op}="), |p| {
                    p.target(target);
                    p.expr(value);
                });
            }
            StatementKind::If {
                condition,
                comptime,
                then,
                otherwise,
            } => {
                let head = if *comptime { "if comptime" } else { "if" };
                self.nested(head, |p| {
                    p.expr(condition);
                    p.block(then);
                    if let Some(otherwise) = otherwise {
                        p.block(otherwise);
                    }
                });
            }
            StatementKind::While { condition, body } => self.nested("while", |p| {
                p.expr(condition);
                p.block(body);
            }),
            StatementKind::Unroll { count, body } => self.nested("unroll", |p| {
                p.expr(count);
                p.block(body);
            }),
            StatementKind::ForRange {
                variable,
                start,
                end,
                body,
            } => {
                self.nested(&format!("for ${} in range", variable.text), |p| {
                    p.expr(start);
                    p.expr(end);
                    p.block(body);
                });
            }
            StatementKind::ForMap {
                variable,
                map,
                body,
            } => {
                self.nested(&format!("for ${} in @{}", variable.text, map.text), |p| {
                    p.block(body)
                });
            }
            StatementKind::Break => self.line("break"),
            StatementKind::Continue => self.line("continue"),
            StatementKind::Return(value) => self.nested("return", |p| {
                if let Some(value) = value {
                    p.expr(value);
                }
            }),
            StatementKind::Block(block) => self.block(block),
            StatementKind::Empty => self.line("empty"),
        }
    }

    fn target(&mut self, target: &Target) {
        match target {
            Target::Variable(name) => self.line(&format!("${}", name.text)),
            Target::Map { name, key, .. } => {
                self.nested(&format!("@{}", name.text), |p| p.exprs(key));
            }
            Target::Discard(_) => self.line("_"),
            Target::Other(e) => self.expr(e),
        }
    }

    fn exprs(&mut self, all: &[Expr]) {
        for e in all {
            self.expr(e);
        }
    }

    fn operand(&mut self, head: &str, of: &TypeOrExpr) {
        match of {
            TypeOrExpr::Type(ty) => self.line(&format!("{head} {}", type_text(ty))),
            TypeOrExpr::Expr(e) => self.nested(head, |p| p.expr(e)),
        }
    }

    fn expr(&mut self, e: &Expr) {
        match &e.kind {
            ExprKind::Integer { value, suffix } => {
                let unsigned = if suffix.unsigned { "u" } else { "" };
                let long = if suffix.long { "l" } else { "" };
                self.line(&format!("{value}{unsigned}{long}"));
            }
            ExprKind::Duration { nanoseconds } => self.line(&format!("{nanoseconds}ns")),
            ExprKind::String(bytes) => self.line(&format!("{:?}", String::from_utf8_lossy(bytes))),
            ExprKind::Bool(value) => self.line(&value.to_string()),
            ExprKind::Identifier(name) => self.line(name),
            ExprKind::Variable(name) => self.line(&format!("${name}")),
            ExprKind::Map { name, key: None } => self.line(&format!("@{name}")),
            ExprKind::Map {
                name,
                key: Some(key),
            } => {
                self.nested(&format!("@{name}[]"), |p| p.exprs(key));
            }
            ExprKind::Positional(n) => self.line(&format!("${n}")),
            ExprKind::PositionalCount => self.line("$#"),
            ExprKind::Call { name, arguments } => {
                self.nested(&format!("call {}", name.text), |p| p.exprs(arguments));
            }
            ExprKind::Sizeof(of) => self.operand("sizeof", of),
            ExprKind::Typeof(of) => self.operand("typeof", of),
            ExprKind::Offsetof { of, path } => {
                let path: Vec<&str> = path.iter().map(|n| n.text.as_str()).collect();
                self.operand(&format!("offsetof .{}", path.join(".")), of);
            }
            ExprKind::ContainerOf { pointer, ty, path } => {
                let path: Vec<&str> = path.iter().map(|n| n.text.as_str()).collect();
                let head = format!("container_of {} .{}", type_text(ty), path.join("."));
                self.nested(&head, |p| p.expr(pointer));
            }
            ExprKind::Unary { op, operand } => {
                self.nested(&format!("unary {}", op.symbol()), |p| p.expr(operand));
            }
            ExprKind::Step {
                decrement,
                prefix,
                operand,
            } => {
                let op = if *decrement { "--" } else { "++" };
                let head = if *prefix {
                    format!("{op}x")
                } else {
                    format!("x{op}")
                };
                self.nested(&head, |p| p.expr(operand));
            }
            ExprKind::Binary { op, left, right } => self.nested(op.symbol(), |p| {
                p.expr(left);
                p.expr(right);
            }),
            ExprKind::Ternary {
                condition,
                then,
                otherwise,
            } => self.nested("?:", |p| {
                p.expr(condition);
                if let Some(then) = then {
                    p.expr(then);
                }
                p.expr(otherwise);
            }),
            ExprKind::Field { base, name, arrow } => {
                let op = if *arrow { "->" } else { "." };
                self.nested(&format!("{op}{}", name.text), |p| p.expr(base));
            }
            ExprKind::TupleField { base, index } => {
                self.nested(&format!(".{index}"), |p| p.expr(base));
            }
            ExprKind::Index { base, index } => self.nested("[]", |p| {
                p.expr(base);
                p.expr(index);
            }),
            ExprKind::Cast { ty, operand } => {
                self.nested(&format!("cast {}", type_text(ty)), |p| p.expr(operand));
            }
            ExprKind::Tuple(all) => self.nested("tuple", |p| p.exprs(all)),
            ExprKind::Record(fields) => self.nested("record", |p| {
                for (name, value) in fields {
                    p.nested(&format!("{} =", name.text), |p| p.expr(value));
                }
            }),
            ExprKind::Block(block) => self.block(block),
            ExprKind::If {
                condition,
                comptime,
                then,
                otherwise,
            } => self.nested(if *comptime { "if comptime" } else { "if" }, |p| {
                p.expr(condition);
                p.block(then);
                p.block(otherwise);
            }),
            ExprKind::Error => self.line("error"),
        }
    }
}

fn attach_point(point: &AttachPoint) -> String {
    let label = point
        .label
        .as_ref()
        .map(|n| format!("{}=", n.text))
        .unwrap_or_default();
    let parts: Vec<&str> = std::iter::once(point.provider.text.as_str())
        .chain(point.parts.iter().map(|p| p.text.as_str()))
        .collect();
    format!("{label}{}", parts.join(":"))
}

fn type_text(ty: &TypeExpr) -> String {
    match &ty.kind {
        TypeExprKind::Named(name) => name.clone(),
        TypeExprKind::Sized { name, size } => format!("{name}[{size}]"),
        TypeExprKind::Struct(name) => format!("struct {name}"),
        TypeExprKind::Union(name) => format!("union {name}"),
        TypeExprKind::Enum(name) => format!("enum {name}"),
        TypeExprKind::Pointer(to) => format!("{} *", type_text(to)),
        TypeExprKind::Array { element, length } => {
            let length = length.map(|l| l.to_string()).unwrap_or_default();
            format!("{}[{length}]", type_text(element))
        }
        TypeExprKind::Tuple(all) => {
            let all: Vec<String> = all.iter().map(type_text).collect();
            format!("({})", all.join(", "))
        }
        TypeExprKind::Record(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(n, t)| format!("{}: {}", n.text, type_text(t)))
                .collect();
            format!("({})", fields.join(", "))
        }
        TypeExprKind::Typeof(TypeOrExpr::Type(ty)) => format!("typeof({})", type_text(ty)),
        TypeExprKind::Typeof(TypeOrExpr::Expr(_)) => "typeof(…)".into(),
    }
}
