// SPDX-License-Identifier: BSD-2-Clause
//! Which page of a process is in which slot: of those pages that it did not have from the start.
//!
//! The pages that a process starts with are in slots that follow from its layout. Those that came when they
//! were touched are in slots that follow from the order of touching, so that is written down here: one
//! look-up, however many there are.
//!
//! The books have a line for each slot that there can be, so that they are full only when the slots are: the
//! slots in nodes, which are limited for all processes together, and [`NEAR`] slots of each parts node. A
//! factory that has no use for them keeps smaller books: what does not fit is not remembered, and
//! [`Pages::enter`] says so.

use xos_protocol::slots::domain::FIRST_FREE_ROOT;

use crate::arena::NODE_SLOTS;
use crate::kernel::At;

/// Slots of a parts node that may hold pages that were touched.
pub const NEAR: usize = 16;

/// The number of a page that is none.
const NO_PAGE: u32 = (1 << 31) - 1;
/// Whether the page is somebody else's, mapped read-only: beside the page's number.
const SHARED: u32 = 1 << 31;
/// Odd, and without a pattern in its bits.
const MIXER: u32 = 0x9e37_79b1;

/// A line of the books.
#[derive(Clone, Copy, Debug)]
struct Line {
    /// The page's number, and [`SHARED`].
    page: u32,
    /// The next line of the same bucket, plus one.
    next: u32,
}

impl Line {
    const EMPTY: Self = Self {
        page: NO_PAGE,
        next: 0,
    };

    const fn number(self) -> u32 {
        self.page & !SHARED
    }
}

/// The lines of a process's parts node.
#[derive(Clone, Copy, Debug)]
struct Near {
    lines: [Line; NEAR],
    /// Index of each slot in the node.
    slots: [u8; NEAR],
}

/// The lines of a further node.
#[derive(Clone, Copy, Debug)]
struct Row {
    lines: [Line; NODE_SLOTS as usize],
    /// Whose node it is: the root slot of the parts node.
    owner: u16,
}

/// Memory for the books of `P` processes and `R` nodes, with `B` buckets: a power of two.
pub struct Books<const P: usize, const R: usize, const B: usize> {
    near: [Near; P],
    rows: [Row; R],
    buckets: [u32; B],
}

impl<const P: usize, const R: usize, const B: usize> Books<P, R, B> {
    /// Empty books.
    pub const fn new() -> Self {
        assert!(B.is_power_of_two());
        Self {
            near: [Near {
                lines: [Line::EMPTY; NEAR],
                slots: [0; NEAR],
            }; P],
            rows: [Row {
                lines: [Line::EMPTY; NODE_SLOTS as usize],
                owner: 0,
            }; R],
            buckets: [0; B],
        }
    }

    /// The books, for nodes in root slots from `first_node` on.
    pub const fn open(&mut self, first_node: u32) -> Pages<'_> {
        Pages {
            near: &mut self.near,
            rows: &mut self.rows,
            buckets: &mut self.buckets,
            first_node,
        }
    }
}

impl<const P: usize, const R: usize, const B: usize> Default for Books<P, R, B> {
    fn default() -> Self {
        Self::new()
    }
}

/// Where a page is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Found {
    /// The slot of its frame.
    pub at: At,
    /// Whether the frame is somebody else's, and mapped read-only.
    pub shared: bool,
}

/// The books. A process is known by the root slot of its parts node.
pub struct Pages<'a> {
    near: &'a mut [Near],
    rows: &'a mut [Row],
    buckets: &'a mut [u32],
    first_node: u32,
}

impl Pages<'_> {
    /// Books without a line.
    pub const fn none() -> Self {
        Self {
            near: &mut [],
            rows: &mut [],
            buckets: &mut [],
            first_node: 0,
        }
    }

    /// Writes down that page `number` of a process is in slot `at`, which has no page yet. Whether there was
    /// a line for it.
    pub fn enter(&mut self, parts: u32, number: u32, at: At, shared: bool) -> bool {
        let Some(id) = self.free_line(parts, at) else {
            return false;
        };
        if number >= NO_PAGE {
            return false;
        }
        let bucket = self.bucket(parts, number);
        let page = number | if shared { SHARED } else { 0 };
        let next = self.buckets[bucket];
        if let Some(line) = self.line(id) {
            *line = Line { page, next };
            self.buckets[bucket] = id + 1;
        }
        true
    }

    /// Where page `number` of a process is, if it was written down.
    pub fn find(&self, parts: u32, number: u32) -> Option<Found> {
        if self.buckets.is_empty() || number >= NO_PAGE {
            return None;
        }
        let mut next = self.buckets[self.bucket(parts, number)];
        while let Some(id) = next.checked_sub(1) {
            let (owner, at, line) = self.read(id)?;
            if owner == parts && line.number() == number {
                let shared = line.page & SHARED != 0;
                return Some(Found { at, shared });
            }
            next = line.next;
        }
        None
    }

    /// Notes that the page in slot `at` is the process's own from now on.
    pub fn make_private(&mut self, parts: u32, at: At) {
        if let Some(id) = self.id_of(parts, at)
            && let Some(line) = self.line(id)
        {
            line.page &= !SHARED;
        }
    }

    /// Forgets the pages in the parts node of a process that is gone.
    pub fn forget(&mut self, parts: u32) {
        for i in 0..NEAR as u32 {
            if let Some(first) = self.first_near(parts) {
                self.strike(first + i);
            }
        }
    }

    /// Forgets the pages in a node that is gone.
    pub fn forget_node(&mut self, node: u32) {
        if let Some(first) = self.first_of_row(node) {
            (first..first + NODE_SLOTS).for_each(|id| self.strike(id));
        }
    }

    /// Takes a line out of its bucket, and empties it.
    fn strike(&mut self, id: u32) {
        let Some((owner, _, Line { page, next })) = self.read(id) else {
            return;
        };
        if page == NO_PAGE {
            return;
        }
        let bucket = self.bucket(owner, page & !SHARED);
        if self.buckets[bucket] == id + 1 {
            self.buckets[bucket] = next;
        } else {
            let mut before = self.buckets[bucket];
            while let Some(line) = before.checked_sub(1).and_then(|id| self.line(id)) {
                if line.next == id + 1 {
                    line.next = next;
                    break;
                }
                before = line.next;
            }
        }
        if let Some(line) = self.line(id) {
            *line = Line::EMPTY;
        }
    }

    fn bucket(&self, parts: u32, number: u32) -> usize {
        let mixed = (number ^ parts.rotate_right(12)).wrapping_mul(MIXER);
        // The upper bits are the mixed ones.
        (mixed >> 12) as usize & (self.buckets.len() - 1)
    }

    fn first_near(&self, parts: u32) -> Option<u32> {
        let index = parts.checked_sub(FIRST_FREE_ROOT)?;
        ((index as usize) < self.near.len()).then_some(index * NEAR as u32)
    }

    fn first_of_row(&self, node: u32) -> Option<u32> {
        let index = node.checked_sub(self.first_node)?;
        let near = (self.near.len() * NEAR) as u32;
        ((index as usize) < self.rows.len()).then_some(near + index * NODE_SLOTS)
    }

    /// A line for a slot that has none, made known to be the slot's.
    fn free_line(&mut self, parts: u32, at: At) -> Option<u32> {
        if at.node != parts {
            let id = self.first_of_row(at.node)? + at.index;
            self.rows[(at.node - self.first_node) as usize].owner = parts as u16;
            return Some(id);
        }
        let first = self.first_near(parts)?;
        let near = &mut self.near[first as usize / NEAR];
        let free = near.lines.iter().position(|line| line.page == NO_PAGE)?;
        near.slots[free] = at.index as u8;
        Some(first + free as u32)
    }

    fn id_of(&self, parts: u32, at: At) -> Option<u32> {
        if at.node != parts {
            return Some(self.first_of_row(at.node)? + at.index);
        }
        let first = self.first_near(parts)?;
        let near = &self.near[first as usize / NEAR];
        let line = (0..NEAR)
            .find(|i| near.lines[*i].page != NO_PAGE && u32::from(near.slots[*i]) == at.index)?;
        Some(first + line as u32)
    }

    fn line(&mut self, id: u32) -> Option<&mut Line> {
        let id = id as usize;
        match id.checked_sub(self.near.len() * NEAR) {
            None => self.near.get_mut(id / NEAR)?.lines.get_mut(id % NEAR),
            Some(id) => {
                let slots = NODE_SLOTS as usize;
                self.rows.get_mut(id / slots)?.lines.get_mut(id % slots)
            }
        }
    }

    /// A line, with whose it is and the slot that it is about.
    fn read(&self, id: u32) -> Option<(u32, At, Line)> {
        let id = id as usize;
        match id.checked_sub(self.near.len() * NEAR) {
            None => {
                let near = self.near.get(id / NEAR)?;
                let node = FIRST_FREE_ROOT + (id / NEAR) as u32;
                let index = near.slots[id % NEAR].into();
                Some((node, At { node, index }, near.lines[id % NEAR]))
            }
            Some(id) => {
                let slots = NODE_SLOTS as usize;
                let row = self.rows.get(id / slots)?;
                let node = self.first_node + (id / slots) as u32;
                let index = (id % slots) as u32;
                Some((row.owner.into(), At { node, index }, row.lines[id % slots]))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::boxed::Box;
    use std::collections::BTreeMap;

    const FIRST_NODE: u32 = 3000;

    fn books() -> Box<Books<4, 4, 8>> {
        Box::new(Books::new())
    }

    fn at(node: u32, index: u32) -> At {
        At { node, index }
    }

    #[test]
    fn books_without_a_line_remember_nothing() {
        let mut pages = Pages::none();
        assert!(!pages.enter(FIRST_FREE_ROOT, 1, at(FIRST_FREE_ROOT, 9), false));
        assert_eq!(pages.find(FIRST_FREE_ROOT, 1), None);
        pages.forget(FIRST_FREE_ROOT);
        pages.forget_node(FIRST_NODE);
    }

    #[test]
    fn a_parts_node_has_so_many_lines() {
        let mut books = books();
        let mut pages = books.open(FIRST_NODE);
        let parts = FIRST_FREE_ROOT + 1;
        for i in 0..NEAR as u32 {
            assert!(pages.enter(parts, i, at(parts, 8 + i), i % 2 == 0));
        }
        assert!(!pages.enter(parts, 99, at(parts, 30), false));
        assert!(!pages.enter(parts, 99, at(FIRST_NODE + 4, 0), false));
        assert!(!pages.enter(FIRST_FREE_ROOT + 4, 99, at(FIRST_FREE_ROOT + 4, 8), false));
        assert_eq!(pages.find(parts, 99), None);
        let found = Found {
            at: at(parts, 12),
            shared: true,
        };
        assert_eq!(pages.find(parts, 4), Some(found));
        pages.make_private(parts, found.at);
        assert_eq!(pages.find(parts, 4).map(|found| found.shared), Some(false));
    }

    proptest! {
        #[test]
        fn what_was_written_down_is_found_until_its_owner_is_gone(
            steps in proptest::collection::vec((0u32..4, 0u32..40, any::<bool>(), 0u32..20), 0..200)
        ) {
            let mut books = books();
            let mut pages = books.open(FIRST_NODE);
            let mut expected = BTreeMap::new();
            let mut used = [0u32; 4];
            for (process, number, shared, what) in steps {
                let (parts, node) = (FIRST_FREE_ROOT + process, FIRST_NODE + process);
                let count = &mut used[process as usize];
                match what {
                    0 => {
                        pages.forget(parts);
                        pages.forget_node(node);
                        expected.retain(|(owner, _), _| *owner != parts);
                        *count = 0;
                    }
                    _ if expected.contains_key(&(parts, number)) => {
                        let found: &mut Found = expected.get_mut(&(parts, number)).unwrap();
                        pages.make_private(parts, found.at);
                        found.shared = false;
                    }
                    _ => {
                        let at = match *count < NEAR as u32 {
                            true => at(parts, 8 + *count),
                            false => at(node, *count - NEAR as u32),
                        };
                        *count += 1;
                        prop_assert!(pages.enter(parts, number, at, shared));
                        expected.insert((parts, number), Found { at, shared });
                    }
                }
                for parts in FIRST_FREE_ROOT..FIRST_FREE_ROOT + 4 {
                    for number in 0..40 {
                        let found = pages.find(parts, number);
                        prop_assert_eq!(found, expected.get(&(parts, number)).copied());
                    }
                }
            }
        }
    }
}
