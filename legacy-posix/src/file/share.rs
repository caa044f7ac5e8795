// SPDX-License-Identifier: BSD-2-Clause
//! What processes have of files, and share: descriptor tables, places, mappings.

use super::{Files, Place, PlaceId, Request, Table, TableId};
use crate::vfs::device::NoProcesses;
use crate::vfs::{Call, Env, Node, Rights, Time};
use crate::{Credentials, Errno, Pages, ProcessId, Result, ThreadId};
use hashbrown::HashMap;
use linux_raw_sys::general::S_IFREG;

impl Files {
    /// An empty table, for a first process.
    pub fn create_table(&mut self) -> TableId {
        let mut table = Table::default();
        table.sharers = 1;
        TableId(self.descriptors.tables.insert(table) as u32)
    }

    /// One more process that shares it (`CLONE_FILES`).
    pub fn share_table(&mut self, table: TableId) {
        self.descriptors.table_mut(table).sharers += 1;
    }

    /// A copy, as for a child of `fork`.
    pub fn copy_table(&mut self, table: TableId) -> TableId {
        let mut copy = self.descriptors.table(table).clone();
        copy.sharers = 1;
        let mut fd = 0;
        while let Some(found) = copy.next(fd) {
            if let Some(open) = copy.get(found) {
                self.descriptors.get_mut(open).references += 1;
            }
            fd = found + 1;
        }
        TableId(self.descriptors.tables.insert(copy) as u32)
    }

    /// Whether more than one process has it.
    pub fn is_table_shared(&self, table: TableId) -> bool {
        self.descriptors.table(table).sharers > 1
    }

    /// A process less that has it; the last one closes everything. Gives how many descriptors that were.
    pub fn drop_table(&mut self, pages: &mut dyn Pages, process: ProcessId, id: TableId) {
        let table = self.descriptors.table_mut(id);
        table.sharers -= 1;
        if table.sharers > 0 {
            return;
        }
        let mut fd = 0;
        while let Some(found) = self.descriptors.table(id).next(fd) {
            self.close_in(pages, process, id, found);
            fd = found + 1;
        }
        self.descriptors.tables.remove(id.0 as usize);
    }

    /// Closes what `execve` closes.
    pub fn close_on_exec(&mut self, pages: &mut dyn Pages, process: ProcessId, id: TableId) {
        let mut fd = 0;
        while let Some(found) = self.descriptors.table(id).next(fd) {
            if self.descriptors.table(id).close_on_exec(found) {
                self.close_in(pages, process, id, found);
            }
            fd = found + 1;
        }
    }

    /// A place at a root directory, for a first process.
    pub fn create_place(&mut self, root: Node, umask: u32) -> PlaceId {
        self.insert_place(Place {
            root,
            directory: root,
            umask,
            sharers: 1,
        })
    }

    fn insert_place(&mut self, place: Place) -> PlaceId {
        self.vfs.hold(place.root);
        self.vfs.hold(place.directory);
        PlaceId(self.descriptors.places.insert(place) as u32)
    }

    /// One more process that shares it (`CLONE_FS`).
    pub fn share_place(&mut self, place: PlaceId) {
        self.descriptors.place_mut(place).sharers += 1;
    }

    /// A copy, as for a child of `fork`.
    pub fn copy_place(&mut self, place: PlaceId) -> PlaceId {
        let place = Place {
            sharers: 1,
            ..*self.descriptors.place(place)
        };
        self.insert_place(place)
    }

    /// Whether more than one process has it.
    pub fn is_place_shared(&self, place: PlaceId) -> bool {
        self.descriptors.place(place).sharers > 1
    }

    /// A process less that has it.
    pub fn drop_place(&mut self, pages: &mut dyn Pages, id: PlaceId) {
        let place = self.descriptors.place_mut(id);
        place.sharers -= 1;
        if place.sharers == 0 {
            let place = self.descriptors.places.remove(id.0 as usize);
            self.vfs.release(pages, place.root);
            self.vfs.release(pages, place.directory);
        }
    }

    /// `umask`: gives the mask before.
    pub fn umask(&mut self, call: &Call, mask: u32) -> u32 {
        let place = self.descriptors.place_mut(call.caller.place);
        core::mem::replace(&mut place.umask, mask & 0o777)
    }

    /// A thread's call is not run again, since a signal has come or the thread has ended: takes it out of all
    /// wait queues, and undoes what it has begun. To be called in place of
    /// [`Queues::forget`](crate::wait::Queues::forget).
    pub fn abandon(&mut self, pages: &mut dyn Pages, process: ProcessId, thread: ThreadId) {
        self.queues.forget(thread);
        self.locks.abandon(process);
        if let Some(opening) = self.opening.remove(&thread) {
            self.release(pages, opening.open);
        }
    }

    /// A file is mapped once more: by a shared mapping or as a program. Whoever maps it also holds it.
    pub fn map(&mut self, node: Node) {
        self.vfs.hold(node);
        *self.mapped.entry(node).or_insert(0) += 1;
    }

    /// A regular file without a name, of so many zero bytes, that is mapped once: what shared anonymous
    /// memory is.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn create_nameless(&mut self, pages: &mut dyn Pages, bytes: u64) -> Result<Node> {
        let nobody = Credentials::root();
        let root = self.root();
        let (system, mounts) = self.vfs.split(root.fs);
        let env = &mut Env {
            pages,
            processes: &NoProcesses,
            descriptors: &self.descriptors,
            terminals: &self.terminals,
            mounts,
            process: ProcessId::INIT,
            credentials: &nobody,
            now: Time::default(),
        };
        let rights = Rights {
            mode: S_IFREG | 0o600,
            uid: 0,
            gid: 0,
        };
        let no_room = |_| Errno::NOMEM;
        let ino = system.create_unnamed(env, rights).map_err(no_room)?;
        let node = Node { fs: root.fs, ino };
        system.hold(ino);
        let sized = system.resize(env, ino, bytes).map_err(no_room);
        if sized.is_err() {
            system.release(env.pages, ino);
        }
        sized?;
        *self.mapped.entry(node).or_insert(0) += 1;
        Ok(node)
    }

    /// Once less.
    pub fn unmap(&mut self, pages: &mut dyn Pages, node: Node) {
        if count_down(&mut self.mapped, node) {
            self.vfs.release(pages, node);
        }
    }

    /// A file is the program of one process more.
    pub fn execute(&mut self, node: Node) {
        self.map(node);
        *self.executed.entry(node).or_insert(0) += 1;
    }

    /// Of one less.
    pub fn leave(&mut self, pages: &mut dyn Pages, node: Node) {
        count_down(&mut self.executed, node);
        self.unmap(pages, node);
    }

    /// Whether a file may be executed as far as those are concerned who write to files.
    ///
    /// # Errors
    /// `ETXTBSY`.
    pub fn check_unwritten(&self, node: Node) -> Result<()> {
        match self.written.contains_key(&node) {
            true => Err(Errno::TXTBSY),
            false => Ok(()),
        }
    }

    /// Whether a file may be written to as far as those are concerned who execute files.
    pub(super) fn check_unexecuted(&self, node: Node) -> Result<()> {
        match self.executed.contains_key(&node) {
            true => Err(Errno::TXTBSY),
            false => Ok(()),
        }
    }

    /// A file is shorter, or has a new hole, from this byte on: mappings of it must know.
    pub(super) fn cut(&mut self, node: Node, from: u64) {
        if self.mapped.contains_key(&node) {
            let page = from.div_ceil(crate::PAGE as u64);
            self.requests.push(Request::Cut(node, page));
        }
    }
}

/// One less of a node. Gives whether there was one.
pub(super) fn count_down(counts: &mut HashMap<Node, u32>, node: Node) -> bool {
    let Some(count) = counts.get_mut(&node) else {
        return false;
    };
    *count -= 1;
    if *count == 0 {
        counts.remove(&node);
    }
    true
}
