//! Preambles through libclang, against the hand-written kernel.

use super::*;
use crate::host::fixture::FixtureHost;
use crate::host::{CType, HostMember, HostRecord, RecordOrigin};

fn preamble(text: &str) -> Preamble {
    read(
        &FixtureHost,
        Machine::default(),
        text,
        &COptions::default(),
        0,
    )
    .unwrap()
}

/// A preamble without complaints.
fn sound(text: &str) -> Preamble {
    let made = preamble(text);
    assert_eq!(made.errors, [], "{text}");
    made
}

impl Preamble {
    fn record(&self, name: &str) -> &HostRecord {
        let mut records = self.definitions.records.iter();
        records.find(|r| r.name == name).unwrap()
    }

    fn body(&self, name: &str) -> &HostRecordBody {
        self.of(self.record(name))
    }

    fn of(&self, record: &HostRecord) -> &HostRecordBody {
        &self.bodies[record.id as usize]
    }

    fn member(&self, record: &str, name: &str) -> &HostMember {
        let mut members = self.body(record).members.iter();
        members.find(|m| m.name == name).unwrap()
    }

    fn integer(&self, name: &str) -> Option<i128> {
        let mut all = self.definitions.integers.iter();
        all.find(|(n, _)| n == name).map(|(_, value)| *value)
    }

    fn string(&self, name: &str) -> Option<&str> {
        let mut all = self.definitions.strings.iter();
        let (_, bytes) = all.find(|(n, _)| n == name)?;
        std::str::from_utf8(bytes).ok()
    }

    fn fatal(&self) -> Vec<&str> {
        let fatal = self.errors.iter().filter(|e| e.fatal);
        fatal.map(|e| e.message.as_str()).collect()
    }
}

fn int(bytes: u8, signed: bool) -> CType {
    CType::Int {
        bytes,
        signed,
        bool_: false,
        char_: false,
    }
}

fn bare(ty: &CType) -> &CType {
    match ty {
        CType::Typedef { to, .. } => bare(to),
        other => other,
    }
}

#[test]
fn members_have_offsets_and_types() {
    let made = sound(
        "struct s { char c; long l; unsigned char b[3]; char name[8]; struct s *next; char **pp; };",
    );
    let body = made.body("s");
    assert_eq!(body.size, 48);
    let offsets: Vec<_> = body.members.iter().map(|m| m.bit_offset / 8).collect();
    assert_eq!(offsets, [0, 8, 16, 19, 32, 40]);
    assert!(matches!(
        &made.member("s", "c").ty,
        CType::Int {
            char_: true,
            bytes: 1,
            ..
        }
    ));
    let array = CType::Array {
        element: Box::new(int(1, false)),
        count: 3,
    };
    assert_eq!(made.member("s", "b").ty, array);
    let CType::Pointer { to, user: false } = &made.member("s", "next").ty else {
        panic!()
    };
    assert_eq!(**to, CType::Record(made.record("s").clone()));
    let CType::Pointer { to, .. } = &made.member("s", "pp").ty else {
        panic!()
    };
    assert!(matches!(&**to, CType::Pointer { .. }));
}

#[test]
fn integer_types_need_no_header() {
    let made = sound(
        "struct s { uint8_t a; int32_t b; bool c; size_t d; u64 e; __u32 f; pid_t g; s8 h[2]; };",
    );
    let sizes: Vec<_> = made
        .body("s")
        .members
        .iter()
        .map(|m| m.bit_offset / 8)
        .collect();
    assert_eq!(sizes, [0, 4, 8, 16, 24, 32, 36, 40]);
    assert!(matches!(
        bare(&made.member("s", "c").ty),
        CType::Int { bool_: true, .. }
    ));
    assert_eq!(*bare(&made.member("s", "e").ty), int(8, false));
}

#[test]
fn own_typedefs_of_well_known_names_win() {
    let made = sound("typedef unsigned short u64;\nstruct s { u64 a; u64 b; uint8_t c; };");
    assert_eq!(made.body("s").size, 6);
}

#[test]
fn packed_and_aligned() {
    let made = sound(
        "struct __attribute__((packed)) p { char c; int i; };
         struct q { char c; int i; } __packed;
         struct a { char c; int i __attribute__((aligned(32))); } __attribute__((aligned(64)));",
    );
    assert_eq!(
        (
            made.body("p").size,
            made.body("q").size,
            made.body("a").size
        ),
        (5, 5, 64)
    );
    assert_eq!(made.member("a", "i").bit_offset, 256);
}

#[test]
fn bitfields() {
    let made = sound(
        "struct b { unsigned a : 3; int b : 5; int : 4; unsigned long c : 40; int : 0; char d; };",
    );
    let members = &made.body("b").members;
    let seen: Vec<_> = members
        .iter()
        .map(|m| (m.name.as_str(), m.bit_offset, m.bitfield))
        .collect();
    assert_eq!(
        seen,
        [
            ("a", 0, Some(3)),
            ("b", 3, Some(5)),
            ("c", 12, Some(40)),
            ("d", 64, None)
        ]
    );
    assert_eq!(members[1].ty, int(4, true));
}

#[test]
fn anonymous_members() {
    let made = sound(
        "struct s { int a; union { int b; struct { short c, d; }; }; struct { int e; } f; };",
    );
    let body = made.body("s");
    assert_eq!(body.members[1].name, "");
    let CType::Record(union) = &body.members[1].ty else {
        panic!()
    };
    assert!(union.union && union.name.is_empty());
    let inner = made.of(union);
    assert_eq!(
        (
            inner.members[0].name.as_str(),
            inner.members[1].name.as_str()
        ),
        ("b", "")
    );
    assert_eq!(body.members[2].name, "f");
}

#[test]
fn flexible_arrays_and_nested_definitions() {
    let made =
        sound("struct s { struct inner { int x; } i; enum state { OFF, ON } e; int data[]; };");
    assert!(matches!(
        &made.member("s", "data").ty,
        CType::Array { count: 0, .. }
    ));
    assert_eq!(made.body("inner").size, 4);
    assert_eq!(made.definitions.enums[0].name, "state");
}

#[test]
fn enums() {
    let made = sound(
        "enum small { A = -1, B = 2 };
         enum wide { W = 0xffffffffffffffff };
         enum { NAMELESS = 7 };
         typedef enum { T = 1 } t;",
    );
    let enums = &made.definitions.enums;
    assert_eq!((enums[0].bytes, enums[0].signed), (4, true));
    assert_eq!(
        enums[0].values,
        [("A".to_owned(), u64::MAX), ("B".to_owned(), 2)]
    );
    assert_eq!((enums[1].bytes, enums[1].values[0].1), (8, u64::MAX));
    assert_eq!((enums[2].name.as_str(), enums[2].values[0].1), ("", 7));
    assert_eq!(enums[3].values[0].1, 1);
    assert_eq!(made.definitions.typedefs[0].0, "t");
}

#[test]
fn integer_macros() {
    let made = sound(
        "struct s { long a; int b; };
         #define ONE 1
         #define SHIFTED (ONE << 40)
         #define WIDE (1ULL << 63)
         #define MINUS -5
         #define ALL ~0ULL
         #define CHAR 'x'
         #define SIZE sizeof(struct s)
         #define WORDS (sizeof(struct s) / sizeof(uint64_t))
         #define CAST ((unsigned char)0x1ff)
         #define HEX 0xffffffff
         enum { E = 3 };
         #define OF_ENUM E",
    );
    for (name, value) in [
        ("ONE", 1),
        ("WIDE", 1 << 63),
        ("MINUS", -5),
        ("ALL", i128::from(u64::MAX)),
        ("CHAR", 120),
        ("SIZE", 16),
        ("WORDS", 2),
        ("CAST", 0xff),
        ("HEX", 0xffff_ffff),
        ("OF_ENUM", 3),
    ] {
        assert_eq!(made.integer(name), Some(value), "{name}");
    }
}

#[test]
fn string_macros() {
    let made = sound(
        "#define A \"te\\txt\"\n#define B A \" more\"\n#define C (1)\n#define D \"\"\n#define W L\"w\"",
    );
    assert_eq!(made.string("A"), Some("te\txt"));
    assert_eq!(made.string("B"), Some("te\txt more"));
    assert_eq!(made.string("C"), None);
    assert_eq!(made.string("D"), Some(""));
    assert_eq!(made.string("W"), None);
    assert_eq!(made.integer("A"), None);
}

#[test]
fn other_macros_are_ignored() {
    let made = sound(
        "#define EMPTY
         #define OPEN {
         #define USES OPEN 1
         #define COMMA 1, btc_x = 2
         #define F(x) x
         #define NOTHING nothing
         #define FLOAT 1.5
         #define POINTER ((void *)0)
         #define SELF SELF
         #define TYPE struct nope
         #define GONE 3
         #undef GONE
         #define LAST 9",
    );
    assert_eq!(made.definitions.integers, [("LAST".to_owned(), 9)]);
    assert!(made.definitions.strings.is_empty());
}

#[test]
fn kernel_types_behind_pointers() {
    let made = sound(
        "struct s { struct task_struct *t; struct list_head l; struct later *m; };\nstruct later { int x; };",
    );
    let CType::Pointer { to, .. } = &made.member("s", "t").ty else {
        panic!()
    };
    assert_eq!(
        **to,
        CType::Opaque {
            name: "task_struct".into(),
            union: false
        }
    );
    assert_eq!(made.member("s", "m").bit_offset, 192);
    let CType::Pointer { to, .. } = &made.member("s", "m").ty else {
        panic!()
    };
    assert_eq!(**to, CType::Record(made.record("later").clone()));
    assert!(
        made.definitions
            .records
            .iter()
            .all(|r| r.name != "list_head")
    );
}

#[test]
fn kernel_enums_stay_the_kernels() {
    let made = sound("struct s { enum fixture_state e; };");
    let CType::Enum(of) = &made.member("s", "e").ty else {
        panic!()
    };
    assert_eq!(
        (of.name.as_str(), of.origin),
        ("fixture_state", RecordOrigin::KernelBtf)
    );
}

#[test]
fn a_copy_of_a_kernel_struct_that_holds_kernel_structs_is_the_kernels() {
    let text = "/* struct file { */\nstruct file {\n  struct path f_path; // }\n};\nstruct s { struct file *f; int n; };";
    let made = preamble(text);
    assert_eq!(made.fatal(), <[&str; 0]>::default());
    let said: Vec<_> = made
        .errors
        .iter()
        .map(|e| (&*e.message, e.offset))
        .collect();
    assert_eq!(
        said,
        [(
            "the kernel's own `struct file` is used: this copy of it holds the kernel's `struct path`, whose size differs between kernels",
            text.find("f_path")
        )]
    );
    assert!(made.definitions.records.iter().all(|r| r.name != "file"));
    assert_eq!(made.member("s", "n").bit_offset, 64);
}

#[test]
fn a_kernel_struct_by_value_is_an_error() {
    let made = preamble("struct s { struct task_struct t; };");
    assert_eq!(
        made.fatal(),
        [
            "`struct task_struct` is the kernel's, and its size differs between kernels: a member can only point to it"
        ]
    );
}

#[test]
fn user_pointers() {
    let made = sound("struct s { char __user *p; const void *q; };");
    assert!(matches!(
        &made.member("s", "p").ty,
        CType::Pointer { user: true, .. }
    ));
    assert!(matches!(
        &made.member("s", "q").ty,
        CType::Pointer { user: false, .. }
    ));
}

#[test]
fn missing_headers_are_dropped_with_a_warning() {
    let text = "#include <linux/not-there.h>\n#include <net/neither.h> // why\nstruct s { u32 x; };\n#define N 4";
    let made = preamble(text);
    assert_eq!(made.fatal(), <[&str; 0]>::default());
    let warned: Vec<_> = made
        .errors
        .iter()
        .map(|e| (e.message.as_str(), e.offset))
        .collect();
    let says = |name| {
        format!("C header `{name}` is not installed here: kernel types come from BTF instead")
    };
    let (first, second) = (says("linux/not-there.h"), says("net/neither.h"));
    assert_eq!(
        warned,
        [(first.as_str(), Some(0)), (second.as_str(), Some(29))]
    );
    assert_eq!((made.body("s").size, made.integer("N")), (4, Some(4)));
    let own = preamble("#include \"not-there.h\"");
    assert_eq!(own.fatal(), ["'not-there.h' file not found"]);
}

/// A machine without any headers.
fn bare_machine(text: &str) -> Preamble {
    let root = std::env::temp_dir().join(format!("btc-bare-{}", std::process::id()));
    std::fs::create_dir_all(root.join("usr/include")).unwrap();
    let machine = Machine {
        sysroot: Some(&root),
        arch: Arch::X86_64,
    };
    read(&FixtureHost, machine, text, &COptions::default(), 0).unwrap()
}

#[test]
fn headers_that_are_not_installed_are_served_from_the_table() {
    let text = "#include <linux/sched.h>\n#include <sys/socket.h>\n#include <uapi/linux/fcntl.h>\n#include <linux/skbuff.h>
#define FAMILY (AF_INET6 + 1)\n#define NAME_OF_TASK char name[TASK_COMM_LEN]
struct s { char name[TASK_COMM_LEN]; };\n#if FAMILY\n#endif";
    let made = bare_machine(text);
    assert_eq!(made.errors, []);
    assert_eq!(made.body("s").size, 16);
    for (name, value) in [
        ("TASK_UNINTERRUPTIBLE", 2),
        ("AF_INET", 2),
        ("FAMILY", 11),
        ("O_DIRECTORY", 0o200_000),
        ("SIGKILL", 9),
    ] {
        assert_eq!(made.integer(name), Some(value), "{name}");
    }
    assert_eq!(made.integer("EPOLLIN"), None);
}

#[test]
fn own_names_hide_those_of_the_table() {
    let text = "#include <sys/socket.h>\n#define AF_UNIX 77\nenum { AF_INET = 5 };\n#define SOCK_RAW while (1)";
    let made = bare_machine(text);
    assert_eq!(made.errors, []);
    assert_eq!(made.integer("AF_UNIX"), Some(77));
    assert_eq!(made.integer("AF_INET"), None);
    assert_eq!(made.integer("SOCK_RAW"), None);
    assert_eq!(made.integer("SOCK_STREAM"), Some(1));
}

#[test]
fn kernel_constants_that_an_installed_header_lacks() {
    let made = sound("#include <linux/sched.h>\n#include <net/sock.h>\nstruct s { int x; };");
    assert_eq!(made.integer("TASK_INTERRUPTIBLE"), Some(1));
    assert_eq!(made.integer("AF_INET"), Some(2));
}

#[test]
fn headers_that_nobody_has_are_errors() {
    let made = bare_machine("struct s { int x; };\n#include <mine/own.h>\n#include <linux/fs.h>");
    assert_eq!(
        made.fatal(),
        ["C header `mine/own.h` is not found: `-I DIR` adds a directory to look in"]
    );
    assert_eq!(made.errors[0].offset, Some(21));
}

#[test]
fn headers_from_directories_and_options() {
    let directory = std::env::temp_dir().join(format!("btc-clang-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.join(name), text).unwrap();
    write("a.h", "struct a { long x; };\n#define FROM_A 11\n");
    write(
        "b.h",
        "#define FROM_B sizeof(struct b)\nstruct b { char c[3]; };\n",
    );
    write("broken.h", "\nstruct x { unknown y; };\n");
    write("needs.h", "#include <not/there.h>\n");
    let options = COptions {
        directories: vec![],
        include_directories: vec![directory.clone()],
        includes: vec!["b.h".to_owned()],
    };
    let with = |text: &str| read(&FixtureHost, Machine::default(), text, &options, 5).unwrap();
    let made = with("#include <a.h>\nstruct c { struct a a; struct b b; };");
    assert_eq!(made.errors, []);
    assert_eq!(
        made.record("c").id - 5,
        made.bodies.iter().position(|b| b.size == 16).unwrap() as u64
    );
    assert_eq!(
        (made.integer("FROM_A"), made.integer("FROM_B")),
        (Some(11), Some(3))
    );
    let broken = with("struct c { int x; };\n#include \"broken.h\"");
    let error = &broken.errors[0];
    assert!(
        error
            .message
            .ends_with("broken.h:2: unknown type name 'unknown'"),
        "{error:?}"
    );
    assert!(
        error.offset.is_some_and(|at| (21..40).contains(&at)),
        "{error:?}"
    );
    let needs = with("#include <needs.h>\nstruct c { int x; };");
    assert_eq!(needs.fatal(), <[&str; 0]>::default());
    assert!(
        needs.errors[0]
            .message
            .starts_with("C header `needs.h` is left out")
    );
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn headers_of_the_running_kernel() {
    let root = std::env::temp_dir().join(format!("btc-tree-{}", std::process::id()));
    let write = |name: &str, text: &str| {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let tree = "lib/modules/6.0/build/include";
    write("proc/sys/kernel/osrelease", "6.0\n");
    write(&format!("{tree}/linux/kconfig.h"), "#define CONFIG_X 1\n");
    write(
        &format!("{tree}/net/good.h"),
        "#ifdef CONFIG_X\n#define GOOD 5\nstruct file { int wrong; };\nenum e { E };\n#endif\n",
    );
    write(&format!("{tree}/net/bad.h"), "this is not C;\n");
    let machine = Machine {
        sysroot: Some(&root),
        ..Machine::default()
    };
    let with = |text: &str| read(&FixtureHost, machine, text, &COptions::default(), 0).unwrap();
    let good = with("#include <net/good.h>\nstruct s { struct file *f; };");
    assert_eq!((&good.errors, good.integer("GOOD")), (&vec![], Some(5)));
    assert_eq!(
        (good.definitions.records.len(), good.definitions.enums.len()),
        (1, 0)
    );
    let CType::Pointer { to, .. } = &good.member("s", "f").ty else {
        panic!()
    };
    assert!(matches!(&**to, CType::Opaque { name, .. } if name == "file"));
    let whole = with(
        "#include <net/good.h>\n#define SIZE sizeof(struct file)\n#define MORE (SIZE + GOOD)\nstruct whole { int x; struct file f[2]; };",
    );
    assert_eq!(
        (whole.fatal(), whole.errors[0].offset),
        (
            vec![
                "`struct file` is the kernel's, and its size differs between kernels: a member can only point to it"
            ],
            Some(104)
        )
    );
    let sizes = with(
        "#include <net/good.h>\n#define SIZE sizeof(struct file)\n#define MORE (SIZE + GOOD)\n#define LESS (GOOD - 1)",
    );
    assert_eq!(
        (
            sizes.integer("SIZE"),
            sizes.integer("MORE"),
            sizes.integer("LESS")
        ),
        (None, None, Some(4))
    );
    let bad = with("#include <net/good.h>\n#include <net/bad.h>\nstruct s { int x; };");
    assert_eq!(
        (bad.fatal().len(), bad.errors.len(), bad.body("s").size),
        (0, 2, 4)
    );
    std::fs::remove_dir_all(&root).unwrap();
}

#[test]
fn errors_know_their_place() {
    let made = preamble("struct a { int x; };\nstruct s { wrong y; };\n");
    let error = &made.errors[0];
    assert_eq!(
        (error.message.as_str(), error.offset, error.fatal),
        ("unknown type name 'wrong'", Some(32), true)
    );
}

#[test]
fn a_missing_semicolon_is_no_error() {
    let made = sound("struct a { int x; }\nstruct b { struct a a; }\nenum e { X = 1 }\n");
    assert_eq!(made.body("b").size, 4);
}

#[test]
fn nonsense_is_an_error_and_no_panic() {
    let deep = format!("struct s {{ int x{}; }};", "[1]".repeat(300));
    let nested = format!("{}int x;{}", "struct { ".repeat(300), "} a;".repeat(300));
    for text in [
        "struct",
        "struct s {",
        "struct s { struct s s; };",
        "#if 1\nstruct s { int x; };",
        "#error no\n",
        "/* open",
        "#define A \\",
        "\0\u{1}\u{fffd}",
        "struct s { int x : 99; };",
        "struct s { int x[-1]; };",
        "struct s { int x[99999999999999]; };",
        "typedef int a[2][3]; typedef a b; typedef struct s t; t *u;",
        "int f(void) { return 1; }",
        "int x asm(\"y\"); typeof(x) z;",
        "#include <>\n#include \n#include \"\n",
        "#line 7 \"other.c\"\nstruct s { wrong y; };",
        &deep,
        &nested,
    ] {
        let made = preamble(text);
        assert!(made.errors.len() <= MAX_ERRORS, "{text}");
    }
}

const WORDS: &[&str] = &[
    "struct",
    "union",
    "enum",
    "typedef",
    "s",
    "u8",
    "int",
    "{",
    "}",
    ";",
    "*",
    "[",
    "]",
    "3",
    ":",
    ",",
    "=",
    "(",
    ")",
    "\n#define ",
    "\n#include <x>\n",
    "\n#if ",
    "\n#endif\n",
    "A",
    "\"",
    "'",
    "\\",
    "__packed",
    "sizeof",
    "list_head",
    "\n",
    "\0",
    "é",
    "#",
    "/*",
    "*/",
];

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    #[test]
    fn any_words_come_to_an_end(words in proptest::collection::vec(0..WORDS.len(), 0..60)) {
        let words: Vec<&str> = words.into_iter().map(|at| WORDS[at]).collect();
        let made = preamble(&words.join(" "));
        for record in &made.definitions.records {
            let _ = made.of(record);
        }
    }
}

#[test]
fn types_are_the_targets() {
    let on = |arch: Arch| {
        let machine = Machine {
            sysroot: None,
            arch,
        };
        let text = "#ifdef __aarch64__\n#define ARM 1\n#else\n#define ARM 0\n#endif\n\
                    #define LEAST ((char)-1)\nstruct pair { long double x; };\n";
        let made = read(&FixtureHost, machine, text, &COptions::default(), 0).unwrap();
        assert_eq!(made.errors, []);
        (made.integer("ARM"), made.integer("LEAST"))
    };
    assert_eq!(on(Arch::X86_64), (Some(0), Some(-1)));
    // Plain char has no sign there.
    assert_eq!(on(Arch::Arm64), (Some(1), Some(255)));
}
