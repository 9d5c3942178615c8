//! A manifest for unit tests.

use btc_abi::{Config, Manifest, MissingProbes, StackMode};

pub fn manifest() -> Manifest {
    Manifest {
        name: "tool".into(),
        compiler: "0".into(),
        about: "".into(),
        unsafe_mode: false,
        probes: vec![].into(),
        maps: vec![].into(),
        records: vec![].into(),
        counters: vec![].into(),
        slots: vec![].into(),
        slots_size: 0,
        max_strlen: 1024,
        positional: vec![].into(),
        named: vec![].into(),
        enums: vec![].into(),
        needs_btf: false,
        config: config(),
    }
}

pub fn config() -> Config {
    Config {
        stack_mode: StackMode::Bpftrace,
        str_trunc_trailer: "..".into(),
        print_maps_on_exit: true,
        max_cat_bytes: 10240,
        missing_probes: MissingProbes::Error,
        max_probes: 1024,
        max_map_keys: 4096,
        perf_rb_pages: 0,
        cpp_demangle: true,
        lazy_symbolication: true,
        show_debug_info: true,
        log_size: 1_000_000,
    }
}
