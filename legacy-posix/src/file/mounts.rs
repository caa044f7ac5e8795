// SPDX-License-Identifier: BSD-2-Clause
//! Mounts: what is mounted where, by `mount` and before the first program runs.

use alloc::boxed::Box;
use alloc::string::String;

use linux_raw_sys::general::{
    AT_FDCWD, MS_BIND, MS_MOVE, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY, MS_REMOUNT, S_IFDIR,
};
use xos_container::MountFlags;

use super::{Files, with};
use crate::vfs::procfs::Procfs;
use crate::vfs::tmpfs::Tmpfs;
use crate::vfs::{Call, FileSystem, Kind, New, Node, Rights, device};
use crate::{Errno, PAGE, Result};

/// Mounts that there may be, so that they cannot fill the server's heap.
const MOUNTS_MAX: usize = 256;

/// Where the names of pseudo-terminals are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Terminals {
    /// The directory, of a file system that is mounted for good.
    pub directory: Node,
    /// Permissions of a new one.
    pub mode: u32,
    /// Group of a new one; nothing: of who makes it.
    pub group: Option<u32>,
}

/// What a `tmpfs` may have in it, and who owns its root.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Room {
    /// Pages of files.
    pub frames: usize,
    /// Files.
    pub files: usize,
    /// Permissions of its root.
    pub mode: u32,
    /// Owner of its root.
    pub uid: u32,
    /// Group of its root.
    pub gid: u32,
}

impl Files {
    /// What a `tmpfs` gets that nobody says anything about: half of the memory, as in Linux.
    pub fn usual_room(&self, call: &Call) -> Room {
        Room {
            frames: call.pages.available().1 / 2,
            files: self.limits.files / 4,
            mode: 0o1777,
            uid: call.caller.credentials.fsuid,
            gid: call.caller.credentials.fsgid,
        }
    }

    /// Mounts a file system over what a path means: its index.
    ///
    /// # Errors
    /// Those of walking the path; `ENOSPC` for too many.
    pub fn attach(
        &mut self,
        call: &mut Call,
        target: &[u8],
        system: Box<dyn FileSystem>,
        source: &str,
        flags: MountFlags,
    ) -> Result<u32> {
        let node = self.node(call, AT_FDCWD, target, true, false)?;
        self.attach_at(node, system, source, flags)
    }

    /// Mounts a file system over a file: its index.
    fn attach_at(
        &mut self,
        node: Node,
        system: Box<dyn FileSystem>,
        source: &str,
        flags: MountFlags,
    ) -> Result<u32> {
        if self.vfs.mounts.iter().count() >= MOUNTS_MAX {
            return Err(Errno::NOSPC);
        }
        let path = self.path_text(self.root(), node);
        let target = String::from_utf8_lossy(&path);
        Ok(self.vfs.mount(system, Some(node), source, &target, flags))
    }

    /// Mounts a file system whose root is a file over the file that a path means: its index.
    ///
    /// # Errors
    /// As [`Files::attach`]; `EISDIR` for a directory.
    pub fn attach_file(
        &mut self,
        call: &mut Call,
        target: &[u8],
        system: Box<dyn FileSystem>,
        source: &str,
        flags: MountFlags,
    ) -> Result<u32> {
        let node = self.node(call, AT_FDCWD, target, true, false)?;
        if self.rights(call, node)?.is_directory() {
            return Err(Errno::ISDIR);
        }
        self.attach_at(node, system, source, flags)
    }

    /// Mounts an empty `tmpfs`.
    ///
    /// # Errors
    /// As [`Files::attach`].
    pub fn attach_tmpfs(
        &mut self,
        call: &mut Call,
        target: &[u8],
        (kind, source): (&'static str, &str),
        room: Room,
        flags: MountFlags,
    ) -> Result<u32> {
        let rights = Rights {
            mode: S_IFDIR | room.mode & 0o7777,
            uid: room.uid,
            gid: room.gid,
        };
        let system = Tmpfs::new(kind, rights, room.frames, room.files, call.now);
        self.attach(call, target, Box::new(system), source, flags)
    }

    /// Hides what a path means: a directory looks empty, a file reads as empty, and neither can be changed.
    ///
    /// # Errors
    /// As [`Files::attach`].
    pub fn mask(&mut self, call: &mut Call, target: &[u8]) -> Result<()> {
        let node = self.node(call, AT_FDCWD, target, true, false)?;
        let rights = self.rights(call, node)?;
        let system = match rights.is_directory() {
            true => Tmpfs::new(
                "tmpfs",
                Rights {
                    mode: S_IFDIR | 0o755,
                    ..rights
                },
                0,
                1,
                call.now,
            ),
            false => Tmpfs::of_device("tmpfs", device::NULL, call.now),
        };
        let flags = MountFlags::READ_ONLY | MountFlags::NO_SUID | MountFlags::NO_EXEC;
        self.attach_at(node, Box::new(system), "tmpfs", flags)?;
        Ok(())
    }

    /// Lets nobody change what a path means, nor anything below it.
    ///
    /// # Errors
    /// Those of walking the path.
    pub fn seal(&mut self, call: &mut Call, target: &[u8]) -> Result<()> {
        let node = self.node(call, AT_FDCWD, target, true, false)?;
        self.vfs.seal(node);
        Ok(())
    }

    /// A directory in another one, which is made if there is none.
    ///
    /// # Errors
    /// `ENOTDIR` if it is something else, `ENOSPC`.
    pub(super) fn directory(
        &mut self,
        call: &mut Call,
        parent: Node,
        name: &[u8],
        mode: u32,
    ) -> Result<Node> {
        let rights = Rights {
            mode: S_IFDIR | mode,
            uid: 0,
            gid: 0,
        };
        let ino = with!(self, call, parent.fs, |system, env| {
            match system.find(env, parent.ino, name) {
                Ok(ino) if !system.rights(env, ino)?.is_directory() => Err(Errno::NOTDIR),
                Ok(ino) => Ok(ino),
                Err(_) => system.create(env, parent.ino, name, New::Directory, rights),
            }
        })?;
        Ok(Node { fs: parent.fs, ino })
    }

    /// Makes the devices that there are, and the links to what a process has open, in the root of a file
    /// system.
    ///
    /// # Errors
    /// `ENOSPC`.
    pub fn make_devices(&mut self, call: &mut Call, fs: u32) -> Result<()> {
        let root = self.vfs.root(fs).ino;
        let devices = device::NODES.iter().map(|&(name, mode, number)| {
            let new = New::File(Kind::Character, number);
            (name, Kind::Character.bits() | mode, new)
        });
        let links = device::LINKS.iter().map(|&(name, to)| {
            let new = New::Link(to.as_bytes());
            (name, Kind::Link.bits() | 0o777, new)
        });
        for (name, mode, new) in devices.chain(links) {
            let (uid, gid) = (0, 0);
            with!(self, call, fs, |system, env| {
                system.create(env, root, name.as_bytes(), new, Rights { mode, uid, gid })
            })?;
        }
        Ok(())
    }

    /// `mount`, of what has no device: `tmpfs` (options `size`, `nr_inodes`, `mode`) and `proc`.
    ///
    /// # Errors
    /// Those of walking a path; `EPERM`, `ENOTDIR`; `ENODEV` for other types; `EINVAL` for bind mounts and
    /// moves, and bad options.
    pub fn mount(
        &mut self,
        call: &mut Call,
        source: &[u8],
        target: &[u8],
        kind: &[u8],
        flags: u32,
        options: &[u8],
    ) -> Result<()> {
        self.administers(call)?;
        let node = self.node(call, AT_FDCWD, target, true, false)?;
        let forbids = mount_flags(flags);
        if flags & MS_REMOUNT != 0 {
            if self.vfs.root(node.fs) != node {
                return Err(Errno::INVAL);
            }
            self.vfs.set_flags(node.fs, forbids);
            return Ok(());
        }
        if flags & (MS_BIND | MS_MOVE) != 0 {
            return Err(Errno::INVAL);
        }
        if !self.rights(call, node)?.is_directory() {
            return Err(Errno::NOTDIR);
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let source = text(if source.is_empty() { b"none" } else { source });
        match kind {
            b"proc" => self.attach(call, target, Box::new(Procfs), &source, forbids)?,
            b"tmpfs" | b"ramfs" => {
                let room = self.room(call, options)?;
                self.attach_tmpfs(call, target, ("tmpfs", &source), room, forbids)?
            }
            _ => return Err(Errno::NODEV),
        };
        Ok(())
    }

    /// What a `tmpfs` with these options gets.
    fn room(&self, call: &Call, options: &[u8]) -> Result<Room> {
        let mut room = self.usual_room(call);
        let all = call.pages.available().1;
        let text = core::str::from_utf8(options).map_err(|_| Errno::INVAL)?;
        for option in text.split(',').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            match name {
                "size" => room.frames = bytes(value, all)?.div_ceil(PAGE),
                "nr_inodes" => room.files = room.files.min(bytes(value, room.files)?.max(1)),
                "mode" => {
                    room.mode = u32::from_str_radix(value, 8).map_err(|_| Errno::INVAL)?;
                }
                "uid" => room.uid = value.parse().map_err(|_| Errno::INVAL)?,
                "gid" => room.gid = value.parse().map_err(|_| Errno::INVAL)?,
                _ => {}
            }
        }
        Ok(room)
    }

    /// `umount2`.
    ///
    /// # Errors
    /// Those of walking a path; `EPERM`, `EBUSY`; `EINVAL` for what is no mount.
    pub fn umount2(&mut self, call: &mut Call, target: &[u8]) -> Result<()> {
        self.administers(call)?;
        let node = self.node(call, AT_FDCWD, target, true, false)?;
        self.vfs.unmount(call.pages, node)
    }
}

/// What `mount`'s flags forbid.
fn mount_flags(flags: u32) -> MountFlags {
    [
        (MS_RDONLY, MountFlags::READ_ONLY),
        (MS_NOSUID, MountFlags::NO_SUID),
        (MS_NODEV, MountFlags::NO_DEV),
        (MS_NOEXEC, MountFlags::NO_EXEC),
    ]
    .into_iter()
    .filter(|(bit, _)| flags & bit != 0)
    .map(|(_, flag)| flag)
    .collect()
}

/// A number of bytes as `mount` options have it: with a suffix, or a part of `all` pages in percent.
fn bytes(text: &str, all: usize) -> Result<usize> {
    let split = text.len() - usize::from(!text.ends_with(|c: char| c.is_ascii_digit()));
    let number: usize = text
        .get(..split)
        .and_then(|digits| digits.parse().ok())
        .ok_or(Errno::INVAL)?;
    let factor = match text[split..].to_ascii_lowercase().as_str() {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        "%" => return Ok((all.min(usize::MAX / PAGE / 100) * number.min(100) / 100) * PAGE),
        _ => return Err(Errno::INVAL),
    };
    number.checked_mul(factor).ok_or(Errno::INVAL)
}
