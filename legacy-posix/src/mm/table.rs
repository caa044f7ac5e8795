// SPDX-License-Identifier: BSD-2-Clause
//! Which frame is where: the page table that the server itself keeps.
//!
//! Leaves span 2 MiB, as the kernel's do, so that what is cheap for one is cheap for the other.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use core::ops::Range;

use super::Slot;
use crate::pages::Page;

/// Pages that a leaf spans.
const SPAN: u64 = 512;

/// A page that is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The frame, of which the table holds a count.
    pub page: Page,
    /// Where the kernel maps it, if it does.
    pub slot: Option<Slot>,
    /// Whether that mapping is writable.
    pub writable: bool,
}

#[derive(Clone)]
struct Leaf {
    count: u16,
    entries: [Option<Entry>; SPAN as usize],
}

impl Leaf {
    const EMPTY: Self = Self {
        count: 0,
        entries: [None; SPAN as usize],
    };
}

/// Frames by page number.
#[derive(Default)]
pub struct Table {
    leaves: BTreeMap<u64, Box<Leaf>>,
    count: usize,
}

impl Table {
    /// How many pages are there.
    #[allow(clippy::len_without_is_empty)] // nobody asks
    pub const fn len(&self) -> usize {
        self.count
    }

    /// The page of this number.
    pub fn get(&self, number: u64) -> Option<&Entry> {
        self.leaves.get(&(number / SPAN))?.entries[(number % SPAN) as usize].as_ref()
    }

    /// The page of this number, to change.
    pub fn get_mut(&mut self, number: u64) -> Option<&mut Entry> {
        self.leaves.get_mut(&(number / SPAN))?.entries[(number % SPAN) as usize].as_mut()
    }

    /// Puts a page where none is.
    pub fn insert(&mut self, number: u64, entry: Entry) {
        let leaf = self
            .leaves
            .entry(number / SPAN)
            .or_insert_with(|| Box::new(Leaf::EMPTY));
        let place = &mut leaf.entries[(number % SPAN) as usize];
        debug_assert!(place.is_none());
        *place = Some(entry);
        leaf.count += 1;
        self.count += 1;
    }

    /// Takes out all pages of a range, and calls `f` with each.
    pub fn remove_range(&mut self, range: Range<u64>, mut f: impl FnMut(u64, Entry)) {
        self.each_mut(range.clone(), |number, entry| f(number, *entry));
        let mut index = range.start / SPAN;
        while let Some((at, leaf)) = self.leaves.range_mut(index..).next()
            && at * SPAN < range.end
        {
            let at = *at;
            index = at + 1;
            for place in &mut leaf.entries[within(at, &range)] {
                if place.take().is_some() {
                    leaf.count -= 1;
                    self.count -= 1;
                }
            }
            if leaf.count == 0 {
                self.leaves.remove(&at);
            }
        }
    }

    /// Calls `f` with each page of a range.
    pub fn each_mut(&mut self, range: Range<u64>, mut f: impl FnMut(u64, &mut Entry)) {
        if range.is_empty() {
            return;
        }
        for (at, leaf) in self
            .leaves
            .range_mut(range.start / SPAN..range.end.div_ceil(SPAN))
        {
            let within = within(*at, &range);
            let first = at * SPAN + within.start as u64;
            for (number, place) in (first..).zip(&mut leaf.entries[within]) {
                if let Some(entry) = place {
                    f(number, entry);
                }
            }
        }
    }

    /// How many pages of a range are there.
    pub fn count(&self, range: Range<u64>) -> usize {
        if range.is_empty() {
            return 0;
        }
        self.leaves
            .range(range.start / SPAN..range.end.div_ceil(SPAN))
            .map(|(at, leaf)| {
                leaf.entries[within(*at, &range)]
                    .iter()
                    .filter(|place| place.is_some())
                    .count()
            })
            .sum()
    }
}

/// Which entries of leaf `at` belong to a range of pages.
fn within(at: u64, range: &Range<u64>) -> Range<usize> {
    let first = at * SPAN;
    let start = range.start.clamp(first, first + SPAN) - first;
    let end = range.end.clamp(first, first + SPAN) - first;
    start as usize..end as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::vec::Vec;

    fn entry(number: u64) -> Entry {
        Entry {
            page: Page(number as u32),
            slot: None,
            writable: false,
        }
    }

    proptest! {
        #[test]
        fn it_is_a_map_from_numbers_to_entries(
            numbers in proptest::collection::btree_set(0u64..3000, 0..60),
            start in 0u64..3000, length in 0u64..3000,
        ) {
            let mut table = Table::default();
            let mut model = BTreeMap::new();
            for number in numbers {
                table.insert(number, entry(number));
                model.insert(number, entry(number));
            }
            let range = start..start + length;
            prop_assert_eq!(table.len(), model.len());
            prop_assert_eq!(table.count(range.clone()), model.range(range.clone()).count());
            let mut seen = Vec::new();
            table.each_mut(range.clone(), |number, _| seen.push(number));
            prop_assert!(seen.iter().eq(model.range(range.clone()).map(|(number, _)| number)));
            let mut taken = Vec::new();
            table.remove_range(range.clone(), |number, _| taken.push(number));
            prop_assert_eq!(&seen, &taken);
            model.retain(|number, _| !range.contains(number));
            prop_assert_eq!(table.len(), model.len());
            for number in 0..6000 {
                prop_assert_eq!(table.get(number), model.get(&number));
            }
            table.remove_range(0..6000, |_, _| ());
            prop_assert!(table.len() == 0 && table.leaves.is_empty());
        }
    }
}
