// SPDX-License-Identifier: BSD-2-Clause
//! Arenas: the memory that one IC or region is made of, and nothing else.
//!
//! An arena is a short list of chunks, each an untyped from the allocator. It
//! is at once the quota (it grows only if the account pays), the accounting
//! (its pages are what destroying it gives back) and the kill switch (revoking
//! its chunks deletes every object in it and every capability to these, whoever
//! holds them).
//!
//! Small objects are carved from one chunk, one after another; memory that is
//! handed on as untyped pieces gets chunks of its own, of exactly its size.
//! The kernel keeps the same count of what was carved, so that the two agree on
//! whether something fits.

use xos_protocol::{Error, Result};

use crate::ledger::{Account, Cost};
use crate::machine::{At, Kind, Machine, Refusal};
use crate::table::Link;
use crate::untyped::{MIN_BITS, Untypeds, reclaim};

/// Chunks of an arena at most.
pub const CHUNKS: usize = 16;

/// Chunks for small objects double in size up to this, as long as the account pays.
const GENEROUS_BITS: u8 = 16;

/// The chunks of one IC or region.
#[derive(Clone, Copy, Debug)]
pub struct Arena {
    chunks: [Link; CHUNKS],
    count: u8,
    /// The chunk that small objects are carved from, counted from 1; 0 for none yet.
    current: u8,
    /// Bytes of it that are carved.
    used: u64,
    pages: u32,
}

impl Arena {
    /// No memory.
    pub const EMPTY: Self = Self {
        chunks: [Link::NONE; CHUNKS],
        count: 0,
        current: 0,
        used: 0,
        pages: 0,
    };

    /// Pages that it holds.
    pub fn pages(&self) -> u32 {
        self.pages
    }

    /// Chunks that it may still get.
    pub fn chunks_left(&self) -> usize {
        CHUNKS - self.count as usize
    }

    /// Its chunks, in the order in which they were added.
    pub fn chunks(&self) -> impl DoubleEndedIterator<Item = u32> + use<> {
        self.chunks
            .into_iter()
            .take(self.count as usize)
            .filter_map(Link::get)
    }

    /// Adds a chunk of `1 << bits` bytes.
    ///
    /// # Errors
    /// [`Error::TableFull`], [`Error::OverBudget`], [`Error::NoMemory`], [`Error::Kernel`]; nothing
    /// has changed then.
    pub fn extend<M: Machine>(
        &mut self,
        m: &mut M,
        memory: &mut Untypeds,
        account: &mut Account,
        bits: u8,
    ) -> Result<u32> {
        if self.chunks_left() == 0 {
            return Err(Error::TableFull);
        }
        let pages = pages_of(bits)?;
        account.charge(Cost::pages(pages))?;
        let block = memory
            .allocate(m, bits)
            .inspect_err(|_| account.refund(Cost::pages(pages)))?;
        self.chunks[self.count as usize] = Link::to(block);
        self.count += 1;
        self.pages += pages;
        Ok(block)
    }

    /// Takes the newest chunk away again. Nothing was made from it.
    pub fn shrink(&mut self, memory: &mut Untypeds, account: &mut Account) {
        debug_assert_ne!(self.current, self.count);
        self.count -= 1;
        if let Some(block) = core::mem::take(&mut self.chunks[self.count as usize]).get() {
            let pages = 1 << (memory.bits(block) - MIN_BITS);
            self.pages -= pages;
            account.refund(Cost::pages(pages));
            memory.free(block);
        }
    }

    /// Adds a chunk from which small objects are carved from now on.
    ///
    /// # Errors
    /// As [`Arena::extend`].
    pub fn open_chunk<M: Machine>(
        &mut self,
        m: &mut M,
        memory: &mut Untypeds,
        account: &mut Account,
        bits: u8,
    ) -> Result<()> {
        self.extend(m, memory, account, bits)?;
        self.current = self.count;
        self.used = 0;
        Ok(())
    }

    /// Makes objects in the chunk for small ones, or in a new one when that is full.
    ///
    /// # Errors
    /// As [`Arena::extend`]; `blame` when the kernel found the target in use or missing.
    #[allow(clippy::too_many_arguments)]
    pub fn carve<M: Machine>(
        &mut self,
        m: &mut M,
        memory: &mut Untypeds,
        account: &mut Account,
        kind: Kind,
        node: At,
        first: u32,
        count: u32,
        blame: Error,
    ) -> Result<()> {
        let bits = M::bits(kind);
        let mut end = self.end_after(memory, bits, count);
        if end.is_none() {
            let need = bits_for((count as u64) << bits).max(MIN_BITS);
            let wish = match self.current_chunk() {
                Some(chunk) => (memory.bits(chunk) + 1).min(GENEROUS_BITS).max(need),
                None => need,
            };
            let affordable = pages_of(wish).is_ok_and(|p| p <= account.left().pages);
            self.open_chunk(m, memory, account, if affordable { wish } else { need })?;
            end = self.end_after(memory, bits, count);
        }
        let (Some(end), Some(chunk)) = (end, self.current_chunk()) else {
            return Err(Error::NoMemory);
        };
        m.retype(memory.slot(chunk), kind, node, first, count)
            .map_err(|refusal| judge(m, "making an object", refusal, blame))?;
        self.used = end;
        Ok(())
    }

    /// Whether `count` objects of `1 << bits` bytes fit into the chunk for small ones.
    pub fn has_room(&self, memory: &Untypeds, bits: u8, count: u32) -> bool {
        self.end_after(memory, bits, count).is_some()
    }

    fn current_chunk(&self) -> Option<u32> {
        self.chunks[(self.current as usize).checked_sub(1)?].get()
    }

    /// How much of the current chunk is carved once `count` objects of `1 << bits` bytes are, if they fit.
    fn end_after(&self, memory: &Untypeds, bits: u8, count: u32) -> Option<u64> {
        let end = self.used.next_multiple_of(1 << bits) + ((count as u64) << bits);
        (end <= 1 << memory.bits(self.current_chunk()?)).then_some(end)
    }

    /// Takes all of it back: every object in it and every capability to these is gone. The account
    /// is the caller's affair.
    ///
    /// The oldest chunk goes first, since it holds the newest object, the root of the address space:
    /// once that is gone, the frames need no unmapping.
    pub fn reclaim<M: Machine>(&mut self, m: &mut M, memory: &mut Untypeds) {
        for chunk in self.chunks() {
            reclaim(memory, m, chunk);
        }
        *self = Self::EMPTY;
    }

    /// Returns its chunks, whose capabilities have no descendants any more, to the allocator.
    pub fn release(&mut self, memory: &mut Untypeds) {
        for chunk in self.chunks() {
            memory.free(chunk);
        }
        *self = Self::EMPTY;
    }
}

/// The smallest power of two, as its logarithm, that is at least `bytes`.
pub const fn bits_for(bytes: u64) -> u8 {
    bytes.next_power_of_two().trailing_zeros() as u8
}

/// Pages of a chunk.
///
/// # Errors
/// [`Error::NoMemory`] when there are more than can be counted, and so more than exist.
pub fn pages_of(bits: u8) -> Result<u32> {
    let pages = bits.saturating_sub(MIN_BITS);
    1u32.checked_shl(pages as u32).ok_or(Error::NoMemory)
}

/// The error to answer when the kernel refused: the caller's, if a place it named was at fault, else ours.
pub fn judge<M: Machine>(m: &mut M, what: &'static str, refusal: Refusal, blame: Error) -> Error {
    match refusal {
        Refusal::Occupied | Refusal::Missing if blame != Error::Kernel => blame,
        _ => {
            m.defect(what, refusal);
            Error::Kernel
        }
    }
}

/// Sizes of the untyped pieces that make up `pages` pages: powers of two, the largest first, at most
/// `N`; the last is rounded up when more would be needed.
pub fn pieces<const N: usize>(pages: u32) -> heapless::Vec<u8, N> {
    let mut sizes = heapless::Vec::new();
    let mut left = pages;
    while left != 0 {
        let whole = if sizes.len() + 1 == N {
            left.next_power_of_two()
        } else {
            1 << left.ilog2()
        };
        if sizes.push(MIN_BITS + whole.trailing_zeros() as u8).is_err() {
            break;
        }
        left = left.saturating_sub(whole);
    }
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pieces_are_few_and_cover_what_was_asked_with_little_more(pages in 0u32..1 << 24) {
            let sizes = pieces::<5>(pages);
            let total: u64 = sizes.iter().map(|b| 1u64 << (b - MIN_BITS)).sum();
            prop_assert!(total >= pages as u64);
            prop_assert!((total - pages as u64) * 16 <= pages as u64);
            prop_assert!(sizes.windows(2).all(|w| w[0] >= w[1]));
            if pages.count_ones() <= 5 {
                prop_assert_eq!(total, pages as u64);
            }
        }
    }
}
