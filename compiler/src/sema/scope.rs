//! Scratch variables: names are visible to the end of their block; types are kept over all walks of the program.

use std::collections::HashMap;

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
    pub declared: Span,
}

/// A name in scope.
#[derive(Clone, Copy, Debug)]
pub(super) struct Binding {
    /// Which variable of the probe: a position in the order of declaration.
    pub ordinal: usize,
    /// `None` while its type isn't known.
    pub local: Option<LocalId>,
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
    probe: usize,
    next: usize,
    pub changed: bool,
}

impl Scopes {
    pub(super) fn start_probe(&mut self, probe: usize) {
        self.frames.clear();
        self.ended.clear();
        self.probe = probe;
        self.next = 0;
    }

    /// Hides all names until [`Scopes::disclose`].
    pub(super) fn enclose(&mut self) -> Vec<HashMap<String, Binding>> {
        std::mem::replace(&mut self.frames, vec![HashMap::new()])
    }

    pub(super) fn disclose(&mut self, frames: Vec<HashMap<String, Binding>>) {
        self.frames = frames;
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
