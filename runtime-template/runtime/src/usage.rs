//! The manifest → the texts of `-h`, `-V` and `--info`.

use std::fmt::Write as _;

use btc_abi::{Manifest, Parameter, ParameterType};

use crate::plan::Mode;
use crate::{Error, config};

/// `-h`: the script's header comment, how to call it, its parameters.
#[must_use]
pub fn help(manifest: &Manifest) -> String {
    let mut text = String::new();
    let about = manifest.about.trim_end();
    if !about.is_empty() {
        text.push_str(about);
        text.push_str("\n\n");
    }
    let _ = write!(text, "Usage: {} [OPTIONS]", manifest.name);
    for parameter in manifest.positional.iter() {
        let _ = write!(text, " [${}]", parameter.name);
    }
    if !manifest.named.is_empty() {
        text.push_str(" [-- --NAME=VALUE …]");
    }
    text.push('\n');
    list(
        &mut text,
        "Positional parameters",
        "$",
        &manifest.positional,
    );
    list(&mut text, "Named parameters", "--", &manifest.named);
    text.push_str(OPTIONS);
    if Mode::Test.is_of(manifest) {
        text.push_str("      --test         run the script's tests and nothing else\n");
    }
    if Mode::Bench.is_of(manifest) {
        text.push_str("      --bench        measure the script's benches and nothing else\n");
    }
    if manifest.unsafe_mode {
        text.push_str("      --unsafe       accepted and without effect: compiled with it\n");
    }
    text.push_str(ENVIRONMENT);
    text
}

const OPTIONS: &str = "
Options:
  -p PID             trace only this process; its end ends the tracing
  -c CMD             run CMD once everything is attached; its end ends the tracing
  -f FORMAT          text (default) or json
  -o FILE            write the output to FILE
  -q                 say nothing but results
  -v                 say what is loaded and attached, with libbpf's log
  -B MODE            buffer output: none, line or full
  -k                 warn of memory reads that failed, and of elements that were not there to delete
      --no-warnings  keep warnings back
      --raw-output   leave control characters in traced text as they are, on a terminal too
      --dry-run      say what would be attached, and stop
      --list         list the probes of this machine that would be attached, -v where; and stop
      --info         say what this kernel offers and how the tool is configured, and stop
  -h, --help         this text
  -V, --version      version
";

const ENVIRONMENT: &str = "
Environment: BTC_NAME=VALUE sets a configuration variable; --info lists them.
";

fn list(text: &mut String, title: &str, prefix: &str, parameters: &[Parameter]) {
    if parameters.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{title}:");
    for parameter in parameters {
        let (kind, default) = match &parameter.ty {
            ParameterType::Integer { default } => ("integer", default.map(|n| n.to_string())),
            ParameterType::Bool { default } => ("bool", Some(default.to_string())),
            ParameterType::String { default } => {
                ("string", default.as_ref().map(|s| format!("{s:?}")))
            }
            ParameterType::Any => ("integer or string", None),
        };
        let _ = write!(
            text,
            "  {:<18} {kind}",
            format!("{prefix}{}", parameter.name)
        );
        if let Some(default) = default {
            let _ = write!(text, ", default {default}");
        }
        if !parameter.description.is_empty() {
            let _ = write!(text, ": {}", parameter.description);
        }
        text.push('\n');
    }
}

/// `-V`
#[must_use]
pub fn version(manifest: &Manifest) -> String {
    format!(
        "{} (compiled by btc {})\n",
        manifest.name, manifest.compiler
    )
}

/// `--info`: what a run would find on this machine, and its configuration.
pub fn info(manifest: &Manifest) -> Result<String, Error> {
    let config = config::from_environment(manifest)?;
    Ok(machine() + &config::describe(manifest, &config))
}

fn machine() -> String {
    use crate::target;
    let yes = |present: bool| if present { "yes" } else { "no" };
    let mut text = String::new();
    let _ = writeln!(text, "kernel: {}", target::kernel_release());
    let _ = writeln!(text, "architecture: {}", std::env::consts::ARCH);
    let _ = writeln!(
        text,
        "possible CPUs: {}",
        libbpf_rs::num_possible_cpus().unwrap_or(0)
    );
    let _ = writeln!(text, "vmlinux BTF: {}", yes(target::has_btf()));
    let _ = writeln!(
        text,
        "tracefs: {}",
        target::mounted_tracefs().map_or_else(
            || "not mounted".to_owned(),
            |path| path.display().to_string()
        )
    );
    let exists = |path: &str| std::path::Path::new(path).exists();
    let _ = writeln!(
        text,
        "kprobe: {}",
        yes(exists("/sys/bus/event_source/devices/kprobe"))
    );
    let _ = writeln!(
        text,
        "uprobe: {}",
        yes(exists("/sys/bus/event_source/devices/uprobe"))
    );
    let _ = writeln!(
        text,
        "hardware events: {}",
        yes(exists("/sys/bus/event_source/devices/cpu"))
    );
    match target::missing_capabilities() {
        missing if missing.is_empty() => text.push_str("capabilities: enough\n"),
        missing => {
            let _ = writeln!(text, "capabilities missing: {}", missing.join(", "));
        }
    }
    text
}
