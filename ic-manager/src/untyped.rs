// SPDX-License-Identifier: BSD-2-Clause
//! The allocator of untyped memory: a buddy system over what was left at boot.
//!
//! A block is an untyped capability. Splitting it retypes it into two halves,
//! whose capabilities lie in a pair of slots; merging revokes it. A block that
//! is handed out is the root of an arena, and comes back when its capability
//! has no descendants any more.
//!
//! **What "free" means.** Merging eagerly would be wasteful: the kernel zeroes
//! an untyped when it is reused after a revoke, from its beginning to the end
//! of what was carved from it, and a block that was split was carved to its
//! end. So halves stay halves until no block of a wanted size is left. The
//! books do not show that: [`Untypeds::free_bytes`] counts blocks that are not
//! handed out, whatever their size, and each block knows the largest piece
//! below it that *could* be merged, so that a request fails only if no
//! arrangement of what is free can serve it. The slots of halves are a reserve
//! of their own and count neither as free nor as used.
//!
//! Taking and returning a block takes constant time plus one step per level of
//! splitting whose largest piece changes.
//!
//! This module must never hand out a block that overlaps another one that is
//! handed out, and never forget one.

use xos_protocol::{Error, Result};

use crate::machine::{At, Kind, Machine, POOL, Refusal, Slot};
use crate::pool;
use crate::table::{Link, Links, List, Record, Table};

/// The smallest block: one page.
pub const MIN_BITS: u8 = 12;
/// No untyped is larger (seL4_MaxUntypedBits).
pub const MAX_BITS: u8 = 47;

const ROOTS: u32 = xos_protocol::supervisor::boot::MAX_UNTYPEDS as u32;
/// Rows that the table of blocks needs for all its slots to be of use.
pub const BLOCKS: usize = ROOTS as usize + pool::MAX_HALVES;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
enum State {
    Vacant = 0,
    Free,
    Used,
    Split,
    /// Device memory, or memory that could not be taken back.
    Withheld,
}

/// One untyped capability.
#[derive(Clone, Copy, Debug)]
pub struct Block {
    bits: u8,
    state: State,
    /// Size of the largest free or mergeable piece in it, as a power of two; 0 for none.
    best: u8,
    parent: Link,
    /// The first of its halves. In a vacant pair, the next vacant pair.
    halves: Link,
    links: [Links; 1],
}

impl Record for Block {
    const VACANT: Self = Self {
        bits: 0,
        state: State::Vacant,
        best: 0,
        parent: Link::NONE,
        halves: Link::NONE,
        links: [Links::NONE],
    };
    fn links(&mut self, chain: usize) -> &mut Links {
        &mut self.links[chain]
    }
    fn links_of(&self, chain: usize) -> &Links {
        &self.links[chain]
    }
}

/// All untyped memory.
pub struct Untypeds<'a> {
    blocks: Table<'a, Block>,
    roots: u32,
    /// Free blocks by size; the mask says which lists have members.
    lists: [List; MAX_BITS as usize + 1],
    sizes: u64,
    vacant: Link,
    /// Rows from here on were never part of a pair.
    touched: u32,
    free: u64,
    withheld: u64,
}

impl<'a> Untypeds<'a> {
    /// No memory yet. `rows` are vacant; [`BLOCKS`] of them use all slots that there are.
    pub fn new(rows: &'a mut [Block]) -> Self {
        Self {
            blocks: Table::new(rows),
            roots: 0,
            lists: [List::EMPTY; _],
            sizes: 0,
            vacant: Link::NONE,
            touched: ROOTS,
            free: 0,
            withheld: 0,
        }
    }

    /// Takes over the next boot untyped. Device memory is never handed out.
    ///
    /// # Errors
    /// [`Error::TableFull`] when there are more than the pool has slots for.
    pub fn adopt(&mut self, bits: u8, device: bool) -> Result<()> {
        if self.roots == ROOTS || self.roots as usize >= self.blocks.rows() {
            return Err(Error::TableFull);
        }
        let block = self.roots;
        self.roots += 1;
        self.blocks[block] = Block {
            bits,
            state: State::Withheld,
            ..Block::VACANT
        };
        if !device && (MIN_BITS..=MAX_BITS).contains(&bits) {
            self.free += 1 << bits;
            self.enlist(block);
            self.refresh(Link::to(block));
        }
        Ok(())
    }

    /// Bytes that are not handed out.
    pub fn free_bytes(&self) -> u64 {
        self.free
    }

    /// Bytes that could not be taken back because the kernel refused, which it never should.
    pub fn withheld_bytes(&self) -> u64 {
        self.withheld
    }

    /// The slot with a block's capability.
    pub fn slot(&self, block: u32) -> Slot {
        if block < ROOTS {
            pool::boot_untyped(block)
        } else {
            pool::half(block - ROOTS)
        }
    }

    /// A block's size as a power of two of bytes.
    pub fn bits(&self, block: u32) -> u8 {
        self.blocks[block].bits
    }

    /// Hands out a block of `1 << bits` bytes.
    ///
    /// # Errors
    /// [`Error::NoMemory`] when nothing of that size is free or can be merged;
    /// [`Error::Kernel`] when the kernel refused (nothing is handed out then).
    pub fn allocate<M: Machine>(&mut self, m: &mut M, bits: u8) -> Result<u32> {
        let bits = bits.max(MIN_BITS);
        if bits > MAX_BITS {
            return Err(Error::NoMemory);
        }
        loop {
            let fitting = self.sizes >> bits << bits;
            if fitting != 0 {
                let size = fitting.trailing_zeros() as usize;
                let Some(block) = self.blocks.last(0, self.lists[size]) else {
                    return Err(Error::NoMemory);
                };
                self.take(block);
                if size == bits as usize {
                    return Ok(block);
                }
                if let Err(error) = self.split(m, block) {
                    self.free(block);
                    return Err(error);
                }
            } else if let Some(block) = self.mergeable(bits) {
                self.merge(m, block)?;
            } else {
                return Err(Error::NoMemory);
            }
        }
    }

    /// Takes a block back. Its capability has no descendants.
    pub fn free(&mut self, block: u32) {
        debug_assert_eq!(self.blocks[block].state, State::Used);
        self.free += 1 << self.blocks[block].bits;
        self.enlist(block);
        self.refresh(Link::to(block));
    }

    /// Gives a block up: the kernel refused to take back what was made from it.
    pub fn withhold(&mut self, block: u32) {
        debug_assert_eq!(self.blocks[block].state, State::Used);
        self.withheld += 1 << self.blocks[block].bits;
        self.blocks[block].state = State::Withheld;
    }

    fn take(&mut self, block: u32) {
        self.delist(block);
        self.blocks[block].state = State::Used;
        self.free -= 1 << self.blocks[block].bits;
        self.refresh(Link::to(block));
    }

    fn enlist(&mut self, block: u32) {
        let bits = self.blocks[block].bits as usize;
        self.blocks[block].state = State::Free;
        self.blocks.append(0, &mut self.lists[bits], block);
        self.sizes |= 1 << bits;
    }

    fn delist(&mut self, block: u32) {
        let bits = self.blocks[block].bits as usize;
        self.blocks.remove(0, &mut self.lists[bits], block);
        if self.lists[bits].is_empty() {
            self.sizes &= !(1 << bits);
        }
    }

    /// Brings the largest pieces up to date, from a block to its root.
    fn refresh(&mut self, from: Link) {
        let mut next = from;
        while let Some(block) = next.get() {
            let row = &self.blocks[block];
            let best = match row.state {
                State::Free => row.bits,
                State::Split => self.best_of_halves(row),
                _ => 0,
            };
            let row = &mut self.blocks[block];
            if best == row.best {
                return;
            }
            row.best = best;
            next = row.parent;
        }
    }

    fn best_of_halves(&self, row: &Block) -> u8 {
        let Some(half) = row.halves.get() else {
            return 0;
        };
        let (a, b) = (self.blocks[half].best, self.blocks[half + 1].best);
        if a == b && a == row.bits - 1 {
            row.bits
        } else {
            a.max(b)
        }
    }

    /// Splits a block that was taken; its halves are free.
    fn split<M: Machine>(&mut self, m: &mut M, block: u32) -> Result<()> {
        let pair = self.claim_pair(m)?;
        let bits = self.blocks[block].bits - 1;
        let (whole, halves) = (self.slot(block), self.slot(pair));
        if let Err(refusal) = m.retype(whole, Kind::Untyped(bits), At::whole(POOL), halves, 2) {
            m.defect("splitting untyped memory", refusal);
            self.release_pair(pair);
            return Err(Error::Kernel);
        }
        self.blocks[block].state = State::Split;
        self.blocks[block].halves = Link::to(pair);
        for half in [pair + 1, pair] {
            self.blocks[half] = Block {
                bits,
                best: bits,
                parent: Link::to(block),
                ..Block::VACANT
            };
            self.enlist(half);
        }
        self.free += 2 << bits;
        self.refresh(Link::to(block));
        Ok(())
    }

    /// The smallest piece of at least `bits` that is free as a whole, but in halves.
    fn mergeable(&self, bits: u8) -> Option<u32> {
        let mut block = (0..self.roots)
            .filter(|r| self.blocks[*r].best >= bits)
            .min_by_key(|r| self.blocks[*r].best)?;
        loop {
            let row = &self.blocks[block];
            let half = row.halves.get()?;
            block = if row.best == row.bits {
                if row.bits == bits {
                    return Some(block);
                }
                half
            } else {
                let (a, b) = (self.blocks[half].best, self.blocks[half + 1].best);
                if a >= bits && (b < bits || a <= b) {
                    half
                } else {
                    half + 1
                }
            };
        }
    }

    /// Merges what is below a block, all of which is free.
    fn merge<M: Machine>(&mut self, m: &mut M, block: u32) -> Result<()> {
        if let Err(refusal) = m.revoke(self.slot(block)) {
            m.defect("merging untyped memory", refusal);
            return Err(Error::Kernel);
        }
        self.dissolve(block);
        self.enlist(block);
        Ok(())
    }

    /// Forgets the halves of a block, and theirs. The depth is bounded by the sizes that there are.
    fn dissolve(&mut self, block: u32) {
        let Some(pair) = core::mem::take(&mut self.blocks[block].halves).get() else {
            return;
        };
        for half in [pair, pair + 1] {
            if self.blocks[half].state == State::Split {
                self.dissolve(half);
            } else {
                self.delist(half);
            }
        }
        self.release_pair(pair);
    }

    fn claim_pair<M: Machine>(&mut self, m: &mut M) -> Result<u32> {
        if let Some(pair) = self.vacant.get() {
            self.vacant = self.blocks[pair].halves;
            return Ok(pair);
        }
        if self.touched as usize + 1 < self.blocks.rows() {
            self.touched += 2;
            return Ok(self.touched - 2);
        }
        // All slots are halves: merge something. So rare that a walk is good enough.
        let block = (0..self.touched)
            .find(|b| {
                let row = &self.blocks[*b];
                row.state == State::Split && row.best == row.bits
            })
            .ok_or(Error::NoMemory)?;
        self.merge(m, block)?;
        self.claim_pair(m)
    }

    fn release_pair(&mut self, pair: u32) {
        self.blocks[pair] = Block {
            halves: self.vacant,
            ..Block::VACANT
        };
        self.blocks[pair + 1] = Block::VACANT;
        self.vacant = Link::to(pair);
    }
}

/// Takes back everything that was made from a block, and the block.
pub fn reclaim<M: Machine>(memory: &mut Untypeds, m: &mut M, block: u32) {
    match m.revoke(memory.slot(block)) {
        Ok(()) => memory.free(block),
        Err(refusal) => give_up(memory, m, block, refusal),
    }
}

/// Records that a block could not be taken back.
pub fn give_up<M: Machine>(memory: &mut Untypeds, m: &mut M, block: u32, refusal: Refusal) {
    m.defect("taking memory back", refusal);
    memory.withhold(block);
}

#[cfg(test)]
impl Untypeds<'_> {
    /// Checks the books against the kernel: `look` gives the size in a slot, and whether nothing
    /// derives from it.
    pub fn check(&self, look: impl Fn(Slot) -> Option<(u8, bool)>) {
        let mut free = 0;
        for block in (0..self.roots).chain(ROOTS..self.touched) {
            let row = &self.blocks[block];
            let seen = look(self.slot(block));
            match row.state {
                State::Vacant => assert_eq!(seen, None, "a vacant block's slot is in use"),
                State::Free => {
                    free += 1 << row.bits;
                    assert_eq!(seen, Some((row.bits, true)), "a free block is in use");
                    assert_eq!(row.best, row.bits);
                }
                State::Split => {
                    assert_eq!(row.best, self.best_of_halves(row));
                    assert_eq!(seen, Some((row.bits, false)));
                }
                State::Used | State::Withheld => {
                    assert_eq!(row.best, 0);
                    assert_eq!(seen.map(|s| s.0), Some(row.bits));
                }
            }
        }
        assert_eq!(free, self.free);
        for (bits, list) in self.lists.iter().enumerate() {
            assert_eq!(list.is_empty(), self.sizes >> bits & 1 == 0);
        }
    }
}
