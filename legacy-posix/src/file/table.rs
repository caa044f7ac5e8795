// SPDX-License-Identifier: BSD-2-Clause
//! Descriptor tables: small numbers for open descriptions, the lowest free one first.

use alloc::vec::Vec;

use super::OpenId;

/// Descriptors that a table may have at most, whatever a process's limit says (`nr_open`).
pub const DESCRIPTORS_MAX: u32 = 1 << 16;

#[derive(Clone, Copy)]
struct Slot {
    open: OpenId,
    close_on_exec: bool,
}

/// A table. Free numbers are found through two levels of bits: in constant time.
#[derive(Clone, Default)]
pub struct Table {
    slots: Vec<Option<Slot>>,
    /// A bit for each slot in use.
    used: Vec<u64>,
    /// A bit for each word of `used` that is full.
    full: Vec<u64>,
    /// Processes that share it.
    pub(super) sharers: u32,
}

impl Table {
    /// What a descriptor is of.
    pub fn get(&self, fd: u32) -> Option<OpenId> {
        self.slots.get(fd as usize)?.map(|slot| slot.open)
    }

    /// Whether it is closed by `execve`.
    pub fn close_on_exec(&self, fd: u32) -> bool {
        matches!(self.slots.get(fd as usize), Some(Some(slot)) if slot.close_on_exec)
    }

    /// Says whether it is closed by `execve`.
    pub fn set_close_on_exec(&mut self, fd: u32, close: bool) {
        if let Some(Some(slot)) = self.slots.get_mut(fd as usize) {
            slot.close_on_exec = close;
        }
    }

    /// The lowest free number from `from` on, if it is below `limit`.
    pub fn free(&self, from: u32, limit: u32) -> Option<u32> {
        let word = from as usize / 64;
        let mut found = None;
        if let Some(&bits) = self.used.get(word) {
            let free = !bits & u64::MAX << (from % 64);
            if free != 0 {
                found = Some(word as u32 * 64 + free.trailing_zeros());
            }
        } else {
            found = Some(from);
        }
        let fd = found.unwrap_or_else(|| {
            let next = word + 1;
            let mut full = next / 64;
            let mut mask = u64::MAX << (next % 64);
            while let Some(&bits) = self.full.get(full) {
                let free = !bits & mask;
                if free != 0 {
                    let word = full * 64 + free.trailing_zeros() as usize;
                    let bits = self.used.get(word).copied().unwrap_or(0);
                    return word as u32 * 64 + (!bits).trailing_zeros();
                }
                full += 1;
                mask = u64::MAX;
            }
            (next.max(self.used.len()) * 64) as u32
        });
        (fd < limit.min(DESCRIPTORS_MAX)).then_some(fd)
    }

    /// Lets a number be of `open`; gives what it was of before.
    pub fn set(&mut self, fd: u32, open: OpenId, close_on_exec: bool) -> Option<OpenId> {
        let (index, word) = (fd as usize, fd as usize / 64);
        if index >= self.slots.len() {
            self.slots.resize(index + 1, None);
            self.used.resize(word + 1, 0);
            self.full.resize(word / 64 + 1, 0);
        }
        self.used[word] |= 1 << (fd % 64);
        if self.used[word] == u64::MAX {
            self.full[word / 64] |= 1 << (word % 64);
        }
        let slot = Slot {
            open,
            close_on_exec,
        };
        self.slots[index].replace(slot).map(|slot| slot.open)
    }

    /// Takes a number out of use; gives what it was of.
    pub fn remove(&mut self, fd: u32) -> Option<OpenId> {
        let slot = self.slots.get_mut(fd as usize)?.take()?;
        let word = fd as usize / 64;
        self.used[word] &= !(1 << (fd % 64));
        self.full[word / 64] &= !(1 << (word % 64));
        Some(slot.open)
    }

    /// The lowest descriptor in use from `from` on.
    pub fn next(&self, from: u32) -> Option<u32> {
        let mut word = from as usize / 64;
        let mut mask = u64::MAX << (from % 64);
        while let Some(&bits) = self.used.get(word) {
            if bits & mask != 0 {
                return Some(word as u32 * 64 + (bits & mask).trailing_zeros());
            }
            word += 1;
            mask = u64::MAX;
        }
        None
    }

    /// How many numbers there is room for.
    pub fn slots(&self) -> usize {
        self.slots.len().next_multiple_of(64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn the_free_number_is_the_lowest(
            steps in prop::collection::vec((0u8..5, 0u32..400), 0..300),
        ) {
            let mut table = Table::default();
            let mut model = BTreeMap::new();
            for (what, fd) in steps {
                if what < 3 {
                    let lowest = (fd..).find(|fd| !model.contains_key(fd)).unwrap();
                    prop_assert_eq!(table.free(fd, 1000), Some(lowest));
                    prop_assert_eq!(table.free(fd, lowest), None);
                    table.set(lowest, OpenId(fd), what == 0);
                    model.insert(lowest, (OpenId(fd), what == 0));
                } else {
                    prop_assert_eq!(table.remove(fd), model.remove(&fd).map(|(open, _)| open));
                }
                prop_assert_eq!(table.next(fd), model.range(fd..).next().map(|(fd, _)| *fd));
            }
            for (&fd, &(open, close)) in &model {
                prop_assert_eq!((table.get(fd), table.close_on_exec(fd)), (Some(open), close));
            }
        }
    }

    #[test]
    fn thousands_of_descriptors_are_numbered_without_gaps() {
        let mut table = Table::default();
        for fd in 0..DESCRIPTORS_MAX {
            assert_eq!(table.free(0, u32::MAX), Some(fd));
            table.set(fd, OpenId(fd), false);
        }
        assert_eq!(table.free(0, u32::MAX), None);
        table.remove(40_000);
        table.remove(50_000);
        assert_eq!(table.free(3, u32::MAX), Some(40_000));
        assert_eq!(table.free(40_001, u32::MAX), Some(50_000));
    }
}
