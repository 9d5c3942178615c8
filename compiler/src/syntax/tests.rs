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
        let errors = errors(&text);
        let said = |words| errors.iter().any(|message| message.contains(words));
        assert_eq!(
            said("nested too deeply"),
            !text.contains(" + "),
            "{errors:?}"
        );
        assert_eq!(
            said("statement is too long"),
            text.contains(" + "),
            "{errors:?}"
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

/// Probes of every form, whether or not a later stage can attach them.
const PROBES: &[&str] = &[
    "begin",
    "end",
    "BEGIN",
    "END",
    "self:signal:SIGUSR1",
    "test:name",
    "bench:name",
    "kprobe:vfs_read",
    "k:vfs_read",
    "kretprobe:vfs_read",
    "kr:vfs_read",
    "kprobe:mod:f",
    "kprobe:f+0x10",
    "kprobe:0xffffffff81000000",
    "kprobe:vfs_*",
    "fentry:vfs_read",
    "f:vfs_read",
    "kfunc:vfs_read",
    "fexit:f",
    "fr:f",
    "kretfunc:f",
    "fentry:mod:f",
    "fentry:bpf:prog",
    "fentry:bpf:12:prog",
    "tracepoint:a:b",
    "t:a:b",
    "tracepoint:*:b*",
    "rawtracepoint:sys_enter",
    "rt:sys_enter",
    "rawtracepoint:mod:event",
    "uprobe:/bin/sh:main",
    "u:/bin/sh:main",
    "uretprobe:/bin/sh:main",
    "ur:libc:malloc",
    "uprobe:/bin/sh:main+4",
    "uprobe:/bin/sh:0x1234",
    "uprobe:/bin/sh@main.c:12",
    "uprobe:/bin/sh@main.c:12:3",
    "uprobe:/bin/x:cpp:\"ns::f(int)\"",
    "uprobe:libc.so.6:*alloc",
    "usdt:/bin/x:ns:probe",
    "U:/bin/x:probe",
    "usdt:/bin/x:ns:*",
    "profile:hz:99",
    "p:ms:10",
    "profile:us:100",
    "profile:99",
    "profile:10ms",
    "interval:s:1",
    "i:ms:100",
    "interval:1s",
    "1s",
    "500ms",
    "interval:1000000",
    "software:page-faults:100",
    "s:faults",
    "software:cpu:",
    "hardware:cache-misses:1000",
    "h:cycles",
    "watchpoint:0x10000000:8:rw",
    "w:0x10:1:x",
    "iter:task",
    "it:task_file",
    "iter:task_vma:pin",
    "iter:task:/sys/fs/bpf/x",
    "name=kprobe:f",
    "kprobe:f,kretprobe:f",
    "kprobe:f, kretprobe:f",
    "kprobe:$1",
    "uprobe:$1:f",
];

/// Statements of every kind, and every older spelling.
const STATEMENTS: &[&str] = &[
    "$x = 1",
    "$x += 1",
    "$x -= 1",
    "$x *= 2",
    "$x /= 2",
    "$x %= 2",
    "$x &= 1",
    "$x |= 1",
    "$x ^= 1",
    "$x <<= 1",
    "$x >>= 1",
    "$x++",
    "$x--",
    "++$x",
    "--$x",
    "@x++",
    "++@x[1]",
    "@ = count()",
    "@[pid, comm] = hist($x, 3)",
    "if ($x) { } else if ($y) { } else { }",
    "if $x { }",
    "$y = $x ? 1 : 2",
    "$y = $x ?: 2",
    "$y = $x ? : 2",
    "for ($kv : @map) { print($kv.0); }",
    "for ($i : 0..10) { }",
    "for $i : 0..ncpus { }",
    "while ($x < 5) { $x++; }",
    "unroll(5) { }",
    "unroll ($x) { }",
    "while (1) { break; continue; }",
    "return",
    "return 1",
    "$x = { let $y = 1; $y + 1 }",
    "_ = delete(@x, 1)",
    "let $x",
    "let $x: uint64",
    "let $x: string[64] = \"a\"",
    "let $x: int32[4]",
    "let $x: (int8, string)",
    "let $x: struct task_struct *",
    "let $x: typeof($y) = 1",
    "let $x = if ($y) { 1 } else { 2 }",
    "if comptime (1) { }",
    "$x = (struct s *)$p",
    "$x = (int8[8])1",
    "$x = (int32[])$y",
    "$x = (enum e)1",
    "$x = (bool)1",
    "$x = (uint64)pid",
    "$x = (struct s **)$p",
    "$x = *$p",
    "$x = &$y",
    "$x = &@m",
    "$x = $p->a.b->c",
    "$x = args->f",
    "$x = args.f",
    "$x = args->argv[0]",
    "$x = str(args->argv[0])",
    "$x = (1, \"a\").0",
    "$x = (a = 1, b = (c = 2)).b.c",
    "$x = $t.0.1",
    "$x = -$y * +2 / !3 % ~4",
    "$x = $y << 1 >> 2",
    "$x = $y & 1 | 2 ^ 3",
    "$x = $y && 1 || 0",
    "$x = $y <= 1 == 1 != 0",
    "$x = 0x1fUL",
    "$x = 0755",
    "$x = 1e6",
    "$x = 1_000_000",
    "$x = 10U",
    "$x = 10LL",
    "$x = 0b101",
    "$x = 5ns + 5us + 5ms + 5s + 5m + 5h + 5d",
    "$x = \"a\\n\\t\\\"\\\\\\012\\x41\" \"b\"",
    "$x = true || false",
    "$x = $1 + $#",
    "$x = str($1)",
    "$x = getopt(\"a\", 5, \"doc\")",
    "$x = pid(init)",
    "$x = nsecs(monotonic)",
    "$x = kstack(perf, 3)",
    "$x = ustack(3)",
    "$x = reg(\"ip\")",
    "$x = comm(1)",
    "$x = sizeof(struct s)",
    "$x = sizeof($y)",
    "$x = sizeof(uint64)",
    "$x = offsetof(struct s, a.b)",
    "$x = offsetof(*$p, a)",
    "$x = container_of($p, struct s, a)",
    "$x = is_ptr($p)",
    "$x = is_integer(uint64)",
    "$x = sizeof(struct s *)",
    "printf(\"x\")",
    "printf(\"%d %s\\n\", 1, \"a\")",
    "print(@x, 5, 10)",
    "print((1, 2))",
    "print(args)",
    "clear(@x)",
    "zero(@x)",
    "delete(@x[1])",
    "delete(@x, (1, 2))",
    "delete(@x, 1, 2)",
    "exit()",
    "exit(1)",
    "@x = lhist($y, 0, 100, 10)",
    "@x = tseries(1, 1s, 10)",
    "@x = stats(1)",
    "join(args.argv)",
    "system(\"ls %d\", 1)",
    "time(\"%H\")",
    "strftime(\"%H\", nsecs)",
    "cat(\"/x\")",
    "signal(\"KILL\")",
    "signal(9)",
    "override(-1)",
    "static_assert(1 == 1, \"m\")",
    "$x = @m[1][2]",
    "$x = @m[(1, 2)]",
    "$x = $a[1][2]",
    "$x = (unsigned long)1",
    "$x = (const char *)1",
    "$x = (struct s *) arg0",
    "$x = (1,)",
    "$x = ()",
    "$x = curtask->real_parent->tgid",
    "$x = ((struct s *)1)->a",
    "$x = (uint8)$y + 1",
    "$x = $y+1",
    "$x=-1",
    "$x = @m",
    "$x = (@m[1], @m[2])",
    "{ $x = 1; }",
    ";",
    "$x = macro_call($y, @m)",
    "offsetof(struct s, a)",
    "$x = cpu_times.user",
    "$x = kaddr(\"x\") + 1",
    "$x = usym(arg0)",
    "$x = typeof($y)",
    "$x = (typeof($y))1",
    "assert(1, \"x\")",
    "fail(\"x\")",
    "$x = $y == \"a\" && comm != \"b\"",
    "$x = strncmp(comm, \"a\", 1) == 0",
    "$x = 1 ? 2 ? 3 : 4 : 5",
    "unroll(2) { $x++ }",
];

/// Items of every kind.
const ITEMS: &[&str] = &[
    "config = { max_strlen = 64 }",
    "config = { max_strlen = 64; missing_probes = \"warn\", print_maps_on_exit = false; }",
    "config={}",
    "let @m = hash(10);",
    "let @m = percpulruhash(10);",
    "macro m(x, $y, @z) { x + $y }",
    "macro m() { 1 }",
    "macro m(x) { { let $y = x; $y } }",
    "import \"a.bt\"",
    "import \"dir\";",
    "import \"a.h\"",
    "#include <linux/sched.h>",
    "#include \"x.h\"",
    "#define A 1",
    "#define F(x) \\\n ((x) + 1)",
    "#ifndef X\n#define X\n#endif",
    "#if 1\nstruct s { int x; };\n#else\n#endif",
    "struct s { int x; char c[4]; struct { int y; } z; };",
    "struct s { int x; }",
    "union u { int a; long b; };",
    "enum e { A, B = 5, };",
    "enum e { A } ;",
    "typedef unsigned long ulong_t;",
    "typedef struct { int x; } t;",
    "typedef int (*fn)(int);",
    "struct __attribute__((packed)) s { int x; };",
    "struct s { int x; } __attribute__((aligned(8)));",
    "struct s;",
    "fn f($a: int64, $b: string): int64 { return $a; }",
    "fn f(): void { }",
    "// comment",
    "/* comment */",
    "struct s { int x : 4; };",
];

#[test]
fn the_whole_language_parses() {
    let statements = STATEMENTS.iter().map(|s| format!("begin {{ {s}; }}"));
    let last = STATEMENTS.iter().map(|s| format!("begin {{ {s} }}"));
    let probes = PROBES.iter().map(|p| format!("{p} {{ }}"));
    let predicates = PROBES.iter().map(|p| format!("{p} /pid == 1/ {{ }}"));
    let items = ITEMS.iter().map(|i| format!("{i}\nbegin {{ }}"));
    let all = statements.chain(last).chain(probes).chain(predicates);
    let refused: Vec<_> = all
        .chain(items)
        .filter_map(|text| Some((errors(&text).first()?.clone(), text)))
        .collect();
    assert!(refused.is_empty(), "{refused:#?}");
}

#[test]
fn a_c_macro_keeps_its_place() {
    for (text, name, parameters, value) in [
        ("#define A b\n", "A", 0, "b"),
        ("#define ADD(x, y) (x + \\\n y)\n", "ADD", 2, "(x + \\\n y)"),
    ] {
        let end = text.len() - 1;
        let found = super::c_macro(FileId(0), text, 8..end).unwrap();
        assert_eq!(found.name.text, name);
        assert_eq!(
            (found.parameters.len(), found.hygienic),
            (parameters, false)
        );
        let span = found.body.value.unwrap().span.range();
        let inner = value.trim_start_matches('(').trim_end_matches(')');
        assert!([value, inner].contains(&&text[span]));
    }
    assert!(super::c_macro(FileId(0), "#define A for (;;)", 8..18).is_none());
}
