//! Structs of a script's own, made at random: every member that btc reads in a process's memory, by pointer, by index and
//! in a copy, is what the C program that gcc built says of it; so are sizes and offsets.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::Command;

use btc_tests::compile::btc;
use btc_tests::random::Random;

/// Structs of one program, and the programs.
const STRUCTS: usize = 12;
const PROGRAMS: u64 = 3;
/// Members of one level.
const MEMBERS: usize = 6;
/// Integer types with their bits.
const INTEGERS: [(&str, u32); 8] = [
    ("signed char", 8),
    ("unsigned char", 8),
    ("short", 16),
    ("unsigned short", 16),
    ("int", 32),
    ("unsigned int", 32),
    ("long", 64),
    ("unsigned long", 64),
];

/// An integer in a struct: its path, such as `m1.m2[3]`.
struct Leaf {
    path: String,
    signed: bool,
}

/// A struct as C, and what is in it.
#[derive(Default)]
struct Struct {
    text: String,
    leaves: Vec<Leaf>,
    /// Members of the first level whose place C can name.
    placed: Vec<String>,
    names: usize,
}

impl Struct {
    fn new(index: usize, random: &mut Random) -> Struct {
        let mut made = Struct::default();
        let attributes = match random.below(6) {
            0 => "__attribute__((packed)) ".to_owned(),
            1 => format!("__attribute__((aligned({}))) ", 1 << random.below(6)),
            2 => format!(
                "__attribute__((packed, aligned({}))) ",
                1 << random.below(4)
            ),
            _ => String::new(),
        };
        write!(made.text, "struct {attributes}made{index} {{").unwrap();
        made.members(random, 0, "");
        made.text += "};\n";
        made
    }

    fn members(&mut self, random: &mut Random, depth: usize, before: &str) {
        for _ in 0..=random.below(MEMBERS) {
            self.member(random, depth, before);
        }
    }

    fn member(&mut self, random: &mut Random, depth: usize, before: &str) {
        let name = format!("m{}", self.names);
        self.names += 1;
        let path = format!("{before}{name}");
        let &(ty, bits) = random.pick(&INTEGERS);
        let signed = !ty.starts_with("unsigned");
        match random.below(if depth < 2 { 11 } else { 8 }) {
            0..3 => {
                let attribute = match random.below(8) {
                    0 => " __attribute__((aligned(8)))",
                    1 => " __attribute__((packed))",
                    _ => "",
                };
                write!(self.text, " {ty} {name}{attribute};").unwrap();
                self.place(depth, &name);
                self.leaves.push(Leaf { path, signed });
            }
            3..7 => {
                let width = 1 + random.below(bits as usize);
                write!(self.text, " {ty} {name} : {width};").unwrap();
                if random.once_in(5) {
                    let gap = random.below(bits as usize);
                    write!(self.text, " {ty} : {gap};").unwrap();
                }
                self.leaves.push(Leaf { path, signed });
            }
            7 => {
                let (rows, columns) = (1 + random.below(3), 1 + random.below(3));
                write!(self.text, " {ty} {name}[{rows}][{columns}];").unwrap();
                self.place(depth, &name);
                for at in [(0, 0), (rows - 1, columns - 1)] {
                    let path = format!("{path}[{}][{}]", at.0, at.1);
                    self.leaves.push(Leaf { path, signed });
                }
            }
            kind => {
                let word = *random.pick(&["struct", "struct", "union"]);
                write!(self.text, " {word} {{").unwrap();
                let named = kind == 8;
                let within = format!("{path}.");
                self.members(random, depth + 1, if named { &within } else { before });
                write!(
                    self.text,
                    " }}{};",
                    if named {
                        format!(" {name}")
                    } else {
                        String::new()
                    }
                )
                .unwrap();
                if named {
                    self.place(depth, &name);
                }
            }
        }
    }

    fn place(&mut self, depth: usize, name: &str) {
        if depth == 0 {
            self.placed.push(name.to_owned());
        }
    }
}

/// The program: two structs of each kind, full of noise; it prints what they are, and calls a function with each pair.
fn program(structs: &[Struct]) -> String {
    let mut text = String::from("#include <stddef.h>\n#include <stdio.h>\n#include <unistd.h>\n");
    let mut main = String::from("int main(void) {\nunsigned x = 12345;\n");
    for (index, made) in structs.iter().enumerate() {
        text += &made.text;
        write!(
            text,
            "static struct made{index} v{index}[2];\n\
             __attribute__((noipa)) void take{index}(struct made{index} *p) {{ __asm__ volatile(\"\" :: \"r\"(p)); }}\n"
        )
        .unwrap();
        write!(
            main,
            "for (size_t i = 0; i < sizeof v{index}; i++) ((unsigned char *)v{index})[i] = (x = x * 1103515245 + 12345) >> 16;\n\
             printf(\"{index} size %d\\n\", (int)sizeof(struct made{index}));\ntake{index}(v{index});\n"
        )
        .unwrap();
        for name in &made.placed {
            writeln!(
                main,
                "printf(\"{index} place {name} %d\\n\", (int)offsetof(struct made{index}, {name}));"
            )
            .unwrap();
        }
        for Leaf { path, signed } in &made.leaves {
            let (ty, format) = match signed {
                true => ("long long", "%lld"),
                false => ("unsigned long long", "%llu"),
            };
            for (reading, at) in [("pointer", 0), ("copy", 0), ("index", 1)] {
                writeln!(
                    main,
                    "printf(\"{index} {reading} {path} {format}\\n\", ({ty})v{index}[{at}].{path});"
                )
                .unwrap();
            }
        }
    }
    text + &main + "return 0; }\n"
}

/// The script that reads the same from outside.
fn script(structs: &[Struct]) -> String {
    let mut text: String = structs.iter().map(|made| made.text.as_str()).collect();
    for (index, made) in structs.iter().enumerate() {
        write!(
            text,
            "uprobe:./program:take{index} {{\n $p = (struct made{index} *)arg0; $c = *$p;\n printf(\"{index} size %d\\n\", sizeof(struct made{index}));\n"
        )
        .unwrap();
        for name in &made.placed {
            writeln!(
                text,
                " printf(\"{index} place {name} %d\\n\", offsetof(struct made{index}, {name}));"
            )
            .unwrap();
        }
        for Leaf { path, signed } in &made.leaves {
            let format = if *signed { "%lld" } else { "%llu" };
            for (reading, object) in [("pointer", "$p->"), ("copy", "$c."), ("index", "$p[1].")] {
                writeln!(
                    text,
                    " printf(\"{index} {reading} {path} {format}\\n\", {object}{path});"
                )
                .unwrap();
            }
        }
        text += "}\n";
    }
    text
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{said}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn members_are_where_gcc_puts_them() {
    let mut compared = 0;
    for seed in 1..=PROGRAMS {
        let within = btc_tests::work_directory().join(format!("layouts-{seed}"));
        std::fs::create_dir_all(&within).unwrap();
        let mut random = Random::new(seed);
        let structs: Vec<_> = (0..STRUCTS).map(|n| Struct::new(n, &mut random)).collect();
        std::fs::write(within.join("program.c"), program(&structs)).unwrap();
        std::fs::write(within.join("script.bt"), script(&structs)).unwrap();
        let gcc = ["-O1", "-g", "-o", "program", "program.c"];
        output(Command::new("gcc").args(gcc).current_dir(&within));
        let words = ["script.bt", "-o", "tool"];
        output(
            Command::new(btc().unwrap())
                .args(words)
                .current_dir(&within),
        );
        let tool = ["-q", "-c", "./program"];
        let both = output(Command::new("./tool").args(tool).current_dir(&within));
        let alone = output(Command::new("./program").current_dir(&within));
        let wanted: BTreeSet<&str> = alone.lines().collect();
        let found: BTreeSet<&str> = both.lines().filter(|line| !line.is_empty()).collect();
        let wrong: Vec<_> = found.symmetric_difference(&wanted).collect();
        assert!(
            wrong.is_empty(),
            "seed {seed}: {wrong:#?}\n{}",
            within.display()
        );
        // The program's lines are among the tool's: each must be there twice.
        let twice = both.lines().filter(|line| !line.is_empty()).count();
        assert_eq!(twice, alone.lines().count() * 2, "seed {seed}");
        compared += alone.lines().count();
    }
    assert!(compared > 500, "only {compared} values");
}
