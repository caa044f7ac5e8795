// SPDX-License-Identifier: BSD-2-Clause
//! Event counters (eventfd(2)).

use slab::Slab;

use crate::wait::{QueueId, Queues};
use crate::{Errno, Result};

/// A counter.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct EventId(u32);

#[derive(Debug)]
struct Event {
    count: u64,
    semaphore: bool,
    queue: QueueId,
}

/// All counters.
#[derive(Default, Debug)]
pub struct Events(Slab<Event>);

impl Events {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// A new one.
    pub fn create(&mut self, queues: &mut Queues, count: u32, semaphore: bool) -> EventId {
        EventId(self.0.insert(Event {
            count: count.into(),
            semaphore,
            queue: queues.create(),
        }) as u32)
    }

    /// Ends one.
    pub fn destroy(&mut self, queues: &mut Queues, event: EventId) {
        queues.destroy(self.0.remove(event.0 as usize).queue);
    }

    /// Takes the count, or one of it from a semaphore; `None` if it is 0.
    pub fn read(&mut self, queues: &mut Queues, event: EventId) -> Option<u64> {
        let event = &mut self.0[event.0 as usize];
        let taken = if event.semaphore {
            event.count.min(1)
        } else {
            event.count
        };
        event.count -= taken;
        (taken > 0).then(|| {
            queues.wake(event.queue);
            taken
        })
    }

    /// Adds to the count; false if that would be too much now.
    ///
    /// # Errors
    /// `EINVAL` for the one number that never fits.
    pub fn write(&mut self, queues: &mut Queues, event: EventId, add: u64) -> Result<bool> {
        let event = &mut self.0[event.0 as usize];
        if add == u64::MAX {
            return Err(Errno::INVAL);
        }
        if u64::MAX - 1 - event.count < add {
            return Ok(false);
        }
        event.count += add;
        queues.wake(event.queue);
        Ok(true)
    }

    /// Whether it can be read, and written with 1.
    pub fn ready(&self, event: EventId) -> (bool, bool) {
        let count = self.0[event.0 as usize].count;
        (count > 0, count < u64::MAX - 1)
    }

    /// What wakes when it changes.
    pub fn queue(&self, event: EventId) -> QueueId {
        self.0[event.0 as usize].queue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_gives_all_at_once_and_a_semaphore_one_by_one() {
        let (mut events, mut queues) = (Events::default(), Queues::default());
        let counter = events.create(&mut queues, 2, false);
        let semaphore = events.create(&mut queues, 2, true);
        assert_eq!(events.write(&mut queues, counter, 5), Ok(true));
        assert_eq!(events.read(&mut queues, counter), Some(7));
        assert_eq!(events.read(&mut queues, counter), None);
        assert_eq!(events.read(&mut queues, semaphore), Some(1));
        assert_eq!(events.read(&mut queues, semaphore), Some(1));
        assert_eq!(events.read(&mut queues, semaphore), None);
    }

    #[test]
    fn a_count_never_overflows() {
        let (mut events, mut queues) = (Events::default(), Queues::default());
        let event = events.create(&mut queues, 1, false);
        assert_eq!(
            events.write(&mut queues, event, u64::MAX),
            Err(Errno::INVAL)
        );
        assert_eq!(events.write(&mut queues, event, u64::MAX - 1), Ok(false));
        assert_eq!(events.write(&mut queues, event, u64::MAX - 2), Ok(true));
        assert_eq!(events.ready(event), (true, false));
        assert_eq!(events.read(&mut queues, event), Some(u64::MAX - 1));
    }
}
