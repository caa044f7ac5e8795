// SPDX-License-Identifier: BSD-2-Clause

use core::sync::atomic::{AtomicU64, Ordering};

use sel4::cap::Notification;

use crate::abort;

/// The notification of the global allocator's mutex; 0, the null slot, until it is set.
static HEAP_NOTIFICATION: AtomicU64 = AtomicU64::new(0);

/// Gives the global allocator that [`#[root_task]`](crate::root_task) declares a notification on
/// which threads wait for each other.
///
/// A root task with one thread has no use for it. In one with several, contention before it is set
/// ends the thread that comes second.
///
/// Ends the thread if one was set before.
pub fn set_global_allocator_mutex_notification(nfn: Notification) {
    let set =
        HEAP_NOTIFICATION.compare_exchange(0, nfn.bits(), Ordering::AcqRel, Ordering::Relaxed);
    if set.is_err() {
        abort!("global allocator mutex notification already initialized");
    }
}

#[doc(hidden)]
pub fn heap_notification() -> Notification {
    match HEAP_NOTIFICATION.load(Ordering::Acquire) {
        0 => abort!("global allocator contention before mutex notification initialization"),
        bits => Notification::from_bits(bits),
    }
}
