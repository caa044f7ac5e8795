// SPDX-License-Identifier: BSD-2-Clause
//! A directory's entries: found by name in constant time, listed in an order that stays.
//!
//! An entry keeps its slot from when it is made until it is removed, and slots are what positions
//! in a listing are. So whoever lists gets what is there all the time exactly once, whatever is
//! made and removed meanwhile.

use alloc::borrow::Cow;
use core::hash::BuildHasher;

use hashbrown::hash_table::Entry;
use hashbrown::{DefaultHashBuilder, HashTable};
use slab::Slab;

struct Slot {
    /// Those of an archive's files stay where they are.
    name: Cow<'static, [u8]>,
    ino: u64,
}

/// Entries, without `.` and `..`.
#[derive(Default)]
pub struct Directory {
    slots: Slab<Slot>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl Directory {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The slot and the file of a name.
    pub fn find(&self, name: &[u8]) -> Option<(u32, u64)> {
        let slot = *self.index.find(self.hasher.hash_one(name), |&slot| {
            *self.slots[slot as usize].name == *name
        })?;
        Some((slot, self.slots[slot as usize].ino))
    }

    /// Adds an entry, unless there is one of this name already; gives its slot.
    pub fn insert(&mut self, name: Cow<'static, [u8]>, ino: u64) -> Option<u32> {
        let (slots, hasher) = (&self.slots, &self.hasher);
        let entry = self.index.entry(
            hasher.hash_one(&*name),
            |&slot| *slots[slot as usize].name == *name,
            |&slot| hasher.hash_one(&*slots[slot as usize].name),
        );
        let Entry::Vacant(vacant) = entry else {
            return None;
        };
        let slot = self.slots.vacant_key() as u32;
        vacant.insert(slot);
        self.slots.insert(Slot { name, ino });
        Some(slot)
    }

    /// Lets a name that is there mean another file; gives its slot and the file that it meant.
    pub fn replace(&mut self, name: &[u8], ino: u64) -> Option<(u32, u64)> {
        let (slot, before) = self.find(name)?;
        self.slots[slot as usize].ino = ino;
        Some((slot, before))
    }

    /// Removes an entry; gives the file that it meant.
    pub fn remove(&mut self, name: &[u8]) -> Option<u64> {
        let slots = &self.slots;
        let entry = self
            .index
            .find_entry(self.hasher.hash_one(name), |&slot| {
                *slots[slot as usize].name == *name
            })
            .ok()?;
        let (slot, _) = entry.remove();
        let ino = self.slots.remove(slot as usize).ino;
        if self.slots.is_empty() {
            // So that the next listing does not go through slots that are long gone.
            *self = Self::default();
        }
        Some(ino)
    }

    /// The name in a slot, if it means this file.
    pub fn name(&self, slot: u32, ino: u64) -> Option<&[u8]> {
        let entry = self.slots.get(slot as usize)?;
        (entry.ino == ino).then_some(&entry.name)
    }

    /// Entries in slots from `from` on, with the slot behind each.
    pub fn list(&self, from: u64) -> impl Iterator<Item = (&[u8], u64, u64)> {
        let first = usize::try_from(from).unwrap_or(usize::MAX);
        (first.min(self.slots.capacity())..self.slots.capacity()).filter_map(|slot| {
            let entry = self.slots.get(slot)?;
            Some((&*entry.name, entry.ino, slot as u64 + 1))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn names_are_found_as_in_a_map_and_listed_exactly_once(
            steps in prop::collection::vec((any::<bool>(), 0u8..30), 0..200),
        ) {
            let mut directory = Directory::default();
            let mut model = BTreeMap::new();
            for (number, (insert, name)) in steps.into_iter().enumerate() {
                let text = [b'n', name];
                if insert && model.insert(text, number as u64).is_none() {
                    directory.insert(Cow::Owned(text.into()), number as u64).unwrap();
                    prop_assert_eq!(directory.insert(Cow::Owned(text.into()), 77), None);
                } else if insert {
                    directory.replace(&text, number as u64).unwrap();
                } else {
                    prop_assert_eq!(directory.remove(&text), model.remove(&text));
                }
                let found = directory.find(&text).map(|(_, ino)| ino);
                prop_assert_eq!(found, model.get(&text).copied());
            }
            let mut listed: Vec<_> = directory
                .list(0)
                .map(|(name, ino, _)| (<[u8; 2]>::try_from(name).unwrap(), ino))
                .collect();
            listed.sort_unstable();
            prop_assert!(listed.into_iter().eq(model));
        }

        #[test]
        fn what_stays_during_a_listing_is_listed_exactly_once(
            steps in prop::collection::vec((any::<bool>(), 20u8..60), 0..60),
            pause in 1usize..7,
        ) {
            let mut directory = Directory::default();
            for name in 0..40u8 {
                directory.insert(Cow::Owned(vec![name]), 1);
            }
            let (mut from, mut steps, mut seen) = (0, steps.into_iter(), Vec::new());
            loop {
                let part: Vec<_> = directory
                    .list(from)
                    .take(pause)
                    .map(|(name, _, next)| (name[0], next))
                    .collect();
                let Some(&(_, next)) = part.last() else { break };
                from = next;
                seen.extend(part.into_iter().map(|(name, _)| name));
                if let Some((insert, name)) = steps.next() {
                    if !insert {
                        directory.remove(&[name]);
                    } else if directory.find(&[name]).is_none() {
                        directory.insert(Cow::Owned(vec![name]), 1);
                    }
                }
            }
            for name in 0..20 {
                prop_assert_eq!(seen.iter().filter(|&&seen| seen == name).count(), 1);
            }
        }
    }
}
