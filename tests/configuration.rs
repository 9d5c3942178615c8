//! Configuration in btc's own environment, and what of it shows in objects. (`tests/run/config` has what executables do.)

use std::path::PathBuf;
use std::process::{Command, Output};

use btc_tests::compile::btc;

fn run(words: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(btc().unwrap());
    command.args(words).envs(environment.iter().copied());
    command.output().unwrap()
}

fn emitted(script: &str, stage: &str, environment: &[(&str, &str)]) -> String {
    let output = run(&["-e", script, "--emit", stage], environment);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout).unwrap()
}

/// Status 2 and one line.
#[track_caller]
fn refused(words: &[&str], environment: &[(&str, &str)], line: &str) {
    let output = run(words, environment);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert_eq!(said.trim_end(), line);
}

const NOTHING: &[&str] = &["-e", "begin { exit(); }", "--emit", "ir"];

#[test]
fn bad_values_are_wrong_usage() {
    refused(
        NOTHING,
        &[("BTC_MAX_STRLEN", "0")],
        "btc: BTC_MAX_STRLEN=0: expected a length of 1 to 65536 bytes",
    );
    refused(
        NOTHING,
        &[("BPFTRACE_STRLEN", "long")],
        "btc: BPFTRACE_STRLEN=long: expected a length of 1 to 65536 bytes",
    );
    refused(
        NOTHING,
        &[("BTC_ON_STACK_LIMIT", "1000")],
        "btc: BTC_ON_STACK_LIMIT=1000: expected a size of 16 to 64 bytes, or 0",
    );
    refused(
        NOTHING,
        &[("BTC_UNSTABLE_IMPORT", "maybe")],
        "btc: BTC_UNSTABLE_IMPORT=maybe: expected `enable`, `warn` or `error`",
    );
}

#[test]
fn what_executables_decide_is_misplaced() {
    refused(
        NOTHING,
        &[("BPFTRACE_MAX_MAP_KEYS", "5")],
        "btc: BPFTRACE_MAX_MAP_KEYS=5: max_map_keys is decided where the executable runs: set it there, or write `config = { max_map_keys = … }` in the script",
    );
    refused(
        NOTHING,
        &[("BTC_NO_CPP_DEMANGLE", "1")],
        "btc: BTC_NO_CPP_DEMANGLE=1: cpp_demangle is decided where the executable runs: set it there, or write `config = { cpp_demangle = … }` in the script",
    );
}

#[test]
fn unknown_names_are_told_where_they_are_ours() {
    refused(
        NOTHING,
        &[("BTC_MAX_STRLN", "5")],
        "btc: BTC_MAX_STRLN: no such configuration variable; did you mean BTC_MAX_STRLEN?",
    );
    refused(
        NOTHING,
        &[("BPFTRACE_SOMETHING", "5")],
        "btc: BPFTRACE_SOMETHING: no such configuration variable",
    );
    let others = [("BTC_WALLET", "x"), ("BPFTRACE_BTF", "/x")];
    assert!(run(NOTHING, &others).status.success());
}

/// `btc run` and what it starts share an environment.
#[test]
fn run_leaves_the_executable_its_own() {
    let script = "begin { for ($i : 0..5) { @m[$i] = 1; } printf(\"%d %d\\n\", len(@m), sizeof(str(0))); exit(); }";
    let environment = [("BTC_MAX_MAP_KEYS", "3"), ("BPFTRACE_MAX_STRLEN", "64")];
    let output = run(&["run", "-q", "-e", script], &environment);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(printed.starts_with("3 64\n"), "{printed}");
}

#[test]
fn values_over_the_stack_limit_lie_in_scratch_memory() {
    let script = "begin { $s = str(0, 40); print(strlen($s) == 3 ? \"a\" : \"b\"); exit(); }";
    let scratch = |limit| {
        let text = emitted(script, "llvm", &[("BTC_ON_STACK_LIMIT", limit)]);
        text.matches("btc_scratch").count()
    };
    assert!(scratch("32") > 0);
    assert_eq!(scratch("64"), 0);
}

#[test]
fn the_license_is_the_objects() {
    let object = |license: &str| -> Vec<u8> {
        let path: PathBuf =
            std::env::temp_dir().join(format!("btc-license-{}", std::process::id()));
        let name = path.display().to_string();
        let words = ["-e", "begin { exit(); }", "--emit", "object", "-o", &name];
        let output = run(&words, &[("BTC_LICENSE", license)]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        bytes
    };
    for license in ["GPL", "GPL v2", "Dual MIT/GPL"] {
        let bytes = object(license);
        let elf = object::read::elf::ElfFile64::<object::Endianness>::parse(&*bytes).unwrap();
        use object::{Object, ObjectSection};
        let section = elf.section_by_name("license").expect("a license");
        assert_eq!(section.data().unwrap(), format!("{license}\0").as_bytes());
    }
}

#[test]
fn max_bpf_progs_counts_attach_points() {
    let script = "begin { exit(); } interval:s:1 { } interval:s:2 { }";
    let output = run(&["check", "-e", script], &[("BPFTRACE_MAX_BPF_PROGS", "2")]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("error[too-many-programs]: 3 attach points need a program each"),
        "{said}"
    );
    assert!(
        run(&["check", "-e", script], &[("BPFTRACE_MAX_BPF_PROGS", "3")])
            .status
            .success()
    );
}

#[test]
fn the_environment_decides_what_unstable_features_are() {
    let script = "begin { let $x: typeof(5) = 1; print($x); exit(); }";
    let said = |level| {
        let output = run(
            &["check", "-e", script],
            &[("BTC_UNSTABLE_TYPEINFO", level)],
        );
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    let (status, warned) = said("warn");
    assert_eq!(status, Some(0));
    assert!(
        warned.contains("warning[unstable-feature]: `typeof` is unstable"),
        "{warned}"
    );
    let (status, refused) = said("error");
    assert_eq!(status, Some(1));
    assert!(
        refused.contains("error[unstable-feature]: `typeof` is refused"),
        "{refused}"
    );
    assert_eq!(said("enable"), (Some(0), String::new()));
}

/// The same script with another configuration is another executable.
#[test]
fn an_executable_in_the_cache_is_of_its_configuration() {
    let script = "begin { printf(\"%d\\n\", sizeof(str(0))); exit(); }";
    for length in ["32", "64", "32"] {
        let output = run(&["run", "-q", "-e", script], &[("BTC_MAX_STRLEN", length)]);
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(printed.starts_with(&format!("{length}\n")), "{printed}");
    }
}
