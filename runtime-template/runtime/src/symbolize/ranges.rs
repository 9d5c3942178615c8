//! Ranges of addresses → what was put there last.

use std::collections::BTreeMap;

/// Disjoint ranges with a value each; a new range cuts what it overlaps.
#[derive(Clone, Debug)]
pub struct Ranges<T> {
    /// By start: the end and the value.
    ranges: BTreeMap<u64, (u64, T)>,
}

impl<T> Default for Ranges<T> {
    fn default() -> Self {
        Ranges {
            ranges: BTreeMap::new(),
        }
    }
}

impl<T: Clone> Ranges<T> {
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    pub fn clear(&mut self) {
        self.ranges.clear();
    }

    /// Puts a value at `start..end`; an empty range is left out.
    pub fn insert(&mut self, start: u64, end: u64, value: T) {
        if start >= end {
            return;
        }
        while let Some((&old_start, &(old_end, _))) = self.ranges.range(..end).next_back()
            && old_end > start
        {
            let Some((_, old)) = self.ranges.remove(&old_start) else {
                return;
            };
            if old_end > end {
                self.ranges.insert(end, (old_end, old.clone()));
            }
            if old_start < start {
                self.ranges.insert(old_start, (start, old));
            }
        }
        self.ranges.insert(start, (end, value));
    }

    pub fn get(&self, address: u64) -> Option<&T> {
        let (_, (end, value)) = self.ranges.range(..=address).next_back()?;
        (address < *end).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::Ranges;

    #[test]
    fn the_last_wins() {
        let mut ranges = Ranges::default();
        ranges.insert(10, 50, 'a');
        ranges.insert(20, 30, 'b');
        ranges.insert(45, 60, 'c');
        ranges.insert(7, 7, 'd');
        let at: String = [9, 10, 19, 20, 29, 30, 44, 45, 59, 60]
            .map(|address| ranges.get(address).copied().unwrap_or('-'))
            .iter()
            .collect();
        assert_eq!(at, "-aabbaacc-");
        ranges.insert(0, 100, 'e');
        assert_eq!(ranges.len(), 1);
        assert_eq!(ranges.get(25), Some(&'e'));
    }
}
