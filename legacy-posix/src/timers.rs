// SPDX-License-Identifier: BSD-2-Clause
//! What is to happen when.

use alloc::collections::BTreeSet;

use crate::{ProcessId, ThreadId};

/// What happens at a time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Event {
    /// A thread's call gives up waiting.
    Deadline(ThreadId),
    /// A process's `ITIMER_REAL` expires.
    Alarm(ProcessId),
    /// A process's timer with this number expires.
    Timer(ProcessId, u32),
}

/// Events by time, in monotonic nanoseconds.
#[derive(Default)]
pub struct Timers {
    events: BTreeSet<(u64, Event)>,
}

impl Timers {
    /// Adds one.
    pub fn add(&mut self, at: u64, event: Event) {
        self.events.insert((at, event));
    }

    /// Takes one away.
    pub fn remove(&mut self, at: u64, event: Event) {
        self.events.remove(&(at, event));
    }

    /// When the next one is.
    pub fn next(&self) -> Option<u64> {
        self.events.first().map(|(at, _)| *at)
    }

    /// Takes one whose time has come, with that time.
    pub fn take(&mut self, now: u64) -> Option<(u64, Event)> {
        let first = *self.events.first()?;
        if first.0 > now {
            return None;
        }
        self.events.pop_first()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_in_the_order_of_their_times_and_not_before() {
        let [a, b, c] = [1, 2, 3].map(|n| Event::Deadline(ThreadId::new(n).unwrap()));
        let mut timers = Timers::default();
        timers.add(30, a);
        timers.add(10, b);
        timers.add(20, c);
        timers.remove(20, c);
        assert_eq!(timers.next(), Some(10));
        assert_eq!(timers.take(9), None);
        assert_eq!(timers.take(30), Some((10, b)));
        assert_eq!(timers.take(30), Some((30, a)));
        assert_eq!(timers.take(u64::MAX), None);
    }
}
