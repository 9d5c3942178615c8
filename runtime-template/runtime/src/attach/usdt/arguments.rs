//! Where a marker's arguments are, as its note says it in the assembler's words (`-4@%eax 8@-16(%rbp)`, `8@[sp, 16]`) → a
//! form that programs follow. What a compiler may write there: <https://sourceware.org/systemtap/wiki/UserSpaceProbeImplementation>.

use btc_abi::registers;
use btc_abi::usdt::{Argument, MOST_ARGUMENTS};

/// The machine whose assembler wrote a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    X86_64,
    Arm64,
}

/// What operands are relative to.
pub struct Surroundings<'a> {
    pub machine: Machine,
    /// The marker's own address.
    pub address: u64,
    /// The address of a symbol of the binary.
    pub symbol: &'a dyn Fn(&str) -> Option<u64>,
}

/// An argument, or its text and why it can't be read.
pub type Parsed = Result<Argument, String>;

/// All arguments, in order.
pub fn parse(text: &str, surroundings: &Surroundings<'_>) -> Vec<Parsed> {
    (words(text).into_iter().take(MOST_ARGUMENTS))
        .map(|word| argument(word, surroundings).map_err(|why| format!("`{word}`: {why}")))
        .collect()
}

/// Splits at spaces outside of brackets.
fn words(text: &str) -> Vec<&str> {
    let mut depth = 0usize;
    text.split(|c: char| {
        match c {
            '[' | '(' => depth += 1,
            ']' | ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c.is_ascii_whitespace() && depth == 0
    })
    .filter(|word| !word.is_empty())
    .collect()
}

fn argument(word: &str, surroundings: &Surroundings<'_>) -> Result<Argument, String> {
    let mut argument = Argument {
        size: 8,
        ..Argument::default()
    };
    let mut operand = word;
    // The oldest notes have no size; operands of position-independent code may have an `@` of their own (`x@GOTPCREL`).
    if let Some((size, rest)) = word.split_once('@')
        && size.starts_with(|c: char| c == '-' || c.is_ascii_digit())
    {
        operand = rest.trim();
        let digits = size.strip_prefix('-');
        argument.signed = u8::from(digits.is_some());
        argument.size = match digits.unwrap_or(size) {
            "1" => 1,
            "2" => 2,
            "4" => 4,
            "8" => 8,
            digits if digits.ends_with('f') => return Err(FLOAT.into()),
            digits => return Err(format!("a size of `{digits}` bytes")),
        };
    }
    match surroundings.machine {
        Machine::X86_64 => x86_64(operand, &mut argument, surroundings)?,
        Machine::Arm64 => arm64(operand, &mut argument)?,
    }
    Ok(argument)
}

const FLOAT: &str = "a floating point number, which BPF can't read";

/// A number as assemblers write it.
fn number(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let value = match digits.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok()?,
        None => digits.parse::<u64>().ok()?,
    };
    let value = value.cast_signed();
    Some(if negative {
        value.wrapping_neg()
    } else {
        value
    })
}

/// A register's offset as [`Argument`] has it.
fn register(offset: u32) -> u16 {
    offset as u16 + 1
}

/// `$constant`, `%register`, or `displacement(%base,%index,scale)`.
fn x86_64(
    operand: &str,
    argument: &mut Argument,
    surroundings: &Surroundings<'_>,
) -> Result<(), String> {
    if let Some(constant) = operand.strip_prefix('$') {
        argument.constant = number(constant).ok_or("not a number")?;
        return Ok(());
    }
    if let (Some(name), false) = (operand.strip_prefix('%'), operand.contains(':')) {
        argument.base = x86_64_register(name)?;
        return Ok(());
    }
    if operand.contains(':') {
        return Err("memory of a segment".into());
    }
    argument.memory = 1;
    let (displacement, rest) = match operand.split_once('(') {
        Some((displacement, rest)) => {
            let inside = rest.strip_suffix(')').ok_or("a bracket is not closed")?;
            (displacement, Some(inside))
        }
        None => (operand, None),
    };
    let mut parts = rest.unwrap_or_default().split(',').map(str::trim);
    let base = parts.next().unwrap_or_default();
    let index = parts.next().unwrap_or_default();
    let scale = parts.next().unwrap_or("1");
    if parts.next().is_some() {
        return Err("too many parts in brackets".into());
    }
    if !index.is_empty() {
        argument.index = x86_64_pointer(index)?;
        argument.scale = match scale {
            "1" => 0,
            "2" => 1,
            "4" => 2,
            "8" => 3,
            _ => return Err(format!("a scale of `{scale}`")),
        };
    }
    let absolute = displacement.is_empty() && rest.is_some();
    let constant = if absolute {
        Some(0)
    } else {
        number(displacement)
    };
    match constant {
        Some(_) if base == "%rip" => {
            return Err("an address relative to an instruction of unknown length".into());
        }
        Some(constant) => {
            argument.constant = constant;
            if !base.is_empty() {
                argument.base = x86_64_pointer(base)?;
            }
        }
        // Where the binary is loaded is not known before, but how far the symbol is from the marker.
        None if base.is_empty() || base == "%rip" => {
            let address = symbol_address(displacement, surroundings)?;
            argument.constant = address.wrapping_sub(surroundings.address).cast_signed();
            argument.base = registers::x86_64("ip").map_or(0, register);
        }
        None => return Err("a symbol and a register".into()),
    }
    Ok(())
}

/// `symbol`, `symbol+8`, `8+symbol`, `symbol-8`.
fn symbol_address(text: &str, surroundings: &Surroundings<'_>) -> Result<u64, String> {
    if let Some(relocated) = text.split_once('@') {
        return Err(format!("an address that is looked up (`@{}`)", relocated.1));
    }
    let at = text.rfind(['+', '-']).filter(|at| *at > 0);
    let (name, offset) = match at {
        None => (text, 0),
        Some(at) => match (number(&text[at..]), number(&text[..at])) {
            (Some(offset), _) => (&text[..at], offset),
            (None, Some(offset)) if text.as_bytes()[at] == b'+' => (&text[at + 1..], offset),
            _ => return Err("not an operand of this machine".into()),
        },
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '$');
    if name.is_empty() || !name.chars().all(plain) {
        return Err("not an operand of this machine".into());
    }
    let address = (surroundings.symbol)(name)
        .ok_or_else(|| format!("the binary has no symbol `{name}` (is it stripped?)"))?;
    Ok(address.wrapping_add_signed(offset))
}

/// The register that addresses are made of: one of 64 bits.
fn x86_64_pointer(text: &str) -> Result<u16, String> {
    match text.strip_prefix('%') {
        Some(name) if name.starts_with('r') && !name.ends_with(['d', 'w', 'b']) => {
            x86_64_register(name)
        }
        _ => Err(format!("`{text}` in an address")),
    }
}

/// Any part of a register: `rax`, `eax`, `ax`, `al`, `ah`, `r8d`, `sil`.
fn x86_64_register(name: &str) -> Result<u16, String> {
    let unknown = || match name {
        _ if name.starts_with("xmm") || name.starts_with("ymm") || name.starts_with("zmm") => {
            FLOAT.to_owned()
        }
        _ => format!("no register `{name}` is known"),
    };
    let mut high = 0;
    let wide = match name.as_bytes() {
        [b'r', b'0'..=b'9', ..] => name.trim_end_matches(['d', 'w', 'b']),
        [b'r' | b'e', _, _] => &name[1..],
        [letter @ b'a'..=b'd', half @ (b'l' | b'h')] => {
            high = u32::from(*half == b'h');
            match letter {
                b'a' => "ax",
                b'b' => "bx",
                b'c' => "cx",
                _ => "dx",
            }
        }
        [_, _, b'l'] => &name[..2],
        [_, _] => name,
        _ => return Err(unknown()),
    };
    let offset = registers::x86_64(wide).filter(|_| !matches!(wide, "cs" | "ss"));
    offset
        .map(|offset| register(offset + high))
        .ok_or_else(unknown)
}

/// `constant`, `register`, or `[base, offset]`.
fn arm64(operand: &str, argument: &mut Argument) -> Result<(), String> {
    let constant = |text: &str| number(text.strip_prefix('#').unwrap_or(text));
    if let Some(constant) = constant(operand) {
        argument.constant = constant;
        return Ok(());
    }
    let Some(rest) = operand.strip_prefix('[') else {
        argument.base = arm64_register(operand)?;
        return Ok(());
    };
    let inside = rest.strip_suffix(']').ok_or("a bracket is not closed")?;
    argument.memory = 1;
    let mut parts = inside.split(',').map(str::trim);
    argument.base = arm64_pointer(parts.next().unwrap_or_default())?;
    let Some(offset) = parts.next() else {
        return Ok(());
    };
    match constant(offset) {
        Some(offset) => argument.constant = offset,
        None => {
            argument.index = arm64_pointer(offset)?;
            argument.scale = match parts.next() {
                None => 0,
                Some(shift) => (shift.strip_prefix("lsl "))
                    .and_then(|shift| constant(shift.trim()))
                    .and_then(|shift| u8::try_from(shift).ok())
                    .filter(|shift| *shift < 5)
                    .ok_or_else(|| format!("`{shift}` in an address"))?,
            };
        }
    }
    match parts.next() {
        None => Ok(()),
        Some(_) => Err("too many parts in brackets".into()),
    }
}

fn arm64_pointer(name: &str) -> Result<u16, String> {
    match name.starts_with('w') {
        true => Err(format!("`{name}` in an address")),
        false => arm64_register(name),
    }
}

fn arm64_register(name: &str) -> Result<u16, String> {
    let digits = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| text.parse())
    };
    let offset = match name {
        "xzr" | "wzr" => return Ok(0),
        "sp" | "wsp" => registers::arm64("sp"),
        "fp" => registers::arm64("x29"),
        "lr" => registers::arm64("x30"),
        _ => (name.strip_prefix(['x', 'w']).and_then(digits))
            .and_then(|number: Result<u8, _>| registers::arm64(&format!("x{}", number.ok()?))),
    };
    let float = (name.strip_prefix(['b', 'd', 'h', 'q', 's', 'v']))
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    offset.map(register).ok_or_else(|| match float {
        true => FLOAT.to_owned(),
        false => format!("no register `{name}` is known"),
    })
}

#[cfg(test)]
mod tests;
