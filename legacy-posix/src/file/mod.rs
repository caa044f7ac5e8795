// SPDX-License-Identifier: BSD-2-Clause
//! Open files: what descriptors are of, and what calls do with them.
//!
//! [`Files`] has everything: the tree of files, open descriptions, pipes, sockets, terminals, wait
//! queues. A process has the number of a descriptor [`Table`] and of a [`Place`] (its directories);
//! both may be shared. An [`Open`] description is what `open` makes and `dup` shares: a position,
//! flags and the [`Object`] that is read and written.
//!
//! Calls are methods of [`Files`], one for each system call or family of them, in the modules below; they get
//! paths and structures as bytes and a program's memory as a [`Buffer`](crate::Buffer). Whoever
//! dispatches a system call has copied these in, and copies what results out.
//!
//! | module | calls |
//! | --- | --- |
//! | [`system`](mod@system) | (a new system) |
//! | [`share`] | (tables and places of processes for `clone`, `execve`, `exit`; mappings of files), `umask` |
//! | [`open`] | `openat`, `close`, `dup`, `pipe2`, `eventfd2`, `socketpair` |
//! | [`io`] | `read`, `write` and their kin, `lseek`, `sendfile`, `copy_file_range`, `getdents64` |
//! | [`paths`] | `mkdirat`, `unlinkat`, `renameat2`, `linkat`, `symlinkat`, `readlinkat`, `chdir` |
//! | [`mounts`] | `mount`, `umount2` |
//! | [`attributes`] | `stat`, `statx`, `statfs`, `chmod`, `chown`, `utimensat`, `access`, `truncate`, `fallocate` |
//! | [`control`] | `fcntl`, `ioctl`, `flock` |
//! | [`poll`] | `poll`, `select`, epoll |
//! | [`streams`] | (output of programs that the server reads itself) |
//! | [`sockets`] | `sendto`, `recvfrom`, `shutdown` and their kin, for socket pairs |
//! | [`abi`] | structures as Linux programs have them |
//!
//! What a call cannot do itself, because it is about processes, it leaves in [`Files::requests`]: the
//! signals that terminals send.

pub mod abi;
pub mod attributes;
pub mod control;
pub mod io;
pub mod locks;
pub mod mounts;
pub mod open;
pub mod paths;
pub mod poll;
pub mod share;
pub mod sockets;
pub mod streams;
pub mod system;
pub mod table;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;

use chacha20::ChaCha20Rng;
use chacha20::rand_core::SeedableRng;
use hashbrown::HashMap;
use linux_raw_sys::general::{O_ACCMODE, O_NONBLOCK, O_PATH, O_RDONLY, O_WRONLY};
use slab::Slab;

use crate::event::Events;
use crate::pipe::{PipeId, Pipes};
use crate::poll::Epolls;
use crate::socket::{SocketId, Sockets};
use crate::tty::{TerminalId, Terminals};
use crate::vfs::tree::{Start, Vfs};
use crate::vfs::{Call, Node};
use crate::wait::{QueueId, Queues};
use crate::{Errno, ProcessId, Result, ThreadId};
use locks::Locks;
pub use table::Table;

/// An open description.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct OpenId(pub u32);

/// A descriptor table.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TableId(pub u32);

/// A root directory, a current directory and a file mode mask.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PlaceId(pub u32);

/// What an open description reads and writes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Object {
    /// A regular file, by [`Open::node`].
    Regular,
    /// A directory.
    Directory,
    /// A file whose text was made when it was opened.
    Text(Vec<u8>),
    /// Ends of a pipe, as the access mode says.
    Pipe(PipeId),
    /// `/dev/null`.
    Null,
    /// `/dev/zero`.
    Zero,
    /// `/dev/full`.
    Full,
    /// `/dev/random`, `/dev/urandom`.
    Random,
    /// A terminal.
    Terminal(TerminalId),
    /// The other side of a pseudo-terminal.
    Master(TerminalId),
    /// An eventfd.
    Event(crate::event::EventId),
    /// An end of a socketpair.
    Socket(SocketId),
    /// An epoll instance.
    Epoll(crate::poll::EpollId),
    /// A file that is only named (`O_PATH`).
    Path,
}

/// An open description.
#[derive(Debug)]
pub struct Open {
    /// What it is of.
    pub object: Object,
    /// Access mode and status flags, `O_x`.
    pub flags: u32,
    /// Where reading goes on.
    pub position: u64,
    /// The file that it was opened by; none for pipes and the like.
    pub node: Option<Node>,
    /// Descriptors, and calls that are under way.
    references: u32,
    /// Epoll instances that watch it, and the descriptor by which.
    watched: Vec<(crate::poll::EpollId, u32)>,
}

impl Open {
    /// Whether it may be read.
    pub const fn reads(&self) -> bool {
        self.flags & O_ACCMODE != O_WRONLY && self.flags & O_PATH == 0
    }

    /// Whether it may be written.
    pub const fn writes(&self) -> bool {
        self.flags & O_ACCMODE != O_RDONLY && self.flags & O_PATH == 0
    }

    /// Whether it is a regular file that is open for writing.
    fn is_written(&self) -> bool {
        self.writes() && matches!(self.object, Object::Regular | Object::Text(_))
    }

    /// Whether bytes in it have positions.
    const fn has_position(&self) -> bool {
        matches!(
            self.object,
            Object::Regular
                | Object::Directory
                | Object::Text(_)
                | Object::Null
                | Object::Zero
                | Object::Full
                | Object::Random
        )
    }

    /// Whether calls give `EAGAIN` rather than wait.
    pub const fn is_nonblocking(&self) -> bool {
        self.flags & O_NONBLOCK != 0
    }
}

/// A process's directories.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// What `/` is.
    pub root: Node,
    /// The current directory.
    pub directory: Node,
    /// The file mode mask.
    pub umask: u32,
    sharers: u32,
}

/// All tables, open descriptions and places.
#[derive(Default)]
pub struct Descriptors {
    opens: Slab<Open>,
    tables: Slab<Table>,
    places: Slab<Place>,
}

impl Descriptors {
    /// What a descriptor is of.
    pub fn open_of(&self, table: TableId, fd: u32) -> Option<OpenId> {
        self.tables.get(table.0 as usize)?.get(fd)
    }

    /// An open description.
    pub fn get(&self, open: OpenId) -> &Open {
        &self.opens[open.0 as usize]
    }

    fn get_mut(&mut self, open: OpenId) -> &mut Open {
        &mut self.opens[open.0 as usize]
    }

    /// A table.
    pub fn table(&self, table: TableId) -> &Table {
        &self.tables[table.0 as usize]
    }

    fn table_mut(&mut self, table: TableId) -> &mut Table {
        &mut self.tables[table.0 as usize]
    }

    /// The lowest descriptor in use from `from` on.
    pub fn next_open(&self, table: TableId, from: u32) -> Option<u32> {
        self.tables.get(table.0 as usize)?.next(from)
    }

    /// Descriptors that a table has room for.
    pub fn slots(&self, table: TableId) -> usize {
        self.table(table).slots()
    }

    /// A process's directories.
    pub fn place(&self, place: PlaceId) -> &Place {
        &self.places[place.0 as usize]
    }

    /// Changes a process's directories or mask.
    fn place_mut(&mut self, place: PlaceId) -> &mut Place {
        &mut self.places[place.0 as usize]
    }
}

/// Something that is about processes, to be done by whoever has them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Request {
    /// A signal to each process of a group.
    SignalGroup(ProcessId, u32),
    /// A signal to a process.
    SignalProcess(ProcessId, u32),
    /// A mapped file was cut: pages of it from this index on are not to be seen any more (`SIGBUS`).
    Cut(Node, u64),
}

/// What moving bytes came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Moved {
    /// So many bytes were moved; with those of earlier runs that is the call's result.
    Done(usize),
    /// Not all that must be. The thread is in the queues of what would change this; bytes that are used of
    /// the buffer have been moved, and the next run must start behind them.
    Wait,
    /// As [`Moved::Wait`], but no longer than so many nanoseconds from now: the next run is told that they
    /// have passed.
    WaitFor(u64),
    /// The caller is in the background of its terminal: its group gets this signal and the call is run again
    /// after it, unless the group is orphaned, which makes it `EIO`.
    Background(u32),
}

/// How much there may be of what lies on the server's heap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Open descriptions (`file-max`).
    pub opens: usize,
    /// Pipes, sockets, events, epoll instances, pseudo-terminals; of each.
    pub objects: usize,
    /// Files in the root file system.
    pub files: usize,
    /// Pages of files in the root file system.
    pub frames: usize,
    /// Record locks.
    pub locks: usize,
    /// Bytes in all pipes, and the same in all sockets, before new ones are small.
    pub buffers: usize,
    /// Bytes of all messages in sockets.
    pub messages: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            opens: 32_768,
            objects: 4_096,
            // What Linux's tmpfs has on a machine of 512 MiB.
            files: 65_536,
            frames: usize::MAX / 2,
            locks: 16_384,
            buffers: 64 << 20,
            messages: 8 << 20,
        }
    }
}

/// Everything about files.
pub struct Files {
    /// The tree.
    pub vfs: Vfs,
    /// Open descriptions, tables, places.
    pub descriptors: Descriptors,
    /// Who waits for what.
    pub queues: Queues,
    /// Terminals.
    pub terminals: Terminals,
    /// What is to be done with processes.
    pub requests: Vec<Request>,
    /// Random numbers, for `/dev/urandom` and `getrandom`.
    pub random: ChaCha20Rng,
    pipes: Pipes,
    events: Events,
    sockets: Sockets,
    epolls: Epolls,
    locks: Locks,
    /// The pipe of each FIFO that is open.
    fifos: HashMap<Node, PipeId>,
    /// Files that are mapped shared or executed, and how often.
    mapped: HashMap<Node, u32>,
    /// Files that are programs of processes, and of how many. They are not written to.
    executed: HashMap<Node, u32>,
    /// Regular files that are open for writing, and how often. They are not executed.
    written: HashMap<Node, u32>,
    /// Opens of FIFOs that wait for the other end.
    opening: HashMap<ThreadId, open::Opening>,
    limits: Limits,
    /// Where the names of pseudo-terminals are; nothing: there can be none.
    pub pseudo_terminals: Option<mounts::Terminals>,
}

/// Does something to a file system: `with!(files, call, index, |system, env| ...)`.
macro_rules! with {
    ($files:ident, $call:ident, $fs:expr, |$system:ident, $env:ident| $body:expr) => {{
        let ($system, mounts) = $files.vfs.split($fs);
        let $env = &mut $crate::vfs::Env {
            pages: &mut *$call.pages,
            processes: $call.processes,
            descriptors: &$files.descriptors,
            terminals: &$files.terminals,
            mounts,
            process: $call.caller.process,
            credentials: $call.caller.credentials,
            now: $call.now,
        };
        $body
    }};
}

/// Looks at the tree: `look!(files, call, |env| files.vfs.rights(env, node))`.
macro_rules! look {
    ($files:ident, $call:ident, |$env:ident| $body:expr) => {{
        let $env = &mut $crate::vfs::Env {
            pages: &mut *$call.pages,
            processes: $call.processes,
            descriptors: &$files.descriptors,
            terminals: &$files.terminals,
            mounts: &$files.vfs.mounts,
            process: $call.caller.process,
            credentials: $call.caller.credentials,
            now: $call.now,
        };
        $body
    }};
}
pub(crate) use {look, with};

impl Files {
    /// The open description of a descriptor of the caller's.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn open_of(&self, call: &Call, fd: i32) -> Result<OpenId> {
        let fd = u32::try_from(fd).map_err(|_| Errno::BADF)?;
        self.descriptors
            .open_of(call.caller.table, fd)
            .ok_or(Errno::BADF)
    }

    /// The same, for calls that `O_PATH` descriptors are of no use to.
    ///
    /// # Errors
    /// `EBADF`.
    fn usable(&self, call: &Call, fd: i32) -> Result<OpenId> {
        let open = self.open_of(call, fd)?;
        if self.descriptors.get(open).flags & O_PATH != 0 {
            return Err(Errno::BADF);
        }
        Ok(open)
    }

    /// Where a path relative to `fd` starts.
    ///
    /// # Errors
    /// `EBADF`, `ENOTDIR`.
    fn start(&self, call: &Call, fd: i32, path: &[u8]) -> Result<Start> {
        let place = self.descriptors.place(call.caller.place);
        let from = if fd == linux_raw_sys::general::AT_FDCWD || path.first() == Some(&b'/') {
            place.directory
        } else {
            let open = self.descriptors.get(self.open_of(call, fd)?);
            // A path walk says so if it is no directory.
            open.node.ok_or(Errno::NOTDIR)?
        };
        Ok(Start {
            root: place.root,
            from,
        })
    }

    /// Queues that wake when the readiness of an open description may have changed.
    fn queues_of(&self, open: &Open) -> [Option<QueueId>; 2] {
        match &open.object {
            Object::Pipe(pipe) => self.pipes.queues(*pipe, open.reads(), open.writes()),
            Object::Terminal(terminal) => [Some(self.terminals.queue(*terminal)), None],
            Object::Master(terminal) => [Some(self.terminals.master_queue(*terminal)), None],
            Object::Event(event) => [Some(self.events.queue(*event)), None],
            Object::Socket(socket) => [Some(self.sockets.queue(*socket)), None],
            Object::Epoll(epoll) => [Some(self.epolls.queue(*epoll)), None],
            _ => [None, None],
        }
    }

    /// Lets the caller wait until an open description may be ready.
    fn wait_for(&mut self, call: &Call, open: OpenId) {
        let queues = self.queues_of(self.descriptors.get(open));
        for queue in queues.into_iter().flatten() {
            self.queues.wait(queue, call.caller.thread);
        }
    }

    fn seeded(seed: [u8; 32]) -> ChaCha20Rng {
        ChaCha20Rng::from_seed(seed)
    }
}
