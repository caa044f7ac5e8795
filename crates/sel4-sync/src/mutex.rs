// SPDX-License-Identifier: BSD-2-Clause

use core::fmt;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicIsize, AtomicU64, Ordering};

use lock_api::{GuardNoSend, RawMutex};
use sel4::cap::Notification;

use crate::counter::{self, FREE};

impl counter::Notification for Notification {
    fn signal(&self) {
        Notification::signal(*self);
    }

    fn wait(&self) {
        let _ = Notification::wait(*self);
    }
}

/// Implements the three operations by way of [`counter`], for a type with a field `counter` and a
/// method `notification`.
macro_rules! raw_mutex_operations {
    () => {
        // The algorithm would let another thread unlock. Guards stay with their thread all the
        // same, as in the crate that this one stands in for: it is the smaller promise.
        type GuardMarker = GuardNoSend;

        fn lock(&self) {
            counter::lock(&self.counter, || self.notification());
        }

        fn try_lock(&self) -> bool {
            counter::try_lock(&self.counter)
        }

        unsafe fn unlock(&self) {
            counter::unlock(&self.counter, || self.notification());
        }
    };
}

/// A mutex with a notification that is known from the start.
///
/// The notification must be used for nothing else, and every thread that locks must be able to
/// invoke it under the same name. The type parameter has no meaning to users: it makes
/// [`RawMutex::INIT`], which cannot exist here, an error only where it is used.
pub struct RawNotificationMutex<_T = ()> {
    counter: AtomicIsize,
    notification: Notification,
    phantom: PhantomData<_T>,
}

impl RawNotificationMutex {
    /// A free mutex.
    pub const fn new(notification: Notification) -> Self {
        Self {
            counter: AtomicIsize::new(FREE),
            notification,
            phantom: PhantomData,
        }
    }
}

impl<_T> RawNotificationMutex<_T> {
    fn notification(&self) -> Notification {
        self.notification
    }
}

// SAFETY: `counter` lets in one thread at a time; see its tests.
unsafe impl<_T> RawMutex for RawNotificationMutex<_T> {
    #[allow(
        clippy::declare_interior_mutable_const,
        reason = "declared so by lock_api"
    )]
    const INIT: Self = panic!("a RawNotificationMutex needs a notification: use Mutex::from_raw");

    raw_mutex_operations!();
}

/// A notification that is set once. Null is "not yet": no notification is in the null slot.
struct NotificationCell(AtomicU64);

impl NotificationCell {
    const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    fn get(&self) -> Option<Notification> {
        match self.0.load(Ordering::Acquire) {
            0 => None,
            bits => Some(Notification::from_bits(bits)),
        }
    }

    /// Sets it if it is unset, and returns whether it was.
    fn set(&self, notification: Notification) -> bool {
        self.0
            .compare_exchange(0, notification.bits(), Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }
}

/// A mutex that is given its notification later.
///
/// Until then it works without contention, and contention panics.
pub struct RawDeferredNotificationMutex {
    counter: AtomicIsize,
    cell: NotificationCell,
}

impl RawDeferredNotificationMutex {
    /// A free mutex without a notification.
    pub const fn new() -> Self {
        Self {
            counter: AtomicIsize::new(FREE),
            cell: NotificationCell::new(),
        }
    }

    /// Sets the notification, which must be used for nothing else.
    ///
    /// # Errors
    /// If one was set before: it stays.
    pub fn set_notification(
        &self,
        notification: Notification,
    ) -> Result<(), NotificationAlreadySetError> {
        if self.cell.set(notification) {
            Ok(())
        } else {
            Err(NotificationAlreadySetError(()))
        }
    }

    fn notification(&self) -> Notification {
        self.cell
            .get()
            .expect("contention on a mutex whose notification has not been set")
    }
}

impl Default for RawDeferredNotificationMutex {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: `counter` lets in one thread at a time; see its tests.
unsafe impl RawMutex for RawDeferredNotificationMutex {
    #[allow(
        clippy::declare_interior_mutable_const,
        reason = "declared so by lock_api"
    )]
    const INIT: Self = Self::new();

    raw_mutex_operations!();
}

/// [`RawDeferredNotificationMutex::set_notification`] was called a second time.
#[derive(Debug, Copy, Clone, Eq, PartialEq)]
pub struct NotificationAlreadySetError(());

impl fmt::Display for NotificationAlreadySetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the mutex has a notification already")
    }
}

impl core::error::Error for NotificationAlreadySetError {}

/// A mutex that asks a function for its notification at the first contention.
///
/// Two threads may ask at the same time. The function must give every time the same notification,
/// or the first answer counts and the others are lost.
pub struct RawLazyNotificationMutex<F = fn() -> Notification> {
    counter: AtomicIsize,
    cell: NotificationCell,
    f: F,
}

impl<F> RawLazyNotificationMutex<F> {
    /// A free mutex that will ask `f`.
    pub const fn new(f: F) -> Self {
        Self {
            counter: AtomicIsize::new(FREE),
            cell: NotificationCell::new(),
            f,
        }
    }
}

impl<F: Fn() -> Notification> RawLazyNotificationMutex<F> {
    fn notification(&self) -> Notification {
        self.cell.get().unwrap_or_else(|| {
            let answer = (self.f)();
            self.cell.set(answer);
            // Of two answers the first counts, for both.
            self.cell.get().unwrap_or(answer)
        })
    }
}

// SAFETY: `counter` lets in one thread at a time; see its tests.
unsafe impl<F: Fn() -> Notification> RawMutex for RawLazyNotificationMutex<F> {
    #[allow(
        clippy::declare_interior_mutable_const,
        reason = "declared so by lock_api"
    )]
    const INIT: Self = panic!("a RawLazyNotificationMutex needs a function: use Mutex::from_raw");

    raw_mutex_operations!();
}
