//! `btc --target`: what a build host lacks for another machine is one line that says what to install.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;

use btc::arch::{ALL, Arch};
use btc_tests::compile::btc;

/// A machine other than this one.
fn foreign() -> Arch {
    let mut others = ALL.into_iter().filter(|arch| !arch.is_this_machine());
    others.next().unwrap()
}

/// A build host of our own making: a PATH with only these programs, as shell scripts.
struct BuildHost {
    directory: PathBuf,
}

impl BuildHost {
    fn new(name: &str) -> BuildHost {
        let directory = btc_tests::work_directory().join("target").join(name);
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(directory.join("bin")).unwrap();
        let host = BuildHost { directory };
        for program in ["cargo", "rustc", "cc", "make", "pkg-config"] {
            host.has(program, "exit 1");
        }
        host
    }

    fn has(&self, program: &str, script: &str) {
        let path = self.directory.join("bin").join(program);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Has a Rust with a standard library for the other machine.
    fn has_rust(&self) {
        let library = self.directory.join("lib");
        fs::create_dir_all(&library).unwrap();
        fs::write(library.join("libstd-0123456789abcdef.rlib"), "").unwrap();
        self.has("rustc", &format!("echo {}", library.display()));
    }

    /// What btc says, on one line, when it compiles for the other machine here.
    fn refusal(&self) -> String {
        let output = Command::new(btc().unwrap())
            .args(["--target", foreign().triple(), "-e", "begin { exit(); }"])
            .args(["-o", "tool"])
            .current_dir(&self.directory)
            .env("PATH", self.directory.join("bin"))
            .env("BTC_CACHE_DIR", self.directory.join("cache"))
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(!self.directory.join("tool").exists());
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said.lines().count(), 1, "{said}");
        said
    }
}

fn compiler() -> String {
    format!("{}-gcc", foreign().gnu_triple())
}

#[test]
fn no_cross_compiler() {
    let host = BuildHost::new("no-compiler");
    let said = host.refusal();
    assert!(said.starts_with(&format!("btc: no C compiler `{}`", compiler())));
    assert!(said.contains(": apt install gcc-"), "{said}");
}

#[test]
fn no_standard_library() {
    let host = BuildHost::new("no-std");
    host.has(&compiler(), "exit 1");
    host.has(
        "rustc",
        &format!("echo {}", host.directory.join("none").display()),
    );
    let said = host.refusal();
    assert!(
        said.contains(&format!(": rustup target add {} (", foreign())),
        "{said}"
    );
}

#[test]
fn no_c_libraries() {
    let host = BuildHost::new("no-libraries");
    host.has_rust();
    // As gcc answers when it has no such file.
    host.has(&compiler(), "echo ${1#-print-file-name=}");
    let (said, architecture) = (host.refusal(), foreign().debian());
    assert!(said.starts_with(&format!("btc: no libelf.a for {}: ", foreign())));
    assert!(
        said.contains(&format!("apt install libelf-dev:{architecture})")),
        "{said}"
    );
    // One that compresses with zstd needs more.
    let (elf, z) = (
        host.directory.join("libelf.a"),
        host.directory.join("libz.a"),
    );
    fs::write(&elf, "ZSTD_compress").unwrap();
    symlink(&elf, &z).unwrap();
    let known = format!(
        "case $1 in *libelf.a) echo {};; *libz.a) echo {};; *) echo libzstd.a;; esac",
        elf.display(),
        z.display()
    );
    host.has(&compiler(), &known);
    assert!(
        host.refusal()
            .starts_with(&format!("btc: no libzstd.a for {}: ", foreign()))
    );
}

#[test]
fn another_machines_executable_is_not_run_here() {
    let output = Command::new(btc().unwrap())
        .args([
            "run",
            "--target",
            foreign().triple(),
            "-e",
            "begin { exit(); }",
        ])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("make one with `btc -o` and run it there"),
        "{said}"
    );
}

#[test]
fn targets_have_rusts_names() {
    let output = Command::new(btc().unwrap())
        .args(["--target", "arm64", "-e", "begin { exit(); }", "-o", "tool"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("expected x86_64-unknown-linux-gnu or aarch64-unknown-linux-gnu"),
        "{said}"
    );
}
