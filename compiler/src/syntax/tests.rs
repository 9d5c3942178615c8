//! The parser over a table of scripts, over broken ones, and over noise.

use super::{ast, parse, print};
use crate::source::FileId;

fn tree(text: &str) -> String {
    let (program, diagnostics) = parse(FileId(0), text);
    let said: Vec<_> = diagnostics
        .iter()
        .map(|d| format!("{:?} {}", d.span, d.message))
        .collect();
    assert!(said.is_empty(), "{text}\n{said:#?}");
    print(&program)
}

fn expression(text: &str) -> String {
    let whole = tree(&format!("begin {{ $x = {text}; }}"));
    let body: Vec<&str> = whole.lines().skip(4).map(str::trim_start).collect();
    body.join(" ")
}

fn errors(text: &str) -> Vec<String> {
    parse(FileId(0), text)
        .1
        .iter()
        .map(|d| d.message.clone())
        .collect()
}

#[test]
fn precedence_and_casts() {
    for (text, expected) in [
        ("1 + 2 * 3", "+ 1 * 2 3"),
        ("1 << 2 + 3 == 4 && 5 | 6", "&& == << 1 + 2 3 4 | 5 6"),
        ("(uint64)$y", "cast uint64 $y"),
        (
            "(struct task_struct *)arg0",
            "cast struct task_struct * arg0",
        ),
        ("(pid_t)$y", "cast pid_t $y"),
        ("(a) - 1", "- a 1"),
        ("(a * b)", "* a b"),
        ("-(1)", "unary - 1"),
        (
            "(unsigned long long)-1",
            "cast unsigned long long unary - 1",
        ),
        ("(int32[4])$y", "cast int32[4] $y"),
        ("$c ? 1 : 2", "?: $c 1 2"),
        ("$c ?: 2", "?: $c 2"),
        ("$t.0.1", ".1 .0 $t"),
        ("args->filename", "->filename args"),
        ("args.config.type", ".type .config args"),
        ("@m[1, \"a\"][2]", "[] @m[] 1 \"a\" 2"),
        ("sizeof(struct foo)", "sizeof struct foo"),
        ("sizeof($y)", "sizeof $y"),
        ("offsetof(struct foo, a.b)", "offsetof .a.b struct foo"),
        ("(1, \"a\", (2, 3))", "tuple 1 \"a\" tuple 2 3"),
        ("(a = 1, b = 2)", "record a = 1 b = 2"),
        ("kstack(perf, 5)", "call kstack perf 5"),
        ("\"a\" \"b\"", "\"ab\""),
        ("$1 + $#", "+ $1 $#"),
        ("10ms", "10000000ns"),
        ("!$y && ~1", "&& unary ! $y unary ~ 1"),
        ("*(int8 *)arg0", "unary * cast int8 * arg0"),
        ("&$y", "unary & $y"),
        ("((struct point *)arg0)->y", "->y cast struct point * arg0"),
        ("{ let $z = 1; $z }", "block let $z 1 value $z"),
        ("(const char *)arg0", "cast char * arg0"),
        ("pid()", "call pid"),
        ("is_ptr(struct foo *)", "call is_ptr typeof struct foo *"),
    ] {
        assert_eq!(expression(text), expected, "{text}");
    }
}

#[test]
fn statements_of_every_kind() {
    for text in [
        "begin { $x = 1; @ = 2; @m[1] += 3; $x++; --@m[2]; _ = $x; }",
        "begin { let $x; let $y: uint64 = 1; let $s: string[64] = \"a\"; }",
        "begin { if $x { } else if ($y) { 1 } else { 2; } }",
        "begin { if comptime 1 { } while ($x < 5) { break; continue; } }",
        "begin { for ($i : 0..5) { } for $i : $a..$b { } for ($kv : @map) { } }",
        "begin { unroll (5) { } unroll($n) { print(1) } { let $z = 1; } return; }",
        "begin { return 1 }",
        "begin{printf(\"x\")}",
        "begin { ;; }",
    ] {
        tree(text);
    }
}

#[test]
fn items_of_every_kind() {
    for text in [
        "#!/usr/bin/env bpftrace\n#include <linux/sched.h>\n#define A 1 \\\n 2\nBEGIN { }",
        "struct a { int x; };\nunion b { int y; }\nenum c { A, B = 2 };\ntypedef int z;\nBEGIN { }",
        "struct __attribute__((packed)) a { int x; } __attribute__((aligned(8)));\nkprobe:f { }",
        "enum E { A = 1, B = 2 } begin { }",
        "config = { max_map_keys = 1000; stack_mode = perf, x = \"y\" }\nbegin { }",
        "import \"stdlib\";\nmacro add(x, $y, @z) { x + $y }\nbegin { }",
        "let @m = lruhash(100);\nfn f($a: int64): int64 { return $a; }\nbegin { }",
        "kprobe:vfs_read,\nkretprobe:vfs_read /pid == 1 && $1/ { }",
        "kprobe:a/pid==1/{}",
        "uprobe:/bin/bash:readline /pid == 1/ { }",
        "uprobe:/bin/bash:readline/pid==4/2/{ }",
        "uprobe:\"/opt/my app/x\":cpp:\"ns::f(int, char)\" { }",
        "rw=tracepoint:syscalls:sys_enter_* { } 1s { } interval:s:1 { }",
        "tracepoint:a:b /* why */ , // c\n tracepoint:c:d // e\n { }",
        "/* top */ begin { } // end",
        "",
    ] {
        tree(text);
    }
}

#[test]
fn attach_points_are_split_at_colons() {
    let (program, _) = parse(FileId(0), "x=uprobe:\"/a:b\":f+4,kprobe:g /1/ { }");
    let ast::Item::Probe(probe) = &program.items[0] else {
        panic!("a probe")
    };
    let first = &probe.attach_points[0];
    assert_eq!(first.label.as_ref().map(|n| n.text.as_str()), Some("x"));
    assert_eq!(first.provider.text, "uprobe");
    assert_eq!(
        first
            .parts
            .iter()
            .map(|p| p.text.as_str())
            .collect::<Vec<_>>(),
        ["/a:b", "f+4"]
    );
    assert!(first.parts[0].quoted && !first.parts[1].quoted);
    assert_eq!(probe.attach_points.len(), 2);
    assert!(probe.predicate.is_some());
}

#[test]
fn several_errors_at_once() {
    let said = errors("begin { $a = 1 +; $b = 2; $c = ); }\nend { @x = ; }");
    assert_eq!(said.len(), 3, "{said:#?}");
    assert!(
        said[0].starts_with("expected an expression, found `;`"),
        "{said:#?}"
    );
}

#[test]
fn errors_say_what_was_expected() {
    for (text, expected) in [
        ("begin { $a = 1 }", ""),
        ("begin { print(1 }", "never closed"),
        ("begin { print(1)", "never closed"),
        ("begin { printf(\"a); }", "this string never ends"),
        ("begin { $a = 99999999999999999999; }", "does not fit"),
        (
            "begin { print(1) print(2) }",
            "expected `;` or `}`, found `print`",
        ),
        ("kprobe:f /pid = 1/ { }", "`=`"),
        ("kprobe:f /pid == 1 { }", "never closed"),
        ("begin { $a = \u{a7}; }", "no part of the language"),
        ("begin", "expected"),
        ("begin { if { } }", "expected"),
        ("}", "expected"),
        ("/* open", "never ends"),
        ("begin { $0 }", "`$1`"),
    ] {
        let said = errors(text).join("\n");
        assert_eq!(said.is_empty(), expected.is_empty(), "{text}: {said}");
        assert!(said.contains(expected), "{text}: {said}");
    }
}

#[test]
fn depth_is_limited() {
    for text in [
        format!(
            "begin {{ $x = {}1{}; }}",
            "(".repeat(5000),
            ")".repeat(5000)
        ),
        format!("begin {{ $x = {}1; }}", "!".repeat(5000)),
        format!("begin {{ $x = 1{}; }}", " + 1".repeat(50_000)),
        format!("begin {} {}", "{".repeat(5000), "}".repeat(5000)),
    ] {
        assert!(
            errors(&text)
                .iter()
                .any(|m| m.contains("nested too deeply"))
        );
    }
}

mod noise {
    use proptest::prelude::*;

    use super::{FileId, parse, print};

    const SCRIPT: &str = "#define A 1\nstruct s { int x; };\nkprobe:f,uprobe:/b:c /pid == 1/ { $x = (struct s *)arg0; \
        if ($x->x > 1) { @m[comm, 1] = hist($x->x); } for ($i : 0..5) { printf(\"%d\\n\", $i); } }";

    proptest! {
        #[test]
        fn any_text_is_survived(text in ".{0,200}") {
            let (program, _) = parse(FileId(0), &text);
            prop_assert!(print(&program).is_ascii() || !text.is_ascii());
        }

        #[test]
        fn any_mutation_is_survived(at in 0usize..SCRIPT.len(), cut in 0usize..12, put in "[-+*/=<>!~&|^?:;,.(){}\\[\\]@$#\"a-z0-9 \n]{0,4}") {
            let end = (at + cut).min(SCRIPT.len());
            let text = format!("{}{put}{}", &SCRIPT[..at], &SCRIPT[end..]);
            let (program, _) = parse(FileId(0), &text);
            prop_assert!(print(&program).is_ascii() || !text.is_ascii());
        }
    }
}
