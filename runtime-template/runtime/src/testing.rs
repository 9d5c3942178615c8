//! A manifest for unit tests.

use btc_abi::{Config, Manifest};

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
        checks: vec![].into(),
        enums: vec![].into(),
        needs_btf: false,
        config: config(),
        fixed: vec![].into(),
    }
}

pub fn config() -> Config {
    Config::default()
}
