// SPDX-License-Identifier: BSD-2-Clause
//! A bounded binary heap whose entries can be taken out from anywhere.
//!
//! That is what alarms need: they are replaced and cancelled, most of them before they are due.
//! (`heapless::BinaryHeap` gives out only its first entry.)

use heapless::Vec;

/// Names an entry as long as it is in the heap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Handle(u16);

enum Slot<T> {
    /// A place to use; the next such one.
    Free(Option<u16>),
    Used {
        key: u64,
        /// Index in `order`.
        place: u16,
        value: T,
    },
}

/// `N` entries at most (and at most 65,535), smallest key first. All operations but
/// [`iter`](Self::iter) take O(log n).
pub struct Heap<T, const N: usize> {
    slots: Vec<Slot<T>, N>,
    free: Option<u16>,
    /// Slots, as a binary heap: the key of `order[i]` is not below that of `order[(i - 1) / 2]`.
    order: Vec<u16, N>,
}

impl<T, const N: usize> Heap<T, N> {
    /// No entries.
    pub const fn new() -> Self {
        const { assert!(N <= u16::MAX as usize) };
        Self {
            slots: Vec::new(),
            free: None,
            order: Vec::new(),
        }
    }

    pub fn is_full(&self) -> bool {
        self.order.is_full()
    }

    /// Adds an entry; gives its value back if there is no place.
    pub fn push(&mut self, key: u64, value: T) -> Result<Handle, T> {
        if self.is_full() {
            return Err(value);
        }
        let place = self.order.len() as u16;
        let used = Slot::Used { key, place, value };
        let slot = match self.free {
            Some(slot) => {
                if let Slot::Free(next) = self.slots[usize::from(slot)] {
                    self.free = next;
                }
                self.slots[usize::from(slot)] = used;
                slot
            }
            None => {
                let slot = self.slots.len() as u16;
                // There is a place: slots that are neither free nor in `order` do not exist.
                let _ = self.slots.push(used);
                slot
            }
        };
        let _ = self.order.push(slot);
        self.rise(place.into());
        Ok(Handle(slot))
    }

    /// The smallest key.
    pub fn first(&self) -> Option<u64> {
        self.order.first().map(|_| self.key(0))
    }

    /// Takes the entry with the smallest key.
    pub fn pop(&mut self) -> Option<(u64, T)> {
        let slot = *self.order.first()?;
        self.remove(Handle(slot))
    }

    /// Takes an entry out; `None` if there is none of that name.
    pub fn remove(&mut self, Handle(slot): Handle) -> Option<(u64, T)> {
        let entry = self.slots.get_mut(usize::from(slot))?;
        if matches!(entry, Slot::Free(_)) {
            return None;
        }
        let Slot::Used { key, place, value } =
            core::mem::replace(entry, Slot::Free(self.free.replace(slot)))
        else {
            return None;
        };
        let place = usize::from(place);
        self.order.swap_remove(place);
        if place < self.order.len() {
            self.settle(place);
            self.sink(place);
            self.rise(place);
        }
        Some((key, value))
    }

    /// All entries, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (Handle, &T)> {
        self.slots.iter().enumerate().filter_map(|(slot, entry)| {
            let Slot::Used { value, .. } = entry else {
                return None;
            };
            Some((Handle(slot as u16), value))
        })
    }

    fn key(&self, place: usize) -> u64 {
        match &self.slots[usize::from(self.order[place])] {
            Slot::Used { key, .. } => *key,
            Slot::Free(_) => u64::MAX,
        }
    }

    /// Tells the entry at `place` that it is there.
    fn settle(&mut self, at: usize) {
        if let Slot::Used { place, .. } = &mut self.slots[usize::from(self.order[at])] {
            *place = at as u16;
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.order.swap(a, b);
        self.settle(a);
        self.settle(b);
    }

    fn rise(&mut self, mut place: usize) {
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.key(parent) <= self.key(place) {
                break;
            }
            self.swap(parent, place);
            place = parent;
        }
    }

    fn sink(&mut self, mut place: usize) {
        loop {
            let children = 2 * place + 1..self.order.len().min(2 * place + 3);
            let Some(child) = children.min_by_key(|c| self.key(*c)) else {
                break;
            };
            if self.key(place) <= self.key(child) {
                break;
            }
            self.swap(place, child);
            place = child;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        /// Against an ordered set: values are numbers of their own, so that equal keys are told apart.
        #[test]
        fn it_gives_what_an_ordered_set_gives(
            steps in proptest::collection::vec((0u8..4, 0u64..50, 0usize..40), 0..300),
        ) {
            let mut heap = Heap::<u32, 20>::new();
            let mut set = BTreeSet::new();
            let mut live = Vec::<(Handle, u64, u32), 20>::new();
            for (number, (step, key, pick)) in steps.into_iter().enumerate() {
                let number = number as u32;
                match step {
                    0 | 1 => match heap.push(key, number) {
                        Ok(handle) => {
                            set.insert((key, number));
                            live.push((handle, key, number)).unwrap();
                        }
                        Err(value) => {
                            prop_assert_eq!(value, number);
                            prop_assert_eq!(set.len(), 20);
                        }
                    },
                    2 => {
                        let popped = heap.pop();
                        prop_assert_eq!(popped.map(|p| p.0), set.first().map(|f| f.0));
                        if let Some(entry) = popped {
                            prop_assert!(set.remove(&entry));
                            live.retain(|l| l.2 != entry.1);
                        }
                    }
                    _ if live.is_empty() => {}
                    _ => {
                        let (handle, key, number) = live.swap_remove(pick % live.len());
                        prop_assert_eq!(heap.remove(handle), Some((key, number)));
                        prop_assert_eq!(heap.remove(handle), None);
                        set.remove(&(key, number));
                    }
                }
                prop_assert_eq!(heap.first(), set.first().map(|f| f.0));
                prop_assert_eq!(heap.iter().count(), set.len());
            }
        }
    }
}
