//! Scripts whose types are right: they get through the analyzer, so that code generation and the kernel's verifier see
//! what nobody would write. All of it is tables of forms with holes, which are filled with other forms.
//!
//! | hole | filled with |
//! |---|---|
//! | `§int` `§str` `§task` `§any` | an expression: an integer, a string, a pointer to a task, any value |
//! | `§lit` `§small` | a literal from 0 to 9, from 1 to 4 |
//! | `§var` | one of the integer variables |
//! | `§op` `§assign` `§cast` | an operator, an assignment operator, an integer type |
//! | `§block` `§body` | statements; `§body` is a loop's |
//! | `§new` `§same` | a loop's variable, and the same once more |

mod forms;
mod functions;
mod probes;

use std::sync::OnceLock;

use btc_tests::random::Random;
use forms::*;
pub use functions::{FUNCTIONS, Function};
pub use probes::{PROBES, Probe};

/// What a form is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Int,
    Str,
    /// A pointer to a task.
    Task,
    /// A value of some other kind.
    Any,
    /// A statement.
    Act,
    /// A statement that gives a map an aggregation.
    Aggregation,
}

/// The kernel that a script is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    Fixture,
    Live,
}

const HOLE: char = '§';

struct Typed<'r> {
    random: &'r mut Random,
    machine: Machine,
    probe: &'static Probe,
    /// Statements that may still be made.
    left: usize,
    /// Loop variables made so far.
    made: usize,
}

/// `BTC_FUZZ_WITHOUT` has words; forms with one of them are left out.
fn is_wanted(form: &str) -> bool {
    static WITHOUT: OnceLock<Vec<String>> = OnceLock::new();
    let without = WITHOUT.get_or_init(|| {
        let words = std::env::var("BTC_FUZZ_WITHOUT").unwrap_or_default();
        words.split_whitespace().map(String::from).collect()
    });
    !without.iter().any(|word| form.contains(word.as_str()))
}

/// A script without errors, as far as these tables can tell.
pub fn typed(random: &mut Random, machine: Machine) -> String {
    let probes: Vec<&Probe> = PROBES.iter().filter(|p| p.is_on(machine)).collect();
    let count = 1 + random.below(2);
    let mut text = String::new();
    for _ in 0..count {
        let probe = *random.pick(&probes);
        let mut made = Typed {
            left: 1 + random.below(30),
            random: &mut *random,
            machine,
            probe,
            made: 0,
        };
        let predicate = match made.random.once_in(4) {
            true => format!("/{}/ ", made.expression(Kind::Int, 2)),
            false => String::new(),
        };
        let depth = 1 + made.random.below(3);
        let body = made.block(depth, false);
        text += &block_of(probe, &predicate, &body);
    }
    let head = match random.once_in(5) {
        true => *random.pick(HEADS),
        false => "",
    };
    let declared = match random.once_in(4) {
        true => *random.pick(DECLARATIONS),
        false => "",
    };
    whole(head, declared, &text)
}

/// A probe with a body, and the variables that the body reads.
fn block_of(probe: &Probe, predicate: &str, body: &str) -> String {
    const VARIABLES: &[(&str, &str)] = &[
        ("$a", "$a = (int64)1; "),
        ("$b", "$b = (int64)-1; "),
        ("$c", "$c = (int64)nsecs; "),
        ("$u", "$u = (uint64)nsecs; "),
        ("$s", "$s = comm; "),
        ("$p", "$p = curtask; "),
    ];
    let used = VARIABLES.iter().filter(|(name, _)| mentions(body, name));
    let set: String = used.map(|(_, set)| *set).collect();
    format!("{} {predicate}{{ {set}{body} }}\n", probe.point)
}

/// A script with all that its probes name.
fn whole(head: &str, declared: &str, probes: &str) -> String {
    let named = declared.split_once('=').map_or("", |(left, _)| left);
    let declared = match named.strip_prefix("let ") {
        Some(map) if mentions(probes, map.trim()) => declared,
        _ => "",
    };
    let macros = match ["twice(", "bump(", "put("]
        .iter()
        .any(|name| probes.contains(name))
    {
        true => MACROS,
        false => "",
    };
    let called = SUBPROGRAMS.iter().filter(|(call, _)| probes.contains(call));
    let called: String = called.map(|(_, text)| *text).collect();
    let probes = &format!("{called}{probes}");
    let used = MAPS.iter().filter(|(name, _)| mentions(probes, name));
    let maps: Vec<&str> = used.map(|(_, set)| *set).collect();
    let maps = match maps.is_empty() {
        true => String::new(),
        false => format!("end {{ {} }}\n", maps.join(" ")),
    };
    format!("{head}{declared}{macros}{probes}{maps}")
}

/// Whether a text has a variable's or a map's name.
fn mentions(text: &str, name: &str) -> bool {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (text.match_indices(name)).any(|(at, _)| !text[at + name.len()..].starts_with(is_name))
}

/// A script for each form of each function in a probe that it may stand in, and for each statement and expression: the
/// name of the row, and the script. Each attempt fills the rows' holes with something else.
pub fn rows(machine: Machine, attempt: u64) -> Vec<(String, String)> {
    let mut rows = vec![];
    for function in FUNCTIONS {
        let probes: Vec<&'static Probe> = (PROBES.iter())
            .filter(|probe| probe.is_on(machine) && probe.allows(function))
            .collect();
        for form in function.forms {
            // Functions of all probes in a few kinds of programs, others in each that has them.
            for probe in probes.iter().take(match function.tag {
                "" => 0,
                _ => usize::MAX,
            }) {
                rows.push(row(function.name, function.gives, form, probe, attempt));
            }
            if function.tag.is_empty() {
                for point in [
                    "begin",
                    "kprobe:vfs_read",
                    "tracepoint:sched:sched_switch",
                    "iter:task",
                ] {
                    let probe = probes.iter().find(|probe| probe.point == point);
                    let probe = probe.expect("a probe of the table");
                    rows.push(row(function.name, function.gives, form, probe, attempt));
                }
            }
        }
    }
    let probe = &PROBES[0];
    let forms = [
        (Kind::Act, ACTS),
        (Kind::Act, BLOCKS),
        (Kind::Int, INTEGERS),
        (Kind::Int, machine.integers()),
        (Kind::Str, STRINGS),
        (Kind::Any, ANY),
        (Kind::Task, TASKS),
    ];
    for (kind, forms) in forms {
        rows.extend((forms.iter()).map(|form| row(form, kind, form, probe, attempt)));
    }
    for probe in PROBES.iter().filter(|probe| probe.is_on(machine)) {
        let words =
            |kind, forms: &'static [&'static str]| forms.iter().map(move |form| (kind, *form));
        let all = words(Kind::Int, probe.integers).chain(words(Kind::Str, probe.strings));
        rows.extend(all.map(|(kind, form)| row(probe.point, kind, form, probe, attempt)));
    }
    rows
}

fn row(
    name: &str,
    gives: Kind,
    form: &str,
    probe: &'static Probe,
    attempt: u64,
) -> (String, String) {
    // Its own numbers: rows that come or go change no other.
    let seed = (form.bytes().chain(probe.point.bytes())).fold(attempt, |seed, byte| {
        seed.wrapping_mul(31).wrapping_add(byte.into())
    });
    let mut made = Typed {
        random: &mut Random::new(seed),
        machine: Machine::Live,
        probe,
        left: 0,
        made: 0,
    };
    let form = made.filled(form, 0, false);
    let body = said(gives, &form);
    (name.to_owned(), whole("", "", &block_of(probe, "", &body)))
}

/// A statement that has a form.
fn said(gives: Kind, form: &str) -> String {
    match gives {
        Kind::Act | Kind::Aggregation => form.to_owned(),
        _ => format!("print({form});"),
    }
}

impl Probe {
    pub fn is_on(&self, machine: Machine) -> bool {
        machine == Machine::Live || self.fixture
    }

    pub fn allows(&self, function: &Function) -> bool {
        function.tag.is_empty() || self.tags.contains(&function.tag)
    }
}

impl Machine {
    fn integers(self) -> &'static [&'static str] {
        match self {
            Machine::Fixture => FIXTURE_INTEGERS,
            Machine::Live => LIVE_INTEGERS,
        }
    }
}

impl Typed<'_> {
    fn block(&mut self, depth: usize, looping: bool) -> String {
        let statements: Vec<_> = (0..=self.random.below(4))
            .map(|_| self.statement(depth, looping))
            .collect();
        statements.join(" ")
    }

    fn statement(&mut self, depth: usize, looping: bool) -> String {
        self.left = self.left.saturating_sub(1);
        if looping && self.random.once_in(6) {
            let form = *self.random.pick(JUMPS);
            return self.filled(form, 1, true);
        }
        if depth > 0 && self.left > 0 && self.random.once_in(3) {
            let form = self.wanted(BLOCKS);
            return self.filled(form, depth, looping);
        }
        let form = match self.random.below(4) {
            0 => self.function(Kind::Aggregation, false),
            1 => self.function(Kind::Act, false),
            _ => self.wanted(ACTS),
        };
        self.filled(form, depth.min(2), looping)
    }

    /// A form of a function that may stand here; `leaf`: one without holes.
    fn function(&mut self, gives: Kind, leaf: bool) -> &'static str {
        let fits = |form: &str| (!leaf || !form.contains(HOLE)) && is_wanted(form);
        let all: Vec<&Function> = FUNCTIONS
            .iter()
            .filter(|f| f.gives == gives && self.probe.allows(f) && f.forms.iter().any(|f| fits(f)))
            .collect();
        let forms = self.random.pick(&all).forms.iter().copied();
        let forms: Vec<&'static str> = forms.filter(|form| fits(form)).collect();
        self.random.pick::<&'static str>(&forms)
    }

    fn wanted(&mut self, forms: &'static [&'static str]) -> &'static str {
        let forms: Vec<&'static str> = (forms.iter().copied())
            .filter(|form| is_wanted(form))
            .collect();
        self.random.pick::<&'static str>(&forms)
    }

    fn expression(&mut self, kind: Kind, depth: usize) -> String {
        let next = depth.saturating_sub(1);
        let form = if depth == 0 || self.random.once_in(5) {
            self.leaf(kind)
        } else {
            let own = match kind {
                Kind::Int => self.probe.integers,
                Kind::Str => self.probe.strings,
                _ => &[],
            };
            let forms = match kind {
                Kind::Int if self.random.once_in(6) => self.machine.integers(),
                Kind::Int => INTEGERS,
                Kind::Str => STRINGS,
                Kind::Task => TASKS,
                _ => ANY,
            };
            match self.random.below(6) {
                0 if !own.is_empty() => *self.random.pick(own),
                0..=2 => self.function(kind, false),
                _ => self.wanted(forms),
            }
        };
        self.filled(form, next, false)
    }

    /// A form without holes but for a variable.
    fn leaf(&mut self, kind: Kind) -> &'static str {
        match (kind, self.random.below(4)) {
            (Kind::Int, 0) => "§var",
            (Kind::Int, 1) => self.random.pick::<&'static str>(NUMBERS),
            (Kind::Str, 0) => "\"abc\"",
            (Kind::Str, 1) => "$s",
            (Kind::Task, 0) => "$p",
            (Kind::Any, 0) => "(1, comm)",
            _ => self.function(kind, true),
        }
    }

    fn filled(&mut self, form: &str, depth: usize, looping: bool) -> String {
        let mut text = String::new();
        let mut new = String::new();
        let mut rest = form;
        while let Some((before, after)) = rest.split_once(HOLE) {
            text += before;
            let end = after.find(|c: char| !c.is_ascii_lowercase());
            let (name, after) = after.split_at(end.unwrap_or(after.len()));
            rest = after;
            match name {
                "new" => {
                    self.made += 1;
                    new = format!("$i{}", self.made);
                    text += &new;
                }
                "same" => text += &new,
                name => text += &self.hole(name, depth, looping),
            }
        }
        text + rest
    }

    fn hole(&mut self, name: &str, depth: usize, looping: bool) -> String {
        let next = depth.saturating_sub(1);
        match name {
            "int" => self.expression(Kind::Int, depth),
            "str" => self.expression(Kind::Str, depth),
            "task" => self.expression(Kind::Task, depth),
            "any" => self.expression(Kind::Any, depth),
            "lit" => self.random.below(10).to_string(),
            "small" => (1 + self.random.below(4)).to_string(),
            "var" => (*self.random.pick(&["$a", "$b", "$c"])).to_owned(),
            "op" => (*self.random.pick(OPERATORS)).to_owned(),
            "assign" => (*self.random.pick(ASSIGNMENTS)).to_owned(),
            "cast" => (*self.random.pick(CASTS)).to_owned(),
            "block" => self.block(next, looping),
            "body" => self.block(next, true),
            other => panic!("a hole of no kind: {other}"),
        }
    }
}
