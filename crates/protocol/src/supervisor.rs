// SPDX-License-Identifier: BSD-2-Clause
//! Between the IC manager and the root task, which supervises the boot domains.
//!
//! The root task is above the manager, so it never calls it: it signals, and
//! the manager asks what for.

use serde::{Deserialize, Serialize};

use crate::Name;
use crate::factory::ops;
use crate::manager::Rights;
use crate::{Error, Result};

ops! {
    /// What the manager asks of the root task.
    Op = 0x340 {
        /// Reply: word 0 is 0 for nothing, else 1 + the index of a boot domain that crashed: its ICs and
        /// sessions are to be disposed of.
        NextCrash,
        /// Word 0: index of a boot domain whose ICs are disposed of: it can be restarted.
        Disposed,
        /// Word 0: 0 for success, anything else for a failure. Ends the machine. No reply.
        PowerOff,
        /// Word 0: a count of bytes, up to [`LINE`]; then the bytes: a line for the log. The manager has no
        /// console, since all who have one wait for it.
        Log,
    }
}

/// Bytes of a line of the manager's for the log.
pub const LINE: usize = 256;

/// Where a page is mapped, executable and read-only, in every boot domain, whose first instruction is the
/// entry of a program that replies once, with the tag in R12 and no words, and faults. It takes
/// everything from registers and touches no memory: what an execution is made to run that cannot go
/// on, so that whoever waits for its answer gets one.
pub const STUB_VADDR: u64 = 0x7fff_ffdf_e000;
/// A second entry of that page, so many bytes behind its beginning: the same, and then a send without
/// waiting through each of as many leaf capabilities as R13 says, in root slots from that of CPtr RBX on.
pub const STUB_DRAIN: u64 = 256;

/// Bit of the manager's notification by which the root task says that somebody crashed. It is
/// Microkit's fault flag, which no channel has; the manager has no children.
pub const SIGNAL: u64 = crate::badge::FAULT;

/// One boot domain as the root task hands it to the manager.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BootDomain {
    /// Its name in `system.xml`.
    pub name: Name,
    /// Pages of its arena.
    pub pages: u32,
    /// Channel id at the manager's end, if it has a channel to it. Channel 0 is the supervisor's.
    pub channel: Option<u8>,
    /// Whether it receives from an endpoint that the manager may mint sessions from.
    pub serves: bool,
}

/// A channel of `system.xml` in one of its directions: for the graph, since it is the root task's work and not
/// the manager's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BootChannel {
    /// Index of the domain that may call or notify.
    pub from: u16,
    /// Index of the other.
    pub to: u16,
    /// Whether it may call, and not only notify.
    pub calls: bool,
}

/// A memory region of `system.xml` that a domain maps: for the graph, like channels.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BootMap {
    /// Index of the domain.
    pub domain: u16,
    /// The region's name.
    pub region: Name,
    /// Its pages, of 4 KiB.
    pub pages: u32,
    /// What the domain may do there.
    pub rights: Rights,
}

/// One untyped that the root task gives to the manager.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BootUntyped {
    /// Physical address.
    pub paddr: u64,
    /// Size as a power of two of bytes.
    pub size_bits: u8,
    /// Whether it is device memory (never allocated from; kept for drivers).
    pub device: bool,
}

/// How the root task hands the machine to the manager: what lies where.
///
/// The manager's CSpace has a root of radix [`boot::ROOT_RADIX`] that leaves
/// [`boot::LEVEL_BITS`] bits. Root slot 0 holds the node with Microkit's slots
/// (so a Microkit slot `i` is CPtr `i`, as in every boot domain); root slot 1
/// holds the **pool**, one node of radix [`boot::POOL_RADIX`] in which the
/// manager keeps every capability that it owns.
pub mod boot {
    use super::{BootChannel, BootDomain, BootMap, BootUntyped};
    use heapless::Vec;
    use serde::{Deserialize, Serialize};

    /// Radix of the manager's root CNode.
    pub const ROOT_RADIX: u32 = 8;
    /// Bits that its root leaves to the nodes (guard and radix of a node add up to it).
    pub const LEVEL_BITS: u32 = 20;
    /// Radix of the pool: slots for 4,096 ICs of 16 each, and as many for regions, sessions and untypeds.
    pub const POOL_RADIX: u32 = 17;
    /// CPtr of the pool's own CNode capability, guard 0: pool slot `n` is index `n` at depth [`POOL_RADIX`].
    pub const POOL: u64 = 9;

    /// CPtr of pool slot `n`.
    pub const fn pool(n: u32) -> u64 {
        1 << LEVEL_BITS | n as u64
    }

    /// Pool slots per boot domain; domain `i` of [`ManagerBoot::domains`] begins at `i * DOMAIN_SLOTS`.
    pub const DOMAIN_SLOTS: u32 = 8;
    /// Of these: its TCB.
    pub const DOMAIN_TCB: u32 = 0;
    /// Its root CNode, guard 0.
    pub const DOMAIN_CSPACE: u32 = 1;
    /// Its VSpace root.
    pub const DOMAIN_VSPACE: u32 = 2;
    /// Its input endpoint, unbadged, all rights (empty unless [`BootDomain::serves`]).
    pub const DOMAIN_ENDPOINT: u32 = 3;
    /// A capability to signal it on its channel to the manager (empty without a channel).
    pub const DOMAIN_NOTIFICATION: u32 = 4;
    /// Boot domains that fit.
    pub const MAX_DOMAINS: usize = 64;

    /// Pool slot of the ASID control capability.
    pub const ASID_CONTROL: u32 = 1000;
    /// Pool slot of the ASID pool that the kernel made.
    pub const ASID_POOL: u32 = 1001;
    /// Pool slot of the IRQ control capability.
    pub const IRQ_CONTROL: u32 = 1002;
    /// Pool slot of an endpoint capability on the root task, badged as the manager.
    pub const SUPERVISOR: u32 = 1003;
    /// Pool slot of the first untyped; untyped `i` of [`ManagerBoot::untypeds`] lies `i` slots on.
    pub const FIRST_UNTYPED: u32 = 1024;
    /// Untypeds that fit.
    pub const MAX_UNTYPEDS: usize = 256;
    /// First pool slot that is free; all from here on are.
    pub const FIRST_FREE: u32 = 2048;

    /// Where the root task maps the encoded [`ManagerBoot`], read-only, in the manager's VSpace.
    pub const INFO_VADDR: u64 = 0x7000_0000;
    /// Pages mapped there.
    pub const INFO_PAGES: u64 = 4;

    /// Directions of channels that are told.
    pub const MAX_CHANNELS: usize = 128;
    /// Mapped regions that are told.
    pub const MAX_MAPS: usize = 128;

    /// What the manager starts from, postcard-encoded at [`INFO_VADDR`].
    #[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
    pub struct ManagerBoot {
        /// The boot domains, in the order of `system.xml`; the manager itself among them.
        pub domains: Vec<BootDomain, MAX_DOMAINS>,
        /// The untyped memory that is left, device memory included.
        pub untypeds: Vec<BootUntyped, MAX_UNTYPEDS>,
        /// What domains can say to each other; what exceeds the room is left out.
        pub channels: Vec<BootChannel, MAX_CHANNELS>,
        /// What memory they map; what exceeds the room is left out.
        pub maps: Vec<BootMap, MAX_MAPS>,
    }
}
