// SPDX-License-Identifier: BSD-2-Clause
//! The program's own CSpace: who has which slot.

use core::sync::atomic::{AtomicBool, Ordering};

use sel4_sync::RawLazyNotificationMutex;
use xos_client::Slots;
use xos_protocol::slots::ic;

use crate::error::{Result, Tried, Trying};
use crate::{info, sync};

/// Slots of the notifications behind this crate's own locks, which cannot be asked for where they are
/// needed.
pub(crate) const SLOTS_LOCK: u32 = ic::FIRST_FREE;
pub(crate) const HEAP_LOCK: u32 = ic::FIRST_FREE + 1;
pub(crate) const OUTPUT_LOCK: u32 = ic::FIRST_FREE + 2;
/// The first slot that is given out.
const FIRST: u32 = ic::FIRST_FREE + 3;

struct Table {
    slots: Slots,
    ready: bool,
}

static TABLE: lock_api::Mutex<RawLazyNotificationMutex, Table> = lock_api::Mutex::from_raw(
    RawLazyNotificationMutex::new(|| sync::fixed(SLOTS_LOCK)),
    Table {
        slots: Slots::new(0, 0),
        ready: false,
    },
);

fn with_table<R>(f: impl FnOnce(&mut Slots) -> R) -> R {
    let mut table = TABLE.lock();
    if !table.ready {
        table.slots = Slots::new(FIRST, 1 << radix());
        table.ready = true;
    }
    f(&mut table.slots)
}

/// Takes a free root slot of the program's CSpace, for a capability that the program asks for by itself.
/// It is the program's for good, or until [`Slot`] is dropped.
///
/// # Errors
/// [`BadSlot`](xos_protocol::Error::BadSlot) when none is free.
pub fn take_slot() -> Result<Slot> {
    with_table(Slots::take)
        .map(|slot| Slot {
            slot,
            kept: AtomicBool::new(false),
        })
        .ok_or(xos_protocol::Error::BadSlot)
        .trying(Tried::Slot)
}

/// Takes these root slots, `count` from `first` on, for good: for those who know where they have to be.
///
/// # Errors
/// [`BadSlot`](xos_protocol::Error::BadSlot) when one is taken, or beyond the end of the CSpace.
pub fn reserve_slots(first: u32, count: u32) -> Result<()> {
    with_table(|slots| {
        for slot in first..first.saturating_add(count) {
            if !slots.reserve(slot) {
                for taken in first..slot {
                    slots.give(taken);
                }
                return Err(xos_protocol::Error::BadSlot);
            }
        }
        Ok(())
    })
    .trying(Tried::Slot)
}

/// Radix of the program's CSpace, as whoever started it has asked for.
pub fn radix() -> u8 {
    info::get().cspace_radix.min(12)
}

/// How many root slots are free.
pub fn available_slots() -> u32 {
    with_table(|slots| slots.available())
}

/// A root slot of the program's CSpace. Dropping it gives it back: it must be empty by then.
#[derive(Debug)]
pub struct Slot {
    slot: u32,
    kept: AtomicBool,
}

impl Slot {
    /// Its number.
    pub const fn number(&self) -> u32 {
        self.slot
    }

    /// Never gives it back: what is in it stays there.
    pub fn keep(&self) {
        self.kept.store(true, Ordering::Relaxed);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if !*self.kept.get_mut() {
            with_table(|slots| slots.give(self.slot));
        }
    }
}
