//! Usdt probes of what a C compiler makes: a position-independent program and its shared library, two processes of it, and
//! binaries whose notes are damaged. (`tests/run/probe/usdt` and `tests/run/usdt` have what needs no library.)

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use btc_tests::compile::btc;

/// The directory with everything that the tests run; made once.
fn directory() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let directory = btc_tests::work_directory().join("usdt");
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).unwrap();
        for level in ["0", "1"] {
            build(&directory, level);
        }
        directory
    })
}

/// The program `user-LEVEL` and the library `libbtcusdtLEVEL.so` that it finds beside itself.
fn build(directory: &Path, level: &str) {
    let source = |name: &str| btc_tests::root().join("tests/programs").join(name);
    let (optimise, library) = (format!("-O{level}"), format!("libbtcusdt{level}.so"));
    let gcc = |words: &[&str], from: &str| {
        let mut command = Command::new("gcc");
        command
            .arg(&optimise)
            .args(words)
            .arg(source(from))
            .current_dir(directory);
        command
    };
    let mut made = gcc(&["-shared", "-fPIC", "-o", &library], "usdt-library.c");
    assert!(made.status().expect("gcc").success());
    let mut made = gcc(
        &["-fPIE", "-pie", "-o", &format!("user-{level}")],
        "usdt-user.c",
    );
    made.arg(format!("./{library}")).arg("-Wl,-rpath,$ORIGIN");
    assert!(made.status().expect("gcc").success());
}

/// Compiles a script to `./NAME`.
fn tool(name: &str, script: &str) {
    let output = Command::new(btc().unwrap())
        .args(["-e", script, "-o", name])
        .current_dir(directory())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// What a shell command printed, both streams.
fn shell(command: &str) -> String {
    let output = Command::new("timeout")
        .args(["-s", "KILL", "60", "sh", "-c", command])
        .current_dir(directory())
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).into_owned()
}

/// Two processes of `user-LEVEL` that wait, `a` of 5 calls and `b` of 7; a tracer of `a` once it has attached; then both go.
fn two_processes(name: &str, level: &str, tracer: &str) -> String {
    shell(&format!(
        "d={name}.d; rm -rf $d; mkdir $d; mkfifo $d/go
         ./user-{level} 5 wait <$d/go >$d/a & a=$!
         ./user-{level} 7 wait <$d/go >$d/b & b=$!
         exec 3>$d/go
         until grep -q libbtcusdt /proc/$a/maps && grep -q libbtcusdt /proc/$b/maps; do sleep 0.02; done
         {tracer} 3>&- >$d/out 2>$d/err & tracer=$!
         until grep -q -e Attached -e : $d/err; do sleep 0.02; done
         exec 3>&-
         wait $a $b $tracer
         echo \"a $(cat $d/a)\"; echo \"b $(cat $d/b)\"; cat $d/out $d/err"
    ))
}

#[track_caller]
fn has(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(
            text.lines().any(|l| l == *line),
            "no line `{line}` in:\n{text}"
        );
    }
}

/// What `library_steps` hands to its marker, over calls with 0 … n-1.
fn steps(calls: i64) -> Vec<(i64, i64, i64)> {
    (0..calls)
        .flat_map(|number| {
            let half = -number;
            [
                (1, -2, 3),
                (number, -3 * number, 200 + number),
                (number + half, half, 250),
                (number, half, 255),
            ]
        })
        .collect()
}

#[test]
fn operands_that_a_compiler_chose() {
    let expected = steps(30);
    for level in ["0", "1"] {
        let name = format!("values-{level}");
        tool(
            &name,
            &format!(
                "usdt:./libbtcusdt{level}.so:library:step {{
                     @n = count(); @a = sum((int64)arg0); @b = sum((int64)arg1); @c = sum((int64)arg2); }}
                 usdt:./user-{level}:user:call /(int64)arg2 == -1/ {{ @calls = count(); @i = sum(arg0); }}"
            ),
        );
        let text = shell(&format!("./{name} -c './user-{level} 30'"));
        let sum = |part: fn(&(i64, i64, i64)) -> i64| expected.iter().map(part).sum::<i64>();
        let lines = [
            "Attached 5 probes".to_owned(),
            format!("@n: {}", expected.len()),
            format!("@a: {}", sum(|step| step.0)),
            format!("@b: {}", sum(|step| step.1)),
            format!("@c: {}", sum(|step| step.2)),
            "@calls: 30".to_owned(),
            "@i: 435".to_owned(),
        ];
        has(&text, &lines.each_ref().map(String::as_str));
    }
}

#[test]
fn one_process_of_two() {
    tool(
        "one",
        "usdt:./libbtcusdt1.so:library:guarded { @[arg0, (int32)arg1, arg2] = count(); }
         usdt:./user-1:user:call { @calls = count(); }",
    );
    let text = two_processes("one-process", "1", "./one -p $a");
    has(
        &text,
        &["a guarded 5", "b guarded 0", "@calls: 5", "@[4, -4, 1]: 1"],
    );
    assert_eq!(text.matches("\n@[").count(), 5, "{text}");
}

#[test]
fn all_binaries_of_a_process() {
    tool(
        "all",
        "usdt:*:*:* { @[probe] = count(); } usdt:libbtcusdt1:step { @short = count(); }",
    );
    let text = two_processes("all-binaries", "1", "./all -p $a");
    let place = directory().display();
    has(
        &text,
        &[
            &format!("@[usdt:{place}/libbtcusdt1.so:library:guarded]: 5"),
            &format!("@[usdt:{place}/libbtcusdt1.so:library:step]: 20"),
            &format!("@[usdt:{place}/user-1:user:call]: 5"),
            "@short: 20",
            "a guarded 5",
            "b guarded 0",
        ],
    );
}

#[test]
fn semaphores_go_back_to_zero() {
    tool(
        "brief",
        "usdt:./libbtcusdt1.so:library:guarded { @ = count(); } interval:ms:100 { exit(); }",
    );
    // Events are closed by a process of its own, after the tracer's end.
    let text = shell(
        "mkfifo quiet; ./user-1 5 wait <quiet & p=$!; exec 3>quiet
         ./brief 3>&-; sleep 1; exec 3>&-; wait $p",
    );
    has(&text, &["Attached 2 probes", "guarded 0"]);
}

#[test]
fn a_process_with_a_root_of_its_own() {
    tool(
        "inside",
        "usdt:/inside/program:btc:constants { @path = count(); }
         usdt:*:btc:constants { @[probe] = count(); }",
    );
    btc_tests::compile::programs().unwrap();
    let program = btc_tests::compile::PROGRAMS[1].1;
    let text = shell(&format!(
        "mkdir -p root/inside && cp {program} root/inside/program
         chroot root /inside/program sleep 3000 + constants 6 & p=$!
         until grep -q program /proc/$p/comm; do sleep 0.02; done
         ./inside -p $p"
    ));
    // The kernel tells the name as we see the file, who have another root.
    let place = directory().display();
    let mapped = format!("@[usdt:{place}/root/inside/program:btc:constants]: 6");
    has(&text, &["@path: 6", &mapped]);
}

/// Rewrites a copy of the library.
fn damaged(name: &str, change: impl FnOnce(&mut Vec<u8>, usize)) {
    let mut bytes = std::fs::read(directory().join("libbtcusdt1.so")).unwrap();
    let wanted = b"library\0guarded\0";
    let at = bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
        .unwrap();
    change(&mut bytes, at);
    std::fs::write(directory().join(name), bytes).unwrap();
}

#[test]
fn damaged_notes_are_errors_that_name_them() {
    // The strings follow three words, the owner and three addresses.
    damaged("cut.so", |bytes, at| {
        bytes[at - 24 - 8 - 8..][..4].copy_from_slice(&[0xff, 0xff, 0, 0])
    });
    damaged("operand.so", |bytes, at| {
        bytes[at + 16..][..6].copy_from_slice(b"-8@%zz")
    });
    damaged("address.so", |bytes, at| {
        bytes[at - 24..][..8].copy_from_slice(&[0xff; 8])
    });
    damaged("counter.so", |bytes, at| {
        bytes[at - 8..][..8].copy_from_slice(&[0xff; 8])
    });
    tool("damaged", "usdt:./cut.so:library:guarded { @ = count(); }");
    let text = shell("./damaged; echo status $?");
    has(&text, &["status 1"]);
    assert!(
        text.contains("./cut.so: .note.stapsdt: note 5 is cut short"),
        "{text}"
    );
    for (file, argument, said) in [
        ("operand.so", "arg0", "arg0 is `-8@%zz"),
        ("address.so", "1", "address 0xffffffffffffffff"),
        ("counter.so", "1", "address 0xffffffffffffffff"),
    ] {
        let script = format!("usdt:./{file}:library:guarded {{ @[{argument}] = count(); }}");
        tool("damaged", &script);
        let text = shell("./damaged; echo status $?");
        has(&text, &["status 1"]);
        assert!(text.contains(said) && text.contains("usdt:./"), "{text}");
    }
}
