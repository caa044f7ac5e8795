// SPDX-License-Identifier: BSD-2-Clause
//! A file system in memory: the root, `/dev` and whatever `mount -t tmpfs` makes.
//!
//! Contents are frames of the pool, so that they can be mapped; everything else is on the server's heap,
//! and the number of files is limited so that this can be no more than was planned for.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::Range;

use linux_raw_sys::general::TMPFS_MAGIC;
use slab::Slab;

use super::data::Data;
use super::directory::Directory;
use super::permission::without_set_ids;
use super::{
    Attributes, Change, Entry, Env, FileSystem, Kind, Lasting, Link, New, Of, Rights, Time, Usage,
};
use crate::{Buffer, Errno, PAGE, Page, Pages, Result};

/// Names that a file may have (LINK_MAX is 127 or more; this is what fits every tool).
const NAMES_MAX: u32 = 65_000;

enum Body {
    Regular(Data),
    Directory {
        entries: Box<Directory>,
        parent: u64,
    },
    Link(Cow<'static, [u8]>),
    Special(u64),
}

struct Inode {
    rights: Rights,
    names: u32,
    holds: u32,
    /// Directory and slot of the last name that it got.
    home: (u64, u32),
    atime: Time,
    mtime: Time,
    ctime: Time,
    btime: Time,
    body: Body,
}

impl Inode {
    /// One that is made now and has no name yet.
    const fn new(rights: Rights, now: Time, body: Body) -> Self {
        Self {
            rights,
            names: 0,
            holds: 0,
            home: NEVER,
            atime: now,
            mtime: now,
            ctime: now,
            btime: now,
            body,
        }
    }
}

/// The file system.
pub struct Tmpfs {
    inodes: Slab<Inode>,
    frames: usize,
    most_frames: usize,
    most_files: usize,
    name: &'static str,
}

/// [`Inode::home`] of a file that never had a name.
const NEVER: (u64, u32) = (0, 0);

/// The root directory's number: the first slot's.
const ROOT: u64 = 1;

impl Tmpfs {
    /// An empty one, whose root has these rights, of at most so many pages and files.
    pub fn new(name: &'static str, root: Rights, frames: usize, files: usize, now: Time) -> Self {
        let mut inodes = Slab::new();
        let body = Body::Directory {
            entries: Box::default(),
            parent: ROOT,
        };
        inodes.insert(Inode {
            names: 2,
            holds: 1,
            home: (ROOT, 0),
            ..Inode::new(root, now, body)
        });
        Self {
            inodes,
            frames: 0,
            most_frames: frames,
            most_files: files,
            name,
        }
    }

    /// One whose root is no directory but a device, which anyone may use: it is mounted over a file.
    pub fn of_device(name: &'static str, number: u64, now: Time) -> Self {
        let rights = Rights {
            mode: Kind::Character.bits() | 0o666,
            uid: 0,
            gid: 0,
        };
        let mut system = Self::new(name, rights, 0, 1, now);
        if let Some(root) = system.inodes.get_mut(slot(ROOT)) {
            root.body = Body::Special(number);
            root.names = 1;
        }
        system
    }

    fn get(&self, ino: u64) -> Result<&Inode> {
        self.inodes.get(slot(ino)).ok_or(Errno::NOENT)
    }

    fn get_mut(&mut self, ino: u64) -> Result<&mut Inode> {
        self.inodes.get_mut(slot(ino)).ok_or(Errno::NOENT)
    }

    fn entries(&self, directory: u64) -> Result<&Directory> {
        match &self.get(directory)?.body {
            Body::Directory { entries, .. } => Ok(entries),
            _ => Err(Errno::NOTDIR),
        }
    }

    /// The entries of a directory that is about to change.
    fn entries_mut(&mut self, directory: u64, now: Time) -> Result<&mut Directory> {
        let inode = self.get_mut(directory)?;
        inode.mtime = now;
        inode.ctime = now;
        match &mut inode.body {
            Body::Directory { entries, .. } => Ok(entries),
            _ => Err(Errno::NOTDIR),
        }
    }

    /// Entries of a directory that new names may go into: one that has been removed takes none.
    fn open_to_names(&self, directory: u64) -> Result<()> {
        self.entries(directory)?;
        if self.get(directory)?.names == 0 {
            return Err(Errno::NOENT);
        }
        Ok(())
    }

    fn data(&self, ino: u64) -> Result<&Data> {
        match &self.get(ino)?.body {
            Body::Regular(data) => Ok(data),
            _ => Err(Errno::INVAL),
        }
    }

    /// Does something with a file's contents and keeps account of the frames.
    fn with_data<R>(
        &mut self,
        ino: u64,
        now: Option<Time>,
        f: impl FnOnce(&mut Data) -> R,
    ) -> Result<R> {
        let inode = self.inodes.get_mut(slot(ino)).ok_or(Errno::NOENT)?;
        let Body::Regular(data) = &mut inode.body else {
            return Err(Errno::INVAL);
        };
        let before = data.frames();
        let result = f(data);
        self.frames = self.frames + data.frames() - before;
        if let Some(now) = now {
            inode.mtime = now;
            inode.ctime = now;
        }
        Ok(result)
    }

    /// Whether a file may get one more name.
    fn takes_names(&self, ino: u64) -> Result<()> {
        let inode = self.get(ino)?;
        // What has lost its last name gets no other; what never had one does (`O_TMPFILE`).
        if inode.names == 0 && inode.home != NEVER {
            return Err(Errno::NOENT);
        }
        if inode.names >= NAMES_MAX {
            return Err(Errno::MLINK);
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.inodes.len() >= self.most_files
    }

    fn make(&mut self, now: Time, rights: Rights, body: Body) -> Result<u64> {
        if self.is_full() {
            return Err(Errno::NOSPC);
        }
        Ok(self.inodes.insert(Inode::new(rights, now, body)) as u64 + 1)
    }

    fn enter(&mut self, now: Time, directory: u64, name: &[u8], ino: u64) -> Result<()> {
        let name = Cow::Owned(name.into());
        let slot = self.entries_mut(directory, now)?.insert(name, ino);
        let slot = slot.ok_or(Errno::EXIST)?;
        let inode = self.get_mut(ino)?;
        inode.home = (directory, slot);
        inode.ctime = now;
        if let Body::Directory { parent, .. } = &mut inode.body {
            *parent = directory;
            self.get_mut(directory)?.names += 1;
        }
        Ok(())
    }

    /// One name less, which is out of the directory already.
    fn lose_name(&mut self, env: &mut Env, directory: u64, ino: u64) -> Result<()> {
        let inode = self.get_mut(ino)?;
        inode.ctime = env.now;
        if let Body::Directory { .. } = inode.body {
            inode.names = 0;
            // Whoever stands in it finds its `..` as long as it is there.
            let above = self.get_mut(directory)?;
            above.names -= 1;
            above.holds += 1;
        } else {
            inode.names -= 1;
        }
        self.free_unused(env.pages, ino);
        Ok(())
    }

    fn free_unused(&mut self, pages: &mut dyn Pages, mut ino: u64) {
        while let Some(inode) = self.inodes.get(slot(ino))
            && inode.names == 0
            && inode.holds == 0
        {
            match self.inodes.remove(slot(ino)).body {
                Body::Regular(mut data) => {
                    self.frames -= data.frames();
                    data.resize(pages, 0);
                }
                Body::Directory { parent, .. } => {
                    ino = parent;
                    if let Some(above) = self.inodes.get_mut(slot(ino)) {
                        above.holds -= 1;
                    }
                }
                Body::Link(_) | Body::Special(_) => {}
            }
        }
    }

    /// Whether a directory is `above` or anywhere below it.
    fn is_below(&self, mut directory: u64, above: u64) -> bool {
        loop {
            if directory == above {
                return true;
            }
            if directory == ROOT {
                return false;
            }
            directory = self.parent(directory);
        }
    }

    /// Bytes that may still be written over `length`, given that each page may be a new one.
    fn room(&self, data: &Data, position: u64, length: u64) -> u64 {
        let free = self.most_frames.saturating_sub(self.frames) as u64;
        if length.div_ceil(PAGE as u64) < free {
            return length;
        }
        // Close to the limit: count what is there already, page by page.
        let mut new = 0;
        let mut at = position;
        while at < position + length {
            let index = at / PAGE as u64;
            if data.page(index).is_none() {
                new += 1;
                if new > free {
                    break;
                }
            }
            at = (index + 1) * PAGE as u64;
        }
        at.min(position + length).max(position) - position
    }
}

const fn slot(ino: u64) -> usize {
    (ino as usize).wrapping_sub(1)
}

impl FileSystem for Tmpfs {
    fn name(&self) -> &'static str {
        self.name
    }

    fn root(&self) -> u64 {
        ROOT
    }

    fn rights(&self, _env: &mut Env, ino: u64) -> Result<Rights> {
        Ok(self.get(ino)?.rights)
    }

    fn attributes(&self, _env: &mut Env, ino: u64) -> Result<Attributes> {
        let inode = self.get(ino)?;
        let (size, blocks, rdev) = match &inode.body {
            Body::Regular(data) => (data.size(), data.filled() as u64 * 8, 0),
            Body::Directory { entries, .. } => ((entries.len() as u64 + 2) * 20, 0, 0),
            Body::Link(text) => (text.len() as u64, 0, 0),
            Body::Special(device) => (0, 0, *device),
        };
        Ok(Attributes {
            rights: inode.rights,
            dev: 0,
            ino,
            nlink: inode.names,
            rdev,
            size,
            blocks,
            atime: inode.atime,
            mtime: inode.mtime,
            ctime: inode.ctime,
            btime: inode.btime,
        })
    }

    fn find(&self, _env: &mut Env, directory: u64, name: &[u8]) -> Result<u64> {
        let (_, ino) = self.entries(directory)?.find(name).ok_or(Errno::NOENT)?;
        Ok(ino)
    }

    fn parent(&self, directory: u64) -> u64 {
        match self.get(directory).map(|inode| &inode.body) {
            Ok(Body::Directory { parent, .. }) => *parent,
            _ => ROOT,
        }
    }

    fn named(&self, ino: u64, name: &mut Vec<u8>) -> Option<u64> {
        let inode = self.get(ino).ok()?;
        let (directory, slot) = inode.home;
        let found = self.entries(directory).ok()?.name(slot, ino)?;
        name.extend_from_slice(found);
        (inode.names > 0).then_some(directory)
    }

    fn link(&self, _env: &mut Env, ino: u64) -> Result<Link> {
        match &self.get(ino)?.body {
            Body::Link(text) => Ok(Link::Path(text.clone())),
            _ => Err(Errno::INVAL),
        }
    }

    fn list(
        &self,
        _env: &mut Env,
        directory: u64,
        from: u64,
        each: &mut dyn FnMut(Entry) -> bool,
    ) -> Result<()> {
        for (name, ino, next) in self.entries(directory)?.list(from) {
            let kind = self.get(ino)?.rights.kind();
            if !each(Entry {
                name,
                ino,
                kind,
                next,
            }) {
                break;
            }
        }
        Ok(())
    }

    fn hold(&mut self, ino: u64) {
        if let Ok(inode) = self.get_mut(ino) {
            inode.holds += 1;
        }
    }

    fn release(&mut self, pages: &mut dyn Pages, ino: u64) {
        if let Ok(inode) = self.get_mut(ino) {
            inode.holds -= 1;
            self.free_unused(pages, ino);
        }
    }

    fn create(
        &mut self,
        env: &mut Env,
        directory: u64,
        name: &[u8],
        new: New,
        rights: Rights,
    ) -> Result<u64> {
        self.open_to_names(directory)?;
        let body = match new {
            New::Directory => Body::Directory {
                entries: Box::default(),
                parent: directory,
            },
            New::Link(text) => Body::Link(text.to_vec().into()),
            New::File(Kind::Regular, _) => Body::Regular(Data::default()),
            New::File(_, device) => Body::Special(device),
        };
        let names = if matches!(new, New::Directory) { 2 } else { 1 };
        let ino = self.make(env.now, rights, body)?;
        self.get_mut(ino)?.names = names;
        self.enter(env.now, directory, name, ino)?;
        Ok(ino)
    }

    fn place(&mut self, env: &mut Env, directory: u64, file: &Lasting) -> Result<bool> {
        self.open_to_names(directory)?;
        let body = match file.of {
            Of::Directory => Some(Body::Directory {
                entries: Box::default(),
                parent: directory,
            }),
            Of::Link(text) => Some(Body::Link(Cow::Borrowed(text))),
            Of::Contents(bytes) => Some(Body::Regular(Data::of(bytes))),
            Of::Special(device) => Some(Body::Special(device)),
            Of::Name(_) => None,
        };
        let ino = match file.of {
            Of::Name(ino) => {
                self.takes_names(ino)?;
                ino
            }
            _ if self.is_full() && self.entries(directory)?.find(file.name).is_none() => {
                return Err(Errno::NOSPC);
            }
            _ => self.inodes.vacant_key() as u64 + 1,
        };
        let Body::Directory { entries, .. } = &mut self.get_mut(directory)?.body else {
            return Err(Errno::NOTDIR);
        };
        let Some(slot) = entries.insert(Cow::Borrowed(file.name), ino) else {
            return Ok(false);
        };
        match body {
            Some(body) => {
                let (names, names_above) = match file.of {
                    Of::Directory => (2, 1),
                    _ => (1, 0),
                };
                self.inodes.insert(Inode {
                    names,
                    home: (directory, slot),
                    atime: file.time,
                    mtime: file.time,
                    ..Inode::new(file.rights, env.now, body)
                });
                self.get_mut(directory)?.names += names_above;
            }
            None => {
                let inode = self.get_mut(ino)?;
                inode.names += 1;
                inode.home = (directory, slot);
            }
        }
        Ok(true)
    }

    fn create_unnamed(&mut self, env: &mut Env, rights: Rights) -> Result<u64> {
        self.make(env.now, rights, Body::Regular(Data::default()))
    }

    fn add_name(&mut self, env: &mut Env, directory: u64, name: &[u8], ino: u64) -> Result<()> {
        self.open_to_names(directory)?;
        self.takes_names(ino)?;
        self.get_mut(ino)?.names += 1;
        self.enter(env.now, directory, name, ino)
    }

    fn unlink(&mut self, env: &mut Env, directory: u64, name: &[u8]) -> Result<()> {
        let ino = self.find(env, directory, name)?;
        if self.get(ino)?.rights.is_directory() {
            return Err(Errno::ISDIR);
        }
        self.entries_mut(directory, env.now)?.remove(name);
        self.lose_name(env, directory, ino)
    }

    fn remove(&mut self, env: &mut Env, directory: u64, name: &[u8]) -> Result<()> {
        let ino = self.find(env, directory, name)?;
        if !self.entries(ino)?.is_empty() {
            return Err(Errno::NOTEMPTY);
        }
        self.entries_mut(directory, env.now)?.remove(name);
        self.lose_name(env, directory, ino)
    }

    fn rename(
        &mut self,
        env: &mut Env,
        (from, name): (u64, &[u8]),
        (to, new_name): (u64, &[u8]),
        exchange: bool,
    ) -> Result<()> {
        let ino = self.find(env, from, name)?;
        let target = self.entries(to)?.find(new_name).map(|(_, ino)| ino);
        if self.get(to)?.names == 0 {
            return Err(Errno::NOENT);
        }
        let is_directory = self.get(ino)?.rights.is_directory();
        if is_directory && self.is_below(to, ino) {
            return Err(Errno::INVAL);
        }
        if exchange {
            let other = target.ok_or(Errno::NOENT)?;
            let other_is_directory = self.get(other)?.rights.is_directory();
            if other_is_directory && self.is_below(from, other) {
                return Err(Errno::INVAL);
            }
            if ino == other {
                return Ok(());
            }
            for (directory, name, ino) in [(to, new_name, ino), (from, name, other)] {
                let replaced = self.entries_mut(directory, env.now)?.replace(name, ino);
                let (slot, _) = replaced.ok_or(Errno::NOENT)?;
                let inode = self.get_mut(ino)?;
                inode.home = (directory, slot);
                inode.ctime = env.now;
                if let Body::Directory { parent, .. } = &mut inode.body {
                    *parent = directory;
                }
            }
            // Each directory has as many names from below as directories in it.
            if is_directory != other_is_directory {
                let (more, less) = if is_directory { (to, from) } else { (from, to) };
                self.get_mut(more)?.names += 1;
                self.get_mut(less)?.names -= 1;
            }
            return Ok(());
        }
        if let Some(target) = target {
            if target == ino {
                return Ok(());
            }
            match (is_directory, self.entries(target)) {
                // Of whatever kind what is moved is: what it is in would go.
                (_, Ok(_)) if self.is_below(from, target) => return Err(Errno::NOTEMPTY),
                (true, Ok(entries)) if !entries.is_empty() => return Err(Errno::NOTEMPTY),
                (true, Err(error)) => return Err(error),
                (false, Ok(_)) => return Err(Errno::ISDIR),
                _ => {}
            }
            self.entries_mut(to, env.now)?.remove(new_name);
            self.lose_name(env, to, target)?;
        }
        self.entries_mut(from, env.now)?.remove(name);
        if is_directory {
            self.get_mut(from)?.names -= 1;
        }
        self.enter(env.now, to, new_name, ino)
    }

    fn change(&mut self, env: &mut Env, ino: u64, change: &Change) -> Result<()> {
        let inode = self.get_mut(ino)?;
        if let Some(mode) = change.mode {
            inode.rights.mode = inode.rights.mode & !0o7777 | mode & 0o7777;
        }
        inode.rights.uid = change.uid.unwrap_or(inode.rights.uid);
        inode.rights.gid = change.gid.unwrap_or(inode.rights.gid);
        inode.atime = change.atime.unwrap_or(inode.atime);
        inode.mtime = change.mtime.unwrap_or(inode.mtime);
        inode.ctime = env.now;
        Ok(())
    }

    fn read(&mut self, env: &mut Env, ino: u64, position: u64, into: &mut Buffer) -> Result<usize> {
        let inode = self.get_mut(ino)?;
        let Body::Regular(data) = &inode.body else {
            return Err(Errno::INVAL);
        };
        let read = data.read(env.pages, position, into);
        // As with `relatime`: the first read after a change, or of a day.
        let day_old = env.now.seconds - inode.atime.seconds >= 24 * 60 * 60;
        if inode.atime <= inode.mtime || inode.atime <= inode.ctime || day_old {
            inode.atime = env.now;
        }
        Ok(read)
    }

    fn write(
        &mut self,
        env: &mut Env,
        ino: u64,
        position: u64,
        from: &mut Buffer,
    ) -> Result<usize> {
        let room = self.room(self.data(ino)?, position, from.left() as u64);
        if room == 0 && !from.is_empty() {
            return Err(Errno::NOSPC);
        }
        from.limit(room as usize);
        let now = env.now;
        let written =
            self.with_data(ino, Some(now), |data| data.write(env.pages, position, from))?;
        if !env.credentials.can(linux_raw_sys::general::CAP_FSETID) {
            let inode = self.get_mut(ino)?;
            if let Some(mode) = without_set_ids(inode.rights.mode) {
                inode.rights.mode = inode.rights.mode & !0o7777 | mode;
            }
        }
        written
    }

    fn resize(&mut self, env: &mut Env, ino: u64, size: u64) -> Result<()> {
        let now = env.now;
        self.with_data(ino, Some(now), |data| data.resize(env.pages, size))
    }

    fn allocate(
        &mut self,
        env: &mut Env,
        ino: u64,
        range: Range<u64>,
        hole: bool,
        keep: bool,
    ) -> Result<()> {
        if !hole {
            let length = range.end - range.start;
            if self.room(self.data(ino)?, range.start, length) < length {
                return Err(Errno::NOSPC);
            }
        }
        let now = env.now;
        self.with_data(ino, Some(now), |data| {
            if hole {
                data.punch(env.pages, range)?;
            } else {
                data.reserve(env.pages, range.clone())?;
                if !keep {
                    data.extend(range.end);
                }
            }
            Ok(())
        })?
    }

    fn seek(&self, ino: u64, position: u64, data: bool) -> Result<u64> {
        self.data(ino)?.seek(position, data)
    }

    fn page(
        &mut self,
        pages: &mut dyn Pages,
        ino: u64,
        index: u64,
        fill: bool,
    ) -> Result<Option<Page>> {
        let data = self.data(ino).map_err(|_| Errno::NODEV)?;
        if index >= data.size().div_ceil(PAGE as u64) {
            return Err(Errno::NXIO);
        }
        match data.page(index) {
            None if fill && self.frames >= self.most_frames => Err(Errno::NOSPC),
            None if fill => self.with_data(ino, None, |data| data.fill(pages, index).map(Some))?,
            there => Ok(there),
        }
    }

    fn usage(&self, pages: &dyn Pages) -> Usage {
        let free = self.most_frames.saturating_sub(self.frames);
        let free = free.min(pages.available().0) as u64;
        Usage {
            magic: TMPFS_MAGIC,
            blocks: free + self.frames as u64,
            free,
            files: self.most_files as u64,
            files_free: (self.most_files - self.inodes.len()) as u64,
        }
    }

    fn end(&mut self, pages: &mut dyn Pages) {
        for inode in self.inodes.drain() {
            if let Body::Regular(mut data) = inode.body {
                data.resize(pages, 0);
            }
        }
        self.frames = 0;
    }
}
