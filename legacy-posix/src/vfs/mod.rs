// SPDX-License-Identifier: BSD-2-Clause
//! The tree of files: what names mean, what files are, and who may do what with them.
//!
//! A [`Node`] is a file: a file system and its number there. Everything about one file system is
//! behind the trait [`FileSystem`]; the root is a [`tmpfs`], and a disk file system would be
//! another implementation. What all file systems have in common is here: [`tree`] has the mounts
//! and finds what a path names, [`permission`] decides who may.
//!
//! Files and not names are what open descriptions hold ([`FileSystem::hold`]): a file without a name
//! lives until the last of them is closed.

pub mod archive;
pub mod data;
pub mod device;
pub mod directory;
pub mod permission;
pub mod procfs;
pub mod region;
pub mod source;
pub mod tmpfs;
pub mod tree;

use alloc::borrow::Cow;
use alloc::vec::Vec;

use linux_raw_sys::general::{
    S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK,
};

use crate::file::Descriptors;
use crate::{Buffer, Credentials, Errno, Page, Pages, ProcessId, Result, ThreadId};
use source::Processes;

/// The longest name of one file (NAME_MAX).
pub const NAME_MAX: usize = 255;
/// The longest path, with its terminating zero (PATH_MAX).
pub const PATH_MAX: usize = 4096;
/// Symbolic links that one walk follows (MAXSYMLINKS).
pub const LINKS_MAX: usize = 40;

/// The longest order that is written to a file without contents.
pub const ORDER_MAX: usize = 16_384;

/// A point in time, from 1970.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct Time {
    /// Seconds.
    pub seconds: i64,
    /// Nanoseconds, below 10^9.
    pub nanoseconds: u32,
}

/// What a file is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Kind {
    Regular,
    Directory,
    Link,
    Pipe,
    Character,
    Block,
    Socket,
}

impl Kind {
    /// As the type bits of a mode; regular if there are none.
    ///
    /// # Errors
    /// `EINVAL` for bits that are no type.
    pub const fn of(mode: u32) -> Result<Self> {
        Ok(match mode & S_IFMT {
            0 | S_IFREG => Self::Regular,
            S_IFDIR => Self::Directory,
            S_IFLNK => Self::Link,
            S_IFIFO => Self::Pipe,
            S_IFCHR => Self::Character,
            S_IFBLK => Self::Block,
            S_IFSOCK => Self::Socket,
            _ => return Err(Errno::INVAL),
        })
    }

    /// The type bits of a mode.
    pub const fn bits(self) -> u32 {
        match self {
            Self::Regular => S_IFREG,
            Self::Directory => S_IFDIR,
            Self::Link => S_IFLNK,
            Self::Pipe => S_IFIFO,
            Self::Character => S_IFCHR,
            Self::Block => S_IFBLK,
            Self::Socket => S_IFSOCK,
        }
    }

    /// `d_type` of a directory entry.
    pub const fn dirent(self) -> u8 {
        (self.bits() >> 12) as u8
    }
}

/// A file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Node {
    /// Index of its file system, in the table of mounts.
    pub fs: u32,
    /// Its number there.
    pub ino: u64,
}

/// What decides who may do what with a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rights {
    /// Type and permission bits, as `st_mode`.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

impl Rights {
    /// What it is.
    pub const fn kind(&self) -> Kind {
        match Kind::of(self.mode) {
            Ok(kind) => kind,
            Err(_) => Kind::Regular,
        }
    }

    /// Whether it is a directory.
    pub const fn is_directory(&self) -> bool {
        self.mode & S_IFMT == S_IFDIR
    }
}

/// What `stat` tells of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Attributes {
    pub rights: Rights,
    pub dev: u64,
    pub ino: u64,
    pub nlink: u32,
    pub rdev: u64,
    pub size: u64,
    /// In units of 512 bytes.
    pub blocks: u64,
    pub atime: Time,
    pub mtime: Time,
    pub ctime: Time,
    pub btime: Time,
}

/// Changes of a file's attributes; the time of change is always set to now.
#[derive(Clone, Copy, Default, Debug)]
#[allow(missing_docs)]
pub struct Change {
    /// Permission bits, `S_ISUID` and so on among them.
    pub mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub atime: Option<Time>,
    pub mtime: Option<Time>,
}

/// Something to be made in a directory.
#[derive(Clone, Copy, Debug)]
pub enum New<'a> {
    /// A directory.
    Directory,
    /// A symbolic link with this text.
    Link(&'a [u8]),
    /// A file of another kind, and its device number if it is a device.
    File(Kind, u64),
}

impl New<'_> {
    /// What it will be.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Directory => Kind::Directory,
            Self::Link(_) => Kind::Link,
            Self::File(kind, _) => *kind,
        }
    }
}

/// A file of an archive. Its name and what is in it lie somewhere else and never change: nothing is copied.
#[derive(Clone, Copy, Debug)]
pub struct Lasting {
    /// Its name.
    pub name: &'static [u8],
    /// What it is.
    pub of: Of,
    /// Type and permissions, owner, group.
    pub rights: Rights,
    /// When it was changed.
    pub time: Time,
}

/// What a [`Lasting`] file is.
#[derive(Clone, Copy, Debug)]
pub enum Of {
    /// A directory.
    Directory,
    /// A symbolic link with this text.
    Link(&'static [u8]),
    /// A regular file: no memory is needed for its contents until they are changed or mapped.
    Contents(&'static [u8]),
    /// A file of another kind, and its device number if it is a device.
    Special(u64),
    /// Another name of this file.
    Name(u64),
}

/// Where a symbolic link leads.
#[derive(Clone, Debug)]
pub enum Link {
    /// To a path.
    Path(Cow<'static, [u8]>),
    /// To a file, whatever its name (`/proc/self/exe`).
    Node(Node),
    /// To what a process has open (`/proc/self/fd/3`), if it still has.
    Descriptor(ProcessId, u32),
}

/// A directory's entry.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Entry<'a> {
    pub name: &'a [u8],
    pub ino: u64,
    pub kind: Kind,
    /// Where reading goes on behind it.
    pub next: u64,
}

/// What `statfs` tells, in pages and files.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[allow(missing_docs)]
pub struct Usage {
    pub magic: u32,
    pub blocks: u64,
    pub free: u64,
    pub files: u64,
    pub files_free: u64,
}

/// Who calls.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// The thread, for wait queues.
    pub thread: ThreadId,
    /// Its process: owner of record locks, `/proc/self`.
    pub process: ProcessId,
    /// The process's group, for terminals.
    pub group: ProcessId,
    /// The process's session, for terminals.
    pub session: ProcessId,
    /// Signals that the thread blocks or the process ignores, bit `signal - 1` each: a background process
    /// that ignores `SIGTTOU` may write to its terminal.
    pub quiet: u64,
    /// Whom it acts for.
    pub credentials: &'a Credentials,
    /// Its descriptors.
    pub table: crate::file::TableId,
    /// Its root and current directory.
    pub place: crate::file::PlaceId,
    /// RLIMIT_NOFILE: descriptors must be below.
    pub descriptors_limit: u32,
    /// RLIMIT_FSIZE: no file is made longer.
    pub file_limit: u64,
}

/// What a call is made with.
pub struct Call<'a> {
    /// Page frames.
    pub pages: &'a mut dyn Pages,
    /// What is known of processes and the system.
    pub processes: &'a dyn Processes,
    /// Who calls.
    pub caller: Caller<'a>,
    /// The time of day.
    pub now: Time,
}

/// What a file system's operations are called with.
pub struct Env<'a> {
    /// Page frames.
    pub pages: &'a mut dyn Pages,
    /// What is known of processes and the system.
    pub processes: &'a dyn Processes,
    /// What processes have open.
    pub descriptors: &'a Descriptors,
    /// Which terminal a session has.
    pub terminals: &'a crate::tty::Terminals,
    /// The mounts, as `/proc/mounts` has them.
    pub mounts: &'a tree::Mounts,
    /// The process that calls.
    pub process: ProcessId,
    /// Whom it acts for.
    pub credentials: &'a Credentials,
    /// The time of day.
    pub now: Time,
}

/// What a mounted file system can do. Operations that have an implementation here are not supported
/// by file systems that have none of their own.
///
/// Permissions, paths, mounts and open descriptions are the caller's business. Directories and files
/// are named by their numbers; one that is not there any more (a process of `/proc` that ended)
/// gives `ENOENT`.
#[allow(unused_variables)]
pub trait FileSystem {
    /// Its type, as in `/proc/mounts`.
    fn name(&self) -> &'static str;

    /// Its root directory.
    fn root(&self) -> u64;

    /// What decides who may do what with a file.
    ///
    /// # Errors
    /// `ENOENT`.
    fn rights(&self, env: &mut Env, ino: u64) -> Result<Rights>;

    /// All that `stat` tells, but the device, which the caller adds.
    ///
    /// # Errors
    /// `ENOENT`.
    fn attributes(&self, env: &mut Env, ino: u64) -> Result<Attributes>;

    /// The file of this name in a directory (never `.` or `..`).
    ///
    /// # Errors
    /// `ENOENT`, `ENOTDIR`.
    fn find(&self, env: &mut Env, directory: u64, name: &[u8]) -> Result<u64>;

    /// The directory that a directory is in; itself for the root.
    fn parent(&self, directory: u64) -> u64;

    /// A name of a file and the directory that has it, if it has one: puts the name into `name`.
    fn named(&self, ino: u64, name: &mut Vec<u8>) -> Option<u64>;

    /// Where a symbolic link leads.
    ///
    /// # Errors
    /// `EINVAL` if it is none.
    fn link(&self, env: &mut Env, ino: u64) -> Result<Link>;

    /// Entries of a directory from a position on (0 at first, then [`Entry::next`]), until `each`
    /// says that it has enough. An entry that is there all the time is given exactly once.
    ///
    /// # Errors
    /// `ENOTDIR`, `ENOENT`.
    fn list(
        &self,
        env: &mut Env,
        directory: u64,
        from: u64,
        each: &mut dyn FnMut(Entry) -> bool,
    ) -> Result<()>;

    /// One more that uses the file: it lives even without a name.
    fn hold(&mut self, ino: u64) {}

    /// One less.
    fn release(&mut self, pages: &mut dyn Pages, ino: u64) {}

    /// Makes a file in a directory, which has none of this name.
    ///
    /// # Errors
    /// `ENOSPC`; `ENOENT` if the directory has been removed.
    fn create(
        &mut self,
        env: &mut Env,
        directory: u64,
        name: &[u8],
        new: New,
        rights: Rights,
    ) -> Result<u64> {
        Err(Errno::PERM)
    }

    /// Makes a file of an archive in a directory, unless that has one of this name already: whether it did. The
    /// directory's times stay.
    ///
    /// # Errors
    /// As [`create`](Self::create) and [`add_name`](Self::add_name).
    fn place(&mut self, env: &mut Env, directory: u64, file: &Lasting) -> Result<bool> {
        Err(Errno::PERM)
    }

    /// Makes a regular file without a name.
    ///
    /// # Errors
    /// `ENOSPC`.
    fn create_unnamed(&mut self, env: &mut Env, rights: Rights) -> Result<u64> {
        Err(Errno::OPNOTSUPP)
    }

    /// Gives a file another name.
    ///
    /// # Errors
    /// `EEXIST`, `EMLINK`, `ENOSPC`, `ENOENT` if it has none or the directory has been removed.
    fn add_name(&mut self, env: &mut Env, directory: u64, name: &[u8], ino: u64) -> Result<()> {
        Err(Errno::PERM)
    }

    /// Takes a name from a file that is no directory.
    ///
    /// # Errors
    /// `ENOENT`, `EISDIR`.
    fn unlink(&mut self, env: &mut Env, directory: u64, name: &[u8]) -> Result<()> {
        Err(Errno::PERM)
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// `ENOENT`, `ENOTDIR`, `ENOTEMPTY`.
    fn remove(&mut self, env: &mut Env, directory: u64, name: &[u8]) -> Result<()> {
        Err(Errno::PERM)
    }

    /// Moves a name; what had the new name before loses it. With `exchange`, the two change places.
    ///
    /// # Errors
    /// `ENOENT`, `ENOTDIR`, `EISDIR`, `ENOTEMPTY`; `EINVAL` for a directory into itself.
    fn rename(
        &mut self,
        env: &mut Env,
        from: (u64, &[u8]),
        to: (u64, &[u8]),
        exchange: bool,
    ) -> Result<()> {
        Err(Errno::PERM)
    }

    /// Changes attributes.
    ///
    /// # Errors
    /// `EPERM` if this file system has them fixed.
    fn change(&mut self, env: &mut Env, ino: u64, change: &Change) -> Result<()> {
        Err(Errno::PERM)
    }

    /// Bytes of a regular file from `position` on; gives how many.
    ///
    /// # Errors
    /// `EINVAL`.
    fn read(&mut self, env: &mut Env, ino: u64, position: u64, into: &mut Buffer) -> Result<usize> {
        Err(Errno::INVAL)
    }

    /// Writes to a regular file; gives how many bytes there was room for. Where files have no contents,
    /// this is an order.
    ///
    /// # Errors
    /// `ENOSPC` if for none; as [`FileSystem::order`].
    fn write(
        &mut self,
        env: &mut Env,
        ino: u64,
        position: u64,
        from: &mut Buffer,
    ) -> Result<usize> {
        let mut text = alloc::vec![0; from.left().min(ORDER_MAX)];
        let length = from.take(env.pages, &mut text);
        self.order(env, ino, &text)?;
        Ok(length)
    }

    /// Makes a regular file this long: cut, or with a hole at its end.
    ///
    /// # Errors
    /// `EINVAL`.
    fn resize(&mut self, env: &mut Env, ino: u64, size: u64) -> Result<()> {
        Err(Errno::INVAL)
    }

    /// Has memory for a range of a regular file (`hole` false), or makes it a hole. With `keep`, the
    /// size stays as it is.
    ///
    /// # Errors
    /// `ENOSPC`, `EOPNOTSUPP`.
    fn allocate(
        &mut self,
        env: &mut Env,
        ino: u64,
        range: core::ops::Range<u64>,
        hole: bool,
        keep: bool,
    ) -> Result<()> {
        Err(Errno::OPNOTSUPP)
    }

    /// The next data (or hole) of a regular file at or behind a position.
    ///
    /// # Errors
    /// `ENXIO` if there is none.
    fn seek(&self, ino: u64, position: u64, data: bool) -> Result<u64> {
        Err(Errno::INVAL)
    }

    /// The frame of page `index` of a regular file, to be mapped: the caller takes a hold of its own.
    /// A hole is filled with a frame of zeroes if `fill`, else `None`, which reads as zeroes.
    ///
    /// # Errors
    /// `ENOSPC`; `ENXIO` behind the end; `ENODEV` if files cannot be mapped.
    fn page(
        &mut self,
        pages: &mut dyn Pages,
        ino: u64,
        index: u64,
        fill: bool,
    ) -> Result<Option<Page>> {
        Err(Errno::NODEV)
    }

    /// The text that a file that is made when it is read has now; `None` for files with contents.
    /// `path` gives the paths of files that it mentions.
    ///
    /// # Errors
    /// `ENOENT`, `EACCES`.
    fn text(
        &self,
        env: &mut Env,
        ino: u64,
        path: &dyn Fn(Node) -> Vec<u8>,
    ) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }

    /// Writes to a file that is an order to someone; gives the answer, if there is one.
    ///
    /// # Errors
    /// `EINVAL`, and what the one who gets the order says.
    fn order(&mut self, env: &mut Env, ino: u64, text: &[u8]) -> Result<Option<Vec<u8>>> {
        Err(Errno::INVAL)
    }

    /// How full it is.
    fn usage(&self, pages: &dyn Pages) -> Usage;

    /// Gives all memory back: it is not used any more.
    fn end(&mut self, pages: &mut dyn Pages) {}
}

/// Makes a device number (`makedev`), as `stat` has it.
pub const fn device_number(major: u32, minor: u32) -> u64 {
    (minor as u64 & 0xff)
        | (major as u64 & 0xfff) << 8
        | (minor as u64 & !0xff) << 12
        | (major as u64 & !0xfff) << 32
}

/// Major and minor of a device number.
pub const fn major_minor(device: u64) -> (u32, u32) {
    (
        (device >> 8 & 0xfff | device >> 32 & !0xfff) as u32,
        (device & 0xff | device >> 12 & !0xff) as u32,
    )
}
