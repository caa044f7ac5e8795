// SPDX-License-Identifier: BSD-2-Clause
//! Mutexes between the threads of a program. Who waits blocks on a notification
//! object, which the IC manager makes from the program's own memory.

pub use sel4_sync;
pub use sel4_sync::lock_api;

use sel4::cap::Notification;
use sel4_sync::RawLazyNotificationMutex;
use xos_protocol::manager::ObjectKind;
use xos_protocol::slots::leaf;

use crate::error::{Result, Tried, Trying};
use crate::{cspace, manager, take_slot};

/// A notification object for `sel4_sync`'s mutexes, or for [`watch`](xos_client::Manager::watch). It
/// takes a slot of the program's CSpace, and lives as long as the program.
///
/// # Errors
/// When no slot is free or the manager refuses.
pub fn notification() -> Result<Notification> {
    let slot = take_slot()?;
    manager()
        .make(ObjectKind::Notification, slot.number())
        .trying(Tried::Make)?;
    slot.keep();
    Ok(Notification::from_bits(leaf(slot.number())))
}

/// The notification in a fixed slot. Two threads may ask at the same time: the slot is occupied for the
/// second then.
pub(crate) fn fixed(slot: u32) -> Notification {
    match manager().make(ObjectKind::Notification, slot) {
        Ok(()) | Err(xos_protocol::Error::BadSlot) => Notification::from_bits(leaf(slot)),
        Err(error) => xos_runtime::abort!("cannot make a notification for a lock: {error}"),
    }
}

/// The raw mutex of [`Mutex`].
pub type RawMutex = RawLazyNotificationMutex<fn() -> Notification>;

/// A mutex. Its notification is made at the first contention; a program that cannot have one then
/// aborts.
pub type Mutex<T> = lock_api::Mutex<RawMutex, T>;

/// The guard of a [`Mutex`].
pub type MutexGuard<'a, T> = lock_api::MutexGuard<'a, RawMutex, T>;

/// A free [`Mutex`], for use in a `static` too.
pub const fn mutex<T>(value: T) -> Mutex<T> {
    Mutex::from_raw(RawLazyNotificationMutex::new(lazy), value)
}

fn lazy() -> Notification {
    match notification() {
        Ok(notification) => notification,
        Err(error) => xos_runtime::abort!("contention on a mutex: {error}"),
    }
}

/// The lock around the heap.
#[doc(hidden)]
pub type HeapLock = RawLazyNotificationMutex<fn() -> Notification>;

/// See [`HeapLock`].
#[doc(hidden)]
pub const fn heap_lock() -> HeapLock {
    RawLazyNotificationMutex::new(|| fixed(cspace::HEAP_LOCK))
}
