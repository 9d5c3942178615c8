//! The typed tree's types become shapes in memory: records, keys, map values, and the manifest that lists them.
//!
//! A layout is computed here and nowhere else; code generation stores by it and the runtime decodes by it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use btc_abi as abi;

use crate::ir::visit::{self, Node};
use crate::ir::{self, CRecordId, ExprKind, StmtKind, Type, Types};
use crate::source::SourceMap;

/// Strings and buffers over this many bytes are tail values of records.
const INLINE_LIMIT: u32 = 16;
/// Maps with values of at least this size aren't preallocated.
const SPARSE_FROM: u32 = 256;

/// Shapes of types; knows which map holds which stacks.
#[derive(Clone, Debug)]
pub struct Shapes<'a> {
    types: &'a Types,
    stacks: Vec<StackMap>,
}

/// A map of stacks. There is one for all whose frames have the same form, so that stacks of different limits can be
/// assigned to one another.
#[derive(Clone, Debug)]
pub struct StackMap {
    pub build_ids: bool,
    /// The most frames that one of them has.
    pub limit: abi::Number,
    /// Index in the manifest.
    pub map: u32,
}

impl StackMap {
    /// Bytes of a stack, at most.
    #[must_use]
    pub fn room(&self) -> u32 {
        self.limit.most() as u32 * self.frame()
    }

    /// Bytes of a frame.
    #[must_use]
    pub fn frame(&self) -> u32 {
        match self.build_ids {
            true => abi::map::BUILD_ID_FRAME,
            false => 8,
        }
    }
}

/// Rounds up to a multiple of a power of two.
#[must_use]
pub fn align_up(offset: u32, align: u32) -> u32 {
    offset.div_ceil(align.max(1)) * align.max(1)
}

impl<'a> Shapes<'a> {
    #[must_use]
    pub fn new(types: &'a Types, stacks: Vec<StackMap>) -> Self {
        Shapes { types, stacks }
    }

    /// The shapes of a manifest that [`plan`] made.
    #[must_use]
    pub fn of(types: &'a Types, manifest: &abi::Manifest) -> Self {
        let stacks = manifest.maps.iter().enumerate().filter_map(|(i, map)| {
            if let abi::MapRole::Stacks { limit, build_ids } = &map.role {
                Some(StackMap {
                    build_ids: *build_ids,
                    limit: limit.clone(),
                    map: i as u32,
                })
            } else {
                None
            }
        });
        Shapes {
            types,
            stacks: stacks.collect(),
        }
    }

    /// The map of a mode's stacks; `None` where the program captures none of these.
    #[must_use]
    pub fn stack_map(&self, mode: &abi::StackMode) -> Option<&StackMap> {
        let build_ids = *mode == abi::StackMode::BuildId;
        (self.stacks.iter()).find(|stacks| stacks.build_ids == build_ids)
    }

    /// The one place that says how a type lies in memory.
    #[must_use]
    pub fn value(&self, ty: &Type) -> abi::Value {
        use abi::Value as V;
        match ty {
            Type::Void => V::Struct {
                size: 0,
                fields: Cow::Borrowed(&[]),
            },
            Type::Float { bytes } => V::Float { size: *bytes },
            Type::Bool => V::Bool,
            Type::Int(int) => V::Int {
                size: int.bytes(),
                signed: int.signed,
            },
            Type::Enum(id) => {
                let int = self.types.enumeration(*id).int;
                V::Enum {
                    id: id.0,
                    size: int.bytes(),
                    signed: int.signed,
                }
            }
            Type::Pointer { .. } => V::Pointer,
            Type::String { size } => V::String { size: *size },
            Type::Buffer { size } => V::Buffer { size: *size },
            Type::Array { element, count } => {
                let element = self.value(element);
                let stride = element.size();
                V::Array {
                    element: Cow::Owned(vec![element]),
                    count: *count,
                    stride,
                }
            }
            Type::CRecord(id) => self.record(*id),
            Type::Tuple(items) => {
                let (size, fields) = self.sequence(items.iter().map(|ty| ("", self.value(ty))), 0);
                V::Tuple {
                    size,
                    fields: Cow::Owned(fields),
                }
            }
            Type::Record(items) => {
                let items = items.iter().map(|(n, ty)| (n.as_str(), self.value(ty)));
                let (size, fields) = self.sequence(items, 0);
                V::Struct {
                    size,
                    fields: Cow::Owned(fields),
                }
            }
            Type::KernelSymbol => V::KernelSymbol,
            Type::UserSymbol => V::UserSymbol,
            Type::Stack { kind, mode, .. } => V::Stack {
                kind: kind.clone(),
                mode: mode.clone(),
                map: self.stack_map(mode).map_or(0, |stacks| stacks.map),
            },
            Type::Inet => V::Inet,
            Type::Mac => V::Mac,
            Type::Timestamp { clock, format } => V::Timestamp {
                clock: clock.clone(),
                format: format.clone().into(),
            },
            Type::Username => V::Username,
            Type::CgroupPath { pattern } => V::CgroupPath {
                pattern: pattern.clone().into(),
            },
            Type::ProbeName => V::ProbeName,
            Type::ErrorName => V::ErrorName,
            Type::SignalName => V::SignalName,
            Type::SyscallName => V::SyscallName,
            Type::Aggregation(aggregation) => aggregated(aggregation),
        }
    }

    #[must_use]
    pub fn size(&self, ty: &Type) -> u32 {
        self.value(ty).size()
    }

    /// Offsets of a Tuple's, Record's or C record's members, in order.
    #[must_use]
    pub fn offsets(&self, ty: &Type) -> Vec<u32> {
        match ty {
            // A record's shape leaves nothing out, so its fields are its members.
            Type::CRecord(_) | Type::Tuple(_) | Type::Record(_) => match self.value(ty) {
                abi::Value::Tuple { fields, .. } | abi::Value::Struct { fields, .. } => {
                    fields.iter().map(|f| f.offset).collect()
                }
                _ => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    fn record(&self, id: CRecordId) -> abi::Value {
        let record = self.types.record(id);
        if self.types.is_repacked(id) {
            let members = record.members.iter();
            let members = members.map(|m| (m.name.as_str(), self.value(&m.ty)));
            let (size, fields) = self.sequence(members, 0);
            return abi::Value::Struct {
                size,
                fields: Cow::Owned(fields),
            };
        }
        let fields = record.members.iter().map(|m| abi::Field {
            offset: m.bit_offset / 8,
            name: m.name.clone().into(),
            value: self.value(&m.ty),
        });
        abi::Value::Struct {
            size: record.size,
            fields: fields.collect(),
        }
    }

    /// Lays values out one after the other with natural alignment, from `start` on.
    fn sequence<'n>(
        &self,
        items: impl Iterator<Item = (&'n str, abi::Value)>,
        start: u32,
    ) -> (u32, Vec<abi::Field>) {
        let mut at = start;
        let mut align = 1;
        let mut fields = Vec::new();
        for (name, value) in items {
            at = align_up(at, value.align());
            align = align.max(value.align());
            let size = value.size();
            fields.push(abi::Field {
                offset: at,
                name: name.to_owned().into(),
                value,
            });
            at += size;
        }
        (align_up(at, align), fields)
    }

    /// A record's field: large strings and buffers go to the tail.
    fn record_field(&self, ty: &Type) -> abi::Value {
        match ty {
            Type::String { size } if *size > INLINE_LIMIT => abi::Value::TailString,
            Type::Buffer { size } if *size > INLINE_LIMIT => abi::Value::TailBuffer,
            _ => self.value(ty),
        }
    }
}

fn aggregated(aggregation: &ir::Aggregation) -> abi::Value {
    use abi::Value as V;
    match *aggregation {
        ir::Aggregation::Tseries(ref series) => V::Tseries {
            series: series.clone(),
        },
        ir::Aggregation::Count => V::Count,
        ir::Aggregation::Sum { signed } => V::Sum { signed },
        ir::Aggregation::Min { signed } => V::Min { signed },
        ir::Aggregation::Max { signed } => V::Max { signed },
        ir::Aggregation::Avg { signed } => V::Avg { signed },
        ir::Aggregation::Stats { signed } => V::Stats { signed },
        ir::Aggregation::Hist { ref bits } => V::Hist { bits: bits.clone() },
        ir::Aggregation::Lhist {
            ref min,
            ref max,
            ref step,
        } => V::Lhist {
            min: min.clone(),
            max: max.clone(),
            step: step.clone(),
        },
    }
}

/// What the script asks of the internal maps and slots.
#[derive(Default)]
struct Needs {
    /// The most frames of stacks, by whether they have build IDs.
    stack_limits: BTreeMap<bool, abi::Number>,
    /// Stacks that programs walk by unwind rows.
    unwinding: bool,
    cpu_count: bool,
    function_address: bool,
    /// Arguments of usdt probes.
    markers: bool,
    /// Addresses of processes, which are named by their number.
    processes: bool,
    packets: bool,
}

fn needs(program: &ir::Program) -> Needs {
    let mut needs = Needs {
        packets: (program.records.iter())
            .any(|record| matches!(record.kind, abi::RecordKind::Packet { .. })),
        ..Needs::default()
    };
    visit::program(program, &mut |node| match node {
        Node::Expr(expr) => match &expr.kind {
            ExprKind::Stack(walk) => {
                if let Type::Stack { limit, kind, mode } = &expr.ty {
                    let build_ids = *mode == abi::StackMode::BuildId;
                    let most = needs.stack_limits.entry(build_ids);
                    let most = most.or_insert_with(|| limit.clone());
                    *most = most.largest(limit);
                    needs.processes |= *kind == abi::StackKind::User;
                    needs.unwinding |= *walk != ir::Walk::Kernel;
                }
            }
            ExprKind::UserSymbol { .. } => needs.processes = true,
            ExprKind::MapGet { map, .. } | ExprKind::MapFind { map, .. } => {
                needs.cpu_count |= is_aggregation(&program.maps[map.index()].value);
            }
            ExprKind::Context(ir::Context::FunctionAddress) => needs.function_address = true,
            ExprKind::Context(ir::Context::MarkerArgument(_)) => needs.markers = true,
            _ => {}
        },
        Node::Stmt(stmt) => {
            if let StmtKind::ForMap { map, .. } = &stmt.kind {
                needs.cpu_count |= is_aggregation(&program.maps[map.index()].value);
            }
        }
        Node::Steps(_) => {}
    });
    needs
}

fn is_aggregation(ty: &Type) -> bool {
    matches!(ty, Type::Aggregation(_))
}

/// Number of the helper bpf_get_func_ip, whose presence a slot answers.
pub const GET_FUNC_IP: u32 = 173;
/// Number of the helper bpf_map_lookup_percpu_elem, whose presence a slot answers.
pub const LOOKUP_PERCPU: u32 = 195;

/// Number of the helper bpf_task_pt_regs, the same.
pub const TASK_PT_REGS: u32 = 175;

/// Plans everything that codegen and the runtime agree on.
#[must_use]
pub fn plan(program: &ir::Program, sources: &SourceMap) -> abi::Manifest {
    let needs = needs(program);
    let first_stacks = program.maps.len() as u32 + 1 + u32::from(!program.records.is_empty());
    let stacks = needs.stack_limits.iter().enumerate();
    let stacks = stacks.map(|(i, (build_ids, limit))| StackMap {
        build_ids: *build_ids,
        limit: limit.clone(),
        map: first_stacks + i as u32,
    });
    let shapes = Shapes::new(&program.types, stacks.collect());
    let counters = counters(program, &needs);
    let maps = maps(program, &shapes, counters.len() as u32, &needs);
    let (slots, slots_size) = slots(program, &needs, &maps);
    abi::Manifest {
        name: program.name.clone().into(),
        compiler: Cow::Borrowed(env!("CARGO_PKG_VERSION")),
        about: program.about.clone().into(),
        unsafe_mode: program.unsafe_mode,
        probes: program.probes.iter().map(|p| probe(p, sources)).collect(),
        maps: maps.into(),
        records: records(program, &shapes, sources).into(),
        counters: counters.into(),
        slots: slots.into(),
        slots_size,
        max_strlen: program.limits.max_strlen,
        positional: program.positional.clone().into(),
        named: program.named.clone().into(),
        checks: program.checks.iter().map(|c| check(c, sources)).collect(),
        enums: program.types.enums.iter().map(enumeration).collect(),
        needs_btf: program.probes.iter().any(|p| is_btf_typed(p.kind)),
        config: program.config.clone(),
        fixed: (program.fixed.iter())
            .map(|(name, value)| (name.clone().into(), value.clone().into()))
            .collect(),
    }
}

/// Programs whose attach point is named by BTF.
#[must_use]
pub fn is_btf_typed(kind: ir::ProgramKind) -> bool {
    use ir::ProgramKind as K;
    matches!(kind, K::BtfTracepoint | K::Fentry | K::Fexit | K::Iterator)
}

fn probe(probe: &ir::Probe, sources: &SourceMap) -> abi::Probe {
    abi::Probe {
        program: probe.program.clone().into(),
        name: probe.name.clone().into(),
        attach: attach(probe),
        parameters: probe.attach_parameters,
        number: probe.number_parameter.clone().into(),
        place: sources.place(probe.span).into(),
        context: Cow::Borrowed(&[]),
        floor: None,
    }
}

fn check(check: &ir::Check, sources: &SourceMap) -> abi::Check {
    abi::Check {
        what: check.what.clone().into(),
        place: sources.place(check.span).into(),
        rule: check.rule.clone(),
    }
}

/// The attach point; that of a usdt probe tells which arguments the body reads.
fn attach(probe: &ir::Probe) -> abi::Attach {
    let mut attach = probe.attach.clone();
    if let abi::Attach::Usdt { arguments, .. } = &mut attach {
        visit::statements(&probe.body, &mut |node| {
            if let Node::Expr(ir::Expr {
                kind: ExprKind::Context(ir::Context::MarkerArgument(n)),
                ..
            }) = node
            {
                *arguments |= 1 << n;
            }
        });
    }
    attach
}

fn enumeration(of: &ir::EnumType) -> abi::Enum {
    let mut values: Vec<(u64, abi::Text)> = of
        .values
        .iter()
        .map(|(name, value)| (*value, name.clone().into()))
        .collect();
    // Stable: the first name of a value stays first.
    values.sort_by_key(|(value, _)| *value);
    values.dedup_by_key(|(value, _)| *value);
    abi::Enum {
        name: of.name.clone().into(),
        values: values.into(),
        kernel: of.kernel,
    }
}

fn records(program: &ir::Program, shapes: &Shapes, sources: &SourceMap) -> Vec<abi::Record> {
    let size = program.limits.max_strlen;
    let largest = Type::String { size };
    let records = program.records.iter().map(|record| {
        let flags = gfp_arguments(&record.kind);
        let fields = record.fields.iter().enumerate();
        let fields = fields.map(|(at, ty)| match record.kind {
            // Its bytes are the integer's.
            _ if flags.contains(&at) => ("", abi::Value::GfpFlags),
            // The runtime looks the key up by its bytes.
            abi::RecordKind::PrintElement { .. } => ("", shapes.value(ty)),
            // Only a tail string can say that it was cut, and that a literal was not.
            _ if *ty == largest => ("", abi::Value::TailString),
            _ => ("", shapes.record_field(ty)),
        });
        let (size, fields) = shapes.sequence(fields, abi::record::HEADER_SIZE);
        abi::Record {
            kind: record.kind.clone(),
            fields: fields.into(),
            size: align_up(size, 4),
            place: sources.place(record.span).into(),
        }
    });
    records.collect()
}

/// Which arguments of a format `%gr` prints.
fn gfp_arguments(kind: &abi::RecordKind) -> Vec<usize> {
    use abi::RecordKind as K;
    let (K::Printf { format }
    | K::Errorf { format }
    | K::Warnf { format }
    | K::System { format }
    | K::Cat { format }) = kind
    else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let mut at = 0;
    for part in format.parts.iter() {
        if let abi::Part::Argument {
            width, conversion, ..
        } = part
        {
            at += usize::from(*width == abi::Width::Argument);
            if *conversion == abi::Conversion::GfpFlags {
                found.push(at);
            }
            at += 1;
        }
    }
    found
}

fn counters(program: &ir::Program, needs: &Needs) -> Vec<abi::Counter> {
    let mut counters = vec![abi::Counter::LostRecords];
    if !needs.stack_limits.is_empty() {
        counters.push(abi::Counter::LostStacks);
    }
    if needs.unwinding {
        counters.push(abi::Counter::ShortStacks);
    }
    for (i, map) in program.maps.iter().enumerate() {
        let map_index = i as u32;
        if matches!(map.kind, abi::MapKind::Hash | abi::MapKind::PerCpuHash) {
            counters.push(abi::Counter::MapFull { map: map_index });
        }
        if map.kind != abi::MapKind::PerCpuArray {
            counters.push(abi::Counter::LostUpdates { map: map_index });
        }
    }
    counters
}

fn slots(program: &ir::Program, needs: &Needs, maps: &[abi::Map]) -> (Vec<abi::Slot>, u32) {
    let mut slots = Vec::new();
    let mut at = 0;
    let mut add = |value: abi::TargetValue, size: u32| {
        slots.push(abi::Slot {
            offset: at,
            size,
            value,
        });
        at = align_up(at + size, 8);
    };
    let namespace = [
        abi::TargetValue::PidNamespaceDevice,
        abi::TargetValue::PidNamespaceInode,
    ];
    for slot in &program.slots {
        let size = match slot.ty {
            Type::String { size } => size,
            _ => 8,
        };
        add(slot.value.clone(), size);
    }
    for value in namespace.into_iter().filter(|_| needs.processes) {
        if !program.slots.iter().any(|slot| slot.value == value) {
            add(value, 8);
        }
    }
    for value in sizes(maps) {
        if !program.slots.iter().any(|slot| slot.value == value) {
            add(value, 8);
        }
    }
    if needs.cpu_count {
        add(abi::TargetValue::CpuCount, 8);
        let number = LOOKUP_PERCPU;
        add(abi::TargetValue::HasHelper { number }, 8);
        add(abi::TargetValue::PerCpuOffsets, 8);
    }
    if needs.function_address {
        let number = GET_FUNC_IP;
        add(abi::TargetValue::HasHelper { number }, 8);
    }
    if needs.unwinding {
        let number = TASK_PT_REGS;
        add(abi::TargetValue::HasHelper { number }, 8);
    }
    (slots, at)
}

/// What programs must know of maps whose values are as large as a run is told.
fn sizes(maps: &[abi::Map]) -> Vec<abi::TargetValue> {
    let mut sizes: Vec<abi::TargetValue> = vec![];
    for map in maps {
        let mut is_told = false;
        (map.value.clone()).numbers(&mut |number| is_told |= number.is_told());
        let size = match &map.role {
            abi::MapRole::Stacks { limit, .. } if limit.is_told() => abi::TargetValue::Number {
                number: limit.clone(),
            },
            _ if is_told && map.value.buckets() > 0 => abi::TargetValue::Buckets {
                of: map.value.clone(),
            },
            _ => continue,
        };
        if !sizes.contains(&size) {
            sizes.push(size);
        }
    }
    sizes
}

fn maps(program: &ir::Program, shapes: &Shapes, counters: u32, needs: &Needs) -> Vec<abi::Map> {
    let mut maps: Vec<abi::Map> = program.maps.iter().map(|m| script_map(m, shapes)).collect();
    let u64_value = || abi::Value::Int {
        size: 8,
        signed: false,
    };
    let internal = |symbol: &str, role, kind, value, max_entries| abi::Map {
        name: Cow::Borrowed(""),
        symbol: symbol.to_owned().into(),
        role,
        kind,
        key: None,
        value,
        max_entries,
        sparse: false,
    };
    let bytes = |count| abi::Value::Array {
        element: vec![abi::Value::Int {
            size: 1,
            signed: false,
        }]
        .into(),
        count,
        stride: 1,
    };
    if !program.records.is_empty() {
        let kind = abi::MapKind::RingBuffer;
        maps.push(internal(
            "btc_events",
            abi::MapRole::RingBuffer,
            kind,
            bytes(0),
            0,
        ));
    }
    maps.push(internal(
        "btc_counters",
        abi::MapRole::Counters,
        abi::MapKind::PerCpuArray,
        u64_value(),
        counters,
    ));
    for stacks in &shapes.stacks {
        let symbol = match stacks.build_ids {
            true => "btc_build_ids",
            false => "btc_stacks",
        };
        let role = abi::MapRole::Stacks {
            limit: stacks.limit.clone(),
            build_ids: stacks.build_ids,
        };
        let frames = abi::Value::Array {
            element: vec![u64_value()].into(),
            count: stacks.room() / 8,
            stride: 8,
        };
        let mut map = internal(symbol, role, abi::MapKind::Hash, frames, STACKS);
        map.key = Some(u64_value());
        map.sparse = true;
        maps.push(map);
    }
    if needs.unwinding {
        use abi::unwind::{KEY_SIZE, MAPPING_SIZE, MOST_MAPPINGS, MOST_TABLES};
        let mut mappings = internal(
            "btc_mappings",
            abi::MapRole::UnwindMappings,
            abi::MapKind::LpmTrie,
            bytes(MAPPING_SIZE),
            MOST_MAPPINGS,
        );
        mappings.key = Some(bytes(KEY_SIZE));
        maps.push(mappings);
        let role = abi::MapRole::UnwindTables;
        let kind = abi::MapKind::ArrayOfMaps;
        maps.push(internal("btc_tables", role, kind, bytes(4), MOST_TABLES));
    }
    if needs.markers {
        let kind = abi::MapKind::Array;
        let site = bytes(abi::usdt::SITE_SIZE);
        let role = abi::MapRole::UsdtSites;
        maps.push(internal("btc_usdt_sites", role, kind, site, 1));
    }
    if needs.packets {
        let kind = abi::MapKind::PerfEventArray;
        let role = abi::MapRole::Packets;
        maps.push(internal("btc_packets", role, kind, bytes(4), 0));
    }
    // Last, so that codegen can leave it out where no program needs it.
    maps.push(internal(
        "btc_scratch",
        abi::MapRole::Scratch,
        abi::MapKind::Array,
        bytes(8),
        1,
    ));
    maps
}

/// Distinct stacks that a run keeps.
const STACKS: u32 = 16384;

fn script_map(map: &ir::Map, shapes: &Shapes) -> abi::Map {
    let value = shapes.value(&map.value);
    let hash = matches!(map.kind, abi::MapKind::Hash | abi::MapKind::PerCpuHash);
    abi::Map {
        name: format!("@{}", map.name).into(),
        symbol: format!("AT_{}", map.name).into(),
        role: abi::MapRole::Script,
        kind: map.kind.clone(),
        key: map.key.as_ref().map(|key| shapes.value(key)),
        sparse: hash && value.size() >= SPARSE_FROM,
        value,
        max_entries: if map.key.is_none() {
            1
        } else {
            map.max_entries
        },
    }
}
