// SPDX-License-Identifier: BSD-2-Clause
//! Wait queues: who runs again when something changes.
//!
//! A system call that must wait puts its thread into the queues of everything that could end the
//! wait and gives up. When one of the queues is woken, the thread is taken out of all of them and
//! is put into the list of the *woken*, from which the server takes it to run its call again. No
//! object ever calls back into a process, so the state of neither can change under the other.
//!
//! A [`Watch`] stays in its queues when they are woken: it notes that it *fired*, in the list of
//! the queue that it reports to, and wakes that one. Thus an epoll instance learns which of its
//! thousands of files may be ready without asking them all.
//!
//! Every operation costs the same however many queues and waiters there are; a wake costs what it
//! wakes.

use alloc::collections::VecDeque;

use hashbrown::HashMap;
use slab::Slab;

use crate::ThreadId;

/// A wait queue.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct QueueId(u32);

/// Something that stays in its queues when they are woken.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Watch(u32);

const NONE: u32 = u32::MAX;

#[derive(Clone, Copy)]
enum Who {
    Thread(ThreadId),
    Watch(Watch),
}

/// Who waits in one queue: an element of two lists, the queue's and the waiter's.
struct Place {
    queue: QueueId,
    who: Who,
    before: u32,
    after: u32,
    /// The next place of the same waiter.
    sibling: u32,
}

#[derive(Clone, Copy)]
struct List {
    first: u32,
    last: u32,
}

impl List {
    const EMPTY: Self = Self {
        first: NONE,
        last: NONE,
    };
}

struct Queue {
    threads: List,
    watches: List,
    fired: VecDeque<Watch>,
}

struct Watcher {
    reports: QueueId,
    token: u64,
    fired: bool,
    places: u32,
}

#[derive(Clone, Copy)]
struct Waiter {
    places: u32,
    woken: bool,
}

/// All wait queues of the server.
#[derive(Default)]
pub struct Queues {
    queues: Slab<Queue>,
    places: Slab<Place>,
    watches: Slab<Watcher>,
    threads: HashMap<ThreadId, Waiter>,
    woken: VecDeque<ThreadId>,
}

impl Queues {
    /// A new, empty queue.
    pub fn create(&mut self) -> QueueId {
        QueueId(self.queues.insert(Queue {
            threads: List::EMPTY,
            watches: List::EMPTY,
            fired: VecDeque::new(),
        }) as u32)
    }

    /// Ends a queue: threads in it wake, watches forget it.
    pub fn destroy(&mut self, queue: QueueId) {
        self.wake(queue);
        while let Some(Who::Watch(watch)) = self.first(queue, false) {
            self.unlink_where(watch, Some(queue));
        }
        for watch in core::mem::take(&mut self.queues[queue.0 as usize].fired) {
            if let Some(watcher) = self.watches.get_mut(watch.0 as usize) {
                watcher.fired = false;
            }
        }
        self.queues.remove(queue.0 as usize);
    }

    /// Puts `thread` at the end of `queue`.
    pub fn wait(&mut self, queue: QueueId, thread: ThreadId) {
        let sibling = self
            .threads
            .get(&thread)
            .map_or(NONE, |waiter| waiter.places);
        let places = self.link(queue, Who::Thread(thread), sibling);
        self.threads
            .entry(thread)
            .or_insert(Waiter {
                places: NONE,
                woken: false,
            })
            .places = places;
    }

    /// Takes `thread` out of every queue, and out of the woken.
    pub fn forget(&mut self, thread: ThreadId) {
        if let Some(Waiter { mut places, woken }) = self.threads.remove(&thread) {
            while places != NONE {
                places = self.unlink(places);
            }
            if woken {
                self.woken.retain(|&woken| woken != thread);
            }
        }
    }

    /// Whether `thread` waits in any queue.
    pub fn waits(&self, thread: ThreadId) -> bool {
        self.threads
            .get(&thread)
            .is_some_and(|waiter| waiter.places != NONE)
    }

    /// Wakes everything in `queue`.
    pub fn wake(&mut self, queue: QueueId) {
        while let Some(Who::Thread(thread)) = self.first(queue, true) {
            self.rouse(thread);
        }
        let mut place = self.queues[queue.0 as usize].watches.first;
        while place != NONE {
            let Place { who, after, .. } = self.places[place as usize];
            if let Who::Watch(watch) = who {
                self.fire(watch);
            }
            place = after;
        }
    }

    /// Wakes the `count` threads that have waited longest; says how many there were.
    pub fn wake_some(&mut self, queue: QueueId, count: usize) -> usize {
        for woken in 0..count {
            match self.first(queue, true) {
                Some(Who::Thread(thread)) => self.rouse(thread),
                _ => return woken,
            }
        }
        count
    }

    /// Takes `thread` out of every queue and lists it as woken, whatever it waited for.
    pub fn rouse(&mut self, thread: ThreadId) {
        let waiter = self.threads.entry(thread).or_insert(Waiter {
            places: NONE,
            woken: false,
        });
        let mut places = core::mem::replace(&mut waiter.places, NONE);
        if !core::mem::replace(&mut waiter.woken, true) {
            self.woken.push_back(thread);
        }
        while places != NONE {
            places = self.unlink(places);
        }
    }

    /// The next thread whose call is to be run again.
    pub fn next_woken(&mut self) -> Option<ThreadId> {
        let thread = self.woken.pop_front()?;
        match self.threads.get_mut(&thread) {
            Some(waiter) if waiter.places != NONE => waiter.woken = false,
            _ => {
                self.threads.remove(&thread);
            }
        }
        Some(thread)
    }

    /// A watch that reports to `reports`, with a word of its owner's.
    pub fn watch(&mut self, reports: QueueId, token: u64) -> Watch {
        Watch(self.watches.insert(Watcher {
            reports,
            token,
            fired: false,
            places: NONE,
        }) as u32)
    }

    /// Puts a watch into a queue.
    pub fn observe(&mut self, watch: Watch, queue: QueueId) {
        let sibling = self.watches[watch.0 as usize].places;
        self.watches[watch.0 as usize].places = self.link(queue, Who::Watch(watch), sibling);
    }

    /// Lists a watch as fired, and wakes the queue that it reports to.
    ///
    /// Watches of watches are as deep as epoll instances may be nested (five).
    pub fn fire(&mut self, watch: Watch) {
        let watcher = &mut self.watches[watch.0 as usize];
        if !core::mem::replace(&mut watcher.fired, true) {
            let reports = watcher.reports;
            self.queues[reports.0 as usize].fired.push_back(watch);
            self.wake(reports);
        }
    }

    /// Ends a watch.
    pub fn unwatch(&mut self, watch: Watch) {
        self.unlink_where(watch, None);
        let watcher = self.watches.remove(watch.0 as usize);
        if watcher.fired {
            self.queues[watcher.reports.0 as usize]
                .fired
                .retain(|&fired| fired != watch);
        }
    }

    /// How many watches that report to `queue` have fired.
    pub fn fired(&self, queue: QueueId) -> usize {
        self.queues[queue.0 as usize].fired.len()
    }

    /// Takes the watch that fired first off the list, with its word.
    pub fn next_fired(&mut self, queue: QueueId) -> Option<(Watch, u64)> {
        let watch = self.queues[queue.0 as usize].fired.pop_front()?;
        let watcher = &mut self.watches[watch.0 as usize];
        watcher.fired = false;
        Some((watch, watcher.token))
    }

    /// Puts a watch back at the end of the list without waking anyone.
    pub fn refire(&mut self, watch: Watch) {
        let watcher = &mut self.watches[watch.0 as usize];
        if !core::mem::replace(&mut watcher.fired, true) {
            let reports = watcher.reports;
            self.queues[reports.0 as usize].fired.push_back(watch);
        }
    }

    /// Queues, places and watches in use: for tests of leaks.
    pub fn in_use(&self) -> (usize, usize, usize) {
        (self.queues.len(), self.places.len(), self.watches.len())
    }

    fn first(&self, queue: QueueId, threads: bool) -> Option<Who> {
        let queue = self.queues.get(queue.0 as usize)?;
        let list = if threads {
            queue.threads
        } else {
            queue.watches
        };
        self.places.get(list.first as usize).map(|place| place.who)
    }

    fn list(&mut self, queue: QueueId, who: Who) -> &mut List {
        let queue = &mut self.queues[queue.0 as usize];
        match who {
            Who::Thread(_) => &mut queue.threads,
            Who::Watch(_) => &mut queue.watches,
        }
    }

    fn link(&mut self, queue: QueueId, who: Who, sibling: u32) -> u32 {
        let new = self.places.vacant_key() as u32;
        let list = self.list(queue, who);
        let before = core::mem::replace(&mut list.last, new);
        if before == NONE {
            list.first = new;
        } else {
            self.places[before as usize].after = new;
        }
        self.places.insert(Place {
            queue,
            who,
            before,
            after: NONE,
            sibling,
        });
        new
    }

    /// Takes a place out of its queue's list; gives the waiter's next one.
    fn unlink(&mut self, place: u32) -> u32 {
        let Place {
            queue,
            who,
            before,
            after,
            sibling,
        } = self.places.remove(place as usize);
        if before == NONE {
            self.list(queue, who).first = after;
        } else {
            self.places[before as usize].after = after;
        }
        if after == NONE {
            self.list(queue, who).last = before;
        } else {
            self.places[after as usize].before = before;
        }
        sibling
    }

    /// Takes a watch out of one queue, or of all.
    fn unlink_where(&mut self, watch: Watch, queue: Option<QueueId>) {
        let mut kept = NONE;
        let mut place = self.watches[watch.0 as usize].places;
        while place != NONE {
            if queue.is_none_or(|queue| self.places[place as usize].queue == queue) {
                place = self.unlink(place);
            } else {
                let next = core::mem::replace(&mut self.places[place as usize].sibling, kept);
                kept = place;
                place = next;
            }
        }
        self.watches[watch.0 as usize].places = kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    fn thread(number: u32) -> ThreadId {
        ThreadId::new(number).unwrap()
    }

    fn woken(queues: &mut Queues) -> Vec<u32> {
        core::iter::from_fn(|| queues.next_woken().map(|thread| thread.number())).collect()
    }

    #[test]
    fn a_wake_takes_the_thread_out_of_all_its_queues() {
        let mut queues = Queues::default();
        let (a, b) = (queues.create(), queues.create());
        queues.wait(a, thread(3));
        queues.wait(b, thread(3));
        queues.wait(b, thread(1));
        queues.wake(a);
        queues.wake(b);
        queues.wake(b);
        assert_eq!(woken(&mut queues), vec![3, 1]);
        assert_eq!(queues.in_use().1, 0);
    }

    #[test]
    fn a_thread_twice_in_a_queue_wakes_once() {
        let mut queues = Queues::default();
        let a = queues.create();
        queues.wait(a, thread(8));
        queues.wait(a, thread(8));
        queues.wake(a);
        assert_eq!(woken(&mut queues), vec![8]);
    }

    #[test]
    fn threads_wake_in_the_order_in_which_they_came() {
        let mut queues = Queues::default();
        let a = queues.create();
        for number in [5, 2, 9, 4] {
            queues.wait(a, thread(number));
        }
        queues.forget(thread(2));
        assert_eq!(queues.wake_some(a, 2), 2);
        assert_eq!(woken(&mut queues), vec![5, 9]);
        assert_eq!(queues.wake_some(a, 2), 1);
        assert_eq!(woken(&mut queues), vec![4]);
    }

    #[test]
    fn who_is_forgotten_after_the_wake_does_not_run() {
        let mut queues = Queues::default();
        let a = queues.create();
        queues.wait(a, thread(1));
        queues.wake(a);
        queues.forget(thread(1));
        assert_eq!(woken(&mut queues), Vec::<u32>::new());
    }

    #[test]
    fn a_watch_fires_once_until_it_is_taken_and_wakes_whom_it_reports_to() {
        let mut queues = Queues::default();
        let (file, epoll) = (queues.create(), queues.create());
        let watch = queues.watch(epoll, 77);
        queues.observe(watch, file);
        queues.wait(epoll, thread(1));
        queues.wake(file);
        queues.wake(file);
        assert_eq!(woken(&mut queues), vec![1]);
        assert_eq!(queues.next_fired(epoll), Some((watch, 77)));
        assert_eq!(queues.next_fired(epoll), None);
        queues.wake(file);
        assert_eq!(queues.fired(epoll), 1);
        queues.unwatch(watch);
        queues.destroy(file);
        queues.destroy(epoll);
        assert_eq!(queues.in_use(), (0, 0, 0));
    }

    #[test]
    fn a_queue_that_ends_leaves_its_watches_in_their_other_queues() {
        let mut queues = Queues::default();
        let (a, b, epoll) = (queues.create(), queues.create(), queues.create());
        let watch = queues.watch(epoll, 1);
        for queue in [a, b, a] {
            queues.observe(watch, queue);
        }
        queues.destroy(a);
        let _ = queues.next_fired(epoll);
        queues.wake(b);
        assert_eq!(queues.next_fired(epoll), Some((watch, 1)));
        queues.unwatch(watch);
        assert_eq!(queues.in_use(), (2, 0, 0));
    }
}
