//! Debug information of a program that gcc makes: what is read of it, and that damage to it is an error at most.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{DebugInfo, Kind, signature};
use crate::Error;
use crate::elf::Binary;

const SOURCE: &str = r#"
struct item { int value; unsigned low : 3, high : 5; struct item *next; char name[8]; };
typedef const struct item *handle;
enum mode { OFF, ON = -3 };
enum big { SMALL = 200, LARGE = 0x80000000u };
typedef short pair[2];
struct shapes {
    int table[2][3];
    pair pairs[4];
    char text[4];
    signed char numbers[4];
    unsigned char bytes[4];
    enum big big;
};
int twice(int n) {
    return n * 2;
}
long use(handle item, enum mode mode, double factor, ...) {
    return item->value + mode;
}
int shaped(struct shapes *shapes, enum big big) {
    return shapes->table[0][0] + big;
}
int main(void) {
    struct item item = {1};
    struct shapes shapes = {{{2}}};
    return use(&item, ON, 1.5) + twice(3) + shaped(&shapes, SMALL);
}
"#;

/// A program in a directory of its own, which goes with it.
struct Program {
    directory: PathBuf,
    path: PathBuf,
}

impl Program {
    fn new(name: &str, flags: &[&str]) -> Self {
        let directory =
            std::env::temp_dir().join(format!("btc-dwarf-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let source = directory.join("small.c");
        std::fs::write(&source, SOURCE).unwrap();
        let path = directory.join("small");
        let compiler = Command::new("gcc")
            .args(flags)
            .arg(&source)
            .arg("-o")
            .arg(&path)
            .status();
        assert!(compiler.unwrap().success());
        Program { directory, path }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Everything that is asked of debug information.
fn read_all(path: &Path) -> Result<Vec<String>, Error> {
    let binary = Binary::open(path)?;
    let mut said = vec![signature::build_id(&binary)?];
    let debug = DebugInfo::of(&binary)?;
    said.push(
        debug
            .address_of_line("small.c", 16, 0)
            .map(|_| "line".to_owned())?,
    );
    for name in ["use", "twice", "shaped"] {
        let Some(function) = binary.function(name)? else {
            continue;
        };
        let Some(prototype) = debug.function(function.address)? else {
            continue;
        };
        said.push(signature::parameters(&debug, &prototype)?);
        said.extend(signature::reachable(&debug, &prototype, "struct item")?);
        said.extend(signature::reachable(&debug, &prototype, "struct shapes")?);
    }
    Ok(said)
}

#[test]
fn functions_types_and_lines() {
    for version in ["-gdwarf-5", "-gdwarf-4", "-gdwarf-3", "-gdwarf-5 -gz=zlib"] {
        let mut flags: Vec<&str> = version.split(' ').collect();
        flags.push("-Wl,--build-id=0x12ab");
        let program = Program::new(flags[flags.len() - 2], &flags);
        assert_eq!(
            read_all(&program.path).unwrap(),
            [
                "12ab",
                "line",
                "item: struct item *, mode: enum mode (int32), factor: float64",
                "value: int32 @0, low: uint32 @32:3, high: uint32 @35:5, next: struct item * @64, name: int8[8] @128, 24 bytes",
                "n: int32",
                "shapes: struct shapes *, big: enum big (uint32)",
                "table: int32[2][3] @0, pairs: int16[4][2] @192, text: int8[4] @320, numbers: int8[4] @352, bytes: uint8[4] @384, big: enum big (uint32) @416, 56 bytes",
            ]
        );
        let binary = Binary::open(&program.path).unwrap();
        let debug = DebugInfo::of(&binary).unwrap();
        let function = binary.function("use").unwrap().unwrap();
        let prototype = debug.function(function.address).unwrap().unwrap();
        assert!(prototype.variadic);
        let mode = debug.kind(prototype.parameters[1].1).unwrap();
        assert!(
            matches!(mode, Kind::Enum { signed: true, values, .. } if values[1] == ("ON".into(), -3i64 as u64))
        );
        let line = debug.address_of_line("small.c", 15, 0).unwrap();
        assert_eq!(line, binary.function("twice").unwrap().unwrap().address);
        let error = debug
            .address_of_line("small.c", 100, 0)
            .unwrap_err()
            .to_string();
        assert!(
            error.ends_with("the nearest line with code is 28"),
            "{error}"
        );
    }
}

/// What the members of `struct shapes` are.
fn kinds(debug: &DebugInfo<'_>, binary: &Binary) -> Vec<(String, Kind)> {
    let function = binary.function("shaped").unwrap().unwrap();
    let prototype = debug.function(function.address).unwrap().unwrap();
    let Kind::Pointer { to } = debug.kind(prototype.parameters[0].1).unwrap() else {
        panic!()
    };
    let record = debug.record(to.unwrap()).unwrap().unwrap();
    let members = record.members.into_iter();
    members
        .map(|member| (member.name, debug.kind(member.ty).unwrap()))
        .collect()
}

#[test]
fn only_char_is_text_and_enums_have_the_sign_that_they_are_kept_with() {
    // Strict DWARF 2 tells no underlying type.
    for version in ["-gdwarf-5", "-gdwarf-4", "-gdwarf-2 -gstrict-dwarf"] {
        for char_ in ["-fsigned-char", "-funsigned-char"] {
            let flags: Vec<&str> = version.split(' ').chain([char_]).collect();
            let program = Program::new(&format!("{}{char_}", flags[0]), &flags);
            let binary = Binary::open(&program.path).unwrap();
            let debug = DebugInfo::of(&binary).unwrap();
            for (name, kind) in kinds(&debug, &binary) {
                match (name.as_str(), kind) {
                    ("table", Kind::Array { counts, .. }) => assert_eq!(counts, [2, 3]),
                    ("pairs", Kind::Array { counts, .. }) => assert_eq!(counts, [4, 2]),
                    (name, Kind::Array { element, .. }) => {
                        let Kind::Int { char_, .. } = debug.kind(element).unwrap() else {
                            panic!("{version}: {name}")
                        };
                        assert_eq!(char_, name == "text", "{version}: {name}");
                    }
                    (_, Kind::Enum { signed, values, .. }) => {
                        assert!(!signed, "{version}");
                        let expected = [("SMALL".into(), 200), ("LARGE".into(), 1 << 31)];
                        assert_eq!(values, expected, "{version}");
                    }
                    (name, kind) => panic!("{version}: {name} is {kind:?}"),
                }
            }
        }
    }
}

#[test]
fn no_debug_information_is_an_error() {
    let program = Program::new("none", &[]);
    let error = read_all(&program.path).unwrap_err().to_string();
    assert!(error.contains("has no debug information"), "{error}");
}

#[test]
fn damage_is_no_crash() {
    let program = Program::new("damaged", &["-g"]);
    let whole = std::fs::read(&program.path).unwrap();
    let damaged = program.directory.join("damaged");
    let mut state = 0x2545_F491_4F6C_DD1Du64;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    // Where debug information is; headers of the file are in its first and last bytes.
    let start = whole.len() / 2;
    let mut refused = 0;
    for round in 0..400 {
        let mut bytes = whole.clone();
        match round % 4 {
            0 => bytes.truncate(next(whole.len())),
            1 => {
                for _ in 0..8 {
                    let at = next(whole.len());
                    bytes[at] = next(256) as u8;
                }
            }
            _ => {
                for _ in 0..4 {
                    let at = start + next(whole.len() - start);
                    bytes[at] = next(256) as u8;
                }
            }
        }
        std::fs::write(&damaged, &bytes).unwrap();
        refused += usize::from(read_all(&damaged).is_err());
    }
    // All that were cut off, at the least.
    assert!(refused > 90, "{refused}");
}
