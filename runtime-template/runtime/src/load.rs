//! An open object and the plan → a loaded object: maps sized, slots written, layouts patched, refusals explained.

use std::os::fd::AsFd;
use std::sync::Mutex;

use btc_abi::{Config, Manifest, MapKind, MapRole};
use libbpf_rs::skel::{OpenSkel, Skel, SkelBuilder};
use libbpf_rs::{AsRawLibbpf, OpenMapMut, OpenObject, OpenProgramMut, PrintLevel};

use crate::attach::Site;
use crate::plan::{Plan, Planned};
use crate::slots::{self, Facts};
use crate::target::{self, Target};
use crate::variant::{self, Split};
use crate::{Context, Error, sites, unwind};

/// What libbpf says. Its hook takes no argument of ours, so this is the one place without an owner.
static LOG: Mutex<String> = Mutex::new(String::new());

fn keep(_: PrintLevel, message: String) {
    if let Ok(mut log) = LOG.lock() {
        log.push_str(&message);
    }
}

fn show(_: PrintLevel, message: String) {
    eprint!("{message}");
    keep(PrintLevel::Warn, message);
}

/// Takes libbpf's messages; `-v` prints them too.
pub fn capture_log(verbose: bool) {
    let level = if verbose {
        PrintLevel::Debug
    } else {
        PrintLevel::Warn
    };
    libbpf_rs::set_print(Some((level, if verbose { show } else { keep })));
}

fn taken_log() -> String {
    LOG.lock()
        .map(|mut log| std::mem::take(&mut *log))
        .unwrap_or_default()
}

/// A skeleton without its type: so that the runtime is compiled once, and not again for each tool.
pub trait Skeleton {
    fn open(self: Box<Self>) -> libbpf_rs::Result<Box<dyn Open>>;
}

/// An open object, to be loaded.
pub trait Open {
    fn object(&mut self) -> &mut OpenObject;
    fn load(self: Box<Self>) -> libbpf_rs::Result<Box<dyn Skel<'static>>>;
}

impl<B> Skeleton for B
where
    B: SkelBuilder<'static, Output: OpenSkel<'static, Output: 'static> + 'static>,
{
    fn open(self: Box<Self>) -> libbpf_rs::Result<Box<dyn Open>> {
        // One object a process, for its whole life.
        let storage = Box::leak(Box::new(std::mem::MaybeUninit::uninit()));
        Ok(Box::new(SkelBuilder::open(*self, storage)?))
    }
}

impl<O: OpenSkel<'static, Output: 'static>> Open for O {
    fn object(&mut self) -> &mut OpenObject {
        self.open_object_mut()
    }

    fn load(self: Box<Self>) -> libbpf_rs::Result<Box<dyn Skel<'static>>> {
        Ok(Box::new(OpenSkel::load(*self)?))
    }
}

/// A loaded skeleton, and how the plan's probes share its programs.
pub type Loaded = (Box<dyn Skel<'static>>, Vec<Split>);

/// Opens the object, makes it fit this target, loads it. The splits are those of the plan's probes, in its order.
pub fn load(
    skeleton: Box<dyn Skeleton>,
    manifest: &Manifest,
    config: &Config,
    plan: &Plan,
    facts: &Facts<'_>,
    target: &Target,
) -> Result<Loaded, Error> {
    let mut open = skeleton
        .open()
        .map_err(|error| refused(manifest, config, "open the BPF object", error))?;
    let object = open.object();
    set_up_maps(object, manifest, config, plan, facts)?;
    let splits = set_up_programs(object, plan, target)?;
    let loaded = open
        .load()
        .map_err(|error| refused(manifest, config, "load the BPF programs", error))?;
    taken_log();
    sites::fill(loaded.object(), manifest, plan)?;
    Ok((loaded, splits))
}

fn set_up_maps(
    object: &mut OpenObject,
    manifest: &Manifest,
    config: &Config,
    plan: &Plan,
    facts: &Facts<'_>,
) -> Result<(), Error> {
    for mut map in object.maps_mut() {
        let symbol = map.name().to_string_lossy().into_owned();
        if symbol == slots::SECTION {
            if let Some(section) = map.initial_value_mut() {
                slots::write(manifest, facts, section)?;
            }
            continue;
        }
        let described = manifest.maps.iter().find(|map| map.symbol == symbol);
        match described {
            Some(description) if description.role == MapRole::UsdtSites => {
                sites::size(&mut map, plan)?;
            }
            Some(description) => set_up_map(&mut map, description, config, facts)?,
            None => {}
        }
    }
    Ok(())
}

fn set_up_map(
    map: &mut OpenMapMut<'_>,
    description: &btc_abi::Map,
    config: &Config,
    facts: &Facts<'_>,
) -> Result<(), Error> {
    let what = || format!("set up the map {}", description.symbol);
    if description.role == MapRole::UnwindMappings {
        return map
            .set_map_flags(libbpf_sys::BPF_F_NO_PREALLOC)
            .context(what);
    }
    if description.role == MapRole::UnwindTables {
        let inner = unwind::inner_map()?;
        // libbpf takes its shape when it makes the outer map; it is open until the process ends.
        return map
            .set_inner_map_fd(Box::leak(Box::new(inner)).as_fd())
            .context(what);
    }
    if description.role == MapRole::RingBuffer {
        return map
            .set_max_entries(ring_buffer_size(config.perf_rb_pages)?)
            .context(what);
    }
    if description.role == MapRole::Scratch {
        let entries = description.max_entries * target::cpu_ids()?;
        return map.set_max_entries(entries).context(what);
    }
    if description.max_entries == 0 && description.key.is_some() {
        let entries = u32::try_from(config.max_map_keys).unwrap_or(u32::MAX);
        map.set_max_entries(entries).context(what)?;
    }
    let sized = matches!(description.role, MapRole::Stacks { .. });
    if sized || description.value.is_aggregation() {
        size_values(map, description)?;
    }
    if let Some(key) = &description.key
        && key.size() > LONGEST_OLD_KEY
        && !target::kernel_at_least(5, 11)
    {
        cut_keys(map, description, key, facts)?;
    }
    if description.sparse && target::kernel_at_least(6, 1) && !fits_whole(description, config)? {
        let flags = map.map_flags() | libbpf_sys::BPF_F_NO_PREALLOC;
        map.set_map_flags(flags).context(what)?;
    }
    Ok(())
}

/// Whether a map of a value for each CPU is small beside this machine's memory, so that it is made whole: the kernel has
/// room for some dozens of new elements at hand, and a burst of more loses those (bpf_mem_alloc of kernel/bpf/memalloc.c).
fn fits_whole(description: &btc_abi::Map, config: &Config) -> Result<bool, Error> {
    if description.kind != MapKind::PerCpuHash {
        return Ok(false);
    }
    let entries = match description.max_entries {
        0 => config.max_map_keys,
        entries => u64::from(entries),
    };
    let cpus = libbpf_rs::num_possible_cpus().context(|| "count the possible CPUs")? as u64;
    let bytes = u64::from(description.value_size()) * cpus;
    Ok(bytes.saturating_mul(entries) <= memory() / WHOLE_SHARE)
}

/// The share of the machine's memory that a map which is made whole may take.
const WHOLE_SHARE: u64 = 64;

/// Bytes of this machine's memory.
fn memory() -> u64 {
    // SAFETY: only asks for a number.
    let pages = unsafe { libc::sysconf(libc::_SC_PHYS_PAGES) };
    pages.max(0).cast_unsigned().saturating_mul(page())
}

/// Bytes of a page.
fn page() -> u64 {
    // SAFETY: only asks for a number.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    page.max(4096).cast_unsigned()
}

/// Values whose size the command line tells were compiled as large as they may be.
fn size_values(map: &mut OpenMapMut<'_>, description: &btc_abi::Map) -> Result<(), Error> {
    let map = map.as_libbpf_object().as_ptr();
    let size = description.value_size();
    // SAFETY: an open map of an object that isn't loaded.
    let result = unsafe {
        match libbpf_sys::bpf_map__value_size(map) == size {
            true => 0,
            false => libbpf_sys::bpf_map__set_value_size(map, size),
        }
    };
    if result < 0 {
        let source = std::io::Error::from_raw_os_error(-result);
        let what = format!("set up the map {}", description.symbol);
        return Err(Error::with_source(what, source));
    }
    Ok(())
}

/// Bytes of the longest key of a hash map before Linux 5.11.
const LONGEST_OLD_KEY: u32 = 512;

/// Old kernels compare long strings by their first bytes, and that is said.
fn cut_keys(
    map: &mut OpenMapMut<'_>,
    description: &btc_abi::Map,
    key: &btc_abi::Value,
    facts: &Facts<'_>,
) -> Result<(), Error> {
    let name = &description.name;
    if !key.can_be_cut(LONGEST_OLD_KEY) {
        return Err(Error::new(format!(
            "the keys of {name} need {} bytes, and this kernel ({}) has room for {LONGEST_OLD_KEY} (more came with Linux 5.11): max_strlen, set in the script, makes strings shorter",
            key.size(),
            target::kernel_release()
        )));
    }
    if facts.warnings {
        eprintln!(
            "WARNING: this kernel's keys end after {LONGEST_OLD_KEY} bytes (more came with Linux 5.11): strings in {name} that differ only after that are one key"
        );
    }
    // SAFETY: an open map of an object that isn't loaded.
    let result = unsafe {
        libbpf_sys::bpf_map__set_key_size(map.as_libbpf_object().as_ptr(), LONGEST_OLD_KEY)
    };
    if result < 0 {
        let source = std::io::Error::from_raw_os_error(-result);
        return Err(Error::with_source(format!("set up the map {name}"), source));
    }
    Ok(())
}

/// Bytes.
const LARGEST_RING: u64 = 1 << 30;

/// Bytes: a power of two of pages. By default 512 KiB, 256 KiB on machines under 2 GiB: it is mapped twice into our
/// own memory, where all of it counts as resident.
fn ring_buffer_size(pages: u64) -> Result<u32, Error> {
    let page = page();
    let large = memory() >= 2 << 30;
    let bytes = match pages {
        0 if large => 512 << 10,
        0 => 256 << 10,
        pages => pages.saturating_mul(page),
    };
    if bytes > LARGEST_RING {
        return Err(Error::usage(format!(
            "perf_rb_pages = {pages}: a ring buffer has {} pages of this machine at most",
            LARGEST_RING / page
        )));
    }
    let bytes = bytes.max(page).next_power_of_two();
    Ok(u32::try_from(bytes).unwrap_or(1 << 30))
}

fn set_up_programs(
    object: &mut OpenObject,
    plan: &Plan,
    target: &Target,
) -> Result<Vec<Split>, Error> {
    let mut splits: Vec<Split> = plan.probes.iter().map(|_| Split::default()).collect();
    let mut seen = 0;
    for mut program in object.progs_mut() {
        let name = program.name().to_string_lossy().into_owned();
        let Some(index) = plan
            .probes
            .iter()
            .position(|planned| planned.probe.program == name)
        else {
            program.set_autoload(false);
            continue;
        };
        let planned = &plan.probes[index];
        seen += 1;
        if !planned.sites.is_empty() {
            splits[index] = variant::split(planned, &program, target)?;
        }
        choose_first(&mut splits[index], planned, &mut program, target)?;
    }
    if seen != plan.probes.len() {
        return Err(Error::new(
            "the object lacks a program of the manifest: a bug of btc",
        ));
    }
    Ok(splits)
}

/// The object's program becomes that of the first group that it can be prepared for.
fn choose_first(
    split: &mut Split,
    planned: &Planned,
    program: &mut OpenProgramMut<'_>,
    target: &Target,
) -> Result<(), Error> {
    while let Some(first) = split.groups.first() {
        let sites = first.sites.iter().map(|site| planned.sites[*site].clone());
        let sites: Vec<Site> = sites.collect();
        match (planned.provider).prepare(planned.probe, &sites, program, target) {
            Ok(()) => return first.variant.apply(planned.probe, program),
            Err(error) => split.failures.push(error),
        }
        split.groups.remove(0);
    }
    program.set_autoload(false);
    Ok(())
}

/// The error of opening or loading, led by the probe and its place where the verifier refused a program.
fn refused(manifest: &Manifest, config: &Config, what: &str, error: libbpf_rs::Error) -> Error {
    let log = taken_log();
    if let Some(reason) = privileges() {
        return Error::with_source(format!("{what}: {reason}"), error);
    }
    let program = log.lines().find_map(|line| {
        let (_, rest) = line.split_once("prog '")?;
        let (name, rest) = rest.split_once('\'')?;
        rest.contains("failed").then_some(name)
    });
    let probe = program.and_then(|name| manifest.probes.iter().find(|probe| probe.program == name));
    if let Some(lacking) = lacking(&log) {
        let place = probe.map_or(String::new(), |probe| {
            format!("{}: {} ", probe.place, probe.name)
        });
        let release = target::kernel_release();
        return Error::new(format!("{place}needs {lacking}; this is {release}"));
    }
    if let Some(why) = too_large(manifest, config, &log) {
        return Error::new(why);
    }
    let log = excerpt(&log, config.log_size);
    match probe {
        Some(probe) => Error::with_source(
            format!(
                "{}: the kernel refused the program of {}:\n{log}\n{what}",
                probe.place, probe.name
            ),
            error,
        ),
        None if log.is_empty() => Error::with_source(what, error),
        None => Error::with_source(format!("{what}:\n{log}\n{what}"), error),
    }
}

/// A map that the kernel has no room for, and what says how large it is.
fn too_large(manifest: &Manifest, config: &Config, log: &str) -> Option<String> {
    let (symbol, why) = log.lines().find_map(|line| {
        let (_, rest) = line.split_once("map '")?;
        rest.split_once("': failed to create: ")
    })?;
    if !["-E2BIG", "-ENOMEM"]
        .iter()
        .any(|name| why.starts_with(name))
    {
        return None;
    }
    let map = manifest.maps.iter().find(|map| map.symbol == symbol)?;
    Some(match (&map.role, map.max_entries) {
        (MapRole::RingBuffer, _) => format!(
            "the kernel has no room for a ring buffer of {} pages: perf_rb_pages (BTC_PERF_RB_PAGES) says how many",
            config.perf_rb_pages
        ),
        (_, 0) if map.key.is_some() => format!(
            "the kernel has no room for {} elements of {}: max_map_keys (BTC_MAX_MAP_KEYS) says how many",
            config.max_map_keys, map.name
        ),
        (MapRole::Script, entries) => format!(
            "the kernel has no room for {entries} elements of {}, as it is declared",
            map.name
        ),
        _ => return None,
    })
}

/// What an old kernel lacks and when it came, where libbpf's messages or the verifier's log give it away.
fn lacking(log: &str) -> Option<String> {
    // Functions that walk maps, which nothing calls as these kernels see it.
    if !target::kernel_at_least(5, 13) && log.contains("func_info doesn't match number of subprogs")
    {
        return Some(
            "bpf_for_each_map_elem for its loop over a map (or `len` of one), which came with Linux 5.13"
                .into(),
        );
    }
    let walked = ["BPF program is too large", "jumps is too complex"];
    if !target::kernel_at_least(5, 17) && walked.iter().any(|words| log.contains(words)) {
        return Some(
            "loops that this kernel's verifier need not walk (bpf_loop, which came with Linux 5.17)"
                .into(),
        );
    }
    if log.contains(" type INT is not a struct") {
        return Some(
            "to read an argument that points to an integer, which came with Linux 5.17".into(),
        );
    }
    if log.contains("helper call is not allowed in probe") {
        return Some(
            "another function to probe: the kernel allows `path` in vfs_getattr, filp_close, dentry_open and a few others".into(),
        );
    }
    let untrusted = [" type=rcu_ptr_ expected=", " type=untrusted_ptr_ expected="];
    if untrusted.iter().any(|words| log.contains(words)) {
        return Some(
            "a kernel whose verifier hands members of the probe's arguments to `socket_cookie` and `skboutput`: newer ones take the arguments themselves there, and members in `fentry` and `fexit` probes alone".into(),
        );
    }
    if let Some(missing) = missing_member(log) {
        return Some(missing);
    }
    // The words of kernels until 4.20, until 6.10 and since.
    let (_, rest) = log.split_once("unknown#").or_else(|| {
        let refused = ["unknown func ", "program of this type cannot use helper "];
        let (_, rest) = refused.iter().find_map(|words| log.split_once(words))?;
        rest.split_once('#')
    })?;
    let number: u32 = (rest.split(|c: char| !c.is_ascii_digit()).next()?)
        .parse()
        .ok()?;
    let (_, helper, since) = HELPERS.iter().find(|(known, _, _)| *known == number)?;
    Some(match since {
        Since::Version(version) => format!("{helper}, which came with Linux {version}"),
        Since::Kind(kernels) => format!("{helper}, which only {kernels} have"),
    })
}

/// What a kernel's types lack, by libbpf's words for a relocation that it could not resolve:
/// `failed to resolve CO-RE relocation <byte_off> [7] struct file.f_new (0:3 @ offset 24)`.
fn missing_member(log: &str) -> Option<String> {
    let (_, rest) = log.split_once("failed to resolve CO-RE relocation <")?;
    let (kind, rest) = rest.split_once("> [")?;
    let (_, rest) = rest.split_once("] ")?;
    let what = rest.split(" (").next()?.trim();
    let (word, path) = what.split_once(' ')?;
    let (name, member) = match path.split_once('.') {
        Some((name, member)) => (name, Some(member)),
        None => (path, None),
    };
    let name = name.split("___").next().unwrap_or(name);
    match (kind, member) {
        ("enumval_value", _) => {
            let (name, constant) = path.split_once("::")?;
            let name = name.split("___").next().unwrap_or(name);
            Some(format!(
                "the constant `{constant}` of `{word} {name}`, which this kernel lacks"
            ))
        }
        (_, Some(member)) => Some(format!(
            "the member `{member}` of `{word} {name}`, which this kernel lacks"
        )),
        (_, None) => Some(format!("`{word} {name}`, which this kernel lacks")),
    }
}

/// Which kernels have a helper.
enum Since {
    Version(&'static str),
    Kind(&'static str),
}

/// Helpers that not every kernel that executables run on has, by their numbers in linux/bpf.h.
const HELPERS: [(u32, &str, Since); 15] = [
    (
        36,
        "bpf_probe_write_user",
        Since::Kind("kernels that are not locked down, for root,"),
    ),
    (
        58,
        "bpf_override_return",
        Since::Kind("kernels that were built with CONFIG_BPF_KPROBE_OVERRIDE"),
    ),
    (
        46,
        "bpf_get_socket_cookie for tracing programs",
        Since::Version("5.12"),
    ),
    (120, "bpf_get_ns_current_pid_tgid", Since::Version("5.7")),
    (125, "bpf_ktime_get_boot_ns", Since::Version("5.8")),
    (147, "bpf_d_path", Since::Version("5.10")),
    (158, "bpf_get_current_task_btf", Since::Version("5.11")),
    (164, "bpf_for_each_map_elem", Since::Version("5.13")),
    (173, "bpf_get_func_ip", Since::Version("5.15")),
    (174, "bpf_get_attach_cookie", Since::Version("5.15")),
    (175, "bpf_task_pt_regs", Since::Version("5.15")),
    (181, "bpf_loop", Since::Version("5.17")),
    (182, "bpf_strncmp", Since::Version("5.17")),
    (195, "bpf_map_lookup_percpu_elem", Since::Version("5.19")),
    (208, "bpf_ktime_get_tai_ns", Since::Version("6.1")),
];

/// The last lines of the verifier's log, or of all that libbpf said.
fn excerpt(log: &str, log_size: u64) -> String {
    const LINES: usize = 20;
    let verifier = (log.split_once("BEGIN PROG LOAD LOG --"))
        .map(|(_, rest)| rest.split("-- END PROG LOAD LOG").next().unwrap_or(rest));
    let lines: Vec<&str> = (verifier.unwrap_or(log).lines())
        .filter(|line| {
            !line.trim().is_empty() && !line.ends_with("prog '") && !line.starts_with("processed ")
        })
        .filter(|line| verifier.is_none() || !line.starts_with("libbpf:"))
        .collect();
    let mut text = lines[lines.len().saturating_sub(LINES)..].join("\n");
    let mut cut = text
        .len()
        .saturating_sub(usize::try_from(log_size).unwrap_or(usize::MAX));
    while !text.is_char_boundary(cut) {
        cut += 1;
    }
    text.split_off(cut)
}

/// Why this process may not load, if it may not.
#[must_use]
pub fn privileges() -> Option<String> {
    if target::in_user_namespace() {
        return Some(
            "tracing needs the host's root, and this process is in a user namespace".into(),
        );
    }
    let missing = target::missing_capabilities();
    (!missing.is_empty()).then(|| {
        format!(
            "tracing needs root or {}, which this process lacks",
            missing.join(" and ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::{excerpt, lacking, missing_member};

    #[test]
    fn members_that_a_kernel_lacks_have_names() {
        let said =
            |what: &str| format!("failed to resolve CO-RE relocation {what} (0:3 @ offset 24)\n");
        let member = said("<byte_off> [7] struct file___btc.f_new.x");
        let expected = "the member `f_new.x` of `struct file`, which this kernel lacks";
        assert_eq!(missing_member(&member).as_deref(), Some(expected));
        let gone = said("<type_size> [9] struct gone");
        let expected = "`struct gone`, which this kernel lacks";
        assert_eq!(missing_member(&gone).as_deref(), Some(expected));
        assert_eq!(missing_member("R1 invalid mem access"), None);
    }

    #[test]
    fn helpers_that_a_kernel_lacks_have_names() {
        let named = Some("bpf_get_attach_cookie, which came with Linux 5.15".to_owned());
        assert_eq!(
            lacking("36: (85) call unknown#174\ninvalid func unknown#174\n"),
            named
        );
        assert_eq!(lacking("unknown func bpf_get_attach_cookie#174\n"), named);
        let newer = "program of this type cannot use helper bpf_get_attach_cookie#174\n";
        assert_eq!(lacking(newer), named);
        assert!(
            lacking("unknown func bpf_override_return#58\n").is_some_and(|it| {
                it.ends_with("only kernels that were built with CONFIG_BPF_KPROBE_OVERRIDE have")
            })
        );
        assert_eq!(lacking("R1 invalid mem access 'inv'"), None);
    }

    #[test]
    fn an_excerpt_is_the_logs_end() {
        assert_eq!(excerpt("first\nsecond\nthird", 8), "nd\nthird");
        assert_eq!(excerpt("é\nb", 3), "\nb");
        let long: String = (0..30).map(|line| format!("{line}\n")).collect();
        assert!(excerpt(&long, 1000).starts_with("10\n"));
    }
}
