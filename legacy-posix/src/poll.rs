// SPDX-License-Identifier: BSD-2-Clause
//! Epoll instances (epoll(7)): which files are watched, for what, and which may be ready.
//!
//! Whether a file is ready is asked of the file; here is only whom to ask. A [`Watch`] per file gets the ones
//! that may be ready into the instance's list, so that waiting costs what is ready and not what is
//! watched.

use alloc::vec::Vec;

use hashbrown::HashMap;
use slab::Slab;

use crate::file::OpenId;
use crate::wait::{QueueId, Queues, Watch};
use crate::{Errno, Result};

/// Instances that may watch each other in a chain.
pub const NESTS_MAX: usize = 5;

/// An instance.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct EpollId(u32);

/// A file that is watched.
#[derive(Clone, Copy, Debug)]
pub struct Item {
    /// The descriptor that it was added by, which together with the description is its name.
    pub fd: u32,
    /// The description.
    pub open: OpenId,
    /// `EPOLLx`: what is waited for, and how.
    pub events: u32,
    /// The program's own word.
    pub data: u64,
    watch: Watch,
}

#[derive(Debug)]
struct Epoll {
    queue: QueueId,
    items: Slab<Item>,
    index: HashMap<(u32, OpenId), usize>,
    /// Instances below it, at most.
    depth: usize,
}

/// All instances.
#[derive(Default, Debug)]
pub struct Epolls(Slab<Epoll>);

impl Epolls {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// A new one.
    pub fn create(&mut self, queues: &mut Queues) -> EpollId {
        EpollId(self.0.insert(Epoll {
            queue: queues.create(),
            items: Slab::new(),
            index: HashMap::new(),
            depth: 0,
        }) as u32)
    }

    fn get(&self, epoll: EpollId) -> &Epoll {
        &self.0[epoll.0 as usize]
    }

    fn get_mut(&mut self, epoll: EpollId) -> &mut Epoll {
        &mut self.0[epoll.0 as usize]
    }

    /// Ends one; gives what it watched.
    pub fn destroy(&mut self, queues: &mut Queues, epoll: EpollId) -> Vec<(OpenId, u32)> {
        let epoll = self.0.remove(epoll.0 as usize);
        let mut watched = Vec::with_capacity(epoll.items.len());
        for (_, item) in epoll.items {
            queues.unwatch(item.watch);
            watched.push((item.open, item.fd));
        }
        queues.destroy(epoll.queue);
        watched
    }

    /// What wakes when something may be ready.
    pub fn queue(&self, epoll: EpollId) -> QueueId {
        self.get(epoll).queue
    }

    /// Notes that one watches another; false if that would be nested too deep.
    pub fn nest(&mut self, epoll: EpollId, below: EpollId) -> bool {
        let depth = self.get(below).depth + 1;
        if depth >= NESTS_MAX {
            return false;
        }
        let epoll = self.get_mut(epoll);
        epoll.depth = epoll.depth.max(depth);
        true
    }

    /// Watches a file, whose queues are given; gives the watch, to be fired if the file is ready already.
    ///
    /// # Errors
    /// `EEXIST`.
    pub fn add(
        &mut self,
        queues: &mut Queues,
        id: EpollId,
        (fd, open): (u32, OpenId),
        (events, data): (u32, u64),
        observed: impl Iterator<Item = QueueId>,
    ) -> Result<Watch> {
        let epoll = self.get_mut(id);
        if epoll.index.contains_key(&(fd, open)) {
            return Err(Errno::EXIST);
        }
        let key = epoll.items.vacant_key();
        let watch = queues.watch(epoll.queue, key as u64);
        for queue in observed {
            queues.observe(watch, queue);
        }
        epoll.items.insert(Item {
            fd,
            open,
            events,
            data,
            watch,
        });
        epoll.index.insert((fd, open), key);
        Ok(watch)
    }

    /// Changes what a file is watched for.
    ///
    /// # Errors
    /// `ENOENT`.
    pub fn change(
        &mut self,
        id: EpollId,
        name: (u32, OpenId),
        events: u32,
        data: u64,
    ) -> Result<Watch> {
        let epoll = self.get_mut(id);
        let &key = epoll.index.get(&name).ok_or(Errno::NOENT)?;
        let item = &mut epoll.items[key];
        item.events = events;
        item.data = data;
        Ok(item.watch)
    }

    /// Watches a file no more; says whether it was watched.
    pub fn remove(&mut self, queues: &mut Queues, id: EpollId, fd: u32, open: OpenId) -> bool {
        let epoll = self.get_mut(id);
        match epoll.index.remove(&(fd, open)) {
            Some(key) => {
                queues.unwatch(epoll.items.remove(key).watch);
                true
            }
            None => false,
        }
    }

    /// How many files may be ready.
    pub fn candidates(&self, queues: &Queues, id: EpollId) -> usize {
        queues.fired(self.get(id).queue)
    }

    /// Takes the next file that may be ready off the list.
    pub fn next(&mut self, queues: &mut Queues, id: EpollId) -> Option<Item> {
        let epoll = self.get(id);
        let (_, key) = queues.next_fired(epoll.queue)?;
        epoll.items.get(key as usize).copied()
    }

    /// Puts it back on the list.
    pub fn put_back(&self, queues: &mut Queues, item: &Item) {
        queues.refire(item.watch);
    }

    /// A file that was told once is not told again until it is changed.
    pub fn disable(&mut self, id: EpollId, item: &Item) {
        let epoll = self.get_mut(id);
        if let Some(&key) = epoll.index.get(&(item.fd, item.open)) {
            epoll.items[key].events = 0;
        }
    }
}
