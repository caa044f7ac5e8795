// SPDX-License-Identifier: BSD-2-Clause
//! Opening and closing.

use alloc::string::String;
use alloc::vec::Vec;

use linux_raw_sys::general::{
    CAP_SYS_ADMIN, EFD_CLOEXEC, EFD_NONBLOCK, EFD_SEMAPHORE, MFD_CLOEXEC, MFD_EXEC,
    MFD_NOEXEC_SEAL, O_ACCMODE, O_APPEND, O_CLOEXEC, O_CREAT, O_DIRECT, O_DIRECTORY, O_EXCL,
    O_LARGEFILE, O_NOATIME, O_NOCTTY, O_NOFOLLOW, O_NONBLOCK, O_PATH, O_RDONLY, O_RDWR, O_SYNC,
    O_TMPFILE, O_TRUNC, O_WRONLY, S_IFREG,
};
use linux_raw_sys::net::{AF_UNIX, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM};

use xos_container::MountFlags;

use super::attributes::is_of_the_file_system;
use super::{Files, Moved, Object, Open, OpenId, TableId, locks, look, share, with};
use crate::pipe::PipeId;
use crate::socket::Style;
use crate::tty::TerminalId;
use crate::vfs::permission::{self, READ, SEARCH, WRITE};
use crate::vfs::tree::{End, Last, Target};
use crate::vfs::{Call, Kind, New, Node, Rights, Time, device};
use crate::{Errno, Pages, ProcessId, Result};

/// Bits of a socket's type, and flags beside them.
const SOCK_TYPES: u32 = 0xf;
const SOCK_CLOEXEC: u32 = O_CLOEXEC;
const SOCK_NONBLOCK: u32 = O_NONBLOCK;

/// The open of a FIFO that waits for the other end.
#[derive(Debug)]
pub struct Opening {
    pub(super) open: OpenId,
    close_on_exec: bool,
    /// How often the ends had been opened when it began.
    seen: [u32; 2],
}

/// Status flags that `open` keeps.
const KEPT: u32 = O_ACCMODE
    | O_APPEND
    | O_NONBLOCK
    | O_DIRECTORY
    | O_NOFOLLOW
    | O_LARGEFILE
    | O_NOATIME
    | O_SYNC
    | O_DIRECT
    | O_PATH;

impl Files {
    pub(super) fn insert(
        &mut self,
        object: Object,
        flags: u32,
        node: Option<Node>,
        position: u64,
    ) -> Result<OpenId> {
        if self.descriptors.opens.len() >= self.limits.opens {
            return Err(Errno::NFILE);
        }
        let open = Open {
            object,
            flags,
            position,
            node,
            references: 1,
            watched: Vec::new(),
        };
        if let Some(node) = node {
            self.vfs.hold(node);
            if open.is_written() {
                *self.written.entry(node).or_insert(0) += 1;
            }
        }
        Ok(OpenId(self.descriptors.opens.insert(open) as u32))
    }

    /// One more that uses an open description: a call under way, a mapping.
    pub fn hold(&mut self, open: OpenId) {
        self.descriptors.get_mut(open).references += 1;
    }

    /// One less; with the last, it is closed.
    pub fn release(&mut self, pages: &mut dyn Pages, id: OpenId) {
        let open = self.descriptors.get_mut(id);
        open.references -= 1;
        if open.references > 0 {
            return;
        }
        for (epoll, fd) in core::mem::take(&mut open.watched) {
            self.epolls.remove(&mut self.queues, epoll, fd, id);
        }
        let open = self.descriptors.opens.remove(id.0 as usize);
        let (read, write) = (open.reads(), open.writes());
        if open.is_written()
            && let Some(node) = open.node
        {
            share::count_down(&mut self.written, node);
        }
        match open.object {
            Object::Pipe(pipe) => {
                if self.pipes.close(pages, &mut self.queues, pipe, read, write)
                    && let Some(node) = open.node
                {
                    self.fifos.remove(&node);
                }
            }
            Object::Terminal(terminal) => self.terminals.close(&mut self.queues, terminal),
            Object::Master(terminal) => self.close_master(pages, terminal),
            Object::Event(event) => self.events.destroy(&mut self.queues, event),
            Object::Socket(socket) => self.sockets.destroy(pages, &mut self.queues, socket),
            Object::Epoll(epoll) => {
                for (watched, fd) in self.epolls.destroy(&mut self.queues, epoll) {
                    let open = self.descriptors.get_mut(watched);
                    open.watched.retain(|&entry| entry != (epoll, fd));
                }
            }
            _ => {}
        }
        if let Some(node) = open.node {
            self.locks
                .drop_owner(&mut self.queues, node, locks::Owner::Open(id));
            self.vfs.release(pages, node);
        }
    }

    pub(super) fn close_in(
        &mut self,
        pages: &mut dyn Pages,
        process: ProcessId,
        table: TableId,
        fd: u32,
    ) -> bool {
        let Some(open) = self.descriptors.table_mut(table).remove(fd) else {
            return false;
        };
        self.closed(pages, process, open);
        true
    }

    /// A descriptor of a process is not of `open` any more.
    fn closed(&mut self, pages: &mut dyn Pages, process: ProcessId, open: OpenId) {
        if let Some(node) = self.descriptors.get(open).node {
            self.locks
                .drop_owner(&mut self.queues, node, locks::Owner::Process(process));
        }
        self.release(pages, open);
    }

    /// `close`.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn close(&mut self, call: &mut Call, fd: i32) -> Result<()> {
        let number = u32::try_from(fd).map_err(|_| Errno::BADF)?;
        let caller = call.caller;
        if self.close_in(call.pages, caller.process, caller.table, number) {
            Ok(())
        } else {
            Err(Errno::BADF)
        }
    }

    /// `close_range`: closes descriptors `first..=last`, or has `execve` close them.
    ///
    /// # Errors
    /// `EINVAL` for an empty range.
    pub fn close_range(
        &mut self,
        call: &mut Call,
        first: u32,
        last: u32,
        on_exec: bool,
    ) -> Result<()> {
        if first > last {
            return Err(Errno::INVAL);
        }
        let caller = call.caller;
        let mut fd = first;
        while let Some(found) = self.descriptors.next_open(caller.table, fd)
            && found <= last
        {
            if on_exec {
                self.descriptors
                    .table_mut(caller.table)
                    .set_close_on_exec(found, true);
            } else {
                self.close_in(call.pages, caller.process, caller.table, found);
            }
            fd = found + 1;
        }
        Ok(())
    }

    /// Whether there is a descriptor free.
    ///
    /// # Errors
    /// `EMFILE`.
    pub(super) fn free_descriptor(&self, call: &Call, from: u32) -> Result<u32> {
        self.descriptors
            .table(call.caller.table)
            .free(from, call.caller.descriptors_limit)
            .ok_or(Errno::MFILE)
    }

    /// Gives an open description a descriptor; closes it again if there is none free.
    pub(super) fn install(
        &mut self,
        call: &mut Call,
        open: OpenId,
        close_on_exec: bool,
    ) -> Result<i32> {
        match self.free_descriptor(call, 0) {
            Ok(fd) => {
                self.descriptors
                    .table_mut(call.caller.table)
                    .set(fd, open, close_on_exec);
                Ok(fd as i32)
            }
            Err(error) => {
                self.release(call.pages, open);
                Err(error)
            }
        }
    }

    /// `dup`, and `fcntl` with `F_DUPFD`: the lowest free descriptor from `from` on.
    ///
    /// # Errors
    /// `EBADF`, `EMFILE`; `EINVAL` if `from` is beyond the limit.
    pub fn dup(&mut self, call: &mut Call, fd: i32, from: u64, close_on_exec: bool) -> Result<i32> {
        let open = self.open_of(call, fd)?;
        let from = u32::try_from(from)
            .ok()
            .filter(|&from| from < call.caller.descriptors_limit)
            .ok_or(Errno::INVAL)?;
        let new = self.free_descriptor(call, from)?;
        self.hold(open);
        self.descriptors
            .table_mut(call.caller.table)
            .set(new, open, close_on_exec);
        Ok(new as i32)
    }

    /// `dup3`, and `dup2` with `same` that two equal descriptors are no mistake.
    ///
    /// # Errors
    /// `EBADF`, also for a number beyond the limit; `EINVAL` for two equal ones, or flags other than
    /// `O_CLOEXEC`.
    pub fn dup3(
        &mut self,
        call: &mut Call,
        fd: i32,
        new: i32,
        flags: u32,
        same: bool,
    ) -> Result<i32> {
        if flags & !O_CLOEXEC != 0 || fd == new && !same {
            return Err(Errno::INVAL);
        }
        let number = u32::try_from(new).ok().filter(|&new| {
            new < call
                .caller
                .descriptors_limit
                .min(super::table::DESCRIPTORS_MAX)
        });
        if fd == new {
            self.open_of(call, fd)?;
            return Ok(new);
        }
        let number = number.ok_or(Errno::BADF)?;
        let open = self.open_of(call, fd)?;
        self.hold(open);
        let caller = call.caller;
        let table = self.descriptors.table_mut(caller.table);
        if let Some(before) = table.set(number, open, flags & O_CLOEXEC != 0) {
            self.closed(call.pages, caller.process, before);
        }
        Ok(new)
    }

    /// `openat`, and `open` and `creat` with the flags that they stand for. Run again, it goes on waiting
    /// for the other end of a FIFO.
    ///
    /// # Errors
    /// Those of walking a path; `EMFILE`, `ENFILE`, `EEXIST`, `EISDIR`, `ENOTDIR`, `ELOOP` for a symbolic
    /// link with `O_NOFOLLOW`, `EACCES`, `EPERM`, `ENXIO` for what cannot be opened, `ENOSPC`, `EINVAL`,
    /// `EOPNOTSUPP` for `O_TMPFILE` where it is not supported.
    pub fn openat(
        &mut self,
        call: &mut Call,
        directory: i32,
        path: &[u8],
        flags: u32,
        mode: u32,
    ) -> Result<Moved> {
        if let Some(opening) = self.opening.remove(&call.caller.thread) {
            return self.go_on_opening(call, opening);
        }
        let mut flags = flags;
        if flags & O_PATH != 0 {
            flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
        }
        let unnamed = flags & O_TMPFILE == O_TMPFILE;
        let writes = flags & O_ACCMODE != O_RDONLY;
        if flags & O_ACCMODE == O_ACCMODE
            || unnamed && !writes
            || flags & (O_CREAT | O_DIRECTORY) == O_CREAT | O_DIRECTORY
        {
            return Err(Errno::INVAL);
        }
        self.free_descriptor(call, 0)?;
        if self.descriptors.opens.len() >= self.limits.opens {
            return Err(Errno::NFILE);
        }
        let create = flags & O_CREAT != 0;
        let exclusive = create && flags & O_EXCL != 0;
        let start = self.start(call, directory, path)?;
        let end = match (create, flags & O_NOFOLLOW == 0) {
            (true, true) if !exclusive => End::Create,
            (true, _) => End::Name,
            (false, follow) => End::following(follow),
        };
        let found = look!(self, call, |env| self.vfs.walk(env, start, path, end))?;
        if create && found.slash && found.last == Last::Name {
            return Err(Errno::ISDIR);
        }
        let (node, new) = match found.target {
            None if !create => return Err(Errno::NOENT),
            None => {
                let parent = found.directory;
                self.vfs.check_writable(parent)?;
                let above = look!(self, call, |env| self.vfs.rights(env, parent))?;
                permission::check(call.caller.credentials, above, WRITE | SEARCH)?;
                let rights = self.new_rights(call, above, S_IFREG | mode & 0o7777);
                let ino = with!(self, call, parent.fs, |system, env| {
                    let new = New::File(Kind::Regular, 0);
                    system.create(env, parent.ino, found.name(), new, rights)
                })?;
                let fs = parent.fs;
                (Node { fs, ino }, true)
            }
            Some(_) if exclusive => return Err(Errno::EXIST),
            Some(Target::Node(node)) => (node, false),
            Some(Target::Open(open)) => match self.descriptors.get(open).node {
                Some(node) => (node, false),
                None => return self.reopen(call, open, flags),
            },
        };
        let rights = look!(self, call, |env| self.vfs.rights(env, node))?;
        if !new {
            let changes = writes || flags & O_TRUNC != 0;
            if changes && flags & O_PATH == 0 && is_of_the_file_system(rights.kind()) {
                // Linux tells of what can never be opened for writing first.
                match rights.kind() {
                    Kind::Directory if !unnamed => return Err(Errno::ISDIR),
                    _ => self.vfs.check_writable(node)?,
                }
            }
            self.may_open(call, rights, flags, create, unnamed)?;
            if changes && flags & O_PATH == 0 {
                self.check_unexecuted(node)?;
            }
        }
        let close_on_exec = flags & O_CLOEXEC != 0;
        let large = if flags & O_PATH == 0 { O_LARGEFILE } else { 0 };
        let kept = flags & KEPT | large;
        if unnamed {
            let file = self.new_rights(call, rights, S_IFREG | mode & 0o7777);
            let ino = with!(self, call, node.fs, |system, env| system
                .create_unnamed(env, file))?;
            let fs = node.fs;
            let kept = kept & !O_DIRECTORY;
            let open = self.insert(Object::Regular, kept, Some(Node { fs, ino }), 0)?;
            return Ok(Moved::Done(
                self.install(call, open, close_on_exec)? as usize
            ));
        }
        let object = match rights.kind() {
            _ if flags & O_PATH != 0 => Object::Path,
            Kind::Directory => Object::Directory,
            Kind::Regular => {
                if flags & O_TRUNC != 0 && !new {
                    self.truncate_node(call, node, 0)?;
                }
                match flags & O_ACCMODE {
                    O_WRONLY => Object::Regular,
                    _ => match self.text(call, node)? {
                        Some(text) => Object::Text(text),
                        None => Object::Regular,
                    },
                }
            }
            Kind::Pipe => return self.open_fifo(call, node, kept, close_on_exec),
            Kind::Character => {
                let attributes = with!(self, call, node.fs, |system, env| {
                    system.attributes(env, node.ino)
                })?;
                if self.vfs.flags(node.fs).contains(MountFlags::NO_DEV) {
                    return Err(Errno::ACCES);
                }
                self.open_device(call, attributes.rdev, flags)?
            }
            Kind::Block | Kind::Socket | Kind::Link => return Err(Errno::NXIO),
        };
        let open = self.insert(object, kept, Some(node), 0)?;
        Ok(Moved::Done(
            self.install(call, open, close_on_exec)? as usize
        ))
    }

    /// Rights of a new file: what the mask leaves, and what the directory gives on.
    pub(super) fn new_rights(&self, call: &Call, directory: Rights, mode: u32) -> Rights {
        let umask = self.descriptors.place(call.caller.place).umask;
        permission::inherited(call.caller.credentials, directory, mode & !umask)
    }

    fn may_open(
        &self,
        call: &Call,
        rights: Rights,
        flags: u32,
        create: bool,
        unnamed: bool,
    ) -> Result<()> {
        let who = call.caller.credentials;
        if flags & O_PATH != 0 {
            if flags & O_DIRECTORY != 0 && !rights.is_directory() {
                return Err(Errno::NOTDIR);
            }
            return Ok(());
        }
        if rights.kind() == Kind::Link {
            return Err(if flags & O_DIRECTORY != 0 {
                Errno::NOTDIR
            } else {
                Errno::LOOP
            });
        }
        if flags & O_DIRECTORY != 0 && !rights.is_directory() {
            return Err(Errno::NOTDIR);
        }
        if unnamed {
            return permission::check(who, rights, WRITE | SEARCH);
        }
        let mut wanted = match flags & O_ACCMODE {
            O_RDONLY => READ,
            O_WRONLY => WRITE,
            _ => READ | WRITE,
        };
        if flags & O_TRUNC != 0 {
            wanted |= WRITE;
        }
        if rights.is_directory() && (wanted & WRITE != 0 || create) {
            return Err(Errno::ISDIR);
        }
        permission::check(who, rights, wanted)?;
        if flags & O_NOATIME != 0 && !permission::owns(who, rights) {
            return Err(Errno::PERM);
        }
        Ok(())
    }

    /// The text of a file that is made when it is opened.
    pub(super) fn text(&self, call: &mut Call, node: Node) -> Result<Option<Vec<u8>>> {
        let root = self.descriptors.place(call.caller.place).root;
        let path = |node| self.path_text(root, node);
        look!(self, call, |env| {
            self.vfs.system_ref(node.fs).text(env, node.ino, &path)
        })
    }

    /// Opens a device, by its number.
    fn open_device(&mut self, call: &mut Call, number: u64, flags: u32) -> Result<Object> {
        let who = call.caller;
        let terminal = match device::Device::of(number).ok_or(Errno::NXIO)? {
            device::Device::Null => return Ok(Object::Null),
            device::Device::Zero => return Ok(Object::Zero),
            device::Device::Full => return Ok(Object::Full),
            device::Device::Random => return Ok(Object::Random),
            device::Device::Multiplexer => return self.open_multiplexer(call).map(Object::Master),
            device::Device::Controlling => {
                let terminal = self.terminals.controlling(who.session);
                let terminal = terminal.ok_or(Errno::NXIO)?;
                self.terminals.open(terminal)?;
                return Ok(Object::Terminal(terminal));
            }
            device::Device::Console(number) => self.terminals.console_of(number),
            device::Device::Pseudo(number) => self.terminals.by_number(number),
        };
        let terminal = terminal.ok_or(Errno::NXIO)?;
        self.terminals.open(terminal)?;
        if flags & O_NOCTTY == 0
            && flags & O_ACCMODE != O_WRONLY
            && who.process == who.session
            && self.terminals.owners(terminal).0.is_none()
        {
            // A leader that has a terminal already keeps it.
            let _ = self.terminals.adopt(terminal, &who, false);
        }
        Ok(Object::Terminal(terminal))
    }

    pub(super) fn open_multiplexer(&mut self, call: &mut Call) -> Result<TerminalId> {
        let place = self.pseudo_terminals.ok_or(Errno::NOSPC)?;
        if self.terminals.pseudos() >= self.limits.objects {
            return Err(Errno::NOSPC);
        }
        let terminal = self.terminals.pseudo(&mut self.queues);
        let number = self.terminals.number(terminal).unwrap_or_default();
        let rights = Rights {
            mode: Kind::Character.bits() | place.mode,
            uid: call.caller.credentials.fsuid,
            gid: place.group.unwrap_or(call.caller.credentials.fsgid),
        };
        let new = New::File(Kind::Character, self.terminals.device(terminal));
        let name = alloc::format!("{number}");
        let Node { fs, ino } = place.directory;
        let made = with!(self, call, fs, |system, env| {
            system.create(env, ino, name.as_bytes(), new, rights)
        });
        if let Err(error) = made {
            self.terminals
                .close_master(&mut self.queues, &mut self.requests, terminal);
            return Err(error);
        }
        Ok(terminal)
    }

    /// The path of a pseudo-terminal where they are mounted as everywhere.
    pub(super) fn name_of(&self, terminal: TerminalId) -> String {
        let number = self.terminals.number(terminal).unwrap_or_default();
        alloc::format!("/dev/pts/{number}")
    }

    pub(super) fn close_master(&mut self, pages: &mut dyn Pages, terminal: TerminalId) {
        let number = self
            .terminals
            .close_master(&mut self.queues, &mut self.requests, terminal);
        let (Some(number), Some(place)) = (number, self.pseudo_terminals) else {
            return;
        };
        // As the system itself, for which no process is known.
        let nobody = crate::Credentials::root();
        let (system, mounts) = self.vfs.split(place.directory.fs);
        let env = &mut crate::vfs::Env {
            pages,
            processes: &device::NoProcesses,
            descriptors: &self.descriptors,
            terminals: &self.terminals,
            mounts,
            process: ProcessId::INIT,
            credentials: &nobody,
            now: Time::default(),
        };
        let name = alloc::format!("{number}");
        let _ = system.unlink(env, place.directory.ino, name.as_bytes());
    }

    /// Opens what a process has open without a file, by its name in `/proc`.
    fn reopen(&mut self, call: &mut Call, open: OpenId, flags: u32) -> Result<Moved> {
        let before = self.descriptors.get(open);
        let Object::Pipe(pipe) = before.object else {
            return Err(Errno::NXIO);
        };
        let open = self.insert(Object::Pipe(pipe), flags & KEPT, None, 0)?;
        let (reads, writes) = {
            let open = self.descriptors.get(open);
            (open.reads(), open.writes())
        };
        self.pipes.open(&mut self.queues, pipe, reads, writes);
        let fd = self.install(call, open, flags & O_CLOEXEC != 0)?;
        Ok(Moved::Done(fd as usize))
    }

    fn open_fifo(
        &mut self,
        call: &mut Call,
        node: Node,
        flags: u32,
        close_on_exec: bool,
    ) -> Result<Moved> {
        let pipe = match self.fifos.get(&node) {
            Some(&pipe) => pipe,
            None => self.create_pipe()?,
        };
        let seen = self.pipes.opened(pipe);
        let (readers, writers) = self.pipes.ends(pipe);
        let access = flags & O_ACCMODE;
        if access == O_WRONLY && flags & O_NONBLOCK != 0 && readers == 0 {
            if writers == 0 && !self.fifos.contains_key(&node) {
                self.discard_pipe(call.pages, pipe);
            }
            return Err(Errno::NXIO);
        }
        // A reader that came before any writer is not told of an end yet.
        let position = if access == O_RDONLY && writers == 0 {
            u64::from(seen[1])
        } else {
            u64::MAX
        };
        let open = self.insert(Object::Pipe(pipe), flags, Some(node), position)?;
        self.fifos.insert(node, pipe);
        let (reads, writes) = (access != O_WRONLY, access != O_RDONLY);
        self.pipes.open(&mut self.queues, pipe, reads, writes);
        let opening = Opening {
            open,
            close_on_exec,
            seen,
        };
        self.go_on_opening(call, opening)
    }

    fn go_on_opening(&mut self, call: &mut Call, opening: Opening) -> Result<Moved> {
        let open = self.descriptors.get(opening.open);
        let Object::Pipe(pipe) = open.object else {
            return Err(Errno::NXIO);
        };
        let (readers, writers) = self.pipes.ends(pipe);
        let opened = self.pipes.opened(pipe);
        let met = match open.flags & O_ACCMODE {
            O_RDWR => true,
            O_WRONLY => readers > 0 || opened[0] != opening.seen[0],
            _ => writers > 0 || opened[1] != opening.seen[1] || open.is_nonblocking(),
        };
        if met {
            let fd = self.install(call, opening.open, opening.close_on_exec)?;
            return Ok(Moved::Done(fd as usize));
        }
        self.wait_for(call, opening.open);
        self.opening.insert(call.caller.thread, opening);
        Ok(Moved::Wait)
    }

    pub(super) fn create_pipe(&mut self) -> Result<PipeId> {
        if self.pipes.count() >= self.limits.objects {
            return Err(Errno::NFILE);
        }
        Ok(self.pipes.create(&mut self.queues))
    }

    pub(super) fn discard_pipe(&mut self, pages: &mut dyn Pages, pipe: PipeId) {
        self.pipes.open(&mut self.queues, pipe, true, false);
        self.pipes.close(pages, &mut self.queues, pipe, true, false);
    }

    /// Two open descriptions get descriptors, or are closed.
    fn install_pair(
        &mut self,
        call: &mut Call,
        pair: [OpenId; 2],
        close: bool,
    ) -> Result<[i32; 2]> {
        let first = match self.install(call, pair[0], close) {
            Ok(fd) => fd,
            Err(error) => {
                self.release(call.pages, pair[1]);
                return Err(error);
            }
        };
        match self.install(call, pair[1], close) {
            Ok(second) => Ok([first, second]),
            Err(error) => {
                self.close(call, first)?;
                Err(error)
            }
        }
    }

    /// Takes back what [`Files::pipe2`] or [`Files::socketpair`] gave, since the program cannot be told.
    pub fn close_pair(&mut self, call: &mut Call, pair: [i32; 2]) {
        for fd in pair {
            let _ = self.close(call, fd);
        }
    }

    /// `pipe2`: descriptors of the read end and the write end.
    ///
    /// # Errors
    /// `EINVAL` for unknown flags (packets, `O_DIRECT`, are not supported); `EMFILE`, `ENFILE`.
    pub fn pipe2(&mut self, call: &mut Call, flags: u32) -> Result<[i32; 2]> {
        if flags & !(O_CLOEXEC | O_NONBLOCK) != 0 {
            return Err(Errno::INVAL);
        }
        if self.descriptors.opens.len() + 2 > self.limits.opens {
            return Err(Errno::NFILE);
        }
        let pipe = self.create_pipe()?;
        let kept = flags & O_NONBLOCK;
        let read = self.insert(Object::Pipe(pipe), O_RDONLY | kept, None, u64::MAX)?;
        let write = self.insert(Object::Pipe(pipe), O_WRONLY | kept, None, u64::MAX)?;
        self.pipes.open(&mut self.queues, pipe, true, true);
        self.install_pair(call, [read, write], flags & O_CLOEXEC != 0)
    }

    /// `eventfd2`.
    ///
    /// # Errors
    /// `EINVAL`, `EMFILE`, `ENFILE`.
    pub fn eventfd2(&mut self, call: &mut Call, count: u32, flags: u32) -> Result<i32> {
        if flags & !(EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE) != 0 {
            return Err(Errno::INVAL);
        }
        self.free_descriptor(call, 0)?;
        if self.events.count() >= self.limits.objects {
            return Err(Errno::NFILE);
        }
        let semaphore = flags & EFD_SEMAPHORE != 0;
        let event = self.events.create(&mut self.queues, count, semaphore);
        let kept = O_RDWR | flags & O_NONBLOCK;
        match self.insert(Object::Event(event), kept, None, 0) {
            Ok(open) => self.install(call, open, flags & EFD_CLOEXEC != 0),
            Err(error) => {
                self.events.destroy(&mut self.queues, event);
                Err(error)
            }
        }
    }

    /// `memfd_create`: a file in memory that has no name in any directory. Its name is for people, and has been looked
    /// at. There are no seals and no huge pages.
    ///
    /// # Errors
    /// `EINVAL`, `EMFILE`, `ENFILE`, `ENOSPC`.
    pub fn memfd_create(&mut self, call: &mut Call, flags: u32) -> Result<i32> {
        if flags & !(MFD_CLOEXEC | MFD_NOEXEC_SEAL | MFD_EXEC) != 0
            || flags & (MFD_NOEXEC_SEAL | MFD_EXEC) == MFD_NOEXEC_SEAL | MFD_EXEC
        {
            return Err(Errno::INVAL);
        }
        self.free_descriptor(call, 0)?;
        if self.descriptors.opens.len() >= self.limits.opens {
            return Err(Errno::NFILE);
        }
        let mode = if flags & MFD_NOEXEC_SEAL != 0 {
            0o666
        } else {
            0o777
        };
        let credentials = call.caller.credentials;
        let rights = Rights {
            mode: S_IFREG | mode,
            uid: credentials.fsuid,
            gid: credentials.fsgid,
        };
        let fs = self.root().fs;
        let ino = with!(self, call, fs, |system, env| system
            .create_unnamed(env, rights))?;
        let kept = O_RDWR | O_LARGEFILE;
        let open = self.insert(Object::Regular, kept, Some(Node { fs, ino }), 0)?;
        self.install(call, open, flags & MFD_CLOEXEC != 0)
    }

    /// `socketpair`.
    ///
    /// # Errors
    /// `EAFNOSUPPORT` for all families but `AF_UNIX`; `EPROTONOSUPPORT`, `ESOCKTNOSUPPORT`, `EINVAL`,
    /// `EMFILE`, `ENFILE`.
    pub fn socketpair(
        &mut self,
        call: &mut Call,
        family: u32,
        kind: u32,
        protocol: u32,
    ) -> Result<[i32; 2]> {
        let flags = kind & (SOCK_CLOEXEC | SOCK_NONBLOCK);
        if kind & !(SOCK_TYPES | flags) != 0 {
            return Err(Errno::INVAL);
        }
        let style = self.socket_style(family, kind & SOCK_TYPES)?;
        if protocol != 0 && protocol != AF_UNIX {
            return Err(Errno::PROTONOSUPPORT);
        }
        if self.sockets.count() + 2 > self.limits.objects
            || self.descriptors.opens.len() + 2 > self.limits.opens
        {
            return Err(Errno::NFILE);
        }
        let pair = self.sockets.pair(&mut self.queues, style);
        let flag = O_RDWR | flags & O_NONBLOCK;
        let first = self.insert(Object::Socket(pair[0]), flag, None, 0)?;
        let second = self.insert(Object::Socket(pair[1]), flag, None, 0)?;
        self.install_pair(call, [first, second], flags & SOCK_CLOEXEC != 0)
    }

    fn socket_style(&self, family: u32, kind: u32) -> Result<Style> {
        if family != AF_UNIX {
            return Err(Errno::AFNOSUPPORT);
        }
        match kind {
            SOCK_STREAM => Ok(Style::Stream),
            SOCK_DGRAM => Ok(Style::Datagram),
            SOCK_SEQPACKET => Ok(Style::Sequence),
            _ => Err(Errno::SOCKTNOSUPPORT),
        }
    }

    /// `socket`: there is no network, and no sockets with names.
    ///
    /// # Errors
    /// Always: `EAFNOSUPPORT`.
    pub const fn socket(&self) -> Result<i32> {
        Err(Errno::AFNOSUPPORT)
    }

    /// Whether the caller may administer the system.
    ///
    /// # Errors
    /// `EPERM`.
    pub(super) fn administers(&self, call: &Call) -> Result<()> {
        if call.caller.credentials.can(CAP_SYS_ADMIN) {
            Ok(())
        } else {
            Err(Errno::PERM)
        }
    }
}
