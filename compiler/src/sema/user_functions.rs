//! `args` of a user function: where the calling convention puts each parameter when the function is entered, and what of
//! its binary a script relies on.

use btc_abi as abi;

use super::Arch;
use super::lowering::Lowering;
use super::types::{TypeTable, strip};
use crate::diagnostic::{Code, Diagnostic};
use crate::host::{CType, Host, HostRecordBody, Named, UserFunction};
use crate::ir::{self, BinaryOp, Context, Expr, IntType, Place as Location, Space, Type};
use crate::provider::Args;
use crate::source::Span;
use crate::syntax::ast;

impl Lowering<'_> {
    /// `args.name`
    pub(super) fn user_argument(
        &mut self,
        binary: &str,
        function: &str,
        args: Span,
        name: &ast::Name,
    ) -> Option<Expr> {
        let found = self.user_function(binary, function, args)?;
        let Some(at) = found.parameters.iter().position(|p| p.name == name.text) else {
            let names: Vec<&str> = found.parameters.iter().map(|p| p.name.as_str()).collect();
            return self.unknown_argument(name, &names);
        };
        let place = places(&found, self.options.arch, self.host)
            .into_iter()
            .nth(at)?;
        let span = args.to(name.span);
        let ty = found.parameters.get(at)?.ty.clone();
        let result = match place {
            Place::Register(n) => self.context_value(Context::Argument(n), &ty, span),
            Place::Stack(n) => self.context_value(Context::StackArgument(n), &ty, span),
            Place::Registers { first, words } => {
                let ty = self.types.of_c(&ty);
                let words = first..first + words;
                let words = words.map(|n| self.context(Context::Argument(n), span));
                let words = words.collect();
                Some(self.record_in_words(words, ty, span))
            }
            Place::Memory(n) => {
                let ty = self.types.of_c(&ty);
                let address = self.stack_address(n, span);
                Some(self.user_record(address, ty, span))
            }
            Place::BehindRegister(n) => {
                let ty = self.types.of_c(&ty);
                let address = self.context(Context::Argument(n), span);
                Some(self.user_record(address, ty, span))
            }
            Place::BehindStack(n) => {
                let ty = self.types.of_c(&ty);
                let address = self.context(Context::StackArgument(n), span);
                Some(self.user_record(address, ty, span))
            }
            Place::Float => {
                return self.error(
                    Code::InvalidOperand,
                    span,
                    format!(
                        "`args.{}` is in floating-point registers, which BPF programs can't read",
                        name.text
                    ),
                );
            }
            Place::Wide => {
                let message = format!("`args.{}` is an integer of 128 bits", name.text);
                return self.error(Code::InvalidOperand, span, message);
            }
        };
        self.signature = Some((found.binary, found.signature));
        result
    }

    /// A type of the probed program, by its name: one that the function's parameters lead to.
    pub(super) fn user_type(&mut self, wanted: Named<'_>) -> Option<Type> {
        let Args::User { binary, function } = &self.probe.args else {
            return None;
        };
        let found = self.host.user_type(binary, function, wanted)?;
        let of = self.host.user_function(binary, function).ok()?;
        self.signature = Some((of.binary, of.signature));
        Some(self.types.of_c(&found))
    }

    /// The names of a function's parameters.
    pub(super) fn user_parameters(
        &mut self,
        binary: &str,
        function: &str,
        args: Span,
    ) -> Option<Vec<String>> {
        let found = self.user_function(binary, function, args)?;
        Some(found.parameters.into_iter().map(|p| p.name).collect())
    }

    fn user_function(&mut self, binary: &str, function: &str, args: Span) -> Option<UserFunction> {
        match self.host.user_function(binary, function) {
            Ok(found) => Some(found),
            Err(why) => {
                let message = format!("the arguments of `{function}` are not known here: {why}");
                self.report(
                    Diagnostic::error(Code::UnknownType, args, message)
                        .with_help("use `arg0` to `argN`"),
                );
                None
            }
        }
    }

    /// Where the nth word that was pushed for a call lies.
    fn stack_address(&self, n: u8, span: Span) -> Expr {
        let wide = Type::Int(IntType::U64);
        let skip = u64::from(self.options.arch.first_stack_argument()) + 8 * u64::from(n);
        let skip = self.integer(skip, IntType::U64, span);
        let stack = self.context(Context::Register("sp"), span);
        self.binary(BinaryOp::Add, stack, skip, wide, span)
    }

    /// A struct in the process's memory.
    fn user_record(&mut self, address: Expr, ty: Type, span: Span) -> Expr {
        let pointer = Type::Pointer {
            to: Box::new(ty.clone()),
            space: Space::User,
        };
        let place = Location {
            base: self.convert(address, pointer),
            space: Space::User,
            steps: vec![],
            ty,
        };
        self.load(place, span)
    }
}

/// Puts into each probe what its script relies on: the function's parameters, and the structs of its binary that are used.
pub(super) fn sign(
    probes: &mut [ir::Probe],
    signatures: Vec<Option<(usize, abi::Signature)>>,
    types: &TypeTable,
    host: &dyn Host,
) {
    if signatures.iter().all(Option::is_none) {
        return;
    }
    let layouts: Vec<(usize, abi::Layout)> = types
        .user_records()
        .filter_map(|record| host.user_layout(record))
        .collect();
    for (probe, signed) in probes.iter_mut().zip(signatures) {
        if let (abi::Attach::Uprobe { signature, .. }, Some((binary, mut signed))) =
            (&mut probe.attach, signed)
        {
            let its = layouts.iter().filter(|(of, _)| *of == binary);
            signed.layouts = its.map(|(_, layout)| layout.clone()).collect();
            *signature = Some(signed);
        }
    }
}

/// Where a parameter is when its function is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The nth register for integers and pointers.
    Register(u8),
    /// The nth word that was pushed.
    Stack(u8),
    /// Where floating-point numbers are, or a struct with some.
    Float,
    /// An integer of two words.
    Wide,
    /// A struct in so many registers from the nth on.
    Registers { first: u8, words: u8 },
    /// A struct on the stack, from the nth word on.
    Memory(u8),
    /// A struct whose address is in the nth register.
    BehindRegister(u8),
    /// A struct whose address is the nth word on the stack.
    BehindStack(u8),
}

impl Place {
    /// A struct of so many words whose first is here.
    fn of_record(self, words: u8) -> Place {
        match self {
            Place::Register(first) => Place::Registers { first, words },
            Place::Stack(n) => Place::Memory(n),
            other => other,
        }
    }

    /// A struct whose address is here.
    fn of_address(self) -> Place {
        match self {
            Place::Register(n) => Place::BehindRegister(n),
            Place::Stack(n) => Place::BehindStack(n),
            other => other,
        }
    }
}

/// What is left of registers, and what is on the stack so far.
struct Convention {
    arch: Arch,
    integers: u8,
    floats: u8,
    stack: u8,
}

/// The System V ABI of x86-64 and the procedure call standard of arm64, for what C and C++ pass.
fn places(function: &UserFunction, arch: Arch, host: &dyn Host) -> Vec<Place> {
    let mut convention = Convention {
        arch,
        integers: 0,
        floats: 0,
        stack: 0,
    };
    let returned = shape(&function.result, host);
    let in_memory = function.result_by_reference
        || matches!(returned, Shape::Record { bytes, .. } if bytes > 16);
    if in_memory && arch == Arch::X86_64 {
        // The place for the result is an argument before the first; arm64 has a register of its own for it.
        convention.integers = 1;
    }
    let parameters = function.parameters.iter();
    parameters
        .map(|parameter| match parameter.by_reference {
            true => convention.words(1).of_address(),
            false => convention.place(shape(&parameter.ty, host)),
        })
        .collect()
}

impl Convention {
    fn registers(&self) -> u8 {
        match self.arch {
            Arch::X86_64 => 6,
            Arch::Arm64 => 8,
        }
    }

    fn place(&mut self, shape: Shape) -> Place {
        match shape {
            Shape::Word => self.words(1),
            Shape::Wide => {
                if self.arch == Arch::Arm64 {
                    self.integers = self.integers.next_multiple_of(2);
                }
                self.words(2);
                Place::Wide
            }
            Shape::Float { bytes } => {
                self.float(bytes);
                Place::Float
            }
            Shape::Record { bytes, floats } => self.record(bytes, floats),
        }
    }

    /// Takes registers for integers, all of them or none.
    fn words(&mut self, count: u8) -> Place {
        if self.integers + count <= self.registers() {
            self.integers += count;
            return Place::Register(self.integers - count);
        }
        if self.arch == Arch::Arm64 {
            // What did not fit closes the registers.
            self.integers = self.registers();
        }
        self.push(count, count)
    }

    fn push(&mut self, words: u8, align: u8) -> Place {
        let start = self.stack.next_multiple_of(align.clamp(1, 2));
        self.stack = start.saturating_add(words);
        Place::Stack(start)
    }

    fn float(&mut self, bytes: u32) {
        // `long double` of x86-64 is passed in memory.
        let in_register = bytes <= 8 || self.arch == Arch::Arm64;
        if in_register && self.floats < 8 {
            self.floats += 1;
        } else {
            let words = u8::try_from(bytes.div_ceil(8)).unwrap_or(1);
            self.push(words, words);
        }
    }

    fn record(&mut self, bytes: u32, floats: Floats) -> Place {
        let words = u8::try_from(bytes.div_ceil(8)).unwrap_or(u8::MAX);
        match (self.arch, floats) {
            _ if bytes == 0 => Place::Registers { first: 0, words: 0 },
            (Arch::Arm64, Floats::Same { count }) if count <= 4 => {
                if self.floats + count <= 8 {
                    self.floats += count;
                    return Place::Float;
                }
                self.floats = 8;
                self.push(words, 1).of_record(words)
            }
            // By the address of a copy.
            (Arch::Arm64, _) if bytes > 16 => self.words(1).of_address(),
            (Arch::Arm64, _) => self.words(words).of_record(words),
            (Arch::X86_64, _) if bytes > 16 => self.push(words, 1).of_record(words),
            (Arch::X86_64, floats) => {
                let sse = match floats {
                    Floats::Same { .. } => words,
                    Floats::Words { first, second } => {
                        u8::from(first) + u8::from(second && words > 1)
                    }
                };
                let integers = words - sse;
                if self.integers + integers > 6 || self.floats + sse > 8 {
                    return self.push(words, 1).of_record(words);
                }
                let first = self.integers;
                self.integers += integers;
                self.floats += sse;
                match sse {
                    0 => Place::Registers { first, words },
                    _ => Place::Float,
                }
            }
        }
    }
}

/// What the conventions go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Word,
    /// An integer of two words.
    Wide,
    Float {
        bytes: u32,
    },
    Record {
        bytes: u32,
        floats: Floats,
    },
}

/// The floating-point numbers in a struct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Floats {
    /// Nothing else, and all of one size.
    Same { count: u8 },
    /// Whether there is nothing else in the first and in the second word.
    Words { first: bool, second: bool },
}

fn shape(ty: &CType, host: &dyn Host) -> Shape {
    match strip(ty) {
        CType::Int { bytes, .. } if *bytes > 8 => Shape::Wide,
        CType::Float { bytes } => Shape::Float {
            bytes: u32::from(*bytes),
        },
        record @ (CType::Record(_) | CType::Array { .. }) => {
            let mut leaves = vec![];
            let bytes = collect(record, 0, host, &mut leaves, 0);
            Shape::Record {
                bytes,
                floats: floats(&leaves),
            }
        }
        _ => Shape::Word,
    }
}

/// A number or pointer in a struct: its byte offset, and its size where it is a floating-point number.
type Leaf = (u32, Option<u8>);

fn floats(leaves: &[Leaf]) -> Floats {
    if let Some((_, Some(size))) = leaves.first()
        && leaves.iter().all(|(_, float)| *float == Some(*size))
    {
        return Floats::Same {
            count: u8::try_from(leaves.len()).unwrap_or(u8::MAX),
        };
    }
    let only = |word: u32| {
        let mut inside = leaves.iter().filter(|(at, _)| at / 8 == word).peekable();
        inside.peek().is_some() && inside.all(|(_, float)| float.is_some())
    };
    Floats::Words {
        first: only(0),
        second: only(1),
    }
}

/// Gathers what is in a value that starts at a byte; gives its size.
fn collect(ty: &CType, at: u32, host: &dyn Host, leaves: &mut Vec<Leaf>, depth: u32) -> u32 {
    match strip(ty) {
        CType::Float { bytes } => {
            leaves.push((at, Some(*bytes)));
            u32::from(*bytes)
        }
        CType::Array { element, count } => {
            let mut size = 0u32;
            // More than four of anything is neither in registers nor all floats.
            for index in 0..(*count).min(8) {
                let start = at.saturating_add(size.saturating_mul(index));
                size = collect(element, start, host, leaves, depth + 1);
            }
            size.saturating_mul(*count)
        }
        CType::Record(record) if depth < 16 => {
            let body: Option<HostRecordBody> = host.record_body(record);
            let Some(body) = body else { return 0 };
            for member in &body.members {
                let start = at.saturating_add(member.bit_offset / 8);
                collect(&member.ty, start, host, leaves, depth + 1);
            }
            body.size
        }
        CType::Int { bytes, .. } => {
            leaves.push((at, None));
            u32::from(*bytes)
        }
        CType::Enum(of) => {
            leaves.push((at, None));
            u32::from(of.bytes)
        }
        _ => {
            leaves.push((at, None));
            8
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Place::{BehindRegister, Float, Memory, Register, Registers, Stack};
    use super::*;
    use crate::host::UserParameter;
    use crate::host::fixture::FixtureHost;

    fn int(bytes: u8) -> CType {
        CType::Int {
            bytes,
            signed: true,
            bool_: false,
            char_: false,
        }
    }

    /// A kernel struct of the fixture stands for one of a program.
    fn record(name: &str) -> CType {
        CType::Record(FixtureHost.record(name, false).unwrap())
    }

    fn function(result: CType, parameters: &[CType]) -> UserFunction {
        let parameters = parameters.iter().map(|ty| UserParameter {
            name: String::new(),
            ty: ty.clone(),
            by_reference: false,
        });
        UserFunction {
            parameters: parameters.collect(),
            result,
            result_by_reference: false,
            signature: abi::Signature {
                build_id: "".into(),
                parameters: "".into(),
                layouts: vec![].into(),
            },
            binary: 0,
        }
    }

    fn placed(arch: Arch, result: CType, parameters: &[CType]) -> Vec<Place> {
        places(&function(result, parameters), arch, &FixtureHost)
    }

    #[test]
    fn integers_fill_registers_then_the_stack() {
        let nine = vec![int(4); 9];
        let x86 = placed(Arch::X86_64, int(4), &nine);
        let first: Vec<_> = (0..6).map(Register).collect();
        assert_eq!(x86[..6], first);
        assert_eq!(x86[6..], [Stack(0), Stack(1), Stack(2)]);
        let arm = placed(Arch::Arm64, int(4), &nine);
        assert_eq!(arm[7..], [Register(7), Stack(0)]);
    }

    #[test]
    fn floats_have_registers_of_their_own() {
        let mixed = [
            CType::Float { bytes: 8 },
            int(8),
            CType::Float { bytes: 4 },
            int(1),
        ];
        for arch in crate::arch::ALL {
            let places = placed(arch, CType::Void, &mixed);
            assert_eq!(places, [Float, Register(0), Float, Register(1)]);
        }
        // The ninth is pushed; `long double` is on x86-64.
        let mut many = vec![CType::Float { bytes: 8 }; 9];
        many.extend(vec![int(8); 7]);
        assert_eq!(placed(Arch::X86_64, CType::Void, &many)[15], Stack(1));
        let long = [CType::Float { bytes: 16 }, int(8)];
        assert_eq!(placed(Arch::X86_64, CType::Void, &long)[1], Register(0));
    }

    #[test]
    fn structs_take_registers_or_memory() {
        // `dentry`: a pointer and an integer in 16 bytes; `task_struct`: 64 bytes.
        let small = [record("dentry"), int(4)];
        let large = [record("task_struct"), int(4)];
        for arch in crate::arch::ALL {
            let pair = Registers { first: 0, words: 2 };
            assert_eq!(placed(arch, CType::Void, &small), [pair, Register(2)]);
        }
        assert_eq!(
            placed(Arch::X86_64, CType::Void, &large),
            [Memory(0), Register(0)]
        );
        // By the address of a copy.
        assert_eq!(
            placed(Arch::Arm64, CType::Void, &large),
            [BehindRegister(0), Register(1)]
        );
        // All of it or nothing: the sixth register is left for what follows.
        let late = [vec![int(8); 5], vec![record("dentry"), int(8), int(8)]].concat();
        assert_eq!(
            placed(Arch::X86_64, CType::Void, &late)[6..],
            [Register(5), Stack(2)]
        );
    }

    #[test]
    fn a_large_result_is_an_argument_on_x86() {
        let one = [int(8)];
        assert_eq!(
            placed(Arch::X86_64, record("task_struct"), &one),
            [Register(1)]
        );
        assert_eq!(
            placed(Arch::Arm64, record("task_struct"), &one),
            [Register(0)]
        );
        assert_eq!(placed(Arch::X86_64, record("dentry"), &one), [Register(0)]);
    }

    #[test]
    fn floats_in_structs() {
        let leaves = [(0, Some(4)), (4, Some(4)), (8, Some(4))];
        assert_eq!(floats(&leaves), Floats::Same { count: 3 });
        let words = |first, second| Floats::Words { first, second };
        assert_eq!(floats(&[(0, Some(8)), (8, None)]), words(true, false));
        assert_eq!(
            floats(&[(0, Some(4)), (4, None), (8, Some(8))]),
            words(false, true)
        );
        assert_eq!(floats(&[]), words(false, false));
    }
}
