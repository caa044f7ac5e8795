// SPDX-License-Identifier: BSD-2-Clause
//! The kernel's objects as plans name them, and how much memory each takes.

/// Binary logarithm of the bytes of an ordinary page, and of every paging structure of x86-64.
pub const PAGE_BITS: u32 = 12;
/// Binary logarithm of the bytes of a large page.
pub const LARGE_PAGE_BITS: u32 = 21;

/// A kind of kernel object.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Object {
    /// Memory to make other objects from, of `1 << bits` bytes.
    Untyped {
        /// Binary logarithm of its size.
        bits: u32,
    },
    /// `1 << radix` capability slots.
    CNode {
        /// Binary logarithm of the number of slots.
        radix: u32,
    },
    /// A thread.
    Tcb,
    /// A rendezvous of messages.
    Endpoint,
    /// A word of signals.
    Notification,
    /// Memory of `1 << bits` bytes: [`PAGE_BITS`] or [`LARGE_PAGE_BITS`].
    Frame {
        /// Binary logarithm of its size.
        bits: u32,
    },
    /// The root of an address space.
    Pml4,
    /// A paging structure below it.
    Table(Level),
}

/// The levels of paging structures below the root, from the top.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Level {
    /// Page-directory-pointer table: one per 512 GiB.
    Pdpt,
    /// Page directory: one per GiB.
    PageDirectory,
    /// Page table: one per 2 MiB in ordinary pages.
    PageTable,
}

impl Level {
    /// All of them, in the order in which they have to be mapped.
    pub const ALL: [Self; 3] = [Self::Pdpt, Self::PageDirectory, Self::PageTable];

    /// Binary logarithm of the bytes that one structure of this level spans (Intel SDM volume 3,
    /// section 4.5).
    pub const fn span_bits(self) -> u32 {
        match self {
            Self::Pdpt => 39,
            Self::PageDirectory => 30,
            Self::PageTable => 21,
        }
    }
}

/// Binary logarithms of the sizes that differ between versions of the kernel, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sizes {
    /// One capability slot.
    pub slot: u32,
    /// A [`Object::Tcb`].
    pub tcb: u32,
    /// An [`Object::Endpoint`].
    pub endpoint: u32,
    /// A [`Object::Notification`].
    pub notification: u32,
}

impl Object {
    /// Binary logarithm of its size in bytes; objects are aligned to their size.
    pub const fn bits(self, sizes: &Sizes) -> u32 {
        match self {
            Self::Untyped { bits } | Self::Frame { bits } => bits,
            Self::CNode { radix } => radix + sizes.slot,
            Self::Tcb => sizes.tcb,
            Self::Endpoint => sizes.endpoint,
            Self::Notification => sizes.notification,
            Self::Pml4 | Self::Table(_) => PAGE_BITS,
        }
    }
}

/// The smallest power of two, as its logarithm, that holds objects made one after another, `count`
/// of each kind, from the beginning: what the kernel needs to make them from one untyped object.
///
/// `None` if that exceeds 64 bits.
pub fn arena_bits(objects: impl IntoIterator<Item = (Object, u64)>, sizes: &Sizes) -> Option<u32> {
    let mut end = 0u64;
    let mut largest = 0;
    for (object, count) in objects {
        let bits = object.bits(sizes);
        end = end.checked_next_multiple_of(1 << bits)?;
        end = end.checked_add(count.checked_mul(1 << bits)?)?;
        largest = largest.max(bits);
    }
    // An object is aligned within the arena only if the arena is aligned to it.
    let bits = end.checked_next_power_of_two()?.trailing_zeros();
    Some(bits.max(largest))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Those of seL4 5.0 on x86-64.
    pub(crate) const SIZES: Sizes = Sizes {
        slot: 5,
        tcb: 11,
        endpoint: 4,
        notification: 5,
    };

    #[test]
    fn an_arena_has_room_for_what_alignment_skips() {
        let objects = [(Object::Tcb, 1), (Object::Pml4, 1)];
        assert_eq!(arena_bits(objects, &SIZES), Some(13));
    }

    #[test]
    fn an_arena_that_is_too_large_to_number_has_no_size() {
        let frames = (
            Object::Frame {
                bits: LARGE_PAGE_BITS,
            },
            1 << 50,
        );
        assert_eq!(arena_bits([frames], &SIZES), None);
    }

    proptest! {
        #[test]
        fn an_arena_is_the_smallest_power_of_two_that_holds_its_objects(
            kinds in prop::collection::vec((0..5usize, 1..40u64), 1..8)
        ) {
            const KINDS: [Object; 5] = [
                Object::CNode { radix: 8 },
                Object::Frame { bits: 12 },
                Object::Pml4,
                Object::Tcb,
                Object::Endpoint,
            ];
            let objects: Vec<_> = kinds.iter().map(|&(kind, count)| (KINDS[kind], count)).collect();
            let bits = arena_bits(objects.iter().copied(), &SIZES).unwrap();
            // As the kernel does it.
            let mut end = 0u64;
            for (object, count) in objects {
                end = end.next_multiple_of(1 << object.bits(&SIZES)) + (count << object.bits(&SIZES));
            }
            prop_assert!(end <= 1 << bits);
            prop_assert!(end > 1 << bits >> 1 || bits == 0);
        }
    }
}
