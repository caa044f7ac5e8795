// SPDX-License-Identifier: BSD-2-Clause
//! Tables of records, and lists that run through them.
//!
//! A record is named by its index. Every relation between records (who created
//! whom, whose sessions these are, what is still to be told) is a doubly linked
//! list through the records themselves: joining and leaving takes constant
//! time, and no list can overflow, because its members bring their own links.

use core::ops::{Index, IndexMut};

/// A record's index, or none. Zero is none, so that tables lie in zeroed memory.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Link(u16);

impl Link {
    /// No record.
    pub const NONE: Self = Self(0);

    /// The record with this index (at most 65,534).
    pub const fn to(index: u32) -> Self {
        Self(index as u16 + 1)
    }

    /// The index.
    pub const fn get(self) -> Option<u32> {
        match self.0 {
            0 => None,
            n => Some(n as u32 - 1),
        }
    }

    /// Whether it is this record.
    pub const fn is(self, index: u32) -> bool {
        self.0 as u32 == index + 1
    }
}

/// A member's links in one list.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Links {
    prev: Link,
    next: Link,
}

impl Links {
    /// In no list.
    pub const NONE: Self = Self {
        prev: Link::NONE,
        next: Link::NONE,
    };
}

/// A list: circular, known by its last member, so that joining at the end and
/// leaving at the front both take one look.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct List(Link);

impl List {
    /// No members.
    pub const EMPTY: Self = Self(Link::NONE);

    /// Whether it has no members.
    pub const fn is_empty(self) -> bool {
        self.0.get().is_none()
    }
}

/// What a table holds.
pub trait Record: Copy {
    /// A record that is not in use.
    const VACANT: Self;
    /// The links of one chain. A record is in at most one list of each chain;
    /// chain 0 also links the vacant records.
    fn links(&mut self, chain: usize) -> &mut Links;
    /// The same, to read.
    fn links_of(&self, chain: usize) -> &Links;
    /// Makes it one that is not in use.
    fn reset(&mut self) {
        *self = Self::VACANT;
    }
}

/// A bounded table. Claiming and releasing a record takes constant time.
pub struct Table<'a, T> {
    rows: &'a mut [T],
    vacant: Link,
    /// Rows below this one have been in use; the others were never touched.
    touched: u32,
    live: u32,
}

impl<'a, T: Record> Table<'a, T> {
    /// A table over `rows`, which are all [`Record::VACANT`] (at most 65,534).
    pub fn new(rows: &'a mut [T]) -> Self {
        assert!(rows.len() < u16::MAX as usize);
        Self {
            rows,
            vacant: Link::NONE,
            touched: 0,
            live: 0,
        }
    }

    /// Takes a record, vacant except for what the caller will write; `None` when all are taken.
    pub fn claim(&mut self) -> Option<u32> {
        let index = match self.vacant.get() {
            Some(index) => {
                self.vacant = self[index].links_of(0).next;
                index
            }
            None if (self.touched as usize) < self.rows.len() => {
                self.touched += 1;
                self.touched - 1
            }
            None => return None,
        };
        self.live += 1;
        // All else is as it should be, since the table began or the last one was given back.
        *self[index].links(0) = Links::NONE;
        Some(index)
    }

    /// Gives a record back. It must be in no list.
    pub fn release(&mut self, index: u32) {
        let vacant = core::mem::replace(&mut self.vacant, Link::to(index));
        self[index].reset();
        self[index].links(0).next = vacant;
        self.live -= 1;
    }

    /// Records that fit.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Records in use.
    pub fn live(&self) -> u32 {
        self.live
    }

    /// Records not in use.
    pub fn left(&self) -> u32 {
        self.rows.len() as u32 - self.live
    }

    /// One more than the highest index ever in use: how far a walk over the table has to go.
    pub fn end(&self) -> u32 {
        self.touched
    }

    /// The record, if there is one of that index, in use or not.
    pub fn get(&self, index: u32) -> Option<&T> {
        self.rows.get(index as usize)
    }

    /// Appends a record to a list.
    pub fn append(&mut self, chain: usize, list: &mut List, index: u32) {
        let here = Link::to(index);
        match list.0.get() {
            None => {
                *self[index].links(chain) = Links {
                    prev: here,
                    next: here,
                }
            }
            Some(last) => {
                let first = core::mem::replace(&mut self[last].links(chain).next, here);
                *self[index].links(chain) = Links {
                    prev: Link::to(last),
                    next: first,
                };
                if let Some(first) = first.get() {
                    self[first].links(chain).prev = here;
                }
            }
        }
        list.0 = here;
    }

    /// Takes a member out of its list.
    pub fn remove(&mut self, chain: usize, list: &mut List, index: u32) {
        let Links { prev, next } = core::mem::take(self[index].links(chain));
        if next.is(index) {
            *list = List::EMPTY;
            return;
        }
        if let (Some(p), Some(n)) = (prev.get(), next.get()) {
            self[p].links(chain).next = next;
            self[n].links(chain).prev = prev;
        }
        if list.0.is(index) {
            list.0 = prev;
        }
    }

    /// The member that has been in the list longest.
    pub fn first(&self, chain: usize, list: List) -> Option<u32> {
        self[list.0.get()?].links_of(chain).next.get()
    }

    /// The member that joined last.
    pub fn last(&self, _chain: usize, list: List) -> Option<u32> {
        list.0.get()
    }

    /// The member after `index`.
    pub fn after(&self, chain: usize, list: List, index: u32) -> Option<u32> {
        if list.0.is(index) {
            None
        } else {
            self[index].links_of(chain).next.get()
        }
    }
}

impl<T> Index<u32> for Table<'_, T> {
    type Output = T;
    fn index(&self, index: u32) -> &T {
        &self.rows[index as usize]
    }
}

impl<T> IndexMut<u32> for Table<'_, T> {
    fn index_mut(&mut self, index: u32) -> &mut T {
        &mut self.rows[index as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Copy)]
    struct Row {
        value: u32,
        links: [Links; 2],
    }

    impl Record for Row {
        const VACANT: Self = Row {
            value: 0,
            links: [Links::NONE; 2],
        };
        fn links(&mut self, chain: usize) -> &mut Links {
            &mut self.links[chain]
        }
        fn links_of(&self, chain: usize) -> &Links {
            &self.links[chain]
        }
    }

    fn members(table: &Table<Row>, chain: usize, list: List) -> Vec<u32> {
        let mut all = Vec::new();
        let mut next = table.first(chain, list);
        while let Some(index) = next {
            all.push(index);
            next = table.after(chain, list, index);
        }
        all
    }

    #[test]
    fn a_full_table_gives_nothing_and_a_released_record_comes_back_vacant() {
        let mut rows = [Row::VACANT; 2];
        let mut table = Table::new(&mut rows);
        let (a, b) = (table.claim().unwrap(), table.claim().unwrap());
        assert_eq!((table.claim(), table.left()), (None, 0));
        table[a].value = 7;
        table.release(a);
        let c = table.claim().unwrap();
        assert_ne!(c, b);
        assert_eq!(table[c].value, 0);
    }

    proptest! {
        #[test]
        fn lists_behave_as_queues_from_which_anyone_may_leave(
            moves in prop::collection::vec((0u32..8, 0usize..2, any::<bool>()), 0..200)
        ) {
            let mut rows = [Row::VACANT; 8];
            let mut table = Table::new(&mut rows);
            for _ in 0..8 {
                table.claim().unwrap();
            }
            let mut lists = [List::EMPTY; 2];
            let mut model = [Vec::new(), Vec::new()];
            for (index, chain, join) in moves {
                let inside = model[chain].contains(&index);
                if join && !inside {
                    table.append(chain, &mut lists[chain], index);
                    model[chain].push(index);
                } else if !join && inside {
                    table.remove(chain, &mut lists[chain], index);
                    model[chain].retain(|i| *i != index);
                }
                for chain in 0..2 {
                    prop_assert_eq!(&members(&table, chain, lists[chain]), &model[chain]);
                    prop_assert_eq!(lists[chain].is_empty(), model[chain].is_empty());
                }
            }
        }
    }
}
