// SPDX-License-Identifier: BSD-2-Clause
//! Which untyped memory becomes what.
//!
//! The kernel hands over its memory as untyped objects, naturally aligned powers of two, and makes
//! objects from one strictly in ascending order. So a plan cuts untypeds into halves, quarters and
//! so on until there are pieces of the sizes wanted, and an untyped that is cut is cut completely:
//! its pieces, used and free, in ascending order are then what the kernel is asked to make, and they
//! come to lie exactly where planned, which is how a piece at a wanted physical address is made.
//!
//! Free memory is taken from the smallest piece that suffices. It keeps large untypeds whole for
//! the IC manager, and the kernel zeroes an untyped completely before it makes the first object from
//! it.

use alloc::vec::Vec;
use core::ops::Range;

/// An untyped object that the kernel gave to the root task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Untyped {
    /// Physical address of its first byte, a multiple of its size.
    pub paddr: u64,
    /// Binary logarithm of its size in bytes, at most 47.
    pub bits: u32,
    /// Whether it is device memory, from which the kernel makes nothing but frames.
    pub device: bool,
}

/// What a piece of memory is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// What outlives each domain: endpoints, notifications, replies nodes, the root task's own tables.
    System,
    /// The arena of the domain with this index.
    Domain(usize),
    /// The region with this index.
    Region(usize),
}

/// A naturally aligned power of two within an untyped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece {
    /// Index of the untyped.
    pub untyped: usize,
    /// Physical address of its first byte.
    pub paddr: u64,
    /// Binary logarithm of its size in bytes.
    pub bits: u32,
    /// What it is for; free if none.
    pub owner: Option<Owner>,
}

impl Piece {
    fn contains(&self, paddr: u64) -> bool {
        paddr >= self.paddr && paddr - self.paddr < 1 << self.bits
    }
}

/// Why memory could not be had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shortage {
    /// No free piece of `1 << bits` bytes is left.
    Exhausted {
        /// Binary logarithm of the bytes wanted.
        bits: u32,
    },
    /// The kernel gave no memory at this address, or it is taken.
    NotThere {
        /// Physical address.
        paddr: u64,
    },
}

/// All memory, as it is being divided.
#[derive(Clone, Debug)]
pub struct Memory {
    untypeds: Vec<Untyped>,
    /// Tile the untypeds exactly, in no order.
    pieces: Vec<Piece>,
}

impl Memory {
    /// All of it free.
    pub fn new(untypeds: &[Untyped]) -> Self {
        let pieces = untypeds.iter().enumerate().map(|(index, untyped)| Piece {
            untyped: index,
            paddr: untyped.paddr,
            bits: untyped.bits,
            owner: None,
        });
        Self {
            untypeds: untypeds.to_vec(),
            pieces: pieces.collect(),
        }
    }

    /// Takes `1 << bits` bytes of ordinary memory.
    ///
    /// # Errors
    /// [`Shortage::Exhausted`].
    pub fn take(&mut self, bits: u32, owner: Owner) -> Result<(), Shortage> {
        let (index, piece) = self
            .pieces
            .iter()
            .enumerate()
            .filter(|(_, piece)| piece.owner.is_none() && !self.untypeds[piece.untyped].device)
            .filter(|(_, piece)| piece.bits >= bits)
            .min_by_key(|(_, piece)| (piece.bits, piece.paddr))
            .ok_or(Shortage::Exhausted { bits })?;
        let paddr = piece.paddr;
        self.claim(index, paddr, bits, owner);
        Ok(())
    }

    /// Takes `size` bytes of ordinary memory, a multiple of `1 << page_bits`, in pieces of whole
    /// pages: as few as there are in `size`, or more if memory is too fragmented for these.
    ///
    /// # Errors
    /// [`Shortage::Exhausted`].
    pub fn take_scattered(
        &mut self,
        size: u64,
        page_bits: u32,
        owner: Owner,
    ) -> Result<(), Shortage> {
        let mut rest = size;
        let mut largest = 63;
        while rest > 0 {
            let bits = rest.ilog2().min(largest);
            match self.take(bits, owner) {
                Ok(()) => rest -= 1 << bits,
                Err(error) if bits <= page_bits => return Err(error),
                Err(_) => largest = bits - 1,
            }
        }
        Ok(())
    }

    /// Takes exactly this range, device memory or not.
    ///
    /// # Errors
    /// [`Shortage::NotThere`] with the first address in the range that cannot be had.
    pub fn take_range(&mut self, range: Range<u64>, owner: Owner) -> Result<(), Shortage> {
        let mut paddr = range.start;
        while paddr < range.end {
            let index = self
                .pieces
                .iter()
                .position(|piece| piece.owner.is_none() && piece.contains(paddr))
                .ok_or(Shortage::NotThere { paddr })?;
            let bits = paddr
                .trailing_zeros()
                .min((range.end - paddr).ilog2())
                .min(self.pieces[index].bits);
            self.claim(index, paddr, bits, owner);
            paddr += 1 << bits;
        }
        Ok(())
    }

    /// Cuts a free piece until the part of it at `paddr` has the size wanted.
    fn claim(&mut self, index: usize, paddr: u64, bits: u32, owner: Owner) {
        while self.pieces[index].bits > bits {
            let piece = &mut self.pieces[index];
            piece.bits -= 1;
            let middle = piece.paddr + (1 << piece.bits);
            let mut other = *piece;
            if paddr < middle {
                other.paddr = middle;
            } else {
                piece.paddr = middle;
            }
            self.pieces.push(other);
        }
        self.pieces[index].owner = Some(owner);
    }

    /// The division: the pieces of each untyped in ascending order, untyped by untyped. They tile
    /// it; an untyped of one piece need not be cut.
    pub fn into_pieces(mut self) -> Vec<Piece> {
        self.pieces
            .sort_unstable_by_key(|piece| (piece.untyped, piece.paddr));
        self.pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OWNER: Owner = Owner::System;

    fn ram(paddr: u64, bits: u32) -> Untyped {
        Untyped {
            paddr,
            bits,
            device: false,
        }
    }

    fn device(paddr: u64, bits: u32) -> Untyped {
        Untyped {
            paddr,
            bits,
            device: true,
        }
    }

    /// Untypeds as the kernel makes them of memory and of the holes in it.
    fn machine() -> impl Strategy<Value = Vec<Untyped>> {
        prop::collection::vec((12u32..24, any::<bool>(), 0..3u64), 1..12).prop_map(|parts| {
            let mut paddr = 0u64;
            let mut untypeds = Vec::new();
            for (bits, device, gap) in parts {
                paddr = (paddr + (gap << 12)).next_multiple_of(1 << bits);
                untypeds.push(Untyped {
                    paddr,
                    bits,
                    device,
                });
                paddr += 1 << bits;
            }
            untypeds
        })
    }

    #[derive(Clone, Debug)]
    enum Wish {
        Take(u32),
        Scattered(u64),
        Range(u64, u64),
    }

    fn wish() -> impl Strategy<Value = Wish> {
        prop_oneof![
            (4u32..24).prop_map(Wish::Take),
            (1u64..3000).prop_map(Wish::Scattered),
            (0u64..1 << 13, 1u64..600).prop_map(|(page, pages)| Wish::Range(page, pages)),
        ]
    }

    proptest! {
        #[test]
        fn pieces_tile_the_untypeds_whatever_is_taken(
            untypeds in machine(),
            wishes in prop::collection::vec(wish(), 0..20),
        ) {
            let mut memory = Memory::new(&untypeds);
            let mut expected = Vec::new();
            for (index, wish) in wishes.into_iter().enumerate() {
                let owner = Owner::Domain(index);
                let before = memory.clone();
                let (size, done) = match wish {
                    Wish::Take(bits) => (1 << bits, memory.take(bits, owner)),
                    Wish::Scattered(pages) => (pages << 12, memory.take_scattered(pages << 12, 12, owner)),
                    Wish::Range(page, pages) =>
                        (pages << 12, memory.take_range(page << 12..(page + pages) << 12, owner)),
                };
                match done {
                    Ok(()) => expected.push((owner, size)),
                    Err(_) => memory = before,
                }
            }
            let pieces = memory.into_pieces();
            let mut next = pieces.iter().peekable();
            for (index, untyped) in untypeds.iter().enumerate() {
                let mut paddr = untyped.paddr;
                while let Some(piece) = next.next_if(|piece| piece.untyped == index) {
                    prop_assert_eq!(piece.paddr, paddr);
                    prop_assert_eq!(piece.paddr % (1 << piece.bits), 0);
                    paddr += 1 << piece.bits;
                }
                prop_assert_eq!(paddr, untyped.paddr + (1 << untyped.bits));
            }
            prop_assert_eq!(next.next(), None);
            for (owner, size) in expected {
                let owned = pieces.iter().filter(|piece| piece.owner == Some(owner));
                prop_assert_eq!(owned.map(|piece| 1u64 << piece.bits).sum::<u64>(), size);
            }
        }

        #[test]
        fn a_range_lies_where_it_was_wanted(page in 0u64..1 << 10, pages in 1u64..300) {
            let untypeds = [device(0, 20), ram(1 << 20, 20), ram(2 << 20, 21)];
            let mut memory = Memory::new(&untypeds);
            let range = page << 12..(page + pages) << 12;
            match memory.take_range(range.clone(), OWNER) {
                Ok(()) => {
                    let pieces = memory.into_pieces();
                    let mut owned = pieces.iter().filter(|piece| piece.owner == Some(OWNER));
                    let end = owned.try_fold(range.start, |at, piece| (piece.paddr == at).then(|| at + (1 << piece.bits)));
                    prop_assert_eq!(end, Some(range.end));
                }
                Err(error) => {
                    prop_assert!(range.end > 4 << 20);
                    prop_assert_eq!(error, Shortage::NotThere { paddr: range.start.max(4 << 20) });
                }
            }
        }
    }

    #[test]
    fn objects_are_never_put_into_device_memory() {
        let mut memory = Memory::new(&[device(0, 30)]);
        assert_eq!(
            memory.take(12, OWNER),
            Err(Shortage::Exhausted { bits: 12 })
        );
    }

    #[test]
    fn the_smallest_piece_that_suffices_is_cut() {
        let mut memory = Memory::new(&[ram(1 << 24, 24), ram(1 << 16, 16), ram(0, 12)]);
        memory.take(14, OWNER).unwrap();
        let pieces = memory.into_pieces();
        assert!(
            pieces
                .iter()
                .all(|piece| piece.untyped != 0 || piece.bits == 24)
        );
        assert_eq!(pieces.iter().filter(|piece| piece.untyped == 1).count(), 3);
    }

    #[test]
    fn a_region_is_spread_over_pieces_that_are_smaller_than_it() {
        let mut memory = Memory::new(&[ram(0, 13), ram(1 << 14, 13), ram(1 << 16, 12)]);
        memory.take_scattered(5 << 12, 12, OWNER).unwrap();
        assert!(
            memory
                .into_pieces()
                .iter()
                .all(|piece| piece.owner == Some(OWNER))
        );
    }

    #[test]
    fn memory_is_taken_once() {
        let mut memory = Memory::new(&[device(0x1000, 12)]);
        memory.take_range(0x1000..0x2000, OWNER).unwrap();
        assert_eq!(
            memory.take_range(0x1000..0x2000, OWNER),
            Err(Shortage::NotThere { paddr: 0x1000 })
        );
    }
}
