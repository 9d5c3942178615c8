//! The typed tree as text, for `--emit ir` and golden tests. Types stand where they are not plain from the operands;
//! nothing that differs from machine to machine is printed (kernel records by name, their sizes not at all).

use btc_abi as abi;

use std::fmt::Write;

use super::{
    AggregateUpdate, Aggregation, BinaryOp, Context, Expr, ExprKind, Helper, LogicalOp, MapId,
    Place, Probe, Program, Space, Step, Stmt, StmtKind, Type, UnaryOp, Walk,
};

/// A whole program.
#[must_use]
pub fn print(program: &Program) -> String {
    let mut printer = Printer {
        program,
        probe: None,
        out: String::new(),
        depth: 0,
    };
    printer.program();
    printer.out
}

struct Printer<'p> {
    program: &'p Program,
    probe: Option<&'p Probe>,
    out: String,
    depth: usize,
}

impl Printer<'_> {
    fn line(&mut self, text: impl AsRef<str>) {
        for _ in 0..self.depth {
            self.out.push_str("  ");
        }
        self.out.push_str(text.as_ref());
        self.out.push('\n');
    }

    fn program(&mut self) {
        let program = self.program;
        for map in &program.maps {
            let key = map
                .key
                .as_ref()
                .map_or(String::new(), |k| format!("[{}]", self.ty(k)));
            let size = match map.max_entries {
                0 => String::new(),
                n => format!(" entries {n}"),
            };
            let value = self.ty(&map.value);
            self.line(format!(
                "map @{}{key}: {value} {:?}{size}",
                map.name, map.kind
            ));
        }
        for (index, record) in program.records.iter().enumerate() {
            let fields: Vec<String> = record.fields.iter().map(|f| self.ty(f)).collect();
            let kind = format!("{:?}", record.kind);
            let kind = kind.split_once(' ').map_or(kind.as_str(), |(name, _)| name);
            self.line(format!("record {index} {kind}({})", fields.join(", ")));
        }
        for (index, slot) in program.slots.iter().enumerate() {
            let ty = self.ty(&slot.ty);
            self.line(format!("slot {index}: {ty} = {:?}", slot.value));
        }
        for (index, parameter) in program.positional.iter().enumerate() {
            self.line(format!("parameter ${}: {:?}", index + 1, parameter.ty));
        }
        for parameter in &program.named {
            self.line(format!(
                "parameter --{}: {:?}",
                parameter.name, parameter.ty
            ));
        }
        for probe in &program.probes {
            self.probe = Some(probe);
            self.line(format!("probe {} {:?} {{", probe.name, probe.kind));
            self.depth += 1;
            for (index, local) in probe.locals.iter().enumerate() {
                let ty = self.ty(&local.ty);
                self.line(format!("let ${}.{index}: {ty}", local.name));
            }
            self.statements(&probe.body);
            self.depth -= 1;
            self.line("}");
        }
    }

    fn statements(&mut self, statements: &[Stmt]) {
        for statement in statements {
            self.statement(statement);
        }
    }

    fn nested(&mut self, statements: &[Stmt]) {
        self.depth += 1;
        self.statements(statements);
        self.depth -= 1;
    }

    fn statement(&mut self, statement: &Stmt) {
        match &statement.kind {
            StmtKind::SetLocal { local, value } => {
                let text = format!("{} = {}", self.local(local.index()), self.expr(value));
                self.line(text);
            }
            StmtKind::MapSet { map, key, value } => {
                let text = format!(
                    "{} = {}",
                    self.element(*map, key.as_ref()),
                    self.expr(value)
                );
                self.line(text);
            }
            StmtKind::Aggregate { map, key, update } => {
                let text = format!(
                    "{} <- {}",
                    self.element(*map, key.as_ref()),
                    self.update(update)
                );
                self.line(text);
            }
            StmtKind::Emit { record, values } => {
                let text = format!("emit {}({})", record.0, self.list(values));
                self.line(text);
            }
            StmtKind::Eval(value) => {
                let text = format!("eval {}", self.expr(value));
                self.line(text);
            }
            StmtKind::If {
                condition,
                then,
                otherwise,
            } => {
                let text = format!("if {} {{", self.expr(condition));
                self.line(text);
                self.nested(then);
                if !otherwise.is_empty() {
                    self.line("} else {");
                    self.nested(otherwise);
                }
                self.line("}");
            }
            StmtKind::While { condition, body } => {
                let text = format!("while {} {{", self.expr(condition));
                self.line(text);
                self.nested(body);
                self.line("}");
            }
            StmtKind::Unroll { count, body } => {
                self.line(format!("unroll {count} {{"));
                self.nested(body);
                self.line("}");
            }
            StmtKind::ForRange {
                variable,
                start,
                end,
                body,
            } => {
                let text = format!(
                    "for {} in {}..{} {{",
                    self.local(variable.index()),
                    self.expr(start),
                    self.expr(end)
                );
                self.line(text);
                self.nested(body);
                self.line("}");
            }
            StmtKind::ForMap {
                variable,
                map,
                body,
            } => {
                let text = format!(
                    "for {} in {} {{",
                    self.local(variable.index()),
                    self.map(*map)
                );
                self.line(text);
                self.nested(body);
                self.line("}");
            }
            StmtKind::Break => self.line("break"),
            StmtKind::Continue => self.line("continue"),
            StmtKind::Return => self.line("return"),
            StmtKind::Scope { scope, body } => {
                self.line(format!("scope {scope} {{"));
                self.nested(body);
                self.line("}");
            }
            StmtKind::Leave(scope) => self.line(format!("leave {scope}")),
        }
    }

    fn update(&self, update: &AggregateUpdate) -> String {
        match update {
            AggregateUpdate::Count => "count".into(),
            AggregateUpdate::Sum(value) => format!("sum {}", self.expr(value)),
            AggregateUpdate::Min(value) => format!("min {}", self.expr(value)),
            AggregateUpdate::Max(value) => format!("max {}", self.expr(value)),
            AggregateUpdate::Avg(value) => format!("avg {}", self.expr(value)),
            AggregateUpdate::Stats(value) => format!("stats {}", self.expr(value)),
            AggregateUpdate::Hist { value, bits } => {
                format!("hist {} bits {}", self.expr(value), number(bits))
            }
            AggregateUpdate::Lhist {
                value,
                min,
                max,
                step,
            } => format!(
                "lhist {} from {} to {} by {}",
                self.expr(value),
                number(min),
                number(max),
                number(step)
            ),
            AggregateUpdate::Tseries { value, .. } => format!("tseries {}", self.expr(value)),
        }
    }

    fn local(&self, index: usize) -> String {
        let name = self
            .probe
            .and_then(|p| p.locals.get(index))
            .map_or("", |l| l.name.as_str());
        format!("${name}.{index}")
    }

    fn map(&self, map: MapId) -> String {
        let name = self
            .program
            .maps
            .get(map.index())
            .map_or("", |m| m.name.as_str());
        format!("@{name}")
    }

    fn element(&self, map: MapId, key: Option<&Expr>) -> String {
        let key = key.map_or(String::new(), |key| format!("[{}]", self.expr(key)));
        format!("{}{key}", self.map(map))
    }

    fn list(&self, values: &[Expr]) -> String {
        let values: Vec<String> = values.iter().map(|v| self.expr(v)).collect();
        values.join(", ")
    }

    fn expr(&self, expr: &Expr) -> String {
        match &expr.kind {
            ExprKind::Integer(n) => self.constant(*n, &expr.ty),
            ExprKind::EnumValue { name, .. } => format!("enum {name}"),
            ExprKind::String(text) => format!("\"{}\"", text.escape_ascii()),
            ExprKind::Local(id) => self.local(id.index()),
            ExprKind::Target(id) => format!("slot {}", id.0),
            ExprKind::Context(context) => context_name(*context),
            ExprKind::Helper { helper, arguments } => {
                format!("{}({})", helper_name(*helper), self.list(arguments))
            }
            ExprKind::Foreign {
                function,
                arguments,
            } => format!("c {function}({})", self.list(arguments)),
            ExprKind::Unary { op, operand } => {
                let op = match op {
                    UnaryOp::Negate => "-",
                    UnaryOp::BitNot => "~",
                    UnaryOp::Not => "!",
                };
                format!("{op}{}", self.expr(operand))
            }
            ExprKind::Binary { op, left, right } => format!(
                "({} {} {})",
                self.expr(left),
                operator(*op, &left.ty),
                self.expr(right)
            ),
            ExprKind::Logical { op, left, right } => {
                let op = match op {
                    LogicalOp::And => "&&",
                    LogicalOp::Or => "||",
                };
                format!("({} {op} {})", self.expr(left), self.expr(right))
            }
            ExprKind::Select {
                condition,
                then,
                otherwise,
            } => format!(
                "({} ? {} : {})",
                self.expr(condition),
                self.expr(then),
                self.expr(otherwise)
            ),
            ExprKind::Convert(value) => format!("{} as {}", self.expr(value), self.ty(&expr.ty)),
            ExprKind::Load(place) => format!("load {}", self.place(place)),
            ExprKind::Address(place) => format!("&{}", self.place(place)),
            ExprKind::Part { of, steps } => format!("{}{}", self.expr(of), self.steps(steps)),
            ExprKind::Tuple(values) => format!("({})", self.list(values)),
            ExprKind::Equal { left, right, limit } => {
                let limit = limit.map_or(String::new(), |n| format!(" up to {n}"));
                format!("equal({}, {}{limit})", self.expr(left), self.expr(right))
            }
            ExprKind::Compare {
                left,
                right,
                size,
                count,
            } => {
                let bytes = match count {
                    Some(count) => format!("{} up to {size}", self.expr(count)),
                    None => size.to_string(),
                };
                format!(
                    "compare({}, {}, {bytes})",
                    self.expr(left),
                    self.expr(right)
                )
            }
            ExprKind::ReadString {
                address,
                space,
                length,
            } => {
                let length = length
                    .as_ref()
                    .map_or(String::new(), |l| format!(", {}", self.expr(l)));
                format!(
                    "read {} {}({}{length})",
                    space_name(*space),
                    self.ty(&expr.ty),
                    self.expr(address)
                )
            }
            ExprKind::ReadBuffer {
                address,
                space,
                length,
            } => format!(
                "read {} {}({}, {})",
                space_name(*space),
                self.ty(&expr.ty),
                self.expr(address),
                self.expr(length)
            ),
            ExprKind::Bytes { of, length } => format!(
                "bytes {}({}, {})",
                self.ty(&expr.ty),
                self.expr(of),
                self.expr(length)
            ),
            ExprKind::Stack(Walk::Kernel) => self.ty(&expr.ty),
            ExprKind::Stack(Walk::Tables { ask, stack }) => {
                let stack = self.expr(stack);
                format!("{} by tables({stack}), ask {}", self.ty(&expr.ty), ask.0)
            }
            ExprKind::UserSymbol { address } => format!("usym({})", self.expr(address)),
            ExprKind::Inet { source } => format!("inet({})", self.expr(source)),
            ExprKind::MapGet { map, key } => self.element(*map, key.as_deref()),
            ExprKind::MapHas { map, key } => format!("has {}", self.element(*map, Some(key))),
            ExprKind::MapFind { map, key, local } => format!(
                "find {} into {}",
                self.element(*map, Some(key)),
                self.local(local.index())
            ),
            ExprKind::MapLen { map } => format!("len {}", self.map(*map)),
            ExprKind::StackLength(stack) => format!("frames({})", self.expr(stack)),
            ExprKind::WriteUser { to, from } => {
                format!("write user({}, {})", self.expr(to), self.expr(from))
            }
            ExprKind::LocalAddress(id) => format!("&{}", self.local(id.index())),
            ExprKind::ElementAddress { map, key } => {
                format!("&{}", self.element(*map, key.as_deref()))
            }
            ExprKind::MapAddress(map) => format!("&map {}", self.map(*map)),
            ExprKind::MapDelete { map, key } => {
                format!("delete {}", self.element(*map, key.as_deref()))
            }
            ExprKind::MapStep {
                map,
                key,
                op,
                value,
                yields_old,
            } => format!(
                "({} {}= {}{})",
                self.element(*map, key.as_deref()),
                operator(*op, &expr.ty),
                self.expr(value),
                if *yields_old { " old" } else { "" }
            ),
            ExprKind::Concat { left, right } => format!(
                "{} concat({}, {})",
                self.ty(&expr.ty),
                self.expr(left),
                self.expr(right)
            ),
            ExprKind::Head { of, length } => format!(
                "{} head({}, {})",
                self.ty(&expr.ty),
                self.expr(of),
                self.expr(length)
            ),
            ExprKind::ObjectPath { of } => format!("{} path({})", self.ty(&expr.ty), self.expr(of)),
            ExprKind::SendPacket {
                record,
                packet,
                length,
                values,
            } => format!(
                "packet {}({}, {}, {})",
                record.index(),
                self.expr(packet),
                self.expr(length),
                self.list(values)
            ),
            ExprKind::Find { haystack, needle } => {
                format!("find({}, {})", self.expr(haystack), self.expr(needle))
            }
            ExprKind::StringLength(value) => format!("strlen({})", self.expr(value)),
            ExprKind::Block { body, value } => self.block(body, value),
            ExprKind::ByteSwap(value) => format!("bswap({})", self.expr(value)),
            ExprKind::TypeSize(id) => format!("sizeof({})", self.program.types.record_name(*id)),
            ExprKind::FieldOffset { record, steps } => {
                let of = self.program.types.record_name(*record);
                format!("offsetof({of}{})", self.steps(steps))
            }
            ExprKind::FieldExists { record, steps } => {
                let of = self.program.types.record_name(*record);
                format!("exists({of}{})", self.steps(steps))
            }
        }
    }

    /// A block inside an expression goes over several lines, deeper than the statement around it.
    fn block(&self, body: &[Stmt], value: &Expr) -> String {
        let mut inner = Printer {
            program: self.program,
            probe: self.probe,
            out: String::new(),
            depth: self.depth + 1,
        };
        inner.statements(body);
        let text = inner.expr(value);
        inner.line(text);
        format!("{{\n{}{}}}", inner.out, "  ".repeat(self.depth))
    }

    fn constant(&self, n: u64, ty: &Type) -> String {
        match ty {
            Type::Bool => (n != 0).to_string(),
            Type::Void => "nothing".into(),
            Type::Int(int) if int.signed => (n as i64).to_string(),
            Type::Int(_) => format!("{n}u"),
            Type::Enum(id) => {
                let values = &self.program.types.enumeration(*id).values;
                match values.iter().find(|(_, value)| *value == n) {
                    Some((name, _)) => name.clone(),
                    None => n.to_string(),
                }
            }
            _ => format!("{n:#x}"),
        }
    }

    fn place(&self, place: &Place) -> String {
        format!(
            "{} {}({}){}",
            space_name(place.space),
            self.ty(&place.ty),
            self.expr(&place.base),
            self.steps(&place.steps)
        )
    }

    fn steps(&self, steps: &[Step]) -> String {
        let mut out = String::new();
        for step in steps {
            let _ = match step {
                Step::Member { record, member } => {
                    let members = &self.program.types.record(*record).members;
                    match members.get(*member as usize).map(|m| m.name.as_str()) {
                        Some("") | None => write!(out, ".<{member}>"),
                        Some(name) => write!(out, ".{name}"),
                    }
                }
                Step::Index { index, .. } => write!(out, "[{}]", self.expr(index)),
                Step::Tuple { index } => write!(out, ".{index}"),
            };
        }
        out
    }

    fn ty(&self, ty: &Type) -> String {
        match ty {
            Type::Void => "void".into(),
            Type::Bool => "bool".into(),
            Type::Int(int) => {
                format!("{}{}", if int.signed { "i" } else { "u" }, int.bits)
            }
            Type::Float { bytes } => format!("f{}", u32::from(*bytes) * 8),
            Type::Enum(id) => format!("enum {}", self.program.types.enumeration(*id).name),
            Type::Pointer { to, space } => format!("*{} {}", space_name(*space), self.ty(to)),
            Type::String { size } => format!("string[{size}]"),
            Type::Buffer { size } => format!("buffer[{size}]"),
            Type::Array { element, count } => format!("{}[{count}]", self.ty(element)),
            Type::CRecord(id) => self.program.types.record_name(*id),
            Type::Tuple(parts) => {
                let parts: Vec<String> = parts.iter().map(|p| self.ty(p)).collect();
                format!("({})", parts.join(", "))
            }
            Type::Record(members) => {
                let members: Vec<String> = members
                    .iter()
                    .map(|(name, ty)| format!("{name}: {}", self.ty(ty)))
                    .collect();
                format!("({})", members.join(", "))
            }
            Type::KernelSymbol => "ksym".into(),
            Type::UserSymbol => "usym".into(),
            Type::Stack { kind, mode, limit } => {
                format!("stack({kind:?}, {mode:?}, {})", number(limit)).to_lowercase()
            }
            Type::Inet => "inet".into(),
            Type::Mac => "mac".into(),
            Type::Timestamp { clock, format } => format!("timestamp({clock:?}, {format:?})"),
            Type::Username => "username".into(),
            Type::CgroupPath { pattern } => format!("cgroup({pattern:?})"),
            Type::ProbeName => "probe".into(),
            Type::ErrorName => "error".into(),
            Type::SignalName => "signal".into(),
            Type::SyscallName => "syscall".into(),
            Type::Aggregation(of) => aggregation(of),
        }
    }
}

fn aggregation(of: &Aggregation) -> String {
    let sign = |signed: &bool| if *signed { "i64" } else { "u64" };
    match of {
        Aggregation::Count => "count".into(),
        Aggregation::Sum { signed } => format!("sum({})", sign(signed)),
        Aggregation::Min { signed } => format!("min({})", sign(signed)),
        Aggregation::Max { signed } => format!("max({})", sign(signed)),
        Aggregation::Avg { signed } => format!("avg({})", sign(signed)),
        Aggregation::Stats { signed } => format!("stats({})", sign(signed)),
        Aggregation::Hist { bits } => format!("hist({})", number(bits)),
        Aggregation::Lhist { min, max, step } => {
            format!("lhist({}, {}, {})", number(min), number(max), number(step))
        }
        Aggregation::Tseries(series) => format!(
            "tseries({}, {}, {}, {})",
            sign(&series.signed),
            number(&series.interval),
            number(&series.count),
            format!("{:?}", series.keeps).to_lowercase()
        ),
    }
}

/// A formula stands in brackets, as it is worked out: `[$1 1000 multiply]`.
fn number(of: &abi::Number) -> String {
    let abi::Number::Told { formula, .. } = of else {
        return of.most().to_string();
    };
    let terms = formula.iter().map(|term| match term {
        abi::Term::Constant { value } => value.to_string(),
        abi::Term::Positional { index } => format!("${index}"),
        abi::Term::PositionalCount => "$#".to_owned(),
        abi::Term::Named { index } => format!("--{index}"),
        abi::Term::Cast { bits, signed } => format!("{}{bits}", if *signed { 'i' } else { 'u' }),
        operator => format!("{operator:?}").to_lowercase(),
    });
    format!("[{}]", terms.collect::<Vec<_>>().join(" "))
}

fn space_name(space: Space) -> &'static str {
    match space {
        Space::Kernel => "kernel",
        Space::User => "user",
        Space::Context => "context",
        Space::Bpf => "bpf",
    }
}

fn context_name(context: Context) -> String {
    match context {
        Context::Pointer => "ctx".into(),
        Context::Argument(n) => format!("arg{n}"),
        Context::StackArgument(n) => format!("sarg{n}"),
        Context::ReturnValue => "retval".into(),
        Context::InstructionPointer => "ip".into(),
        Context::FunctionAddress => "func".into(),
        Context::Slot(n) => format!("ctx[{n}]"),
        Context::Parameter(n) => format!("parameter{n}"),
        Context::ParameterRest(n) => format!("parameter{n}.rest"),
        Context::Result => "result".into(),
        Context::MarkerArgument(n) => format!("marker.arg{n}"),
        Context::Cookie => "cookie".into(),
        Context::Register(name) => format!("reg({name})"),
    }
}

fn helper_name(helper: Helper) -> String {
    // CurrentPidTgid → current_pid_tgid
    let mut out = String::new();
    for c in format!("{helper:?}").chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

/// Operators whose result depends on the sign say so where it is unsigned.
fn operator(op: BinaryOp, ty: &Type) -> String {
    let symbol = match op {
        BinaryOp::Add => return "+".into(),
        BinaryOp::Subtract => return "-".into(),
        BinaryOp::Multiply => return "*".into(),
        BinaryOp::BitAnd => return "&".into(),
        BinaryOp::BitOr => return "|".into(),
        BinaryOp::BitXor => return "^".into(),
        BinaryOp::ShiftLeft => return "<<".into(),
        BinaryOp::Equal => return "==".into(),
        BinaryOp::NotEqual => return "!=".into(),
        BinaryOp::Divide => "/",
        BinaryOp::Modulo => "%",
        BinaryOp::ShiftRight => ">>",
        BinaryOp::Less => "<",
        BinaryOp::LessEqual => "<=",
        BinaryOp::Greater => ">",
        BinaryOp::GreaterEqual => ">=",
    };
    let signed = matches!(ty, Type::Int(int) if int.signed);
    format!("{symbol}{}", if signed { "" } else { "u" })
}
