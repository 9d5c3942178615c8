//! Nothing of the build machine's kernel is in an object: every access to a kernel type is a CO-RE relocation, and
//! two kernels whose types differ in every offset, size and value give the same object.

use std::path::PathBuf;

use btc::options::Language;
use btc::source::Source;
use btc_tests::btf::{Builder, Relocation, relocations};
use btc_tests::{root, work_directory};

const SCRIPT: &str = r#"
fentry:do_thing {
  print(args.node->next->id);
  print(args.node->name);
  print(args.node->slots[2]);
  print(args.node->low);
  print(args.node->value.wide);
  print(args.node->first);
  print(args.node->mode == MODE_ON);
  print(sizeof(struct node));
  print(offsetof(struct node, mode));
  $copy = *args.node->next;
  print($copy.slots[1]);
  @copies[$copy.value] = *args.node;
  $owner = args.node->owner;
  print($owner.val);
  print(sizeof(kid_t));
  print(((kid_t *)args.node)->val);
  $where = args.node->where;
  print($where.line);
  $spot = &args.node->spots[1];
  print($spot->to);
  print(args.node->spots[cpu].to);
}
rawtracepoint:switch {
  print(args.task->tgid);
  print(args.node->value.word);
}
kprobe:anything {
  print(curtask->real_parent->comm);
  $node = (struct node *)arg0;
  print($node->high);
  print($node[1].id);
  print(($node + 1)->id);
}
"#;

/// What a kernel's layout has in front of every member, and how its enum counts.
#[derive(Clone, Copy)]
struct Layout {
    pad: u32,
    first_value: u32,
}

/// A kernel of a few types, laid out as told.
fn kernel(layout: Layout) -> Vec<u8> {
    let mut btf = Builder::new();
    let pad = layout.pad;
    let u32_ = btf.int("unsigned int", 4, false);
    let int = btf.int("int", 4, true);
    let u64_ = btf.int("unsigned long long", 8, false);
    let char_ = btf.int("char", 1, true);
    let name = btf.array(char_, u32_, 16);
    let slots = btf.array(u32_, u32_, 4);
    let mode = btf.enumeration(
        "mode",
        &[
            ("MODE_OFF", layout.first_value),
            ("MODE_ON", layout.first_value + 1),
        ],
    );
    let value = btf.record(
        "value",
        true,
        8,
        &[("word", u32_, 0, 0), ("wide", u64_, 0, 0)],
    );
    let either = btf.record(
        "",
        true,
        4,
        &[("first", u32_, 0, 0), ("second", u32_, 0, 0)],
    );
    let unnamed = |btf: &mut Builder, first: &'static str, second: &'static str| {
        let members = [(first, u32_, pad * 8, 0), (second, u32_, pad * 8 + 32, 0)];
        btf.record("", false, 8 + pad, &members)
    };
    let owner = btf.record("", false, 4 + pad, &[("val", u32_, pad * 8, 0)]);
    let owner = btf.typedef("kid_t", owner);
    let place = unnamed(&mut btf, "line", "column");
    let spot = unnamed(&mut btf, "from", "to");
    let spots = btf.array(spot, u32_, 3);
    let node_pointer = btf.pointer(btf.next_id() + 1);
    let at = |bytes: u32| (pad + bytes) * 8;
    btf.record(
        "node",
        false,
        108 + 6 * pad,
        &[
            ("next", node_pointer, at(0), 0),
            ("id", u32_, at(8), 0),
            ("name", name, at(12), 0),
            ("slots", slots, at(28), 0),
            ("low", u32_, at(44) + pad / 4, 3),
            ("high", u32_, at(44) + pad / 4 + 3, 5),
            ("value", value, at(48), 0),
            ("mode", mode, at(56), 0),
            ("", either, at(60), 0),
            ("owner", owner, at(64), 0),
            ("where", place, at(68) + 8 * pad, 0),
            ("spots", spots, at(76) + 16 * pad, 0),
        ],
    );
    let task_pointer = btf.pointer(btf.next_id() + 1);
    btf.record(
        "task_struct",
        false,
        48 + pad,
        &[
            ("pid", int, at(0), 0),
            ("tgid", int, at(4), 0),
            ("real_parent", task_pointer, at(8), 0),
            ("comm", name, at(16), 0),
        ],
    );
    let prototype = btf.prototype(int, &[("node", node_pointer), ("count", u64_)]);
    btf.function("do_thing", prototype);
    let void_pointer = btf.pointer(0);
    let trace = btf.prototype(
        0,
        &[
            ("__data", void_pointer),
            ("task", task_pointer),
            ("node", node_pointer),
        ],
    );
    let trace = btf.pointer(trace);
    btf.typedef("btf_trace_switch", trace);
    btf.finish()
}

fn compiled(name: &str, layout: Layout) -> Vec<u8> {
    let directory = work_directory();
    std::fs::create_dir_all(&directory).expect("the target directory");
    let path: PathBuf = directory.join(format!("{name}.btf"));
    std::fs::write(&path, kernel(layout)).expect("a BTF file");
    let language = Language {
        btf: Some(path),
        ..Language::default()
    };
    let outcome = btc::compile(Source::new("core.bt", SCRIPT), "core", &language);
    let outcome = outcome.expect("no bug");
    let said: Vec<_> = outcome.diagnostics.iter().collect();
    outcome
        .compiled
        .unwrap_or_else(|| panic!("{said:?}"))
        .object
}

fn accesses(found: &[Relocation]) -> String {
    let lines: Vec<_> = found
        .iter()
        .map(|r| format!("{}: {}\n", r.program, r.access))
        .collect();
    lines.concat()
}

#[test]
fn every_kernel_access_is_a_relocation() {
    let object = compiled(
        "plain",
        Layout {
            pad: 0,
            first_value: 0,
        },
    );
    let found = relocations(&object).expect("relocations");
    let golden = root().join("tests/core_relocations.txt");
    btc_tests::golden::compare(&golden, &accesses(&found)).unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn another_kernels_layout_makes_the_same_object() {
    let plain = Layout {
        pad: 0,
        first_value: 0,
    };
    let shifted = Layout {
        pad: 24,
        first_value: 40,
    };
    let (plain, shifted) = (compiled("plain-2", plain), compiled("shifted", shifted));
    assert_eq!(
        accesses(&relocations(&plain).expect("relocations")),
        accesses(&relocations(&shifted).expect("relocations"))
    );
    assert!(plain == shifted, "the objects differ");
}

#[test]
fn a_struct_that_only_a_pointer_leads_to_is_the_scripts_fault() {
    let mut btf = Builder::new();
    let int = btf.int("int", 4, true);
    let unnamed = btf.record("", false, 8, &[("from", int, 0, 0), ("to", int, 32, 0)]);
    let parts = btf.pointer(unnamed);
    let holder = btf.record("holder", false, 8, &[("parts", parts, 0, 0)]);
    let holder = btf.pointer(holder);
    let prototype = btf.prototype(int, &[("holder", holder)]);
    btf.function("hold", prototype);
    let path = work_directory().join("parts.btf");
    std::fs::create_dir_all(work_directory()).expect("the target directory");
    std::fs::write(&path, btf.finish()).expect("a BTF file");
    let language = Language {
        btf: Some(path),
        ..Language::default()
    };
    for use_ in [
        "print(args.holder->parts->to)",
        "print(*args.holder->parts)",
        "print(args.holder->parts[1].to)",
        "print(args.holder->parts + 1)",
        "print(sizeof(*args.holder->parts))",
        "print(offsetof(*args.holder->parts, to))",
    ] {
        let source = Source::new("parts.bt", format!("fentry:hold {{ {use_}; }}"));
        let outcome = btc::compile(source, "parts", &language).expect("no bug");
        let said = outcome.diagnostics.iter();
        let said: Vec<_> = said
            .map(|d| (d.code.as_str(), d.message.as_str()))
            .collect();
        assert!(
            matches!(said[..], [("unknown-type", message)] if message.contains("has a name")),
            "{use_}: {said:?}"
        );
    }
}

#[test]
fn a_stack_that_is_too_small_is_the_scripts_fault() {
    let values: String = (0..300)
        .map(|i| format!("$v{i} = str({i}); @m[{i}] = $v{i}; "))
        .collect();
    let source = Source::new("stack.bt", format!("begin {{ {values} }}"));
    let outcome = btc::compile(source, "stack", &Language::default()).expect("no bug");
    let codes: Vec<_> = outcome
        .diagnostics
        .iter()
        .map(|d| d.code.as_str())
        .collect();
    assert_eq!(codes, ["stack-too-large"]);
}

#[test]
fn a_jump_that_is_too_far_is_the_scripts_fault() {
    let large = "interval:s:1 { @x = 1; }
begin /@x != 3/ { unroll (50) { unroll (20) { @m[comm, @x] = count(); @x++; } if (@x == 7) { return; } } }";
    program_too_large(large);
}

#[test]
fn loops_that_are_too_deep_are_the_scripts_fault() {
    let nest = |depth: usize| nested_loops(depth, "@x++;");
    program_too_large(&nest(7));
    assert!(is_compiled(&nest(6)));
}

#[test]
fn calls_that_are_too_deep_are_the_scripts_fault() {
    // A search is three functions that call each other, and a loop is one.
    let search = "if (strcontains(str($1, 300), str($2, 300))) { @x++; }";
    program_too_large(&nested_loops(4, search));
    assert!(is_compiled(&nested_loops(3, search)));
}

/// A script whose second probe has loops within each other, around a statement.
fn nested_loops(depth: usize, statement: &str) -> String {
    let heads: String = (0..depth)
        .map(|i| format!("for ($v{i} : 0..@n) {{ "))
        .collect();
    let tails = "} ".repeat(depth);
    format!("interval:s:1 {{ @n = 3; }}\nbegin {{ {heads} {statement} {tails} }}")
}

fn is_compiled(script: &str) -> bool {
    let source = Source::new("nest.bt", script.to_owned());
    let outcome = btc::compile(source, "nest", &Language::default()).expect("no bug");
    outcome.compiled.is_some()
}

/// The second probe is refused.
fn program_too_large(script: &str) {
    let source = Source::new("large.bt", script.to_owned());
    let outcome = btc::compile(source, "large", &Language::default()).expect("no bug");
    let [found] = &outcome.diagnostics.iter().collect::<Vec<_>>()[..] else {
        panic!("{:?}", outcome.diagnostics);
    };
    assert_eq!(found.code.as_str(), "program-too-large");
    assert!(
        script[found.span.start as usize..].starts_with("begin"),
        "{found:?}"
    );
}
