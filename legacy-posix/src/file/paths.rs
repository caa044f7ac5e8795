// SPDX-License-Identifier: BSD-2-Clause
//! Names: making, removing, moving and reading them; current directories.

use alloc::format;
use alloc::vec::Vec;

use linux_raw_sys::general::{
    AT_EMPTY_PATH, AT_REMOVEDIR, AT_SYMLINK_FOLLOW, CAP_DAC_READ_SEARCH, CAP_MKNOD, CAP_SYS_CHROOT,
    RENAME_EXCHANGE, RENAME_NOREPLACE, S_IFDIR, S_IFLNK,
};

use super::{Files, Object, Open, OpenId, Place, look, with};
use crate::vfs::permission::{self, SEARCH, WRITE};
use crate::vfs::tree::{End, Found, Last, Target};
use crate::vfs::{Call, Kind, Link, New, Node, PATH_MAX, Rights};
use crate::{Errno, Result};

impl Files {
    /// What a path means, or the descriptor itself if the path is empty and `empty` allows it.
    pub(super) fn target(
        &self,
        call: &mut Call,
        directory: i32,
        path: &[u8],
        follow: bool,
        empty: bool,
    ) -> Result<Target> {
        if path.is_empty() && empty {
            if directory == linux_raw_sys::general::AT_FDCWD {
                let place = self.descriptors.place(call.caller.place);
                return Ok(Target::Node(place.directory));
            }
            return Ok(Target::Open(self.open_of(call, directory)?));
        }
        let end = End::following(follow);
        self.found(call, directory, path, end)?.target()
    }

    fn found<'a>(
        &self,
        call: &mut Call,
        directory: i32,
        path: &'a [u8],
        end: End,
    ) -> Result<Found<'a>> {
        let start = self.start(call, directory, path)?;
        look!(self, call, |env| self.vfs.walk(env, start, path, end))
    }

    /// The file that a path means.
    pub(super) fn node(
        &self,
        call: &mut Call,
        directory: i32,
        path: &[u8],
        follow: bool,
        empty: bool,
    ) -> Result<Node> {
        match self.target(call, directory, path, follow, empty)? {
            Target::Node(node) => Ok(node),
            Target::Open(open) => self.descriptors.get(open).node.ok_or(Errno::INVAL),
        }
    }

    pub(super) fn rights(&self, call: &mut Call, node: Node) -> Result<Rights> {
        look!(self, call, |env| self.vfs.rights(env, node))
    }

    /// Where something new is to be made: the directory may be written, and nothing has the name.
    fn vacant<'a>(
        &self,
        call: &mut Call,
        directory: i32,
        path: &'a [u8],
    ) -> Result<(Found<'a>, Rights)> {
        let found = self.found(call, directory, path, End::Name)?;
        if found.target.is_some() {
            return Err(Errno::EXIST);
        }
        self.vfs.check_writable(found.directory)?;
        let above = self.rights(call, found.directory)?;
        permission::check(call.caller.credentials, above, WRITE | SEARCH)?;
        Ok((found, above))
    }

    fn make(&mut self, call: &mut Call, found: &Found, new: New, rights: Rights) -> Result<()> {
        let parent = found.directory;
        with!(self, call, parent.fs, |system, env| {
            system.create(env, parent.ino, found.name(), new, rights)
        })?;
        Ok(())
    }

    /// `mkdirat`.
    ///
    /// # Errors
    /// Those of walking a path; `EEXIST`, `EACCES`, `ENOSPC`; `EPERM` in file systems that have fixed contents.
    pub fn mkdirat(
        &mut self,
        call: &mut Call,
        directory: i32,
        path: &[u8],
        mode: u32,
    ) -> Result<()> {
        let (found, above) = self.vacant(call, directory, path)?;
        let rights = self.new_rights(call, above, S_IFDIR | mode & 0o1777);
        self.make(call, &found, New::Directory, rights)
    }

    /// `mknodat`.
    ///
    /// # Errors
    /// As [`Files::mkdirat`]; `EPERM` for devices without the capability, and directories; `EINVAL`.
    pub fn mknodat(
        &mut self,
        call: &mut Call,
        directory: i32,
        path: &[u8],
        mode: u32,
        device: u64,
    ) -> Result<()> {
        let kind = Kind::of(mode)?;
        match kind {
            Kind::Directory => return Err(Errno::PERM),
            Kind::Link => return Err(Errno::INVAL),
            _ => {}
        }
        let (found, above) = self.vacant(call, directory, path)?;
        if found.slash {
            return Err(Errno::NOENT);
        }
        let is_device = matches!(kind, Kind::Character | Kind::Block);
        if is_device && !call.caller.credentials.can(CAP_MKNOD) {
            return Err(Errno::PERM);
        }
        let rights = self.new_rights(call, above, kind.bits() | mode & 0o7777);
        let device = if is_device { device } else { 0 };
        self.make(call, &found, New::File(kind, device), rights)
    }

    /// `symlinkat`: makes a link with this text.
    ///
    /// # Errors
    /// As [`Files::mkdirat`]; `ENOENT` for an empty text, `ENAMETOOLONG`.
    pub fn symlinkat(
        &mut self,
        call: &mut Call,
        text: &[u8],
        directory: i32,
        path: &[u8],
    ) -> Result<()> {
        if text.is_empty() {
            return Err(Errno::NOENT);
        }
        if text.len() >= PATH_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        let (found, above) = self.vacant(call, directory, path)?;
        if found.slash {
            return Err(Errno::NOENT);
        }
        let mut rights = permission::inherited(call.caller.credentials, above, S_IFLNK | 0o777);
        rights.mode = S_IFLNK | 0o777;
        self.make(call, &found, New::Link(text), rights)
    }

    /// `linkat`.
    ///
    /// # Errors
    /// As [`Files::mkdirat`]; `EPERM` for a directory, `EXDEV`, `EMLINK`; `ENOENT` for a file that has lost its last
    /// name; `EINVAL` for unknown flags.
    pub fn linkat(
        &mut self,
        call: &mut Call,
        (from, old): (i32, &[u8]),
        (to, new): (i32, &[u8]),
        flags: u32,
    ) -> Result<()> {
        if flags & !(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH) != 0 {
            return Err(Errno::INVAL);
        }
        let empty = flags & AT_EMPTY_PATH != 0;
        if empty && old.is_empty() && !call.caller.credentials.can(CAP_DAC_READ_SEARCH) {
            return Err(Errno::NOENT);
        }
        let follow = flags & AT_SYMLINK_FOLLOW != 0;
        let node = match self.target(call, from, old, follow, empty)? {
            Target::Node(node) => node,
            // A pipe or socket lives in a file system of its own.
            Target::Open(open) => self.descriptors.get(open).node.ok_or(Errno::XDEV)?,
        };
        let found = self.found(call, to, new, End::Name)?;
        if found.target.is_some() {
            return Err(Errno::EXIST);
        }
        let rights = self.rights(call, node)?;
        if found.slash {
            return Err(Errno::NOENT);
        }
        let parent = found.directory;
        if parent.fs != node.fs {
            return Err(Errno::XDEV);
        }
        self.vfs.check_writable(parent)?;
        // What cannot be changed gets no name by which it could.
        self.vfs.check_writable(node).map_err(|_| Errno::XDEV)?;
        permission::check_link(call.caller.credentials, rights)?;
        let above = self.rights(call, parent)?;
        permission::check(call.caller.credentials, above, WRITE | SEARCH)?;
        if rights.is_directory() {
            return Err(Errno::PERM);
        }
        with!(self, call, node.fs, |system, env| {
            system.add_name(env, parent.ino, found.name(), node.ino)
        })
    }

    /// What a name to be removed or moved means: must be in the directory's own file system.
    fn removable(&self, call: &mut Call, found: &Found) -> Result<(Node, Rights)> {
        let Target::Node(node) = found.target()? else {
            return Err(Errno::PERM);
        };
        self.vfs.check_writable(found.directory)?;
        let above = self.rights(call, found.directory)?;
        let rights = self.rights(call, node)?;
        permission::check_removal(call.caller.credentials, above, rights)?;
        if node.fs != found.directory.fs || self.vfs.is_sealed(node) {
            return Err(Errno::BUSY);
        }
        Ok((node, rights))
    }

    /// `unlinkat`, and with `AT_REMOVEDIR` what `rmdir` does.
    ///
    /// # Errors
    /// Those of walking a path; `ENOENT`, `EACCES`, `EPERM`, `EISDIR`, `ENOTDIR`, `ENOTEMPTY`; `EBUSY` for a
    /// root or a mount; `EINVAL` for `.` and for unknown flags.
    pub fn unlinkat(
        &mut self,
        call: &mut Call,
        directory: i32,
        path: &[u8],
        flags: u32,
    ) -> Result<()> {
        if flags & !AT_REMOVEDIR != 0 {
            return Err(Errno::INVAL);
        }
        let remove = flags & AT_REMOVEDIR != 0;
        let found = self.found(call, directory, path, End::Name)?;
        match found.last {
            Last::Name => {}
            _ if !remove => return Err(Errno::ISDIR),
            Last::DotDot => return Err(Errno::NOTEMPTY),
            Last::Dot if found.name().is_empty() => return Err(Errno::BUSY),
            Last::Dot => return Err(Errno::INVAL),
        }
        let (node, rights) = self.removable(call, &found)?;
        if remove && !rights.is_directory() {
            return Err(Errno::NOTDIR);
        }
        if !remove && rights.is_directory() {
            return Err(Errno::ISDIR);
        }
        if !remove && found.slash {
            return Err(Errno::NOTDIR);
        }
        let parent = found.directory;
        with!(self, call, node.fs, |system, env| {
            if remove {
                system.remove(env, parent.ino, found.name())
            } else {
                system.unlink(env, parent.ino, found.name())
            }
        })
    }

    /// `renameat2`.
    ///
    /// # Errors
    /// As [`Files::unlinkat`] for both names; `EXDEV`, `EEXIST` with `RENAME_NOREPLACE`, `EINVAL` for a directory
    /// into itself and for unknown flags.
    pub fn renameat2(
        &mut self,
        call: &mut Call,
        (from, old): (i32, &[u8]),
        (to, new): (i32, &[u8]),
        flags: u32,
    ) -> Result<()> {
        let (keep, exchange) = (flags & RENAME_NOREPLACE != 0, flags & RENAME_EXCHANGE != 0);
        if flags & !(RENAME_NOREPLACE | RENAME_EXCHANGE) != 0 || keep && exchange {
            return Err(Errno::INVAL);
        }
        let source = self.found(call, from, old, End::Name)?;
        let goal = self.found(call, to, new, End::Name)?;
        if source.directory.fs != goal.directory.fs {
            return Err(Errno::XDEV);
        }
        if source.last != Last::Name {
            return Err(Errno::BUSY);
        }
        if goal.last != Last::Name {
            return Err(if keep { Errno::EXIST } else { Errno::BUSY });
        }
        source.target()?;
        if keep && goal.target.is_some() {
            return Err(Errno::EXIST);
        }
        if exchange {
            goal.target()?;
        }
        let rights = match source.target {
            Some(Target::Node(node)) => self.rights(call, node)?,
            _ => return Err(Errno::PERM),
        };
        if !rights.is_directory() && (source.slash || goal.slash && !exchange) {
            return Err(Errno::NOTDIR);
        }
        self.removable(call, &source)?;
        let who = call.caller.credentials;
        let moves = source.directory != goal.directory;
        if rights.is_directory() && moves {
            // Its `..` changes.
            permission::check(who, rights, WRITE)?;
        }
        match goal.target {
            Some(Target::Node(_)) => {
                let (_, replaced) = self.removable(call, &goal)?;
                if exchange && goal.slash && !replaced.is_directory() {
                    return Err(Errno::NOTDIR);
                }
                if exchange && replaced.is_directory() && moves {
                    permission::check(who, replaced, WRITE)?;
                }
            }
            Some(Target::Open(_)) => return Err(Errno::PERM),
            None => {
                self.vfs.check_writable(goal.directory)?;
                let above = self.rights(call, goal.directory)?;
                permission::check(who, above, WRITE | SEARCH)?;
            }
        }
        with!(self, call, source.directory.fs, |system, env| {
            system.rename(
                env,
                (source.directory.ino, source.name()),
                (goal.directory.ino, goal.name()),
                exchange,
            )
        })
    }

    /// `readlinkat`: the text of a symbolic link.
    ///
    /// # Errors
    /// Those of walking a path; `EINVAL` for what is none.
    pub fn readlinkat(&mut self, call: &mut Call, directory: i32, path: &[u8]) -> Result<Vec<u8>> {
        let node = match self.target(call, directory, path, false, true)? {
            Target::Node(node) => node,
            Target::Open(open) => {
                let open = self.descriptors.get(open);
                match (&open.object, open.node) {
                    (Object::Path, Some(node)) => node,
                    _ => return Err(Errno::NOENT),
                }
            }
        };
        if self.rights(call, node)?.kind() != Kind::Link {
            // Linux tells a file from an empty path of a descriptor.
            return Err(if path.is_empty() {
                Errno::NOENT
            } else {
                Errno::INVAL
            });
        }
        let link = look!(self, call, |env| {
            self.vfs.system_ref(node.fs).link(env, node.ino)
        })?;
        let root = self.descriptors.place(call.caller.place).root;
        Ok(match link {
            Link::Path(text) => text.into_owned(),
            Link::Node(to) => self.path_text(root, to),
            Link::Descriptor(process, fd) => {
                let table = call.processes.table(process).ok_or(Errno::NOENT)?;
                let open = self.descriptors.open_of(table, fd).ok_or(Errno::NOENT)?;
                self.open_text(root, open)
            }
        })
    }

    /// A file's path as links in `/proc` tell it.
    pub fn path_text(&self, root: Node, node: Node) -> Vec<u8> {
        match self.vfs.path(root, node) {
            Some((mut path, deleted)) => {
                if deleted {
                    path.extend_from_slice(b" (deleted)");
                }
                path
            }
            None => b"(unreachable)".to_vec(),
        }
    }

    fn open_text(&self, root: Node, id: OpenId) -> Vec<u8> {
        let Open { object, node, .. } = self.descriptors.get(id);
        if let Some(node) = node {
            return self.path_text(root, *node);
        }
        match object {
            Object::Pipe(pipe) => format!("pipe:[{}]", pipe.number()),
            Object::Socket(socket) => format!("socket:[{}]", socket.number()),
            Object::Event(_) => "anon_inode:[eventfd]".into(),
            Object::Epoll(_) => "anon_inode:[eventpoll]".into(),
            _ => "anon_inode:[unknown]".into(),
        }
        .into_bytes()
    }

    // ---- places ----

    fn enter(&mut self, call: &mut Call, node: Node, root: bool) -> Result<()> {
        let rights = self.rights(call, node)?;
        if !rights.is_directory() {
            return Err(Errno::NOTDIR);
        }
        permission::check(call.caller.credentials, rights, SEARCH)?;
        if root && !call.caller.credentials.can(CAP_SYS_CHROOT) {
            return Err(Errno::PERM);
        }
        self.vfs.hold(node);
        let place = self.descriptors.place_mut(call.caller.place);
        let slot = if root {
            &mut place.root
        } else {
            &mut place.directory
        };
        let before = core::mem::replace(slot, node);
        self.vfs.release(call.pages, before);
        Ok(())
    }

    /// `chdir`.
    ///
    /// # Errors
    /// Those of walking a path; `ENOTDIR`, `EACCES`.
    pub fn chdir(&mut self, call: &mut Call, path: &[u8]) -> Result<()> {
        let node = self.node(call, linux_raw_sys::general::AT_FDCWD, path, true, false)?;
        self.enter(call, node, false)
    }

    /// `fchdir`.
    ///
    /// # Errors
    /// `EBADF`, `ENOTDIR`, `EACCES`.
    pub fn fchdir(&mut self, call: &mut Call, fd: i32) -> Result<()> {
        let open = self.descriptors.get(self.open_of(call, fd)?);
        let node = open.node.ok_or(Errno::NOTDIR)?;
        self.enter(call, node, false)
    }

    /// `chroot`.
    ///
    /// # Errors
    /// As [`Files::chdir`]; `EPERM`.
    pub fn chroot(&mut self, call: &mut Call, path: &[u8]) -> Result<()> {
        let node = self.node(call, linux_raw_sys::general::AT_FDCWD, path, true, false)?;
        self.enter(call, node, true)
    }

    /// `getcwd`, without the zero at its end.
    ///
    /// # Errors
    /// `ENOENT` if the directory has been removed.
    pub fn getcwd(&self, call: &Call) -> Result<Vec<u8>> {
        let Place {
            root, directory, ..
        } = *self.descriptors.place(call.caller.place);
        match self.vfs.path(root, directory) {
            Some((_, true)) => Err(Errno::NOENT),
            Some((path, false)) => Ok(path),
            None => {
                let mut path = b"(unreachable)".to_vec();
                if let Some((rest, _)) = self.vfs.path(self.root(), directory) {
                    path.extend_from_slice(&rest);
                }
                Ok(path)
            }
        }
    }
}
