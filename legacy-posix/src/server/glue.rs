// SPDX-License-Identifier: BSD-2-Clause
//! Between processes and their files.

use alloc::rc::Rc;

use linux_raw_sys::general as linux;
use xos_container::MountFlags;

use super::Server;
use crate::file::{Files, Moved, PlaceId, TableId};
use crate::flow::Flow;
use crate::kernel::Kernel;
use crate::mm::{FileId, Mappable};
use crate::pages::{Page, Pages};
use crate::signal::{Info, Signal};
use crate::tty::TerminalId;
use crate::vfs::{Attributes, Call, Caller, Time};
use crate::{Credentials, Errno, ProcessId, Result, ThreadId};

/// A file that is going to be executed.
#[derive(Clone, Debug)]
pub struct Executable {
    /// The file.
    pub node: FileId,
    /// Its absolute path.
    pub path: Rc<[u8]>,
    attributes: Attributes,
    /// Whether set-user-id bits have no effect where it lies.
    is_plain: bool,
}

impl Executable {
    /// Whom its program acts for, and with which rights, when these credentials execute it.
    pub fn enter(&self, credentials: &mut Credentials, no_new_rights: bool) {
        const GROUP: u32 = linux::S_ISGID | linux::S_IXGRP;
        let rights = &self.attributes.rights;
        let sets = |bits| rights.mode & bits == bits && !self.is_plain;
        let user = sets(linux::S_ISUID).then_some(rights.uid);
        let group = sets(GROUP).then_some(rights.gid);
        credentials.execute(user, group, no_new_rights);
    }
}

impl Mappable for Files {
    fn page(&mut self, pages: &mut dyn Pages, file: FileId, index: u64) -> Result<Page> {
        match Files::page(self, pages, file, index, true) {
            Ok(Some(page)) => Ok(page),
            Ok(None) => Err(Errno::NOMEM),
            Err(Errno::NOSPC | Errno::NOMEM) => Err(Errno::NOMEM),
            Err(_) => Err(Errno::FAULT),
        }
    }

    fn page_if_present(&mut self, pages: &mut dyn Pages, file: FileId, index: u64) -> Option<Page> {
        Files::page(self, pages, file, index, false).ok().flatten()
    }

    fn nameless(&mut self, pages: &mut dyn Pages, bytes: u64) -> Result<FileId> {
        self.create_nameless(pages, bytes)
    }

    fn hold(&mut self, file: FileId) {
        self.map(file);
    }

    fn release(&mut self, pages: &mut dyn Pages, file: FileId) {
        self.unmap(pages, file);
    }
}

impl<K: Kernel, P: Pages> Server<K, P> {
    /// Calls a function of files on behalf of a thread.
    ///
    /// # Errors
    /// What it says.
    pub fn with_files<R>(
        &mut self,
        thread: ThreadId,
        f: impl FnOnce(&mut Files, &mut Call<'_>) -> Result<R>,
    ) -> Result<R> {
        let epoch = self.kernel.epoch();
        let t = self.tasks.thread(thread)?;
        let process = self.tasks.process(t.process)?;
        let credentials = process.credentials.clone();
        let caller = Caller {
            thread,
            process: process.id,
            group: process.group,
            session: process.session,
            quiet: t.mask | process.actions.borrow().ignored(),
            credentials: &credentials,
            table: process.table,
            place: process.place,
            descriptors_limit: process.limit(linux::RLIMIT_NOFILE).min(1 << 16) as u32,
            file_limit: process.limit(linux::RLIMIT_FSIZE),
        };
        let mut call = Call {
            pages: &mut self.pages,
            processes: &self.tasks,
            caller,
            now: time(epoch.saturating_add(self.entered)),
        };
        f(&mut self.files, &mut call)
    }

    /// What a call that moves something came to.
    pub(crate) fn moved(&mut self, thread: ThreadId, outcome: Result<Moved>) -> Flow {
        match outcome {
            Ok(Moved::Done(value)) => Flow::Done(Ok(value as u64)),
            Ok(Moved::Wait) => Flow::Block,
            Ok(Moved::WaitFor(time)) => {
                let at = self.entered.saturating_add(time);
                if let Ok(t) = self.tasks.thread_mut(thread)
                    && t.progress.deadline.is_none()
                {
                    t.progress.deadline = Some(at);
                }
                Flow::Block
            }
            Ok(Moved::Background(signal)) => self.background(thread, signal).into(),
            Err(error) => error.into(),
        }
    }

    /// A thread wants to use the terminal of its session, but it is not its group's turn.
    pub(crate) fn background(&mut self, thread: ThreadId, signal: u32) -> Errno {
        let Ok(process) = self.tasks.process_of(thread) else {
            return Errno::IO;
        };
        let group = process.group;
        if self.tasks.is_orphaned(group, None) {
            return Errno::IO;
        }
        if let Ok(signal) = Signal::new(signal) {
            self.signal_group(group, Info::from_kernel(signal));
        }
        Errno::RESTARTSYS
    }

    /// What a process does not share with its child, or does.
    pub(super) fn child_files(
        &mut self,
        (table, place): (TableId, PlaceId),
        (share_table, share_place): (bool, bool),
    ) -> (TableId, PlaceId) {
        let table = if share_table {
            self.files.share_table(table);
            table
        } else {
            self.files.copy_table(table)
        };
        let place = if share_place {
            self.files.share_place(place);
            place
        } else {
            self.files.copy_place(place)
        };
        (table, place)
    }

    /// Sees to it that a process's descriptors are its own.
    pub(crate) fn unshare_table(&mut self, id: ProcessId) {
        let Ok(process) = self.tasks.process_mut(id) else {
            return;
        };
        let table = process.table;
        if self.files.is_table_shared(table) {
            process.table = self.files.copy_table(table);
            self.files.drop_table(&mut self.pages, id, table);
        }
    }

    /// Sees to it that a process's directories are its own.
    pub(crate) fn unshare_place(&mut self, id: ProcessId) {
        let Ok(process) = self.tasks.process_mut(id) else {
            return;
        };
        let place = process.place;
        if self.files.is_place_shared(place) {
            process.place = self.files.copy_place(place);
            self.files.drop_place(&mut self.pages, place);
        }
    }

    /// Finds a program.
    pub(super) fn find_executable(
        &mut self,
        thread: ThreadId,
        directory: i32,
        path: &[u8],
        flags: u32,
    ) -> Result<Executable> {
        self.with_files(thread, |files, call| {
            if path.is_empty() && flags & linux::AT_EMPTY_PATH == 0 {
                return Err(Errno::NOENT);
            }
            let attributes = files.fstatat(call, directory, path, flags)?;
            if attributes.rights.mode & linux::S_IFMT == linux::S_IFLNK {
                return Err(Errno::LOOP);
            }
            if attributes.rights.mode & linux::S_IFMT != linux::S_IFREG {
                return Err(Errno::ACCES);
            }
            // Even the superuser executes only what someone may.
            if attributes.rights.mode & 0o111 == 0 {
                return Err(Errno::ACCES);
            }
            const EXECUTE: u32 = 1;
            let effective = linux::AT_EACCESS | flags & linux::AT_EMPTY_PATH;
            files.faccessat2(call, directory, path, EXECUTE, effective)?;
            let node = files.file_at(call, directory, path, flags)?;
            let mount = files.vfs.flags(node.fs);
            if mount.contains(MountFlags::NO_EXEC) {
                return Err(Errno::ACCES);
            }
            files.check_unwritten(node)?;
            let root = files.root();
            Ok(Executable {
                node,
                path: files.path_text(root, node).into(),
                attributes,
                is_plain: mount.contains(MountFlags::NO_SUID),
            })
        })
    }

    /// Whether there is output of the console.
    pub fn has_output(&self) -> bool {
        let has_output = |console| self.files.terminals.has_output(console);
        self.console.is_some_and(has_output)
    }

    /// Output of the console, given to `print` piece by piece.
    pub fn drain_console(&mut self, print: impl FnMut(&[u8])) {
        if let Some(console) = self.console {
            self.drain_terminal(console, print);
        }
    }

    /// Output of a terminal whose other side is the server.
    pub(crate) fn drain_terminal(&mut self, terminal: TerminalId, mut print: impl FnMut(&[u8])) {
        let mut bytes = [0; 512];
        loop {
            let count = self
                .files
                .terminals
                .output(&mut self.files.queues, terminal, &mut bytes);
            if count == 0 {
                return;
            }
            print(&bytes[..count]);
            // Who waited for room goes on.
            self.settle();
        }
    }
}

/// A point in time from 1970, from nanoseconds.
pub(crate) const fn time(nanoseconds: u64) -> Time {
    const SECOND: u64 = 1_000_000_000;
    Time {
        seconds: (nanoseconds / SECOND) as i64,
        nanoseconds: (nanoseconds % SECOND) as u32,
    }
}
