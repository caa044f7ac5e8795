// SPDX-License-Identifier: BSD-2-Clause
//! What is known of files, and changing it.

use linux_raw_sys::general::{
    AT_EACCESS, AT_EMPTY_PATH, AT_NO_AUTOMOUNT, AT_STATX_SYNC_TYPE, AT_SYMLINK_NOFOLLOW,
    FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, R_OK, S_IFCHR, S_IFIFO, S_IFSOCK, UTIME_NOW,
    UTIME_OMIT, W_OK, X_OK,
};

use super::{Files, Object, OpenId, look, with};
use crate::vfs::data::SIZE_MAX;
use crate::vfs::permission::{self, WRITE};
use crate::vfs::tree::Target;
use crate::vfs::{Attributes, Call, Change, Kind, Node, Rights, Time, Usage, device_number};
use crate::{Credentials, Errno, PAGE, Result};

/// The device number of what is in no mounted file system.
const ANONYMOUS: u64 = device_number(0, 0xfff);
/// `f_type` of pipes and of sockets (`PIPEFS_MAGIC`, `ANON_INODE_FS_MAGIC`).
const PIPE_MAGIC: u32 = 0x5049_5045;
const ANONYMOUS_MAGIC: u32 = 0x0904_1934;

/// Whether writing to a file of this kind changes the file system that it lies in.
pub(super) const fn is_of_the_file_system(kind: Kind) -> bool {
    matches!(kind, Kind::Regular | Kind::Directory | Kind::Link)
}

impl Files {
    pub(super) fn node_attributes(&self, call: &mut Call, node: Node) -> Result<Attributes> {
        let mut attributes = look!(self, call, |env| {
            self.vfs.system_ref(node.fs).attributes(env, node.ino)
        })?;
        attributes.dev = device_number(0, node.fs + 1);
        Ok(attributes)
    }

    fn target_attributes(&self, call: &mut Call, target: Target) -> Result<Attributes> {
        match target {
            Target::Node(node) => self.node_attributes(call, node),
            Target::Open(open) => self.open_attributes(call, open),
        }
    }

    fn open_attributes(&self, call: &mut Call, id: OpenId) -> Result<Attributes> {
        let open = self.descriptors.get(id);
        if let Some(node) = open.node {
            return self.node_attributes(call, node);
        }
        let (mode, ino) = match open.object {
            Object::Pipe(pipe) => (S_IFIFO | 0o600, pipe.number()),
            Object::Socket(socket) => (S_IFSOCK | 0o777, socket.number()),
            Object::Terminal(_) | Object::Master(_) => (S_IFCHR | 0o620, 0),
            Object::Null => (S_IFCHR | 0o666, 0),
            _ => (0o600, 0),
        };
        Ok(Attributes {
            rights: Rights {
                mode,
                uid: call.caller.credentials.fsuid,
                gid: call.caller.credentials.fsgid,
            },
            dev: ANONYMOUS,
            ino: u64::from(ino) + 1,
            nlink: 1,
            rdev: 0,
            size: 0,
            blocks: 0,
            atime: call.now,
            mtime: call.now,
            ctime: call.now,
            btime: call.now,
        })
    }

    /// `newfstatat`, `statx`, `stat`, `lstat`.
    ///
    /// # Errors
    /// Those of walking a path; `EBADF`; `EINVAL` for unknown flags.
    pub fn fstatat(
        &self,
        call: &mut Call,
        directory: i32,
        path: &[u8],
        flags: u32,
    ) -> Result<Attributes> {
        if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_SYNC_TYPE)
            != 0
        {
            return Err(Errno::INVAL);
        }
        let follow = flags & AT_SYMLINK_NOFOLLOW == 0;
        let empty = flags & AT_EMPTY_PATH != 0;
        let target = self.target(call, directory, path, follow, empty)?;
        self.target_attributes(call, target)
    }

    /// The file that a path names, to be executed.
    ///
    /// # Errors
    /// As for [`Files::fstatat`]; `EACCES` for what is no file of a file system.
    pub fn file_at(
        &self,
        call: &mut Call,
        directory: i32,
        path: &[u8],
        flags: u32,
    ) -> Result<Node> {
        let follow = flags & AT_SYMLINK_NOFOLLOW == 0;
        let empty = flags & AT_EMPTY_PATH != 0;
        match self.target(call, directory, path, follow, empty)? {
            Target::Node(node) => Ok(node),
            Target::Open(open) => self.descriptors.get(open).node.ok_or(Errno::ACCES),
        }
    }

    /// `fstat`.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn fstat(&self, call: &mut Call, fd: i32) -> Result<Attributes> {
        let open = self.open_of(call, fd)?;
        self.open_attributes(call, open)
    }

    /// `statfs`, and an id of the file system.
    ///
    /// # Errors
    /// Those of walking a path.
    pub fn statfs(&self, call: &mut Call, path: &[u8]) -> Result<(Usage, u64)> {
        let target = self.target(call, linux_raw_sys::general::AT_FDCWD, path, true, false)?;
        Ok(self.target_usage(call, target))
    }

    /// `fstatfs`.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn fstatfs(&self, call: &mut Call, fd: i32) -> Result<(Usage, u64)> {
        let open = self.open_of(call, fd)?;
        Ok(self.target_usage(call, Target::Open(open)))
    }

    fn target_usage(&self, call: &mut Call, target: Target) -> (Usage, u64) {
        let node = match target {
            Target::Node(node) => Some(node),
            Target::Open(open) => self.descriptors.get(open).node,
        };
        match (node, target) {
            (Some(node), _) => {
                let system = self.vfs.system_ref(node.fs);
                (system.usage(call.pages), u64::from(node.fs) + 1)
            }
            (None, Target::Open(open)) => {
                let pipe = matches!(self.descriptors.get(open).object, Object::Pipe(_));
                let magic = if pipe { PIPE_MAGIC } else { ANONYMOUS_MAGIC };
                let usage = Usage {
                    magic,
                    ..Usage::default()
                };
                (usage, 0)
            }
            (None, Target::Node(_)) => (Usage::default(), 0),
        }
    }

    /// `faccessat2`: whether the caller may do what `mode` says, by its real ids unless `AT_EACCESS`.
    ///
    /// # Errors
    /// Those of walking a path; `EACCES`; `EINVAL`.
    pub fn faccessat2(
        &self,
        call: &mut Call,
        directory: i32,
        path: &[u8],
        mode: u32,
        flags: u32,
    ) -> Result<()> {
        if mode & !(R_OK | W_OK | X_OK) != 0
            || flags & !(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0
        {
            return Err(Errno::INVAL);
        }
        let who = call.caller.credentials;
        let real;
        let (uid, gid) = (who.uid, who.gid);
        let judged = if flags & AT_EACCESS != 0 || (who.fsuid, who.fsgid) == (uid, gid) {
            who
        } else {
            real = Credentials {
                fsuid: uid,
                fsgid: gid,
                capabilities: if uid == 0 { who.permitted } else { 0 },
                ..who.clone()
            };
            &real
        };
        // The walk is made with these too.
        let mut caller = call.caller;
        caller.credentials = judged;
        let call = &mut Call {
            pages: &mut *call.pages,
            processes: call.processes,
            caller,
            now: call.now,
        };
        let follow = flags & AT_SYMLINK_NOFOLLOW == 0;
        let empty = flags & AT_EMPTY_PATH != 0;
        let target = self.target(call, directory, path, follow, empty)?;
        let attributes = self.target_attributes(call, target)?;
        if mode == 0 {
            return Ok(());
        }
        if mode & W_OK != 0
            && let Target::Node(node) = target
            && is_of_the_file_system(attributes.rights.kind())
        {
            self.vfs.check_writable(node)?;
        }
        permission::check(judged, attributes.rights, mode)
    }

    fn change(&mut self, call: &mut Call, node: Node, change: &Change) -> Result<()> {
        self.vfs.check_writable(node)?;
        with!(self, call, node.fs, |system, env| system
            .change(env, node.ino, change))
    }

    /// The file that attributes are to be changed of.
    fn changeable(&self, call: &mut Call, directory: i32, path: &[u8], flags: u32) -> Result<Node> {
        if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
            return Err(Errno::INVAL);
        }
        let follow = flags & AT_SYMLINK_NOFOLLOW == 0;
        self.node(call, directory, path, follow, flags & AT_EMPTY_PATH != 0)
    }

    /// The file of a descriptor that is not only named.
    fn own_node(&self, call: &Call, fd: i32) -> Result<Node> {
        let open = self.descriptors.get(self.usable(call, fd)?);
        open.node.ok_or(Errno::INVAL)
    }

    fn chmod_node(&mut self, call: &mut Call, node: Node, mode: u32) -> Result<()> {
        let rights = self.rights(call, node)?;
        if rights.kind() == Kind::Link {
            return Err(Errno::OPNOTSUPP);
        }
        let change = permission::chmod(call.caller.credentials, rights, mode)?;
        self.change(call, node, &change)
    }

    /// `fchmodat`, `fchmodat2`, `chmod`.
    ///
    /// # Errors
    /// Those of walking a path; `EPERM`; `EOPNOTSUPP` for symbolic links; `EINVAL`.
    pub fn fchmodat(
        &mut self,
        call: &mut Call,
        directory: i32,
        path: &[u8],
        mode: u32,
        flags: u32,
    ) -> Result<()> {
        let node = self.changeable(call, directory, path, flags)?;
        self.chmod_node(call, node, mode)
    }

    /// `fchmod`.
    ///
    /// # Errors
    /// `EBADF`, `EPERM`.
    pub fn fchmod(&mut self, call: &mut Call, fd: i32, mode: u32) -> Result<()> {
        let node = self.own_node(call, fd)?;
        self.chmod_node(call, node, mode)
    }

    fn chown_node(&mut self, call: &mut Call, node: Node, uid: u32, gid: u32) -> Result<()> {
        let some = |id: u32| (id != u32::MAX).then_some(id);
        let rights = self.rights(call, node)?;
        let change = permission::chown(call.caller.credentials, rights, some(uid), some(gid))?;
        self.change(call, node, &change)
    }

    /// `fchownat`, `chown`, `lchown`; an id of all ones stays as it is.
    ///
    /// # Errors
    /// Those of walking a path; `EPERM`; `EINVAL`.
    pub fn fchownat(
        &mut self,
        call: &mut Call,
        directory: i32,
        path: &[u8],
        (uid, gid): (u32, u32),
        flags: u32,
    ) -> Result<()> {
        let node = self.changeable(call, directory, path, flags)?;
        self.chown_node(call, node, uid, gid)
    }

    /// `fchown`.
    ///
    /// # Errors
    /// `EBADF`, `EPERM`.
    pub fn fchown(&mut self, call: &mut Call, fd: i32, uid: u32, gid: u32) -> Result<()> {
        let node = self.own_node(call, fd)?;
        self.chown_node(call, node, uid, gid)
    }

    /// `utimensat` and its kin: times of access and change, `None` for now; nanoseconds may be `UTIME_NOW`
    /// and `UTIME_OMIT`. Without a path (`None`), of the descriptor itself.
    ///
    /// # Errors
    /// Those of walking a path; `EINVAL`; `EACCES` to set now without being the owner or a writer, `EPERM`
    /// another time without being the owner.
    pub fn utimensat(
        &mut self,
        call: &mut Call,
        directory: i32,
        path: Option<&[u8]>,
        times: Option<[Time; 2]>,
        flags: u32,
    ) -> Result<()> {
        if let Some(times) = times {
            for time in times {
                let special = matches!(time.nanoseconds, UTIME_NOW | UTIME_OMIT);
                if time.nanoseconds >= 1_000_000_000 && !special {
                    return Err(Errno::INVAL);
                }
            }
            if times.iter().all(|time| time.nanoseconds == UTIME_OMIT) {
                return Ok(());
            }
        }
        let node = match path {
            Some(path) => self.changeable(call, directory, path, flags)?,
            None if flags != 0 => return Err(Errno::INVAL),
            None => self.own_node(call, directory)?,
        };
        let rights = self.rights(call, node)?;
        let who = call.caller.credentials;
        let all_now =
            times.is_none_or(|times| times.iter().all(|time| time.nanoseconds == UTIME_NOW));
        if !permission::owns(who, rights) {
            if !all_now {
                return Err(Errno::PERM);
            }
            permission::check(who, rights, WRITE)?;
        }
        let now = call.now;
        let [atime, mtime] = times.map_or([Some(now); 2], |times| {
            times.map(|time| match time.nanoseconds {
                UTIME_NOW => Some(now),
                UTIME_OMIT => None,
                _ => Some(time),
            })
        });
        let change = Change {
            atime,
            mtime,
            ..Change::default()
        };
        self.change(call, node, &change)
    }

    pub(super) fn truncate_node(&mut self, call: &mut Call, node: Node, size: u64) -> Result<()> {
        let rights = self.rights(call, node)?;
        match rights.kind() {
            Kind::Regular => {}
            Kind::Directory => return Err(Errno::ISDIR),
            _ => return Err(Errno::INVAL),
        }
        if size > SIZE_MAX || size > call.caller.file_limit {
            return Err(Errno::FBIG);
        }
        let before = self.size(call, node)?;
        with!(self, call, node.fs, |system, env| system
            .resize(env, node.ino, size))?;
        if size < before {
            self.cut(node, size);
        }
        if let Some(mode) = permission::without_set_ids(rights.mode)
            && !call
                .caller
                .credentials
                .can(linux_raw_sys::general::CAP_FSETID)
        {
            let change = Change {
                mode: Some(mode),
                ..Change::default()
            };
            self.change(call, node, &change)?;
        }
        Ok(())
    }

    /// `truncate`.
    ///
    /// # Errors
    /// Those of walking a path; `EINVAL`, `EISDIR`, `EACCES`, `EFBIG`.
    pub fn truncate(&mut self, call: &mut Call, path: &[u8], size: i64) -> Result<()> {
        let size = u64::try_from(size).map_err(|_| Errno::INVAL)?;
        let node = self.node(call, linux_raw_sys::general::AT_FDCWD, path, true, false)?;
        let rights = self.rights(call, node)?;
        match rights.kind() {
            Kind::Regular => {}
            Kind::Directory => return Err(Errno::ISDIR),
            _ => return Err(Errno::INVAL),
        }
        self.vfs.check_writable(node)?;
        permission::check(call.caller.credentials, rights, WRITE)?;
        self.check_unexecuted(node)?;
        self.truncate_node(call, node, size)
    }

    /// `ftruncate`.
    ///
    /// # Errors
    /// `EBADF`; `EINVAL` for what is no regular file open for writing; `EFBIG`.
    pub fn ftruncate(&mut self, call: &mut Call, fd: i32, size: i64) -> Result<()> {
        let open = self.descriptors.get(self.usable(call, fd)?);
        let size = u64::try_from(size).map_err(|_| Errno::INVAL)?;
        match (&open.object, open.node) {
            (Object::Regular, Some(node)) if open.writes() => self.truncate_node(call, node, size),
            _ => Err(Errno::INVAL),
        }
    }

    /// `fallocate`: memory for a range, with `FALLOC_FL_KEEP_SIZE`, or a hole (`FALLOC_FL_PUNCH_HOLE`).
    ///
    /// # Errors
    /// `EBADF`, `EINVAL`, `EFBIG`, `ENOSPC`, `ESPIPE`, `ENODEV`; `EOPNOTSUPP` for other modes.
    pub fn fallocate(
        &mut self,
        call: &mut Call,
        fd: i32,
        mode: u32,
        offset: i64,
        length: i64,
    ) -> Result<()> {
        let open = self.descriptors.get(self.usable(call, fd)?);
        if offset < 0 || length <= 0 {
            return Err(Errno::INVAL);
        }
        let keep = mode & FALLOC_FL_KEEP_SIZE != 0;
        let punch = mode & FALLOC_FL_PUNCH_HOLE != 0;
        if mode & !(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE) != 0 || punch && !keep {
            return Err(Errno::OPNOTSUPP);
        }
        if !open.writes() {
            return Err(Errno::BADF);
        }
        let node = match (&open.object, open.node) {
            (Object::Regular, Some(node)) => node,
            (Object::Pipe(_), _) => return Err(Errno::SPIPE),
            (Object::Directory, _) => return Err(Errno::ISDIR),
            _ => return Err(Errno::NODEV),
        };
        let end = offset.checked_add(length).ok_or(Errno::FBIG)? as u64;
        let range = offset as u64..end;
        if !keep && end > call.caller.file_limit {
            return Err(Errno::FBIG);
        }
        if punch {
            with!(self, call, node.fs, |system, env| {
                system.allocate(env, node.ino, range, true, true)
            })?;
            self.cut(node, offset as u64 / PAGE as u64 * PAGE as u64);
            return Ok(());
        }
        with!(self, call, node.fs, |system, env| {
            system.allocate(env, node.ino, range, false, keep)
        })
    }

    /// Extended attributes: no file system has any.
    ///
    /// # Errors
    /// Always: `EOPNOTSUPP`.
    pub const fn xattr(&self) -> Result<u64> {
        Err(Errno::OPNOTSUPP)
    }
}
