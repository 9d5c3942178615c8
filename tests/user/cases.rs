//! The cases of user probes.

/// A script, what surrounds it, and what comes of it.
pub struct Case {
    pub name: &'static str,
    /// A command to run before the script is compiled.
    pub before: &'static str,
    /// Words for the compiler.
    pub flags: &'static str,
    pub script: &'static str,
    /// Runs the executable `./t`; without a command what the compiler says is judged.
    pub command: &'static str,
    pub status: i32,
    /// Expressions that standard output and standard error match.
    pub stdout: &'static str,
    pub stderr: &'static str,
}

const PLAIN: Case = Case {
    name: "",
    before: "",
    flags: "",
    script: "",
    command: "",
    status: 0,
    stdout: "",
    stderr: "",
};

/// A case that works: what it prints.
const fn works(
    name: &'static str,
    script: &'static str,
    command: &'static str,
    stdout: &'static str,
) -> Case {
    Case {
        name,
        script,
        command,
        stdout,
        stderr: r"^(Attached \d+ probes?\n)?$",
        ..PLAIN
    }
}

/// A case that is refused on the target: what it says.
const fn refused(
    name: &'static str,
    script: &'static str,
    command: &'static str,
    stderr: &'static str,
) -> Case {
    Case {
        name,
        script,
        command,
        status: 1,
        stdout: "^$",
        stderr,
        ..PLAIN
    }
}

/// Probes that are each refused with a warning; what is said.
const fn warned(name: &'static str, script: &'static str, stderr: &'static str) -> Case {
    refused(name, script, "BTC_MISSING_PROBES=warn ./t", stderr)
}

/// A case that is refused when it is compiled: what is said.
const fn not_compiled(name: &'static str, script: &'static str, stderr: &'static str) -> Case {
    refused(name, script, "", stderr)
}

pub const CASES: &[Case] = &[
    // Functions and addresses.
    works(
        "local-symbol",
        "uprobe:./p/shapes:shape_hidden { @n = count(); }",
        "./t -q -c './p/shapes 6'",
        "^\n*@n: 6\n$",
    ),
    works(
        "position-dependent",
        "uprobe:./p/shapes-fixed:shape_sum { @n = sum((int32)arg1); }",
        "./t -q -c './p/shapes-fixed 6'",
        "^\n*@n: -15\n$",
    ),
    works(
        "wildcard-names",
        "uprobe:./p/shapes:shape_* { @[probe, func] = count(); }",
        "./t -c './p/shapes 3' 2>&1",
        r"(?s)^Attached 6 probes\n.*@\[uprobe:./p/shapes:shape_big, shape_big\]: 3\n.*@\[uprobe:./p/shapes:shape_sum, shape_sum\]: 3\n",
    ),
    works(
        "wildcard-return-names",
        "uretprobe:./p/shapes:shape_* { @[probe, func] = count(); }",
        "./t -c './p/shapes 3' 2>&1",
        r"(?s)^Attached 6 probes\n.*@\[uretprobe:./p/shapes:shape_hidden, shape_hidden\]: 3\n.*",
    ),
    works(
        "wildcard-stacks",
        "uprobe:./p/shapes-plain:shape_* { @[ustack(2)] = count(); }",
        "./t -q -c './p/shapes-plain 3'",
        r"(?s)@\[\n +shape_hidden\+\d+@[^\n]*shapes.c:48\n +main\+\d+@[^\n]*\n\]: 3\n",
    ),
    works(
        "binary-pattern",
        "uprobe:./p/shapes-p*:shape_sum,uprobe:./p/sh*-fixed:shape_sum { @[probe] = count(); }",
        "./t -q -c './p/shapes-plain 4'",
        r"^\n*@\[uprobe:./p/shapes-plain:shape_sum\]: 4\n$",
    ),
    works(
        "library-pattern",
        "uprobe:/usr/lib*/*/libc.so*:getppid { @n = count(); }",
        "./t -q -c 'sh -c \"exit 0\"'",
        r"^\n*@n: [1-9]\d*\n$",
    ),
    // `malloc` has other names at the same place.
    works(
        "aliases-once",
        "uprobe:libc:*malloc { @[probe] = count(); }",
        "./t --dry-run | awk '{print $4}' | sort | uniq -d; ./t --dry-run | grep -c ':malloc '",
        "^1\n$",
    ),
    works(
        "large-wildcard",
        "uprobe:libc:* { @n = count(); }",
        "BTC_MAX_PROBES=20000 ./t -c './p/shapes 1' 2>&1",
        r"(?s)^Attached [2-9]\d\d\d probes\n.*@n: [1-9]\d+\n$",
    ),
    works(
        "program-in-path",
        "uprobe:probed:shape_sum { @n = count(); }",
        "mkdir bin; cp p/shapes bin/probed; PATH=$PWD/bin:$PATH ./t -q -c './bin/probed 2'",
        "^\n*@n: 2\n$",
    ),
    // The child of -c is still the tool when its binary is looked up.
    works(
        "program-named-as-the-tool",
        "uprobe:t:shape_sum { @n = count(); }",
        "mkdir bin; cp p/shapes bin/t; PATH=$PWD/bin:$PATH ./t -q -c './bin/t 2'",
        "^\n*@n: 2\n$",
    ),
    works(
        "address",
        "uprobe:./p/shapes-fixed:0x401136 { } uprobe:./p/shapes-fixed:main { }",
        "./t --dry-run | sed 's/.*shapes-fixed at//' | sort -u | wc -l",
        "^[12]\n$",
    ),
    Case {
        flags: "--unsafe",
        ..works(
            "address-unsafe",
            "uprobe:./p/shapes-stripped:0x1020 { }",
            "./t --dry-run",
            r"^uprobe:./p/shapes-stripped:0x1020 \(./p/shapes-stripped at 0x1020\)\n$",
        )
    },
    warned(
        "places-refused",
        "uprobe:./p/shapes-stripped:0x1020,uprobe:./p/shapes:0x10,uprobe:./p/shapes:shape_sum+500,uprobe:./p/shapes:shape_some,uprobe:./p/shapes:no_such*,uprobe:./p/shapes*:no_such,uprobe:./p/shapes-cpp:cpp:\"geo::Shape::volume\",uprobe:./p/shapes-stripped:main { }",
        r"(?s)./p/shapes-stripped: address 0x1020 is in no function that it has a symbol of: .*--unsafe.*address 0x10 is in no function.*uprobe:./p/shapes:shape_sum\+500: ./p/shapes: offset 500 is outside of `shape_sum`: it has \d+ bytes; .*--unsafe.*: no function `shape_some` in ./p/shapes; did you mean `shape_sum`\?\n.*no function that matches `no_such\*` in ./p/shapes\n.*none of the \d+ programs and libraries that match `./p/shapes\*` has it\n.*no C\+\+ function `geo::Shape::volume` in ./p/shapes-cpp\n.*./p/shapes-stripped has no function symbols \(it is stripped\): install the debug symbols",
    ),
    // C++.
    works(
        "cpp-overloads",
        "uprobe:./p/shapes-cpp:cpp:\"geo::Shape::area\" { @all = count(); } uprobe:./p/shapes-cpp:cpp:\"geo::Shape::area(int) const\" { @one = sum(arg1); }",
        "./t -c './p/shapes-cpp 5' 2>&1",
        "^Attached 3 probes\n\n*@all: 15\n@one: 10\n$",
    ),
    works(
        "cpp-pattern",
        "uprobe:./p/shapes-cpp:cpp:geo* { @[probe, func] = count(); }",
        "./t -q -c './p/shapes-cpp 5'",
        r"(?s)@\[uprobe:./p/shapes-cpp:cpp:geo::Shape::Shape\(int\), geo::Shape::Shape\(int\)\]: 5\n.*area\(int, char const\*\), [^\n]*\]: 10\n",
    ),
    works(
        "cpp-templates-and-operators",
        "uprobe:./p/shapes-cpp:cpp:\"geo::twice<int>\" { @int = count(); } uprobe:./p/shapes-cpp:cpp:\"double geo::twice<double>(double)\" { @double = count(); } uprobe:./p/shapes-cpp:cpp:\"geo::Shape::operator()(int)\" { @call = count(); }",
        "./t -q -c './p/shapes-cpp 5'",
        "^\n*@call: 5\n@double: 5\n@int: 5\n$",
    ),
    works(
        "cpp-return",
        "uretprobe:./p/shapes-cpp:cpp:\"(anonymous namespace)::inner\" { @ = sum(retval); }",
        "./t -q -c './p/shapes-cpp 5'",
        "^\n*@: 10\n$",
    ),
    // Source lines.
    works(
        "lines",
        "uprobe:./p/shapes-plain@shapes.c:49 { @doubled = count(); } uprobe:./p/shapes-plain@programs/shapes.c:51 { @taken = count(); @f[func] = count(); } uprobe:./p/shapes-plain@shapes.c:49:9 { @column = count(); }",
        "./t -q -c './p/shapes-plain 6'",
        r"^\n*@column: 6\n@doubled: 6\n@f\[shape_hidden\]: 3\n@taken: 3\n$",
    ),
    works(
        "line-in-debug-file",
        "uprobe:./p/shapes-split@shapes.c:51 { @taken = count(); }",
        "./t -q -c './p/shapes-split 6'",
        "^\n*@taken: 3\n$",
    ),
    warned(
        "lines-refused",
        "uprobe:./p/shapes-plain@shapes.c:2,uprobe:./p/shapes-plain@shapes.c:51:77,uprobe:./p/shapes-plain@other.c:2,uprobe:./p/shapes-stripped@shapes.c:2 { }",
        r"(?s)./p/shapes-plain: no code at shapes.c:2: the nearest line with code is \d+\n.*no code at shapes.c:51:77: its code begins at column 17\n.*./p/shapes-plain has no code of a source file `other.c`\n.*./p/shapes-stripped has no debug information: compile it with -g, or install",
    ),
    // Arguments by name.
    works(
        "args",
        "uprobe:./p/shapes:shape_sum { printf(\"%d %d %d %d %d %d %s %d %d %s\\n\", args.p.x, args.p->y, args.n, args.c, args.p.low, args.p.high, args.p.name, args.p.colour, args.p.next.x, args.p.next.name); }",
        "./t -q -c './p/shapes 2'",
        "^0 10 0 200 3 17 first 5 7 last\n1 10 -1 200 3 17 first 5 7 last\n",
    ),
    works(
        "types-by-name",
        "uprobe:./p/shapes:shape_sum { $p = (struct point *)arg0; let $next: struct point * = args.p.next; printf(\"%d %s %d %d %s %d\\n\", $p.x, $p.next.name, sizeof(struct point), offsetof(struct point, name), (enum colour)5, $next.x); }",
        "./t -q -c './p/shapes 2'",
        "^0 last 40 17 GREEN 7\n1 last 40 17 GREEN 7\n",
    ),
    refused(
        "types-by-name-of-another-layout",
        "uprobe:./lib/libbtcpad.so:pad_item { @ = sum(((struct pad_item *)arg0).value); }",
        "rm lib; ln -s p/wide lib; ./t",
        "^t: .*`struct pad_item` is \\{ before: int64 @0, value: int32 @64, 16 bytes \\}, and the script was compiled for \\{ value: int32 @0, 4 bytes \\}",
    )
    .before("ln -s p/one lib"),
    works(
        "args-places",
        "uprobe:./p/shapes:shape_many { printf(\"%d %d %ld\\n\", args.f, args.g, args.h); } uprobe:./p/shapes:shape_big { printf(\"%d %d\\n\", args.seed, args.other); } uprobe:./p/shapes:shape_scale { printf(\"%d %d\\n\", args.from, args.by); } uprobe:./p/shapes:shape_pair { printf(\"%d\\n\", args.after); }",
        "./t -q -c './p/shapes 1 300' | sort",
        "^\n*0 0\n0 9\n33\n6 -7 8000000000\n$",
    ),
    works(
        "args-cpp",
        "uprobe:./p/shapes-cpp:_ZNK3geo5Shape4areaEi { @ = sum(args.this.side * args.scale); }",
        "./t -q -c './p/shapes-cpp 4'",
        "^\n*@: 12\n$",
    ),
    works(
        "args-of-the-same-build",
        "uprobe:./prog:shape_sum { @ = sum(args.p.x); }",
        "strip -g prog; ./t -q -c './prog 4'",
        "^\n*@: 6\n$",
    )
    .before("cp p/shapes prog"),
    works(
        "args-of-another-build",
        "uprobe:./prog:shape_sum { @ = sum(args.p.x); }",
        "cp -f p/shapes-rebuilt prog; ./t -q -c './prog 4'",
        "^\n*@: 6\n$",
    )
    .before("cp p/shapes prog"),
    refused(
        "args-without-debug-information",
        "uprobe:./prog:shape_sum { @ = sum(args.p.x); }",
        "cp -f p/shapes-without prog; ./t -q -c './prog 4'",
        "^t: .*: the arguments of `shape_sum` are those of another build of ./prog; .*arg0.*: ./prog has no debug information",
    )
    .before("cp p/shapes prog"),
    refused(
        "args-of-another-layout",
        "uprobe:./lib/libbtcpad.so:pad_item { @ = sum(args.item.value); }",
        "rm lib; ln -s p/wide lib; ./t",
        "^t: .*`struct pad_item` is \\{ before: int64 @0, value: int32 @64, 16 bytes \\}, and the script was compiled for \\{ value: int32 @0, 4 bytes \\}",
    )
    .before("ln -s p/one lib"),
    not_compiled(
        "args-unknown-here",
        "uprobe:./p/shapes-stripped:main { print(args.argc); }",
        "(?s)unknown-type.*no function `main` in ./p/shapes-stripped.*use `arg0` to `argN`",
    ),
    not_compiled(
        "args-floating",
        "uprobe:./p/shapes:shape_scale { print(args.factor); }",
        "`args.factor` is in floating-point registers",
    ),
    works(
        "args-by-value",
        "uprobe:./p/values:value_small { printf(\"%d %d %d %d\\n\", args.before, args.s.first, args.s.second, args.after); }",
        "./t -q -c './p/values 2'",
        "^1 -2 3 4\n1 -2 4 4\n+$",
    ),
    works(
        "args-by-value-in-two-registers",
        "uprobe:./p/values:value_medium { printf(\"%ld %d %d %s %d\\n\", args.m.first, args.m.low, args.m.high, args.m.tag, args.after); $m = args.m; @ = $m.high; print(args.m); }",
        "./t -q -c './p/values 1'",
        r"^70000000000 9 1000 tag 5\n\{ .first = 70000000000, .low = 9, .high = 1000, .tag = tag \}\n\n*@: 1000\n$",
    ),
    works(
        "args-by-value-on-the-stack",
        "uprobe:./p/values:value_large { printf(\"%d %d %d %s %d\\n\", args.before, args.l.words[0], args.l.words[3], str(args.l.name), args.after); $i = 2; print(args.l.words[$i]); } uprobe:./p/values:value_full { printf(\"%d %d %s %d\\n\", args.e, args.m.first, args.m.tag, args.f); }",
        "./t -q -c './p/values 1'",
        "^6 10 40 large 7\n30\n5 80 xyz 9\n+$",
    ),
    works(
        "args-all",
        "uprobe:./p/values:value_small { print(args); @a = args; print(@a.s.second + @a.after); }",
        "./t -q -c './p/values 1'",
        r"^\{ .before = 1, .s = \{ .first = -2, .second = 3 \}, .after = 4 \}\n7\n\n*@a: \{ .before = 1, ",
    ),
    not_compiled(
        "args-by-value-floating",
        "uprobe:./p/values:value_mixed { print(args.after); print(args.m.count); }",
        "(?s)^error.invalid-operand.: `args.m` is in floating-point registers",
    ),
    works(
        "args-of-several-dimensions",
        "uprobe:./p/values:value_tables { print(args.by_value); print(args.t.cells); print(args.by_value.cells[1][1]); $i = 1; print(args.t.cells[$i][0]); print(args.t.bytes); print(args.t.bytes[1][2]); $t = args.by_value; print($t.cells[0][1]); }",
        "./t -q -c './p/values 1'",
        r"^\{ .cells = \[\[1,2\],\[3,-4\]\], .bytes = \[\[\[1,2\],\[3,4\],\[5,6\]\],\[\[7,8\],\[9,10\],\[11,255\]\]\] \}\n\[\[1,2\],\[3,-4\]\]\n-4\n3\n\[\[\[1,2\],\[3,4\],\[5,6\]\],\[\[7,8\],\[9,10\],\[11,255\]\]\]\n\[11,255\]\n2\n+$",
    ),
    works(
        "args-of-characters",
        "uprobe:./p/values:value_letters { print(args.l.bytes); print(args.by_value.typed); print(args.l.numbers); print(args.by_value.text); print(*args.l); print(args.c); }",
        "./t -q -f json -c './p/values 1' | sed 's/.*\"data\": //'",
        r#"^\[1,2,3,4\]\}\n\[5,6,7,200\]\}\n\[-1,2,3,4\]\}\n"abc"\}\n\{"bytes": \[1,2,3,4\], "typed": \[5,6,7,200\], "numbers": \[-1,2,3,4\], "text": "abc"\}\}\n200\}\n$"#,
    ),
    works(
        "args-that-are-enums",
        "uprobe:./p/values:value_enums { printf(\"%s %d %s %d %s %d\\n\", args.size, args.size, args.sign, args.sign, *args.to, *args.to); print((args.size, args.sign)); }",
        "./t -q -c './p/values 1'; ./t -q -f json -c './p/values 1' | grep value",
        r#"^BIG 2147483648 MINUS -2 SMALL 200\n\(BIG, MINUS\)\n+\{"type": "value", "data": \[2147483648,-2\]\}\n$"#,
    ),
    works(
        "args-with-floating-point-members",
        "uprobe:./p/values:value_floats { print(*args.f); print(args.f.count); print(sizeof(args.f.weights[0])); print(sizeof(args.f.factor)); print((uint64)(&args.f.factor + 1) - (uint64)args.f); }",
        "./t -q -c './p/values 1'; ./t -q -f json -c './p/values 1' | head -1",
        r#"^\{ .factor = <float>, .count = 70, .weights = \[<float>,<float>\] \}\n70\n8\n4\n4\n+\{"type": "value", "data": \{"factor": null, "count": 70, "weights": \[null,null\]\}\}\n$"#,
    ),
    not_compiled(
        "args-floating-member",
        "uprobe:./p/values:value_floats { print(args.f.factor); }",
        "^error.invalid-operand.: floating-point values can't be read, and this is a `float`\n",
    ),
    not_compiled(
        "floating-members",
        "struct s { float f; double d[2]; float *p; }; uprobe:./p/values:value_floats { $s = (struct s *)arg0; print($s.f); $x = $s.d[1]; printf(\"%s\", $s.d); if (*$s.p > 1) { } @ = sum($s.f); print($s.d == $s.d); }",
        "(?s)read, and this is a `float`.*and this is a `double`.*and this is a `double.2.`.*and this is a `float`.*and this is a `float`.*and this is a `double.2.`.*and this is a `double.2.`",
    ),
    not_compiled(
        "args-no-such",
        "uprobe:./p/shapes:shape_pair { print(args.befor); }",
        "(?s)no argument named `befor`",
    ),
    // Binaries that move, are stripped, change, or belong to one process.
    works(
        "another-build-of-a-library",
        "uprobe:./lib/libbtcpad.so:pad_item { @n = count(); } uretprobe:./lib/libbtcpad.so:pad_item { @sum = sum(retval); }",
        "rm lib; ln -s p/two lib; LD_LIBRARY_PATH=lib ./t -q -c './p/padded 7'",
        "^\n*@n: 7\n@sum: 21\n$",
    )
    .before("ln -s p/one lib"),
    works(
        "debug-link",
        "uprobe:./p/shapes-split:shape_hidden { @n = count(); }",
        "./t -q -c './p/shapes-split 3'",
        "^\n*@n: 3\n$",
    ),
    works(
        "debug-file-by-build-id",
        "uprobe:./p/shapes-stripped:shape_hidden { @n = count(); }",
        "unshare -m sh -c 'id=$(readelf -n p/shapes | sed -n \"s/.*Build ID: //p\"); mkdir -p /usr/lib/debug; mount -t tmpfs none /usr/lib/debug; mkdir -p /usr/lib/debug/.build-id/$(echo $id | cut -c-2); cp p/shapes /usr/lib/debug/.build-id/$(echo $id | cut -c-2)/$(echo $id | cut -c3-).debug; ./t -q -c \"./p/shapes-stripped 3\"'",
        "^\n*@n: 3\n$",
    ),
    works(
        "debug-link-of-another-build",
        "uprobe:./shapes-split:shape_hidden { @n = count(); }",
        "cp p/shapes-split .; cp p/shapes shapes-split.debug; ./t 2>&1 || true",
        "has no function symbols",
    ),
    works(
        "one-process-of-two",
        "uprobe:./p/shapes:shape_* { @n = count(); }",
        "./p/shapes 5 1500 & ./p/shapes 7 1500 & ./t -q -p $!; wait",
        "^\n*@n: 42\n$",
    ),
    works(
        "process-in-another-root",
        "uprobe:/mnt/btc-inner:shape_sum { @n = count(); }",
        "unshare -m sh -c 'mount -t tmpfs none /mnt; cp p/shapes /mnt/btc-inner; exec /mnt/btc-inner 5 1500' & sleep 0.5; ./t -q -p $!; ./t 2>&1; wait",
        "^\n*@n: 5\nt: .*no file /mnt/btc-inner\n$",
    ),
    works(
        "deleted-binary-of-a-process",
        "uprobe:./prog:shape_sum { @n = count(); }",
        "",
        "^\n*@n: 5\n$",
    )
    .before("cp p/shapes prog")
    .command("$PWD/prog 5 1500 & sleep 0.3; rm prog; ./t -q -p $!; wait"),
    works(
        "replaced-binary-of-a-process",
        "uprobe:./prog:shape_sum { @n = count(); }",
        "",
        "^\n*@n: 5\n$",
    )
    .before("cp p/shapes prog")
    .command("$PWD/prog 5 1500 & sleep 0.3; cp p/shapes-fixed new; mv new prog; ./t -q -p $!; wait"),
    // The old file's processes stay traced.
    works(
        "replaced-while-traced",
        "uprobe:./prog:shape_* { @n = count(); }",
        "",
        "^\n*@n: 30\n$",
    )
    .before("cp p/shapes prog")
    .command("./t -q & t=$!; sleep 1; ./prog 5 800 & cp p/shapes new; mv new prog; ./prog 3; wait $!; kill -INT $t; wait $t"),
    works(
        "cut-off-while-traced",
        "uprobe:./prog:shape_* { @n = count(); }",
        "",
        "^\n*@n: 30\n$",
    )
    .before("cp p/shapes prog")
    .command("./t -q & t=$!; sleep 1; ./prog 5; : > prog; kill -INT $t; wait $t"),
    // Files that are no binaries.
    refused("no-file", "uprobe:./p/nothing:f { }", "./t", "^t: .*: no file ./p/nothing\n$"),
    refused(
        "no-library",
        "uprobe:nothing_of_that_name:f { }",
        "./t",
        "`nothing_of_that_name`: no library in ld.so.cache and no program in PATH of that name\n$",
    ),
    warned(
        "no-binaries",
        "uprobe:./p/one:f,uprobe:./p/pipe:f,uprobe:/dev/zero:f,uprobe:./p/empty:f,uprobe:./p/script:f,uprobe:./p/text:f,uprobe:./p/object.o:pad_call,uprobe:./p/cut:main,uprobe:./p/short:main,uprobe:./p/narrow:main,uprobe:./p/foreign:main { }",
        r"(?s)./p/one is a directory, not a program or library\n.*./p/pipe is a named pipe, not .*/dev/zero is a device, not .*./p/empty is empty\n.*./p/script is a script: probe the program that its first line names\n.*./p/text is not an ELF program or library\n.*./p/object.o is neither a program nor a shared library .*./p/cut is damaged or cut off: .*./p/short is damaged or cut off.*./p/narrow is a 32-bit program.*./p/foreign is for another architecture \(RISC-V\) than this machine's \(",
    ),
    refused(
        "unreadable",
        "uprobe:./secret:main { }",
        "chmod 755 ..; cp p/shapes secret; chmod 0 secret; setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all,+bpf,+perfmon --ambient-caps=-all,+bpf,+perfmon --bounding-set=-all,+bpf,+perfmon -- ./t",
        r"open ./secret: Permission denied \(os error 13\)\n$",
    ),
    // What is missing can be let go.
    works(
        "missing-is-a-warning",
        "config = { missing_probes = \"warn\" } uprobe:./p/pipe:f { @a = count(); } uprobe:./p/shapes:shape_sum { @b = count(); }",
        "./t -q -c './p/shapes 4' 2>&1",
        "(?s)^WARNING: .*./p/pipe is a named pipe.*@b: 4\n$",
    ),
    works(
        "variables-of-a-program-that-is-moved",
        "uprobe:./p/globals:called { printf(\"%d %s %d\\n\", *(int32 *)uaddr(\"answer\"), str(uaddr(\"words\")), uaddr(\"called\") == reg(\"ip\")); } uretprobe:./p/globals:called { printf(\"%d\\n\", *(int32 *)uaddr(\"answer\")); }",
        "./t -c ./p/globals",
        "^40 some words 1\n41\n41 some words 1\n42\n",
    ),
    works(
        "variables-of-a-program-that-is-not-moved",
        "uprobe:./p/globals-fixed:called { printf(\"%d %s %d\\n\", *(int32 *)uaddr(\"answer\"), str(uaddr(\"words\")), uaddr(\"called\") == reg(\"ip\")); } uretprobe:./p/globals-fixed:called { printf(\"%d\\n\", *(int32 *)uaddr(\"answer\")); }",
        "./t -c ./p/globals-fixed",
        "^40 some words 1\n41\n41 some words 1\n42\n",
    ),
    works(
        "variables-of-a-static-program-that-is-moved",
        "uprobe:./p/globals-static:called { printf(\"%d %s %d\\n\", *(int32 *)uaddr(\"answer\"), str(uaddr(\"words\")), uaddr(\"called\") == reg(\"ip\")); } uretprobe:./p/globals-static:called { printf(\"%d\\n\", *(int32 *)uaddr(\"answer\")); }",
        "./t -c ./p/globals-static",
        "^40 some words 1\n41\n41 some words 1\n42\n",
    ),
    works(
        "variables-of-a-program-that-the-linker-started",
        "uprobe:./p/globals:called { printf(\"%d %d\\n\", (uint64)uaddr(\"answer\"), *(int32 *)uaddr(\"answer\")); }",
        "./t -q -c \"$(echo /lib64/ld-linux*) ./p/globals\" 2>&1",
        r"(?s)WARNING: uaddr: process \d+ was not started as the probed program itself \(but by ld.so\?\), so that its addresses aren't known: 0 is taken.*0 0\n",
    ),
    works(
        "variables-of-a-program-that-a-parameter-names",
        "uprobe:$1:called { @[*(int32 *)uaddr(\"answer\")] = count(); }",
        "./t -c ./p/globals ./p/globals",
        r"^\n\n@\[4[01]\]: 1\n@\[4[01]\]: 1\n",
    ),
    refused(
        "variables-of-a-library",
        "uprobe:libc:getppid { print(uaddr(\"environ\")); }",
        "./t -c true",
        r"^t: uaddr: \S*libc\S* is a library, which each process has at another address; only symbols of programs can be told\n$",
    ),
    works(
        "stack-without-frame-pointers",
        "uprobe:./p/frameless:innermost { @[dw_ustack] = count(); }",
        "./t -c './p/frameless 3000 5 6 7'",
        r"(?s)innermost\+0\n +compare\+\d+\n.*qsort_r\+\d+\n +middle\+\d+\n +outermost\+\d+\n +main\+\d+\n.*_start\+\d+\n\]: 3",
    ),
    works(
        "stack-of-a-signal-handler",
        "uprobe:./p/frameless:innermost { @[dw_ustack] = count(); }",
        "./t -c './p/frameless 3000'",
        r"(?s)innermost\+0\n +compare\+\d+\n.*outermost\+\d+\n +on_signal\+\d+\n.* main\+\d+\n.*_start\+\d+\n\]: 1",
    ),
    // A caller's line is that of its call, in a function inlined there, and where nothing follows the call. What a signal
    // interrupted has the line of its instruction: the restorer between them is called by nobody.
    works(
        "lines-of-callers",
        "uprobe:./p/callers:deep { print(ustack); }",
        "./t -q -c './p/callers 0' | sed 's/@.*callers.c:/ /'",
        r"(?s)^\n +deep\+0 11\n +mid 16\n +work\+\d+ 21\n +main\+\d+ 48\n.* deep\+0 11\n +on_signal\+\d+ 40\n.* deep\+0 11\n +out\+\d+ 26\n +last\+\d+ 31\n +main\+\d+ 51\n",
    ),
    works(
        "lines-of-callers-by-tables",
        "uprobe:./p/callers:deep { print(dw_ustack); }",
        "./t -q -c './p/callers 2000' | sed 's/@.*callers.c:/ /'",
        r"(?s)^\n +deep\+0 11\n +mid 16\n +work\+\d+ 21\n +main\+\d+ 48\n.* deep\+0 11\n +on_signal\+\d+ 40\n +\S+\n +faulty\+0 35\n +main\+\d+ 50\n.* deep\+0 11\n +out\+\d+ 26\n +last\+\d+ 31\n +main\+\d+ 51\n",
    ),
    // Two frames, whichever way they are printed.
    works(
        "addresses-of-callers",
        "uprobe:./p/callers:deep { print(ustack(raw, 2)); print(ustack(perf, 2)); exit(); }",
        "./t -q -c './p/callers 0' | awk 'NF {print $1}' | sort -u | wc -l",
        r"^2\n$",
    ),
    // Of 300 stacks, 1 ms apart from the process's start on, most; how many first ones end early is the machine's load.
    works(
        "stacks-soon-after-the-start",
        "uprobe:./p/each-millisecond:innermost { @[dw_ustack(raw, 3)] = count(); }",
        "./t -q -c './p/each-millisecond' 2>err | sed -n 's/^]: //p' | sort -n | tail -n 1",
        r"^(1[5-9]\d|2\d\d|300)\n$",
    ),
    works(
        "stack-of-cpp-and-a-loaded-library",
        "uprobe:./p/frameless-cpp:innermost { @[dw_ustack] = count(); }",
        "./t -c './p/frameless-cpp 2500'",
        r"(?s)innermost\+0\n +\S*caught\S*\+\d+\n +through\+\d+\n.*Sorting::run\S*\+\d+\n +main\+\d+\n.*_start\+\d+\n\]: \d+",
    ),
    works(
        "stack-of-code-made-at-run-time",
        "uprobe:./p/jit:marker { print(ustack); }",
        "./t -c './p/jit 300'",
        r"(?s) marker\+\d+\n(?: +landing\+\d+\n)? +made_by_jit\+6\n +main\+\d+\n",
    ),
    works(
        "stack-of-code-made-at-run-time-after-its-process",
        "begin { printf(\"%d\\n\", cpid); } uprobe:./p/jit:marker { @[ustack] = count(); }",
        "./t -q -c './p/jit 0 leave' >out; rm \"/tmp/perf-$(head -n 1 out).map\"; cat out",
        r"(?s) marker\+\d+\n(?: +landing\+\d+\n)? +made_by_jit\+6\n +main\+\d+\n",
    ),
    works(
        "stack-of-code-made-at-run-time-in-a-container",
        "uprobe:./p/jit:marker { print(ustack); exit(); }",
        // The map's name has the inner id of the process, and lies in a /tmp that only the process sees.
        "unshare -mpf --mount-proc sh -c 'mount -t tmpfs none /tmp && ./p/jit 1500; exit' & ./t; wait",
        r"(?s) marker\+\d+\n(?: +landing\+\d+\n)? +made_by_jit\+6\n +main\+\d+\n",
    ),
];

impl Case {
    const fn before(mut self, before: &'static str) -> Case {
        self.before = before;
        self
    }

    const fn command(mut self, command: &'static str) -> Case {
        self.command = command;
        self
    }
}
