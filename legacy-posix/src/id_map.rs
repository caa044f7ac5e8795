// SPDX-License-Identifier: BSD-2-Clause
//! Maps from numbers that are given out in sequence: a look-up is three loads, however many there are.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::marker::PhantomData;

use crate::kernel::Execution;
use crate::{ProcessId, ThreadId};

/// Numbers of a leaf.
const SPAN: usize = 64;

/// What is a number.
pub trait Key: Copy {
    /// It as a number, at most [`MAX_NUMBER`](crate::task::MAX_NUMBER) or so: memory of an eighth of it in
    /// bytes is taken.
    fn index(self) -> usize;
    /// From a number that `index` gave.
    fn from_index(index: usize) -> Option<Self>;
}

impl Key for ProcessId {
    fn index(self) -> usize {
        self.number() as usize
    }

    fn from_index(index: usize) -> Option<Self> {
        Self::new(u32::try_from(index).ok()?)
    }
}

impl Key for ThreadId {
    fn index(self) -> usize {
        self.number() as usize
    }

    fn from_index(index: usize) -> Option<Self> {
        Self::new(u32::try_from(index).ok()?)
    }
}

impl Key for Execution {
    fn index(self) -> usize {
        self.0 as usize
    }

    fn from_index(index: usize) -> Option<Self> {
        u32::try_from(index).ok().map(Self)
    }
}

struct Leaf<V> {
    count: usize,
    values: [Option<V>; SPAN],
}

/// A map from numbers to values, in the order of the numbers.
pub struct IdMap<K, V> {
    leaves: Vec<Option<Box<Leaf<V>>>>,
    count: usize,
    keys: PhantomData<K>,
}

impl<K, V> Default for IdMap<K, V> {
    fn default() -> Self {
        Self {
            leaves: Vec::new(),
            count: 0,
            keys: PhantomData,
        }
    }
}

impl<K: Key, V> IdMap<K, V> {
    /// Has room for keys up to this number from now on, so that no key makes it larger by its number alone.
    pub fn reserve(&mut self, most: usize) {
        self.leaves
            .reserve_exact((most / SPAN + 1).saturating_sub(self.leaves.len()));
    }

    /// How many there are.
    #[allow(clippy::len_without_is_empty)] // nobody asks
    pub const fn len(&self) -> usize {
        self.count
    }

    /// The value of a key.
    #[inline]
    pub fn get(&self, key: &K) -> Option<&V> {
        let index = key.index();
        self.leaves.get(index / SPAN)?.as_ref()?.values[index % SPAN].as_ref()
    }

    /// The value of a key, to change.
    #[inline]
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let index = key.index();
        self.leaves.get_mut(index / SPAN)?.as_mut()?.values[index % SPAN].as_mut()
    }

    /// Whether a key has a value.
    pub fn contains_key(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// Gives a key a value; the one that it had.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let index = key.index();
        if self.leaves.len() <= index / SPAN {
            self.leaves.resize_with(index / SPAN + 1, || None);
        }
        let leaf = self.leaves[index / SPAN].get_or_insert_with(|| {
            Box::new(Leaf {
                count: 0,
                values: [const { None }; SPAN],
            })
        });
        let before = leaf.values[index % SPAN].replace(value);
        if before.is_none() {
            leaf.count += 1;
            self.count += 1;
        }
        before
    }

    /// Takes the value of a key away.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let index = key.index();
        let place = self.leaves.get_mut(index / SPAN)?;
        let leaf = place.as_mut()?;
        let value = leaf.values[index % SPAN].take()?;
        leaf.count -= 1;
        self.count -= 1;
        if leaf.count == 0 {
            *place = None;
        }
        Some(value)
    }

    /// All, from the key of this number on.
    pub fn from(&self, first: usize) -> impl Iterator<Item = (K, &V)> {
        let leaves = self.leaves.iter().enumerate().skip(first / SPAN);
        leaves.flat_map(move |(at, leaf)| {
            let values = leaf.iter().flat_map(|leaf| leaf.values.iter().enumerate());
            values.filter_map(move |(within, value)| {
                let index = at * SPAN + within;
                let value = value.as_ref().filter(|_| index >= first)?;
                Some((K::from_index(index)?, value))
            })
        })
    }

    /// All values.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.from(0).map(|(_, value)| value)
    }

    /// All keys.
    pub fn keys(&self) -> impl Iterator<Item = K> {
        self.from(0).map(|(key, _)| key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn it_is_a_map_in_the_order_of_its_keys(
            steps in proptest::collection::vec((any::<bool>(), 1u32..300, any::<u8>()), 0..100),
            first in 0usize..300,
        ) {
            let mut map = IdMap::default();
            let mut model = BTreeMap::new();
            for (adds, number, value) in steps {
                let key = ThreadId::new(number).unwrap();
                if adds {
                    prop_assert_eq!(map.insert(key, value), model.insert(key, value));
                } else {
                    prop_assert_eq!(map.remove(&key), model.remove(&key));
                }
                prop_assert_eq!(map.len(), model.len());
                prop_assert_eq!(map.get(&key), model.get(&key));
            }
            prop_assert!(map.keys().eq(model.keys().copied()));
            prop_assert!(map.values().eq(model.values()));
            let rest = model.iter().filter(|(key, _)| key.index() >= first);
            prop_assert!(map.from(first).map(|(key, _)| key).eq(rest.map(|(key, _)| *key)));
            for key in map.keys().collect::<std::vec::Vec<_>>() {
                map.remove(&key);
            }
            prop_assert!(map.leaves.iter().all(Option::is_none));
        }
    }
}
