// SPDX-License-Identifier: BSD-2-Clause
//! Who waits on which word (futex(2)).

use alloc::collections::VecDeque;

use hashbrown::HashMap;

use crate::ThreadId;
use crate::mm::FileId;

/// A word that threads wait on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Key {
    /// In memory that is one address space's own, by that one's number.
    Private(u32, u64),
    /// In memory that several may map: the file, and the offset in it.
    Shared(FileId, u64),
}

/// A thread that waits, and for what.
#[derive(Clone, Copy, Debug)]
struct Waiter {
    thread: ThreadId,
    bits: u32,
}

/// All words that are waited on.
#[derive(Default)]
pub struct Futexes {
    queues: HashMap<Key, VecDeque<Waiter>>,
    /// The word that a thread waits on.
    waits: HashMap<ThreadId, Key>,
}

impl Futexes {
    /// A thread begins to wait.
    pub fn wait(&mut self, key: Key, thread: ThreadId, bits: u32) {
        self.forget(thread);
        self.queues
            .entry(key)
            .or_default()
            .push_back(Waiter { thread, bits });
        self.waits.insert(thread, key);
    }

    /// Whether a thread waits.
    pub fn is_waiting(&self, thread: ThreadId) -> bool {
        self.waits.contains_key(&thread)
    }

    /// A thread does not wait any more.
    pub fn forget(&mut self, thread: ThreadId) {
        let Some(key) = self.waits.remove(&thread) else {
            return;
        };
        if let Some(queue) = self.queues.get_mut(&key) {
            queue.retain(|waiter| waiter.thread != thread);
            if queue.is_empty() {
                self.queues.remove(&key);
            }
        }
    }

    /// Takes at most `count` threads that wait for one of `bits`, and calls `f` with each. Gives how many.
    pub fn wake(&mut self, key: Key, count: u32, bits: u32, mut f: impl FnMut(ThreadId)) -> u32 {
        let Some(queue) = self.queues.get_mut(&key) else {
            return 0;
        };
        let mut woken = 0;
        let waits = &mut self.waits;
        queue.retain(|waiter| {
            if woken == count || waiter.bits & bits == 0 {
                return true;
            }
            woken += 1;
            waits.remove(&waiter.thread);
            f(waiter.thread);
            false
        });
        if queue.is_empty() {
            self.queues.remove(&key);
        }
        woken
    }

    /// Has at most `count` of those that wait on one word wait on another. Gives how many.
    pub fn requeue(&mut self, from: Key, to: Key, count: u32) -> u32 {
        if from == to {
            let waiting = self.queues.get(&from).map_or(0, VecDeque::len);
            return count.min(waiting as u32);
        }
        let Some(queue) = self.queues.get_mut(&from) else {
            return 0;
        };
        let moved = queue.len().min(count as usize);
        let waiters: VecDeque<Waiter> = queue.drain(..moved).collect();
        if queue.is_empty() {
            self.queues.remove(&from);
        }
        for waiter in &waiters {
            self.waits.insert(waiter.thread, to);
        }
        if moved != 0 {
            self.queues.entry(to).or_default().extend(waiters);
        }
        moved as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const A: Key = Key::Private(1, 0x1000);
    const B: Key = Key::Private(1, 0x2000);

    fn thread(number: u32) -> ThreadId {
        ThreadId::new(number).unwrap()
    }

    fn wake(futexes: &mut Futexes, key: Key, count: u32, bits: u32) -> Vec<u32> {
        let mut woken = Vec::new();
        futexes.wake(key, count, bits, |thread| woken.push(thread.number()));
        woken
    }

    #[test]
    fn as_many_as_asked_for_wake_in_the_order_in_which_they_came() {
        let mut futexes = Futexes::default();
        for number in 1..=4 {
            futexes.wait(A, thread(number), if number == 2 { 2 } else { 1 });
        }
        futexes.forget(thread(1));
        assert_eq!(wake(&mut futexes, A, 1, 1), [3]);
        assert_eq!(wake(&mut futexes, A, 9, !0), [2, 4]);
        assert!(futexes.queues.is_empty() && futexes.waits.is_empty());
    }

    #[test]
    fn who_is_requeued_wakes_with_the_other_word() {
        let mut futexes = Futexes::default();
        for number in 1..=3 {
            futexes.wait(A, thread(number), !0);
        }
        assert_eq!(futexes.requeue(A, B, 2), 2);
        assert_eq!(wake(&mut futexes, B, 9, !0), [1, 2]);
        assert_eq!(wake(&mut futexes, A, 9, !0), [3]);
        assert_eq!(futexes.requeue(A, B, 2), 0);
        assert!(futexes.queues.is_empty() && futexes.waits.is_empty());
    }
}
