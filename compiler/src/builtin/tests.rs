//! Calls and what they become, analyzed in a probe over a host that knows next to nothing.

use btc_abi as abi;

use super::*;
use crate::arch::Arch;
use crate::diagnostic::Diagnostics;
use crate::ir::{ExprKind, StmtKind};
use crate::provider::tests::{Small, point};
use crate::sema::Options;
use crate::source::{Source, SourceMap};
use crate::syntax::ast;

#[test]
fn numbered_names_share_an_entry() {
    assert_eq!(lookup("arg12").map(|f| f.name), Some("arg"));
    assert_eq!(lookup("sarg0").map(|f| f.name), Some("sarg"));
    assert!(lookup("arg").is_none());
    assert!(lookup("pid1").is_none());
}

#[test]
fn no_name_stands_twice() {
    let mut all: Vec<&str> = names().collect();
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count);
}

#[test]
fn usages_name_their_function() {
    for function in FAMILIES.iter().flat_map(|f| f.iter()) {
        assert!(function.usage.starts_with(function.name));
        assert!(function.arguments.0 <= function.arguments.1);
    }
}

fn expr(kind: ast::ExprKind) -> ast::Expr {
    ast::Expr {
        kind,
        span: Span::default(),
    }
}

fn number(value: u64) -> ast::Expr {
    expr(ast::ExprKind::Integer {
        value,
        suffix: ast::IntegerSuffix::default(),
    })
}

fn text(value: &str) -> ast::Expr {
    expr(ast::ExprKind::String(value.into()))
}

fn word(name: &str) -> ast::Expr {
    expr(ast::ExprKind::Identifier(name.into()))
}

fn named(name: &str) -> ast::Name {
    ast::Name {
        text: name.into(),
        span: Span::default(),
    }
}

fn call(name: &str, arguments: &[ast::Expr]) -> ast::Expr {
    expr(ast::ExprKind::Call {
        name: named(name),
        arguments: arguments.to_vec(),
    })
}

fn map(key: Option<ast::Expr>) -> ast::Expr {
    expr(ast::ExprKind::Map {
        name: "m".into(),
        key: key.map(|k| vec![k]),
    })
}

fn set(key: Option<ast::Expr>, value: ast::Expr) -> ast::StatementKind {
    ast::StatementKind::Assign {
        target: ast::Target::Map {
            name: named("m"),
            key: key.into_iter().collect(),
            span: Span::default(),
        },
        op: None,
        value,
    }
}

fn analyze(probe: &str, kinds: Vec<ast::StatementKind>) -> (Option<ir::Program>, Diagnostics) {
    let statements = kinds
        .into_iter()
        .map(|kind| ast::Statement {
            kind,
            span: Span::default(),
        })
        .collect();
    let program = ast::Program {
        items: vec![ast::Item::Probe(ast::Probe {
            attach_points: vec![point(probe)],
            predicate: None,
            body: ast::Block {
                statements,
                ..ast::Block::default()
            },
            span: Span::default(),
        })],
        ..ast::Program::default()
    };
    let mut sources = SourceMap::default();
    sources.add(Source::new("test", " "));
    let host = Small {
        btf: true,
        tracefs: true,
    };
    let options = Options {
        name: "test".into(),
        unsafe_mode: false,
        c: crate::host::COptions::default(),
        arch: Arch::X86_64,
        overrides: crate::sema::Overrides::default(),
    };
    crate::sema::analyze(&program, &sources, &host, &options)
}

#[track_caller]
fn compiled(probe: &str, kinds: Vec<ast::StatementKind>) -> ir::Program {
    let (program, diagnostics) = analyze(probe, kinds);
    let said: Vec<_> = diagnostics.iter().map(|d| d.message.clone()).collect();
    program.unwrap_or_else(|| panic!("{said:?}"))
}

#[track_caller]
fn record(probe: &str, statement: ast::Expr) -> abi::RecordKind {
    let program = compiled(probe, vec![ast::StatementKind::Expression(statement)]);
    program.records[0].kind.clone()
}

/// The value that a map is set to.
#[track_caller]
fn value(probe: &str, of: ast::Expr) -> ir::Expr {
    let program = compiled(probe, vec![set(None, of)]);
    for statement in &program.probes[0].body {
        if let StmtKind::MapSet { value, .. } = &statement.kind {
            return value.clone();
        }
    }
    panic!("no map is set")
}

#[track_caller]
fn refused(probe: &str, statement: ast::StatementKind) -> String {
    let (program, diagnostics) = analyze(probe, vec![statement]);
    assert!(program.is_none());
    let first = diagnostics.iter().next().expect("a diagnostic");
    format!("{}: {}", first.code.as_str(), first.message)
}

#[track_caller]
fn misused(probe: &str, statement: ast::Expr) -> String {
    refused(probe, ast::StatementKind::Expression(statement))
}

#[test]
fn formats_are_counted_and_typed() {
    let printf = |arguments: &[ast::Expr]| misused("begin", call("printf", arguments));
    assert_eq!(
        printf(&[text("%s %d\n"), text("a")]),
        "argument-count: not enough arguments for format string (1 supplied, 2 expected)"
    );
    assert_eq!(
        printf(&[text("%d"), text("one")]),
        "argument-type: `%d` expects an integer, found `string[4]`"
    );
    assert_eq!(
        printf(&[text("%s"), call("exit", &[])]),
        "argument-type: `%s` expects a value, found `void`"
    );
    assert_eq!(
        printf(&[text("%q"), number(1)]),
        "format-string: unknown format specifier `%q`"
    );
    assert!(printf(&[number(1)]).contains("expected a string literal"));
    let kind = record(
        "begin",
        call("printf", &[text("%5d|%s\n"), number(1), word("comm")]),
    );
    assert!(matches!(kind, abi::RecordKind::Printf { format } if format.parts.len() == 4));
}

#[test]
fn output_without_a_format() {
    assert_eq!(record("begin", call("exit", &[])), abi::RecordKind::Exit);
    assert_eq!(
        record("begin", call("print", &[number(5)])),
        abi::RecordKind::Print
    );
    assert_eq!(
        record("begin", call("time", &[])),
        abi::RecordKind::Time {
            format: "%H:%M:%S\n".into()
        }
    );
    let joined = compiled(
        "kprobe:f",
        vec![ast::StatementKind::Expression(call(
            "join",
            &[word("arg1")],
        ))],
    );
    assert_eq!(joined.records[0].fields.len(), 16);
    assert_eq!(
        misused("begin", call("system", &[text("ls")])),
        "unsafe-function: `system` is an unsafe function"
    );
}

#[test]
fn builtins_have_their_types() {
    use crate::ir::{IntType, Type};
    let ty = |probe: &str, name: &str| value(probe, word(name)).ty;
    assert_eq!(ty("begin", "comm"), Type::String { size: 16 });
    for name in ["nsecs", "elapsed", "cgroup", "ncpus", "jiffies"] {
        assert_eq!(ty("begin", name), Type::Int(IntType::U64), "{name}");
    }
    assert_eq!(ty("begin", "username"), Type::Username);
    assert_eq!(ty("kprobe:f", "func"), Type::KernelSymbol);
    assert_eq!(ty("uprobe:a:f", "func"), Type::UserSymbol);
    assert_eq!(ty("kprobe:vfs_*", "probe"), Type::ProbeName);
    assert!(matches!(
        value("kprobe:f", word("probe")).kind,
        ExprKind::String(_)
    ));
    assert!(matches!(
        ty("kprobe:f", "kstack"),
        Type::Stack {
            limit: abi::Number::Constant { value: 127 },
            ..
        }
    ));
}

#[test]
fn probes_without_registers_say_so() {
    assert_eq!(
        misused("interval:s:1", call("print", &[word("arg0")])),
        "wrong-probe: `interval` probes have no `arg0`"
    );
    assert_eq!(
        misused("kprobe:f", call("print", &[word("retval")])),
        "wrong-probe: `kprobe` probes have no `retval`"
    );
    assert_eq!(
        misused("kprobe:f", call("print", &[word("arg6")])),
        "unknown-name: `kprobe` probes have `arg0` to `arg5`"
    );
    assert_eq!(
        misused("begin", call("print", &[word("func")])),
        "wrong-probe: `begin` probes have no `func`"
    );
    assert!(
        misused("kprobe:f", call("print", &[call("uaddr", &[text("x")])]))
            .starts_with("wrong-probe: `uaddr` looks a symbol up")
    );
}

#[test]
fn aggregations_check_their_bounds() {
    let refused = |of: ast::Expr| refused("begin", set(None, of));
    assert_eq!(
        refused(call("count", &[number(1)])),
        "argument-count: `count` takes 0 arguments, found 1"
    );
    assert_eq!(
        refused(call("hist", &[number(1), number(9)])),
        "argument-type: expected 0 to 5 for the 2nd argument of `hist`, found 9"
    );
    let lhist = |min, max, step| {
        refused(call(
            "lhist",
            &[number(1), number(min), number(max), number(step)],
        ))
    };
    assert!(lhist(10, 0, 1).contains("a max above its min"));
    assert!(lhist(0, 100_000, 1).contains("at most 1000 buckets"));
    assert!(lhist(0, 10, 0).contains("expected at least 1") || lhist(0, 10, 0).contains("1 to"));
    assert!(refused(call("sum", &[text("x")])).starts_with("argument-type"));
    assert!(
        misused("begin", call("count", &[])).starts_with("aggregation-misuse: `count` can only")
    );
}

#[test]
fn maps_are_asked_by_key() {
    let both = |of: ast::Expr| {
        compiled(
            "begin",
            vec![
                set(Some(number(1)), number(2)),
                ast::StatementKind::Expression(of),
            ],
        )
    };
    both(call("delete", &[map(None), number(1)]));
    both(call("delete", &[map(Some(number(1)))]));
    both(call("print", &[call("has_key", &[map(None), number(1)])]));
    both(call("print", &[call("len", &[map(None)])]));
    assert_eq!(
        both(call("print", &[map(None), number(5)])).records[0].kind,
        abi::RecordKind::PrintMap { map: 0 }
    );
    let wrong = |of: ast::Expr| {
        let (program, found) = analyze(
            "begin",
            vec![
                set(Some(number(1)), number(2)),
                ast::StatementKind::Expression(of),
            ],
        );
        assert!(program.is_none());
        found
            .iter()
            .next()
            .map(|d| d.message.clone())
            .unwrap_or_default()
    };
    assert!(wrong(call("delete", &[map(None)])).contains("which element"));
    assert!(wrong(call("clear", &[map(Some(number(1)))])).contains("expected a map"));
    assert!(wrong(call("delete", &[number(5)])).contains("expected a map"));
    assert!(wrong(call("len", &[number(5)])).contains("expected a map"));
}

#[test]
fn strings_and_bytes() {
    use crate::ir::Type;
    let size = |of: ast::Expr| match value("kprobe:f", of).ty {
        Type::String { size } | Type::Buffer { size } => size,
        other => panic!("{other:?}"),
    };
    assert_eq!(size(call("str", &[word("arg0")])), 1024);
    assert_eq!(size(call("str", &[word("arg0"), number(15)])), 16);
    assert_eq!(size(call("buf", &[word("arg0"), number(12)])), 12);
    assert!(
        refused("kprobe:f", set(None, call("buf", &[word("arg0")])))
            .contains("the length must be said")
    );
    assert!(
        refused("begin", set(None, call("str", &[word("kstack")]))).contains("argument of `str`")
    );
    assert_eq!(
        value("begin", call("strlen", &[text("four")])).kind,
        ExprKind::Integer(4)
    );
}

#[test]
fn texts_are_searched_and_joined() {
    let search = |needle: ast::Expr| call("strcontains", &[word("comm"), needle]);
    assert_eq!(value("begin", search(text("ba"))).ty, ir::Type::Bool);
    assert_eq!(value("begin", search(word("comm"))).ty, ir::Type::Bool);
    assert!(misused("begin", call("print", &[search(number(1))])).contains("a string"));
    let place = call("strstr", &[text("haystack"), text("st")]);
    assert_eq!(value("begin", place).kind, ExprKind::Integer(3));
    let both = call("str_concat", &[text("ab"), text("c")]);
    assert_eq!(value("begin", both).kind, ExprKind::String(b"abc".to_vec()));
    // A power of two, so that what is built of itself has few sizes.
    let joined = value("begin", call("str_concat", &[word("comm"), text("!")]));
    assert_eq!(joined.ty, ir::Type::String { size: 32 });
    let room = value("begin", call("strcap", &[word("comm")]));
    assert_eq!(room.kind, ExprKind::Integer(16));
}

#[test]
fn networks() {
    use crate::ir::Type;
    assert_eq!(value("begin", call("ntop", &[number(1)])).ty, Type::Inet);
    assert_eq!(
        value("begin", call("ntop", &[call("pton", &[text("::1")])])).ty,
        Type::Inet
    );
    assert!(
        misused("begin", call("print", &[call("pton", &[text("1.2.3")])]))
            .contains("an IPv4 or IPv6 address")
    );
    assert!(
        misused(
            "begin",
            call("print", &[call("macaddr", &[text("abcdef")])])
        )
        .contains("a string literal")
    );
}

#[test]
fn parameters_have_the_type_of_their_default() {
    let program = compiled(
        "begin",
        vec![
            ast::StatementKind::Expression(call(
                "print",
                &[call(
                    "getopt",
                    &[text("count"), number(3), text("how many")],
                )],
            )),
            ast::StatementKind::Expression(call("print", &[call("getopt", &[text("all")])])),
            ast::StatementKind::Expression(call(
                "print",
                &[call("getopt", &[text("name"), text("x")])],
            )),
        ],
    );
    let types: Vec<_> = program.named.iter().map(|p| p.ty.clone()).collect();
    assert_eq!(
        types,
        [
            abi::ParameterType::Integer { default: Some(3) },
            abi::ParameterType::Bool { default: false },
            abi::ParameterType::String {
                default: Some("x".into())
            },
        ]
    );
    assert!(misused("begin", call("print", &[call("getopt", &[text("-n")])])).contains("--name"));
}
