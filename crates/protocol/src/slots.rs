// SPDX-License-Identifier: BSD-2-Clause
//! Where capabilities lie: fixed slots, and how they are addressed.
//!
//! Every CSpace in xOS has two levels below 64 bits: a root CNode whose guard
//! leaves eight bits, and nodes of radix 8 or less in its slots. So one formula
//! holds everywhere: part `i` of the node in root slot `s` is [`cptr`]`(s, i)`,
//! and a leaf capability in root slot `s` is [`leaf`]`(s)`.
//!
//! * A boot domain's root has radix [`DOMAIN_ROOT_RADIX`]; its slot 0 holds the
//!   node with Microkit's fixed slots, so that a Microkit slot `i` is CPtr `i`.
//! * An IC's root has the radix its creator chose (5 by default); its slot
//!   [`ic::ROOT`] may hold the root itself (guard such that eight bits resolve),
//!   so that its CPtr names the CNode for operations on it. A root whose radix is
//!   greater than eight lies, with an empty guard, in part 0 of a node in that slot.

/// Bits below the root level of every CSpace.
pub const NODE_BITS: u32 = 8;
/// Radix of a boot domain's root CNode.
pub const DOMAIN_ROOT_RADIX: u32 = 12;

/// CPtr of part `index` of the node in root slot `slot`.
pub const fn cptr(slot: u32, index: u32) -> u64 {
    (slot as u64) << NODE_BITS | index as u64
}

/// CPtr of a leaf capability in root slot `slot`.
pub const fn leaf(slot: u32) -> u64 {
    cptr(slot, 0)
}

/// CSpace data (`guard size << 2`) of a root CNode of radix `radix`.
pub const fn root_guard(radix: u32) -> u64 {
    ((64 - NODE_BITS - radix) as u64) << 2
}

/// CNode data of a second-level node of radix `radix` (at most 8).
pub const fn node_guard(radix: u32) -> u64 {
    ((NODE_BITS - radix) as u64) << 2
}

/// Root slots of an IC's own CSpace (those the manager and the factories of this tree agree on).
pub mod ic {
    /// Never used, so that CPtr 0 is always invalid.
    pub const NULL: u32 = 0;
    /// The IC itself at its factory: where it says that it ends, and its fault endpoint.
    pub const ITSELF: u32 = 1;
    /// The IC's session on the manager.
    pub const MANAGER: u32 = 2;
    /// The root CNode itself, with a guard of `8 - radix` bits; CPtr [`super::cptr`]`(ROOT, ROOT)`. With a
    /// radix of more than 8: a node whose part 0 is the root, with an empty guard; CPtr
    /// [`super::cptr`]`(ROOT, 0)`.
    pub const ROOT: u32 = 3;
    /// First of the named channels given by the creator, in the order of the specification.
    pub const FIRST_CHANNEL: u32 = 8;
    /// First slot that nobody else fills: sessions, handles, objects.
    pub const FIRST_FREE: u32 = 12;
    /// First slot for the parts nodes of an IC that makes ICs, and behind these for the callers that it keeps
    /// waiting. Such an IC has a CSpace of the largest radix, [`super::NODE_BITS`].
    pub const FIRST_PLACE: u32 = 64;
}

/// Slots of a parts node.
pub mod parts {
    /// The execution: a TCB (or VCPU).
    pub const EXECUTION: u32 = 0;
    /// The CSpace root (absent for an IC within another).
    pub const CSPACE: u32 = 1;
    /// The VSpace root (absent for an IC within another).
    pub const VSPACE: u32 = 2;
    /// First of the untyped pieces; [`super::super::manager::Created::pieces`] says how many there are.
    pub const FIRST_UNTYPED: u32 = 3;
    /// The most untyped pieces that lie in a node (the first ones from `create`, then those of `grow`).
    pub const MAX_UNTYPED: u32 = 5;
    /// First slot that is the factory's to use.
    pub const FIRST_FREE: u32 = 8;
}

/// Slots of the Microkit node (root slot 0) of a boot domain, beyond Microkit's own.
pub mod domain {
    /// The endpoint that the domain receives from: unbadged for a server that the manager mints for.
    pub const INPUT: u64 = 1;
    /// The domain's VSpace root.
    pub const VSPACE: u64 = 3;
    /// Where the domain's faults go.
    pub const FAULT: u64 = 5;
    /// The domain's root CNode with guard 0 (depth 12), for domains with a channel to `ic_manager`.
    pub const ROOT: u64 = 6;
    /// The node (radix 8) in which a server keeps deferred reply capabilities; the supervisor can drain it.
    pub const REPLIES: u64 = 7;
    /// The domain's own TCB is not given; its bound notification is here.
    pub const NOTIFICATION: u64 = 8;
    /// A copy of the address space identifiers that the kernel made at boot, for the supervisor alone
    /// (channel 0 at `ic_manager`). The supervisor is trusted, so it may build address spaces by hand, of
    /// memory that it is charged for like everybody else; a benchmark does, to have something to
    /// compare the system with. The manager makes pools of its own and copes with this one being
    /// fuller than it knows.
    pub const ASID_POOL: u64 = 9;

    /// Root slot of the same replies node, so that reply `i` is [`super::cptr`]`(REPLIES_ROOT, i)`.
    pub const REPLIES_ROOT: u32 = 1;
    /// First root slot for parts nodes, sessions and regions: the domain's own to assign.
    pub const FIRST_FREE_ROOT: u32 = 16;
}
