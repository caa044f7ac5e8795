// SPDX-License-Identifier: BSD-2-Clause
//! Which frame is where: the page table that the server itself keeps.
//!
//! Leaves span 2 MiB, as the kernel's do, so that what is cheap for one is cheap for the other.
//!
//! A table also remembers some of its pages together with what the program may do there, which the mappings say:
//! the server looks at the same few pages again and again. Whatever can change either forgets: each change of an
//! entry forgets that page, each change of a range all of them.

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

/// Pages that are remembered: each has one place.
const RECENT: usize = 16;

/// What is remembered of a page: the program may load from it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Recent {
    number: u64,
    /// The frame.
    pub page: Page,
    /// Whether the program may store to it.
    pub store: Store,
}

/// Whether a program may store to a page that is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Store {
    /// It may not, or would get a page of its own first.
    No,
    /// It may as long as nobody else holds the frame.
    Own,
    /// It may, and others see it.
    Shared,
}

impl Recent {
    const NONE: Self = Self {
        number: u64::MAX,
        page: Page(0),
        store: Store::No,
    };
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
pub struct Table {
    leaves: BTreeMap<u64, Box<Leaf>>,
    count: usize,
    recent: [Recent; RECENT],
}

impl Default for Table {
    fn default() -> Self {
        Self {
            leaves: BTreeMap::new(),
            count: 0,
            recent: [Recent::NONE; RECENT],
        }
    }
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

    /// Of the pages of a range, which is at most 64 long and within a leaf: which are there, and which of
    /// these the kernel does not map. The lowest bit is the first page.
    pub fn around(&self, range: Range<u64>) -> (u64, u64) {
        let Some(leaf) = self.leaves.get(&(range.start / SPAN)) else {
            return (0, 0);
        };
        let (mut there, mut hidden) = (0, 0);
        let entries = &leaf.entries[within(range.start / SPAN, &range)];
        for (bit, entry) in entries.iter().enumerate() {
            if let Some(entry) = entry {
                there |= 1 << bit;
                hidden |= u64::from(entry.slot.is_none()) << bit;
            }
        }
        (there, hidden)
    }

    /// What is remembered of the page of this number.
    #[inline]
    pub fn recall(&self, number: u64) -> Option<Recent> {
        let recent = self.recent[number as usize % RECENT];
        (recent.number == number).then_some(recent)
    }

    /// Remembers a page that is in the table, and that the program may load from.
    pub fn remember(&mut self, number: u64, page: Page, store: Store) {
        debug_assert_eq!(self.get(number).map(|entry| entry.page), Some(page));
        self.recent[number as usize % RECENT] = Recent {
            number,
            page,
            store,
        };
    }

    /// Remembers nothing any more: what the program may do has changed.
    pub fn forget(&mut self) {
        self.recent = [Recent::NONE; RECENT];
    }

    /// The page of this number, to change.
    pub fn get_mut(&mut self, number: u64) -> Option<&mut Entry> {
        if self.recall(number).is_some() {
            self.recent[number as usize % RECENT] = Recent::NONE;
        }
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
        self.forget();
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
            for first in (0..3072).step_by(64) {
                let (there, hidden) = table.around(first..first + 64);
                prop_assert_eq!(there, hidden);
                for bit in 0..64 {
                    prop_assert_eq!(there >> bit & 1 != 0, model.contains_key(&(first + bit)));
                }
            }
            table.remove_range(0..6000, |_, _| ());
            prop_assert!(table.len() == 0 && table.leaves.is_empty());
        }
    }
}
