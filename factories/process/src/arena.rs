// SPDX-License-Identifier: BSD-2-Clause
//! What a process is made of: pages of untyped memory, and slots for the
//! capabilities to what becomes of them.
//!
//! Everything that the factory makes of a process's arena has the size of a
//! page: frames, paging structures, and the nodes for further slots. So a
//! count of pages says all there is to know about a piece.

use heapless::Vec;
use xos_client::Slots;
use xos_protocol::manager::Created;
use xos_protocol::slots::parts::{FIRST_FREE, FIRST_UNTYPED, MAX_UNTYPED};
use xos_server::factory::Shares;

use crate::kernel::At;

/// Radix of the nodes for further slots: with 32 bytes a slot, a page.
pub const NODE_RADIX: u32 = 7;
/// Slots of such a node.
pub const NODE_SLOTS: u32 = 1 << NODE_RADIX;

const PAGE_BITS: u8 = 12;

/// An untyped piece.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Piece {
    /// Where it lies in the parts node.
    slot: u8,
    /// Pages that are left of it.
    left: u32,
}

/// The untyped pieces in a parts node, used up one after another.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Pieces {
    pieces: Vec<Piece, { MAX_UNTYPED as usize }>,
}

impl Pieces {
    /// Adds the pieces that the manager gave. Those without room (of which a manager in its right mind
    /// gives none) are left out.
    pub fn add(&mut self, created: &Created) {
        for (slot, bits) in (created.first..).zip(&created.pieces) {
            let left = 1u32
                .checked_shl(bits.saturating_sub(PAGE_BITS).into())
                .unwrap_or(0);
            let slot = slot as u8;
            let _ = self.pieces.push(Piece { slot, left });
        }
    }

    /// Pages left in all.
    pub fn left(&self) -> u32 {
        self.pieces.iter().map(|piece| piece.left).sum()
    }

    /// Takes at most `count` pages of one piece: its slot, and how many pages. `None` when nothing is left.
    pub fn take(&mut self, count: u32) -> Option<(u32, u32)> {
        let piece = self.pieces.iter_mut().find(|piece| piece.left != 0)?;
        let taken = piece.left.min(count);
        piece.left -= taken;
        Some((piece.slot.into(), taken))
    }

    /// Forgets the pieces that are used up: their slots.
    pub fn retire(&mut self) -> Vec<u32, { MAX_UNTYPED as usize }> {
        let mut slots = Vec::new();
        self.pieces.retain(|piece| {
            if piece.left == 0 {
                let _ = slots.push(piece.slot.into());
            }
            piece.left != 0
        });
        slots
    }

    /// A run of free slots for pieces: the first, and how many. `None` when there is none.
    pub fn room(&self) -> Option<(u32, u32)> {
        let taken = |slot| {
            self.pieces
                .iter()
                .any(|piece| u32::from(piece.slot) == slot)
        };
        let end = FIRST_UNTYPED + MAX_UNTYPED;
        let first = (FIRST_UNTYPED..end).find(|slot| !taken(*slot))?;
        let room = (first..end).take_while(|slot| !taken(*slot)).count();
        Some((first, room as u32))
    }
}

/// The nodes that all processes have beside their parts nodes: root slots of the factory, and which
/// belongs behind which.
/// Nobody can take all of them ([`Shares`]).
pub struct Nodes {
    slots: Slots,
    next: [u16; 4096],
    most: u32,
    shares: Shares,
}

impl Nodes {
    /// No nodes yet; they go to the root slots `first..end`, and there are at most `most` of them.
    pub const fn new(first: u32, end: u32, most: u32) -> Self {
        Self {
            slots: Slots::new(first, end),
            next: [0; 4096],
            most,
            shares: Shares::new(),
        }
    }

    /// A root slot for one more node of a payer's. `None` when that one has its part of them.
    pub fn take(&mut self, payer: u32) -> Option<u32> {
        if !self.shares.take(payer, self.most) {
            return None;
        }
        let slot = self.slots.take();
        if slot.is_none() {
            self.shares.give(payer);
        }
        slot
    }

    /// Gives back a root slot of a payer's whose node is gone.
    pub fn give(&mut self, payer: u32, slot: u32) {
        if self.slots.give(slot) {
            self.shares.give(payer);
        }
    }

    /// `count` root slots in a row, for the nodes of a region.
    pub fn take_run(&mut self, count: u32) -> Option<u32> {
        // From the end, where single slots are taken last.
        let mut end = 4096;
        let mut first = end;
        while first > 0 {
            first -= 1;
            if !self.slots.reserve(first) {
                // What was reserved above this one is too short a run.
                (first + 1..end).for_each(|slot| _ = self.slots.give(slot));
                end = first;
            } else if end - first == count {
                return Some(first);
            }
        }
        None
    }

    /// Gives back a run.
    pub fn give_run(&mut self, first: u32, count: u32) {
        (first..first + count).for_each(|slot| _ = self.slots.give(slot));
    }
}

/// The slots of one process, numbered: those of its parts node first, then those of further nodes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sequence {
    payer: u16,
    radix: u8,
    used: u32,
    first: u16,
    last: u16,
    nodes: u16,
}

impl Sequence {
    /// The slots of a parts node of this radix (3 to 8), of a process that the IC of index `payer` pays for.
    pub const fn new(radix: u32, payer: u32) -> Self {
        Self {
            payer: payer as u16,
            radix: radix as u8,
            used: 0,
            first: 0,
            last: 0,
            nodes: 0,
        }
    }

    /// Index of whoever pays for its nodes.
    pub const fn payer(&self) -> u32 {
        self.payer as u32
    }

    /// Slots of a parts node of this radix.
    pub const fn in_parts(radix: u32) -> u32 {
        (1 << radix) - FIRST_FREE
    }

    /// Slots that are not used yet.
    pub const fn left(&self) -> u32 {
        Self::in_parts(self.radix as u32) + self.nodes as u32 * NODE_SLOTS - self.used
    }

    /// Whether the next slot is one of the parts node's.
    pub const fn is_in_parts(&self) -> bool {
        self.used < Self::in_parts(self.radix as u32)
    }

    /// Leaves the rest of the parts node's slots unused.
    pub const fn leave_parts(&mut self) {
        if self.is_in_parts() {
            self.used = Self::in_parts(self.radix as u32);
        }
    }

    /// Uses `count` slots (that are there): the number of the first.
    pub const fn take(&mut self, count: u32) -> u32 {
        let first = self.used;
        self.used += count;
        first
    }

    /// Uses `count` slots of the parts node, in a row, for something else: the index of the first. `None` when
    /// there are not so many.
    pub fn reserve(&mut self, count: u32) -> Option<u32> {
        let end = self.used.checked_add(count)?;
        (end <= Self::in_parts(self.radix.into())).then(|| FIRST_FREE + self.take(count))
    }

    /// Adds a node.
    pub fn add(&mut self, nodes: &mut Nodes, node: u32) {
        match self.nodes {
            0 => self.first = node as u16,
            _ => nodes.next[self.last as usize] = node as u16,
        }
        self.last = node as u16;
        self.nodes += 1;
    }

    /// Where slot `number` is, in a process whose parts node is in root slot `parts`, and how many slots
    /// there are from it to the end of its node.
    pub fn at(&self, nodes: &Nodes, parts: u32, number: u32) -> (At, u32) {
        let inside = Self::in_parts(self.radix.into());
        let Some(number) = number.checked_sub(inside) else {
            let index = FIRST_FREE + number;
            return (At { node: parts, index }, inside - number);
        };
        let mut node = self.first;
        for _ in 0..number / NODE_SLOTS {
            node = nodes.next[node as usize];
        }
        let index = number % NODE_SLOTS;
        (
            At {
                node: node.into(),
                index,
            },
            NODE_SLOTS - index,
        )
    }

    /// Gives back the root slots of the nodes, which `end` sees to the end of.
    pub fn give_back(self, nodes: &mut Nodes, mut end: impl FnMut(u32)) {
        let mut node = self.first;
        for _ in 0..self.nodes {
            let next = nodes.next[node as usize];
            end(node.into());
            nodes.give(self.payer.into(), node.into());
            node = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use xos_protocol::IcId;

    fn created(first: u32, pieces: &[u8]) -> Created {
        let id = IcId::new(1, 1).unwrap();
        let pieces = pieces.iter().copied().collect();
        Created {
            id,
            first,
            payer: 7,
            pieces,
        }
    }

    #[test]
    fn pieces_are_used_up_in_turn_and_make_room_for_others() {
        let mut pieces = Pieces::default();
        pieces.add(&created(3, &[14, 12]));
        assert_eq!((pieces.left(), pieces.room()), (5, Some((5, 3))));
        assert_eq!(pieces.take(3), Some((3, 3)));
        assert_eq!(pieces.take(3), Some((3, 1)));
        assert_eq!(pieces.retire(), [3]);
        assert_eq!(pieces.room(), Some((3, 1)));
        pieces.add(&created(3, &[13]));
        assert_eq!(pieces.take(9), Some((4, 1)));
        assert_eq!(pieces.take(9), Some((3, 2)));
        assert_eq!(pieces.take(9), None);
    }

    #[test]
    fn a_piece_of_absurd_size_holds_nothing() {
        let mut pieces = Pieces::default();
        pieces.add(&created(3, &[63]));
        assert_eq!(pieces.take(1), None);
    }

    #[test]
    fn nodes_are_limited_apart_from_runs() {
        let mut nodes = Nodes::new(100, 110, 2);
        let run = nodes.take_run(3).unwrap();
        assert_eq!(run, 107);
        let a = nodes.take(7).unwrap();
        assert!(nodes.take(8).is_some() && nodes.take(9).is_none());
        nodes.give(7, a);
        assert_eq!(nodes.take(7), Some(a));
        assert_eq!(nodes.take_run(6), None);
        nodes.give_run(run, 3);
        assert_eq!(nodes.take_run(8), Some(102));
    }

    #[test]
    fn a_payer_gets_half_of_the_nodes_that_others_leave() {
        let mut nodes = Nodes::new(100, 200, 100);
        let mut takes = |payer| (0..).take_while(|_| nodes.take(payer).is_some()).count();
        assert_eq!([takes(1), takes(1), takes(2), takes(3)], [50, 0, 25, 13]);
    }

    #[test]
    fn slots_continue_in_further_nodes() {
        let mut nodes = Nodes::new(100, 200, 100);
        let mut slots = Sequence::new(5, 7);
        assert_eq!((slots.take(24), slots.left()), (0, 0));
        for _ in 0..3 {
            let node = nodes.take(slots.payer()).unwrap();
            slots.add(&mut nodes, node);
        }
        let at = |number| {
            let (At { node, index }, room) = slots.at(&nodes, 16, number);
            (node, index, room)
        };
        assert_eq!(at(0), (16, 8, 24));
        assert_eq!(at(23), (16, 31, 1));
        assert_eq!(at(24), (100, 0, 128));
        assert_eq!(at(24 + 127), (100, 127, 1));
        assert_eq!(at(24 + 2 * 128 + 5), (102, 5, 123));
        let mut gone = std::vec::Vec::new();
        slots.give_back(&mut nodes, |node| gone.push(node));
        assert_eq!(gone, [100, 101, 102]);
        assert_eq!(nodes.take_run(100), Some(100));
    }

    #[test]
    fn slots_are_reserved_in_the_parts_node_alone() {
        let mut slots = Sequence::new(4, 7);
        assert_eq!(slots.take(3), 0);
        assert_eq!(slots.reserve(4), Some(FIRST_FREE + 3));
        assert_eq!(slots.reserve(2), None);
        assert_eq!(slots.reserve(1), Some(FIRST_FREE + 7));
        assert_eq!(slots.left(), 0);
    }

    proptest! {
        #[test]
        fn no_two_processes_have_a_slot_in_common(steps in proptest::collection::vec((0usize..3, 1u32..40), 1..60)) {
            let mut nodes = Nodes::new(20, 80, 60);
            let mut all: [_; 3] = core::array::from_fn(|i| (i as u32, Sequence::new(4, i as u32)));
            let mut seen = BTreeSet::new();
            for (which, count) in steps {
                let (parts, slots) = &mut all[which];
                while slots.left() < count {
                    let Some(node) = nodes.take(slots.payer()) else { return Ok(()) };
                    slots.add(&mut nodes, node);
                }
                for number in slots.take(count)..slots.used {
                    let (at, room) = slots.at(&nodes, *parts, number);
                    prop_assert!(room > 0 && seen.insert((at.node, at.index)));
                }
            }
        }
    }
}
