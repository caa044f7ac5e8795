// SPDX-License-Identifier: BSD-2-Clause
//! The map of the manager's pool: which capability slot belongs to which record.
//!
//! There is no slot allocator. A record of a table has the slots that follow
//! from its index, so a slot is free exactly when its record is: none can be
//! lost, and none used twice.
//!
//! ```text
//! slot 0        boot domains, 8 each           (filled by the root task)
//!      1000     ASID and IRQ control
//!      1024     boot untypeds
//!      2048     the manager's own: ASID pools, what its program needs
//!      2112     untyped memory, in pairs       (what a block was split into)
//!     34880     ICs, 16 each
//!    100416     regions, 1 each
//!    102464     bonds, 1 each                  (sessions, shares, objects, ...)
//!    127040     scratch
//! ```

use xos_protocol::supervisor::boot;

use crate::machine::Slot;

/// Radix of the pool.
pub const RADIX: u32 = boot::POOL_RADIX;

/// ASID pools at most: 8 of 512 are all that this kernel has.
pub const ASID_POOLS: usize = 8;
/// Blocks that are halves of others, at most.
pub const MAX_HALVES: usize = 32_768;
/// ICs at most, boot domains included: what an id can name.
pub const MAX_ICS: usize = 4096;
/// Regions at most.
pub const MAX_REGIONS: usize = 2048;
/// Sessions, connections, shares, watches and objects at most.
pub const MAX_BONDS: usize = 24_576;

const FIXED: Slot = boot::FIRST_FREE;
const HALVES: Slot = FIXED + 64;
const ICS: Slot = HALVES + MAX_HALVES as Slot;
const REGIONS: Slot = ICS + MAX_ICS as Slot * IC_SLOTS;
const BONDS: Slot = REGIONS + MAX_REGIONS as Slot;
const SCRATCH: Slot = BONDS + MAX_BONDS as Slot;
const _: () = assert!(SCRATCH + SCRATCH_SLOTS <= 1 << RADIX);

/// Slots of an IC.
pub const IC_SLOTS: u32 = 16;
/// Scratch slots: one node at a time is filled there before it is handed out.
pub const SCRATCH_SLOTS: u32 = 2;

/// ASID pool `i`; the first is the one that the kernel made.
pub const fn asid_pool(i: usize) -> Slot {
    if i == 0 {
        boot::ASID_POOL
    } else {
        FIXED + i as Slot
    }
}

/// What the manager's program has for itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Own {
    /// The endpoint through which an execution says that it has
    /// [answered](crate::machine::Machine::answer_caller).
    Answered,
    /// What the reaper signals the manager through.
    ManagerBell,
    /// The reaper's TCB.
    Reaper,
    /// The frame of its IPC buffer.
    ReaperBuffer,
    /// The notification that it waits for.
    ReaperBell,
    /// A slot that is empty between any two of its steps.
    ReaperScratch,
}

/// The slot of something of the program's own.
pub const fn own(what: Own) -> Slot {
    FIXED + ASID_POOLS as Slot + what as Slot
}

/// Boot untyped `i`.
pub const fn boot_untyped(i: u32) -> Slot {
    boot::FIRST_UNTYPED + i
}

/// Half `i`; halves `2n` and `2n + 1` are one block's.
pub const fn half(i: u32) -> Slot {
    HALVES + i
}

/// The one slot of region `index`: the node with its frames.
pub const fn region(index: u32) -> Slot {
    REGIONS + index
}

/// The one slot of bond `index`.
pub const fn bond(index: u32) -> Slot {
    BONDS + index
}

/// Scratch slot `i`.
pub const fn scratch(i: u32) -> Slot {
    SCRATCH + i
}

/// Slot `part` of IC `index`.
pub const fn ic(index: u32, part: Part) -> Slot {
    ICS + index * IC_SLOTS + part as Slot
}

/// Slot `part` of a boot domain's own capabilities.
pub const fn domain(index: u32, part: u32) -> Slot {
    index * boot::DOMAIN_SLOTS + part
}

/// Whether the endpoint in this slot exists as long as the machine: a boot domain's.
pub const fn lasts(endpoint: Slot) -> bool {
    endpoint < boot::MAX_DOMAINS as Slot * boot::DOMAIN_SLOTS
}

/// What lies in an IC's slots.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Part {
    /// Its execution.
    Execution = 0,
    /// Its CSpace root, guard empty.
    CSpace = 1,
    /// Its parts node, guard empty.
    Parts = 2,
    /// Its VSpace root.
    VSpace = 3,
    /// The badged endpoint of which the handles to it are copies.
    Handle = 4,
    /// The badged endpoint of which its own session with its factory is a copy.
    Itself = 5,
    /// The badged endpoint of which its session with the manager is a copy.
    Session = 6,
    /// The node with its frames, if it executes within another and they are many; the root of its
    /// second-stage translation, if it has an address space of its own.
    Node = 7,
    /// First of the slots for paging structures that the manager maps in its VSpace; if it executes
    /// within another, for its frames (when they are few) and, the last, its page table.
    Tables = 8,
}

/// Slots from [`Part::Tables`] on.
pub const TABLES: u32 = IC_SLOTS - Part::Tables as u32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_the_pool_do_not_overlap() {
        let ends = [
            (boot::FIRST_UNTYPED + boot::MAX_UNTYPEDS as Slot, FIXED),
            (asid_pool(ASID_POOLS - 1) + 1, own(Own::Answered)),
            (own(Own::ReaperScratch) + 1, HALVES),
            (half(MAX_HALVES as u32 - 1) + 1, ICS),
            (ic(MAX_ICS as u32 - 1, Part::Tables) + TABLES, REGIONS),
            (region(MAX_REGIONS as u32 - 1) + 1, BONDS),
            (bond(MAX_BONDS as u32 - 1) + 1, SCRATCH),
        ];
        for (end, next) in ends {
            assert!(end <= next, "{end} > {next}");
        }
    }
}
