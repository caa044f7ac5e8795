// SPDX-License-Identifier: BSD-2-Clause
//! Who gives out capability slots.

/// Slots that one allocator can have at most: the largest root CNode.
const MAX: u32 = 4096;
const WORDS: usize = MAX as usize / 64;

/// A bounded allocator of slot numbers, the lowest free one first.
///
/// Taking and giving back cost the same however many are taken: a word says
/// which of 64 words of the map has a free slot.
#[derive(Clone)]
pub struct Slots {
    first: u32,
    end: u32,
    /// Bit `i` of word `w`: slot `64 * w + i` is free.
    free: [u64; WORDS],
    /// Bit `w`: word `w` of `free` is not 0.
    words: u64,
}

impl Slots {
    /// The slots `first..end`, all free; `end` at most 4096, else it is cut to that.
    pub const fn new(first: u32, end: u32) -> Self {
        let end = if end > MAX { MAX } else { end };
        let mut slots = Self {
            first,
            end,
            free: [0; WORDS],
            words: 0,
        };
        let mut slot = first;
        while slot < end {
            slots.set(slot);
            slot += 1;
        }
        slots
    }

    const fn set(&mut self, slot: u32) {
        self.free[slot as usize / 64] |= 1 << (slot % 64);
        self.words |= 1 << (slot / 64);
    }

    /// A free slot, which is then taken; `None` when all are.
    pub const fn take(&mut self) -> Option<u32> {
        if self.words == 0 {
            return None;
        }
        let word = self.words.trailing_zeros();
        let bits = &mut self.free[word as usize];
        let bit = bits.trailing_zeros();
        *bits &= *bits - 1;
        if *bits == 0 {
            self.words &= !(1 << word);
        }
        Some(word * 64 + bit)
    }

    /// Gives back a slot, which has to be empty again. Gives `false`, and changes nothing, for one that is
    /// not taken or not of this allocator.
    pub const fn give(&mut self, slot: u32) -> bool {
        if slot < self.first || slot >= self.end || self.is_free(slot) {
            return false;
        }
        self.set(slot);
        true
    }

    /// Takes this very slot; `false` when it is taken already or not of this allocator.
    pub const fn reserve(&mut self, slot: u32) -> bool {
        if slot < self.first || slot >= self.end || !self.is_free(slot) {
            return false;
        }
        let bits = &mut self.free[slot as usize / 64];
        *bits &= !(1 << (slot % 64));
        if *bits == 0 {
            self.words &= !(1 << (slot / 64));
        }
        true
    }

    const fn is_free(&self, slot: u32) -> bool {
        self.free[slot as usize / 64] >> (slot % 64) & 1 == 1
    }

    /// How many there are, free or taken.
    #[allow(
        clippy::len_without_is_empty,
        reason = "`is_empty` is of those that are free"
    )]
    pub const fn len(&self) -> u32 {
        self.end - self.first
    }

    /// Whether none is free.
    pub const fn is_empty(&self) -> bool {
        self.words == 0
    }

    /// How many are free. (This counts them.)
    pub fn available(&self) -> u32 {
        self.free.iter().map(|word| word.count_ones()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[derive(Clone, Debug)]
    enum Step {
        Take,
        Give(u32),
        Reserve(u32),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            Just(Step::Take),
            (0u32..5000).prop_map(Step::Give),
            (0u32..5000).prop_map(Step::Reserve),
        ]
    }

    proptest! {
        #[test]
        fn it_behaves_as_a_set(first in 0u32..200, count in 0u32..300, steps in proptest::collection::vec(step(), 0..600)) {
            let mut slots = Slots::new(first, first + count);
            let all: BTreeSet<u32> = (first..first + count).collect();
            let mut free = all.clone();
            for step in steps {
                match step {
                    Step::Take => prop_assert_eq!(slots.take(), free.pop_first()),
                    Step::Give(slot) => {
                        prop_assert_eq!(slots.give(slot), all.contains(&slot) && free.insert(slot));
                    }
                    Step::Reserve(slot) => prop_assert_eq!(slots.reserve(slot), free.remove(&slot)),
                }
                prop_assert_eq!(slots.available() as usize, free.len());
                prop_assert_eq!(slots.is_empty(), free.is_empty());
            }
        }
    }

    #[test]
    fn the_largest_cnode_is_covered_and_no_more() {
        let mut slots = Slots::new(16, 10_000);
        assert_eq!(slots.available(), 4096 - 16);
        assert!(slots.reserve(4095) && !slots.reserve(4096));
    }
}
