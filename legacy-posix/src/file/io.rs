// SPDX-License-Identifier: BSD-2-Clause
//! Moving bytes: `read`, `write` and their kin.
//!
//! What cannot be done yet gives [`Moved::Wait`]: the caller is in wait queues, and the call is to be run again with
//! a buffer that starts behind the bytes that were used. If a run fails after an earlier one has moved bytes,
//! the call gives their number. `EPIPE` goes with `SIGPIPE`, and `EFBIG` with `SIGXFSZ`.

use alloc::vec::Vec;

use chacha20::rand_core::Rng;
use linux_raw_sys::general::{
    O_ACCMODE, O_APPEND, O_WRONLY, SEEK_CUR, SEEK_DATA, SEEK_END, SEEK_HOLE, SEEK_SET,
};

use super::{Files, Moved, Object, OpenId, abi, look, with};
use crate::vfs::data::SIZE_MAX;
use crate::vfs::{Call, Kind, Node, ORDER_MAX};
use crate::{Buffer, Errno, PAGE, Page, Result, Segment};

/// Bytes that `sendfile` and `copy_file_range` move at most in one call, so that no call keeps the
/// server for long.
const AT_ONCE: usize = 1 << 20;
/// Bytes of directory entries that one call gives at most.
const ENTRIES_AT_ONCE: usize = 1 << 16;

impl Files {
    /// What moving came to when something has to be waited for.
    fn wait_or(&mut self, call: &Call, id: OpenId, moved: usize) -> Result<Moved> {
        if self.descriptors.get(id).is_nonblocking() {
            return if moved > 0 {
                Ok(Moved::Done(moved))
            } else {
                Err(Errno::AGAIN)
            };
        }
        self.wait_for(call, id);
        Ok(Moved::Wait)
    }

    fn or_wait(
        &mut self,
        call: &Call,
        id: OpenId,
        moved: Moved,
        before: usize,
        left: usize,
    ) -> Result<Moved> {
        match moved {
            Moved::Wait => self.wait_or(call, id, before - left),
            Moved::WaitFor(time) => {
                self.wait_or(call, id, before - left)
                    .map(|moved| match moved {
                        Moved::Wait => Moved::WaitFor(time),
                        moved => moved,
                    })
            }
            moved => Ok(moved),
        }
    }

    /// `read`, `readv`; with a position, `pread64`, `preadv`. `expired` says that the time that an earlier run
    /// wanted to wait for has passed.
    ///
    /// # Errors
    /// `EBADF`, `EISDIR`, `EINVAL`, `EAGAIN`, `EIO`; `ESPIPE` for a position in what has none.
    pub fn read(
        &mut self,
        call: &mut Call,
        fd: i32,
        into: &mut Buffer,
        position: Option<i64>,
        expired: bool,
    ) -> Result<Moved> {
        let id = self.usable(call, fd)?;
        self.read_open(call, id, into, position, expired)
    }

    fn read_open(
        &mut self,
        call: &mut Call,
        id: OpenId,
        into: &mut Buffer,
        position: Option<i64>,
        expired: bool,
    ) -> Result<Moved> {
        let open = self.descriptors.get_mut(id);
        let at = match position {
            Some(position) => u64::try_from(position).map_err(|_| Errno::INVAL)?,
            None => open.position,
        };
        if position.is_some() && !open.has_position() {
            return Err(Errno::SPIPE);
        }
        if !open.reads() {
            return Err(Errno::BADF);
        }
        let before = into.left();
        let read = match &open.object {
            Object::Regular => {
                let node = open.node.ok_or(Errno::BADF)?;
                let read = with!(self, call, node.fs, |system, env| {
                    system.read(env, node.ino, at, into)
                })?;
                if position.is_none() {
                    self.descriptors.get_mut(id).position = at + read as u64;
                }
                return Ok(Moved::Done(read));
            }
            Object::Text(text) => {
                let from = usize::try_from(at).unwrap_or(usize::MAX).min(text.len());
                let read = into.put(call.pages, &text[from..]);
                if position.is_none() {
                    open.position = at + read as u64;
                }
                return Ok(Moved::Done(read));
            }
            Object::Directory => return Err(Errno::ISDIR),
            Object::Null => 0,
            Object::Zero | Object::Full => into.put_zeroes(call.pages, before),
            Object::Random => {
                let mut bytes = [0; 256];
                let mut done = 0;
                // Enough for every seed; who wants more asks again.
                while !into.is_empty() && done < AT_ONCE {
                    self.random.fill_bytes(&mut bytes);
                    done += into.put(call.pages, &bytes);
                }
                done
            }
            &Object::Pipe(pipe) => {
                match self.pipes.read(call.pages, &mut self.queues, pipe, into) {
                    Some(read) => read,
                    None => return self.wait_or(call, id, 0),
                }
            }
            &Object::Terminal(terminal) => {
                let moved = self.terminals.read(
                    call.pages,
                    &mut self.queues,
                    terminal,
                    &call.caller,
                    into,
                    expired,
                )?;
                return self.or_wait(call, id, moved, before, into.left());
            }
            &Object::Master(terminal) => {
                let moved =
                    self.terminals
                        .read_master(call.pages, &mut self.queues, terminal, into)?;
                return self.or_wait(call, id, moved, before, into.left());
            }
            &Object::Event(event) => {
                if before < 8 {
                    return Err(Errno::INVAL);
                }
                match self.events.read(&mut self.queues, event) {
                    Some(count) => into.put(call.pages, &count.to_ne_bytes()),
                    None => return self.wait_or(call, id, 0),
                }
            }
            &Object::Socket(socket) => {
                let received =
                    self.sockets
                        .receive(call.pages, &mut self.queues, socket, into, false);
                match received {
                    Some((read, _)) => read,
                    None => return self.wait_or(call, id, 0),
                }
            }
            Object::Epoll(_) => return Err(Errno::INVAL),
            Object::Path => return Err(Errno::BADF),
        };
        Ok(Moved::Done(read))
    }

    /// Whether a read would give nothing since the file ends there: then it does not matter where to.
    pub fn is_at_end(&self, call: &mut Call, fd: i32, position: Option<i64>) -> bool {
        let Ok(id) = self.usable(call, fd) else {
            return false;
        };
        let open = self.descriptors.get(id);
        let at = position.map_or(open.position, |position| position.max(0) as u64);
        open.reads()
            && match (&open.object, open.node) {
                (Object::Null, _) => true,
                (Object::Text(text), _) => at >= text.len() as u64,
                (Object::Regular, Some(node)) => self.size(call, node).is_ok_and(|size| at >= size),
                _ => false,
            }
    }

    /// `write`, `writev`; with a position, `pwrite64`, `pwritev`.
    ///
    /// # Errors
    /// `EBADF`, `EINVAL`, `EAGAIN`, `EPIPE`, `ENOSPC`, `EFBIG`, `EIO`; `ESPIPE` for a position in what has
    /// none.
    pub fn write(
        &mut self,
        call: &mut Call,
        fd: i32,
        from: &mut Buffer,
        position: Option<i64>,
    ) -> Result<Moved> {
        let id = self.usable(call, fd)?;
        self.write_open(call, id, from, position)
    }

    /// Writes to a file that is made when it is opened: an order, whose answer is what the file has from then on.
    fn order(
        &mut self,
        call: &mut Call,
        id: OpenId,
        node: Node,
        from: &mut Buffer,
    ) -> Result<Moved> {
        let mut text = alloc::vec![0; from.left().min(ORDER_MAX)];
        let length = from.take(call.pages, &mut text);
        let answer = with!(self, call, node.fs, |system, env| {
            system.order(env, node.ino, &text[..length])
        })?;
        if let Some(answer) = answer {
            let open = self.descriptors.get_mut(id);
            open.object = Object::Text(answer);
            open.position = 0;
        }
        Ok(Moved::Done(length))
    }

    fn write_open(
        &mut self,
        call: &mut Call,
        id: OpenId,
        from: &mut Buffer,
        position: Option<i64>,
    ) -> Result<Moved> {
        let open = self.descriptors.get_mut(id);
        let at = match position {
            Some(position) => u64::try_from(position).map_err(|_| Errno::INVAL)?,
            None => open.position,
        };
        if position.is_some() && !open.has_position() {
            return Err(Errno::SPIPE);
        }
        if !open.writes() {
            return Err(Errno::BADF);
        }
        let before = from.left();
        let written = match open.object {
            Object::Text(_) => {
                let node = open.node.ok_or(Errno::BADF)?;
                return self.order(call, id, node, from);
            }
            Object::Regular => {
                let (node, append) = (open.node.ok_or(Errno::BADF)?, open.flags & O_APPEND != 0);
                let at = if append { self.size(call, node)? } else { at };
                if !from.is_empty() {
                    if at >= call.caller.file_limit {
                        return Err(Errno::FBIG);
                    }
                    let most = call.caller.file_limit - at;
                    from.limit(usize::try_from(most).unwrap_or(usize::MAX));
                }
                let written = with!(self, call, node.fs, |system, env| {
                    system.write(env, node.ino, at, from)
                })?;
                if position.is_none() {
                    self.descriptors.get_mut(id).position = at + written as u64;
                }
                return Ok(Moved::Done(written));
            }
            Object::Null | Object::Zero | Object::Random => {
                from.skip(before);
                before
            }
            Object::Full if before > 0 => return Err(Errno::NOSPC),
            Object::Full => 0,
            Object::Pipe(pipe) => {
                let written = self.pipes.write(call.pages, &mut self.queues, pipe, from)?;
                if !from.is_empty() {
                    return self.wait_or(call, id, written);
                }
                written
            }
            Object::Terminal(terminal) => {
                let moved = self.terminals.write(
                    call.pages,
                    &mut self.queues,
                    terminal,
                    &call.caller,
                    from,
                )?;
                return self.or_wait(call, id, moved, before, from.left());
            }
            Object::Master(terminal) => {
                return self.terminals.write_master(
                    call.pages,
                    &mut self.queues,
                    &mut self.requests,
                    terminal,
                    from,
                );
            }
            Object::Event(event) => {
                let mut count = [0; 8];
                if before < 8 {
                    return Err(Errno::INVAL);
                }
                from.clone().take(call.pages, &mut count);
                let count = u64::from_ne_bytes(count);
                if !self.events.write(&mut self.queues, event, count)? {
                    return self.wait_or(call, id, 0);
                }
                from.skip(8);
                8
            }
            Object::Socket(socket) => {
                let sent = self
                    .sockets
                    .send(call.pages, &mut self.queues, socket, from)?;
                match sent {
                    Some(sent) if from.is_empty() => sent,
                    Some(sent) => return self.wait_or(call, id, sent),
                    None => return self.wait_or(call, id, 0),
                }
            }
            Object::Directory | Object::Path => return Err(Errno::BADF),
            Object::Epoll(_) => return Err(Errno::INVAL),
        };
        Ok(Moved::Done(written))
    }

    /// A regular file's size.
    pub(super) fn size(&self, call: &mut Call, node: Node) -> Result<u64> {
        let attributes = look!(self, call, |env| {
            self.vfs.system_ref(node.fs).attributes(env, node.ino)
        })?;
        Ok(attributes.size)
    }

    /// `lseek`: gives the new position.
    ///
    /// # Errors
    /// `EBADF`, `EINVAL`; `ESPIPE` for what has no position; `ENXIO` for `SEEK_DATA` and `SEEK_HOLE`.
    pub fn lseek(&mut self, call: &mut Call, fd: i32, offset: i64, whence: u32) -> Result<u64> {
        let id = self.usable(call, fd)?;
        let open = self.descriptors.get(id);
        let position = open.position as i64;
        let end = match open.object {
            Object::Regular => {
                let node = open.node.ok_or(Errno::BADF)?;
                if whence == SEEK_DATA || whence == SEEK_HOLE {
                    let from = u64::try_from(offset).map_err(|_| Errno::NXIO)?;
                    let system = self.vfs.system_ref(node.fs);
                    let found = system.seek(node.ino, from, whence == SEEK_DATA)?;
                    self.descriptors.get_mut(id).position = found;
                    return Ok(found);
                }
                if whence == SEEK_END {
                    self.size(call, node)? as i64
                } else {
                    0
                }
            }
            Object::Text(_) | Object::Directory => 0,
            Object::Null | Object::Zero | Object::Full | Object::Random => return Ok(0),
            _ => return Err(Errno::SPIPE),
        };
        let base = match whence {
            SEEK_SET => 0,
            SEEK_CUR => position,
            SEEK_END => end,
            _ => return Err(Errno::INVAL),
        };
        let new = base.checked_add(offset).ok_or(Errno::OVERFLOW)?;
        let new = u64::try_from(new).map_err(|_| Errno::INVAL)?;
        if new > SIZE_MAX {
            return Err(Errno::INVAL);
        }
        self.descriptors.get_mut(id).position = new;
        let open = self.descriptors.get(id);
        // Who only asks where he is does not begin anew.
        if let (Object::Text(_), 0, Some(node)) = (&open.object, new, open.node)
            && whence != SEEK_CUR
            && let Ok(Some(text)) = self.text(call, node)
        {
            self.descriptors.get_mut(id).object = Object::Text(text);
        }
        Ok(new)
    }

    /// `sendfile`: moves up to `count` bytes of a file to another descriptor; with `position`, from there, and
    /// the file's own position stays.
    ///
    /// # Errors
    /// Those of reading and writing; `EINVAL` to read from what is no file, or to append.
    pub fn sendfile(
        &mut self,
        call: &mut Call,
        to: i32,
        from: i32,
        position: Option<i64>,
        count: u64,
    ) -> Result<Moved> {
        let (from, to) = (self.usable(call, from)?, self.usable(call, to)?);
        let source = self.descriptors.get(from);
        if !source.reads() || !self.descriptors.get(to).writes() {
            return Err(Errno::BADF);
        }
        if !matches!(source.object, Object::Regular | Object::Text(_))
            || self.descriptors.get(to).flags & O_APPEND != 0
            || matches!(self.descriptors.get(to).object, Object::Epoll(_))
        {
            return Err(Errno::INVAL);
        }
        let start = position.unwrap_or(source.position as i64);
        let count = count.min(AT_ONCE as u64) as usize;
        let page = call.pages.allocate()?;
        let result = self.send_through(call, page, (from, start), (to, None), count);
        call.pages.release(page);
        let (moved, wait) = result?;
        if position.is_none() {
            self.descriptors.get_mut(from).position = start as u64 + moved as u64;
        }
        Ok(match wait {
            Some(wait) if moved == 0 => wait,
            // What is less than was asked for is for the program to go on with.
            _ => Moved::Done(moved),
        })
    }

    /// Moves bytes by way of a page; gives how many, and what has to be waited for.
    fn send_through(
        &mut self,
        call: &mut Call,
        page: Page,
        (from, mut source): (OpenId, i64),
        (to, mut target): (OpenId, Option<i64>),
        count: usize,
    ) -> Result<(usize, Option<Moved>)> {
        let mut done = 0;
        while done < count {
            let segment = |length: usize| {
                [Segment {
                    page,
                    offset: 0,
                    length: length as u16,
                }]
            };
            let whole = segment((count - done).min(PAGE));
            let mut into = Buffer::new(&whole);
            let read = match self.read_open(call, from, &mut into, Some(source), false)? {
                Moved::Done(0) => break,
                Moved::Done(read) => read,
                _ => break,
            };
            let part = segment(read);
            let mut buffer = Buffer::new(&part);
            let result = self.write_open(call, to, &mut buffer, target);
            let written = read - buffer.left();
            done += written;
            source += written as i64;
            target = target.map(|target| target + written as i64);
            match result {
                Ok(Moved::Done(_)) if written == read => {}
                Ok(Moved::Done(_)) => break,
                Ok(wait) => {
                    if done > 0 {
                        self.queues.forget(call.caller.thread);
                    }
                    return Ok((done, Some(wait)));
                }
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok((done, None))
    }

    /// `copy_file_range`; positions that are given are used instead of the files' own, which then stay.
    ///
    /// # Errors
    /// Those of reading and writing; `EINVAL` for what is no regular file, flags, and ranges of one file
    /// that overlap; `EISDIR`; `EBADF` to append.
    pub fn copy_file_range(
        &mut self,
        call: &mut Call,
        (from, from_position): (i32, Option<i64>),
        (to, to_position): (i32, Option<i64>),
        count: u64,
        flags: u32,
    ) -> Result<usize> {
        let (from, to) = (self.usable(call, from)?, self.usable(call, to)?);
        let (source, target) = (self.descriptors.get(from), self.descriptors.get(to));
        if flags != 0 {
            return Err(Errno::INVAL);
        }
        for open in [source, target] {
            match open.object {
                Object::Regular | Object::Text(_) => {}
                Object::Directory => return Err(Errno::ISDIR),
                _ => return Err(Errno::INVAL),
            }
        }
        if !source.reads() || !target.writes() || target.flags & O_APPEND != 0 {
            return Err(Errno::BADF);
        }
        let start = from_position.unwrap_or(source.position as i64);
        let goal = to_position.unwrap_or(target.position as i64);
        if start < 0 || goal < 0 {
            return Err(Errno::INVAL);
        }
        let (source, target) = (source.node, target.node);
        let size = match source {
            Some(node) => self.size(call, node)?,
            None => return Err(Errno::INVAL),
        };
        let count = count.min(size.saturating_sub(start as u64)) as i64;
        if source == target
            && start.saturating_add(count) > goal
            && goal.saturating_add(count) > start
            && count > 0
        {
            return Err(Errno::INVAL);
        }
        let page = call.pages.allocate()?;
        let most = (count as usize).min(AT_ONCE);
        let result = self.send_through(call, page, (from, start), (to, Some(goal)), most);
        call.pages.release(page);
        let (moved, _) = result?;
        if from_position.is_none() {
            self.descriptors.get_mut(from).position = (start + moved as i64) as u64;
        }
        if to_position.is_none() {
            self.descriptors.get_mut(to).position = (goal + moved as i64) as u64;
        }
        Ok(moved)
    }

    /// `getdents64`: gives how many bytes of entries.
    ///
    /// # Errors
    /// `EBADF`, `ENOTDIR`; `EINVAL` if there is no room for one.
    pub fn getdents64(&mut self, call: &mut Call, fd: i32, into: &mut Buffer) -> Result<usize> {
        let id = self.usable(call, fd)?;
        let open = self.descriptors.get(id);
        let (Object::Directory, Some(node)) = (&open.object, open.node) else {
            return Err(Errno::NOTDIR);
        };
        let room = into.left().min(ENTRIES_AT_ONCE);
        let mut position = open.position;
        let mut bytes = Vec::with_capacity(room.min(4096));
        let mut full = false;
        let mut push = |name: &[u8], ino: u64, kind: Kind, next: u64| {
            if abi::put_dirent(&mut bytes, room, name, ino, kind.dirent(), next) {
                position = next;
            } else {
                full = true;
            }
            !full
        };
        let system = self.vfs.system_ref(node.fs);
        let from = open.position;
        look!(self, call, |env| {
            // A directory that has been removed has nothing in it, not even itself.
            if system.attributes(env, node.ino)?.nlink == 0 {
                return Ok(0);
            }
            let goes_on = (from > 0 || push(b".", node.ino, Kind::Directory, 1))
                && (from > 1 || push(b"..", system.parent(node.ino), Kind::Directory, 2));
            if goes_on {
                system.list(env, node.ino, from.saturating_sub(2), &mut |entry| {
                    push(entry.name, entry.ino, entry.kind, entry.next + 2)
                })?;
            }
            Ok(())
        })?;
        if bytes.is_empty() && full {
            return Err(Errno::INVAL);
        }
        self.descriptors.get_mut(id).position = position;
        Ok(into.put(call.pages, &bytes))
    }

    /// `fsync`, `fdatasync`, `syncfs`: everything is in memory anyway.
    ///
    /// # Errors
    /// `EBADF`; `EINVAL` for what has no storage.
    pub fn fsync(&mut self, call: &Call, fd: i32) -> Result<()> {
        let open = self.descriptors.get(self.usable(call, fd)?);
        match open.object {
            Object::Regular | Object::Directory | Object::Text(_) => Ok(()),
            _ => Err(Errno::INVAL),
        }
    }

    /// Whether a descriptor is open for writing only, for calls that map files.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn access_mode(&self, call: &Call, fd: i32) -> Result<u32> {
        Ok(self.descriptors.get(self.usable(call, fd)?).flags & O_ACCMODE)
    }

    /// The regular file that a descriptor is of, to be mapped, and whether it may be written. `Ok(None)` is
    /// `/dev/zero`, which is mapped as anonymous memory.
    ///
    /// # Errors
    /// `EBADF`; `ENODEV` for what cannot be mapped; `EACCES` for what may not be read, or not written
    /// although `write` says that it will be.
    pub fn mappable(&self, call: &Call, fd: i32, write: bool) -> Result<Option<Node>> {
        let open = self.descriptors.get(self.usable(call, fd)?);
        if open.flags & O_ACCMODE == O_WRONLY || write && !open.writes() {
            return Err(Errno::ACCES);
        }
        match (&open.object, open.node) {
            (Object::Regular, Some(node)) => Ok(Some(node)),
            (Object::Zero, _) => Ok(None),
            _ => Err(Errno::NODEV),
        }
    }

    /// The frame of page `index` of a file that is mapped: with a hold for the caller. Without one (`None`), it
    /// is a hole that reads as zeroes.
    ///
    /// # Errors
    /// `ENXIO` behind the end of the file (`SIGBUS`); `ENOSPC`.
    pub fn page(
        &mut self,
        pages: &mut dyn crate::Pages,
        node: Node,
        index: u64,
        fill: bool,
    ) -> Result<Option<Page>> {
        let page = self
            .vfs
            .system(node.fs)
            .page(pages, node.ino, index, fill)?;
        if let Some(page) = page {
            pages.hold(page);
        }
        Ok(page)
    }
}
