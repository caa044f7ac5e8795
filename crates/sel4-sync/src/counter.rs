// SPDX-License-Identifier: BSD-2-Clause

//! The algorithm, apart from the kernel.
//!
//! One counter: 1 is free, 0 is held without waiters, -n is held with n threads that wait or are
//! about to. Whoever takes the counter below 0 waits for a signal; whoever raises it from below 0
//! owes exactly one signal. A signal hands the mutex over: the counter never shows "free" in
//! between, so nobody overtakes and there is never more than one signal outstanding. That is what
//! makes a notification, which keeps one signal and merges a second, sufficient.

use core::sync::atomic::{AtomicIsize, Ordering};

/// What the algorithm needs of a notification object: a flag.
pub(crate) trait Notification {
    /// Raises the flag, and wakes one waiter, which lowers it.
    fn signal(&self);
    /// Blocks until the flag is up, and lowers it.
    fn wait(&self);
}

/// The atomic operations of the algorithm: those of [`AtomicIsize`], and in tests those of a model
/// checker.
pub(crate) trait Counter {
    fn fetch_add(&self, n: isize, order: Ordering) -> isize;
    fn fetch_sub(&self, n: isize, order: Ordering) -> isize;
    fn compare_exchange(&self, from: isize, to: isize, ok: Ordering, err: Ordering) -> bool;
}

impl Counter for AtomicIsize {
    fn fetch_add(&self, n: isize, order: Ordering) -> isize {
        AtomicIsize::fetch_add(self, n, order)
    }

    fn fetch_sub(&self, n: isize, order: Ordering) -> isize {
        AtomicIsize::fetch_sub(self, n, order)
    }

    fn compare_exchange(&self, from: isize, to: isize, ok: Ordering, err: Ordering) -> bool {
        AtomicIsize::compare_exchange(self, from, to, ok, err).is_ok()
    }
}

/// The value of a counter that nobody holds.
pub(crate) const FREE: isize = 1;

/// Takes the mutex. `notification` is called only if there is contention.
pub(crate) fn lock<N: Notification>(counter: &impl Counter, notification: impl FnOnce() -> N) {
    // Acquire: pairs with the release of an `unlock` that found no waiter.
    if counter.fetch_sub(1, Ordering::Acquire) < FREE {
        // The signal and the wait are system calls on one object: the kernel orders what came
        // before the one before what comes after the other.
        notification().wait();
    }
}

/// Takes the mutex if it is free.
pub(crate) fn try_lock(counter: &impl Counter) -> bool {
    counter.compare_exchange(FREE, FREE - 1, Ordering::Acquire, Ordering::Relaxed)
}

/// Gives the mutex up, to the longest waiter if there is one.
pub(crate) fn unlock<N: Notification>(counter: &impl Counter, notification: impl FnOnce() -> N) {
    // Release: pairs with the acquire of the next `lock` or `try_lock`.
    if counter.fetch_add(1, Ordering::Release) < FREE - 1 {
        notification().signal();
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use core::cell::UnsafeCell;
    use std::sync::{Arc, Condvar, Mutex};
    use std::thread;
    use std::vec::Vec;

    use super::*;

    /// A notification of the host: signals merge as the kernel's do, and merging is noted.
    #[derive(Default)]
    struct Flag {
        state: Mutex<FlagState>,
        raised: Condvar,
    }

    #[derive(Default)]
    struct FlagState {
        up: bool,
        merged: usize,
    }

    impl Notification for &Flag {
        fn signal(&self) {
            let mut state = self.state.lock().unwrap();
            state.merged += usize::from(state.up);
            state.up = true;
            self.raised.notify_one();
        }

        fn wait(&self) {
            let mut state = self
                .raised
                .wait_while(self.state.lock().unwrap(), |s| !s.up)
                .unwrap();
            state.up = false;
        }
    }

    /// A value that the mutex under test is to protect, deliberately without one of its own.
    #[derive(Default)]
    struct Unprotected(UnsafeCell<usize>);

    // SAFETY: the test is whether the mutex makes this true.
    unsafe impl Sync for Unprotected {}

    impl Unprotected {
        fn increment_slowly(&self) {
            // SAFETY: called only with the mutex under test held.
            unsafe {
                let value = self.0.get().read_volatile();
                thread::yield_now();
                self.0.get().write_volatile(value + 1);
            }
        }
    }

    #[test]
    fn many_threads_never_hold_it_together_and_no_signal_merges() {
        const THREADS: usize = 12;
        const ROUNDS: usize = 2_000;

        let counter = AtomicIsize::new(FREE);
        let (flag, value) = (Flag::default(), Unprotected::default());
        thread::scope(|scope| {
            for id in 0..THREADS {
                let (counter, flag, value) = (&counter, &flag, &value);
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        if (round + id) % 3 != 0 || !try_lock(counter) {
                            lock(counter, || flag);
                        }
                        value.increment_slowly();
                        unlock(counter, || flag);
                    }
                });
            }
        });

        assert_eq!(value.0.into_inner(), THREADS * ROUNDS);
        assert_eq!(counter.into_inner(), FREE);
        let state = flag.state.into_inner().unwrap();
        assert!(!state.up);
        assert_eq!(state.merged, 0);
    }

    #[test]
    fn no_notification_is_asked_for_without_contention() {
        fn none<'a>() -> &'a Flag {
            panic!("asked for a notification")
        }
        let counter = AtomicIsize::new(FREE);
        lock(&counter, none);
        assert!(!try_lock(&counter));
        unlock(&counter, none);
        assert!(try_lock(&counter));
        unlock(&counter, none);
    }

    /// The same properties over every interleaving and reordering of few threads.
    mod every_interleaving {
        use loom::cell::UnsafeCell;
        use loom::sync::atomic::AtomicIsize;
        use loom::sync::{Condvar, Mutex};

        use super::*;

        impl Counter for AtomicIsize {
            fn fetch_add(&self, n: isize, order: Ordering) -> isize {
                AtomicIsize::fetch_add(self, n, order)
            }

            fn fetch_sub(&self, n: isize, order: Ordering) -> isize {
                AtomicIsize::fetch_sub(self, n, order)
            }

            fn compare_exchange(
                &self,
                from: isize,
                to: isize,
                ok: Ordering,
                err: Ordering,
            ) -> bool {
                AtomicIsize::compare_exchange(self, from, to, ok, err).is_ok()
            }
        }

        struct Model {
            counter: AtomicIsize,
            up: Mutex<bool>,
            raised: Condvar,
            value: UnsafeCell<usize>,
        }

        // SAFETY: the model checker fails the test if `value` is used by two threads at a time.
        unsafe impl Sync for Model {}

        impl Model {
            fn new() -> Arc<Self> {
                Arc::new(Self {
                    counter: AtomicIsize::new(FREE),
                    up: Mutex::new(false),
                    raised: Condvar::new(),
                    value: UnsafeCell::new(0),
                })
            }

            fn increment(&self) {
                // SAFETY: loom itself reports two accesses at a time.
                self.value.with_mut(|value| unsafe { *value += 1 });
            }
        }

        impl Notification for &Model {
            fn signal(&self) {
                let mut up = self.up.lock().unwrap();
                assert!(!*up, "two signals outstanding");
                *up = true;
                self.raised.notify_one();
            }

            fn wait(&self) {
                let mut up = self.up.lock().unwrap();
                while !*up {
                    up = self.raised.wait(up).unwrap();
                }
                *up = false;
            }
        }

        /// Runs `threads` in every order, each adding what it returns to the value.
        fn check(threads: &'static [fn(&Model) -> usize]) {
            // Errors of such algorithms need few preemptions: three keep the search within a second.
            let mut builder = loom::model::Builder::new();
            builder.preemption_bound = Some(3);
            builder.check(|| {
                let model = Model::new();
                let others: Vec<_> = threads[1..]
                    .iter()
                    .map(|thread| {
                        let model = Arc::clone(&model);
                        loom::thread::spawn(move || thread(&model))
                    })
                    .collect();
                let mut expected = threads[0](&model);
                for other in others {
                    expected += other.join().unwrap();
                }
                assert!(try_lock(&model.counter), "not free after all have unlocked");
                // SAFETY: the mutex is held.
                assert_eq!(model.value.with(|value| unsafe { *value }), expected);
            });
        }

        fn locks(model: &Model) -> usize {
            lock(&model.counter, || model);
            model.increment();
            unlock(&model.counter, || model);
            1
        }

        fn locks_twice(model: &Model) -> usize {
            locks(model) + locks(model)
        }

        fn tries(model: &Model) -> usize {
            if !try_lock(&model.counter) {
                return 0;
            }
            model.increment();
            unlock(&model.counter, || model);
            1
        }

        #[test]
        fn of_two_threads_that_lock_twice_excludes_and_wakes() {
            check(&[locks_twice, locks_twice]);
        }

        #[test]
        fn of_three_threads_that_lock_excludes_and_wakes() {
            check(&[locks, locks, locks]);
        }

        #[test]
        fn of_lockers_and_a_trier_excludes_and_wakes() {
            check(&[locks, tries, locks]);
        }
    }
}
