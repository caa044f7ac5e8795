// SPDX-License-Identifier: BSD-2-Clause
//! Slots of one's own CSpace, and the parts nodes in it.

use sel4::{AbsoluteCPtr, Cap, CapType, cap};
use xos_protocol::manager::WATCH_BADGE;
use xos_protocol::slots::{DOMAIN_ROOT_RADIX, NODE_BITS, cptr, domain, ic, leaf, parts};

/// A CSpace that the program can operate on, because it holds its root.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Space {
    /// CPtr of the root.
    root: u64,
    /// Bits that it resolves.
    depth: u32,
    /// The first root slot for parts nodes, and the one behind the last that there can be.
    places: (u32, u32),
    /// Bit of the notification by which the manager says that there is news.
    bell: u64,
}

impl Space {
    /// A boot domain's.
    pub const DOMAIN: Self = Self {
        root: domain::ROOT,
        depth: DOMAIN_ROOT_RADIX,
        places: (domain::FIRST_FREE_ROOT, 1 << DOMAIN_ROOT_RADIX),
        // By convention its id is 0 at every client's end.
        bell: 1,
    };
    /// That of an IC whose specification says that it composes.
    pub const IC: Self = Self {
        root: cptr(ic::ROOT, ic::ROOT),
        depth: NODE_BITS,
        places: (ic::FIRST_PLACE, 1 << NODE_BITS),
        bell: WATCH_BADGE,
    };

    /// That of an IC whose CSpace has this radix, and whose specification says that it composes.
    pub const fn ic(radix: u8) -> Self {
        match radix {
            0..=8 => Self::IC,
            _ => Self {
                root: cptr(ic::ROOT, 0),
                depth: radix as u32,
                places: (ic::FIRST_PLACE, 1 << radix),
                ..Self::IC
            },
        }
    }

    /// The first root slot for parts nodes.
    pub const fn first_place(self) -> u32 {
        self.places.0
    }

    /// How many parts nodes there can be, at most.
    pub const fn max_places(self) -> u32 {
        self.places.1 - self.places.0
    }

    /// Bit of the notification by which the manager says that there is news.
    pub(crate) const fn bell(self) -> u64 {
        self.bell
    }

    /// The root CNode, as destination of [`untyped_retype`](cap::Untyped::untyped_retype).
    pub fn node_of_root(self) -> AbsoluteCPtr {
        cap::CNode::from_bits(self.root).absolute_cptr_for_self()
    }

    /// The root slot `slot`, for CNode operations.
    pub fn slot(self, slot: u32) -> AbsoluteCPtr {
        cap::CNode::from_bits(self.root)
            .absolute_cptr_from_bits_with_depth(slot.into(), self.depth as usize)
    }

    /// The leaf capability in the root slot `slot`.
    pub const fn leaf<T: CapType>(self, slot: u32) -> Cap<T> {
        Cap::from_bits(leaf(slot))
    }

    /// The node in the root slot `place`.
    pub const fn node(self, place: u32) -> Parts {
        Parts { space: self, place }
    }
}

/// A node in a root slot of one's own CSpace: the parts of an IC, or the frames of a region.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Parts {
    space: Space,
    place: u32,
}

impl Parts {
    /// The root slot that it lies in.
    pub const fn place(self) -> u32 {
        self.place
    }

    /// Part `index`, to invoke.
    pub const fn cap<T: CapType>(self, index: u32) -> Cap<T> {
        Cap::from_bits(cptr(self.place, index))
    }

    /// The slot of part `index`, for CNode operations.
    pub fn slot(self, index: u32) -> AbsoluteCPtr {
        cap::CNode::from_bits(self.space.root).absolute_cptr_from_bits_with_depth(
            cptr(self.place, index),
            (self.space.depth + NODE_BITS) as usize,
        )
    }

    /// The node itself, as destination of [`untyped_retype`](cap::Untyped::untyped_retype).
    pub fn node(self) -> AbsoluteCPtr {
        self.space.slot(self.place)
    }

    /// The TCB.
    pub const fn tcb(self) -> cap::Tcb {
        self.cap(parts::EXECUTION)
    }

    /// The CSpace's root.
    pub const fn cspace(self) -> cap::CNode {
        self.cap(parts::CSPACE)
    }

    /// The VSpace's root.
    pub const fn vspace(self) -> cap::VSpace {
        self.cap(parts::VSPACE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_has_the_same_bits_to_invoke_and_to_operate_on() {
        for space in [Space::DOMAIN, Space::IC] {
            let parts = space.node(20);
            assert_eq!(parts.cap::<sel4::cap_type::Tcb>(7).bits(), 20 << 8 | 7);
            assert_eq!(parts.slot(7).path().bits(), 20 << 8 | 7);
        }
    }

    #[test]
    fn depths_are_what_the_roots_resolve() {
        // A domain's root has radix 12 and guard 0 at this capability; an IC's resolves eight bits in all.
        assert_eq!(Space::DOMAIN.slot(20).path().depth(), 12);
        assert_eq!(Space::DOMAIN.node(20).slot(7).path().depth(), 20);
        assert_eq!(Space::IC.slot(20).path().depth(), 8);
        assert_eq!(Space::IC.slot(20).root().bits(), 0x303);
        assert_eq!(Space::ic(5), Space::IC);
        assert_eq!(Space::ic(12).slot(2000).path().depth(), 12);
        assert_eq!(Space::ic(12).slot(2000).root().bits(), 0x300);
    }
}
