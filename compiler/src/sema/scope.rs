//! Scratch variables: names are visible to the end of their block; types are kept over all walks of the program.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::ir::{LocalId, Type};
use crate::source::Span;

/// What is known of a variable after all walks so far.
#[derive(Clone, Debug)]
pub(super) struct Variable {
    /// `None`: only errors (or nothing) were assigned.
    pub ty: Option<Type>,
    /// `let $x: T`: assignments convert to it, it never grows.
    pub fixed: bool,
    /// Only non-negative integer constants were assigned.
    pub constant: bool,
    /// Its first assignment made it, no `let` and no loop.
    pub implied: bool,
    pub declared: Span,
}

/// A variable that is read after the block that made it: until bpftrace 0.22 all variables were the whole probe's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outlived {
    /// Where it is read.
    pub read: Span,
    /// Where it was set.
    pub set: Span,
}

/// The first position of variables that outlive their blocks.
const OUTLIVING: usize = 1 << 20;

/// A name in scope.
#[derive(Clone, Copy, Debug)]
pub(super) struct Binding {
    /// Which variable of the probe: a position in the order of declaration.
    pub ordinal: usize,
    /// `None` while its type isn't known.
    pub local: Option<LocalId>,
}

impl Binding {
    /// Whether the variable is the whole probe's, since something reads it after the block that sets it.
    pub(super) fn outlives(self) -> bool {
        self.ordinal >= OUTLIVING
    }
}

/// What is hidden while a function's own names are visible.
pub(super) struct Hidden {
    frames: Vec<HashMap<String, Binding>>,
    ended: HashMap<String, usize>,
}

/// A variable's name as the script has it: those of macros have a number behind it.
pub(super) fn written(name: &str) -> &str {
    name.split('#').next().unwrap_or(name)
}

#[derive(Default)]
pub(super) struct Scopes {
    frames: Vec<HashMap<String, Binding>>,
    /// The probe's variables whose block has ended.
    ended: HashMap<String, usize>,
    /// By probe and ordinal; survives walks.
    table: HashMap<(usize, usize), Variable>,
    /// By probe and name; survives walks.
    outlived: BTreeMap<(usize, String), Outlived>,
    /// Probes whose variables' positions change with the next walk, since fewer are declared in blocks.
    renumbered: BTreeSet<usize>,
    /// Functions around what is being lowered.
    enclosed: u32,
    probe: usize,
    next: usize,
    pub changed: bool,
}

impl Scopes {
    pub(super) fn start_probe(&mut self, probe: usize) {
        self.frames.clear();
        self.ended.clear();
        if self.renumbered.remove(&probe) {
            self.table.retain(|(of, _), _| *of != probe);
        }
        self.probe = probe;
        self.next = 0;
    }

    /// Hides all names until [`Scopes::disclose`].
    pub(super) fn enclose(&mut self) -> Hidden {
        self.enclosed += 1;
        Hidden {
            frames: std::mem::replace(&mut self.frames, vec![HashMap::new()]),
            ended: std::mem::take(&mut self.ended),
        }
    }

    pub(super) fn disclose(&mut self, hidden: Hidden) {
        self.enclosed -= 1;
        self.frames = hidden.frames;
        self.ended = hidden.ended;
    }

    /// Makes the variables that outlive their blocks the innermost block's; what was wrong with each.
    pub(super) fn declare_outlived(&mut self) -> Vec<(String, Outlived)> {
        let all = self
            .outlived
            .iter()
            .filter(|((of, _), _)| *of == self.probe);
        let all: Vec<_> = all.map(|((_, name), at)| (name.clone(), *at)).collect();
        let own = std::mem::replace(&mut self.next, OUTLIVING);
        for (name, at) in &all {
            self.declare(name, at.set);
        }
        self.next = own;
        all
    }

    /// From the next walk on, a variable whose block has ended is the whole probe's. Not one that `let` or a loop made:
    /// the language had blocks when it got these; nor one of a function or a macro.
    pub(super) fn outlive(&mut self, name: &str, read: Span) -> bool {
        let ended = self.ended.get(name).and_then(|at| self.variable(*at));
        let Some(set) = ended.filter(|v| v.implied).map(|v| v.declared) else {
            return false;
        };
        if self.enclosed > 0 || written(name) != name {
            return false;
        }
        let probe = self.probe;
        self.outlived
            .insert((probe, name.to_owned()), Outlived { read, set });
        self.renumbered.insert(probe);
        self.changed = true;
        true
    }

    pub(super) fn enter(&mut self) {
        self.frames.push(HashMap::new());
    }

    pub(super) fn leave(&mut self) {
        let frame = self.frames.pop().unwrap_or_default();
        let ended = frame.into_iter().map(|(name, b)| (name, b.ordinal));
        self.ended.extend(ended);
    }

    /// Where a variable of this name was set, in a block that has ended.
    pub(super) fn ended(&self, name: &str) -> Option<Span> {
        let ordinal = *self.ended.get(name)?;
        Some(self.variable(ordinal)?.declared)
    }

    pub(super) fn find(&self, name: &str) -> Option<Binding> {
        self.frames.iter().rev().find_map(|f| f.get(name)).copied()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.frames
            .iter()
            .flat_map(|f| f.keys())
            .map(String::as_str)
    }

    pub(super) fn in_this_block(&self, name: &str) -> bool {
        self.frames.last().is_some_and(|f| f.contains_key(name))
    }

    /// A new variable of the innermost block; what earlier walks learnt of it is still there.
    pub(super) fn declare(&mut self, name: &str, declared: Span) -> usize {
        let ordinal = self.next;
        self.next += 1;
        self.table.entry((self.probe, ordinal)).or_insert(Variable {
            ty: None,
            fixed: false,
            constant: true,
            implied: false,
            declared,
        });
        self.bind(
            name,
            Binding {
                ordinal,
                local: None,
            },
        );
        ordinal
    }

    /// The same by an assignment.
    pub(super) fn imply(&mut self, name: &str, declared: Span) -> usize {
        let ordinal = self.declare(name, declared);
        if let Some(variable) = self.table.get_mut(&(self.probe, ordinal)) {
            variable.implied = true;
        }
        ordinal
    }

    /// Makes a name mean a variable in the innermost block.
    pub(super) fn bind(&mut self, name: &str, binding: Binding) {
        if let Some(frame) = self.frames.last_mut() {
            frame.insert(name.to_owned(), binding);
        }
    }

    pub(super) fn update(&mut self, name: &str, change: impl Fn(&mut Binding)) {
        if let Some(binding) = self.frames.iter_mut().rev().find_map(|f| f.get_mut(name)) {
            change(binding);
        }
    }

    pub(super) fn variable(&self, ordinal: usize) -> Option<&Variable> {
        self.table.get(&(self.probe, ordinal))
    }

    /// Writes what was learnt; a new type asks for another walk.
    pub(super) fn learn(&mut self, ordinal: usize, ty: Type, fixed: bool, constant: bool) {
        if let Some(variable) = self.table.get_mut(&(self.probe, ordinal)) {
            if variable.ty.as_ref() != Some(&ty) || (variable.constant && !constant) {
                self.changed = true;
            }
            variable.ty = Some(ty);
            variable.fixed = fixed;
            variable.constant &= constant;
        }
    }
}
