//! Argument specifications as compilers write them, on both architectures.

use super::*;

fn symbols(name: &str) -> Option<u64> {
    match name {
        "counter" => Some(0x4010),
        "a.b" => Some(0x100),
        _ => None,
    }
}

fn all(machine: Machine, text: &str) -> Vec<Parsed> {
    let surroundings = Surroundings {
        machine,
        address: 0x1000,
        symbol: &symbols,
    };
    parse(text, &surroundings)
}

fn x86(text: &str) -> Argument {
    all(Machine::X86_64, text).remove(0).unwrap()
}

fn arm(text: &str) -> Argument {
    all(Machine::Arm64, text).remove(0).unwrap()
}

fn why(machine: Machine, text: &str) -> String {
    all(machine, text).remove(0).unwrap_err()
}

const fn at(offset: u16) -> u16 {
    offset + 1
}

/// base, index, scale, constant
fn memory(argument: Argument) -> (u16, u16, u8, i64) {
    assert_eq!(argument.memory, 1);
    let Argument {
        base,
        index,
        scale,
        constant,
        ..
    } = argument;
    (base, index, scale, constant)
}

#[test]
fn sizes_and_signs() {
    let size = |text| {
        let argument = x86(text);
        (argument.size, argument.signed)
    };
    assert_eq!(size("-4@%eax"), (4, 1));
    assert_eq!(size("1@%al"), (1, 0));
    assert_eq!(size("-8@$5"), (8, 1));
    assert_eq!(size("%rax"), (8, 0));
    assert_eq!(
        why(Machine::X86_64, "3@%eax"),
        "`3@%eax`: a size of `3` bytes"
    );
    assert!(why(Machine::X86_64, "8f@%xmm0").contains("floating point"));
    assert!(why(Machine::X86_64, "8@%xmm0").contains("floating point"));
}

#[test]
fn registers_of_x86_64() {
    let base = |text: &str| {
        let argument = x86(text);
        assert_eq!(
            (argument.memory, argument.index, argument.constant),
            (0, 0, 0)
        );
        argument.base
    };
    for (names, offset) in [
        ("%rax %eax %ax %al", 80),
        ("%rbx %ebx %bx %bl", 40),
        ("%rsi %esi %si %sil", 104),
        ("%rbp %ebp %bp %bpl", 32),
        ("%rsp %esp %sp %spl", 152),
        ("%r8 %r8d %r8w %r8b", 72),
        ("%r15 %r15d %r15w %r15b", 0),
    ] {
        for name in names.split(' ') {
            let text = format!("8@{name}");
            assert_eq!(base(&text), at(offset), "{name}");
        }
    }
    assert_eq!(base("1@%ah"), at(81));
    assert_eq!(base("1@%dh"), at(97));
    for name in ["%r16", "%cs", "%zz", "%", "%rzz", "%foo", "%fs:0x10"] {
        let text = format!("8@{name}");
        assert!(all(Machine::X86_64, &text)[0].is_err(), "{name}");
    }
}

#[test]
fn constants() {
    assert_eq!(x86("-4@$-5").constant, -5);
    assert_eq!(x86("8@$0x10").constant, 16);
    assert_eq!(x86("8@$18446744073709551615").constant, -1);
    assert_eq!(x86("4@$5").memory, 0);
    assert_eq!(arm("-4@-5").constant, -5);
    assert_eq!(arm("4@5").constant, 5);
    assert_eq!(arm("8@#16").constant, 16);
    assert!(why(Machine::X86_64, "8@$main").contains("not a number"));
    assert!(why(Machine::X86_64, "8@$--1").contains("not a number"));
}

#[test]
fn memory_of_x86_64() {
    assert_eq!(memory(x86("8@(%rax)")), (at(80), 0, 0, 0));
    assert_eq!(memory(x86("-4@-20(%rbp)")), (at(32), 0, 0, -20));
    assert_eq!(memory(x86("8@0x10(%rsp)")), (at(152), 0, 0, 16));
    assert_eq!(memory(x86("8@8(%rax,%rcx,4)")), (at(80), at(88), 2, 8));
    assert_eq!(memory(x86("8@(,%rcx,8)")), (0, at(88), 3, 0));
    assert_eq!(memory(x86("8@(%rax,%rcx)")), (at(80), at(88), 0, 0));
    for text in [
        "8@(%rax",
        "8@8(%eax)",
        "8@8(%rax,%rcx,3)",
        "8@8(%rax,%rcx,4,5)",
        "8@8(%rip)",
    ] {
        assert!(all(Machine::X86_64, text)[0].is_err(), "{text}");
    }
}

#[test]
fn symbols_are_as_far_from_the_marker_as_the_binary_says() {
    let ip = at(128);
    assert_eq!(memory(x86("4@counter(%rip)")), (ip, 0, 0, 0x3010));
    assert_eq!(memory(x86("4@counter+4(%rip)")), (ip, 0, 0, 0x3014));
    assert_eq!(memory(x86("4@4+counter(%rip)")), (ip, 0, 0, 0x3014));
    assert_eq!(memory(x86("4@counter-16(%rip)")), (ip, 0, 0, 0x3000));
    assert_eq!(memory(x86("4@a.b")), (ip, 0, 0, -0xf00));
    let stripped = why(Machine::X86_64, "4@gone(%rip)");
    assert!(stripped.contains("no symbol `gone`"), "{stripped}");
    assert!(why(Machine::X86_64, "8@x@GOTPCREL(%rip)").contains("looked up"));
    assert!(why(Machine::X86_64, "8@counter(%rax)").contains("a symbol and a register"));
}

#[test]
fn operands_of_arm64() {
    assert_eq!(arm("4@x0").base, at(0));
    assert_eq!(arm("-4@w19").base, at(152));
    assert_eq!(arm("8@x30").base, at(240));
    assert_eq!(arm("8@sp").base, at(248));
    assert_eq!(
        arm("8@xzr"),
        Argument {
            size: 8,
            ..Argument::default()
        }
    );
    assert_eq!(memory(arm("-4@[sp, 12]")), (at(248), 0, 0, 12));
    assert_eq!(memory(arm("8@[x1]")), (at(8), 0, 0, 0));
    assert_eq!(memory(arm("8@[x29, #-16]")), (at(232), 0, 0, -16));
    assert_eq!(memory(arm("8@[x1,x2]")), (at(8), at(16), 0, 0));
    assert_eq!(memory(arm("8@[x1, x2, lsl 3]")), (at(8), at(16), 3, 0));
    for text in [
        "8@x31",
        "8@[w0]",
        "8@[x1, w2, sxtw 2]",
        "8@[x1",
        "8@[x1, 4]!",
        "8@[]",
        "8@[x1, x2, lsl 9]",
        "8@x+1",
        "8@[sp, 8, 8]",
        "8@",
    ] {
        assert!(all(Machine::Arm64, text)[0].is_err(), "{text}");
    }
    assert!(why(Machine::Arm64, "8@d0").contains("floating point"));
}

#[test]
fn words_split_outside_of_brackets() {
    let parsed = all(Machine::Arm64, " 4@x0  -4@[sp, 12] 8@[x1]\t4@5 ");
    assert_eq!(parsed.len(), 4);
    assert!(parsed.iter().all(Result::is_ok));
    // One that can't be read leaves the others alone.
    let parsed = all(Machine::X86_64, "4@%eax 8f@%xmm0 8@$1");
    assert_eq!(
        [parsed[0].is_ok(), parsed[1].is_ok(), parsed[2].is_ok()],
        [true, false, true]
    );
    assert_eq!(
        all(Machine::X86_64, &"4@$1 ".repeat(40)).len(),
        MOST_ARGUMENTS
    );
}

/// Every operand that is made by the rules is read back as what it was made of.
#[test]
fn made_operands_are_read_back() {
    let registers = [("rax", 80), ("rbp", 32), ("rsp", 152), ("r13", 16)];
    for size in [1i8, -1, 2, -2, 4, -4, 8, -8] {
        for (base, base_at) in registers {
            for (index, index_at) in registers {
                for scale in 0..4u8 {
                    for displacement in [0i64, 8, -8, 0x7fff_ffff, -0x8000_0000] {
                        let times = 1 << scale;
                        let text = format!("{size}@{displacement}(%{base},%{index},{times})");
                        let expected = Argument {
                            constant: displacement,
                            base: at(base_at),
                            index: at(index_at),
                            scale,
                            size: size.unsigned_abs(),
                            memory: 1,
                            signed: u8::from(size < 0),
                        };
                        assert_eq!(x86(&text), expected, "{text}");
                    }
                }
            }
        }
    }
}

#[test]
fn no_text_makes_it_panic() {
    let pieces = [
        "-4",
        "8",
        "@",
        "%",
        "rax",
        "(",
        ")",
        "[",
        "]",
        ",",
        " ",
        "$",
        "5",
        "-",
        "+",
        "counter",
        "é",
        "x1",
        "lsl ",
        "#",
        "0x",
        ":",
        "r8d",
        "l",
        "f",
        "18446744073709551616",
        "%rip",
        "d0",
        "\0",
    ];
    let mut state = 7u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize
    };
    for _ in 0..50_000 {
        let text: String = (0..random() % 9)
            .map(|_| pieces[random() % pieces.len()])
            .collect();
        for machine in [Machine::X86_64, Machine::Arm64] {
            for parsed in all(machine, &text).into_iter().flatten() {
                assert!(matches!(parsed.size, 1 | 2 | 4 | 8), "{text}");
                assert!(
                    parsed.scale < 5 && parsed.base <= 264 && parsed.index <= 264,
                    "{text}"
                );
            }
        }
    }
}
