// SPDX-License-Identifier: BSD-2-Clause
//! Locks on files: records (`fcntl`, "advisory record locking") and whole files (`flock`).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use hashbrown::HashMap;

use super::OpenId;
use crate::vfs::Node;
use crate::wait::{QueueId, Queues};
use crate::{Errno, ProcessId, Result};

/// Whose lock it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Owner {
    /// A process's: gone when the process closes any descriptor of the file.
    Process(ProcessId),
    /// An open description's: gone with it.
    Open(OpenId),
}

/// A locked range; the end is not in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lock {
    /// Whose it is.
    pub owner: Owner,
    /// Whether it keeps readers out too.
    pub exclusive: bool,
    /// The first byte.
    pub start: u64,
    /// The byte behind it; `u64::MAX` is the end of all files.
    pub end: u64,
}

impl Lock {
    fn conflicts(&self, other: &Self) -> bool {
        self.owner != other.owner
            && (self.exclusive || other.exclusive)
            && self.start < other.end
            && other.start < self.end
    }
}

struct FileLocks {
    /// Ranges by where they start; those of one owner do not overlap.
    records: Vec<Lock>,
    whole: Vec<(OpenId, bool)>,
    queue: QueueId,
}

/// All locks.
#[derive(Default)]
pub struct Locks {
    files: HashMap<Node, FileLocks>,
    held: usize,
    /// Whom a process's lock waits for, to find circles.
    waits: BTreeMap<ProcessId, ProcessId>,
}

impl Locks {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.held
    }

    /// A lock that keeps `wanted` out, if there is one.
    pub fn conflict(&self, node: Node, wanted: &Lock) -> Option<Lock> {
        let locks = self.files.get(&node)?;
        locks
            .records
            .iter()
            .find(|lock| lock.conflicts(wanted))
            .copied()
    }

    fn file(&mut self, queues: &mut Queues, node: Node) -> &mut FileLocks {
        self.files.entry(node).or_insert_with(|| FileLocks {
            records: Vec::new(),
            whole: Vec::new(),
            queue: queues.create(),
        })
    }

    /// Sets a lock in place of what its owner had in the range, or takes away what it had (`lock`
    /// false). Gives the queue to wait in, if another lock is in the way.
    ///
    /// # Errors
    /// `EDEADLK` if the one in the way waits for the owner; `ENOLCK` if there are `most` already.
    pub fn set(
        &mut self,
        queues: &mut Queues,
        node: Node,
        wanted: Lock,
        lock: bool,
        most: usize,
    ) -> Result<Option<QueueId>> {
        if let Owner::Process(process) = wanted.owner {
            self.waits.remove(&process);
        }
        if lock && let Some(other) = self.conflict(node, &wanted) {
            if let (Owner::Process(who), Owner::Process(whom)) = (wanted.owner, other.owner) {
                if self.would_circle(who, whom) {
                    return Err(Errno::DEADLK);
                }
                self.waits.insert(who, whom);
            }
            return Ok(Some(self.file(queues, node).queue));
        }
        if lock && self.held >= most {
            return Err(Errno::NOLCK);
        }
        if !lock && !self.files.contains_key(&node) {
            return Ok(None);
        }
        let file = self.file(queues, node);
        let before = file.records.len();
        let mut new = wanted;
        let mut rest = Vec::with_capacity(before + 1);
        for old in file.records.drain(..) {
            if old.owner != wanted.owner {
                rest.push(old);
            } else if lock
                && old.exclusive == wanted.exclusive
                && old.start <= new.end
                && new.start <= old.end
            {
                // It touches the new one, which takes it in.
                new.start = new.start.min(old.start);
                new.end = new.end.max(old.end);
            } else {
                if old.start < wanted.start {
                    rest.push(Lock {
                        end: old.end.min(wanted.start),
                        ..old
                    });
                }
                if old.end > wanted.end {
                    rest.push(Lock {
                        start: old.start.max(wanted.end),
                        ..old
                    });
                }
            }
        }
        if lock {
            rest.push(new);
        }
        rest.sort_by_key(|lock| lock.start);
        file.records = rest;
        let after = file.records.len();
        self.held = self.held + after - before;
        self.settle(queues, node);
        Ok(None)
    }

    /// Gives up waiting for a lock.
    pub fn abandon(&mut self, process: ProcessId) {
        self.waits.remove(&process);
    }

    fn would_circle(&self, who: ProcessId, mut whom: ProcessId) -> bool {
        for _ in 0..=self.waits.len() {
            if whom == who {
                return true;
            }
            match self.waits.get(&whom) {
                Some(&next) => whom = next,
                None => return false,
            }
        }
        false
    }

    /// Locks a whole file for an open description (`None` unlocks). Gives the queue to wait in, if another
    /// lock is in the way.
    ///
    /// # Errors
    /// `ENOLCK`.
    pub fn set_whole(
        &mut self,
        queues: &mut Queues,
        node: Node,
        open: OpenId,
        exclusive: Option<bool>,
        most: usize,
    ) -> Result<Option<QueueId>> {
        let Some(exclusive) = exclusive else {
            self.drop_whole(queues, node, open);
            return Ok(None);
        };
        if self.held >= most {
            return Err(Errno::NOLCK);
        }
        let file = self.file(queues, node);
        let before = file.whole.len();
        // A lock is changed by giving it up first, even if the new one has to be waited for.
        file.whole.retain(|(owner, _)| *owner != open);
        let given_up = before - file.whole.len();
        let free = file.whole.iter().all(|(_, held)| !exclusive && !held);
        if free {
            file.whole.push((open, exclusive));
        }
        let queue = file.queue;
        self.held = self.held + usize::from(free) - given_up;
        if given_up > 0 {
            queues.wake(queue);
        }
        Ok((!free).then_some(queue))
    }

    fn drop_whole(&mut self, queues: &mut Queues, node: Node, open: OpenId) {
        if let Some(file) = self.files.get_mut(&node) {
            let before = file.whole.len();
            file.whole.retain(|(owner, _)| *owner != open);
            self.held -= before - file.whole.len();
            self.settle(queues, node);
        }
    }

    /// Takes away all record locks of an owner on a file, and the whole-file lock of an open
    /// description that ends.
    pub fn drop_owner(&mut self, queues: &mut Queues, node: Node, owner: Owner) {
        let Some(file) = self.files.get_mut(&node) else {
            return;
        };
        let before = file.records.len();
        file.records.retain(|lock| lock.owner != owner);
        self.held -= before - file.records.len();
        match owner {
            Owner::Open(open) => self.drop_whole(queues, node, open),
            Owner::Process(_) => self.settle(queues, node),
        }
    }

    /// Lets the waiters look again, and forgets a file without locks.
    fn settle(&mut self, queues: &mut Queues, node: Node) {
        if let Some(file) = self.files.get(&node) {
            queues.wake(file.queue);
            if file.records.is_empty() && file.whole.is_empty() {
                queues.destroy(file.queue);
                self.files.remove(&node);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NODE: Node = Node { fs: 0, ino: 1 };

    fn process(number: u32) -> Owner {
        Owner::Process(ProcessId::new(number).unwrap())
    }

    proptest! {
        #[test]
        fn every_byte_is_locked_as_a_table_of_bytes_says(
            steps in prop::collection::vec((1u32..4, any::<bool>(), any::<bool>(), 0u64..20, 1u64..20), 0..60),
        ) {
            let (mut locks, mut queues) = (Locks::default(), Queues::default());
            // Who has each byte, and how.
            let mut model: Vec<Vec<(Owner, bool)>> = (0..40).map(|_| Vec::new()).collect();
            for (who, exclusive, lock, start, length) in steps {
                let owner = process(who);
                let wanted = Lock { owner, exclusive, start, end: start + length };
                let range = start as usize..(start + length) as usize;
                let conflict = lock && model[range.clone()].iter().flatten()
                    .any(|(other, held)| *other != owner && (*held || exclusive));
                prop_assert_eq!(locks.conflict(NODE, &wanted).is_some() && lock, conflict);
                match locks.set(&mut queues, NODE, wanted, lock, 1000) {
                    Ok(None) => {
                        prop_assert!(!conflict);
                        for byte in &mut model[range] {
                            byte.retain(|(other, _)| *other != owner);
                            if lock {
                                byte.push((owner, exclusive));
                            }
                        }
                    }
                    _ => prop_assert!(conflict),
                }
                let held = locks.files.get(&NODE).map_or(Vec::new(), |file| file.records.clone());
                for (at, byte) in model.iter().enumerate() {
                    let mut there: Vec<_> = held.iter()
                        .filter(|lock| (lock.start..lock.end).contains(&(at as u64)))
                        .map(|lock| (lock.owner, lock.exclusive)).collect();
                    let mut byte = byte.clone();
                    there.sort_by_key(|(owner, _)| alloc::format!("{owner:?}"));
                    byte.sort_by_key(|(owner, _)| alloc::format!("{owner:?}"));
                    prop_assert_eq!(there, byte);
                }
                prop_assert_eq!(locks.count(), held.len());
            }
            for who in 1..4 {
                locks.drop_owner(&mut queues, NODE, process(who));
            }
            prop_assert_eq!((locks.count(), queues.in_use().0), (0, 0));
        }
    }

    #[test]
    fn a_circle_of_waits_is_refused_and_only_that() {
        let (mut locks, mut queues) = (Locks::default(), Queues::default());
        let mut set = |who, start| {
            let lock = Lock {
                owner: process(who),
                exclusive: true,
                start,
                end: start + 1,
            };
            locks.set(&mut queues, NODE, lock, true, 100)
        };
        for who in 1..4 {
            assert_eq!(set(who, u64::from(who)), Ok(None));
        }
        assert!(set(1, 2).unwrap().is_some());
        assert!(set(2, 3).unwrap().is_some());
        assert_eq!(set(3, 1), Err(Errno::DEADLK));
    }

    #[test]
    fn whole_files_are_locked_by_many_readers_or_one_writer() {
        let (mut locks, mut queues) = (Locks::default(), Queues::default());
        let mut set = |open, how| {
            locks
                .set_whole(&mut queues, NODE, OpenId(open), how, 100)
                .unwrap()
                .is_none()
        };
        assert!(set(1, Some(false)) && set(2, Some(false)) && !set(3, Some(true)));
        assert!(set(1, None) && !set(3, Some(true)) && set(2, None) && set(3, Some(true)));
        assert!(!set(1, Some(false)));
        locks.drop_owner(&mut queues, NODE, Owner::Open(OpenId(3)));
        assert_eq!((locks.count(), queues.in_use().0), (0, 0));
    }
}
