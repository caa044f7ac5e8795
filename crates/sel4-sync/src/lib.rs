// SPDX-License-Identifier: BSD-2-Clause

//! Mutexes for [`lock_api`] whose waiters block on an seL4 notification instead of spinning.
//!
//! Spinning is no option on seL4: a thread that spins at a higher priority than the holder keeps the
//! holder from ever running. The three types differ only in when they learn their notification:
//!
//! | type | notification |
//! | --- | --- |
//! | [`RawNotificationMutex`] | known when the mutex is made |
//! | [`RawDeferredNotificationMutex`] | set later, once; a `const` initialiser exists |
//! | [`RawLazyNotificationMutex`] | asked of a function at the first contention |
//!
//! Locking and unlocking without contention is one atomic instruction and no system call.

#![no_std]

pub use lock_api;

mod counter;
mod mutex;

pub use mutex::{
    NotificationAlreadySetError, RawDeferredNotificationMutex, RawLazyNotificationMutex,
    RawNotificationMutex,
};
