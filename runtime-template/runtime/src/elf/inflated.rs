//! Sections that were compressed → their contents, kept as long as their file.

use std::cell::OnceCell;

/// By name: a list that only grows, so that what it gave out stays.
#[derive(Default)]
pub(super) struct Inflated(OnceCell<Box<InflatedSection>>);

struct InflatedSection {
    name: String,
    data: Box<[u8]>,
    next: Inflated,
}

impl Inflated {
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let section = self.0.get()?;
        match section.name == name {
            true => Some(&section.data),
            false => section.next.get(name),
        }
    }

    pub fn keep(&self, name: &str, data: Box<[u8]>) -> &[u8] {
        if let Some(section) = self.0.get() {
            return section.next.keep(name, data);
        }
        let section = || {
            Box::new(InflatedSection {
                name: name.to_owned(),
                data,
                next: Inflated::default(),
            })
        };
        &self.0.get_or_init(section).data
    }
}
