//! Members of a tracepoint's record: instructions that the runtime patches with the target's own offsets.
//!
//! LLVM is given an instruction with an offset that nothing else in a program has; after code generation the
//! instructions are found by it and listed in the manifest.

use btc_abi as abi;
use inkwell::values::IntValue;
use object::{Object as _, ObjectSection as _, ObjectSymbol as _};

use super::callback::{EventRead, Hoisted};
use super::program::Emitter;
use crate::bug::Bug;
use crate::ir::Origin;

/// One place that reads a member.
#[derive(Clone, Debug)]
pub struct Marker {
    pub field: String,
    pub size: u8,
    pub addend: u32,
    pub location: abi::DataLocation,
}

/// Marked loads have offsets from here down; BPF programs never use offsets below the stack's 512 bytes.
const LOAD_MARK: i32 = -20_000;
const MOST_MARKERS: usize = 12_000;
/// Marked additions have immediates from here down.
const ADDRESS_MARK: i32 = -0x5b7c_0000;

impl<'ctx> Emitter<'_, '_, 'ctx> {
    fn marker(&mut self, field: &str, size: u32, addend: u32) -> Result<i32, Bug> {
        let index = self.markers.len();
        if index >= MOST_MARKERS {
            return Err(Bug::new("too many tracepoint members"));
        }
        self.markers.push(Marker {
            field: field.to_owned(),
            size: size as u8,
            addend,
            location: self.location(field),
        });
        Ok(index as i32)
    }

    /// Where the member's data is on the build machine.
    fn location(&self, field: &str) -> abi::DataLocation {
        let abi::Attach::Tracepoint { category, event } = &self.probe.attach else {
            return abi::DataLocation::Inline;
        };
        let origin = Origin::Tracepoint {
            category: category.to_string(),
            event: event.to_string(),
        };
        let records = &self.unit.program.types.records;
        let members = records.iter().filter(|record| record.origin == origin);
        members
            .flat_map(|record| &record.members)
            .find(|member| member.name == field)
            .map_or(abi::DataLocation::Inline, |member| member.location.clone())
    }

    fn marked(&mut self, assembly: String) -> Result<IntValue<'ctx>, Bug> {
        // Registers of their own: the runtime may rewrite the first instruction and still need the context.
        self.on_context(assembly, "=&r,r", true)
    }

    /// What instructions make of the context, which is their second operand.
    pub fn on_context(
        &self,
        assembly: String,
        constraints: &str,
        side_effects: bool,
    ) -> Result<IntValue<'ctx>, Bug> {
        let pointer = self.unit.pointer_type();
        let ty = self.unit.i64.fn_type(&[pointer.into()], false);
        let code = self.unit.context.create_inline_asm(
            ty,
            assembly,
            constraints.to_owned(),
            side_effects,
            false,
            None,
            false,
        );
        let context = self.context;
        let call = self
            .builder
            .build_indirect_call(ty, code, &[context.into()], "")?;
        self.int_result(call)
    }

    /// A member's value, zero-extended.
    pub fn event_load(
        &mut self,
        field: &str,
        addend: u32,
        size: u32,
    ) -> Result<IntValue<'ctx>, Bug> {
        let read = EventRead {
            field: field.to_owned(),
            addend,
            size: Some(size),
        };
        if let Some(value) = self.hoisted(&Hoisted::Event(read))? {
            return Ok(value);
        }
        let mark = LOAD_MARK - self.marker(field, size, addend)?;
        self.marked(format!("$0 = *(u{} *)($1 - {})", size * 8, -mark))
    }

    /// A member's address, as a plain number.
    pub fn event_address(&mut self, field: &str, addend: u32) -> Result<IntValue<'ctx>, Bug> {
        let read = EventRead {
            field: field.to_owned(),
            addend,
            size: None,
        };
        if let Some(offset) = self.hoisted(&Hoisted::Event(read))? {
            let context = self.address_as_number(self.context)?;
            return self.add(context, offset);
        }
        let mark = ADDRESS_MARK - self.marker(field, 0, addend)?;
        let address = self.marked(format!("$0 = $1\n$0 += {mark}"))?;
        self.number(address)
    }

    /// A member's offset in the record.
    pub fn event_offset(&mut self, field: &str, addend: u32) -> Result<IntValue<'ctx>, Bug> {
        let mark = ADDRESS_MARK - self.marker(field, 0, addend)?;
        self.marked(format!("$0 = 0\n$0 += {mark}"))
    }
}

/// Finds the marked instructions of a program in the object.
pub fn locate(
    elf: &object::File,
    program: &str,
    markers: &[Marker],
) -> Result<Vec<abi::ContextRelocation>, Bug> {
    if markers.is_empty() {
        return Ok(Vec::new());
    }
    let bad = |what: &str| Bug::new(format!("program `{program}`: {what}"));
    let symbol = elf
        .symbols()
        .find(|s| s.name() == Ok(program))
        .ok_or_else(|| bad("no symbol"))?;
    let section = symbol
        .section_index()
        .and_then(|index| elf.section_by_index(index).ok())
        .ok_or_else(|| bad("no section"))?;
    let data = section.data().map_err(|_| bad("no code"))?;
    let from = symbol.address() as usize;
    let code = data
        .get(from..from + symbol.size() as usize)
        .ok_or_else(|| bad("code out of bounds"))?;
    let mut found = Vec::new();
    let mut wide = false;
    for (index, insn) in code.chunks_exact(8).enumerate() {
        // The second half of a 64-bit constant is no instruction.
        if wide {
            wide = false;
            continue;
        }
        wide = insn[0] == 0x18;
        let offset = i32::from(i16::from_le_bytes([insn[2], insn[3]]));
        let immediate = i32::from_le_bytes([insn[4], insn[5], insn[6], insn[7]]);
        let mark = match insn[0] & 0x07 {
            // BPF_LDX
            0x01 => LOAD_MARK - offset,
            // BPF_ALU64 | BPF_ADD | BPF_K
            0x07 if insn[0] == 0x07 => ADDRESS_MARK.wrapping_sub(immediate),
            _ => continue,
        };
        let Some(marker) = usize::try_from(mark).ok().and_then(|m| markers.get(m)) else {
            continue;
        };
        found.push(abi::ContextRelocation {
            instruction: index as u32,
            field: marker.field.clone().into(),
            size: marker.size,
            addend: marker.addend,
            location: marker.location.clone(),
        });
    }
    Ok(found)
}
