//! Iterators: the call for each object, and what a pinned one prints to its reader.

use btc_abi as abi;
use inkwell::values::PointerValue;

use super::builder::Mem;
use super::helper::number;
use super::program::Emitter;
use crate::bug::Bug;
use crate::ir::{Expr, ExprKind, Type};

impl<'ctx> Emitter<'_, '_, 'ctx> {
    pub fn is_pinned_iterator(&self) -> bool {
        matches!(self.probe.attach, abi::Attach::Iter { pin: Some(_), .. })
    }

    /// Leaves where there is no object: the kernel calls once more after the last. Else gives the runtime, which reads the
    /// iterator, a byte: so it stops after a number of objects and takes their records out of the ring buffer.
    pub fn begin_object(&mut self) -> Result<(), Bug> {
        let object = self.context_word(8)?;
        let there = self.block("object");
        let none = self.compare(inkwell::IntPredicate::EQ, object, self.i64(0))?;
        self.branch(none, self.exit, there)?;
        self.enter(there);
        if self.is_pinned_iterator() {
            return Ok(());
        }
        let mark = self.mark();
        let byte = self.temporary(8)?;
        self.store_int(byte, self.i64(0))?;
        let file = self.reader_file()?;
        let arguments = [file.into(), byte.at.into(), self.i64(1).into()];
        self.helper(number::SEQ_WRITE, &arguments)?;
        self.release(mark);
        Ok(())
    }

    /// struct seq_file: the first member of struct bpf_iter_meta, which is the first of every context (Linux 5.8). The
    /// verifier knows what these loads give, so they are no relocations.
    fn reader_file(&mut self) -> Result<PointerValue<'ctx>, Bug> {
        let meta = self.context_word(0)?;
        let at = self.int_to_pointer(meta)?;
        self.load_pointer(Mem { at, align: 8 })
    }

    /// `printf` by bpf_seq_printf. Its values lie in scratch memory: the verifier of Linux 5.10 lets no helper read pointers from
    /// the stack.
    pub fn print_to_reader(&mut self, kind: &abi::RecordKind, values: &[Expr]) -> Result<(), Bug> {
        let abi::RecordKind::Printf { format } = kind else {
            return Err(Bug::new("a pinned iterator that does not print"));
        };
        let (text, takes) = kernel_format(format)?;
        let length = text.len() as u32 + 1;
        let data = self.scratch_memory((8 * values.len() as u32).max(8))?;
        for ((value, takes), offset) in values.iter().zip(takes).zip((0..).step_by(8)) {
            let word = match value.ty {
                Type::String { .. } => {
                    let text = self.mem(value)?;
                    self.pointer_to_int(text.at)?
                }
                _ => {
                    let value = self.int(value)?;
                    let cut = self.resize(value, self.int_type(takes.bytes), takes.signed)?;
                    self.resize(cut, self.unit.i64, takes.signed)?
                }
            };
            let at = self.offset(data, offset)?;
            self.store_int(at, word)?;
        }
        let format = Expr {
            kind: ExprKind::String(text),
            ty: Type::String { size: length },
            span: self.here,
        };
        let format = self.mem(&format)?;
        let file = self.reader_file()?;
        let arguments = [
            file.into(),
            format.at.into(),
            self.i64(u64::from(length)).into(),
            data.at.into(),
            self.i64(8 * values.len() as u64).into(),
        ];
        self.helper(number::SEQ_PRINTF, &arguments)?;
        Ok(())
    }
}

/// What a conversion prints of an integer.
struct Takes {
    bytes: u32,
    signed: bool,
}

/// The format in the kernel's words, where all integers are `long long`, and what is printed of each value.
fn kernel_format(format: &abi::Format) -> Result<(Vec<u8>, Vec<Takes>), Bug> {
    use std::fmt::Write as _;
    let mut text = String::new();
    let mut takes = vec![];
    for part in format.parts.iter() {
        let (flags, width, conversion) = match part {
            abi::Part::Literal { text: literal } => {
                text += &literal.replace('%', "%%");
                continue;
            }
            abi::Part::Argument {
                flags,
                width,
                conversion,
                ..
            } => (flags, width, conversion),
        };
        if *conversion == abi::Conversion::Pointer {
            text += "0x";
        }
        text.push('%');
        let letters = [
            (flags.left, '-'),
            (flags.zero, '0'),
            (flags.plus, '+'),
            (flags.space, ' '),
        ];
        text.extend(
            letters
                .iter()
                .filter(|(set, _)| *set)
                .map(|(_, letter)| letter),
        );
        if let abi::Width::Fixed { columns } = width {
            let _ = write!(text, "{columns}");
        }
        let (letters, bytes) = match conversion {
            abi::Conversion::Signed { bytes } => ("lld", *bytes),
            abi::Conversion::Unsigned { bytes } => ("llu", *bytes),
            abi::Conversion::Hex {
                bytes,
                upper: false,
            } => ("llx", *bytes),
            abi::Conversion::Hex { bytes, upper: true } => ("llX", *bytes),
            abi::Conversion::Pointer => ("llx", 8),
            abi::Conversion::String => ("s", 8),
            _ => return Err(Bug::new("a conversion that the kernel does not have")),
        };
        text += letters;
        takes.push(Takes {
            bytes: u32::from(bytes),
            signed: letters == "lld",
        });
    }
    Ok((text.into_bytes(), takes))
}
