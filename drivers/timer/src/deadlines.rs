// SPDX-License-Identifier: BSD-2-Clause
//! Who waits for what time.

use heapless::index_map::FnvIndexMap;
use xos_protocol::{Error, Result, Who};

use crate::heap::{Handle, Heap};
use crate::{SHARE, WAITING};

/// Whose time has come. `R` stands for the reply of a sleeper.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Due<R> {
    /// A sleeper is to be answered.
    Wake(R),
    /// A client is to be signalled.
    Alarm(Who),
}

enum Waiting<R> {
    Sleeper(Who, R),
    Alarm(Who),
}

/// What one client has in the heap; clients that have nothing are in no table.
#[derive(Default)]
struct Client {
    sleepers: u16,
    alarm: Option<Handle>,
}

/// Counts of the device's counter, and what is to happen at each.
///
/// Bounded, O(log n) in who waits. A client has one alarm, and as many sleepers (threads of it that
/// share a session) as its share of the table allows.
pub struct Deadlines<R> {
    heap: Heap<Waiting<R>, WAITING>,
    clients: FnvIndexMap<Who, Client, 256>,
}

impl<R> Default for Deadlines<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R> Deadlines<R> {
    /// Nobody waits.
    pub const fn new() -> Self {
        const { assert!(WAITING <= 256) };
        Self {
            heap: Heap::new(),
            clients: FnvIndexMap::new(),
        }
    }

    /// Whether another thread of `client` may sleep.
    pub fn may_sleep(&self, client: Who) -> Result<()> {
        let sleepers = self.clients.get(&client).map_or(0, |c| c.sleepers);
        if self.heap.is_full() || usize::from(sleepers) >= WAITING / SHARE {
            return Err(Error::TableFull);
        }
        Ok(())
    }

    /// Adds a sleeper. Gives the reply back if there is no place.
    pub fn sleep(&mut self, client: Who, count: u64, reply: R) -> core::result::Result<(), R> {
        self.heap
            .push(count, Waiting::Sleeper(client, reply))
            .map_err(|waiting| match waiting {
                Waiting::Sleeper(_, reply) => reply,
                Waiting::Alarm(_) => unreachable!("the heap gives back what it was given"),
            })?;
        if let Some(state) = self.client(client) {
            state.sleepers += 1;
        }
        Ok(())
    }

    /// Sets, replaces or (`None`) cancels the alarm of `client`.
    pub fn alarm(&mut self, client: Who, count: Option<u64>) -> Result<()> {
        if let Some(handle) = self.clients.get_mut(&client).and_then(|c| c.alarm.take()) {
            self.heap.remove(handle);
        }
        if let Some(count) = count {
            let handle = self.heap.push(count, Waiting::Alarm(client));
            let handle = handle.map_err(|_| Error::TableFull)?;
            if let Some(state) = self.client(client) {
                state.alarm = Some(handle);
            }
        }
        self.tidy(client);
        Ok(())
    }

    /// The earliest deadline.
    pub fn next(&self) -> Option<u64> {
        self.heap.first()
    }

    /// Takes one whose deadline is `now` or earlier, earliest first.
    pub fn due(&mut self, now: u64) -> Option<Due<R>> {
        if self.heap.first()? > now {
            return None;
        }
        let (_, waiting) = self.heap.pop()?;
        Some(match waiting {
            Waiting::Sleeper(client, reply) => {
                self.woken(client);
                Due::Wake(reply)
            }
            Waiting::Alarm(client) => {
                if let Some(state) = self.clients.get_mut(&client) {
                    state.alarm = None;
                }
                self.tidy(client);
                Due::Alarm(client)
            }
        })
    }

    /// Cancels one thing that `client` waits for; gives the reply if it was a sleeper. To be called
    /// until it gives `None`.
    pub fn forget(&mut self, client: Who) -> Option<R> {
        let _ = self.alarm(client, None);
        self.clients.get(&client)?;
        let handle = self.heap.iter().find_map(|(handle, waiting)| {
            matches!(waiting, Waiting::Sleeper(who, _) if *who == client).then_some(handle)
        })?;
        let (_, waiting) = self.heap.remove(handle)?;
        self.woken(client);
        match waiting {
            Waiting::Sleeper(_, reply) => Some(reply),
            Waiting::Alarm(_) => None,
        }
    }

    fn client(&mut self, client: Who) -> Option<&mut Client> {
        if !self.clients.contains_key(&client) {
            // There is a place: every client of the table has an entry in the heap, which is smaller.
            let _ = self.clients.insert(client, Client::default());
        }
        self.clients.get_mut(&client)
    }

    fn woken(&mut self, client: Who) {
        if let Some(state) = self.clients.get_mut(&client) {
            state.sleepers -= 1;
        }
        self.tidy(client);
    }

    fn tidy(&mut self, client: Who) {
        if self
            .clients
            .get(&client)
            .is_some_and(|c| c.sleepers == 0 && c.alarm.is_none())
        {
            self.clients.swap_remove(&client);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::vec::Vec;

    #[derive(Clone, Debug)]
    enum Step {
        Sleep(u32, u64),
        Alarm(u32, Option<u64>),
        Forget(u32),
        Pass(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..6u32, 0..500u64).prop_map(|(c, t)| Step::Sleep(c, t)),
            2 => (0..6u32, proptest::option::of(0..500u64)).prop_map(|(c, t)| Step::Alarm(c, t)),
            1 => (0..6u32).prop_map(Step::Forget),
            2 => (0..100u64).prop_map(Step::Pass),
        ]
    }

    proptest! {
        /// Against plain maps: who sleeps until when, and whose alarm is when.
        #[test]
        fn everybody_is_woken_once_when_due_and_nobody_who_has_gone(
            steps in proptest::collection::vec(step(), 0..200),
        ) {
            let mut deadlines = Deadlines::new();
            let mut sleepers = BTreeMap::new();
            let mut alarms = BTreeMap::new();
            let mut now = 0;
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Sleep(client, time) => {
                        if deadlines.may_sleep(Who::Session(client)).is_ok() {
                            deadlines.sleep(Who::Session(client), now + time, number).unwrap();
                            sleepers.insert(number, (client, now + time));
                        } else {
                            prop_assert!(
                                sleepers.values().filter(|s| s.0 == client).count() >= WAITING / SHARE
                                    || sleepers.len() + alarms.len() == WAITING
                            );
                        }
                    }
                    Step::Alarm(client, time) => {
                        let time = time.map(|t| now + t);
                        deadlines.alarm(Who::Session(client), time).unwrap();
                        match time {
                            Some(time) => alarms.insert(client, time),
                            None => alarms.remove(&client),
                        };
                    }
                    Step::Forget(client) => {
                        let mut replies: Vec<_> = core::iter::from_fn(|| deadlines.forget(Who::Session(client))).collect();
                        replies.sort_unstable();
                        let expected: Vec<_> =
                            sleepers.iter().filter(|s| s.1.0 == client).map(|s| *s.0).collect();
                        prop_assert_eq!(replies, expected);
                        sleepers.retain(|_, s| s.0 != client);
                        alarms.remove(&client);
                    }
                    Step::Pass(time) => now += time,
                }
                let first = sleepers.values().map(|s| s.1).chain(alarms.values().copied()).min();
                prop_assert_eq!(deadlines.next(), first);
                while let Some(due) = deadlines.due(now) {
                    let deadline = match due {
                        Due::Wake(number) => sleepers.remove(&number).map(|s| s.1),
                        Due::Alarm(Who::Session(client)) => alarms.remove(&client),
                        Due::Alarm(_) => None,
                    };
                    prop_assert!(deadline.is_some_and(|d| d <= now), "{deadline:?} at {now}");
                }
                prop_assert!(sleepers.values().map(|s| s.1).chain(alarms.values().copied()).all(|d| d > now));
                prop_assert_eq!(deadlines.clients.len(), {
                    let mut clients: Vec<_> = sleepers.values().map(|s| s.0).chain(alarms.keys().copied()).collect();
                    clients.sort_unstable();
                    clients.dedup();
                    clients.len()
                });
            }
        }
    }

    #[test]
    fn one_client_cannot_take_all_places() {
        let mut deadlines = Deadlines::new();
        for _ in 0..WAITING / SHARE {
            deadlines.may_sleep(Who::Session(1)).unwrap();
            deadlines.sleep(Who::Session(1), 5, ()).unwrap();
        }
        assert_eq!(deadlines.may_sleep(Who::Session(1)), Err(Error::TableFull));
        assert_eq!(deadlines.may_sleep(Who::Session(2)), Ok(()));
    }

    #[test]
    fn replacing_an_alarm_forever_takes_one_place() {
        let mut deadlines = Deadlines::<()>::new();
        for count in 1..10 * WAITING as u64 {
            deadlines.alarm(Who::Channel(1), Some(count)).unwrap();
            assert_eq!(deadlines.next(), Some(count));
        }
    }
}
