//! Whether a program is small enough for BPF's jumps, which reach 32767 instructions. LLVM ends the process where one
//! doesn't, so that large programs are looked at as text first.

use std::collections::HashMap;

/// Instructions that a jump skips at most.
const REACH: i64 = i16::MAX as i64;
/// BPF_COMPLEXITY_LIMIT_INSNS of the kernel: instructions of a program.
const LONGEST: i64 = 1_000_000;

/// A function that is too large, and its instructions.
#[derive(Debug, PartialEq, Eq)]
pub struct TooLarge {
    pub function: String,
    pub instructions: u64,
}

/// Looks at the assembly of a module.
pub fn check(assembly: &str) -> Result<(), TooLarge> {
    let mut function = Function::default();
    for line in assembly.lines() {
        match line
            .strip_suffix(':')
            .or_else(|| line.split_once(": ").map(|l| l.0))
        {
            Some(label) if !line.starts_with(['\t', ' ', '.', '#']) => {
                match label.starts_with("LBB") {
                    true => function.label(label),
                    false => {
                        function.check()?;
                        function = Function {
                            name: label.to_owned(),
                            ..Function::default()
                        };
                    }
                }
            }
            _ => function.instruction(line),
        }
    }
    function.check()
}

#[derive(Default)]
struct Function {
    name: String,
    at: i64,
    labels: HashMap<String, i64>,
    jumps: Vec<(i64, String)>,
}

impl Function {
    fn label(&mut self, label: &str) {
        self.labels.insert(label.to_owned(), self.at);
    }

    fn instruction(&mut self, line: &str) {
        let Some(text) = line
            .strip_prefix('\t')
            .filter(|t| !t.starts_with(['.', '#']))
        else {
            return;
        };
        // A 64-bit constant takes two places.
        self.at += if text.ends_with(" ll") { 2 } else { 1 };
        if let Some((_, to)) = text.rsplit_once("goto ") {
            self.jumps.push((self.at, to.trim().to_owned()));
        }
    }

    fn check(&self) -> Result<(), TooLarge> {
        let far = self.jumps.iter().any(|(from, to)| {
            let to = self.labels.get(to);
            to.is_some_and(|to| (to - from).abs() > REACH)
        });
        if far || self.at > LONGEST {
            return Err(TooLarge {
                function: self.name.clone(),
                instructions: self.at.unsigned_abs(),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    fn program(between: usize) -> String {
        let mut text =
            String::from("\t.text\nbegin_0:                                # @begin_0\n# %bb.0:\n");
        text += "\tif r1 != 0 goto LBB0_2\n";
        text += &"\tr1 = 1 ll\n".repeat(between);
        text + "LBB0_2:                                # %exit\n\texit\n"
    }

    #[test]
    fn jumps_reach_so_far() {
        assert_eq!(check(&program(16_383)), Ok(()));
        let too_far = check(&program(16_384)).unwrap_err();
        assert_eq!(
            (&*too_far.function, too_far.instructions),
            ("begin_0", 32_770)
        );
    }
}
